"""The dictionary of getpeercert(): ours against the standard library's own decoder, certificate by certificate."""

from __future__ import annotations

import re
import ssl
from _ssl import _test_decode_cert  # type: ignore[attr-defined]  # CPython's hook for its own tests: a file in PEM, decoded as a peer's is
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minitls.certificates.authority import Authority
from minitls.certificates.faults import name_of, read_der, read_pem
from minitls.certificates.peercert import peercert
from minitls.errors import CertificateError
from tests.asn1 import der, object_identifier, sequence
from tests.chains import key

INTEGER, BITS, OCTETS, UTF8, PRINTABLE, NUMERIC, T61, IA5, UTC_TIME, GENERALIZED, UNIVERSAL, BMP = (
    (2, 3, 4, 12, 19, 18, 20, 22, 23, 24, 28, 30)
)  # fmt: skip
ECDSA_SHA256 = sequence(object_identifier("1.2.840.10045.4.3.2"))
SPKI = key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
SAN, DISTRIBUTION_POINTS, AIA = "2.5.29.17", "2.5.29.31", "1.3.6.1.5.5.7.1.1"
UPN, XMPP, SRV, REALM, MAILBOX = "1.3.6.1.4.1.311.20.2.3", *(f"1.3.6.1.5.5.7.8.{n}" for n in (5, 7, 8, 9))


def made(
    *,
    subject: bytes = sequence(),
    issuer: bytes = sequence(),
    serial: bytes = b"\5",
    version: int | None = 2,
    since: bytes = der(UTC_TIME, b"200101000000Z"),
    until: bytes = der(UTC_TIME, b"400101000000Z"),
    **extensions: tuple[str, bytes],
) -> bytes:
    """A certificate in DER as nobody would sign it; the signature is never looked at."""
    listed = [sequence(object_identifier(oid), der(OCTETS, value)) for oid, value in extensions.values()]
    tbs = sequence(
        b"" if version is None else der(0xA0, der(INTEGER, bytes([version]))),
        der(INTEGER, serial),
        ECDSA_SHA256,
        issuer,
        sequence(since, until),
        subject,
        SPKI,
        der(0xA3, sequence(*listed)) if listed else b"",
    )
    return sequence(tbs, ECDSA_SHA256, der(BITS, b"\0" + sequence(der(INTEGER, b"\1"), der(INTEGER, b"\1"))))


def named(*names: bytes) -> bytes:
    """A certificate with this subjectAltName."""
    return made(san=(SAN, sequence(*names)))


def rdn(*attributes: tuple[str, int, bytes]) -> bytes:
    """A SET OF: DER has an order for it."""
    return der(0x31, *sorted(sequence(object_identifier(oid), der(tag, value)) for oid, tag, value in attributes))


def other(oid: str, value: bytes) -> bytes:
    return der(0xA0, object_identifier(oid), der(0xA0, value))


def uri(text: bytes) -> bytes:
    return der(0x86, text)


def registered(oid: str) -> bytes:
    return b"\x88" + object_identifier(oid)[1:]


@pytest.fixture(scope="module")
def pem_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peercert") / "certificate.pem"


def standard(file: Path, certificate: bytes) -> dict[str, Any]:
    """What the standard library says of it."""
    file.write_text(ssl.DER_cert_to_PEM_cert(certificate))
    said: dict[str, Any] = _test_decode_cert(str(file))
    return said


