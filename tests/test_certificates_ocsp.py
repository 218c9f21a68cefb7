"""Stapled OCSP responses and what becomes of them: our verdict, and ``openssl ocsp``'s on the same bytes (RFC 6960, 5019, 7633).

Where OpenSSL's verdict is another, the case says why.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from minitls.certificates.authority import KEYS, Authority, Status
from minitls.certificates.faults import Fault
from minitls.certificates.ocsp import MAX_LENGTH, Staple, check_ocsp, check_staple, must_staple
from minitls.errors import Alert
from tests.asn1 import NULL, der, moment, object_identifier, octets, sequence
from tests.chains import DAY, HOST, NOW, ODD, SERVER, Made, ca, key, leaf, make, openssl, openssl_command, private_pem, usage

SHA1 = hashes.SHA1()
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING
GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
NO_OPINION = "-"
"""OpenSSL 3.0 does not know the algorithm, or the question."""

VERDICTS = {
    "": "good",
    "revoked": "revoked",
    "ocsp_unknown": "unknown",
    "ocsp_expired": "bad times",
    "ocsp_not_yet_valid": "bad times",
    "ocsp_other_certificate": "not found",
    "ocsp_unsuccessful": "unsuccessful",
    "ocsp_bad_signature": "not verified",
    "ocsp_weak_signature": "not verified",
    "ocsp_responder": "not verified",
}
"""What ``openssl ocsp`` says where it agrees."""
CODES = {"revoked": 23, "staple_missing": 73, "ocsp_unknown": 75}
"""OpenSSL's numbers; 74 for all others."""


# responses, written by hand: pyca/cryptography makes only right ones -------------------------------------------------------------


def extended(extensions: Sequence[tuple[x509.ExtensionType, bool]]) -> bytes:
    """Extensions, explicitly tagged 1; nothing where there are none."""
    each = [
        sequence(object_identifier(value.oid.dotted_string), b"\1\1\xff" if critical else b"", octets(value.public_bytes()))
        for value, critical in extensions
    ]
    return der(0xA1, sequence(*each)) if each else b""


WAYS: dict[str, tuple[bytes, Callable[[Any, bytes], bytes]]] = {
    "ECPrivateKey": (
        sequence(object_identifier("1.2.840.10045.4.3.2")),
        lambda private, data: private.sign(data, ec.ECDSA(hashes.SHA256())),
    ),
    "RSAPrivateKey": (
        sequence(object_identifier("1.2.840.113549.1.1.11"), NULL),
        lambda private, data: private.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    ),
    "ecdsa-with-SHA1": (
        sequence(object_identifier("1.2.840.10045.4.1")),
        lambda private, data: private.sign(data, ec.ECDSA(SHA1)),
    ),
    "sha1WithRSA": (
        sequence(object_identifier("1.2.840.113549.1.1.5"), NULL),
        lambda private, data: private.sign(data, padding.PKCS1v15(), SHA1),
    ),
    "nobody knows": (sequence(object_identifier(ODD.dotted_string)), lambda private, data: b"signature"),
    **{
        name: (sequence(object_identifier(oid)), lambda private, data: private.sign(data))
        for name, oid in (
            ("Ed25519PrivateKey", "1.3.101.112"),
            ("Ed448PrivateKey", "1.3.101.113"),
            ("MLDSA44PrivateKey", "2.16.840.1.101.3.4.3.17"),
            ("MLDSA65PrivateKey", "2.16.840.1.101.3.4.3.18"),
            ("MLDSA87PrivateKey", "2.16.840.1.101.3.4.3.19"),
        )
    },
}
"""How to sign: the AlgorithmIdentifier, and the signature; by the type of the key, or by name."""
HASHES = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
    "md5": "1.2.840.113549.2.5",
}
REASONS = dict(zip(x509.ReasonFlags, (0, 1, 2, 3, 4, 5, 6, 9, 10, 8), strict=True))


