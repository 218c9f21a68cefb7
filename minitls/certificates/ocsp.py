"""OCSP stapling: beside its certificate the server sends its CA's word that it is not revoked (RFC 6066 8, RFC 8446 4.4.2.1).

Rules, in the order in which they are checked (RFC 6960 section 3.2, in the profile of RFC 5019):

1. the response has an answer, and one is for this certificate: its issuer's name and key, by their hashes, and its serial number;
2. it is signed, with no SHA-1 in it, by the issuer's key, or by a responder whose certificate that key signed for this very
purpose (id-kp-OCSPSigning) and which is valid at the time; its own revocation is not looked for, id-pkix-ocsp-nocheck or not;
3. no critical extension is unknown;
4. it does not say "revoked", however old it is;
5. it is current, and says "good": who says "unknown" does not vouch for the certificate.

There is no nonce: the server asked, some time ago, and not we.  Without nextUpdate "newer information is available all the
time" (RFC 6960 section 4.2.2.1), and a server that still has one of yesterday has stopped to ask: it is good for a day.

A certificate may promise that its server staples (must-staple, RFC 7633): then a response that is missing is as bad as a wrong
one.  Without the promise, who stands between could leave it away, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, OCSPExtensionOID, SignatureAlgorithmOID

from minitls.certificates.facts import Facts
from minitls.certificates.faults import PARSE_ERRORS, Fault, called, malformed, name_of, printable, quietly
from minitls.certificates.keys import check_key
from minitls.certificates.path import check_certificate, check_signed_by
from minitls.certificates.revocation import TOLERANCE, revoked, told
from minitls.certificates.sct import serialized
from minitls.certificates.verify import signed_with
from minitls.crypto.signatures import SCHEMES, SCHEMES_12
from minitls.data import dataclass, field
from minitls.errors import Alert
from minitls.wire.numbers import SignatureScheme

MAX_LENGTH = 2**16
"""Bytes.  With its responder's certificate a response has some 2,000, with ML-DSA 15,000: a stranger may have sent it."""
MAX_RESPONDERS = 4
"""Of the certificates in a response, so many are looked at."""
WITHOUT_NEXT_UPDATE = timedelta(days=1)

_MISSING, _INVALID, _UNKNOWN = 73, 74, 75  # OpenSSL's numbers
_ASK_AGAIN = "the server has to fetch a new response from its CA's OCSP responder"
_PSS = (SignatureScheme.rsa_pss_rsae_sha256, SignatureScheme.rsa_pss_rsae_sha384, SignatureScheme.rsa_pss_rsae_sha512)


@dataclass(frozen=True, slots=True)
class Staple:
    """A response that was checked, and says "good".

    ``responder``: whose key signed it, in words; ``until``: what its nextUpdate says, or None; ``scts``:
    SignedCertificateTimestamps that came in it, serialized (RFC 6962 section 3.3).
    """

    responder: str
    since: datetime
    until: datetime | None
    scts: tuple[bytes, ...] = field(default=(), repr=False)


def check_staple(path: Sequence[x509.Certificate], response: bytes, at: datetime) -> Staple | None:
    """What a server stapled, or did not staple (``b""``), for the first of its verified path.  Raises Fault.

    A leaf that is trusted by itself, and so its own path, has nobody above it whose word would count.
    """
    if len(path) == 1:
        return None
    if response:
        return check_ocsp(response, path[0], path[1], at)
    if (promises := must_staple(path)) is not None:
        text = f"{name_of(promises)} says that its server staples an OCSP response, and none came"
        raise _refused("staple_missing", text, _MISSING, "RFC 7633 4.3.3", "the server's operator has to turn OCSP stapling on")
    return None


