"""Record protection in TLS 1.2: AEADs (RFC 5288, 6655, 7905) and CBC with HMAC (RFC 5246 section 6.2.3.2, RFC 7366).

:func:`sealing12` and :func:`opening12` make them for a suite, a row of crypto's table.  They have the methods of
:class:`~minitls.record.protection.Sealing` and :class:`~minitls.record.protection.Opening`; the content type stays in the
header.

CBC: padding and MAC are looked at together, the MAC is always computed, over as many blocks whatever the padding says, and
whatever is wrong is the same bad_record_mac.  Python keeps no promise about nanoseconds: that is why these suites are in
Policy.legacy alone, and encrypt-then-MAC, which never looks at padding before the MAC is good, comes first there.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC as CBCMode

from minitls.crypto.aead import AEAD
from minitls.crypto.suites12 import CBC, Suite12
from minitls.errors import Alert, PeerMisbehaved
from minitls.record.protection import APPLICATION_DATA, BATCH, HEADER, MAX_CIPHERTEXT_12, MAX_PLAINTEXT, OPENED_AT_ONCE

BLOCK = 16
EXPLICIT_NONCE = 8
CBC_LIMIT = 2**32
"""Records under one CBC key: far from the 2^64 blocks among which two are likely to be equal."""


class _Direction:
    """One direction's keys and sequence number.  ``name``: what an observer is told."""

    __slots__ = ("_sequence", "name", "suite")

    def __init__(self, suite: Suite12, name: str) -> None:
        self.suite = suite
        self.name = name
        self._sequence = 0

    @property
    def records(self) -> int:
        return self._sequence

    def _covered(self, kind: int, length: int) -> bytes:
        """What tag or MAC covers besides the content (RFC 5246 sections 6.2.3.1 and 6.2.3.3)."""
        return self._sequence.to_bytes(8, "big") + bytes((kind, 3, 3)) + length.to_bytes(2, "big")


class Sealing12(_Direction):
    """What seals: :func:`sealing12` makes one."""

    __slots__ = ()

    @property
    def usage_limit(self) -> int:
        """How many records one key is good for."""
        return CBC_LIMIT

    def records_left(self) -> int:
        """How many records may still be sealed; TLS 1.2 cannot update its keys (RFC 9325 section 4.4)."""
        return self.usage_limit - self._sequence

    def seal(self, content_type: int, content: bytes | memoryview, pad_to: int = 0) -> bytes:
        """One record; TLS 1.2 has no padding to ask for."""
        fragment = self._protect(content_type, bytes(content))
        self._sequence += 1
        return bytes((content_type, 3, 3)) + len(fragment).to_bytes(2, "big") + fragment

    def seal_data(self, data: memoryview) -> Iterator[bytes | memoryview]:
        """Application data of any size as records, some at a time."""
        step = BATCH * MAX_PLAINTEXT
        for start in range(0, len(data), step):
            batch = data[start : start + step]
            yield b"".join(
                self.seal(APPLICATION_DATA, batch[at : at + MAX_PLAINTEXT]) for at in range(0, len(batch), MAX_PLAINTEXT)
            )

    def _protect(self, kind: int, content: bytes) -> bytes:
        raise NotImplementedError


class Opening12(_Direction):
    """What opens: :func:`opening12` makes one."""

    __slots__ = ()

    def open(self, header: bytes, body: memoryview) -> tuple[int, bytes]:
        """The content type and content of one record.  Raises bad_record_mac and record_overflow."""
        if header[1:3] != b"\x03\x03":  # tag and MAC cover it: who sealed the record wrote this one
            raise _bad_record()
        content = self._unprotect(header[0], bytes(body))
        if len(content) > MAX_PLAINTEXT:
            raise PeerMisbehaved(Alert.record_overflow, f"a record holds {len(content)} bytes", rule="RFC 5246 6.2.3")
        self._sequence += 1
        return header[0], content

    def open_data(self, view: memoryview, start: int) -> tuple[int, bytes, bool]:
        """Open application data for as long as there is nothing else; as :meth:`minitls.record.protection.Opening.open_data`."""
        opened: list[bytes] = []
        size, end, waits = 0, len(view), False
        while not (waits := end - start < HEADER) and view[start] == APPLICATION_DATA:
            length = (view[start + 3] << 8) | view[start + 4]
            after = start + HEADER + length
            if length > MAX_CIPHERTEXT_12 or (waits := after > end) or size >= OPENED_AT_ONCE:
                break
            try:
                _, content = self.open(bytes(view[start : start + HEADER]), view[start + HEADER : after])
            except PeerMisbehaved:
                break  # what came whole before it is delivered; the record is met again
            if not content:
                self._sequence -= 1  # so is this one
                break
            start = after
            opened.append(content)
            size += len(content)
        return start, b"".join(opened), waits

    def _unprotect(self, kind: int, fragment: bytes) -> bytes:
        raise NotImplementedError


