"""Chains and what becomes of them: our verdict, and OpenSSL's on the same certificates (RFC 5280 section 6, RFC 8446 4.4.2).

Each case builds its certificates anew.  Where OpenSSL's verdict is another, the case says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, padding, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from minitls.certificates.trust import TrustStore
from minitls.errors import Alert, CertificateError
from tests.chains import (
    CLIENT,
    DAY,
    HOST,
    NOW,
    ODD,
    SERVER,
    Made,
    ca,
    huge_rsa,
    key,
    leaf,
    make,
    openssl_verify,
    sign_with_openssl,
    usage,
)

NO_OPINION = -1
"""OpenSSL 3.0 does not know the algorithm, or the question."""


@dataclass(frozen=True)
class Chain:
    """``path``: the places in what was sent, and then, from 100 on, in what is trusted; None: all that was sent, and the first
    trusted.
    """

    trusted: Sequence[Made]
    sent: Sequence[Made]
    path: Sequence[int] | None = None

    def certificates(self) -> list[x509.Certificate]:
        return [each.certificate for each in self.sent]

    def store(self) -> TrustStore:
        return TrustStore.from_certificates(each.certificate for each in self.trusted)

    def expected_path(self) -> list[x509.Certificate]:
        if self.path is None:
            return [*self.certificates(), self.trusted[0].certificate]
        return [(self.trusted[n - 100] if n >= 100 else self.sent[n]).certificate for n in self.path]


Build = Callable[[], Chain]


@dataclass(frozen=True)
class Case:
    """``code``: OpenSSL's number for our verdict; ``openssl``: its own verdict where that is another, and ``why``."""

    build: Build
    reason: str = ""
    alert: Alert = Alert.bad_certificate
    code: int = 0
    says: str = ""
    remedy: str = ""
    openssl: int | None = None
    why: str = ""
    name: str | None = HOST
    client: bool = False
    at: datetime | None = None
    options: tuple[str, ...] = field(default=("-x509_strict",))

    def verdict(self, chain: Chain, store: TrustStore | None = None) -> list[x509.Certificate]:
        store = store or chain.store()
        if self.client:
            return store.verify_client(chain.certificates(), self.at)
        return store.verify(chain.certificates(), self.name, self.at)


def three(root: Any = None, middle: Any = None, end: Any = None) -> Chain:
    """Root, intermediate and leaf, each with these differences."""
    r = ca("root", **(root or {}))
    m = ca("middle", r, **(middle or {}))
    return Chain([r], [leaf(m, **(end or {})), m])


def two(root: Any = None, end: Any = None) -> Chain:
    r = ca("root", **(root or {}))
    return Chain([r], [leaf(r, **(end or {}))])


def self_signed(trusted: bool, **how: Any) -> Chain:
    made = make(HOST, names=(HOST,), **how)
    return Chain([made] if trusted else [ca("root")], [made], path=[0])


# chains -----------------------------------------------------------------------------------------------------------------


def in_wrong_order() -> Chain:
    r = ca("root")
    a, b = ca("a", r), None
    b = ca("b", a)
    return Chain([r], [leaf(b), a, b], path=[0, 2, 1, 100])


def leaf_last() -> Chain:
    chain = three()
    return Chain(chain.trusted, [chain.sent[1], chain.sent[0]])


def without_intermediate(**how: Any) -> Chain:
    chain = three(end=how)
    return Chain(chain.trusted, chain.sent[:1])


def with_junk() -> Chain:
    chain, other = three(), three()
    return Chain(chain.trusted, [*chain.sent, *other.sent, other.trusted[0], chain.sent[0]], path=[0, 1, 100])


def with_root() -> Chain:
    chain = three()
    return Chain(chain.trusted, [*chain.sent, chain.trusted[0]], path=[0, 1, 100])


def with_unknown_root() -> Chain:
    chain = three()
    return Chain([ca("another root")], [*chain.sent, chain.trusted[0]])


