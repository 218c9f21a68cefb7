"""Who comes back, and who only says so: 0-RTT replay, Selfie, tickets in the wrong hands and at the wrong place, clocks, floods."""

from __future__ import annotations

import base64
import dataclasses
import gc
import logging
import os
import time
import traceback
from typing import Any

import pytest

from minitls import (
    Alert,
    ClientAuth,
    ClientConnection,
    Danger,
    EarlyData,
    EarlyDataReason,
    ExternalPsk,
    Misuse,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConnection,
    TLSError,
)
from minitls.config import ServerConfig
from minitls.connection import MAX_TICKETS
from minitls.handshake.psk import MAX_IDENTITIES, of_session
from minitls.handshake.resume import Remembered
from minitls.handshake.resume13 import LONGEST_TICKET, MAX_COUNT
from minitls.sessions.replay import MemoryReplay
from minitls.sessions.store import PER_KEY, MemoryStore
from minitls.sessions.tickets import KEY_NAME, READ_EPOCHS, TicketKeys
from minitls.wire.extensions import OfferedPsks, PskIdentity
from minitls.wire.hello import ClientHello
from minitls.wire.messages import NewSessionTicket
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import edit, hear
from tests.resuming import DAY, Clock, Fields, Pair, check_open, identities, refused, talk, tickets_of

LIMIT = 1000
WINDOW = ServerConfig.ticket_age_tolerance
PAY = b"POST /pay HTTP/1.1\r\n\r\n"
SECRET = b"s" * 32
KEY, IDENTITY = bytes(range(32)), b"we two"


# 0-RTT replay -------------------------------------------------------------------------------------------------------------


def recorded(pair: Pair) -> bytes:
    """A first flight with early data, on its way."""
    client, _ = pair.connections(early_data=PAY)
    assert X.early_data in client.info.client_hello.extensions
    return client.data_to_send()


def takes(pair: Pair, flight: bytes) -> bool:
    """Whether a server with their configuration acts on this flight; it answers it in any case."""
    server = ServerConnection(pair.theirs)
    events = server.receive_data(flight)
    assert server.data_to_send()
    assert server.info.early_data == b"".join(event.data for event in events if isinstance(event, EarlyData))
    return bool(server.info.early_data)


def met(pki: Pki, **server: Any) -> Pair:
    pair = Pair(pki, server={"early_data": LIMIT, **server})
    assert not pair.resumed()
    return pair


def test_a_recorded_flight_again(pki: Pki) -> None:
    """0-RTT replay: taken once; later ones get a server that has not heard the data."""
    pair = met(pki)
    flight = recorded(pair)
    assert [takes(pair, flight) for _ in range(5)] == [True, False, False, False, False]
    pair.clock.now += WINDOW / 2
    assert not takes(pair, flight)
    assert takes(pair, recorded(pair))


@pytest.mark.parametrize("first", [0, 1])
def test_a_recorded_flight_at_two_servers(pki: Pki, first: int) -> None:
    """0-RTT replay across processes that share ticket keys and the record: once in all, wherever it comes first."""
    clock = Clock()
    record = MemoryReplay(clock=clock)
    pairs = [
        met(pki, clock=clock, tickets=TicketKeys(secret=SECRET, clock=clock), replay=record, credentials=(pki.server(key),))
        for key in ("p256", "ed25519")
    ]
    flight = recorded(pairs[0])
    order = [pairs[first], pairs[1 - first], pairs[first]]
    assert [takes(pair, flight) for pair in order] == [True, False, False]


@pytest.mark.parametrize("order", [0, 1])
def test_a_recorded_flight_at_two_servers_that_share_their_keys_by_hand(pki: Pki, order: int) -> None:
    """0-RTT replay where one object of ticket keys serves two configurations, such as virtual hosts: once in all."""
    pair = met(pki)
    other = dataclasses.replace(pair.theirs, replay=None)
    flight = recorded(pair)
    both = [pair.theirs, other]
    taken = []
    for theirs in (both[order], both[1 - order]):
        pair.theirs = theirs
        taken.append(takes(pair, flight))
    assert sum(taken) <= 1


