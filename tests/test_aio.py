"""asyncio, on its own loop and on uvloop: the five functions, flow control, and every way in which a connection can end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import minitls
from minitls import (
    AlertReceived,
    CertificateError,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Connection,
    HandshakeTimeout,
    Misuse,
    PeerIncompatible,
    ServerConfig,
    ServerConnection,
    TLSError,
    TruncationError,
)
from minitls.aio.writing import TURN
from tests.conftest import Pki

HOST = "127.0.0.1"
Config = Callable[..., Any]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def client(pki: Pki) -> ClientConfig:
    return pki.client_config()


@pytest.fixture
def server(pki: Pki) -> ServerConfig:
    return pki.server_config()


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def serving(config: ServerConfig, handler: Handler = echo, **more: Any) -> AsyncIterator[int]:
    server = await minitls.start_server(handler, HOST, 0, config=config, **more)
    try:
        yield port_of(server)
    finally:
        server.close()
        await server.wait_closed()


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Recorder(asyncio.Protocol):
    """Everything that a protocol is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = bytearray()
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self.keep_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("connection_made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data
        self.data += data

    def eof_received(self) -> bool:
        self.calls.append("eof_received")
        return self.keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.calls.append("connection_lost")
        self.lost.set_result(exc)

    def pause_writing(self) -> None:
        self.calls.append("pause_writing")

    def resume_writing(self) -> None:
        self.calls.append("resume_writing")


class BufferedRecorder(asyncio.BufferedProtocol):
    """A BufferedProtocol with a small buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.data = bytearray()
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


async def test_streams_both_ways(client: ClientConfig, server: ServerConfig) -> None:
    """16 MiB there and back, a half-close, and what was agreed."""
    data = hashlib.shake_128(b"minitls").digest(16 * 2**20)
    async with serving(server) as port:
        reader, writer = await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")
        info = writer.get_extra_info("tls")
        assert (info.version, info.group, info.server_name) == ("TLSv1.3", "X25519MLKEM768", "localhost")
        assert writer.get_extra_info("cipher") == ("TLS_AES_128_GCM_SHA256", "TLSv1.3", 128)
        assert writer.get_extra_info("peername") == (HOST, port)

        async def send() -> None:
            for at in range(0, len(data), 2**18):
                writer.write(data[at : at + 2**18])
                await writer.drain()
            assert writer.can_write_eof()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read() == data
        await sending
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("size", [1, 100, 16383, 16384, 16385, 300_000])
async def test_writes_of_all_sizes_arrive_in_order(client: ClientConfig, server: ServerConfig, size: int) -> None:
    async with serving(server) as port:
        reader, writer = await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")
        pieces = [bytes([number]) * size for number in range(8)]
        writer.writelines(pieces[:4])
        for piece in pieces[4:]:
            writer.write(memoryview(piece))
        assert await reader.readexactly(8 * size) == b"".join(pieces)
        writer.close()
        await writer.wait_closed()


async def test_small_writes_share_a_record(client: ClientConfig, server: ServerConfig, pki: Pki) -> None:
    """Counted, not timed: a hundred writes in one tick are one record."""
    sizes: list[int] = []

    def watch(seen: object) -> None:
        if isinstance(seen, minitls.observe.DataSeen) and seen.sent:
            sizes.append(seen.size)

    async with serving(server) as port:
        config = pki.client_config(observer=watch)
        reader, writer = await minitls.open_connection(HOST, port, config=config, server_hostname="localhost")
        for _ in range(100):
            writer.write(b"0123456789")
        await reader.readexactly(1000)
        writer.close()
        await writer.wait_closed()
    assert sizes == [1000]


@pytest.mark.parametrize("kind", [Recorder, BufferedRecorder])
async def test_protocols(client: ClientConfig, server: ServerConfig, kind: Callable[[], Any]) -> None:
    data = bytes(range(256)) * 5000
    made: list[Any] = []

    def factory() -> Any:
        made.append(kind())
        return made[-1]

    above = await minitls.create_server(factory, HOST, 0, config=server)
    transport, protocol = await minitls.create_connection(
        Recorder, HOST, port_of(above), config=client, server_hostname="localhost"
    )
    assert isinstance(protocol, Recorder)
    assert transport.get_protocol() is protocol
    assert not transport.is_closing()
    transport.write(data)
    transport.close()
    assert await protocol.lost is None
    assert await made[0].lost is None
    assert made[0].data == data
    above.close()
    await above.wait_closed()


async def test_pause_writing_bounds_memory(client: ClientConfig, server: ServerConfig) -> None:
    """A peer that never reads: we are told to stop, and what waits is bounded by what was written until then."""
    stop = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await stop.wait()
        writer.transport.resume_reading()
        while await reader.read(2**20):
            pass
        writer.close()

    async with serving(server, deaf) as port:
        transport, protocol = await minitls.create_connection(Recorder, HOST, port, config=client, server_hostname="localhost")
        assert isinstance(protocol, Recorder)
        written = 0
        while "pause_writing" not in protocol.calls:
            transport.write(bytes(100_000))
            written += 100_000
            await asyncio.sleep(0)
            assert written < 64 * 2**20
        assert transport.get_write_buffer_size() <= written
        stop.set()
        await until(lambda: "resume_writing" in protocol.calls)
        transport.close()
        assert await protocol.lost is None


async def test_pause_reading_holds_data(client: ClientConfig, server: ServerConfig) -> None:
    """While reading is paused nothing is delivered; afterwards all of it is, in order."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(50):
            writer.write(bytes([number]) * 10_000)
            await writer.drain()
        writer.close()

    async with serving(server, talk) as port:
        transport, protocol = await minitls.create_connection(Recorder, HOST, port, config=client, server_hostname="localhost")
        assert isinstance(protocol, Recorder)
        transport.pause_reading()
        assert not transport.is_reading()
        before = len(protocol.data)
        await asyncio.sleep(0.05)
        assert len(protocol.data) == before
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"".join(bytes([n]) * 10_000 for n in range(50))


async def test_half_close(client: ClientConfig, server: ServerConfig) -> None:
    """write_eof ends our direction alone; writing after it is an error of ours."""

    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        writer.write(question.upper())
        writer.close()

    async with serving(server, answer_at_the_end) as port:
        reader, writer = await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"HELLO"
        writer.close()
        await writer.wait_closed()
        transport, _ = await minitls.create_connection(Recorder, HOST, port, config=client, server_hostname="localhost")
        transport.write_eof()
        with pytest.raises(RuntimeError):
            transport.write(b"too late")
        transport.close()


async def raw_server(behaviour: Handler) -> asyncio.Server:
    """A TCP server that does not speak TLS."""
    return await asyncio.start_server(behaviour, HOST, 0)


async def test_truncation_is_an_error_and_loses_nothing(client: ClientConfig, server: ServerConfig) -> None:
    """FIN without close_notify: what came can be read, and then the read raises; never a short read as success."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"one line\nhalf a l")
        await asyncio.sleep(0)
        writer.transport._below.close()  # type: ignore[attr-defined]

    reads: dict[str, Callable[[asyncio.StreamReader], Awaitable[bytes]]] = {
        "read": lambda reader: reader.read(),
        "readexactly": lambda reader: reader.readexactly(100),
        "readline": lambda reader: reader.readline(),
    }
    async with serving(server, cut) as port:
        for name, read in reads.items():
            reader, writer = await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")
            assert await reader.readline() == b"one line\n", name
            with pytest.raises(TruncationError):
                await read(reader)
            writer.close()
            with pytest.raises(TruncationError):
                await writer.wait_closed()
        transport, protocol = await minitls.create_connection(Recorder, HOST, port, config=client, server_hostname="localhost")
        assert isinstance(protocol, Recorder)
        assert isinstance(await protocol.lost, TruncationError)
        assert protocol.data == b"one line\nhalf a l"
        assert "eof_received" not in protocol.calls
        assert transport.is_closing()


async def test_alerts_arrive(client: ClientConfig, pki: Pki) -> None:
    """A refusal is told to the other side, both ways: its error names our alert."""
    failures: list[BaseException] = []
    config = pki.server_config(alpn=("h2",), credentials=(pki.untrusted,))
    async with serving(config, handshake_failed=lambda error, transport: failures.append(error)) as port:
        with pytest.raises(AlertReceived) as refused:
            await minitls.open_connection(HOST, port, config=pki.client_config(alpn=("ftp",)), server_hostname="localhost")
        assert refused.value.alert == minitls.Alert.no_application_protocol
        with pytest.raises(CertificateError) as caught:
            await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")
        assert caught.value.reason == "unknown_ca"
        assert caught.value.chain
        await until(lambda: len(failures) == 2)
    assert isinstance(failures[0], PeerIncompatible)
    assert isinstance(failures[1], AlertReceived)
    assert failures[1].alert == minitls.Alert.unknown_ca


async def test_an_alert_of_the_applications_choice(client: ClientConfig, server: ServerConfig) -> None:
    """RFC 8446 section 6.2: behind what was written; both sides' protocols hear why it ended."""
    lost: list[BaseException] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"who are you?")
        transport: Any = writer.transport
        transport.fail(minitls.Alert.access_denied)
        transport.fail(minitls.Alert.internal_error)  # it has ended
        with pytest.raises(TLSError, match="the application ended the connection") as ended:
            await reader.read()
        lost.append(ended.value)

    async with serving(server, refuse) as port:
        reader, writer = await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")
        assert await reader.readexactly(12) == b"who are you?"
        with pytest.raises(AlertReceived) as caught:
            await reader.read()
        assert caught.value.alert == minitls.Alert.access_denied
        writer.close()
        await until(lambda: lost)
    assert isinstance(lost[0], TLSError)
    assert lost[0].alert == minitls.Alert.access_denied


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x80\x2e\x01\x00\x02", bytes(100), b"\x16"]
)
async def test_what_is_no_tls_gets_an_alert(server: ServerConfig, noise: bytes) -> None:
    async with serving(server) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(noise)
        writer.write_eof()
        answer = await reader.read()
        assert answer[:1] == (b"\x15" if len(noise) > 1 else b"")
        writer.close()
        await writer.wait_closed()


