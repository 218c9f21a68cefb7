"""The engine over a blocking socket."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Awaitable
from typing import Any

from minitls import Alert, ApplicationData, Connection, EarlyData, HandshakeCompleted, PeerClosed, Question, TicketReceived
from minitls.errors import TruncationError


class Link:
    """One connection.  ``piecemeal``: what comes is handed on one byte at a time, and some of it before a question is answered.

    ``inbox``: data that came and was not read.  ``early``: how many bytes of the data so far were 0-RTT data.
    ``tickets``: what the server gave us.  ``ended``: the peer has said its last word, or is simply gone.
    ``allowed``: how many bytes may be sent now; what is over waits; None: all.
    """

    def __init__(self, engine: Connection, sock: socket.socket, *, piecemeal: bool) -> None:
        self.engine = engine
        self.sock = sock
        self.inbox = bytearray()
        self.early = 0
        self.tickets: list[TicketReceived] = []
        self.completed = False
        self.ended = False
        self.allowed: int | None = None
        self._piecemeal = piecemeal
        self._waiting: deque[bytes] = deque()
        self._unsent = b""
        self._begin()

    def _begin(self) -> None:
        if (question := self.engine.question) is not None:  # asked before the first word
            self._handle([question])

    def flush(self) -> None:
        self._unsent += self.engine.data_to_send()
        now, self._unsent = self._unsent[: self.allowed], b"" if self.allowed is None else self._unsent[self.allowed :]
        if self.allowed is not None:
            self.allowed -= len(now)
        if now:
            self.sock.sendall(now)

    def step(self) -> None:
        """Send what is to be sent, and take what comes next.  Raises TLSError, with its alert sent."""
        self.flush()
        if self.engine.error is not None:  # it came behind something that was to be heard first
            raise self.engine.error
        if not self._waiting:
            came = self.sock.recv(2**16)
            if not came:
                self.ended = True
                self.guarded(self.engine.receive_eof)
                return
            self._waiting.extend(came[i : i + 1] for i in range(len(came))) if self._piecemeal else self._waiting.append(came)
        self._handle(self.guarded(self.engine.receive_data, self._waiting.popleft()))

    def guarded(self, call: Any, *args: Any) -> Any:
        """The call; if it fails, with the alert sent first."""
        try:
            return call(*args)
        except BaseException:
            with contextlib.suppress(OSError):
                self.flush()
            raise

    def _handle(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, ApplicationData | EarlyData):
                self.inbox += event.data
                self.early += len(event.data) if isinstance(event, EarlyData) else 0
            elif isinstance(event, HandshakeCompleted):
                self.completed = True
            elif isinstance(event, TicketReceived):
                self.tickets.append(event)
                if event.keeping is not None:
                    finish(event.keeping)
            elif isinstance(event, PeerClosed):
                self.ended = True
            elif isinstance(event, Question):
                self._handle(self.guarded(self._answer, event))

    def _answer(self, question: Question) -> list[Any]:
        if self._piecemeal and self._waiting:
            assert self.engine.receive_data(self._waiting.popleft()) == []  # kept until the answer is there
        try:
            value = finish(question.awaitable)
        except Exception as error:
            return self.engine.answer_error(question, error)
        return self.engine.answer(question, value)

    def handshake(self) -> None:
        """Until data may flow: a server may answer early data before the handshake is complete."""
        while not self.engine.can_send_data and not self.ended:
            self.step()
        self.flush()

    def read(self, size: int) -> bytes:
        """At least one byte and at most ``size``; b"" when the peer has ended, politely or not."""
        data = self.peek(size)
        del self.inbox[: len(data)]
        return data

    def peek(self, size: int) -> bytes:
        """What ``read`` will give."""
        while not self.inbox and not self.ended:
            try:
                self.step()
            except TruncationError:
                break
        return bytes(self.inbox[:size])

    def write(self, data: bytes) -> None:
        self.engine.send_data(data)
        self.flush()

    def update_keys(self) -> None:
        self.engine.update_keys()

    def fail(self, alert: Alert) -> None:
        """End with a fatal alert."""
        self.engine.fail(alert)
        self.flush()

    def close(self) -> None:
        """close_notify: we have said all."""
        self.engine.close()
        self.flush()

    def drain(self) -> None:
        """Say no more, and hear the peer out: a socket that is closed with data unread resets the connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            while self.sock.recv(2**16):
                pass


def finish(awaitable: Awaitable[Any]) -> Any:
    """The result of something that is awaited, however often it says that it is not there yet."""
    steps = awaitable.__await__()
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value
