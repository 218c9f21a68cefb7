"""The development CA: certificates that our verifier, OpenSSL's and Go's all accept (RFC 5280, CA/Browser Forum's lengths).

Not for production: its keys lie in memory or in plain files.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from minitls.certificates.credentials import Credential, load_chain, load_key
from minitls.certificates.delegated import ASN1_NULL, DELEGATION_USAGE
from minitls.certificates.faults import name_of
from minitls.certificates.names import host_problem, is_address, to_ascii
from minitls.certificates.trust import TrustStore
from minitls.data import dataclass
from minitls.errors import Misuse

Key: TypeAlias = Any

LEAF_DAYS = 397
"""Browsers refuse leaves that are valid for longer."""
ROOT_DAYS = 3650
STATUS_DAYS = 7
"""What the CA says of a revocation holds for so long."""

Status: TypeAlias = Literal["good", "revoked", "unknown"]

KEYS: Mapping[str, Callable[[], Key]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "mldsa44": mldsa.MLDSA44PrivateKey.generate,
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
    "mldsa87": mldsa.MLDSA87PrivateKey.generate,
}
"""The kinds of key that a certificate can be made for, by the names that the command takes."""


def make_key(kind: str) -> Key:
    """A fresh private key.  Raises Misuse for an unknown kind."""
    if kind not in KEYS:
        raise Misuse(f"unknown kind of key {kind!r}: one of {', '.join(KEYS)}", reason="unknown_name")
    return KEYS[kind]()


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """A certificate, the intermediates above it, and its private key."""

    chain: tuple[x509.Certificate, ...]
    key: Key

    def __repr__(self) -> str:
        return f"<Issued {self.chain[0].subject.rfc4514_string()}>"

    def credential(self) -> Credential:
        return Credential.from_cryptography(self.chain, self.key)

    def chain_pem(self) -> bytes:
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.chain)

    def key_pem(self) -> bytes:
        return private_pem(self.key)


def private_pem(key: Key) -> bytes:
    """PKCS#8, not encrypted."""
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


class Authority:
    """A root and, by default, an intermediate that signs the leaves; the root's key is then not kept."""

    def __init__(self, chain: tuple[x509.Certificate, ...], key: Key) -> None:
        """``chain``: who signs, up to the root; ``key``: the first one's."""
        self.chain = chain
        self.root = chain[-1]
        self._key = key

    def __repr__(self) -> str:
        return f"<Authority {self.root.subject.rfc4514_string()}>"

    @classmethod
    def create(cls, name: str = "minitls development CA", *, key: str = "p256", intermediate: bool = True) -> Authority:
        """A new one, valid from yesterday for ten years."""
        root_key = make_key(key)
        begin, end = _from_yesterday(ROOT_DAYS)
        root = _build(_name(name), root_key.public_key(), root_key, None, begin, end, ca=1 if intermediate else 0)
        if not intermediate:
            return cls((root,), root_key)
        middle_key = make_key(key)
        middle = _build(_name(f"{name} (intermediate)"), middle_key.public_key(), root_key, root, begin, end, ca=0)
        return cls((middle, root), middle_key)

    @classmethod
    def load(cls, chain_pem: bytes, key_pem: bytes) -> Authority:
        """From PEM: the signing certificate first, the root last; the first one's key.  Raises Misuse."""
        chain, key = tuple(load_chain(chain_pem)), load_key(key_pem)
        if chain[0].public_key() != key.public_key():
            raise Misuse(f"the private key does not belong to {name_of(chain[0])}", reason="key_mismatch")
        return cls(chain, key)

    def chain_pem(self) -> bytes:
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.chain)

    def key_pem(self) -> bytes:
        return private_pem(self._key)

    def root_pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    def trust(self) -> TrustStore:
        """A store with this root alone."""
        return TrustStore.from_certificates([self.root])

    def issue(
        self,
        *names: str,
        key: str = "p256",
        client: bool = False,
        delegation: bool = False,
        days: int = LEAF_DAYS,
        valid_from: datetime.datetime | None = None,
        valid_until: datetime.datetime | None = None,
        must_staple: bool = False,
    ) -> Issued:
        """A leaf for these host names and addresses, or (``client``) for a client of this name.  Raises Misuse.

        ``days``: from yesterday on, and not longer than the CA's own, unless ``valid_from`` and ``valid_until`` say otherwise.
        ``must_staple``: its server promises to staple an OCSP response (RFC 7633).
        ``delegation``: it may sign delegated credentials (RFC 9345).
        """
        if not names:
            raise Misuse("a certificate needs at least one name")
        if days < 1:
            raise Misuse(f"a certificate is valid for at least one day, not {days}")
        begin, end = _from_yesterday(days)
        begin, end = valid_from or begin, valid_until or min(end, self.chain[0].not_valid_after_utc)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        extra: list[x509.ExtensionType] = [x509.TLSFeature([x509.TLSFeatureType.status_request])] if must_staple else []
        if delegation:
            extra.append(x509.UnrecognizedExtension(DELEGATION_USAGE, ASN1_NULL))
        return self._issue(_name(names[0]), make_key(key), begin, end, names=names, usage=usage, extra=extra)

    def issue_responder(self, *, key: str = "p256") -> Issued:
        """One that may sign OCSP responses in the CA's place (RFC 6960 section 4.2.2.2).  Raises Misuse."""
        begin, end = _from_yesterday(LEAF_DAYS)
        usage, extra = ExtendedKeyUsageOID.OCSP_SIGNING, [x509.OCSPNoCheck()]
        return self._issue(_name("OCSP responder"), make_key(key), begin, end, usage=usage, extra=extra)

    def _issue(self, subject: x509.Name, key: Key, begin: datetime.datetime, end: datetime.datetime, **how: Any) -> Issued:
        leaf = _build(subject, key.public_key(), self._key, self.chain[0], begin, end, **how)
        return Issued((leaf, *self.chain[:-1]), key)

    def ocsp_response(
        self,
        issued: Issued,
        status: Status = "good",
        *,
        at: datetime.datetime | None = None,
        days: float | None = STATUS_DAYS,
        reason: x509.ReasonFlags | None = None,
        responder: Issued | None = None,
    ) -> bytes:
        """DER, to staple: ``issued.credential().stapled(ocsp_response=...)`` (RFC 6960, in the profile of RFC 5019).

        ``at``: when it is made, and since when a "revoked" one is; an hour ago by default.  ``days``: it holds for so many, None:
        it does not say.  ``reason``: of a revocation.  ``responder``: who signs in the CA's place (:meth:`issue_responder`).
        """
        since, signer = at or _an_hour_ago(), responder or Issued(self.chain, self._key)
        revoked = status == "revoked"
        builder = ocsp.OCSPResponseBuilder().add_response(
            issued.chain[0],
            self.chain[0],
            hashes.SHA1(),
            ocsp.OCSPCertStatus[status.upper()],
            since,
            None if days is None else since + datetime.timedelta(days=days),
            since if revoked else None,
            reason if revoked else None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.chain[0])
        if responder is not None:
            builder = builder.certificates([responder.chain[0]])
        return builder.sign(signer.key, _hash_for(signer.key)).public_bytes(Encoding.DER)

    def crl(
        self,
        *revoked: Issued,
        at: datetime.datetime | None = None,
        days: float = STATUS_DAYS,
        reason: x509.ReasonFlags | None = None,
    ) -> bytes:
        """PEM: the list of these, all revoked ``at`` (an hour ago) for the same ``reason`` (RFC 5280 section 5)."""
        since = at or _an_hour_ago()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.chain[0].subject)
            .last_update(since)
            .next_update(since + datetime.timedelta(days=days))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(int(since.timestamp())), critical=False)
        )
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.chain[0].serial_number).revocation_date(since)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, _hash_for(self._key)).public_bytes(Encoding.PEM)


