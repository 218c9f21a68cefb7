"""Chains, our verdict and that of ``openssl verify``, with and without -x509_strict; and every difference, with its reason.

Real chains of public CAs, against this system's roots, are at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from minitls.certificates.faults import name_of, read_der, read_pem
from minitls.certificates.path import PathBuilder
from minitls.certificates.trust import BUNDLES, TrustStore, load_each
from minitls.certificates.verify import as_der
from minitls.errors import CertificateError, Misuse
from tests.asn1 import NULL, der, object_identifier, sequence
from tests.chains import (
    CLIENT,
    DAY,
    HOST,
    NOW,
    ODD,
    SERVER,
    Made,
    ca,
    explicit_curve,
    huge_rsa,
    key,
    leaf,
    make,
    openssl_verify,
    openssl_version,
    patched,
    signed_by_openssl,
    usage,
)

Sent = Sequence[Made | bytes]


@dataclass(frozen=True)
class Chain:
    trusted: Sequence[Made | bytes]
    sent: Sent

    def ders(self) -> list[bytes]:
        return [each if isinstance(each, bytes) else each.der for each in self.sent]

    def anchors(self) -> list[bytes]:
        return [each if isinstance(each, bytes) else each.der for each in self.trusted]


@dataclass(frozen=True)
class Case:
    """``ours``: our reason to refuse, "" for good.  ``openssl``: its number, 0 for good; ``strict``: the one with -x509_strict,
    None for the same; ``code``: the number that we tell where OpenSSL tells another.  ``since``: the first OpenSSL
    that has the algorithm.
    """

    build: Callable[[], Chain]
    ours: str = ""
    openssl: int = 0
    strict: int | None = None
    code: int | None = None
    asked: str | None = HOST
    client: bool = False
    at: datetime | None = None
    options: tuple[str, ...] = ()
    since: tuple[int, ...] = ()


def three(root: Any = None, middle: Any = None, end: Any = None) -> Chain:
    """Root, intermediate and leaf, each with these differences."""
    r = ca("root", **(root or {}))
    m = ca("middle", r, **(middle or {}))
    return Chain([r], [leaf(m, **(end or {})), m])


def two(root: Any = None, **end: Any) -> Chain:
    r = ca("root", **(root or {}))
    return Chain([r], [leaf(r, **end)])


def alone(**how: Any) -> Chain:
    """A leaf that is signed by itself, and trusted."""
    made = make(how.pop("subject", HOST), **{"names": (HOST,), **how})
    return trusted(made)


def named(*names: str, asked: str, ours: str = "", openssl: int = 0, code: int | None = None, **how: Any) -> Case:
    return Case(lambda: two(names=names, **how), ours, openssl, asked=asked, code=code)


def root_(ours: str = "", openssl: int = 0, strict: int | None = None, code: int | None = None, **how: Any) -> Case:
    return Case(lambda: three(root=how), ours, openssl, strict, code)


def middle_(ours: str = "", openssl: int = 0, strict: int | None = None, code: int | None = None, **how: Any) -> Case:
    return Case(lambda: three(middle=how), ours, openssl, strict, code)


def leaf_(ours: str = "", openssl: int = 0, strict: int | None = None, code: int | None = None, **how: Any) -> Case:
    return Case(lambda: three(end=how), ours, openssl, strict, code)


def client_(ours: str = "", openssl: int = 0, strict: int | None = None, **how: Any) -> Case:
    end = {"names": (), "subject": "a client", **how}
    return Case(lambda: three(end=end), ours, openssl, strict, asked=None, client=True)


def extension(oid: str, content: bytes = NULL, critical: bool = False) -> dict[str, Any]:
    return {"extra": [(x509.UnrecognizedExtension(ObjectIdentifier(oid), content), critical)]}


def limited(*names: str, asked: str = HOST, ours: str = "", openssl: int = 0, code: int | None = None, **trees: Any) -> Case:
    """A root that may be for these trees only.  The name is asked for, so that the web's verifier has its say, too."""
    end = {"names": names or (HOST,), "subject": trees.pop("subject", HOST)}
    return Case(lambda: three(root=trees, end=end), ours, openssl, code=code, asked=asked)


# names ----------------------------------------------------------------------------------------------------------------

NAMES = {
    "exact": named(HOST, asked=HOST),
    "case": named("Host.EXAMPLE", asked="hOST.example"),
    "trailing dot asked": named(HOST, asked=f"{HOST}.", openssl=62),
    "trailing dot certified": named(f"{HOST}.", asked=HOST, ours="name_mismatch", openssl=62),
    "U-label asked": named("xn--bcher-kva.example", asked="bücher.example", openssl=62),
    "U-label asked, of two kinds": named("fass.example", asked="faß.example", openssl=62),
    "A-label asked": named("xn--bcher-kva.example", asked="XN--bcher-kva.example"),
    "underscore asked": named("a_b.example", asked="a_b.example", ours="bad_host_name"),
    "underscore in another name": named("a_b.example", HOST, asked=HOST),
    "wildcard": named("*.a.example", asked="b.a.example"),
    "wildcard of a part": named("b*.a.example", asked="bc.a.example", ours="name_mismatch"),
    "wildcard of a registry": named("*.example", asked=HOST, ours="name_mismatch", openssl=62),
    "common name only": named(asked=HOST, ours="name_mismatch"),
    "common name beside an address": named("192.0.2.1", asked=HOST, ours="name_mismatch"),
    "common name beside a mailbox": named("me@a.example", asked=HOST, ours="name_mismatch"),
    "common name beside a host": named("a.example", asked=HOST, ours="name_mismatch", openssl=62),
    "address": named("192.0.2.1", asked="192.0.2.1"),
    "address, IPv6": named("2001:db8::1", asked="2001:db8:0::1"),
    "address in a dNSName": named("dns:192.0.2.1", asked="192.0.2.1", ours="name_mismatch", openssl=64),
    "address in the common name": named(asked="192.0.2.1", subject="192.0.2.1", ours="name_mismatch", openssl=64),
    "address in a wildcard": named("dns:*.0.2.1", asked="192.0.2.1", ours="name_mismatch", openssl=64),
    "NUL": named(f"{HOST}\0.evil.example", asked=HOST, ours="name_mismatch", openssl=62),
    "no subject, critical names": leaf_(subject="", critical_names=True),
    "no subject, names not critical": leaf_(subject="", strict=88),
    "no names in subjectAltName": Case(
        lambda: three(end={"names": (), **extension("2.5.29.17", sequence())}), "name_mismatch", 0, 87
    ),
    "critical names beside a subject, as trustme's": leaf_(critical_names=True),
    "a leaf of its CA's name": Case(lambda: two(subject="root")),
    "a leaf of its CA's name, without identifiers": Case(
        lambda: two({"identifiers": False}, subject="root", identifiers=False), "", 18
    ),
}  # fmt: skip

