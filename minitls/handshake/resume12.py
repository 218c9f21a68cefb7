"""TLS 1.2's resumption, by session ID (RFC 5246 section 7.3) and by ticket (RFC 5077): what may be resumed, and what is
remembered.

A session is bound to the name, the suite, whether its master secret is extended (RFC 7627 section 5.3), the client's
certificate and what the server asks of clients; where one of them is another now, there is a full handshake, and where the
RFC says so an alert.
"""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from minitls.config import ClientAuth, ClientConfig, Danger, ServerConfig
from minitls.crypto.prf import MasterSecret
from minitls.crypto.suites12 import SUITES_12
from minitls.errors import Alert, CertificateError, DecodeError, PeerIncompatible, PeerMisbehaved
from minitls.handshake.authenticate import der_of
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.handshake.tls12 import Hellos
from minitls.sessions.session import FORMAT, Session
from minitls.wire.hello import ClientHello
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential

LIFETIME = 24 * 3600
"""Seconds for which a TLS 1.2 session may be resumed (RFC 5246 section F.1.4)."""


def identity_of(credential: Credential | None) -> bytes:
    """A client's certificate, as a session remembers it."""
    return b"" if credential is None else hashlib.sha256(b"".join(credential.chain)).digest()


def context_of(config: ServerConfig) -> bytes:
    """What a server asks of clients: a session from one that asks less must not do for one that asks more."""
    subjects = config.trust.subjects if config.trust is not None else ()
    return hashlib.sha256(config.client_auth.value.encode() + b"".join(subjects)).digest()


def make_session(hs: Handshake, hellos: Hellos, master: MasterSecret, now: float, *, context: bytes, identity: bytes) -> Session:
    """What to remember of this handshake."""
    return Session(
        format=FORMAT,
        version=ProtocolVersion.TLSv1_2,
        cipher_suite=hellos.suite.code,
        secret=master.value,
        extended=hellos.extended,
        created=int(now),
        lifetime=LIFETIME,
        server_name=(hs.info.server_name or "").encode("ascii"),
        context=context,
        identity=identity,
        chain=hs.info.peer_chain,
        session_id=b"",
        ticket=b"",
    )


def master_of(session: Session) -> MasterSecret:
    return MasterSecret(SUITES_12[session.cipher_suite].hash_name, session.secret, extended=bool(session.extended))


def offerable(config: ClientConfig, session: Session | None, server_name: str | None) -> Session | None:
    """Client: the session, if all it is bound to is as it was."""
    if (
        session is None
        or session.version != ProtocolVersion.TLSv1_2
        or ProtocolVersion.TLSv1_2 not in config.policy.versions
        or session.cipher_suite not in config.policy.cipher_suites
        or (config.policy.secure_tls12 and not session.extended)
        or session.server_name.decode("ascii") != (server_name or "")
        or session.identity != identity_of(config.credential)
        or not session.alive(config.clock())
    ):
        return None
    return session


def trusted_path(
    config: ClientConfig | ServerConfig, chain: tuple[bytes, ...], server_name: str | None
) -> Flow[tuple[bytes, ...] | None]:
    """The path of a peer's chain that was verified when the session was made, if it would be verified again now; else None.

    () where there is nothing to verify: no chain, or verification turned off.
    """
    from minitls.certificates.trust import TrustStore

    if not chain or config.verify is Danger.accept_any_certificate:
        return ()
    store, at = config.trust or TrustStore.system(), datetime.fromtimestamp(config.clock(), UTC)
    try:
        if isinstance(config, ClientConfig):
            found = yield from resolve(store.verify, chain, server_name, at)
        else:
            found = yield from resolve(store.verify_client, chain, at)
    except CertificateError:
        return None
    return der_of(found)


def check_resumed(hellos: Hellos, session: Session) -> None:
    """Client: the server resumes what we offered, and changes nothing about it (RFC 5246 section 7.4.1.3, RFC 7627 section 5.3)."""
    if hellos.suite.code != session.cipher_suite:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the server resumes the session with another cipher suite",
            rule="RFC 5246 7.4.1.3",
            reason="old_session_cipher_not_returned",
        )
    if hellos.extended != bool(session.extended):
        raise PeerMisbehaved(
            Alert.handshake_failure,
            "the server resumes the session with another kind of master secret",
            rule="RFC 7627 5.3",
            reason="resumed_ems_session_without_ems_extension",
        )


def remember(hs: Handshake, config: ClientConfig, session: Session, ticket: bytes, session_id: bytes) -> Flow[None]:
    """Client: keep the session under what the server calls it; without a name of any kind it cannot be asked for."""
    if config.session_store is None or not (ticket or session_id):
        return
    kept = dataclasses.replace(session, ticket=ticket, session_id=b"" if ticket else session_id)
    yield from resolve(config.session_store.put, hs.info.session_key, kept)


def find_session(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[Session | None]:
    """Server: the session that the client asks for, if we have it and all it is bound to is as it was.

    Raises handshake_failure where the client takes the extended master secret back (RFC 7627 section 5.3).
    """
    ticket: bytes = hello.extensions.get(X.session_ticket, b"")
    session: Session | None = None
    if ticket and config.tickets is not None:
        state = config.tickets.open(ticket)
        try:
            session = None if state is None else Session.from_bytes(state)
        except DecodeError:  # sealed by us, in an older format
            session = None
    elif hello.legacy_session_id and config.session_cache is not None:
        session = yield from resolve(config.session_cache.get, hello.legacy_session_id.hex())
    if (
        session is None
        or session.version != ProtocolVersion.TLSv1_2
        or session.cipher_suite not in hello.cipher_suites
        or session.cipher_suite not in config.policy.cipher_suites
        or session.server_name.decode("ascii") != (hs.info.server_name or "")
        or session.context != context_of(config)
        or not session.alive(config.clock())
        or (config.client_auth is ClientAuth.require and not session.chain)
        or (yield from trusted_path(config, session.chain, None)) is None
    ):
        return None
    extended = X.extended_master_secret in hello.extensions
    if session.extended and not extended:
        raise PeerIncompatible(
            Alert.handshake_failure,
            "the client resumes a session with the extended master secret without it",
            rule="RFC 7627 5.3",
            reason="resumed_ems_session_without_ems_extension",
        )
    return session if bool(session.extended) == extended else None