class OwnTickets:
    """Somebody's own; who else has its keys, we cannot know."""

    seal = open = staticmethod(lambda data: data)


@pytest.mark.parametrize("tickets", [TicketKeys(secret=SECRET), OwnTickets()], ids=["shared secret", "of one's own"])
def test_shared_keys_without_a_shared_record(pki: Pki, tickets: Any) -> None:
    """0-RTT replay: keys that others may have need a record that they have, too; it is no default."""
    with pytest.raises(Misuse, match="replay"):
        pki.server_config(early_data=LIMIT, tickets=tickets)
    assert pki.server_config(early_data=LIMIT, tickets=tickets, replay=MemoryReplay()).replay is not None
    assert pki.server_config(tickets=tickets).replay is None


@pytest.mark.parametrize("late", [WINDOW + 0.1, 3600, DAY])
def test_a_flight_that_was_held_back(pki: Pki, late: float) -> None:
    """0-RTT replay of what never arrived: it tells its own time, which is over."""
    pair = met(pki)
    flight = recorded(pair)
    pair.clock.now += late
    assert not takes(pair, flight)


def test_a_flight_that_is_made_young_again(pki: Pki) -> None:
    """0-RTT replay: the age stands under the binder."""
    pair = met(pki)
    flight = bytearray(recorded(pair))
    hello = ServerConnection(pair.theirs)
    hello.receive_data(flight)
    (psk,) = hello.info.client_hello.extensions[X.pre_shared_key].identities
    pair.clock.now += 60
    at = flight.index(psk.identity) + len(psk.identity)
    flight[at : at + 4] = ((psk.obfuscated_ticket_age + 60_000) % 2**32).to_bytes(4, "big")
    server = ServerConnection(pair.theirs)
    with pytest.raises(PeerMisbehaved) as caught:
        server.receive_data(flight)
    assert caught.value.alert is Alert.decrypt_error
    assert server.info.early_data == b""


def test_a_ticket_in_two_flights(pki: Pki) -> None:
    """0-RTT replay by who has the session itself, or a client that forgot that it used it: the ticket counts, not the hello."""
    pair = met(pki)
    session = pair.session()
    flights = []
    for _ in range(3):
        flights.append(recorded(pair))
        pair.store.put("localhost:", session)
    assert len(set(flights)) == 3
    assert [takes(pair, flight) for flight in flights] == [True, False, False]


def test_a_server_that_was_started_again(pki: Pki) -> None:
    """0-RTT replay across a restart (section 8): what was given out before is refused; what is given out now is taken."""
    clock = Clock()
    pair = met(pki, clock=clock, tickets=TicketKeys(secret=SECRET, clock=clock), replay=MemoryReplay(clock=clock))
    flight = recorded(pair)
    assert takes(pair, flight)
    clock.now += 1
    pair.clock.now += 1
    pair.change(server={"replay": MemoryReplay(clock=clock)})
    assert not takes(pair, flight)
    assert not pair.meet(early_data=PAY).server.info.early_data
    pair.store.take("localhost:")  # the newest is younger than the server
    pair.meet()
    assert pair.meet(early_data=PAY).server.info.early_data == PAY


def test_a_record_that_is_full(pki: Pki) -> None:
    """0-RTT replay by flood: a full record refuses rather than forgets."""
    pair = met(pki)
    pair.change(server={"replay": MemoryReplay(1, clock=pair.clock)})
    flights = [recorded(pair), recorded(pair)]
    assert [takes(pair, flight) for flight in (*flights, *flights)] == [True, False, False, False]


