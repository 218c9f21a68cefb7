"""SMACK, SKIP, early CCS and renegotiation in TLS 1.2: every message removed, repeated, swapped and replaced, for both roles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from minitls import (
    Alert,
    AlertReceived,
    ClientAuth,
    ClientConnection,
    Connection,
    PeerIncompatible,
    Policy,
    ServerConnection,
    TLSError,
)
from minitls.sessions.store import MemoryStore
from minitls.testing import exchange, memory_pair
from minitls.wire.codec import Extensions
from minitls.wire.extensions import CertificateStatus
from minitls.wire.hello import ClientHello, Message, ServerHello
from minitls.wire.messages import CertificateVerify, Finished, write_message
from minitls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus12,
    ClientKeyExchange,
    HelloRequest,
    NewSessionTicket12,
    ServerHelloDone,
    ServerKeyExchange,
)
from minitls.wire.numbers import ContentType
from tests.conftest import Pki
from tests.liar import Meeting, Record, Said, Unheard, edit, lying_client, lying_server, meet, truth, write_handshake, write_record

LEGACY = Policy.legacy.replace(versions=("TLSv1.2",))
CCS = Record(ContentType.change_cipher_spec, b"\x01")

FLOWS: dict[str, dict[str, Any]] = {
    "ecdhe": {"suite": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
    "client authentication": {"suite": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "auth": ClientAuth.require},
    "static rsa": {"suite": "TLS_RSA_WITH_AES_128_CBC_SHA256"},
    "psk": {"suite": "TLS_PSK_WITH_AES_128_GCM_SHA256"},
    "resumed": {"suite": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "resumed": True},
}

SAYS: dict[tuple[str, str], list[type[Message]]] = {
    ("server", "ecdhe"): [ServerHello, Certificate12, ServerKeyExchange, ServerHelloDone, NewSessionTicket12, Finished],
    ("server", "client authentication"): [
        ServerHello,
        Certificate12,
        ServerKeyExchange,
        CertificateRequest12,
        ServerHelloDone,
        NewSessionTicket12,
        Finished,
    ],
    ("server", "static rsa"): [ServerHello, Certificate12, ServerHelloDone, NewSessionTicket12, Finished],
    ("server", "psk"): [ServerHello, ServerHelloDone, NewSessionTicket12, Finished],
    ("server", "resumed"): [ServerHello, NewSessionTicket12, Finished],
    ("client", "ecdhe"): [ClientHello, ClientKeyExchange, Finished],
    ("client", "client authentication"): [ClientHello, Certificate12, ClientKeyExchange, CertificateVerify, Finished],
    ("client", "static rsa"): [ClientHello, ClientKeyExchange, Finished],
    ("client", "psk"): [ClientHello, ClientKeyExchange, Finished],
    ("client", "resumed"): [ClientHello, Finished],
}
MOMENTS = [(role, flow, n) for (role, flow), said in SAYS.items() for n in range(len(said))]
each_moment = pytest.mark.parametrize(("role", "flow", "n"), MOMENTS, ids=[f"{r}: {f}, {n}" for r, f, n in MOMENTS])
each_flow = pytest.mark.parametrize(("role", "flow"), list(SAYS), ids=[f"{r}: {f}" for r, f in SAYS])


class Script:
    """A lie about the ``n``-th message: ``change`` gets it, and says what to say instead of it and what after the next one."""

    def __init__(self, n: int, change: Any) -> None:
        self.n = n
        self.change = change
        self.number = -1
        self.held: list[Message] = []

    def __call__(self, message: Message) -> Iterable[Said]:
        self.number += 1
        if self.number != self.n:
            said: list[Said] = [message, *self.held]
            self.held = []
            return said
        now, self.held = self.change(message)
        return now


class House:
    """The configurations of each flow; for resumption, with a session on both sides."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki

    def configs(self, flow: str) -> tuple[Any, Any]:
        how, pki = FLOWS[flow], self.pki
        policy = LEGACY.replace(cipher_suites=(how["suite"],), groups=("x25519", "secp256r1"))
        psk = "PSK" in how["suite"]
        ours = pki.client_config(
            policy=policy,
            session_store=MemoryStore(),
            credential=pki.client() if "auth" in how else None,
            psk=(lambda hint: (b"we", b"key")) if psk else None,
        )
        theirs = pki.server_config(
            policy=policy,
            credentials=() if psk else (pki.server("rsa2048" if how["suite"].startswith("TLS_RSA") else "p256"),),
            client_auth=how.get("auth", ClientAuth.none),
            trust=pki.trust,
            psk=(lambda identity: b"key") if psk else None,
        )
        if how.get("resumed"):
            memory_pair(ours, theirs)
        return ours, theirs

    def lied_to(self, role: str, flow: str, lie: Any) -> tuple[Meeting, Connection, Connection]:
        """A meeting in which this role lies; the other side; and the liar."""
        ours, theirs = self.configs(flow)
        if role == "server":
            client = ClientConnection(ours, server_hostname="localhost")
            liar: Connection = lying_server(theirs, lie)
            return meet(client, liar), client, liar
        server = ServerConnection(theirs)
        liar = lying_client(ours, lie)
        return meet(liar, server), server, liar


