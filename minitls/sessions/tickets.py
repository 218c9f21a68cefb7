"""Tickets: a server's memory in the client's keeping, sealed with AES-256-GCM (RFC 5077 section 4).

A key serves for an epoch (``rotate`` seconds), those of the last two epochs are still read.  Keys are made at random and
forgotten, or derived from a secret that several processes share; they are never written anywhere by us.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from minitls.crypto.schedule import hkdf_expand, hkdf_extract
from minitls.errors import Misuse

KEY_NAME = 16
NONCE = 12
ROTATE = 12 * 3600
READ_EPOCHS = 2


class TicketKeys:
    """Seals and opens tickets.

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
        self._keys: dict[int, tuple[bytes, AESGCM]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<TicketKeys {'of this process' if self._secret is None else 'shared'}>"

    def seal(self, state: bytes) -> bytes:
        """A ticket that holds ``state``."""
        name, cipher = self._key(self._epoch(), make=True)  # type: ignore[misc]  # made where it was not
        nonce = os.urandom(NONCE)
        return name + nonce + cipher.encrypt(nonce, state, name)

    def open(self, ticket: bytes) -> bytes | None:
        """What the ticket holds, or None for one that is not ours, too old or damaged."""
        now, name = self._epoch(), ticket[:KEY_NAME]
        for epoch in range(now + 1, now - READ_EPOCHS - 1, -1):  # one to come: clocks of a service differ
            key = self._key(epoch, make=False)
            if key is None or key[0] != name:
                continue
            try:
                return key[1].decrypt(ticket[KEY_NAME : KEY_NAME + NONCE], ticket[KEY_NAME + NONCE :], name)
            except (InvalidTag, ValueError):
                return None
        return None

    def _epoch(self) -> int:
        return int(self._clock() // self._rotate)

    def _key(self, epoch: int, *, make: bool) -> tuple[bytes, AESGCM] | None:
        """An epoch's name and key.  At random, they exist once they were made."""
        with self._lock:
            if epoch not in self._keys:
                if self._secret is not None:
                    material = hkdf_expand("sha256", self._secret, epoch.to_bytes(8, "big"), KEY_NAME + 32)
                elif make:
                    material = os.urandom(KEY_NAME + 32)
                else:
                    return None
                self._keys[epoch] = (material[:KEY_NAME], AESGCM(material[KEY_NAME:]))
                for old in [known for known in self._keys if known < epoch - READ_EPOCHS]:
                    del self._keys[old]
            return self._keys[epoch]
