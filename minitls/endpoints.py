"""The two sides of a connection: what each begins with."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable

from minitls.config import ClientConfig, ServerConfig
from minitls.connection import MAX_CERTIFICATE_REQUESTS, MAX_TICKETS, Connection
from minitls.errors import Misuse
from minitls.events import Event, TicketReceived
from minitls.handshake.client import client_handshake
from minitls.handshake.driver import Driver, Offload
from minitls.handshake.post import answer_request, request_certificate
from minitls.handshake.resume13 import make_tickets, session_of_ticket, with_ticket
from minitls.handshake.server import server_handshake
from minitls.info import ConnectionInfo, Timing
from minitls.observe import MessageSeen
from minitls.wire.messages import CertificateRequest, NewSessionTicket, write_message
from minitls.wire.numbers import ContentType


class ClientConnection(Connection):
    """The client's side.  ``data_to_send`` has the ClientHello at once.

    ``server_hostname``: whom we want to talk to, a host name or an address: it is sent (SNI) and verified.  Raises Misuse for what
    is no name, and for None unless verification is turned off.  ``port``: sessions with other ports are not resumed at this one.
    ``early_data``: what to say first, all of it with the hello if a session is there that allows it; else it is not sent, unless
    ``resend_early_data`` says to send it as soon as the handshake is complete.  ``info.early_data_accepted`` tells, and
    ``info.early_data_reason`` why not.  It may reach the server twice: only what does no harm then belongs there (RFC 8446 section
    2.3).  ``offer_early_data``: offer it also where there is nothing to say yet; :meth:`send_early_data` says it.
    ``offload(function, *args)``: computes in another thread what takes long, such as an odd chain, and gives something to await.
    """

    __slots__ = ()

    def __init__(
        self,
        config: ClientConfig,
        *,
        server_hostname: str | None,
        port: int | None = None,
        early_data: bytes = b"",
        resend_early_data: bool = False,
        offer_early_data: bool = False,
        offload: Offload | None = None,
    ) -> None:
        from minitls.certificates.names import normalise
        from minitls.config import Danger

        if server_hostname is None and not isinstance(config.verify, Danger):
            raise Misuse("server_hostname is needed: whose certificate would be verified?")
        name = None if server_hostname is None else normalise(server_hostname)
        super().__init__(config, ConnectionInfo(role="client", timing=Timing(config.clock()), server_name=name))
        self.info.session_key = f"{name or ''}:{port or ''}"
        self._records.change_cipher_spec_allowed = True
        self._resend_early_data = resend_early_data
        first = bytes(early_data) if early_data or offer_early_data else None
        self._handshake = Driver(client_handshake, config, self.info, self._records, self._framing, self._output, first, offload)

    @property
    def early_data_room(self) -> int:
        """How many bytes may go as 0-RTT data now: from the hello that offers it until the server has finished or refused."""
        return 0 if self._handshake is None or self.write_closed else self._handshake.early_data_room

    def send_early_data(self, data: bytes | bytearray | memoryview) -> int:
        """Queue as much of this as may go as 0-RTT data now; gives how many bytes that is, often none.

        What is taken counts as said, and comes to nothing if ``info.early_data_accepted`` is False in the end: then say it again
        (or ``resend_early_data`` does).
        """
        return 0 if self._handshake is None or self.write_closed else self._handshake.send_early_data(bytes(data))

    # what a message after the handshake brings about (minitls.handshake.after)

    def ticket_received(self, ticket: NewSessionTicket) -> TicketReceived:
        assert isinstance(self._config, ClientConfig)
        self._count("tickets", MAX_TICKETS)
        session, store = session_of_ticket(self._config, self.info, ticket), self._config.session_store
        keeping = store.put(self.info.session_key, session) if store is not None and session is not None else None
        return TicketReceived(ticket, session, keeping)

    def certificate_requested(self, request: CertificateRequest) -> Event | None:
        self._count("certificate requests", MAX_CERTIFICATE_REQUESTS)
        if self.write_closed:
            return None
        events: list[Event] = []
        self._after_step(self._authenticate(lambda hs, config: answer_request(hs, config, request)), events)
        return events[0]


class ServerConnection(Connection):
    """The server's side.  ``offload``: as a client's."""

    __slots__ = ()

    def __init__(self, config: ServerConfig, *, offload: Offload | None = None) -> None:
        super().__init__(config, ConnectionInfo(role="server", timing=Timing(config.clock())))
        self._handshake = Driver(server_handshake, config, self.info, self._records, self._framing, self._output, offload=offload)

    def request_client_certificate(self, *, required: bool = False) -> None:
        """Ask the client who it is, after the handshake (RFC 8446 section 4.6.2); the answer is an event, and ``info`` has it.

        :class:`~minitls.events.ClientAuthenticated` or :class:`~minitls.events.ClientDeclined`; the latter is an error of the
        connection if it is ``required``, and with ``ClientAuth.require``.  Data may come before.  One request at a time.
        Raises Misuse while another one is open, on connections that are not open, and where nobody may ask: by TLS 1.2, without
        ``post_handshake_auth`` on both sides, where the two have an external PSK, and for HTTP/2.
        """
        config = self._config
        assert isinstance(config, ServerConfig)
        if not self.handshake_completed or self.write_closed or self._peer_closed:
            raise Misuse("a client is asked for its certificate after the handshake, while the connection is open both ways")
        if self._transcript is None:
            why = "it did not offer post_handshake_auth"
            if not config.post_handshake_auth:
                why = "the configuration does not have post_handshake_auth=True"
            elif self._records.tls12:
                why = "TLS 1.2 knows no such request"
            elif self.info.alpn_protocol == "h2":
                why = "HTTP/2 has no place for it"
            elif self.info.psk_identity is not None:
                why = "it has proved who it is by an external PSK"
            raise Misuse(f"the client cannot be asked for its certificate: {why}", rule="RFC 8446 4.6.2")
        if self._post is not None:
            raise Misuse("the client has been asked for its certificate, and has not answered yet")
        context = config.random(32)  # never the same again
        self._authenticate(lambda hs, config: request_certificate(hs, config, context, required=required)).flush()

    def send_ticket(self) -> Awaitable[None] | None:
        """Give the client one more ticket (RFC 8446 section 4.6.1); to be awaited where the ticket keys take their time.

        Raises Misuse before the handshake is complete, for TLS 1.2, where there are no keys for tickets, and for an external PSK
        whose name is too long to be remembered: nobody could ask whether it is still good.
        """
        config = self._config
        assert isinstance(config, ServerConfig)
        if config.tickets is None or self._records.tls12 or not self.handshake_completed or self.write_closed:
            raise Misuse("tickets are given on open connections of TLS 1.3, by servers that have keys for them")
        if self.info.psk_identity is not None and not self.info._shared_key:
            raise Misuse("the external PSK has a name that is too long for a ticket")
        message, state = next(make_tickets(config, self.info))
        sealed = config.tickets.seal(state)
        if inspect.isawaitable(sealed):
            return self._send_ticket_later(message, sealed)
        self._send_ticket(message, sealed)
        return None

    async def _send_ticket_later(self, message: NewSessionTicket, sealing: Awaitable[bytes | None]) -> None:
        self._send_ticket(message, await sealing)

    def _send_ticket(self, made: NewSessionTicket, ticket: bytes | None) -> None:
        message = with_ticket(made, ticket)
        if message is not None and not self.write_closed:
            self._output.append(self._records.write(ContentType.handshake, write_message(message)))
            self._observe_sent(lambda at, key: MessageSeen(at, True, message, key))