# usages ---------------------------------------------------------------------------------------------------------------

GATED = "2.16.840.1.113730.4.1"  # Netscape's Server Gated Crypto
NETSCAPE_TYPE = "2.16.840.1.113730.1.1"
ANY, MAIL = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.EMAIL_PROTECTION

USAGES = {
    "no usage said": leaf_(key_usage=None, purposes=None),
    "signing and encryption": leaf_(key_usage=usage("digital_signature", "key_encipherment")),
    "encryption only": leaf_("bad_usage", key_usage=usage("key_encipherment")),
    "key agreement only": leaf_("bad_usage", key_usage=usage("key_agreement")),
    "certificates only": leaf_("bad_usage", 26, 82, key_usage=usage("key_cert_sign")),
    "non-repudiation only": leaf_("bad_usage", 26, key_usage=usage("content_commitment")),
    "a client's": leaf_("bad_usage", 26, purposes=[CLIENT]),
    "mail's": leaf_("bad_usage", 26, purposes=[MAIL]),
    "mail's and a server's": leaf_(purposes=[MAIL, SERVER]),
    "unknown purpose and a server's": leaf_(purposes=[ODD, SERVER]),
    "any purpose": leaf_("", 26, purposes=[ANY]),
    "gated crypto": leaf_("bad_usage", purposes=[ObjectIdentifier(GATED)]),
    "Netscape's type: a client": leaf_("", 26, **extension(NETSCAPE_TYPE, der(3, b"\7\x80"))),
    "a CA as a server": leaf_("bad_usage", ca=True, key_usage=usage("digital_signature", "key_cert_sign"), purposes=[SERVER]),
    "intermediate for servers": middle_(purposes=[SERVER]),
    "intermediate for clients": middle_("bad_usage", 26, purposes=[CLIENT]),
    "intermediate for any purpose": middle_("", 26, purposes=[ANY]),
    "intermediate for mail": middle_("bad_usage", 26, purposes=[MAIL]),
    "root for clients": root_("bad_usage", 26, purposes=[CLIENT]),
    "client": client_(purposes=[CLIENT]),
    "client without purposes": client_(purposes=None),
    "client without any name": client_("", 0, 84, subject=""),
    "client with a server's": client_("bad_usage", 26, purposes=[SERVER]),
    "client, key agreement only": client_("bad_usage", key_usage=usage("key_agreement")),
    "client, encryption only": client_("bad_usage", 26, key_usage=usage("key_encipherment")),
    "client that is a CA": client_("bad_usage", ca=True, key_usage=usage("digital_signature", "key_cert_sign")),
    "client of an intermediate for servers": Case(
        lambda: three(middle={"purposes": [SERVER]}), "bad_usage", 26, asked=None, client=True
    ),
}

# CAs ------------------------------------------------------------------------------------------------------------------


def old_ca(by: Made | None) -> Chain:
    """A CA of version 1, which has no extensions."""
    old = signed_by_openssl(by, names=(), subject="old")
    return Chain([old if by is None else by], [leaf(old, identifiers=False), *([] if by is None else [old])])


def renewed(room: int) -> Chain:
    """A CA that signed its own successor: self-issued certificates are not counted."""
    root = ca("root", room=room)
    new = ca("root", root)
    m = ca("middle", new)
    return Chain([root], [leaf(m), m, new])


def unlimited(value: bytes) -> Chain:
    """basicConstraints of an intermediate with another content."""
    return three(middle={"constraints": False, **extension("2.5.29.19", value, True)})


SIGNS = usage("key_cert_sign", "digital_signature")
CAS = {
    "root without keyUsage": root_("", 0, 92, key_usage=None),
    "intermediate without keyUsage": middle_("", 0, 92, key_usage=None),
    "root that may not sign": root_("bad_usage", 79, code=32, key_usage=usage("crl_sign")),
    "intermediate that may not sign": middle_("bad_usage", 79, code=32, key_usage=usage("crl_sign")),
    "intermediate that is no CA": Case(lambda: unlimited(sequence()), "not_a_ca", 79),
    "intermediate without basicConstraints": middle_("not_a_ca", 79, constraints=False),
    "root without basicConstraints": root_("not_a_ca", 0, 79, constraints=False),
    "basicConstraints not critical": middle_("", 0, 89, constraints=False, extra=[(x509.BasicConstraints(True, None), False)]),
    "basicConstraints not DER": Case(lambda: unlimited(sequence(der(1, b"\1"))), "malformed", 0),
    "negative path length": Case(lambda: unlimited(sequence(der(1, b"\xff"), der(2, b"\xff"))), "malformed", 20, code=1),
    "path length of a leaf": Case(
        lambda: three(end={"constraints": False, **extension("2.5.29.19", sequence(der(2, b"\0")), True)}), "malformed", 0, 80
    ),
    "no room for a CA": root_("path_too_long", 25, room=0),
    "room for a CA": root_(room=1),
    "room for a CA and its successor": Case(lambda: renewed(1)),
    "no room, with its successor": Case(lambda: renewed(0), "path_too_long", 25),
    "root of version 1": Case(lambda: old_ca(None), "not_a_ca", 0, 85),
    "intermediate of version 1": Case(lambda: old_ca(ca("root", key=key("rsa2048"))), "not_a_ca", 79, 85),
}

# name constraints -----------------------------------------------------------------------------------------------------

NOT_PERMITTED: dict[str, Any] = {"ours": "name_constraints", "openssl": 47}
IS_EXCLUDED: dict[str, Any] = {"ours": "name_constraints", "openssl": 48}
ALL_V4 = "0.0.0.0/0"


def printable_subject() -> Chain:
    """A PrintableString in the subject, and a UTF8String in the constraint."""
    r = ca("root", excluded=["dir:" + HOST])
    text = der(0x0C, HOST.encode())
    return Chain([r], [patched(leaf(r), r, (text, der(0x13, HOST.encode())))])


def constraints(*trees: bytes, critical: bool = True) -> dict[str, Any]:
    """Excluded subtrees, by hand: each a GeneralName and what follows it."""
    return extension("2.5.29.30", sequence(der(0xA1, *map(sequence, trees))), critical)


