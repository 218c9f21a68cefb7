"""A connection over a socket of the operating system, which blocks, times out, or says that it would block.

Rules:

1. One record at a time is taken from the socket, and never the last byte of another: data, an end or an error that we knew of and
   the kernel did not would be waited for in vain by who uses ``select``.
2. Records are sent in the order in which they were sealed: whoever takes some from the engine holds ``_writing`` until they are
   sent.  A reader that finds a writer at work leaves what it has to say to that one.
3. What was sealed and could not be sent is kept, and sent first by the next call.  ``write`` then gives the length that it took
   before: as with OpenSSL, who is told SSLWantWriteError writes the same again.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minitls.record.layer import missing
from minitls.record.protection import BATCH, HEADER, MAX_PLAINTEXT
from minitls.ssl import errors
from minitls.ssl.channel import Channel

if TYPE_CHECKING:
    from minitls.ssl.context import SSLContext
    from minitls.ssl.session import SSLSession

SHORT = 64
"""With a record of more bytes, the next one's header is taken: it is no close_notify, which plaintext may follow."""

_recv, _send, _settimeout = socket.socket.recv, socket.socket.send, socket.socket.settimeout


class SocketChannel(Channel):
    """``owner``: the socket itself; it is both what we read from and what the application has."""

    def __init__(
        self, context: SSLContext, server_side: bool, server_hostname: str | None, session: SSLSession | None, owner: Any
    ) -> None:
        super().__init__(context, server_side, server_hostname, session, owner)
        self._handshaking = threading.RLock()
        self._reading = threading.RLock()
        self._writing = threading.RLock()
        self._until: float | None = None  # when the reading that goes on has taken too long
        self._unsent = b""
        self._taken = 0  # bytes that an unfinished write has sealed
        self._owed = False  # the engine may have something to say

    def _sock(self) -> socket.socket:
        sock: socket.socket | None = self._owner()
        if sock is None:
            raise OSError(errno.EBADF, "the socket is gone")
        return sock

    @contextmanager
    def _deadline(self, timeout: float | None) -> Iterator[None]:
        self._until = time.monotonic() + timeout if timeout else None
        try:
            yield
        finally:
            self._until = None

    # reading --------------------------------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        if self._established:
            return
        with self._handshaking:
            sock = self._sock()
            timeout = sock.gettimeout()
            try:
                with self._deadline(timeout):
                    super().do_handshake()
            except TimeoutError:
                raise TimeoutError("_ssl.c: The handshake operation timed out") from None
            finally:
                if timeout:
                    _settimeout(sock, timeout)

    def _receive(self, wanted: int) -> None:
        connection, sock = self._connection, self._sock()
        assert connection is not None
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("The read operation timed out")
            if not self._established:
                _settimeout(sock, left)  # nobody else uses it yet
        partial = connection.partial
        try:
            size = missing(partial)
            data = _recv(sock, size + (HEADER if size > SHORT else 0))
        except BlockingIOError:
            raise errors.want_read() from None
        except TimeoutError:
            raise TimeoutError("The read operation timed out") from None
        if data:
            self._feed(data)
        else:
            self._feed_eof()

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        if not self._established:
            self.do_handshake()
        if self._ready and self._reading.acquire(blocking=False):
            try:
                if self._ready:
                    return super().read(size, buffer)
            finally:
                self._reading.release()
        with self._reading, self._deadline(self._sock().gettimeout()):
            return super().read(size, buffer)

    def _put_back(self, trailing: bytes) -> None:
        self._sock()._trailing += trailing  # type: ignore[attr-defined]  # an SSLSocket of ours

    # writing --------------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._owed = True
        while self._owed and self._writing.acquire(blocking=False):
            try:
                self._owed = False
                self._send_unsent()
                with self._lock:
                    out = self._connection.data_to_send() if self._connection is not None else b""
                if out:
                    self._send(out)
            except ssl.SSLWantWriteError:
                if not self._established:
                    raise
                return  # kept; a read does not fail because something could not be written
            finally:
                self._writing.release()

    def _send_unsent(self) -> None:
        if self._unsent:
            rest, self._unsent = self._unsent, b""
            self._send(rest)

    def _send(self, data: bytes | memoryview) -> None:
        """All of it; else raises, and the rest is kept."""
        sock, view = self._sock(), memoryview(data)
        timeout = sock.gettimeout()
        until = time.monotonic() + timeout if timeout else None
        try:
            while view:
                view = view[_send(sock, view) :]
                if view and until is not None and time.monotonic() > until:
                    raise TimeoutError
        except BlockingIOError:
            raise errors.want_write() from None
        except TimeoutError:
            raise TimeoutError("The write operation timed out") from None
        finally:
            self._unsent = bytes(view)

    def write(self, data: Any) -> int:
        self._check_writable()
        with self._writing, memoryview(data) as given, given.cast("B") as view:
            self._send_unsent()
            if self._taken:
                done, self._taken = self._taken, 0
                if done > len(view):
                    raise errors.made("bad_write_retry")
                return done
            done = 0
            while done < len(view):
                left = len(view) - done
                size = min(left // MAX_PLAINTEXT, BATCH) * MAX_PLAINTEXT or left
                try:
                    self._seal_and_send(view[done : done + size])
                except (ssl.SSLWantWriteError, TimeoutError):
                    if self._unsent:
                        self._taken = done + size
                        raise
                done += size
        if self._owed:
            self._flush()
        return done

    def _seal_and_send(self, view: memoryview) -> None:
        """As many records as one buffer holds: while they are sent, a reader may use the engine, and even change its keys."""
        with self._lock:
            pieces = iter(self._check_writable().seal(view))
        while True:
            with self._lock:
                piece = next(pieces, None)
            if piece is None:
                return
            self._send(piece)

    def _await_close(self) -> None:
        with self._reading, self._deadline(self._sock().gettimeout()):
            super()._await_close()
