"""What the engine says: the results of :meth:`minitls.Connection.receive_data`, in their order."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeAlias

from minitls.data import dataclass, field
from minitls.handshake.flow import Question
from minitls.info import ConnectionInfo
from minitls.sessions.session import Session
from minitls.wire.messages import NewSessionTicket


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """Both sides are who they say, under keys that only they have: data may flow."""

    info: ConnectionInfo


@dataclass(frozen=True, slots=True)
class ApplicationData:
    """The peer's data, at least one byte; many records may stand in one event."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EarlyData:
    """0-RTT data, at least one byte: it came before the handshake is complete, and may be a recording that somebody sends again.

    Only what does no harm when it is done twice may be done with it now (RFC 8446 section 2.3, RFC 8470).
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class TicketReceived:
    """The server gave us a ticket for another time.

    ``session``: what was made of it and put into the store; None where it is for nothing.  ``keeping``: await it, where the store
    takes its time.
    """

    ticket: NewSessionTicket
    session: Session | None
    keeping: Awaitable[None] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KeyUpdated:
    """The peer writes under its next key; ``requested``: it asked us to do so too, and we did."""

    requested: bool


@dataclass(frozen=True, slots=True)
class ClientAuthenticated:
    """After the handshake, a client was asked for its certificate and has proved who it is: ``info`` says it from now on.

    Data before this event was sent by whoever the client was before.  On a client: we have answered the server.
    """

    info: ConnectionInfo


@dataclass(frozen=True, slots=True)
class ClientDeclined:
    """After the handshake, a client was asked for its certificate and has none to show: it is who it was.

    On a client: we have answered so.
    """

    info: ConnectionInfo


def client_answered(info: ConnectionInfo, authenticated: bool) -> ClientAuthenticated | ClientDeclined:
    return ClientAuthenticated(info) if authenticated else ClientDeclined(info)


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """close_notify: the peer will send no more.  We may still send."""


Event: TypeAlias = (
    HandshakeCompleted
    | ApplicationData
    | EarlyData
    | TicketReceived
    | KeyUpdated
    | ClientAuthenticated
    | ClientDeclined
    | PeerClosed
    | Question
)
