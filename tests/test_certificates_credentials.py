"""Credentials: from memory, files, PKCS#12, a signer that may be somewhere else; and every way in which they can be wrong."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    pkcs12,
)

import minitls
from minitls.certificates.authority import KEYS, Authority, Issued
from minitls.certificates.credentials import Credential, load_chain, load_key
from minitls.certificates.trust import TrustStore
from minitls.crypto.signatures import CLIENTS_ONLY, SCHEMES, SERVER_CONTEXT, signed_content
from minitls.errors import Misuse
from minitls.wire.numbers import SignatureScheme
from tests.chains import HOST, ca, key, leaf, make, openssl, private_pem

DATA = signed_content(SERVER_CONTEXT, bytes(32))
AUTHORITY = Authority.create()
ISSUED = AUTHORITY.issue("localhost", "127.0.0.1", "*.a.example")
CHAIN, KEY = ISSUED.chain_pem(), ISSUED.key_pem()
LOCKED = private_pem(ISSUED.key, BestAvailableEncryption(b"secret"))


def signs(credential: Credential) -> None:
    """Each of its schemes gives a signature that its leaf's key verifies."""
    for scheme in credential.schemes:
        signature = credential.sign(scheme, DATA)
        assert isinstance(signature, bytes)
        SCHEMES[scheme].verify(credential.leaf.public_key(), signature, DATA)


# sources --------------------------------------------------------------------------------------------------------------------


def test_memory() -> None:
    for credential in (
        Credential.from_pem(CHAIN, KEY),
        Credential.from_pem(CHAIN + KEY, CHAIN + KEY),
        Credential.from_pem(KEY + CHAIN, KEY + CHAIN),
        Credential.from_pem(b"a comment\r\n" + CHAIN.replace(b"\n", b"\r\n"), KEY.replace(b"\n", b"\r\n")),
        Credential.from_pem(CHAIN, LOCKED, b"secret"),
        Credential.from_pem(CHAIN + LOCKED, CHAIN + LOCKED, "secret"),
        Credential.from_cryptography(ISSUED.chain, ISSUED.key),
    ):
        assert credential.chain == tuple(c.public_bytes(Encoding.DER) for c in ISSUED.chain)
        assert credential.leaf == ISSUED.chain[0]
        assert credential.names == ("localhost", "*.a.example", "127.0.0.1")
        assert [scheme.name for scheme in credential.schemes] == ["ecdsa_secp256r1_sha256"]
        signs(credential)


def test_files(tmp_path: Path) -> None:
    for name, data in {"chain": CHAIN, "key": KEY, "both": KEY + CHAIN, "locked": LOCKED}.items():
        (tmp_path / name).write_bytes(data)
    signs(Credential.from_files(tmp_path / "chain", tmp_path / "key"))
    signs(Credential.from_files(str(tmp_path / "both")))
    signs(Credential.from_files(tmp_path / "chain", str(tmp_path / "locked"), "secret"))
    with pytest.raises(FileNotFoundError):
        Credential.from_files(tmp_path / "chain", tmp_path / "missing")


@pytest.mark.parametrize("kind", KEYS)
def test_kinds(kind: str) -> None:
    issued = AUTHORITY.issue("localhost", key=kind)
    credential = Credential.from_pem(issued.chain_pem(), issued.key_pem())
    expected = {"p256": "ecdsa_secp256r1", "p384": "ecdsa_secp384r1", "p521": "ecdsa_secp521r1"}.get(kind, kind)
    assert credential.schemes
    for_all = [scheme.name for scheme in credential.schemes if scheme not in CLIENTS_ONLY]
    assert for_all
    assert all(name.startswith("rsa_pss_rsae" if kind.startswith("rsa") else expected) for name in for_all)
    signs(credential)


