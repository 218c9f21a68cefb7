"""SSLSocket: the standard library's class for a connection over a socket."""

from __future__ import annotations

import errno
import socket
import ssl
import warnings
from collections.abc import Callable
from typing import Any

from minitls.ssl.pump import SocketChannel
from minitls.standard import CHANNEL_BINDINGS

_recv, _send = socket.socket.recv, socket.socket.send


class SSLSocket(ssl.SSLSocket):
    """Made by :meth:`minitls.ssl.SSLContext.wrap_socket`.  All of TLS in it is ours; the rest is the plain socket's."""

    _sslobj: SocketChannel | None
    _context: Any
    _closed: bool
    _connected: bool
    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool
    _trailing: bytes
    """What came behind the end of TLS, in the clear."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(
            f"{type(self).__name__} does not have a public constructor. Instances are returned by SSLContext.wrap_socket()."
        )

    @classmethod
    def _create(
        cls,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        context: Any = None,
        session: Any = None,
    ) -> SSLSocket:
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) != socket.SOCK_STREAM:
            raise NotImplementedError("only stream sockets are supported")
        if server_side and server_hostname:
            raise ValueError("server_hostname can only be specified in client mode")
        if server_side and session is not None:
            raise ValueError("session can only be specified in client mode")
        if context.check_hostname and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        where: dict[str, Any] = {"family": sock.family, "type": sock.type, "proto": sock.proto, "fileno": sock.fileno()}
        self = cls.__new__(cls, **where)
        socket.socket.__init__(self, **where)
        timeout = sock.gettimeout()
        sock.detach()
        self._context = context
        self._session = session
        self._closed = False
        self._sslobj = None
        self._trailing = b""
        self.server_side = server_side
        self.do_handshake_on_connect = do_handshake_on_connect
        self.suppress_ragged_eofs = suppress_ragged_eofs
        try:
            self.server_hostname = context._encode_hostname(server_hostname)
            self._connected = self._is_connected()
            self.settimeout(timeout)
            if self._connected:
                self._begin()
        except BaseException:
            self.close()  # it is ours by now, and nobody else has it
            raise
        return self

    def _is_connected(self) -> bool:
        """Whether there is a peer.  Raises SSLError where there was one, and left data: it would pass for TLS's."""
        try:
            self.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        else:
            return True
        blocking = self.getblocking()
        self.setblocking(False)
        try:
            early = _recv(self, 1)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EINVAL):
                raise
            early = b""
        self.setblocking(blocking)
        if early:
            reason = "Closed before TLS handshake with data in recv buffer."
            refused = ssl.SSLError(errno.ENOTCONN, reason)
            refused.reason = reason
            refused.library = None  # type: ignore[assignment]  # as the standard library has it
            raise refused
        return False

    def _begin(self) -> None:
        self._wrap(self.server_side)
        if self.do_handshake_on_connect:
            if self.gettimeout() == 0.0:
                raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
            self.do_handshake()

    def _wrap(self, server_side: bool) -> None:
        self._sslobj = self._context._wrap_socket(self, server_side, self.server_hostname, owner=self, session=self._session)

    def _wrapped(self) -> SocketChannel:
        if self._sslobj is None:
            raise ValueError(f"No SSL wrapper around {self}")
        return self._sslobj

    def _no_flags(self, flags: int, what: str) -> None:
        if flags != 0:
            raise ValueError(f"non-zero flags not allowed in calls to {what}() on {type(self)}")

    # connections ----------------------------------------------------------------------------------------------------------

    def connect(self, addr: Any) -> None:
        """Connect, and shake hands."""
        self._connect(lambda: socket.socket.connect(self, addr))

    def connect_ex(self, addr: Any) -> int:
        """The same; failures of TCP are given as numbers."""
        return self._connect(lambda: socket.socket.connect_ex(self, addr))

    def _connect(self, connect: Callable[[], int | None]) -> int:
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._connected or self._sslobj is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")
        self._wrap(False)
        try:
            failed = connect()
            if not failed:
                self._connected = True
                if self.do_handshake_on_connect:
                    self.do_handshake()
        except (OSError, ValueError):
            self._sslobj = None
            raise
        return failed or 0

    def accept(self) -> tuple[SSLSocket, Any]:
        """The next client's connection, wrapped, and its address."""
        plain, address = socket.socket.accept(self)
        wrapped = self._context.wrap_socket(
            plain,
            do_handshake_on_connect=self.do_handshake_on_connect,
            suppress_ragged_eofs=self.suppress_ragged_eofs,
            server_side=True,
        )
        return wrapped, address

    def dup(self) -> Any:
        raise NotImplementedError(f"Can't dup() {type(self).__name__} instances")

    def do_handshake(self, block: bool = False) -> None:
        if not self._connected:
            self.getpeername()  # raises where there is nobody
        timeout = self.gettimeout()
        try:
            if timeout == 0.0 and block:
                self.settimeout(None)
            self._wrapped().do_handshake()
        finally:
            self.settimeout(timeout)

    def unwrap(self) -> Any:
        """Send close_notify, wait for the peer's, and give the socket, on which plain data may follow."""
        plain = self._wrapped().shutdown()
        self._sslobj = None
        return plain

    def shutdown(self, how: int) -> None:
        """TCP's: TLS ends without a word."""
        self._sslobj = None
        socket.socket.shutdown(self, how)

    def _real_close(self) -> None:
        self._sslobj = None
        socket.socket._real_close(self)  # type: ignore[attr-defined]

    # data -----------------------------------------------------------------------------------------------------------------

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        channel = self._sslobj
        if channel is None:
            raise ValueError("Read on closed or unwrapped SSL socket.")
        try:
            return channel.read(len, buffer)
        except ssl.SSLEOFError:
            if not self.suppress_ragged_eofs:
                raise
            return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        if self._sslobj is None:
            raise ValueError("Write on closed or unwrapped SSL socket.")
        return self._sslobj.write(data)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self._sslobj is not None:
            self._no_flags(flags, "recv")
            data: bytes = self.read(buflen)
            return data
        if self._trailing:
            data, self._trailing = self._trailing[:buflen], self._trailing[buflen:]
            return data
        return _recv(self, buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        if nbytes is None:
            with memoryview(buffer) as view:
                nbytes = view.nbytes or 1024
        if self._sslobj is not None:
            self._no_flags(flags, "recv_into")
            count: int = self.read(nbytes, buffer)
            return count
        if self._trailing:
            with memoryview(buffer) as view, view.cast("B") as target:
                data = self.recv(min(nbytes or len(target), len(target)))
                target[: len(data)] = data
                return len(data)
        return socket.socket.recv_into(self, buffer, nbytes, flags)

    def recvfrom(self, buflen: int = 1024, flags: int = 0) -> tuple[bytes, Any]:
        self._only_without_tls("recvfrom")
        return socket.socket.recvfrom(self, buflen, flags)

    def recvfrom_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> tuple[int, Any]:
        self._only_without_tls("recvfrom_into")
        return socket.socket.recvfrom_into(self, buffer, nbytes or 0, flags)

    def recvmsg(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"recvmsg not allowed on instances of {type(self)}")

    def recvmsg_into(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"recvmsg_into not allowed on instances of {type(self)}")

    def sendmsg(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"sendmsg not allowed on instances of {type(self)}")

    def send(self, data: Any, flags: int = 0) -> int:
        if self._sslobj is not None:
            self._no_flags(flags, "send")
            return self._sslobj.write(data)
        return _send(self, data, flags)

    def sendto(self, data: Any, flags_or_addr: Any, addr: Any = None) -> int:
        self._only_without_tls("sendto")
        if addr is None:
            return socket.socket.sendto(self, data, flags_or_addr)
        return socket.socket.sendto(self, data, flags_or_addr, addr)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._sslobj is None:
            socket.socket.sendall(self, data, flags)
            return
        self._no_flags(flags, "sendall")
        with memoryview(data) as given, given.cast("B") as view:
            done = 0
            while done < len(view):
                done += self.send(view[done:])

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """What the file has, read and sent; the number of bytes."""
        if self._sslobj is None:
            return socket.socket.sendfile(self, file, offset, count)
        sent: int = self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined]  # socket's own
        return sent

    def pending(self) -> int:
        """Bytes that can be read without the socket; at least 1 where there is an end or an error to hear."""
        return 0 if self._sslobj is None else self._sslobj.pending()

    def _only_without_tls(self, what: str) -> None:
        if self._sslobj is not None:
            raise ValueError(f"{what} not allowed on instances of {type(self)}")

    # what there is to know ------------------------------------------------------------------------------------------------

    @property
    def context(self) -> Any:
        return self._context

    @context.setter
    def context(self, context: Any) -> None:
        self._wrapped().context = context
        self._context = context

    @property
    def session(self) -> Any:
        return None if self._sslobj is None else self._sslobj.session

    @session.setter
    def session(self, session: Any) -> None:
        self._session = session
        if self._sslobj is not None:
            self._sslobj.session = session

    @property
    def session_reused(self) -> Any:
        return None if self._sslobj is None else self._sslobj.session_reused

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The peer's certificate: a dictionary, {} if it was not verified, None if it has none; or DER."""
        if not self._connected:
            self.getpeername()
        return self._wrapped().getpeercert(binary_form)

    def get_verified_chain(self) -> list[bytes]:
        return self._wrapped().get_verified_chain()

    def get_unverified_chain(self) -> list[bytes]:
        return self._wrapped().get_unverified_chain()

    def selected_npn_protocol(self) -> None:
        warnings.warn("ssl NPN is deprecated, use ALPN instead", DeprecationWarning, stacklevel=2)

    def selected_alpn_protocol(self) -> str | None:
        return None if self._sslobj is None else self._sslobj.selected_alpn_protocol()

    def cipher(self) -> tuple[str, str, int] | None:
        return None if self._sslobj is None else self._sslobj.cipher()

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        return None if self._sslobj is None else self._sslobj.shared_ciphers()

    def compression(self) -> None:
        return None

    def version(self) -> str | None:
        return None if self._sslobj is None else self._sslobj.version()

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        if cb_type not in CHANNEL_BINDINGS:
            raise ValueError(f"{cb_type} channel binding type not implemented")
        return None if self._sslobj is None else self._sslobj.get_channel_binding(cb_type)

    def verify_client_post_handshake(self) -> None:
        self._wrapped().verify_client_post_handshake()