def same_names(identifiers: bool) -> Chain:
    """The CA was made anew, with the same name and another key."""
    return Chain([ca("root", identifiers=identifiers)], [leaf(ca("root", identifiers=identifiers), identifiers=identifiers)])


def same_names_both() -> Chain:
    """The old CA and the new one are both trusted: the second fits."""
    old, new = ca("root"), ca("root")
    return Chain([old, new], [leaf(new)], path=[0, 101])


def same_names_both_without_identifiers() -> Chain:
    old, new = ca("root", identifiers=False), ca("root", identifiers=False)
    return Chain([old, new], [leaf(new, identifiers=False)], path=[0, 101])


def forged() -> Chain:
    """Right names and identifiers, and the signature of somebody else's key."""
    real = ca("root")
    return Chain([real], [leaf(ca("root"), issuer_key=real.key)])


def damaged(der: bytes, place: int = -1) -> x509.Certificate:
    changed = bytearray(der)
    changed[place] ^= 1
    return x509.load_der_x509_certificate(bytes(changed))


def damaged_signature(level: int) -> Chain:
    chain = three()
    sent = list(chain.sent)
    sent[level] = Made(damaged(sent[level].der), None)
    return Chain(chain.trusted, sent)


def trusted_intermediate() -> Chain:
    chain = three()
    return Chain([chain.sent[1]], chain.sent, path=[0, 100])


def pinned_leaf() -> Chain:
    chain = three()
    return Chain([chain.sent[0]], chain.sent, path=[0])


def cross_signed(old_is_trusted: bool) -> Chain:
    """The new root, whom few trust yet, is also signed by the old one."""
    old, new = ca("old root"), ca("new root")
    cross = ca("new root", old, key=new.key)
    m = ca("middle", new)
    return Chain([old] if old_is_trusted else [new], [leaf(m), m, cross], path=[0, 1, 2, 100] if old_is_trusted else [0, 1, 100])


def cross_signed_and_expired() -> Chain:
    """As in 2020, when AddTrust's root expired: the new root is trusted, and what the server sends leads to the old one."""
    old = ca("old root", end=NOW - DAY, begin=NOW - 100 * DAY)
    new = ca("new root")
    cross = ca("new root", old, key=new.key, end=NOW - DAY, begin=NOW - 100 * DAY)
    m = ca("middle", new)
    return Chain([new, old], [leaf(m), m, cross], path=[0, 1, 100])


def depth(count: int) -> Chain:
    """``count`` certificates from leaf to root, the root not sent."""
    signer = root = ca("root")
    middle = []
    for number in range(count - 2):
        signer = ca(f"ca {number}", signer)
        middle.insert(0, signer)
    return Chain([root], [leaf(signer), *middle])


def renewed(room: int) -> Chain:
    """A CA that signed its own successor: self-issued certificates are not counted."""
    root = ca("root", room=room)
    new = ca("root", root)
    m = ca("middle", new)
    return Chain([root], [leaf(m), m, new])


def not_a_ca(**how: Any) -> Chain:
    r = ca("root")
    m = make("middle", r, key_usage=how.pop("key_usage", usage("key_cert_sign", "digital_signature")), **how)
    return Chain([r], [leaf(m), m])


