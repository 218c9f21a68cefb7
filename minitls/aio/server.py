"""Servers: asyncio's own functions, with ``config`` for ``ssl``."""

from __future__ import annotations

import asyncio
from typing import Any

from minitls.aio.streams import LIMIT, ClientConnected, StreamReader
from minitls.aio.transport import Factory, HandshakeFailed, TLSTransport
from minitls.config import ServerConfig
from minitls.connection import ServerConnection


async def create_server(
    factory: Factory,
    host: Any = None,
    port: int | None = None,
    *,
    config: ServerConfig,
    handshake_failed: HandshakeFailed | None = None,
    **tcp: Any,
) -> asyncio.Server:
    """As :meth:`asyncio.loop.create_server`, over TLS: ``factory`` is called for each connection whose handshake is complete.

    ``handshake_failed``: called with the error and the transport where one is not.  ``tcp``: everything else that asyncio's takes.
    """
    loop = asyncio.get_running_loop()

    def accept() -> TLSTransport:
        return TLSTransport(loop, ServerConnection(config), factory, config.handshake_timeout, failed=handshake_failed)

    return await loop.create_server(accept, host, port, **tcp)


async def start_server(
    client_connected: ClientConnected,
    host: Any = None,
    port: int | None = None,
    *,
    config: ServerConfig,
    limit: int = LIMIT,
    handshake_failed: HandshakeFailed | None = None,
    **tcp: Any,
) -> asyncio.Server:
    """As :func:`asyncio.start_server`, over TLS."""
    loop = asyncio.get_running_loop()

    def factory() -> asyncio.StreamReaderProtocol:
        reader = StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, client_connected, loop=loop)

    return await create_server(factory, host, port, config=config, handshake_failed=handshake_failed, **tcp)
