"""VERIFY_X509_STRICT: chains that break RFC 5280 in one way each, on which ours and the standard library agree."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import minitls.ssl as ours
from tests.dropin import HOST, Wire

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
ROOT, LEAF = KEYS


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def usage(**given: bool) -> x509.KeyUsage:
    kinds = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**dict.fromkeys(kinds, False) | given)


def extensions(ca: bool) -> dict[str, tuple[Any, bool]]:
    """Those of a good certificate, and whether each is critical."""
    found: dict[str, tuple[Any, bool]] = {
        "constraints": (x509.BasicConstraints(ca=ca, path_length=None), True),
        "usage": (usage(key_cert_sign=True, crl_sign=True) if ca else usage(digital_signature=True), True),
        "subject_key": (x509.SubjectKeyIdentifier.from_public_key((ROOT if ca else LEAF).public_key()), False),
        "authority_key": (x509.AuthorityKeyIdentifier.from_issuer_public_key(ROOT.public_key()), False),
    }
    if not ca:
        found["names"] = (x509.SubjectAlternativeName([x509.DNSName(HOST)]), False)
    return found


def certificate(subject: str, key: Any, with_extensions: dict[str, tuple[Any, bool]], issuer: str) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    for extension, critical in with_extensions.values():
        builder = builder.add_extension(extension, critical)
    return builder.sign(ROOT, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


BROKEN: dict[str, tuple[int, dict[str, Any], dict[str, Any], str]] = {
    "nothing": (0, {}, {}, "leaf"),
    "constraints not critical": (89, {"constraints": (x509.BasicConstraints(ca=True, path_length=None), False)}, {}, "leaf"),
    "no usage of a CA": (92, {"usage": None}, {}, "leaf"),
    "a leaf that signs certificates": (82, {}, {"usage": (usage(digital_signature=True, key_cert_sign=True), True)}, "leaf"),
    "no subject, names not critical": (88, {}, {}, ""),
    "an issuer without a name": (83, {}, {}, "leaf"),
    "neither a subject nor names": (84, {}, {"names": None}, ""),
    "critical authorityKeyIdentifier": (90, {}, {"authority_key": (extensions(False)["authority_key"][0], True)}, "leaf"),
    "critical subjectKeyIdentifier": (91, {}, {"subject_key": (extensions(False)["subject_key"][0], True)}, "leaf"),
    "no authorityKeyIdentifier": (85, {}, {"authority_key": None}, "leaf"),
    "no subjectKeyIdentifier of a CA": (86, {"subject_key": None}, {}, "leaf"),
}
"""What is broken: OpenSSL's number, what is otherwise in the root and in the leaf (None: left out), and the leaf's subject."""


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
@pytest.mark.parametrize("what", BROKEN)
def test_strictly(what: str, kind: str, tmp_path: Path) -> None:
    code, of_root, of_leaf, subject = BROKEN[what]
    root, leaf = extensions(True), extensions(False)
    for changed, changes in ((root, of_root), (leaf, of_leaf)):
        for each, value in changes.items():
            if value is None:
                del changed[each]
            else:
                changed[each] = value
    issuer = "" if what == "an issuer without a name" else "strict root"
    root_pem = certificate(issuer, ROOT, root, issuer)
    (tmp_path / "leaf.pem").write_bytes(
        certificate(subject, LEAF, leaf, issuer)
        + LEAF.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ours.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf.pem")
    client = {"ours": ours, "stdlib": ssl}[kind].SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=root_pem.decode())
    client.check_hostname = bool(subject) or "names" in leaf
    if kind == "stdlib" and what.startswith("critical"):
        code = 34  # OpenSSL knows no such extension that is critical, strictly or not
    else:
        Wire(client, server).handshake()
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    if not code:
        Wire(client, server).handshake()
        return
    failed = Wire(client, server).failures()["client"]
    assert isinstance(failed, ssl.SSLCertVerificationError)
    assert failed.verify_code == code
