"""The two sides of a connection: what each begins with."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable

from minitls.config import ClientConfig, ServerConfig
from minitls.connection import Connection
from minitls.errors import Misuse
from minitls.handshake.client import client_handshake
from minitls.handshake.driver import Driver, Offload
from minitls.handshake.resume13 import make_ticket, with_ticket
from minitls.handshake.server import server_handshake
from minitls.info import ConnectionInfo, Timing
from minitls.observe import MessageSeen
from minitls.wire.messages import NewSessionTicket, write_message
from minitls.wire.numbers import ContentType


class ClientConnection(Connection):
    """The client's side.  ``data_to_send`` has the ClientHello at once.

    ``server_hostname``: whom we want to talk to, a host name or an address: it is sent (SNI) and verified.  Raises Misuse for what
    is no name, and for None unless verification is turned off.  ``port``: sessions with other ports are not resumed at this one.
    ``early_data``: what to say first, all of it with the hello if a session is there that allows it; else it is not sent, unless
    ``resend_early_data`` says to send it as soon as the handshake is complete.  ``info.early_data_accepted`` tells.  It may reach
    the server twice: only what does no harm then belongs there (RFC 8446 section 2.3).
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
        offload: Offload | None = None,
    ) -> None:
        from minitls.certificates.names import normalise
        from minitls.config import Danger

        if server_hostname is None and config.verify is not Danger.accept_any_certificate:
            raise Misuse("server_hostname is needed: whose certificate would be verified?")
        name = None if server_hostname is None else normalise(server_hostname)
        super().__init__(config, ConnectionInfo(role="client", timing=Timing(config.clock()), server_name=name))
        self.info.session_key = f"{name or ''}:{port or ''}"
        self._records.change_cipher_spec_allowed = True
        self._resend_early_data = resend_early_data
        self._handshake = Driver(
            client_handshake, config, self.info, self._records, self._framing, self._output, bytes(early_data), offload
        )


class ServerConnection(Connection):
    """The server's side.  ``offload``: as a client's."""

    __slots__ = ()

    def __init__(self, config: ServerConfig, *, offload: Offload | None = None) -> None:
        super().__init__(config, ConnectionInfo(role="server", timing=Timing(config.clock())))
        self._handshake = Driver(server_handshake, config, self.info, self._records, self._framing, self._output, offload=offload)

    def send_ticket(self) -> Awaitable[None] | None:
        """Give the client one more ticket (RFC 8446 section 4.6.1); to be awaited where the ticket keys take their time.

        Raises Misuse before the handshake is complete, for TLS 1.2, and where the configuration has no tickets.
        """
        config = self._config
        assert isinstance(config, ServerConfig)
        if config.tickets is None or self._records.tls12 or not self.handshake_completed or self._write_closed:
            raise Misuse("tickets are given on open connections of TLS 1.3, by servers that have keys for them")
        message, state = make_ticket(config, self.info)
        sealed = config.tickets.seal(state)
        if inspect.isawaitable(sealed):
            return self._send_ticket_later(message, sealed)
        self._send_ticket(message, sealed)
        return None

    async def _send_ticket_later(self, message: NewSessionTicket, sealing: Awaitable[bytes | None]) -> None:
        self._send_ticket(message, await sealing)

    def _send_ticket(self, made: NewSessionTicket, ticket: bytes | None) -> None:
        message = with_ticket(made, ticket)
        if message is not None and not self._write_closed:
            self._output.append(self._records.write(ContentType.handshake, write_message(message)))
            self._observe_sent(lambda at, key: MessageSeen(at, True, message, key))