@pytest.fixture(scope="module")
def house(pki: Pki) -> House:
    return House(pki)


@pytest.fixture(scope="module")
def every_message(house: House) -> dict[str, bytes]:
    """Every kind of message that TLS 1.2 has, as good as one can be, and those that it does not have."""
    hello = ClientConnection(house.configs("ecdhe")[0], server_hostname="localhost").info.client_hello
    messages: list[Message] = [
        HelloRequest(),
        hello,
        ServerHello(0x0303, b"\x01" * 32, b"", 0xC02B, 0, Extensions()),
        Certificate12((b"not a certificate",)),
        CertificateStatus12(CertificateStatus(1, b"status")),
        ServerKeyExchange(b"\x03\x00\x1d\x20" + bytes(32)),
        CertificateRequest12((64,), (0x0403,), ()),
        ServerHelloDone(),
        ClientKeyExchange(b"\x20\x09" + bytes(31)),
        CertificateVerify(0x0403, bytes(70)),
        NewSessionTicket12(60, b"ticket"),
        Finished(bytes(12)),
    ]
    named = {type(message).__name__: write_message(message) for message in messages}
    for number in (3, 5, 6, 8, 24, 25, 254, 77):
        named[f"type {number}"] = bytes((number, 0, 0, 0))
    return named


def refused(honest: Connection, *alerts: Alert) -> None:
    """One TLSError, whose alert is one of these; nothing completed, nothing agreed."""
    assert isinstance(honest.error, TLSError), honest
    assert honest.error.alert in alerts, honest.error
    assert not honest.handshake_completed


@each_flow
def test_told_as_it_should_be(house: House, role: str, flow: str) -> None:
    """SMACK: the flows that the others are changes of."""
    said: list[type[Message]] = []

    def note(message: Message) -> list[Said]:
        said.append(type(message))
        return truth(message)

    meeting, _, _ = house.lied_to(role, flow, note)
    assert meeting.completed == (True, True)
    assert said == SAYS[role, flow]


MAY_BE_INSTEAD = {
    ("server", "psk", ServerHelloDone): {"ServerKeyExchange": Alert.decode_error},  # it may come, but this one holds no hint
    ("server", "static rsa", ServerHelloDone): {"CertificateRequest12": None},
    ("server", "ecdhe", ServerHelloDone): {"CertificateRequest12": None},
    ("server", "client authentication", CertificateRequest12): {"ServerHelloDone": Alert.unexpected_message},
}


@each_moment
def test_replaced_by_every_other(house: House, every_message: dict[str, bytes], role: str, flow: str, n: int) -> None:
    """SMACK: each message at each wrong moment."""
    right = SAYS[role, flow][n]
    for name, raw in every_message.items():
        if name == right.__name__:
            continue
        meeting, honest, _ = house.lied_to(role, flow, Script(n, lambda message, raw=raw: ([raw], [])))
        if name == "HelloRequest" and role == "server" and n > 0:  # it is passed over: what is missing is what counts
            assert not honest.handshake_completed or right is Finished
            continue
        allowed = MAY_BE_INSTEAD.get((role, flow, right), {})
        if name in allowed:
            assert not honest.handshake_completed, name
            assert allowed[name] is None or honest.error is None or honest.error.alert is allowed[name]  # type: ignore[attr-defined]
            continue
        refused(honest, Alert.unexpected_message)
        assert meeting.completed != (True, True)


