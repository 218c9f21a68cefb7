"""The ciphers that protect records (RFC 8446 section 5.2), as rows of data.

All of them take a nonce of :data:`NONCE_LENGTH` octets and append their tag to the ciphertext.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from minitls.data import dataclass

NONCE_LENGTH = 12
"""iv_length of RFC 8446 section 5.3: max(8, N_MIN), and N_MIN is 12 for every AEAD here (RFC 5116, 6655, 8439)."""


class Cipher(Protocol):
    """An AEAD with its key, as pyca/cryptography has it.

    ``decrypt`` and ``decrypt_into`` raise :class:`cryptography.exceptions.InvalidTag`.  The ``_into`` forms write into a
    buffer of exactly the right length (data plus tag, or data less tag), which may be the input's own, and return the
    number of octets written.
    """

    def encrypt(
        self,
        nonce: bytes | bytearray | memoryview,
        data: bytes | bytearray | memoryview,
        associated_data: bytes | bytearray | memoryview | None,
    ) -> bytes: ...

    def decrypt(
        self,
        nonce: bytes | bytearray | memoryview,
        data: bytes | bytearray | memoryview,
        associated_data: bytes | bytearray | memoryview | None,
    ) -> bytes: ...

    def encrypt_into(
        self,
        nonce: bytes | bytearray | memoryview,
        data: bytes | bytearray | memoryview,
        associated_data: bytes | bytearray | memoryview | None,
        buf: bytearray | memoryview,
    ) -> int: ...

    def decrypt_into(
        self,
        nonce: bytes | bytearray | memoryview,
        data: bytes | bytearray | memoryview,
        associated_data: bytes | bytearray | memoryview | None,
        buf: bytearray | memoryview,
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class AEAD:
    """``make(key)`` gives a :class:`Cipher`.  Lengths are in octets.

    ``usage_limit``: so many records may be sealed under one key; the KeyUpdate must come before (a MUST since RFC 9846
    section 5.5).  It binds the sender: a receiver does not enforce it.
    """

    name: str
    key_length: int
    tag_length: int
    make: Callable[[bytes], Cipher]
    usage_limit: int


# RFC 8446 section 5.5: 2^24.5 full-size records keep AES-GCM at a margin of 2^-57.
GCM_LIMIT = 2**24
# draft-irtf-cfrg-aead-limits section 5.3: q <= sqrt(p * 2^126) / L messages of L blocks.  With the p = 2^-60 of RFC 9147
# appendix B.1 and the 2^10 blocks of a full record that is 2^33 / 2^10; RFC 9147 section 4.5.3 has the same number.
CCM_LIMIT = 2**23
# RFC 8446 section 5.5: the sequence number of 64 bits would wrap before the limit is reached.  The last number is left
# to the KeyUpdate itself.
CHACHA20_LIMIT = 2**64 - 1

AES_128_GCM = AEAD("AES-128-GCM", 16, 16, AESGCM, GCM_LIMIT)
AES_256_GCM = AEAD("AES-256-GCM", 32, 16, AESGCM, GCM_LIMIT)
CHACHA20_POLY1305 = AEAD("ChaCha20-Poly1305", 32, 16, ChaCha20Poly1305, CHACHA20_LIMIT)
AES_128_CCM = AEAD("AES-128-CCM", 16, 16, partial(AESCCM, tag_length=16), CCM_LIMIT)
AES_256_CCM = AEAD("AES-256-CCM", 32, 16, partial(AESCCM, tag_length=16), CCM_LIMIT)
# The short tag changes how easy it is to forge, not how long the plaintext stays secret (RFC 9147 appendix B.3), and
# TLS ends the connection at the first record that does not open.
AES_128_CCM_8 = AEAD("AES-128-CCM-8", 16, 8, partial(AESCCM, tag_length=8), CCM_LIMIT)
AES_256_CCM_8 = AEAD("AES-256-CCM-8", 32, 8, partial(AESCCM, tag_length=8), CCM_LIMIT)
