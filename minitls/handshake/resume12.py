"""TLS 1.2's resumption, by session ID (RFC 5246 section 7.3) and by ticket (RFC 5077): what may be resumed, and what is
remembered.

Here a session is bound to the suite and to whether its master secret is extended (RFC 7627 section 5.3), too; where something
is otherwise now, there is a full handshake, and where the RFC says so an alert.
"""

from __future__ import annotations

from minitls.config import ClientAuth, ClientConfig, ServerConfig
from minitls.crypto.prf import MasterSecret
from minitls.crypto.suites12 import PSK_SUITES, SUITES_12
from minitls.data import replace
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.handshake.exchange12 import key_of, own_psk
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.handshake.raw_keys import types_processed
from minitls.handshake.resume import (
    DIGEST,
    Remembered,
    context_of,
    identity_of,
    is_bound_to,
    may_return,
    open_ticket,
    remembered,
    shared_key,
)
from minitls.handshake.tls12 import Hellos
from minitls.sessions.session import FORMAT, Session
from minitls.wire.hello import ClientHello
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion

LIFETIME = 24 * 3600
"""Seconds for which a TLS 1.2 session may be resumed (RFC 5246 section F.1.4)."""


def make_session(
    hs: Handshake, config: ClientConfig | ServerConfig, hellos: Hellos, master: MasterSecret, *, context: bytes, identity: bytes
) -> Session:
    """What to remember of this handshake."""
    now = int(config.clock() * 1000)
    return Session(
        format=FORMAT,
        version=ProtocolVersion.TLSv1_2,
        cipher_suite=hellos.suite.code,
        secret=master.value,
        extended=hellos.extended,
        authenticated=now,
        created=now,
        lifetime=LIFETIME,
        until=0,
        server_name=(hs.info.server_name or "").encode("ascii"),
        alpn=b"",
        context=context,
        identity=identity,
        chain=hs.info.peer_chain,
        public_key=hs.info.peer_public_key,
        certificate_type=hs.info.server_certificate_type,
        signature_scheme=hs.info.peer_signature_code,
        scrutiny=config.scrutiny,
        group=(hs.info.group or "").encode("ascii"),
        ocsp_response=hs.info.ocsp_response,
        scts=hs.info.scts,
        session_id=b"",
        ticket=b"",
        age_add=0,
        max_early_data=0,
    )


def still_shared(config: ClientConfig | ServerConfig, session: Session) -> Flow[bool]:
    """Whether a session that began with a PSK may go on: as certificates are verified again, who knows the key is asked again."""
    if session.cipher_suite not in PSK_SUITES:
        return True
    if config.psk is None or not session.identity:
        return False
    identity = session.identity[DIGEST:]
    if isinstance(config, ServerConfig):
        key = key_of((yield from resolve(config.psk, identity)))
        return key is not None and shared_key(identity, key) == session.identity
    ours = own_psk((yield from resolve(config.psk, None)))
    return ours is not None and shared_key(*ours) == session.identity


def recall_psk(hs: Handshake, session: Session) -> None:
    if session.cipher_suite in PSK_SUITES:
        hs.info.psk_identity = session.identity[DIGEST:]


def master_of(session: Session) -> MasterSecret:
    return MasterSecret(SUITES_12[session.cipher_suite].hash_name, session.secret, extended=bool(session.extended))


def offerable(config: ClientConfig, session: Session) -> Flow[bool]:
    """Client: whether the policy still has what the session is made with, its ticket may be used, and we are who we were."""
    if session.ticket and not config.session_tickets:
        return False
    if session.cipher_suite not in config.policy.cipher_suites or not (session.extended or not config.policy.secure_tls12):
        return False
    if session.cipher_suite in PSK_SUITES:
        return (yield from still_shared(config, session))
    return not config.psk_required and session.identity == identity_of(config.own_credentials)


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
            reason="resumed_non_ems_session_with_ems_extension" if hellos.extended else "resumed_ems_session_without_ems_extension",
        )


def remember(hs: Handshake, config: ClientConfig, session: Session, ticket: bytes, session_id: bytes) -> Flow[None]:
    """Client: keep the session under what the server calls it; without a name of any kind it cannot be asked for."""
    if config.session_store is None or not (ticket or session_id) or not may_return(config, hs.info):
        return
    kept = replace(session, ticket=ticket, session_id=b"" if ticket else session_id)
    yield from resolve(config.session_store.put, hs.info.session_key, kept)


def find_session(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[Remembered | None]:
    """Server: the session that the client asks for, if we have it and all it is bound to is as it was.

    Raises handshake_failure where the client takes the extended master secret back (RFC 7627 section 5.3).
    """
    ticket: bytes = hello.extensions.get(X.session_ticket, b"")
    session: Session | None = None
    if ticket:
        session = yield from open_ticket(config, ticket)
    elif hello.legacy_session_id and config.session_cache is not None:
        session = yield from resolve(config.session_cache.get, hello.legacy_session_id.hex())
    if (
        session is None
        or session.version != ProtocolVersion.TLSv1_2
        or session.cipher_suite not in SUITES_12
        or session.cipher_suite not in hello.cipher_suites
        or session.cipher_suite not in config.policy.cipher_suites
        or not is_bound_to(session, hs.info.server_name)
        or session.context != context_of(config)
        or session.certificate_type not in types_processed(hello)
        or not session.alive(config.clock())
        or (config.client_auth is ClientAuth.require and not session.has_peer)
    ):
        return None
    known = (yield from remembered(config, session, None)) if (yield from still_shared(config, session)) else None
    extended = X.extended_master_secret in hello.extensions
    if known is not None and session.extended and not extended:
        raise PeerIncompatible(
            Alert.handshake_failure,
            "the client resumes a session with the extended master secret without it",
            rule="RFC 7627 5.3",
            reason="resumed_ems_session_without_ems_extension",
        )
    return known if bool(session.extended) == extended else None
