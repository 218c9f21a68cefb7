"""A path from a leaf to a trusted certificate (RFC 5280 section 6), for private PKIs, and for saying why there is none.

Rules, each checked where its certificate joins the path:

1. an issuer has the name that the certificate below says, and its key made that certificate's signature, with no SHA-1 or MD5
in it;
2. an issuer is a CA (basicConstraints), may sign certificates (keyUsage, where it has one) and has room below it (path
length);
3. every certificate is valid at the time; no critical extension is unknown, and name constraints are not for this builder;
4. a certificate that is in the store, byte for byte, ends the path, whatever else it is.

Cross-signing can make exponentially many paths: at most MAX_SIGNATURES are checked in all, and MAX_DEPTH certificates are in
a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID

from minitls.certificates.faults import PARSE_ERRORS, Fault, name_of
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
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.TLS_FEATURE,
    }
)


class PathBuilder:
    """One search.  ``anchors``: the store's certificates by subject; ``offered``: what the peer sent after its leaf."""

    def __init__(
        self, anchors: Mapping[bytes, Sequence[x509.Certificate]], offered: Sequence[x509.Certificate], at: datetime
    ) -> None:
        self._anchors = anchors
        self._offered: dict[bytes, list[x509.Certificate]] = {}
        for certificate in offered:
            self._offered.setdefault(certificate.subject.public_bytes(), []).append(certificate)
        self._at = at
        self._signatures = 0
        self._fault: Fault | None = None

    def build(self, leaf: x509.Certificate) -> list[x509.Certificate]:
        """Leaf first, a certificate of the store last.  Raises the Fault that came nearest to a path."""
        check_certificate(leaf, self._at)
        path = self._extend([leaf])
        if path is None:
            raise self._fault or _no_issuer([leaf])
        return path

    def _extend(self, path: list[x509.Certificate]) -> list[x509.Certificate] | None:
        last = path[-1]
        if last in self._anchors.get(last.subject.public_bytes(), ()):
            return path
        if len(path) == MAX_DEPTH:
            self._note(Fault("unknown_ca", Alert.unknown_ca, 22, f"no path of {MAX_DEPTH} certificates leads to a trusted root"))
            return None
        found = False
        for issuer in self._issuers(last):
            if issuer in path:
                continue
            found = True
            try:
                self._check_issuer(issuer, path)
            except Fault as fault:
                self._note(fault)
                continue
            longer = self._extend([*path, issuer])
            if longer is not None:
                return longer
        if not found:
            self._note(_no_issuer(path))
        return None

    def _issuers(self, certificate: x509.Certificate) -> Iterator[x509.Certificate]:
        """Whose name, and key identifier where both have one, is the issuer's: another CA may have the same name."""
        name = certificate.issuer.public_bytes()
        for issuer in (*self._anchors.get(name, ()), *self._offered.get(name, ())):
            wanted, has = _authority_key(certificate), _subject_key(issuer)
            if wanted is None or has is None or wanted == has:
                yield issuer

    def _note(self, fault: Fault) -> None:
        """Keep the fault to report: one about a certificate that is there says more than one that is missing."""
        if self._fault is None or self._fault.reason in ("unknown_ca", "missing_intermediate"):
            self._fault = fault

    def _check_issuer(self, issuer: x509.Certificate, path: Sequence[x509.Certificate]) -> None:
        below = path[-1]
        check_signed_by(below, issuer)
        self._signatures += 1
        if self._signatures > MAX_SIGNATURES:
            raise Fault(
                "too_complex", Alert.bad_certificate, 1, f"more than {MAX_SIGNATURES} signatures to check: cross-signed in circles"
            )
        check_certificate(issuer, self._at)
        who = name_of(issuer)
        try:
            constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            constraints = None
        if constraints is None or not constraints.ca:
            raise Fault("not_a_ca", Alert.unknown_ca, 79, f"{who} is no CA, and yet signed {name_of(below)}", "RFC 5280 4.2.1.9")
        if constraints.path_length is not None and sum(c.subject != c.issuer for c in path[1:]) > constraints.path_length:
            text = f"{who} allows {constraints.path_length} CAs below it, and there are more"
            raise Fault("path_too_long", Alert.unknown_ca, 25, text, "RFC 5280 4.2.1.9")
        try:
            usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            return
        if not usage.key_cert_sign:
            raise Fault("bad_usage", Alert.unknown_ca, 32, f"{who} may not sign certificates", "RFC 5280 4.2.1.3")


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
        if extension.oid == ExtensionOID.NAME_CONSTRAINTS:
            text = f"{who} has name constraints, which only the web's profile is checked for"
            raise Fault("name_constraints", Alert.unsupported_certificate, 51, text, "RFC 5280 4.2.1.10")
        if extension.critical and extension.oid not in _KNOWN:
            text = f"{who} has the critical extension {extension.oid.dotted_string}, which nobody here knows"
            raise Fault("unknown_extension", Alert.unsupported_certificate, 34, text, "RFC 5280 4.2")


def check_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Rule 1.  Raises Fault."""
    if isinstance(certificate.signature_hash_algorithm, (hashes.SHA1, hashes.MD5)):
        text = f"{name_of(certificate)} is signed with {certificate.signature_hash_algorithm.name}, which can be forged"
        raise Fault("weak_signature", Alert.bad_certificate, 68, text, "RFC 9325 4.5", "its operator needs a newer one")
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        text = f"the signature of {name_of(certificate)} is not by the key of {name_of(issuer)}"
        raise Fault("bad_signature", Alert.bad_certificate, 7, text, "RFC 5280 6.1.3") from None
    except UnsupportedAlgorithm as error:
        text = f"{name_of(certificate)} is signed in an unknown way: {error}"
        raise Fault("unsupported_signature", Alert.unsupported_certificate, 1, text) from None
    except PARSE_ERRORS as error:
        raise Fault("malformed", Alert.bad_certificate, 1, f"{name_of(certificate)} is malformed: {error}") from None


def _no_issuer(path: Sequence[x509.Certificate]) -> Fault:
    """Why the path ends here: nobody knows who signed its last certificate."""
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
    text = f"nobody whom we trust issued {who}: it names {last.issuer.rfc4514_string()}"
    if urls := issuer_urls(last):
        remedy = f"the server did not send its intermediate; the certificate says it can be had at {urls[0]}"
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
