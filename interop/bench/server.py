"""The server's process: ``python -m interop.bench.server STACK FOLDER``.  It says where it listens, and then what it has used."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

from interop.bench.control import allow_many_files, cpu_times, resident_bytes, say, serve_commands
from interop.bench.endpoints import endpoint, new_loop
from interop.bench.protocols import AnsweringBuffered, AnsweringProtocol, answer_streams
from interop.bench.stacks import STACKS, Stack
from interop.bench.wire import VARIANTS


def answer(command: dict[str, Any]) -> dict[str, Any]:
    if command["task"] == "memory":
        return {"bytes": resident_bytes()}
    cpu, system = cpu_times()
    return {"cpu": cpu, "system": system}


def control() -> None:
    """Beside the event loop, so that it need not know of it.  The process ends with the harness."""
    serve_commands(answer)
    os._exit(0)


async def serve(stack: Stack, folder: Path) -> None:
    """Listen in all three ways, and by each variant of TLS, and say where."""
    made = endpoint(stack, folder)
    servers = {f"protocol/{variant}": await made.listen(AnsweringProtocol, variant) for variant in VARIANTS}
    servers["buffered/default"] = await made.listen(AnsweringBuffered, "default")
    servers["streams/default"] = await made.listen_streams(answer_streams, "default")
    say({"ports": {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}})
    threading.Thread(target=control, daemon=True).start()
    await asyncio.Event().wait()


def main(name: str, folder: str) -> None:
    allow_many_files()
    stack = STACKS[name]
    if stack.kind == "tlslite":
        from interop.bench.tlslite_peer import serve as serve_tlslite

        serve_tlslite(Path(folder), control)
        return
    with asyncio.Runner(loop_factory=lambda: new_loop(stack)) as runner:
        runner.run(serve(stack, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
