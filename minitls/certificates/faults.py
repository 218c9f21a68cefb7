"""What can be wrong with a certificate, before it is known whose chain it was."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from minitls.errors import Alert, CertificateError

PARSE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What pyca/cryptography raises for DER that is not what it should be; it parses as it is asked, so also late."""


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


def name_of(certificate: x509.Certificate) -> str:
    """What to call a certificate in a sentence, on one line and in plain characters."""
    subject = certificate.subject.rfc4514_string()
    shown = subject.encode("unicode_escape").decode("ascii") if not subject.isprintable() else subject
    return f"the certificate of {shown}" if shown else f"the certificate with serial number {certificate.serial_number:x}"
