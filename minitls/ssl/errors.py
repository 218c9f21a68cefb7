"""Our errors as applications know the standard library's: its classes, its numbers, and OpenSSL's words.

What they look at is ``errno``, ``reason``, ``library``, ``verify_code``, ``verify_message``, and parts of the text such as
"certificate verify failed" or "wrong version number".  :func:`translate` gives an error those, and keeps what is ours: its
class, by blame, ``alert``, ``rule``, ``chain`` and ``remedy``; our sentence follows OpenSSL's words, and ``__cause__`` is the
engine's error.

Where OpenSSL has no reason of its own, ours is told in its form: nobody asks for it by name, and it says what is wrong.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TypeVar

from minitls.errors import AlertReceived, CertificateError, TLSError, TruncationError

E = TypeVar("E", bound=ssl.SSLError)

_ALERTS: Mapping[int, str] = {
    10: "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    20: "SSLV3_ALERT_BAD_RECORD_MAC",
    21: "TLSV1_ALERT_DECRYPTION_FAILED",
    22: "TLSV1_ALERT_RECORD_OVERFLOW",
    30: "SSLV3_ALERT_DECOMPRESSION_FAILURE",
    40: "SSLV3_ALERT_HANDSHAKE_FAILURE",
    41: "SSLV3_ALERT_NO_CERTIFICATE",
    42: "SSLV3_ALERT_BAD_CERTIFICATE",
    43: "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    44: "SSLV3_ALERT_CERTIFICATE_REVOKED",
    45: "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    46: "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    47: "SSLV3_ALERT_ILLEGAL_PARAMETER",
    48: "TLSV1_ALERT_UNKNOWN_CA",
    49: "TLSV1_ALERT_ACCESS_DENIED",
    50: "TLSV1_ALERT_DECODE_ERROR",
    51: "TLSV1_ALERT_DECRYPT_ERROR",
    60: "TLSV1_ALERT_EXPORT_RESTRICTION",
    70: "TLSV1_ALERT_PROTOCOL_VERSION",
    71: "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    80: "TLSV1_ALERT_INTERNAL_ERROR",
    86: "TLSV1_ALERT_INAPPROPRIATE_FALLBACK",
    90: "TLSV1_ALERT_USER_CANCELLED",
    100: "TLSV1_ALERT_NO_RENEGOTIATION",
    109: "TLSV13_ALERT_MISSING_EXTENSION",
    110: "TLSV1_UNSUPPORTED_EXTENSION",
    111: "TLSV1_CERTIFICATE_UNOBTAINABLE",
    112: "TLSV1_UNRECOGNIZED_NAME",
    113: "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE",
    114: "TLSV1_BAD_CERTIFICATE_HASH_VALUE",
    115: "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY",
    116: "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    120: "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
}
"""An alert that came, as OpenSSL calls it."""

_REASONS: Mapping[str, str] = {
    "bad_record_mac": "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
    "certificate_required": "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    "closed": "PROTOCOL_IS_SHUTDOWN",
    "decode_error": "LENGTH_MISMATCH",
    "message_too_large": "EXCESSIVE_MESSAGE_SIZE",
    "no_common_signature_algorithms": "NO_SUITABLE_SIGNATURE_ALGORITHM",
    "no_shared_group": "NO_SUITABLE_KEY_SHARE",
    "record_overflow": "PACKET_LENGTH_TOO_LONG",
    "tls13_downgrade": "INAPPROPRIATE_FALLBACK",
    "unexpected_change_cipher_spec": "BAD_CHANGE_CIPHER_SPEC",
    "unexpected_eof": "UNEXPECTED_EOF_WHILE_READING",
    "unexpected_record": "UNEXPECTED_MESSAGE",
    "unrecognized_name": "CALLBACK_FAILED",  # OpenSSL's server has nobody else to refuse a name
}
"""Our reasons that OpenSSL has another name for; the others are called the same, or are only ours."""

_WORDS: Mapping[str, str] = {
    "CERTIFICATE_VERIFY_FAILED": "certificate verify failed",
    "UNEXPECTED_EOF_WHILE_READING": "EOF occurred in violation of protocol",
}
"""What the text says after the reason, where that is not the reason in small letters."""

_NAME_MISMATCH: Mapping[int, str] = {62: "Hostname mismatch", 64: "IP address mismatch"}
_VERIFY_MESSAGES: Mapping[int, str] = {
    1: "unspecified certificate verification error",
    3: "unable to get certificate CRL",
    7: "certificate signature failure",
    8: "CRL signature failure",
    9: "certificate is not yet valid",
    10: "certificate has expired",
    11: "CRL is not yet valid",
    12: "CRL has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    22: "certificate chain too long",
    23: "certificate revoked",
    25: "path length constraint exceeded",
    26: "unsuitable certificate purpose",
    32: "key usage does not include certificate signing",
    34: "unhandled critical extension",
    35: "key usage does not include CRL signing",
    47: "permitted subtree violation",
    48: "excluded subtree violation",
    49: "name constraints minimum and maximum not supported",
    51: "unsupported name constraint type",
    62: "hostname mismatch",
    64: "IP address mismatch",
    66: "EE certificate key too weak",
    67: "CA certificate key too weak",
    68: "CA signature digest algorithm too weak",
    71: "Certificate Transparency required, but no valid SCTs found",
    73: "OCSP verification needed",
    74: "OCSP verification failed",
    75: "OCSP unknown cert",
    79: "invalid CA certificate",
    94: "Certificate public key has explicit ECC parameters",
    95: "Raw public key untrusted, no trusted keys configured",
}
"""OpenSSL's words for the X509_V_ERR numbers that our verification has."""


