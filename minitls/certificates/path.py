"""A path from a leaf to a trusted certificate (RFC 5280 section 6), for private PKIs, and for saying why there is none.

Rules, each checked where its certificate joins the path:

1. an issuer has the name that the certificate below says, and its key, one worth believing (``keys``), made that
certificate's signature, with no SHA-1 or MD5 in it;
2. an issuer is a CA (basicConstraints), may sign certificates (keyUsage, where it has one), for this end of TLS
(extendedKeyUsage, where it has one), and has room below it (path length);
3. every certificate is valid at the time, and no critical extension is unknown;
4. a certificate that is in the store, byte for byte, ends the path, whatever else it is;
5. a path that has an end keeps the name constraints of all its CAs (``constraints``).

Cross-signing can make exponentially many paths: at most MAX_SIGNATURES are checked in all, the bad ones among them, and
MAX_DEPTH certificates are in a path.  Names are compared byte for byte, as the web's verifier does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID

from minitls.certificates.constraints import check_constraints
from minitls.certificates.faults import PARSE_ERRORS, Fault, called, malformed, name_of, printable
from minitls.certificates.keys import check_key
from minitls.errors import Alert

MAX_DEPTH = 10
MAX_SIGNATURES = 64

_KNOWN = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.TLS_FEATURE,
    }
)


class PathBuilder:
    """One search.

    ``anchors``: the store's certificates by subject; ``offered``: what the peer sent after its leaf; ``purpose``: what the CAs
    have to be good for, where they say what they are good for.
    """

    def __init__(
        self,
        anchors: Mapping[bytes, Sequence[x509.Certificate]],
        offered: Sequence[x509.Certificate],
        at: datetime,
        purpose: x509.ObjectIdentifier,
    ) -> None:
        self._anchors = anchors
        self._offered: dict[bytes, list[x509.Certificate]] = {}
        for certificate in offered:
            self._offered.setdefault(certificate.subject.public_bytes(), []).append(certificate)
        self._at = at
        self._purpose = purpose
        self._signatures = 0
        self._fault: Fault | None = None

    def build(self, leaf: x509.Certificate) -> list[x509.Certificate]:
        """Leaf first, a certificate of the store last.  Raises the Fault that came nearest to a path, and PARSE_ERRORS."""
        check_certificate(leaf, self._at)
        path = self._extend([leaf])
        if path is None:
            assert self._fault is not None  # who gives up has said why
            raise self._fault
        return path

    def _extend(self, path: list[x509.Certificate]) -> list[x509.Certificate] | None:
        last = path[-1]
        if last in self._anchors.get(last.subject.public_bytes(), ()):
            return self._finish(path)
        if len(path) == MAX_DEPTH:
            text = f"no path of {MAX_DEPTH} certificates leads to one that we trust"
            self._note(Fault("chain_too_long", Alert.unknown_ca, 22, text))
            return None
        issuers, namesake = self._issuers(path)
        if not issuers:
            self._note(_no_issuer(path, namesake))
        for issuer in issuers:
            self._signatures += 1
            if self._signatures > MAX_SIGNATURES:
                text = f"more than {MAX_SIGNATURES} signatures to check: the chain is cross-signed in circles"
                raise Fault("too_complex", Alert.bad_certificate, 1, text)  # the end of the search, not of this path
            try:
                self._check_issuer(issuer, path)
            except Fault as fault:
                self._note(fault)
                continue
            except PARSE_ERRORS as error:
                self._note(malformed(error, name_of(issuer)))
                continue
            longer = self._extend([*path, issuer])
            if longer is not None:
                return longer
        return None

    def _finish(self, path: list[x509.Certificate]) -> list[x509.Certificate] | None:
        try:
            check_constraints(path)
        except Fault as fault:
            self._note(fault)
            return None
        return path

    def _issuers(self, path: Sequence[x509.Certificate]) -> tuple[list[x509.Certificate], x509.Certificate | None]:
        """Who may have signed the last one: the name fits, and the key identifier where both have one.

        Another CA may have the same name: with it, one that had the name and not the key.
        """
        certificate = path[-1]
        name, wanted = certificate.issuer.public_bytes(), _authority_key(certificate)
        found, namesake = [], None
        for issuer in (*self._anchors.get(name, ()), *self._offered.get(name, ())):
            if issuer in path:
                continue
            has = _subject_key(issuer)
            if wanted is None or has is None or wanted == has:
                found.append(issuer)
            else:
                namesake = namesake or issuer
        return found, namesake

    def _note(self, fault: Fault) -> None:
        """Keep the fault to report: one about a certificate that is there says more than one that is missing."""
        if self._fault is None or self._fault.reason in ("unknown_ca", "missing_intermediate"):
            self._fault = fault

    def _check_issuer(self, issuer: x509.Certificate, path: Sequence[x509.Certificate]) -> None:
        below, who = path[-1], name_of(issuer)
        check_key(issuer, ca=True)  # before its signature: a key that is too long is also slow
        check_signed_by(below, issuer)
        check_certificate(issuer, self._at)
        found = {type(extension.value): extension.value for extension in issuer.extensions}
        constraints = found.get(x509.BasicConstraints)
        if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
            raise Fault("not_a_ca", Alert.unknown_ca, 79, f"{who} is no CA, and yet signed {name_of(below)}", "RFC 5280 4.2.1.9")
        if constraints.path_length is not None and sum(c.subject != c.issuer for c in path[1:]) > constraints.path_length:
            text = f"{who} allows {constraints.path_length} CAs below it, and there are more"
            raise Fault("path_too_long", Alert.unknown_ca, 25, text, "RFC 5280 4.2.1.9")
        usage = found.get(x509.KeyUsage)
        if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
            raise Fault("bad_usage", Alert.unknown_ca, 32, f"{who} may not sign certificates", "RFC 5280 4.2.1.3")
        purposes = found.get(x509.ExtendedKeyUsage)
        if isinstance(purposes, x509.ExtendedKeyUsage) and not allows(purposes, self._purpose):
            text = f"{who} may sign certificates, but none for this end of TLS"
            raise Fault("bad_usage", Alert.unsupported_certificate, 26, text, "RFC 5280 4.2.1.12")


def allows(purposes: x509.ExtendedKeyUsage, wanted: x509.ObjectIdentifier) -> bool:
    return wanted in purposes or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes


def _authority_key(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def _subject_key(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def check_certificate(certificate: x509.Certificate, at: datetime) -> None:
    """Rule 3.  Raises Fault."""
    who = name_of(certificate)
    if at < certificate.not_valid_before_utc:
        when = certificate.not_valid_before_utc
        text, remedy = f"{who} is not valid before {when:%Y-%m-%d %H:%M} UTC", "check this machine's clock"
        raise Fault("not_yet_valid", Alert.bad_certificate, 9, text, "RFC 5280 4.1.2.5", remedy)
    if at > certificate.not_valid_after_utc:
        when = certificate.not_valid_after_utc
        text, remedy = f"{who} expired on {when:%Y-%m-%d %H:%M} UTC", "the server's operator has to renew it"
        raise Fault("expired", Alert.certificate_expired, 10, text, "RFC 5280 4.1.2.5", remedy)
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN:
            text = f"{who} has the critical extension {extension.oid.dotted_string}, which nobody here knows"
            raise Fault("unknown_extension", Alert.unsupported_certificate, 34, text, "RFC 5280 4.2")


def check_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Rule 1.  Raises Fault."""
    who = name_of(certificate)
    try:
        algorithm = certificate.signature_hash_algorithm
        if isinstance(algorithm, (hashes.SHA1, hashes.MD5)):
            text, remedy = f"{who} is signed with {algorithm.name}, which can be forged", "its operator needs a newer one"
            raise Fault("weak_signature", Alert.bad_certificate, 68, text, "RFC 9325 4.5", remedy)
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        text = f"the signature of {who} is not by the key of {name_of(issuer)}"
        raise Fault("bad_signature", Alert.bad_certificate, 7, text, "RFC 5280 6.1.3", _REMADE) from None
    except UnsupportedAlgorithm as error:
        text = f"{who} is signed in a way that is not supported: {printable(str(error))}"
        raise Fault("unsupported_signature", Alert.unsupported_certificate, 1, text) from None
    except PARSE_ERRORS as error:  # also where the signature is not of the kind that the issuer's key makes
        raise Fault("bad_signature", Alert.bad_certificate, 7, f"{who} has no good signature: {printable(str(error))}") from None


