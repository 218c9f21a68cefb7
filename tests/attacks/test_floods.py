"""Floods: what costs us and carries nothing is counted, and ends in unexpected_message; data in between starts the count anew."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from minitls import (
    Alert,
    ApplicationData,
    ClientConnection,
    Connection,
    Event,
    KeyUpdated,
    PeerMisbehaved,
    ServerConnection,
)
from minitls.connection import MAX_KEY_UPDATES, MAX_TICKETS, MAX_WARNINGS
from minitls.record.layer import MAX_EMPTY_RECORDS
from minitls.testing import memory_pair
from minitls.wire.codec import Extensions
from minitls.wire.messages import KeyUpdate, NewSessionTicket
from tests.conftest import Pki
from tests.liar import hear, seal_inner, write_handshake, write_record


def key_update(liar: Connection) -> None:
    liar.update_keys()


def key_update_request(liar: Connection) -> None:
    liar._update_asked = False
    liar.update_keys(request_peer=True)


def empty_record(liar: Connection) -> None:
    liar._output.append(seal_inner(liar, b"\x17"))


def padded_empty_record(liar: Connection) -> None:
    liar._output.append(seal_inner(liar, b"\x17" + bytes(500)))


def warning(liar: Connection) -> None:
    write_record(liar, 21, bytes((1, Alert.user_canceled)))


def ticket(liar: Connection) -> None:
    write_handshake(liar, NewSessionTicket(60, 1, b"", b"ticket", Extensions()))


FLOODS: dict[str, tuple[Callable[[Connection], None], int, str]] = {
    "KeyUpdate": (key_update, MAX_KEY_UPDATES, "too_many_key_updates"),
    "KeyUpdate with a request": (key_update_request, MAX_KEY_UPDATES, "too_many_key_updates"),
    "empty records": (empty_record, MAX_EMPTY_RECORDS, "empty_record"),
    "padded empty records": (padded_empty_record, MAX_EMPTY_RECORDS, "empty_record"),
    "warning alerts": (warning, MAX_WARNINGS, "too_many_warning_alerts"),
    "tickets": (ticket, MAX_TICKETS, "too_many_tickets"),
}
CASES = [(what, role) for what in FLOODS for role in ("server", "client") if (what, role) != ("tickets", "client")]


@pytest.mark.parametrize(("what", "role"), CASES)
def test_flood(pki: Pki, what: str, role: str) -> None:
    """Floods of KeyUpdate, empty records, warning alerts, tickets, from either role: 32 / 32 / 4 / 16, then fatal."""
    say, limit, reason = FLOODS[what]
    client, server = memory_pair(*pki.quick)
    liar, honest = (server, client) if role == "server" else (client, server)
    for _ in range(limit):
        say(liar)
        honest.receive_data(liar.data_to_send())
    liar.send_data(b"data")  # a pause: the peer does something useful
    assert ApplicationData(b"data") in honest.receive_data(liar.data_to_send())
    for _ in range(limit):
        say(liar)
        honest.receive_data(liar.data_to_send())
    assert honest.error is None
    say(liar)
    with pytest.raises(PeerMisbehaved) as caught:
        honest.receive_data(liar.data_to_send())
    assert (caught.value.alert, caught.value.reason) == (Alert.unexpected_message, reason)


def test_empty_records_between_warnings(pki: Pki) -> None:
    """An alert that is passed over is no pause."""
    client, server = memory_pair(*pki.quick)
    for turn in range(MAX_EMPTY_RECORDS + 1):
        if turn < MAX_WARNINGS:
            warning(server)
        empty_record(server)
    with pytest.raises(PeerMisbehaved) as caught:
        client.receive_data(server.data_to_send())
    assert (caught.value.alert, caught.value.reason) == (Alert.unexpected_message, "empty_record")


@pytest.mark.parametrize("what", [what for what, role in CASES if role == "server"])
def test_flood_in_one_piece(pki: Pki, what: str) -> None:
    """The same, a thousand of them in one read: no more is done than up to the limit."""
    say, limit, reason = FLOODS[what]
    client, server = memory_pair(*pki.quick)
    for _ in range(1000):
        say(server)
    events: list[Event] = []
    hear(client, server.data_to_send(), events)
    assert len(events) <= limit
    assert getattr(client.error, "reason", None) == reason
    assert len(client.data_to_send()) < 100


def test_key_update_replies_are_coalesced(pki: Pki) -> None:
    """A thousand requests, with data between them so that none is too many: one answer, however many came."""
    client, server = memory_pair(*pki.quick)
    for _ in range(1000):
        key_update_request(server)
        server.send_data(b"x")
    events = client.receive_data(server.data_to_send())
    assert events.count(KeyUpdated(True)) == 1000
    assert client.data_to_send() == b""
    client.send_data(b"y")
    answer = client.data_to_send()
    assert len(answer) == 27 + 23
    assert server.receive_data(answer) == [KeyUpdated(False), ApplicationData(b"y")]


def test_requests_do_not_fill_the_output(pki: Pki) -> None:
    """A peer that asks and never reads: nothing piles up while nothing is taken."""
    client, server = memory_pair(*pki.quick)
    for _ in range(1000):
        key_update_request(server)
        server.send_data(b"x")
        client.receive_data(server.data_to_send())
    assert client._output == []


def test_handshake_floods(pki: Pki) -> None:
    """Warnings before the hello, and one-byte records of it: counted, and linear."""
    server = ServerConnection(pki.quick[1])
    server.receive_data(b"\x15\3\3\0\2\1\x5a" * MAX_WARNINGS)
    with pytest.raises(PeerMisbehaved) as caught:
        server.receive_data(b"\x15\3\3\0\2\1\x5a")
    assert caught.value.reason == "too_many_warning_alerts"
    hello = ClientConnection(pki.quick[0], server_hostname="localhost").data_to_send()[5:]
    server = ServerConnection(pki.quick[1])
    start = time.process_time()
    server.receive_data(b"".join(b"\x16\3\3\0\1" + hello[at : at + 1] for at in range(len(hello))))
    assert time.process_time() - start < 0.2
    assert server.info.version == "TLSv1.3"


def test_updates_within_one_key(pki: Pki) -> None:
    """KeyUpdates packed into one record are one at most: the second would be under a key that is gone."""
    client, server = memory_pair(*pki.quick)
    write_handshake(server, *(KeyUpdate(1) for _ in range(100)))
    with pytest.raises(PeerMisbehaved) as caught:
        client.receive_data(server.data_to_send())
    assert caught.value.reason == "excess_handshake_data"
