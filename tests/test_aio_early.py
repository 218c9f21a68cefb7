"""Sessions and 0-RTT data over asyncio: streams and protocols, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

import minitls
from minitls import ClientConfig, ConnectionInfo, ServerConfig, TruncationError
from minitls.aio.streams import StreamReader
from minitls.sessions.session import Session
from minitls.sessions.store import MemoryStore
from tests.conftest import Pki
from tests.test_aio import HOST, Recorder, port_of, serving, until

FIRST = b"GET /first HTTP/1.1\r\n\r\n"


@pytest.fixture
def client(pki: Pki) -> ClientConfig:
    return pki.client_config(session_store=MemoryStore())


@pytest.fixture
def server(pki: Pki) -> ServerConfig:
    return pki.server_config(early_data=1000)


async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What came early, a bar, and what came then."""
    info: ConnectionInfo = writer.get_extra_info("tls")
    writer.write(info.early_data + b"|" + await reader.read())
    writer.close()


async def heard(protocol: Recorder, call: str = "") -> None:
    """Data has come, or this call."""
    await until(lambda: call in protocol.calls if call else protocol.data)


async def ask(port: int, config: ClientConfig, **early: Any) -> tuple[ConnectionInfo, bytes]:
    reader, writer = await minitls.open_connection(HOST, port, config=config, server_hostname="localhost", **early)
    writer.write(b"later")
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return writer.get_extra_info("tls"), answer


async def test_streams(client: ClientConfig, server: ServerConfig) -> None:
    """Early data is where who asks for it finds it, and not in the reader."""
    async with serving(server, tell) as port:
        info, answer = await ask(port, client, early_data=FIRST)
        assert (info.resumed, info.early_data_accepted, answer) == (False, False, b"|later")
        info, answer = await ask(port, client, early_data=FIRST)
        assert (info.resumed, info.early_data_accepted, answer) == (True, True, FIRST + b"|later")


