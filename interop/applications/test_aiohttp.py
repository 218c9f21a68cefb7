"""aiohttp: client, server and WebSockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interop.applications.frame import HOST, LARGE, Contexts, library, patience
from tests.conftest import NAME

aiohttp = library("aiohttp")
from aiohttp import web  # noqa: E402


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    of_tls = request.transport.get_extra_info("ssl_object")
    return web.Response(body=body, headers={"TLS": of_tls.version(), "Scheme": request.scheme})


async def talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data[::-1])
    return socket


@asynccontextmanager
async def served(context: ssl.SSLContext) -> AsyncIterator[int]:
    application = web.Application(client_max_size=0)
    application.add_routes([web.route("*", "/", echo), web.get("/talk", talk)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_requests(contexts: Contexts) -> None:
    async with (
        patience(),
        served(contexts.server()) as port,
        aiohttp.ClientSession(f"https://{NAME}:{port}", connector=aiohttp.TCPConnector(ssl=contexts.client())) as session,
    ):
        for body in b"", b"hello", LARGE:
            async with session.post("/", data=body) as response:
                assert await response.read() == body
                assert (response.status, response.headers["TLS"], response.headers["Scheme"]) == (
                    200,
                    contexts.version_name,
                    "https",
                )


async def test_websockets(contexts: Contexts) -> None:
    async with (
        patience(),
        served(contexts.server()) as port,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=contexts.client())) as session,
        session.ws_connect(f"wss://{NAME}:{port}/talk", max_msg_size=0) as socket,
    ):
        for message in b"hello", LARGE:
            await socket.send_bytes(message)
            assert await socket.receive_bytes() == message[::-1]


async def test_a_certificate_of_nobody_whom_we_trust(contexts: Contexts) -> None:
    async with patience(), served(contexts.server(used=False)) as port:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=contexts.distrusting())) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
                await session.get(f"https://{NAME}:{port}/")
        assert isinstance(caught.value.certificate_error, ssl.SSLCertVerificationError)
