"""RFC 8448's handshakes through our flows, record for record: both roles, 1-RTT, HelloRetryRequest, client authentication, and
compatibility mode.

What is random in a handshake is the trace's: hellos, keys, signatures.  What we would say otherwise (the order of extensions, and
extensions that we do not send) is said as the trace has it, and is shown to mean the same.  The rest is ours: message order, key
schedule, Finished, how flights are put into records, ChangeCipherSpec, sealing.  The resumed handshake with 0-RTT is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from minitls import (
    ApplicationData,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Connection,
    Danger,
    HandshakeCompleted,
    PeerClosed,
    Policy,
    ServerConfig,
    ServerConnection,
    TicketReceived,
)
from minitls.certificates.credentials import Credential
from minitls.crypto.groups import SECP256R1, X25519, KeyShare, Montgomery, Weierstrass
from minitls.handshake import client as client_flow
from minitls.wire.hello import ClientHello, HelloRetryRequest, Message, ServerHello
from minitls.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    EncryptedExtensions,
    message_type,
    read_message,
    write_message,
)
from minitls.wire.numbers import ContentType
from minitls.wire.numbers import ExtensionType as X
from tests.liar import Said, lying_client, lying_server, write_record
from tests.rfc8448 import Step, load, records

RFC = load()
TRACES = ["simple_1rtt", "hello_retry_request", "client_authentication", "compatibility_mode"]
POLICY = Policy(
    cipher_suites=("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"),
    groups=("x25519", "secp256r1"),
)


def said(payload: bytes) -> Iterator[Message]:
    while payload:
        end = 4 + int.from_bytes(payload[1:4], "big")
        raw, payload = payload[:end], payload[end:]
        yield read_message(message_type(raw), raw)


class Trace:
    """One section: the records of each side, its messages, its keys."""

    def __init__(self, section: str) -> None:
        self.section = section
        self.steps = RFC[section]
        self.messages = {
            who: [
                message for step in self.records(who) if step.what == "send handshake record" for message in said(step["payload"])
            ]
            for who in ("client", "server")
        }

    def records(self, who: str) -> list[Step]:
        return records(self.steps, who)

    def all(self, who: str, kind: type[Message]) -> list[Any]:
        return [message for message in self.messages[who] if type(message) is kind]

    def one(self, who: str, kind: type[Message]) -> Any:
        return self.all(who, kind)[-1]

    def keys(self, who: str) -> list[KeyShare]:
        """The ephemeral keys that the RFC prints, in order."""
        made = []
        for step in self.steps:
            if step.who == who and step.what.startswith("create an ephemeral") and step.octets:
                if "P-256" in step.what:
                    number = int.from_bytes(step["private key"], "big")
                    made.append(SECP256R1.share_of(ec.derive_private_key(number, ec.SECP256R1())))
                else:
                    made.append(X25519.share_of(x25519.X25519PrivateKey.from_private_bytes(step["private key"])))
        return made

    def credential(self, who: str) -> Credential:
        """The certificate that the trace shows, with a signer that gives the trace's signature."""
        proof = self.one(who, CertificateVerify)

        def sign(scheme: int, data: bytes) -> bytes:
            assert scheme == proof.algorithm
            return bytes(proof.signature)

        return Credential(self.one(who, Certificate).chain, signer=sign)


@pytest.fixture(params=TRACES)
def trace(request: pytest.FixtureRequest) -> Trace:
    return Trace(request.param)


def in_the_words_of(trace: Trace, who: str, *kinds: type[Message]) -> Callable[[Message], list[Said]]:
    """A lie that changes the wording: messages of these kinds become the trace's."""
    theirs = {kind: list(trace.all(who, kind)) for kind in kinds}

    def lie(message: Message) -> list[Said]:
        waiting = theirs.get(type(message))
        if not waiting:
            return [message]
        word = waiting.pop(0)
        assert same(message, word), (message, word)
        return [word.raw]

    return lie


def same(ours: Any, theirs: Any) -> bool:
    """Whether two messages differ in their extensions' order, and in extensions that one side may add, alone."""
    if isinstance(ours, (EncryptedExtensions, CertificateRequest)):
        return True  # what to put in there is each server's own affair
    common = {k: v for k, v in ours.extensions.items() if k != X.padding}
    return common == {k: v for k, v in theirs.extensions.items() if k != X.padding} and all(
        getattr(ours, name) == getattr(theirs, name)
        for name in ours.__dataclass_fields__
        if name not in ("extensions", "msg_type", "raw")
    )