def test_each_byte_of_a_flight(pki: Pki) -> None:
    """Damage on the way: the data as it was sent, or none; a server has an answer, or an alert."""
    pair = met(pki)
    flight = recorded(pair)
    second = flight.index(b"\x14\3\3\0\1\1")
    versions = (1, 2, second + 1, second + 2)  # of the plaintext records, which mean nothing
    for at in range(len(flight)):
        pair.change(server={"replay": MemoryReplay(clock=lambda: pair.clock.now - 100)})
        server = ServerConnection(pair.theirs)
        hear(server, flight[:at] + bytes((flight[at] ^ 1 << at % 8,)) + flight[at + 1 :], [])
        assert isinstance(server.error, (TLSError, type(None)))
        assert server.info.early_data in (b"", PAY)
        if server.info.early_data:
            assert at in versions


# Selfie -------------------------------------------------------------------------------------------------------------------


def reflect(pair: Pair) -> tuple[ClientConnection, ServerConnection]:
    """A node's own hello, sent back to the node, which is a server as well."""
    client, server = pair.connections()
    assert identities(client)
    return client, server


def test_selfie(pki: Pki) -> None:
    """Selfie: a key between two tells their roles, so that a node does not take itself for the other (RFC 9257 section 4.1)."""
    a_to_b, b_to_a = (ExternalPsk.between(IDENTITY, KEY, client=one, server=other) for one, other in ((b"A", b"B"), (b"B", b"A")))
    node_a: Fields = {"client": {"psk": lambda _: a_to_b}, "server": {"psk": {IDENTITY: b_to_a}.get, "credentials": ()}}
    meeting = talk(*reflect(Pair(pki, **node_a)))
    refused(meeting.server, PeerIncompatible, Alert.unknown_psk_identity, "unknown_psk_identity", meeting)
    meeting = talk(*reflect(Pair(pki, node_a["client"], {"psk": {IDENTITY: a_to_b}.get, "credentials": ()})))  # node B
    check_open(meeting.client, meeting.server)


def test_selfie_with_a_plain_key(pki: Pki) -> None:
    """Selfie, and why ``between`` is there: a key without roles knows no difference."""
    meeting = talk(*reflect(Pair(pki, {"psk": lambda _: (IDENTITY, KEY)}, {"psk": {IDENTITY: KEY}.get, "credentials": ()})))
    assert meeting.completed == (True, True)


def test_selfie_with_a_session(pki: Pki) -> None:
    """Selfie by ticket: a node gives out tickets under keys of its own, and knows no other's."""
    pair = Pair(pki)
    pair.meet()
    pair.change(server={"tickets": TicketKeys()})
    assert not talk(*reflect(pair)).server.info.resumed


# tickets at the wrong place -----------------------------------------------------------------------------------------------


def test_a_ticket_of_one_name_at_another(pki: Pki) -> None:
    """Resumption with another SNI: the ticket holds the name, and a client that says another one gets the other's certificate."""
    a, b = (pki.server("p256", name) for name in ("a.example", "b.example"))
    pair = Pair(pki, server={"credentials": (a, b)})
    pair.meet(name="a.example")
    session = pair.store.take("a.example:")
    assert session is not None
    pair.store.put("b.example:", dataclasses.replace(session, server_name=b"b.example"))
    pair.change({"verify": Danger.accept_any_certificate})
    meeting = pair.meet(name="b.example")
    assert len(identities(meeting.client)) == 1
    assert not meeting.server.info.resumed
    assert meeting.client.info.peer_chain == b.chain


def test_a_ticket_of_a_server_that_asks_less(pki: Pki) -> None:
    """Resumption with another client identity: keys shared by a server that asks nobody do not open one that asks."""
    keys = TicketKeys()
    pair = Pair(pki, server={"tickets": keys})
    pair.meet()
    pair.change(server={"client_auth": ClientAuth.require, "trust": pki.trust})
    meeting = pair.meet()
    assert len(identities(meeting.client)) == 1
    refused(meeting.server, PeerIncompatible, Alert.certificate_required, "certificate_required", meeting)