@each_moment
def test_left_out(house: House, role: str, flow: str, n: int) -> None:
    """SKIP: without any of them there is no handshake."""
    right = SAYS[role, flow][n]
    _, honest, _ = house.lied_to(role, flow, Script(n, lambda message: ([], [])))
    assert not honest.handshake_completed
    if honest.error is None or isinstance(honest.error, AlertReceived):  # the liar goes no further, or fails by itself
        if honest.error is None:
            with pytest.raises(TLSError, match="during the handshake"):
                honest.receive_eof()
        return
    assert isinstance(honest.error, TLSError)
    if right is CertificateRequest12:
        refused(honest, Alert.unexpected_message, Alert.bad_record_mac, Alert.decrypt_error)
    else:
        refused(honest, Alert.unexpected_message)


@each_moment
def test_said_twice(house: House, role: str, flow: str, n: int) -> None:
    """SMACK: no message is taken twice; after the handshake is over, a second Finished is none either."""
    _, honest, _ = house.lied_to(role, flow, Script(n, lambda message: ([message, write_message(message)], [])))
    assert isinstance(honest.error, TLSError), honest
    assert honest.error.alert is Alert.unexpected_message, honest.error


@each_moment
def test_swapped_with_the_next(house: House, role: str, flow: str, n: int) -> None:
    said = SAYS[role, flow]
    if n + 1 == len(said):
        return
    _, honest, _ = house.lied_to(role, flow, Script(n, lambda message: ([], [message])))
    assert not honest.handshake_completed
    if honest.error is not None and not isinstance(honest.error, AlertReceived):
        refused(honest, Alert.unexpected_message)


# ChangeCipherSpec ---------------------------------------------------------------------------------------------------------


@each_moment
def test_early_change_cipher_spec(house: House, role: str, flow: str, n: int) -> None:
    """Early CCS (CVE-2014-0224): before each message; in front of Finished it is one too many."""
    _, honest, _ = house.lied_to(role, flow, Script(n, lambda message: ([CCS, message], [])))
    refused(honest, Alert.unexpected_message)


@each_moment
def test_change_cipher_spec_alone(house: House, role: str, flow: str, n: int) -> None:
    """Early CCS: instead of each message."""
    _, honest, _ = house.lied_to(role, flow, Script(n, lambda message: ([CCS], [])))
    refused(honest, Alert.unexpected_message)


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x02", b"\x01\x01"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_change_cipher_spec_of_other_content(house: House, role: str, content: bytes) -> None:
    """RFC 5246 section 7.1: a single byte of value 1."""
    ours, theirs = house.configs("ecdhe")
    client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    honest: Connection = server
    flight = client.data_to_send()
    if role == "server":
        server.receive_data(flight)
        honest, flight = client, server.data_to_send()
    at = flight.index(b"\x14\x03\x03\x00\x01\x01")
    with pytest.raises(TLSError) as raised:
        honest.receive_data(flight[:at] + b"\x14\x03\x03" + len(content).to_bytes(2, "big") + content + flight[at + 6 :])
    assert raised.value.alert is Alert.unexpected_message


@pytest.mark.parametrize(("role", "flow"), [each for each in SAYS if each[1] != "static rsa"])
def test_no_change_cipher_spec(house: House, role: str, flow: str) -> None:
    """A protected Finished without it is read as plaintext, and begins with the nonce, eight zeros: no message that may come."""
    ours, theirs = house.configs(flow)
    client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
    sides: tuple[Connection, Connection] = (client, server)
    for _ in range(3):
        for one, other in (sides, sides[::-1]):
            flight = one.data_to_send()
            if one is (client if role == "client" else server) and b"\x14\x03\x03\x00\x01\x01" in flight:
                with pytest.raises(TLSError) as raised:
                    other.receive_data(flight.replace(b"\x14\x03\x03\x00\x01\x01", b""))
                assert raised.value.alert is Alert.unexpected_message
                assert not other.handshake_completed
                return
            other.receive_data(flight)
    raise AssertionError("there was none to take away")