CONSTRAINTS = {
    "permitted host": limited(permitted=["example"]),
    "permitted, written in capitals": limited(permitted=["EXAMPLE"]),
    "not permitted host": limited(permitted=["test"], **NOT_PERMITTED),
    "one of two hosts not permitted": limited(HOST, "a.test", permitted=["example"], **NOT_PERMITTED),
    "excluded host": limited(excluded=["example"], **IS_EXCLUDED),
    "another host excluded": limited(permitted=["example"], excluded=["a.example"]),
    "wildcard over an excluded host": limited(
        "*.a.example", asked="c.a.example", excluded=["b.a.example"], ours="name_constraints"
    ),
    "wildcard beside an excluded one": limited("*.b.example", asked="a.b.example", excluded=["a.example"]),
    "permitted address": limited("192.0.2.7", asked="192.0.2.7", permitted=["192.0.2.0/24"]),
    "not permitted address": limited("198.51.100.7", asked="198.51.100.7", permitted=["192.0.2.0/24"], **NOT_PERMITTED),
    "all addresses excluded": limited(HOST, "192.0.2.7", excluded=[ALL_V4], **IS_EXCLUDED),
    "all addresses excluded, a host": limited(excluded=[ALL_V4]),
    "mask with holes": middle_("malformed", **constraints(der(0x87, b"\xc0\0\2\0\xff\0\xff\0"))),
    "permitted directory name": limited(permitted=["dir:" + HOST, "dir:middle"]),
    "not permitted directory name": limited(permitted=["dir:middle"], **NOT_PERMITTED),
    "excluded directory name": limited(excluded=["dir:" + HOST], **IS_EXCLUDED),
    "excluded directory name, in capitals": limited(excluded=["dir:" + HOST.upper()], **IS_EXCLUDED),
    "excluded directory name, another kind of string": Case(printable_subject, "name_constraints", 48),
    "excluded directory name, more spaces": limited(
        subject="Evil  Corp", excluded=["dir:Evil Corp"], **IS_EXCLUDED
    ),
    "permitted directory name, in capitals": limited(permitted=["dir:" + HOST.upper(), "dir:Middle"]),
    "permitted mailbox": limited(HOST, "me@a.example", permitted=["me@a.example"]),
    "permitted mailbox, a client": Case(
        lambda: three(root={"permitted": ["me@a.example"]}, end={"names": ["me@a.example"]}), asked=None, client=True
    ),
    "excluded mailbox": limited(HOST, "me@a.example", excluded=["me@a.example"], **IS_EXCLUDED),
    "no mailbox to constrain": limited(permitted=["me@a.example"]),
    "excluded mailbox in a client's subject": Case(
        lambda: three(root={"excluded": ["me@a.example"]}, end={"names": (), "subject": "mail:me@a.example"}),
        "name_constraints", 48, asked=None, client=True,
    ),
    "excluded URI": limited(HOST, "uri:https://a.example/", excluded=["uri:a.example"], code=51, **IS_EXCLUDED),
    "minimum distance": Case(
        lambda: three(middle=constraints(der(0x82, b"test") + der(0x80, b"\1"))), "name_constraints", 49
    ),
    "below an intermediate": Case(lambda: three(middle={"permitted": ["test"]}), "name_constraints", 47),
    "constraints not critical": middle_("name_constraints", 48, **constraints(der(0x82, b"example"), critical=False)),
    "constraints without any": middle_("malformed", **extension("2.5.29.30", sequence(), True)),
    "constraints of a leaf": leaf_("name_constraints", permitted=["example"]),
    "common name, not permitted host": Case(
        lambda: three(root={"permitted": ["test"]}, end={"names": (), "subject": HOST}), "", 47, asked=None, client=True
    ),
}  # fmt: skip

# times ----------------------------------------------------------------------------------------------------------------

PAST: dict[str, Any] = {"begin": NOW - 9 * DAY, "end": NOW - DAY}
FUTURE: dict[str, Any] = {"begin": NOW + DAY, "end": NOW + 9 * DAY}
SECOND = DAY / 86400
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def alternative(first_expired: bool) -> Chain:
    """The intermediate was renewed with its key, and both are sent."""
    r, k = ca("root"), key()
    both = [ca("middle", r, key=k, **PAST), ca("middle", r, key=k)]
    return Chain([r], [leaf(both[1]), *(both if first_expired else both[::-1])])


def two_roots() -> Chain:
    """An expired root and its successor, which has its key; both trusted."""
    k = key()
    old, new = ca("root", key=k, **PAST), ca("root", key=k)
    return Chain([old, new], [leaf(new)])


TIMES = {
    "leaf expired": leaf_("expired", 10, **PAST),
    "leaf not yet valid": leaf_("not_yet_valid", 9, **FUTURE),
    "intermediate expired": middle_("expired", 10, **PAST),
    "intermediate not yet valid": middle_("not_yet_valid", 9, **FUTURE),
    "root expired": root_("expired", 10, **PAST),
    "expired intermediate first, its alternative second": Case(lambda: alternative(True)),
    "expired intermediate second": Case(lambda: alternative(False)),
    "expired root, its successor trusted": Case(two_roots),
    "first second": Case(lambda: two(begin=NOW, end=NOW + DAY), at=NOW),
    "last second": Case(lambda: two(begin=NOW, end=NOW + DAY), "", 10, at=NOW + DAY),
    "a second early": Case(lambda: two(begin=NOW, end=NOW + DAY), "not_yet_valid", 9, at=NOW - SECOND),
    "a second late": Case(lambda: two(begin=NOW, end=NOW + DAY), "expired", 10, at=NOW + DAY + SECOND),
    "without end": Case(lambda: two({"end": FOREVER}, end=FOREVER), at=datetime(2100, 1, 1, tzinfo=UTC)),
}

# keys and signatures --------------------------------------------------------------------------------------------------


def of_kind(kind: str, since: tuple[int, ...] = ()) -> dict[str, Case]:
    """A server and a client of this kind, below such CAs."""

    def build(**end: Any) -> Chain:
        how = {"key": key(kind)}
        return three(how, how, {**how, **end})

    return {
        kind: Case(build, since=since),
        f"{kind}, client": Case(lambda: build(names=(), subject="a client"), asked=None, client=True, since=since),
    }


def signed(*options: str, **how: Any) -> Case:
    """A leaf that the command signs."""
    return Case(lambda: _signed(*options), **how)


def _signed(*options: str, **how: Any) -> Chain:
    r = ca("root", key=key("rsa2048"))
    return Chain([r], [signed_by_openssl(r, *options, **how)])


def damaged(made: Made) -> bytes:
    return made.der[:-1] + bytes([made.der[-1] ^ 1])


def damaged_root() -> Chain:
    r = ca("root")
    return Chain([damaged(r)], [leaf(r)])


def trusted(made: Made) -> Chain:
    return Chain([made], [made])


def with_leaf(change: Callable[[Made, Made], bytes], **how: Any) -> Chain:
    r = ca("root")
    return Chain([r], [change(leaf(r, **how), r)])


