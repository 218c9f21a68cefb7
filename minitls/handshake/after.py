"""What may come once the handshake is over (RFC 8446 section 4.6): a table, and nothing that is not in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.hello import ClientHello, Message
from minitls.wire.messages import CertificateRequest, KeyUpdate, NewSessionTicket
from minitls.wire.messages12 import HelloRequest
from minitls.wire.numbers import KeyUpdateRequest


class Established(Protocol):
    """What a message after the handshake can bring about; each gives the event that says so."""

    def peer_updated_keys(self, requested: bool) -> Any:
        """Read under the next key; ``requested``: and write under it soon."""

    def refuse_renegotiation(self) -> None:
        """TLS 1.2: the peer asks for a new handshake, and gets none."""


class EstablishedClient(Established, Protocol):
    """The same, for what only servers send."""

    def certificate_requested(self, request: CertificateRequest) -> Any:
        """Show the server who we are, or decline."""

    def ticket_received(self, ticket: NewSessionTicket) -> Any:
        """Offer the ticket to the application."""


def receive_key_update(connection: Established, message: Message) -> Any:
    """Section 4.6.3."""
    assert isinstance(message, KeyUpdate)
    if message.request_update not in KeyUpdateRequest.__members__.values():
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"KeyUpdate with request_update {message.request_update}",
            rule="RFC 8446 4.6.3",
            reason="bad_key_update",
        )
    return connection.peer_updated_keys(message.request_update == KeyUpdateRequest.update_requested)


def receive_new_session_ticket(connection: EstablishedClient, message: Message) -> Any:
    """Section 4.6.1."""
    assert isinstance(message, NewSessionTicket)
    return connection.ticket_received(message)


def receive_certificate_request(connection: EstablishedClient, message: Message) -> Any:
    """Section 4.6.2."""
    assert isinstance(message, CertificateRequest)
    return connection.certificate_requested(message)


def refuse_renegotiation(connection: Established, message: Message) -> None:
    """RFC 5246 section 7.4.1.1 and RFC 5746: renegotiation has been attacked, and is refused with no_renegotiation."""
    connection.refuse_renegotiation()


Role: TypeAlias = Literal["client", "server"]
Handler: TypeAlias = Callable[[Any, Message], Any]

AFTER: Mapping[Role, Mapping[type[Message], Handler]] = {
    "client": {KeyUpdate: receive_key_update, NewSessionTicket: receive_new_session_ticket},
    "server": {KeyUpdate: receive_key_update},
}
AFTER_12: Mapping[Role, Mapping[type[Message], Handler]] = {
    "client": {HelloRequest: refuse_renegotiation},
    "server": {ClientHello: refuse_renegotiation},
}
AUTHENTICATING: Mapping[Role, Mapping[type[Message], Handler]] = {
    "client": {**AFTER["client"], CertificateRequest: receive_certificate_request},
    "server": AFTER["server"],
}
"""By role, what may come.

A client that did not offer post_handshake_auth gets no CertificateRequest (section 4.6.2); what answers one has a flow that waits
for it (:mod:`minitls.handshake.post`).
"""


def may_come(role: Role, *, tls12: bool, authenticating: bool) -> Mapping[type[Message], Handler]:
    """The handlers of what may come; ``authenticating``: both sides allow post-handshake authentication."""
    return (AFTER_12 if tls12 else AUTHENTICATING if authenticating else AFTER)[role]
