"""Host names: what is asked for, what a certificate covers, and what OpenSSL says to the same (RFC 9525, RFC 6066 section 3)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from minitls.certificates.names import is_address, matches, normalise
from minitls.certificates.trust import TrustStore
from minitls.errors import Alert, CertificateError, Misuse
from tests.chains import SERVER, Made, ca, leaf, openssl_verify

NORMAL = {
    "example.com": "example.com",
    "EXAMPLE.com": "example.com",
    "example.com.": "example.com",
    "localhost": "localhost",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "bücher.example": "xn--bcher-kva.example",
    "BÜCHER.example.": "xn--bcher-kva.example",
    "bücher。example": "xn--bcher-kva.example",  # the ideographic full stop is a dot (RFC 3490 3.1)
    "bücher。example。": "xn--bcher-kva.example",
    "a-b.example": "a-b.example",
    "3com.example": "3com.example",
    "1.2.3.4.example": "1.2.3.4.example",
    "127.0.0.1": "127.0.0.1",
    "::1": "::1",
    "[::1]": "::1",
    "2001:DB8:0:0::1": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "[fe80::1%2]": "fe80::1",
    "::ffff:127.0.0.1": "::ffff:7f00:1",
    "a" * 63 + ".example": "a" * 63 + ".example",
}
NO_NAMES = {
    "": "it is empty",
    ".": "it is empty",
    "a..b": "one of its labels is empty",
    ".a": "one of its labels is empty",
    "a..": "one of its labels is empty",
    "a_b.example": "an underscore",
    "_dmarc.example": "an underscore",
    "-a.example": "inner hyphens",
    "a-.example": "inner hyphens",
    "*.example": "letters, digits",
    "a b": "letters, digits",
    "a\x00.example": "letters, digits",
    "a.example\n": "letters, digits",
    "http://a.example": "letters, digits",
    "a.example:443": "letters, digits",
    "a.example/": "letters, digits",
    "[a.example]": "letters, digits",
    "user@a.example": "letters, digits",
    "a" * 64 + ".example": "more than 63",
    ".".join(["a" * 49] * 6): "more than 253",
    "127.1": "its last label is a number",
    "1.2.3.4.5": "its last label is a number",
    "256.1.1.1": "its last label is a number",
    "2130706433": "its last label is a number",
    "\u202ea.example": "no host name",
    "a\u2028b": "no host name",
    "ü" * 64: "no host name",
}


@pytest.mark.parametrize("name", NORMAL)
def test_normal_form(name: str) -> None:
    assert normalise(name) == NORMAL[name]
    assert normalise(NORMAL[name]) == NORMAL[name]


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: repr(name)[:24])
def test_no_host_name(name: str) -> None:
    with pytest.raises(Misuse, match="is no host name") as caught:
        normalise(name)
    assert NO_NAMES[name] in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.reason == "bad_host_name"


def test_addresses() -> None:
    assert all(map(is_address, ("127.0.0.1", "::1", "2001:db8::", "fe80::1%eth0")))
    assert not any(map(is_address, ("localhost", "127.1", "0x7f.0.0.1", "1.2.3", "[::1]", "", "010.0.0.1")))


MATCHES = [
    ("example.com", "example.com", True),
    ("EXAMPLE.com", "example.COM", True),
    ("example.com", "www.example.com", False),
    ("www.example.com", "example.com", False),
    ("*.example.com", "www.example.com", True),
    ("*.EXAMPLE.com", "www.example.com", True),
    ("*.example.com", "example.com", False),
    ("*.example.com", "a.www.example.com", False),
    ("*.example.com", ".example.com", False),
    ("*.example.com", "xn--bcher-kva.example.com", True),
    ("w*.example.com", "www.example.com", False),
    ("*w.example.com", "www.example.com", False),
    ("xn--*.example.com", "xn--bcher-kva.example.com", False),
    ("www.*.com", "www.example.com", False),
    ("*.*.com", "www.example.com", False),
    ("*.com", "example.com", False),
    ("*.", "example.", False),
    ("*", "example", False),
    ("*", "example.com", False),
    ("", "", True),  # and "" is no name that anybody can ask for
    ("example.com.", "example.com", False),
    ("*.0.0.1", "127.0.0.1", False),
    ("example.com\x00.evil.example", "example.com", False),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), MATCHES)
def test_matches(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


class Row(NamedTuple):
    """``code``: OpenSSL's number for our verdict, 0 for good; ``openssl``: what it says itself, and ``why`` where that differs."""

    names: tuple[str, ...]
    asked: str
    code: int
    openssl: int | None = None
    why: str = ""


