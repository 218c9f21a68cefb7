"""Servers: asyncio's own functions, with ``config`` for ``ssl``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from minitls.aio.streams import LIMIT, ClientConnected, StreamReader
from minitls.aio.transport import Factory, HandshakeFailed, TLSTransport
from minitls.config import ServerConfig
from minitls.endpoints import ServerConnection


class EarlyStreamProtocol(asyncio.StreamReaderProtocol):
    """asyncio's, for readers that are also asked for early data."""

    def __init__(self, reader: StreamReader, client_connected: ClientConnected, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, client_connected, loop=loop)
        self._early = reader.feed_early_data

    def early_data_received(self, data: bytes) -> None:
        self._early(data)

    def handshake_completed(self) -> None:
        self._early(b"", over=True)


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
    offload = partial(loop.run_in_executor, None)

    def accept() -> TLSTransport:
        return TLSTransport(
            loop, ServerConnection(config, offload=offload), factory, config.handshake_timeout, failed=handshake_failed
        )

    return await loop.create_server(accept, host, port, **tcp)


async def start_server(
    client_connected: ClientConnected,
    host: Any = None,
    port: int | None = None,
    *,
    config: ServerConfig,
    limit: int = LIMIT,
    answer_early: bool = False,
    handshake_failed: HandshakeFailed | None = None,
    **tcp: Any,
) -> asyncio.Server:
    """As :func:`asyncio.start_server`, over TLS.

    0-RTT data is not in the reader: ``writer.get_extra_info("tls").early_data`` has it.  ``client_connected`` is called when the
    handshake is complete; with ``answer_early``, as soon as there is early data, which ``reader.read_early()`` gives: what is
    written then leaves at once, half a round trip before the client has finished (RFC 8446 section 2.3).
    """
    loop = asyncio.get_running_loop()
    make = EarlyStreamProtocol if answer_early else asyncio.StreamReaderProtocol

    def factory() -> asyncio.StreamReaderProtocol:
        return make(StreamReader(limit=limit, loop=loop), client_connected, loop=loop)

    return await create_server(factory, host, port, config=config, handshake_failed=handshake_failed, **tcp)
