"""Pinning: a peer's path must have one of these public keys, whoever vouches for it (RFC 7469 section 2.4's digests).

A pin is the SHA-256 of a SubjectPublicKeyInfo: 32 bytes, hex, or ``sha256//`` and base64 as curl writes it.  Pin a CA's key or a
spare one beside the leaf's, or the day on which the leaf's key changes is the day on which nobody gets in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from minitls.certificates.faults import Fault, name_of
from minitls.errors import Alert, Misuse

BASE64 = 44
"""Characters of a SHA-256 in base64."""
PINNED_KEY_NOT_MATCHED = 1  # OpenSSL has no number for it: unspecified


@lru_cache(256)
def pin_of(certificate: x509.Certificate) -> bytes:
    """The SHA-256 of a certificate's SubjectPublicKeyInfo."""
    return hashlib.sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def read_pins(pins: Iterable[bytes | str]) -> frozenset[bytes]:
    """Pins in any of their forms.  Raises Misuse."""
    if isinstance(pins, (bytes, str)):
        raise Misuse(f"pins are a tuple of SHA-256 digests, not {pins!r}")
    return frozenset(map(_read, pins))


def _read(pin: bytes | str) -> bytes:
    try:
        if isinstance(pin, str):
            in_base64 = pin[:-BASE64] in ("", "sha256//", "sha256/")  # whose own first character may be a slash, too
            pin = base64.b64decode(pin[-BASE64:], validate=True) if in_base64 else bytes.fromhex(pin)
    except (binascii.Error, ValueError):
        pin = b""
    if len(pin) != 32:
        raise Misuse("a pin is the SHA-256 of a public key: 32 bytes, 64 hex digits, or sha256// and base64")
    return pin


def check_pins(path: Sequence[x509.Certificate], pins: Collection[bytes | str]) -> None:
    """One of the path's keys is pinned.  Raises CertificateError."""
    if any(pin_of(certificate) in pins for certificate in path):
        return
    shown = base64.b64encode(pin_of(path[0])).decode("ascii")
    fault = Fault(
        "pin_mismatch",
        Alert.bad_certificate,
        PINNED_KEY_NOT_MATCHED,
        f"{name_of(path[0])} is vouched for, but neither its key nor one above it is pinned",
        "RFC 7469 2.6",
        f"if the server has a new key, its pin is sha256//{shown}",
    )
    raise fault.error([certificate.public_bytes(Encoding.DER) for certificate in path])
