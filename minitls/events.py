"""What the engine says: the results of :meth:`minitls.Connection.receive_data`, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from minitls.handshake.flow import Question
from minitls.info import ConnectionInfo
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
class TicketReceived:
    """The server gave us a ticket for another time."""

    ticket: NewSessionTicket


@dataclass(frozen=True, slots=True)
class KeyUpdated:
    """The peer writes under its next key; ``requested``: it asked us to do so too, and we did."""

    requested: bool


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """close_notify: the peer will send no more.  We may still send."""


Event: TypeAlias = HandshakeCompleted | ApplicationData | TicketReceived | KeyUpdated | PeerClosed | Question
