"""The record of what was used for 0-RTT data: once, whatever clocks and floods do."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitls import Misuse
from minitls.sessions.replay import BUCKET, MemoryReplay

START = 1_800_000_000.0
YEAR = 365 * 86400.0


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def record(size: int = 100) -> tuple[MemoryReplay, Clock]:
    clock = Clock()
    return MemoryReplay(size, clock=clock), clock


def test_once() -> None:
    replay, clock = record()
    assert replay.first_use(key(1), START, START + 60)
    assert not replay.first_use(key(1), START, START + 60)
    assert replay.first_use(key(2), START, START + 60)
    clock.now += 59
    assert not replay.first_use(key(1), START, START + 60)


@pytest.mark.parametrize("until", [START + 5, START + 59, START + 61, START + 3600])
def test_once_whatever_end_it_is_said_to_have(until: float) -> None:
    replay, _ = record()
    assert replay.first_use(key(1), START, START + 60)
    assert not replay.first_use(key(1), START, until)


def test_what_is_past_is_forgotten_and_not_taken_again() -> None:
    replay, clock = record()
    for number in range(50):
        assert replay.first_use(key(number), START, START + number + 1)
    clock.now += 50 + BUCKET
    assert not replay.first_use(key(0), START, START + 1)
    assert replay.first_use(key(99), START, clock.now + 1)
    assert repr(replay) == "<MemoryReplay: 1 of 100 uses>"
    assert len(replay._buckets) == 1


def test_what_would_be_forgotten_at_once_is_refused() -> None:
    replay, clock = record()
    assert not replay.first_use(key(1), START, clock.now)
    assert replay.first_use(key(1), START, clock.now + 0.001)


def test_a_full_record_refuses_until_some_are_past() -> None:
    replay, clock = record(3)
    assert [replay.first_use(key(number), START, START + 60) for number in range(5)] == [True, True, True, False, False]
    assert not replay.first_use(key(0), START, START + 60)
    clock.now += 60 + BUCKET
    assert replay.first_use(key(5), START, clock.now + 60)


def test_tickets_of_before_the_record() -> None:
    """RFC 8446 section 8: they may have been used before the start, and nobody remembers."""
    clock = Clock(START + 0.0005)
    replay = MemoryReplay(clock=clock)
    clock.now += 10
    assert not replay.first_use(key(1), START - 0.001, START + 60)
    assert not replay.first_use(key(1), START - YEAR, START + 60)
    assert replay.first_use(key(1), START, START + 60)  # tickets tell milliseconds


def test_a_clock_that_goes_forward_and_back() -> None:
    """What it forgot when it was ahead is not taken when it is right again."""
    for ahead in (60.0, 3600.0, 10 * YEAR):
        replay, clock = record()
        assert replay.first_use(key(1), START, START + 30)
        clock.now += ahead
        assert replay.first_use(key(2), clock.now, clock.now + 30)
        clock.now -= ahead
        assert not replay.first_use(key(1), START, START + 30)


def test_a_clock_that_goes_back() -> None:
    for back in (1.0, 3600.0, 10 * YEAR, START):
        replay, clock = record()
        assert replay.first_use(key(1), START, START + 30)
        clock.now -= back
        assert not replay.first_use(key(1), START, START + 30)
        assert replay.first_use(key(2), START, START + 30)
        clock.now += back
        assert not replay.first_use(key(2), START, START + 30)


def test_a_clock_that_was_wrong_at_the_start() -> None:
    """1970, until somebody asks for the time."""
    clock = Clock(5.0)
    replay = MemoryReplay(clock=clock)
    assert replay.first_use(key(1), 5.0, 65.0)
    clock.now = START
    assert replay.first_use(key(2), START, START + 60)
    assert not replay.first_use(key(2), START, START + 60)


steps = st.tuples(st.integers(0, 9), st.one_of(st.floats(-200, 200), st.sampled_from([-10 * YEAR, -YEAR, YEAR, 10 * YEAR])))


@given(st.lists(steps, max_size=60), st.integers(1, 8))
def test_never_twice(uses: list[tuple[int, float]], size: int) -> None:
    """Whatever the clock does, a ticket is good for one use, and the record has no more than its size."""
    replay, clock = record(size)
    accepted: Counter[int] = Counter()
    for number, step in uses:
        clock.now += step
        accepted[number] += replay.first_use(key(number), START + number, START + 40 * number)
        assert replay._live == sum(map(len, replay._buckets.values())) <= size
        assert len(replay._used) == replay._live + sum(map(len, replay._forgotten)) <= 2 * size
    assert max(accepted.values(), default=0) <= 1


def test_threads() -> None:
    replay, _ = record(1000)
    accepted: list[int] = []
    together = threading.Barrier(8)

    def use() -> None:
        together.wait()
        accepted.extend(number for number in range(500) if replay.first_use(key(number), START, START + 60))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(accepted) == list(range(500))


def test_no_key_shows() -> None:
    replay, _ = record()
    replay.first_use(b"\xaa" * 32, START, START + 60)
    assert repr(replay) == "<MemoryReplay: 1 of 100 uses>"


@pytest.mark.parametrize("size", [0, -1])
def test_a_record_of_nothing(size: int) -> None:
    with pytest.raises(Misuse, match="refuses everything"):
        MemoryReplay(size)