CHAINS = {
    "leaf, intermediate, root": Case(three),
    "leaf and root": Case(two),
    "in the wrong order": Case(in_wrong_order),
    "leaf last": Case(
        leaf_last, "bad_usage", Alert.unsupported_certificate, 26, "is a CA's", "comes first"
    ),
    "no intermediate": Case(
        without_intermediate, "unknown_ca", Alert.unknown_ca, 20, "nobody whom we trust issued", "if that CA is yours"
    ),
    "no intermediate, but its address": Case(
        lambda: without_intermediate(issuer_url="http://ca.example/middle.crt"),
        "missing_intermediate",
        Alert.unknown_ca,
        20,
        "it names CN=middle",
        "it can be had at http://ca.example/middle.crt",
    ),
    "a hostile address": Case(
        lambda: without_intermediate(issuer_url="http://ca.example/\x1b[2J" + "a" * 300),
        "missing_intermediate",
        Alert.unknown_ca,
        20,
        remedy="\\x1b[2Jaaa",
    ),
    "extra certificates": Case(with_junk),
    "the root sent": Case(with_root),
    "an unknown root sent": Case(with_unknown_root, "self_signed_in_chain", Alert.unknown_ca, 19, "the chain ends at", "--ca FILE"),
    "a CA made anew": Case(
        lambda: same_names(True), "unknown_ca", Alert.unknown_ca, 20, "another CA of the name CN=root", "made anew"
    ),
    "a CA made anew, without identifiers": Case(
        lambda: same_names(False), "bad_signature", Alert.bad_certificate, 7, "is not by the key of", "made anew", options=()
    ),
    "two CAs of a name": Case(same_names_both),
    "two CAs of a name, without identifiers": Case(
        same_names_both_without_identifiers, openssl=7, why="OpenSSL tries the first of that name only", options=()
    ),
    "forged": Case(forged, "bad_signature", Alert.bad_certificate, 7, "is not by the key of"),
    "leaf damaged": Case(lambda: damaged_signature(0), "bad_signature", Alert.bad_certificate, 7),
    "intermediate damaged": Case(lambda: damaged_signature(1), "bad_signature", Alert.bad_certificate, 7),
    "intermediate trusted": Case(trusted_intermediate, openssl=2, why="it wants a root, without -partial_chain"),
    "intermediate trusted, partial": Case(trusted_intermediate, options=("-partial_chain", "-x509_strict")),
    "leaf pinned": Case(pinned_leaf, options=("-partial_chain", "-x509_strict")),
    "self-signed": Case(
        lambda: self_signed(False), "self_signed", Alert.unknown_ca, 18, "is signed by itself", "trust this very certificate"
    ),
    "self-signed, trusted": Case(lambda: self_signed(True)),
    "self-signed CA, trusted": Case(lambda: self_signed(True, ca=True, key_usage=None), options=()),
    "self-signed CA that may not sign a handshake": Case(
        lambda: self_signed(True, ca=True), "bad_usage", Alert.unsupported_certificate, 26, "may not sign"
    ),
    "nobody trusted": Case(lambda: Chain([], three().sent), "unknown_ca", Alert.unknown_ca, 20),
    "cross-signed, by the old root": Case(lambda: cross_signed(True)),
    "cross-signed, by the new root": Case(lambda: cross_signed(False)),
    "cross-signed by an expired root": Case(cross_signed_and_expired),
    "10 certificates": Case(lambda: depth(10)),
    "11 certificates": Case(
        lambda: depth(11), "chain_too_long", Alert.unknown_ca, 22, "no path of 10", openssl=0, why="its limit is 100"
    ),
    "11 certificates sent": Case(
        lambda: depth(12), "chain_too_long", Alert.bad_certificate, 22, "11 certificates are too many",
        openssl=0, why="its limit is 100",
    ),
    "no room for a CA": Case(lambda: three(root={"room": 0}), "path_too_long", Alert.unknown_ca, 25, "allows 0 CAs below it"),
    "room for a CA": Case(lambda: three(root={"room": 1}, middle={"room": 0})),
    "room for a CA and its successor": Case(lambda: renewed(1)),
    "no room, with its successor": Case(lambda: renewed(0), "path_too_long", Alert.unknown_ca, 25),
    "not a CA": Case(
        lambda: not_a_ca(key_usage=usage("digital_signature")), "not_a_ca", Alert.unknown_ca, 79, "is no CA, and yet signed"
    ),
    "not a CA, without basicConstraints": Case(
        lambda: not_a_ca(constraints=False), "not_a_ca", Alert.unknown_ca, 79, options=()
    ),
    "a CA that may not sign": Case(
        lambda: three(middle={"key_usage": usage("crl_sign")}), "bad_usage", Alert.unknown_ca, 32, "may not sign certificates",
        openssl=79, why="OpenSSL has one number for CAs that are none",
    ),
}  # fmt: skip

# times ------------------------------------------------------------------------------------------------------------------

