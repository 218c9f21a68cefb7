"""Certificates as nobody should make them, and what ``openssl verify`` says of a chain."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from minitls.certificates.authority import make_key
from minitls.certificates.faults import read_pem
from tests.asn1 import der, object_identifier, sequence

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
HOST = "host.example"
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ODD = ObjectIdentifier("1.3.6.1.4.1.99999.1")
"""An extension that nobody knows."""

DEFAULT: Any = object()


@dataclass(frozen=True)
class Made:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


@cache
def key(kind: str = "p256") -> Any:
    """One key of each kind that is slow to make or odd; what it is does not matter where it is shared."""
    odd = {
        "p224": lambda: ec.generate_private_key(ec.SECP224R1()),
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
        "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    }
    return odd[kind]() if kind in odd else make_key(kind)


def huge_rsa(bits: int) -> rsa.RSAPublicKey:
    """A public key of this size; there is no private one."""
    return rsa.RSAPublicNumbers(65537, int.from_bytes(os.urandom(bits // 8)) | 1 | 1 << (bits - 1)).public_key()


def general_name(name: str) -> x509.GeneralName:
    """``dir:X`` a directory name with the CN X, ``uri:X``, ``NET/LEN`` a network, an address, a mailbox, or a host."""
    if name.startswith("dir:"):
        return x509.DirectoryName(named(name[4:]))
    if name.startswith("uri:"):
        return x509.UniformResourceIdentifier(name[4:])
    if name.startswith("dns:"):
        return x509.DNSName(name[4:])
    for kind in (ipaddress.ip_address, ipaddress.ip_network):
        try:
            return x509.IPAddress(kind(name))  # type: ignore[operator]
        except ValueError:
            continue
    return x509.RFC822Name(name) if "@" in name else x509.DNSName(name)


def named(common_name: str) -> x509.Name:
    """``mail:X``: an emailAddress instead."""
    if common_name.startswith("mail:"):
        return x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, common_name[5:])])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def usage(*names: str) -> x509.KeyUsage:
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
        " encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: name in names for name in every.split()})


def make(
    subject: str,
    by: Made | None = None,
    *,
    key: Any = None,
    ca: bool = False,
    room: int | None = None,
    names: Sequence[str] = (),
    critical_names: bool = False,
    key_usage: x509.KeyUsage | None = DEFAULT,
    purposes: Sequence[ObjectIdentifier] | None = DEFAULT,
    constraints: bool = True,
    identifiers: bool = True,
    permitted: Sequence[str] | None = None,
    excluded: Sequence[str] | None = None,
    issuer_url: str = "",
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    begin: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + 30 * DAY,
    issuer: str | None = None,
    issuer_key: Any = None,
    serial: int | None = None,
    padding: Any = None,
) -> Made:
    """A certificate, right in all that is not said; signed by itself without ``by``.

    ``key``: a private key, or a public one if nobody has the private one; ``room``: path length; ``constraints``: basicConstraints;
    ``identifiers``: of subject and authority; ``permitted``, ``excluded``: name constraints; ``issuer``, ``issuer_key``: what it
    says of its issuer, where that is not true.
    """
    own = make_key("p256") if key is None else key
    public = own.public_key() if hasattr(own, "public_key") else own
    above_name = by.certificate.subject if by else named(subject)
    above_public = by.certificate.public_key() if by else public
    signing = by.key if by else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(above_name if issuer is None else named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if constraints:
        builder = builder.add_extension(x509.BasicConstraints(ca, room), critical=True)
    if key_usage is DEFAULT:
        key_usage = usage("key_cert_sign", "crl_sign") if ca else usage("digital_signature")
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    if purposes is DEFAULT:
        purposes = None if ca else [SERVER, CLIENT]
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if identifiers:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key() if issuer_key else above_public)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        builder = builder.add_extension(authority, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([*map(general_name, names)]), critical=critical_names)
    if permitted is not None or excluded is not None:
        trees = [None if names is None else [*map(general_name, names)] for names in (permitted, excluded)]
        builder = builder.add_extension(x509.NameConstraints(*trees), critical=True)
    if issuer_url:
        where = x509.UniformResourceIdentifier(issuer_url)
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    kind = type(signing).__name__
    digest = hashes.SHA256() if kind in ("ECPrivateKey", "RSAPrivateKey") else None
    return Made(builder.sign(signing, digest, rsa_padding=padding), own)


def ca(subject: str, by: Made | None = None, **how: Any) -> Made:
    return make(subject, by, ca=True, **how)


def leaf(by: Made, **how: Any) -> Made:
    how.setdefault("names", (HOST,))
    return make(how.pop("subject", HOST), by, **how)


# openssl ----------------------------------------------------------------------------------------------------------------


def openssl_command() -> str:
    """The command; where there is none, the test is skipped, or fails if CI=true."""
    path = shutil.which("openssl")
    if path is None:
        what = "the openssl command is missing"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what}, and CI=true: every peer must be there")
        pytest.skip(what)
    return path


def openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Its stdout.  Raises what subprocess does."""
    return subprocess.run([openssl_command(), *map(str, arguments)], input=stdin, capture_output=True, check=True).stdout


