"""From a name to a TLS connection, each step timed and each failure with its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import minitls
from minitls.aio.streams import LIMIT, StreamReader
from minitls.aio.transport import TLSTransport
from minitls.certificates.names import is_address
from minitls.cli.common import NOT_CONNECTED, NOT_RESOLVED, TIMEOUT, TLS, USAGE, CommandError, lower
from minitls.info import ConnectionInfo
from minitls.trace.recording import Recording, TcpClosed, TcpOpened, WireSeen
from minitls.trace.values import safe

_TCP_INFO_RTT = 68
"""Where Linux's ``struct tcp_info`` has tcpi_rtt, microseconds."""
CLOSING = 1.0
"""Seconds that an end of a connection may take; the transport keeps shorter limits of its own."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is to be reached.  ``host``: a name or an address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return at(self.host, self.port)


def at(host: str, port: int) -> str:
    """``example.com:443``, ``[::1]:443``."""
    return f"[{host}]:{port}" if ":" in host else f"{safe(host)}:{port}"


def target(text: str, default_port: int) -> Target:
    """``HOST``, ``HOST:PORT``, ``[::1]:PORT``, a bare IPv6 address, or a URL of which the rest is ignored.  Raises CommandError."""
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0].rpartition("@")[2] if "://" in text else text
    if authority.count(":") > 1 and not authority.startswith("["):
        return Target(authority, default_port)  # a bare IPv6 address: its colons are its own
    match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::([0-9]+))?", authority)
    port = int(match[2]) if match and match[2] else default_port
    if match is None or not 0 < port < 2**16:
        raise CommandError(USAGE, f"{safe(text)!r} is no HOST:PORT", "such as example.com, example.com:8443 or [::1]:8443")
    return Target(match[1].strip("[]"), port)


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
    info: ConnectionInfo | None = None
    reader: StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    tap: Tap | None = None

    async def ended(self, limit: float) -> bool:
        """Whether the peer has ended TCP, waiting for it so many seconds at most."""
        return self.tap is not None and await _within(limit, self.tap.ended)


@contextlib.asynccontextmanager
async def dial(
    session: Session, config: minitls.ClientConfig, server_hostname: str | None, timeout: float, *, early_data: bytes = b""
) -> AsyncIterator[None]:
    """Connect ``session``; on leaving, close it and see it closed.

    ``early_data``: goes with the hello where that can be, and after the handshake where it cannot or was not accepted.
    Raises CommandError where the name or TCP fails or time is up, and TLS's errors as they are.
    """
    limit = asyncio.timeout(timeout)
    phase = "no answer to the name"
    try:
        async with limit:
            began = time.perf_counter()
            addresses = await _resolve(session.target)
            resolved = time.perf_counter()
            phase = "no connection to"
            sock = await _connect(session.target, addresses)
            opened = TcpOpened(
                at=time.time(),
                local=at(*sock.getsockname()[:2]),
                peer=at(*sock.getpeername()[:2]),
                resolving=None if is_address(session.target.host) else resolved - began,
                connecting=time.perf_counter() - resolved,
                round_trip=round_trip(sock),
            )
            phase = "no handshake with"
            loop = asyncio.get_running_loop()
            session.tap = tap = Tap(session.recording)
            await loop.create_connection(lambda: tap, sock=sock)
            session.recording(opened)
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
        raise CommandError(TIMEOUT, f"{phase} {session.target} within {timeout:g} s") from None
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


async def _resolve(target: Target) -> list[tuple[Any, ...]]:
    loop = asyncio.get_running_loop()
    try:
        return list(await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
    except socket.gaierror as error:
        raise CommandError(NOT_RESOLVED, f"the name {safe(target.host)} was not found: {lower(error.strerror)}") from None
    except UnicodeError as error:
        raise CommandError(NOT_RESOLVED, f"{safe(target.host)!r} can be no host name: {error}") from None


async def _connect(target: Target, addresses: list[tuple[Any, ...]]) -> socket.socket:
    """One address after the other."""
    loop = asyncio.get_running_loop()
    problems: dict[str, None] = {}
    for family, kind, number, _, address in addresses:
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            problems[lower(os.strerror(error.errno)) if error.errno else str(error)] = None
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise CommandError(NOT_CONNECTED, f"no connection to {target}: {', '.join(problems) or 'it has no address'}")


def round_trip(sock: socket.socket) -> float | None:
    """Seconds from here to the peer and back, as the kernel has measured; None where it does not say."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RTT + 4)
    except OSError:
        return None
    microseconds: int = struct.unpack_from("=I", state, _TCP_INFO_RTT)[0]
    return microseconds / 1e6 or None
