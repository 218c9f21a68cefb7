"""The cipher suites (RFC 8446 appendix B.4): in TLS 1.3, an AEAD and a hash, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from minitls.crypto.aead import AEAD, AES_128_CCM, AES_128_CCM_8, AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305
from minitls.data import dataclass
from minitls.wire.numbers import CipherSuite

_HASH_LENGTHS = {"sha256": 32, "sha384": 48}


@dataclass(frozen=True)
class Suite:
    """``hash_name`` is hashlib's name of the hash of transcript, key schedule and Finished."""

    code: CipherSuite
    aead: AEAD
    hash_name: str

    @cached_property
    def name(self) -> str:
        """IANA's name, such as "TLS_AES_128_GCM_SHA256"."""
        return self.code.name

    @property
    def hash_length(self) -> int:
        """Hash.length of RFC 8446 section 7.1, in octets: 32 or 48."""
        return _HASH_LENGTHS[self.hash_name]


SUITES: Mapping[int, Suite] = {
    suite.code: suite
    for suite in (
        Suite(CipherSuite.TLS_AES_128_GCM_SHA256, AES_128_GCM, "sha256"),
        Suite(CipherSuite.TLS_AES_256_GCM_SHA384, AES_256_GCM, "sha384"),
        Suite(CipherSuite.TLS_CHACHA20_POLY1305_SHA256, CHACHA20_POLY1305, "sha256"),
        Suite(CipherSuite.TLS_AES_128_CCM_SHA256, AES_128_CCM, "sha256"),
        Suite(CipherSuite.TLS_AES_128_CCM_8_SHA256, AES_128_CCM_8, "sha256"),
    )
}
