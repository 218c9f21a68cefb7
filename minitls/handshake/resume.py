"""What a session is bound to, in either version: the same checks when it is offered and when it is taken up.

A session is bound to the server's name, the client's certificate and what the server asks of clients.  The application protocol
is agreed on anew each time (RFC 7301 section 3.1); only early data is bound to it.  The peer's certificates are verified again,
with what was stapled to them, by the configuration and at the time of now: resumption never outlives trust, unless the
configuration says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minitls.config import ClientConfig, Danger, ServerConfig
from minitls.data import dataclass
from minitls.errors import CertificateError, DecodeError
from minitls.handshake.authenticate import ask_application, judged, verified_path
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.handshake.raw_keys import RAW, X509, accepted_types, believe
from minitls.info import ConnectionInfo
from minitls.sessions.session import Session
from minitls.wire.numbers import CertificateType

if TYPE_CHECKING:
    from minitls.certificates.beside import Beside
    from minitls.certificates.credentials import Credential


@dataclass(frozen=True, slots=True)
class Remembered:
    """A session that may be resumed now, the path by which its peer is trusted, and what is beside it; () and None where nobody had
    to be.
    """

    session: Session
    path: tuple[bytes, ...] = ()
    beside: Beside | None = None


def remembered(config: ClientConfig | ServerConfig, session: Session, server_name: str | None) -> Flow[Remembered | None]:
    """The session with its path, if the peer's certificates would be verified again now, or its raw public key; else None."""
    if session.has_peer and (RAW if session.public_key else X509) not in accepted_types(config):
        return None
    if not config.reverify and session.scrutiny >= config.scrutiny:
        return Remembered(session)
    try:
        if session.public_key:
            yield from believe(config, session.public_key, server_name)
        if not session.chain or config.verify is Danger.accept_any_certificate:
            return Remembered(session)
        path = yield from verified_path(config, session.chain, server_name)
        beside = judged(config, path, session.ocsp_response, session.scts)
        yield from ask_application(config, session.chain, path, server_name, beside)
    except CertificateError:
        return None
    return Remembered(session, path, beside)


def recall(hs: Handshake, known: Remembered, how: str) -> None:
    """The peer is the one of the session.  ``how``: by what it was resumed, for who asks."""
    session, info = known.session, hs.info
    info.resumed = True
    info.resumption = how
    info.authenticated = session.authenticated / 1000
    info.delegated_until = session.until / 1000 or None
    info.server_certificate_type = CertificateType(session.certificate_type)
    info.peer_chain, info.peer_public_key = session.chain, session.public_key
    info.peer_signature_code = session.signature_scheme
    if session.group:
        info.group = session.group.decode("ascii", "replace")
    info.verified_chain, info.beside = known.path, known.beside
    info.ocsp_response, info.scts = session.ocsp_response, session.scts


def identity_of(credentials: Sequence[Credential]) -> bytes:
    """A client's certificates, as a session remembers them."""
    return b"" if not credentials else hashlib.sha256(b"".join(der for each in credentials for der in each.chain)).digest()


def may_return(config: ClientConfig, info: ConnectionInfo) -> bool:
    """Whether a client may come back as who it is now: not where the application is asked, which may say another the next time."""
    return config.select_credential is None or info.credential is None


DIGEST = 32
LONGEST_IDENTITY = 255 - DIGEST
"""Bytes of a PSK's name in a session."""


def shared_key(identity: bytes, key: bytes) -> bytes:
    """A PSK and its name, as a session that began with it remembers them; b"" for a name that is too long to be remembered."""
    return hashlib.sha256(key).digest() + identity if len(identity) <= LONGEST_IDENTITY else b""


def context_of(config: ServerConfig) -> bytes:
    """What a server asks of clients: a session from one that asks less must not do for one that asks more."""
    subjects = config.trust.subjects if config.trust is not None else ()
    return hashlib.sha256(config.client_auth.value.encode() + b"".join(subjects)).digest()


def is_bound_to(session: Session, server_name: str | None) -> bool:
    """Whether the session is with the server of this name."""
    return session.server_name.decode("ascii", "replace") == (server_name or "")


def open_ticket(config: ServerConfig, ticket: bytes) -> Flow[Session | None]:
    """Server: the session in one of our tickets; None for one that is not ours, too old or damaged."""
    if config.tickets is None:
        return None
    state = yield from resolve(config.tickets.open, ticket)
    try:
        return None if state is None else Session.from_bytes(state)
    except DecodeError:  # sealed by us, in an older format
        return None
