"""Record protection (RFC 8446 section 5.2): sealing and opening, one object a direction.

Fast for application data, where it counts: many records are opened into one buffer, each overwriting the content-type byte of the
last, so that a batch's plaintext is contiguous; many are sealed in place into one buffer whose headers and views are made once.
Everything else takes the plain methods.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag

from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.suites import Suite
from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.numbers import ContentType

MAX_PLAINTEXT = 2**14
MAX_CIPHERTEXT = MAX_PLAINTEXT + 256
HEADER = 5

APPLICATION_DATA = int(ContentType.application_data)
_HEADER_START = bytes((APPLICATION_DATA, 3, 3))

BATCH = 16
"""Full records sealed into one buffer: more fall out of the processor's second-level cache."""
OPENED_AT_ONCE = 100 * 1024
"""Bytes of plaintext handed up at once: blocks above malloc's 128 KiB threshold are mapped and unmapped each time."""


class _Slots:
    """A buffer for BATCH full records, with the views into it made once and the headers written."""

    __slots__ = ("buffer", "slots")

    def __init__(self, tag_length: int) -> None:
        inner = MAX_PLAINTEXT + 1
        size = HEADER + inner + tag_length
        header = _HEADER_START + (inner + tag_length).to_bytes(2, "big")
        self.buffer = bytearray(size * BATCH)
        view = memoryview(self.buffer)
        self.slots = []
        for start in range(0, size * BATCH, size):
            body = start + HEADER
            view[start:body] = header
            self.slots.append(
                (
                    view[body : body + MAX_PLAINTEXT],
                    body + MAX_PLAINTEXT,
                    view[body : body + inner],
                    header,
                    view[body : start + size],
                    view[: start + size],
                )
            )


class _Scratch(threading.local):
    """Buffers that all connections of a thread share: each use begins and ends within one call."""

    def __init__(self) -> None:
        self.opened = memoryview(bytearray(OPENED_AT_ONCE + MAX_CIPHERTEXT))
        self.sealed: dict[int, _Slots] = {}
        self.kept = False


_scratch = _Scratch()


def keep_sealed_buffer() -> None:
    """The last view that :meth:`Sealing.seal_data` gave is still in use: let it be, and take a new buffer next time."""
    _scratch.kept = True


class _Protection:
    """One direction's key and sequence number.  The nonce is the iv xor the sequence number (RFC 8446 section 5.3)."""

    __slots__ = ("_cipher", "_iv", "_secret", "_sequence", "_suite")

    def __init__(self, suite: Suite, secret: TrafficSecret) -> None:
        self._suite = suite
        self._secret = secret
        key, iv = secret.key_and_iv(suite.aead.key_length)
        self._cipher = suite.aead.make(key)
        self._iv = int.from_bytes(iv, "big")
        self._sequence = 0

    @property
    def name(self) -> str:
        """The key log name of the secret behind the key."""
        return self._secret.key_log_label

    @property
    def records(self) -> int:
        """How many records were protected under this key."""
        return self._sequence

    @property
    def suite(self) -> Suite:
        return self._suite

    @property
    def secret(self) -> TrafficSecret:
        """What the key was made from; after the handshake Finished is made from it, too (RFC 8446 section 4.4)."""
        return self._secret

    def updated_secret(self) -> TrafficSecret:
        return self._secret.updated()

    def _nonce(self) -> bytes:
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return nonce


