"""The sending half of a transport: small writes are gathered, and a very large one is sealed some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from minitls.aio.above import Above
from minitls.connection import Connection
from minitls.record.protection import BATCH, MAX_PLAINTEXT, keep_sealed_buffer

GATHER = BATCH * MAX_PLAINTEXT
"""Bytes of small writes that are sent without waiting for the tick's end: as many records as are sealed into one buffer."""
TURN = 4 * GATHER
"""Bytes that are sealed in one turn of the loop: some millisecond's work."""
NOTHING = memoryview(b"")


class Writing(Above):
    """``_rest``: of a write that is too large for one turn; while there is any, as while the transport below is full, the protocol
    above pauses.  ``_later``: what the application wants once the handshake is complete and all is written.
    """

    __slots__ = ("_begun", "_closing", "_deaf", "_later", "_loop", "_pressed", "_receiving", "_scheduled", "_write_paused")

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self._loop = loop
        self._below: asyncio.Transport | None = None
        self._protocol: asyncio.BaseProtocol | None = None
        self._buffered = False
        self._pending: bytes | bytearray | memoryview = b""
        self._rest = NOTHING
        self._closing = False  # nothing more is sent
        self._deaf = False  # the application closed: nothing more is delivered
        self._begun = False  # the protocol above knows of us
        self._later: Callable[[], None] | None = None
        self._receiving = self._scheduled = self._write_paused = self._pressed = False

    # the protocol of the transport below ------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._write_paused = True
        self._press()

    def resume_writing(self) -> None:
        self._write_paused = False
        if not self._closing:
            self._flush()
        self._press()

    def _press(self) -> None:
        """Tell the protocol above whether to go on writing, where that has changed."""
        full = self._write_paused or len(self._rest) > 0
        if full is not self._pressed and self._protocol is not None and self._begun:
            self._pressed = full
            (self._protocol.pause_writing if full else self._protocol.resume_writing)()

    # between the two --------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send what was written, and before it what the engine has to say by itself."""
        below = self._below
        if self._closing or below is None or (self._rest and (self._scheduled or self._write_paused)):
            return
        if len(self._pending) > TURN and not self._rest:
            self._rest, self._pending = memoryview(self._pending), b""
        data: bytes | bytearray | memoryview
        if rest := self._rest:
            data, self._rest = rest[:TURN], rest[TURN:]
        else:
            data, self._pending = self._pending, b""
        if data:
            for piece in self.connection.seal(data):
                below.write(piece)
                if isinstance(piece, memoryview) and below.get_write_buffer_size():
                    keep_sealed_buffer()  # it may hold the view itself, until the peer reads
        elif out := self.connection.data_to_send():
            below.write(out)
        if rest:
            self._go_on()

    def _go_on(self) -> None:
        """A turn's part of a large write is sent: the next part in the next turn; after the last one, what was written since."""
        self._press()
        if not self._rest:
            self._flush()
            if self._later is not None and not self._rest:
                self._later()
        elif not self._write_paused:  # else resume_writing goes on
            self._soon()

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._flush()

    # the transport of the protocol above ------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue data for the peer.  After close or a loss it goes nowhere, as with asyncio's own transports."""
        if self._closing or self._deaf:
            return
        if self.connection.write_closed or self._later is not None:
            raise RuntimeError("Cannot call write() after write_eof()")
        pending = self._pending
        if pending or self._rest:
            if not isinstance(pending, bytearray):
                self._pending = pending = bytearray(pending)
            pending += data
            if self._rest:
                return
            if len(pending) >= GATHER:
                self._flush()
                return
        elif (size := data.nbytes if isinstance(data, memoryview) else len(data)) >= MAX_PLAINTEXT and (
            self.connection.handshake_completed
        ):
            self._pending = (
                data if size <= TURN or isinstance(data, bytes) else bytes(data)
            )  # what is sent later is not the caller's
            self._flush()
            return
        else:
            self._pending = data if isinstance(data, bytes) else bytes(memoryview(data))
        if not self._receiving:
            self._soon()
