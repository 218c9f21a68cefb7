"""Post-handshake client authentication (RFC 8446 section 4.6.2), both roles: what is agreed, what may come between, every lie."""

from __future__ import annotations

import copy
import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

import minitls.connection
from minitls import (
    Alert,
    ApplicationData,
    CertificateError,
    ClientAuth,
    ClientAuthenticated,
    ClientConnection,
    ClientDeclined,
    Connection,
    Danger,
    ExternalPsk,
    KeyUpdated,
    Misuse,
    PeerCertificates,
    PeerClosed,
    Policy,
    Question,
    ServerConnection,
    TicketReceived,
)
from minitls.certificates.credentials import Credential
from minitls.observe import MessageSeen
from minitls.sessions.store import MemoryStore
from minitls.testing import exchange, memory_pair
from minitls.wire.codec import Extensions
from minitls.wire.hello import Message
from minitls.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    CompressedCertificate,
    Finished,
    KeyUpdate,
    NewSessionTicket,
    write_message,
)
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import Cut, Lie, LyingDriver, Meeting, Record, Said, Unheard, edit, hear, instead, meet, truth, write_handshake

Pair = tuple[ClientConnection, ServerConnection]
Fields = dict[str, Any]
QUICK = Policy(groups=("x25519",))
WARNING = b"\x01\x5a"
"""user_canceled, which is passed over."""


def configs(pki: Pki, client: Fields | None = None, server: Fields | None = None) -> tuple[Any, Any]:
    """Both allow it, and the client has a certificate."""
    ours = {"policy": QUICK, "post_handshake_auth": True, "credential": pki.client(), **(client or {})}
    theirs = {"policy": QUICK, "post_handshake_auth": True, "trust": pki.trust, **(server or {})}
    return pki.client_config(**ours), pki.server_config(**theirs)


def ready(pki: Pki, client: Fields | None = None, server: Fields | None = None) -> Pair:
    """After the handshake."""
    return memory_pair(*configs(pki, client, server))


@pytest.fixture
def pair(pki: Pki) -> Pair:
    return ready(pki)


def ask(pair: Pair) -> tuple[list[Any], list[Any]]:
    """The server asks, the client answers.  Gives the events of each."""
    pair[1].request_client_certificate()
    return exchange(*pair)


def check(pair: Pair, credential: Credential) -> None:
    """The client is who it says, to both; and data flows."""
    client, server = pair
    assert server.info.peer_chain == client.info.local_chain == credential.chain
    assert server.info.client_signature_scheme == client.info.client_signature_scheme
    assert server.info.client_signature_scheme is not None
    works(pair)


def works(pair: Pair) -> None:
    for side in pair:
        side.send_data(b"still here")
        side.update_keys(request_peer=True)
        side.send_data(b"and here")
    for events in exchange(*pair):
        assert b"".join(event.data for event in events if isinstance(event, ApplicationData)) == b"still hereand here"


@contextmanager
def lying_later(lie: Lie, cut: Cut | None = None) -> Iterator[None]:
    """Whoever begins a post-handshake authentication meanwhile lies in it."""
    with mock.patch.object(minitls.connection, "Driver", lambda *args: LyingDriver(lie, cut, *args)):
        yield


def lied_to(pair: Pair, lie: Lie) -> Meeting:
    """The server asks, the client lies."""
    pair[1].request_client_certificate()
    with lying_later(lie):
        return meet(*pair)


def refused(meeting: Meeting, alert: Alert, reason: str, rule: str | None = None) -> None:
    """The server has, and the client has heard of it."""
    error = meeting.server_error
    assert (error.alert, error.reason) == (alert, reason)
    assert rule is None or error.rule == f"RFC 8446 {rule}"
    assert meeting.alert_heard_by(meeting.client) == alert
    assert meeting.server.info.peer_chain == ()
    assert meeting.server.info.client_signature_scheme is None
    assert not any(isinstance(event, (ClientAuthenticated, ClientDeclined)) for event in meeting.server_events)


# what it comes to ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["p256", "p384", "p521", "rsa2048", "ed25519", "ed448", "mldsa44", "mldsa65", "mldsa87"])
def test_every_kind_of_key(pki: Pki, key: str) -> None:
    pair = ready(pki, {"credential": pki.client(key)})
    client, server = pair
    assert not server.info.peer_chain
    authenticated = server.info.authenticated
    client_events, server_events = ask(pair)
    assert (client_events, server_events) == ([ClientAuthenticated(client.info)], [ClientAuthenticated(server.info)])
    check(pair, pki.client(key))
    assert server.info.verified_chain[0] == server.info.peer_chain[0]
    assert len(server.info.verified_chain) > 1
    assert client.info.peer_chain == pki.server().chain  # the server is who it was
    assert server.info.local_chain == pki.server().chain
    assert server.info.authenticated == authenticated  # by which sessions age


