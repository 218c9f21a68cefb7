"""Credentials: a chain of certificates, and something that signs for its first."""

from __future__ import annotations

import copy
import time
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from minitls.certificates.faults import PARSE_ERRORS, called, name_of, printable, quietly, read_der, read_pem
from minitls.certificates.names import any_matches
from minitls.certificates.verify import leaf_schemes, leaf_schemes12, may_encipher, signed_with
from minitls.crypto.groups import curve_of
from minitls.crypto.signatures import SCHEMES, SCHEMES_12
from minitls.errors import CertificateError, Misuse
from minitls.wire.names import Name, lookup_all
from minitls.wire.numbers import CertificateType, SignatureScheme

if TYPE_CHECKING:
    import os

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from minitls.certificates.delegated import Delegation

Decrypter: TypeAlias = Callable[[bytes], bytes]
Signer: TypeAlias = Callable[[SignatureScheme, bytes], "Awaitable[bytes] | bytes"]


class Credential:
    """A certificate chain and its signer; immutable.

    ``chain``: DER, leaf first.  ``schemes``: what the key can sign with in TLS 1.3, best first.  ``names``: the leaf's DNS
    names and addresses.  ``Credential(chain, signer=fn)``: ``fn(scheme, data)`` gives the signature, and may be async: a key
    that we never see.  ``ocsp_response``, ``scts``: see :meth:`stapled`.  ``delegations``: see :meth:`delegated`; ``delegation``:
    what one of these shows beside the certificate.  ``must_match_issuer``: see :meth:`limited`.  ``curve``: an ECDSA key's.
    ``certificate_type``: a raw public key's is another (:meth:`raw`).  Raises Misuse for what is no certificate, or a key that no
    scheme fits.
    """

    certificate_type: ClassVar[CertificateType] = CertificateType.X509

    __slots__ = (
        "_decrypter",
        "_issuers",
        "_signatures",
        "_signer",
        "chain",
        "curve",
        "delegation",
        "delegations",
        "is_rsa",
        "leaf",
        "must_match_issuer",
        "names",
        "ocsp_response",
        "schemes",
        "schemes12",
        "scts",
    )

    def __init__(self, chain: Sequence[bytes | x509.Certificate], *, signer: Signer, decrypter: Decrypter | None = None) -> None:
        if not chain:
            raise Misuse("a credential needs at least one certificate")
        try:
            certificates = [c if isinstance(c, x509.Certificate) else read_der(c) for c in chain]
            self._issuers = frozenset(c.issuer.public_bytes() for c in certificates)
            self.names = _names(certificates[0])
            self.schemes = leaf_schemes(certificates[0])
            self.schemes12 = leaf_schemes12(certificates[0])
        except (CertificateError, *PARSE_ERRORS) as error:
            raise Misuse(f"this is no certificate: {error}", reason="bad_certificate") from None
        self.leaf = certificates[0]
        self.chain = tuple(c.public_bytes(Encoding.DER) for c in certificates)
        self._signer = signer
        self._decrypter = decrypter
        self._signatures: tuple[tuple[SignatureScheme, ...], ...] | None = None
        self.ocsp_response = b""
        self.scts: tuple[bytes, ...] = ()
        self.delegation: Delegation | None = None
        self.delegations: tuple[Credential, ...] = ()
        self.must_match_issuer = False
        key = self.leaf.public_key()
        self.is_rsa = isinstance(key, rsa.RSAPublicKey)
        self.curve = curve_of(key)
        if not self.schemes:
            raise Misuse("the certificate's key is of a kind that TLS 1.3 cannot sign with", reason="unsupported_key")

    def __repr__(self) -> str:
        shown = next((scheme.name for scheme in (*self.schemes, *self.schemes12)), "delegated")
        return f"<Credential for {printable(', '.join(self.names)) or called(self.leaf.subject)}: {shown}>"

    @classmethod
    def from_cryptography(cls, chain: Sequence[x509.Certificate], key: PrivateKeyTypes) -> Credential:
        """From objects of pyca/cryptography.  Raises Misuse if the key is another's."""

        def sign(scheme: SignatureScheme, data: bytes) -> bytes:
            return (SCHEMES if scheme in credential.schemes else SCHEMES_12)[scheme].sign(key, data)

        def decrypt(encrypted: bytes) -> bytes:
            assert isinstance(key, rsa.RSAPrivateKey)
            return key.decrypt(encrypted, padding.PKCS1v15())

        credential = cls(chain, signer=sign, decrypter=decrypt if isinstance(key, rsa.RSAPrivateKey) else None)
        ours = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if ours != _spki(credential.leaf):
            owner = next((c for c in chain[1:] if _spki(c) == ours), None)
            hint = f"; it belongs to {name_of(owner)}, which has to come first" if owner is not None else ""
            raise Misuse(f"the private key does not belong to {name_of(credential.leaf)}{hint}", reason="key_mismatch")
        return credential

    @classmethod
    def from_pem(cls, chain: bytes, key: bytes, password: bytes | str | None = None) -> Credential:
        """From PEM: the chain leaf first; the key may stand in the same bytes.  Raises Misuse."""
        return cls.from_cryptography(load_chain(chain), load_key(key, password))

    @classmethod
    def from_files(
        cls, cert: str | os.PathLike[str], key: str | os.PathLike[str] | None = None, password: bytes | str | None = None
    ) -> Credential:
        """From files in any form that :meth:`from_bytes` knows; without ``key`` the first has both.

        Raises Misuse, which names the file, and OSError.
        """
        data, key_data = read_file(cert), None if key is None else read_file(key)
        return cls.from_bytes(data, key_data, password, where=str(cert), where_key=None if key is None else str(key))

    @classmethod
    def from_bytes(
        cls,
        cert: bytes,
        key: bytes | None = None,
        password: bytes | str | None = None,
        *,
        where: str = "this",
        where_key: str | None = None,
    ) -> Credential:
        """From PEM, DER or PKCS#12, each told by its looks: the chain leaf first; without ``key`` the first has both.

        In DER, certificates stand one after another, and a key is PKCS#8, PKCS#1 or SEC 1.  ``where``, ``where_key``: what errors
        call the two.  Raises Misuse.
        """
        if _is_pkcs12(cert):
            if key is not None:
                raise Misuse(f"{where} is a PKCS#12 bundle, which has its key in it: give no other", reason="bad_key")
            return cls._from_pkcs12(cert, password, "this PKCS#12 bundle" if where == "this" else f"the PKCS#12 bundle {where}")
        chain = load_chain(cert, where) if _is_pem(cert) else load_der_chain(cert, where)
        if key is None:
            if not _is_pem(cert):
                raise Misuse(f"{where} is a certificate in DER, which has no key in it: give its key, too", reason="bad_key")
            key, where_key = cert, where
        return cls.from_cryptography(chain, load_private_key(key, password, where_key or where))

    @classmethod
    def from_pkcs12(cls, data: bytes, password: bytes | str | None = None) -> Credential:
        """From PKCS#12.  Raises Misuse."""
        return cls._from_pkcs12(data, password, "this PKCS#12 bundle")

    @classmethod
    def _from_pkcs12(cls, data: bytes, password: bytes | str | None, what: str) -> Credential:
        from cryptography.hazmat.primitives.serialization import pkcs12  # late: few have such a file

        try:
            with quietly():
                bundle = pkcs12.load_pkcs12(data, _encoded(password))
        except ValueError:
            problem = "its password is wrong" if password else "it is encrypted and wants a password"
            raise Misuse(f"{what} cannot be read: {problem}, or it is damaged", reason="bad_key") from None
        except UnsupportedAlgorithm as error:
            raise Misuse(f"{what} cannot be read: {error}", reason="bad_key") from None
        if bundle.key is None or bundle.cert is None:
            raise Misuse(f"{what} has no private key with its certificate", reason="bad_key")
        others = [extra.certificate for extra in bundle.additional_certs]
        return cls.from_cryptography(in_order(bundle.cert.certificate, others), bundle.key)

    def stapled(self, *, ocsp_response: bytes = b"", scts: Sequence[bytes] = ()) -> Credential:
        """The same credential with what is sent beside its certificate to clients that ask (RFC 6066 section 8, RFC 6962).

        ``ocsp_response``: DER; ``scts``: SignedCertificateTimestamps, serialized.
        """
        other = copy.copy(self)
        other.ocsp_response, other.scts = ocsp_response, tuple(scts)
        other.delegations = tuple(each.stapled(ocsp_response=ocsp_response, scts=scts) for each in self.delegations)
        return other

    def limited(self, *, signature_schemes: Iterable[Name] | None = None, must_match_issuer: bool | None = None) -> Credential:
        """The same credential for fewer peers; what is not given stays as it is.

        ``signature_schemes``: what its key may sign handshakes with, best first: the peer gets the first that it accepts and our
        policy has.  ``must_match_issuer``: only for peers whose certificate_authorities name one of the chain's issuers (RFC 8446
        sections 4.2.4 and 4.4.2.2, RFC 5246 section 7.4.4).  Raises Misuse for a scheme that the key cannot do.
        """
        other = copy.copy(self)
        if signature_schemes is not None:
            wanted = lookup_all(SignatureScheme, SCHEMES, "signature scheme", signature_schemes)
            able = dict.fromkeys((*self.schemes, *self.schemes12))
            if wrong := [scheme.name for scheme in wanted if scheme not in able]:
                can = ", ".join(scheme.name for scheme in able) or "nothing"
                raise Misuse(f"this credential cannot sign {', '.join(wrong)}: it can sign {can}", reason="key_does_not_fit")
            other.schemes = tuple(scheme for scheme in wanted if scheme in self.schemes)
            other.schemes12 = tuple(scheme for scheme in wanted if scheme in self.schemes12)
        if must_match_issuer is not None:
            other.must_match_issuer = must_match_issuer
            other.delegations = tuple(each.limited(must_match_issuer=must_match_issuer) for each in self.delegations)
        return other

    def followed_by(self, issuers: Sequence[x509.Certificate]) -> Credential:
        """The same credential with more certificates at the end of its chain."""
        other = copy.copy(self)
        other.chain = (*self.chain, *(each.public_bytes(Encoding.DER) for each in issuers))
        other._issuers = self._issuers | {each.issuer.public_bytes() for each in issuers}
        return other

    @staticmethod
    def raw(key: PrivateKeyTypes | bytes | Any, password: bytes | str | None = None, *, signer: Signer | None = None) -> Credential:
        """A key without a certificate (RFC 7250), for peers that ask for it and know it.  Raises Misuse.

        ``key``: a private key, an object or bytes in PEM or DER.  With ``signer``, which signs as it does for a chain: the public
        key, an object or bytes.
        """
        from minitls.certificates.raw import raw_key

        return raw_key(key, password, signer)

    def delegated(
        self, key: PrivateKeyTypes | bytes, *, lifetime: float = 24 * 3600, client: bool = False, at: float | None = None
    ) -> Credential:
        """The same credential with a key beside its own, for peers that accept delegated credentials (RFC 9345).

        The certificate's key signs now that ``key``, a private key, may stand for it for ``lifetime`` seconds, 7 days at most:
        make another in time.  Others see the certificate's own key as before.  ``client``: for a client's certificate.
        ``at``: when, in seconds since the epoch; now by default.  Raises Misuse, also where the certificate may not delegate.
        """
        from minitls.certificates.delegated import delegated

        return delegated(self, key, at=time.time() if at is None else at, lifetime=lifetime, client=client)

    def with_delegation(
        self, delegated: bytes, key: PrivateKeyTypes | bytes | None = None, *, signer: Signer | None = None
    ) -> Credential:
        """The same credential with a DelegatedCredential that was made elsewhere, and its private key or who signs with that.

        Raises Misuse for one that this certificate's key has not signed, or that is not for this key.
        """
        from minitls.certificates.delegated import with_delegation

        return with_delegation(self, delegated, key, signer)

    @classmethod
    def of_delegation(
        cls,
        chain: Sequence[bytes | x509.Certificate],
        delegated: bytes,
        key: PrivateKeyTypes | bytes | None = None,
        *,
        signer: Signer | None = None,
    ) -> Credential:
        """For a machine that is not to have the certificate's key: it serves who accepts delegated credentials, and nobody else."""
        without = cls(chain, signer=_nobody_signs)
        without.schemes = without.schemes12 = ()
        return without.with_delegation(delegated, key, signer=signer)

    def sign(self, scheme: SignatureScheme, data: bytes) -> Awaitable[bytes] | bytes:
        """The signature over ``data``, or something to await for it."""
        return self._signer(scheme, data)

    @property
    def can_decrypt(self) -> bool:
        """Whether the key can also decrypt, as TLS 1.2's static RSA needs it."""
        return self._decrypter is not None and may_encipher(self.leaf)

    def decrypt(self, encrypted: bytes) -> bytes:
        """RSAES-PKCS1-v1_5 with implicit rejection: a bad padding gives random bytes, and no error (RFC 5246 section 7.4.7.1).

        Raises ValueError for a ciphertext of another length than the key's, and Misuse where ``can_decrypt`` is False.
        """
        if self._decrypter is None:
            raise Misuse("this credential cannot decrypt")
        return self._decrypter(encrypted)

    def matches(self, server_name: str | None) -> bool:
        """Whether the leaf is for this host."""
        return server_name is not None and any_matches(self.names, server_name)

    def signed_within(self, accepted: Container[int]) -> bool:
        """Whether a peer that accepts these signatures in certificates can check all of the chain (RFC 8446 section 4.4.2.2).

        A self-signed certificate's is not counted: nobody has to check it.
        """
        if self._signatures is None:
            below = [c for c in map(read_der, self.chain) if c.issuer != c.subject]
            self._signatures = tuple(signed_with(certificate) for certificate in below)
        return all(any(scheme in accepted for scheme in schemes) for schemes in self._signatures)

    def issued_by(self, authorities: Collection[bytes]) -> bool:
        """Whether one of the chain's issuers is among these DER names (RFC 8446 section 4.2.4)."""
        return not self._issuers.isdisjoint(authorities)