OTHER_FORMS = {
    "EC parameters before the key": ("ecparam", "-name", "prime256v1", "-genkey"),
    "SEC 1": ("ecparam", "-name", "prime256v1", "-genkey", "-noout"),
    "PKCS#8": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "PKCS#1": ("genrsa", "-traditional", "2048"),
    "PKCS#1, encrypted": ("genrsa", "-traditional", "-aes256", "-passout", "pass:secret", "2048"),
    "PKCS#8, encrypted": ("genpkey", "-algorithm", "RSA", "-aes-256-cbc", "-pass", "pass:secret"),
    "Ed25519": ("genpkey", "-algorithm", "ED25519"),
    "Ed448": ("genpkey", "-algorithm", "ED448"),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_keys_as_openssl_writes_them(form: str) -> None:
    pem = openssl(*OTHER_FORMS[form])
    private = load_key(pem, "secret" if "encrypted" in form else None)
    signs(Credential.from_cryptography([make(HOST, names=(HOST,), key=private).certificate], private))


@pytest.mark.parametrize("restricted", [False, True])
def test_rsassa_pss(restricted: bool, tmp_path: Path) -> None:
    """A certificate that says id-RSASSA-PSS, which only OpenSSL makes: it signs rsa_pss_pss_*, and nothing else."""
    options = ["-pkeyopt", "rsa_keygen_bits:2048"]
    if restricted:
        options += ["-pkeyopt", "rsa_pss_keygen_md:sha256", "-pkeyopt", "rsa_pss_keygen_saltlen:32"]
    openssl("genpkey", "-algorithm", "RSA-PSS", *options, "-out", tmp_path / "key")
    names = ("-subj", "/CN=pss", "-addext", f"subjectAltName=DNS:{HOST}")
    openssl("req", "-x509", "-new", "-key", tmp_path / "key", "-out", tmp_path / "chain", *names)
    credential = Credential.from_files(tmp_path / "chain", tmp_path / "key")
    assert {scheme.name for scheme in credential.schemes} == {f"rsa_pss_pss_sha{size}" for size in (256, 384, 512)}
    assert not credential.can_decrypt  # RFC 4055 section 1.2: not TLS 1.2's static RSA
    signs(credential)
    assert TrustStore.from_files(tmp_path / "chain").verify(credential.chain, HOST) == [credential.leaf]


# PKCS#12 --------------------------------------------------------------------------------------------------------------------


def bundle(chain: list[x509.Certificate], key: Any = ISSUED.key, password: bytes | None = b"secret") -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return pkcs12.serialize_key_and_certificates(b"name", key, chain[0], chain[1:], encryption)


def test_pkcs12() -> None:
    """Locked or open; the certificates in any order, and strangers among them."""
    root, stranger = AUTHORITY.root, ca("stranger").certificate
    leaf, middle = ISSUED.chain
    for chain, expected in (
        ([leaf, middle], [leaf, middle]),
        ([leaf, root, stranger, middle], [leaf, middle, root]),
        ([leaf], [leaf]),
    ):
        for password in (b"secret", "secret", None):
            encoded = password.encode() if isinstance(password, str) else password
            credential = Credential.from_pkcs12(bundle(chain, password=encoded), password)
            assert credential.chain == tuple(c.public_bytes(Encoding.DER) for c in expected)
            signs(credential)


def test_pkcs12_by_openssl(tmp_path: Path) -> None:
    for name, data in {"chain": CHAIN, "key": KEY}.items():
        (tmp_path / name).write_bytes(data)
    made = openssl("pkcs12", "-export", "-in", tmp_path / "chain", "-inkey", tmp_path / "key", "-passout", "pass:secret")
    signs(Credential.from_pkcs12(made, "secret"))


def test_pkcs12_that_is_none() -> None:
    good = bundle(list(ISSUED.chain))
    other = pkcs12.serialize_key_and_certificates(b"name", None, ISSUED.chain[0], None, NoEncryption())
    for data, password in ((good, "wrong"), (good, None), (good[:-1], "secret"), (b"", None), (CHAIN, None), (other, None)):
        with pytest.raises(Misuse, match=r"PKCS#12 bundle") as caught:
            Credential.from_pkcs12(data, password)
        assert caught.value.reason == "bad_key"


# mistakes -------------------------------------------------------------------------------------------------------------------

RSA = key("rsa2048")
OTHER_KEY = AUTHORITY.issue("localhost").key_pem()
MISTAKES: dict[str, tuple[Callable[[], Credential], str, str]] = {
    "wrong password": (lambda: Credential.from_pem(CHAIN, LOCKED, "wrong"), "bad_key", "the password is wrong, or it is damaged"),
    "empty password": (lambda: Credential.from_pem(CHAIN, LOCKED, ""), "bad_password", "is encrypted: give its password"),
    "no password": (lambda: Credential.from_pem(CHAIN, LOCKED), "bad_password", "is encrypted: give its password"),
    "a password for nothing": (lambda: Credential.from_pem(CHAIN, KEY, "secret"), "bad_password", "is not encrypted"),
    "no certificate": (lambda: Credential.from_pem(KEY, KEY), "bad_certificate", "holds no certificate in PEM"),
    "no key": (lambda: Credential.from_pem(CHAIN, CHAIN), "bad_key", "holds no private key in PEM"),
    "nothing": (lambda: Credential.from_pem(b"", b""), "bad_certificate", "holds no certificate in PEM"),
    "DER for PEM": (
        lambda: Credential.from_pem(ISSUED.chain[0].public_bytes(Encoding.DER), KEY), "bad_certificate", "holds no certificate",
    ),
    "certificate damaged": (
        lambda: Credential.from_pem(CHAIN.replace(b"MII", b"MIJ", 1), KEY), "bad_certificate", "holds no certificate in PEM",
    ),
    "key damaged": (lambda: Credential.from_pem(CHAIN, KEY.replace(b"MIGH", b"MIGG", 1)), "bad_key", "it is damaged"),
    "key cut off": (lambda: Credential.from_pem(CHAIN, KEY[:100]), "bad_key", "cannot be read"),
    "another's key": (
        lambda: Credential.from_pem(CHAIN, OTHER_KEY), "key_mismatch", "does not belong to the certificate of CN=localhost",
    ),
    "another kind of key": (lambda: Credential.from_pem(CHAIN, private_pem(RSA)), "key_mismatch", "does not belong to"),
    "leaf not first": (
        lambda: Credential.from_cryptography(ISSUED.chain[::-1], ISSUED.key), "key_mismatch",
        "it belongs to the certificate of CN=localhost, which has to come first",
    ),
    "empty chain": (lambda: Credential([], signer=no_signer), "misuse", "at least one certificate"),
    "no DER": (lambda: Credential([b"0\x00"], signer=no_signer), "bad_certificate", "this is no certificate"),
    "second is no DER": (
        lambda: Credential([ISSUED.chain[0], b""], signer=no_signer), "bad_certificate", "this is no certificate",
    ),
    "P-224": (lambda: odd_key(key("p224")), "unsupported_key", "TLS 1.3 cannot sign with"),
    "secp256k1": (lambda: odd_key(key("secp256k1")), "unsupported_key", "TLS 1.3 cannot sign with"),
    "X25519": (lambda: odd_key(x25519.X25519PrivateKey.generate()), "unsupported_key", "TLS 1.3 cannot sign with"),
}  # fmt: skip


def no_signer(scheme: SignatureScheme, data: bytes) -> bytes:
    raise AssertionError("nobody asked")


def odd_key(private: Any) -> Credential:
    return Credential.from_cryptography([leaf(ca("root"), key=private).certificate], private)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str) -> None:
    make_it, reason, says = MISTAKES[mistake]
    with pytest.raises(Misuse, match=re.escape(says)) as caught:
        make_it()
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    for name, data in {"chain": CHAIN, "key": KEY, "locked": LOCKED, "empty": b""}.items():
        (tmp_path / name).write_bytes(data)
    for cert, private, password, named in (
        ("empty", "key", None, "empty"),
        ("chain", "empty", None, "empty"),
        ("chain", "locked", None, "locked"),
        ("chain", "locked", "wrong", "locked"),
        ("chain", "key", "secret", "key"),
        ("chain", None, None, "chain"),
    ):
        with pytest.raises(Misuse, match=re.escape(str(tmp_path / named))):
            Credential.from_files(tmp_path / cert, tmp_path / private if private else None, password)


