"""Revocation lists and what becomes of them: our verdict, and ``openssl verify -crl_check_all``'s (RFC 5280 sections 5 and 6.3).

Each case builds its certificates anew.  Where OpenSSL's verdict is another, the case says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from minitls.certificates.authority import KEYS, Authority
from minitls.certificates.crl import Crls
from minitls.errors import Alert, CertificateError, Misuse
from tests.asn1 import NULL, der, object_identifier, sequence
from tests.chains import DAY, HOST, NOW, ODD, Made, ca, key, leaf, named, openssl, openssl_verify, private_pem, usage

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NO_OPINION = -1
"""OpenSSL 3.0 does not know the algorithm."""
Reason = x509.ReasonFlags


def make_list(
    by: Made,
    *revoked: Made,
    since: datetime = NOW - HOUR,
    until: datetime = NOW + DAY,
    reason: x509.ReasonFlags | None = None,
    issuer: Made | None = None,
    identifier: Made | None = None,
    identified: bool = True,
    scope: dict[str, Any] | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    digest: Any = None,
) -> x509.CertificateRevocationList:
    """A CRL, right in all that is not said.

    ``issuer``, ``identifier``: whose name and key identifier it has, if another's; ``scope``: its IssuingDistributionPoint.
    """
    builder = x509.CertificateRevocationListBuilder().issuer_name((issuer or by).certificate.subject)
    builder = builder.last_update(since).next_update(until).add_extension(x509.CRLNumber(1), critical=False)
    if identified:
        whose: Any = (identifier or by).certificate.public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(whose), critical=False)
    if scope is not None:
        builder = builder.add_extension(distribution_point(**scope), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number).revocation_date(NOW - 9 * DAY)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    hashed = type(by.key).__name__ in ("ECPrivateKey", "RSAPrivateKey")
    return builder.sign(by.key, digest or (hashes.SHA256() if hashed else None))


def distribution_point(*urls: str, **how: Any) -> x509.IssuingDistributionPoint:
    fields: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    if urls := how.pop("urls", urls):
        fields["full_name"] = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.IssuingDistributionPoint(**(fields | how))


def listed_at(*urls: str) -> dict[str, Any]:
    """What a certificate says of the places of its lists."""
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    whose = [x509.DirectoryName(named("middle"))]
    points = [x509.DistributionPoint(names, None, None, None)] if names else [x509.DistributionPoint(None, None, None, whose)]
    return {"extra": [(x509.CRLDistributionPoints(points), False)]}


@dataclass(frozen=True)
class Listed:
    """A path, leaf first, and the lists that are given."""

    path: Sequence[Made]
    lists: Sequence[x509.CertificateRevocationList]

    def certificates(self) -> list[x509.Certificate]:
        return [each.certificate for each in self.path]

    def check(self, required: bool = True, at: datetime = NOW) -> None:
        Crls(self.lists, required=required).check(self.certificates(), at)


Lists = Callable[[Made, Made, Made], Sequence[x509.CertificateRevocationList]]


def given_lists(lists: Lists, root: Any = None, middle: Any = None, end: Any = None) -> Listed:
    """``lists(root, middle, leaf)``, and a list of the root that says nothing of the middle unless the root is among its own."""
    top = ca("root", **(root or {}))
    below = ca("middle", top, **(middle or {}))
    last = leaf(below, **(end or {}))
    return Listed([last, below, top], lists(top, below, last))


def of_middle(**how: Any) -> Listed:
    """One list of the root, as it should be, and one of the intermediate with these differences; it lists nobody."""
    return given_lists(lambda r, m, e: [make_list(r), make_list(m, **how)])


def of_middle_revoking(**how: Any) -> Listed:
    return given_lists(lambda r, m, e: [make_list(r), make_list(m, e, **how)])


def scoped(
    middle_scope: dict[str, Any], *, end: Any = None, root_scope: dict[str, Any] | None = None, revoke: bool = False
) -> Listed:
    def lists(r: Made, m: Made, e: Made) -> Sequence[x509.CertificateRevocationList]:
        return [make_list(r, scope=root_scope), make_list(m, *([e] if revoke else []), scope=middle_scope)]

    return given_lists(lists, end=end)


def shards(*, revoke_in: str) -> Listed:
    """Two lists of the intermediate, each for some of its certificates; the leaf is in the second."""

    def lists(r: Made, m: Made, e: Made) -> Sequence[x509.CertificateRevocationList]:
        made = [make_list(m, *([e] if revoke_in == url else []), scope={"urls": [url]}) for url in ("http://1", "http://2")]
        return [make_list(r), *made]

    return given_lists(lists, end=listed_at("http://2"))


OLD: dict[str, Any] = {"since": NOW - 9 * DAY, "until": NOW - DAY}
FUTURE: dict[str, Any] = {"since": NOW + DAY, "until": NOW + 9 * DAY}


@dataclass(frozen=True)
class Case:
    """``reason``: why it is refused where lists are required; where they are not, a missing one is none.

    ``openssl``: its own verdict where that is another, and ``why``.
    """

    build: Callable[[], Listed]
    reason: str = ""
    code: int = 0
    says: str = ""
    remedy: str = ""
    openssl: int | None = None
    why: str = ""


LISTS = {
    "nobody is revoked": Case(of_middle),
    "leaf revoked": Case(of_middle_revoking, "revoked", 23, "the certificate of CN=host.example was revoked by its CA on"),
    "intermediate revoked": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r, m), make_list(m)]), "revoked", 23, "the certificate of CN=middle"
    ),
    "root revoked by itself": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r, r), make_list(m)]),
        openssl=23,
        why="what is trusted is trusted, and not by what it says of itself",
    ),
    "others revoked": Case(lambda: given_lists(lambda r, m, e: [make_list(r, leaf(m)), make_list(m, leaf(m), m)])),
    **{
        f"revoked: {reason.value}": Case(partial(of_middle_revoking, reason=reason), "revoked", 23, f"({reason.value})")
        for reason in Reason
        if reason not in (Reason.unspecified, Reason.remove_from_crl)
    },
    "no list of the intermediate": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r)]), "crl_missing", 3, "has to be by CN=middle", "give that CA's list too"
    ),
    "no list of the root": Case(lambda: given_lists(lambda r, m, e: [make_list(m)]), "crl_missing", 3, "has to be by CN=root"),
    "no list at all": Case(lambda: given_lists(lambda r, m, e: []), "crl_missing", 3),
}

TIMES = {
    "expired": Case(partial(of_middle, **OLD), "crl_expired", 12, "was good until", "fetch a new one"),
    "expired, and revoked": Case(partial(of_middle_revoking, **OLD), "revoked", 23, openssl=12, why="it looks at the times first"),
    "expired just now": Case(partial(of_middle, until=NOW - 3 * MINUTE), openssl=12, why="it allows clocks no difference"),
    "expired minutes ago": Case(partial(of_middle, until=NOW - 10 * MINUTE), "crl_expired", 12),
    "of the future": Case(partial(of_middle, **FUTURE), "crl_not_yet_valid", 11, "is of the future", "clock"),
    "made just after now": Case(partial(of_middle, since=NOW + 3 * MINUTE), openssl=11, why="it allows clocks no difference"),
    "an old and a new one": Case(lambda: given_lists(lambda r, m, e: [make_list(r), make_list(m, **OLD), make_list(m)])),
    "on hold in the older one": Case(
        lambda: given_lists(
            lambda r, m, e: [
                make_list(r),
                make_list(m, e, reason=Reason.certificate_hold, since=NOW - 2 * HOUR),
                make_list(m),
            ]
        )
    ),
    "revoked in the newer one": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(m, since=NOW - 2 * HOUR), make_list(m, e)]), "revoked", 23
    ),
    "a current one and one of the future": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(m, e, **FUTURE), make_list(m)])
    ),
}

ISSUERS = {
    "by another key of the name": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(ca("middle"))]),
        "crl_missing",
        3,
    ),
    "by another key, without identifier": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(ca("middle"), identified=False)]),
        "crl_missing",
        3,
        openssl=8,
        why="it says what is wrong with the one that it found",
    ),
    "by another key of the name, and by the right one": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(ca("middle"), e), make_list(m)]),
    ),
    "with a wrong identifier": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(m, e, identifier=r)]),
        "revoked",
        23,
        openssl=3,
        why="it goes by the identifier, and we by the signature",
    ),
    "forged": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(ca("other"), issuer=m, identifier=m)]),
        "crl_bad_signature",
        8,
        "the CRL of CN=middle is not by the key of the certificate of CN=middle",
    ),
    "without identifier": Case(partial(of_middle, identified=False)),
    "revoked, without identifier": Case(partial(of_middle_revoking, identified=False), "revoked", 23),
    "by an issuer without identifiers": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(m, e)], middle={"identifiers": False}), "revoked", 23
    ),
    "by an issuer without keyUsage": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(m)], middle={"key_usage": None})
    ),
    "by an issuer that may not": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(m)], middle={"key_usage": usage("key_cert_sign")}),
        "crl_bad_issuer",
        35,
        "its keyUsage lacks cRLSign",
    ),
    "by an issuer of two": Case(
        lambda: given_lists(lambda r, m, e: [make_list(r), make_list(r, issuer=m, identified=False), make_list(m, e)]),
        "revoked",
        23,
        openssl=8,
        why="of two that fit by name it takes the first",
    ),
    **{
        f"by {kind}": Case(
            lambda kind=kind, revoke=revoke: given_lists(  # type: ignore[misc]
                lambda r, m, e: [make_list(r), make_list(m, *([e] if revoke else []))], middle={"key": key(kind)}
            ),
            "revoked" if revoke else "",
            23 if revoke else 0,
            openssl=NO_OPINION if kind.startswith("mldsa") else None,
            why="it has no ML-DSA" if kind.startswith("mldsa") else "",
        )
        for kind in KEYS
        for revoke in (False, True)
    },
}

HERE, THERE = "http://ca.example/here.crl", "http://ca.example/there.crl"
USERS, CAS = {"only_contains_user_certs": True}, {"only_contains_ca_certs": True}

SCOPES = {
    "for users": Case(lambda: scoped(USERS)),
    "for users, revoked": Case(lambda: scoped(USERS, revoke=True), "revoked", 23),
    "for CAs, and this is none": Case(lambda: scoped(CAS), "crl_missing", 3, openssl=44, why="it says that there is another"),
    "for users, and this is a CA": Case(
        lambda: scoped(USERS, root_scope=USERS), "crl_missing", 3, openssl=44, why="it says that there is another"
    ),
    "for CAs": Case(lambda: scoped(USERS, root_scope=CAS)),
    "for users, at any point": Case(lambda: scoped(USERS, end=listed_at(HERE))),
    "for its point": Case(lambda: scoped({"urls": [HERE]}, end=listed_at(HERE))),
    "for its point, revoked": Case(lambda: scoped({"urls": [HERE]}, end=listed_at(HERE), revoke=True), "revoked", 23),
    "for one of its points": Case(lambda: scoped({"urls": [THERE, HERE]}, end=listed_at("http://else", HERE))),
    "for another point": Case(
        lambda: scoped({"urls": [THERE]}, end=listed_at(HERE)), "crl_missing", 3, openssl=44, why="it says that there is another"
    ),
    "for a point, and it has none": Case(
        lambda: scoped({"urls": [THERE]}), "crl_missing", 3, openssl=44, why="it says that there is another"
    ),
    "for a point, and it names none": Case(
        lambda: scoped({"urls": [THERE]}, end=listed_at()),
        "crl_missing",
        3,
        openssl=0,
        why="where the certificate's point has no name it takes any list; RFC 5280 6.3.3 then goes by its cRLIssuer",
    ),
    "in two parts": Case(lambda: shards(revoke_in="")),
    "in two parts, revoked": Case(lambda: shards(revoke_in="http://2"), "revoked", 23),
    "in two parts, revoked in another's": Case(lambda: shards(revoke_in="http://1")),
}
ALL = {
    f"{family}: {name}": case
    for family, cases in (("lists", LISTS), ("times", TIMES), ("issuers", ISSUERS), ("scopes", SCOPES))
    for name, case in cases.items()
}


def refused(checked: Callable[[], Any], reason: str, code: int, says: str = "", remedy: str = "") -> None:
    with pytest.raises(CertificateError) as caught:
        checked()
    fault = caught.value
    alert = Alert.certificate_revoked if reason == "revoked" else Alert.certificate_unknown
    assert (fault.reason, fault.alert, fault.verify_code) == (reason, alert, code), fault
    assert says in fault.message
    assert remedy in fault.remedy
    assert fault.remedy
    assert fault.chain
    assert (fault.message + fault.remedy).isprintable()


@pytest.mark.parametrize("name", ALL)
def test_verdict(name: str, tmp_path: Path) -> None:
    case = ALL[name]
    what = case.build()
    if case.reason:
        refused(what.check, case.reason, case.code, case.says, case.remedy)
    else:
        what.check()
    if case.reason and case.reason != "crl_missing":
        refused(lambda: what.check(required=False), case.reason, case.code)
    else:
        what.check(required=False)
    expected = case.code if case.openssl is None else case.openssl
    assert bool(case.why) == (expected != case.code)
    if expected != NO_OPINION:
        assert openssl_crl(tmp_path, what) == expected


def openssl_crl(folder: Path, what: Listed) -> int:
    (folder / "lists").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in what.lists))
    options = ["-crl_check_all", "-extended_crl", *(("-CRLfile", str(folder / "lists")) if what.lists else ())]
    certificates = what.certificates()
    return openssl_verify(folder, certificates[-1:], certificates[:-1], HOST, *options)


# what is given ----------------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a delta": ({"extensions": [(x509.DeltaCRLIndicator(1), True)]}, "is a delta CRL"),
    "indirect": ({"scope": {"indirect_crl": True}}, "for other CAs' certificates"),
    "for attributes": ({"scope": {"only_contains_attribute_certs": True}}, "for attributes only"),
    "for some reasons": ({"scope": {"only_some_reasons": frozenset([Reason.key_compromise])}}, "for some reasons"),
    "by a relative name": ({"scope": {"relative_name": named("here").rdns[0]}}, "is not supported"),
    "an unknown critical extension": ({"extensions": [(x509.UnrecognizedExtension(ODD, NULL), True)]}, ODD.dotted_string),
    "SHA-224": ({"digest": hashes.SHA224()}, "is signed with sha224"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_when_given(what: str) -> None:
    how, says = REFUSED[what]
    crl = make_list(ca("root", key=key("rsa2048")), **how)
    with pytest.raises(Misuse, match="the CRL of CN=root") as caught:
        Crls([crl])
    assert caught.value.reason == "unsupported_crl"
    assert says in caught.value.message


def test_extensions_that_nobody_has_to_know() -> None:
    root = ca("root")
    what = Listed([leaf(root), root], [make_list(root, extensions=[(x509.UnrecognizedExtension(ODD, NULL), False)])])
    what.check()


def test_files_and_bytes(tmp_path: Path) -> None:
    roots = [ca("one"), ca("two"), ca("three")]
    ends = [leaf(root) for root in roots]
    lists = [make_list(root, end) for root, end in zip(roots, ends, strict=True)]
    pem = [each.public_bytes(Encoding.PEM) for each in lists]
    binary = lists[2].public_bytes(Encoding.DER)
    (tmp_path / "pem").write_bytes(b"# two of them\n" + pem[0] + b"\n" + pem[1] + root_pem(roots[0]))
    (tmp_path / "der").write_bytes(binary)
    for crls in (
        Crls.from_files(tmp_path / "pem", str(tmp_path / "der")),
        Crls.from_bytes(pem[0] + pem[1], binary),
        Crls.from_bytes(*pem),
        Crls(lists),
    ):
        assert repr(crls) == "<Crls: 3 lists by 3 issuers>"
        for root, end in zip(roots, ends, strict=True):
            refused(lambda root=root, end=end, crls=crls: crls.check([end.certificate, root.certificate], NOW), "revoked", 23)  # type: ignore[misc]
    for bad in (b"", b"no list", root_pem(roots[0]), pem[0][:-40], pem[0] + b"-----BEGIN X509 CRL-----\n"):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(Misuse, match="bad holds no certificate revocation list") as caught:
            Crls.from_files(tmp_path / "bad")
        assert caught.value.reason == "bad_crl"
    with pytest.raises(FileNotFoundError):
        Crls.from_files(tmp_path / "nothing")


def root_pem(made: Made) -> bytes:
    return made.certificate.public_bytes(Encoding.PEM)


def test_no_path_to_look_at() -> None:
    """A leaf that is trusted by itself; and nobody at all."""
    root = ca("root")
    crls = Crls([make_list(root, root)], required=True)
    crls.check([root.certificate], NOW)
    crls.check([], NOW)


def test_issuer_that_cannot_be_read() -> None:
    """The web's verifier does not look at each extension of what it trusts."""
    odd = ca("root", extra=[(x509.UnrecognizedExtension(x509.TLSFeature.oid, NULL), False)])
    with pytest.raises(CertificateError, match=r"the certificate of CN=host\.example or its issuer's cannot be read") as caught:
        Crls([]).check([leaf(odd).certificate, odd.certificate], NOW)
    assert caught.value.reason == "malformed"