@pytest.mark.parametrize("role", ["client", "server"])
def test_change_cipher_spec_after_the_handshake(house: House, role: str) -> None:
    """Protected as it must be by then, or not."""
    for protected in (False, True):
        client, server = memory_pair(*house.configs("ecdhe"))
        says, hears = (client, server) if role == "client" else (server, client)
        if protected:
            write_record(says, ContentType.change_cipher_spec, b"\x01")
            data = says.data_to_send()
        else:
            data = b"\x14\x03\x03\x00\x01\x01"
        with pytest.raises(TLSError) as raised:
            hears.receive_data(data)
        assert raised.value.alert is (Alert.unexpected_message if protected else Alert.bad_record_mac)


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_message_across_the_key_change(house: House, role: str) -> None:
    """Handshake data before ChangeCipherSpec that goes on behind it: unexpected_message."""
    ours, theirs = house.configs("ecdhe")
    lie = Script(
        {"client": 1, "server": 4}[role],
        lambda message: ([message, Unheard(b"\x14\x00\x00\x0c\x01")], []),
    )
    if role == "client":
        liar, honest = lying_client(ours, lie), ServerConnection(theirs)
        meet(liar, honest)
    else:
        honest, liar = ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, lie)  # type: ignore[assignment]
        meet(honest, liar)
    refused(honest, Alert.unexpected_message)


@pytest.mark.parametrize("content_type", [ContentType.application_data, 24, 99])
@each_flow
def test_other_records_during_the_handshake(house: House, role: str, flow: str, content_type: int) -> None:
    """Application data, heartbeats and unknown types, before and after the keys."""
    for n in range(len(SAYS[role, flow])):
        lie = Script(n, lambda message: ([Record(content_type, b"\x01" * 20), message], []))
        _, honest, _ = house.lied_to(role, flow, lie)
        refused(honest, Alert.unexpected_message)


@pytest.mark.parametrize("behind", [b"\x00", b"\x10\0\0\2", b"\x00\0\0\0", bytes(100)])
@pytest.mark.parametrize(
    ("role", "flow", "n"), [("server", "ecdhe", 3), ("server", "ecdhe", 5), ("server", "resumed", 2), ("client", "ecdhe", 2)]
)
def test_a_record_goes_on_behind_a_flight(house: House, role: str, flow: str, n: int, behind: bytes) -> None:
    """RFC 5246 section 7.3: after ServerHelloDone or Finished the other side has the word, and its answer is not foreseen."""
    _, honest, _ = house.lied_to(role, flow, Script(n, lambda message: ([message, Unheard(behind)], [])))
    assert isinstance(honest.error, TLSError)
    assert (honest.error.alert, honest.error.reason) == (Alert.unexpected_message, "excess_handshake_data")
    assert not honest.handshake_completed


# renegotiation ------------------------------------------------------------------------------------------------------------


def test_hello_request_is_answered_once(house: House) -> None:
    """Renegotiation injection: HelloRequest gets no_renegotiation, a warning, and the next one ends the connection."""
    client, server = memory_pair(*house.configs("ecdhe"))
    write_handshake(server, HelloRequest())
    meeting = meet(client, server)
    assert client.error is None
    assert server.error is None
    client.send_data(b"and on")
    assert server.receive_data(client.data_to_send())
    write_handshake(server, HelloRequest())
    meeting = meet(client, server)
    refused_after(client)
    assert meeting.alert_heard_by(server) == Alert.unexpected_message


def refused_after(connection: Connection) -> None:
    assert isinstance(connection.error, TLSError)
    assert (connection.error.alert, connection.error.reason) == (Alert.unexpected_message, "too_many_renegotiations")


def test_hello_requests_with_data_between_them(house: House) -> None:
    """Data shows that somebody does something useful: each is answered."""
    client, server = memory_pair(*house.configs("ecdhe"))
    for _ in range(3):
        write_handshake(server, HelloRequest())
        exchange(client, server)
        server.send_data(b"data")
        exchange(client, server)
    assert client.error is None


def test_a_second_client_hello(house: House) -> None:
    """Renegotiation injection at the server: no_renegotiation, then the end."""
    client, server = memory_pair(*house.configs("ecdhe"))
    hello = write_message(client.info.client_hello)
    write_handshake(client, hello)
    meet(client, server)
    assert server.error is None
    client.send_data(b"and on")
    assert server.receive_data(client.data_to_send())
    for _ in range(2):
        write_handshake(client, hello)
        meet(client, server)
    refused_after(server)


