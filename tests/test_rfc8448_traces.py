"""RFC 8448's handshakes through our flows, record for record: both roles, 1-RTT, resumption with 0-RTT, HelloRetryRequest, client
authentication, and compatibility mode.

What is random in a handshake is the trace's: hellos, keys, signatures.  What we would say otherwise (the order of extensions, and
extensions that we do not send) is said as the trace has it, and is shown to mean the same.  The rest is ours: message order, key
schedule, binders and ages of tickets, Finished, how flights are put into records, ChangeCipherSpec, sealing.  The session that
section 4 resumes is the one that our client made of section 3.
"""

from __future__ import annotations

import dataclasses
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
    EarlyData,
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
from minitls.handshake.psk import Psk, of_session, offer_psks
from minitls.handshake.resume import Remembered, context_of
from minitls.sessions.session import Session
from minitls.sessions.store import MemoryStore
from minitls.wire.codec import Extensions
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
from tests.liar import Said, lying, lying_server, write_record
from tests.rfc8448 import Step, load, records

RFC = load()
TRACES = ["simple_1rtt", "resumed_0rtt", "hello_retry_request", "client_authentication", "compatibility_mode"]
AGE = 0.006
"""Seconds between section 3's ticket and section 4's hello, as that tells (obfuscated_ticket_age)."""

NOW = 1_520_000_000.0
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
        """The certificate that the trace shows (section 4 none: section 3 its own), with a signer that gives the signature."""
        if self.section == "resumed_0rtt":
            return Trace("simple_1rtt").credential(who)
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
        """What does not come by itself: data that is not early, close, and the ticket, whose bytes only its maker knows."""
        if step.what == "send application_data record":
            if self.connection.handshake_completed:
                self.connection.send_data(step["payload"])
        elif step.what == "send alert record":
            self.connection.close()
        elif step["payload"][0] == 4:
            write_record(self.connection, ContentType.handshake, step["payload"])


def in_the_traces_offer(trace: Trace) -> Callable[..., client_flow.Offer]:
    """make_offer, but for the identities of the PSKs, which are put in and bound as always."""
    hello = trace.all("client", ClientHello)[0]
    key = trace.keys("client")[0]

    def make_offer(
        config: ClientConfig, name: str | None, known: Remembered | None, external: tuple[Psk, ...], *, early_data: int
    ) -> client_flow.Offer:
        extensions = Extensions(hello.extensions)
        assert (X.early_data in extensions) == bool(early_data)
        psks = () if known is None else (of_session(known.session.ticket, known),)
        offer_psks(extensions, psks, config.clock())
        return client_flow.Offer(dataclasses.replace(hello, extensions=extensions), (key,), known, psks)

    return make_offer


def run_client(section: str, monkeypatch: pytest.MonkeyPatch, store: MemoryStore) -> tuple[Trace, Exchange]:
    trace = Trace(section)
    keys = trace.keys("client")
    monkeypatch.setattr(client_flow, "make_offer", in_the_traces_offer(trace))
    monkeypatch.setattr(client_flow, "make_shares", lambda groups: (keys[1],))
    resumed = section == "resumed_0rtt"
    config = ClientConfig(
        policy=POLICY,
        verify=Danger.accept_any_certificate,  # the RFC's certificates are of 2016, and RSA-1024
        credential=trace.credential("client") if trace.all("client", Certificate) else None,
        session_store=store,
        clock=lambda: NOW + AGE * resumed,
    )
    lie = in_the_words_of(trace, "client", ClientHello)
    early_data = trace.records("client")[1]["payload"] if resumed else b""
    client = lying(lambda: ClientConnection(config, server_hostname="server", early_data=early_data), lie)
    exchange = Exchange(trace, "client", client)
    exchange.run()
    return trace, exchange


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """What our client makes of section 3's ticket."""
    _, exchange = run_client("simple_1rtt", monkeypatch, MemoryStore())
    (received,) = (event for event in exchange.events if isinstance(event, TicketReceived))
    assert received.session is not None
    return received.session