def two_algorithms() -> Chain:
    """The one that is signed is another than the one outside."""
    return with_leaf(lambda made, r: patched(made, r, (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", b"\x2a\x86\x48\xce\x3d\x04\x03\x03")))


def by_numbers(ca: bool, generator: bool = False) -> Chain:
    """A P-256 key whose certificate spells out its curve; ``generator``: with another one, as in CVE-2020-0601."""
    chain = three(end={"key": key()})
    end, middle = chain.sent
    assert isinstance(end, Made)
    assert isinstance(middle, Made)
    made, by = (middle, chain.trusted[0]) if ca else (end, middle)
    assert isinstance(by, Made)
    named_curve = made.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    numbers = explicit_curve(made.key)
    if generator:
        point = der(4, named_curve[-65:])
        numbers = numbers.replace(der(4, P256_GENERATOR), point)
        assert point in numbers
    odd = patched(made, by, (named_curve, numbers))
    return Chain(chain.trusted, [end, odd] if ca else [odd, middle])


P256_GENERATOR = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def off_the_curve() -> Chain:
    r, k = ca("root"), key()
    x = k.public_key().public_numbers().x.to_bytes(32)
    made = leaf(r, key=k)
    return Chain([r], [patched(made, r, (x, x[:-1] + bytes([x[-1] ^ 1])))])


KEYS = {
    **{name: case for kind in ("p384", "rsa2048", "ed25519", "ed448") for name, case in of_kind(kind).items()},
    **{name: case for kind in ("mldsa44", "mldsa65", "mldsa87") for name, case in of_kind(kind, since=(3, 5)).items()},
    "mixed kinds": Case(lambda: three({"key": key("ed25519")}, {"key": key("rsa2048")}, {"key": key("p521")})),
    "RSA-1024 leaf": leaf_("weak_key", 66, key=key("rsa1024")),
    "RSA-2040 leaf": leaf_("weak_key", key=huge_rsa(2040)),
    "RSA-8192 leaf": leaf_(key=huge_rsa(8192)),
    "RSA-16384 leaf": leaf_("weak_key", key=huge_rsa(16384)),
    "RSA-1024 intermediate": middle_("weak_key", 67, key=key("rsa1024")),
    "RSA-1024 root": root_("weak_key", 67, key=key("rsa1024")),
    "P-224 leaf": leaf_("unsupported_key", key=key("p224")),
    "secp256k1 leaf": leaf_("unsupported_key", key=key("secp256k1")),
    "brainpool intermediate": middle_("unsupported_key", key=key("brainpool")),
    "SHA-1": signed("-sha1", ours="weak_signature", openssl=68),
    "MD5": signed("-md5", ours="weak_signature", openssl=68),
    "SHA-224": signed("-sha224"),
    "SHA-512": signed("-sha512"),
    "signature damaged": Case(lambda: with_leaf(lambda made, r: damaged(made)), "bad_signature", 7),
    "signature of the root damaged": Case(damaged_root),
    "SHA-1, self-signed, trusted": Case(lambda: trusted(signed_by_openssl(None, "-sha1"))),
    "curve by its numbers": Case(lambda: by_numbers(ca=False), "unsupported_key", 94),
    "curve by its numbers, an intermediate": Case(lambda: by_numbers(ca=True), "unsupported_key", 94),
    "curve with another generator, an intermediate": Case(
        lambda: by_numbers(ca=True, generator=True), "unsupported_key", 94, code=1
    ),
    "key that is not on its curve": Case(off_the_curve, "malformed", 66, code=1),
    "two signature algorithms": Case(two_algorithms, "bad_signature", 7, 78),
}  # fmt: skip

# paths ----------------------------------------------------------------------------------------------------------------


def edited(edit: Callable[[list[Made]], Sequence[Made]], trusted: int | None = None) -> Chain:
    """Leaf, middle, lower root ... as ``edit`` has them; ``trusted``: which of [leaf, middle, root], the root without it."""
    root = ca("root")
    middle = ca("middle", root)
    every = [leaf(middle), middle, root]
    return Chain([every[2 if trusted is None else trusted]], edit(every))


def four(order: str) -> Chain:
    """A leaf, intermediates a and b, the root r."""
    r = ca("root")
    a = ca("a", r)
    b = ca("b", a)
    every = {"l": leaf(b), "b": b, "a": a, "r": r, "x": ca("stranger"), "y": leaf(ca("stranger"))}
    return Chain([r], [every[each] for each in order])


def cross_signed(old_is_trusted: bool, old_expired: bool = False) -> Chain:
    """The new root is also signed by the old one."""
    old, new = ca("old root", **(PAST if old_expired else {})), ca("new root")
    cross = ca("new root", old, key=new.key, **(PAST if old_expired else {}))
    m = ca("middle", new)
    return Chain([old] if old_is_trusted else [new], [leaf(m), m, cross])


def namesakes() -> Chain:
    """Two trusted CAs of one name, without identifiers: the second signed."""
    old, new = ca("root", identifiers=False), ca("root", identifiers=False)
    return Chain([old, new], [leaf(new, identifiers=False)])


def other_identifier(**identifier: Any) -> Chain:
    """The leaf's authorityKeyIdentifier tells of another certificate than the one that signed it."""
    r = ca("root")
    aki = x509.AuthorityKeyIdentifier(
        identifier.get("key"),
        [x509.DirectoryName(r.certificate.subject)] if "serial" in identifier else None,
        identifier.get("serial"),
    )
    return Chain([r], [leaf(r, identifiers=False, extra=[(aki, False)])])


def identifier_0() -> Chain:
    """As ``openssl ca`` makes them, with authorityKeyIdentifier=keyid,issuer:always, below a root with serial number 0."""
    r = ca("root", serial=1)
    digest = x509.SubjectKeyIdentifier.from_public_key(r.key.public_key()).digest
    aki = x509.AuthorityKeyIdentifier(digest, [x509.DirectoryName(r.certificate.subject)], 1)
    root = patched(r, r, (b"\x02\x01\x02\x02\x01\x01", b"\x02\x01\x02\x02\x01\x00"))
    made = leaf(r, identifiers=False, extra=[(aki, False)])
    return Chain([root], [patched(made, r, (der(0x82, b"\1"), der(0x82, b"\0")))])


def other_spelling() -> Chain:
    """The leaf has its issuer's name in capitals."""
    r = ca("root", identifiers=False)
    return Chain([r], [leaf(r, issuer="ROOT", identifiers=False)])


PARTIAL: dict[str, Any] = {"options": ("-partial_chain",)}
PATHS = {
    "in order": Case(lambda: four("lba")),
    "in the wrong order": Case(lambda: four("lab")),
    "the root sent": Case(lambda: four("lbar")),
    "extra certificates": Case(lambda: four("lxybabl")),
    "no intermediate": Case(lambda: four("l"), "unknown_ca", 20),
    "one intermediate of two": Case(lambda: four("lb"), "unknown_ca", 20),
    "no intermediate, its address": Case(
        lambda: edited(lambda every: [leaf(every[1], issuer_url="http://ca.example/middle.crt")]), "missing_intermediate", 20
    ),
    "an unknown root sent": Case(lambda: Chain([ca("another")], three().sent), "unknown_ca", 20),
    "intermediate trusted": Case(lambda: edited(lambda every: every[:2], trusted=1), "", 2),
    "intermediate trusted, -partial_chain": Case(lambda: edited(lambda every: every[:2], trusted=1), **PARTIAL),
    "intermediate trusted, not sent": Case(lambda: edited(lambda every: every[:1], trusted=1), **PARTIAL),
    "leaf trusted": Case(lambda: edited(lambda every: every[:2], trusted=0), "", 20),
    "leaf trusted, -partial_chain": Case(lambda: edited(lambda every: every[:2], trusted=0), **PARTIAL),
    "leaf trusted, alone": Case(lambda: edited(lambda every: every[:1], trusted=0), **PARTIAL),
    "self-signed, trusted": Case(alone),
    "self-signed, trusted, without basicConstraints": Case(lambda: alone(constraints=False)),
    "self-signed, trusted, as openssl req -x509 makes it": Case(lambda: alone(ca=True, key_usage=None, purposes=None)),
    "self-signed, trusted, expired": Case(lambda: alone(**PAST), "expired", 10),
    "self-signed, trusted, another's name": Case(lambda: alone(names=("a.example",)), "name_mismatch", 62),
    "self-signed, trusted, a client's": Case(lambda: alone(purposes=[CLIENT]), "bad_usage", 26),
    "self-signed": Case(lambda: Chain([ca("root")], alone().sent), "self_signed", 18),
    "cross-signed, the old root trusted": Case(lambda: cross_signed(True)),
    "cross-signed, the new root trusted": Case(lambda: cross_signed(False)),
    "cross-signed, the old root expired": Case(lambda: cross_signed(False, old_expired=True)),
    "cross-signed, only the expired root trusted": Case(lambda: cross_signed(True, old_expired=True), "expired", 10),
    "two CAs of a name, without identifiers": Case(namesakes, "", 7, 85),
    "identifier of another serial number": Case(lambda: other_identifier(serial=99), "", 20),
    "identifier of serial number 0": Case(identifier_0),
    "identifier of another key": Case(lambda: other_identifier(key=b"another"), "", 20),
    "identifier of another key, a client": Case(
        lambda: other_identifier(key=b"another"), "unknown_ca", 20, asked=None, client=True
    ),
    "issuer's name in capitals": Case(other_spelling, "unknown_ca", 0, 85),
}

# extensions, versions and serial numbers -------------------------------------------------------------------------------

ACCESS = object_identifier("1.3.6.1.5.5.7.48.2")
POLICY = x509.ObjectIdentifier("2.23.140.1.2.1")


def twice(known: bool) -> Chain:
    """An extension that is there twice: subjectAltName, or one that nobody knows."""
    oid, content = ("2.5.29.99", sequence(der(0x82, b"a.example"))) if known else ("1.3.6.1.4.1.99999.2", NULL)
    change = (b"\x55\x1d\x63", b"\x55\x1d\x11") if known else (b"\x86\x8d\x1f\x02", b"\x86\x8d\x1f\x01")
    extra = [*extension(oid, content)["extra"], (x509.UnrecognizedExtension(ODD, NULL), False)]
    return with_leaf(lambda made, r: patched(made, r, change), extra=extra)


def of_version(version: int) -> Chain:
    """A leaf that says so, and has extensions."""
    return with_leaf(lambda made, r: patched(made, r, (b"\xa0\x03\x02\x01\x02", bytes([0xA0, 3, 2, 1, version - 1]))))


def serial(number: int) -> Case:
    return Case(lambda: _signed(serial=number))


def negative_serial() -> Chain:
    return with_leaf(lambda made, r: patched(made, r, (b"\x7f" + b"\x11" * 7, b"\x80" + b"\x11" * 7)), serial=0x7F11111111111111)


EXTENSIONS = {
    "unknown extension": leaf_(**extension(ODD.dotted_string)),
    "unknown critical extension": leaf_("unknown_extension", 34, **extension(ODD.dotted_string, critical=True)),
    "unknown critical extension of an intermediate": middle_(
        "unknown_extension", 34, **extension(ODD.dotted_string, critical=True)
    ),
    "unknown critical extension of a root": root_("unknown_extension", 34, **extension(ODD.dotted_string, critical=True)),
    "a precertificate": leaf_("unknown_extension", 34, extra=[(x509.PrecertPoison(), True)]),
    "critical policies": leaf_(extra=[(x509.CertificatePolicies([x509.PolicyInformation(POLICY, None)]), True)]),
    "critical policy constraints": middle_("unknown_extension", 0, extra=[(x509.PolicyConstraints(0, None), True)]),
    "critical inhibitAnyPolicy": middle_("unknown_extension", 0, extra=[(x509.InhibitAnyPolicy(0), True)]),
    "critical must-staple": leaf_("", 34, extra=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), True)]),
    "critical access to the issuer": leaf_(
        "unknown_extension", 34, **extension("1.3.6.1.5.5.7.1.1", sequence(sequence(ACCESS, der(0x86, b"http://a"))), True)
    ),
    "critical names of the issuer": leaf_("unknown_extension", 34, **extension("2.5.29.18", sequence(der(0x82, b"a")), True)),
    "purposes that are none": leaf_("malformed", 26, code=1, purposes=None, **extension("2.5.29.37", sequence())),
    "keyUsage without a bit": leaf_("bad_usage", 20, code=26, key_usage=None, **extension("2.5.29.15", der(3, b"\0"), True)),
    "critical Netscape type": leaf_("unknown_extension", 0, **extension(NETSCAPE_TYPE, der(3, b"\6\xc0"), True)),
    "subjectAltName twice": Case(lambda: twice(True), "malformed", 20, code=1),
    "unknown extension twice": Case(lambda: twice(False), "malformed", 0),
    "keyUsage that is none": Case(
        lambda: three(end={"key_usage": None, **extension("2.5.29.15", NULL, True)}), "malformed", 20, code=1
    ),
    "trailing bytes": Case(lambda: with_leaf(lambda made, r: made.der + b"\0"), "malformed", 0),
    "version 1 with extensions": Case(lambda: of_version(1), "malformed", 0, 93),
    "version 2 with extensions": Case(lambda: of_version(2), "malformed", 0, 93),
    "version 4": Case(lambda: of_version(4), "malformed", 0),
    "serial number 0": serial(0),
    "serial number of 20 bytes": serial(2**159 - 1),
    "serial number of 21 bytes": serial(2**167 - 1),
    "negative serial number": Case(negative_serial),
}  # fmt: skip

