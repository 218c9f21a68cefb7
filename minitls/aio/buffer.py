"""The receive buffer: one for each thread's event loop, whichever of its connections receives."""

from __future__ import annotations

import asyncio
import sys
import threading

RECEIVE_BUFFER = 128 * 1024


class _Receiving(threading.local):
    """``view``: this thread's buffer, used from ``get_buffer`` to the end of ``buffer_updated``."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(RECEIVE_BUFFER))


receiving = _Receiving()


def own_buffer(loop: asyncio.AbstractEventLoop) -> memoryview | None:
    """A buffer for one connection, where receiving is not one synchronous step: on Windows' proactor loop."""
    if sys.platform == "win32" and isinstance(loop, asyncio.ProactorEventLoop):
        return memoryview(bytearray(RECEIVE_BUFFER))
    return None
