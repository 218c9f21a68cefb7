"""What is wrong with a chain: each fault by itself, so that one does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from minitls.certificates.facts import facts_of
from minitls.certificates.faults import PARSE_ERRORS, name_of, quietly, read_der
from minitls.certificates.faults import Fault as Refusal
from minitls.certificates.keys import check_key
from minitls.certificates.names import normalise
from minitls.certificates.ocsp import check_staple, must_staple
from minitls.certificates.path import check_certificate
from minitls.certificates.sct import embedded
from minitls.certificates.trust import TrustStore
from minitls.certificates.verify import check_name, check_purpose
from minitls.errors import CertificateError, Misuse
from minitls.scan.facts import Chain, Fault
from minitls.trace.cards import card

SOON = 21
"""Days: a certificate that is renewed by itself has been by then."""


def judge(chain: Chain, name: str, trust: TrustStore, at: datetime | None = None) -> None:
    """Fill in what a chain's certificates say.  ``name``: the host or address that was asked for; ``at``: now by default."""
    try:
        with quietly():
            _judge(chain, [read_der(der) for der in chain.der], name, trust, at or datetime.now(UTC))
    except PARSE_ERRORS as error:
        _add(chain, "malformed", f"a certificate of the chain cannot be read: {error}", "RFC 5280 4.1")
    chain.verified = not any(fault.id not in _COSMETIC for fault in chain.faults)


def _judge(chain: Chain, certificates: Sequence[x509.Certificate], name: str, trust: TrustStore, at: datetime) -> None:
    leaf = certificates[0]
    found = card(chain.der[0])
    chain.key = found.key if found is not None else ""
    chain.days_left = (leaf.not_valid_after_utc - at).days
    chain.lifetime_days = (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days
    for place, certificate in enumerate(certificates):
        _try(chain, partial(check_certificate, facts_of(certificate), at))
        if place == 0 or certificate.subject != certificate.issuer:  # nobody looks at a root's own key and signature
            _try(chain, partial(check_key, facts_of(certificate), ca=place > 0))
            _check_signature(chain, certificate)
    _try(chain, partial(check_purpose, facts_of(leaf), ExtendedKeyUsageOID.SERVER_AUTH, pinned=len(certificates) == 1))
    if chain.with_name:
        _try(chain, lambda: check_name(facts_of(leaf), normalise(name)))
    _check_shape(chain, certificates)
    path = _check_trust(chain, certificates, trust, at)
    _check_beside(chain, certificates, path, at)


_COSMETIC = ("superfluous_root", "wrong_order", "stranger_in_chain", "staple_missing", "bad_staple")


def _try(chain: Chain, check: Callable[[], object]) -> None:
    """What the house's own checks refuse becomes a fault."""
    try:
        check()
    except Refusal as refusal:
        _add(chain, refusal.reason, refusal.message, refusal.rule, refusal.remedy)
    except Misuse:
        pass  # the name that was asked for is none that a certificate could have
    except PARSE_ERRORS as error:
        _add(chain, "malformed", f"a certificate of the chain cannot be read: {error}", "RFC 5280 4.1")


def _add(chain: Chain, name: str, text: str, rule: str = "", remedy: str = "") -> None:
    if all((fault.id, fault.text) != (name, text) for fault in chain.faults):
        chain.faults.append(Fault(name, text, rule, remedy))


def _check_signature(chain: Chain, certificate: x509.Certificate) -> None:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return
    if isinstance(algorithm, (hashes.SHA1, hashes.MD5)):
        text = f"{name_of(certificate)} is signed with {algorithm.name}, which can be forged"
        _add(chain, "weak_signature", text, "RFC 9325 4.5", "have it issued anew, signed with SHA-256")


def _check_shape(chain: Chain, certificates: Sequence[x509.Certificate]) -> None:
    """RFC 8446 section 4.4.2: each certificate should certify the one before it; the root may be left out."""
    below = certificates[1:]
    if any(each.subject == each.issuer for each in below):
        text = "the server sends a root: who trusts it has it, and nobody else needs it"
        _add(chain, "superfluous_root", text, "RFC 8446 4.4.2", "leave the root out of the chain's file: it costs each handshake")
    if all(_issued(upper, lower) for lower, upper in pairwise(certificates)):
        return
    issuers = [each for each in certificates if any(_issued(each, other) for other in certificates if other is not each)]
    strangers = [each for each in below if each not in issuers]
    if strangers:
        names = ", ".join(map(name_of, strangers))
        text = f"the server sends {names}, which certifies nothing in this chain"
        _add(chain, "stranger_in_chain", text, "RFC 8446 4.4.2", "leave it out of the chain's file")
    if any(not _issued(upper, lower) for lower, upper in pairwise(each for each in certificates if each not in strangers)):
        text = "the chain is not in order: a certificate stands before the one that it certifies, or twice"
        _add(chain, "wrong_order", text, "RFC 5246 7.4.2", "the server's certificate first, then each one's issuer")


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *PARSE_ERRORS):
        return False
    return True


def _check_trust(
    chain: Chain, certificates: Sequence[x509.Certificate], trust: TrustStore, at: datetime
) -> list[x509.Certificate] | None:
    """The path, if there is one at a time when nothing has expired: that was told already, and would hide the rest."""
    latest = min(each.not_valid_after_utc for each in certificates) - timedelta(seconds=1)
    earliest = max(each.not_valid_before_utc for each in certificates)
    when = max(min(at, latest), earliest) if earliest < latest else at
    try:
        return trust.verify(chain.der, None, when)
    except CertificateError as error:
        if all(fault.id != error.reason for fault in chain.faults):
            _add(chain, error.reason, error.message, error.rule, error.remedy)
    return None


def _check_beside(
    chain: Chain, certificates: Sequence[x509.Certificate], path: list[x509.Certificate] | None, at: datetime
) -> None:
    """The stapled OCSP response and the SCTs."""
    known = path or list(certificates)
    try:
        chain.must_staple = must_staple([*known[:1], *known]) is not None  # the last one is not asked
        chain.scts["certificate"] = len(embedded(certificates[0]))
    except (Refusal, *PARSE_ERRORS) as refusal:
        _add(chain, "malformed", str(refusal), "RFC 5280 4.1")
    response = chain.ocsp_response
    if response is None or len(known) < 2:
        chain.staple = None if response is None else "unknown" if response else "none"
        return
    chain.staple = "good" if response else "none"
    try:
        staple = check_staple(known, response, at)
        if staple is not None:
            chain.scts["ocsp"] = len(staple.scts)
    except Refusal as refusal:
        chain.staple = "bad" if response else "none"
        name = "staple_missing" if refusal.reason == "staple_missing" else "bad_staple"
        _add(chain, name, refusal.message, refusal.rule, refusal.remedy)