def test_signatures_are_checked_once() -> None:
    what = of_middle()
    crls = Crls(what.lists, required=True)
    crls.check(what.certificates(), NOW)
    crls.check(what.certificates(), NOW)
    assert len(crls._signed) == 2
    other = given_lists(lambda r, m, e: [])
    refused(lambda: crls.check(other.certificates(), NOW), "crl_missing", 3)


def test_two_algorithms() -> None:
    """The signature is good, and is not made as what it covers says (RFC 5280 section 5.1.1.2)."""
    root = ca("root")
    end = leaf(root)
    good = make_list(root)
    signed = good.tbs_certlist_bytes
    sha256, sha384 = (object_identifier(f"1.2.840.10045.4.3.{number}") for number in (2, 3))
    assert signed.count(sha256) == 1
    for inner in (sha256, sha384):
        tbs = signed.replace(sha256, inner)
        signature = root.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        made = sequence(tbs, sequence(sha256), der(0x03, b"\0", signature))
        if inner == sha256:
            Crls.from_bytes(made, required=True).check([end.certificate, root.certificate], NOW)
        else:
            with pytest.raises(Misuse, match="no certificate revocation list") as caught:
                Crls.from_bytes(made)
            assert caught.value.reason == "bad_crl"


def without_end(by: Made) -> bytes:
    """A list that does not say until when: RFC 5280 section 5.1.2.5 forbids it, and RFC 1422 had it."""
    algorithm = sequence(object_identifier("1.3.101.112"))
    since = der(0x17, f"{NOW - HOUR:%y%m%d%H%M%SZ}".encode())
    data = sequence(b"\2\1\1", algorithm, by.certificate.subject.public_bytes(), since)
    return sequence(data, algorithm, der(0x03, b"\0", by.key.sign(data)))


