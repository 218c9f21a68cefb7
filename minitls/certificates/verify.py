"""The verdict on a peer's chain: the web's verifier or our path, the leaf's key and purpose, and its name."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier, PublicKeyAlgorithmOID, SignatureAlgorithmOID

from minitls.certificates.constraints import check_readable
from minitls.certificates.facts import Facts, facts_in, facts_of, read_facts
from minitls.certificates.faults import PARSE_ERRORS, Fault, malformed, printable, undecodable
from minitls.certificates.keys import check_key
from minitls.certificates.names import is_address, matches
from minitls.certificates.path import MAX_DEPTH, Anchors, PathBuilder, allows
from minitls.certificates.spki import key_schemes, key_schemes12
from minitls.errors import Alert
from minitls.wire.numbers import SignatureScheme

SHOWN_NAMES = 8
"""Of a certificate that is for other names, so many are told."""


def parse_leaf(chain: Sequence[bytes]) -> x509.Certificate:
    """The peer's own certificate.  Raises CertificateError."""
    return parse_chain(chain[:1])[0].certificate


def parse_chain(chain: Sequence[bytes | x509.Certificate]) -> list[Facts]:
    """What a chain's certificates say, leaf first.  Raises CertificateError for what is none, and for too many."""
    if not chain:
        raise Fault("no_certificate", Alert.bad_certificate, 1, "there is no certificate").error(())
    try:
        if len(chain) > MAX_DEPTH:
            text = f"{len(chain)} certificates are too many: {MAX_DEPTH} at most"
            raise Fault("chain_too_long", Alert.bad_certificate, 22, text)
        return [facts_of(c) if isinstance(c, x509.Certificate) else read_facts(c) for c in chain]
    except Fault as fault:
        raise fault.error(as_der(chain)) from None
    except PARSE_ERRORS as error:
        raise undecodable(error).error(as_der(chain)) from None


def as_der(chain: Sequence[bytes | x509.Certificate]) -> list[bytes]:
    return [c if isinstance(c, bytes) else c.public_bytes(Encoding.DER) for c in chain]


def leaf_public_key(leaf: x509.Certificate) -> Any:
    """The leaf's public key.  Raises CertificateError for one that cannot be read."""
    try:
        return leaf.public_key()
    except PARSE_ERRORS as error:
        raise malformed(error).error([leaf.public_bytes(Encoding.DER)]) from None


def leaf_schemes(leaf: x509.Certificate) -> tuple[SignatureScheme, ...]:
    """What a CertificateVerify by this leaf may be signed with (RFC 8446 section 4.2.3).  Raises CertificateError.

    An RSA key says by its algorithm identifier whether it is for rsa_pss_rsae_* or for rsa_pss_pss_*; the key alone does not.
    """
    return key_schemes(leaf_public_key(leaf), leaf.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS)


def leaf_schemes12(leaf: x509.Certificate) -> tuple[SignatureScheme, ...]:
    """The same for TLS 1.2's ServerKeyExchange and CertificateVerify (RFC 5246 section 7.4.1.4.1)."""
    return key_schemes12(leaf_public_key(leaf), leaf.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS)


def key_facts(chain: Sequence[bytes]) -> tuple[Any, tuple[SignatureScheme, ...], bool, bool, bool]:
    """Of a leaf: its key, what that can sign with in TLS 1.3, whether it is RSA's, may encipher and may sign.

    Raises CertificateError.
    """
    leaf = parse_leaf(chain)
    key = leaf_public_key(leaf)
    try:
        return key, leaf_schemes(leaf), isinstance(key, rsa.RSAPublicKey), may_encipher(leaf), may_sign(leaf)
    except PARSE_ERRORS as error:
        raise malformed(error).error(chain) from None


def key_usage(leaf: x509.Certificate) -> x509.KeyUsage | None:
    """What the key is for (RFC 5280 section 4.2.1.3); None where the certificate does not say.  Raises PARSE_ERRORS."""
    try:
        return leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def may_encipher(leaf: x509.Certificate) -> bool:
    """Whether static RSA may use this leaf's key (RFC 5246 section 7.4.2): keyEncipherment, where there is a keyUsage at all.

    A key whose algorithm is id-RSASSA-PSS is for signatures alone (RFC 4055 section 1.2).
    """
    if leaf.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        return False
    usage = key_usage(leaf)
    return usage is None or usage.key_encipherment


