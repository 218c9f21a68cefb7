"""Tickets: a server's memory in the client's keeping, sealed with AES-256-GCM (RFC 5077 section 4, RFC 8446 section 4.6.1).

A key serves for an epoch (``rotate`` seconds), those of the last two epochs are still read.  Keys are made at random and
forgotten, or derived from a secret that several processes share; they are never written anywhere by us.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from minitls.crypto.schedule import hkdf_expand, hkdf_extract
from minitls.errors import Misuse
from minitls.sessions.replay import MemoryReplay

KEY_NAME = 16
NONCE = 12
MATERIAL = KEY_NAME + 32
ROTATE = 12 * 3600
READ_EPOCHS = 2


class Tickets(Protocol):
    """Who seals and opens tickets for a server.  Each method may be async."""

    def seal(self, state: bytes) -> Awaitable[bytes | None] | bytes | None:
        """A ticket that holds ``state``; None where there can be none now."""

    def open(self, ticket: bytes) -> Awaitable[bytes | None] | bytes | None:
        """What the ticket holds, or None for one that is not ours, too old or damaged."""


class TicketKey:
    """The key of one epoch, made of ``MATERIAL`` random bytes, and the name by which its tickets ask for it."""

    __slots__ = ("_cipher", "name")

    def __init__(self, material: bytes) -> None:
        self.name = material[:KEY_NAME]
        self._cipher = AESGCM(material[KEY_NAME:])

    def seal(self, state: bytes) -> bytes:
        """A ticket that holds ``state``: name, nonce, ciphertext and tag."""
        nonce = os.urandom(NONCE)
        return self.name + nonce + self._cipher.encrypt(nonce, state, self.name)

    def open(self, ticket: bytes) -> bytes | None:
        """What a ticket of this name holds, or None for a damaged one."""
        try:
            return self._cipher.decrypt(ticket[KEY_NAME : KEY_NAME + NONCE], ticket[KEY_NAME + NONCE :], ticket[:KEY_NAME])
        except (InvalidTag, ValueError):
            return None


def epochs_read(now: int) -> range:
    """The epochs whose tickets are read in epoch ``now``: one is to come, because the clocks of a service differ."""
    return range(now + 1, now - READ_EPOCHS - 1, -1)


class TicketKeys:
    """Keys in this process's memory.

    ``secret``: at least 32 bytes that all processes of a service have; None: keys of this process alone.
    """

    def __init__(self, *, secret: bytes | None = None, rotate: float = ROTATE, clock: Callable[[], float] = time.time) -> None:
        if secret is not None and len(secret) < 32:
            raise Misuse("a secret for ticket keys has at least 32 bytes")
        if not rotate > 0:
            raise Misuse(f"ticket keys rotate after some seconds, not after {rotate!r}")
        self._secret = None if secret is None else hkdf_extract("sha256", b"minitls ticket keys", secret)
        self._rotate = rotate
        self._clock = clock
        self._keys: dict[int, TicketKey] = {}
        self._lock = threading.Lock()
        self._replay: MemoryReplay | None = None

    def __repr__(self) -> str:
        return f"<TicketKeys {'of this process' if self._secret is None else 'shared'}>"

    def replay_record(self, clock: Callable[[], float]) -> MemoryReplay:
        """Which tickets of these keys were used for 0-RTT data: one record, begun at the first call, for all who have this object.

        ``clock``: the one that tickets' times are by.
        """
        with self._lock:
            self._replay = self._replay or MemoryReplay(clock=clock)
            return self._replay

    @property
    def shared(self) -> bool:
        """Whether others may have the same keys."""
        return self._secret is not None

    def seal(self, state: bytes) -> bytes:
        """A ticket that holds ``state``."""
        key = self._key(self._epoch(), make=True)
        assert key is not None  # made where it was not
        return key.seal(state)

    def open(self, ticket: bytes) -> bytes | None:
        """What the ticket holds, or None for one that is not ours, too old or damaged."""
        for epoch in epochs_read(self._epoch()):
            key = self._key(epoch, make=False)
            if key is not None and key.name == ticket[:KEY_NAME]:
                return key.open(ticket)
        return None

    def _epoch(self) -> int:
        return int(self._clock() // self._rotate)

    def _key(self, epoch: int, *, make: bool) -> TicketKey | None:
        """An epoch's name and key.  At random, they exist once they were made."""
        with self._lock:
            if epoch not in self._keys:
                if self._secret is not None:
                    material = hkdf_expand("sha256", self._secret, epoch.to_bytes(8, "big"), MATERIAL)
                elif make:
                    material = os.urandom(MATERIAL)
                else:
                    return None
                self._keys[epoch] = TicketKey(material)
                for old in [known for known in self._keys if known < epoch - READ_EPOCHS]:
                    del self._keys[old]
            return self._keys[epoch]
