"""Tickets that the suite can look into, and tickets by a callback."""

from __future__ import annotations

import os
import struct
from collections.abc import Awaitable

from cryptography.hazmat.primitives import hashes, hmac, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from minitls import Session
from minitls.data import replace
from minitls.sessions.tickets import Tickets

KEY = bytes(48)
"""Name, HMAC's key and AES's of the tickets that the runner can open (its shim_ticket.go)."""
NAME, TAG, BLOCK = 16, 32, 16
HEADER = bytes.fromhex("020101 0202")
"""In front of a session: DER's INTEGER 1, and how its INTEGER version begins; an OCTET STRING has the cipher suite."""


class SuiteTickets:
    """Tickets in a form that the runner opens, alters and seals again: version and cipher suite stand before the session.

    It seals with a key that the suite has, as RFC 5077 section 4 recommends, and writes just as much DER as the runner reads.
    """

    def seal(self, state: bytes) -> bytes:
        session = Session.from_bytes(state)
        body = HEADER + session.version.to_bytes(2, "big") + b"\x04\x02" + session.cipher_suite.to_bytes(2, "big") + state
        sequence = b"\x30" + der_length(len(body)) + body
        padder, iv = padding.PKCS7(8 * BLOCK).padder(), os.urandom(BLOCK)
        encryptor = Cipher(algorithms.AES(KEY[32:]), modes.CBC(iv)).encryptor()
        sealed = KEY[:NAME] + iv + encryptor.update(padder.update(sequence) + padder.finalize())
        return sealed + self._tag(sealed)

    def open(self, ticket: bytes) -> bytes | None:
        sealed, tag = ticket[:-TAG], ticket[-TAG:]
        if sealed[:NAME] != KEY[:NAME] or self._tag(sealed) != tag:
            return None
        decryptor = Cipher(algorithms.AES(KEY[32:]), modes.CBC(sealed[NAME : NAME + BLOCK])).decryptor()
        unpadder = padding.PKCS7(8 * BLOCK).unpadder()
        sequence = unpadder.update(decryptor.update(sealed[NAME + BLOCK :])) + unpadder.finalize()
        body = sequence[2 + max(0, sequence[1] - 0x80) :]
        version, cipher_suite = struct.unpack_from("!HxxH", body, len(HEADER))
        session = Session.from_bytes(body[len(HEADER) + 6 :])
        return replace(session, version=version, cipher_suite=cipher_suite).to_bytes()

    def _tag(self, sealed: bytes) -> bytes:
        mac = hmac.HMAC(KEY[NAME:32], hashes.SHA256())
        mac.update(sealed)
        return mac.finalize()


def der_length(length: int) -> bytes:
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return octets if length < 0x80 else bytes((0x80 + len(octets),)) + octets


class CallbackTickets:
    """Those of another, by a callback; ``skip``: that gives none."""

    def __init__(self, tickets: Tickets, *, skip: bool) -> None:
        self._tickets = tickets
        self._skip = skip

    def seal(self, state: bytes) -> Awaitable[bytes | None] | bytes | None:
        return None if self._skip else self._tickets.seal(state)

    def open(self, ticket: bytes) -> Awaitable[bytes | None] | bytes | None:
        return self._tickets.open(ticket)
