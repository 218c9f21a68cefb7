"""websockets: its asyncio and its threaded half, each as client and as server."""

from __future__ import annotations

import ssl
import threading

import pytest

from interop.applications.frame import HOST, LARGE, PATIENCE, Contexts, library, patience
from tests.conftest import NAME

library("websockets")
from websockets.asyncio.client import connect  # noqa: E402
from websockets.asyncio.server import ServerConnection, serve  # noqa: E402
from websockets.sync.client import connect as connect_in_thread  # noqa: E402
from websockets.sync.server import ServerConnection as ThreadedConnection  # noqa: E402
from websockets.sync.server import serve as serve_in_threads  # noqa: E402

MESSAGES = b"", b"hello", LARGE


async def reverse(connection: ServerConnection) -> None:
    async for message in connection:
        assert isinstance(message, bytes)
        await connection.send(message[::-1])


def reverse_in_thread(connection: ThreadedConnection) -> None:
    for message in connection:
        assert isinstance(message, bytes)
        connection.send(message[::-1])


async def test_asyncio(contexts: Contexts) -> None:
    async with patience(), serve(reverse, HOST, 0, ssl=contexts.server(), max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"wss://{NAME}:{port}/", ssl=contexts.client(), max_size=None) as connection:
            for message in MESSAGES:
                await connection.send(message)
                assert await connection.recv() == message[::-1]
            assert connection.transport.get_extra_info("ssl_object").version() == contexts.version_name


def test_sync(contexts: Contexts) -> None:
    """Each connection is read in one thread and written in another."""
    with serve_in_threads(reverse_in_thread, HOST, 0, ssl=contexts.server(), max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"wss://{NAME}:{server.socket.getsockname()[1]}/"
            with connect_in_thread(url, ssl=contexts.client(), max_size=None, open_timeout=PATIENCE) as connection:
                for message in MESSAGES:
                    connection.send(message)
                    assert connection.recv(PATIENCE) == message[::-1]
                writer = threading.Thread(target=lambda: [connection.send(LARGE) for _ in range(4)])
                writer.start()
                for _ in range(4):
                    assert connection.recv(PATIENCE) == LARGE[::-1]
                writer.join(PATIENCE)
                assert isinstance(connection.socket, ssl.SSLSocket)
                assert connection.socket.version() == contexts.version_name
        finally:
            server.shutdown()
            thread.join(PATIENCE)


async def test_a_certificate_of_nobody_whom_we_trust(contexts: Contexts) -> None:
    async with patience(), serve(reverse, HOST, 0, ssl=contexts.server(used=False)) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
            await connect(f"wss://{NAME}:{port}/", ssl=contexts.distrusting())
