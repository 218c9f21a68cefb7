"""The engine between two sides in memory: what they agree on, data, close, keys, questions, errors, and no I/O at all."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from minitls import (
    Alert,
    AlertReceived,
    ApplicationData,
    CertificateError,
    ClientAuth,
    ClientConnection,
    Connection,
    Danger,
    HandshakeCompleted,
    KeyUpdated,
    Misuse,
    PeerCertificates,
    PeerClosed,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    Question,
    ServerConfig,
    ServerConnection,
    TicketReceived,
    TLSError,
    TruncationError,
)
from minitls.certificates.credentials import Credential
from minitls.crypto.groups import GROUPS
from minitls.crypto.suites import SUITES
from minitls.observe import Chosen, DataSeen, KeyInstalled, MessageSeen
from minitls.record.protection import MAX_PLAINTEXT, Sealing
from minitls.testing import exchange, memory_pair
from minitls.wire.codec import Extensions
from minitls.wire.messages import NewSessionTicket
from tests.conftest import Pki
from tests.liar import Meeting, meet, write_handshake

Pair = tuple[ClientConnection, ServerConnection]


@pytest.fixture
def pair(pki: Pki) -> Pair:
    return memory_pair(pki.client_config(), pki.server_config())


def data_in(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ApplicationData))


# the handshake ------------------------------------------------------------------------------------------------------------


def agree(client: Connection, server: Connection) -> None:
    """Both sides tell the same, and have the same secret."""
    assert client.handshake_completed
    assert server.handshake_completed
    for what in "version", "cipher_suite", "group", "signature_scheme", "alpn_protocol", "server_name", "hello_retry":
        assert getattr(client.info, what) == getattr(server.info, what), what
    exported = client.info.export_keying_material("EXPERIMENTAL", b"context", 32)
    assert exported == server.info.export_keying_material("EXPERIMENTAL", b"context", 32)
    assert client.info.client_hello.random == server.info.client_hello.random == client.info.client_random


def test_full_handshake(pki: Pki) -> None:
    client, server = memory_pair(pki.client_config(alpn=("h2", "http/1.1")), pki.server_config(alpn=("http/1.1",)))
    agree(client, server)
    info = client.info
    assert (info.version, info.cipher_suite, info.group) == ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768")
    assert (info.signature_scheme, info.client_signature_scheme) == ("ecdsa_secp256r1_sha256", None)
    assert (info.alpn_protocol, info.server_name, info.resumed, info.hello_retry) == ("http/1.1", "localhost", False, False)
    assert info.peer_chain == server.info.local_chain == pki.server().chain
    assert info.verified_chain[0] == info.peer_chain[0]
    assert server.info.peer_chain == ()
    assert info.timing.handshake is not None
    assert repr(client) == "<ClientConnection open>"


@pytest.mark.parametrize("suite", [suite.name for suite in SUITES.values()])
def test_every_suite(pki: Pki, suite: str) -> None:
    policy = Policy(cipher_suites=(suite,), groups=("x25519",))
    client, server = memory_pair(pki.client_config(policy=policy), pki.server_config(policy=policy))
    agree(client, server)
    assert client.info.cipher_suite == suite
    client.send_data(bytes(100_000))
    assert data_in(exchange(client, server)[1]) == bytes(100_000)


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("group", [group.name for group in GROUPS.values()])
def test_every_group(pki: Pki, group: str, retry: bool) -> None:
    """With a share in the first hello, and with one in the second."""
    ours = Policy(groups=(group,), key_shares=() if retry else None)
    client, server = memory_pair(pki.client_config(policy=ours), pki.server_config(policy=Policy(groups=tuple(GROUPS))))
    agree(client, server)
    assert (client.info.group, client.info.hello_retry) == (group, retry)


@pytest.mark.parametrize("key", ["p256", "p384", "p521", "rsa2048", "ed25519", "ed448", "mldsa44", "mldsa65", "mldsa87"])
def test_every_kind_of_key_on_both_sides(pki: Pki, key: str) -> None:
    policy = Policy(groups=("x25519",))
    client, server = memory_pair(
        pki.client_config(policy=policy, credential=pki.client(key)),
        pki.server_config(policy=policy, credentials=(pki.server(key),), client_auth=ClientAuth.require, trust=pki.trust),
    )
    agree(client, server)
    assert client.info.signature_scheme == client.info.client_signature_scheme == server.info.client_signature_scheme
    assert server.info.peer_chain == pki.client(key).chain
    assert server.info.verified_chain


@pytest.mark.parametrize("cookie", [False, True])
@pytest.mark.parametrize("key_shares", [(), ("secp521r1",)])
def test_hello_retry(pki: Pki, cookie: bool, key_shares: tuple[str, ...]) -> None:
    policy = Policy(groups=("x25519", "secp521r1"), key_shares=key_shares)
    ours = pki.server_config(policy=Policy(groups=("x25519",)), send_cookie=cookie)
    client, server = memory_pair(pki.client_config(policy=policy), ours)
    agree(client, server)
    assert client.info.hello_retry


def test_cookie_without_another_share(pki: Pki) -> None:
    client, server = memory_pair(pki.client_config(), pki.server_config(send_cookie=True))
    agree(client, server)
    assert client.info.hello_retry
    assert client.info.client_hello.extensions.get(44) is None  # info has the first hello


@pytest.mark.parametrize("grease", [False, True])
@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "127.0.0.1", "::1", "[::1]"])
def test_names(pki: Pki, grease: bool, name: str) -> None:
    """Addresses are verified and never sent (RFC 6066 section 3)."""
    _, server = memory_pair(pki.client_config(grease=grease), pki.server_config(), name)
    assert server.info.server_name == ("localhost" if name.lower().startswith("local") else None)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_who_used_the_server_name(pki: Pki, version: str) -> None:
    """RFC 6066 section 3: the server says so where the name led to the certificate, by what is in it or by the application."""
    policy = Policy.intermediate.replace(versions=(version,))
    other = pki.issue("other.example").credential()
    for select, credential, used in (
        (None, pki.server(), True),
        (None, other, False),
        (lambda hello: other, other, True),
        (lambda hello: None, other, False),
    ):
        client_config = pki.client_config(policy=policy, verify=Danger.accept_any_name)
        client, server = memory_pair(client_config, pki.server_config(credentials=(credential,), select_credential=select))
        assert (client.info.server_name_used, server.info.server_name_used) == (used, used)


def test_client_declines(pki: Pki) -> None:
    client, server = memory_pair(pki.client_config(), pki.server_config(client_auth=ClientAuth.request, trust=pki.trust))
    agree(client, server)
    assert server.info.peer_chain == ()
    assert server.info.client_signature_scheme is None


def test_client_certificate_that_the_server_cannot_verify(pki: Pki) -> None:
    """RFC 8446 section 4.4.2.3: the client declines where none of its schemes is accepted."""
    theirs = Policy(signature_schemes=("ecdsa_secp256r1_sha256",))
    config = pki.server_config(policy=theirs, client_auth=ClientAuth.request, trust=pki.trust)
    client, server = memory_pair(pki.client_config(credential=pki.client("ed25519")), config)
    agree(client, server)
    assert server.info.peer_chain == ()


def test_accept_any_certificate(pki: Pki) -> None:
    """The one Danger: who the peer is, is not known; that it has the key to what it shows, is."""
    client, server = memory_pair(
        pki.client_config(verify=Danger.accept_any_certificate, credential=pki.self_signed),
        pki.server_config(credentials=(pki.self_signed,), client_auth=ClientAuth.require, verify=Danger.accept_any_certificate),
        None,
    )
    agree(client, server)
    assert client.info.verified_chain == server.info.verified_chain == ()
    assert client.info.peer_chain == server.info.peer_chain == pki.self_signed.chain


def test_certificate_authorities(pki: Pki) -> None:
    """RFC 8446 section 4.2.4: the client names its roots, and the server has a certificate by one of them."""
    stranger = pki.strangers.issue("localhost").credential()
    config = pki.server_config(credentials=(stranger, pki.server()))
    with pytest.raises(CertificateError):
        memory_pair(pki.client_config(), config)
    client, _ = memory_pair(pki.client_config(send_certificate_authorities=True), config)
    assert client.info.peer_chain == pki.server().chain


# what the application is asked --------------------------------------------------------------------------------------------


async def later(value: Any) -> Any:
    return value


def finish(meeting: Meeting, answer: Callable[[Question], Any]) -> list[str]:
    """Answer questions until there are none; gives their names in order."""
    asked = []
    while question := meeting.client.question or meeting.server.question:
        side, events = (
            (meeting.client, meeting.client_events) if meeting.client.question else (meeting.server, meeting.server_events)
        )
        asked.append(question.name)
        events += side.answer(question, answer(question))
        more = meet(meeting.client, meeting.server)
        meeting.client_events += more.client_events
        meeting.server_events += more.server_events
    return asked


def run_now(question: Question) -> Any:
    """What an event loop would do."""
    coroutine: Any = question.awaitable
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


def test_every_answer_may_be_awaited(pki: Pki) -> None:
    def remote(credential: Credential) -> Credential:
        return Credential(credential.chain, signer=lambda scheme, data: later(credential.sign(scheme, data)))

    async def verify(certificates: PeerCertificates) -> None:
        assert certificates.path

    async def select(hello: Any) -> Any:
        return remote(pki.server()) if hello.server_name == "localhost" else None

    client = ClientConnection(pki.client_config(verify=verify, credential=remote(pki.client())), server_hostname="localhost")
    server = ServerConnection(
        ServerConfig(select_credential=select, verify=verify, trust=pki.trust, client_auth=ClientAuth.require)
    )
    meeting = meet(client, server)
    assert sorted(finish(meeting, run_now)) == ["select", "sign", "sign", "verify", "verify"]
    agree(client, server)
    kinds = [type(event) for event in meeting.client_events]
    assert kinds == [Question, Question, HandshakeCompleted]


def test_while_a_question_is_open_nothing_moves(pki: Pki) -> None:
    async def verify(certificates: PeerCertificates) -> None: ...

    client = ClientConnection(pki.client_config(verify=verify), server_hostname="localhost")
    server = ServerConnection(pki.server_config())
    server.receive_data(client.data_to_send())
    flight = server.data_to_send()
    (question,) = client.receive_data(flight)
    assert isinstance(question, Question)
    assert (question.name, client.question) == ("verify", question)
    assert isinstance(question.args[0], PeerCertificates)
    assert client.receive_data(b"more") == []
    assert client.receive_data(b", and more") == []
    assert client.partial == b"more, and more"
    assert not client.handshake_completed
    with pytest.raises(Misuse, match="before the handshake"):
        client.send_data(b"early")
    events = client.answer(question, None)
    assert [type(event) for event in events] == [HandshakeCompleted]  # nothing is lost to the garbage behind it
    with pytest.raises(PeerMisbehaved):
        client.receive_data(b"")
    with pytest.raises(Misuse, match="not open"):
        client.answer(question, None)


def test_an_answer_that_is_an_error(pki: Pki) -> None:
    async def verify(certificates: PeerCertificates) -> None: ...

    client = ClientConnection(pki.client_config(verify=verify), server_hostname="localhost")
    server = ServerConnection(pki.server_config())
    meeting = meet(client, server)
    assert client.question is not None
    refusal = CertificateError(Alert.certificate_revoked, "revoked last night")
    with pytest.raises(CertificateError) as caught:
        client.answer_error(client.question, refusal)
    assert caught.value is refusal is client.error
    meet(client, server)
    assert meeting.alert_heard_by(server) == Alert.certificate_revoked


def test_a_hook_with_a_bug(pki: Pki) -> None:
    """What is no TLSError is passed through, and the peer hears internal_error (RFC 8446 section 6.2)."""

    def select(hello: Any) -> Any:
        raise ZeroDivisionError("oops")

    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    server = ServerConnection(ServerConfig(select_credential=select))
    with pytest.raises(ZeroDivisionError, match="oops"):
        server.receive_data(client.data_to_send())
    with pytest.raises(AlertReceived) as caught:
        client.receive_data(server.data_to_send())
    assert caught.value.alert is Alert.internal_error


def test_an_observer_with_a_bug(pki: Pki) -> None:
    def observer(seen: object) -> None:
        if isinstance(seen, MessageSeen) and not seen.sent:
            raise KeyError("oops")

    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    server = ServerConnection(pki.server_config(observer=observer))
    with pytest.raises(KeyError):
        server.receive_data(client.data_to_send())
    assert isinstance(server.error, KeyError)


def test_select_credential(pki: Pki) -> None:
    """Asked first; None means: ours."""
    special = pki.server("p256", "special.example")

    def select(hello: Any) -> Any:
        return special if hello.server_name == "special.example" else None

    config = pki.server_config(select_credential=select)
    assert memory_pair(pki.client_config(), config)[0].info.peer_chain == pki.server().chain
    assert memory_pair(pki.client_config(), config, "special.example")[0].info.peer_chain == special.chain
    with pytest.raises(PeerIncompatible) as caught:
        memory_pair(pki.client_config(), ServerConfig(select_credential=select))
    assert (caught.value.alert, caught.value.reason) == (Alert.unrecognized_name, "unrecognized_name")


# data ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 100, MAX_PLAINTEXT, MAX_PLAINTEXT + 1, 1_000_000])
@pytest.mark.parametrize("padding", [0, 1000])
def test_data_both_ways(pki: Pki, size: int, padding: int) -> None:
    client, server = memory_pair(pki.client_config(record_padding=padding), pki.server_config(record_padding=padding))
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    client.send_data(data)
    server.send_data(memoryview(data))
    to_client, to_server = exchange(client, server)
    assert data_in(to_client) == data_in(to_server) == data


def test_padding_hides_sizes(pki: Pki) -> None:
    client, _ = memory_pair(pki.client_config(record_padding=512), pki.server_config())
    sizes = set()
    for size in (1, 5, 100, 400):
        client.send_data(bytes(size))
        sizes.add(len(client.data_to_send()))
    assert sizes == {5 + 512 + 16}


def test_nothing_is_sent_as_nothing(pair: Pair) -> None:
    pair[0].send_data(b"")
    assert pair[0].data_to_send() == b""
    assert pair[1].receive_data(b"") == []


def test_a_batch_is_one_event(pair: Pair) -> None:
    for n in range(10):
        pair[0].send_data(bytes((n,)))
    assert pair[1].receive_data(pair[0].data_to_send()) == [ApplicationData(bytes(range(10)))]


def test_partial_records_wait(pair: Pair) -> None:
    pair[0].send_data(b"hello")
    record = pair[0].data_to_send()
    assert pair[1].receive_data(record[:10]) == []
    assert pair[1].partial == record[:10]
    assert pair[1].receive_data(record[10:]) == [ApplicationData(b"hello")]
    assert pair[1].partial == b""


# close --------------------------------------------------------------------------------------------------------------------


def test_half_close(pair: Pair) -> None:
    """RFC 8446 section 6.1: close_notify ends one direction; the other goes on."""
    client, server = pair
    client.send_data(b"that is all")
    client.close()
    client.close()
    assert server.receive_data(client.data_to_send()) == [ApplicationData(b"that is all"), PeerClosed()]
    assert server.peer_closed
    assert client.write_closed
    with pytest.raises(Misuse, match="closed for writing"):
        client.send_data(b"no, wait")
    with pytest.raises(Misuse):
        client.update_keys()
    server.send_data(b"still here")
    server.close()
    assert client.receive_data(server.data_to_send()) == [ApplicationData(b"still here"), PeerClosed()]
    assert client.receive_eof() == server.receive_eof() == []
    assert repr(client) == "<ClientConnection closed>"


def test_what_follows_close_notify_is_ignored(pair: Pair) -> None:
    """RFC 8446 section 6.1: data, alerts, nonsense."""
    client, server = pair
    client.close()
    bytes_after = client.data_to_send() + b"\x17\x03\x03\x00\x05hello" + b"GET / HTTP/1.1\r\n"
    assert server.receive_data(bytes_after) == [PeerClosed()]
    assert server.receive_data(b"\x15\x03\x03\x00\x02\x02\x28") == []
    assert server.error is None
    assert server.receive_eof() == []


def test_truncation(pair: Pair) -> None:
    """RFC 8446 section 6.1: an end without close_notify is no end of data."""
    with pytest.raises(TruncationError) as caught:
        pair[0].receive_eof()
    assert (caught.value.reason, caught.value.rule, caught.value.alert) == ("unexpected_eof", "RFC 8446 6.1", None)
    with pytest.raises(TruncationError):
        pair[0].receive_data(b"")
    with pytest.raises(Misuse):
        pair[0].send_data(b"x")


def test_truncated_handshake(pki: Pki) -> None:
    for connection in ClientConnection(pki.client_config(), server_hostname="localhost"), ServerConnection(pki.server_config()):
        with pytest.raises(TruncationError, match="during the handshake"):
            connection.receive_eof()
        with pytest.raises(TruncationError):
            connection.receive_eof()


def test_cancel_the_handshake(pki: Pki) -> None:
    """RFC 8446 section 6.1: user_canceled, then close_notify."""
    client, server = ClientConnection(pki.client_config(), server_hostname="localhost"), ServerConnection(pki.server_config())
    client.close()
    meeting = meet(client, server)
    assert isinstance(client.error, Misuse)
    assert meeting.alert_heard_by(server) == Alert.close_notify
    assert repr(client) == "<ClientConnection failed>"


def test_user_canceled_alone_is_passed_over(pair: Pair) -> None:
    """RFC 9846 section 6.1: and reading goes on to close_notify."""
    client, server = pair
    client._send_alert(Alert.user_canceled)
    client.send_data(b"anyway")
    client.close()
    assert server.receive_data(client.data_to_send()) == [ApplicationData(b"anyway"), PeerClosed()]


@pytest.mark.parametrize("code", [0x50, 0x28, 100, 117, 200])
@pytest.mark.parametrize("level", [1, 2, 77])
def test_fatal_alerts(pair: Pair, code: int, level: int) -> None:
    """RFC 8446 section 6: fatal whatever the level, known or not; nothing is answered."""
    client, server = pair
    client._output.append(client._records.write(21, bytes((level, code))))
    with pytest.raises(AlertReceived) as caught:
        server.receive_data(client.data_to_send())
    assert caught.value.code == code
    assert caught.value.alert == (Alert(code) if code != 200 else None)
    assert caught.value.reason == (Alert(code).name if code != 200 else "alert 200")
    assert server.data_to_send() == b""
    assert server.write_closed


@pytest.mark.parametrize("alert", [Alert.access_denied, Alert.internal_error, Alert.decompression_failure])
def test_an_alert_of_the_applications_choice(pair: Pair, alert: Alert) -> None:
    """RFC 8446 section 6.2: behind what was said before it, and nothing comes after it."""
    client, server = pair
    server.send_data(b"no more than this")
    server.fail(alert)
    server.fail(Alert.handshake_failure)
    assert (server.error.alert, server.error.reason) == (alert, alert.name)  # type: ignore[union-attr]
    with pytest.raises(Misuse, match="closed for writing"):
        server.send_data(b"or this")
    assert client.receive_data(server.data_to_send()) == [ApplicationData(b"no more than this")]
    assert isinstance(client.error, AlertReceived)
    assert client.error.alert is alert
    client.abort(client.error)
    with pytest.raises(TLSError, match="the application ended the connection"):
        server.receive_data(b"")


def test_an_alert_of_the_applications_choice_in_the_handshake(pki: Pki) -> None:
    client, server = ClientConnection(pki.client_config(), server_hostname="localhost"), ServerConnection(pki.server_config())
    server.receive_data(client.data_to_send())
    server.fail(Alert.access_denied)
    client.receive_data(server.data_to_send())
    assert isinstance(client.error, AlertReceived)
    assert client.error.alert is Alert.access_denied
    assert not server.handshake_completed


@pytest.mark.parametrize("alert", [Alert.close_notify, Alert.user_canceled])
def test_alerts_that_are_no_failure(pair: Pair, alert: Alert) -> None:
    with pytest.raises(Misuse, match="no fatal alert"):
        pair[0].fail(alert)
    assert pair[0].data_to_send() == b""


# keys ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [0, 1])
def test_key_update(pair: Pair, side: int) -> None:
    """RFC 8446 section 4.6.3: ours alone, and theirs too on request."""
    ours, theirs = pair[side], pair[1 - side]
    ours.update_keys()
    ours.send_data(b"one")
    assert theirs.receive_data(ours.data_to_send()) == [KeyUpdated(False), ApplicationData(b"one")]
    assert theirs.data_to_send() == b""
    ours.update_keys(request_peer=True)
    assert theirs.receive_data(ours.data_to_send()) == [KeyUpdated(True)]
    theirs.send_data(b"two")
    assert ours.receive_data(theirs.data_to_send()) == [KeyUpdated(False), ApplicationData(b"two")]


def test_requests_are_answered_once(pair: Pair) -> None:
    """RFC 8446 section 4.6.3: several that came while we were silent get one answer, when we have something to say."""
    client, server = pair
    for _ in range(5):
        client._update_asked = False
        client.update_keys(request_peer=True)
        assert server.receive_data(client.data_to_send()) == [KeyUpdated(True)]
        assert server.data_to_send() == b""
    for answer in ([KeyUpdated(False), ApplicationData(b"one")], [ApplicationData(b"two")]):
        server.send_data(answer[-1].data)
        assert client.receive_data(server.data_to_send()) == answer


def test_our_own_update_is_the_answer(pair: Pair) -> None:
    """RFC 8446 section 4.6.3: one update_not_requested before the next data is what was asked for."""
    client, server = pair
    client.update_keys(request_peer=True)
    server.receive_data(client.data_to_send())
    server.update_keys()
    server.send_data(b"one")
    assert client.receive_data(server.data_to_send()) == [KeyUpdated(False), ApplicationData(b"one")]


def test_we_ask_once_until_we_are_answered(pair: Pair) -> None:
    """RFC 9846 section 4.6.3."""
    client, server = pair
    for _ in range(3):
        client.update_keys(request_peer=True)
    assert server.receive_data(client.data_to_send()) == [KeyUpdated(True), KeyUpdated(False), KeyUpdated(False)]
    server.send_data(b"answered")
    client.receive_data(server.data_to_send())
    client.update_keys(request_peer=True)
    assert server.receive_data(client.data_to_send()) == [KeyUpdated(True)]


def test_requests_that_cross(pair: Pair) -> None:
    """RFC 8446 section 4.6.3: each side then goes two generations on."""
    for side in pair:
        side.update_keys(request_peer=True)
    exchange(*pair)
    for side in pair:
        side.send_data(b"so be it")
    exchange(*pair)
    for side in pair:
        assert side._records.sealing is not None
        assert side._records.sealing.name.endswith("_2")


def test_keys_are_updated_before_their_limit(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8446 section 5.5: by ourselves, with the last record that the key may seal."""
    limits: list[int] = []
    monkeypatch.setattr(Sealing, "records_left", lambda self: 4 - self._sequence)
    real = Sealing.updated_secret
    monkeypatch.setattr(Sealing, "updated_secret", lambda self: (limits.append(self._sequence), real(self))[1])
    client, server = memory_pair(pki.client_config(), pki.server_config())
    for size in (3 * MAX_PLAINTEXT, 10 * MAX_PLAINTEXT, 1, 1, 1, 1, 1):
        client.send_data(bytes(size))
    events = exchange(client, server)[1]
    assert data_in(events) == bytes(13 * MAX_PLAINTEXT + 5)
    assert sum(isinstance(event, KeyUpdated) for event in events) == len(limits) == 5
    assert set(limits) == {4}


