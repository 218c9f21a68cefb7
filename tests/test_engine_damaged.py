"""Damage on the way: each byte flipped, each record dropped, repeated or swapped, and random mutation.

Whatever it is, a handshake fails with one TLSError on a side, or stalls; both sides never complete with different views, no
data arrives that was not sent, and no exception comes that is no TLSError.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from minitls import Alert, ApplicationData, ClientConnection, Connection, Event, ServerConnection, TLSError, TruncationError
from minitls.wire.numbers import ContentType
from tests.conftest import Pki
from tests.liar import hear

Damage = Callable[[bytes], bytes]
"""Applied to all that one side sends, from its first byte to its last."""

HELLO, ANSWER = b"may I come in?", b"yes, do"


class Wire:
    """What carries one side's bytes, and may change them: ``damage`` gets each byte once, with where it stands."""

    def __init__(self, damage: Callable[[int, bytes], bytes] | None = None) -> None:
        self.damage = damage
        self.position = 0
        self.carried: list[bytes] = []

    def carry(self, data: bytes) -> bytes:
        at, self.position = self.position, self.position + len(data)
        arrived = self.damage(at, data) if self.damage and data else data
        self.carried.append(arrived)
        return arrived


class Visit:
    """A handshake with client authentication, a question, an answer, and a close from both, over two wires."""

    def __init__(self, pki: Pki, to_server: Wire, to_client: Wire) -> None:
        ours, theirs = pki.quick
        self.client, self.server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
        self.to_server, self.to_client = to_server, to_client
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self.talk()
        self.say(self.client, HELLO)
        self.say(self.server, ANSWER)
        for side in self.client, self.server:
            if side.error is None and side.handshake_completed:
                side.close()
        self.talk()

    def say(self, side: Connection, data: bytes) -> None:
        if side.error is None and side.handshake_completed:
            side.send_data(data)
        self.talk()

    def talk(self) -> None:
        while True:
            to_server = self.to_server.carry(self.client.data_to_send())
            to_client = self.to_client.carry(self.server.data_to_send())
            if not to_server and not to_client:
                return
            hear(self.server, to_server, self.server_events)
            hear(self.client, to_client, self.client_events)

    def check(self, what: object) -> bool:
        """The promise of this module; gives whether anybody noticed."""
        for side, events, said in (
            (self.client, self.client_events, ANSWER),
            (self.server, self.server_events, HELLO),
        ):
            assert side.error is None or isinstance(side.error, TLSError), (what, side.error)
            got = b"".join(event.data for event in events if isinstance(event, ApplicationData))
            assert said.startswith(got), (what, got)
            assert got in (b"", said) or side.error, what
        sides = self.client, self.server
        if all(side.info.timing.completed is not None for side in sides):
            views = [self.view(side) for side in sides]
            assert views[0] == views[1], what
        noticed = any(side.error is not None for side in sides)
        if not noticed and not all(side.peer_closed for side in sides):  # somebody waits for the rest: it never comes
            waiting = next(side for side in sides if not side.peer_closed)
            with pytest.raises(TruncationError):
                waiting.receive_eof()
            noticed = True
        return noticed

    @staticmethod
    def view(side: Connection) -> tuple[Any, ...]:
        info = side.info
        agreed = (
            info.version,
            info.cipher_suite,
            info.group,
            info.server_name,
            info.signature_scheme,
            info.client_signature_scheme,
        )
        return *agreed, info.export_keying_material("view", b"", 32)


@pytest.fixture(scope="module")
def honest(pki: Pki) -> Visit:
    visit = Visit(pki, Wire(), Wire())
    assert not visit.check("nothing")
    assert visit.client.peer_closed
    assert visit.server.peer_closed
    return visit


def records(stream: bytes) -> list[tuple[int, int]]:
    """Where each record of a stream begins and ends."""
    found, at = [], 0
    while at < len(stream):
        end = at + 5 + int.from_bytes(stream[at + 3 : at + 5], "big")
        found.append((at, end))
        at = end
    return found


def versions_of_plaintext_records(stream: bytes) -> set[int]:
    """The bytes that are ignored: legacy_record_version where nothing authenticates it (RFC 8446 section 5.1).

    In the first record its first byte tells TLS from other protocols.
    """
    plain = [at for at, _ in records(stream) if stream[at] != ContentType.application_data]
    return {at + 2 for at in plain} | {at + 1 for at in plain[1:]}


def flip(position: int, mask: int) -> Callable[[int, bytes], bytes]:
    def damage(at: int, data: bytes) -> bytes:
        if not at <= position < at + len(data):
            return data
        flipped = bytearray(data)
        flipped[position - at] ^= mask
        return bytes(flipped)

    return damage


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_each_byte_flipped(pki: Pki, honest: Visit, direction: str) -> None:
    stream = b"".join(getattr(honest, direction).carried)
    ignored = versions_of_plaintext_records(stream)
    for position in range(len(stream)):
        for mask in (1 << position % 8, 0xFF):
            wires = {"to_server": Wire(), "to_client": Wire(), direction: Wire(flip(position, mask))}
            visit = Visit(pki, **wires)
            assert visit.check((position, mask)) or position in ignored, (position, mask)


