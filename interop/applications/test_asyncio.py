"""asyncio itself: streams, protocols of both kinds, and TLS begun in the middle."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from interop.applications.frame import HOST, LARGE, Contexts, patience
from tests.conftest import NAME


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_streams(contexts: Contexts) -> None:
    async with patience(), await asyncio.start_server(echo, HOST, 0, ssl=contexts.server("x", "echo")) as server:
        port = server.sockets[0].getsockname()[1]
        context = contexts.client("echo")
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=NAME)
        writer.write(LARGE)
        assert await reader.readexactly(len(LARGE)) == LARGE
        of_tls = writer.get_extra_info("ssl_object")
        assert type(of_tls) is contexts.client_module.SSLObject
        assert of_tls.version() == contexts.version_name
        assert of_tls.selected_alpn_protocol() == "echo"
        assert ("DNS", NAME) in writer.get_extra_info("peercert")["subjectAltName"]
        assert writer.get_extra_info("cipher") == of_tls.cipher()
        assert writer.get_extra_info("cipher")[1] == contexts.version_name
        assert writer.get_extra_info("compression") is None
        assert writer.get_extra_info("sslcontext") is context
        writer.close()
        await writer.wait_closed()


class Buffered(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.buffer, self.received = bytearray(1000), bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)  # asyncio reads into slices of it, and those of a bytearray are copies

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        if len(self.received) >= len(LARGE) and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or EOFError())


async def test_a_buffered_protocol(contexts: Contexts) -> None:
    loop = asyncio.get_running_loop()
    async with patience(), await asyncio.start_server(echo, HOST, 0, ssl=contexts.server()) as server:
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(Buffered, HOST, port, ssl=contexts.client(), server_hostname=NAME)
        transport.write(LARGE)
        await protocol.done
        assert protocol.received == LARGE
        transport.close()


async def test_starttls(contexts: Contexts) -> None:
    """Both sides speak in the clear first, then upgrade the transport that they have."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.drain()
        await writer.start_tls(context)
        await echo(reader, writer)

    context = contexts.server()
    async with patience(), await asyncio.start_server(serve, HOST, 0) as server:
        reader, writer = await asyncio.open_connection(HOST, server.sockets[0].getsockname()[1])
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(contexts.client(), server_hostname=NAME)
        writer.write(LARGE)
        assert await reader.readexactly(len(LARGE)) == LARGE
        writer.close()
        await writer.wait_closed()


async def test_client_certificates(contexts: Contexts) -> None:
    seen: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peercert"))
        await echo(reader, writer)

    async with patience(), await asyncio.start_server(serve, HOST, 0, ssl=contexts.server(client_ca=True)) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(HOST, port, ssl=contexts.client(certificate=True), server_hostname=NAME)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert ("DNS", "alice") in seen[0]["subjectAltName"]
        writer.close()
        await writer.wait_closed()


async def test_a_certificate_of_nobody_whom_we_trust(contexts: Contexts) -> None:
    async with patience(), await asyncio.start_server(echo, HOST, 0, ssl=contexts.server(used=False)) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed: unable to get local issuer") as caught:
            await asyncio.open_connection(HOST, port, ssl=contexts.distrusting(), server_hostname=NAME)
        assert (caught.value.verify_code, caught.value.reason) == (20, "CERTIFICATE_VERIFY_FAILED")