def test_key_log(pki: Pki) -> None:
    """RFC 9850: both sides write the same lines."""
    lines: tuple[list[str], list[str]] = ([], [])
    client, server = memory_pair(pki.client_config(key_log=lines[0].append), pki.server_config(key_log=lines[1].append))
    client.update_keys()
    exchange(client, server)
    assert sorted(lines[0]) == sorted(lines[1])
    assert [line.split()[0] for line in sorted(lines[0])] == [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "CLIENT_TRAFFIC_SECRET_1",
        "EXPORTER_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
    ]
    assert {line.split()[1] for line in lines[0]} == {client.info.client_random.hex()}


def test_key_log_file(pki: Pki, tmp_path: Any) -> None:
    file = tmp_path / "keys"
    memory_pair(pki.client_config(key_log=str(file)), pki.server_config())
    assert len(file.read_text().splitlines()) == 5
    assert file.stat().st_mode & 0o777 == 0o600


def test_tickets_are_handed_up(pair: Pair) -> None:
    """RFC 8446 section 4.6.1."""
    ticket = NewSessionTicket(60, 1, b"n", b"ticket", Extensions({42: 1000, 0x0A0A: b""}))
    write_handshake(pair[1], ticket)
    (event,) = pair[0].receive_data(pair[1].data_to_send())
    assert isinstance(event, TicketReceived)
    assert event.ticket == ticket


