"""minitls: TLS for Python, client and server, with a handshake that can be read, watched and overridden.

The map of the house; a module imports only from the lines above its own::

    data            dataclasses that cost little to import
    errors          what can go wrong, by blame
    wire            the presentation language and the messages declared in it
    crypto          names -> pyca/cryptography: suites, groups, signatures; the key schedule, TLS 1.2's PRF
    certificates    credentials, trust, verification, the development CA
    observe         what an observer is told
    sessions        what two sides remember: stores, tickets, the replay record; in memory and in Redis
    policy          what may be spoken, as data
    config, info    what a side brings; what a connection came to
    record          sealing and opening records
    handshake       the flows: client and server, as pages of the RFC
    events, straight, sending, connection, endpoints   the engine: bytes in, events and bytes out
    standard        what a connection came to, in the standard library's words
    aio             asyncio: transports, streams, servers
    ssl             the drop-in: an ssl.SSLContext that libraries take for the standard one
    trace, testing  renderers of a run; both sides in memory
    scan            what a server supports, and what is wrong with it
    cli             the command

Start reading at :mod:`minitls.handshake.client13`, with RFC 8446's figure 1 beside it; :mod:`minitls.handshake.client12` is the
handshake that the textbooks draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minitls.config import CertificateRequested, ClientAuth, ClientConfig, Danger, PeerCertificates, ServerConfig
from minitls.connection import Connection
from minitls.crypto.psk import ExternalPsk, KnownPsks
from minitls.endpoints import ClientConnection, ServerConnection
from minitls.errors import (
    Alert,
    AlertReceived,
    CertificateError,
    DecodeError,
    HandshakeTimeout,
    Misuse,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
    TruncationError,
)
from minitls.events import (
    ApplicationData,
    ClientAuthenticated,
    ClientDeclined,
    EarlyData,
    Event,
    HandshakeCompleted,
    KeyUpdated,
    PeerClosed,
    TicketReceived,
)
from minitls.handshake.flow import Question
from minitls.handshake.negotiate import Agreement, negotiate
from minitls.info import ConnectionInfo, EarlyDataReason
from minitls.policy import Policy
from minitls.sessions.session import Session

if TYPE_CHECKING:
    from minitls.aio.server import create_server, start_server
    from minitls.aio.streams import create_connection, open_connection, start_tls
    from minitls.certificates.credentials import Credential
    from minitls.certificates.store import CredentialStore
    from minitls.certificates.trust import TrustStore
    from minitls.certificates.watch import CredentialFiles

__version__ = "0.1.0"

_LATER = {
    "create_server": "minitls.aio.server",
    "start_server": "minitls.aio.server",
    "create_connection": "minitls.aio.streams",
    "open_connection": "minitls.aio.streams",
    "start_tls": "minitls.aio.streams",
    "Credential": "minitls.certificates.credentials",
    "CredentialFiles": "minitls.certificates.watch",
    "CredentialStore": "minitls.certificates.store",
    "TrustStore": "minitls.certificates.trust",
}


def __getattr__(name: str) -> Any:
    """asyncio and X.509 are imported when somebody wants them: the engine needs neither."""
    if name == "ssl":
        import minitls.ssl

        return minitls.ssl
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__all__ = [
    "Agreement",
    "Alert",
    "AlertReceived",
    "ApplicationData",
    "CertificateError",
    "CertificateRequested",
    "ClientAuth",
    "ClientAuthenticated",
    "ClientConfig",
    "ClientConnection",
    "ClientDeclined",
    "Connection",
    "ConnectionInfo",
    "Credential",
    "CredentialFiles",
    "CredentialStore",
    "Danger",
    "DecodeError",
    "EarlyData",
    "EarlyDataReason",
    "Event",
    "ExternalPsk",
    "HandshakeCompleted",
    "HandshakeTimeout",
    "KeyUpdated",
    "KnownPsks",
    "Misuse",
    "PeerCertificates",
    "PeerClosed",
    "PeerIncompatible",
    "PeerMisbehaved",
    "Policy",
    "Question",
    "ServerConfig",
    "ServerConnection",
    "Session",
    "TLSError",
    "TicketReceived",
    "TruncationError",
    "TrustStore",
    "create_connection",
    "create_server",
    "negotiate",
    "open_connection",
    "start_server",
    "start_tls",
]
