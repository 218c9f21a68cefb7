"""A certificate as the standard library tells it: the dictionary of ``ssl.SSLSocket.getpeercert()``, for who reads that one.

It names things as OpenSSL does, and what OpenSSL cannot print it calls ``<unsupported>`` or ``<invalid>``; so do we.  Only what our
verification can read gets here: a name with a character that its string type does not have, an x400Address or an address of three
octets, which OpenSSL lets through, make the whole certificate one that cannot be read.
"""

from __future__ import annotations

from _ssl import txt2obj  # OpenSSL's own table of names: the standard library's answers are made from it
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from minitls.certificates.faults import PARSE_ERRORS, malformed, quietly, read_der

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UTF8_STRING, _IA5_STRING = 0x0C, 0x16
_OTHER_NAMES: Mapping[str, tuple[str, int]] = {
    "1.3.6.1.4.1.311.20.2.3": ("UPN", _UTF8_STRING),
    "1.3.6.1.5.5.7.8.5": ("XmppAddr", _UTF8_STRING),
    "1.3.6.1.5.5.7.8.7": ("SRVName", _IA5_STRING),
    "1.3.6.1.5.5.7.8.8": ("NAIRealm", _UTF8_STRING),
    "1.3.6.1.5.5.7.8.9": ("SmtpUTF8Mailbox", _UTF8_STRING),
}
"""Of an otherName: what OpenSSL 3 calls it, and the type it has to be of."""
_LONGEST_LINE = 2046
"""Octets: the standard library reads OpenSSL's text of an otherName by lines, and takes the first."""


def peercert(der: bytes) -> dict[str, Any]:
    """What ``getpeercert()`` says of this certificate.  Raises CertificateError for one that cannot be read."""
    try:
        with quietly():
            return _described(read_der(der))
    except PARSE_ERRORS as error:
        raise malformed(error).error([der]) from None


def _described(certificate: x509.Certificate) -> dict[str, Any]:
    described: dict[str, Any] = {
        "subject": _name(certificate.subject),
        "issuer": _name(certificate.issuer),
        "version": certificate.version.value + 1,
        "serialNumber": _serial(certificate.serial_number),
        "notBefore": _moment(certificate.not_valid_before_utc),
        "notAfter": _moment(certificate.not_valid_after_utc),
    }
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            described["subjectAltName"] = tuple(map(_general_name, value))
        elif isinstance(value, x509.AuthorityInformationAccess):
            for key, method in (
                ("OCSP", AuthorityInformationAccessOID.OCSP),
                ("caIssuers", AuthorityInformationAccessOID.CA_ISSUERS),
            ):
                if uris := _uris(each.access_location for each in value if each.access_method == method):
                    described[key] = uris
        elif isinstance(value, x509.CRLDistributionPoints) and (uris := _uris(n for point in value for n in point.full_name or ())):
            described["crlDistributionPoints"] = uris
    return described


def _name(name: x509.Name) -> tuple[tuple[tuple[str, str | bytes], ...], ...]:
    """RDN by RDN.  A unique identifier is a BIT STRING, whose first octet counts the bits that its last one lacks."""
    return tuple(tuple((_long_name(a.oid), a.value if isinstance(a.value, str) else a.value[1:]) for a in rdn) for rdn in name.rdns)


def _long_name(oid: x509.ObjectIdentifier) -> str:
    try:
        return txt2obj(oid.dotted_string)[2]
    except ValueError:
        return oid.dotted_string


def _serial(number: int) -> str:
    """Whole octets in hex, the sign before them.  All of them: the standard library would break off after 35."""
    digits = f"{abs(number):X}"
    return "-" * (number < 0) + "0" * (len(digits) % 2) + digits


def _moment(when: datetime) -> str:
    return f"{_MONTHS[when.month - 1]} {when.day:2} {when:%H:%M:%S} {when.year} GMT"


def _uris(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    return tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))


def _general_name(name: x509.GeneralName) -> tuple[str, Any]:
    match name:
        case x509.DNSName():
            return "DNS", name.value
        case x509.IPAddress():
            return "IP Address", _address(name.value.packed if hasattr(name.value, "packed") else b"")
        case x509.RFC822Name():
            return "email", name.value
        case x509.UniformResourceIdentifier():
            return "URI", name.value
        case x509.DirectoryName():
            return "DirName", _name(name.value)
        case x509.RegisteredID():
            return "Registered ID", _long_name(name.value)
        case x509.OtherName():
            return "othername", _other_name(name)
        case _:
            raise ValueError(f"a name of an unknown kind: {type(name).__name__}")


def _address(packed: bytes) -> str:
    """A network, as name constraints have them, is no address."""
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return ":".join(f"{int.from_bytes(packed[i : i + 2]):X}" for i in range(0, 16, 2)) if packed else "<invalid>"


def _other_name(name: x509.OtherName) -> str:
    kind, string_type = _OTHER_NAMES.get(name.type_id.dotted_string, ("", -1))
    if name.value[0] != string_type:
        return "<unsupported>"
    length = name.value[1]  # DER, as pyca/cryptography has seen to
    text = name.value[2 + (length & 0x7F if length & 0x80 else 0) :].split(b"\0")[0]
    line = b"othername:" + kind.encode() + b":" + text
    line = line[: line.find(b"\n") + 1 or None][:_LONGEST_LINE]
    return line.removeprefix(b"othername:").decode()
