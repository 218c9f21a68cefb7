"""What stands above TLS on both sides, in asyncio's three ways: Protocol, BufferedProtocol, streams."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from interop.bench.wire import DOWNLOAD, ECHO, HELLO, MESSAGE, REPLY, REQUEST_SIZE, UPLOAD, read_request

TURN = 256 * 1024
"""So much is written in one turn of the loop, by whatever pieces."""
READ = 64 * 1024
"""So much a stream's reader asks for."""


_zeros = lru_cache(8)(bytes)
"""One block for all who send pieces of a size: a thousand connections are not to be weighed by what they sent."""


class Pump:
    """Writes ``total`` bytes in pieces, as long as the transport does not say stop."""

    def __init__(self, transport: Any, piece: int, total: int) -> None:
        self._transport = transport
        self._piece = _zeros(piece)
        self._left = total
        self._paused = self._scheduled = False
        self._loop = asyncio.get_running_loop()

    def fill(self) -> None:
        self._scheduled = False
        write, piece, budget = self._transport.write, self._piece, TURN
        size = len(piece)
        while self._left > 0 and budget > 0 and not self._paused:
            write(piece if size <= self._left else piece[: self._left])
            self._left -= size
            budget -= size
        if self._left > 0 and not self._paused:
            self._scheduled = True
            self._loop.call_soon(self.fill)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if not self._scheduled:
            self.fill()


class Pumping:
    """The half of a protocol that writes."""

    pump: Pump | None = None

    def pause_writing(self) -> None:
        if self.pump is not None:
            self.pump.pause()

    def resume_writing(self) -> None:
        if self.pump is not None:
            self.pump.resume()


class Buffer:
    """The half of a BufferedProtocol that owns memory."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(TURN))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.memory


# the server ----------------------------------------------------------------------------------------------------------------


class Answers(Pumping):
    """Does what requests ask for, one after the other."""

    transport: Any
    _operation = 0
    _left = 0
    _head = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._operation == UPLOAD:
            self.counted(len(data))
        elif self._operation == ECHO:
            self.transport.write(data)
            if self._left:
                self._left -= len(data)
                if not self._left:
                    self._done()
        else:
            head = self._head + data
            self._head = head[:REQUEST_SIZE]
            if len(head) >= REQUEST_SIZE:
                self._begin(*read_request(self._head))
                if rest := head[REQUEST_SIZE:]:
                    self.data_received(rest)

    def counted(self, size: int) -> None:
        """So much more of an upload."""
        self._left -= size
        if self._left <= 0:
            self._done()
            self.transport.write(REPLY)

    def _begin(self, operation: int, piece: int, total: int) -> None:
        self._operation, self._left = operation, total
        if operation == DOWNLOAD:
            self._done()
            self.pump = Pump(self.transport, piece, total)
            self.pump.fill()
        elif operation == HELLO:
            self._done()
            self.transport.write(REPLY)

    def _done(self) -> None:
        self._operation, self._head = 0, b""


class AnsweringProtocol(Answers, asyncio.Protocol):
    pass


class AnsweringBuffered(Answers, Buffer, asyncio.BufferedProtocol):
    def buffer_updated(self, nbytes: int) -> None:
        if self._operation == UPLOAD:
            self.counted(nbytes)
        else:
            self.data_received(bytes(self.memory[:nbytes]))


async def answer_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            operation, size, left = read_request(await reader.readexactly(REQUEST_SIZE))
            if operation == DOWNLOAD:
                piece = bytes(size)
                while left > 0:
                    writer.write(piece if size <= left else piece[:left])
                    left -= size
                    await writer.drain()
            else:
                while left > 0 and (data := await reader.read(READ)):
                    left -= len(data)
                writer.write(REPLY)
    except (asyncio.IncompleteReadError, OSError):
        pass  # the client has gone
    finally:
        writer.close()


# the client ----------------------------------------------------------------------------------------------------------------


class Client(Pumping):
    """Waits for ``expected`` bytes: ``done``.  ``lost``: the connection has ended."""

    transport: Any

    def __init__(self, expected: int = 1) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.expected = expected

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def counted(self, size: int) -> None:
        self.expected -= size
        if self.expected <= 0 and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server has gone"))
        if not self.lost.done():
            self.lost.set_result(None)


class ClientProtocol(Client, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.counted(len(data))


class ClientBuffered(Client, Buffer, asyncio.BufferedProtocol):
    def buffer_updated(self, nbytes: int) -> None:
        self.counted(nbytes)


class PingPong(Client, asyncio.Protocol):
    """Sends a message, waits for all of it, and so on ``expected`` times."""

    _missing = len(MESSAGE)

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing <= 0:
            self._missing = len(MESSAGE)
            self.counted(1)
            if not self.done.done():
                self.transport.write(MESSAGE)
