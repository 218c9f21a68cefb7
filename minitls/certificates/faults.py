"""What can be wrong with a certificate, before it is known whose chain it was; and reading one at all."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from minitls.errors import Alert, CertificateError

PARSE_ERRORS = (
    ValueError,
    TypeError,
    KeyError,  # a TLSFeature that it does not know
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What pyca/cryptography raises for DER that is not what it should be; it parses as it is asked, so also late."""
LONGEST = 200
"""Characters of a stranger's text that a sentence holds."""


class Fault(Exception):
    """A rule that a certificate breaks; becomes a CertificateError, which has the chain.

    ``verify_code``: OpenSSL's X509_V_ERR number for the like.
    """

    def __init__(self, reason: str, alert: Alert, verify_code: int, message: str, rule: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.alert = alert
        self.verify_code = verify_code
        self.message = message
        self.rule = rule
        self.remedy = remedy

    def error(self, chain: Sequence[bytes]) -> CertificateError:
        return CertificateError(
            self.alert,
            self.message,
            rule=self.rule,
            reason=self.reason,
            remedy=self.remedy,
            chain=chain,
            verify_code=self.verify_code,
        )


def malformed(error: BaseException, what: str = "the certificate", alert: Alert = Alert.bad_certificate) -> Fault:
    return Fault("malformed", alert, 1, f"{what} cannot be read: {printable(str(error))}", "RFC 5280 4.1")


def undecodable(error: BaseException, what: str = "the certificate") -> Fault:
    """For bytes that are no certificate, or no key, at all: that is not the form of the message that they came in."""
    return malformed(error, what, Alert.decode_error)


def read_der(der: bytes) -> x509.Certificate:
    """A certificate from its DER.  Raises PARSE_ERRORS, some only when the object is looked at."""
    with quietly():
        certificate = looked_at(x509.load_der_x509_certificate(der))
    # A signature is whole octets.  pyca/cryptography does not look at the BIT STRING's number of unused bits, which comes before
    # them and is not signed: one certificate would have several encodings.
    if der[-len(certificate.signature) - 1] != 0:
        raise ValueError("its signature has unused bits")
    return certificate


def read_pem(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM text, in their order.  Raises ValueError, also when there is none."""
    with quietly():
        return [looked_at(certificate) for certificate in x509.load_pem_x509_certificates(pem)]


def looked_at(certificate: x509.Certificate) -> x509.Certificate:
    """Its extensions parsed, while nobody hears the warnings; what cannot be read says so to who asks for it."""
    with suppress(*PARSE_ERRORS):
        _ = certificate.extensions
    return certificate


def quietly() -> AbstractContextManager[Any]:
    """No peer gets to print a warning on our stderr.

    A serial number of 0 or less is common in private PKIs, and harmless; so is a country of three letters.
    """
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def printable(text: str) -> str:
    """A stranger's text for a sentence: on one line, in printable characters, and not too long."""
    shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


def called(name: x509.Name) -> str:
    return printable(name.rfc4514_string())


def name_of(certificate: x509.Certificate) -> str:
    """What to call a certificate in a sentence."""
    with quietly():
        try:
            subject = called(certificate.subject)
        except PARSE_ERRORS:
            subject = ""
        return f"the certificate of {subject}" if subject else f"the certificate with serial number {certificate.serial_number:x}"
