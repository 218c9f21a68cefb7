"""The client's side of many connections at once, and of transfers of any size: what ``growth`` measures with a server."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import Any

from interop.bench.client import Clock
from interop.bench.endpoints import Endpoint
from interop.bench.protocols import Client
from interop.bench.wire import DOWNLOAD, ECHO, MESSAGE, port_of, request

PER_ADDRESS = 5000
"""Connections from one loopback address: a system has some 28,000 ports for all that there is from one address to one server."""
AT_ONCE = 32
"""So many are opened at a time."""
PIECE = 256 * 1024

_ASK = request(ECHO, 0, len(MESSAGE)) + MESSAGE


class Member(Client, asyncio.Protocol):
    """One of many: asks again and again, one thing at a time."""

    def ask(self, question: bytes, expected: int) -> asyncio.Future[None]:
        self.expected = expected
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(question)
        return self.done

    def data_received(self, data: bytes) -> None:
        self.counted(len(data))


class Crowd:
    """All connections that are held."""

    def __init__(self, made: Endpoint) -> None:
        self._endpoint = made
        self._members: list[Member] = []

    async def grow(self, ports: dict[str, Any], count: int) -> dict[str, Any]:
        """Open connections until there are ``count``, each with one round trip behind it."""
        port = port_of(ports, "protocol", "default")

        async def work() -> None:
            while (place := next(places)) < count:
                # the whole of 127.0.0.0/8 is loopback here, elsewhere often its first address alone
                more: dict[str, Any] = {"local_addr": (f"127.0.0.{2 + place // PER_ADDRESS}", 0)} if sys.platform == "linux" else {}
                _, member = await self._endpoint.connect(Member, port, "default", "known", **more)
                await member.ask(_ASK, len(MESSAGE))
                self._members.append(member)

        places = itertools.count(len(self._members))
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        await asyncio.sleep(0.05)
        return {"held": len(self._members)}

    async def leave(self) -> dict[str, Any]:
        """Close them all."""
        members, self._members = self._members, []
        for member in members:
            member.transport.close()
        await asyncio.gather(*(member.lost for member in members))
        return {"held": 0}

    async def all_download(self, ports: dict[str, Any], piece: int, count: int, at_once: int) -> dict[str, Any]:
        """Each gets ``piece`` bytes ``count`` times, ``at_once`` of them at a time."""
        question = request(DOWNLOAD, piece, piece)

        async def work(members: list[Member]) -> None:
            for member in members * count:
                await member.ask(question, piece)

        with Clock() as clock:
            await asyncio.gather(*(work(self._members[place::at_once]) for place in range(at_once)))
        return clock.answer(count * piece * len(self._members))

    async def messages(self, ports: dict[str, Any], count: int) -> dict[str, Any]:
        """``count`` round trips, one at a time, of the connections in turn; microseconds that the 99th of 100 took."""
        members = itertools.cycle(self._members)
        times = []
        with Clock() as clock:
            for member in itertools.islice(members, count):
                begin = time.perf_counter()
                await member.ask(_ASK, len(MESSAGE))
                times.append(time.perf_counter() - begin)
        times.sort()
        return clock.answer(count, p50=times[count // 2] * 1e6, p99=times[count * 99 // 100] * 1e6)

    async def transfers(self, ports: dict[str, Any], size: int, count: int) -> dict[str, Any]:
        """``count`` downloads of ``size`` bytes, one after the other, on the one connection that there is."""
        if not self._members:
            await self.grow(ports, 1)
        (member,) = self._members
        question = request(DOWNLOAD, min(size, PIECE), size)
        with Clock() as clock:
            for _ in range(count):
                await member.ask(question, size)
        return clock.answer(count * size)