YESTERDAY, TOMORROW = {"begin": NOW - 9 * DAY, "end": NOW - DAY}, {"begin": NOW + DAY, "end": NOW + 9 * DAY}
FIXED = {"begin": NOW, "end": NOW + DAY}


def fixed() -> Chain:
    return three(FIXED, FIXED, FIXED)


def late(what: str) -> Case:
    return Case(lambda: three(**{what: YESTERDAY}), "expired", Alert.certificate_expired, 10, "expired on", "has to renew it")


def early(what: str) -> Case:
    return Case(lambda: three(**{what: TOMORROW}), "not_yet_valid", Alert.bad_certificate, 9, "is not valid before", "clock")


TIMES = {
    "leaf expired": late("end"),
    "intermediate expired": late("middle"),
    "root expired": late("root"),
    "leaf not yet valid": early("end"),
    "intermediate not yet valid": early("middle"),
    "root not yet valid": early("root"),
    "self-signed, trusted and expired": Case(
        lambda: self_signed(True, **YESTERDAY), "expired", Alert.certificate_expired, 10, "expired on"
    ),
    "first second": Case(fixed, at=NOW),
    "last second": Case(
        fixed, at=NOW + DAY, openssl=10, why="it is over for OpenSSL in its last second, which RFC 5280 4.1.2.5 includes"
    ),
    "a second early": Case(fixed, "not_yet_valid", Alert.bad_certificate, 9, at=NOW - DAY / 86400),
    "a second late": Case(fixed, "expired", Alert.certificate_expired, 10, at=NOW + DAY + DAY / 86400),
    "ten years on": Case(fixed, "expired", Alert.certificate_expired, 10, at=NOW + 3650 * DAY),
}

# usages -----------------------------------------------------------------------------------------------------------------

ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
MAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION
WRONG: dict[str, Any] = {"reason": "bad_usage", "alert": Alert.unsupported_certificate, "code": 26}

USAGES = {
    "server's": Case(lambda: three(end={"purposes": [SERVER]})),
    "client's for a server": Case(lambda: three(end={"purposes": [CLIENT]}), says="is not for TLS servers", **WRONG),
    "mail's for a server": Case(lambda: three(end={"purposes": [MAIL]}), **WRONG),
    "any purpose": Case(
        lambda: three(end={"purposes": [ANY]}), openssl=26, why="OpenSSL 3.0 does not take anyExtendedKeyUsage for a server's"
    ),
    "no purpose said": Case(lambda: three(end={"purposes": None})),
    "no usage said": Case(lambda: three(end={"key_usage": None})),
    "encryption only": Case(
        lambda: three(end={"key_usage": usage("key_encipherment")}), says="may not sign", openssl=0,
        why="static RSA of TLS 1.2 would do with it", **WRONG,
    ),
    "key agreement only": Case(
        lambda: three(end={"key_usage": usage("key_agreement")}), says="may not sign", openssl=0,
        why="static ECDH of TLS 1.2 would do with it", **WRONG,
    ),
    "signing and encryption": Case(lambda: three(end={"key_usage": usage("digital_signature", "key_encipherment")})),
    "a CA as a server": Case(
        lambda: three(end={"ca": True, "purposes": [SERVER], "key_usage": usage("digital_signature", "key_cert_sign")}),
        says="is a CA's", openssl=0, why="OpenSSL lets a CA be a server, unless keyUsage forbids it", **WRONG,
    ),
    "intermediate for servers": Case(lambda: three(middle={"purposes": [SERVER]})),
    "intermediate for clients": Case(lambda: three(middle={"purposes": [CLIENT]}), says="none for this end of TLS", **WRONG),
    "intermediate for any": Case(
        lambda: three(middle={"purposes": [ANY]}), openssl=26, why="as for a leaf"
    ),
    "root for clients": Case(lambda: three(root={"purposes": [CLIENT]}), says="none for this end of TLS", **WRONG),
    "client's": Case(lambda: three(end={"purposes": [CLIENT]}), client=True, name=None),
    "server's for a client": Case(
        lambda: three(end={"purposes": [SERVER]}), says="is not for TLS clients", client=True, name=None, **WRONG
    ),
    "intermediate for servers, a client": Case(lambda: three(middle={"purposes": [SERVER]}), client=True, name=None, **WRONG),
    "a client without a name": Case(lambda: three(end={"names": ()}), client=True, name=None),
    "a client without any name": Case(
        lambda: three(end={"names": (), "subject": ""}), client=True, name=None, openssl=84,
        why="X509_V_ERR_SUBJECT_NAME_EMPTY with -x509_strict; who has a key may have no name",
    ),
    "no name asked": Case(three, name=None),
}  # fmt: skip

