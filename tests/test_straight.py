"""The straight way of plain data: it gives what the long way gives, and is taken only where nothing else can matter."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from minitls import ApplicationData, Connection, KeyUpdated, Misuse, PeerClosed, TLSError
from minitls.observe import DataSeen
from minitls.record.protection import MAX_PLAINTEXT
from minitls.testing import exchange, memory_pair
from tests.conftest import Pki
from tests.liar import seal_inner

SIZES = (1, 64, 1000, 2100, MAX_PLAINTEXT, MAX_PLAINTEXT + 1, 5 * MAX_PLAINTEXT, 20 * MAX_PLAINTEXT + 7)


def straight(side: Connection) -> tuple[bool, bool]:
    """Whether it reads and writes so."""
    return side._reads is not None, side._writes is not None


def data_of(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice(SIZES))


STEPS: dict[str, Callable[[Connection, random.Random], Any]] = {
    "data": lambda side, chance: side.send_data(data_of(chance)),
    "more data": lambda side, chance: side.send_data(bytearray(data_of(chance))),
    "a view": lambda side, chance: side.send_data(memoryview(data_of(chance))),
    "nothing": lambda side, chance: side.send_data(b""),
    "key update": lambda side, chance: side.update_keys(),
    "key update, please": lambda side, chance: side.update_keys(request_peer=True),
    "empty": lambda side, chance: side._output.append(seal_inner(side, b"\x17")),
    "padded": lambda side, chance: side._output.append(seal_inner(side, b"padded\x17" + bytes(chance.randrange(1, 900)))),
    "closed": lambda side, chance: side.close(),
    "noise": lambda side, chance: side._output.append(seal_inner(side, b"alert?\x15")),
    "forged": lambda side, chance: side._output.append(b"\x17\x03\x03\x00\x20" + bytes(32)),
}


def heard(side: Connection, wire: bytes, chance: random.Random, story: list[Any]) -> None:
    """Bring bytes to a side, chopped, and note what it says; neighbouring data is one."""
    at = 0
    while at < len(wire) and side.error is None:
        size = chance.choice((len(wire), 1 + chance.randrange(3000), 5, 70_000))
        try:
            events = side.receive_data(wire[at : at + size])
        except TLSError as error:
            story.append((error.alert, error.reason))
            return
        for event in events:
            if isinstance(event, ApplicationData) and story and isinstance(story[-1], bytearray):
                story[-1] += event.data
            elif isinstance(event, ApplicationData):
                story.append(bytearray(event.data))
            else:
                story.append(event if isinstance(event, (KeyUpdated, PeerClosed)) else type(event))
        at += size


@pytest.mark.parametrize("seed", range(40))
def test_both_ways_tell_the_same_story(pki: Pki, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of all sizes among everything else that a connection may see, well-formed or not, in pieces of any size."""
    told = []
    for way in ("straight", "long"):
        chance = random.Random(seed)
        pair = memory_pair(pki.client_config(), pki.server_config())
        if way == "long":
            monkeypatch.setattr(Connection, "_find_straight_ways", lambda self: None)
            for side in pair:
                side._reads = side._writes = None
        stories: tuple[list[Any], list[Any]] = ([], [])
        taken = False
        for turn in range(30):
            number, last = chance.randrange(2), turn >= 20
            step = chance.choices(list(STEPS), weights=[40, 10, 10, 3, 5, 5, 5, 5, last, last, last])[0]
            if not pair[number].write_closed and pair[number].error is None:
                STEPS[step](pair[number], chance)
            for to in (0, 1):
                heard(pair[to], pair[1 - to].data_to_send(), chance, stories[to])
            taken = taken or any(straight(side) == (True, True) for side in pair)
        assert taken is (way == "straight")
        told.append((stories, [side.data_to_send() == b"" for side in pair], [str(side.error) for side in pair]))
    assert told[0] == told[1]


def test_who_watches_is_told_of_each_piece(pki: Pki) -> None:
    seen: list[Any] = []
    client, server = memory_pair(pki.client_config(observer=seen.append), pki.server_config())
    for size in (1, 100, 100_000):
        client.send_data(bytes(size))
        exchange(client, server)
        server.send_data(bytes(size))
        exchange(client, server)
    assert [each.size for each in seen if isinstance(each, DataSeen) and each.sent] == [1, 100, 100_000]
    assert sum(each.size for each in seen if isinstance(each, DataSeen) and not each.sent) == 100_101
    assert straight(client) == (False, False)
    assert straight(server) == (True, True)


