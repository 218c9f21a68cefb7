"""TLS 1.2's key derivation (RFC 5246 sections 5, 6.3 and 8.1; RFC 7627 for the extended master secret).

::

    premaster secret --PRF over both randoms, or over the handshake's hash--> master secret
    master secret ----PRF over both randoms--> key block: MAC keys, keys and IVs of both sides
    master secret ----PRF over the handshake's hash--> Finished's verify_data, each side's own
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from minitls.errors import Misuse

VERIFY_DATA_LENGTH = 12
MASTER_SECRET_LENGTH = 48


def prf(hash_name: str, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """PRF(secret, label, seed) of RFC 5246 section 5: P_hash, HMAC upon HMAC."""
    seed = label + seed
    out, a = b"", seed
    while len(out) < length:
        a = hmac.digest(secret, a, hash_name)
        out += hmac.digest(secret, a + seed, hash_name)
    return out[:length]


class KeyBlock(NamedTuple):
    """RFC 5246 section 6.3: what each side protects its records with; MAC keys and IVs are empty where a cipher has none."""

    client_mac: bytes
    server_mac: bytes
    client_key: bytes
    server_key: bytes
    client_iv: bytes
    server_iv: bytes

    def __repr__(self) -> str:
        return "<KeyBlock>"


class MasterSecret:
    """RFC 5246 section 8.1.  No secret shows in its repr.

    ``extended``: made of the handshake's hash, and so bound to this one handshake (RFC 7627).
    """

    __slots__ = ("_secret", "extended", "hash_name")

    def __init__(self, hash_name: str, secret: bytes, *, extended: bool) -> None:
        self.hash_name = hash_name
        self._secret = secret
        self.extended = extended

    def __repr__(self) -> str:
        return f"<MasterSecret {self.hash_name}{' extended' if self.extended else ''}>"

    @classmethod
    def of_randoms(cls, hash_name: str, premaster: bytes, client_random: bytes, server_random: bytes) -> MasterSecret:
        secret = prf(hash_name, premaster, b"master secret", client_random + server_random, MASTER_SECRET_LENGTH)
        return cls(hash_name, secret, extended=False)

    @classmethod
    def of_handshake(cls, hash_name: str, premaster: bytes, session_hash: bytes) -> MasterSecret:
        """RFC 7627 section 4: over all messages up to and with ClientKeyExchange."""
        secret = prf(hash_name, premaster, b"extended master secret", session_hash, MASTER_SECRET_LENGTH)
        return cls(hash_name, secret, extended=True)

    @property
    def value(self) -> bytes:
        return self._secret

    def key_block(self, client_random: bytes, server_random: bytes, mac: int, key: int, iv: int) -> KeyBlock:
        """``mac``, ``key``, ``iv``: lengths in bytes."""
        block = prf(self.hash_name, self._secret, b"key expansion", server_random + client_random, 2 * (mac + key + iv))
        parts = []
        at = 0
        for length in (mac, mac, key, key, iv, iv):
            parts.append(block[at : at + length])
            at += length
        return KeyBlock(*parts)

    def client_verify_data(self, handshake_hash: bytes) -> bytes:
        """RFC 5246 section 7.4.9."""
        return prf(self.hash_name, self._secret, b"client finished", handshake_hash, VERIFY_DATA_LENGTH)

    def server_verify_data(self, handshake_hash: bytes) -> bytes:
        """RFC 5246 section 7.4.9."""
        return prf(self.hash_name, self._secret, b"server finished", handshake_hash, VERIFY_DATA_LENGTH)

    def export(self, label: str, context: bytes | None, length: int, client_random: bytes, server_random: bytes) -> bytes:
        """RFC 5705 section 4.  Without a context is not the same as with an empty one.  Raises Misuse for a label of TLS's own."""
        if label in ("client finished", "server finished", "master secret", "key expansion", "extended master secret"):
            raise Misuse(f"{label!r} is a label of TLS itself", rule="RFC 5705 4")
        seed = client_random + server_random
        if context is not None:
            seed += len(context).to_bytes(2, "big") + context
        return prf(self.hash_name, self._secret, label.encode("ascii"), seed, length)
