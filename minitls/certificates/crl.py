"""Certificate revocation lists that the caller gives (RFC 5280 sections 5 and 6.3): nothing is fetched.

Rules:

1. a list that we could not judge by is refused when it is given: signed with SHA-1, or with a critical extension that is
unknown, a delta, for some reasons only, or with other CAs' certificates in it;
2. a list speaks for a certificate if it has its issuer's name and that issuer's key signed it, which may sign lists; if it is
for such certificates (users' or CAs'); and if it is for one of the certificate's distribution points, where it names some itself;
3. of those the newest counts.  Whom it lists is revoked, also when it is old; else it has to be current;
4. a list with an issuer's name and key identifier whose signature is bad is a fault, and not as if there were none.

A certificate for which there is no list passes, unless lists are required; the anchor is believed for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from minitls.certificates.faults import PARSE_ERRORS, Fault, called, malformed, name_of, printable
from minitls.certificates.revocation import TOLERANCE, revoked, told
from minitls.certificates.verify import as_der, signed_with
from minitls.data import dataclass
from minitls.errors import Alert, Misuse

_MISSING, _BAD_SIGNATURE, _NOT_YET_VALID, _EXPIRED, _MAY_NOT_SIGN = 3, 8, 11, 12, 35  # OpenSSL's numbers
_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_FETCH = "fetch a new one from the CA"


@dataclass(frozen=True, slots=True, eq=False)
class _List:
    """``revoked``: where a serial number stands in it; ``key``: the identifier of who signed, or None; ``points``: of distribution,
    None: of all; ``digest``: of what is signed, None where the signature takes it whole.
    """

    crl: x509.CertificateRevocationList
    issuer: bytes
    revoked: Mapping[int, int]
    key: bytes | None
    points: frozenset[x509.GeneralName] | None
    users_only: bool
    cas_only: bool
    digest: bytes | None

    def covers(self, certificate: x509.Certificate) -> bool:
        """Rule 2, but for the signature."""
        found = {type(extension.value): extension.value for extension in certificate.extensions}
        constraints, points = found.get(x509.BasicConstraints), found.get(x509.CRLDistributionPoints)
        ca = isinstance(constraints, x509.BasicConstraints) and constraints.ca
        if self.users_only if ca else self.cas_only:
            return False
        if self.points is None:
            return True
        return isinstance(points, x509.CRLDistributionPoints) and any(
            name in self.points for point in points for name in point.full_name or ()
        )


class Crls:
    """Lists by their issuers, read once; immutable, so that new lists are a new object.

    ``required``: each certificate of a path but its anchor needs a list that speaks for it.  Raises Misuse for a list that rule 1
    refuses.
    """

    def __init__(self, lists: Iterable[x509.CertificateRevocationList], *, required: bool = False) -> None:
        self.required = required
        self._lists: dict[bytes, list[_List]] = {}
        self._signed: dict[tuple[_List, x509.Certificate], bool] = {}
        for crl in lists:
            made = _judge(crl)
            self._lists.setdefault(made.issuer, []).append(made)

    def __repr__(self) -> str:
        return f"<Crls: {sum(map(len, self._lists.values()))} lists by {len(self._lists)} issuers>"

    @classmethod
    def from_bytes(cls, *data: bytes, required: bool = False) -> Crls:
        """Each in PEM, with any number of lists, or one list in DER.  Raises Misuse."""
        return cls((crl for each in data for crl in _read(each, "this")), required=required)

    @classmethod
    def from_files(cls, *paths: str | os.PathLike[str], required: bool = False) -> Crls:
        """From files in PEM or DER.  Raises Misuse, which names the file, and OSError."""
        return cls((crl for path in paths for crl in _read(Path(path).read_bytes(), str(path))), required=required)

    def check(self, path: Sequence[x509.Certificate], at: datetime) -> None:
        """Nobody in the path, leaf first and an anchor last, is revoked.  Raises CertificateError."""
        for certificate, issuer in pairwise(path):
            try:
                self._check(certificate, issuer, at)
            except Fault as fault:
                raise fault.error(as_der(path)) from None
            except PARSE_ERRORS as error:
                raise malformed(error, f"{name_of(certificate)} or its issuer's").error(as_der(path)) from None

    def _check(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> None:
        """Raises Fault, PARSE_ERRORS."""
        who = name_of(certificate)
        speaking = list(self._speaking(certificate, issuer))
        if not speaking:
            if self.required:
                text = f"there is no CRL that would tell whether {who} was revoked: it has to be by {called(issuer.subject)}"
                raise _fault("crl_missing", text, _MISSING, "give that CA's list too, or do not require them")
            return
        begun = [each for each in speaking if each.crl.last_update_utc <= at + TOLERANCE]
        newest = max(begun or speaking, key=lambda each: each.crl.last_update_utc)
        since, until, whose = newest.crl.last_update_utc, newest.crl.next_update_utc, called(issuer.subject)
        if not begun:
            text = f"the CRL of {whose} is of the future: of {told(since)}"
            raise _fault("crl_not_yet_valid", text, _NOT_YET_VALID, "check this machine's clock")
        if certificate.serial_number in newest.revoked:
            entry = newest.crl[newest.revoked[certificate.serial_number]]
            raise revoked(certificate, entry.revocation_date_utc, _reason(entry), "RFC 5280 6.3")
        if until is not None and at > until + TOLERANCE:
            text = f"the CRL of {whose}, which should tell of {who}, was good until {told(until)}"
            raise _fault("crl_expired", text, _EXPIRED, _FETCH)

    def _speaking(self, certificate: x509.Certificate, issuer: x509.Certificate) -> Iterator[_List]:
        """Rules 2 and 4.  Raises Fault."""
        identifier, may_sign = _signer(issuer)
        for each in self._lists.get(certificate.issuer.public_bytes(), ()):
            if not each.covers(certificate):
                continue
            if self._is_signed(each, issuer):
                if not may_sign:
                    text = f"{name_of(issuer)} signed a CRL, and may not: its keyUsage lacks cRLSign"
                    remedy = "do not give that list; or have that CA's certificate made anew"
                    raise _fault("crl_bad_issuer", text, _MAY_NOT_SIGN, remedy)
                yield each
            elif each.key is not None and each.key == identifier:
                text = f"the signature of the CRL of {called(issuer.subject)} is not by the key of {name_of(issuer)}"
                raise _fault("crl_bad_signature", text, _BAD_SIGNATURE, _FETCH)

    def _is_signed(self, each: _List, issuer: x509.Certificate) -> bool:
        """Once is enough."""
        known = self._signed.get((each, issuer))
        if known is None:
            known = self._signed[each, issuer] = _is_signed_by(each, issuer.public_key())
        return known


def _is_signed_by(each: _List, key: Any) -> bool:
    """This happens within a handshake, which shall not wait for a list of 100,000 entries to be hashed: see :func:`_digest`."""
    how, algorithm = each.crl.signature_algorithm_parameters, each.crl.signature_hash_algorithm
    if each.digest is None or algorithm is None:
        return each.crl.is_signature_valid(key)
    hashed = utils.Prehashed(algorithm)
    try:
        if isinstance(how, ec.ECDSA) and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(each.crl.signature, each.digest, ec.ECDSA(hashed))
        elif isinstance(how, (padding.PKCS1v15, padding.PSS)) and isinstance(key, rsa.RSAPublicKey):
            key.verify(each.crl.signature, each.digest, how, hashed)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _places(crl: x509.CertificateRevocationList) -> dict[int, int]:
    """Where each serial number stands, the first time, and crl[place] is quick from now on.  Raises PARSE_ERRORS."""
    listed: dict[int, int] = {}
    for place, each in enumerate(crl):
        listed.setdefault(each.serial_number, place)
    if listed:
        crl[0]  # the first look at a place reads the whole list
    return listed


def _digest(crl: x509.CertificateRevocationList) -> bytes | None:
    """The hash that the signature is over: a millisecond for each 4,000 entries, and so made when the list is given.

    None for signatures without one, EdDSA's and ML-DSA's.  Raises PARSE_ERRORS.
    """
    if (algorithm := crl.signature_hash_algorithm) is None:
        return None
    made = hashes.Hash(algorithm)
    made.update(crl.tbs_certlist_bytes)
    return made.finalize()


def _read(data: bytes, where: str) -> list[x509.CertificateRevocationList]:
    """The lists of a PEM text, or the one in DER.  Raises Misuse."""
    try:
        if _BEGIN not in data:
            return [x509.load_der_x509_crl(data)]
        blocks = [_BEGIN + block.partition(_END)[0] + _END + b"\n" for block in data.split(_BEGIN)[1:]]
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except PARSE_ERRORS:
        text = f"{where} holds no certificate revocation list, in PEM or DER, that can be read"
        raise Misuse(text, reason="bad_crl") from None


def _judge(crl: x509.CertificateRevocationList) -> _List:
    """Rule 1.  Raises Misuse."""
    signed: Any = crl  # which says how in the words of a certificate
    try:
        who, issuer, schemes = f"the CRL of {called(crl.issuer)}", crl.issuer.public_bytes(), signed_with(signed)
        extensions, listed = list(crl.extensions), _places(crl)
        algorithm, digest = crl.signature_hash_algorithm, _digest(crl)
    except PARSE_ERRORS as error:
        raise Misuse(f"this CRL cannot be read: {printable(str(error))}", reason="bad_crl") from None
    if not schemes:
        how = algorithm.name if algorithm is not None else crl.signature_algorithm_oid.dotted_string
        raise Misuse(f"{who} is signed with {how}, which is not accepted", reason="unsupported_crl", rule="RFC 9325 4.5")
    key, points, scope = None, None, None
    for extension in extensions:
        if isinstance(extension.value, x509.AuthorityKeyIdentifier):
            key = extension.value.key_identifier
        elif isinstance(extension.value, x509.DeltaCRLIndicator):
            text = f"{who} is a delta CRL, which is not supported: give whole ones"
            raise Misuse(text, reason="unsupported_crl", rule="RFC 5280 5.2.4")
        elif isinstance(extension.value, x509.IssuingDistributionPoint):
            scope = extension.value
            if scope.indirect_crl or scope.only_contains_attribute_certs or scope.only_some_reasons or scope.relative_name:
                text = f"{who} is for other CAs' certificates, for some reasons, or for attributes only, which is not supported"
                raise Misuse(text, reason="unsupported_crl", rule="RFC 5280 5.2.5")
            points = frozenset(scope.full_name) if scope.full_name is not None else None
        elif extension.critical:
            text = f"{who} has the critical extension {extension.oid.dotted_string}, which nobody here knows"
            raise Misuse(text, reason="unsupported_crl", rule="RFC 5280 5.2")
    users, cas = (scope.only_contains_user_certs, scope.only_contains_ca_certs) if scope is not None else (False, False)
    return _List(crl, issuer, listed, key, points, users, cas, digest)


def _signer(issuer: x509.Certificate) -> tuple[bytes | None, bool]:
    """Its subject key identifier, and whether it may sign lists (RFC 5280 section 4.2.1.3)."""
    found = {type(extension.value): extension.value for extension in issuer.extensions}
    identifier, usage = found.get(x509.SubjectKeyIdentifier), found.get(x509.KeyUsage)
    return (
        identifier.digest if isinstance(identifier, x509.SubjectKeyIdentifier) else None,
        usage.crl_sign if isinstance(usage, x509.KeyUsage) else True,
    )


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (x509.ExtensionNotFound, *PARSE_ERRORS):
        return None


def _fault(reason: str, text: str, code: int, remedy: str) -> Fault:
    """The list is at fault, and not the peer: it is told no more than that its certificate is not known to be good."""
    return Fault(reason, Alert.certificate_unknown, code, text, "RFC 5280 6.3.3", remedy)
