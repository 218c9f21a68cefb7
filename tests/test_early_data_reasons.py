"""What becomes of 0-RTT data and why, as both sides tell it; clocks that differ; and a client that adds to what it says early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minitls import Alert, ConnectionInfo, EarlyData, EarlyDataReason, Misuse, Policy, TicketReceived, TLSError
from minitls.handshake.driver import EARLY_DATA_TO_SKIP
from minitls.sessions.replay import MemoryReplay
from minitls.sessions.tickets import TicketKeys
from minitls.wire.hello import ClientHello
from minitls.wire.numbers import ContentType
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import Meeting, edit, meet
from tests.resuming import AES128, CHACHA20, START, Fields, Pair, answer, check_open, identities, reseal, suites, talk

LIMIT = 1000
DATA = b"GET / HTTP/1.1\r\n\r\n"
GROUPS: Fields = {"policy": Policy(groups=("x25519", "secp256r1"), key_shares=("x25519",))}
TLS12: Fields = {"policy": Policy.intermediate.replace(versions=("TLSv1.2",))}
Reason = EarlyDataReason


def met_once(pki: Pki, client: Fields | None = None, server: Fields | None = None) -> Pair:
    pair = Pair(pki, client, {"early_data": LIMIT, **(server or {})})
    assert not pair.resumed()
    return pair


def early(meeting: Meeting) -> bytes:
    return b"".join(event.data for event in meeting.server_events if isinstance(event, EarlyData))


# reasons ------------------------------------------------------------------------------------------------------------------


def used_before(pair: Pair) -> None:
    session = pair.session()
    pair.meet(early_data=DATA)
    pair.store.take("localhost:")
    pair.store.put("localhost:", session)


OFFERED: dict[Reason, tuple[Callable[[Pair], object], Reason]] = {
    Reason.accepted: (lambda pair: None, Reason.accepted),
    Reason.disabled: (lambda pair: pair.change(server={"early_data": None}), Reason.refused),
    Reason.session_not_resumed: (lambda pair: pair.change(server={"tickets": TicketKeys()}), Reason.session_not_resumed),
    Reason.not_allowed: (lambda pair: reseal(pair, max_early_data=0), Reason.refused),
    Reason.alpn_mismatch: (lambda pair: pair.change(server={"alpn": ("http/1.1",)}), Reason.refused),
    Reason.cipher_suite_mismatch: (lambda pair: pair.change(server=suites(CHACHA20, groups=("x25519",))), Reason.refused),
    Reason.ticket_age: (lambda pair: pair.alter(age_add=1), Reason.refused),
    Reason.hello_retry_request: (lambda pair: pair.change(server={"send_cookie": True}), Reason.hello_retry_request),
    Reason.replayed: (used_before, Reason.refused),
}


@pytest.mark.parametrize("reason", OFFERED)
def test_offered(pki: Pki, reason: Reason) -> None:
    """A server knows why; a client only what it can see."""
    both = suites(AES128, CHACHA20) | {"alpn": ("h2", "http/1.1")}
    pair = met_once(pki, both, suites(AES128) | {"alpn": ("h2", "http/1.1")})
    change, to_client = OFFERED[reason]
    change(pair)
    meeting = pair.meet(early_data=DATA)
    client, server = meeting.client.info, meeting.server.info
    assert X.early_data in client.client_hello.extensions
    assert (server.early_data_reason, client.early_data_reason) == (reason, to_client)
    assert server.early_data_accepted is client.early_data_accepted is (reason is Reason.accepted)
    assert early(meeting) == (DATA if reason is Reason.accepted else b"")
    check_open(meeting.client, meeting.server)


NOT_OFFERED: dict[Reason, tuple[Fields, Fields, bytes, Reason]] = {
    Reason.disabled: ({}, {}, b"", Reason.not_offered),
    Reason.protocol_version: (TLS12, {"policy": Policy.intermediate}, DATA, Reason.protocol_version),
    Reason.no_session: ({"session_store": None}, {}, DATA, Reason.no_session),
    Reason.not_allowed: ({}, {}, bytes(LIMIT + 1), Reason.not_offered),
    Reason.alpn_mismatch: ({"alpn": ("http/1.1",)}, {}, DATA, Reason.not_offered),
    Reason.cipher_suite_mismatch: (suites(CHACHA20), {}, DATA, Reason.not_offered),
}


@pytest.mark.parametrize("reason", NOT_OFFERED)
def test_not_offered(pki: Pki, reason: Reason) -> None:
    """A client knows why it did not offer any; the session is resumed by whatever protocol (RFC 7301 section 3.1)."""
    both = suites(AES128, CHACHA20) | {"alpn": ("h2", "http/1.1")}
    pair = met_once(pki, both, both)
    ours, theirs, data, to_server = NOT_OFFERED[reason]
    pair.change(ours, theirs)
    meeting = pair.meet(early_data=data)
    client, server = meeting.client.info, meeting.server.info
    assert X.early_data not in client.client_hello.extensions
    assert (client.early_data_reason, server.early_data_reason) == (reason, to_server)
    assert client.resumed is (to_server is Reason.not_offered)
    check_open(meeting.client, meeting.server)


def test_no_reason_before_there_is_one(pki: Pki) -> None:
    client, server = met_once(pki).connections(early_data=DATA)
    assert client.info.early_data_reason is None
    assert server.info.early_data_reason is None


def test_early_data_without_a_ticket_is_dropped(pki: Pki) -> None:
    """Section 4.2.10 forbids clients to, and leaves servers to do without what they can't open."""
    lie = edit(ClientHello, lambda message: message.extensions.update({X.early_data: None}))
    pair = Pair(pki, server={"early_data": LIMIT})
    client, server = pair.connections(client_lie=lie)
    hello = client.data_to_send()
    noise = bytes((ContentType.application_data, 3, 3, 0, 100)) + bytes(100)
    server.receive_data(hello + noise)
    assert server.info.early_data_reason is Reason.no_session
    meeting = meet(client, server)
    assert meeting.server.handshake_completed