# private PKIs ---------------------------------------------------------------------------------------------------------

NO_IDENTIFIERS: dict[str, Any] = {"identifiers": False}
PRIVATE = {
    "leaf without identifiers": leaf_("", 0, 85, identifiers=False),
    "intermediate without identifiers": middle_("", 0, 85, identifiers=False),
    "root without identifiers": root_("", 0, 86, identifiers=False),
    "no identifiers at all": Case(lambda: three(NO_IDENTIFIERS, NO_IDENTIFIERS, NO_IDENTIFIERS), "", 0, 85),
    "nothing but what is needed": Case(
        lambda: two({**NO_IDENTIFIERS, "key_usage": None}, **NO_IDENTIFIERS, key_usage=None, purposes=None, constraints=False),
        "", 0, 85,
    ),
    "client with nothing but a name": client_("", 0, 85, **NO_IDENTIFIERS, key_usage=None, purposes=None, constraints=False),
    "trustme": Case(lambda: two({"room": 9, **NO_IDENTIFIERS}, critical_names=True, key_usage=None), "", 0, 86),
}  # fmt: skip

ALL = {
    f"{family}: {name}": case
    for family, cases in {
        "names": NAMES,
        "usages": USAGES,
        "CAs": CAS,
        "constraints": CONSTRAINTS,
        "times": TIMES,
        "keys": KEYS,
        "paths": PATHS,
        "extensions": EXTENSIONS,
        "private": PRIVATE,
    }.items()
    for name, case in cases.items()
}