def test_client(trace: Trace, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    if trace.section == "resumed_0rtt":
        store.put("server:", session)
    trace, exchange = run_client(trace.section, monkeypatch, store)
    check_events(trace, exchange)
    info = exchange.connection.info
    assert info.hello_retry == (trace.section == "hello_retry_request")
    assert info.group == ("secp256r1" if info.hello_retry else "x25519")
    assert info.server_name == "server"
    assert info.resumed == info.early_data_accepted == (trace.section == "resumed_0rtt")


class TicketOf:
    """Tickets of which there is one: section 3's."""

    def __init__(self, ticket: bytes) -> None:
        self.ticket = ticket
        self.state = b""

    def seal(self, state: bytes) -> None:
        """There are no others."""

    def open(self, ticket: bytes) -> bytes | None:
        return self.state if ticket == self.ticket else None


class FirstUse:
    """A replay record that is asked once."""

    asked = 0

    def first_use(self, key: bytes, issued: float, until: float) -> bool:
        self.asked += 1
        return issued == NOW and until > NOW


def test_server(trace: Trace, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter(trace.keys("server"))
    for group in Montgomery, Weierstrass:
        monkeypatch.setattr(group, "generate", lambda self: next(keys))
    retried = trace.all("server", HelloRetryRequest)
    random = iter([*(message.extensions[X.cookie] for message in retried), trace.one("server", ServerHello).random])
    auth = bool(trace.all("server", CertificateRequest))
    tickets, replay = TicketOf(session.ticket), FirstUse()
    config = ServerConfig(
        # In the retry the client sent a share in X25519, and the server insists on P-256.
        policy=POLICY.replace(groups=("secp256r1",)) if retried else POLICY,
        credentials=(trace.credential("server"),),
        client_auth=ClientAuth.require if auth else ClientAuth.none,
        verify=Danger.accept_any_certificate,
        send_cookie=bool(retried),
        random=lambda size: next(random),
        clock=lambda: NOW + AGE,
        tickets=tickets,
        ticket_count=0,
        early_data=session.max_early_data,
        replay=replay,
    )
    tickets.state = dataclasses.replace(session, chain=(), ticket=b"", context=context_of(config)).to_bytes()
    words = in_the_words_of(trace, "server", HelloRetryRequest, ServerHello, EncryptedExtensions, CertificateRequest)
    server = lying_server(config, words)
    exchange = Exchange(trace, "server", server)
    exchange.run()
    check_events(trace, exchange)
    assert server.info.server_name == "server"
    assert (server.info.peer_chain != ()) == auth
    resumed = trace.section == "resumed_0rtt"
    assert server.info.resumed == server.info.early_data_accepted == resumed
    assert replay.asked == resumed


def check_events(trace: Trace, exchange: Exchange) -> None:
    theirs = [step for step in exchange.steps if step.who != exchange.who]
    kinds: list[type] = [HandshakeCompleted]
    if trace.section == "simple_1rtt":
        kinds += [TicketReceived] * (exchange.who == "client") + [ApplicationData]
    if trace.section == "resumed_0rtt":
        kinds = [EarlyData] * (exchange.who == "server") + [HandshakeCompleted, ApplicationData]
    assert [type(event) for event in exchange.events] == [*kinds, PeerClosed]
    data = [event.data for event in exchange.events if isinstance(event, (EarlyData, ApplicationData))]
    assert data == [step["payload"] for step in theirs if step.what == "send application_data record"]


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
    second = trace.all("client", ClientHello)[1]
    keys = trace.keys("client")
    monkeypatch.setattr(client_flow, "make_offer", in_the_traces_offer(trace))
    monkeypatch.setattr(client_flow, "make_shares", lambda groups: (keys[1],))
    client = ClientConnection(ClientConfig(policy=POLICY, verify=Danger.accept_any_certificate), server_hostname="server")
    client.data_to_send()
    client.receive_data(trace.records("server")[0]["complete record"])
    ours = next(said(client.data_to_send()[5:]))
    assert same(ours, second)
    assert not isinstance(client, ServerConnection)
