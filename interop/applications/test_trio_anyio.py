"""trio and anyio, which drive the SSLObject themselves; anyio on asyncio and on trio."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from interop.applications.frame import HOST, LARGE, PATIENCE, Contexts, library
from tests.conftest import NAME

trio = library("trio")
anyio = library("anyio")
from anyio.streams.tls import TLSAttribute, TLSListener, TLSStream  # noqa: E402


def test_trio(contexts: Contexts) -> None:
    async def echo(stream: Any) -> None:
        async with stream:
            async for data in stream:
                await stream.send_all(data)

    async def main() -> None:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                listeners = await nursery.start(
                    lambda task_status: trio.serve_ssl_over_tcp(echo, 0, server_context, host=HOST, task_status=task_status)
                )
                port = listeners[0].transport_listener.socket.getsockname()[1]
                stream = trio.SSLStream(await trio.open_tcp_stream(HOST, port), client_context, server_hostname=NAME)
                async with stream:
                    await stream.do_handshake()
                    assert stream.version() == contexts.version_name
                    assert stream.selected_alpn_protocol() == "echo"
                    assert ("DNS", NAME) in stream.getpeercert()["subjectAltName"]
                    async with trio.open_nursery() as both:
                        both.start_soon(stream.send_all, LARGE)
                        received = bytearray()
                        while len(received) < len(LARGE):
                            received += await stream.receive_some()
                    assert received == LARGE
                nursery.cancel_scope.cancel()

    client_context, server_context = contexts.client("echo"), contexts.server("echo")
    trio.run(main)


def test_trio_says_what_is_wrong(contexts: Contexts) -> None:
    async def main() -> None:
        async def refuse(stream: Any) -> None:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()  # the handshake first; in TLS 1.3 it is over when the client's alert comes

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                listeners = await nursery.start(
                    lambda task_status: trio.serve_ssl_over_tcp(refuse, 0, server_context, host=HOST, task_status=task_status)
                )
                port = listeners[0].transport_listener.socket.getsockname()[1]
                async with trio.SSLStream(
                    await trio.open_tcp_stream(HOST, port), contexts.distrusting(), server_hostname=NAME
                ) as stream:
                    with pytest.raises(trio.BrokenResourceError) as caught:
                        await stream.do_handshake()
                    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
                nursery.cancel_scope.cancel()

    server_context = contexts.server(used=False)
    trio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(contexts: Contexts, backend: str) -> None:
    async def echo(stream: Any) -> None:
        async with stream:
            assert stream.extra(TLSAttribute.server_side)
            stream.extra(TLSAttribute.shared_ciphers)
            stream.extra(TLSAttribute.channel_binding_tls_unique)
            async for data in stream:
                await stream.send(data)

    async def main() -> None:
        with anyio.fail_after(PATIENCE):
            tcp = await anyio.create_tcp_listener(local_host=HOST)
            listener = TLSListener(tcp.listeners[0], server_context)
            port = tcp.extra(anyio.abc.SocketAttribute.local_port)
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, echo)
                stream = await anyio.connect_tcp(HOST, port, tls_hostname=NAME, ssl_context=client_context)
                async with stream:
                    assert stream.extra(TLSAttribute.tls_version) == contexts.version_name
                    assert stream.extra(TLSAttribute.alpn_protocol) == "echo"
                    assert stream.extra(TLSAttribute.cipher)[1] == contexts.version_name
                    assert ("DNS", NAME) in stream.extra(TLSAttribute.peer_certificate)["subjectAltName"]
                    assert stream.extra(TLSAttribute.peer_certificate_binary) == client_sees
                    async with anyio.create_task_group() as both:
                        both.start_soon(stream.send, LARGE)
                        received = bytearray()
                        while len(received) < len(LARGE):
                            received += await stream.receive()
                    assert received == LARGE
                group.cancel_scope.cancel()
            await tcp.aclose()

    client_context, server_context = contexts.client("echo"), contexts.server("echo")
    client_sees = ssl.PEM_cert_to_DER_cert(
        contexts.files.server.read_text().partition("-----END CERT")[0] + "-----END CERTIFICATE-----\n"
    )
    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_over_any_stream(contexts: Contexts, backend: str) -> None:
    """TLS over two object streams, which split what they carry as they like; and the end of the connection."""

    async def main() -> None:
        with anyio.fail_after(PATIENCE):
            up, down = anyio.create_memory_object_stream[bytes](1000), anyio.create_memory_object_stream[bytes](1000)
            client_side = anyio.streams.stapled.StapledObjectStream(up[0], down[1])
            server_side = anyio.streams.stapled.StapledObjectStream(down[0], up[1])
            results = {}

            async def serve() -> None:
                results["server"] = await TLSStream.wrap(server_side, server_side=True, ssl_context=server_context)

            async with anyio.create_task_group() as group:
                group.start_soon(serve)
                results["client"] = await TLSStream.wrap(client_side, hostname=NAME, ssl_context=client_context)
            client, server = results["client"], results["server"]
            await client.send(LARGE[:100_000])
            received = bytearray()
            while len(received) < 100_000:
                received += await server.receive()
            assert received == LARGE[:100_000]
            async with anyio.create_task_group() as group:
                group.start_soon(client.aclose)
                with pytest.raises(anyio.EndOfStream):
                    await server.receive()
                await server.aclose()

    client_context, server_context = contexts.client(), contexts.server()
    anyio.run(main, backend=backend)
