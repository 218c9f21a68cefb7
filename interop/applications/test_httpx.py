"""httpx, sync and async, HTTP/1.1 and HTTP/2; Hypercorn and Uvicorn are its servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interop.applications.frame import HOST, LARGE, PATIENCE, Contexts, in_thread, library, patience
from tests.conftest import NAME

httpx = library("httpx")
hypercorn = library("hypercorn")
uvicorn = library("uvicorn")
library("h2")
from hypercorn.asyncio import serve  # noqa: E402

BODIES = b"", b"hello", LARGE


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI: answers with the request's body."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"scheme", scope["scheme"].encode()), (b"version", scope["http_version"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(body)})


@asynccontextmanager
async def by_hypercorn(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Hypercorn has no parameter for a context: its configuration makes one."""

    class Config(hypercorn.Config):  # type: ignore[misc,name-defined]
        ssl_enabled = property(lambda self: True)

        def create_ssl_context(self) -> ssl.SSLContext:
            return context

    config = Config()
    config.bind = [f"{HOST}:0"]
    config.errorlog = config.accesslog = None
    sockets = config.create_sockets()
    config.create_sockets = lambda: sockets
    for one in sockets.secure_sockets:
        one.listen()
    end = asyncio.Event()
    running = asyncio.create_task(serve(application, config, shutdown_trigger=end.wait))
    try:
        yield sockets.secure_sockets[0].getsockname()[1]
    finally:
        end.set()
        await running


@asynccontextmanager
async def by_uvicorn(context: ssl.SSLContext) -> AsyncIterator[int]:
    config = uvicorn.Config(
        application, host=HOST, port=0, log_level="error", ssl_context_factory=lambda config, default: context, loop="none"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not running.done()
            await asyncio.sleep(0.001)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


SERVERS = {
    "hypercorn-http/1.1": (by_hypercorn, False),
    "hypercorn-h2": (by_hypercorn, True),
    "uvicorn-http/1.1": (by_uvicorn, False),
}
each_server = pytest.mark.parametrize(("server", "h2"), SERVERS.values(), ids=SERVERS)


@each_server
def test_sync(contexts: Contexts, server: Any, h2: bool) -> None:
    context = contexts.server(*(["h2"] if h2 else []), "http/1.1")
    with (
        in_thread(lambda: server(context)) as port,
        httpx.Client(verify=contexts.client(), http2=h2, timeout=PATIENCE) as client,
    ):
        for body in BODIES:
            response = client.post(f"https://{NAME}:{port}/", content=body)
            assert response.content == body
            assert (response.http_version, response.headers["scheme"]) == ("HTTP/2" if h2 else "HTTP/1.1", "https")
            of_tls = response.extensions["network_stream"].get_extra_info("ssl_object")
            assert of_tls.version() == contexts.version_name
            assert of_tls.selected_alpn_protocol() == ("h2" if h2 else "http/1.1")


@each_server
async def test_async(contexts: Contexts, server: Any, h2: bool) -> None:
    async with (
        patience(),
        server(contexts.server(*(["h2"] if h2 else []), "http/1.1")) as port,
        httpx.AsyncClient(verify=contexts.client(), http2=h2, timeout=PATIENCE) as client,
    ):
        for body in BODIES:
            response = await client.post(f"https://{NAME}:{port}/", content=body)
            assert response.content == body
            assert (response.http_version, response.headers["scheme"]) == ("HTTP/2" if h2 else "HTTP/1.1", "https")
            of_tls = response.extensions["network_stream"].get_extra_info("ssl_object")
            assert of_tls.version() == contexts.version_name
        bodies = [bytes([n]) * 5000 for n in range(20)]
        answers = await asyncio.gather(*(client.post(f"https://{NAME}:{port}/", content=body) for body in bodies))
        assert [answer.content for answer in answers] == bodies


async def test_a_certificate_of_nobody_whom_we_trust(contexts: Contexts) -> None:
    async with patience(), by_uvicorn(contexts.server("http/1.1", used=False)) as port:
        async with httpx.AsyncClient(verify=contexts.distrusting(), timeout=PATIENCE) as client:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed: unable to get local issuer certificate"):
                await client.get(f"https://{NAME}:{port}/")
        with (
            httpx.Client(verify=contexts.distrusting(), timeout=PATIENCE) as client,
            pytest.raises(httpx.ConnectError, match="certificate verify failed: unable to get local issuer certificate"),
        ):
            await asyncio.to_thread(client.get, f"https://{NAME}:{port}/")