# keys and signatures ------------------------------------------------------------------------------------------------------


def huge_ca() -> Chain:
    """An intermediate whose signatures would take long to check, if anybody did."""
    r = ca("root")
    m = ca("middle", r, key=huge_rsa(16384))
    signer = Made(m.certificate, key("rsa2048"))
    return Chain([r], [leaf(signer), m])


def short_ca(level: str) -> Chain:
    return three(**{level: {"key": key("rsa1024")}})


WEAK: dict[str, Any] = {"reason": "weak_key", "alert": Alert.bad_certificate}
NO_KEY: dict[str, Any] = {"reason": "unsupported_key", "alert": Alert.unsupported_certificate, "code": 1}
LEVEL_2 = ("-x509_strict", "-auth_level", "2")

KEYS = {
    **{
        f"{kind} leaf": Case(lambda kind=kind: three(end={"key": key(kind)}))  # type: ignore[misc]
        for kind in ("p384", "p521", "rsa2048", "rsa3072", "ed25519", "ed448")
    },
    **{
        f"{kind} leaf": Case(
            lambda kind=kind: three(end={"key": key(kind)}),  # type: ignore[misc]
            openssl=NO_OPINION,
            why="OpenSSL 3.0 has no ML-DSA",
        )
        for kind in ("mldsa44", "mldsa65", "mldsa87")
    },
    **{
        f"{kind} CAs": Case(lambda kind=kind: three({"key": key(kind)}, {"key": key(kind)}))  # type: ignore[misc]
        for kind in ("p384", "p521", "rsa2048", "ed25519", "ed448")
    },
    **{
        f"{kind} CAs": Case(
            lambda kind=kind: three({"key": key(kind)}, {"key": key(kind)}),  # type: ignore[misc]
            openssl=NO_OPINION,
            why="OpenSSL 3.0 has no ML-DSA",
        )
        for kind in ("mldsa44", "mldsa65", "mldsa87")
    },
    "RSA-1024 leaf": Case(lambda: three(end={"key": key("rsa1024")}), code=66, says="1024 bits", options=LEVEL_2, **WEAK),
    "RSA-1024 intermediate": Case(lambda: short_ca("middle"), code=67, says="1024 bits", options=LEVEL_2, **WEAK),
    "RSA-1024 root": Case(lambda: short_ca("root"), code=67, says="1024 bits", options=LEVEL_2, **WEAK),
    "RSA-8192 leaf": Case(lambda: three(end={"key": huge_rsa(8192)})),
    "RSA-8193 leaf": Case(
        lambda: three(end={"key": huge_rsa(8200)}), code=66, says="too long", openssl=0, why="its limit is 16384 bits", **WEAK
    ),
    "RSA-16384 leaf": Case(
        lambda: three(end={"key": huge_rsa(16384)}), code=66, says="16384 bits", openssl=0, why="its limit is 16384 bits", **WEAK
    ),
    "RSA-16384 intermediate": Case(
        huge_ca, code=67, says="too long", openssl=7, why="OpenSSL checks the signature, which nobody could make", **WEAK
    ),
    "P-224 leaf": Case(
        lambda: three(end={"key": key("p224")}), says="secp224r1", openssl=0, why="an X.509 curve, not TLS 1.3's", **NO_KEY
    ),
    "secp256k1 leaf": Case(
        lambda: three(end={"key": key("secp256k1")}), says="secp256k1", openssl=0, why="an X.509 curve, not TLS 1.3's", **NO_KEY
    ),
    "brainpool leaf": Case(
        lambda: three(end={"key": key("brainpool")}), says="brainpoolP256r1", openssl=0, why="not a curve of ours", **NO_KEY
    ),
    "P-224 intermediate": Case(
        lambda: three(middle={"key": key("p224")}), says="secp224r1", openssl=0, why="an X.509 curve, not TLS 1.3's", **NO_KEY
    ),
    "DSA leaf": Case(
        lambda: three(end={"key": dsa.generate_private_key(1024).public_key()}), says="cannot sign in TLS", openssl=0,
        why="DSA went with TLS 1.2", **NO_KEY,
    ),
    "X25519 leaf": Case(
        lambda: three(end={"key": x25519.X25519PrivateKey.generate().public_key()}), says="cannot sign in TLS", openssl=0,
        why="verify does not ask what the key can do", **NO_KEY,
    ),
    "PSS signatures": Case(lambda: two({"key": key("rsa2048")}, {"padding": padding.PSS(padding.MGF1(hashes.SHA256()), 32)})),
}  # fmt: skip