def test_a_ticket_of_a_server_that_trusts_others(pki: Pki) -> None:
    """Resumption with another trust: a client whom another server believed is asked again, and not believed."""
    pair = Pair(pki, {"credential": pki.strangers.issue("client", client=True).credential()})
    pair.change(server={"client_auth": ClientAuth.require, "trust": pki.strangers.trust()})
    assert [pair.resumed(), pair.resumed()] == [False, True]
    pair.change(server={"trust": pki.trust})
    meeting = pair.meet()
    assert len(identities(meeting.client)) == 1
    assert meeting.server_error.alert is Alert.unknown_ca


def test_a_ticket_of_another_protocol(pki: Pki) -> None:
    """Resumption with another ALPN: the protocol is agreed on anew (RFC 7301 section 3.1), and no early data goes over to it."""
    pair = Pair(pki, {"alpn": ("h2",)}, {"alpn": ("h2", "ftp"), "early_data": LIMIT})
    pair.meet()
    pair.change({"alpn": ("ftp",)})
    pair.alter(alpn=b"ftp")
    meeting = pair.meet(early_data=PAY)
    assert len(identities(meeting.client)) == 1
    assert meeting.completed == (True, True)
    assert meeting.server.info.alpn_protocol == meeting.client.info.alpn_protocol == "ftp"
    assert (meeting.server.info.resumed, meeting.server.info.early_data) == (True, b"")
    assert meeting.server.info.early_data_reason is EarlyDataReason.alpn_mismatch


def test_somebody_elses_ticket(pki: Pki) -> None:
    """Tickets are seen by all: without the secret they are worth nothing, and do not hinder their owner."""
    pair = Pair(pki)
    pair.meet()
    owned = pair.session()
    pair.alter(secret=bytes(32))
    meeting = pair.meet()
    refused(meeting.server, PeerMisbehaved, Alert.decrypt_error, "digest_check_failed", meeting)
    pair.store.put("localhost:", owned)
    assert pair.resumed()


def test_a_ticket_of_tls12(pki: Pki) -> None:
    """Cross-protocol: the same keys seal both versions' tickets, and neither serves the other."""
    both: Fields = {"policy": Policy.intermediate}
    pair = Pair(pki, both, both)
    pair.meet()
    new = pair.session()
    pair.change({"policy": Policy.intermediate.replace(versions=("TLSv1.2",)), "session_store": MemoryStore()})
    pair.meet()
    store = pair.ours.session_store
    assert isinstance(store, MemoryStore)
    old = store.take("localhost:")
    assert old is not None
    store.put("localhost:", dataclasses.replace(old, ticket=new.ticket))
    assert not pair.resumed()
    pair.change({"policy": Policy.intermediate, "session_store": pair.store})
    pair.store.put("localhost:", dataclasses.replace(new, ticket=old.ticket))
    assert not pair.resumed()


# the wrong host -----------------------------------------------------------------------------------------------------------


def test_sessions_of_a_careless_client(pki: Pki) -> None:
    """A client resumes at the wrong host: a store shared with one that verifies nothing brings in no trust."""
    pair = Pair(pki, server={"credentials": (pki.untrusted,)})
    strict = pair.ours
    pair.change({"verify": Danger.accept_any_certificate, "trust": None})
    assert [pair.resumed(), pair.resumed()] == [False, True]
    pair.ours = strict
    meeting = pair.meet()
    assert identities(meeting.client) == []
    assert meeting.client_error.alert is Alert.unknown_ca


def test_sessions_stay_with_their_host(pki: Pki) -> None:
    """A client resumes at the wrong host: name and port are the store's key, however the name is spelled."""
    names = ("localhost", "other.example")
    pair = Pair(pki, server={"credentials": (pki.server("p256", *names),)})
    assert not pair.resumed(name="LOCALHOST.", port=443)
    for name, port in (("other.example", 443), ("localhost", 8443)):
        assert not identities(pair.connections(name=name, port=port)[0])
    assert pair.resumed(name="localhost", port=443)


