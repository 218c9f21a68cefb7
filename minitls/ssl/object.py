"""SSLObject: a connection between two memory BIOs, which event loops drive.

An alert stands in the outgoing BIO before the error is raised.  Whether it is sent is up to who drives: uvloop, trio and anyio send
what is there, asyncio's own loop drops it and resets the connection, as it does with the standard library's.
"""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, Any

from minitls.record.protection import MAX_PLAINTEXT
from minitls.ssl import errors
from minitls.ssl.channel import Channel

if TYPE_CHECKING:
    from minitls.ssl.context import SSLContext
    from minitls.ssl.session import SSLSession

BLOCK = 6 * (MAX_PLAINTEXT + 22)
"""Bytes taken from the BIO at a time: six full records of TLS 1.3, so that a stream of those leaves nothing to put together; larger
blocks are above malloc's threshold, and mapped anew each time."""


class BioChannel(Channel):
    """Between two memory BIOs: nothing waits, who has no bytes says so."""

    def __init__(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        context: SSLContext,
        server_side: bool,
        server_hostname: str | None,
        session: SSLSession | None,
        owner: Any,
    ) -> None:
        super().__init__(context, server_side, server_hostname, session, owner)
        self._incoming = incoming
        self._outgoing = outgoing

    def _receive(self, wanted: int) -> None:
        connection = self._connection
        assert connection is not None
        if data := self._incoming.read(BLOCK - len(connection.partial)):
            self._feed(data)
        elif self._incoming.eof:
            self._feed_eof()
        else:
            raise errors.want_read()

    def _flush(self) -> None:
        connection = self._connection
        if connection is not None and (out := connection.data_to_send()):
            self._outgoing.write(out)

    def _put_back(self, trailing: bytes) -> None:
        if not self._incoming.eof:
            self._incoming.write(trailing + self._incoming.read())

    def write(self, data: Any) -> int:
        connection = self._connection
        if connection is None or not self._established or connection.write_closed:
            connection = self._check_writable()
        write = self._outgoing.write
        with self._lock:
            for piece in connection.seal(data):
                write(piece)
        return len(data) if type(data) is bytes else memoryview(data).nbytes

    def shutdown(self) -> None:
        super().shutdown()


class SSLObject(ssl.SSLObject):
    """Made by :meth:`minitls.ssl.SSLContext.wrap_bio`.  All of it is ours: the base knows nothing of the connection."""

    _sslobj: Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(
            f"{type(self).__name__} does not have a public constructor. Instances are returned by SSLContext.wrap_bio()."
        )

    @classmethod
    def _create(
        cls,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: Any = None,
        context: Any = None,
    ) -> SSLObject:
        self = cls.__new__(cls)
        self._sslobj = context._wrap_bio(
            incoming, outgoing, server_side=server_side, server_hostname=server_hostname, owner=self, session=session
        )
        return self

    @property
    def context(self) -> Any:
        """The context that is in use; ``sni_callback`` may set another."""
        return self._sslobj.context

    @context.setter
    def context(self, context: Any) -> None:
        self._sslobj.context = context

    @property
    def session(self) -> Any:
        """The newest session, which a client may come back with; by TLS 1.3 it comes with the first data."""
        return self._sslobj.session

    @session.setter
    def session(self, session: Any) -> None:
        self._sslobj.session = session

    @property
    def session_reused(self) -> bool:
        return self._sslobj.session_reused

    @property
    def server_side(self) -> bool:
        return self._sslobj.server_side

    @property
    def server_hostname(self) -> Any:
        return self._sslobj.server_hostname

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Up to ``len`` bytes, or into ``buffer``; b"" (or 0) at the peer's close_notify."""
        return self._sslobj.read(len, buffer)

    def write(self, data: Any) -> int:
        return self._sslobj.write(data)

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The peer's certificate: a dictionary, {} if it was not verified, None if it has none; or DER."""
        return self._sslobj.getpeercert(binary_form)

    def get_verified_chain(self) -> list[bytes]:
        return self._sslobj.get_verified_chain()

    def get_unverified_chain(self) -> list[bytes]:
        return self._sslobj.get_unverified_chain()

    def selected_npn_protocol(self) -> None:
        warnings.warn("ssl NPN is deprecated, use ALPN instead", DeprecationWarning, stacklevel=2)

    def selected_alpn_protocol(self) -> str | None:
        return self._sslobj.selected_alpn_protocol()

    def cipher(self) -> tuple[str, str, int] | None:
        return self._sslobj.cipher()

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        return self._sslobj.shared_ciphers()

    def compression(self) -> None:
        return None

    def pending(self) -> int:
        """Bytes that can be read at once; at least 1 where there is an end or an error to hear."""
        return self._sslobj.pending()

    def do_handshake(self) -> None:
        self._sslobj.do_handshake()

    def unwrap(self) -> Any:
        """Send close_notify; raises SSLWantReadError until the peer's is there."""
        return self._sslobj.shutdown()

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        return self._sslobj.get_channel_binding(cb_type)

    def version(self) -> str | None:
        return self._sslobj.version()

    def verify_client_post_handshake(self) -> None:
        self._sslobj.verify_client_post_handshake()
