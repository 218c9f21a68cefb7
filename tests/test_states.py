"""The state machine (RFC 8446 appendix A): every handshake message at every wrong moment, to both roles.

A liar replaces each message of its flow by each other one, leaves it out, says it twice, or swaps it with the next.  The other side
ends with one TLSError and never completes; but for the few changes that the protocol allows, it is unexpected_message.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from minitls import Alert, ClientAuth, ClientConfig, ClientConnection, Connection, Policy, ServerConfig, ServerConnection, TLSError
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest, Message, ServerHello
from minitls.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    KeyUpdate,
    NewSessionTicket,
    message_type,
    write_message,
)
from tests.conftest import Pki
from tests.liar import Meeting, Said, lying_client, lying_server, meet, truth, write_handshake

FLOWS = {
    "plain": (ClientAuth.none, False),
    "client authentication": (ClientAuth.require, False),
    "retry": (ClientAuth.none, True),
    "retry and client authentication": (ClientAuth.require, True),
}

SAYS: dict[tuple[str, str], list[type[Message]]] = {
    ("server", "plain"): [ServerHello, EncryptedExtensions, Certificate, CertificateVerify, Finished],
    ("server", "client authentication"): [
        ServerHello,
        EncryptedExtensions,
        CertificateRequest,
        Certificate,
        CertificateVerify,
        Finished,
    ],
    ("server", "retry"): [HelloRetryRequest, ServerHello, EncryptedExtensions, Certificate, CertificateVerify, Finished],
    ("client", "plain"): [ClientHello, Finished],
    ("client", "client authentication"): [ClientHello, Certificate, CertificateVerify, Finished],
    ("client", "retry"): [ClientHello, ClientHello, Finished],
    ("client", "retry and client authentication"): [ClientHello, ClientHello, Certificate, CertificateVerify, Finished],
}
MOMENTS = [(role, flow, n) for (role, flow), said in SAYS.items() for n in range(len(said))]
each_moment = pytest.mark.parametrize(("role", "flow", "n"), MOMENTS, ids=[f"{r}: {f}, {n}" for r, f, n in MOMENTS])


def samples(pki: Pki) -> dict[str, bytes]:
    """Every kind of message, each as good as one can be; and those that TLS 1.3 does not have."""
    hello = ClientConnection(pki.quick[0], server_hostname="localhost").info.client_hello
    version = {43: 0x0304}
    share = KeyShareEntry(29, b"\x09" + bytes(31))
    answer = (0x0303, b"\x01" * 32, hello.legacy_session_id, 0x1301, 0)
    retry = (0x0303, HELLO_RETRY_REQUEST_RANDOM, hello.legacy_session_id, 0x1301, 0)
    messages: list[Message] = [
        hello,
        ServerHello(*answer, Extensions({**version, 51: share})),
        HelloRetryRequest(*retry, Extensions({**version, 44: b"cookie"})),
        EncryptedExtensions(Extensions()),
        CertificateRequest(b"", Extensions({13: (0x0807,)})),
        Certificate(b"", ()),
        CertificateVerify(0x0807, bytes(64)),
        Finished(bytes(32)),
        NewSessionTicket(60, 1, b"", b"ticket", Extensions()),
        KeyUpdate(0),
        EndOfEarlyData(),
    ]
    named = {type(message).__name__: write_message(message) for message in messages}
    for number in (0, 3, 12, 14, 16, 22, 25, 254, 77):
        named[f"type {number}"] = bytes((number, 0, 0, 0))
    return named


@pytest.fixture(scope="module")
def every_message(pki: Pki) -> dict[str, bytes]:
    return samples(pki)


class Script:
    """A lie about the ``n``-th message: ``change`` gets it and the one after it, and says what to say instead of the two."""

    def __init__(self, n: int, change: Any) -> None:
        self.n = n
        self.change = change
        self.number = -1
        self.held: list[Message] = []
        self.told = False

    def __call__(self, message: Message) -> Iterable[Said]:
        self.number += 1
        if self.number != self.n:
            said: list[Said] = [message, *self.held]
            self.held = []
            return said
        self.told = True
        now, later = self.change(message)
        self.held = later
        return now


def configs(pki: Pki, flow: str) -> tuple[ClientConfig, ServerConfig]:
    ours, theirs = pki.quick
    auth, retry = FLOWS[flow]
    if retry:
        ours = dataclasses.replace(ours, policy=Policy(groups=("x25519",), key_shares=()))
    return ours, dataclasses.replace(theirs, client_auth=auth)


def lied_to(pki: Pki, role: str, flow: str, lie: Any) -> tuple[Meeting, Connection]:
    """A meeting in which this role lies; and the other side."""
    ours, theirs = configs(pki, flow)
    if role == "server":
        client = ClientConnection(ours, server_hostname="localhost")
        return meet(client, lying_server(theirs, lie)), client
    server = ServerConnection(theirs)
    return meet(lying_client(ours, lie), server), server


def refused(honest: Connection, *alerts: Alert) -> None:
    """One TLSError, whose alert is one of these; nothing completed, nothing agreed."""
    assert isinstance(honest.error, TLSError), honest
    assert honest.error.alert in alerts, honest.error
    assert not honest.handshake_completed


@each_moment
def test_told_as_it_should_be(pki: Pki, role: str, flow: str, n: int) -> None:
    """The flows that the others are changes of."""
    said: list[type[Message]] = []

    def note(message: Message) -> list[Said]:
        said.append(type(message))
        return truth(message)

    meeting, _ = lied_to(pki, role, flow, note)
    assert meeting.completed == (True, True)
    assert said == SAYS[role, flow]


@each_moment
def test_replaced_by_every_other(pki: Pki, every_message: dict[str, bytes], role: str, flow: str, n: int) -> None:
    right = SAYS[role, flow][n]
    for name, raw in every_message.items():
        if name == right.__name__:
            continue
        _, honest = lied_to(pki, role, flow, Script(n, lambda message, raw=raw: ([raw], [])))
        if right is CertificateRequest and name == "Certificate":
            refused(honest, Alert.decode_error)  # it may come here, but it is empty (section 4.4.2.4)
        elif n == 0 and {right.__name__, name} == {"ServerHello", "HelloRetryRequest"}:
            refused(honest, Alert.illegal_parameter)  # each may come here, but it answers another hello (section 4.1.3)
        else:
            refused(honest, Alert.unexpected_message)


@each_moment
def test_left_out(pki: Pki, role: str, flow: str, n: int) -> None:
    """What can be left out is the request for a certificate: then the server did not ask."""
    right = SAYS[role, flow][n]
    meeting, honest = lied_to(pki, role, flow, Script(n, lambda message: ([], [])))
    last = n == len(SAYS[role, flow]) - 1
    if right is CertificateRequest:
        assert meeting.completed == (True, False)
        return
    if honest.error is None:  # the liar goes no further, and the honest side waits: for the end, then
        assert last or right in (ClientHello, HelloRetryRequest)
        with pytest.raises(TLSError, match="during the handshake"):
            honest.receive_eof()
        return
    refused(honest, Alert.unexpected_message)


@each_moment
def test_said_twice(pki: Pki, role: str, flow: str, n: int) -> None:
    right = SAYS[role, flow][n]
    meeting, honest = lied_to(pki, role, flow, Script(n, lambda message: ([message, write_message(message)], [])))
    assert meeting.client.error or meeting.server.error
    refused(honest, Alert.unexpected_message)
    assert right is not None


@each_moment
def test_swapped_with_the_next(pki: Pki, role: str, flow: str, n: int) -> None:
    said = SAYS[role, flow]
    if n + 1 < len(said) and said[n : n + 2] != [ClientHello, ClientHello]:
        _, honest = lied_to(pki, role, flow, Script(n, lambda message: ([], [message])))
        if honest.error is None:  # a hello held back: the liar waits for the answer to what it did not say
            assert said[n] in (ClientHello, HelloRetryRequest)
            return
        refused(honest, Alert.unexpected_message)


def test_swapping_really_swaps() -> None:
    script = Script(0, lambda message: ([], [message]))
    first, second, third = KeyUpdate(0), KeyUpdate(1), KeyUpdate(0)
    assert [list(script(each)) for each in (first, second, third)] == [[], [second, first], [third]]


# after the handshake ------------------------------------------------------------------------------------------------------

MAY_COME_LATER = {"client": {"KeyUpdate", "NewSessionTicket"}, "server": {"KeyUpdate"}}


@pytest.mark.parametrize("role", ["client", "server"])
def test_after_the_handshake(pki: Pki, every_message: dict[str, bytes], role: str) -> None:
    """Section 4.6: a table, and everything else is unexpected_message; renegotiation is none of TLS 1.3's."""
    for name, raw in every_message.items():
        meeting, _ = lied_to(pki, "client", "plain", truth)
        hearing, saying = (meeting.client, meeting.server) if role == "client" else (meeting.server, meeting.client)
        write_handshake(saying, raw)
        meet(meeting.client, meeting.server)
        if name in MAY_COME_LATER[role]:
            assert hearing.error is None, name
            continue
        assert isinstance(hearing.error, TLSError)
        assert (hearing.error.alert, hearing.error.rule) in [
            (Alert.unexpected_message, "RFC 8446 4.6"),
            (Alert.unexpected_message, "RFC 8446 4"),
        ], name
        assert meeting.alert_heard_by(saying) == Alert.unexpected_message


def test_the_error_says_what_was_expected_and_where(pki: Pki) -> None:
    """Thrown into the flow: the traceback ends at the line that waits."""
    _, honest = lied_to(pki, "server", "plain", Script(1, lambda message: ([KeyUpdate(0)], [])))
    assert str(honest.error) == "expected EncryptedExtensions, got KeyUpdate (RFC 8446 4)"
    frames = []
    trace = honest.error.__traceback__ if honest.error else None
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    assert [name for name, _ in frames][-2:] == ["handshake", "expect"]


def test_every_kind_of_message_is_among_the_samples(every_message: dict[str, bytes]) -> None:
    kinds = {message_type(raw).__name__ for name, raw in every_message.items() if not name.startswith("type")}
    assert kinds == {name for name in every_message if not name.startswith("type")}
    assert len(kinds) == 11
