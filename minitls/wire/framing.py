"""Handshake messages out of records: they may be split over several, and several may stand in one (RFC 8446 section 5.1)."""

from __future__ import annotations

from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.messages import HEADER
from minitls.wire.numbers import HandshakeType

MAX_MESSAGE = 64 * 1024
MAX_CERTIFICATE = 128 * 1024
"""Bytes of a message's body that we are ready to buffer; a certificate chain may be larger than anything else."""

_LARGE = (HandshakeType.certificate, HandshakeType.compressed_certificate)


class Framing:
    """A buffer of handshake bytes from which whole messages are taken.  ``max_certificate``: bytes that a Certificate may have."""

    __slots__ = ("_buffer", "max_certificate")

    def __init__(self, max_certificate: int = MAX_CERTIFICATE) -> None:
        self._buffer = bytearray()
        self.max_certificate = max_certificate

    def __bool__(self) -> bool:
        """Whether anything is buffered that no message was taken from: then no key may change (RFC 8446 section 5.1)."""
        return bool(self._buffer)

    def add(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> bytes | None:
        """The next whole message, header included, or None.  Raises illegal_parameter for one that is too large to wait for."""
        buffer = self._buffer
        if len(buffer) < HEADER:
            return None
        length = int.from_bytes(buffer[1:HEADER], "big")
        if length > (self.max_certificate if buffer[0] in _LARGE else MAX_MESSAGE):
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                f"a handshake message of {length} bytes is too large",
                reason="message_too_large",
            )
        if len(buffer) < HEADER + length:
            return None
        raw = bytes(buffer[: HEADER + length])
        del buffer[: HEADER + length]
        return raw
