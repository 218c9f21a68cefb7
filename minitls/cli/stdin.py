"""stdin as an async iterator, whatever it is: a terminal, a pipe or a file."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator

CHUNK = 2**16


async def read_stdin() -> AsyncIterator[bytes]:
    """Pieces of stdin as they come.

    Reading blocks, and a file cannot be polled: a thread does it, one piece ahead at most.  It dies with the process, so that a
    terminal where nobody types keeps nobody waiting.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    wanted = threading.Semaphore(1)
    descriptor = sys.stdin.fileno()

    def read() -> None:
        data: bytes | OSError = b"begin"
        while data and isinstance(data, bytes):
            wanted.acquire()
            try:
                data = os.read(descriptor, CHUNK)
            except OSError as error:
                data = error
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(pieces.put_nowait, data)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while True:
        data = await pieces.get()
        if isinstance(data, OSError):
            raise data
        if not data:
            return
        yield data
        wanted.release()
