"""One object with two faces: a BufferedProtocol towards the transport below, a Transport towards the protocol above."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

from minitls.aio.asking import Asked
from minitls.aio.background import in_background
from minitls.aio.buffer import receive_buffer
from minitls.aio.writing import NOTHING, Writing
from minitls.connection import Connection
from minitls.errors import Alert, HandshakeTimeout, TruncationError
from minitls.events import ApplicationData, EarlyData, Event, HandshakeCompleted, PeerClosed, TicketReceived
from minitls.handshake.flow import Question
from minitls.info import ConnectionInfo

HANDSHAKE = 32 * 1024
"""Bytes that are received at once while a handshake goes on: a peer may cut its messages into many tiny records."""
LINGER = 0.1
LINGER_AFTER_ALERT = 0.5
LINGER_BEFORE_FINISHED = 1.0
"""Seconds in which the peer's last bytes are read and dropped before the socket is closed."""

Factory: TypeAlias = Callable[[], asyncio.BaseProtocol]
HandshakeFailed: TypeAlias = Callable[[BaseException, "TLSTransport"], None]


class TLSTransport(Writing, asyncio.BufferedProtocol):
    """A TLS connection over any transport.

    ``factory``: called for the protocol above when the handshake is complete, which then gets ``connection_made``.
    ``upgrade``: that protocol has been connected before TLS: it gets no second ``connection_made``.
    A server's protocol that has ``early_data_received(data)`` gets 0-RTT data there, before the handshake is complete, and may
    answer it at once; if it has ``handshake_completed()``, it hears when that is so.  Others find what came early in
    ``ConnectionInfo.early_data``.
    ``ready``: a future that hears when the protocol above may talk, or why it never will; or None.
    ``failed``: called with the error of a handshake that failed.
    """

    __slots__ = (
        "_asked",
        "_error",
        "_factory",
        "_failed",
        "_held",
        "_reading_paused",
        "_ready",
        "_task",
        "_timeout",
        "_timer",
        "_upgrade",
        "_view",
        "_whole_view",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        factory: Factory,
        handshake_timeout: float,
        *,
        ready: asyncio.Future[None] | None = None,
        failed: HandshakeFailed | None = None,
        upgrade: bool = False,
    ) -> None:
        super().__init__(loop, connection)
        self._factory: Factory | None = factory
        self._ready = ready
        self._failed = failed
        self._upgrade = upgrade
        self._whole_view = receive_buffer(loop)
        self._view = self._whole_view[:HANDSHAKE]
        self._held: list[Event] | None = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading_paused = False
        self._asked: Asked | None = None  # who waits for the client's certificate
        self._timeout = handshake_timeout
        self._timer: asyncio.TimerHandle | None = loop.call_later(handshake_timeout, self._timed_out, handshake_timeout)

    def __repr__(self) -> str:
        return f"<TLSTransport {self.connection!r}{' closing' if self._closing else ''}>"

    # the protocol of the transport below ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = below = cast("asyncio.Transport", transport)  # uvloop's are none, but have all of it
        if self._closing:
            below.abort()
            return
        self._flush()
        if (question := self.connection.question) is not None:  # asked before the first word, such as which session to offer
            self._ask(question)

    def get_buffer(self, sizehint: int) -> memoryview:
        view = self._view
        if partial := self.connection.partial:
            view[: len(partial)] = partial
            return view[len(partial) :]
        return view

    def buffer_updated(self, nbytes: int) -> None:
        connection = self.connection
        if not self._closing:  # else read, so that no reset is sent, and dropped
            self._process(connection.receive, self._view[: len(connection.partial) + nbytes])

    def feed(self, data: bytes) -> None:
        """Bytes of TLS that were received before this object was there."""
        self._process(self.connection.receive_data, data)

    def eof_received(self) -> bool:
        """Whether the transport below stays open for what we may still have to say."""
        if self._closing:
            return False
        self._process(lambda _: self.connection.receive_eof())
        return not self._closing

    def connection_lost(self, exc: BaseException | None) -> None:
        self._closing = True
        if exc is not None and not self.connection.peer_closed:
            self._error = self._error or exc
        self._stop_waiting()
        if self._held:
            held, self._held = self._held, None
            self._deliver(held)
        lost = self._error
        self.connection.abort(lost or ConnectionAbortedError("the connection is closed"))
        protocol, self._protocol, self._factory = self._protocol, None, None
        if protocol is not None and self._begun:
            protocol.connection_lost(lost)  # type: ignore[arg-type]  # asyncio's stubs want an Exception
        else:
            self._handshake_failed(lost or TruncationError("the connection was closed during the handshake"))

    def _handshake_failed(self, error: BaseException) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
        if self._failed is not None:
            self._failed(error, self)

    # between the two --------------------------------------------------------------------------------------------------

    def _process(self, step: Callable[[Any], bytes | list[Event]], given: Any = None) -> None:
        """Let the engine take a step, deliver what comes of it, and send what is to be sent."""
        self._receiving = True
        try:
            received = step(given)
            if isinstance(received, list):
                self._deliver(received)
            elif self._held is not None or self._buffered or self._deaf or self._protocol is None:
                self._deliver([ApplicationData(received)] if received else [])
            elif received:  # data and nothing else: no event is made of it
                try:
                    self._protocol.data_received(received)  # type: ignore[attr-defined]
                except Exception as error:
                    self._broken(error)
        except Exception as error:
            self._fail(error)
            return
        finally:
            self._receiving = False
        if self.connection.error is not None:
            self._fail(self.connection.error)
        elif not self._closing and not self._write_paused:
            self._flush()

    def _deliver(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._deaf and not isinstance(event, HandshakeCompleted):
                continue
            if self._asked is not None:
                self._asked.hear(event)
            if self._held is not None and not isinstance(event, Question):
                self._held.append(event)
            elif isinstance(event, ApplicationData):
                self._deliver_data(event.data)
            elif isinstance(event, HandshakeCompleted):
                self._completed()
            elif isinstance(event, EarlyData):
                self._deliver_early_data(event.data)
            elif isinstance(event, Question):
                self._ask(event)
            elif isinstance(event, TicketReceived) and event.keeping is not None:
                in_background(self._loop, event.keeping)
            elif isinstance(event, PeerClosed) and self._protocol is not None:
                keep_open = self._call_above(self._protocol.eof_received)  # type: ignore[attr-defined]
                if not keep_open:
                    self.close()

    def _deliver_early_data(self, data: bytes) -> None:
        receive = getattr(self._make_protocol(), "early_data_received", None)
        if receive is not None:
            self._begin()
            self._call_above(receive, data)

    def _deliver_data(self, data: bytes) -> None:
        protocol: Any = self._protocol
        if protocol is None:
            return
        if not self._buffered:
            self._call_above(protocol.data_received, data)
            return
        view = memoryview(data)
        while view and self._is_above(protocol):
            buffer = self._call_above(protocol.get_buffer, len(view))
            if buffer is None:
                return
            size = min(len(buffer), len(view))
            if not size:
                self._broken(RuntimeError("get_buffer() returned an empty buffer"))
                return
            buffer[:size] = view[:size]
            view = view[size:]
            self._call_above(protocol.buffer_updated, size)
        if view:  # the application changed its protocol in the middle: the rest is the new one's
            self._deliver_data(bytes(view))

    def _is_above(self, protocol: object) -> bool:
        return self._protocol is protocol

    def _call_above(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the application.  What it raises is its own fault, not the peer's: reported as asyncio does, and the
        connection ends.
        """
        try:
            return function(*args)
        except Exception as error:
            self._broken(error)
            return None

    def _broken(self, error: Exception) -> None:
        message = "Fatal error: the protocol above a TLSTransport failed"
        self._loop.call_exception_handler({"message": message, "exception": error, "transport": self, "protocol": self._protocol})
        self._error = self._error or error
        self.abort()

    def _completed(self) -> None:
        self._task = None
        self._view = self._whole_view
        self._stop_waiting()
        if self._deaf:
            self._part()
            return
        if self._make_protocol() is None:
            return
        self._begin()
        if (hear := getattr(self._protocol, "handshake_completed", None)) is not None:
            self._call_above(hear)
        if self._later is not None:
            self._later()

    def _make_protocol(self) -> asyncio.BaseProtocol | None:
        factory, self._factory = self._factory, None
        if factory is not None and (protocol := self._call_above(factory)) is not None:
            self.set_protocol(protocol)
        return self._protocol

    def _begin(self) -> None:
        """Tell the protocol above that it is connected, once."""
        if self._begun:
            return
        self._begun = True
        assert self._protocol is not None
        if not self._upgrade:
            self._call_above(self._protocol.connection_made, self)
        self._press()
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _ask(self, question: Question) -> None:
        assert self._below is not None
        self._below.pause_reading()  # what comes meanwhile waits in the kernel, not in our memory
        self._task = self._loop.create_task(self._answer(question))

    async def _answer(self, question: Question) -> None:
        connection = self.connection
        try:
            value = await question.awaitable
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception as error:
            failure = error
            self._process(lambda _: connection.answer_error(question, failure))
        else:
            self._process(lambda _: connection.answer(question, value))
        self._read_on()

    def _timed_out(self, seconds: float) -> None:
        self._error = self._error or HandshakeTimeout(seconds)
        self.abort()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._asked is not None:
            self._asked.fail(self._error or ConnectionAbortedError("the connection was closed"))

    def _fail(self, error: BaseException) -> None:
        """The connection cannot go on: let the alert arrive, then close."""
        if self._closing:
            return
        self._error = self._error or error
        if isinstance(error, TruncationError):
            self._closing = True
            assert self._below is not None
            self._below.close()
        else:
            self._finish(LINGER_AFTER_ALERT)

    def _finish(self, linger: float) -> None:
        """Send what is left and FIN; drop what still comes, for a moment; close."""
        self._closing = True
        self._rest = NOTHING
        below = self._below
        if below is None:
            return  # not connected yet: connection_made will see it
        if last := self.connection.data_to_send():
            below.write(last)
        self._stop_waiting()
        if self.connection.peer_closed or not below.can_write_eof():
            below.close()
            return
        try:
            below.write_eof()
            below.resume_reading()
        except (RuntimeError, OSError):  # the peer's reset has closed it already
            below.close()
            return
        self._timer = self._loop.call_later(linger, below.close)

    # the transport of the protocol above ------------------------------------------------------------------------------

    def write_eof(self) -> None:
        """Send close_notify: the peer sees the end of our data, and can still send its own (RFC 8446 section 6.1)."""
        if self._closing or self.connection.write_closed:
            return
        self._flush()
        if self._answers_early or self._rest:
            self._later = self._later or self.write_eof
            return
        self.connection.close()
        self._flush()

    def close(self) -> None:
        """Send what was written and close_notify, and close; never waits for the peer longer than LINGER."""
        if self._closing:
            return
        self._deaf = True
        self._flush()
        if self._answers_early:
            self._held = None
            self._stop_waiting()
            self._timer = self._loop.call_later(LINGER_BEFORE_FINISHED, self._part)
            if self._below is not None:
                self._below.resume_reading()
            return
        self._part()

    def _part(self) -> None:
        if self._rest:
            self._later = self._part
        elif not self._closing:
            self.connection.close()
            self._finish(LINGER)

    @property
    def _answers_early(self) -> bool:
        """Early data is being answered: the client has yet to finish, and gets its tickets only then."""
        return self._begun and not self._closing and self.connection.can_send_data and not self.connection.handshake_completed

    def fail(self, alert: Alert) -> None:
        """Send what was written and a fatal alert of the application's choice (RFC 8446 section 6.2), and close.

        ``connection_lost`` hears the error.  Raises Misuse as :meth:`minitls.Connection.fail`.
        """
        if not self._closing:
            self._flush()
            self.connection.fail(alert)
            self._fail(self.connection.error or ConnectionAbortedError("the connection has ended"))

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self._closing = self._deaf = True
        self._stop_waiting()
        self._pending, self._rest = b"", NOTHING
        self.connection.abort(self._error or ConnectionAbortedError("the connection was aborted"))
        if self._below is not None:
            self._below.abort()

    def is_closing(self) -> bool:
        return self._closing or self._deaf

    def pause_reading(self) -> None:
        if not self._reading_paused and not self._closing:
            self._reading_paused = True
            self._held = self._held or []
            assert self._below is not None
            self._below.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading_paused:
            return
        self._reading_paused = False
        if self._held:
            self._loop.call_soon(self._deliver_held)  # never from within: the caller is not ready for data yet
            return
        self._held = None
        self._read_on()

    def _deliver_held(self) -> None:
        if self._reading_paused or self._held is None:
            return
        held, self._held = self._held, None
        self._process(lambda _: held)
        self._read_on()

    def _read_on(self) -> None:
        if not self._reading_paused and not self._closing and self._below is not None and self.connection.question is None:
            self._below.resume_reading()

    async def request_client_certificate(self) -> ConnectionInfo:
        """A server asks who the client is (RFC 8446 section 4.6.2): see :class:`~minitls.aio.asking.Asked`."""
        self._flush()
        self._asked = asked = Asked(self._loop, self.connection)
        self._flush()
        return await asked.answer(self._timeout, self._timed_out)

    def is_reading(self) -> bool:
        return not self._reading_paused and not self._closing