async def test_protocols(client: ClientConfig, server: ServerConfig) -> None:
    """create_connection has it too; a server's protocol that does not ask is connected when the handshake is complete."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    listening = await minitls.create_server(factory, HOST, 0, config=server)
    for expected in (b"", FIRST):
        transport, protocol = await minitls.create_connection(
            Recorder, HOST, port_of(listening), config=client, server_hostname="localhost", early_data=FIRST
        )
        assert isinstance(protocol, Recorder)
        await until(lambda: made and "connection_made" in made[-1].calls)
        info: ConnectionInfo = made[-1].transport.get_extra_info("tls")
        assert (info.early_data, bytes(made[-1].data)) == (expected, b"")
        assert info.timing.completed is not None
        made[-1].transport.write(b"bye")
        await heard(protocol)
        transport.close()
        await made[-1].lost
    listening.close()
    await listening.wait_closed()


class Eager(Recorder):
    """Answers early data at once."""

    def early_data_received(self, data: bytes) -> None:
        self.calls.append("early_data_received")
        completed = self.transport.get_extra_info("tls").timing.completed
        self.transport.write(b"%s, %s" % (data, b"late" if completed else b"early"))

    def handshake_completed(self) -> None:
        self.calls.append("handshake_completed")


async def test_a_protocol_that_asks_for_early_data(client: ClientConfig, server: ServerConfig) -> None:
    """It is connected before the handshake is complete, hears when that is so, and its half-RTT data arrives."""
    made: list[Eager] = []

    def factory() -> Eager:
        made.append(Eager())
        return made[-1]

    listening = await minitls.create_server(factory, HOST, 0, config=server)
    for early in (False, True):
        transport, protocol = await minitls.create_connection(
            Recorder, HOST, port_of(listening), config=client, server_hostname="localhost", early_data=FIRST
        )
        assert isinstance(protocol, Recorder)
        await until(lambda: made and "handshake_completed" in made[-1].calls)
        if early:
            await heard(protocol)
            assert protocol.data == FIRST + b", early"
            assert made[-1].calls == ["connection_made", "early_data_received", "handshake_completed"]
        else:
            assert made[-1].calls == ["connection_made", "handshake_completed"]
            made[-1].transport.write(b"x")  # so that the tickets are read, which came before it
            await heard(protocol)
        transport.close()
        await made[-1].lost
    listening.close()
    await listening.wait_closed()


async def test_streams_that_answer_early(client: ClientConfig, server: ServerConfig) -> None:
    """The answer leaves before the client has finished; read_early says where early data ends."""
    seen: list[tuple[bool, bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, StreamReader)
        info: ConnectionInfo = writer.get_extra_info("tls")
        while data := await reader.read_early():
            seen.append((info.timing.completed is None, data))
            writer.write(data.upper())
        assert info.timing.completed is not None
        writer.write(b"|" + await reader.read())
        writer.close()

    async with serving(server, handler, answer_early=True) as port:
        assert (await ask(port, client, early_data=b"first"))[1] == b"|later"
        assert seen == []
        assert (await ask(port, client, early_data=b"first"))[1] == b"FIRST|later"
        assert seen == [(True, b"first")]


async def test_the_answer_is_there_before_the_client_has_finished(client: ClientConfig, server: ServerConfig) -> None:
    """Half-RTT data arrives with the server's first flight: the bytes of that flight are all that the client needs for it."""
    made: list[Eager] = []

    def factory() -> Eager:
        made.append(Eager())
        return made[-1]

    listening = await minitls.create_server(factory, HOST, 0, config=server)
    port = port_of(listening)
    first = minitls.ClientConnection(client, server_hostname="localhost")
    reader, writer = await asyncio.open_connection(HOST, port)
    await drive(first, reader, writer, lambda: len(tickets(first)) == 2)
    writer.close()

    second = minitls.ClientConnection(client, server_hostname="localhost", early_data=b"first")
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(second.data_to_send())  # and nothing more: no EndOfEarlyData, no Finished
    got: list[Any] = []
    async with asyncio.timeout(5):
        while not any(isinstance(event, minitls.ApplicationData) for event in got):
            got += second.receive_data(await reader.read(2**16))
    assert got[-1] == minitls.ApplicationData(b"first, early")
    assert "handshake_completed" not in made[-1].calls
    writer.close()
    assert isinstance(await made[-1].lost, TruncationError)
    listening.close()
    await listening.wait_closed()


def tickets(connection: minitls.ClientConnection) -> list[Session]:
    store = connection._config.session_store  # type: ignore[union-attr]
    return store._sessions.get(connection.info.session_key, [])  # type: ignore[union-attr]


async def drive(connection: minitls.ClientConnection, reader: Any, writer: Any, until: Any) -> None:
    async with asyncio.timeout(5):
        while not until():
            writer.write(connection.data_to_send())
            connection.receive_data(await reader.read(2**16))


@pytest.mark.parametrize("resend", [False, True])
async def test_rejected(client: ClientConfig, server: ServerConfig, resend: bool) -> None:
    """Sent again only where the caller says that it may be; a server that takes none reads what comes then as fresh."""
    async with serving(server, tell) as port:
        await ask(port, client)
    async with serving(dataclasses.replace(server, early_data=None, replay=None), tell) as port_without:
        store = client.session_store
        assert isinstance(store, MemoryStore)
        session = store.take(f"localhost:{port}")
        assert session is not None
        store.put(f"localhost:{port_without}", session)
        info, answer = await ask(port_without, client, early_data=FIRST, resend_early_data=resend)
    assert (info.resumed, info.early_data_accepted) == (True, False)
    assert answer == b"|" + (FIRST if resend else b"") + b"later"


class Remote:
    """A session store that is somewhere else."""

    def __init__(self) -> None:
        self.inner = MemoryStore()

    async def put(self, key: str, session: Session) -> None:
        await asyncio.sleep(0.001)
        self.inner.put(key, session)

    async def take(self, key: str) -> Session | None:
        await asyncio.sleep(0.001)
        return self.inner.take(key)