CN, ORGANISATION, COUNTRY = "2.5.4.3", "2.5.4.10", "2.5.4.6"
NAMES = {
    "empty": sequence(),
    "utf8": sequence(rdn((CN, UTF8, "Zoë".encode()))),
    "printable": sequence(rdn((CN, PRINTABLE, b"O'Reilly + Co"))),
    "t61": sequence(rdn((CN, T61, b"plain"))),
    "ia5": sequence(rdn((CN, IA5, b"plain@*"))),
    "numeric": sequence(rdn((CN, NUMERIC, b"12 34"))),
    "bmp": sequence(rdn((CN, BMP, "Zoë".encode("utf-16-be")))),
    "universal": sequence(rdn((CN, UNIVERSAL, "Zoë 🦊".encode("utf-32-be")))),
    "no text at all": sequence(rdn((CN, UTF8, b""))),
    "with a NUL": sequence(rdn((CN, UTF8, b"bank.example\0.evil.example"))),
    "with a line feed": sequence(rdn((CN, UTF8, b"a\nb"))),
    "longer than X.520 says": sequence(rdn((CN, UTF8, b"x" * 300)), rdn((COUNTRY, PRINTABLE, b"DEX"))),
    "several of a kind": sequence(
        rdn((COUNTRY, PRINTABLE, b"DE")), rdn((ORGANISATION, UTF8, b"a")), rdn((ORGANISATION, UTF8, b"b")), rdn((CN, UTF8, b"c"))
    ),
    "several in one": sequence(rdn((CN, UTF8, b"b"), (ORGANISATION, UTF8, b"a")), rdn((CN, UTF8, b"c"), (CN, UTF8, b"a"))),
    "mailbox": sequence(rdn(("1.2.840.113549.1.9.1", IA5, b"a@example"))),
    "extended validation": sequence(
        rdn(("1.3.6.1.4.1.311.60.2.1.3", PRINTABLE, b"US")),
        rdn(("1.3.6.1.4.1.311.60.2.1.2", PRINTABLE, b"Delaware")),
        rdn(("2.5.4.15", PRINTABLE, b"Private Organization")),
        rdn(("2.5.4.5", PRINTABLE, b"5157550")),
    ),
    "of everybody's domain": sequence(rdn(("0.9.2342.19200300.100.1.25", IA5, b"example"))),
    "an OID that nobody knows": sequence(
        rdn(("1.3.6.1.4.1.99999.7.3", UTF8, b"x")), rdn(("2.999.18446744073709551616", UTF8, b"y"))
    ),
    "unique identifier": sequence(rdn(("2.5.4.45", BITS, b"\0ab")), rdn(("2.5.4.45", BITS, b"\4\xf0"))),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str, pem_file: Path) -> None:
    certificate = made(subject=NAMES[name], issuer=NAMES["several in one"])
    assert peercert(certificate) == standard(pem_file, certificate)


@pytest.mark.parametrize(
    "octets",
    [b"\x00", b"\x05", b"\x01\x23", b"\x00\x80", b"\x7f" * 20, b"\xff", b"\x80", b"\xff\x7f", b"\x80" + bytes(15)],
    ids=bytes.hex,
)
def test_serial_numbers(octets: bytes, pem_file: Path) -> None:
    certificate = made(serial=octets)
    assert peercert(certificate)["serialNumber"] == standard(pem_file, certificate)["serialNumber"]


def test_an_endless_serial_number(pem_file: Path) -> None:
    """RFC 5280 allows 20 octets.  OpenSSL breaks the line, of which the standard library reads the first: we say it all."""
    certificate = made(serial=b"\x7f" * 40)
    assert standard(pem_file, certificate)["serialNumber"] == "7F" * 35 + "\\\n"
    assert peercert(certificate)["serialNumber"] == "7F" * 40


def test_no_certificate_warns() -> None:
    """As of this name and this serial number, with pytest's filter that makes errors of warnings."""
    odd = read_der(made(subject=NAMES["longer than X.520 says"], issuer=NAMES["no text at all"], serial=b"\0"))
    assert name_of(odd).startswith("the certificate of C=DEX,CN=xxx")
    assert peercert(odd.public_bytes(Encoding.DER))["issuer"] == ((("commonName", ""),),)


@pytest.mark.parametrize("version", [None, 2])
def test_versions(version: int | None, pem_file: Path) -> None:
    certificate = made(version=version)
    said = peercert(certificate)
    assert said["version"] == {None: 1, 2: 3}[version]
    assert said == standard(pem_file, certificate)


@pytest.mark.parametrize(
    "when",
    [
        der(UTC_TIME, b"500101000000Z"),
        der(UTC_TIME, b"491231235959Z"),
        der(UTC_TIME, b"000229010203Z"),
        der(GENERALIZED, b"20500601120000Z"),
        der(GENERALIZED, b"20401010101010Z"),
        der(GENERALIZED, b"99991231235959Z"),
        der(GENERALIZED, b"00010101000000Z"),
    ],
    ids=lambda when: when[2:].decode(),
)
def test_moments(when: bytes, pem_file: Path) -> None:
    certificate = made(since=when, until=when)
    assert peercert(certificate) == standard(pem_file, certificate)


def test_each_month(pem_file: Path) -> None:
    for month in range(1, 13):
        certificate = made(until=der(UTC_TIME, f"30{month:02}01120000Z".encode()))
        said = peercert(certificate)["notAfter"]
        assert said == standard(pem_file, certificate)["notAfter"]
        assert datetime.fromtimestamp(ssl.cert_time_to_seconds(said), UTC).month == month


