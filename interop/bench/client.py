"""The client's process: ``python -m interop.bench.client STACK FOLDER``.  It does what it is told, and says how long it took."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from interop.bench.control import allow_many_files, cpu_times, resident_bytes, serve_commands
from interop.bench.endpoints import Endpoint, endpoint, new_loop
from interop.bench.protocols import READ, Client, ClientBuffered, ClientProtocol, PingPong, Pump
from interop.bench.stacks import STACKS, Stack
from interop.bench.wire import DOWNLOAD, ECHO, HELLO, MESSAGE, UPLOAD, port_of, request

Answer = dict[str, Any]
PATIENCE = 2.0
"""Seconds that closed connections get to end, after the clock has stopped."""
OPERATIONS = {"download": DOWNLOAD, "upload": UPLOAD}


class Clock:
    """Wall and CPU time of what is inside."""

    def __enter__(self) -> Clock:
        gc.collect()
        self._before, self._wall = cpu_times(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cpu, self.system = (now - then for now, then in zip(cpu_times(), self._before, strict=True))

    def answer(self, count: int, **more: Any) -> Answer:
        return {"count": count, "seconds": self.seconds, "cpu": self.cpu, "system": self.system, **more}


class Tasks:
    """What a client of an event loop can be told to do."""

    def __init__(self, made: Endpoint) -> None:
        self._endpoint = made
        self._held: list[Client] = []

    async def bulk(self, ports: Answer, operation: str, face: str, piece: int, count: int) -> Answer:
        """``count`` bytes one way."""
        if face == "streams":
            return await self._streams(port_of(ports, face, "default"), operation, piece, count)
        make = ClientBuffered if (face, operation) == ("buffered", "download") else ClientProtocol
        where = face if operation == "upload" else "protocol"  # what matters is who receives
        factory = lambda: make(count if operation == "download" else 1)  # noqa: E731
        transport, protocol = await self._endpoint.connect(factory, port_of(ports, where, "default"), "default", "known")
        with Clock() as clock:
            transport.write(request(OPERATIONS[operation], piece, count))
            if operation == "upload":
                protocol.pump = Pump(transport, piece, count)
                protocol.pump.fill()
            await protocol.done
        await end([protocol])
        return clock.answer(count)

    async def _streams(self, port: int, operation: str, piece: int, count: int) -> Answer:
        reader, writer = await self._endpoint.connect_streams(port, "default")
        left = count
        with Clock() as clock:
            writer.write(request(OPERATIONS[operation], piece, count))
            if operation == "download":
                while left > 0:
                    left -= len(await reader.read(READ))
            else:
                data = bytes(piece)
                while left > 0:
                    writer.write(data if piece <= left else data[:left])
                    left -= piece
                    await writer.drain()
                await reader.readexactly(1)
        writer.close()
        async with asyncio.timeout(PATIENCE):
            await writer.wait_closed()
        return clock.answer(count)

    async def roundtrips(self, ports: Answer, count: int) -> Answer:
        """``count`` messages of 64 bytes there and back, one at a time."""
        port = port_of(ports, "protocol", "default")
        transport, protocol = await self._endpoint.connect(lambda: PingPong(count), port, "default", "known")
        with Clock() as clock:
            transport.write(request(ECHO) + MESSAGE)
            await protocol.done
        await end([protocol])
        return clock.answer(count)

    async def handshakes(self, ports: Answer, at_once: int, variant: str, visit: str, count: int) -> Answer:
        """``count`` connections with a question and an answer, ``at_once`` at a time."""
        port = port_of(ports, "protocol", variant)
        ended: list[Client] = []
        left, resumed = count, 0

        async def once(worker: int) -> bool:
            transport, protocol = await self._endpoint.connect(ClientProtocol, port, variant, visit, worker)
            transport.write(request(HELLO))
            await protocol.done
            transport.close()
            ended.append(protocol)
            return self._endpoint.finished(transport, variant, visit)

        async def work(worker: int) -> None:
            nonlocal left, resumed
            while left > 0:
                left -= 1
                again = await once(worker)  # first: += would read the count before it waits
                resumed += again

        workers = range(min(at_once, count))
        if visit == "fresh":
            self._endpoint.prepare(variant, count)
        elif visit == "resumed":
            await asyncio.gather(*map(once, workers))  # sessions for all
        with Clock() as clock:
            await asyncio.gather(*map(work, workers))
        await end(ended)
        return clock.answer(count, resumed=resumed / count)

    async def agreed(self, ports: Answer) -> Answer:
        """What the default came to: version, suite, group."""
        connected = await self._endpoint.connect(ClientProtocol, port_of(ports, "protocol", "default"), "default", "known")
        transport, protocol = connected
        transport.write(request(HELLO))
        await protocol.done
        agreed = self._endpoint.agreed(transport)
        await end([protocol])
        return agreed

    async def hold(self, ports: Answer, count: int) -> Answer:
        """Open so many connections more, and keep them."""
        port = port_of(ports, "protocol", "default")
        for _ in range(count):
            transport, protocol = await self._endpoint.connect(ClientProtocol, port, "default", "known")
            transport.write(request(HELLO))
            await protocol.done
            self._held.append(protocol)
        await asyncio.sleep(0.05)
        return {"held": len(self._held)}

    async def drop(self, ports: Answer) -> Answer:
        """Close what is kept."""
        held, self._held = self._held, []
        await end(held)
        return {"held": 0}


async def end(protocols: list[Client]) -> None:
    """Close connections and see them end, so that none is in the next task's way."""
    for protocol in protocols:
        protocol.transport.close()
    await asyncio.wait([protocol.lost for protocol in protocols], timeout=PATIENCE)


def local(stack: Stack, folder: Path, command: dict[str, Any]) -> Answer | None:
    """Tasks without a server and without a loop."""
    task = command.pop("task")
    if task == "rss":
        return {"bytes": resident_bytes()}
    if task == "imports":
        from interop.bench.imports import import_time

        return import_time(stack.kind, command["ready"], command["count"], folder)
    if task == "units":
        from interop.bench.units import measure

        return measure(stack, folder, command["suite"], command["group"])
    if task == "memory":
        from interop.bench.memory import client_cpu

        return client_cpu(stack, folder / command.get("within", ""), command["variant"], command["visit"], command["count"])
    if task == "credentials":
        from interop.bench.scale import credentials_cost

        return credentials_cost(stack, folder, **command)
    command["task"] = task
    return None


def main(name: str, folder: str) -> None:
    allow_many_files()
    stack = STACKS[name]
    if stack.kind == "tlslite":
        from interop.bench.tlslite_peer import run_task

        serve_commands(lambda command: local(stack, Path(folder), command) or run_task(**command))
        return
    with asyncio.Runner(loop_factory=lambda: new_loop(stack)) as runner:
        from interop.bench.crowd import Crowd

        made = endpoint(stack, Path(folder))
        tasks, crowd = Tasks(made), Crowd(made)

        def answer(command: dict[str, Any]) -> Answer:
            if (said := local(stack, Path(folder), command)) is not None:
                return said
            name = command.pop("task")
            task: Callable[..., Awaitable[Answer]] = getattr(tasks if hasattr(tasks, name) else crowd, name)

            async def run() -> Answer:
                return await task(**command)

            return runner.run(run())

        serve_commands(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