def must_staple(path: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Which certificate asks for stapling by TLS feature (RFC 7633): the leaf, or a CA for all below it; None: none of them.

    The path's last one is believed for itself, and not asked.  Raises Fault.
    """
    for certificate in path[:-1]:
        try:
            feature = certificate.extensions.get_extension_for_class(x509.TLSFeature).value
        except x509.ExtensionNotFound:
            continue
        except PARSE_ERRORS as error:
            raise malformed(error, name_of(certificate)) from None
        if x509.TLSFeatureType.status_request in feature:
            return certificate
    return None


def check_ocsp(der: bytes, leaf: x509.Certificate, issuer: x509.Certificate, at: datetime) -> Staple:
    """The response for ``leaf``, which ``issuer`` issued.  Raises Fault."""
    if len(der) > MAX_LENGTH:
        raise _refused("ocsp_too_long", f"an OCSP response of {len(der)} bytes is too long: {MAX_LENGTH} at most")
    try:
        return _check(ocsp.load_der_ocsp_response(der), leaf, issuer, at)
    except PARSE_ERRORS as error:
        raise _refused("ocsp_malformed", f"the stapled OCSP response cannot be read: {printable(str(error))}") from None


def _check(response: ocsp.OCSPResponse, leaf: x509.Certificate, issuer: x509.Certificate, at: datetime) -> Staple:
    who = name_of(leaf)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        status = response.response_status.name.lower().replace("_", " ")
        raise _refused("ocsp_unsuccessful", f"the stapled OCSP response for {who} has no answer: {status}", rule="RFC 6960 4.2.1")
    answers = list(_answers(response, leaf, issuer))
    if not answers:
        raise _refused("ocsp_other_certificate", f"the stapled OCSP response is not for {who}", rule="RFC 6960 3.2")
    responder = _check_signer(response, issuer, at)
    extensions = list(_extensions(response))
    for answer in answers:
        if answer.certificate_status is ocsp.OCSPCertStatus.REVOKED:
            since = answer.revocation_time_utc
            assert since is not None  # it says when
            raise revoked(leaf, since, answer.revocation_reason, "RFC 6960 2.2")
    newest = max(answers, key=lambda answer: answer.this_update_utc)
    _check_times(newest, who, at)
    if newest.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        text, remedy = f"the CA's OCSP responder does not know {who}", "one just issued may not be known yet; or its CA forgot it"
        raise _refused("ocsp_unknown", text, _UNKNOWN, "RFC 6960 2.2", remedy)
    scts = [sct for value in extensions if isinstance(value, x509.SignedCertificateTimestamps) for sct in serialized(value)]
    return Staple(name_of(responder), newest.this_update_utc, newest.next_update_utc, tuple(scts))


def _answers(response: ocsp.OCSPResponse, leaf: x509.Certificate, issuer: x509.Certificate) -> Iterator[ocsp.OCSPSingleResponse]:
    """Those of the response that are for this certificate.  Raises PARSE_ERRORS."""
    known: dict[str, tuple[bytes, bytes]] = {}  # by the hash: a stranger's response may have hundreds of answers
    for answer in response.responses:
        if answer.serial_number == leaf.serial_number:
            algorithm = answer.hash_algorithm
            if algorithm.name not in known:
                with quietly():  # the names and keys that a request would have
                    ours = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, algorithm).build()
                known[algorithm.name] = ours.issuer_name_hash, ours.issuer_key_hash
            if (answer.issuer_name_hash, answer.issuer_key_hash) == known[algorithm.name]:
                yield answer


def _check_signer(response: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> x509.Certificate:
    """Rule 2: who signed, and may.  Raises Fault of the first who has the responder's name or key, and PARSE_ERRORS."""
    fault = None
    for certificate in (issuer, *response.certificates[:MAX_RESPONDERS]):
        if response.responder_name is not None:
            named = certificate.subject == response.responder_name
        else:
            named = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest == response.responder_key_hash
        if not named:
            continue
        try:
            if certificate.public_key() != issuer.public_key():
                _check_delegation(certificate, issuer, at)
            _check_signature(response, certificate)
        except Fault as found:
            fault = fault or found
        else:
            return certificate
    if fault is None:
        who = called(response.responder_name) if response.responder_name is not None else "a key"
        text = f"the stapled OCSP response names {who} as its responder, which is not {name_of(issuer)}, and is not in it"
        fault = _refused("ocsp_responder", text, rule="RFC 6960 4.2.2.2")
    raise fault


def _check_delegation(responder: x509.Certificate, issuer: x509.Certificate, at: datetime) -> None:
    """The issuer itself let this one answer for it (RFC 6960 section 4.2.2.2).  Raises Fault, PARSE_ERRORS."""
    who, rule = name_of(responder), "RFC 6960 4.2.2.2"
    if responder.issuer != issuer.subject:
        text = f"{who} signed the stapled OCSP response, and is by {called(responder.issuer)}, not by {called(issuer.subject)}"
        raise _refused("ocsp_responder", text, rule=rule)
    try:
        facts = Facts(responder)
        check_key(facts)
        check_signed_by(facts, Facts(issuer))
        check_certificate(facts, at)
    except Fault as fault:
        text = f"the stapled OCSP response is by a responder whom we do not trust: {fault.message}"
        raise _refused("ocsp_responder", text, rule=rule) from None
    found = {type(extension.value): extension.value for extension in responder.extensions}
    purposes, usage = found.get(x509.ExtendedKeyUsage), found.get(x509.KeyUsage)
    if not isinstance(purposes, x509.ExtendedKeyUsage) or ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
        text = f"{who} signed the stapled OCSP response, and is not for that: it lacks id-kp-OCSPSigning"
        raise _refused("ocsp_responder", text, rule=rule)
    if isinstance(usage, x509.KeyUsage) and not usage.digital_signature:
        raise _refused("ocsp_responder", f"{who} signed the stapled OCSP response, and may not sign", rule="RFC 5280 4.2.1.3")


def _check_signature(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    """Raises Fault, PARSE_ERRORS."""
    key: Any = signer.public_key()
    signed: Any = response  # which says how in the words of a certificate
    schemes = _PSS if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS else signed_with(signed)
    if not schemes:
        algorithm = response.signature_hash_algorithm
        how = algorithm.name if algorithm is not None else response.signature_algorithm_oid.dotted_string
        text = f"the stapled OCSP response is signed with {how}, which is not accepted"
        raise _refused("ocsp_weak_signature", text, rule="RFC 9325 4.5")
    for scheme in schemes:  # several only for RSASSA-PSS, whose hash pyca/cryptography does not tell here
        try:
            (SCHEMES_12.get(scheme) or SCHEMES[scheme]).verify(key, response.signature, response.tbs_response_bytes)
        except InvalidSignature:
            continue
        return
    text = f"the signature of the stapled OCSP response is not by the key of {name_of(signer)}"
    raise _refused("ocsp_bad_signature", text, rule="RFC 6960 3.2")


def _extensions(response: ocsp.OCSPResponse) -> Iterator[x509.ExtensionType]:
    """Rule 3: the values of all.  Of several answers' extensions pyca/cryptography shows none.  Raises Fault, PARSE_ERRORS."""
    own = response.single_extensions if sum(1 for _ in response.responses) == 1 else ()
    for extension in (*response.extensions, *own):
        if extension.critical and extension.oid != OCSPExtensionOID.NONCE:
            oid = extension.oid.dotted_string
            text = f"the stapled OCSP response has the critical extension {oid}, which nobody here knows"
            raise _refused("ocsp_unknown_extension", text, rule="RFC 6960 4.4")
        yield extension.value


def _check_times(answer: ocsp.OCSPSingleResponse, who: str, at: datetime) -> None:
    since, until = answer.this_update_utc, answer.next_update_utc
    if since > at + TOLERANCE:
        text = f"the stapled OCSP response for {who} is of the future: of {told(since)}"
        raise _refused("ocsp_not_yet_valid", text, rule="RFC 6960 3.2", remedy="check this machine's clock")
    if until is None and at > since + WITHOUT_NEXT_UPDATE + TOLERANCE:
        text = f"the stapled OCSP response for {who} is of {told(since)}, and says that there are newer ones at any time"
        raise _refused("ocsp_expired", text, rule="RFC 6960 3.2", remedy=_ASK_AGAIN)
    if until is not None and at > until + TOLERANCE:
        text = f"the stapled OCSP response for {who} was good until {told(until)}"
        raise _refused("ocsp_expired", text, rule="RFC 6960 3.2", remedy=_ASK_AGAIN)


def _refused(reason: str, text: str, code: int = _INVALID, rule: str = "RFC 6066 8", remedy: str = "") -> Fault:
    return Fault(reason, Alert.bad_certificate_status_response, code, text, rule, remedy)
