"""The signature schemes (RFC 8446 section 4.2.3, draft-ietf-tls-mldsa), one table for signing and verifying.

A scheme and a key must fit: for ECDSA the scheme names the curve as well as the hash (section 4.2.3), an RSA key must be
long enough for the scheme's encoding (RFC 8017 sections 9.1.1 and 9.2), and the salt of RSASSA-PSS is exactly as long as
the hash, in what we sign and in what we accept.  SHA-1 and MD5 are not in the table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa

from minitls.errors import Misuse
from minitls.wire.numbers import SignatureScheme

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    _PureKeys = type[
        ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
    ]

SERVER_CONTEXT = b"TLS 1.3, server CertificateVerify"
CLIENT_CONTEXT = b"TLS 1.3, client CertificateVerify"


def signed_content(role_context: bytes, transcript_hash: bytes) -> bytes:
    """What CertificateVerify signs (RFC 8446 section 4.4.3).

    The 64 spaces keep it apart from what TLS 1.2 signs, and the context a server's signature from a client's.
    """
    return b"\x20" * 64 + role_context + b"\x00" + transcript_hash


class Scheme(ABC):
    """A way to sign.  ``name``: IANA's, such as "ecdsa_secp256r1_sha256".

    ``in_tls13``: whether it may sign a handshake of TLS 1.3; if not, it is for certificates only.  ``clients_only``: nothing else
    than a client's CertificateVerify of TLS 1.3, no certificate either.
    """

    __slots__ = ("code", "name")
    in_tls13 = True
    clients_only = False

    def __init__(self, code: SignatureScheme) -> None:
        self.code = code
        self.name = code.name

    def __repr__(self) -> str:
        return f"<Scheme {self.name}>"

    @abstractmethod
    def fits(self, public_key: PublicKeyTypes) -> bool:
        """Whether a key of this type, curve and size can make such signatures.

        An RSA key object does not tell whether its certificate says rsaEncryption or id-RSASSA-PSS: it fits rsa_pss_rsae
        and rsa_pss_pss alike, and who has the certificate must tell them apart (``RsaPss.pss_key``).
        """

    def sign(self, private_key: PrivateKeyTypes, data: bytes) -> bytes:
        """Sign data.  Raises Misuse when the key does not fit."""
        if not self.fits(private_key.public_key()):
            raise Misuse(f"this key cannot sign {self.name}", reason="key_does_not_fit")
        return self._sign(private_key, data)

    def verify(self, public_key: PublicKeyTypes, signature: bytes, data: bytes) -> None:
        """Return when the signature is good.  Raises cryptography's InvalidSignature when it is not, or the key cannot be."""
        if not self.fits(public_key):
            raise InvalidSignature(f"the key does not fit {self.name}")
        self._verify(public_key, signature, data)

    # The keys below are known to fit.

    @abstractmethod
    def _sign(self, private_key: Any, data: bytes) -> bytes: ...

    @abstractmethod
    def _verify(self, public_key: Any, signature: bytes, data: bytes) -> None: ...