def translate(error: E, server_hostname: str | None = None) -> E:
    """The same error in the standard library's terms, to be raised; an error that is so already, as it is.

    ``server_hostname``: who the peer should have been, told when it is somebody else.
    """
    if not isinstance(error, TLSError) or error.library == "SSL":
        return error
    made = type(error).__new__(type(error))
    vars(made).update(vars(error))
    made.__cause__ = error
    made.library, made.errno = "SSL", int(ssl.SSL_ERROR_EOF if isinstance(error, TruncationError) else ssl.SSL_ERROR_SSL)
    if isinstance(error, CertificateError):
        reason, about = "CERTIFICATE_VERIFY_FAILED", _verify_message(error, server_hostname)
        vars(made)["verify_message"] = about
        words = f"{_WORDS[reason]}: {about}"
    elif isinstance(error, AlertReceived):
        reason = _ALERTS.get(error.code, "")
        words = _words(reason) if reason else "unknown error"
    else:
        reason = _REASONS.get(error.reason, error.reason.upper())
        words = _words(reason)
    made.reason = reason
    made.message = f"[{f'SSL: {reason}' if reason else 'SSL'}] {words}" + (f": {error.message}" if error.message else "")
    made.strerror = made.message
    made.args = (made.errno, made.message)
    return made


def _words(reason: str) -> str:
    return _WORDS.get(reason) or reason.replace("_", " ").lower()


def _verify_message(error: CertificateError, server_hostname: str | None) -> str:
    if server_hostname and (mismatch := _NAME_MISMATCH.get(error.verify_code)):
        return f"{mismatch}, certificate is not valid for '{server_hostname}'."
    return _VERIFY_MESSAGES.get(error.verify_code, "unknown certificate verification error")


def want_read() -> ssl.SSLWantReadError:
    """More of what the peer sends has to come first."""
    return _plain(ssl.SSLWantReadError, ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")


def want_write() -> ssl.SSLWantWriteError:
    """What we have to send has to go first."""
    return _plain(ssl.SSLWantWriteError, ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)")


def zero_return() -> ssl.SSLZeroReturnError:
    """Both sides have said that they send no more."""
    return _plain(ssl.SSLZeroReturnError, ssl.SSL_ERROR_ZERO_RETURN, "TLS/SSL connection has been closed (EOF)")


def eof() -> TruncationError:
    """The connection ended, and nobody said so."""
    return translate(TruncationError())


def protocol_is_shutdown() -> TLSError:
    """A write after our close_notify."""
    return made("protocol_is_shutdown")


def application_data_after_close_notify() -> TLSError:
    """Data came while we wait for the peer's close_notify, and nobody will read it."""
    return made("application_data_after_close_notify")


def shutdown_while_in_init() -> TLSError:
    """unwrap() before the handshake."""
    return made("shutdown_while_in_init")


def made(reason: str) -> TLSError:
    made = translate(TLSError(None, "", reason=reason))
    made.__cause__ = None
    return made


def _plain(kind: type[E], errno: int, text: str) -> E:
    made = kind(int(errno), text)
    made.reason = made.library = None  # type: ignore[assignment]  # typeshed says str; the standard library sets None
    return made
