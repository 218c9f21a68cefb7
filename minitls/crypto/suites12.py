"""TLS 1.2's cipher suites: a key exchange, who signs, a cipher and a hash (RFC 5246 appendix A.5 and what was added since).

Those of Policy.intermediate are ECDHE with an AEAD.  The others are for old peers: RFC 10015 says that static RSA and finite-field
Diffie-Hellman must not be used, and CBC has been attacked in many ways (BEAST, Lucky 13, POODLE).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from minitls.crypto.aead import (
    AEAD,
    AES_128_CCM,
    AES_128_CCM_8,
    AES_128_GCM,
    AES_256_CCM,
    AES_256_CCM_8,
    AES_256_GCM,
    CHACHA20_POLY1305,
)
from minitls.data import dataclass
from minitls.wire.numbers import CipherSuite as S

KeyExchange: TypeAlias = Literal["ECDHE", "DHE", "RSA", "PSK", "ECDHE_PSK"]
Authentication: TypeAlias = Literal["ECDSA", "RSA", "PSK"]


@dataclass(frozen=True, slots=True)
class CBC:
    """AES in CBC mode with HMAC: ``mac`` is hashlib's name, lengths are in bytes."""

    name: str
    key_length: int
    mac: str
    mac_length: int


CBC_128_SHA = CBC("AES-128-CBC-SHA", 16, "sha1", 20)
CBC_256_SHA = CBC("AES-256-CBC-SHA", 32, "sha1", 20)
CBC_128_SHA256 = CBC("AES-128-CBC-SHA256", 16, "sha256", 32)
CBC_256_SHA256 = CBC("AES-256-CBC-SHA256", 32, "sha256", 32)
CBC_256_SHA384 = CBC("AES-256-CBC-SHA384", 32, "sha384", 48)


def lengths(cipher: AEAD | CBC) -> tuple[int, int, int]:
    """What a cipher takes from the key block: bytes of MAC key, key and IV (RFC 5246 section 6.3)."""
    if isinstance(cipher, CBC):
        return cipher.mac_length, cipher.key_length, 0
    return 0, cipher.key_length, 12 if cipher.name.startswith("ChaCha20") else 4


@dataclass(frozen=True, slots=True)
class Suite12:
    """``hash_name``: hashlib's name of the PRF's hash, and of the handshake's."""

    code: S
    key_exchange: KeyExchange
    authentication: Authentication
    cipher: AEAD | CBC
    hash_name: str

    @property
    def name(self) -> str:
        return self.code.name

    @property
    def is_cbc(self) -> bool:
        return isinstance(self.cipher, CBC)