def test_limits_of_records_are_kept(pki: Pki) -> None:
    """RFC 8449: who asked for small records looks at each, and who was asked sends no others."""
    client, server = memory_pair(pki.client_config(record_size_limit=100), pki.server_config())
    for side in (client, server):
        side.send_data(bytes(1000))
    exchange(client, server)
    assert straight(client) == (False, True)
    assert straight(server) == (True, False)
    server._output.append(server._records.sealing.seal(23, bytes(101)))  # type: ignore[union-attr]
    with pytest.raises(TLSError, match="101 bytes"):
        exchange(client, server)


def test_padding_is_added(pki: Pki) -> None:
    client, _ = memory_pair(pki.client_config(record_padding=256), pki.server_config())
    for _ in range(3):
        client.send_data(b"x")
        assert len(client.data_to_send()) == 5 + 256 + 16
    assert straight(client) == (True, False)


def test_an_answer_to_key_update_goes_first(pki: Pki) -> None:
    """What is to be said before the data is said before it, under the key that it belongs to."""
    client, server = memory_pair(pki.client_config(), pki.server_config())
    for side in (client, server):
        side.send_data(b"data")
    exchange(client, server)
    client.update_keys(request_peer=True)
    server.receive_data(client.data_to_send())
    server.send_data(b"after")
    assert [type(event) for event in client.receive_data(server.data_to_send())] == [KeyUpdated, ApplicationData]
    client.send_data(b"and back")
    assert server.receive_data(client.data_to_send()) == [ApplicationData(b"and back")]


@pytest.mark.parametrize("size", [64, 10 * MAX_PLAINTEXT])
def test_nothing_after_the_end(pki: Pki, size: int) -> None:
    """Closed by us, by the peer, or by an error: the straight way ends with the connection."""

    def talking() -> tuple[Connection, Connection]:
        client, server = memory_pair(pki.client_config(), pki.server_config())
        for side in (client, server):
            side.send_data(b"data")
        exchange(client, server)
        assert straight(client) == straight(server) == (True, True)
        return client, server

    client, server = talking()
    client.close()
    with pytest.raises(Misuse, match="closed for writing"):
        client.send_data(bytes(size))
    server.send_data(bytes(size))
    assert sum(len(event.data) for event in client.receive_data(server.data_to_send())) == size  # type: ignore[union-attr]
    late = client._records.sealing.seal(23, bytes(min(size, MAX_PLAINTEXT)))  # type: ignore[union-attr]
    assert server.receive_data(client.data_to_send()) == [PeerClosed()]
    assert server.receive_data(late) == []

    client, server = talking()
    gone = ConnectionAbortedError("gone")
    server.send_data(bytes(size))
    client.abort(gone)
    with pytest.raises(ConnectionAbortedError):
        client.receive_data(server.data_to_send())
    with pytest.raises(Misuse):
        client.send_data(bytes(size))


def test_data_behind_what_failed_is_not_lost(pki: Pki) -> None:
    """What came whole before a fault is returned first, the error is raised by the next call."""
    for size in (64, 100_000):
        client, server = memory_pair(pki.client_config(), pki.server_config())
        client.send_data(b"data")
        exchange(client, server)
        client.send_data(bytes(size))
        wire = client.data_to_send() + b"\x17\x03\x03\x00\x20" + bytes(32)
        assert sum(len(event.data) for event in server.receive_data(wire)) == size  # type: ignore[union-attr]
        with pytest.raises(TLSError, match="does not authenticate"):
            server.receive_data(b"")


def test_a_record_that_can_never_come_is_not_waited_for(pki: Pki) -> None:
    """Its header says so, also on the straight way."""
    client, server = memory_pair(pki.client_config(), pki.server_config())
    client.send_data(b"data")
    exchange(client, server)
    assert straight(server)[0]
    client.send_data(b"data")
    assert server.receive_data(client.data_to_send() + b"\x17\x03\x03\x41\x01") == [ApplicationData(b"data")]
    assert server.error is not None
    assert "too long" in str(server.error)
