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
AT_ONCE = 256
"""So many forgotten uses are freed by one call: a handshake does not wait for all of a full record's."""


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
        self._live = 0  # of those in _used that are not forgotten
        self._buckets: dict[int, list[bytes]] = {}
        self._forgotten: list[list[bytes]] = []  # still in _used, and good for nothing
        self._first = 0  # the first bucket that is not forgotten
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MemoryReplay: {self._live} of {self._size} uses>"

    def first_use(self, key: bytes, issued: float, until: float) -> bool:
        """Whether ``key`` is used for the first time, as :class:`ReplayRecord` has it."""
        now, bucket = self._clock(), int(until // BUCKET)
        with self._lock:
            self._forget(int(now // BUCKET))
            if issued < self._began or until <= now or bucket < self._first or key in self._used or self._live >= self._size:
                return False
            self._used.add(key)
            self._live += 1
            self._buckets.setdefault(bucket, []).append(key)
            return True

    def _forget(self, first: int) -> None:
        """Drop the buckets before ``first``, and free some of what was dropped."""
        if first > self._first:
            self._first = first
            for past in [bucket for bucket in self._buckets if bucket < first]:
                self._live -= len(self._buckets[past])
                self._forgotten.append(self._buckets.pop(past))
        if self._forgotten:
            keys = self._forgotten[-1]
            self._used.difference_update(keys[-AT_ONCE:])
            del keys[-AT_ONCE:]
            if not keys:
                self._forgotten.pop()