# differences ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Where the two verdicts part, and why ours is right."""

    rule: str
    why: str
    cases: tuple[str, ...]


STRICTER = (
    Difference(
        "RFC 9525 6.3",
        "a host is looked for in dNSName alone; OpenSSL takes the common name where no dNSName is there",
        (
            "names: common name only",
            "names: common name beside an address",
            "names: common name beside a mailbox",
            "names: no names in subjectAltName",
        ),
    ),
    Difference(
        "RFC 9525 6.3", "a wildcard is a whole label; OpenSSL still has RFC 6125's b*.a.example", ("names: wildcard of a part",)
    ),
    Difference(
        "RFC 9525 2, RFC 1123 2.1", "a host name has no underscore, and asking for one is a mistake", ("names: underscore asked",)
    ),
    Difference(
        "RFC 8446 4.4.2.2",
        "TLS 1.3's leaf signs; OpenSSL also has TLS 1.2's static RSA and ECDH in mind",
        ("usages: encryption only", "usages: key agreement only", "usages: client, key agreement only"),
    ),
    Difference(
        "RFC 8446 4.4.2, RFC 5280 4.2.1.9",
        "a CA's own certificate is no leaf, unless it is itself trusted: who has its key could vouch for anybody",
        ("usages: a CA as a server", "usages: client that is a CA"),
    ),
    Difference(
        "RFC 5280 4.2.1.12",
        "serverAuth is what servers need; OpenSSL takes what Netscape had for exported browsers, too",
        ("usages: gated crypto",),
    ),
    Difference(
        "RFC 5280 4.2.1.9",
        "who believes in a CA has a certificate that says it is one; OpenSSL believes it of any root in its store",
        ("CAs: root of version 1", "CAs: root without basicConstraints"),
    ),
    Difference(
        "X.690 11, RFC 5280 4.1",
        "certificates are DER, and have one form only; OpenSSL reads BER, and more behind the end",
        ("CAs: basicConstraints not DER", "extensions: trailing bytes"),
    ),
    Difference("RFC 5280 4.2.1.10", "constraints that are none are malformed", ("constraints: constraints without any",)),
    Difference("RFC 5280 4.2.1.9", "a path length is for CAs alone", ("CAs: path length of a leaf",)),
    Difference(
        "RFC 5280 4.2", "an extension is there once; OpenSSL sees it for those it knows", ("extensions: unknown extension twice",)
    ),
    Difference(
        "RFC 5280 4.1.2.1",
        "extensions are version 3's; there is no version 4; and TLS wants X.509v3 (RFC 8446 4.4.2.2)",
        tuple(f"extensions: version {version}" for version in ("1 with extensions", "2 with extensions", "4")),
    ),
    Difference(
        "RFC 5280 4.2",
        "a critical extension that is not acted upon is a reason to refuse: policies and Netscape's types are nothing to us",
        tuple(f"extensions: critical {name}" for name in ("policy constraints", "inhibitAnyPolicy", "Netscape type")),
    ),
    Difference(
        "RFC 5280 4.2.1.10",
        "a wildcard is for the excluded host, too; OpenSSL compares it as if it were one host",
        ("constraints: wildcard over an excluded host",),
    ),
    Difference("RFC 5280 4.2.1.10", "only CAs have name constraints", ("constraints: constraints of a leaf",)),
    Difference("RFC 4632 5.1", "a mask with holes is none; OpenSSL takes any", ("constraints: mask with holes",)),
    Difference(
        "RFC 8446 4.2.3, RFC 9325 4.5",
        "no curve of TLS 1.3's; OpenSSL asks only for 112 bits",
        ("keys: P-224 leaf", "keys: secp256k1 leaf", "keys: brainpool intermediate"),
    ),
    Difference(
        "RFC 9325 4.5",
        "2048 bits are 2048, and more than 8192 cost who verifies too much; OpenSSL rounds to 112 bits, and has its limit at 16384",
        ("keys: RSA-2040 leaf", "keys: RSA-16384 leaf"),
    ),
    Difference(
        "RFC 5280 4.1.2.6",
        "a CA writes its name in one way only, so that names of issuers are compared byte for byte, as by browsers",
        ("paths: issuer's name in capitals",),
    ),
)
LAXER = (
    Difference(
        "RFC 9525 6.3, RFC 5890 2.3",
        "what users write is brought to the form that certificates have; OpenSSL leaves that to its caller",
        ("names: trailing dot asked", "names: U-label asked"),
    ),
    Difference(
        "RFC 3490 4, RFC 5894 7.2",
        "ß is asked for as Python's resolver asks for it, so that the host that is reached is the one that is verified",
        ("names: U-label asked, of two kinds",),
    ),
    Difference(
        "RFC 5280 6.1",
        "a good signature by a trusted key decides; without identifiers OpenSSL takes the leaf for one that is signed by itself",
        ("names: a leaf of its CA's name, without identifiers",),
    ),
    Difference(
        "RFC 5280 4.2.1.12",
        "anyExtendedKeyUsage is for any; OpenSSL 3.0 does not take it for a server's",
        ("usages: any purpose", "usages: intermediate for any purpose"),
    ),
    Difference("RFC 5280 4.2", "Netscape's types are history, and not critical here", ("usages: Netscape's type: a client",)),
    Difference(
        "RFC 9525 6.3, RFC 5280 4.2.1.10",
        "the common name is never taken for a host, so that no constraint on hosts binds it",
        ("constraints: common name, not permitted host",),
    ),
    Difference(
        "RFC 5280 4.1.2.5", "notAfter is the last second in which it is valid, and not the first after", ("times: last second",)
    ),
    Difference(
        "RFC 5280 6.1.1 (d)",
        "whatever is in the store is trusted; OpenSSL wants a root there, without -partial_chain",
        ("paths: intermediate trusted", "paths: leaf trusted"),
    ),
    Difference(
        "RFC 5280 6.1, RFC 4158 3.5",
        "identifiers help to find a path, and do not judge it; every CA of the right name is tried",
        (
            "paths: two CAs of a name, without identifiers",
            "paths: identifier of another serial number",
            "paths: identifier of another key",
        ),
    ),
    Difference("RFC 7633 4", "must-staple is known here, and acted upon", ("extensions: critical must-staple",)),
)
LAXER_THAN_STRICT = (
    Difference(
        "RFC 5280 4.2.1.1, 4.2.1.2",
        "private CAs leave identifiers out, and a path is found without them",
        tuple(f"private: {name}" for name in PRIVATE),
    ),
    Difference(
        "RFC 5280 4.2.1.3, 6.1.4 (n)",
        "CAs must have a keyUsage, but verifiers look at it only where it is there",
        ("CAs: root without keyUsage", "CAs: intermediate without keyUsage"),
    ),
    Difference(
        "RFC 5280 4.2.1.9",
        "basicConstraints that are not critical are understood all the same",
        ("CAs: basicConstraints not critical",),
    ),
    Difference(
        "RFC 5280 4.1.2.6, 4.2.1.6",
        "who has a key may have no name; critical or not, the names of a subject without one are compared",
        ("names: no subject, names not critical", "usages: client without any name"),
    ),
)
OTHER_NUMBER = (
    Difference(
        "RFC 5280 4.1",
        "who cannot read a certificate says so; OpenSSL finds no issuer, or no purpose, or no key",
        (
            "extensions: keyUsage that is none",
            "extensions: purposes that are none",
            "extensions: subjectAltName twice",
            "CAs: negative path length",
            "keys: key that is not on its curve",
        ),
    ),
    Difference(
        "RFC 5280 4.2.1.3",
        "that keyUsage lacks a bit is told by its own number",
        ("CAs: root that may not sign", "CAs: intermediate that may not sign", "extensions: keyUsage without a bit"),
    ),
    Difference("RFC 5280 4.2.1.10", "our path compares no URIs: it refuses, and says that", ("constraints: excluded URI",)),
    Difference(
        "RFC 8446 4.2.3", "any curve but our own is unknown", ("keys: curve with another generator, an intermediate",)
    ),
)  # fmt: skip
DIFFERENCES = {"stricter": STRICTER, "laxer": LAXER, "laxer than strict": LAXER_THAN_STRICT, "another number": OTHER_NUMBER}