class RsaPss(Scheme):
    """RSASSA-PSS with MGF1 of the same hash.  ``pss_key``: the key's SPKI must say id-RSASSA-PSS, or else rsaEncryption."""

    __slots__ = ("hash", "pss_key")

    def __init__(self, code: SignatureScheme, algorithm: hashes.HashAlgorithm, *, pss_key: bool) -> None:
        super().__init__(code)
        self.hash = algorithm
        self.pss_key = pss_key

    def fits(self, public_key: PublicKeyTypes) -> bool:
        # emLen >= hLen + sLen + 2, where emLen is ceil((modBits - 1) / 8): an RSA-1024 key is too short for SHA-512.
        return _is_rsa(public_key) and (public_key.key_size + 6) // 8 >= 2 * self.hash.digest_size + 2

    def _padding(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric import padding

        return padding.PSS(padding.MGF1(self.hash), self.hash.digest_size)

    def _sign(self, private_key: Any, data: bytes) -> bytes:
        signature: bytes = private_key.sign(data, self._padding(), self.hash)
        return signature

    def _verify(self, public_key: Any, signature: bytes, data: bytes) -> None:
        public_key.verify(signature, data, self._padding(), self.hash)


class RsaPkcs1(Scheme):
    """RSASSA-PKCS1-v1_5: signs certificates, and no handshake of TLS 1.3."""

    __slots__ = ("hash",)
    in_tls13 = False

    def __init__(self, code: SignatureScheme, algorithm: hashes.HashAlgorithm) -> None:
        super().__init__(code)
        self.hash = algorithm

    def fits(self, public_key: PublicKeyTypes) -> bool:
        # emLen >= tLen + 11, where emLen is the modulus's length, and T the hash behind 19 octets that name it.
        return _is_rsa(public_key) and (public_key.key_size + 7) // 8 >= self.hash.digest_size + 19 + 11

    def _sign(self, private_key: Any, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import padding

        signature: bytes = private_key.sign(data, padding.PKCS1v15(), self.hash)
        return signature

    def _verify(self, public_key: Any, signature: bytes, data: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import padding

        public_key.verify(signature, data, padding.PKCS1v15(), self.hash)


class LegacyRsaPkcs1(RsaPkcs1):
    """The same in TLS 1.3, for clients whose keys are in hardware that can do no other (RFC 9963): no policy of ours has it."""

    __slots__ = ()
    in_tls13 = True
    clients_only = True


class Ecdsa(Scheme):
    """ECDSA; in TLS 1.3 each hash goes with one curve.  Signatures are DER (RFC 3279 section 2.2.3)."""

    __slots__ = ("_algorithm", "curves", "hash")

    def __init__(self, code: SignatureScheme, algorithm: hashes.HashAlgorithm, *curves: type[ec.EllipticCurve]) -> None:
        super().__init__(code)
        self.hash = algorithm
        self.curves = curves
        self._algorithm: ec.ECDSA | None = None

    @property
    def algorithm(self) -> ec.ECDSA:
        """Made when it is needed: the first of these imports much."""
        self._algorithm = self._algorithm or ec.ECDSA(self.hash)
        return self._algorithm

    def fits(self, public_key: PublicKeyTypes) -> bool:
        return isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(public_key.curve, self.curves)

    def _sign(self, private_key: Any, data: bytes) -> bytes:
        signature: bytes = private_key.sign(data, self.algorithm)
        return signature

    def _verify(self, public_key: Any, signature: bytes, data: bytes) -> None:
        public_key.verify(signature, data, self.algorithm)


class Pure(Scheme):
    """EdDSA (RFC 8032) and ML-DSA (FIPS 204): the key says it all.  ML-DSA's context string is empty."""

    __slots__ = ("public",)

    def __init__(self, code: SignatureScheme, public: _PureKeys) -> None:
        super().__init__(code)
        self.public = public

    def fits(self, public_key: PublicKeyTypes) -> bool:
        return isinstance(public_key, self.public)

    def _sign(self, private_key: Any, data: bytes) -> bytes:
        signature: bytes = private_key.sign(data)
        return signature

    def _verify(self, public_key: Any, signature: bytes, data: bytes) -> None:
        public_key.verify(signature, data)


def schemes_for(public_key: PublicKeyTypes) -> tuple[SignatureScheme, ...]:
    """The schemes of TLS 1.3 that this key can sign a handshake with, best first; () when there is none.

    An RSA key is taken for one whose certificate says rsaEncryption, and gets rsa_pss_rsae_*: the rare certificate that
    says id-RSASSA-PSS needs rsa_pss_pss_* instead, which the object does not tell and :mod:`minitls.certificates` does.
    """
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return _OF_CURVE.get(public_key.curve.name, ())
    return tuple(
        scheme.code
        for scheme in SCHEMES.values()
        if scheme.in_tls13 and scheme.fits(public_key) and not (isinstance(scheme, RsaPss) and scheme.pss_key)
    )


def _is_rsa(public_key: PublicKeyTypes) -> TypeGuard[rsa.RSAPublicKey]:
    from cryptography.hazmat.primitives.asymmetric import rsa  # late: it brings the random module, a millisecond

    return isinstance(public_key, rsa.RSAPublicKey)


_SHA256, _SHA384, _SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()

# In the order in which we would rather see them: what is quick to sign with, then what is long, then certificates' own.
SCHEMES: Mapping[int, Scheme] = {
    scheme.code: scheme
    for scheme in (
        Ecdsa(SignatureScheme.ecdsa_secp256r1_sha256, _SHA256, ec.SECP256R1),
        Pure(SignatureScheme.ed25519, ed25519.Ed25519PublicKey),
        Ecdsa(SignatureScheme.ecdsa_secp384r1_sha384, _SHA384, ec.SECP384R1),
        Ecdsa(SignatureScheme.ecdsa_secp521r1_sha512, _SHA512, ec.SECP521R1),
        Pure(SignatureScheme.ed448, ed448.Ed448PublicKey),
        RsaPss(SignatureScheme.rsa_pss_rsae_sha256, _SHA256, pss_key=False),
        RsaPss(SignatureScheme.rsa_pss_rsae_sha384, _SHA384, pss_key=False),
        RsaPss(SignatureScheme.rsa_pss_rsae_sha512, _SHA512, pss_key=False),
        RsaPss(SignatureScheme.rsa_pss_pss_sha256, _SHA256, pss_key=True),
        RsaPss(SignatureScheme.rsa_pss_pss_sha384, _SHA384, pss_key=True),
        RsaPss(SignatureScheme.rsa_pss_pss_sha512, _SHA512, pss_key=True),
        Pure(SignatureScheme.mldsa44, mldsa.MLDSA44PublicKey),
        Pure(SignatureScheme.mldsa65, mldsa.MLDSA65PublicKey),
        Pure(SignatureScheme.mldsa87, mldsa.MLDSA87PublicKey),
        RsaPkcs1(SignatureScheme.rsa_pkcs1_sha256, _SHA256),
        RsaPkcs1(SignatureScheme.rsa_pkcs1_sha384, _SHA384),
        RsaPkcs1(SignatureScheme.rsa_pkcs1_sha512, _SHA512),
        LegacyRsaPkcs1(SignatureScheme.rsa_pkcs1_sha256_legacy, _SHA256),
        LegacyRsaPkcs1(SignatureScheme.rsa_pkcs1_sha384_legacy, _SHA384),
        LegacyRsaPkcs1(SignatureScheme.rsa_pkcs1_sha512_legacy, _SHA512),
    )
}

CLIENTS_ONLY = frozenset(code for code, scheme in SCHEMES.items() if scheme.clients_only)

_OF_CURVE: Mapping[str, tuple[SignatureScheme, ...]] = {
    curve().name: (scheme.code,) for scheme in SCHEMES.values() if isinstance(scheme, Ecdsa) for curve in scheme.curves
}
"""In TLS 1.3 a curve has one hash (RFC 8446 section 4.2.3)."""

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

SCHEMES_12: Mapping[int, Scheme] = {
    scheme.code: Ecdsa(scheme.code, scheme.hash, *_CURVES) if isinstance(scheme, Ecdsa) else scheme
    for scheme in SCHEMES.values()
    if not scheme.name.startswith("mldsa") and not scheme.clients_only
}
"""For handshakes of TLS 1.2 (RFC 5246 section 7.4.1.4.1): a hash goes with any curve, RSASSA-PKCS1-v1_5 signs, ML-DSA does not."""
