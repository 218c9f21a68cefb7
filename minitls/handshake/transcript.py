"""The transcript: a running hash of every handshake message, as its bytes were (RFC 8446 section 4.4.1)."""

from __future__ import annotations

import hashlib

from minitls.wire.numbers import HandshakeType


class Transcript:
    """Messages are kept until the hash is known, and the last one until the next comes: Finished and CertificateVerify cover
    what stood *before* them.
    """

    __slots__ = ("_hash", "_kept", "_last", "_name", "_waiting")

    def __init__(self) -> None:
        self._waiting = b""
        self._kept: bytearray | None = None
        self._last = b""
        self._hash: hashlib._Hash | None = None
        self._name = ""

    def add(self, raw: bytes) -> None:
        """A message's bytes, header included."""
        if self._kept is not None:
            self._kept += raw
        if self._hash is None:
            self._waiting += self._last
        else:
            self._hash.update(self._last)
        self._last = raw

    def use(self, hash_name: str) -> None:
        """The hash is known from now on: the cipher suite names it."""
        self._hash = hashlib.new(hash_name, self._waiting)
        self._name = hash_name
        self._waiting = b""

    def keep(self) -> None:
        """Keep the messages themselves: TLS 1.2's CertificateVerify signs them with a hash of its own (RFC 5246 section 7.4.8)."""
        self._kept = bytearray(self._waiting + self._last)

    def copy(self) -> Transcript:
        """Another that goes on from here, once the hash is known."""
        other = Transcript()
        assert self._hash is not None
        other._hash, other._name, other._last = self._hash.copy(), self._name, self._last
        return other

    def messages(self) -> bytes:
        """All messages, once :meth:`keep` was called."""
        return bytes(self._kept or b"")

    def messages_before_last(self) -> bytes:
        """All messages but the last one added."""
        kept = self.messages()
        return kept[: len(kept) - len(self._last)]

    def digest(self) -> bytes:
        """Over all messages."""
        assert self._hash is not None
        self._hash.update(self._last)
        self._last = b""
        return self._hash.digest()

    def before_last(self, partial: bytes = b"") -> bytes:
        """Over all messages but the last one added; ``partial``: and over so much of it."""
        assert self._hash is not None
        if not partial:
            return self._hash.digest()
        running = self._hash.copy()
        running.update(partial)
        return running.digest()

    def through(self, hash_name: str, partial: bytes = b"") -> bytes:
        """Over all messages, and ``partial`` of the next one, by a hash that is not settled yet."""
        if self._hash is None:
            return hashlib.new(hash_name, self._waiting + self._last + partial).digest()
        running = self._hash.copy()
        running.update(self._last + partial)
        return running.digest()

    def replace_by_message_hash(self) -> None:
        """All but the last message becomes the synthetic message_hash, when that last one is a HelloRetryRequest (section
        4.4.1).
        """
        digest = self.before_last()
        self._hash = hashlib.new(self._name)
        self._last = bytes((HandshakeType.message_hash,)) + len(digest).to_bytes(3, "big") + digest + self._last