def pem_of(certificate: x509.Certificate | bytes) -> str:
    """PEM, also of DER that nobody can read."""
    return ssl.DER_cert_to_PEM_cert(certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.DER))


@cache
def openssl_version() -> tuple[int, ...]:
    """Of the command: (3, 0, 19)."""
    return tuple(map(int, openssl("version").split()[1].decode().split("-")[0].split(".")))


def openssl_verify(
    folder: Path,
    trusted: Sequence[x509.Certificate | bytes],
    chain: Sequence[x509.Certificate | bytes],
    name: str | None,
    *options: str,
    client: bool = False,
    at: datetime.datetime | None = None,
) -> int:
    """The verdict of ``openssl verify``: 0, or the first X509_V_ERR number that it tells."""
    files = {"trusted": trusted, "untrusted": chain[1:], "leaf": chain[:1]}
    for file, certificates in files.items():
        (folder / file).write_text("".join(map(pem_of, certificates)))
    command = [openssl_command(), "verify", "-no-CApath", "-no-CAstore", "-CAfile", str(folder / "trusted")]
    command += ["-purpose", "sslclient" if client else "sslserver", *options]
    if len(chain) > 1:
        command += ["-untrusted", str(folder / "untrusted")]
    if at is not None:
        command += ["-attime", str(int(at.timestamp()))]
    if name is not None:
        command += ["-verify_ip" if re.fullmatch(r"[0-9.]+|.*:.*", name) else "-verify_hostname", name]
    done = subprocess.run([*command, str(folder / "leaf")], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return 0
    match = re.search(r"error (\d+) at", done.stderr)
    assert match is not None, done.stderr
    return int(match[1])


def sign_with_openssl(
    folder: Path, by: Made | None, *options: str, names: Sequence[str] = (HOST,), serial: int = 7, subject: str = HOST
) -> Made:
    """What pyca/cryptography does not make, by ``openssl x509 -req``: old digests, version 1 (without ``names``), serial number
    0.
    """
    own = make_key("p256")
    request = x509.CertificateSigningRequestBuilder().subject_name(named(subject)).sign(own, hashes.SHA256())
    signer: list[str | Path] = ["-signkey", folder / "ca.key"]
    (folder / "ca.key").write_bytes(private_pem(by.key if by else own))
    if by is not None:
        (folder / "ca.pem").write_bytes(by.certificate.public_bytes(Encoding.PEM))
        signer = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"]
    (folder / "request").write_bytes(request.public_bytes(Encoding.PEM))
    (folder / "extensions").write_text(f"subjectAltName={','.join(f'DNS:{name}' for name in names)}\n" if names else "")
    extensions = ["-extfile", folder / "extensions"] if names else []
    signer += ["-set_serial", str(serial), "-days", "30"]
    pem = openssl("x509", "-req", "-in", folder / "request", *signer, *extensions, *options)
    return Made(read_pem(pem)[0], own)


def signed_by_openssl(by: Made | None, *options: str, **how: Any) -> Made:
    """The same where there is no folder at hand."""
    with tempfile.TemporaryDirectory() as folder:
        return sign_with_openssl(Path(folder), by, *options, **how)


def patched(made: Made, by: Made, *changes: tuple[bytes, bytes]) -> bytes:
    """DER that pyca/cryptography would not make: other bytes in what is signed, and signed again by this P-256 key.

    Bytes of another length have to be a whole field, such as the key.
    """
    signed = made.certificate.tbs_certificate_bytes
    signed = signed[2 + (signed[1] & 0x7F if signed[1] & 0x80 else 0) :]
    for old, new in changes:
        assert signed.count(old) == 1, (old, signed.count(old))
        signed = signed.replace(old, new)
    signed = sequence(signed)
    algorithm = sequence(object_identifier("1.2.840.10045.4.3.2"))  # ecdsa-with-SHA256
    return sequence(signed, algorithm, der(0x03, b"\0", by.key.sign(signed, ec.ECDSA(hashes.SHA256()))))


def explicit_curve(private: Any) -> bytes:
    """A key's SubjectPublicKeyInfo with its curve's numbers instead of the curve's name."""
    return openssl("pkey", "-pubout", "-ec_param_enc", "explicit", "-outform", "DER", stdin=private_pem(private))


def private_pem(private: Any, encryption: Any = None) -> bytes:
    pem: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return pem
