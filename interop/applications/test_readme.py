"""The README's blocks for applications, each of them run: hosts, ports and the files' folder are replaced, and nothing else."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import ssl
import threading
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from interop.applications.frame import HOST, LARGE, PATIENCE, Contexts, Files, in_thread, library, patience
from interop.applications.test_databases import free_port, postgres, redis_server
from interop.applications.test_http import served as web_served
from tests.conftest import NAME

__all__ = ["postgres", "redis_server"]

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks() -> dict[str, str]:
    """The blocks of the section, by how the line before them begins."""
    section = README.partition("\n## In your application\n")[2].partition("\n## ")[0]
    found = re.findall(r"^([^\n`]+)[^\n]*\n(?:[^\n]+\n)*\n```python\n(.*?)```", section, re.MULTILINE | re.DOTALL)
    return {re.split(r"[,:;]", text)[0].strip(): source for text, source in found}


BLOCKS = blocks()
SETUP = next(iter(BLOCKS))


class Example:
    """A block, with what it finds around it."""

    def __init__(self, title: str, files: Files, names: dict[str, Any]) -> None:
        self.title, self.files = title, files
        self.printed: list[Any] = []
        self.names: dict[str, Any] = {"print": self.printed.append} | names
        self.port = 0
        """Of the server that it is a client of."""
        self.own_port = free_port()
        """Of the server that it starts."""

    @property
    def code(self) -> CodeType:
        source = BLOCKS[self.title]
        for name in set(re.findall(r"\b([a-z]\w+(?:\.[a-z]\w+)*)\.", source)):
            self._import(name)
        source = re.sub(r'"0\.0\.0\.0", 443', f'"{HOST}", {self.own_port}', source)
        source = source.replace('"0.0.0.0:443"', f'"{HOST}:{self.own_port}"').replace(
            '"0.0.0.0", port=443', f'"{HOST}", port={self.own_port}'
        )
        source = re.sub(r"(?<=://)example\.org/", f"{NAME}:{self.port}/", source)
        source = re.sub(r"\b(443|587|5432|6379)\b", str(self.port), source).replace("example.org", NAME)
        return compile(source, f"README.md: {self.title}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    def _import(self, name: str) -> None:
        """What a block imports is left out of it: the modules that it names."""
        parts = name.split(".")
        if parts[0] in self.names or parts[0] not in MODULES:
            return
        self.names[parts[0]] = library(parts[0])
        for extra in MODULES[parts[0]]:
            library(f"{parts[0]}.{extra}")

    def run(self) -> Awaitable[None] | None:
        result: Awaitable[None] | None = eval(self.code, self.names)
        return result if inspect.isawaitable(result) else None

    async def awaited(self) -> None:
        """Run to its end: in this loop, or in a thread if it awaits nothing."""
        if inspect.CO_COROUTINE & self.code.co_flags:
            running = self.run()
            assert running is not None
            await running
        else:
            await asyncio.to_thread(self.run)


MODULES: dict[str, tuple[str, ...]] = {
    "asyncio": (), "aiohttp": ("web",), "httpx": (), "urllib": ("request",), "http": ("server",), "urllib3": (),
    "requests": ("adapters",), "websockets": (), "uvicorn": (), "hypercorn": ("asyncio",), "asyncpg": (),
    "redis": ("asyncio", "asyncio.connection"), "smtplib": (), "aiosmtplib": (), "trio": (), "anyio": (), "grpclib": ("client",),
    "minitls": ("ssl",),
}  # fmt: skip


@pytest.fixture
def theirs(files: Files) -> Contexts:
    """The other side is the standard library's."""
    return Contexts(ssl, ssl, files, ssl.TLSVersion.TLSv1_3)


@pytest.fixture
def example(request: pytest.FixtureRequest, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """The block that the test is named after, after the first one, which makes the theirs."""
    pem = files.server.read_text()
    (tmp_path / "server.key").write_text(pem[pem.index("-----BEGIN PRIVATE") :])
    (tmp_path / "server.pem").write_text(pem[: pem.index("-----BEGIN PRIVATE")])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.ca))
    names: dict[str, Any] = {}
    exec(BLOCKS[SETUP], names)
    made = Example(request.node.get_closest_marker("block").args[0], files, names)
    assert made.code  # which says, too, if a library is missing
    return made


def block(title: str) -> pytest.MarkDecorator:
    return pytest.mark.block(title)


