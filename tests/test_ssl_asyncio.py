"""The drop-in under asyncio and uvloop, which have transports of their own for it: each side ours or the standard library's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.dropin import HOST, VERSIONS, Contexts, contexts, files, pairs

_ = (contexts, files)  # fixtures

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]
LIMIT = 20


@pytest.fixture(params=pairs())
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    made: tuple[str, str] = request.param
    return made


@asynccontextmanager
async def serving(handler: Handler, context: Any, **how: Any) -> AsyncIterator[tuple[int, list[Any]]]:
    """A server whose handler's results, or errors, are collected; its port, and they."""
    results: list[Any] = []
    begun: list[None] = []
    done: list[None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.append(None)
        try:
            results.append(await handler(reader, writer))
        except Exception as error:
            results.append(error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            done.append(None)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context, **how)
    try:
        async with asyncio.timeout(LIMIT):
            yield server.sockets[0].getsockname()[1], results
            while len(done) < len(begun):
                await asyncio.sleep(0.01)
    finally:
        server.close()


async def gathered(results: list[Any]) -> Any:
    while not results:
        await asyncio.sleep(0.01)
    return results[0]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    count = 0
    while data := await reader.read(65536):
        count += len(data)
        writer.write(data)
        await writer.drain()
    return count


async def connected(port: int, context: Any, **how: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST, **how)


@pytest.mark.parametrize("version", VERSIONS)
async def test_streams(contexts: Contexts, pair: tuple[str, str], version: str) -> None:
    async with serving(echo, contexts.server(pair[1], alpn=["x"])) as (port, results):
        reader, writer = await connected(port, contexts.client(pair[0], alpn=["x"], version=version))
        data = os.urandom(1_500_000)

        async def send() -> None:
            for start in range(0, len(data), 100_000):
                writer.write(data[start : start + 100_000])
                await writer.drain()

        sending = asyncio.create_task(send())
        assert await reader.readexactly(len(data)) == data
        await sending
        info = writer.get_extra_info
        assert info("ssl_object").version() == f"TLSv{version}"
        assert info("ssl_object").selected_alpn_protocol() == "x"
        assert info("cipher") == info("ssl_object").cipher()
        assert info("peercert")["subjectAltName"][0] == ("DNS", HOST)
        assert info("compression") is None
        assert info("sslcontext") is info("ssl_object").context
        writer.close()
        await writer.wait_closed()
        assert await gathered(results) == len(data)


async def test_a_request_that_comes_with_the_clients_finished(contexts: Contexts, pair: tuple[str, str]) -> None:
    """In one segment: an engine that takes all of it must say that there is more to read."""
    async with (
        serving(echo, contexts.server(pair[1])) as (port, echoed),
        serving(lambda reader, writer: in_lumps(reader, writer, port), None) as (proxy, passed_on),
    ):
        reader, writer = await connected(proxy, contexts.client(pair[0]))
        writer.write(b"early bird")
        assert await reader.readexactly(10) == b"early bird"
        writer.close()
        await writer.wait_closed()
        assert await gathered(echoed) == 10
        assert await gathered(passed_on) is None


async def in_lumps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """A proxy that waits for what else is said before it passes anything on."""
    onward, back = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await asyncio.sleep(0.05)
            target.write(data)
        target.close()
        await target.wait_closed()

    await asyncio.gather(copy(reader, back), copy(onward, writer))


class Buffered(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.buffer = bytearray(5000)
        self.got = b""
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)  # of a bytearray, Python 3.11 fills a copy

    def buffer_updated(self, nbytes: int) -> None:
        self.got += self.buffer[:nbytes]

    def eof_received(self) -> None:
        self.done.set_result(self.got)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


async def test_buffered_protocols(contexts: Contexts, pair: tuple[str, str]) -> None:
    data = os.urandom(400_000)

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    async with serving(send, contexts.server(pair[1])) as (port, results):
        loop = asyncio.get_running_loop()
        where: dict[str, Any] = {"ssl": contexts.client(pair[0]), "server_hostname": HOST}
        transport, protocol = await loop.create_connection(Buffered, "127.0.0.1", port, **where)
        assert await protocol.done == data
        assert await gathered(results) is None
        transport.close()
        await protocol.lost


async def test_start_tls(contexts: Contexts, pair: tuple[str, str]) -> None:
    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await writer.drain()
        await writer.start_tls(contexts.server(pair[1]))
        writer.write(b"secret\n")
        return await reader.readline()

    async with serving(upgrade, None) as (port, results):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go ahead\n"
        await writer.start_tls(contexts.client(pair[0]), server_hostname=HOST)
        assert await reader.readline() == b"secret\n"
        writer.write(b"thanks\n")
        assert await gathered(results) == b"thanks\n"
        writer.close()


async def test_certificates_that_do_not_convince(contexts: Contexts, pair: tuple[str, str]) -> None:
    async with serving(echo, contexts.server(pair[1])) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await asyncio.open_connection("127.0.0.1", port, ssl=contexts.client(pair[0]), server_hostname="wrong.example")
        assert caught.value.verify_code == 62


async def test_a_handshake_that_takes_too_long(contexts: Contexts) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent, None) as (port, _):
        with pytest.raises(ConnectionAbortedError):
            await connected(port, contexts.client("ours"), ssl_handshake_timeout=0.2)


async def test_a_peer_that_hangs_up_in_the_handshake(contexts: Contexts) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with serving(rude, None) as (port, _):
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await connected(port, contexts.client("ours"))


async def test_many_at_once(contexts: Contexts, pair: tuple[str, str]) -> None:
    async with serving(echo, contexts.server(pair[1])) as (port, results):
        context = contexts.client(pair[0])

        async def one(number: int) -> None:
            reader, writer = await connected(port, context)
            writer.write(b"%d" % number * 1000)
            assert await reader.readexactly(len(b"%d" % number) * 1000) == b"%d" % number * 1000
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*map(one, range(20)))
        while len(results) < 20:
            await asyncio.sleep(0.01)
        assert not [each for each in results if isinstance(each, Exception)]


async def test_flow_control(contexts: Contexts, pair: tuple[str, str]) -> None:
    """A reader that stops for a while gets everything afterwards."""
    data = os.urandom(3_000_000)

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with serving(send, contexts.server(pair[1])) as (port, _):
        reader, writer = await connected(port, contexts.client(pair[0]))
        await asyncio.sleep(0.2)
        assert await reader.read() == data
        writer.close()


async def test_the_client_closes_first(contexts: Contexts, pair: tuple[str, str]) -> None:
    async with serving(echo, contexts.server(pair[1])) as (port, results):
        _, writer = await connected(port, contexts.client(pair[0]))
        writer.close()
        await writer.wait_closed()
        assert await gathered(results) == 0


async def test_client_certificates(contexts: Contexts, pair: tuple[str, str]) -> None:
    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        return writer.get_extra_info("peercert")["subjectAltName"]

    async with serving(who, contexts.asking(pair[1])) as (port, results):
        cert = contexts.files.issue("client", "client", client=True)
        _, writer = await connected(port, contexts.client(pair[0], cert=cert))
        assert await gathered(results) == (("DNS", "client"),)
        writer.close()