_ROWS: tuple[tuple[S, KeyExchange, Authentication, AEAD | CBC, str], ...] = (
    (S.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE", "ECDSA", AES_128_GCM, "sha256"),
    (S.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE", "RSA", AES_128_GCM, "sha256"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE", "ECDSA", AES_256_GCM, "sha384"),
    (S.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE", "RSA", AES_256_GCM, "sha384"),
    (S.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE", "ECDSA", CHACHA20_POLY1305, "sha256"),
    (S.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE", "RSA", CHACHA20_POLY1305, "sha256"),
    (S.TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256, "ECDHE_PSK", "PSK", AES_128_GCM, "sha256"),
    (S.TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384, "ECDHE_PSK", "PSK", AES_256_GCM, "sha384"),
    (S.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, "ECDHE_PSK", "PSK", CHACHA20_POLY1305, "sha256"),
    # From here on: Policy.legacy.
    (S.TLS_ECDHE_ECDSA_WITH_AES_128_CCM, "ECDHE", "ECDSA", AES_128_CCM, "sha256"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_256_CCM, "ECDHE", "ECDSA", AES_256_CCM, "sha256"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, "ECDHE", "ECDSA", AES_128_CCM_8, "sha256"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8, "ECDHE", "ECDSA", AES_256_CCM_8, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, "DHE", "RSA", AES_128_GCM, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, "DHE", "RSA", AES_256_GCM, "sha384"),
    (S.TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "DHE", "RSA", CHACHA20_POLY1305, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_128_CCM, "DHE", "RSA", AES_128_CCM, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_256_CCM, "DHE", "RSA", AES_256_CCM, "sha256"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE", "ECDSA", CBC_128_SHA256, "sha256"),
    (S.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE", "RSA", CBC_128_SHA256, "sha256"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384, "ECDHE", "ECDSA", CBC_256_SHA384, "sha384"),
    (S.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384, "ECDHE", "RSA", CBC_256_SHA384, "sha384"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE", "ECDSA", CBC_128_SHA, "sha256"),
    (S.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE", "RSA", CBC_128_SHA, "sha256"),
    (S.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE", "ECDSA", CBC_256_SHA, "sha256"),
    (S.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE", "RSA", CBC_256_SHA, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_128_CBC_SHA256, "DHE", "RSA", CBC_128_SHA256, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_256_CBC_SHA256, "DHE", "RSA", CBC_256_SHA256, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_128_CBC_SHA, "DHE", "RSA", CBC_128_SHA, "sha256"),
    (S.TLS_DHE_RSA_WITH_AES_256_CBC_SHA, "DHE", "RSA", CBC_256_SHA, "sha256"),
    (S.TLS_RSA_WITH_AES_128_GCM_SHA256, "RSA", "RSA", AES_128_GCM, "sha256"),
    (S.TLS_RSA_WITH_AES_256_GCM_SHA384, "RSA", "RSA", AES_256_GCM, "sha384"),
    (S.TLS_RSA_WITH_AES_128_CCM, "RSA", "RSA", AES_128_CCM, "sha256"),
    (S.TLS_RSA_WITH_AES_256_CCM, "RSA", "RSA", AES_256_CCM, "sha256"),
    (S.TLS_RSA_WITH_AES_128_CBC_SHA256, "RSA", "RSA", CBC_128_SHA256, "sha256"),
    (S.TLS_RSA_WITH_AES_256_CBC_SHA256, "RSA", "RSA", CBC_256_SHA256, "sha256"),
    (S.TLS_RSA_WITH_AES_128_CBC_SHA, "RSA", "RSA", CBC_128_SHA, "sha256"),
    (S.TLS_RSA_WITH_AES_256_CBC_SHA, "RSA", "RSA", CBC_256_SHA, "sha256"),
    (S.TLS_PSK_WITH_AES_128_GCM_SHA256, "PSK", "PSK", AES_128_GCM, "sha256"),
    (S.TLS_PSK_WITH_AES_256_GCM_SHA384, "PSK", "PSK", AES_256_GCM, "sha384"),
    (S.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, "PSK", "PSK", CHACHA20_POLY1305, "sha256"),
    (S.TLS_PSK_WITH_AES_128_CBC_SHA256, "PSK", "PSK", CBC_128_SHA256, "sha256"),
    (S.TLS_PSK_WITH_AES_128_CBC_SHA, "PSK", "PSK", CBC_128_SHA, "sha256"),
    (S.TLS_PSK_WITH_AES_256_CBC_SHA, "PSK", "PSK", CBC_256_SHA, "sha256"),
    (S.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256, "ECDHE_PSK", "PSK", CBC_128_SHA256, "sha256"),
    (S.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA, "ECDHE_PSK", "PSK", CBC_128_SHA, "sha256"),
    (S.TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA, "ECDHE_PSK", "PSK", CBC_256_SHA, "sha256"),
)

SUITES_12: Mapping[int, Suite12] = {row[0]: Suite12(*row) for row in _ROWS}
"""In order of preference, the safe ones first."""

PSK_SUITES = frozenset(code for code, suite in SUITES_12.items() if suite.authentication == "PSK")
"""Offered only by who has a key to share."""