def test_exporters_and_bindings(pair: Pair, pki: Pki) -> None:
    client, server = pair[0].info, pair[1].info
    for kind in "tls-exporter", "tls-server-end-point":
        assert client.channel_binding(kind) == server.channel_binding(kind)
    assert client.export_keying_material("one", b"", 16) != client.export_keying_material("two", b"", 16)
    for kind in "tls-unique", "tls-nonsense":
        with pytest.raises(Misuse):
            client.channel_binding(kind)
    unfinished = ClientConnection(pki.client_config(), server_hostname="localhost").info
    with pytest.raises(Misuse, match="once the handshake is complete"):
        unfinished.export_keying_material("one", b"", 16)
    with pytest.raises(Misuse, match="there was none"):
        unfinished.channel_binding("tls-server-end-point")


def test_traffic_keys(pair: Pair, pki: Pki) -> None:
    """Who has one side's can read and write in its place: here a record that the engine never made."""
    client, server = pair
    client.send_data(b"one record")
    server.receive_data(client.data_to_send())
    client.update_keys()
    client.send_data(b"and two")
    server.receive_data(client.data_to_send())
    received, sent = client.traffic_keys()
    assert server.traffic_keys() == (sent, received)
    assert (sent.cipher_suite, sent.sequence, received.sequence) == (client.info.cipher_suite, 1, 0)
    assert sent.key.hex() not in repr(sent)
    nonce = (int.from_bytes(sent.iv, "big") ^ sent.sequence).to_bytes(12, "big")
    plain, header = b"by another hand\x17", b"\x17\x03\x03\x00\x20"
    assert server.receive_data(header + AESGCM(sent.key).encrypt(nonce, plain, header)) == [ApplicationData(plain[:-1])]
    unfinished = ClientConnection(pki.client_config(), server_hostname="localhost")
    policy = Policy.intermediate.replace(versions=("TLSv1.2",))
    older = memory_pair(pki.client_config(policy=policy), pki.server_config(policy=policy))[0]
    for without in unfinished, older:
        with pytest.raises(Misuse, match="traffic keys"):
            without.traffic_keys()


