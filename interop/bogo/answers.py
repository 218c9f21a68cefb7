"""What the runner's application answers when the library asks: whom it believes, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from cryptography import x509

from interop.bogo.flags import Settings
from minitls import Credential, Danger, ServerConfig, TLSError
from minitls.certificates.trust import TrustStore
from minitls.certificates.verify import parse_chain
from minitls.errors import Alert, CertificateError
from minitls.wire.hello import ClientHello


def der_names(text: str | None) -> tuple[bytes, ...]:
    return () if text in (None, "<NULL>", "<EMPTY>") else tuple(map(bytes.fromhex, (text or "").split(",")))


REFUSED, WHY = "application_refuses", "the runner said so"


class Everybody(TrustStore):
    """Believes whoever has the key of a certificate that can be read, or nobody: what the suite's verify callbacks do.

    No path leads to anybody, so that nobody looks at what was stapled to the certificate: the suite's staples are no staples.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    @cached_property
    def subjects(self) -> tuple[bytes, ...]:
        """Whom a server names as its clients' CAs."""
        return der_names(self.settings.use_client_ca_list)

    def verify(
        self, chain: Sequence[bytes | x509.Certificate], server_name: str | None, at: datetime | None = None
    ) -> list[x509.Certificate]:
        return self.verify_client(chain, at)

    def verify_client(self, chain: Sequence[bytes | x509.Certificate], at: datetime | None = None) -> list[x509.Certificate]:
        said = self.settings
        if said.verify_fail or said.fail_ocsp_callback:
            alert = Alert.certificate_unknown if said.use_custom_verify_callback else Alert.handshake_failure
            raise CertificateError(alert if said.verify_fail else Alert.bad_certificate_status_response, WHY, reason=REFUSED)
        parse_chain(chain)
        return []


def verify(settings: Settings) -> Danger:
    """Whether a client asks Everybody about its server."""
    asks = settings.verify_peer or settings.use_custom_verify_callback or settings.use_ocsp_callback
    return Danger.accept_any_name if asks else Danger.accept_any_certificate


def refusing(alert: Alert) -> Callable[[Any], Any]:
    def refuse(asked: Any) -> None:
        raise TLSError(alert, WHY, reason=REFUSED)

    return refuse


def select_config(settings: Settings, config: ServerConfig) -> Callable[[ClientHello], ServerConfig] | None:
    """A server's first: what this connection goes on with."""
    if settings.fail_early_callback:
        return refusing(Alert.handshake_failure)
    if settings.fail_ddos_callback:
        return refusing(Alert.internal_error)
    return (lambda hello: config) if settings.use_early_callback or settings.install_ddos_callback else None


def select_credential(settings: Settings, credentials: Sequence[Credential]) -> Callable[[ClientHello], Credential] | None:
    """What a server shows, where it is asked."""
    if settings.fail_cert_callback or (settings.use_ocsp_callback and settings.fail_ocsp_callback):
        return refusing(Alert.internal_error)
    if settings.set_ocsp_in_callback:
        return lambda hello: credentials[0].stapled(ocsp_response=settings.ocsp_response, scts=credentials[0].scts)
    if settings.decline_ocsp_callback:
        return lambda hello: credentials[0].stapled(scts=credentials[0].scts)
    if settings.expect_server_name and not settings.no_server_name_ack:
        return lambda hello: credentials[0]
    return None
