"""grpclib: gRPC over HTTP/2, client and server; with a codec of its own, so that nothing has to be compiled."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from interop.applications.frame import HOST, LARGE, Contexts, library, patience
from tests.conftest import NAME

library("grpclib")
from grpclib.client import Channel, StreamStreamMethod, UnaryUnaryMethod  # noqa: E402
from grpclib.const import Cardinality, Handler  # noqa: E402
from grpclib.encoding.base import CodecBase  # noqa: E402
from grpclib.server import Server, Stream  # noqa: E402


class Octets(CodecBase):
    __content_subtype__ = "octets"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class Reverser:
    """A service, as generated code has it."""

    async def once(self, stream: Stream[bytes, bytes]) -> None:
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message[::-1])

    async def always(self, stream: Stream[bytes, bytes]) -> None:
        async for message in stream:
            await stream.send_message(message[::-1])

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/test.Reverser/Once": Handler(self.once, Cardinality.UNARY_UNARY, bytes, bytes),
            "/test.Reverser/Always": Handler(self.always, Cardinality.STREAM_STREAM, bytes, bytes),
        }


async def test_calls(contexts: Contexts) -> None:
    server = Server([Reverser()], codec=Octets())
    async with patience():
        await server.start(HOST, 0, ssl=contexts.server("h2"))
        port = server._server.sockets[0].getsockname()[1]
        try:
            async with Channel(NAME, port, ssl=contexts.client("h2"), codec=Octets()) as channel:
                once: Any = UnaryUnaryMethod(channel, "/test.Reverser/Once", bytes, bytes)
                for message in b"", b"hello", LARGE:
                    assert await once(message) == message[::-1]
                always: Any = StreamStreamMethod(channel, "/test.Reverser/Always", bytes, bytes)
                async with always.open() as stream:
                    for n in range(20):
                        await stream.send_message(LARGE[:10_000] + bytes([n]), end=n == 19)
                        assert await stream.recv_message() == bytes([n]) + LARGE[:10_000][::-1]
        finally:
            server.close()
            await server.wait_closed()


async def test_a_certificate_of_nobody_whom_we_trust(contexts: Contexts) -> None:
    server = Server([Reverser()], codec=Octets())
    async with patience():
        await server.start(HOST, 0, ssl=contexts.server("h2", used=False))
        port = server._server.sockets[0].getsockname()[1]
        try:
            context = contexts.distrusting()
            context.set_alpn_protocols(["h2"])
            async with Channel(NAME, port, ssl=context, codec=Octets()) as channel:
                once: Any = UnaryUnaryMethod(channel, "/test.Reverser/Once", bytes, bytes)
                with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
                    await once(b"")
        finally:
            server.close()
            await server.wait_closed()
