"""Connections to the server, a few at once: a hello and its answer, or a dialogue with the engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from minitls.config import ClientConfig
from minitls.endpoints import ClientConnection
from minitls.errors import AlertReceived, TLSError
from minitls.events import ApplicationData, HandshakeCompleted, KeyUpdated, PeerClosed, TicketReceived
from minitls.observe import AlertSeen, MessageSeen, Observation
from minitls.scan.answer import Answer, Listener, Until
from minitls.scan.hello import Hello
from minitls.wire.hello import Message
from minitls.wire.numbers import ContentType

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Opener: TypeAlias = Callable[[], Awaitable[Stream]]
"""Opens a stream at whose other end the server waits for a ClientHello.  Raises OSError and TimeoutError."""

T = TypeVar("T")
BLOCK = 2**16
RETRIES = 2
PAUSE = 0.5
"""Seconds before TCP is tried again with a server that has just had enough of us."""


class Unreachable(Exception):
    """The server took connections, and then no more."""


class Prober:
    """Asks one server.

    ``open``: how it is reached; ``timeout``: seconds that it may take to answer; ``at_once``: connections at a time; ``rate``: new
    ones in a second.  ``connections``: how many there were; ``opened``: called with each.
    """

    def __init__(self, open: Opener, *, timeout: float = 5.0, at_once: int = 3, rate: float = 25.0) -> None:
        self._open = open
        self._timeout = timeout
        self._room = asyncio.Semaphore(at_once)
        self._gap = 1.0 / rate
        self._next = 0.0
        self.connections = 0
        self.opened: Callable[[], object] = lambda: None

    async def ask(self, hello: Hello, until: Until = "hello") -> Answer:
        """One hello, and what comes back."""
        listener = Listener(until)
        if await self._exchange(hello.records(), listener.feed):
            return listener.ended()
        return listener.answer

    async def ask_then(self, hello: Hello, then: bytes) -> bytes:
        """A hello up to ServerHelloDone, then these bytes: what comes back to them; b"" where it did not come so far."""
        listener, came, asked = Listener("done"), bytearray(), False
        async with self._connected() as (reader, writer):
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(self._timeout):
                    writer.write(hello.records())
                    while data := await reader.read(BLOCK):
                        if asked:
                            came += data
                        elif listener.feed(data):
                            asked = True
                            writer.write(then if listener.answer.hello is not None else b"")
                        if len(came) > BLOCK or came[:1] == bytes((ContentType.alert,)):
                            break
        return bytes(came)

    async def ask_raw(self, data: bytes, enough: Callable[[bytes], bool]) -> bytes:
        """These bytes, and what comes back until it is enough."""
        came = bytearray()

        def feed(data: bytes) -> bool:
            came.extend(data)
            return len(came) >= BLOCK or enough(bytes(came))

        await self._exchange(data, feed)
        return bytes(came)

    async def _exchange(self, data: bytes, feed: Callable[[bytes], bool]) -> bool:
        """Until ``feed`` has enough, the server ends the connection, or time is up; gives whether it was not time."""
        async with self._connected() as (reader, writer):
            try:
                async with asyncio.timeout(self._timeout):
                    writer.write(data)
                    while (came := await reader.read(BLOCK)) and not feed(came):
                        pass
            except TimeoutError:
                return False
            except OSError:
                return True  # a reset is an end, too
            return True

    @contextlib.asynccontextmanager
    async def dialogue(
        self, config: ClientConfig, name: str | None, port: int, *, early_data: bytes = b""
    ) -> AsyncIterator[Dialogue]:
        """A connection of the engine's, its handshake made or failed."""
        async with self._connected() as (reader, writer):
            talk = Dialogue(config, name, port, reader, writer, self._timeout, early_data)
            await talk.until(lambda: talk.complete)
            try:
                yield talk
            finally:
                await talk.leave()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Stream]:
        async with self._room:
            reader, writer = await self._opened()
            try:
                yield reader, writer
            finally:
                writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()
                with contextlib.suppress(OSError):
                    async with asyncio.timeout(1.0):
                        await writer.wait_closed()

    async def _opened(self) -> Stream:
        for left in reversed(range(RETRIES + 1)):
            now = asyncio.get_running_loop().time()
            self._next = max(self._next, now) + self._gap
            await asyncio.sleep(self._next - self._gap - now)
            self.connections += 1
            self.opened()
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._open()
            except OSError as error:
                if not left:
                    said = error.strerror or ("it does not answer any more" if isinstance(error, TimeoutError) else str(error))
                    raise Unreachable(said) from None
            await asyncio.sleep(PAUSE)
        raise AssertionError("the loop above returns or raises")

    async def together(self, *work: Coroutine[Any, Any, T]) -> list[T]:
        """All of these at once, as far as there is room; the first that fails ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in work]
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]


@dataclass
class Seen:
    """What an observer was told that probes look at: the server's messages, and its alerts' codes."""

    messages: list[Message] = field(default_factory=list)
    alerts: list[int] = field(default_factory=list)

    def __call__(self, observation: Observation) -> None:
        if isinstance(observation, MessageSeen) and not observation.sent:
            self.messages.append(observation.message)
        elif isinstance(observation, AlertSeen) and not observation.sent:
            self.alerts.append(observation.code)


class Dialogue:
    """The engine with the server at its other end.

    ``error``: what ended it, or None; ``data``: what came; ``tickets``, ``key_updates``: so many; ``complete``: the handshake is.
    ``ended``: TCP is; ``closed``: close_notify came before.
    """

    def __init__(
        self,
        config: ClientConfig,
        name: str | None,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        timeout: float,
        early_data: bytes,
    ) -> None:
        self.connection = ClientConnection(config, server_hostname=name, port=port, early_data=early_data)
        self.info = self.connection.info
        self.error: TLSError | None = None
        self.data = bytearray()
        self.tickets: list[TicketReceived] = []
        self.key_updates = 0
        self.complete = self.ended = self.closed = False
        self._reader, self._writer, self._timeout = reader, writer, timeout

    @property
    def over(self) -> bool:
        return self.error is not None or self.ended

    @property
    def refusal(self) -> int | None:
        """The code of the alert that the server ended it with."""
        return self.error.code if isinstance(self.error, AlertReceived) else None

    def send(self, data: bytes) -> None:
        if self.complete and not self.over:
            self.connection.send_data(data)

    async def until(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Talk until this is true, the dialogue is over, or time is up; gives whether it is true."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout if seconds is None else seconds):
                while not self.over and not condition():
                    await self._step()
        self._flush()
        return condition()

    async def _step(self) -> None:
        self._flush()
        try:
            data = await self._reader.read(BLOCK)
        except ConnectionError:
            data = b""
        try:
            if not data:
                self.ended = True
            self._take(self.connection.receive_data(data) if data else self.connection.receive_eof())
        except TLSError as error:
            self.error = error
        if len(self.data) > 16 * BLOCK:
            self.ended = True  # it has said enough

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, HandshakeCompleted):
                self.complete = True
            elif isinstance(event, ApplicationData):
                self.data += event.data
            elif isinstance(event, TicketReceived):
                self.tickets.append(event)
            elif isinstance(event, KeyUpdated):
                self.key_updates += 1
            elif isinstance(event, PeerClosed):
                self.closed = True

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self.connection.data_to_send())

    def write_handshake(self, message: bytes) -> None:
        """A handshake message under the connection's keys that the engine itself would not send: TLS 1.2's renegotiation."""
        self._writer.write(self.connection._records.write(22, message))

    async def leave(self) -> None:
        if self.error is None:
            self.connection.close()
        self._flush()
        with contextlib.suppress(OSError):
            await self._writer.drain()
