"""0-RTT through the engine (RFC 8446 sections 2.3 and 4.2.10): taken, refused, skipped, answered before the handshake is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minitls import (
    Alert,
    AlertReceived,
    ApplicationData,
    ClientAuth,
    ClientConfig,
    Connection,
    EarlyData,
    Event,
    HandshakeCompleted,
    Misuse,
    PeerClosed,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    TicketReceived,
    TruncationError,
)
from minitls.config import ServerConfig
from minitls.handshake import client as client_flow
from minitls.handshake.driver import EARLY_DATA_TO_SKIP
from minitls.handshake.psk import of_session
from minitls.handshake.resume import Remembered
from minitls.observe import Chosen, DataSeen, KeyInstalled
from minitls.sessions.replay import MemoryReplay
from minitls.sessions.tickets import TicketKeys
from minitls.wire.hello import ServerHello
from minitls.wire.messages import EncryptedExtensions, EndOfEarlyData, Finished, KeyUpdate
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import KeyUpdateRequest
from tests.conftest import Pki
from tests.liar import Lie, Meeting, Record, edit, edit_bytes, instead, meet
from tests.resuming import (
    AES128,
    AES256,
    CHACHA20,
    QUICK,
    START,
    Clock,
    Fields,
    Pair,
    answer,
    asked,
    check_open,
    identities,
    refused,
    reseal,
    suites,
    talk,
)

LIMIT = 1000
WINDOW = ServerConfig.ticket_age_tolerance
DATA = b"GET / HTTP/1.1\r\n\r\n"
RETRY: dict[str, Fields] = {
    "client": {"policy": Policy(groups=("x25519", "secp256r1"), key_shares=("x25519",))},
    "server": {"policy": Policy(groups=("secp256r1",))},
}


def met_once(pki: Pki, client: Fields | None = None, server: Fields | None = None) -> Pair:
    """Who may send early data the next time."""
    pair = Pair(pki, client, {"early_data": LIMIT, **(server or {})})
    assert not pair.resumed()
    return pair


def offered(client: Connection) -> bool:
    return X.early_data in client.info.client_hello.extensions


def early(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, EarlyData))


def data(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ApplicationData))


def check_accepted(meeting: Meeting, sent: bytes = DATA) -> None:
    client, server = meeting.client, meeting.server
    assert meeting.completed == (True, True), (client.error, server.error)
    assert early(meeting.server_events) == server.info.early_data == sent
    assert client.info.early_data_accepted is server.info.early_data_accepted is True
    assert client.info.resumed is server.info.resumed is True
    assert data(meeting.server_events) == b""
    check_open(client, server)


def check_rejected(meeting: Meeting, later: bytes = b"") -> None:
    """The handshake is none the worse for it.  ``later``: what came as ordinary data instead."""
    client, server = meeting.client, meeting.server
    assert meeting.completed == (True, True), (client.error, server.error)
    assert early(meeting.server_events) == server.info.early_data == b""
    assert client.info.early_data_accepted is server.info.early_data_accepted is False
    assert data(meeting.server_events) == later
    check_open(client, server)


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


# accepted -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [AES128, AES256, CHACHA20])
@pytest.mark.parametrize("chop", [None, bytewise], ids=["", "bytewise"])
def test_accepted(pki: Pki, suite: str, chop: Any) -> None:
    """Section 2.3: what the client says first comes first, and the handshake goes on; as often as there are tickets."""
    pair = met_once(pki, suites(suite), suites(suite))
    for _ in range(3):
        pair.clock.now += 60
        meeting = meet(*pair.connections(early_data=DATA), chop=chop)
        check_accepted(meeting)
        kinds = [type(event) for event in meeting.server_events if not isinstance(event, EarlyData)]
        assert isinstance(meeting.server_events[0], EarlyData)
        assert kinds == [HandshakeCompleted]


@pytest.mark.parametrize("size", [1, 2**14, 2**14 + 1, 50_000])
def test_as_much_as_the_ticket_says(pki: Pki, size: int) -> None:
    """Section 4.2.10: max_early_data_size bytes and no more; with one more, none is sent and nothing is said of it."""
    pair = met_once(pki, server={"early_data": size})
    check_accepted(pair.meet(early_data=bytes(size)), bytes(size))
    meeting = pair.meet(early_data=bytes(size + 1))
    assert not offered(meeting.client)
    check_rejected(meeting)


def test_the_first_flight(pki: Pki) -> None:
    """Appendix D.4: ClientHello, ChangeCipherSpec, and the data under its own key; ServerHello finds no further one to follow."""
    pair = met_once(pki)
    client, server = pair.connections(early_data=DATA)
    flight = client.data_to_send()
    assert record_types(flight) == [22, 20, 23]
    server.receive_data(flight)
    client.receive_data(server.data_to_send())
    assert record_types(client.data_to_send()) == [23, 23]  # EndOfEarlyData, Finished


def record_types(records: bytes) -> list[int]:
    found = []
    while records:
        found.append(records[0])
        records = records[5 + int.from_bytes(records[3:5], "big") :]
    return found


def test_with_the_key_alone(pki: Pki) -> None:
    """psk_ke has early data as well."""
    policy = {"policy": QUICK.replace(psk_key_exchange_modes=("psk_ke",))}
    meeting = met_once(pki, policy, policy).meet(early_data=DATA)
    check_accepted(meeting)
    assert meeting.server.info.resumption == "psk_ke"


def test_key_log_and_observer(pki: Pki) -> None:
    """RFC 9850: CLIENT_EARLY_TRAFFIC_SECRET, the same on both sides; and the data is seen under it."""
    logs: tuple[list[str], list[str]] = ([], [])
    seen: tuple[list[Any], list[Any]] = ([], [])
    pair = met_once(pki)
    pair.change({"key_log": logs[0].append, "observer": seen[0].append}, {"key_log": logs[1].append, "observer": seen[1].append})
    name = "CLIENT_EARLY_TRAFFIC_SECRET"
    check_accepted(pair.meet(early_data=DATA))
    lines = [[line for line in log if line.startswith(name)] for log in logs]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 1
    for sent, what in ((True, seen[0]), (False, seen[1])):
        assert [(each.sent, each.size) for each in what if isinstance(each, DataSeen) and each.key == name] == [(sent, len(DATA))]
        assert next((each.sent, each.key) for each in what if isinstance(each, KeyInstalled)) == (sent, name)
    assert [each.value for each in seen[1] if isinstance(each, Chosen) and each.what == "early_data"] == ["accepted"]
    for log in logs:
        log.clear()
    pair.meet()
    assert not [line for log in logs for line in log if line.startswith(name)]


# not sent -----------------------------------------------------------------------------------------------------------------

NOT_SENT: dict[str, tuple[Fields, Fields]] = {
    "no session": ({"session_store": None}, {}),
    "another application protocol": ({"alpn": ("http/1.1",)}, {}),
    "the ticket's suite is not in our policy": (suites(CHACHA20), {}),
    "TLS 1.2 alone": (
        {"policy": Policy.intermediate.replace(versions=("TLSv1.2",))},
        {"policy": Policy.intermediate},
    ),
}


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("what", NOT_SENT)
def test_not_sent(pki: Pki, what: str, resend: bool) -> None:
    """Section 4.2.10: only for the suite and protocol of the ticket; else it waits, if it is to be sent at all."""
    pair = met_once(pki, {"alpn": ("h2",)} | suites(AES128, CHACHA20), {"alpn": ("h2", "http/1.1")} | suites(AES128, CHACHA20))
    pair.change(*NOT_SENT[what])
    meeting = pair.meet(early_data=DATA, resend_early_data=resend)
    assert not offered(meeting.client)
    check_rejected(meeting, DATA if resend else b"")


def test_not_sent_where_the_ticket_does_not_allow_it(pki: Pki) -> None:
    pair = Pair(pki)
    pair.meet()
    pair.change(server={"early_data": LIMIT})
    meeting = pair.meet(early_data=DATA)
    assert (meeting.client.info.resumed, offered(meeting.client)) == (True, False)
    check_accepted(pair.meet(early_data=DATA))  # with the ticket that it got meanwhile


def test_not_sent_to_another_name(pki: Pki) -> None:
    pair = met_once(pki, server={"credentials": (pki.server("p256", "localhost", "other.example"),)})
    meeting = pair.meet(name="other.example", early_data=DATA)
    assert not offered(meeting.client)
    check_accepted(pair.meet(early_data=DATA))


def test_not_sent_with_keys_from_elsewhere(pki: Pki) -> None:
    """An external PSK says nothing about how much a server would take."""
    psk = {"psk": lambda _: (b"we two", bytes(32))}
    meeting = Pair(pki, psk, {"psk": {b"we two": bytes(32)}.get, "early_data": LIMIT}).meet(early_data=DATA)
    assert meeting.client.info.psk_identity == b"we two"
    assert not offered(meeting.client)
    check_rejected(meeting)


# rejected -----------------------------------------------------------------------------------------------------------------


def used_before(pair: Pair) -> None:
    session = pair.session()
    pair.meet(early_data=DATA)
    pair.store.take("localhost:")
    pair.store.put("localhost:", session)


REJECTED: dict[str, Callable[[Pair], object]] = {
    "we take none": lambda pair: pair.change(server={"early_data": None}),
    "the client's first PSK is not a ticket of ours": lambda pair: pair.change(server={"tickets": TicketKeys()}),
    "the ticket does not allow it": lambda pair: reseal(pair, max_early_data=0),
    "the cipher suite is not the ticket's": lambda pair: pair.change(server=suites(CHACHA20)),
    "the ticket's age is wrong": lambda pair: pair.alter(age_add=1),
    "the ticket was used before": used_before,
}


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("why", REJECTED)
def test_rejected(pki: Pki, why: str, resend: bool) -> None:
    """Section 4.2.10: the server drops it unread, says nothing, and goes on; it is sent again only if that was asked for."""
    seen: list[Any] = []
    pair = met_once(pki, suites(AES128, CHACHA20), suites(AES128))
    REJECTED[why](pair)
    pair.change(server={"observer": seen.append})
    meeting = pair.meet(early_data=DATA, resend_early_data=resend)
    assert offered(meeting.client)
    check_rejected(meeting, DATA if resend else b"")
    ((value, reason),) = [(each.value, each.why) for each in seen if isinstance(each, Chosen) and each.what == "early_data"]
    assert value == "rejected"
    assert reason.startswith(why)
    assert meeting.client.info.resumed is ("not a ticket" not in why)


def test_rejected_with_the_second_key(pki: Pki) -> None:
    """Section 4.2.10: early data belongs to the first PSK; the server knows the second."""
    pair = met_once(pki)
    pair.change({"psk": lambda _: (b"we two", bytes(32))}, {"psk": {b"we two": bytes(32)}.get, "tickets": TicketKeys()})
    meeting = pair.meet(early_data=DATA)
    assert len(identities(meeting.client)) == 2
    check_rejected(meeting)
    assert meeting.server.info.psk_identity == b"we two"


def test_rejected_with_the_second_ticket(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 4.2.10: the same for two tickets, the first of which is not ours."""
    pair = met_once(pki, server={"random": bytes})  # so that the two have one age
    good = pair.store.take("localhost:")
    assert good is not None
    pair.alter(ticket=b"somebody else's")

    def another_ticket(config: ClientConfig) -> Any:
        return (of_session(good.ticket, Remembered(good, ())),)
        yield

    monkeypatch.setattr(client_flow, "external_psks", another_ticket)
    meeting = pair.meet(early_data=DATA)
    assert identities(meeting.client) == [b"somebody else's", good.ticket]
    check_rejected(meeting)
    assert meeting.server.info.resumed