async def test_a_store_that_takes_its_time(pki: Pki, server: ServerConfig) -> None:
    """Which session to offer is asked before the first word; keeping one holds nothing up."""
    store = Remote()
    client = pki.client_config(session_store=store)
    async with serving(server, tell) as port:
        assert (await ask(port, client, early_data=FIRST))[1] == b"|later"
        await until(lambda: store.inner.get(f"localhost:{port}"))
        assert (await ask(port, client, early_data=FIRST))[1] == FIRST + b"|later"


async def test_a_store_that_fails(pki: Pki, server: ServerConfig) -> None:
    """A session that could not be kept is reported to the loop, and the connection goes on."""

    class Broken(Remote):
        async def put(self, key: str, session: Session) -> None:
            raise OSError("the disk is full")

    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    async with serving(server, tell) as port:
        assert (await ask(port, pki.client_config(session_store=Broken())))[1] == b"|later"
    await until(lambda: len(reported) == 2)
    assert {str(context["exception"]) for context in reported} == {"the disk is full"}


async def test_the_client_goes_in_the_middle(client: ClientConfig, server: ServerConfig) -> None:
    """Who waits for early data hears that the connection is lost."""
    ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, StreamReader)
        try:
            while await reader.read_early():
                pass
        except Exception as error:
            ended.set_result(error)
        finally:
            writer.close()

    async with serving(server, handler, answer_early=True) as port:
        first = minitls.ClientConnection(client, server_hostname="localhost")
        reader, writer = await asyncio.open_connection(HOST, port)
        await drive(first, reader, writer, lambda: len(tickets(first)) == 2)
        writer.close()
        second = minitls.ClientConnection(client, server_hostname="localhost", early_data=b"first")
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(second.data_to_send())
        await reader.read(1)
        writer.close()
        assert isinstance(await asyncio.wait_for(ended, 5), TruncationError)


async def test_start_tls_has_early_data_too(client: ClientConfig, server: ServerConfig) -> None:
    """Sessions belong to a name and a port, which the caller knows."""
    async with serving(server, tell) as port:
        for expected in (b"|", FIRST + b"|"):
            loop = asyncio.get_running_loop()
            protocol = Recorder()
            below, _ = await loop.create_connection(lambda protocol=protocol: protocol, HOST, port)  # type: ignore[misc]
            tls = await minitls.start_tls(below, protocol, client, server_hostname="localhost", port=port, early_data=FIRST)
            tls.write_eof()
            protocol.keep_open = True
            await heard(protocol, "eof_received")
            assert bytes(protocol.data) == expected
            tls.close()
            await protocol.lost


@pytest.mark.parametrize("how", ["close", "write_eof"])
async def test_closed_before_the_client_has_finished(client: ClientConfig, server: ServerConfig, how: str) -> None:
    """The answer and its end arrive, and the client's tickets before the end, so that it can come back once more."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, StreamReader)
        writer.write(b"to " + await reader.read_early())
        getattr(writer, how)()
        if how == "write_eof":
            with pytest.raises(RuntimeError, match="write_eof"):
                writer.write(b"too late")
            assert await reader.read() == b"later"
            writer.close()

    async with serving(server, handler, answer_early=True) as port:
        for number in range(3):
            info, answer = await ask(port, client, early_data=b"first")
            assert info.early_data_accepted is (number > 0)
            assert answer == (b"to first" if number else b"to ")


async def test_a_client_that_never_finishes(client: ClientConfig, server: ServerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """close() waits for it, but not for long."""
    monkeypatch.setattr("minitls.aio.transport.LINGER_BEFORE_FINISHED", 0.05)
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, StreamReader)
        await reader.read_early()
        writer.close()
        assert writer.is_closing()
        writer.write(b"to nobody")
        await writer.wait_closed()
        gone.set()

    async with serving(server, handler, answer_early=True) as port:
        first = minitls.ClientConnection(client, server_hostname="localhost")
        reader, writer = await asyncio.open_connection(HOST, port)
        await drive(first, reader, writer, lambda: len(tickets(first)) == 2)
        writer.close()
        gone.clear()
        second = minitls.ClientConnection(client, server_hostname="localhost", early_data=b"first")
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(second.data_to_send())
        async with asyncio.timeout(5):
            await gone.wait()
        writer.close()