GENERAL_NAMES = {
    "none": [],
    "hosts": [
        der(0x82, b"a.example"),
        der(0x82, b"*.b.example"),
        der(0x82, b""),
        der(0x82, b"a\0b"),
        der(0x82, "ü.example".encode()),
    ],
    "addresses": [
        der(0x87, bytes([127, 0, 0, 1])),
        der(0x87, bytes(15) + b"\1"),
        der(0x87, b" \1\r\xb8" + bytes(10) + b"\xff\xff"),
    ],
    "a network": [der(0x87, bytes([10, 0, 0, 0, 255, 0, 0, 0])), der(0x87, bytes(32))],
    "mailboxes": [der(0x81, b"a@b.example"), der(0x81, b"x")],
    "URIs": [uri(b"https://a.example/%20?x"), uri(b"spiffe://example/it"), uri(b"")],
    "directory names": [der(0xA4, NAMES["several in one"]), der(0xA4, sequence())],
    "registered IDs": [registered(oid) for oid in ("1.2.3.4.5", CN, "1.3.6.1.5.5.7.3.1", "2.999.3", "1.3.6.1.5.5.7.48.1")],
    "another name of no known kind": [other("1.2.3.4", der(UTF8, b"x"))],
    "another name of another type": [
        other(UPN, der(IA5, b"x")),
        other(SRV, der(UTF8, b"x")),
        other(UPN, b"\5\0"),
        other(MAILBOX, sequence()),
    ],
    "all kinds": [
        other(UPN, der(UTF8, b"me@example")),
        der(0x81, b"me@example"),
        der(0x82, b"host.example"),
        der(0xA4, NAMES["utf8"]),
        uri(b"urn:x"),
        der(0x87, bytes(4)),
        registered("1.2.3"),
        der(0x82, b"host.example"),
    ],
}


@pytest.mark.parametrize("kind", GENERAL_NAMES)
def test_subject_alternative_names(kind: str, pem_file: Path) -> None:
    certificate = named(*GENERAL_NAMES[kind])
    said = peercert(certificate)
    assert said == standard(pem_file, certificate)
    assert len(said["subjectAltName"]) == len(GENERAL_NAMES[kind])


@pytest.mark.parametrize("oid", [UPN, XMPP, SRV, REALM, MAILBOX])
def test_other_names(oid: str, pem_file: Path) -> None:
    """OpenSSL prints them into lines of text, which has traces: a line feed, a NUL, and a length that is enough."""
    tag = IA5 if oid == SRV else UTF8
    for text in (b"me", b"", b"a:b", b"x\ny", b"\n", b"a\0b", b"x" * 200, *(b"x" * n for n in range(2000, 2060)), b"x" * 70000):
        certificate = named(other(oid, der(tag, text)))
        assert peercert(certificate) == standard(pem_file, certificate), text


def test_where_to_ask(pem_file: Path) -> None:
    def description(method: int, *location: bytes) -> bytes:
        return sequence(object_identifier(f"1.3.6.1.5.5.7.48.{method}"), *location)

    def point(*names: bytes) -> bytes:
        return sequence(der(0xA0, der(0xA0, *names)))

    full = made(
        aia=(
            AIA,
            sequence(
                description(1, uri(b"http://o1")),
                description(2, uri(b"http://i1")),
                description(3, uri(b"http://timestamps")),
                description(1, der(0x82, b"a.host")),
                description(1, uri(b"http://o2")),
            ),
        ),
        crls=(
            DISTRIBUTION_POINTS,
            sequence(point(uri(b"http://a"), der(0x82, b"a.host"), uri(b"ldap://b")), point(uri(b"http://c"))),
        ),
    )
    said = peercert(full)
    assert said == standard(pem_file, full)
    assert said["OCSP"] == ("http://o1", "http://o2")
    assert said["caIssuers"] == ("http://i1",)
    assert said["crlDistributionPoints"] == ("http://a", "ldap://b", "http://c")
    only_names = made(
        aia=(AIA, sequence(description(1, der(0x82, b"a.host")))),
        crls=(DISTRIBUTION_POINTS, sequence(point(der(0x82, b"a.host")), sequence(der(0xA0, der(0xA1, *_common_name()))))),
    )
    said = peercert(only_names)
    assert said == standard(pem_file, only_names)
    assert set(said) == {"subject", "issuer", "version", "serialNumber", "notBefore", "notAfter"}


def _common_name() -> tuple[bytes]:
    return (sequence(object_identifier(CN), der(UTF8, b"relative")),)


def test_our_own_certificates(pem_file: Path) -> None:
    authority = Authority.create()
    for certificate in authority.issue("host.example", "*.host.example", "127.0.0.1", "::1").chain:
        encoded = certificate.public_bytes(Encoding.DER)
        assert peercert(encoded) == standard(pem_file, encoded)