@pytest.mark.parametrize("side", [0, 1], ids=["client", "server"])
def test_a_renegotiation_may_end_the_connection(house: House, side: int) -> None:
    """``renegotiation_ends``: the first request is the last, and no_renegotiation is fatal."""
    configs = [replace(config, renegotiation_ends=True) for config in house.configs("ecdhe")]
    liar, honest = memory_pair(*configs)[:: 2 * side - 1]
    write_handshake(liar, HelloRequest() if side == 0 else write_message(liar.info.client_hello))
    with pytest.raises(PeerIncompatible) as caught:
        honest.receive_data(liar.data_to_send())
    assert caught.value.reason == "no_renegotiation"
    record = honest.data_to_send()
    assert liar._records.next_record(memoryview(record), 0) == (len(record), ContentType.alert, bytes((2, 100)))


def test_no_renegotiation_is_a_warning_on_the_wire(house: House) -> None:
    client, server = memory_pair(*house.configs("ecdhe"))
    write_handshake(server, HelloRequest())
    client.receive_data(server.data_to_send())
    records = server._records
    record = client.data_to_send()
    assert records.next_record(memoryview(record), 0) == (len(record), ContentType.alert, bytes((1, 100)))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_hello_request_during_the_handshake(house: House, n: int) -> None:
    """RFC 5246 section 7.4.1.1: passed over, and not in the transcript; a flood of them is not."""
    raw = Unheard(write_message(HelloRequest()))
    meeting, _, _ = house.lied_to("server", "ecdhe", Script(n, lambda message: ([raw, message], [])))
    assert meeting.completed == (True, True)
    _, honest, _ = house.lied_to("server", "ecdhe", Script(n, lambda message: ([raw, raw, message], [])))
    refused(honest, Alert.unexpected_message)


@pytest.mark.parametrize("n", [1, 2])
def test_hello_request_from_a_client(house: House, n: int) -> None:
    """Only servers say it."""
    raw = Unheard(write_message(HelloRequest()))
    _, honest, _ = house.lied_to("client", "ecdhe", Script(n, lambda message: ([raw, message], [])))
    refused(honest, Alert.unexpected_message)


@pytest.mark.parametrize("role", ["client", "server"])
def test_after_the_handshake(house: House, every_message: dict[str, bytes], role: str) -> None:
    """A table, and everything else is unexpected_message."""
    may = {"client": "HelloRequest", "server": "ClientHello"}[role]
    for name, raw in every_message.items():
        client, server = memory_pair(*house.configs("ecdhe"))
        hearing, saying = (client, server) if role == "client" else (server, client)
        write_handshake(saying, raw)
        meeting = meet(client, server)
        if name == may:
            assert hearing.error is None
            continue
        assert isinstance(hearing.error, TLSError)
        assert hearing.error.alert is Alert.unexpected_message, name
        assert meeting.alert_heard_by(saying) == Alert.unexpected_message


def test_warnings_are_counted(house: House) -> None:
    """Floods: four warning alerts, and no more without data."""
    client, server = memory_pair(*house.configs("ecdhe"))
    for n in range(5):
        write_record(server, ContentType.alert, bytes((1, 100)))
        meet(client, server)
        assert (client.error is None) is (n < 4)
    assert isinstance(client.error, TLSError)
    assert client.error.reason == "too_many_warning_alerts"


def test_tls12_after_hello_retry_request(pki: Pki) -> None:
    """RFC 8446 section 4.1.4: a server that asked for a second hello of TLS 1.3 answers it in TLS 1.3."""
    ours = pki.client_config(policy=Policy.intermediate.replace(key_shares=()))

    def age(hello: Any) -> None:
        hello.extensions.clear()
        hello.extensions.update({0x0017: None, 0xFF01: b""})
        hello.cipher_suite = 0xC02B

    client = ClientConnection(ours, server_hostname="localhost")
    meet(client, lying_server(pki.server_config(), edit(ServerHello, age)))
    refused(client, Alert.illegal_parameter, Alert.missing_extension, Alert.unexpected_message, Alert.protocol_version)
    assert client.info.version != "TLSv1.2"