async def test_handshake_timeout_both_ways(pki: Pki) -> None:
    """The whole handshake has to be over in time, however slowly its bytes drip."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"\x16\x03\x03\x40\x00")
            while True:
                writer.write(b"\x02")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    silent = await raw_server(drip)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError) as caught:
        await minitls.open_connection(
            HOST, port_of(silent), config=pki.client_config(handshake_timeout=0.2), server_hostname="localhost"
        )
    assert isinstance(caught.value, (HandshakeTimeout, minitls.TLSError))
    assert 0.15 < loop.time() - began < 0.7
    silent.close()
    async with serving(pki.server_config(handshake_timeout=0.2)) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        began = loop.time()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert 0.15 < loop.time() - began < 0.7
        writer.close()


async def test_close_is_prompt_with_a_silent_peer(pki: Pki, server: ServerConfig) -> None:
    """A peer that answers nothing, reads nothing and closes nothing does not keep us."""
    accepted = socket.create_server((HOST, 0))
    accepted.setblocking(False)
    loop = asyncio.get_running_loop()

    async def silent_peer() -> socket.socket:
        peer, _ = await loop.sock_accept(accepted)
        engine = ServerConnection(server)
        while not engine.handshake_completed:
            engine.receive_data(await loop.sock_recv(peer, 2**16))
            await loop.sock_sendall(peer, engine.data_to_send())
        return peer

    task = asyncio.create_task(silent_peer())
    _, writer = await minitls.open_connection(
        HOST, accepted.getsockname()[1], config=pki.client_config(), server_hostname="localhost"
    )
    peer = await task
    began = loop.time()
    writer.close()
    await writer.wait_closed()
    assert loop.time() - began < 0.5
    peer.close()
    accepted.close()


@pytest.mark.parametrize("turns", range(12))
async def test_cancelling_leaks_nothing(client: ClientConfig, server: ServerConfig, turns: int) -> None:
    """Cancelled after so many turns of the loop, open_connection passes the cancellation on and leaves nothing open."""
    async with serving(server) as port:
        task = asyncio.create_task(minitls.open_connection(HOST, port, config=client, server_hostname="localhost"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            _, writer = await task
        except asyncio.CancelledError:
            pass
        else:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)
        gc.collect()  # an open transport would warn here, and warnings are errors
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others


async def test_questions_may_take_their_time(pki: Pki) -> None:
    """Choosing a credential, signing and verifying, all of them awaited; the flow can't tell."""
    asked: list[str] = []
    inner = pki.server()

    async def sign(scheme: minitls.config.SignatureScheme, data: bytes) -> bytes:
        asked.append("sign")
        await asyncio.sleep(0.01)
        signature = inner.sign(scheme, data)
        assert isinstance(signature, bytes)
        return signature

    async def select(hello: Any) -> minitls.Credential:
        asked.append(f"select {hello.server_name}")
        await asyncio.sleep(0.01)
        return minitls.Credential(inner.chain, signer=sign)

    async def verify(peer: minitls.PeerCertificates) -> None:
        asked.append(f"verify {peer.server_name}")
        await asyncio.sleep(0.01)

    async with serving(ServerConfig(select_credential=select)) as port:
        reader, writer = await minitls.open_connection(
            HOST, port, config=pki.client_config(verify=verify), server_hostname="localhost"
        )
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()
        await writer.wait_closed()
    assert asked == ["select localhost", "sign", "verify localhost"]