# what is told, what is kept -----------------------------------------------------------------------------------------------


def test_observations(pki: Pki) -> None:
    """In order, with the key that protects each message; times by the configuration's clock."""
    clock = iter(range(1_000_000_000, 2_000_000_000)).__next__
    seen: list[Any] = []
    config = pki.client_config(observer=seen.append, clock=lambda: 1_900_000_000.0 + clock() % 1000)
    now = pki.server().leaf.not_valid_before_utc.timestamp() + 3600
    config = dataclasses.replace(config, clock=lambda: now + clock() % 1000)
    client, _ = memory_pair(config, pki.server_config())
    client.send_data(b"hello")
    messages = [(type(o.message).__name__, o.sent, o.key) for o in seen if isinstance(o, MessageSeen)]
    assert messages == [
        ("ClientHello", True, ""),
        ("ServerHello", False, ""),
        *((kind, False, "SERVER_HANDSHAKE_TRAFFIC_SECRET")
          for kind in ("EncryptedExtensions", "Certificate", "CertificateVerify", "Finished")),
        ("Finished", True, "CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
    ]  # fmt: skip
    assert [(o.key, o.sent) for o in seen if isinstance(o, KeyInstalled)] == [
        ("SERVER_HANDSHAKE_TRAFFIC_SECRET", False),
        ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", True),
        ("SERVER_TRAFFIC_SECRET_0", False),
        ("CLIENT_TRAFFIC_SECRET_0", True),
    ]
    assert [o.size for o in seen if isinstance(o, DataSeen)] == [5]
    assert [o.at for o in seen] == sorted(o.at for o in seen)
    assert all(o.message.raw for o in seen if isinstance(o, MessageSeen))


def test_choices_are_told_with_reasons(pki: Pki) -> None:
    seen: list[Any] = []
    memory_pair(pki.client_config(), pki.server_config(observer=seen.append))
    assert [(o.what, o.value) for o in seen if isinstance(o, Chosen)] == [
        ("cipher_suite", "TLS_AES_128_GCM_SHA256"),
        ("group", "X25519MLKEM768"),
        ("certificate", "ecdsa_secp256r1_sha256"),
    ]
    assert all(o.why for o in seen if isinstance(o, Chosen))


@pytest.mark.parametrize("fail", [False, True])
def test_the_handshake_leaves_no_garbage(pki: Pki, fail: bool) -> None:
    """Flow, transcript and shares go when it is over, without the help of the collector."""
    client, server = ClientConnection(pki.client_config(), server_hostname="localhost"), ServerConnection(pki.server_config())
    kept = [weakref.ref(side._handshake._flow) for side in (client, server) if side._handshake is not None]
    gc.collect()
    gc.disable()
    try:
        if fail:
            client.abort(OSError("gone"))
            server.abort(OSError("gone"))
            del client, server
        else:
            meet(client, server)
            assert client.handshake_completed
        assert [ref() for ref in kept] == [None, None]
    finally:
        gc.enable()


def test_errors_stay(pair: Pair) -> None:
    """After a fault every call says the same, and nothing more is sent than its alert."""
    with pytest.raises(PeerMisbehaved) as first:
        pair[0].receive_data(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(PeerMisbehaved) as again:
        pair[0].receive_data(b"")
    assert first.value is again.value is pair[0].error
    assert pair[0].data_to_send()
    assert pair[0].data_to_send() == b""
    with pytest.raises(Misuse):
        pair[0].send_data(b"x")


def test_what_came_before_a_fault_is_given(pair: Pair) -> None:
    pair[0].send_data(b"good")
    events = pair[1].receive_data(pair[0].data_to_send() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert events == [ApplicationData(b"good")]
    with pytest.raises(PeerMisbehaved):
        pair[1].receive_data(b"")


# misuse -------------------------------------------------------------------------------------------------------------------


def test_a_client_needs_a_name(pki: Pki) -> None:
    with pytest.raises(Misuse, match="server_hostname is needed"):
        ClientConnection(pki.client_config(), server_hostname=None)
    for name in "", "a..b", "bad_name", "a" * 300, "-x.example":
        with pytest.raises(Misuse, match="no host name"):
            ClientConnection(pki.client_config(), server_hostname=name)
