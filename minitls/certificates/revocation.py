"""What a certificate that its CA took back is told with, whether the CA said so by OCSP or in a CRL (RFC 5280 section 5.3.1)."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from minitls.certificates.faults import Fault, name_of
from minitls.errors import Alert

TOLERANCE = timedelta(minutes=5)
"""Clocks differ: so much may a word be too new or too old.  OpenSSL's commands allow as much."""
_REVOKED = 23  # OpenSSL's number

_WHY = {
    x509.ReasonFlags.key_compromise: "somebody else may have its private key",
    x509.ReasonFlags.ca_compromise: "somebody else may have its CA's private key",
    x509.ReasonFlags.aa_compromise: "somebody else may have its authority's private key",
    x509.ReasonFlags.affiliation_changed: "what it says of its owner is no longer true",
    x509.ReasonFlags.superseded: "another one took its place",
    x509.ReasonFlags.cessation_of_operation: "it is no longer needed",
    x509.ReasonFlags.certificate_hold: "it is on hold",
    x509.ReasonFlags.privilege_withdrawn: "its owner lost a privilege",
}


def revoked(certificate: x509.Certificate, since: datetime, reason: x509.ReasonFlags | None, rule: str) -> Fault:
    """The fault of a certificate that was revoked.  ``reason``: None where the CA gives none."""
    why = f": {_WHY[reason]} ({reason.value})" if reason in _WHY else ""
    text = f"{name_of(certificate)} was revoked by its CA on {told(since)}{why}"
    return Fault("revoked", Alert.certificate_revoked, _REVOKED, text, rule, "do not trust it again: its owner needs a new one")


def told(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
