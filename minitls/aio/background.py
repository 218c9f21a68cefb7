"""What goes on beside a connection, and must not hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

_running: set[asyncio.Future[None]] = set()
"""A loop alone does not keep its tasks alive."""


def in_background(loop: asyncio.AbstractEventLoop, keeping: Awaitable[None]) -> None:
    """See a session kept, while the connection goes on.  A store that fails is reported as asyncio does."""
    task = asyncio.ensure_future(keeping, loop=loop)
    _running.add(task)

    def ended(task: asyncio.Future[None]) -> None:
        _running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler({"message": "a session store could not keep a session", "exception": error})

    task.add_done_callback(ended)