def test_damaged_keys_and_chains() -> None:
    """Whatever stands in a file: Misuse, or a credential."""
    chooser = random.Random(5)
    for number in range(1500):
        source = (CHAIN, KEY, LOCKED)[number % 3]
        data = bytearray(source)
        for _ in range(chooser.choice((1, 2, 8))):
            place = chooser.randrange(len(data))
            data[place : place + chooser.choice((0, 1, 1, 4))] = chooser.randbytes(chooser.choice((0, 1, 1, 4)))
        try:
            Credential.from_pem(bytes(data) if source is CHAIN else CHAIN, KEY if source is CHAIN else bytes(data), None)
        except Misuse:
            continue


def test_damaged_der() -> None:
    der = [c.public_bytes(Encoding.DER) for c in ISSUED.chain]
    chooser = random.Random(6)
    for _ in range(3000):
        data = bytearray(der[0])
        for _ in range(chooser.choice((1, 2, 8))):
            data[chooser.randrange(len(data))] = chooser.randrange(256)
        try:
            assert repr(Credential([bytes(data), der[1]], signer=no_signer)).isprintable()
        except Misuse:
            continue


# what they know of themselves -----------------------------------------------------------------------------------------------


def test_matches() -> None:
    credential = ISSUED.credential()
    for name, expected in {
        "localhost": True,
        "LOCALHOST": True,
        "b.a.example": True,
        "a.example": False,
        "c.b.a.example": False,
        "127.0.0.1": True,
        "127.0.0.2": False,
        "": False,
    }.items():
        assert credential.matches(name) is expected
    assert not credential.matches(None)
    nameless = Credential([make("cn.example").certificate], signer=no_signer)
    assert nameless.names == ()
    assert not nameless.matches("cn.example")
    assert "CN=cn.example" in repr(nameless)


