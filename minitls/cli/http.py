"""HTTP/1.1 over our streams: h11 knows the protocol, this carries its bytes.  Kept as small as ``get`` and ``serve`` need it."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, BinaryIO

import h11

from minitls.cli.common import TIMEOUT, TLS, CommandError

CHUNK = 2**18
MAX_HEAD = 2**15
"""Bytes that a request's or an answer's head may have."""
MAX_BODY = 2**20
"""Bytes of a request's body that are read and dropped before the connection is given up."""
SERVER = b"minitls"


@dataclass(slots=True)
class Reply:
    """An answer.  ``file``: sent after ``body``, ``length`` bytes of it; closed afterwards."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    file: BinaryIO | None = None
    length: int = 0

    @classmethod
    def error(cls, status: HTTPStatus, **headers: str) -> Reply:
        return cls(
            status, f"{status.value} {status.phrase}\n".encode(), headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    @property
    def size(self) -> int:
        return len(self.body) + self.length


@dataclass(frozen=True, slots=True)
class Request:
    """``target``: as sent, in ASCII."""

    method: str
    target: str
    version: str

    def __str__(self) -> str:
        return f"{self.method} {self.target} HTTP/{self.version}"


async def serve_http(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[Request], Reply],
    log: Callable[[str, int, int], None],
    *,
    idle: float,
    busy: Callable[[bool], None],
) -> None:
    """Requests and answers until one side wants no more.  GET and HEAD are answered, everything else is 405.

    ``log``: told the request line, the status and the size.  ``idle``: seconds that we wait for the peer.  ``busy``: told whether a
    request is being answered.  Raises TimeoutError and what the streams raise.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    while True:
        busy(False)
        try:
            request = await _read_request(connection, reader, idle)
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await _send(connection, writer, Reply.error(status), head=False)
                log(f"not HTTP: {error}", status, 0)
            return
        if request is None:
            return
        busy(True)
        reply = (
            answer(request) if request.method in ("GET", "HEAD") else Reply.error(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
        )
        try:
            await _send(connection, writer, reply, head=request.method == "HEAD")
        finally:
            if reply.file is not None:
                reply.file.close()
        log(str(request), reply.status, 0 if request.method == "HEAD" else reply.size)
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader, idle: float) -> Request | None:
    """The next request, its body read and dropped; None when there is none to come."""
    request, dropped = None, 0
    async with aclosing(_events(connection, reader, idle)) as events:
        async for event in events:
            if isinstance(event, h11.Request):
                version = event.http_version.decode("ascii")
                request = Request(event.method.decode("ascii"), event.target.decode("ascii", "backslashreplace"), version)
            elif isinstance(event, h11.Data):
                dropped += len(event.data)
                if dropped > MAX_BODY:
                    raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage):
                return request
    return None


async def _events(connection: h11.Connection, reader: asyncio.StreamReader, idle: float) -> AsyncGenerator[Any, None]:
    """What the peer says, event by event, up to the end of its message or of the connection."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(idle):
                data = await reader.read(CHUNK)
            connection.receive_data(data)
        elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return
        else:
            yield event
            if isinstance(event, h11.EndOfMessage):
                return


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, reply: Reply, *, head: bool) -> None:
    headers = {
        "date": email.utils.formatdate(usegmt=True),
        "server": SERVER.decode(),
        "content-type": reply.content_type,
        "content-length": str(reply.size),
        "x-content-type-options": "nosniff",
        **reply.headers,
    }
    start = connection.send(h11.Response(status_code=reply.status, headers=_encoded(headers), reason=reply.status.phrase.encode()))
    assert start is not None
    writer.write(start)
    if not head:
        for piece in (reply.body, *_pieces(reply)):
            data = connection.send(h11.Data(data=piece))
            if data:
                writer.write(data)
                await writer.drain()
    if end := connection.send(h11.EndOfMessage()):
        writer.write(end)
    await writer.drain()


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _pieces(reply: Reply) -> Iterable[bytes]:
    """The file, exactly as long as was said: one that grows meanwhile is cut, one that shrinks ends the connection."""
    left = reply.length
    while left and reply.file is not None:
        piece = reply.file.read(min(CHUNK, left))
        if not piece:
            raise OSError("the file became shorter while it was sent")
        left -= len(piece)
        yield piece


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer begins with.  ``headers``: by their names in lower case, the last of each."""

    status: int
    reason: str
    headers: dict[str, str]

    def number(self, header: str) -> int | None:
        """Content-Length and the like."""
        value = self.headers.get(header, "")
        return int(value) if value.isascii() and value.isdigit() else None


class Get:
    """One GET.  ``request``: its bytes, for the connection, or to go before it as early data: a GET does no harm twice.

    ``first``: the first byte that is wanted (RFC 9110 section 14).  Raises CommandError for what HTTP cannot ask for.
    """

    def __init__(self, host: str, target: str, first: int = 0) -> None:
        self._connection = connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        headers = {"host": host, "user-agent": "minitls", "accept": "*/*", "connection": "close"}
        if first:
            headers["range"] = f"bytes={first}-"
        try:
            request = connection.send(h11.Request(method="GET", target=target, headers=_encoded(headers)))
            end = connection.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise CommandError(TLS, f"this cannot be asked for in HTTP: {error}") from None
        self.request: bytes = (request or b"") + (end or b"")

    async def answer(
        self, reader: asyncio.StreamReader, answered: Callable[[Head], Callable[[bytes], Any]], timeout: float
    ) -> None:
        """``answered``: told what the answer begins with, gives what takes the body's pieces.

        Raises CommandError for an answer that is not HTTP, or not whole, and where nothing comes for ``timeout`` seconds.
        """
        take: Callable[[bytes], Any] | None = None
        whole = False
        try:
            async with aclosing(_events(self._connection, reader, timeout)) as events:
                async for event in events:
                    if isinstance(event, h11.Response):
                        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
                        take = answered(Head(event.status_code, event.reason.decode("latin-1"), headers))
                    elif isinstance(event, h11.Data) and take is not None:
                        take(bytes(event.data))
                    elif isinstance(event, h11.EndOfMessage):
                        whole = True
        except h11.RemoteProtocolError as error:
            what = "the answer is not whole" if take is not None else "the server does not answer in HTTP/1.1"
            raise CommandError(TLS, f"{what}: {error}") from None
        except TimeoutError:
            raise CommandError(TIMEOUT, f"nothing came for {timeout:g} s") from None
        if not whole:
            raise CommandError(TLS, "the server closed the connection without an answer")
