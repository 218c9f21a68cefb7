"""What OpenSSL calls cipher suites, and so the standard library: names, protocol versions and bits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from minitls.crypto.aead import CHACHA20_POLY1305
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import CBC, SUITES_12
from minitls.errors import Misuse
from minitls.wire.numbers import CipherSuite as S

OPENSSL_NAMES: Mapping[int, str] = {
    S.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
    S.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
    S.TLS_DHE_RSA_WITH_AES_256_GCM_SHA384: "DHE-RSA-AES256-GCM-SHA384",
    S.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
    S.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
    S.TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "DHE-RSA-CHACHA20-POLY1305",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8: "ECDHE-ECDSA-AES256-CCM8",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CCM: "ECDHE-ECDSA-AES256-CCM",
    S.TLS_DHE_RSA_WITH_AES_256_CCM: "DHE-RSA-AES256-CCM",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
    S.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
    S.TLS_DHE_RSA_WITH_AES_128_GCM_SHA256: "DHE-RSA-AES128-GCM-SHA256",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8: "ECDHE-ECDSA-AES128-CCM8",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CCM: "ECDHE-ECDSA-AES128-CCM",
    S.TLS_DHE_RSA_WITH_AES_128_CCM: "DHE-RSA-AES128-CCM",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384: "ECDHE-ECDSA-AES256-SHA384",
    S.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384: "ECDHE-RSA-AES256-SHA384",
    S.TLS_DHE_RSA_WITH_AES_256_CBC_SHA256: "DHE-RSA-AES256-SHA256",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
    S.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
    S.TLS_DHE_RSA_WITH_AES_128_CBC_SHA256: "DHE-RSA-AES128-SHA256",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
    S.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
    S.TLS_DHE_RSA_WITH_AES_256_CBC_SHA: "DHE-RSA-AES256-SHA",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
    S.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
    S.TLS_DHE_RSA_WITH_AES_128_CBC_SHA: "DHE-RSA-AES128-SHA",
    S.TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384: "ECDHE-PSK-AES256-GCM-SHA384",  # OpenSSL has neither of RFC 8442's two
    S.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-PSK-CHACHA20-POLY1305",
    S.TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
    S.TLS_RSA_WITH_AES_256_CCM: "AES256-CCM",
    S.TLS_PSK_WITH_AES_256_GCM_SHA384: "PSK-AES256-GCM-SHA384",
    S.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256: "PSK-CHACHA20-POLY1305",
    S.TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256: "ECDHE-PSK-AES128-GCM-SHA256",
    S.TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
    S.TLS_RSA_WITH_AES_128_CCM: "AES128-CCM",
    S.TLS_PSK_WITH_AES_128_GCM_SHA256: "PSK-AES128-GCM-SHA256",
    S.TLS_RSA_WITH_AES_256_CBC_SHA256: "AES256-SHA256",
    S.TLS_RSA_WITH_AES_128_CBC_SHA256: "AES128-SHA256",
    S.TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA: "ECDHE-PSK-AES256-CBC-SHA",
    S.TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
    S.TLS_PSK_WITH_AES_256_CBC_SHA: "PSK-AES256-CBC-SHA",
    S.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256: "ECDHE-PSK-AES128-CBC-SHA256",
    S.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA: "ECDHE-PSK-AES128-CBC-SHA",
    S.TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
    S.TLS_PSK_WITH_AES_128_CBC_SHA256: "PSK-AES128-CBC-SHA256",
    S.TLS_PSK_WITH_AES_128_CBC_SHA: "PSK-AES128-CBC-SHA",
}
"""OpenSSL's names of TLS 1.2's suites, in its order of preference."""


def cipher_tuple(suite: int | str) -> tuple[str, str, int]:
    """What ``cipher()`` says of a suite, by its code or name: OpenSSL's name, the protocol that brought it, and its bits."""
    code = code_of(suite) if isinstance(suite, str) else suite
    return openssl_name(code), protocol_of(code), protection(code)[1]


def openssl_name(code: int) -> str:
    """KeyError for a code that is no suite of ours."""
    return OPENSSL_NAMES[code] if code in SUITES_12 else SUITES[code].name


def code_of(name: str) -> int:
    """The suite with this name, OpenSSL's or IANA's.  Raises Misuse."""
    if (code := _codes().get(name)) is None:
        raise Misuse(f"{name!r} is no cipher suite of ours", reason="unknown_cipher_suite")
    return code


@cache
def _codes() -> dict[str, int]:
    return {S(code).name: code for code in (*SUITES, *SUITES_12)} | {name: code for code, name in OPENSSL_NAMES.items()}


def protection(code: int) -> tuple[str, int, str]:
    """The cipher as OpenSSL writes it, the bits of its key, and its MAC."""
    cipher = SUITES_12[code].cipher if code in SUITES_12 else SUITES[code].aead
    bits = 8 * cipher.key_length
    if isinstance(cipher, CBC):
        return "AES", bits, {"sha1": "SHA1", "sha256": "SHA256", "sha384": "SHA384"}[cipher.mac]
    if cipher is CHACHA20_POLY1305:
        return "CHACHA20/POLY1305", bits, "AEAD"
    return "AESGCM" if "GCM" in cipher.name else "AESCCM8" if cipher.tag_length == 8 else "AESCCM", bits, "AEAD"


def protocol_of(code: int) -> str:
    """The oldest version that OpenSSL has this suite for."""
    suite = SUITES_12.get(code)
    if suite is None:
        return "TLSv1.3"
    hashed = protection(code)[2]
    if hashed == "SHA1":
        return "TLSv1.0" if suite.key_exchange.startswith("ECDHE") else "SSLv3"
    return "TLSv1.0" if suite.is_cbc and suite.authentication == "PSK" else "TLSv1.2"