def may_sign(leaf: x509.Certificate) -> bool:
    """Whether a handshake may be signed with this leaf's key (RFC 8446 section 4.4.2.2): digitalSignature, likewise."""
    usage = key_usage(leaf)
    return usage is None or usage.digital_signature


_SIGNED_WITH: Mapping[ObjectIdentifier, tuple[SignatureScheme, ...]] = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: (SignatureScheme.rsa_pkcs1_sha256,),
    SignatureAlgorithmOID.RSA_WITH_SHA384: (SignatureScheme.rsa_pkcs1_sha384,),
    SignatureAlgorithmOID.RSA_WITH_SHA512: (SignatureScheme.rsa_pkcs1_sha512,),
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: (SignatureScheme.ecdsa_secp256r1_sha256,),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: (SignatureScheme.ecdsa_secp384r1_sha384,),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: (SignatureScheme.ecdsa_secp521r1_sha512,),
    SignatureAlgorithmOID.ED25519: (SignatureScheme.ed25519,),
    SignatureAlgorithmOID.ED448: (SignatureScheme.ed448,),
}
_PSS_SIGNED_WITH: Mapping[str, tuple[SignatureScheme, ...]] = {
    "sha256": (SignatureScheme.rsa_pss_rsae_sha256, SignatureScheme.rsa_pss_pss_sha256),
    "sha384": (SignatureScheme.rsa_pss_rsae_sha384, SignatureScheme.rsa_pss_pss_sha384),
    "sha512": (SignatureScheme.rsa_pss_rsae_sha512, SignatureScheme.rsa_pss_pss_sha512),
}
_LATTICE = {
    "2.16.840.1.101.3.4.3.17": SignatureScheme.mldsa44,
    "2.16.840.1.101.3.4.3.18": SignatureScheme.mldsa65,
    "2.16.840.1.101.3.4.3.19": SignatureScheme.mldsa87,
}


def signed_with(certificate: x509.Certificate) -> tuple[SignatureScheme, ...]:
    """By which names signature_algorithms_cert may have a certificate's own signature (RFC 8446 section 4.2.3); () for none.

    A certificate does not tell its signer's curve, nor an RSA signer's kind: for ECDSA the hash decides, for PSS either name
    will do.
    """
    oid = certificate.signature_algorithm_oid
    if oid in _SIGNED_WITH:
        return _SIGNED_WITH[oid]
    if oid == SignatureAlgorithmOID.RSASSA_PSS:
        algorithm = certificate.signature_hash_algorithm
        return _PSS_SIGNED_WITH.get(algorithm.name if algorithm is not None else "", ())
    lattice = _LATTICE.get(oid.dotted_string)
    return () if lattice is None else (lattice,)


def accepted(path: Sequence[x509.Certificate], schemes: Container[Any]) -> tuple[bytes, ...]:
    """The path's DER, if a policy's certificate_signature_schemes hold for all of it but its anchor, which is believed for itself.

    Raises CertificateError.
    """
    facts = facts_in(path)
    for each in facts[:-1]:
        for scheme in signed_with(each.certificate):
            if scheme in schemes:
                break
        else:
            text = f"{each} is signed in a way that our policy does not accept"
            fault = Fault("signature_not_accepted", Alert.unsupported_certificate, 1, text, "RFC 8446 4.2.3")
            raise fault.error([each.der for each in facts])
    return tuple([each.der for each in facts])


def verify_chain(
    anchors: Anchors, chain: Sequence[bytes | x509.Certificate], server_name: str | None, at: datetime, *, client: bool
) -> list[Facts]:
    """The path found good, leaf first, an anchor last.  Raises CertificateError.

    ``server_name``: normalised; None where no name is asked for (``client``: a client's chain).
    """
    offered = parse_chain(chain)
    leaf = offered[0]
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    try:
        path = _find_path(anchors, offered, None if client else server_name, at, purpose)
        check_readable(path)
        check_purpose(leaf, purpose, pinned=len(path) == 1)
        if server_name is not None:
            check_name(leaf, server_name)
        check_key(leaf)
    except Fault as fault:
        raise fault.error(as_der(chain)) from None
    except PARSE_ERRORS as error:
        raise malformed(error).error(as_der(chain)) from None
    return path


