"""Public keys that stand for themselves: a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) without a certificate around it."""

from __future__ import annotations

import binascii
import re
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from minitls.certificates.faults import PARSE_ERRORS, quietly, undecodable
from minitls.certificates.keys import check_public_key, unsupported
from minitls.crypto.signatures import SCHEMES, SCHEMES_12, schemes_for
from minitls.data import dataclass
from minitls.errors import Misuse
from minitls.wire.numbers import SignatureScheme

AnyPublicKey: TypeAlias = bytes | PublicKeyTypes
"""DER, PEM, or an object of pyca/cryptography."""

_PEM = rb"-----BEGIN PUBLIC KEY-----(.*?)-----END PUBLIC KEY-----"
RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")
"""The DER of the object identifier id-RSASSA-PSS."""


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A public key: its DER as it came, the object, and what it can sign with in TLS 1.3, best first."""

    der: bytes
    key: Any
    schemes: tuple[SignatureScheme, ...]

    @property
    def is_rsa(self) -> bool:
        return isinstance(self.key, RSAPublicKey)

    @property
    def may_encipher(self) -> bool:
        """Whether static RSA may use it: a key whose algorithm is id-RSASSA-PSS is for signatures alone (RFC 4055 section 1.2)."""
        return self.is_rsa and not is_pss(self.der)


def read_spki(der: bytes, who_has: str) -> SubjectKey:
    """A key from its DER, if it is one that we would believe in a certificate.  Raises Fault.

    ``who_has``: how the sentence about a bad one begins, "the peer has".
    """
    try:
        with quietly():
            key = load_der_public_key(der)
    except UnsupportedAlgorithm:
        raise unsupported(who_has, "a key of a kind unknown here") from None
    except PARSE_ERRORS as error:
        raise undecodable(error, "the public key") from None
    check_public_key(key, lambda: who_has)
    return SubjectKey(der, key, key_schemes(key, is_pss(der)))


def key_schemes(key: Any, pss: bool) -> tuple[SignatureScheme, ...]:
    """What a key can sign a handshake of TLS 1.3 with.  ``pss``: whether its algorithm is id-RSASSA-PSS, as no object tells."""
    if not pss:
        return schemes_for(key)
    return tuple(scheme.code for scheme in SCHEMES.values() if scheme.name.startswith("rsa_pss_pss") and scheme.fits(key))


def key_schemes12(key: Any, pss: bool) -> tuple[SignatureScheme, ...]:
    """The same for a handshake of TLS 1.2 (RFC 5246 section 7.4.1.4.1)."""
    return tuple(
        scheme.code
        for scheme in SCHEMES_12.values()
        if scheme.fits(key) and (scheme.name.startswith("rsa_pss_pss") == pss or not scheme.name.startswith("rsa"))
    )


def is_pss(der: bytes) -> bool:
    """Whether the algorithm of a SubjectPublicKeyInfo, the first thing in its first element, is id-RSASSA-PSS."""
    inside = der[_header(der) :]
    return inside[_header(inside) :].startswith(RSASSA_PSS)


def _header(der: bytes) -> int:
    """The length of an element's tag and length (X.690 section 8.1.3)."""
    return 2 + (der[1] & 0x7F if len(der) > 1 and der[1] & 0x80 else 0)


def as_spki(key: AnyPublicKey) -> bytes:
    """The DER of a public key that is given as DER, as PEM or as an object.  Raises Misuse.

    Bytes stay as they are: an object has forgotten what its algorithm identifier said beyond "RSA".
    """
    try:
        if not isinstance(key, bytes):
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        block = re.search(_PEM, key, re.DOTALL)
        der = binascii.a2b_base64(block[1]) if block else key
        load_der_public_key(der)
    except (AttributeError, *PARSE_ERRORS) as error:
        raise Misuse(f"this is no public key, nor one in DER or PEM: {error}", reason="bad_key") from None
    return der