async def test_an_applications_own_error_comes_through(pki: Pki) -> None:
    """What a callback raises is what open_connection raises; the peer gets an alert."""

    async def refuse(peer: minitls.PeerCertificates) -> None:
        raise LookupError("the pin service is down")

    failures: list[BaseException] = []
    async with serving(pki.server_config(), handshake_failed=lambda error, _: failures.append(error)) as port:
        with pytest.raises(LookupError, match="pin service"):
            await minitls.open_connection(HOST, port, config=pki.client_config(verify=refuse), server_hostname="localhost")
        await until(lambda: failures)
    assert isinstance(failures[0], AlertReceived)
    assert failures[0].alert == minitls.Alert.internal_error


async def test_a_protocol_that_raises_ends_its_connection(client: ClientConfig, server: ServerConfig) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    class Broken(Recorder):
        def data_received(self, data: bytes) -> None:
            raise LookupError("broken")

    async with serving(server) as port:
        transport, protocol = await minitls.create_connection(Broken, HOST, port, config=client, server_hostname="localhost")
        assert isinstance(protocol, Broken)
        transport.write(b"boo")
        assert isinstance(await protocol.lost, LookupError)
    assert isinstance(reported[0]["exception"], LookupError)


async def test_start_tls_and_tls_in_tls(client: ClientConfig, server: ServerConfig) -> None:
    """A plain connection upgraded on both sides, and then TLS once more inside it: a transport is a transport."""
    payload = bytes(range(256)) * 2000
    finished: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    class Upgrading(Recorder):
        def data_received(self, data: bytes) -> None:
            assert data == b"STARTTLS\n"
            self.transport.write(b"GO\n")
            self.task = asyncio.create_task(self.upgrade())

        async def upgrade(self) -> None:
            inner = Recorder()
            outer = await minitls.start_tls(self.transport, self, server)
            inmost = await minitls.start_tls(outer, inner, server)
            await until(lambda: len(inner.data) == len(payload))
            inmost.write(b"got it")
            inmost.close()
            finished.set_result(bytes(inner.data))

    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Upgrading, HOST, 0)
    reader = asyncio.StreamReader()
    transport, _ = await loop.create_connection(lambda: asyncio.StreamReaderProtocol(reader), HOST, port_of(plain))
    transport.write(b"STARTTLS\n")
    assert await reader.readline() == b"GO\n"
    protocol = Recorder()
    outer = await minitls.start_tls(transport, protocol, client, server_hostname="localhost")
    inmost = await minitls.start_tls(outer, protocol, client, server_hostname="localhost")
    inmost.write(payload)
    assert await finished == payload
    assert await protocol.lost is None
    assert protocol.data == b"got it"
    assert "connection_made" not in protocol.calls
    plain.close()
    await plain.wait_closed()


