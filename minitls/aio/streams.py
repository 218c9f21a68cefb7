"""Clients and streams: asyncio's own functions, with ``config`` for ``ssl``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from minitls.aio.transport import Factory, TLSTransport
from minitls.config import ClientConfig, ServerConfig
from minitls.connection import Connection
from minitls.endpoints import ClientConnection, ServerConnection
from minitls.errors import Misuse

BLOCK = 2**18
LIMIT = 2**16
"""Bytes that a StreamReader buffers before it stops reading, asyncio's own number."""


class StreamReader(asyncio.StreamReader):
    """asyncio's, but for how a connection ends.

    An error does not hide what came before it: that can be read first.  And it is never taken for an end: the read that would
    give the last bytes as if they were all raises the error instead (RFC 8446 section 6.1).

    Bytes that find nothing before them are kept as they came, and read from there: who reads fast enough gets them uncopied.  Only
    what comes in addition is copied into asyncio's buffer.
    """

    _buffer: bytearray  # asyncio's, as what is declared below
    _eof: bool
    _limit: int
    _paused: bool
    _transport: asyncio.Transport | None
    _waiter: asyncio.Future[None] | None

    _ending: Exception | None = None
    _front = b""  # comes before what is in _buffer
    _at = 0  # so much of it was read
    _looks = False  # whoever waits looks at _front
    _early = b""
    _early_over = False
    _early_waiter: asyncio.Future[None] | None = None

    async def read_early(self) -> bytes:
        """A server's next 0-RTT data, some of it; b"" once the handshake is complete, and all that comes is fresh.

        For ``start_server(answer_early=True)``.  What is returned may be a recording, sent again (RFC 8446 section 8).
        """
        while not self._early and not self._early_over:
            self._early_waiter = self._early_waiter or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._early_waiter)
        data, self._early = self._early, b""
        if not data:
            self._raise_ending()
        return data

    def feed_early_data(self, data: bytes, *, over: bool = False) -> None:
        """What :meth:`read_early` gives; ``over``: and there is no more."""
        self._early += data
        self._early_over = self._early_over or over
        if self._early_waiter is not None:
            self._early_waiter.set_result(None)
            self._early_waiter = None

    def set_exception(self, exc: Exception) -> None:
        self._ending = exc
        self.feed_early_data(b"", over=True)
        self.feed_eof()

    def exception(self) -> Exception | None:
        return self._ending

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # nobody feeds what is not bytes
        if not data or self._front or self._buffer or self._eof or not (self._looks or self._waiter is None):
            super().feed_data(data)
            return
        self._front = data
        self._wakeup_waiter()  # type: ignore[attr-defined]
        if not self._looks and len(data) > 2 * self._limit and self._transport is not None and not self._paused:
            self._transport.pause_reading()
            self._paused = True

    def _taken(self, size: int) -> bytes:
        """So many bytes of ``_front``."""
        front, at = self._front, self._at
        end = at + size
        if end < len(front):
            self._at = end
            return front[at:end]
        self._front, self._at = b"", 0
        self._maybe_resume_transport()
        return front[at:] if at else front

    def _maybe_resume_transport(self) -> None:
        if not self._front:
            super()._maybe_resume_transport()  # type: ignore[misc]

    def _to_buffer(self) -> None:
        """For asyncio's ways of reading."""
        if self._front:
            self._buffer[:0] = memoryview(self._front)[self._at :]
            self._front, self._at = b"", 0

    def at_eof(self) -> bool:
        return super().at_eof() and not self._front

    async def read(self, n: int = -1) -> bytes:
        if n < 0:
            return b"".join([block async for block in self._blocks()])
        if n and not (self._front or self._buffer or self._eof):
            self._looks = True
            try:
                await self._wait_for_data("read")  # type: ignore[attr-defined]
            finally:
                self._looks = False
        left = len(self._front) - self._at
        if left and n and (left >= n or not self._buffer):
            return self._taken(min(n, left))
        self._to_buffer()
        data = await super().read(n)
        if not data and n != 0:
            self._raise_ending()
        return data

    async def _blocks(self) -> AsyncIterator[bytes]:
        while block := await self.read(BLOCK):
            yield block

    async def readexactly(self, n: int) -> bytes:
        if 0 < n <= len(self._front) - self._at:
            return self._taken(n)
        self._to_buffer()
        try:
            return await super().readexactly(n)
        except asyncio.IncompleteReadError as error:
            self._raise_ending(error)
            raise

    async def readuntil(self, separator: bytes = b"\n") -> bytes:  # type: ignore[override]  # later Pythons take a tuple too
        if self._front and separator and isinstance(separator, bytes):
            size = self._front.find(separator, self._at, self._at + self._limit + len(separator)) - self._at
            if size >= 0:
                return self._taken(size + len(separator))
        self._to_buffer()
        try:
            return await super().readuntil(separator)
        except asyncio.IncompleteReadError as error:
            self._raise_ending(error)
            raise

    def _raise_ending(self, cause: BaseException | None = None) -> None:
        if self._ending is not None:
            raise self._ending from cause


