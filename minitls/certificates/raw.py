"""Raw public keys (RFC 7250): a key in the place of a certificate, believed because somebody said so beforehand.

There is no name in it, no validity and nobody who vouches for it: who is believed stands in the configuration, key by key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

from minitls.certificates.credentials import Credential, Signer, load_private_key
from minitls.certificates.faults import Fault
from minitls.certificates.spki import SubjectKey, as_spki, is_pss, key_schemes12, read_spki
from minitls.crypto.groups import curve_of
from minitls.crypto.signatures import SCHEMES, SCHEMES_12
from minitls.errors import Alert, CertificateError, Misuse
from minitls.wire.numbers import CertificateType, SignatureScheme

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

UNTRUSTED = 95  # OpenSSL's X509_V_ERR_RPK_UNTRUSTED


class RawKey(Credential):
    """A credential that is a key alone; made by :meth:`Credential.raw`.

    ``chain``: the DER SubjectPublicKeyInfo, and nothing else.  It has no names, no leaf, and no staples.
    """

    __slots__ = ()
    certificate_type = CertificateType.RawPublicKey

    def __init__(self, spki: bytes, *, signer: Signer) -> None:
        try:
            subject = read_spki(spki, "this credential would have")
        except Fault as fault:
            raise Misuse(fault.message, rule=fault.rule, reason=fault.reason) from None
        self.chain = (spki,)
        self.names = ()
        self.schemes = subject.schemes
        self.schemes12 = key_schemes12(subject.key, is_pss(spki))
        self.is_rsa = subject.is_rsa
        self.ocsp_response, self.scts = b"", ()
        self.delegation, self.delegations = None, ()
        self.curve, self.must_match_issuer = curve_of(subject.key), False
        self._issuers = frozenset()
        self._signer = signer
        self._decrypter = None

    def __repr__(self) -> str:
        return f"<RawKey {fingerprint(self.chain[0])}: {self.schemes[0].name}>"

    def signed_within(self, accepted: Container[int]) -> bool:
        """Nobody has signed it, so that nobody has to check a signature."""
        return True


def raw_key(key: PrivateKeyTypes | bytes | Any, password: bytes | str | None, signer: Signer | None) -> RawKey:
    """See :meth:`Credential.raw`."""
    if signer is not None:
        public: Any = key
        return RawKey(as_spki(public), signer=signer)
    private: Any = load_private_key(key, password) if isinstance(key, bytes) else key
    if not hasattr(private, "sign"):
        raise Misuse("a raw public key needs its private key, or a signer=", reason="bad_key")

    def sign(scheme: SignatureScheme, data: bytes) -> bytes:
        return (SCHEMES_12.get(scheme) or SCHEMES[scheme]).sign(private, data)  # any curve with any hash, in TLS 1.2

    return RawKey(as_spki(private.public_key()), signer=sign)


def fingerprint(spki: bytes) -> str:
    """What people compare: the SHA-256 of the key, in hex."""
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def read_raw_key(spki: bytes) -> SubjectKey:
    """A peer's key, if it is worth to be believed.  Raises CertificateError."""
    try:
        return read_spki(spki, "the peer has")
    except Fault as fault:
        raise fault.error(()) from None


def is_among(spki: bytes, trusted: Sequence[Any]) -> bool:
    """Whether a key is one of these, which are DER, as a configuration has them."""
    return sum(hmac.compare_digest(spki, each) for each in trusted) > 0


def untrusted(spki: bytes) -> CertificateError:
    """For a key that nobody believes (RFC 7250 section 6)."""
    text = f"the peer's raw public key, {fingerprint(spki)}, is none that we trust"
    remedy = "if this key is the peer's, which somebody has to know, put it into trusted_keys"
    return Fault("untrusted_key", Alert.bad_certificate, UNTRUSTED, text, "RFC 7250 6", remedy).error(())
