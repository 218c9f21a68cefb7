"""Coming back to a server: tickets, session IDs, 0-RTT; and KeyUpdate.  All of it is the engine's to say."""

from __future__ import annotations

from minitls.scan.asking import Scan
from minitls.scan.web import request
from minitls.sessions.store import MemoryStore
from minitls.wire.messages import CertificateRequest
from minitls.wire.messages12 import NewSessionTicket12
from minitls.wire.numbers import ExtensionType as X

SHORT = 1.0
"""Seconds that tickets may take after the handshake."""
MORE = 0.2
"""Seconds that the next ticket may take after the first."""


async def probe(scan: Scan) -> None:
    """One after the other: each waits for what may never come, and some servers have one connection at a time."""
    if scan.facts.speaks("TLSv1.2"):
        await _tls12(scan, tickets=True)
        await _tls12(scan, tickets=False)
    if scan.facts.speaks("TLSv1.3"):
        await _tls13(scan)
        await _key_update(scan)


async def _tls12(scan: Scan, *, tickets: bool) -> None:
    sessions = scan.facts.sessions
    config, seen = scan.config("TLSv1.2", session_store=MemoryStore(), session_tickets=tickets)
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        if not talk.complete:
            return
        for message in seen.messages:
            if isinstance(message, NewSessionTicket12):
                sessions.ticket12_lifetime = message.ticket_lifetime_hint
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        if talk.complete and tickets:
            sessions.ticket12 = talk.info.resumption == "ticket"
        elif talk.complete:
            sessions.session_id = talk.info.resumption == "session_id"


async def _tls13(scan: Scan) -> None:
    sessions, store = scan.facts.sessions, MemoryStore()
    config, _ = scan.config("TLSv1.3", session_store=store)
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        if not talk.complete:
            return
        if not await talk.until(lambda: bool(talk.tickets), SHORT):
            talk.send(request(scan))  # some give them with the first data
            await talk.until(lambda: bool(talk.tickets), SHORT)
        await talk.until(lambda: False, MORE)
        if talk.refusal is not None:
            return
        sessions.tickets = len(talk.tickets)
        for event in talk.tickets:
            sessions.ticket_lifetime = event.ticket.ticket_lifetime
            sessions.early_data_size = event.ticket.extensions.get(X.early_data)
        if not talk.tickets:
            sessions.psk = False
            return
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        if talk.complete:
            sessions.psk = talk.info.resumed
            await talk.until(lambda: bool(talk.tickets), SHORT)
    if sessions.early_data_size and scan.web:
        async with scan.prober.dialogue(config, scan.name, scan.facts.port, early_data=request(scan)) as talk:
            if talk.complete and talk.info.resumed:
                sessions.early_data = talk.info.early_data_accepted


async def _key_update(scan: Scan) -> None:
    """RFC 8446 section 4.6.3: asked to, a server updates its key before it sends what comes next."""
    config, seen = scan.config("TLSv1.3")
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        if not talk.complete or talk.over:
            return
        talk.connection.update_keys(request_peer=True)
        talk.send(request(scan))
        await talk.until(lambda: talk.key_updates > 0)
        asked = any(isinstance(message, CertificateRequest) for message in seen.messages)  # then we are refused for what we are
        refused = talk.data.startswith(b"HTTP/") or (talk.refusal is not None and not asked)
        scan.facts.sessions.key_update = True if talk.key_updates else False if refused else None
