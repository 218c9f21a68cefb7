"""For tests of applications and of minitls itself: both sides in memory, no network."""

from __future__ import annotations

from minitls.config import ClientConfig, ServerConfig
from minitls.connection import Connection
from minitls.endpoints import ClientConnection, ServerConnection
from minitls.events import Event


def exchange(client: Connection, server: Connection) -> tuple[list[Event], list[Event]]:
    """Carry bytes both ways until neither side has any left.  Gives the events of each.  Raises what either side raises."""
    seen: tuple[list[Event], list[Event]] = ([], [])
    while True:
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not to_server and not to_client:
            return seen
        if to_server:
            seen[1].extend(server.receive_data(to_server))
        if to_client:
            seen[0].extend(client.receive_data(to_client))


def memory_pair(
    client_config: ClientConfig, server_config: ServerConfig, server_hostname: str | None = "localhost"
) -> tuple[ClientConnection, ServerConnection]:
    """Two connections that have shaken hands.  Raises what the handshake raises.

    Answers that are awaitable stay open, as :class:`~minitls.handshake.flow.Question`: answer them, and call :func:`exchange`.
    """
    client, server = ClientConnection(client_config, server_hostname=server_hostname), ServerConnection(server_config)
    exchange(client, server)
    return client, server
