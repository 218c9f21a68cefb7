"""A certificate on a card: what a person wants to know of it, each text harmless."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from minitls.certificates.faults import PARSE_ERRORS, quietly, read_der
from minitls.trace.values import count, safe

_SUBJECT_ALT_NAME = "2.5.29.17"
_COMMON_NAME = "2.5.4.3"
_LATTICE = {"MLDSA44": "ML-DSA-44", "MLDSA65": "ML-DSA-65", "MLDSA87": "ML-DSA-87"}


@dataclass(frozen=True, slots=True)
class Card:
    """``title``: what to call it in a list; ``key``: "EC secp256r1", "RSA 2048"; ``names``: hosts and addresses that it is for."""

    der: bytes
    title: str
    subject: str
    issuer: str
    issuer_title: str
    names: tuple[str, ...]
    key: str
    signed_with: str
    serial: str
    not_before: datetime
    not_after: datetime
    self_issued: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    def days_left(self, at: float) -> int:
        """Whole days until it expires; negative once it has.  ``at``: seconds since the epoch."""
        return (self.not_after - datetime.fromtimestamp(at, UTC)).days

    def validity(self, at: float) -> str:
        """``valid until 2027-12-22 (396 days left)``."""
        days = self.days_left(at)
        if datetime.fromtimestamp(at, UTC) < self.not_before:
            return f"not valid before {self.not_before:%Y-%m-%d}"
        if days < 0:
            ago = (datetime.fromtimestamp(at, UTC) - self.not_after).days
            return f"expired on {self.not_after:%Y-%m-%d} ({count(ago, 'day')} ago)"
        return f"valid until {self.not_after:%Y-%m-%d} ({count(days, 'day')} left)"


def card(der: bytes) -> Card | None:
    """The card of a certificate; None for bytes that are none."""
    try:
        with quietly():
            certificate = read_der(der)
        key = _key(certificate.public_key())
        subject_alt = next((e.value for e in certificate.extensions if e.oid.dotted_string == _SUBJECT_ALT_NAME), ())
        names: Any = subject_alt
        return Card(
            der=der,
            title=_title(certificate.subject),
            subject=safe(certificate.subject.rfc4514_string()),
            issuer=safe(certificate.issuer.rfc4514_string()),
            issuer_title=_title(certificate.issuer),
            names=tuple(safe(str(name.value)) for name in names),
            key=key,
            signed_with=_signature(certificate),
            serial=f"{certificate.serial_number:x}",
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            self_issued=certificate.subject == certificate.issuer,
        )
    except PARSE_ERRORS:
        return None


def _title(name: Any) -> str:
    """The common name, or the whole of a name that has none."""
    common = next((part.value for part in name if part.oid.dotted_string == _COMMON_NAME), None)
    return safe(str(common if common is not None else name.rfc4514_string())) or "(no name)"


def _key(key: Any) -> str:
    curve = getattr(key, "curve", None)
    if curve is not None:
        return f"EC {curve.name}"
    if hasattr(key, "key_size"):
        return f"RSA {key.key_size}"
    kind = type(key).__name__.removesuffix("PublicKey")
    return _LATTICE.get(kind, kind)


def _signature(certificate: Any) -> str:
    oid = certificate.signature_algorithm_oid
    return str(getattr(oid, "_name", oid.dotted_string))


def cards(chain: tuple[bytes, ...]) -> list[Card]:
    """The cards of a chain, without those that cannot be read."""
    return [found for der in chain if (found := card(der)) is not None]