def _bad_record() -> PeerMisbehaved:
    return PeerMisbehaved(Alert.bad_record_mac, "a record does not authenticate", rule="RFC 5246 7.2.2")


class _Aead:
    """Nonces: ChaCha20-Poly1305's as in TLS 1.3, the others' eight bytes stand in front of the fragment (RFC 5288 section 3)."""

    __slots__ = ()

    @staticmethod
    def nonce(iv: bytes, sequence: int) -> tuple[bytes, bytes]:
        """The nonce, and the part of it that is sent."""
        if len(iv) == 12:
            return (int.from_bytes(iv, "big") ^ sequence).to_bytes(12, "big"), b""
        explicit = sequence.to_bytes(EXPLICIT_NONCE, "big")
        return iv + explicit, explicit


class AeadSealing(Sealing12):
    __slots__ = ("_aead", "_cipher", "_iv")

    def __init__(self, suite: Suite12, aead: AEAD, key: bytes, iv: bytes, name: str) -> None:
        super().__init__(suite, name)
        self._cipher = aead.make(key)
        self._iv = iv
        self._aead = aead

    @property
    def usage_limit(self) -> int:
        return self._aead.usage_limit

    def _protect(self, kind: int, content: bytes) -> bytes:
        nonce, explicit = _Aead.nonce(self._iv, self._sequence)
        return explicit + self._cipher.encrypt(nonce, content, self._covered(kind, len(content)))


class AeadOpening(Opening12):
    __slots__ = ("_cipher", "_explicit", "_iv", "_tag_length")

    def __init__(self, suite: Suite12, aead: AEAD, key: bytes, iv: bytes, name: str) -> None:
        super().__init__(suite, name)
        self._cipher = aead.make(key)
        self._iv = iv
        self._explicit = 0 if len(iv) == 12 else EXPLICIT_NONCE
        self._tag_length = aead.tag_length

    def _unprotect(self, kind: int, fragment: bytes) -> bytes:
        length = len(fragment) - self._explicit - self._tag_length
        if length < 0:
            raise _bad_record()
        nonce = self._iv + fragment[:EXPLICIT_NONCE] if self._explicit else _Aead.nonce(self._iv, self._sequence)[0]
        try:
            return self._cipher.decrypt(nonce, fragment[self._explicit :], self._covered(kind, length))
        except InvalidTag:
            raise _bad_record() from None


class _CbcKeys:
    """A CBC cipher's two keys."""

    __slots__ = ("algorithm", "mac", "mac_key", "mac_length")

    def __init__(self, cipher: CBC, key: bytes, mac_key: bytes) -> None:
        self.algorithm = AES(key)
        self.mac, self.mac_key, self.mac_length = cipher.mac, mac_key, cipher.mac_length

    def tag(self, data: bytes) -> bytes:
        return hmac.digest(self.mac_key, data, self.mac)

    def encrypt(self, content: bytes) -> bytes:
        """Padded, under a fresh IV, which stands in front (RFC 5246 section 6.2.3.2)."""
        padding = BLOCK - 1 - len(content) % BLOCK
        iv = os.urandom(BLOCK)
        encryptor = BlockCipher(self.algorithm, CBCMode(iv)).encryptor()
        return iv + encryptor.update(content + bytes((padding,)) * (padding + 1)) + encryptor.finalize()

    def decrypt(self, fragment: bytes) -> bytes:
        """The padded content of an IV and whole blocks, at least one.  Raises bad_record_mac for other lengths."""
        if len(fragment) < 2 * BLOCK or len(fragment) % BLOCK:
            raise _bad_record()
        decryptor = BlockCipher(self.algorithm, CBCMode(fragment[:BLOCK])).decryptor()
        return decryptor.update(fragment[BLOCK:]) + decryptor.finalize()


