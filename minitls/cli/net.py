"""From a name to a TLS connection, each step timed and each failure with its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import minitls
from minitls.aio.streams import LIMIT, StreamReader
from minitls.aio.transport import TLSTransport
from minitls.cli.common import TIMEOUT, TLS, CommandError, lower
from minitls.cli.reach import DIRECT, Route, Target, reach
from minitls.info import ConnectionInfo
from minitls.trace.recording import Recording, TcpClosed, WireSeen

CLOSING = 1.0
"""Seconds that an end of a connection may take; the transport keeps shorter limits of its own."""


class Tap(asyncio.Transport, asyncio.BufferedProtocol):
    """Between TCP and TLS: everything passes through, and is put into the recording.

    It is the protocol of the TCP transport below, and the transport of the TLS above.  ``ended``: the peer sends no more;
    ``closed``: TCP is over.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()
        self._below: asyncio.Transport | None = None
        self._above: asyncio.BufferedProtocol | None = None
        self._view = memoryview(b"")
        self._closed_by_us = False

    # the protocol of TCP's transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast("asyncio.Transport", transport)
        self._below.pause_reading()  # until TLS is above us

    def get_buffer(self, sizehint: int) -> memoryview:
        assert self._above is not None
        self._view = memoryview(self._above.get_buffer(sizehint))
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        assert self._above is not None
        self.recording(WireSeen(time.time(), False, bytes(self._view[:nbytes])))
        self._above.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        assert self._above is not None
        self.recording(TcpClosed(time.time(), False))
        self.ended.set()
        return self._above.eof_received()

    def pause_writing(self) -> None:
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        if self._above is not None:
            self._above.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        self.closed.set()
        if self._above is not None:
            self._above.connection_lost(exc)

    # the transport of TLS

    @property
    def below(self) -> asyncio.Transport:
        assert self._below is not None
        return self._below

    @property
    def has_protocol(self) -> bool:
        return self._above is not None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._above = cast("asyncio.BufferedProtocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._above is not None
        return self._above

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.recording(WireSeen(time.time(), True, bytes(data)))
        self.below.write(data)

    def write_eof(self) -> None:
        self._note_closing()
        self.below.write_eof()

    def close(self) -> None:
        self._note_closing()
        self.below.close()

    def _note_closing(self) -> None:
        if not self._closed_by_us:
            self._closed_by_us = True
            self.recording(TcpClosed(time.time(), True))

    def abort(self) -> None:
        self.below.abort()

    def can_write_eof(self) -> bool:
        return self.below.can_write_eof()

    def is_closing(self) -> bool:
        return self.below.is_closing()

    def pause_reading(self) -> None:
        self.below.pause_reading()

    def resume_reading(self) -> None:
        self.below.resume_reading()

    def is_reading(self) -> bool:
        return self.below.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.below.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.below.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self.below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.below.get_extra_info(name, default)


@dataclass(slots=True)
class Session:
    """A connection that stands, or what is left of one: ``info`` grows while the handshake goes on."""

    target: Target
    recording: Recording
    route: Route = DIRECT
    info: ConnectionInfo | None = None
    reader: StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    tap: Tap | None = None

    async def ended(self, limit: float) -> bool:
        """Whether the peer has ended TCP, waiting for it so many seconds at most."""
        return self.tap is not None and await _within(limit, self.tap.ended)


@contextlib.asynccontextmanager
async def dial(
    session: Session,
    config: minitls.ClientConfig,
    server_hostname: str | None,
    timeout: float,
    *,
    early_data: bytes = b"",
) -> AsyncIterator[None]:
    """Connect ``session``; on leaving, close it and see it closed.

    ``early_data``: goes with the hello where that can be, and after the handshake where it cannot or was not accepted.
    Raises CommandError where the name or TCP fails or time is up, and TLS's errors as they are.
    """
    limit = asyncio.timeout(timeout)
    undone = ""

    def doing(what: str) -> None:
        nonlocal undone
        undone = what

    try:
        async with limit:
            loop = asyncio.get_running_loop()
            tap = Tap(session.recording)
            await reach(session.target, session.route, tap, doing, session.recording)
            session.tap = tap
            doing(f"no handshake with {session.target}")
            reader = StreamReader(limit=LIMIT, loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            try:
                transport = await minitls.start_tls(
                    tap,
                    protocol,
                    config,
                    server_hostname=server_hostname,
                    port=session.target.port,
                    early_data=early_data,
                    resend_early_data=True,
                )
            finally:
                if tap.has_protocol:
                    session.info = cast("TLSTransport", tap.get_protocol()).connection.info
            protocol.connection_made(transport)
            session.reader, session.writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise CommandError(TIMEOUT, f"{undone} within {timeout:g} s") from None
    except ConnectionError as error:
        if session.reader is not None and session.reader.exception() is not error:
            raise  # another connection's, or a pipe's
        raise CommandError(TLS, f"{session.target} broke the connection: {lower(error.strerror or str(error))}") from None
    finally:
        if session.writer is not None:
            session.writer.close()
        if session.tap is not None:
            await _closed(session.tap)


async def _closed(tap: Tap) -> None:
    """An alert or a close_notify is on its way: let it go, but not for long."""
    if not await _within(CLOSING, tap.closed):
        tap.abort()
        await _within(CLOSING, tap.closed)


async def _within(limit: float, event: asyncio.Event) -> bool:
    """Whether it came in time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), limit)
    return event.is_set()