async def create_connection(
    factory: Factory,
    host: str | None = None,
    port: int | None = None,
    *,
    config: ClientConfig | None = None,
    server_hostname: str | None = None,
    early_data: bytes = b"",
    resend_early_data: bool = False,
    sock: socket.socket | None = None,
    **tcp: Any,
) -> tuple[TLSTransport, asyncio.BaseProtocol]:
    """As :meth:`asyncio.loop.create_connection`, over TLS: returns once the handshake is complete.

    ``config=None``: verified against the system's trust store.  ``server_hostname``: whom to verify, if it is not ``host``.
    ``early_data``: to be sent with the hello, if a session of this server allows it; ``get_extra_info("tls").early_data_accepted``
    tells.  Else it is not sent, unless ``resend_early_data`` says to send it after the handshake; it may arrive twice.
    ``tcp``: everything else that asyncio's takes.  Raises OSError for TCP's failures, TLSError for ours.
    """
    loop = asyncio.get_running_loop()
    config = config or ClientConfig()
    connection = ClientConnection(
        config,
        server_hostname=server_hostname or host,
        port=port,
        early_data=early_data,
        resend_early_data=resend_early_data,
        offload=partial(loop.run_in_executor, None),
    )
    ready: asyncio.Future[None] = loop.create_future()

    def make() -> TLSTransport:
        connection.info.timing.started = config.clock()
        return TLSTransport(loop, connection, factory, config.handshake_timeout, ready=ready)

    try:
        where: dict[str, Any] = {"host": host, "port": port, "sock": sock}
        _, transport = await loop.create_connection(make, **where, **tcp)
    except BaseException:
        connection.abort(ConnectionAbortedError("not connected"))
        raise
    await _handshake(transport, ready)
    return transport, transport.get_protocol()


async def _handshake(transport: TLSTransport, ready: asyncio.Future[None]) -> None:
    try:
        await ready
    except BaseException:
        transport.abort()
        raise


async def open_connection(
    host: str | None = None,
    port: int | None = None,
    *,
    config: ClientConfig | None = None,
    server_hostname: str | None = None,
    early_data: bytes = b"",
    resend_early_data: bool = False,
    limit: int = LIMIT,
    **tcp: Any,
) -> tuple[StreamReader, asyncio.StreamWriter]:
    """As :func:`asyncio.open_connection`, over TLS.  ``writer.get_extra_info("tls")`` says what was agreed.

    ``early_data``, ``resend_early_data``: as in :func:`create_connection`.
    """
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(
        lambda: protocol,
        host,
        port,
        config=config,
        server_hostname=server_hostname,
        early_data=early_data,
        resend_early_data=resend_early_data,
        **tcp,
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def start_tls(
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    config: ClientConfig | ServerConfig,
    *,
    server_hostname: str | None = None,
    port: int | None = None,
    early_data: bytes = b"",
    resend_early_data: bool = False,
    buffered: bytes = b"",
) -> TLSTransport:
    """TLS over an open transport, such as after STARTTLS; ours is the side that ``config`` is for.

    ``buffered``: bytes of TLS that were read with what came before.  Plaintext that was read too far must not be passed on: who
    has any has been injected with it.  ``protocol.connection_made`` is not called again.  ``port``: for a client's sessions, which
    belong to one; ``early_data``, ``resend_early_data``: as in :func:`create_connection`.  Raises as :func:`create_connection`.
    Returns when the handshake is complete; on a server whose protocol has ``early_data_received``, when there is early data.
    """
    loop = asyncio.get_running_loop()
    if transport.is_closing():
        raise Misuse("the transport is closing: TLS cannot be started on it")
    connection: Connection
    offload = partial(loop.run_in_executor, None)
    if isinstance(config, ServerConfig):
        connection = ServerConnection(config, offload=offload)
    else:
        connection = ClientConnection(
            config,
            server_hostname=server_hostname,
            port=port,
            early_data=early_data,
            resend_early_data=resend_early_data,
            offload=offload,
        )
    ready: asyncio.Future[None] = loop.create_future()
    tls = TLSTransport(loop, connection, lambda: protocol, config.handshake_timeout, ready=ready, upgrade=True)
    transport.pause_reading()
    transport.set_protocol(tls)
    tls.connection_made(transport)
    if buffered:
        tls.feed(buffered)
    transport.resume_reading()
    await _handshake(tls, ready)
    return tls


ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