Edit = Callable[[list[bytes], random.Random], list[bytes]]
EDITS: dict[str, Edit] = {
    "flip": lambda rs, dice: [r[: (k := dice.randrange(len(r)))] + bytes((r[k] ^ dice.randint(1, 255),)) + r[k + 1 :] for r in rs],
    "cut": lambda rs, dice: [r[: dice.randrange(len(r))] for r in rs],
    "grow": lambda rs, dice: [r + dice.randbytes(dice.randint(1, 50)) for r in rs],
    "insert": lambda rs, dice: [r[: (k := dice.randrange(len(r)))] + dice.randbytes(dice.randint(1, 9)) + r[k:] for r in rs],
    "delete": lambda rs, dice: [r[: (k := dice.randrange(len(r)))] + r[k + dice.randint(1, 9) :] for r in rs],
    "zero": lambda rs, dice: [r[: (k := dice.randrange(len(r)))] + bytes(len(r) - k) for r in rs],
    "drop": lambda rs, dice: [],
    "repeat": lambda rs, dice: rs + rs,
    "random": lambda rs, dice: [b"\x17\x03\x03" + len(r).to_bytes(2, "big") + dice.randbytes(len(r)) for r in rs],
    "type": lambda rs, dice: [bytes((dice.choice((0, 20, 21, 22, 23, 24, 255)),)) + r[1:] for r in rs],
    "resize": lambda rs, dice: [r[:3] + dice.randbytes(2) + r[5:] for r in rs],
}


def mutate(seed: int) -> Callable[[int, bytes], bytes]:
    """Change one to three records of a side's stream, somehow."""
    dice = random.Random(seed)
    chosen = {dice.randrange(7) for _ in range(dice.randint(1, 3))}
    number = 0

    def damage(at: int, data: bytes) -> bytes:
        nonlocal number
        out = []
        for start, end in records(data):
            record = [data[start:end]]
            out += EDITS[dice.choice(sorted(EDITS))](record, dice) if number in chosen else record
            number += 1
        return b"".join(out)

    return damage


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_random_mutation(pki: Pki, direction: str) -> None:
    for seed in range(700):
        Visit(pki, **{"to_server": Wire(), "to_client": Wire(), direction: Wire(mutate(seed))}).check(seed)


REARRANGEMENTS: dict[str, Callable[[list[bytes], int], list[bytes]]] = {
    "dropped": lambda flight, n: flight[:n] + flight[n + 1 :],
    "repeated": lambda flight, n: flight[: n + 1] + flight[n:],
    "swapped": lambda flight, n: flight[:n] + flight[n : n + 2][::-1] + flight[n + 2 :],
    "replayed later": lambda flight, n: [*flight, flight[n]],
    "replayed earlier": lambda flight, n: [flight[n], *flight],
}


class Rearranged(Wire):
    """Does something to the ``position``-th record, within the flight that it stands in.

    ``harmless``: nothing changed, or only ChangeCipherSpec's place, which means nothing.
    """

    def __init__(self, position: int, change: Callable[[list[bytes], int], list[bytes]]) -> None:
        super().__init__(self.rearrange)
        self.left = position
        self.change = change
        self.harmless = True

    def rearrange(self, at: int, data: bytes) -> bytes:
        flight = [data[start:end] for start, end in records(data)]
        here, self.left = self.left, self.left - len(flight)
        if not 0 <= here < len(flight):
            return data
        changed = self.change(flight, here)
        means = [[r for r in each if r[0] != ContentType.change_cipher_spec] for each in (flight, changed)]
        self.harmless = means[0] == means[1]
        return b"".join(changed)


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("change", REARRANGEMENTS)
def test_each_record(pki: Pki, honest: Visit, direction: str, change: str) -> None:
    """Dropped, repeated, swapped, replayed: noticed, but for what comes after close_notify."""
    count = len(records(b"".join(getattr(honest, direction).carried)))
    for position in range(count):
        wire = Rearranged(position, REARRANGEMENTS[change])
        visit = Visit(pki, **{"to_server": Wire(), "to_client": Wire(), direction: wire})
        noticed = visit.check(position)
        behind_close = position == count - 1 and change not in ("dropped", "swapped")
        assert noticed or wire.harmless or behind_close, position


# without a peer: bytes in, TLSError or events out ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["client", "server"])
def test_garbage(pki: Pki, role: str) -> None:
    """Random bytes, with and without a record's header around them."""
    ours, theirs = pki.quick
    for seed in range(1500):
        dice = random.Random(seed)
        side: Connection = ClientConnection(ours, server_hostname="localhost") if role == "client" else ServerConnection(theirs)
        side.data_to_send()
        data = dice.randbytes(dice.randint(1, 200))
        if seed % 3:
            data = bytes((dice.choice((20, 21, 22, 22, 22, 23)), 3, 3)) + len(data).to_bytes(2, "big") + data
        if seed % 3 == 2:
            body = data[5:]
            kind = bytes((dice.choice((1, 2, 2, 8, 11, 13, 15, 20)),))
            data = b"\x16\x03\x03" + (len(body) + 4).to_bytes(2, "big") + kind + len(body).to_bytes(3, "big") + body
        hear(side, data, [])
        if side.error is None:
            continue
        assert isinstance(side.error, TLSError), seed
        assert isinstance(side.error.alert, Alert | None)
        sent = side.data_to_send()
        assert not sent or (sent[0] == 21 and len(sent) == 7), seed