NO_OPINION = -1
HOSTNAME, ADDRESS = 62, 64  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
ROWS = {
    "exact": Row(("a.example",), "a.example", 0),
    "case": Row(("A.Example",), "a.eXAMPLE", 0),
    "second of two": Row(("a.example", "b.example"), "b.example", 0),
    "another": Row(("a.example",), "b.example", HOSTNAME),
    "parent": Row(("a.example",), "example", HOSTNAME),
    "child": Row(("a.example",), "b.a.example", HOSTNAME),
    "wildcard": Row(("*.a.example",), "b.a.example", 0),
    "wildcard, case": Row(("*.A.example",), "B.a.example", 0),
    "wildcard, itself": Row(("*.a.example",), "a.example", HOSTNAME),
    "wildcard, two labels": Row(("*.a.example",), "c.b.a.example", HOSTNAME),
    "wildcard of a part": Row(("b*.a.example",), "bc.a.example", HOSTNAME, 0, "OpenSSL takes RFC 6125's partial wildcards"),
    "wildcard inside": Row(("b.*.example",), "b.a.example", HOSTNAME),
    "wildcard of a registry": Row(("*.example",), "a.example", HOSTNAME),
    "wildcard of all": Row(("*",), "a.example", HOSTNAME),
    "wildcard, A-label": Row(("*.a.example",), "xn--bcher-kva.a.example", 0),
    "A-label": Row(("xn--bcher-kva.example",), "xn--bcher-kva.example", 0),
    "U-label asked": Row(("xn--bcher-kva.example",), "bücher.example", 0, HOSTNAME, "OpenSSL converts nothing"),
    "trailing dot asked": Row(("a.example",), "a.example.", 0, HOSTNAME, "OpenSSL compares it as it is"),
    "trailing dot certified": Row(("a.example.",), "a.example", HOSTNAME),
    "one label": Row(("localhost",), "localhost", 0),
    "common name only": Row((), "cn.example", HOSTNAME, 0, "OpenSSL falls back to the common name, which RFC 9525 ended"),
    "common name beside a name": Row(("a.example",), "cn.example", HOSTNAME),
    "common name beside an address": Row(("127.0.0.1",), "cn.example", HOSTNAME, 0, "the same fallback"),
    "a mailbox": Row(("me@a.example",), "a.example", HOSTNAME),
    "a URI": Row(("uri:https://a.example/",), "a.example", HOSTNAME),
    "NUL": Row(("a.example\x00.evil.example",), "a.example", HOSTNAME),
    "IPv4": Row(("192.0.2.1",), "192.0.2.1", 0),
    "IPv4, another": Row(("192.0.2.1",), "192.0.2.2", ADDRESS),
    "IPv4 as a host": Row(("dns:192.0.2.1",), "192.0.2.1", ADDRESS),
    "IPv4 as a wildcard": Row(("dns:*.0.2.1",), "192.0.2.1", ADDRESS),
    "IPv6": Row(("2001:db8::1",), "2001:db8::1", 0),
    "IPv6, written otherwise": Row(("2001:db8::1",), "2001:0DB8:0::0:1", 0),
    "IPv6, another": Row(("2001:db8::1",), "2001:db8::2", ADDRESS),
    "IPv6 with a zone": Row(("fe80::1",), "fe80::1%eth0", 0, NO_OPINION, "OpenSSL takes no zone"),
    "IPv4 in IPv6": Row(("192.0.2.1",), "::ffff:192.0.2.1", ADDRESS),
    "an address for a host": Row(("192.0.2.1",), "a.example", HOSTNAME),
}


@pytest.fixture(scope="module")
def root() -> Made:
    return ca("a root")


@pytest.mark.parametrize("case", ROWS)
def test_names_of_certificates(case: str, root: Made, tmp_path: Path) -> None:
    row = ROWS[case]
    made = leaf(root, names=row.names, subject="cn.example", purposes=[SERVER])
    store = TrustStore.from_certificates([root.certificate])
    # The web's verifier finds a path for the first, and ours for the second: the verdict on the name is the same.
    for certificate in (made.certificate, leaf(root, names=row.names, subject="cn.example", identifiers=False).certificate):
        if row.code == 0:
            assert store.verify([certificate], row.asked) == [certificate, root.certificate]
            continue
        with pytest.raises(CertificateError) as caught:
            store.verify([certificate], row.asked)
        error = caught.value
        assert (error.reason, error.alert, error.verify_code) == ("name_mismatch", Alert.bad_certificate, row.code)
        assert error.remedy
        assert str(error).isprintable()
    expected = row.code if row.openssl is None else row.openssl
    assert row.why or expected == row.code
    if expected != NO_OPINION:
        assert openssl_verify(tmp_path, [root.certificate], [made.certificate], row.asked) == expected


def test_many_names_are_not_all_told(root: Made) -> None:
    made = leaf(root, names=[f"h{number}.example" for number in range(2000)])
    with pytest.raises(CertificateError) as caught:
        TrustStore.from_certificates([root.certificate]).verify([made.certificate], "a.example")
    assert "h0.example, h1.example" in str(caught.value)
    assert "and 1992 more" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_hostile_names_are_harmless(root: Made) -> None:
    """What a stranger wrote into a certificate moves no cursor, and does not look like a line of ours."""
    made = leaf(root, names=("a\x1b[2J.example", "b\r\nminitls: verified.example"), subject="c\n\x1b]0;d\x07\u202e" + "e" * 50)
    for asked in ("a.example", "127.0.0.1"):
        with pytest.raises(CertificateError) as caught:
            TrustStore.from_certificates([root.certificate]).verify([made.certificate], asked)
        assert str(caught.value).isprintable()
        assert "\\x1b[2J" in str(caught.value)


def test_misuse(root: Made) -> None:
    """A name that no certificate can have is the caller's mistake, and said before anything is verified."""
    store = TrustStore.from_certificates([root.certificate])
    with pytest.raises(Misuse, match="underscore"):
        store.verify([b"no certificate"], "a_b.example")