class Exchange:
    """Our side against the trace: what the other side sends is fed, what we send is compared."""

    def __init__(self, trace: Trace, who: str, connection: Connection) -> None:
        self.who = who
        self.connection = connection
        self.steps = [step for step in trace.steps if "complete record" in step.octets]
        self.sent = b""
        self.events: list[Any] = []

    def run(self) -> None:
        """Record by record, in the RFC's order."""
        for step in self.steps:
            if step.who != self.who:
                self.events += self.connection.receive_data(step["complete record"])
                continue
            self.speak(step)
            self.sent += self.connection.data_to_send()
            expected = step["complete record"]
            assert self.sent[: len(expected)].hex() == expected.hex(), step.what
            self.sent = self.sent[len(expected) :]
        assert self.sent == b""

    def speak(self, step: Step) -> None:
        """What does not come by itself: data, close, and tickets, which are another issue's."""
        if step.what == "send application_data record":
            self.connection.send_data(step["payload"])
        elif step.what == "send alert record":
            self.connection.close()
        elif step["payload"][0] == 4:
            write_record(self.connection, ContentType.handshake, step["payload"])


def test_client(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trace.all("client", ClientHello)[0]
    keys = trace.keys("client")
    monkeypatch.setattr(client_flow, "make_offer", lambda config, name, session: client_flow.Offer(first, (keys[0],)))
    monkeypatch.setattr(client_flow, "make_shares", lambda groups: (keys[1],))
    auth = trace.all("client", Certificate)
    config = ClientConfig(
        policy=POLICY,
        verify=Danger.accept_any_certificate,  # the RFC's certificates are of 2016, and RSA-1024
        credential=trace.credential("client") if auth else None,
    )
    client = lying_client(config, in_the_words_of(trace, "client", ClientHello), server_hostname="server")
    exchange = Exchange(trace, "client", client)
    exchange.run()
    check_events(trace, exchange)
    assert client.info.hello_retry == (trace.section == "hello_retry_request")
    assert client.info.group == ("secp256r1" if client.info.hello_retry else "x25519")
    assert client.info.server_name == "server"


def test_server(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter(trace.keys("server"))
    for group in Montgomery, Weierstrass:
        monkeypatch.setattr(group, "generate", lambda self: next(keys))
    retried = trace.all("server", HelloRetryRequest)
    random = iter([*(message.extensions[X.cookie] for message in retried), trace.one("server", ServerHello).random])
    auth = bool(trace.all("server", CertificateRequest))
    config = ServerConfig(
        # In the retry the client sent a share in X25519, and the server insists on P-256.
        policy=POLICY.replace(groups=("secp256r1",)) if retried else POLICY,
        credentials=(trace.credential("server"),),
        client_auth=ClientAuth.require if auth else ClientAuth.none,
        verify=Danger.accept_any_certificate,
        send_cookie=bool(retried),
        random=lambda size: next(random),
    )
    words = in_the_words_of(trace, "server", HelloRetryRequest, ServerHello, EncryptedExtensions, CertificateRequest)
    server = lying_server(config, words)
    exchange = Exchange(trace, "server", server)
    exchange.run()
    check_events(trace, exchange)
    assert server.info.server_name == "server"
    assert (server.info.peer_chain != ()) == auth


def check_events(trace: Trace, exchange: Exchange) -> None:
    theirs = [step for step in exchange.steps if step.who != exchange.who]
    kinds = [HandshakeCompleted]
    if trace.section == "simple_1rtt":
        kinds += [TicketReceived] * (exchange.who == "client") + [ApplicationData]
        assert exchange.events[-2].data == theirs[-2]["payload"]
    assert [type(event) for event in exchange.events] == [*kinds, PeerClosed]


def test_every_hello_and_message_is_written_as_it_was_read() -> None:
    for section in TRACES:
        trace = Trace(section)
        for message in (*trace.messages["client"], *trace.messages["server"]):
            raw = message.raw
            assert write_message(message) == raw, (section, type(message).__name__)


def test_a_hello_without_a_session_id_gets_no_change_cipher_spec() -> None:
    """RFC 8446 appendix D.4: only compatibility mode asks for it."""
    for section in TRACES:
        trace = Trace(section)
        compatible = bool(trace.one("client", ClientHello).legacy_session_id)
        assert compatible == (section == "compatibility_mode")
        assert any(step.what.startswith("send change_cipher_spec") for step in trace.steps) == compatible


def test_the_second_hello_is_the_first_but_for_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours would be the trace's, without the padding that its client adds."""
    trace = Trace("hello_retry_request")
    first, second = trace.all("client", ClientHello)
    keys = trace.keys("client")
    monkeypatch.setattr(client_flow, "make_offer", lambda config, name, session: client_flow.Offer(first, (keys[0],)))
    monkeypatch.setattr(client_flow, "make_shares", lambda groups: (keys[1],))
    client = ClientConnection(ClientConfig(policy=POLICY, verify=Danger.accept_any_certificate), server_hostname="server")
    client.data_to_send()
    client.receive_data(trace.records("server")[0]["complete record"])
    ours = next(said(client.data_to_send()[5:]))
    assert same(ours, second)
    assert not isinstance(client, ServerConnection)