def test_every_block_is_run() -> None:
    tests = [test for name, test in globals().items() if name.startswith("test_")]
    tested = {mark.args[0] for test in tests for mark in getattr(test, "pytestmark", ()) if mark.name == "block"}
    assert tested == BLOCKS.keys() - {SETUP}
    assert len(tested) == 20


def fetch(context: ssl.SSLContext, port: int) -> bytes:
    """With the standard library, as soon as somebody listens."""
    for _ in range(int(PATIENCE * 100)):
        try:
            with urllib.request.urlopen(f"https://{NAME}:{port}/", context=context, timeout=PATIENCE) as response:
                return bytes(response.read())
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        threading.Event().wait(0.01)
    raise AssertionError("nobody listens")


@asynccontextmanager
async def in_background(example: Example) -> AsyncIterator[None]:
    """A block that does not end by itself."""
    task = asyncio.ensure_future(example.awaited())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextmanager
def a_web_site(example: Example, theirs: Contexts) -> Iterator[None]:
    with web_served(theirs.server()) as url:
        example.port = int(url.rsplit(":", 1)[1].strip("/"))
        yield


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(5))
    writer.close()
    await writer.wait_closed()


@block("asyncio's own streams")
async def test_asyncio(example: Example, theirs: Contexts) -> None:
    example.names["handle"] = echo
    async with patience(), await asyncio.start_server(echo, HOST, 0, ssl=theirs.server()) as server:
        example.port = server.sockets[0].getsockname()[1]
        await example.awaited()
        other = await asyncio.open_connection(HOST, example.own_port, ssl=theirs.client(), server_hostname=NAME)
        for reader, writer in ((example.names["reader"], example.names["writer"]), other):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
        example.names["server"].close()


@block("aiohttp's client")
async def test_aiohttp_client(example: Example, theirs: Contexts) -> None:
    with a_web_site(example, theirs):
        await example.awaited()
    assert example.printed == [""]


@block("aiohttp's server")
async def test_aiohttp_server(example: Example, theirs: Contexts) -> None:
    web = library("aiohttp.web")

    async def hello(request: Any) -> Any:
        return web.Response(text="hello")

    example.names["application"] = web.Application()
    example.names["application"].router.add_get("/", hello)
    await example.awaited()
    assert await asyncio.to_thread(fetch, theirs.client(), example.own_port) == b"hello"
    await example.names["runner"].cleanup()


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
        await send({"type": "http.response.body", "body": f"HTTP {scope['http_version']}".ljust(8).encode()})
    else:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


@block("httpx")
async def test_httpx(example: Example, theirs: Contexts) -> None:
    for needed in "httpx", "h2", "hypercorn", "uvicorn":
        library(needed)
    from interop.applications import test_httpx as servers

    context = theirs.server("h2", "http/1.1")
    with in_thread(lambda: servers.by_hypercorn(context)) as port:
        example.port = port
        await example.awaited()
    assert example.printed == [""]


@block("urllib.request")
async def test_urllib(example: Example, theirs: Contexts) -> None:
    with a_web_site(example, theirs):
        await example.awaited()
    assert example.printed == [b""]


@block("http.server")
async def test_http_server(example: Example, theirs: Contexts) -> None:
    running = asyncio.create_task(example.awaited())
    assert b"server.pem" in await asyncio.to_thread(fetch, theirs.client(), example.own_port)
    example.names["server"].shutdown()
    await running
    example.names["server"].server_close()


@block("urllib3")
async def test_urllib3(example: Example, theirs: Contexts) -> None:
    with a_web_site(example, theirs):
        await example.awaited()
    assert example.printed == [b""]


@block("requests")
async def test_requests(example: Example, theirs: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(theirs.files.ca))
    with a_web_site(example, theirs):
        await example.awaited()
    assert example.printed == [""]


async def reverse(connection: Any) -> None:
    async for message in connection:
        await connection.send(message[::-1])


@block("websockets' client")
async def test_websockets_client(example: Example, theirs: Contexts) -> None:
    websockets = library("websockets")
    async with patience(), websockets.serve(reverse, HOST, 0, ssl=theirs.server()) as server:
        example.port = server.sockets[0].getsockname()[1]
        await example.awaited()
    assert example.printed == ["olleh"]