def answer(
    subject: Made,
    issuer: Made,
    *,
    status: ocsp.OCSPCertStatus = GOOD,
    since: datetime = NOW - HOUR,
    until: datetime | None = NOW + DAY,
    reason: x509.ReasonFlags | None = None,
    ids: str = "sha1",
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """A SingleResponse."""
    known = hashes.SHA1() if ids == "md5" else getattr(hashes, ids.upper())()
    names = ocsp.OCSPRequestBuilder().add_certificate(subject.certificate, issuer.certificate, known).build()
    number = subject.certificate.serial_number
    identifier = sequence(
        sequence(object_identifier(HASHES[ids]), NULL),
        octets(names.issuer_name_hash),
        octets(names.issuer_key_hash),
        der(0x02, number.to_bytes(number.bit_length() // 8 + 1)),
    )
    why = der(0xA0, der(0x0A, bytes([REASONS[reason]]))) if reason is not None else b""
    state = {GOOD: der(0x80), REVOKED: der(0xA1, moment(NOW - 9 * DAY), why), UNKNOWN: der(0x82)}[status]
    return sequence(identifier, state, moment(since), b"" if until is None else der(0xA0, moment(until)), extended(extensions))


def respond(
    subject: Made,
    issuer: Made,
    signer: Made | None = None,
    *,
    answers: Sequence[bytes] | None = None,
    by_name: bool = False,
    responder: Made | None = None,
    included: Sequence[Made] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    beside: Sequence[tuple[x509.ExtensionType, bool]] = (),
    way: str = "",
    **how: Any,
) -> bytes:
    """A response about ``subject``, or with these answers; ``signer``: the issuer by default; ``responder``: whom it names, if that
    is another; ``beside``: extensions of the answer, and not of the response; ``way``: one of WAYS.
    """
    signer = signer or issuer
    named = (responder or signer).certificate
    key_hash = x509.SubjectKeyIdentifier.from_public_key(named.public_key()).digest
    whose = der(0xA1, named.subject.public_bytes()) if by_name else der(0xA2, octets(key_hash))
    if answers is None:
        answers = [answer(subject, issuer, extensions=beside, **how)]
    data = sequence(whose, moment(NOW - HOUR), sequence(*answers), extended(extensions))
    algorithm, sign = WAYS[way or type(signer.key).__name__]
    certificates = der(0xA0, sequence(*(each.der for each in included))) if included else b""
    basic = sequence(data, algorithm, der(0x03, b"\0", sign(signer.key, data)), certificates)
    kind = object_identifier("1.3.6.1.5.5.7.48.1.1")
    return sequence(der(0x0A, b"\0"), der(0xA0, sequence(kind, octets(basic))))


def delegate(issuer: Made, **how: Any) -> Made:
    how.setdefault("purposes", [OCSP_SIGNING])
    return make(how.pop("subject", "responder"), issuer, **how)


@dataclass(frozen=True)
class Stapled:
    """``above``: what OpenSSL trusts, if it is not the issuer."""

    leaf: Made
    issuer: Made
    response: bytes
    above: Made | None = None

    def check(self, at: datetime = NOW) -> Staple:
        return check_ocsp(self.response, self.leaf.certificate, self.issuer.certificate, at)


def stapled(issuer: Any = None, **how: Any) -> Stapled:
    """By the issuer itself."""
    root = ca("root", **(issuer or {}))
    end = leaf(root)
    return Stapled(end, root, respond(end, root, **how))


def delegated(responder: Any = None, **how: Any) -> Stapled:
    """By one whom the issuer let answer."""
    root = ca("root")
    end, other = leaf(root), delegate(root, **(responder or {}))
    return Stapled(end, root, respond(end, root, other, included=[other], **how))


def by_intermediate() -> Stapled:
    root = ca("root")
    middle = ca("middle", root)
    end = leaf(middle)
    return Stapled(end, middle, respond(end, middle), root)


def for_another(issuer: bool = False, *, same_key: bool = False, same_name: bool = False) -> Stapled:
    """The same serial number of another CA; or another certificate of the same."""
    root = ca("root")
    end, other = leaf(root, serial=77), ca("root" if same_name else "other", key=root.key if same_key else None)
    if not issuer:
        return Stapled(end, root, respond(leaf(root, serial=78), root))
    return Stapled(end, root, respond(leaf(other, serial=77), other, root))


def signed_by(signer: Callable[[Made, Made], Made], *, includes: bool = True, **how: Any) -> Stapled:
    """``signer(root, end)`` signs, and its certificate is included."""
    root = ca("root")
    end = leaf(root)
    by = signer(root, end)
    return Stapled(end, root, respond(end, root, by, included=[by] if includes else [], **how))


def forged(**how: Any) -> Stapled:
    """In the issuer's name, by another's key."""
    root, stranger = ca("root"), ca("root")
    end = leaf(root)
    return Stapled(end, root, respond(end, root, stranger, responder=root, **how))


def renewed_issuer() -> Stapled:
    """The response has the issuer's newer certificate, of the same key and another name."""
    root = ca("root")
    newer = ca("root, renewed", key=root.key)
    end = leaf(root)
    return Stapled(end, root, respond(end, root, newer, included=[newer], by_name=True))


def second_responder(count: int = 1) -> Stapled:
    """Others of its name stand before it in the response."""
    root = ca("root")
    end, right = leaf(root), delegate(root)
    wrong = [delegate(root) for _ in range(count)]
    return Stapled(end, root, respond(end, root, right, included=[*wrong, right], by_name=True))


def below_delegate(root: Made, _: Made) -> Made:
    return delegate(ca("middle", root))


def unsuccessful(status: ocsp.OCSPResponseStatus) -> Stapled:
    root = ca("root")
    return Stapled(leaf(root), root, ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER))


@dataclass(frozen=True)
class Case:
    build: Callable[[], Stapled]
    reason: str = ""
    says: str = ""
    remedy: str = ""
    openssl: str = ""
    why: str = ""


def said(reason: str, says: str, /, **how: Any) -> Case:
    return Case(lambda: stapled(**how), reason, says)


def untrusted(says: str, **responder: Any) -> Case:
    return Case(lambda: delegated(responder), "ocsp_responder", says)


SIGNERS = {
    "by the issuer's key hash": Case(stapled),
    "by the issuer's name": Case(lambda: stapled(by_name=True)),
    "by an intermediate": Case(by_intermediate),
    "by a responder's key hash": Case(delegated),
    "by a responder's name": Case(lambda: delegated(by_name=True)),
    "by a responder without identifiers": Case(lambda: delegated({"identifiers": False})),
    "by a responder without keyUsage": Case(lambda: delegated({"key_usage": None})),
    "by a responder with nocheck": Case(lambda: delegated({"extra": [(x509.OCSPNoCheck(), False)]})),
    "by a responder for servers too": Case(lambda: delegated({"purposes": [SERVER, OCSP_SIGNING]})),
    "by an RSA responder": Case(lambda: delegated({"key": key("rsa2048")})),
    "by an Ed25519 responder": Case(lambda: delegated({"key": key("ed25519")})),
    "by the issuer, renewed": Case(
        renewed_issuer, openssl="not verified", why="it goes by the issuer's certificate, not by its key"
    ),
    "by the second of that name": Case(second_responder, openssl="not verified", why="it looks at the first of that name only"),
    "by the fifth of that name": Case(lambda: second_responder(4), "ocsp_bad_signature"),
    "by one who is not there": Case(
        lambda: signed_by(lambda root, end: delegate(root), includes=False), "ocsp_responder", "names a key as its responder"
    ),
    "by one who is not there, named": Case(
        lambda: signed_by(lambda root, end: delegate(root), includes=False, by_name=True), "ocsp_responder", "CN=responder as its"
    ),
    "by a stranger": Case(lambda: signed_by(lambda root, end: ca("other")), "ocsp_responder", "is by CN=other, not by CN=root"),
    "by a stranger's responder": Case(
        lambda: signed_by(lambda root, end: delegate(ca("other"))), "ocsp_responder", "is by CN=other"
    ),
    "by a responder of a CA of that name": Case(
        lambda: signed_by(lambda root, end: delegate(ca("root"))),
        "ocsp_responder",
        "is not by the key of the certificate of CN=root",
    ),
    "by a responder of a CA below": Case(lambda: signed_by(below_delegate), "ocsp_responder", "is by CN=middle"),
    "by a CA below": Case(lambda: signed_by(lambda root, end: ca("middle", root)), "ocsp_responder", "lacks id-kp-OCSPSigning"),
    "by the leaf itself": Case(lambda: signed_by(lambda root, end: end), "ocsp_responder", "lacks id-kp-OCSPSigning"),
    "by another leaf": untrusted("lacks id-kp-OCSPSigning", purposes=[SERVER]),
    "by one without purposes": untrusted("lacks id-kp-OCSPSigning", purposes=None),
    "by one for any purpose": untrusted("lacks id-kp-OCSPSigning", purposes=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    "by one that may not sign": Case(
        lambda: delegated({"key_usage": usage("key_agreement")}),
        "ocsp_responder",
        "may not sign",
        openssl="good",
        why="it does not look at the responder's keyUsage",
    ),
    "by one expired": untrusted("expired on", begin=NOW - 9 * DAY, end=NOW - DAY),
    "by one not yet valid": untrusted("is not valid before", begin=NOW + DAY, end=NOW + 9 * DAY),
    "by one with a short key": untrusted("which is too short", key=key("rsa1024")),
    "by one on another curve": Case(
        lambda: delegated({"key": key("secp256k1")}),
        "ocsp_responder",
        "on the curve secp256k1",
        openssl="good",
        why="it takes any curve",
    ),
    "by one with an unknown extension": untrusted("nobody here knows", extra=[(x509.UnrecognizedExtension(ODD, b"\5\0"), True)]),
    "forged by hash": Case(forged, "ocsp_bad_signature", "is not by the key of the certificate of CN=root"),
    "forged by name": Case(lambda: forged(by_name=True), "ocsp_bad_signature"),
    "forged, revoked": Case(lambda: forged(status=REVOKED), "ocsp_bad_signature"),
    "signed with SHA-1 by an RSA key": Case(
        lambda: stapled({"key": key("rsa2048")}, way="sha1WithRSA"),
        "ocsp_weak_signature",
        "is signed with sha1",
        openssl="good",
        why="its -auth_level is for certificates, and not for the response itself",
    ),
    "signed with SHA-1 by an EC key": Case(
        lambda: stapled(way="ecdsa-with-SHA1"), "ocsp_weak_signature", "is signed with sha1", openssl="good", why="the same"
    ),
    "signed in an unknown way": Case(lambda: stapled(way="nobody knows"), "ocsp_malformed", openssl="not verified", why="the same"),
    "forged, by another kind of key": Case(
        lambda: signed_by(lambda root, end: Made(root.certificate, key("rsa2048")), includes=False), "ocsp_bad_signature"
    ),
}

KINDS = {
    f"{kind} {where}": Case(
        partial(build, {"key": key(kind)}),
        openssl=NO_OPINION if kind.startswith("mldsa") else "",
        why="it has no ML-DSA" if kind.startswith("mldsa") else "",
    )
    for kind in KEYS
    for where, build in (("issuer", stapled), ("responder", delegated))
}

ANSWERS = {
    **{f"identified by {digest}": Case(partial(stapled, ids=digest)) for digest in ("sha1", "sha256", "sha384", "sha512")},
    "another certificate": Case(for_another, "ocsp_other_certificate", "is not for the certificate of CN=host.example"),
    "another CA": Case(lambda: for_another(True), "ocsp_other_certificate"),
    "another CA with the key": Case(lambda: for_another(True, same_key=True), "ocsp_other_certificate"),
    "another CA of the name": Case(lambda: for_another(True, same_name=True), "ocsp_other_certificate"),
    "unknown": Case(
        lambda: stapled(status=UNKNOWN), "ocsp_unknown", "does not know the certificate of CN=host.example", "just issued"
    ),
    "revoked": Case(lambda: stapled(status=REVOKED), "revoked", "was revoked by its CA on", "do not trust it"),
    "revoked, by a responder": Case(lambda: delegated(status=REVOKED), "revoked"),
    **{
        f"revoked: {reason.value}": said("revoked", f"({reason.value})", status=REVOKED, reason=reason)
        for reason in x509.ReasonFlags
        if reason not in (x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl)
    },
    "revoked: unspecified": said("revoked", " UTC", status=REVOKED, reason=x509.ReasonFlags.unspecified),
    **{
        status.name.lower(): Case(partial(unsuccessful, status), "ocsp_unsuccessful", "has no answer")
        for status in ocsp.OCSPResponseStatus
        if status is not ocsp.OCSPResponseStatus.SUCCESSFUL
    },
    "with a nonce": Case(lambda: stapled(extensions=[(x509.OCSPNonce(b"n" * 16), False)])),
    "with a critical nonce": Case(lambda: stapled(extensions=[(x509.OCSPNonce(b"n" * 16), True)])),
    "with an unknown extension": Case(lambda: stapled(extensions=[(x509.UnrecognizedExtension(ODD, b"\5\0"), False)])),
    "with an unknown critical extension": Case(
        lambda: stapled(extensions=[(x509.UnrecognizedExtension(ODD, b"\5\0"), True)]),
        "ocsp_unknown_extension",
        ODD.dotted_string,
        openssl="good",
        why="it does not look at the response's extensions",
    ),
}

TIMES = {
    "good until just now": Case(lambda: stapled(until=datetime.now(UTC) - 3 * MINUTE)),  # NOW is when the tests were collected
    "good until some minutes ago": Case(
        lambda: stapled(until=NOW - 10 * MINUTE), "ocsp_expired", "was good until", "has to fetch a new response"
    ),
    "good until yesterday": said("ocsp_expired", "was good until", since=NOW - 9 * DAY, until=NOW - DAY),
    "made just after now": Case(lambda: stapled(since=NOW + 3 * MINUTE)),
    "made in the future": Case(lambda: stapled(since=NOW + 10 * MINUTE), "ocsp_not_yet_valid", "is of the future", "clock"),
    "no end, an hour old": Case(lambda: stapled(until=None)),
    "no end, a day old": Case(lambda: stapled(until=None, since=NOW - DAY)),
    "no end, older than a day": Case(
        lambda: stapled(until=None, since=NOW - DAY - 10 * MINUTE),
        "ocsp_expired",
        "newer ones at any time",
        "has to fetch a new response",
        openssl="good",
        why="without -status_age it has no limit",
    ),
    "revoked, and expired": Case(
        lambda: stapled(status=REVOKED, since=NOW - 9 * DAY, until=NOW - DAY),
        "revoked",
        openssl="bad times",
        why="it looks at the times first, and a revocation does not get old",
    ),
    "unknown, and expired": said("ocsp_expired", "was good until", status=UNKNOWN, since=NOW - 9 * DAY, until=NOW - DAY),
}

# several answers, and what an answer has beside -------------------------------------------------------------------------------


def several(*answers: Callable[[Made, Made], bytes], **how: Any) -> Stapled:
    root = ca("root")
    end = leaf(root)
    return Stapled(end, root, respond(end, root, answers=[make(end, root) for make in answers], **how))


def ours(**how: Any) -> Callable[[Made, Made], bytes]:
    return lambda end, root: answer(end, root, **how)


def of_another(**how: Any) -> Callable[[Made, Made], bytes]:
    return lambda end, root: answer(leaf(root), root, **how)


OLD = {"since": NOW - 9 * DAY, "until": NOW - DAY}
SEVERAL = {
    "ours among others": Case(lambda: several(of_another(status=REVOKED), ours(), of_another(status=UNKNOWN))),
    "ours revoked among others": Case(lambda: several(of_another(), ours(status=REVOKED), of_another()), "revoked"),
    "ours not there": Case(lambda: several(of_another(), of_another()), "ocsp_other_certificate"),
    "none at all": Case(several, "ocsp_other_certificate"),
    "ours by two digests": Case(lambda: several(ours(ids="sha256"), ours())),
    "the newer one counts": Case(lambda: several(ours(**OLD), ours()), openssl="bad times", why="it takes the first"),
    "the newer one is unknown": Case(
        lambda: several(ours(), ours(status=UNKNOWN, since=NOW)), "ocsp_unknown", openssl="good", why="it takes the first"
    ),
    "one of ours is revoked": Case(
        lambda: several(ours(), ours(status=REVOKED, **OLD)), "revoked", openssl="good", why="it takes the first"
    ),
    "by a digest that nobody has": Case(
        lambda: several(ours(ids="md5")), "ocsp_malformed", openssl=NO_OPINION, why="the hashes in it are SHA-1's"
    ),
    "with an unknown extension of its own": Case(
        lambda: several(ours(extensions=[(x509.UnrecognizedExtension(ODD, NULL), False)]))
    ),
    "with an unknown critical extension of its own": Case(
        lambda: several(ours(extensions=[(x509.UnrecognizedExtension(ODD, NULL), True)])),
        "ocsp_unknown_extension",
        openssl="good",
        why="it does not look at extensions",
    ),
}
ALL = {
    f"{family}: {name}": case
    for family, cases in (("signers", SIGNERS), ("kinds", KINDS), ("answers", ANSWERS), ("times", TIMES), ("several", SEVERAL))
    for name, case in cases.items()
}


def refused(checked: Callable[[], Any], reason: str, says: str = "", remedy: str = "") -> Fault:
    """It raises the Fault with all that belongs to this reason."""
    with pytest.raises(Fault) as caught:
        checked()
    fault = caught.value
    alert = Alert.certificate_revoked if reason == "revoked" else Alert.bad_certificate_status_response
    assert (fault.reason, fault.alert, fault.verify_code) == (reason, alert, CODES.get(reason, 74)), fault
    assert says in fault.message
    assert remedy in fault.remedy
    assert (fault.message + fault.remedy).isprintable()
    assert re.fullmatch(r"RFC \d{4}( \d+(\.\d+)*)", fault.rule)
    return fault


def openssl_ocsp(folder: Path, what: Stapled) -> str:
    """The verdict of ``openssl ocsp`` in the words of VERDICTS."""
    for file, made in (("leaf", what.leaf), ("issuer", what.issuer), ("trusted", what.above or what.issuer)):
        (folder / file).write_bytes(made.certificate.public_bytes(Encoding.PEM))
    (folder / "response").write_bytes(what.response)
    command = [openssl_command(), "ocsp", "-no-CApath", "-no-CAstore", "-CAfile", "trusted", "-respin", "response", "-no_nonce"]
    command += ["-auth_level", "2"]
    try:
        single = next(iter(ocsp.load_der_ocsp_response(what.response).responses))
        command += [f"-{single.hash_algorithm.name}"]
    except (ValueError, StopIteration):
        pass
    command += ["-issuer", "issuer", "-cert", "leaf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    for words, verdict in (
        ("Responder Error", "unsuccessful"),
        ("Response Verify Failure", "not verified"),
        ("No Status found", "not found"),
        ("Status times invalid", "bad times"),
    ):
        if words in said:
            return verdict
    match = re.search(r"leaf: (\w+)", said)
    assert match is not None, said
    return match[1]


@pytest.mark.parametrize("name", ALL)
def test_verdict(name: str, tmp_path: Path) -> None:
    case = ALL[name]
    what = case.build()
    if case.reason:
        refused(what.check, case.reason, case.says, case.remedy)
    else:
        staple = what.check()
        assert staple.scts == ()
        assert staple.since <= NOW + 5 * MINUTE
    agreed = VERDICTS.get(case.reason, "")
    expected = case.openssl or agreed
    assert bool(case.why) == (expected != agreed)
    if expected != NO_OPINION:
        assert openssl_ocsp(tmp_path, what) == expected


def test_what_a_good_response_says() -> None:
    staple = stapled().check()
    assert staple == Staple("the certificate of CN=root", NOW - HOUR, NOW + DAY, ())
    assert delegated(until=None).check() == Staple("the certificate of CN=responder", NOW - HOUR, None, ())


def test_too_long() -> None:
    what = stapled(extensions=[(x509.UnrecognizedExtension(ODD, octets(bytes(MAX_LENGTH))), False)])
    refused(what.check, "ocsp_too_long", f"is too long: {MAX_LENGTH} at most")


def test_a_name_made_to_disturb() -> None:
    """A stranger's text stays on one line."""
    root = ca("root")
    end, hostile = leaf(root, subject="\x1b[2J\n" + "a" * 40), ca("\x1b[2J\nnobody")
    what = Stapled(end, root, respond(end, root, responder=hostile, by_name=True))
    assert "\\x1b[2J" in refused(what.check, "ocsp_responder").message


# bad input ------------------------------------------------------------------------------------------------------------------


def test_truncated() -> None:
    what = delegated({"key": key("ed25519")})
    for length in range(len(what.response)):
        refused(Stapled(what.leaf, what.issuer, what.response[:length]).check, "ocsp_malformed")
    refused(Stapled(what.leaf, what.issuer, what.response + NULL).check, "ocsp_malformed")


SPOILT = {
    "ocsp_malformed",
    "ocsp_unsuccessful",
    "ocsp_other_certificate",
    "ocsp_responder",
    "ocsp_bad_signature",
    "ocsp_weak_signature",
}


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
@pytest.mark.parametrize("build", [stapled, delegated, partial(several, ours(status=UNKNOWN), ours(until=None))])
def test_one_byte_changed(build: Callable[[], Stapled], mask: int) -> None:
    """Never anything but a Fault, or the verdict of what was signed."""
    what = build()
    try:
        right: Any = what.check()
    except Fault as fault:
        right = fault.reason
    for place in range(len(what.response)):
        changed = bytearray(what.response)
        changed[place] ^= mask
        try:
            found: Any = Stapled(what.leaf, what.issuer, bytes(changed)).check()
        except Fault as fault:
            found = fault.reason
        assert found == right or found in SPOILT, place


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    what = FIXED
    refused(lambda: check_ocsp(data, what.leaf.certificate, what.issuer.certificate, NOW), "ocsp_malformed")


FIXED = stapled({"key": key("ed25519")})


# a model of what counts -------------------------------------------------------------------------------------------------------

MINUTES = st.integers(-3000, 3000)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([GOOD, REVOKED, UNKNOWN]), MINUTES, st.none() | MINUTES), max_size=3))
def test_model(answers: list[tuple[bool, ocsp.OCSPCertStatus, int, int | None]]) -> None:
    """Any answers of any age, about this certificate and another."""
    root, end = FIXED.issuer, FIXED.leaf
    made = [
        answer(
            end if mine else OTHER, root, status=status, since=NOW + since * MINUTE, until=NOW + until * MINUTE if until else None
        )
        for mine, status, since, until in answers
    ]
    what = Stapled(end, root, respond(end, root, answers=made))
    mine = [(status, since, until or None) for own, status, since, until in answers if own]
    if not mine:
        expected = "ocsp_other_certificate"
    elif any(status is REVOKED for status, _, _ in mine):
        expected = "revoked"
    else:
        status, since, until = max(mine, key=lambda each: each[1])
        if since > 5:
            expected = "ocsp_not_yet_valid"
        elif (since + 24 * 60 if until is None else until) < -5:
            expected = "ocsp_expired"
        else:
            expected = "" if status is GOOD else "ocsp_unknown"
    if expected:
        refused(what.check, expected)
    else:
        assert what.check().since == NOW + since * MINUTE


