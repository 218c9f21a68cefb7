"""The same as :mod:`interop.bogo.link`, by asyncio: what the suite finds in minitls.aio's transports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Iterable
from functools import cache, partial
from typing import Any

from interop.bogo.flags import Unimplemented
from interop.bogo.link import Link
from minitls import Alert, Connection, Event, TicketReceived
from minitls.aio.transport import TLSTransport

PATIENCE = 10.0
"""Seconds for a handshake, and that the peer may be silent."""


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The case's."""
    return asyncio.new_event_loop()


def offload(*call: Any) -> Awaitable[Any]:
    """For the engine: what takes long is computed in a thread."""
    return loop().run_in_executor(None, *call)


class Transport(TLSTransport):
    """One that tells of tickets, which transports keep to themselves."""

    def __init__(self, link: LoopLink, engine: Connection, ready: asyncio.Future[None]) -> None:
        super().__init__(loop(), engine, partial(Ears, link), PATIENCE, ready=ready, failed=link.failed)
        self.tickets = link.tickets

    def _deliver(self, events: Iterable[Event]) -> None:
        events = list(events)
        self.tickets += [event for event in events if isinstance(event, TicketReceived)]
        super()._deliver(events)


class Ears(asyncio.Protocol):
    """The protocol above the transport."""

    def __init__(self, link: LoopLink) -> None:
        self._link = link

    def early_data_received(self, data: bytes) -> None:
        self._link.early += len(data)
        self.data_received(data)

    def handshake_completed(self) -> None:
        self._link.completed = True
        self._link.news.set()

    def data_received(self, data: bytes) -> None:
        self._link.inbox += data
        self._link.news.set()

    def eof_received(self) -> bool:
        self._link.ended = True
        self._link.news.set()
        return True  # we may have something to say yet

    def connection_lost(self, error: Exception | None) -> None:
        self._link.lost = error or True
        self._link.news.set()


class LoopLink(Link):
    """``news``: something was heard.  ``lost``: what ended the connection: an error, or True.

    There is no transport until something must be heard: what a client says early goes with its hello.
    """

    def __init__(self, engine: Connection, sock: socket.socket) -> None:
        super().__init__(engine, sock, piecemeal=False)
        self.news = asyncio.Event()
        self.lost: BaseException | bool = False
        self._ready: asyncio.Future[None] = loop().create_future()
        self._transport: Transport | None = None

    def connected(self) -> Transport:
        if self.allowed is not None:
            raise Unimplemented("a transport writes all that it is given")
        if self._transport is None:
            self.sock.setblocking(False)
            made = loop().create_connection(lambda: Transport(self, self.engine, self._ready), sock=self.sock)
            _, self._transport = loop().run_until_complete(made)
        return self._transport

    def failed(self, error: BaseException, transport: TLSTransport) -> None:
        """The handshake did, and the connection is gone."""
        self.lost = error
        self.news.set()

    def handshake(self) -> None:
        self.connected()
        loop().run_until_complete(self._ready)

    def flush(self) -> None:
        if self._transport is not None:
            self.write(b"")

    def step(self) -> None:
        """Wait for news.  Raises what ended the connection, once all that came before it was heard."""
        if not self._ready.done():
            raise Unimplemented("a transport tells nothing in the middle of a handshake")
        if isinstance(self.lost, BaseException):
            raise self.lost
        self.ended = self.ended or bool(self.lost)
        if not self.ended:
            self.news.clear()
            loop().run_until_complete(asyncio.wait_for(self.news.wait(), PATIENCE))

    def write(self, data: bytes) -> None:
        self.connected().write(data)
        loop().run_until_complete(asyncio.sleep(0))

    def update_keys(self) -> None:
        super().update_keys()
        self.flush()

    def fail(self, alert: Alert) -> None:
        self.connected().fail(alert)

    def close(self) -> None:
        self.connected().write_eof()

    def drain(self) -> None:
        """Until the transport has parted from the peer by itself."""
        if self._transport is None:
            return
        self._transport.close()
        while not self.lost:
            self.news.clear()
            loop().run_until_complete(asyncio.wait_for(self.news.wait(), PATIENCE))