def test_skipping_ends_where_it_must(pki: Pki) -> None:
    """Without the extension nothing is skipped, and not more than a limit with it."""
    for extra, count, completes in ((True, 1, True), (False, 1, False), (True, EARLY_DATA_TO_SKIP // 16000 + 2, False)):
        lie = edit(ClientHello, lambda message, extra=extra: message.extensions.update({X.early_data: None} if extra else {}))
        client, server = Pair(pki).connections(client_lie=lie)
        noise = bytes((ContentType.application_data, 3, 3, 16000 >> 8, 16000 & 255)) + bytes(16000)
        hello = client.data_to_send()
        if completes:
            server.receive_data(hello + noise * count)
            assert server.error is None
        else:
            server.receive_data(hello)
            with pytest.raises(TLSError, match="authenticate"):
                server.receive_data(noise * count)


# a ticket's age -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-61, -60, -5, 0, 5, 60, 61])
def test_ticket_age_skew(pki: Pki, skew: int) -> None:
    """Section 8.3: by how much the client's clock is ahead since it got the ticket."""
    pair = met_once(pki, server={"ticket_age_tolerance": 60.5})
    pair.clock.now += 100
    pair.alter(created=pair.session().created - 1000 * skew)
    meeting = pair.meet(early_data=DATA)
    assert meeting.server.info.ticket_age_skew == skew
    assert meeting.client.info.ticket_age_skew is None
    assert meeting.server.info.early_data_reason is (Reason.accepted if abs(skew) < 61 else Reason.ticket_age)
    assert meeting.server.info.resumed


def test_no_skew_without_a_ticket(pki: Pki) -> None:
    shared = (b"we two", bytes(32))
    meeting = Pair(pki, {"psk": lambda _: shared}, {"psk": dict([shared]).get}).meet()
    assert meeting.server.info.psk_identity == b"we two"
    assert meeting.server.info.ticket_age_skew is None


@pytest.mark.parametrize(("skew", "reason"), [(10, Reason.accepted), (11, Reason.ticket_age)])
def test_some_seconds_are_tolerated(pki: Pki, skew: int, reason: Reason) -> None:
    pair = met_once(pki)
    pair.alter(created=pair.session().created - 1000 * skew)
    assert pair.meet(early_data=DATA).server.info.early_data_reason is reason


@pytest.mark.parametrize("seconds", [-1, 7 * 86400 + 1, float("inf"), float("nan")])
def test_a_tolerance_that_is_none(pki: Pki, seconds: float) -> None:
    """The replay record has to remember for as long."""
    with pytest.raises(Misuse, match="from 0 to 7 days"):
        pki.server_config(ticket_age_tolerance=seconds)


# more of it ---------------------------------------------------------------------------------------------------------------


def test_nothing_to_say_yet(pki: Pki) -> None:
    """Offered with nothing behind it, then said piece by piece while the server answers, up to the limit."""
    pair = met_once(pki)
    client, server = pair.connections(offer_early_data=True)
    assert client.early_data_room == LIMIT
    server.receive_data(client.data_to_send())
    assert client.send_early_data(DATA) == len(DATA)
    answer = server.data_to_send()
    end = 5 + int.from_bytes(answer[3:5], "big")  # the ServerHello
    client.receive_data(answer[:end])
    assert client.send_early_data(bytearray(LIMIT)) == LIMIT - len(DATA)
    assert (client.send_early_data(b"x"), client.early_data_room) == (0, 0)
    client.receive_data(answer[end:])
    meeting = talk(client, server)
    assert early(meeting) == server.info.early_data == DATA + bytes(LIMIT - len(DATA))
    assert client.info.early_data_accepted
    assert client.send_early_data(b"x") == 0
    check_open(client, server)


@pytest.mark.parametrize("how", [{}, {"early_data": b""}, {"early_data": DATA}])
def test_no_room(pki: Pki, how: Fields) -> None:
    """Where the way was not asked for, or there is no ticket."""
    pair = Pair(pki, server={"early_data": LIMIT})
    client, server = pair.connections(**how, **({"offer_early_data": True} if how else {}))
    assert (client.early_data_room, client.send_early_data(DATA)) == (0, 0)
    meet(client, server)
    client, _ = pair.connections(**how)
    assert client.early_data_room == (LIMIT - len(DATA) if how.get("early_data") else 0)


@pytest.mark.parametrize("how", ["close", "fail", "abort"])
def test_nothing_after_the_end(pki: Pki, how: str) -> None:
    """RFC 8446 section 6.1: after our last alert nothing is sent, early data neither."""
    client, _ = met_once(pki).connections(early_data=DATA)
    {"close": client.close, "fail": lambda: client.fail(Alert.internal_error), "abort": lambda: client.abort(OSError())}[how]()
    client.data_to_send()
    assert (client.early_data_room, client.send_early_data(DATA), client.data_to_send()) == (0, 0, b"")


@pytest.mark.parametrize("why", ["refused", "retry", "full"])
def test_what_was_added_is_sent_again(pki: Pki, why: str) -> None:
    changes: dict[str, Fields] = {
        "refused": {"early_data": None},
        "retry": {"send_cookie": True},
        "full": {"tickets": TicketKeys()},
    }
    pair = met_once(pki, GROUPS, GROUPS)
    pair.change(server=changes[why])
    client, server = pair.connections(early_data=b"one ", resend_early_data=True)
    assert client.send_early_data(b"two") == 3
    meeting = talk(client, server)
    assert early(meeting) == b""
    assert b"".join(getattr(event, "data", b"") for event in meeting.server_events) == b"one two"
    assert client.send_early_data(b"x") == 0
    check_open(client, server)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["", "async"])
@pytest.mark.parametrize("at_once", [False, True])
def test_half_rtt_tickets(pki: Pki, at_once: bool, asynchronous: bool) -> None:
    """Section 4.6.1: with early data the server knows all that the client can yet say, and so the secret of the next tickets."""
    keys = TicketKeys(clock=lambda: START)
    tickets = Later(keys) if asynchronous else keys
    replay = MemoryReplay(clock=lambda: START)
    pair = met_once(pki, server={"half_rtt_tickets": at_once, "tickets": tickets, "replay": replay})
    for _ in range(3):
        client, server = pair.connections(early_data=DATA)
        server.receive_data(client.data_to_send())
        answer(server, [])
        came = client.receive_data(server.data_to_send())
        assert len([event for event in came if isinstance(event, TicketReceived)]) == at_once
        assert not server.handshake_completed
        with pytest.raises(Misuse):
            server.send_ticket()
        meeting = talk(client, server)
        assert server.info.early_data == DATA
        assert len([event for event in came + meeting.client_events if isinstance(event, TicketReceived)]) == 1
        check_open(client, server)


class Later:
    """Ticket keys that take their time."""

    def __init__(self, keys: TicketKeys) -> None:
        self._keys = keys

    async def seal(self, state: bytes) -> bytes:
        return self._keys.seal(state)

    async def open(self, ticket: bytes) -> bytes | None:
        return self._keys.open(ticket)


def test_a_session_of_another_protocol_is_offered(pki: Pki) -> None:
    """RFC 7301 section 3.1: the protocol is the connection's, not the session's."""
    pair = met_once(pki, {"alpn": ("h2",)}, {"alpn": ("h2", "http/1.1")})
    pair.change({"alpn": ("http/1.1",)})
    meeting = pair.meet()
    assert identities(meeting.client)
    assert meeting.client.info.resumed
    infos: list[ConnectionInfo] = [meeting.client.info, meeting.server.info]
    assert [info.alpn_protocol for info in infos] == ["http/1.1", "http/1.1"]


def test_the_second_hello_may_lose_other_keys(pki: Pki) -> None:
    """Section 4.1.2: the server's choice is found again by its identity, wherever it stands then."""
    shared = (b"we two", bytes(32))
    pair = met_once(pki, {"psk": lambda _: shared}, {"psk": None, "send_cookie": True})
    asked: list[bytes] = []

    def psk(identity: bytes) -> bytes | None:
        asked.append(identity)
        return dict([shared]).get(identity)

    pair.change(server={"psk": psk, "tickets": TicketKeys()})

    def drop_the_first(message: Any) -> None:
        offered = message.extensions[X.pre_shared_key]
        offered.identities, offered.binders = offered.identities[1:], offered.binders[1:]

    client, server = pair.connections()
    meeting = talk(client, server)
    assert (server.info.psk_identity, server.info.hello_retry) == (b"we two", True)
    assert asked.count(b"we two") == 1
    check_open(client, server)
    pair.change(server={"tickets": TicketKeys()})
    meeting = pair.meet(client_lie=edit(ClientHello, drop_the_first, nth=2))
    error: Any = meeting.server_error  # the binder was made for both: what matters is that it was this one's that was looked at
    assert error.reason == "digest_check_failed"
