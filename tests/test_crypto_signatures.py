"""Signature schemes: what fits what, and that nothing else verifies."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa, x25519

from minitls.crypto.signatures import CLIENT_CONTEXT, SCHEMES, SERVER_CONTEXT, Scheme, schemes_for, signed_content
from minitls.errors import Misuse
from minitls.wire.numbers import SignatureScheme

PSS = ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"]
PSS_KEYS = ["rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"]
PKCS1 = ["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512"]
LEGACY = [f"{name}_legacy" for name in PKCS1]

KEYS: dict[str, Any] = {
    "rsa2048": rsa.generate_private_key(65537, 2048),
    "rsa1024": rsa.generate_private_key(65537, 1024),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "k256": ec.generate_private_key(ec.SECP256K1()),
    "brainpool": ec.generate_private_key(ec.BrainpoolP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "mldsa44": mldsa.MLDSA44PrivateKey.generate(),
    "mldsa65": mldsa.MLDSA65PrivateKey.generate(),
    "mldsa87": mldsa.MLDSA87PrivateKey.generate(),
    "x25519": x25519.X25519PrivateKey.generate(),
}
FITS = {
    "rsa2048": [*PSS, *PSS_KEYS, *PKCS1, *LEGACY],
    "rsa1024": [*PSS[:2], *PSS_KEYS[:2], *PKCS1, *LEGACY],  # 128 octets, and PSS with SHA-512 needs 130
    "p256": ["ecdsa_secp256r1_sha256"],
    "p384": ["ecdsa_secp384r1_sha384"],
    "p521": ["ecdsa_secp521r1_sha512"],
    "k256": [],
    "brainpool": [],
    "ed25519": ["ed25519"],
    "ed448": ["ed448"],
    "mldsa44": ["mldsa44"],
    "mldsa65": ["mldsa65"],
    "mldsa87": ["mldsa87"],
    "x25519": [],
}
DATA = signed_content(SERVER_CONTEXT, bytes(32))

ALL = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
EACH_KEY = pytest.mark.parametrize("name", KEYS)


def key_for(scheme: Scheme) -> Any:
    return KEYS[next(name for name, fits in FITS.items() if scheme.name in fits)]


def test_table() -> None:
    assert set(SCHEMES) == set(SignatureScheme)
    assert all(code == scheme.code for code, scheme in SCHEMES.items())
    assert [scheme.name for scheme in SCHEMES.values() if not scheme.in_tls13] == PKCS1
    assert [scheme.name for scheme in SCHEMES.values() if scheme.clients_only] == LEGACY


@EACH_KEY
def test_fits(name: str) -> None:
    public_key = KEYS[name].public_key()
    assert sorted(scheme.name for scheme in SCHEMES.values() if scheme.fits(public_key)) == sorted(FITS[name])


@EACH_KEY
def test_schemes_for(name: str) -> None:
    """In order of preference; rsa_pss_pss_* only for a certificate that says so, which is not known here."""
    expected = [scheme for scheme in FITS[name] if scheme not in (*PKCS1, *PSS_KEYS)]
    assert [scheme.name for scheme in schemes_for(KEYS[name].public_key())] == expected


@ALL
def test_sign_and_verify(scheme: Scheme) -> None:
    key = key_for(scheme)
    signature = scheme.sign(key, DATA)
    scheme.verify(key.public_key(), signature, DATA)
    flipped = bytearray(signature)
    flipped[len(flipped) // 2] ^= 1
    for bad, data in (
        (bytes(flipped), DATA),
        (signature[:-1], DATA),
        (signature + b"\x00", DATA),
        (b"", DATA),
        (signature, signed_content(CLIENT_CONTEXT, bytes(32))),
    ):
        with pytest.raises(InvalidSignature):
            scheme.verify(key.public_key(), bad, data)


@ALL
def test_other_keys(scheme: Scheme) -> None:
    """A key that does not fit signs nothing and vouches for nothing."""
    signature = scheme.sign(key_for(scheme), DATA)
    for name, key in KEYS.items():
        if scheme.name not in FITS[name]:
            with pytest.raises(Misuse, match=scheme.name) as caught:
                scheme.sign(key, DATA)
            assert caught.value.reason == "key_does_not_fit"
            with pytest.raises(InvalidSignature):
                scheme.verify(key.public_key(), signature, DATA)


def test_schemes_do_not_stand_for_each_other() -> None:
    """PSS and PKCS#1, and each hash: what one signed the other does not take, but for the two names of each."""

    def alike(name: str) -> str:
        return name.replace("_pss_pss", "_pss_rsae").removesuffix("_legacy")

    key = KEYS["rsa2048"]
    for signed in FITS["rsa2048"]:
        signature = SCHEMES[SignatureScheme[signed]].sign(key, DATA)
        for checked in FITS["rsa2048"]:
            scheme = SCHEMES[SignatureScheme[checked]]
            if alike(signed) == alike(checked):
                scheme.verify(key.public_key(), signature, DATA)
            else:
                with pytest.raises(InvalidSignature):
                    scheme.verify(key.public_key(), signature, DATA)


def test_pss_salt_is_as_long_as_the_hash() -> None:
    """RFC 8446 section 4.2.3: not shorter, not longer, and with MGF1 of the same hash."""
    key = KEYS["rsa2048"]
    scheme = SCHEMES[SignatureScheme.rsa_pss_rsae_sha256]
    sha256, sha384 = hashes.SHA256(), hashes.SHA384()
    exact = padding.PSS(padding.MGF1(sha256), 32)
    key.public_key().verify(scheme.sign(key, DATA), DATA, exact, sha256)
    scheme.verify(key.public_key(), key.sign(DATA, exact, sha256), DATA)
    for pss in (
        padding.PSS(padding.MGF1(sha256), 0),
        padding.PSS(padding.MGF1(sha256), 31),
        padding.PSS(padding.MGF1(sha256), 33),
        padding.PSS(padding.MGF1(sha256), padding.PSS.MAX_LENGTH),
        padding.PSS(padding.MGF1(sha384), 32),
    ):
        with pytest.raises(InvalidSignature):
            scheme.verify(key.public_key(), key.sign(DATA, pss, sha256), DATA)


@pytest.mark.parametrize("name", ["mldsa44", "mldsa65", "mldsa87"])
def test_mldsa_context_is_empty(name: str) -> None:
    key = KEYS[name]
    scheme = SCHEMES[SignatureScheme[name]]
    scheme.verify(key.public_key(), key.sign(DATA, b""), DATA)
    with pytest.raises(InvalidSignature):
        scheme.verify(key.public_key(), key.sign(DATA, b"TLS"), DATA)


def test_signed_content() -> None:
    """RFC 8446 section 4.4.3's example: a transcript hash of 32 octets of 0x01."""
    assert signed_content(SERVER_CONTEXT, b"\x01" * 32).hex() == (
        "2020202020202020202020202020202020202020202020202020202020202020"
        "2020202020202020202020202020202020202020202020202020202020202020"
        "544c5320312e332c207365727665722043657274696669636174655665726966"
        "79000101010101010101010101010101010101010101010101010101010101010101"
    )
    assert SERVER_CONTEXT.replace(b"server", b"client") == CLIENT_CONTEXT