def test_every_root_of_the_system(pem_file: Path) -> None:
    file = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    if not Path(file).is_file():
        pytest.skip(f"there is no {file}")
    roots = [root.public_bytes(Encoding.DER) for root in read_pem(Path(file).read_bytes())]
    assert len(roots) > 50
    for root in roots:
        assert peercert(root) == standard(pem_file, root)


@pytest.mark.parametrize(
    "certificate",
    [
        b"",
        b"no certificate",
        made()[:-1],
        made() + b"\0",
        made(version=1),
        made(until=der(UTC_TIME, b"201301000000Z")),
        made(subject=sequence(rdn((CN, T61, b"a\xfc")))),
        made(subject=sequence(rdn((CN, PRINTABLE, b"*.example")))),
        named(der(0xA3, sequence())),
        named(der(0x87, b"abc")),
        named(uri(b"http://\xff")),
        named(other(XMPP, der(UTF8, "ü".encode() * 2000))),
        made(one=(SAN, sequence()), two=(SAN, sequence())),
        made(subject=sequence(rdn((CN, UTF8, b"x"), (CN, IA5, b"x")))),
        made(subject=sequence(der(0x31))),
    ],
    ids=range(15),
)
def test_what_cannot_be_read(certificate: bytes) -> None:
    """OpenSSL reads some of these; no peer gets through our verification with one."""
    with pytest.raises(CertificateError) as caught:
        peercert(certificate)
    assert caught.value.reason == "malformed"
    assert caught.value.chain == (certificate,)


# What a certificate may say, at random.

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_bmp = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=20)
_ascii = st.text(st.characters(max_codepoint=127), max_size=20)
_printable = st.from_regex(re.compile(r"[A-Za-z0-9 '()+,./:=?-]{0,20}", re.ASCII), fullmatch=True)
_strings = st.one_of(
    _text.map(lambda text: (UTF8, text.encode())),
    _text.map(lambda text: (UNIVERSAL, text.encode("utf-32-be"))),
    _bmp.map(lambda text: (BMP, text.encode("utf-16-be"))),
    _ascii.map(lambda text: (IA5, text.encode())),
    _ascii.map(lambda text: (T61, text.encode())),
    _printable.map(lambda text: (PRINTABLE, text.encode())),
)
_arcs = st.lists(st.integers(0, 2**40), max_size=5)
_oids = st.one_of(
    st.integers(0, 60).map(lambda n: f"2.5.4.{n}"),
    st.integers(0, 60).map(lambda n: f"0.9.2342.19200300.100.1.{n}"),
    st.integers(0, 60).map(lambda n: f"1.2.840.113549.1.9.{n}"),
    st.tuples(st.integers(0, 2), st.integers(0, 39), _arcs).map(lambda o: ".".join(map(str, (o[0], o[1], *o[2])))),
)
# A unique identifier is a BIT STRING, and nothing else.
_attributes = st.tuples(_oids.filter(lambda oid: oid != "2.5.4.45"), _strings).map(lambda a: (a[0], *a[1]))
_rdns = st.lists(_attributes, min_size=1, max_size=3, unique_by=lambda attribute: attribute[0]).map(
    lambda attributes: rdn(*attributes)
)
_names = st.lists(_rdns, max_size=5).map(lambda rdns: sequence(*rdns))
_general_names = st.one_of(
    _ascii.map(lambda text: der(0x81, text.encode())),
    _ascii.map(lambda text: der(0x82, text.encode())),
    _ascii.map(lambda text: uri(text.encode())),
    _names.map(lambda name: der(0xA4, name)),
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)).map(lambda packed: der(0x87, packed)),
    _oids.map(registered),
    st.tuples(st.sampled_from([UPN, XMPP, SRV, REALM, MAILBOX, "1.2.3"]), _strings).map(lambda o: other(o[0], der(*o[1]))),
)
_moments = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31)).map(
    lambda when: (
        der(UTC_TIME, f"{when:%y%m%d%H%M%SZ}".encode()) if when.year < 2050 else der(GENERALIZED, f"{when:%Y%m%d%H%M%SZ}".encode())
    )
)
_serials = st.integers(-(2**160), 2**160).map(lambda n: n.to_bytes((n + (n < 0)).bit_length() // 8 + 1, signed=True))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(_names, _names, _serials, _moments, _moments, st.lists(_general_names, max_size=6))
def test_any_certificate(
    pem_file: Path, subject: bytes, issuer: bytes, serial: bytes, since: bytes, until: bytes, names: list[bytes]
) -> None:
    certificate = made(
        subject=subject, issuer=issuer, serial=serial, since=since, until=until, san=(SAN, sequence(*names))
    )  # fmt: skip
    assert peercert(certificate) == standard(pem_file, certificate)
