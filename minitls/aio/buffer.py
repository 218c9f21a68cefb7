"""The receive buffer: one for each event loop, whichever of its connections receives."""

from __future__ import annotations

import asyncio
import sys
from weakref import WeakKeyDictionary

RECEIVE_BUFFER = 256 * 1024

_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def receive_buffer(loop: asyncio.AbstractEventLoop) -> memoryview:
    """The loop's buffer, used from ``get_buffer`` to the end of ``buffer_updated``, which no other connection comes between.

    On Windows' proactor loop receiving is not one synchronous step: there every connection gets one of its own.
    """
    if sys.platform == "win32" and isinstance(loop, asyncio.ProactorEventLoop):
        return memoryview(bytearray(RECEIVE_BUFFER))
    if (view := _buffers.get(loop)) is None:
        _buffers[loop] = view = memoryview(bytearray(RECEIVE_BUFFER))
    return view