class Sealing(_Protection):
    __slots__ = ()

    def records_left(self) -> int:
        """How many records may still be sealed before the key must be updated (RFC 8446 section 5.5)."""
        return self._suite.aead.usage_limit - self._sequence

    def seal(self, content_type: int, content: bytes | memoryview, pad_to: int = 0) -> bytes:
        """One record of at most MAX_PLAINTEXT bytes.  ``pad_to``: zeros up to a multiple of this (RFC 8446 section 5.4)."""
        padding = min(-(len(content) + 1) % pad_to, MAX_PLAINTEXT - len(content)) if pad_to else 0
        inner = b"".join((content, bytes((content_type,)), bytes(padding)))
        header = _HEADER_START + (len(inner) + self._suite.aead.tag_length).to_bytes(2, "big")
        return header + self._cipher.encrypt(self._nonce(), inner, header)

    def seal_data(self, data: memoryview) -> Iterator[bytes | memoryview]:
        """Application data of any size as records, some at a time.

        A view that is given is good until the next is asked for; who keeps it longer calls :func:`keep_sealed_buffer`.
        """
        position, whole = 0, len(data) // MAX_PLAINTEXT
        tag_length = self._suite.aead.tag_length
        encrypt_into, iv = self._cipher.encrypt_into, self._iv
        while whole:
            # Taken out while in use: what is sent may be the data of another connection (TLS within TLS).
            pooled = _scratch.sealed.pop(tag_length, None) or _Slots(tag_length)
            buffer, sequence = pooled.buffer, self._sequence
            for plain, type_at, inner, header, record, up_to in pooled.slots[:whole]:  # noqa: B007
                plain[:] = data[position : position + MAX_PLAINTEXT]
                buffer[type_at] = APPLICATION_DATA
                encrypt_into((iv ^ sequence).to_bytes(12, "big"), inner, header, record)
                sequence += 1
                position += MAX_PLAINTEXT
            whole -= sequence - self._sequence
            self._sequence = sequence
            yield up_to
            if not _scratch.kept:
                _scratch.sealed[tag_length] = pooled
            _scratch.kept = False
        if position < len(data):
            yield self.seal(APPLICATION_DATA, data[position:])


class Opening(_Protection):
    __slots__ = ()

    def open(self, header: bytes, body: memoryview) -> tuple[int, bytes]:
        """The content type and content of one protected record.  Raises bad_record_mac, record_overflow, unexpected_message."""
        try:
            inner = self._cipher.decrypt(self._nonce(), body, header)
        except InvalidTag:
            raise _bad_record() from None
        return _content(inner)

    def opens(self, header: bytes, body: memoryview) -> bool:
        """Whether the record would open, without opening it: for telling early data from what follows it."""
        try:
            self._cipher.decrypt((self._iv ^ self._sequence).to_bytes(12, "big"), body, header)
        except InvalidTag:
            return False
        return True

    def open_data(self, view: memoryview, start: int) -> tuple[int, bytes, tuple[int, bytes] | None]:
        """Open application data from ``view[start:]`` for as long as there is nothing else.

        Returns where it stopped, the plaintext, and, where it stopped at another content type, that record's type and content.
        Stops before a record that is not whole or not protected, and when OPENED_AT_ONCE bytes are there.
        """
        out, tag_length, end = _scratch.opened, self._suite.aead.tag_length, len(view)
        decrypt_into, iv, sequence = self._cipher.decrypt_into, self._iv, self._sequence
        shortest, size, other = tag_length + 1, 0, None
        try:
            while end - start >= HEADER and view[start] == APPLICATION_DATA and size < OPENED_AT_ONCE:
                body = start + HEADER
                length = (view[start + 3] << 8) | view[start + 4]
                after = body + length
                if after > end or not shortest <= length <= MAX_CIPHERTEXT:
                    break
                inner = decrypt_into(
                    (iv ^ sequence).to_bytes(12, "big"), view[body:after], view[start:body], out[size : size + length - tag_length]
                )
                last = size + inner - 1
                if out[last] == APPLICATION_DATA and 1 < inner <= MAX_PLAINTEXT + 1:
                    sequence += 1
                    start = after
                    size = last
                    continue
                kind, content = _content(bytes(out[size : size + inner]))
                sequence += 1
                start = after
                if kind != APPLICATION_DATA or not content:
                    other = (kind, content)
                    break
                out[size : size + len(content)] = content
                size += len(content)
        except (InvalidTag, PeerMisbehaved) as error:
            # What came whole before it is delivered; the record itself is met again on the next call.
            if not size:
                raise (_bad_record() if isinstance(error, InvalidTag) else error) from None
        self._sequence = sequence
        return start, bytes(out[:size]), other


def _bad_record() -> PeerMisbehaved:
    return PeerMisbehaved(Alert.bad_record_mac, "a record does not authenticate", rule="RFC 8446 5.2")


def _content(inner: bytes) -> tuple[int, bytes]:
    """TLSInnerPlaintext: content, type, zeros (RFC 8446 section 5.4)."""
    if len(inner) > MAX_PLAINTEXT + 1:
        raise PeerMisbehaved(Alert.record_overflow, f"a record holds {len(inner)} bytes", rule="RFC 8446 5.4")
    stripped = inner.rstrip(b"\0")
    if not stripped:
        raise PeerMisbehaved(
            Alert.unexpected_message, "a record holds nothing but padding", rule="RFC 8446 5.4", reason="empty_inner_plaintext"
        )
    return stripped[-1], stripped[:-1]
