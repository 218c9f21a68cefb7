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

Most paths are straight: at each height one certificate alone has the issuer's name.  Such a path needs no search, and is judged by
the same rules.  A store remembers of a CA that its signature is good, for any path at any time; the rest is looked at each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID

from minitls.certificates.constraints import check_constraints
from minitls.certificates.facts import Facts, facts_of
from minitls.certificates.faults import PARSE_ERRORS, Fault, called, malformed, printable
from minitls.certificates.keys import check_key
from minitls.data import dataclass
from minitls.errors import Alert

MAX_DEPTH = 10
MAX_SIGNATURES = 64
CACHED_SIGNATURES = 64
KEPT_STORES = 8
"""Sets of trusted certificates that are kept for the next store of the same."""

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


@dataclass(frozen=True, slots=True)
class Anchors:
    """A store's certificates: for the web's verifier (None where there are none), and by the DER of their subject for ours.

    ``check_ca``: :func:`check_signed_by` for a CA's own signature, which remembers whose were good, by whose key: a fact for any
    path, at any time.
    """

    certificates: tuple[x509.Certificate, ...]
    store: verification.Store | None
    by_subject: Mapping[bytes, Sequence[Facts]]
    check_ca: Callable[[Facts, Facts], None]

    @classmethod
    def of(cls, certificates: tuple[x509.Certificate, ...]) -> Anchors:
        @lru_cache(CACHED_SIGNATURES)
        def check_ca(below: Facts, issuer: Facts) -> None:
            check_signed_by(below, issuer)

        return cls(certificates, *_found_by(certificates), check_ca)

    def __contains__(self, one: Facts) -> bool:
        return one.certificate in [each.certificate for each in self.by_subject.get(one.subject, ())]


@lru_cache(KEPT_STORES)
def _found_by(certificates: tuple[x509.Certificate, ...]) -> tuple[verification.Store | None, Mapping[bytes, Sequence[Facts]]]:
    """The same for all stores of the same certificates, of which a program may make one for each connection."""
    by_subject: dict[bytes, list[Facts]] = {}
    for each in map(facts_of, certificates):
        by_subject.setdefault(each.subject, []).append(each)
    return verification.Store(list(certificates)) if certificates else None, by_subject