async def test_start_tls_takes_what_was_read_too_far(client: ClientConfig, server: ServerConfig) -> None:
    """``buffered``: the first bytes of TLS may have been read together with the last line of plaintext."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    made = Recorder()
    below, _ = await loop.create_connection(Recorder, sock=theirs)
    engine = ClientConnection(client, server_hostname="localhost")
    hello = engine.data_to_send()
    upgrade = asyncio.create_task(minitls.start_tls(below, made, server, buffered=hello))
    ours.setblocking(False)
    while not engine.handshake_completed:
        engine.receive_data(await loop.sock_recv(ours, 2**16))
        await loop.sock_sendall(ours, engine.data_to_send())
    tls = await upgrade
    assert tls.connection.handshake_completed
    tls.abort()
    ours.close()
    await asyncio.sleep(0)
    assert await made.lost is None


async def test_client_certificates(pki: Pki) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.put(writer.get_extra_info("tls"))
        writer.close()

    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    async with serving(config, who) as port:
        _, writer = await minitls.open_connection(
            HOST, port, config=pki.client_config(credential=pki.client()), server_hostname="localhost"
        )
        info = await seen.get()
        assert info.peer_chain == pki.client().chain
        assert info.verified_chain[-1] != info.peer_chain[0]
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("name", ["", "a_b.example", "exa mple", "x" * 64 + ".example"])
async def test_a_name_that_is_none_fails_before_anything_is_opened(client: ClientConfig, name: str) -> None:
    with pytest.raises(Misuse):
        await minitls.open_connection(HOST, 1, config=client, server_hostname=name or "..")


async def test_refused_port_is_the_systems_error(client: ClientConfig) -> None:
    with socket.create_server((HOST, 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await minitls.open_connection(HOST, port, config=client, server_hostname="localhost")


async def test_garbage_collection_has_nothing_to_do(client: ClientConfig, server: ServerConfig) -> None:
    """A closed connection is freed by its last reference: no cycle keeps it."""

    def alive() -> int:
        return sum(isinstance(each, Connection) for each in gc.get_objects())

    async with serving(server) as port:
        await asyncio.sleep(0.05)
        gc.collect()
        gc.disable()
        try:
            before = alive()
            for _ in range(3):
                transport, protocol = await minitls.create_connection(
                    Recorder, HOST, port, config=client, server_hostname="localhost"
                )
                assert isinstance(protocol, Recorder)
                transport.close()
                await protocol.lost
                protocol.transport = None
                del transport, protocol
            await asyncio.sleep(0.05)
            assert alive() == before
        finally:
            gc.enable()


async def tick(progress: Callable[[], int], steps: list[int]) -> None:
    """How much happens from one turn of the loop to the next."""
    seen = progress()
    while True:
        await asyncio.sleep(0)
        now = progress()
        steps.append(now - seen)
        seen = now


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_a_very_large_write_leaves_turns_to_others(
    kind: Callable[[bytes], Any], end: str, client: ClientConfig, server: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sealed a part at a time, the writer pauses, what comes after it comes after it, and so does the end."""
    sealed, seal = [0], ServerConnection.seal

    def count(connection: Any, data: Any) -> Any:
        sealed[0] += len(data)
        return seal(connection, data)

    monkeypatch.setattr(ServerConnection, "seal", count)
    large, steps = b"".join(n.to_bytes(4, "big") for n in range(5 << 20)), list[int]()
    pressed: list[str] = []

    class Server(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            given = kind(large)
            self.transport.write(given)
            assert self.calls == ["connection_made", "pause_writing"]
            assert self.transport.get_write_buffer_size() > 18 << 20
            if kind is bytearray:
                given[-8:] = bytes(8)  # it is the writer's own again
            self.transport.writelines([b"and ", b"then"])
            getattr(self.transport, end)()
            if end == "write_eof":
                with pytest.raises(RuntimeError):
                    self.transport.write(b"more")

        def resume_writing(self) -> None:
            pressed.append(self.calls[-1])
            super().resume_writing()

    listening = await minitls.create_server(Server, HOST, 0, config=server)
    ticking = asyncio.create_task(tick(lambda: sealed[0], steps))
    reader, writer = await minitls.open_connection(HOST, port_of(listening), config=client, server_hostname="localhost")
    try:
        received = await asyncio.wait_for(reader.read(), 30)
    finally:
        ticking.cancel()
        writer.close()
        listening.close()
    whole, most = hashlib.sha256(received).digest(), max(steps)
    assert whole == hashlib.sha256(large + b"and then").digest()
    assert sum(steps) == 4 * (5 << 20) + 8
    assert most <= 2 * TURN + 8  # uvloop has one part by itself and one as the peer makes room, without others between them
    assert pressed[:1] == ["pause_writing"]


async def test_a_large_write_that_nobody_reads_is_given_up(client: ClientConfig, server: ServerConfig) -> None:
    """abort() and a lost connection leave nothing of it."""
    made: list[Any] = []

    class Server(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(self)
            self.transport.write(bytes(20 << 20))
            self.transport.close()

    listening = await minitls.create_server(Server, HOST, 0, config=server)
    for side in ("server", "client"):
        reader, writer = await minitls.open_connection(HOST, port_of(listening), config=client, server_hostname="localhost")
        await until(lambda: made and "pause_writing" in made[-1].calls)
        await asyncio.sleep(0.05)
        assert made[-1].transport.get_write_buffer_size()
        (made[-1] if side == "server" else writer).transport.abort()
        await asyncio.wait_for(made[-1].lost, 5)
        assert made[-1].calls.count("resume_writing") == 0
        with contextlib.suppress(OSError, minitls.TLSError):
            await reader.read()
        writer.close()
        made.clear()
    listening.close()