def _padding_of(plain: bytes) -> tuple[int, bool]:
    """How many bytes the padding has with its length byte, and whether all of them are right; 1 and False where not."""
    padding = plain[-1]
    whole = padding + 1
    good = whole <= len(plain) and hmac.compare_digest(plain[-whole:], bytes((padding,)) * whole)
    return (whole, True) if good else (1, False)


class CbcSealing(Sealing12):
    """MAC, then pad, then encrypt (RFC 5246 section 6.2.3.2)."""

    __slots__ = ("_keys",)

    def __init__(self, suite: Suite12, keys: _CbcKeys, name: str) -> None:
        super().__init__(suite, name)
        self._keys = keys

    def _protect(self, kind: int, content: bytes) -> bytes:
        return self._keys.encrypt(content + self._keys.tag(self._covered(kind, len(content)) + content))


class CbcOpening(Opening12):
    __slots__ = ("_keys",)

    def __init__(self, suite: Suite12, keys: _CbcKeys, name: str) -> None:
        super().__init__(suite, name)
        self._keys = keys

    def _unprotect(self, kind: int, fragment: bytes) -> bytes:
        keys = self._keys
        plain = keys.decrypt(fragment)
        if len(plain) < keys.mac_length + 1:
            raise _bad_record()
        padding, good = _padding_of(plain)
        if padding + keys.mac_length > len(plain):
            padding, good = 1, False
        end = len(plain) - padding - keys.mac_length
        content, tag = plain[:end], plain[end : end + keys.mac_length]
        expected = keys.tag(self._covered(kind, len(content)) + content)
        hashlib.new(keys.mac, plain[end:]).digest()  # as many bytes through the hash whatever the padding says (Lucky 13)
        if not hmac.compare_digest(tag, expected) or not good:
            raise _bad_record()
        return content


class EtmSealing(CbcSealing):
    """Encrypt, then MAC (RFC 7366 section 3)."""

    __slots__ = ()

    def _protect(self, kind: int, content: bytes) -> bytes:
        encrypted = self._keys.encrypt(content)
        return encrypted + self._keys.tag(self._covered(kind, len(encrypted)) + encrypted)


class EtmOpening(CbcOpening):
    __slots__ = ()

    def _unprotect(self, kind: int, fragment: bytes) -> bytes:
        keys = self._keys
        if len(fragment) < keys.mac_length:
            raise _bad_record()
        encrypted, tag = fragment[: -keys.mac_length], fragment[-keys.mac_length :]
        if not hmac.compare_digest(tag, keys.tag(self._covered(kind, len(encrypted)) + encrypted)):
            raise _bad_record()
        plain = keys.decrypt(encrypted)
        padding, good = _padding_of(plain)
        if not good:
            raise _bad_record()
        return plain[:-padding]


def sealing12(suite: Suite12, mac_key: bytes, key: bytes, iv: bytes, name: str, *, etm: bool) -> Sealing12:
    """What seals under one side's part of the key block.  ``etm``: encrypt-then-MAC was agreed, which CBC alone knows."""
    cipher = suite.cipher
    if isinstance(cipher, AEAD):
        return AeadSealing(suite, cipher, key, iv, name)
    return (EtmSealing if etm else CbcSealing)(suite, _CbcKeys(cipher, key, mac_key), name)


def opening12(suite: Suite12, mac_key: bytes, key: bytes, iv: bytes, name: str, *, etm: bool) -> Opening12:
    """What opens under one side's part of the key block."""
    cipher = suite.cipher
    if isinstance(cipher, AEAD):
        return AeadOpening(suite, cipher, key, iv, name)
    return (EtmOpening if etm else CbcOpening)(suite, _CbcKeys(cipher, key, mac_key), name)