WITHOUT_A_NAME = {
    "paths: identifier of another key": "unknown_ca",
}
"""Where no name is asked, our path decides alone: these are refused, and are good where the web's verifier is asked."""


def difference(case: Case) -> str:
    if case.ours and not case.openssl:
        return "stricter"
    if not case.ours and case.openssl:
        return "laxer"
    if not case.ours and case.strict:
        return "laxer than strict"
    return "" if case.code in (None, case.openssl) else "another number"


def test_differences() -> None:
    """Each is explained once, and nothing is that is none."""
    assert len(ALL) >= 200
    found = {name: difference(case) for name, case in ALL.items() if difference(case)}
    told = [(name, kind) for kind, rows in DIFFERENCES.items() for row in rows for name in row.cases]
    assert len(told) == len(dict(told))
    assert dict(told) == found
    for rows in DIFFERENCES.values():
        assert all(row.rule.startswith(("RFC", "X.")) and row.why for row in rows)
    for case in ALL.values():
        assert case.strict != case.openssl, "it is the same without saying it"
        assert case.code is None or (case.ours and case.openssl)
        assert not (case.openssl and case.strict == 0), "-x509_strict takes nothing that is refused without"


# verdicts -------------------------------------------------------------------------------------------------------------


def ours(case: Case, chain: Chain, asked: str | None) -> tuple[str, int, list[bytes]]:
    """The reason and the number of a refusal, or the path."""
    store = TrustStore.from_certificates(map(read_der, chain.anchors()))
    try:
        if case.client:
            return "", 0, as_der(store.verify_client(chain.ders(), case.at))
        return "", 0, as_der(store.verify(chain.ders(), asked, case.at))
    except CertificateError as error:
        return error.reason, error.verify_code, []
    except Misuse as error:
        return error.reason, 0, []


@pytest.mark.parametrize("name", ALL)
def test_ours(name: str) -> None:
    """With the name asked, and without: then the web's verifier has no say."""
    case = ALL[name]
    chain = case.build()
    reason, code, path = ours(case, chain, case.asked)
    assert reason == case.ours
    if case.openssl and reason:
        assert code == (case.openssl if case.code is None else case.code)
    if not reason:
        assert path[0] == chain.ders()[0]
        assert path[-1] in chain.anchors()
    if case.asked is not None:
        of_names = reason in ("name_mismatch", "bad_host_name")
        assert ours(case, chain, None)[0] == ("" if of_names else WITHOUT_A_NAME.get(name, reason))


