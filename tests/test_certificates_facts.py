"""What a certificate says, read from its DER where that is quicker: the same as pyca/cryptography reads, or cannot read."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from cryptography import x509

from minitls.certificates.facts import Facts, facts_of, read_facts
from minitls.certificates.faults import PARSE_ERRORS, quietly, read_der
from minitls.certificates.trust import TrustStore
from minitls.errors import CertificateError
from tests.asn1 import der, object_identifier, sequence
from tests.chains import HOST, Made, ca, key, leaf, patched

CN, COUNTRY, MAILBOX, UNIQUE = "2.5.4.3", "2.5.4.6", "1.2.840.113549.1.9.1", "2.5.4.45"
UTF8, PRINTABLE, T61, IA5, BMP, UNIVERSAL = 0x0C, 0x13, 0x14, 0x16, 0x1E, 0x1C


def name(*sets: tuple[tuple[str, int, bytes], ...]) -> bytes:
    attributes = ((sequence(object_identifier(oid), der(tag, value)) for oid, tag, value in each) for each in sets)
    return sequence(*(der(0x31, *sorted(each)) for each in attributes))


def common(tag: int, value: bytes) -> bytes:
    return name(((CN, tag, value),))


NAMES = {
    "none": name(),
    "ASCII": common(UTF8, b"a.example"),
    "printable": common(PRINTABLE, b"A Example"),
    "not printable": common(PRINTABLE, b"a@example"),
    "IA5": common(IA5, b"a@example"),
    "IA5 that is none": common(IA5, b"\xe9"),
    "UTF-8": common(UTF8, "é".encode()),
    "UTF-8 that is none": common(UTF8, b"\xff\xfe"),
    "T61": common(T61, b"a"),
    "BMP": common(BMP, b"\0a\0b"),
    "BMP of odd length": common(BMP, b"\0a\0"),
    "universal": common(UNIVERSAL, b"\0\0\0a"),
    "octets": common(0x04, b"a"),
    "null": common(0x05, b""),
    "bits": common(0x03, b"\0abc"),
    "bits in their place": name(((UNIQUE, 0x03, b"\0abc"),)),
    "empty text": common(UTF8, b""),
    "64 characters": common(UTF8, b"x" * 64),
    "65 characters": common(UTF8, b"x" * 65),
    "long": name(*(((f"2.5.4.{kind}", UTF8, b"x" * 50),) for kind in (10, 11, 3))),
    "country": name(((COUNTRY, PRINTABLE, b"DE"),), ((CN, UTF8, b"a"),)),
    "country of three letters": name(((COUNTRY, PRINTABLE, b"USA"),), ((CN, UTF8, b"a"),)),
    "mailbox": name(((MAILBOX, IA5, b"me@a.example"),)),
    "two in a set": name(((CN, UTF8, b"a"), (COUNTRY, PRINTABLE, b"DE"))),
    "empty set": name(()),
    "twice": name(((CN, UTF8, b"a"),), ((CN, UTF8, b"a"),)),
    "structure": common(0x30, der(UTF8, b"a")),
    "unknown kind": name((("2.5.4.99", UTF8, b"a"),)),
}

REFUSED = ("not printable", "BMP of odd length")
"""With such a name, nothing of a certificate is read."""


def outcome(ask: Callable[[], bytes]) -> bytes | str:
    try:
        with quietly():
            return ask()
    except PARSE_ERRORS as error:
        return f"{type(error).__name__}: {error}"


def check(der: bytes) -> bool:
    """Whether it could be read, and so was compared."""
    try:
        certificate = read_der(der)
    except PARSE_ERRORS:
        return False
    facts = Facts(certificate)
    assert outcome(lambda: facts.subject) == outcome(lambda: certificate.subject.public_bytes())
    assert outcome(lambda: facts.issuer) == outcome(lambda: certificate.issuer.public_bytes())
    assert facts.tbs == certificate.tbs_certificate_bytes
    assert facts.der == der
    return True


@pytest.fixture(scope="module")
def root() -> Made:
    return ca("root")


@pytest.mark.parametrize("shown", NAMES)
def test_names(shown: str, root: Made) -> None:
    made = leaf(root)
    mine, above = (each.public_bytes() for each in (made.certificate.subject, made.certificate.issuer))
    as_subject, as_issuer = patched(made, root, (mine, NAMES[shown])), patched(made, root, (above, NAMES[shown]))
    assert check(as_subject) is check(as_issuer) is (shown not in REFUSED)
    if shown in REFUSED:
        return
    assert read_facts(as_subject).raw_subject == read_facts(as_issuer).outline.issuer == NAMES[shown]


@pytest.mark.parametrize("shown", NAMES)
def test_mutated_names(shown: str, root: Made) -> None:
    chooser = random.Random(shown)
    made = leaf(root)
    mine, read = made.certificate.subject.public_bytes(), 0
    for _ in range(300):
        data = bytearray(NAMES[shown])
        place = chooser.randrange(len(data))
        data[place] = chooser.choice((0, 1, 2, 3, 6, UTF8, PRINTABLE, 0x30, 0x31, 0x7F, 0x80, chooser.randrange(256)))
        read += check(patched(made, root, (mine, bytes(data))))
    assert read > 0


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "ed25519"])
def test_outline(kind: str) -> None:
    """Of whatever length."""
    by = ca("root", key=key(kind))
    for count in (1, 4, 300):
        made = leaf(by, names=[f"h{number}.example" for number in range(count)])
        facts = Facts(made.certificate)
        assert facts.tbs == made.certificate.tbs_certificate_bytes
        assert facts.outline.algorithm == facts.outline.outer
        assert facts.outline.outer in made.der[len(facts.tbs) :]
        assert facts.outline.issuer == by.certificate.subject.public_bytes()
        assert facts.raw_subject == made.certificate.subject.public_bytes()


def test_outline_without_a_version(root: Made) -> None:
    """Version 1 is not written."""
    made = leaf(root)
    first = patched(made, root, (b"\xa0\x03\x02\x01\x02", b""))
    assert check(first)
    assert read_facts(first).certificate.version is x509.Version.v1


def test_no_warnings(root: Made, recwarn: pytest.WarningsRecorder) -> None:
    """Whatever a stranger's certificate says, nothing is printed."""
    odd = NAMES["country of three letters"]
    middle = patched(made := ca("middle", root, excluded=["dir:x"]), root, (made.certificate.subject.public_bytes(), odd))
    end = leaf(made)
    chain = [patched(end, made, (made.certificate.subject.public_bytes(), odd)), middle]
    store = TrustStore.from_certificates([root.certificate])
    assert len(store.verify(chain, HOST)) == 3
    with pytest.raises(CertificateError, match="C=USA"):
        TrustStore.from_certificates([made.certificate]).verify(chain, HOST)
    assert list(recwarn) == []


def test_facts_are_shared() -> None:
    """By all who meet the same certificate, however they came by it."""
    made = ca("root")
    assert read_facts(made.der) is read_facts(bytes(bytearray(made.der))) is facts_of(read_der(made.der))
    assert read_facts(made.der).der == made.der