# extensions and constraints -----------------------------------------------------------------------------------------------

UNKNOWN = x509.UnrecognizedExtension(ODD, b"\x05\x00")
POLICIES = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.1"), None)])
NO_NAME: dict[str, Any] = {"reason": "name_constraints", "alert": Alert.bad_certificate}


def limited(*names: str, asked: str | None = None, **trees: Sequence[str]) -> Chain:
    """A root that may be for these trees only, and a leaf for these names."""
    return three(root=trees, end={"names": names})


def limited_case(names: tuple[str, ...], code: int = 0, openssl: int | None = None, why: str = "", **trees: Sequence[str]) -> Case:
    how: dict[str, Any] = {"code": code, "says": "may not vouch for", **NO_NAME} if code else {}
    return Case(lambda: limited(*names, **trees), name=None, openssl=openssl, why=why, **how)


PERMITTED, EXCLUDED = 47, 48  # X509_V_ERR_PERMITTED_VIOLATION, X509_V_ERR_EXCLUDED_VIOLATION
EXTENSIONS = {
    "unknown extension": Case(lambda: three(end={"extra": [(UNKNOWN, False)]})),
    "unknown critical extension": Case(
        lambda: three(end={"extra": [(UNKNOWN, True)]}), "unknown_extension", Alert.unsupported_certificate, 34, ODD.dotted_string
    ),
    "unknown critical extension above": Case(
        lambda: three(middle={"extra": [(UNKNOWN, True)]}), "unknown_extension", Alert.unsupported_certificate, 34, "CN=middle"
    ),
    "a precertificate": Case(
        lambda: three(end={"extra": [(x509.PrecertPoison(), True)]}), "unknown_extension", Alert.unsupported_certificate, 34
    ),
    "critical policies": Case(lambda: three(end={"extra": [(POLICIES, True)]})),
    "permitted host": limited_case(("a.example",), permitted=["example"]),
    "permitted host itself": limited_case(("a.example",), permitted=["a.example"]),
    "permitted host, case": limited_case(("A.EXAMPLE",), permitted=["Example"]),
    "not permitted host": limited_case(("a.test",), PERMITTED, permitted=["example"]),
    "not permitted by half a label": limited_case(("anexample",), PERMITTED, permitted=["example"]),
    "one of two not permitted": limited_case(("a.example", "a.test"), PERMITTED, permitted=["example"]),
    "permitted below a dot": limited_case(("a.b.example",), permitted=[".b.example"]),
    "not permitted, a dot's own": limited_case(("b.example",), PERMITTED, permitted=[".b.example"]),
    "permitted wildcard": limited_case(("*.a.example",), permitted=["a.example"]),
    "permitted wildcard below a dot": limited_case(("*.a.example",), permitted=[".a.example"]),
    "not permitted wildcard": limited_case(("*.example",), PERMITTED, permitted=["a.example"]),
    "everything permitted": limited_case(("a.example",), permitted=["dns:"]),
    "excluded host": limited_case(("a.example",), EXCLUDED, excluded=["example"]),
    "excluded, though permitted": limited_case(("b.a.example",), EXCLUDED, permitted=["example"], excluded=["a.example"]),
    "not excluded": limited_case(("b.example",), permitted=["example"], excluded=["a.example"]),
    "excluded wildcard": limited_case(("*.a.example",), EXCLUDED, excluded=["a.example"]),
    "a wildcard that covers what is excluded": limited_case(
        ("*.a.example",), EXCLUDED, 0, "OpenSSL compares the wildcard as if it were a host", excluded=["b.a.example"]
    ),
    "everything excluded": limited_case(("a.example",), EXCLUDED, excluded=["dns:"]),
    "permitted address": limited_case(("192.0.2.7",), permitted=["192.0.2.0/24"]),
    "not permitted address": limited_case(("198.51.100.7",), PERMITTED, permitted=["192.0.2.0/24"]),
    "not permitted, the other family": limited_case(("2001:db8::1",), PERMITTED, permitted=["192.0.2.0/24"]),
    "excluded address": limited_case(("2001:db8::1",), EXCLUDED, excluded=["2001:db8::/32"]),
    "hosts constrained, an address": limited_case(("192.0.2.7",), permitted=["example"]),
    "permitted directory name": limited_case(("a.test",), permitted=["dir:" + HOST, "dir:middle"]),
    "not permitted directory name": limited_case(("a.test",), PERMITTED, permitted=["dir:middle"]),
    "excluded directory name": limited_case(("a.test",), EXCLUDED, excluded=["dir:" + HOST]),
    "mailboxes constrained, none there": limited_case(("a.example",), permitted=["example@a.example"]),
    "mailboxes constrained, one there": Case(
        lambda: limited("me@b.example", permitted=["me@a.example"]),
        code=PERMITTED, says="its name constraints are for other names", name=None, **NO_NAME,
    ),
    "below an intermediate": Case(
        lambda: three(middle={"permitted": ["test"]}), code=PERMITTED, says="CN=middle may not vouch for", **NO_NAME
    ),
    "a leaf with constraints": Case(
        lambda: three(end={"permitted": ["example"]}), "name_constraints", Alert.unsupported_certificate, 51, "only a CA may have",
        openssl=0, why="not even with -x509_strict",
    ),
}  # fmt: skip

