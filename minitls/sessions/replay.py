"""0-RTT data may be recorded and sent again by anybody: a record of what was accepted tells (RFC 8446 section 8)."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from minitls.errors import Misuse

SIZE = 65536
BUCKET = 10
"""Seconds: uses are forgotten together with those that end at about the same time."""


class ReplayRecord(Protocol):
    """Which tickets were used for 0-RTT data lately.  May be async."""

    def first_use(self, key: bytes, issued: float, until: float) -> Awaitable[bool] | bool:
        """Whether ``key`` (32 bytes, of a ticket) is used for the first time; then it is remembered until ``until``.

        ``issued``: when the ticket was given out; both in seconds since the epoch.  False, too, where nobody can know: the record
        is full, or began after the ticket was issued.
        """


class MemoryReplay:
    """Single use within this process (RFC 8446 section 8.1), of ``size`` tickets at a time; may be shared by threads.

    What it cannot vouch for, it refuses, which costs the client one round trip:

    1. A ticket issued before the record began may have been used before that (section 8: after a start, such are refused).
    2. A full record refuses, and forgets nobody early: otherwise a flood would make room for a replay.
    3. What was forgotten is not taken again, also by a clock that went forward and came back: no use is accepted that ends before
       the last one that was forgotten.
    """

    def __init__(self, size: int = SIZE, *, clock: Callable[[], float] = time.time) -> None:
        if size < 1:
            raise Misuse(f"a record of {size} uses refuses everything")
        self._size = size
        self._clock = clock
        self._began = int(clock() * 1000) / 1000  # tickets tell milliseconds
        self._used: set[bytes] = set()
        self._buckets: dict[int, list[bytes]] = {}
        self._first = 0  # the first bucket that is not forgotten
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MemoryReplay: {len(self._used)} of {self._size} uses>"

    def first_use(self, key: bytes, issued: float, until: float) -> bool:
        """Whether ``key`` is used for the first time, as :class:`ReplayRecord` has it."""
        now, bucket = self._clock(), int(until // BUCKET)
        with self._lock:
            self._forget(int(now // BUCKET))
            if issued < self._began or until <= now or bucket < self._first or key in self._used or len(self._used) >= self._size:
                return False
            self._used.add(key)
            self._buckets.setdefault(bucket, []).append(key)
            return True

    def _forget(self, first: int) -> None:
        """Drop the buckets before ``first``."""
        if first <= self._first:
            return
        self._first = first
        for past in [bucket for bucket in self._buckets if bucket < first]:
            self._used.difference_update(self._buckets.pop(past))