class PathBuilder:
    """One search.

    ``offered``: what the peer sent after its leaf; ``purpose``: what the CAs have to be good for, where they say what they are
    good for.
    """

    def __init__(self, anchors: Anchors, offered: Sequence[Facts], at: datetime, purpose: x509.ObjectIdentifier) -> None:
        self._anchors = anchors
        self._offered: dict[bytes, list[Facts]] = {}
        for each in offered:
            self._offered.setdefault(each.subject, []).append(each)
        self._at = at
        self._purpose = purpose
        self._signatures = 0
        self._fault: Fault | None = None

    def straight(self, leaf: Facts) -> list[Facts] | None:
        """The path that the names tell, if it is good; None where one in it has two issuers to choose from, or an end is missing.

        What it finds, :meth:`build` finds, and nothing else.  Raises Fault, PARSE_ERRORS.
        """
        path = [leaf]
        while path[-1] not in self._anchors:
            name = path[-1].issuer
            above = [*self._anchors.by_subject.get(name, ()), *self._offered.get(name, ())]
            if len(path) == MAX_DEPTH or not above:
                return None
            for other in above[1:]:
                if other.certificate != above[0].certificate:
                    return None
            path.append(above[0])
        check_certificate(leaf, self._at)
        for height, (below, issuer) in enumerate(pairwise(path), 1):
            if not _key_fits(below, issuer):
                return None
            self._check_issuer(issuer, path[:height])
        check_constraints(path)
        return path

    def build(self, leaf: Facts) -> list[Facts]:
        """Leaf first, a certificate of the store last.  Raises the Fault that came nearest to a path, and PARSE_ERRORS."""
        check_certificate(leaf, self._at)
        path = self._extend([leaf])
        if path is None:
            assert self._fault is not None  # who gives up has said why
            raise self._fault
        return path

    def _extend(self, path: list[Facts]) -> list[Facts] | None:
        if path[-1] in self._anchors:
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
                self._note(malformed(error, str(issuer)))
                continue
            longer = self._extend([*path, issuer])
            if longer is not None:
                return longer
        return None

    def _finish(self, path: list[Facts]) -> list[Facts] | None:
        try:
            check_constraints(path)
        except Fault as fault:
            self._note(fault)
            return None
        return path

    def _issuers(self, path: Sequence[Facts]) -> tuple[list[Facts], Facts | None]:
        """Who may have signed the last one: the name fits, and the key identifier where both have one.

        Another CA may have the same name: with it, one that had the name and not the key.
        """
        last = path[-1]
        name, found, namesake = last.issuer, [], None
        last.extension(x509.AuthorityKeyIdentifier)  # it can be read, whoever is found
        for issuer in (*self._anchors.by_subject.get(name, ()), *self._offered.get(name, ())):
            if any(issuer.certificate == each.certificate for each in path):
                continue
            if _key_fits(last, issuer):
                found.append(issuer)
            else:
                namesake = namesake or issuer
        return found, namesake

    def _note(self, fault: Fault) -> None:
        """Keep the fault to report: one about a certificate that is there says more than one that is missing."""
        if self._fault is None or self._fault.reason in ("unknown_ca", "missing_intermediate"):
            self._fault = fault

    def _check_issuer(self, issuer: Facts, path: Sequence[Facts]) -> None:
        below = path[-1]
        check_key(issuer, ca=True)  # before its signature: a key that is too long is also slow
        (check_signed_by if len(path) == 1 else self._anchors.check_ca)(below, issuer)
        check_certificate(issuer, self._at)
        constraints = issuer.extension(x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            raise Fault("not_a_ca", Alert.unknown_ca, 79, f"{issuer} is no CA, and yet signed {below}", "RFC 5280 4.2.1.9")
        if constraints.path_length is not None and sum(not each.self_issued for each in path[1:]) > constraints.path_length:
            text = f"{issuer} allows {constraints.path_length} CAs below it, and there are more"
            raise Fault("path_too_long", Alert.unknown_ca, 25, text, "RFC 5280 4.2.1.9")
        usage = issuer.extension(x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:
            raise Fault("bad_usage", Alert.unknown_ca, 32, f"{issuer} may not sign certificates", "RFC 5280 4.2.1.3")
        purposes = issuer.extension(x509.ExtendedKeyUsage)
        if purposes is not None and not allows(purposes, self._purpose):
            text = f"{issuer} may sign certificates, but none for this end of TLS"
            raise Fault("bad_usage", Alert.unsupported_certificate, 26, text, "RFC 5280 4.2.1.12")


def _key_fits(below: Facts, issuer: Facts) -> bool:
    """The key identifier is the same, where both have one."""
    wanted, has = below.extension(x509.AuthorityKeyIdentifier), issuer.extension(x509.SubjectKeyIdentifier)
    return wanted is None or has is None or wanted.key_identifier in (None, has.digest)


def allows(purposes: x509.ExtendedKeyUsage, wanted: x509.ObjectIdentifier) -> bool:
    return wanted in purposes or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes


def check_certificate(of: Facts, at: datetime) -> None:
    """Rule 3.  Raises Fault."""
    begin, end = of.validity
    if at < begin:
        text, remedy = f"{of} is not valid before {begin:%Y-%m-%d %H:%M} UTC", "check this machine's clock"
        raise Fault("not_yet_valid", Alert.bad_certificate, 9, text, "RFC 5280 4.1.2.5", remedy)
    if at > end:
        text, remedy = f"{of} expired on {end:%Y-%m-%d %H:%M} UTC", "the server's operator has to renew it"
        raise Fault("expired", Alert.certificate_expired, 10, text, "RFC 5280 4.1.2.5", remedy)
    for oid in of.critical:
        if oid not in _KNOWN:
            text = f"{of} has the critical extension {oid.dotted_string}, which nobody here knows"
            raise Fault("unknown_extension", Alert.unsupported_certificate, 34, text, "RFC 5280 4.2")


def check_signed_by(below: Facts, issuer: Facts) -> None:
    """Rule 1.  Raises Fault."""
    try:
        said, key = below.outline, issuer.certificate.public_key()
        kind, how = _USUAL.get(said.algorithm, (None, ()))
        if kind is not None and isinstance(key, kind) and said.algorithm == said.outer and said.issuer == issuer.raw_subject:
            key.verify(below.certificate.signature, below.tbs, *how)
            return
        algorithm = below.certificate.signature_hash_algorithm
        if isinstance(algorithm, (hashes.SHA1, hashes.MD5)):
            text, remedy = f"{below} is signed with {algorithm.name}, which can be forged", "its operator needs a newer one"
            raise Fault("weak_signature", Alert.bad_certificate, 68, text, "RFC 9325 4.5", remedy)
        below.certificate.verify_directly_issued_by(issuer.certificate)
    except InvalidSignature:
        text = f"the signature of {below} is not by the key of {issuer}"
        raise Fault("bad_signature", Alert.bad_certificate, 7, text, "RFC 5280 6.1.3", _REMADE) from None
    except UnsupportedAlgorithm as error:
        text = f"{below} is signed in a way that is not supported: {printable(str(error))}"
        raise Fault("unsupported_signature", Alert.unsupported_certificate, 1, text) from None
    except PARSE_ERRORS as error:  # also where the signature is not of the kind that the issuer's key makes
        raise Fault("bad_signature", Alert.bad_certificate, 7, f"{below} has no good signature: {printable(str(error))}") from None


_ECDSA, _RSA = "300a06082a8648ce3d0403", "300d06092a864886f70d0101"
_USUAL: Mapping[bytes, tuple[Any, tuple[Any, ...]]] = {
    bytes.fromhex(f"{_ECDSA}02"): (ec.EllipticCurvePublicKey, (ec.ECDSA(hashes.SHA256()),)),
    bytes.fromhex(f"{_ECDSA}03"): (ec.EllipticCurvePublicKey, (ec.ECDSA(hashes.SHA384()),)),
    bytes.fromhex(f"{_ECDSA}04"): (ec.EllipticCurvePublicKey, (ec.ECDSA(hashes.SHA512()),)),
    bytes.fromhex(f"{_RSA}0b0500"): (rsa.RSAPublicKey, (padding.PKCS1v15(), hashes.SHA256())),
    bytes.fromhex(f"{_RSA}0c0500"): (rsa.RSAPublicKey, (padding.PKCS1v15(), hashes.SHA384())),
    bytes.fromhex(f"{_RSA}0d0500"): (rsa.RSAPublicKey, (padding.PKCS1v15(), hashes.SHA512())),
}
"""How most certificates are signed, by the DER of the AlgorithmIdentifier (RFC 5758 section 3.2, RFC 8017 appendix A.2): with a
key that is kept.  verify_directly_issued_by, which does the same for all, takes the issuer's out of its certificate each time."""

_REMADE = "that CA may have been made anew under its old name: trust its new certificate, or make this one again"


def _no_issuer(path: Sequence[Facts], namesake: Facts | None) -> Fault:
    """Why the path ends here: nobody knows who signed its last certificate.  ``namesake``: who has the name, and another key."""
    who, last = str(path[-1]), path[-1].certificate
    if path[-1].self_issued:
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