def test_issued_by() -> None:
    """By its own issuer or one above (RFC 8446 section 4.2.4)."""
    credential = ISSUED.credential()
    middle, root = (c.subject.public_bytes() for c in AUTHORITY.chain)
    other = ca("other").certificate.subject.public_bytes()
    assert credential.issued_by([middle])
    assert credential.issued_by([other, root])
    assert not credential.issued_by([other])
    assert not credential.issued_by([])


def test_secrets_are_not_shown() -> None:
    secret = hex(ISSUED.key.private_numbers().private_value)[2:]
    with pytest.raises(Misuse) as caught:
        Credential.from_pem(CHAIN, OTHER_KEY)
    for text in (repr(ISSUED.credential()), repr(caught.value), str(caught.value)):
        assert secret not in text


def test_pem_of_many() -> None:
    assert load_chain(CHAIN * 2) == [*ISSUED.chain] * 2


# a signer of one's own --------------------------------------------------------------------------------------------------------


def test_signer() -> None:
    """It is asked for one of the certificate's schemes, and the key is never seen."""
    asked: list[SignatureScheme] = []

    def signer(scheme: SignatureScheme, data: bytes) -> bytes:
        asked.append(scheme)
        return SCHEMES[scheme].sign(ISSUED.key, data)

    credential = Credential([c.public_bytes(Encoding.DER) for c in ISSUED.chain], signer=signer)
    assert credential.chain == ISSUED.credential().chain
    signs(credential)
    assert asked == [SignatureScheme.ecdsa_secp256r1_sha256]


async def test_signer_that_is_awaited(pki: Any) -> None:
    """A key in an HSM or behind a service: a handshake waits for it."""
    issued: Issued = pki.issue("localhost", "127.0.0.1", "::1")
    asked: list[str] = []

    async def signer(scheme: SignatureScheme, data: bytes) -> bytes:
        asked.append(scheme.name)
        return SCHEMES[scheme].sign(issued.key, data)

    credential = Credential(issued.chain, signer=signer)
    answer = credential.sign(credential.schemes[0], DATA)
    assert inspect.isawaitable(answer)
    assert isinstance(await answer, bytes)

    async def echo(reader: Any, writer: Any) -> None:
        writer.write(await reader.read(100))
        writer.close()

    server = await minitls.start_server(echo, "127.0.0.1", 0, config=minitls.ServerConfig(credentials=(credential,)))
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await minitls.open_connection("127.0.0.1", port, config=minitls.ClientConfig(trust=pki.trust))
        writer.write(b"hello")
        assert await reader.read() == b"hello"
        writer.close()
    assert asked == ["ecdsa_secp256r1_sha256"] * 2