def test_rejected_in_a_full_handshake_with_client_authentication(pki: Pki) -> None:
    """What is skipped stands before the client's Certificate."""
    pair = met_once(pki, {"credential": pki.client()}, {"client_auth": ClientAuth.require, "trust": pki.trust})
    pair.change(server={"tickets": TicketKeys()})
    meeting = pair.meet(early_data=bytes(LIMIT))
    check_rejected(meeting)
    assert meeting.server.info.peer_chain == pki.client().chain


@pytest.mark.parametrize("chop", [None, bytewise], ids=["", "bytewise"])
@pytest.mark.parametrize("resend", [False, True])
def test_rejected_by_a_retry(pki: Pki, resend: bool, chop: Any) -> None:
    """Section 4.2.10: HelloRetryRequest refuses it; the second hello goes in plaintext, and says nothing of early data."""
    pair = met_once(pki, RETRY["client"], {"policy": RETRY["client"]["policy"]})
    pair.change(server=RETRY["server"])
    meeting = meet(*pair.connections(early_data=DATA, resend_early_data=resend), chop=chop)
    assert offered(meeting.client)
    assert meeting.client.info.hello_retry
    assert meeting.client.info.resumed
    check_rejected(meeting, DATA if resend else b"")


def test_not_sent_twice(pki: Pki) -> None:
    """``resend_early_data`` is for what was not taken."""
    check_accepted(met_once(pki).meet(early_data=DATA, resend_early_data=True))