@pytest.mark.parametrize("name", ALL)
def test_straight_paths_change_no_verdict(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that leave no choice save the search for a path, and the web's verifier, and nothing else: the same path, or reason."""
    case = ALL[name]
    chain = case.build()
    straight = [ours(case, chain, asked) for asked in (case.asked, None)]
    monkeypatch.setattr(PathBuilder, "straight", lambda self, leaf: None)
    assert [ours(case, chain, asked) for asked in (case.asked, None)] == straight


@pytest.mark.parametrize("name", ALL)
def test_openssl(name: str, tmp_path: Path) -> None:
    case = ALL[name]
    if case.since > openssl_version():
        have, need = (".".join(map(str, version)) for version in (openssl_version(), case.since))
        pytest.skip(f"OpenSSL {have} does not have {name}: {need} does")
    chain = case.build()
    for options, expected in (((), case.openssl), (("-x509_strict",), case.openssl if case.strict is None else case.strict)):
        options = (*options, "-auth_level", "2", *case.options)  # Debian's, for TLS
        found = openssl_verify(tmp_path, chain.anchors(), chain.ders(), case.asked, *options, client=case.client, at=case.at)
        assert found == expected, options


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.since])
def test_newer_openssl(name: str) -> None:
    """The OpenSSL that pyca/cryptography brings has the algorithm, whatever the command has; it is not asked for a purpose."""
    pyopenssl = pytest.importorskip("OpenSSL.crypto")
    chain = ALL[name].build()
    end, *rest = (pyopenssl.X509.from_cryptography(read_der(each)) for each in chain.ders())
    for anchor, good in ((chain.anchors()[0], True), (three().anchors()[0], False)):
        store = pyopenssl.X509Store()
        store.add_cert(pyopenssl.X509.from_cryptography(read_der(anchor)))
        store.set_flags(pyopenssl.X509StoreFlags.X509_STRICT)
        context = pyopenssl.X509StoreContext(store, end, rest)
        if good:
            context.verify_certificate()
        else:
            with pytest.raises(pyopenssl.X509StoreContextError):
                context.verify_certificate()


# public CAs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """A chain in data/chains/; ``roots``: those of Debian to which it leads, and how long the path then is; ``issuer_at``: where
    its leaf says that the intermediate is; ``also``: other names of its.
    """

    at: datetime
    roots: dict[str, int]
    issuer_at: str
    also: tuple[str, ...] = ()


SITES = {
    "letsencrypt.org": Site(
        datetime(2026, 8, 1, tzinfo=UTC), {"ISRG Root X2": 4, "ISRG Root X1": 5}, "http://ye2.i.lencr.org/", ("www.lencr.org",)
    ),
    "aws.amazon.com": Site(
        datetime(2026, 1, 1, tzinfo=UTC),
        {
            "Amazon Root CA 1": 3,
            "Starfield Services Root Certificate Authority - G2": 4,
            "Starfield Class 2 Certification Authority": 5,
        },
        "http://crt.r2m04.amazontrust.com/r2m04.cer",
        ("www.amazonaws-china.com",),
    ),
    "www.google.com": Site(
        datetime(2023, 2, 1, tzinfo=UTC), {"GTS Root R1": 3}, "http://pki.goog/repo/certs/gts1c3.der", ("WWW.google.com.",)
    ),
    "tm.cn": Site(
        datetime(2020, 1, 1, tzinfo=UTC),
        {"DigiCert Global Root CA": 3},
        "http://cacerts.digicert-cn.com/TrustAsiaECCOVTLSProCA.crt",
        ("www.tm.cn", "bücher.tm.cn"),
    ),
    "udctest.ads.vt.edu": Site(
        datetime(2019, 1, 1, tzinfo=UTC),
        {"GlobalSign": 4},
        "http://www.pki.vt.edu/globalqualifiedserver/cacert/globalqualifiedserver_sha256.crt",
    ),
}


def site(host: str) -> list[x509.Certificate]:
    return read_pem((Path(__file__).parent / "data" / "chains" / f"{host}.pem").read_bytes())


def system_roots() -> tuple[x509.Certificate, ...]:
    """Debian's, of the package ca-certificates, whatever SSL_CERT_FILE says."""
    bundle = next((Path(path) for path in BUNDLES if Path(path).is_file()), None)
    if bundle is None:
        pytest.skip("this system has no bundle of roots: install the package ca-certificates")
    return TrustStore.from_certificates(load_each(bundle.read_bytes())).anchors.certificates


def of_root(roots: Sequence[x509.Certificate], name: str) -> list[x509.Certificate]:
    """Those of this name: GlobalSign has several."""
    found = [root for root in roots if name in {each.value for each in root.subject}]
    return found or pytest.skip(f"{name} is not among the {len(roots)} roots of this system")


@pytest.mark.parametrize(
    ("host", "root"),
    [(host, root) for host, site in SITES.items() for root in site.roots],
)
def test_public_chain(host: str, root: str, tmp_path: Path) -> None:
    """Good for its names while it is valid, and refused for the right reason else; by all the roots, and by this one alone."""
    roots, found, chain = system_roots(), SITES[host], site(host)
    alone, end = of_root(roots, root), chain[0]
    first, last = end.not_valid_before_utc, end.not_valid_after_utc
    for trusted, length in ((roots, min(found.roots.values())), (alone, found.roots[root])):
        store = TrustStore.from_certificates(trusted)
        for asked in (host, *found.also, None):
            for at in (found.at, first, last):
                path = store.verify(chain, asked, at)
                assert len(path) == length
                assert path[0] == end
                assert path[-1] in trusted
        for asked, at, sent, reason in (
            (f"not.really.{host}", found.at, chain, "name_mismatch"),
            ("192.0.2.1", found.at, chain, "name_mismatch"),
            (host, first - SECOND, chain, "not_yet_valid"),
            (host, last + SECOND, chain, "expired"),
            (host, found.at, chain[:1], "missing_intermediate"),
        ):
            with pytest.raises(CertificateError) as caught:
                store.verify(sent, asked, at)
            assert caught.value.reason == reason
            assert name_of(end) in caught.value.message
            assert found.issuer_at in caught.value.remedy or reason != "missing_intermediate"
    others = [each for each in roots if all(each not in of_root(roots, name) for name in found.roots)]
    assert len(others) > 50
    with pytest.raises(CertificateError) as caught:
        TrustStore.from_certificates(others).verify(chain, host, found.at)
    assert caught.value.reason in ("missing_intermediate", "unknown_ca")
    for sent, asked, at, code in (
        (chain, host, found.at, 0),
        (chain, f"not.really.{host}", found.at, 62),
        (chain, host, first - SECOND, 9),
        (chain, host, last + SECOND, 10),
        (chain[:1], host, found.at, 20),
    ):
        assert openssl_verify(tmp_path, alone, sent, asked, at=at) == code


@pytest.mark.parametrize("host", SITES)
def test_public_chain_with_one_bit_changed(host: str) -> None:
    """In any certificate: it is the signature that decides."""
    chain, at = as_der(site(host)), SITES[host].at
    store = TrustStore.from_certificates(of_root(system_roots(), next(iter(SITES[host].roots))))
    needed = min(SITES[host].roots.values()) - 1  # the rest leads to older roots
    assert store.verify(chain, host, at)
    for place in range(needed):
        changed = [*chain]
        changed[place] = chain[place][:-1] + bytes([chain[place][-1] ^ 1])
        with pytest.raises(CertificateError) as caught:
            store.verify(changed, host, at)
        assert caught.value.reason == "bad_signature"