# ticket keys --------------------------------------------------------------------------------------------------------------


def tickets_like(ticket: bytes) -> list[bytes]:
    """Each byte changed, and what is cut and added."""
    changed = [ticket[:at] + bytes((ticket[at] ^ 1 << at % 8,)) + ticket[at + 1 :] for at in range(len(ticket))]
    cut = [ticket[:at] for at in (1, KEY_NAME - 1, KEY_NAME, KEY_NAME + 12, KEY_NAME + 27, KEY_NAME + 28, len(ticket) - 1)]
    return [*changed, *cut, ticket + b"\0", ticket * 2, bytes(len(ticket)), os.urandom(len(ticket))]


def test_each_byte_of_a_ticket(pki: Pki) -> None:
    """Ticket tampering: a full handshake each time, never an error, and never anything of the session."""
    pair = Pair(pki, server={"early_data": LIMIT})
    pair.meet()
    session = pair.session()
    for ticket in tickets_like(session.ticket):
        pair.store.put("localhost:", dataclasses.replace(session, ticket=ticket))
        meeting = pair.meet(early_data=PAY)
        assert identities(meeting.client) == [ticket]
        assert meeting.completed == (True, True)
        assert not meeting.server.info.resumed
        assert meeting.server.info.early_data == b""
    pair.store.put("localhost:", session)
    assert pair.resumed()


@pytest.mark.parametrize("epochs", range(READ_EPOCHS + 3))
def test_rotated_keys(pki: Pki, epochs: int) -> None:
    """Ticket keys rotate: those of the last epochs are read, none older, also not when the clock comes back."""
    pair = Pair(pki, server={"ticket_lifetime": 7 * 86400})
    pair.change(server={"tickets": TicketKeys(rotate=3600, clock=pair.clock)})
    pair.clock.now -= pair.clock.now % 3600
    pair.meet()
    ticket = pair.session()
    pair.clock.now += 3600 * epochs
    assert pair.resumed() is (epochs <= READ_EPOCHS)
    if epochs > READ_EPOCHS:
        pair.clock.now -= 3600 * epochs
        pair.store.put("localhost:", ticket)
        assert not pair.resumed()


# clocks -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 3652], ids=["a day", "ten years"])
@pytest.mark.parametrize("way", [1, -1], ids=["on", "back"])
@pytest.mark.parametrize("role", ["client", "server", "both"])
def test_clocks(pki: Pki, role: str, way: int, days: int) -> None:
    """A clock that jumps, at one side or both: what is too old or of tomorrow is not resumed, nothing breaks, and it heals."""
    ours, theirs = Clock(), Clock()
    careless: Fields = {"verify": Danger.accept_any_certificate, "trust": None, "clock": ours}
    pair = Pair(pki, careless, {"clock": theirs, "tickets": TicketKeys(clock=theirs), "early_data": LIMIT})
    pair.meet()
    for clock in {"client": [ours], "server": [theirs], "both": [ours, theirs]}[role]:
        clock.now += way * days * DAY
    for expected in (False, True):
        meeting = pair.meet(early_data=PAY)
        assert meeting.completed == (True, True), (meeting.client_error, meeting.server_error)
        assert meeting.client.info.resumed is meeting.server.info.resumed is expected
        check_open(meeting.client, meeting.server)
    ours.now = theirs.now
    pair.change({"session_store": MemoryStore()}, {"tickets": TicketKeys(clock=theirs), "replay": MemoryReplay(clock=theirs)})
    assert [pair.resumed(), pair.resumed()] == [False, True]
    assert pair.meet(early_data=PAY).server.info.early_data == PAY


# floods -------------------------------------------------------------------------------------------------------------------


