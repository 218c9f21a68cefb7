"""What can go wrong, split by who is to blame.

Every error is a :class:`TLSError`, and so an :class:`ssl.SSLError` and an :class:`OSError`: code written for the standard
library's TLS catches ours.  One raise says it all::

    raise PeerMisbehaved(Alert.illegal_parameter, "the server chose a suite that we did not offer", rule="RFC 8446 4.1.3")

Alerts are *named* here and everywhere; they are *sent* in one place only, :mod:`minitls.connection`.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class AlertLevel(IntEnum):
    """RFC 8446 section 6.  In TLS 1.3 the level is implied by the description."""

    warning = 1
    fatal = 2


class Alert(IntEnum):
    """AlertDescription: RFC 8446 section 6, with the codes that only TLS 1.2 and RFC 9846 use."""

    close_notify = 0
    unexpected_message = 10
    bad_record_mac = 20
    record_overflow = 22
    decompression_failure = 30
    handshake_failure = 40
    bad_certificate = 42
    unsupported_certificate = 43
    certificate_revoked = 44
    certificate_expired = 45
    certificate_unknown = 46
    illegal_parameter = 47
    unknown_ca = 48
    access_denied = 49
    decode_error = 50
    decrypt_error = 51
    protocol_version = 70
    insufficient_security = 71
    internal_error = 80
    inappropriate_fallback = 86
    user_canceled = 90
    no_renegotiation = 100
    missing_extension = 109
    unsupported_extension = 110
    unrecognized_name = 112
    bad_certificate_status_response = 113
    unknown_psk_identity = 115
    certificate_required = 116
    general_error = 117
    no_application_protocol = 120
    ech_required = 121


class TLSError(ssl.SSLError):
    """A TLS connection could not be made, or could not go on.

    ``alert``: the alert that was (or, for :class:`AlertReceived`, that came from the peer) sent; None when there is none.
    ``reason``: a stable name for machines; the alert's name unless the raise is more exact.
    ``rule``: the section that asks for this, such as "RFC 8446 4.1.3"; "" when no single section does.
    ``message``: the sentence for people.
    """

    alert: Alert | None
    reason: str
    rule: str
    message: str

    def __init__(self, alert: Alert | None, message: str, *, rule: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.alert = alert
        self.message = message
        self.rule = rule
        self.reason = reason or (alert.name if alert is not None else "error")
        self.library = "minitls"

    def __str__(self) -> str:
        return f"{self.message} ({self.rule})" if self.rule else self.message


class PeerMisbehaved(TLSError):
    """The peer broke a rule of the protocol."""


class DecodeError(PeerMisbehaved):
    """Bytes of the peer that are not the structure that they should be: decode_error, by RFC 8446 section 6.2."""

    def __init__(self, message: str, *, rule: str = "RFC 8446 6.2") -> None:
        super().__init__(Alert.decode_error, message, rule=rule)


class PeerIncompatible(TLSError):
    """Nobody did wrong, but the two sides have nothing in common."""


class CertificateError(TLSError, ssl.SSLCertVerificationError):
    """The peer's certificate does not convince us.

    ``chain``: what the peer sent, DER, leaf first.  ``remedy``: what to do about it, a sentence, or "".
    """

    chain: tuple[bytes, ...]
    remedy: str

    def __init__(
        self,
        alert: Alert,
        message: str,
        *,
        rule: str = "",
        reason: str = "",
        remedy: str = "",
        chain: Sequence[bytes] = (),
        verify_code: int = 1,
    ) -> None:
        super().__init__(alert, message, rule=rule, reason=reason)
        self.chain = tuple(chain)
        self.remedy = remedy
        self.verify_message = message
        self.verify_code = verify_code  # X509_V_ERR_UNSPECIFIED unless the raise knows OpenSSL's number


class AlertReceived(TLSError):
    """The peer ended the connection with a fatal alert."""

    def __init__(self, alert: Alert | int) -> None:
        known = alert in Alert.__members__.values()
        name = Alert(alert).name if known else f"alert {int(alert)}"
        super().__init__(Alert(alert) if known else None, f"the peer sent the alert {name}", reason=name)
        self.code = int(alert)


class TruncationError(TLSError, ssl.SSLEOFError):
    """The connection ended without close_notify: what came may not be all (RFC 8446 section 6.1)."""

    def __init__(self, message: str = "the connection ended without close_notify: data may be missing") -> None:
        super().__init__(None, message, rule="RFC 8446 6.1", reason="unexpected_eof")


class HandshakeTimeout(TLSError, TimeoutError):
    """The handshake took longer than ``handshake_timeout``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(None, f"no handshake within {seconds:g} s", reason="handshake_timeout")


class Misuse(TLSError, ValueError):
    """We were called wrongly: a configuration that cannot work, a write after close, an unknown name."""

    def __init__(self, message: str, *, reason: str = "misuse", **kw: Any) -> None:
        super().__init__(None, message, reason=reason, **kw)
