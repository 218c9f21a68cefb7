"""Which public keys are worth believing: a leaf's, and those of the CAs above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa

from minitls.certificates.facts import Facts
from minitls.certificates.faults import Fault
from minitls.errors import Alert

RSA_BITS = range(2048, 8192 + 1)
"""Shorter can be broken; longer costs who verifies more than it is worth, and a stranger chooses it."""
NAMED_CURVES = {
    "secp256r1": bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("301006072a8648ce3d020106052b81040022"),
    "secp521r1": bytes.fromhex("301006072a8648ce3d020106052b81040023"),
}
"""The AlgorithmIdentifier (RFC 5480 section 2.1.1) with which a SubjectPublicKeyInfo begins that names its curve, in DER."""
_WHOLE = (
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)
_EE_KEY_TOO_SMALL, _CA_KEY_TOO_SMALL, _EXPLICIT_CURVE = 66, 67, 94  # OpenSSL's numbers


def check_key(of: Facts, *, ca: bool = False) -> None:
    """The key is of a kind that TLS 1.3 can use, and of a size worth having (RFC 9325 section 4.5).  Raises Fault, ValueError."""
    if of.key_is_sound:
        return
    try:
        key: Any = of.certificate.public_key()
    except UnsupportedAlgorithm:
        raise unsupported(f"{of} has", "a key of a kind unknown here") from None
    check_public_key(key, lambda: f"{of} has", ca=ca)
    if isinstance(key, ec.EllipticCurvePublicKey) and NAMED_CURVES[key.curve.name] not in of.tbs:
        text = f"{of} has a key on a curve that is given by its numbers, and not by its name"
        raise Fault("unsupported_key", Alert.unsupported_certificate, _EXPLICIT_CURVE, text, "RFC 5480 2.1.1")
    of.key_is_sound = True


def check_public_key(key: Any, who_has: Callable[[], str], *, ca: bool = False) -> None:
    """The same for a key without a certificate.  ``who_has``: how the sentence about it begins.  Raises Fault."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in NAMED_CURVES:
            raise unsupported(who_has(), f"a key on the curve {key.curve.name}")
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in RSA_BITS:
            word = "short" if key.key_size < RSA_BITS.start else "long"
            text = f"{who_has()} an RSA key of {key.key_size} bits, which is too {word}"
            raise Fault("weak_key", Alert.bad_certificate, _CA_KEY_TOO_SMALL if ca else _EE_KEY_TOO_SMALL, text, "RFC 9325 4.5")
    elif not isinstance(key, _WHOLE):
        raise unsupported(who_has(), "a key that cannot sign in TLS")


def unsupported(who_has: str, what: str) -> Fault:
    return Fault("unsupported_key", Alert.unsupported_certificate, 1, f"{who_has} {what}", "RFC 8446 4.2.3")