def test_a_flood_of_tickets(pki: Pki) -> None:
    """Ticket flood: sixteen without data between, then it is over; of those that come, the newest few are kept."""
    pair = Pair(pki, server={"ticket_count": 0})
    client, server = pair.connections()
    talk(client, server)
    for _ in range(MAX_TICKETS):
        assert isinstance(server, ServerConnection)
        server.send_ticket()
    assert len(client.receive_data(server.data_to_send())) == MAX_TICKETS
    assert len([1 for _ in range(99) if pair.store.take("localhost:")]) == PER_KEY
    server.send_ticket()
    with pytest.raises(PeerMisbehaved, match="tickets without any data"):
        client.receive_data(server.data_to_send())
    assert pair.store.get("localhost:") is None


def test_a_client_that_wants_all_tickets(pki: Pki) -> None:
    """Ticket flood, the other way: a request for 255 is heard as one for a few (RFC 9149 section 5)."""
    meeting = Pair(pki, {"tickets_wanted": (255, 255)}).meet()
    assert len(tickets_of(meeting)) == MAX_COUNT


def test_a_hello_full_of_identities(pki: Pki) -> None:
    """A flood of PSKs: thousands cost no more than the few that are looked at."""

    def many(hello: Any) -> None:
        given = hello.extensions[X.pre_shared_key]
        others = tuple(PskIdentity(n.to_bytes(2, "big"), 0) for n in range(1500))
        hello.extensions[X.pre_shared_key] = OfferedPsks(
            others + given.identities, tuple(bytes(32) for _ in others) + given.binders
        )

    calls: list[bytes] = []
    pair = Pair(pki, {"psk": lambda _: (IDENTITY, KEY)}, {"psk": calls.append})
    start = time.process_time()
    meeting = pair.meet(client_lie=edit(ClientHello, many))
    assert time.process_time() - start < 1
    assert len(calls) == MAX_IDENTITIES
    assert meeting.server.info.signature_scheme is not None


@pytest.mark.parametrize("size", [LONGEST_TICKET, LONGEST_TICKET + 1, 65_000, 65_300, 65_500])
def test_a_huge_ticket(pki: Pki, size: int) -> None:
    """A server whose tickets do not fit a hello: they are not kept, and its next visitor comes as a stranger."""
    pair = Pair(pki, server={"ticket_count": 1})
    meeting = pair.meet(server_lie=edit(NewSessionTicket, lambda message: setattr(message, "ticket", bytes(size))))
    (received,) = tickets_of(meeting)
    assert (received.session is not None) is (size <= LONGEST_TICKET)
    meeting = pair.meet()
    assert len(identities(meeting.client)) == (size <= LONGEST_TICKET)
    assert meeting.completed == (True, True)


@pytest.mark.parametrize("refusal", [{"early_data": None}, {"send_cookie": True}], ids=["refused", "retry"])
def test_empty_records_instead_of_early_data(pki: Pki, refusal: Fields) -> None:
    """A flood of nothing: what is skipped is counted, headers and all."""
    pair = met(pki)
    flight = recorded(pair)
    pair.change(server=refusal)
    server = ServerConnection(pair.theirs)
    hear(server, flight + b"\x17\3\3\0\0" * 100_000, [])
    assert isinstance(server.error, PeerMisbehaved)


# secrets ------------------------------------------------------------------------------------------------------------------


def spellings(secret: bytes) -> list[str]:
    return [secret.hex(), repr(secret)[2:-1], base64.b64encode(secret).decode(), str(list(secret))[1:-1]]


def shown(secrets: set[bytes], text: str) -> list[bytes]:
    return [secret for secret in secrets if any(spelling in text for spelling in spellings(secret))]