def test_without_end(tmp_path: Path) -> None:
    root = ca("root", key=key("ed25519"))
    end = leaf(root)
    crls = Crls.from_bytes(without_end(root), required=True)
    for at in (NOW, NOW + 9 * DAY):
        crls.check([end.certificate, root.certificate], at)
    what = Listed([end, root], [x509.load_der_x509_crl(without_end(root))])
    assert openssl_crl(tmp_path, what) == 0


def test_made_by_openssl(tmp_path: Path) -> None:
    """RSASSA-PSS, which pyca/cryptography too can sign lists with, and entries with the times of another maker."""
    root = ca("root", key=key("rsa2048"))
    good, bad = leaf(root), leaf(root)
    (tmp_path / "ca.pem").write_bytes(root_pem(root))
    (tmp_path / "ca.key").write_bytes(private_pem(root.key))
    number = f"{bad.certificate.serial_number:040X}"
    (tmp_path / "index").write_text(f"R\t301231235959Z\t251101000000Z,keyCompromise\t{number}\tunknown\t/CN=bad\n")
    settings = f"[ca]\ndefault_ca = it\n[it]\ndatabase = {tmp_path / 'index'}\ndefault_md = sha256\ndefault_crl_days = 3\n"
    (tmp_path / "settings").write_text(settings)
    by: list[str | Path] = ["-config", tmp_path / "settings", "-cert", tmp_path / "ca.pem", "-keyfile", tmp_path / "ca.key"]
    for options in ((), ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20")):
        crls = Crls.from_bytes(openssl("ca", "-gencrl", *by, *options), required=True)
        at = datetime.now(UTC)
        crls.check([good.certificate, root.certificate], at)
        says = "was revoked by its CA on 2025-11-01 00:00 UTC: somebody else may have its private key (keyCompromise)"
        refused(lambda crls=crls, at=at: crls.check([bad.certificate, root.certificate], at), "revoked", 23, says)  # type: ignore[misc]
    with pytest.raises(Misuse, match="the CRL of CN=root is signed with sha1, which is not accepted"):
        Crls.from_bytes(openssl("ca", "-gencrl", *by, "-md", "sha1"))


# bad input ------------------------------------------------------------------------------------------------------------------

SMALL = ca("root", key=key("ed25519"))
BELOW = leaf(SMALL)
BINARY = make_list(SMALL, BELOW, reason=Reason.superseded, scope=USERS).public_bytes(Encoding.DER)


def verdict(binary: bytes) -> str:
    """The reason of the error or fault; nothing else is raised."""
    try:
        Crls.from_bytes(binary, required=True).check([BELOW.certificate, SMALL.certificate], NOW)
    except (Misuse, CertificateError) as error:
        return error.reason
    return ""


def test_truncated() -> None:
    assert verdict(BINARY) == "revoked"
    for length in range(len(BINARY)):
        assert verdict(BINARY[:length]) == "bad_crl", length
    assert verdict(BINARY + NULL) == "bad_crl"


@pytest.mark.parametrize("mask", [0x01, 0x04, 0x20, 0x80, 0xFF])
def test_one_byte_changed(mask: int) -> None:
    for place in range(len(BINARY)):
        changed = bytearray(BINARY)
        changed[place] ^= mask
        found = verdict(bytes(changed))
        assert found in ("bad_crl", "unsupported_crl", "crl_missing", "crl_bad_signature", "revoked"), place
        if found == "revoked":  # what is not signed: the number of unused bits
            assert bytes(changed)[-65:-64] != BINARY[-65:-64], place


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert verdict(data) == "bad_crl"


# a model of what counts -------------------------------------------------------------------------------------------------------

MINUTES = st.integers(-600, 600)


@given(st.lists(st.tuples(st.booleans(), MINUTES, MINUTES), max_size=4), st.booleans())
def test_model(lists: list[tuple[bool, int, int]], required: bool) -> None:
    """Any number of lists of one CA, of any age, with the leaf and without."""
    made = [
        make_list(SMALL, *([BELOW] if listed else []), since=NOW + since * MINUTE, until=NOW + (since + abs(length)) * MINUTE)
        for listed, since, length in lists
    ]
    begun = [each for each in lists if each[1] <= 5]
    if not lists:
        expected = ("crl_missing", 3) if required else ("", 0)
    elif not begun:
        expected = ("crl_not_yet_valid", 11)
    else:
        listed, since, length = max(begun, key=lambda each: each[1])
        late = since + abs(length) < -5
        expected = ("revoked", 23) if listed else ("crl_expired", 12) if late else ("", 0)
    crls = Crls(made, required=required)
    if expected[0]:
        refused(lambda: crls.check([BELOW.certificate, SMALL.certificate], NOW), *expected)
    else:
        crls.check([BELOW.certificate, SMALL.certificate], NOW)


# the development CA -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
def test_development_ca(kind: str, tmp_path: Path) -> None:
    authority = Authority.create(key=kind, intermediate=False)
    good, bad = authority.issue(HOST), authority.issue(HOST)
    pem = authority.crl(bad, reason=Reason.superseded)
    crls = Crls.from_bytes(pem, required=True)
    now = datetime.now(UTC)
    path = authority.trust().verify(good.chain, HOST)
    crls.check(path, now)
    revoked = authority.trust().verify(bad.chain, HOST)
    refused(lambda: crls.check(revoked, now), "revoked", 23, "another one took its place (superseded)")
    refused(lambda: Crls.from_bytes(authority.crl(at=NOW - 8 * DAY)).check(path, now), "crl_expired", 12)
    if not kind.startswith("mldsa"):
        lists = [x509.load_pem_x509_crl(pem)]
        for issued, code in ((good, 0), (bad, 23)):
            assert openssl_crl(tmp_path, Listed([Made(issued.chain[0], None), Made(authority.root, None)], lists)) == code
