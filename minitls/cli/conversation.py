"""What is said in the clear before TLS begins: lines and exact numbers of bytes, and nothing read beyond them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from minitls.cli.common import TLS, CommandError
from minitls.trace.recording import ClearSeen, Entry

MOST = 2**16
"""Bytes that may come before TLS: no such dialogue is nearly as long."""


class Conversation(asyncio.Protocol):
    """The protocol of a transport until TLS takes over.

    ``whom``: how errors call the peer; ``seen``: told what is said.
    """

    def __init__(self, whom: str, seen: Callable[[Entry], None]) -> None:
        self.whom = whom
        self._seen = seen
        self._transport: asyncio.Transport | None = None
        self._heard = bytearray()
        self._ended = False
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        self._seen(ClearSeen(time.time(), False, data))
        self._news.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._news.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._news.set()

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def say(self, data: bytes, secret: bytes = b"") -> None:
        """``secret``: what of it no recording has."""
        self._seen(ClearSeen(time.time(), True, data.replace(secret, b"*" * len(secret)) if secret else data))
        self.transport.write(data)

    def put_back(self, data: bytes) -> None:
        """What was taken and belongs to the next part of the dialogue."""
        self._heard[:0] = data

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def some(self) -> bytes:
        """What comes next, at least a byte; b"" where nothing more comes."""
        while not self._heard and not self._ended:
            self._news.clear()
            await self._news.wait()
        return self._take(len(self._heard))

    async def exactly(self, size: int) -> bytes:
        while len(self._heard) < size:
            await self._more(len(self._heard))
        return self._take(size)

    async def until(self, *ends: bytes) -> bytes:
        """Up to and with the first of these to come."""
        while not (found := [at + len(end) for end in ends if (at := self._heard.find(end)) >= 0]):
            await self._more(len(self._heard))
        return self._take(min(found))

    async def line(self) -> str:
        """The next line, without its end.  What is not ASCII shows as escapes."""
        return (await self.until(b"\n")).rstrip(b"\r\n").decode("ascii", "backslashreplace")

    async def _more(self, than: int) -> None:
        while len(self._heard) <= than:
            if self._ended:
                raise CommandError(TLS, f"{self.whom} closed the connection before TLS could begin")
            self._news.clear()
            await self._news.wait()
        if len(self._heard) > MOST:
            raise CommandError(TLS, f"{self.whom} does not stop talking before TLS can begin")

    def _take(self, size: int) -> bytes:
        data = bytes(self._heard[:size])
        del self._heard[:size]
        return data

    def hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        """The transport is TLS's from now on.  What was read beyond the dialogue would be taken for the peer's own words after the
        handshake, though anybody could have put it there (CVE-2011-0411): raises CommandError.
        """
        transport = self.transport
        transport.pause_reading()
        if self._heard:
            raise CommandError(TLS, f"{self.whom} said more in the clear than it was asked for: somebody may have put it there")
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