@pytest.mark.parametrize("suite", ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
@pytest.mark.parametrize("retry", [False, True])
def test_other_transcripts(pki: Pki, suite: str, retry: bool) -> None:
    """Of another hash, and with two hellos."""
    policy = Policy(groups=("x25519",), cipher_suites=(suite,), key_shares=() if retry else None)
    pair = ready(pki, {"policy": policy})
    assert (pair[0].info.cipher_suite, pair[0].info.hello_retry) == (suite, retry)
    ask(pair)
    check(pair, pki.client())


def test_many_times(pki: Pki, pair: Pair) -> None:
    """Each with a context of its own, and in a transcript of its own: none knows of the one before."""
    seen: list[MessageSeen] = []
    pair = ready(pki, {"observer": lambda each: seen.append(each) if isinstance(each, MessageSeen) else None})
    for _ in range(4):
        assert len(ask(pair)[1]) == 1
    works(pair)
    for _ in range(4):
        ask(pair)
    check(pair, pki.client())
    contexts = [each.message.certificate_request_context for each in seen if isinstance(each.message, CertificateRequest)]
    assert len(contexts) == len(set(contexts)) == 8
    assert {len(context) for context in contexts} == {32}


def test_the_client_declines(pki: Pki) -> None:
    pair = ready(pki, {"credential": None})
    assert ask(pair) == ([ClientDeclined(pair[0].info)], [ClientDeclined(pair[1].info)])
    assert pair[1].info.peer_chain == ()
    assert pair[0].info.client_signature_scheme is pair[1].info.client_signature_scheme is None
    works(pair)


def test_the_server_cannot_verify_the_key(pki: Pki) -> None:
    theirs = Policy(groups=("x25519",), signature_schemes=("ecdsa_secp256r1_sha256",))
    pair = ready(pki, {"credential": pki.client("ed25519")}, {"policy": theirs})
    assert ask(pair)[1] == [ClientDeclined(pair[1].info)]


def decline(message: Message) -> list[Said]:
    if isinstance(message, CertificateVerify):
        return []
    return [Certificate(message.certificate_request_context, ())] if isinstance(message, Certificate) else [message]


def test_who_declines_is_who_it_was(pki: Pki) -> None:
    """It had a certificate in the handshake."""
    pair = ready(pki, server={"client_auth": ClientAuth.request})
    check(pair, pki.client())
    assert lied_to(pair, decline).server_events == [ClientDeclined(pair[1].info)]
    check(pair, pki.client())


def test_a_certificate_is_required(pki: Pki) -> None:
    pair = ready(pki, server={"client_auth": ClientAuth.require})
    ask(pair)
    check(pair, pki.client())
    meeting = lied_to(pair, decline)
    assert (meeting.server_error.alert, meeting.server_error.rule) == (Alert.certificate_required, "RFC 8446 4.4.2.4")
    assert meeting.alert_heard_by(pair[0]) == Alert.certificate_required


def test_the_client_becomes_somebody_else(pki: Pki) -> None:
    pair = ready(pki, server={"client_auth": ClientAuth.require})
    pair[0]._config = dataclasses.replace(pair[0]._config, credential=pki.client("ed25519"))  # type: ignore[arg-type]
    ask(pair)
    check(pair, pki.client("ed25519"))
    assert pair[1].info.client_signature_scheme == "ed25519"


def test_any_certificate(pki: Pki) -> None:
    server = {"trust": None, "verify": Danger.accept_any_certificate}
    pair = ready(pki, {"credential": pki.self_signed}, server)
    ask(pair)
    check(pair, pki.self_signed)
    assert pair[1].info.verified_chain == ()


@pytest.mark.parametrize("how", ["zlib", "brotli", "zstd"])
def test_compressed(pki: Pki, how: str) -> None:
    seen: list[str] = []
    pair = ready(pki, server={"certificate_compression": (how,), "observer": lambda each: seen.append(kind_of(each))})
    ask(pair)
    answer = ["CertificateRequest", "CompressedCertificate", "CertificateVerify", "Finished"]
    assert [kind for kind in seen if kind][-4:] == answer
    check(pair, pki.client())


def kind_of(seen: Any) -> str:
    return type(seen.message).__name__ if isinstance(seen, MessageSeen) else ""


def test_what_is_asked(pki: Pki) -> None:
    """The request says what any does, and the answer stands in one record."""
    seen: list[Any] = []
    pair = ready(pki, {"observer": seen.append})
    pair[1].request_client_certificate()
    pair[0].receive_data(pair[1].data_to_send())
    request = next(each.message for each in seen if kind_of(each) == "CertificateRequest")
    assert request.extensions[X.certificate_authorities] == pki.trust.subjects
    answer = pair[0].data_to_send()
    assert len(answer) == 5 + int.from_bytes(answer[3:5], "big")
    assert [(kind_of(each), each.key) for each in seen if kind_of(each) in ("CertificateRequest", "CertificateVerify")][1:] == [
        ("CertificateRequest", "SERVER_TRAFFIC_SECRET_0"),
        ("CertificateVerify", "CLIENT_TRAFFIC_SECRET_0"),
    ]


# what comes between -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [(1, 0), (0, 1), (2, 3)])
def test_after_key_updates(pair: Pair, pki: Pki, ours: int, theirs: int) -> None:
    """Finished is made from the secret that the client writes under by then."""
    for side, times in zip(pair, (ours, theirs), strict=True):
        for _ in range(times):
            side.update_keys()
            exchange(*pair)
    ask(pair)
    check(pair, pki.client())


def test_between_request_and_answer(pair: Pair, pki: Pki) -> None:
    """Data and keys go on both ways until the client begins to answer; and behind its answer."""
    client, server = pair
    server.request_client_certificate()
    server.send_data(b"behind the request")
    server.send_ticket()
    server.update_keys(request_peer=True)
    client.send_data(b"before")
    client.update_keys(request_peer=True)
    client.send_data(b"the answer")
    to_server = client.data_to_send()
    assert server.receive_data(to_server) == [ApplicationData(b"before"), KeyUpdated(True), ApplicationData(b"the answer")]
    assert server.info.peer_chain == ()
    events = client.receive_data(server.data_to_send())
    expected = [ClientAuthenticated, ApplicationData, TicketReceived, KeyUpdated]
    assert [type(event) for event in events] == expected
    client.send_data(b"behind it")
    events = server.receive_data(client.data_to_send())
    assert [type(event) for event in events] == [ClientAuthenticated, KeyUpdated, ApplicationData]
    check(pair, pki.client())


def test_much_data_between(pair: Pair, pki: Pki) -> None:
    """By the fast way, as at any time."""
    client, server = pair
    client.send_data(bytes(300_000))
    server.request_client_certificate()
    client.receive_data(server.data_to_send())
    client.send_data(bytes(300_000))
    events = server.receive_data(client.data_to_send())
    assert sum(len(event.data) for event in events if isinstance(event, ApplicationData)) == 600_000
    assert sum(isinstance(event, ClientAuthenticated) for event in events) == 1
    check(pair, pki.client())


@pytest.mark.parametrize("behind", [Certificate, CertificateVerify])
@pytest.mark.parametrize("data", [b"data", bytes(16384)], ids=len)
def test_data_in_the_middle_of_an_answer(pair: Pair, behind: type[Message], data: bytes) -> None:
    meeting = lied_to(pair, instead(behind, lambda message: [message, Record(23, data)]))
    refused(meeting, Alert.unexpected_message, "unexpected_record", "4.6.2")


def test_nothing_in_the_middle_of_an_answer(pair: Pair) -> None:
    """No data, in a record of its own."""
    client = pair[0]

    def say(message: Message) -> Iterator[Said]:
        yield message
        yield Record(21, WARNING)  # and all before it is sealed
        assert client._records.sealing is not None
        client._output.append(client._records.sealing.seal(23, b""))

    refused(lied_to(pair, instead(Certificate, say)), Alert.unexpected_message, "unexpected_record", "4.6.2")


def test_data_in_the_middle_of_a_message(pair: Pair) -> None:
    def say(message: Message) -> list[Said]:
        raw = write_message(message)
        return [Unheard(raw[:100]), Record(23, b"data"), raw[100:]]

    refused(lied_to(pair, instead(Certificate, say)), Alert.unexpected_message, "unexpected_record", "5.1")


OTHERS: list[Message | bytes] = [
    KeyUpdate(0),
    NewSessionTicket(60, 1, b"", b"ticket", Extensions()),
    Certificate(b"", ()),
    CertificateRequest(b"c", Extensions({13: (0x0403,)})),
    b"\x01\0\0\0",
    b"\x4d\0\0\0",
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: type(other).__name__)
@pytest.mark.parametrize("behind", [Certificate, CertificateVerify])
def test_a_message_in_the_middle_of_an_answer(pair: Pair, behind: type[Message], other: Message | bytes) -> None:
    raw = other if isinstance(other, bytes) else write_message(other)
    meeting = lied_to(pair, instead(behind, lambda message: [message, Unheard(raw)]))
    refused(meeting, Alert.unexpected_message, "unexpected_message")


def test_a_warning_in_the_middle_is_none_of_these(pair: Pair, pki: Pki) -> None:
    lied_to(pair, instead(Certificate, lambda message: [message, Record(21, WARNING)]))
    check(pair, pki.client())


# lies ---------------------------------------------------------------------------------------------------------------------


def nothing_for(*kinds: type[Message]) -> Lie:
    return lambda message: [] if isinstance(message, kinds) else [message]


WRONG_ORDER: dict[str, Lie] = {
    "no Certificate": nothing_for(Certificate),
    "no CertificateVerify": nothing_for(CertificateVerify),
    "Finished alone": nothing_for(Certificate, CertificateVerify),
    "Certificate twice": instead(Certificate, lambda message: [message, message]),
    "CertificateVerify twice": instead(CertificateVerify, lambda message: [message, message]),
    "Finished twice": instead(Finished, lambda message: [message, message]),
    "nothing and CertificateVerify": edit(Certificate, lambda message: setattr(message, "certificate_list", ())),
}


@pytest.mark.parametrize("lie", WRONG_ORDER)
def test_messages_out_of_order(pair: Pair, lie: str) -> None:
    meeting = lied_to(pair, WRONG_ORDER[lie])
    assert (meeting.server_error.alert, meeting.server_error.reason) == (Alert.unexpected_message, "unexpected_message")
    assert meeting.alert_heard_by(pair[0]) == Alert.unexpected_message
    assert (pair[1].info.peer_chain != ()) == (lie == "Finished twice")


def test_swapped(pair: Pair) -> None:
    """Finished before CertificateVerify."""
    held: list[Said] = []

    def lie(message: Message) -> Iterable[Said]:
        if isinstance(message, CertificateVerify):
            held.append(message)
            return []
        return [message, *held]

    refused(lied_to(pair, lie), Alert.unexpected_message, "unexpected_message")


def spoil(attribute: str) -> Callable[[Any], None]:
    """Turn a bit of a field."""

    def change(message: Any) -> None:
        value = bytearray(getattr(message, attribute))
        value[-1] ^= 1
        setattr(message, attribute, bytes(value))

    return change


def of_strangers(pki: Pki) -> Callable[[Any], None]:
    chain = pki.strangers.issue("client", client=True).credential().chain

    def change(message: Any) -> None:
        entry = message.certificate_list[0]
        message.certificate_list = tuple(dataclasses.replace(entry, cert_data=der) for der in chain)

    return change


def with_staple(message: Any) -> None:
    first, *more = (copy.copy(entry) for entry in message.certificate_list)
    first.extensions = Extensions({X.signed_certificate_timestamp: (b"sct",)})
    message.certificate_list = (first, *more)


LIES: dict[str, tuple[Callable[[Pki], Lie], Alert, str, str]] = {
    "another context": (
        lambda pki: edit(Certificate, spoil("certificate_request_context")), Alert.illegal_parameter, "wrong_context", "4.4.2"),
    "no context": (
        lambda pki: edit(Certificate, lambda message: setattr(message, "certificate_request_context", b"")),
        Alert.illegal_parameter, "wrong_context", "4.4.2"),
    "a wrong signature": (
        lambda pki: edit(CertificateVerify, spoil("signature")), Alert.decrypt_error, "bad_signature", "4.4.3"),
    "a scheme that does not fit": (
        lambda pki: edit(CertificateVerify, lambda message: setattr(message, "algorithm", 0x0807)),
        Alert.illegal_parameter, "wrong_signature_type", "4.4.3"),
    "a wrong Finished": (
        lambda pki: edit(Finished, spoil("verify_data")), Alert.decrypt_error, "digest_check_failed", "4.4.4"),
    "an extension that was not asked for": (
        lambda pki: edit(Certificate, with_staple), Alert.unsupported_extension, "unsolicited_extension", "4.4.2"),
    "a long Finished": (
        lambda pki: edit(Finished, lambda message: setattr(message, "verify_data", bytes(33))),
        Alert.decrypt_error, "digest_check_failed", "4.4.4"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_lies(pki: Pki, pair: Pair, name: str) -> None:
    lie, alert, reason, rule = LIES[name]
    refused(lied_to(pair, lie(pki)), alert, reason, rule)


def test_a_certificate_that_nobody_trusts(pki: Pki) -> None:
    pair = ready(pki, {"credential": pki.strangers.issue("client", client=True).credential()})
    pair[1].request_client_certificate()
    meeting = meet(*pair)
    assert isinstance(meeting.server_error, CertificateError)
    refused(meeting, Alert.unknown_ca, meeting.server_error.reason)


def test_nobody_is_shown_before_it_is_proved(pair: Pair, pki: Pki) -> None:
    """Neither a certificate without a signature, nor one with it and without Finished, makes anybody the peer."""
    client, server = pair
    server.request_client_certificate()
    with lying_later(truth, lambda flight: [flight[at : at + 40] for at in range(0, len(flight), 40)]):
        client.receive_data(server.data_to_send())
    answer = client.data_to_send()
    assert server.receive_data(answer[:-40]) == []
    assert server.info.peer_chain == server.info.verified_chain == ()
    assert server.info.client_signature_scheme is None
    assert server.receive_data(answer[-40:]) == [ClientAuthenticated(server.info)]
    check(pair, pki.client())


def test_an_answer_that_nobody_asked_for(pair: Pair, pki: Pki) -> None:
    for message in (Certificate(b"", ()), CompressedCertificate(1, 10, b"x"), CertificateVerify(0x0403, b"s"), Finished(bytes(32))):
        client, server = ready(pki)
        write_handshake(client, message)
        meeting = meet(client, server)
        refused(meeting, Alert.unexpected_message, "unexpected_message", "4.6")


def test_an_answer_again(pair: Pair) -> None:
    """Of the last request, to the next one."""
    said: list[Said] = []
    lied_to(pair, lambda message: [said.append(message) or message])  # type: ignore[func-returns-value]
    pair[1].info.peer_chain, pair[1].info.client_signature_scheme = (), None

    def lie(message: Message) -> Iterable[Said]:
        return said if isinstance(message, Certificate) else []

    refused(lied_to(pair, lie), Alert.illegal_parameter, "wrong_context", "4.4.2")


# what the client is asked -------------------------------------------------------------------------------------------------


def asked(*messages: Message | bytes, **client: Any) -> Callable[[Pki], Meeting]:
    """A server says these after the handshake."""

    def run(pki: Pki) -> Meeting:
        pair = ready(pki, client)
        write_handshake(pair[1], *messages)
        return meet(*pair)

    return run


REQUEST = CertificateRequest(b"context", Extensions({13: (0x0403,)}))


def test_a_request_that_the_client_did_not_invite(pki: Pki) -> None:
    meeting = asked(REQUEST, post_handshake_auth=False)(pki)
    assert (meeting.client_error.alert, meeting.client_error.rule) == (Alert.unexpected_message, "RFC 8446 4.6")
    assert meeting.alert_heard_by(meeting.server) == Alert.unexpected_message


def test_a_request_within_http2(pki: Pki) -> None:
    """RFC 9113 section 9.2.3."""
    for protocol in "h2", "http/1.1":
        pair = ready(pki, {"alpn": (protocol,)}, {"alpn": (protocol,)})
        write_handshake(pair[1], REQUEST)
        hear(pair[0], pair[1].data_to_send(), [])
        assert (pair[0].error is None) == (protocol == "http/1.1")


def test_a_request_by_tls12(pki: Pki) -> None:
    pair = ready(pki, {"policy": Policy.intermediate}, {"policy": Policy.intermediate.replace(versions=("1.2",))})
    assert pair[0].info.version == "TLSv1.2"
    assert X.post_handshake_auth in pair[1].info.client_hello.extensions
    write_handshake(pair[1], REQUEST)
    assert meet(*pair).client_error.alert is Alert.unexpected_message


def test_a_request_without_signature_algorithms(pki: Pki) -> None:
    meeting = asked(CertificateRequest(b"context", Extensions()))(pki)
    assert (meeting.client_error.alert, meeting.client_error.reason) == (Alert.missing_extension, "missing_extension")


def test_a_request_without_a_context(pki: Pki) -> None:
    """Bad style, but not wrong: it is the only one so far (RFC 8446 section 4.3.2)."""
    meeting = asked(CertificateRequest(b"", Extensions({13: (0x0403,)})))(pki)
    assert meeting.client_events == [ClientAuthenticated(meeting.client.info)]


def test_too_many_requests(pki: Pki) -> None:
    """Each costs the client a signature."""
    signed: list[int] = []
    credential = pki.client()

    def sign(scheme: Any, data: bytes) -> bytes:
        signed.append(scheme)
        return credential.sign(scheme, data)  # type: ignore[return-value]

    meeting = asked(*[REQUEST] * 9, credential=Credential(credential.chain, signer=sign))(pki)
    assert (meeting.client_error.alert, meeting.client_error.reason) == (
        Alert.unexpected_message,
        "too_many_certificate_requests",
    )
    assert len(signed) == minitls.connection.MAX_CERTIFICATE_REQUESTS == 4


def test_extensions_of_the_offer(pki: Pki) -> None:
    for offered in True, False:
        pair = ready(pki, {"post_handshake_auth": offered})
        assert (X.post_handshake_auth in pair[1].info.client_hello.extensions) == offered
    config = pki.client_config(policy=Policy.intermediate.replace(versions=("1.2",)), post_handshake_auth=True)
    hello = ClientConnection(config, server_hostname="localhost").info.client_hello
    assert X.post_handshake_auth not in hello.extensions


# answers that take their time ---------------------------------------------------------------------------------------------


async def later(value: Any) -> Any:
    return value


def run_now(question: Question) -> Any:
    """What an event loop would do."""
    coroutine: Any = question.awaitable
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


def remote(credential: Credential) -> Credential:
    """Its key is somewhere else."""
    return Credential(credential.chain, signer=lambda scheme, data: later(credential.sign(scheme, data)))


async def verify(certificates: PeerCertificates) -> None:
    assert certificates.path


def signing(pki: Pki) -> tuple[ClientConnection, ServerConnection, Question]:
    """The client has been asked, and waits for its signature."""
    client, server = ready(pki, {"credential": remote(pki.client())})
    server.request_client_certificate()
    (question,) = client.receive_data(server.data_to_send())
    assert isinstance(question, Question)
    assert (question.name, client.question) == ("sign", question)
    return client, server, question


def test_both_may_await(pki: Pki) -> None:
    client, server = pair = ready(pki, {"credential": remote(pki.client())}, {"verify": verify})
    for _ in range(2):
        server.request_client_certificate()
        (question,) = client.receive_data(server.data_to_send())
        assert isinstance(question, Question)
        assert client.data_to_send() == b""
        assert client.answer(question, run_now(question)) == [ClientAuthenticated(client.info)]
        (question,) = server.receive_data(client.data_to_send())
        assert isinstance(question, Question)
        assert question.name == "verify"
        assert server.answer(question, run_now(question)) == [ClientAuthenticated(server.info)]
    check(pair, pki.client())


def test_while_the_client_signs(pki: Pki) -> None:
    """It may talk and change its keys, but hears nothing; and its answer goes out in one piece, under the keys of then."""
    client, server, question = signing(pki)
    server.send_data(b"anybody there?")
    assert client.receive_data(server.data_to_send()) == []
    client.send_data(b"a moment")
    client.update_keys()
    client.send_data(b"please")
    said = [ApplicationData(b"a moment"), KeyUpdated(False), ApplicationData(b"please")]
    assert server.receive_data(client.data_to_send()) == said
    assert client.answer(question, run_now(question)) == [ClientAuthenticated(client.info), ApplicationData(b"anybody there?")]
    assert server.receive_data(client.data_to_send()) == [ClientAuthenticated(server.info)]
    check((client, server), pki.client())
    with pytest.raises(Misuse, match="not open"):
        client.answer(question, b"")


def test_while_the_server_verifies(pki: Pki) -> None:
    client, server = ready(pki, server={"verify": verify})
    server.request_client_certificate()
    client.receive_data(server.data_to_send())
    client.send_data(b"and now?")
    (question,) = server.receive_data(client.data_to_send())
    assert isinstance(question, Question)
    assert server.info.peer_chain == ()
    with pytest.raises(Misuse, match="has not answered"):
        server.request_client_certificate()
    server.send_data(b"wait")
    assert client.receive_data(server.data_to_send()) == [ApplicationData(b"wait")]
    assert server.answer(question, run_now(question)) == [ClientAuthenticated(server.info), ApplicationData(b"and now?")]
    check((client, server), pki.client())


def test_the_server_does_not_want_this_one(pki: Pki) -> None:
    client, server = ready(pki, server={"verify": verify})
    server.request_client_certificate()
    client.receive_data(server.data_to_send())
    (question,) = server.receive_data(client.data_to_send())
    assert isinstance(question, Question)
    refusal = CertificateError(Alert.certificate_revoked, "revoked last night")
    with pytest.raises(CertificateError):
        server.answer_error(question, refusal)
    assert server.error is refusal
    meeting = meet(client, server)
    assert meeting.alert_heard_by(client) == Alert.certificate_revoked
    assert server.info.peer_chain == ()


def test_a_signer_that_fails(pki: Pki) -> None:
    """Nothing of the answer has been said by then."""
    client, server, question = signing(pki)
    with pytest.raises(OSError, match="the HSM is gone"):
        client.answer_error(question, OSError("the HSM is gone"))
    meeting = meet(client, server)
    assert meeting.alert_heard_by(server) == Alert.internal_error


def test_closed_while_the_client_signs(pki: Pki) -> None:
    """Nobody hears its answer then, and nothing follows its close_notify; it goes on listening."""
    client, server, question = signing(pki)
    client.close()
    assert server.receive_data(client.data_to_send()) == [PeerClosed()]
    server.send_data(b"bye")
    last = server.data_to_send()
    assert client.receive_data(last) == []
    assert client.answer(question, run_now(question)) == [ApplicationData(b"bye")]
    assert client.data_to_send() == b""
    assert client.info.client_signature_scheme is None


def test_asked_after_it_has_closed(pair: Pair) -> None:
    """A client that will say no more does not answer; that is no fault."""
    client, server = pair
    server.request_client_certificate()
    client.close()
    assert client.receive_data(server.data_to_send()) == []
    assert server.receive_data(client.data_to_send()) == [PeerClosed()]
    assert (client.error, server.error) == (None, None)
    with pytest.raises(Misuse, match="while the connection is open"):
        server.request_client_certificate()


def test_the_server_closes_its_side(pair: Pair, pki: Pki) -> None:
    """And hears the answer all the same."""
    client, server = pair
    server.request_client_certificate()
    server.close()
    assert [type(event) for event in client.receive_data(server.data_to_send())] == [ClientAuthenticated, PeerClosed]
    assert server.receive_data(client.data_to_send()) == [ClientAuthenticated(server.info)]


# misuse -------------------------------------------------------------------------------------------------------------------


def cannot_ask(server: ServerConnection, why: str) -> None:
    with pytest.raises(Misuse, match=why):
        server.request_client_certificate()
    assert server.data_to_send() == b""


def test_misuse(pki: Pki) -> None:
    cannot_ask(ready(pki, {"post_handshake_auth": False})[1], "it did not offer")
    cannot_ask(ready(pki, server={"post_handshake_auth": False})[1], "does not have post_handshake_auth=True")
    tls12 = Policy.intermediate.replace(versions=("1.2",))
    cannot_ask(ready(pki, {"policy": Policy.intermediate}, {"policy": tls12})[1], "TLS 1.2 knows no such")
    cannot_ask(ready(pki, {"alpn": ("h2",)}, {"alpn": ("h2",)})[1], "HTTP/2 has no place")
    cannot_ask(ServerConnection(configs(pki)[1]), "after the handshake")
    for close in (ServerConnection.close, lambda server: server.abort(OSError("gone"))):
        server = ready(pki)[1]
        close(server)
        server.data_to_send()
        cannot_ask(server, "while the connection is open")
    with pytest.raises(Misuse, match=r"post_handshake_auth needs trust=TrustStore"):
        pki.server_config(post_handshake_auth=True)


def test_one_at_a_time(pair: Pair, pki: Pki) -> None:
    pair[1].request_client_certificate()
    with pytest.raises(Misuse, match="has not answered yet"):
        pair[1].request_client_certificate()
    assert exchange(*pair)[1] == [ClientAuthenticated(pair[1].info)]
    ask(pair)
    check(pair, pki.client())


# resumption, PSKs ---------------------------------------------------------------------------------------------------------


def test_resumed(pki: Pki) -> None:
    """It works after a resumption; and a session that is given out afterwards is the client's."""
    ours, theirs = configs(pki, {"session_store": MemoryStore()}, {"ticket_count": 1})
    first = memory_pair(ours, theirs)
    assert not first[0].info.resumed
    pair = memory_pair(ours, theirs)
    assert (pair[1].info.resumed, pair[1].info.peer_chain) == (True, ())
    assert ask(pair)[1] == [ClientAuthenticated(pair[1].info)]
    check(pair, pki.client())
    while ours.session_store.take("localhost:") is not None:
        pass
    pair[1].send_ticket()
    exchange(*pair)
    again = memory_pair(ours, theirs)
    assert again[1].info.resumed
    assert again[1].info.peer_chain == pki.client().chain
    assert again[1].info.verified_chain == pair[1].info.verified_chain
    again[0]._config = dataclasses.replace(ours, credential=pki.client("ed25519"))
    ask(again)
    check(again, pki.client("ed25519"))


def test_a_session_of_a_client_that_is_not_trusted_any_more(pki: Pki) -> None:
    ours, theirs = configs(pki, {"session_store": MemoryStore()}, {"ticket_count": 0})
    pair = memory_pair(ours, theirs)
    ask(pair)
    pair[1].send_ticket()
    exchange(*pair)

    def refuse(certificates: PeerCertificates) -> None:
        raise CertificateError(Alert.certificate_revoked, "not any more")

    again = memory_pair(ours, dataclasses.replace(theirs, verify=refuse))
    assert (again[1].info.resumed, again[1].info.peer_chain) == (False, ())


def test_external_psk(pki: Pki) -> None:
    """RFC 9846 section 4.3.2: who authenticates by an external PSK asks for no certificate."""
    key = ExternalPsk(b"us", bytes(32))
    pair = ready(pki, {"psk": lambda hint: key}, {"psk": lambda identity: key})
    assert pair[1].info.psk_identity == b"us"
    cannot_ask(pair[1], "by an external PSK")


# bytes, memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_chopped(pki: Pki, size: int) -> None:
    """On the wire, and into records of so few bytes: nothing changes."""
    pair = ready(pki, {"credential": pki.client("rsa2048")})
    server_events: list[Any] = []

    def pieces(data: bytes) -> list[bytes]:
        return [data[at : at + size] for at in range(0, len(data), size)]

    for cut in None, pieces:
        with lying_later(truth, cut):
            pair[1].request_client_certificate()
            server_events += meet(*pair, chop=pieces).server_events
        check(pair, pki.client("rsa2048"))
    assert server_events == [ClientAuthenticated(pair[1].info)] * 2


def test_small_records(pki: Pki) -> None:
    """record_size_limit takes the slow way through the engine."""
    pair = ready(pki, {"record_size_limit": 64}, {"record_size_limit": 64})
    pair[1].request_client_certificate()
    pair[0].send_data(bytes(1000))
    events = exchange(*pair)[1]
    assert sum(len(event.data) for event in events if isinstance(event, ApplicationData)) == 1000
    check(pair, pki.client())
    refused_pair = ready(pki, server={"record_size_limit": 1000})
    meeting = lied_to(refused_pair, instead(Certificate, lambda message: [message, Record(23, b"data")]))
    refused(meeting, Alert.unexpected_message, "unexpected_record", "4.6.2")


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("server", [False, True])
def test_what_is_kept(pki: Pki, client: bool, server: bool) -> None:
    """The transcript's hash, by who may need it."""
    pair = ready(pki, {"post_handshake_auth": client}, {"post_handshake_auth": server})
    assert (pair[0]._transcript is not None) == client
    assert (pair[1]._transcript is not None) == (client and server)


@pytest.mark.parametrize("how", ["answered", "aborted", "closed by the client", "failed"])
def test_no_garbage(pki: Pki, how: str) -> None:
    """The flow goes when it is over, however it ends, without the help of the collector."""
    pair = ready(pki)
    pair[1].request_client_certificate()
    assert pair[1]._post is not None
    flow = weakref.ref(pair[1]._post._flow)
    gc.collect()
    gc.disable()
    try:
        if how == "answered":
            exchange(*pair)
        elif how == "aborted":
            pair[1].abort(OSError("gone"))
        elif how == "closed by the client":
            pair[0].close()
            exchange(*pair)
        else:
            write_handshake(pair[0], Finished(bytes(32)))
            meet(*pair)
            del pair[1].error  # whose traceback has it
            pair[1].error = None
        if how != "answered":
            pair[1]._post = None
        assert flow() is None
    finally:
        gc.enable()


def test_both_sides_send_what_both_sides_hear(pair: Pair) -> None:
    """Data before and behind stays in its order."""
    sides: list[Connection] = list(pair)
    for round_ in range(3):
        for side in sides:
            side.send_data(b"%d" % round_)
        pair[1].request_client_certificate()
        for side in sides:
            side.send_data(b"+")
        for events in exchange(*pair):
            data = b"".join(event.data for event in events if isinstance(event, ApplicationData))
            assert data == b"%d+" % round_
            assert sum(isinstance(event, ClientAuthenticated) for event in events) == 1


def test_the_handshakes_thread_is_this_ones(pki: Pki) -> None:
    """What takes long is computed where it was computed in the handshake."""

    async def offload(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    ours, theirs = configs(pki)
    for later_too in True, False:
        client = ClientConnection(ours, server_hostname="localhost")
        server = ServerConnection(dataclasses.replace(theirs, post_handshake_auth=later_too), offload=offload)
        exchange(client, server)
        assert server._offload is (offload if later_too else None)
        if later_too:
            server.request_client_certificate()
            assert server._post is not None
            assert server._post.offload is offload
            exchange(client, server)
            check((client, server), pki.client())