def _nobody_signs(scheme: SignatureScheme, data: bytes) -> bytes:
    raise Misuse("the certificate's own key is not here")


def in_order(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf, then who issued it, and so on; what does not belong to it is left out.  PKCS#12 is a bag without an order."""
    chain = [leaf]
    while issuer := next((c for c in others if c.subject == chain[-1].issuer and c not in chain), None):
        chain.append(issuer)
    return chain


def _spki(certificate: x509.Certificate) -> bytes:
    """Its public key as pyca/cryptography writes it, which has RSASSA-PSS as plain RSA, as it has private keys; b"" for an odd
    one.
    """
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except PARSE_ERRORS:
        return b""


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))


def _encoded(password: bytes | str | None) -> bytes | None:
    return password.encode() if isinstance(password, str) else password


def read_file(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:  # pathlib takes a millisecond to import, for the same
        return file.read()


def load_chain(pem: bytes, where: str = "this") -> list[x509.Certificate]:
    """The certificates of a PEM text, in their order.  Raises Misuse."""
    try:
        return read_pem(pem)
    except ValueError:
        raise Misuse(f"{where} holds no certificate in PEM that can be read", reason="bad_certificate") from None


def load_key(pem: bytes, password: bytes | str | None = None, where: str = "this") -> PrivateKeyTypes:
    """The private key of a PEM text.  Raises Misuse."""
    if b"PRIVATE KEY" not in pem:
        raise Misuse(f"{where} holds no private key in PEM", reason="bad_key")
    return _load_key(serialization.load_pem_private_key, _key_block(pem), password, where)


def _load_der_key(der: bytes, password: bytes | str | None, where: str) -> PrivateKeyTypes:
    return _load_key(serialization.load_der_private_key, der, password, where)


def load_private_key(data: bytes, password: bytes | str | None = None, where: str = "this") -> PrivateKeyTypes:
    """A private key in PEM or DER.  Raises Misuse."""
    return (load_key if _is_pem(data) else _load_der_key)(data, password, where)


def _load_key(load: Callable[..., PrivateKeyTypes], data: bytes, password: bytes | str | None, where: str) -> PrivateKeyTypes:
    secret = _encoded(password) or None
    try:
        # Checking an RSA key's numbers takes 35 ms; one that is wrong makes signatures that nobody accepts, and no more.
        return load(data, secret, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        wants = "is encrypted: give its password" if secret is None else "is not encrypted: it has no password"
        raise Misuse(f"the private key in {where} {wants}", reason="bad_password") from None
    except ValueError:
        problem = "the password is wrong, or it is damaged" if secret is not None else "it is damaged, or of an unknown kind"
        raise Misuse(f"the key in {where} cannot be read: {problem}", reason="bad_key") from None
    except UnsupportedAlgorithm as error:
        raise Misuse(f"the private key in {where} is of an unsupported kind: {error}", reason="unsupported_key") from None


def load_der_chain(der: bytes, where: str) -> list[x509.Certificate]:
    try:
        if chain := [read_der(each) for each in _der_elements(der)]:
            return chain
    except PARSE_ERRORS:
        pass
    raise Misuse(f"{where} holds no certificate that can be read, in PEM or in DER", reason="bad_certificate")


def _is_pem(data: bytes) -> bool:
    return b"-----BEGIN " in data or data[:1] != b"\x30"


def _is_pkcs12(data: bytes) -> bool:
    """A SEQUENCE that begins with the version 3 (RFC 7292 section 4); a certificate's begins with a SEQUENCE, a key's with 0 or
    1.
    """
    return data[:1] == b"\x30" and data[_der_sizes(data)[0] :][:3] == b"\x02\x01\x03"


def _der_elements(der: bytes) -> Iterator[bytes]:
    while der:
        size = sum(_der_sizes(der))
        yield der[:size]
        der = der[size:]


def _der_sizes(der: bytes) -> tuple[int, int]:
    """The lengths of an element's tag and length together, and of its contents (X.690 section 8.1.3)."""
    first = der[1] if len(der) > 1 else 0
    more = first & 0x7F if first & 0x80 else 0
    return 2 + more, int.from_bytes(der[2 : 2 + more]) if more else first & 0x7F


def _key_block(pem: bytes) -> bytes:
    """The private key's own block, where it stands among certificates."""
    start = pem.find(b"-----BEGIN CERTIFICATE-----")
    if start == -1 or b"PRIVATE KEY-----" not in pem:
        return pem
    lines, keep, out = pem.splitlines(keepends=True), False, []
    for line in lines:
        if line.startswith(b"-----BEGIN") and b"PRIVATE KEY" in line:
            keep = True
        if keep:
            out.append(line)
        if line.startswith(b"-----END"):
            keep = False
    return b"".join(out)
