"""Post-handshake client authentication by asyncio, on its own loop and on uvloop: who waits hears how it ends, always."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import minitls
from minitls import (
    AlertReceived,
    CertificateError,
    ClientAuth,
    ClientConfig,
    ConnectionInfo,
    HandshakeTimeout,
    Misuse,
    PeerCertificates,
    Policy,
    ServerConfig,
    TruncationError,
)
from minitls.aio.transport import TLSTransport
from minitls.certificates.credentials import Credential
from tests.conftest import Pki

HOST = "127.0.0.1"
QUICK = Policy(groups=("x25519",))
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


def client_of(pki: Pki, **fields: Any) -> ClientConfig:
    return pki.client_config(**{"policy": QUICK, "post_handshake_auth": True, "credential": pki.client(), **fields})


def server_of(pki: Pki, **fields: Any) -> ServerConfig:
    return pki.server_config(**{"policy": QUICK, "post_handshake_auth": True, "trust": pki.trust, **fields})


def tls(writer: asyncio.StreamWriter) -> TLSTransport:
    assert isinstance(writer.transport, TLSTransport)
    return writer.transport


@contextlib.asynccontextmanager
async def talking(
    client: ClientConfig, server: ServerConfig, handler: Handler
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Future[Any]]]:
    """A client, and what comes of the server's ``handler``."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outcome.set_result(await handler(reader, writer))
        except Exception as error:
            outcome.set_exception(error)
        writer.close()

    async with asyncio.timeout(10):
        listening = await minitls.start_server(handle, HOST, 0, config=server)
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")
        try:
            yield reader, writer, outcome
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()
            listening.close()
            await listening.wait_closed()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ConnectionInfo:
    """Once the client has said something."""
    assert await reader.readline() == b"let me in\n"
    assert writer.get_extra_info("tls").peer_chain == ()
    info: ConnectionInfo = await tls(writer).request_client_certificate()
    same: ConnectionInfo = writer.get_extra_info("tls")
    assert same is info
    writer.write(b"welcome\n" if info.peer_chain else b"who are you?\n")
    await reader.readline()
    return info


async def test_asked(pki: Pki) -> None:
    async with talking(client_of(pki), server_of(pki), ask) as (reader, writer, outcome):
        writer.write(b"let me in\n")
        assert await reader.readline() == b"welcome\n"
        writer.write(b"thanks\n")
        assert (await outcome).peer_chain == pki.client().chain
        assert writer.get_extra_info("tls").client_signature_scheme == "ecdsa_secp256r1_sha256"


async def test_declined(pki: Pki) -> None:
    async with talking(client_of(pki, credential=None), server_of(pki), ask) as (reader, writer, outcome):
        writer.write(b"let me in\n")
        assert await reader.readline() == b"who are you?\n"
        writer.write(b"nobody\n")
        assert (await outcome).peer_chain == ()


async def test_twice_in_a_row_while_data_flows(pki: Pki) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        echo = asyncio.ensure_future(reader.readexactly(2**20))
        for _ in range(2):
            await tls(writer).request_client_certificate()
            writer.write(bytes(2**19))
        with pytest.raises(Misuse, match="not answered yet"):
            await asyncio.gather(*(tls(writer).request_client_certificate() for _ in range(2)))
        return len(await echo)

    async with talking(client_of(pki), server_of(pki), handle) as (reader, writer, outcome):
        writer.write(bytes(2**20))
        assert len(await reader.readexactly(2**20)) == 2**20
        assert await outcome == 2**20


async def test_answers_may_be_awaited(pki: Pki) -> None:
    async def sign(scheme: Any, data: bytes) -> Any:
        await asyncio.sleep(0.02)
        return pki.client().sign(scheme, data)

    async def verify(certificates: PeerCertificates) -> None:
        await asyncio.sleep(0.02)

    credential = Credential(pki.client().chain, signer=sign)
    async with talking(client_of(pki, credential=credential), server_of(pki, verify=verify), ask) as (reader, writer, outcome):
        writer.write(b"let me in\n")
        await asyncio.sleep(0.01)
        writer.write(b"please\n")
        assert await reader.readline() == b"welcome\n"
        assert (await outcome).peer_chain == pki.client().chain


async def test_reading_on_while_somebody_signs(pki: Pki) -> None:
    """The application's pause and resume do not open the door while a question is open."""
    signing = asyncio.Event()
    go_on = asyncio.Event()

    async def sign(scheme: Any, data: bytes) -> Any:
        signing.set()
        await go_on.wait()
        return pki.client().sign(scheme, data)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        asked = asyncio.ensure_future(tls(writer).request_client_certificate())
        await signing.wait()
        writer.write(bytes(10**6))
        return await asked

    config = client_of(pki, credential=Credential(pki.client().chain, signer=sign))
    async with talking(config, server_of(pki), handle) as (reader, writer, outcome):
        await signing.wait()
        for _ in range(3):
            tls(writer).pause_reading()
            await asyncio.sleep(0.01)
            tls(writer).resume_reading()
            await asyncio.sleep(0.01)
        assert len(tls(writer).connection.partial) <= 2**18
        go_on.set()
        assert (await outcome).peer_chain == pki.client().chain
        assert len(await reader.readexactly(10**6)) == 10**6


