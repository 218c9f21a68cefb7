"""TLS 1.3's key schedule (RFC 8446 section 7), as stages that have only the legal next steps.

::

    EarlySecret --shared secret--> HandshakeSecret ----> MainSecret
        |                              |                    |
    binder key,                   client/server        client/server application traffic,
    early traffic                 handshake traffic    exporter, resumption

A stage makes :class:`TrafficSecret` objects; those make record keys, Finished's verify_data and their own successor.
No secret shows in a repr.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from minitls.errors import Misuse

_HASHES: dict[str, hashes.HashAlgorithm] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
"""Those of the cipher suites (RFC 8446 appendix B.4)."""


def hkdf_extract(hash_name: str, salt: bytes, key: bytes) -> bytes:
    """RFC 5869 section 2.2."""
    return hmac.digest(salt, key, hash_name)


def hkdf_expand(hash_name: str, secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 section 2.3.  One block is all that TLS itself asks for; exporters may ask for more."""
    block = hmac.digest(secret, info + b"\x01", hash_name)
    if length <= len(block):
        return block[:length]
    if length > 255 * len(block):
        raise Misuse(f"at most {255 * len(block)} bytes can be derived, not {length}", rule="RFC 5869 2.3")
    out = block
    for counter in range(2, -(-length // len(block)) + 1):
        block = hmac.digest(secret, block + info + bytes((counter,)), hash_name)
        out += block
    return out[:length]


@cache
def _label_prefix(label: bytes, length: int, context_length: int) -> bytes:
    """The HkdfLabel up to its context (RFC 8446 section 7.1): the same few for every connection."""
    full = b"tls13 " + label
    return length.to_bytes(2, "big") + bytes((len(full),)) + full + bytes((context_length,))


def hkdf_expand_label(hash_name: str, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """RFC 8446 section 7.1.  Not for labels of strangers' choice: those of the RFCs are cached for good."""
    info = _label_prefix(label, length, len(context)) + context
    if length <= hash_length(hash_name):  # as nearly always: the one block is written here, for a handshake needs some twenty
        return hmac.digest(secret, info + b"\x01", hash_name)[:length]
    return hkdf_expand(hash_name, secret, info, length)


def hkdf_expand_labels(hash_name: str, secret: bytes, *wanted: tuple[bytes, bytes, int]) -> list[bytes]:
    """Several of one secret, each a label, a context and a length of one block at most: HMAC takes the key in only once."""
    keyed, found = HMAC(secret, _HASHES[hash_name]), []
    for label, context, length in wanted:
        running = keyed.copy()
        running.update(_label_prefix(label, length, len(context)) + context + b"\x01")
        found.append(running.finalize()[:length])
    return found


@cache
def hash_length(hash_name: str) -> int:
    return hashlib.new(hash_name).digest_size


@cache
def empty_hash(hash_name: str) -> bytes:
    return hashlib.new(hash_name).digest()


class _Stage:
    """One of the schedule's secrets, of the hash that the cipher suite names."""

    __slots__ = ("_salt", "_secret", "hash_name")

    def __init__(self, hash_name: str, secret: bytes) -> None:
        self.hash_name = hash_name
        self._secret = secret
        self._salt = b""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.hash_name}>"

    def _derive(self, label: bytes, transcript_hash: bytes) -> bytes:
        """Derive-Secret (RFC 8446 section 7.1), of a transcript already hashed."""
        return hkdf_expand_label(self.hash_name, self._secret, label, transcript_hash, len(transcript_hash))

    def _next(self, key: bytes) -> bytes:
        self._salt = self._salt or self._derive(b"derived", empty_hash(self.hash_name))
        return hkdf_extract(self.hash_name, self._salt, key)

    def _traffic(self, transcript_hash: bytes, *wanted: tuple[bytes, str]) -> list[TrafficSecret]:
        """By their labels and the names that key logs have for them."""
        labels = [(label, transcript_hash, len(transcript_hash)) for label, _ in wanted]
        values = hkdf_expand_labels(self.hash_name, self._secret, *labels)
        return [TrafficSecret(self.hash_name, value, key_log) for value, (_, key_log) in zip(values, wanted, strict=True)]


class EarlySecret(_Stage):
    """HKDF-Extract(0, PSK): where the schedule starts, with or without a PSK.

    ``RESUMPTION``, ``EXTERNAL``, ``IMPORTED`` (RFC 9258 section 5.2): what binders are labelled with, by where the PSK is from.
    """

    RESUMPTION = b"res binder"
    EXTERNAL = b"ext binder"
    IMPORTED = b"imp binder"

    __slots__ = ()

    def __init__(self, hash_name: str, psk: bytes | None = None) -> None:
        zeros = bytes(hash_length(hash_name))
        super().__init__(hash_name, hkdf_extract(hash_name, zeros, zeros if psk is None else psk))

    @staticmethod
    @cache
    def without_psk(hash_name: str) -> EarlySecret:
        """The one that every handshake without a PSK begins with: it holds no secret."""
        return EarlySecret(hash_name)

    def binder(self, label: bytes, transcript_hash: bytes) -> bytes:
        """Who offers the PSK has it, and said what was said (section 4.2.11.2).  Over the hello up to its binders."""
        (secret,) = self._traffic(empty_hash(self.hash_name), (label, ""))
        return secret.verify_data(transcript_hash)

    def client_traffic(self, transcript_hash: bytes) -> TrafficSecret:
        """Over ClientHello."""
        (secret,) = self._traffic(transcript_hash, (b"c e traffic", "CLIENT_EARLY_TRAFFIC_SECRET"))
        return secret

    def handshake_secret(self, shared_secret: bytes | None) -> HandshakeSecret:
        """With the (EC)DHE or hybrid shared secret; None for psk_ke, which has none."""
        return HandshakeSecret(self.hash_name, self._next(shared_secret or bytes(hash_length(self.hash_name))))


class HandshakeSecret(_Stage):
    __slots__ = ()

    def traffic(self, transcript_hash: bytes) -> tuple[TrafficSecret, TrafficSecret]:
        """The client's and the server's, over ClientHello...ServerHello."""
        client, server = self._traffic(
            transcript_hash,
            (b"c hs traffic", "CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
            (b"s hs traffic", "SERVER_HANDSHAKE_TRAFFIC_SECRET"),
        )
        return client, server

    def main_secret(self) -> MainSecret:
        return MainSecret(self.hash_name, self._next(bytes(hash_length(self.hash_name))))


class MainSecret(_Stage):
    """RFC 8446 calls it the Master Secret, RFC 9846 the Main Secret."""

    __slots__ = ()

    def traffic(self, transcript_hash: bytes) -> tuple[TrafficSecret, TrafficSecret]:
        """The client's and the server's, over ClientHello...server Finished."""
        client, server = self._traffic(
            transcript_hash, (b"c ap traffic", "CLIENT_TRAFFIC_SECRET_0"), (b"s ap traffic", "SERVER_TRAFFIC_SECRET_0")
        )
        return client, server

    def exporter(self, transcript_hash: bytes) -> ExporterSecret:
        """Over ClientHello...server Finished."""
        return ExporterSecret(self.hash_name, self._derive(b"exp master", transcript_hash))

    def resumption(self, transcript_hash: bytes) -> ResumptionSecret:
        """Over ClientHello...client Finished."""
        return ResumptionSecret(self.hash_name, self._derive(b"res master", transcript_hash))


class ExporterSecret(_Stage):
    """RFC 8446 section 7.5."""

    __slots__ = ()
    key_log_label = "EXPORTER_SECRET"

    @property
    def value(self) -> bytes:
        return self._secret

    def export(self, label: str, context: bytes, length: int) -> bytes:
        """``length`` bytes for ``label`` and ``context``: both sides of the connection, and nobody else, can make the same."""
        full = b"tls13 " + label.encode("ascii")
        if not 6 < len(full) <= 255:
            raise Misuse("an exporter's label has 1 to 249 characters", rule="RFC 8446 7.5")
        size = hash_length(self.hash_name)
        info = size.to_bytes(2, "big") + bytes((len(full),)) + full + bytes((size,)) + empty_hash(self.hash_name)
        secret = hkdf_expand(self.hash_name, self._secret, info, size)
        digest = hashlib.new(self.hash_name, context).digest()
        return hkdf_expand_label(self.hash_name, secret, b"exporter", digest, length)


class ResumptionSecret(_Stage):
    """RFC 8446 section 4.6.1: what a ticket's PSK is made of."""

    __slots__ = ()

    def psk(self, ticket_nonce: bytes) -> bytes:
        size = hash_length(self.hash_name)
        return hkdf_expand_label(self.hash_name, self._secret, b"resumption", ticket_nonce, size)


class TrafficSecret:
    """What one side's record keys come from (RFC 8446 section 7.3).  ``key_log_label``: its name in a key log (RFC 9850)."""

    __slots__ = ("hash_name", "key_log_label", "value")

    def __init__(self, hash_name: str, value: bytes, key_log_label: str) -> None:
        self.hash_name = hash_name
        self.value = value
        self.key_log_label = key_log_label

    def __repr__(self) -> str:
        return f"<TrafficSecret {self.key_log_label}>"

    def key_and_iv(self, key_length: int) -> tuple[bytes, bytes]:
        """``[sender]_write_key`` and ``[sender]_write_iv``."""
        key, iv = hkdf_expand_labels(self.hash_name, self.value, (b"key", b"", key_length), (b"iv", b"", 12))
        return key, iv

    def verify_data(self, transcript_hash: bytes) -> bytes:
        """Finished's (RFC 8446 section 4.4.4)."""
        key = hkdf_expand_label(self.hash_name, self.value, b"finished", b"", len(self.value))
        return hmac.digest(key, transcript_hash, self.hash_name)

    def updated(self) -> TrafficSecret:
        """application_traffic_secret_N+1 (RFC 8446 section 7.2)."""
        value = hkdf_expand_label(self.hash_name, self.value, b"traffic upd", b"", len(self.value))
        name, _, number = self.key_log_label.rpartition("_")
        return TrafficSecret(self.hash_name, value, f"{name}_{int(number) + 1}")