@pytest.mark.parametrize("retry", [False, True], ids=["", "retry"])
@pytest.mark.parametrize("limit", [1, 100_000])
def test_skipping_is_bounded(pki: Pki, limit: int, retry: bool) -> None:
    """Section 4.2.10: more than a ticket of ours ever allowed is no early data, but noise."""
    most = max(EARLY_DATA_TO_SKIP, 2 * limit)
    policy = RETRY["client"] if retry else {"policy": QUICK}
    for size, skipped in ((most * 9 // 10, True), (most + 2**15, False)):
        pair = met_once(pki, policy, {"early_data": limit, **policy})
        pair.change(server=RETRY["server"] if retry else {"replay": MemoryReplay(clock=Clock(START + 60))})
        pair.alter(max_early_data=2**30)
        meeting = pair.meet(early_data=bytes(size))
        if skipped:
            check_rejected(meeting)
        else:
            alert = Alert.unexpected_message if retry else Alert.bad_record_mac
            assert meeting.server_error.alert is alert
            assert meeting.alert_heard_by(meeting.client) == alert


def test_a_server_that_takes_less_by_now(pki: Pki) -> None:
    """A client that keeps to what its ticket says is not at fault: the data is taken, or refused."""
    pair = met_once(pki)
    pair.change(server={"early_data": 10})
    meeting = pair.meet(early_data=DATA)
    (check_accepted if meeting.client.info.early_data_accepted else check_rejected)(meeting)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [({"record_size_limit": 2**14 + 1}, {"record_size_limit": 500}), ({"max_fragment_length": 512}, {})],
    ids=["record_size_limit", "max_fragment_length"],
)
def test_records_of_a_size_that_is_agreed_on_later(pki: Pki, ours: Fields, theirs: Fields) -> None:
    """RFC 8449 section 4: a limit is for records under keys of the handshake that agreed on it; early data goes before."""
    meeting = met_once(pki, ours, theirs).meet(early_data=bytes(LIMIT))
    check_accepted(meeting, bytes(LIMIT))
    meeting.client._records.max_send = LIMIT  # and now it could
    meeting.client.send_data(bytes(LIMIT))
    with pytest.raises(PeerMisbehaved) as caught:
        meeting.server.receive_data(meeting.client.data_to_send())
    assert caught.value.alert is Alert.record_overflow


# the age of tickets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [60, 3600, 23 * 3600])
@pytest.mark.parametrize("ahead", [-WINDOW - 0.1, -WINDOW + 0.1, 0, WINDOW - 0.1, WINDOW + 0.1])
def test_the_age_of_a_ticket(pki: Pki, ahead: float, age: float) -> None:
    """Section 8.3: the server's clock against the age that the client tells; a clock that is wrong costs a round trip."""
    pair = met_once(pki)
    server = Clock(pair.clock.now + age)
    pair.change(server={"clock": server, "replay": MemoryReplay(clock=Clock(START))})
    pair.clock.now += age - ahead
    meeting = pair.meet(early_data=DATA)
    (check_accepted if abs(ahead) < WINDOW else check_rejected)(meeting)


@pytest.mark.parametrize("add", [0, 1, 2**31, 2**32 - 1])
def test_ages_are_obfuscated(pki: Pki, add: int) -> None:
    """Section 4.2.11.1: the age in milliseconds plus ticket_age_add, modulo 2^32."""
    pair = met_once(pki, server={"random": lambda size: (add.to_bytes(4, "big") * 8)[:size], "ticket_count": 1})
    pair.clock.now += 2.5
    meeting = pair.meet(early_data=DATA)
    (psk,) = meeting.client.info.client_hello.extensions[X.pre_shared_key].identities
    assert (psk.obfuscated_ticket_age - add) % 2**32 in (2499, 2500, 2501)
    check_accepted(meeting)


# half-RTT data ------------------------------------------------------------------------------------------------------------


def test_an_answer_before_the_client_has_finished(pki: Pki) -> None:
    """Section 2.3 and 4.4.4: half a round trip after the question, before anybody knows whether it was a recording."""
    client, server = met_once(pki).connections(early_data=DATA)
    assert not server.can_send_data
    assert [type(event) for event in server.receive_data(client.data_to_send())] == [EarlyData]
    assert server.can_send_data
    assert not server.handshake_completed
    server.send_data(b"200 ")
    server.send_data(b"OK")
    events = client.receive_data(server.data_to_send())
    assert [type(event) for event in events] == [HandshakeCompleted, ApplicationData]
    assert data(events) == b"200 OK"
    assert not server.handshake_completed
    client.send_data(b"thanks")
    events = server.receive_data(client.data_to_send())
    assert [type(event) for event in events] == [HandshakeCompleted, ApplicationData]
    server.send_data(b"bye")
    events = client.receive_data(server.data_to_send())
    assert [type(event) for event in events] == [TicketReceived, ApplicationData]


def test_a_server_exports_while_it_may_answer(pki: Pki) -> None:
    """RFC 8446 section 7.5: from all up to its own Finished.  Nobody else does, and nothing is bound to what may be a recording."""
    client, server = met_once(pki).connections(early_data=DATA)
    server.receive_data(client.data_to_send())
    exported = server.info.export_keying_material("EXPORTER-test", b"", 16)
    with pytest.raises(Misuse, match="once the handshake is complete"):
        client.info.export_keying_material("EXPORTER-test", b"", 16)
    with pytest.raises(Misuse, match="once the handshake is complete"):
        server.info.channel_binding("tls-exporter")
    talk(client, server)
    for side in client, server:
        assert side.info.export_keying_material("EXPORTER-test", b"", 16) == exported
    assert client.info.channel_binding("tls-exporter") == server.info.channel_binding("tls-exporter")
    pair = met_once(pki)
    pair.change(server={"early_data": None})
    client, refusing = pair.connections(early_data=DATA)
    refusing.receive_data(client.data_to_send())
    with pytest.raises(Misuse, match="once the handshake is complete"):
        refusing.info.export_keying_material("EXPORTER-test", b"", 16)


def test_nobody_else_speaks_before_finished(pki: Pki) -> None:
    """A server that has no early data, or refused it; a client at any time."""
    pair = met_once(pki)
    for early_data, takes in ((b"", LIMIT), (DATA, None)):
        pair.change(server={"early_data": takes})
        client, server = pair.connections(early_data=early_data)
        server.receive_data(client.data_to_send())
        for side in client, server:
            assert not side.can_send_data
            with pytest.raises(Misuse, match="before the handshake is complete"):
                side.send_data(b"x")
        assert offered(client) is bool(early_data)
        talk(client, server)
        check_open(client, server)


def test_no_key_update_and_no_ticket_meanwhile(pki: Pki) -> None:
    """Section 4.6: both are for after the handshake."""
    client, server = met_once(pki).connections(early_data=DATA)
    server.receive_data(client.data_to_send())
    with pytest.raises(Misuse, match="keys can be updated"):
        server.update_keys()
    with pytest.raises(Misuse, match="tickets are given"):
        server.send_ticket()
    talk(client, server)
    check_open(client, server)


def test_the_server_closes_after_its_answer(pki: Pki) -> None:
    """The answer and close_notify arrive, without user_canceled: nothing was broken off."""
    client, server = met_once(pki).connections(early_data=DATA)
    server.receive_data(client.data_to_send())
    server.send_data(b"answer")
    server.close()
    events = client.receive_data(server.data_to_send())
    assert [type(event) for event in events] == [HandshakeCompleted, ApplicationData, PeerClosed]
    assert server.data_to_send() == b""


def test_the_client_closes_before_it_is_answered(pki: Pki) -> None:
    """user_canceled and close_notify come under the early data's key: what came before them counts."""
    client, server = met_once(pki).connections(early_data=DATA)
    client.close()
    assert early(server.receive_data(client.data_to_send())) == DATA
    assert isinstance(server.error, AlertReceived)
    assert server.error.code == Alert.close_notify
    assert not server.handshake_completed


@pytest.mark.parametrize("answered", [False, True])
def test_an_end_in_the_middle(pki: Pki, answered: bool) -> None:
    """Truncation: early data without a Finished behind it was never said by anybody in particular."""
    client, server = met_once(pki).connections(early_data=DATA)
    server.receive_data(client.data_to_send())
    if answered:
        client.receive_data(server.data_to_send())
        server.receive_data(client.data_to_send()[:30])  # EndOfEarlyData, and some of Finished
    with pytest.raises(TruncationError, match="during the handshake"):
        server.receive_eof()
    assert not server.handshake_completed


def test_an_alert_under_the_early_datas_key(pki: Pki) -> None:
    """A client that fails over ServerHello has no other key yet, and is heard."""
    lie = edit(ServerHello, lambda message: message.extensions.update({X.pre_shared_key: 7}))
    meeting = met_once(pki).meet(early_data=DATA, server_lie=lie)
    refused(meeting.client, PeerMisbehaved, Alert.illegal_parameter, "psk_identity_not_found", meeting)
    assert meeting.server.info.early_data == DATA


# the replay record --------------------------------------------------------------------------------------------------------


class SlowReplay:
    """A record somewhere else."""

    def __init__(self, says: bool = True) -> None:
        self.says = says
        self.asked: list[tuple[bytes, float, float]] = []

    async def first_use(self, key: bytes, issued: float, until: float) -> bool:
        self.asked.append((key, issued, until))
        return self.says


@pytest.mark.parametrize("chop", [None, bytewise], ids=["", "bytewise"])
@pytest.mark.parametrize("first", [True, False])
def test_a_record_that_takes_its_time(pki: Pki, first: bool, chop: Any) -> None:
    """A question before the server has said a word; what comes meanwhile is kept, and is early data or is not."""
    pair = met_once(pki)
    pair.clock.now += 5
    pair.change(server={"replay": (replay := SlowReplay(first))})
    client, server = pair.connections(early_data=DATA)
    events: list[Event] = []
    for piece in (chop or (lambda data: [data]))(client.data_to_send()):
        events += server.receive_data(piece)
    assert asked(events) == ["first_use"]
    assert early(events) == server.info.early_data == server.data_to_send() == b""
    assert not server.can_send_data
    answer(server, events)
    meeting = talk(client, server)
    meeting.server_events[:0] = events
    (check_accepted if first else check_rejected)(meeting)
    ((key, issued, until),) = replay.asked
    assert len(key) == 32
    assert issued == pytest.approx(START, abs=0.01)
    assert until == pytest.approx(START + 5 + WINDOW, abs=0.01)


def test_a_record_that_fails(pki: Pki) -> None:
    """It is the application's: its error goes through, and the client hears internal_error."""
    pair = met_once(pki, server={"replay": SlowReplay()})
    client, server = pair.connections(early_data=DATA)
    server.receive_data(client.data_to_send())
    assert server.question is not None
    with pytest.raises(OSError, match="gone"):
        server.answer_error(server.question, OSError("gone"))
    with pytest.raises(AlertReceived, match="internal_error"):
        client.receive_data(server.data_to_send())


@pytest.mark.parametrize("why", ["we take none", "the ticket's age is wrong", "the cipher suite is not the ticket's"])
def test_the_record_is_asked_last(pki: Pki, why: str) -> None:
    """What is refused anyhow uses nothing up."""
    replay = SlowReplay()
    pair = met_once(pki, suites(AES128, CHACHA20), suites(AES128) | {"replay": replay})
    REJECTED[why](pair)
    check_rejected(pair.meet(early_data=DATA))
    assert not replay.asked


def test_the_record_is_not_asked_by_a_wrong_binder(pki: Pki) -> None:
    """Who does not have the key cannot use up a ticket that it has seen (section 8.2)."""
    pair = met_once(pki, server={"replay": (replay := SlowReplay())})
    pair.alter(secret=bytes(32))
    meeting = pair.meet(early_data=DATA)
    assert meeting.server_error.reason == "digest_check_failed"
    assert not replay.asked


# what must not be said ----------------------------------------------------------------------------------------------------


def before(kind: Any, *said: Any) -> Lie:
    return instead(kind, lambda message: [*said, message])


END = EndOfEarlyData()
UPDATE = KeyUpdate(KeyUpdateRequest.update_not_requested)
OF_A_CLIENT: dict[str, tuple[Callable[[], Lie], Alert, str]] = {
    "no EndOfEarlyData": (lambda: instead(EndOfEarlyData, lambda m: []), Alert.bad_record_mac, "bad_record_mac"),
    "Finished in its place": (
        lambda: instead(EndOfEarlyData, lambda m: [Finished(bytes(32))]),
        Alert.unexpected_message,
        "unexpected_message",
    ),
    "another message before it": (lambda: before(EndOfEarlyData, UPDATE), Alert.unexpected_message, "unexpected_message"),
    "EndOfEarlyData twice in a record": (
        lambda: before(EndOfEarlyData, END),
        Alert.unexpected_message,
        "excess_handshake_data",
    ),
    "EndOfEarlyData again, under the next key": (lambda: before(Finished, END), Alert.unexpected_message, "unexpected_message"),
    "more data behind it": (
        lambda: before(Finished, Record(23, b"more")),
        Alert.unexpected_message,
        "unexpected_record",
    ),
    "EndOfEarlyData with a body": (
        lambda: edit_bytes(EndOfEarlyData, lambda body: body.append(0)),
        Alert.decode_error,
        "decode_error",
    ),
}


@pytest.mark.parametrize("what", OF_A_CLIENT)
def test_what_a_client_must_not_say(pki: Pki, what: str) -> None:
    """Section 4.5: EndOfEarlyData once, there and nowhere else."""
    lie, alert, reason = OF_A_CLIENT[what]
    meeting = met_once(pki).meet(early_data=DATA, client_lie=lie())
    assert early(meeting.server_events) == DATA
    refused(meeting.server, type(meeting.server_error), alert, reason, meeting)


@pytest.mark.parametrize("how", [{}, {"early_data": DATA}], ids=["none was sent", "it was refused"])
def test_the_end_of_nothing(pki: Pki, how: Fields) -> None:
    """Section 4.5: a client whose early data was not taken must not say that it ends; none is taken without a word of it."""
    pair = met_once(pki)
    pair.change(server={"early_data": None})
    meeting = pair.meet(client_lie=before(Finished, END), **how)
    refused(meeting.server, PeerMisbehaved, Alert.unexpected_message, "unexpected_message", meeting)
    meeting = pair.meet(client_lie=before(Finished, Record(23, b"data")), **how)
    refused(meeting.server, PeerMisbehaved, Alert.unexpected_message, "unexpected_record", meeting)


@pytest.mark.parametrize("much", [LIMIT + 1, 2 * LIMIT, 100 * LIMIT])
def test_more_than_the_ticket_allows(pki: Pki, much: int) -> None:
    """Section 4.2.10: unexpected_message."""
    pair = met_once(pki)
    pair.alter(max_early_data=2**30)
    meeting = pair.meet(early_data=bytes(much))
    refused(meeting.server, PeerMisbehaved, Alert.unexpected_message, "too_much_early_data", meeting)
    assert len(meeting.server.info.early_data) <= LIMIT


Cases = dict[str, tuple[Fields, Fields, Fields]]
CANNOT_HAVE: Cases = {
    "with the second PSK": (
        {},
        {"psk": lambda _: (b"we two", bytes(32))},
        {"psk": {b"we two": bytes(32)}.get, "tickets": TicketKeys()},
    ),
    "with another cipher suite": (suites(CHACHA20), suites(AES128, CHACHA20), suites(AES128)),
    "with no PSK": ({}, {}, {"tickets": TicketKeys()}),
}


@pytest.mark.parametrize("what", CANNOT_HAVE)
def test_a_server_that_cannot_have_taken_it(pki: Pki, what: str) -> None:
    """Section 4.2.10: the first PSK, its suite, its protocol; otherwise illegal_parameter."""
    both, ours, theirs = CANNOT_HAVE[what]
    pair = met_once(pki, both, both)
    pair.change(ours, theirs)
    lie = edit(EncryptedExtensions, lambda message: message.extensions.update({X.early_data: None}))
    meeting = pair.meet(early_data=DATA, server_lie=lie)
    assert offered(meeting.client)
    error = meeting.client_error
    reason = "cipher_mismatch_on_early_data" if "suite" in what else "unexpected_early_data"
    assert (type(error), error.alert, error.reason) == (PeerMisbehaved, Alert.illegal_parameter, reason)
    assert not meeting.client.info.early_data_accepted


def test_a_server_that_changes_its_mind_about_the_protocol(pki: Pki) -> None:
    """Section 4.2.10: early data is of the protocol that the ticket is for."""
    alpn = {"alpn": ("h2", "http/1.1")}
    lie = edit(
        EncryptedExtensions, lambda message: message.extensions.update({X.application_layer_protocol_negotiation: (b"http/1.1",)})
    )
    meeting = met_once(pki, alpn, alpn).meet(early_data=DATA, server_lie=lie)
    refused(meeting.client, PeerMisbehaved, Alert.illegal_parameter, "alpn_mismatch_on_early_data", meeting)


def test_a_server_that_takes_it_after_a_retry(pki: Pki) -> None:
    """Section 4.2.10: the second hello does not offer it."""
    pair = met_once(pki, RETRY["client"], {"policy": RETRY["client"]["policy"]})
    pair.change(server=RETRY["server"])
    lie = edit(EncryptedExtensions, lambda message: message.extensions.update({X.early_data: None}))
    meeting = pair.meet(early_data=DATA, server_lie=lie)
    refused(meeting.client, PeerMisbehaved, Alert.unsupported_extension, "unsolicited_extension", meeting)


def test_a_server_that_has_forgotten_tls13(pki: Pki) -> None:
    """Appendix D.3: protocol_version; the application may come again without."""
    both = {"policy": Policy.intermediate}
    pair = met_once(pki, both, both)
    session = pair.session()
    pair.change(server={"policy": Policy.intermediate.replace(versions=("TLSv1.2",))})
    client, server = pair.connections(early_data=DATA)
    flight = client.data_to_send()
    with pytest.raises(PeerMisbehaved):  # it knows nothing of data before the handshake
        server.receive_data(flight)
    client, server = pair.connections(early_data=DATA)
    server.receive_data(client.data_to_send()[: flight.index(b"\x14\3\3\0\1\1")])
    with pytest.raises(PeerIncompatible) as caught:
        client.receive_data(server.data_to_send())
    assert (caught.value.alert, caught.value.reason) == (Alert.protocol_version, "wrong_version_on_early_data")
    pair.store.put("localhost:", session)
    assert not pair.resumed()


# misuse -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"early_data": 0}, {"early_data": -1}, {"early_data": 2**32}, {"early_data": 1, "tickets": None}]
)
def test_servers_that_cannot_be(pki: Pki, fields: Fields) -> None:
    with pytest.raises(Misuse, match="early_data"):
        pki.server_config(**fields)


def test_the_alert_of_a_client_whose_early_data_was_refused_arrives(pki: Pki) -> None:
    """What is wrong with EncryptedExtensions is said under the handshake's key: what is under the early one is skipped."""
    pair = Pair(pki, server={"early_data": 1000})
    pair.resumed()
    pair.change(server={"early_data": None})
    lie = edit(EncryptedExtensions, lambda message: message.extensions.update({X.application_layer_protocol_negotiation: (b"x",)}))
    met = pair.meet(early_data=b"x", server_lie=lie)
    assert isinstance(met.client_error, PeerMisbehaved)
    assert isinstance(met.server_error, AlertReceived)
