"""What a certificate says, each thing read once: it is looked at from many sides, and a CA's comes again with many leaves.

Facts of a certificate alone, which no time, name or trust changes: verdicts are for who asks, each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from minitls.certificates.faults import name_of, quietly, read_der
from minitls.data import dataclass

KEPT = 256
"""Certificates whose facts are remembered: leaves in passing, and the CAs that vouch for the many."""

_Value = TypeVar("_Value", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Outline:
    """Pieces of a certificate as they stand in its DER (RFC 5280 section 4.1), which pyca/cryptography would write anew.

    ``algorithm``: the signature's, as the TBSCertificate has it; ``outer``: as it stands before the signature; ``validity``: where
    it begins, behind the issuer.
    """

    tbs: slice
    algorithm: bytes
    issuer: bytes
    outer: bytes
    validity: int


class Facts:
    """Of one certificate; ``str()`` is what a sentence calls it.

    Raises PARSE_ERRORS where something is asked for that cannot be read, each time.
    """

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self.key_is_sound = False
        """Whether it was found to be worth believing (``keys``)."""

    def __str__(self) -> str:
        return name_of(self.certificate)

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @cached_property
    def outline(self) -> Outline:
        der = self.der
        tbs = _inside(der, 0)
        outer = _end(der, tbs)
        serial = _inside(der, tbs)
        if der[serial] == 0xA0:  # the version stands before it
            serial = _end(der, serial)
        algorithm = _end(der, serial)
        issuer = _end(der, algorithm)
        validity = _end(der, issuer)
        return Outline(slice(tbs, outer), der[algorithm:issuer], der[issuer:validity], der[outer : _end(der, outer)], validity)

    @property
    def tbs(self) -> bytes:
        """The TBSCertificate, which is signed."""
        return self.der[self.outline.tbs]

    @cached_property
    def raw_subject(self) -> bytes:
        """As it stands in the DER."""
        subject = _end(self.der, self.outline.validity)
        return self.der[subject : _end(self.der, subject)]

    @cached_property
    def subject(self) -> bytes:
        """The DER of the name, which can be read."""
        if _is_plain(self.raw_subject):
            return self.raw_subject
        with quietly():
            return self.certificate.subject.public_bytes()

    @cached_property
    def issuer(self) -> bytes:
        """The same of the issuer's."""
        if _is_plain(self.outline.issuer):
            return self.outline.issuer
        with quietly():
            return self.certificate.issuer.public_bytes()

    @cached_property
    def self_issued(self) -> bool:
        return self.subject == self.issuer or self.certificate.subject == self.certificate.issuer

    @cached_property
    def validity(self) -> tuple[datetime, datetime]:
        return self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc

    @cached_property
    def extensions(self) -> Mapping[type[Any], Any]:
        """Their values by type, in the certificate's order."""
        values = [extension.value for extension in self.certificate.extensions]
        return dict(zip(map(type, values), values, strict=True))

    @cached_property
    def critical(self) -> tuple[x509.ObjectIdentifier, ...]:
        """The extensions that nobody may pass over who does not know them."""
        return tuple([extension.oid for extension in self.certificate.extensions if extension.critical])

    def extension(self, kind: type[_Value]) -> _Value | None:
        value: _Value | None = self.extensions.get(kind)
        return value


class ValidPath(list[x509.Certificate]):
    """A path that was found good, leaf first: a list, for the application; and what its certificates say, for us."""

    __slots__ = ("_facts",)

    def __init__(self, facts: Sequence[Facts]) -> None:
        super().__init__([each.certificate for each in facts])
        self._facts = facts


def facts_in(path: Sequence[x509.Certificate]) -> Sequence[Facts]:
    if isinstance(path, ValidPath) and path == [each.certificate for each in path._facts]:  # whose list it is may have changed it
        return path._facts
    return [*map(facts_of, path)]


@lru_cache(KEPT)
def facts_of(certificate: x509.Certificate) -> Facts:
    return Facts(certificate)


@lru_cache(KEPT)
def read_facts(der: bytes) -> Facts:
    """Those of a certificate in DER.  Raises PARSE_ERRORS."""
    facts = facts_of(read_der(der))
    facts.der = der
    return facts


_ATTRIBUTE = re.compile(rb"\x31(.)\x30(.)\x06\x03\x55\x04(.)[\x0c\x13\x16](.)", re.DOTALL)
"""How a RelativeDistinguishedName begins that has one attribute of X.520, as UTF8String, PrintableString or IA5String."""
_COUNTRY = 6


def _is_plain(name: bytes) -> bool:
    """Whether a name is in ASCII, and such as most are: pyca/cryptography can read it, and would write it as it is.

    Then there is no need of its objects, which take longer than all else that is read of a certificate.
    """
    if not name.isascii():  # so are its lengths: of one byte
        return False
    at, end = 2, len(name)
    while at < end:
        found = _ATTRIBUTE.match(name, at)
        if found is None:
            return False
        outer, inner, kind, size = b"".join(found.groups())
        if outer != inner + 2 or inner != size + 7 or not 1 <= size <= 64 or (kind == _COUNTRY and size != 2):
            return False
        at += 2 + outer
    return at == end


def _inside(der: bytes, at: int) -> int:
    """Where the contents of an element begin (X.690 section 8.1.3)."""
    return at + 2 + (der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0)


def _end(der: bytes, at: int) -> int:
    length = der[at + 1]
    if length < 0x80:
        return at + 2 + length
    contents = at + 2 + (length & 0x7F)
    return contents + int.from_bytes(der[at + 2 : contents])