async def test_asked_while_reading_is_paused(pki: Pki) -> None:
    """The request waits with everything else."""
    async with talking(client_of(pki), server_of(pki), ask) as (reader, writer, outcome):
        tls(writer).pause_reading()
        writer.write(b"let me in\n")
        await asyncio.sleep(0.05)
        assert not outcome.done()
        tls(writer).resume_reading()
        assert await reader.readline() == b"welcome\n"


async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ConnectionInfo:
    return await tls(writer).request_client_certificate()


async def never(scheme: Any, data: bytes) -> bytes:
    await asyncio.sleep(60)
    raise AssertionError


def silent(pki: Pki) -> ClientConfig:
    """A client that takes its time."""
    return client_of(pki, credential=Credential(pki.client().chain, signer=never))


async def test_no_answer_in_time(pki: Pki) -> None:
    async with talking(silent(pki), server_of(pki, handshake_timeout=0.1), waiting) as (_, _, outcome):
        with pytest.raises(HandshakeTimeout):
            await outcome


async def test_the_time_is_not_over_afterwards(pki: Pki) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        await tls(writer).request_client_certificate()
        return await reader.readline()

    async with talking(client_of(pki), server_of(pki, handshake_timeout=0.2), handle) as (_, writer, outcome):
        await asyncio.sleep(0.4)
        writer.write(b"still here\n")
        assert await outcome == b"still here\n"


async def test_who_stops_waiting(pki: Pki) -> None:
    """The request stays open; the connection does, too."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tls(writer).request_client_certificate(), 0.05)
        with pytest.raises(Misuse, match="not answered yet"):
            await tls(writer).request_client_certificate()
        writer.write(b"never mind\n")
        return await reader.readline()

    async with talking(silent(pki), server_of(pki, handshake_timeout=0.2), handle) as (_, writer, outcome):
        await asyncio.sleep(0.4)
        writer.write(b"still here\n")
        assert await outcome == b"still here\n"


@pytest.mark.parametrize("how", ["close", "write_eof", "abort"])
async def test_the_client_goes(pki: Pki, how: str) -> None:
    async with talking(silent(pki), server_of(pki), waiting) as (_, writer, outcome):
        await asyncio.sleep(0.05)
        getattr(tls(writer), how)()
        with pytest.raises((TruncationError, ConnectionError)):
            await outcome


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_the_server_goes(pki: Pki, how: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        asyncio.get_running_loop().call_later(0.05, getattr(tls(writer), how))
        return await tls(writer).request_client_certificate()

    async with talking(silent(pki), server_of(pki), handle) as (_, _, outcome):
        with pytest.raises(ConnectionAbortedError):
            await outcome


async def test_nobody_trusts_it(pki: Pki) -> None:
    config = client_of(pki, credential=pki.strangers.issue("client", client=True).credential())
    async with talking(config, server_of(pki), waiting) as (reader, _, outcome):
        with pytest.raises(CertificateError):
            await outcome
        with pytest.raises(AlertReceived) as caught:
            await reader.read()
        assert caught.value.alert is minitls.Alert.unknown_ca


async def test_the_signer_fails(pki: Pki) -> None:
    async def sign(scheme: Any, data: bytes) -> bytes:
        raise OSError("the HSM is gone")

    config = client_of(pki, credential=Credential(pki.client().chain, signer=sign))
    async with talking(config, server_of(pki), waiting) as (reader, _, outcome):
        with pytest.raises(AlertReceived):
            await outcome
        with pytest.raises(OSError, match="the HSM is gone"):
            await reader.read()


async def test_misuse(pki: Pki) -> None:
    async with talking(client_of(pki, post_handshake_auth=False), server_of(pki), waiting) as (_, writer, outcome):
        with pytest.raises(Misuse, match="did not offer"):
            await outcome
        with pytest.raises(Misuse, match="clients do not"):
            await tls(writer).request_client_certificate()


async def test_required(pki: Pki) -> None:
    """By a configuration that requires it, it is there before."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        before = writer.get_extra_info("tls").peer_chain
        return before, (await tls(writer).request_client_certificate()).peer_chain

    async with talking(client_of(pki), server_of(pki, client_auth=ClientAuth.require), handle) as (_, _, outcome):
        assert await outcome == (pki.client().chain, pki.client().chain)