# private PKIs -----------------------------------------------------------------------------------------------------------


def trustme() -> Chain:
    """As trustme makes them: a critical subjectAltName beside a subject, a CA with path length 9, no keyUsage of leaves."""
    root = ca("trustme CA", room=9, identifiers=False)
    return Chain([root], [leaf(root, critical_names=True, key_usage=None)])


PRIVATE = {
    "root without keyUsage": Case(
        lambda: three(root={"key_usage": None}), openssl=92, why="-x509_strict: X509_V_ERR_CA_CERT_MISSING_KEY_USAGE"
    ),
    "root without keyUsage, not strict": Case(lambda: three(root={"key_usage": None}), options=()),
    "intermediate without keyUsage": Case(lambda: three(middle={"key_usage": None}), options=()),
    "leaf without identifiers": Case(lambda: three(end={"identifiers": False}), options=()),
    "no identifiers at all": Case(
        lambda: three({"identifiers": False}, {"identifiers": False}, {"identifiers": False}), options=()
    ),
    "trustme": Case(trustme, options=()),
    "critical names": Case(lambda: three(end={"critical_names": True})),
    "serial number 1": Case(lambda: two(end={"serial": 1})),
    "ten years": Case(lambda: three(*[{"end": NOW + 3650 * DAY}] * 3)),
    "mixed kinds of CA": Case(lambda: three({"key": key("ed25519")}, {"key": key("rsa2048")}, {"key": key("p384")})),
    "client of an Ed25519 CA": Case(lambda: three({"key": key("ed25519")}, end={"names": ()}), client=True, name=None),
}  # fmt: skip