def self_signed(*names: str, key: str = "p256") -> Issued:
    """A leaf that nobody vouches for but itself."""
    own_key = make_key(key)
    begin, end = _from_yesterday(LEAF_DAYS)
    return Issued((_build(_name(names[0]), own_key.public_key(), own_key, None, begin, end, names=names),), own_key)


def _from_yesterday(days: int) -> tuple[datetime.datetime, datetime.datetime]:
    """Clocks differ: what was made just now is already valid on a machine that is late."""
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    try:
        return begin, begin + datetime.timedelta(days=days)
    except OverflowError:
        raise Misuse(f"{days} days are beyond the end of all calendars") from None


def _an_hour_ago() -> datetime.datetime:
    """Clocks differ, as above."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(hours=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _general_name(name: str) -> x509.GeneralName:
    """An address, a mailbox, a host name, or one whose first label is a wildcard.  Raises Misuse."""
    if is_address(name):
        return x509.IPAddress(ipaddress.ip_address(name.partition("%")[0]))
    try:
        if "@" in name:
            return x509.RFC822Name(name)
        host = to_ascii(name).lower()
        problem = host_problem(host.removeprefix("*."))
    except ValueError as error:
        problem = str(error)
    if problem:
        raise Misuse(f"{name!r} cannot be the name of a certificate: {problem}", reason="bad_host_name")
    return x509.DNSName(host)


def _build(
    subject: x509.Name,
    public_key: Key,
    signing_key: Key,
    signer: x509.Certificate | None,
    begin: datetime.datetime,
    end: datetime.datetime,
    *,
    ca: int | None = None,
    names: tuple[str, ...] = (),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    extra: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """One certificate (RFC 5280 section 4.2).

    ``signer``: who signs it, None: its own key; ``ca``: how many CAs may stand below it, None: it is a leaf, for ``usage``.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.subject if signer else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin.replace(microsecond=0))
        .not_valid_after(end.replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=ca is not None, path_length=ca), critical=True)
        .add_extension(_key_usage(public_key, ca=ca is not None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if signer is not None or ca is None:
        above: Key = signer.public_key() if signer else public_key
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    if ca is None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
    for extension in extra:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signing_key, _hash_for(signing_key))


def _key_usage(key: Key, *, ca: bool) -> x509.KeyUsage:
    """A leaf signs handshakes; an RSA leaf may also be encrypted to, which old peers of TLS 1.2 want."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=isinstance(key, rsa.RSAPublicKey) and not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _hash_for(key: Key) -> Any:
    """The hash of a certificate's signature; EdDSA and ML-DSA have their own."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
    return hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None