@block("websockets' server")
async def test_websockets_server(example: Example, theirs: Contexts) -> None:
    websockets = library("websockets")
    example.names["handler"] = reverse
    async with patience(), in_background(example):
        while "server" not in example.names:
            await asyncio.sleep(0.001)
        url = f"wss://{NAME}:{example.own_port}/"
        async with websockets.connect(url, ssl=theirs.client()) as connection:
            await connection.send("hello")
            assert await connection.recv() == "olleh"


@block("Uvicorn")
async def test_uvicorn(example: Example, theirs: Contexts) -> None:
    example.names["application"] = asgi
    running = asyncio.create_task(example.awaited())
    assert await asyncio.to_thread(fetch, theirs.client(), example.own_port) == b"HTTP 1.1"
    example.names["server"].should_exit = True
    await running


@block("Hypercorn")
async def test_hypercorn(example: Example, theirs: Contexts) -> None:
    httpx = library("httpx")
    library("h2")
    example.names["application"] = asgi
    async with patience(), in_background(example):
        assert await asyncio.to_thread(fetch, theirs.client(), example.own_port) == b"HTTP 1.1"
        async with httpx.AsyncClient(verify=theirs.client(), http2=True) as client:
            assert (await client.get(f"https://{NAME}:{example.own_port}/")).text == "HTTP 2  "


@block("asyncpg")
async def test_asyncpg(example: Example, postgres: tuple[int, str]) -> None:
    example.port, _ = postgres
    async with patience():
        await example.awaited()
    assert example.printed == ["TLSv1.3"]


@block("redis-py")
async def test_redis(example: Example, redis_server: int) -> None:
    example.port = redis_server
    async with patience():
        await example.awaited()
        await example.names["pool"].aclose()
    assert example.printed == [True]


async def mailed(example: Example, theirs: Contexts) -> None:
    library("aiosmtplib")
    library("aiosmtpd")
    from interop.applications.test_smtp import Box, check, letter, served

    box, context = Box(), theirs.server()
    example.names["message"] = letter()
    with in_thread(lambda: served(box, context, True)) as port:
        example.port = port
        await example.awaited()
    check(box, theirs)


@block("smtplib")
async def test_smtplib(example: Example, theirs: Contexts) -> None:
    await mailed(example, theirs)


@block("aiosmtplib")
async def test_aiosmtplib(example: Example, theirs: Contexts) -> None:
    await mailed(example, theirs)


@block("trio")
async def test_trio(example: Example, theirs: Contexts) -> None:
    trio = library("trio")

    async def main() -> None:
        running = example.run()
        assert running is not None
        await running
        async with example.names["stream"] as stream:
            await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")

    with a_web_site(example, theirs):
        await asyncio.to_thread(trio.run, main)


@block("anyio")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_anyio(example: Example, theirs: Contexts, backend: str) -> None:
    anyio = library("anyio")

    async def main() -> None:
        running = example.run()
        assert running is not None
        await running
        async with example.names["stream"] as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"

    @asynccontextmanager
    async def served() -> AsyncIterator[int]:
        async with await asyncio.start_server(echo, HOST, 0, ssl=context) as server:
            yield server.sockets[0].getsockname()[1]

    context = theirs.server()
    with in_thread(served) as port:
        example.port = port
        await asyncio.to_thread(lambda: anyio.run(main, backend=backend))


@block("grpclib")
async def test_grpclib(example: Example, theirs: Contexts) -> None:
    library("grpclib")
    from grpclib.client import UnaryUnaryMethod
    from grpclib.server import Server

    from interop.applications.test_grpclib import Octets, Reverser

    server = Server([Reverser()], codec=Octets())
    async with patience():
        await server.start(HOST, 0, ssl=theirs.server("h2"))
        example.port = server._server.sockets[0].getsockname()[1]
        example.run()  # it takes the loop that runs
        async with example.names["channel"] as channel:
            channel._codec = Octets()
            once: Any = UnaryUnaryMethod(channel, "/test.Reverser/Once", bytes, bytes)
            assert await once(LARGE) == LARGE[::-1]
        server.close()
        await server.wait_closed()


@block("A library that makes its own context")
async def test_injected(example: Example, theirs: Contexts) -> None:
    ours = importlib.import_module("minitls.ssl")
    with a_web_site(example, theirs):
        try:
            await example.awaited()
            assert type(ssl.create_default_context()) is ours.SSLContext
        finally:
            ours.extract_from_ssl()
    assert example.printed == [b""]
    assert type(ssl.create_default_context()) is ssl.SSLContext is not ours.SSLContext