_REMADE = "that CA may have been made anew under its old name: trust its new certificate, or make this one again"


def _no_issuer(path: Sequence[x509.Certificate], namesake: x509.Certificate | None) -> Fault:
    """Why the path ends here: nobody knows who signed its last certificate.  ``namesake``: who has the name, and another key."""
    last = path[-1]
    who = name_of(last)
    if last.subject == last.issuer:
        if len(path) == 1:
            remedy = "if it is the right one, trust this very certificate: --ca FILE, or TrustStore.from_files(...)"
            return Fault(
                "self_signed", Alert.unknown_ca, 18, f"{who} is signed by itself, and by nobody whom we trust", remedy=remedy
            )
        text = f"the chain ends at {who}, which we do not trust"
        return Fault("self_signed_in_chain", Alert.unknown_ca, 19, text, remedy="if it is yours, trust it: --ca FILE")
    if namesake is not None:
        text = f"{who} was issued by another CA of the name {called(last.issuer)}: its key identifier differs"
        return Fault("unknown_ca", Alert.unknown_ca, 20, text, "RFC 5280 4.2.1.1", _REMADE)
    text = f"nobody whom we trust issued {who}: it names {called(last.issuer)}"
    if urls := issuer_urls(last):
        remedy = f"the server did not send its intermediate; the certificate says it can be had at {printable(urls[0])}"
        return Fault("missing_intermediate", Alert.unknown_ca, 20, text, remedy=remedy)
    remedy = "if that CA is yours, trust it: --ca FILE; if not, the server may have left out its intermediate"
    return Fault("unknown_ca", Alert.unknown_ca, 20, text, remedy=remedy)


def issuer_urls(certificate: x509.Certificate) -> list[str]:
    """Where the certificate says its issuer's can be had (RFC 5280 section 4.2.2.1)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    return [
        description.access_location.value
        for description in access
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        and isinstance(description.access_location, x509.UniformResourceIdentifier)
    ]