def reachable(*roots: Any) -> list[Any]:
    """Every object of our own classes that hangs on these."""
    seen: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        ours = type(thing).__module__.partition(".")[0] == "minitls"
        if id(thing) not in seen and (ours or isinstance(thing, (list, tuple, dict, set))):
            seen[id(thing)] = thing
            waiting += [each for each in gc.get_referents(thing) if not isinstance(each, type)]
    return [thing for thing in seen.values() if type(thing).__module__.partition(".")[0] == "minitls"]


def secrets_of(things: list[Any]) -> set[bytes]:
    """What our own objects hide."""
    found: set[bytes] = set()
    for thing in things:
        for name in ("secret", "key", "_secret", "value"):
            value = getattr(thing, name, None)
            if isinstance(value, bytes) and len(value) >= 16:
                found.add(value)
    return found


def test_nothing_of_a_resumption_shows_a_secret(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Secrets in reprs and logs: sessions, tickets, PSKs, stores, configurations, events, whatever hangs on the connections."""
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    psk = ExternalPsk(IDENTITY, os.urandom(32))
    keys = TicketKeys(secret=os.urandom(32))
    pair = Pair(pki, {"psk": lambda _: psk}, {"psk": {}.get, "tickets": keys})
    pair.change(server={"early_data": LIMIT, "replay": MemoryReplay(clock=pair.clock)})
    first = pair.meet()
    pair.change({"key_log": lines.append}, {"key_log": lines.append})
    client, server = pair.connections(early_data=PAY)
    held = of_session(b"ticket", Remembered(pair.session(), ()))
    roots: list[Any] = [first, client, server, pair.ours, pair.theirs, pair.store, psk, keys, held, first.client_events]
    things = reachable(*roots)
    hear(server, client.data_to_send(), [])
    things += reachable(client, server)
    text = "\n".join(f"{thing!r} {thing}" for thing in things)
    meeting = talk(client, server)
    assert meeting.client.info.early_data_accepted
    after = reachable(meeting, meeting.client, meeting.server, meeting.client_events, meeting.server_events)
    text += "\n".join(f"{thing!r} {thing}" for thing in after)
    secrets = secrets_of(things + after) | {bytes.fromhex(line.split()[2]) for line in lines} | {psk.key, PAY}
    assert {"Session", "ExternalPsk", "TicketKeys", "Psk", "Remembered", "TicketReceived", "ClientConfig", "ServerConfig"} <= {
        type(thing).__name__ for thing in things + after
    }
    assert len(secrets) >= 15
    assert not shown(secrets - {PAY}, text)
    assert not caplog.records


@pytest.mark.parametrize("what", ["binder", "identity", "record"])
def test_errors_of_a_resumption_show_no_secret(pki: Pki, what: str) -> None:
    """Secrets in tracebacks: each way in which a PSK fails, printed as Python prints it."""
    psk, wrong = (ExternalPsk(IDENTITY, os.urandom(32)) for _ in range(2))

    def failing(_: bytes) -> ExternalPsk:
        raise Misuse("no database")

    lookup: Any = {"binder": {IDENTITY: wrong}.get, "identity": {}.get, "record": failing}[what]
    meeting = Pair(pki, {"psk": lambda _: psk}, {"psk": lookup, "credentials": ()}).meet()
    assert isinstance(meeting.server_error, TLSError)
    for side in meeting.client, meeting.server:
        text = "".join(traceback.format_exception(side.error)) + repr(side.error) + repr(getattr(side.error, "__dict__", ""))
        assert not shown({psk.key, wrong.key}, text)


def test_misuse_shows_no_secret() -> None:
    """Secrets in tracebacks: what is wrong with a key is said without the key."""
    for fields in ({"key": b"password"}, {"identity": b"", "key": KEY}, {"hash_name": "md5", "key": KEY}):
        with pytest.raises(Misuse) as caught:
            ExternalPsk(**{"identity": IDENTITY, **fields})  # type: ignore[arg-type]
        assert not shown({KEY, b"password"}, str(caught.value).replace("no password is one", ""))