OTHER = leaf(FIXED.issuer)


# responses that OpenSSL makes -------------------------------------------------------------------------------------------------


def made_by_openssl(folder: Path, root: Made, ends: Sequence[Made], *options: str, revoked: Sequence[Made] = ()) -> bytes:
    """``openssl ocsp``'s answer about these, by the root."""
    lines = [
        f"{'R' if end in revoked else 'V'}\t301231235959Z\t{'251101000000Z,keyCompromise' if end in revoked else ''}\t"
        f"{end.certificate.serial_number:040X}\tunknown\t/CN={place}\n"
        for place, end in enumerate(ends)
    ]
    (folder / "index").write_text("".join(lines))
    (folder / "ca.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (folder / "ca.key").write_bytes(private_pem(root.key))
    ask: list[str | Path] = ["-issuer", folder / "ca.pem"]
    for place, end in enumerate(ends):
        (folder / f"{place}.pem").write_bytes(end.certificate.public_bytes(Encoding.PEM))
        ask += ["-cert", folder / f"{place}.pem"]
    request, response = folder / "request", folder / "response"
    openssl("ocsp", *ask, "-reqout", request)
    by: list[str | Path] = [
        "-index",
        folder / "index",
        "-CA",
        folder / "ca.pem",
        "-rsigner",
        folder / "ca.pem",
        "-rkey",
        folder / "ca.key",
    ]
    openssl("ocsp", *by, "-reqin", request, "-respout", response, "-ndays", "3", *options)
    return response.read_bytes()


PSS = ("-rmd", "sha384", "-rsigopt", "rsa_padding_mode:pss", "-rsigopt")


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("p256", (), ""),
        ("p384", ("-rmd", "sha512"), ""),
        ("rsa2048", (), ""),
        ("rsa2048", ("-rmd", "sha1"), "ocsp_weak_signature"),
        ("rsa2048", (*PSS, "rsa_pss_saltlen:digest"), ""),
        ("rsa2048", (*PSS, "rsa_pss_saltlen:20"), "ocsp_bad_signature"),  # RFC 4055 allows any; nobody's responder does it
        ("p256", ("-resp_no_certs",), ""),
        ("p256", ("-resp_key_id",), ""),
        ("ed25519", (), ""),
    ],
)
def test_made_by_openssl(kind: str, options: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    root = ca("root", key=key(kind))
    ends = [leaf(root) for _ in range(3)]
    response = made_by_openssl(tmp_path, root, ends, *options, revoked=ends[1:2])
    for end in ends:
        what = Stapled(end, root, response)
        expected = reason or ("revoked" if end is ends[1] else "")
        if expected:
            refused(lambda what=what: what.check(at=datetime.now(UTC)), expected)  # type: ignore[misc]
        else:
            assert what.check(at=datetime.now(UTC)).responder == "the certificate of CN=root"


# must-staple ------------------------------------------------------------------------------------------------------------------

STATUS_REQUEST, V2 = x509.TLSFeatureType.status_request, x509.TLSFeatureType.status_request_v2


def path_with(root: Sequence[Any] = (), middle: Sequence[Any] = (), end: Sequence[Any] = ()) -> list[Made]:
    """Leaf first; each with these TLS features."""

    def how(features: Sequence[Any]) -> dict[str, Any]:
        return {"extra": [(x509.TLSFeature(features), False)]} if features else {}

    top = ca("root", **how(root))
    below = ca("middle", top, **how(middle))
    return [leaf(below, **how(end)), below, top]


@pytest.mark.parametrize(
    ("features", "who"),
    [
        ({}, None),
        ({"end": [STATUS_REQUEST]}, 0),
        ({"end": [V2, STATUS_REQUEST]}, 0),
        ({"end": [V2]}, None),  # we do not offer it, so that no server can keep that promise
        ({"middle": [STATUS_REQUEST]}, 1),
        ({"root": [STATUS_REQUEST]}, None),  # it is believed for itself
        ({"root": [STATUS_REQUEST], "end": [STATUS_REQUEST]}, 0),
    ],
)
def test_must_staple(features: dict[str, Any], who: int | None) -> None:
    made = path_with(**features)
    path = [each.certificate for each in made]
    assert must_staple(path) == (None if who is None else path[who])
    if who is None:
        assert check_staple(path, b"", NOW) is None
    else:
        name = (HOST, "middle")[who]
        says = f"the certificate of CN={name} says that its server staples an OCSP response, and none came"
        refused(lambda: check_staple(path, b"", NOW), "staple_missing", says, "turn OCSP stapling on")
    assert check_staple(path, respond(made[0], made[1]), NOW) is not None
    refused(lambda: check_staple(path, respond(made[0], made[1], status=REVOKED), NOW), "revoked")
    refused(lambda: check_staple(path, b"no response", NOW), "ocsp_malformed")


def test_feature_that_cannot_be_read() -> None:
    made = path_with()
    odd = leaf(made[1], extra=[(x509.UnrecognizedExtension(x509.TLSFeature.oid, NULL), False)])
    with pytest.raises(Fault, match=r"the certificate of CN=host\.example cannot be read") as caught:
        check_staple([odd.certificate, made[1].certificate], b"", NOW)
    assert caught.value.reason == "malformed"


def test_pinned_leaf_has_nobody_above() -> None:
    end = leaf(ca("root"), extra=[(x509.TLSFeature([STATUS_REQUEST]), False)])
    assert check_staple([end.certificate], b"", NOW) is None
    assert check_staple([end.certificate], b"no response", NOW) is None


# the development CA -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delegates", [False, True])
@pytest.mark.parametrize("kind", KEYS)
def test_development_ca(kind: str, delegates: bool, tmp_path: Path) -> None:
    authority = Authority.create(key=kind, intermediate=False)
    issued = authority.issue(HOST, must_staple=True)
    path = authority.trust().verify(issued.chain, HOST)
    assert must_staple(path) == issued.chain[0]
    responder = authority.issue_responder(key=kind) if delegates else None
    expected: dict[Status, str] = {"good": "", "revoked": "revoked", "unknown": "ocsp_unknown"}
    for status, reason in expected.items():
        response = authority.ocsp_response(issued, status, reason=x509.ReasonFlags.key_compromise, responder=responder)
        what = Stapled(Made(issued.chain[0], None), Made(authority.root, None), response)
        if reason:
            refused(lambda what=what: what.check(), reason, "(keyCompromise)" if status == "revoked" else "")  # type: ignore[misc]
        else:
            assert check_staple(path, response, datetime.now(UTC)) == what.check()
        if not kind.startswith("mldsa"):
            assert openssl_ocsp(tmp_path, what) == status
    endless = authority.ocsp_response(issued, at=NOW, days=None, responder=responder)
    assert check_ocsp(endless, issued.chain[0], authority.root, NOW).until is None
    assert issued.credential().stapled(ocsp_response=endless).ocsp_response == endless
