"""TLS 1.3's tickets (RFC 8446 section 4.6.1): what a server gives out, and what a client makes of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.psk import ExternalPsk
from minitls.crypto.suites import SUITES
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.handshake.resume import DIGEST, context_of, identity_of, may_return, shared_key
from minitls.info import ConnectionInfo
from minitls.sessions.session import FORMAT, MAX_LIFETIME, Session
from minitls.wire.codec import Extensions
from minitls.wire.extensions import TicketRequest
from minitls.wire.hello import ClientHello
from minitls.wire.messages import NewSessionTicket
from minitls.wire.numbers import GREASE, CipherSuite, ProtocolVersion
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.handshake.psk import Psk

LONGEST_TICKET = 2**15
"""Bytes of a ticket that a ClientHello has room for, beside all else."""
MAX_COUNT = 8
"""How many tickets a client may ask for at once (RFC 9149)."""


def session_of(
    config: ClientConfig | ServerConfig, info: ConnectionInfo, psk: bytes, created: int, lifetime: int, **more: Any
) -> Session:
    """A session of this connection, with the PSK of a ticket.  ``created``: in milliseconds.

    It ends with the peer's delegated credential, however often it is renewed: that is as good as validating that again.
    """
    now = created / 1000
    authenticated = info.authenticated or now
    end = min(authenticated + MAX_LIFETIME, info.delegated_until or math.inf)
    return Session(
        format=FORMAT,
        version=ProtocolVersion.TLSv1_3,
        cipher_suite=CipherSuite[info.cipher_suite or ""],
        secret=psk,
        extended=1,
        authenticated=int(authenticated * 1000),
        created=created,
        lifetime=min(lifetime, max(0, int(end - now))),
        until=int(1000 * (info.delegated_until or 0)),
        server_name=(info.server_name or "").encode("ascii"),
        alpn=(info.alpn_protocol or "").encode("ascii"),
        chain=info.peer_chain,
        public_key=info.peer_public_key,
        certificate_type=info.server_certificate_type,
        signature_scheme=info.peer_signature_code,
        scrutiny=config.scrutiny,
        group=b"",
        ocsp_response=info.ocsp_response,
        scts=info.scts,
        session_id=b"",
        **more,
    )


def began_with_psk(session: Session) -> bool:
    """Whether it is one of those that :func:`~minitls.handshake.resume.shared_key` tells of."""
    return len(session.identity) > DIGEST


def remembered_key(psk: ExternalPsk) -> bytes:
    """The key, as it was imported if it was, as a session remembers it."""
    return shared_key(psk.identity, psk.key + (psk.context or b""))


# the client -------------------------------------------------------------------------------------------------------------


def session_of_ticket(config: ClientConfig, info: ConnectionInfo, ticket: NewSessionTicket) -> Session | None:
    """What to keep of a ticket; None where it is for nothing: it has no lifetime, no hello has room for it, nobody proved who they
    are, or we may be somebody else the next time.
    """
    lifetime = min(ticket.ticket_lifetime, MAX_LIFETIME)
    if not lifetime or not (info.peer_chain or info.peer_public_key or info._shared_key) or len(ticket.ticket) > LONGEST_TICKET:
        return None
    if not may_return(config, info):
        return None
    return session_of(
        config,
        info,
        info.resumption_secret().psk(ticket.ticket_nonce),
        math.ceil(config.clock() * 1000),  # up, for no server likes a ticket that is older to us than to itself
        lifetime,
        context=b"",
        identity=info._shared_key or identity_of(config.own_credentials),
        ticket=ticket.ticket,
        age_add=ticket.ticket_age_add,
        max_early_data=ticket.extensions.get(X.early_data, 0),
    )


def offerable(config: ClientConfig, session: Session, external: Sequence[Psk]) -> bool:
    """Whether the policy still has a suite of the session's hash, and we are who we were, or have the key that it began with."""
    suite = SUITES.get(session.cipher_suite)
    if began_with_psk(session):
        same = any(psk.external is not None and remembered_key(psk.external) == session.identity for psk in external)
    else:
        same = session.has_peer and not config.psk_required and session.identity == identity_of(config.own_credentials)
    if suite is None or not same:
        return False
    ours = [SUITES[int(code)].hash_name for code in config.policy.cipher_suites if code in SUITES]
    return suite.hash_name in ours


# the server -------------------------------------------------------------------------------------------------------------


def tickets_wanted(config: ServerConfig, hello: ClientHello, info: ConnectionInfo) -> int:
    """How many tickets a client gets: one for the one that it used; as many as it asks for, within reason (RFC 9149).

    None for an external PSK whose name is too long to be remembered.
    """
    modes = hello.extensions.get(X.psk_key_exchange_modes, ())
    may_return = any(mode in modes for mode in config.policy.psk_key_exchange_modes)
    if (
        config.tickets is None
        or not config.ticket_count
        or not may_return
        or (info.psk_identity is not None and not info._shared_key)
    ):
        return 0
    request: TicketRequest | None = hello.extensions.get(X.ticket_request)
    if request is not None:
        return min(request.resumption_count if info.resumed else request.new_session_count, MAX_COUNT)
    return 1 if info.resumed else config.ticket_count


def send_tickets(hs: Handshake, config: ServerConfig, count: int) -> Flow[None]:
    """So that the client may come back, once with each."""
    for made, state in islice(make_tickets(config, hs.info), count):
        assert config.tickets is not None
        ticket = yield from resolve(config.tickets.seal, state)
        if (message := with_ticket(made, ticket)) is not None:
            hs.send(message)


def make_tickets(config: ServerConfig, info: ConnectionInfo) -> Iterator[tuple[NewSessionTicket, bytes]]:
    """Messages but for their tickets, and the states to seal in those: the same session, with another PSK in each."""
    secret, early_data = info.resumption_secret(), config.early_data or 0
    session = session_of(
        config,
        info,
        b"",
        int(config.clock() * 1000),
        config.ticket_lifetime,
        context=context_of(config),
        identity=info._shared_key,
        ticket=b"",
        age_add=0,
        max_early_data=early_data,
    )
    extensions = Extensions({X.early_data: early_data} if early_data else {})
    if config.grease:  # RFC 8701 section 4.1
        extensions[GREASE[config.random(1)[0] >> 4]] = b""
    while True:
        random = config.random(12)
        nonce, session.age_add = random[:8], int.from_bytes(random[8:], "big")
        session.secret = secret.psk(nonce)
        yield NewSessionTicket(session.lifetime, session.age_add, nonce, b"", extensions), session.to_bytes()


def with_ticket(message: NewSessionTicket, ticket: bytes | None) -> NewSessionTicket | None:
    """The whole message; None where there is no key now, or the client's chain is too long for a ticket."""
    if ticket is None or len(ticket) > LONGEST_TICKET or not message.ticket_lifetime:
        return None
    message.ticket = ticket
    return message
