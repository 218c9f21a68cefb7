"""Sessions and early data: what the suite expects of them."""

from __future__ import annotations

from interop.bogo.expect import Unexpected, same
from interop.bogo.flags import Settings
from minitls import ConnectionInfo, EarlyDataReason, Session, TicketReceived

REASONS = {
    EarlyDataReason.accepted: "accept",
    EarlyDataReason.disabled: "disabled",
    EarlyDataReason.protocol_version: "protocol_version",
    EarlyDataReason.no_session: "no_session_offered",
    EarlyDataReason.session_not_resumed: "session_not_resumed",
    EarlyDataReason.not_allowed: "unsupported_for_session",
    EarlyDataReason.not_offered: "peer_declined",
    EarlyDataReason.alpn_mismatch: "alpn_mismatch",
    EarlyDataReason.ticket_age: "ticket_age_skew",
    EarlyDataReason.hello_retry_request: "hello_retry_request",
    EarlyDataReason.refused: "peer_declined",
}
"""The suite's names; it has none for the others."""


def check(
    settings: Settings, info: ConnectionInfo, cached: int, offered: Session | None, got: Session | None, *, resumed: bool
) -> None:
    """``cached``: how many sessions a server remembers; ``offered``, ``got``: a client's."""
    check_early_data(settings, info)
    if resumed and settings.expect_ticket_age_skew:
        same("ticket age skew", info.ticket_age_skew, settings.expect_ticket_age_skew)
    if not resumed and settings.expect_session_id and not cached:
        raise Unexpected("the session is not in the server's memory")
    if not resumed and settings.expect_no_session_id and cached:
        raise Unexpected("the session is in the server's memory")
    if info.role == "client" and info.version == "TLSv1.2" and info.psk_identity is None:  # we keep none of who has a key
        check_new_session12(settings, info, offered, got)


def check_early_data(settings: Settings, info: ConnectionInfo) -> None:
    """What became of early data, and why; a server's view of the client's clock."""
    if settings.expect_accept_early_data or settings.expect_reject_early_data:
        same("early data accepted", info.early_data_accepted, settings.expect_accept_early_data)
    if settings.expect_early_data_reason is not None:
        reason = info.early_data_reason
        same("early data reason", REASONS.get(reason, str(reason)) if reason else "", settings.expect_early_data_reason)


def check_new_session12(settings: Settings, info: ConnectionInfo, offered: Session | None, got: Session | None) -> None:
    """TLS 1.2: a full handshake gives a session, a resumed one only a renewed ticket."""
    new = got is not None and (offered is None or (got.ticket, got.session_id) != (offered.ticket, offered.session_id))
    same("new session", new, not settings.expect_no_session and (not info.resumed or settings.expect_ticket_renewal))


def check_tickets(settings: Settings, tickets: list[TicketReceived]) -> None:
    """TLS 1.3: after the handshake, and all that was said."""
    same("got a ticket", bool(tickets), not settings.expect_no_session)
    if tickets:
        session = tickets[-1].session
        allowed = session is not None and session.max_early_data > 0
        same("early data allowed by the ticket", allowed, settings.expect_ticket_supports_early_data)