ALL = {
    f"{family}: {name}": case
    for family, cases in (
        ("chains", CHAINS),
        ("times", TIMES),
        ("usages", USAGES),
        ("keys", KEYS),
        ("extensions", EXTENSIONS),
        ("private", PRIVATE),
    )
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", ALL)
def test_verdict(name: str, tmp_path: Path) -> None:
    case = ALL[name]
    chain = case.build()
    if not case.reason:
        assert case.verdict(chain) == chain.expected_path()
    else:
        with pytest.raises(CertificateError) as caught:
            case.verdict(chain)
        error = caught.value
        assert (error.reason, error.alert, error.verify_code) == (case.reason, case.alert, case.code), error
        assert case.says in error.message
        assert case.remedy in error.remedy
        assert (str(error) + error.remedy).isprintable()
        assert error.chain == tuple(each.der for each in chain.sent)
        assert error.verify_message == error.message
    expected = case.code if case.openssl is None else case.openssl
    assert bool(case.why) == (expected != case.code)
    if expected != NO_OPINION and chain.trusted:
        trusted = [each.certificate for each in chain.trusted]
        found = openssl_verify(tmp_path, trusted, chain.certificates(), case.name, *case.options, client=case.client, at=case.at)
        assert found == expected


# what only OpenSSL can make -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "names", "reason", "code", "says"),
    [
        (("-sha1",), (HOST,), "weak_signature", 68, "signed with sha1"),
        (("-md5",), (HOST,), "weak_signature", 68, "signed with md5"),
        ((), (), "name_mismatch", 62, "has no subjectAltName"),  # version 1
        (("-sha512",), (HOST,), "", 0, ""),
        (("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20"), (HOST,), "", 0, ""),
    ],
    ids=["sha1", "md5", "version-1", "sha512", "pss-with-another-salt"],
)
def test_signed_by_openssl(
    options: tuple[str, ...], names: tuple[str, ...], reason: str, code: int, says: str, tmp_path: Path
) -> None:
    root = ca("root", key=key("rsa2048"))
    chain = Chain([root], [sign_with_openssl(tmp_path, root, *options, names=names)])
    if not reason:
        assert chain.store().verify(chain.certificates(), HOST) == chain.expected_path()
    else:
        with pytest.raises(CertificateError) as caught:
            chain.store().verify(chain.certificates(), HOST)
        assert (caught.value.reason, caught.value.verify_code) == (reason, code)
        assert says in caught.value.message
    # At its level 2, Debian's, OpenSSL refuses SHA-1 and MD5 too; and a name is not looked for in the common name.
    without_name = None if not names else HOST
    found = openssl_verify(tmp_path, [root.certificate], chain.certificates(), without_name, "-auth_level", "2")
    assert found == (0 if not names else code)


def test_root_of_version_1(tmp_path: Path) -> None:
    """It has no basicConstraints.  OpenSSL takes it for a CA because it is trusted; we want to be told that it is one."""
    root = sign_with_openssl(tmp_path, None, names=(), subject="root")
    assert root.certificate.version is x509.Version.v1
    chain = Chain([root], [leaf(root, identifiers=False)])
    with pytest.raises(CertificateError, match="is no CA, and yet signed") as caught:
        chain.store().verify(chain.certificates(), HOST)
    assert caught.value.reason == "not_a_ca"
    assert openssl_verify(tmp_path, [root.certificate], chain.certificates(), HOST) == 0


def test_serial_number_0(tmp_path: Path) -> None:
    """Against RFC 5280, common in private PKIs, and no reason to print a warning."""
    root = ca("root", key=key("rsa2048"))
    made = sign_with_openssl(tmp_path, root, serial=0)
    assert Chain([root], [made]).store().verify([made.der], HOST) == [made.certificate, root.certificate]
    nameless = sign_with_openssl(tmp_path, root, serial=0, subject="")
    with pytest.raises(CertificateError, match=r"the certificate with serial number 0 is not for other\.example"):
        Chain([root], [nameless]).store().verify([nameless.der], "other.example")