def _find_path(
    anchors: Anchors, offered: Sequence[Facts], server_name: str | None, at: datetime, purpose: x509.ObjectIdentifier
) -> list[Facts]:
    """What our rules or the web's verifier find good.  Raises the Fault of ours, and PARSE_ERRORS.

    A straight path is the only one that either could find, and ours remember its CAs: they come first.  Where there is a choice,
    the web's verifier makes it; and then ours, who say what is wrong.  ``server_name``: None where the web's is not asked.
    """
    path = None
    with suppress(Fault, *PARSE_ERRORS):
        path = PathBuilder(anchors, offered[1:], at, purpose).straight(offered[0])
    if path is None and server_name:
        path = _by_the_webs_rules(anchors, offered, server_name, at)
    return path or PathBuilder(anchors, offered[1:], at, purpose).build(offered[0])


def _by_the_webs_rules(anchors: Anchors, offered: Sequence[Facts], server_name: str, at: datetime) -> list[Facts] | None:
    """pyca/cryptography's verdict: a path, or None where it has none.  It too limits the signatures that it checks."""
    if anchors.store is None:
        return None
    subject = x509.IPAddress(ipaddress.ip_address(server_name)) if is_address(server_name) else x509.DNSName(server_name)
    builder = verification.PolicyBuilder().store(anchors.store).time(at).max_chain_depth(MAX_DEPTH - 2)
    leaf, *cas = [each.certificate for each in offered]
    try:
        for each in offered[1:]:
            check_key(each, ca=True)  # it has no upper limit for RSA
        path = builder.build_server_verifier(subject).verify(leaf, cas)
    except (Fault, verification.VerificationError, *PARSE_ERRORS):
        return None  # ours decides, and says why
    return [*map(facts_of, path)]


def check_purpose(leaf: Facts, purpose: x509.ObjectIdentifier, *, pinned: bool) -> None:
    """The leaf is meant for this end of TLS (RFC 5280 sections 4.2.1.3 and 4.2.1.12).  Raises Fault, PARSE_ERRORS.

    ``pinned``: it is trusted by itself, so that it may be a CA too, as ``openssl req -x509`` makes them.
    """
    for kind, value in leaf.extensions.items():  # the first that is wrong is told
        if kind is x509.ExtendedKeyUsage:
            if not allows(value, purpose):
                role = "clients" if purpose == ExtendedKeyUsageOID.CLIENT_AUTH else "servers"
                raise Fault("bad_usage", Alert.unsupported_certificate, 26, f"{leaf} is not for TLS {role}", "RFC 5280 4.2.1.12")
        elif kind is x509.KeyUsage:
            if not value.digital_signature:
                text = f"{leaf} may not sign, and TLS 1.3 has to"
                raise Fault("bad_usage", Alert.unsupported_certificate, 26, text, "RFC 8446 4.4.2.2")
        elif kind is x509.BasicConstraints and value.ca and not pinned:
            text, remedy = f"{leaf} is a CA's, and no leaf", "the certificate of the server or client comes first in its chain"
            raise Fault("bad_usage", Alert.unsupported_certificate, 26, text, "RFC 8446 4.4.2", remedy)


def _mismatch(server_name: str) -> int:
    """OpenSSL's number for a certificate of somebody else."""
    return 64 if is_address(server_name) else 62


def check_name(leaf: Facts, server_name: str) -> None:
    """The leaf is for this host (RFC 9525 section 6).  The common name counts for nothing.  Raises Fault, PARSE_ERRORS."""
    names = leaf.extension(x509.SubjectAlternativeName)
    if names is None:
        text, remedy = f"{leaf} names no host: it has no subjectAltName", "the common name is not used: it needs a new certificate"
        raise Fault("name_mismatch", Alert.bad_certificate, _mismatch(server_name), text, "RFC 9525 6.3", remedy)
    if is_address(server_name):
        good = ipaddress.ip_address(server_name) in names.get_values_for_type(x509.IPAddress)
    else:
        good = any(type(name) is x509.DNSName and matches(name.value, server_name) for name in names)
    if not good:
        listed = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
        shown = printable(", ".join(listed[:SHOWN_NAMES])) or "no host at all"
        if len(listed) > SHOWN_NAMES:
            shown += f", and {len(listed) - SHOWN_NAMES} more"
        code = _mismatch(server_name)
        text = f"{leaf} is not for {server_name}: it is for {shown}"
        raise Fault("name_mismatch", Alert.bad_certificate, code, text, "RFC 9525 6.1", "ask for one of these names, with --sni")
