"""What stands behind an SSLObject and an SSLSocket: the engine, pumped by reads and writes.

It answers as OpenSSL's connection does, so that the two faces only pass on; where the bytes come from and go to, a subclass knows.

Rules:

1. What was taken from below and not given out yet is told by ``pending()``: decrypted data, or else that there is an end or an
   error to hear.  Some event loops read only what they are told of.
2. What the engine has to say is handed down before anything is raised: an alert gets to the peer if who runs us sends it.
3. One lock is around each step of the engine, and none while a socket is waited for: one thread may read while another writes.
4. Errors leave as the standard library's classes, with ours as their cause.
"""

from __future__ import annotations

import copy
import ssl
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from minitls.config import ClientConfig, Danger, ServerConfig
from minitls.connection import Connection
from minitls.endpoints import ClientConnection, ServerConnection
from minitls.errors import Alert, Misuse, PeerIncompatible, TLSError
from minitls.events import ApplicationData, Event, HandshakeCompleted, TicketReceived
from minitls.handshake.flow import Question
from minitls.observe import Observation
from minitls.ssl import ciphers, errors
from minitls.ssl.configs import IGNORE_UNEXPECTED_EOF, without_alpn
from minitls.ssl.session import Memory, SSLSession
from minitls.standard import Answers
from minitls.wire.hello import ClientHello

if TYPE_CHECKING:
    from minitls.info import ConnectionInfo
    from minitls.ssl.context import SSLContext

C = TypeVar("C", ClientConfig, ServerConfig)


class Channel(Answers):
    """One connection.  ``owner``: the SSLObject or SSLSocket; it holds us, and we do not hold it."""

    def __init__(
        self, context: SSLContext, server_side: bool, server_hostname: str | None, session: SSLSession | None, owner: Any
    ) -> None:
        _check_role(context, server_side)
        _check_hostname(server_hostname)
        self._context = context
        self._owner: weakref.ref[Any] = weakref.ref(owner)
        self.server_side = bool(server_side)
        self.server_hostname = server_hostname
        self._memory = Memory()
        self._connection: Connection | None = None
        self._established = False
        self._ready: deque[bytes | memoryview] = deque()
        self._unheard = False  # an end or an error that nobody was told of
        self._ended = False  # the transport below has come to its end, and that is all right
        self._lock = threading.RLock()
        if session is not None:
            self.session = session

    # what a subclass knows ------------------------------------------------------------------------------------------------

    def _receive(self, wanted: int) -> None:
        """Take bytes from below and :meth:`_feed` them, or raise.  ``wanted``: how much data somebody has room for."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Hand down what the engine has to say."""
        raise NotImplementedError

    def write(self, data: Any) -> int:
        """Seal ``data``, and hand it down; gives its length."""
        raise NotImplementedError

    def _put_back(self, trailing: bytes) -> None:
        """What came behind the peer's close_notify, and is not TLS."""
        raise NotImplementedError

    # the handshake --------------------------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        connection = self._connection or self._start()
        self._flush()
        while not self._established:
            self._raise_error(connection)
            self._receive(0)

    def _start(self) -> Connection:
        context = self._context
        config = context._config(self.server_side)
        context._count("accept" if self.server_side else "connect")
        try:
            if isinstance(config, ServerConfig):
                connection: Connection = ServerConnection(self._asking(self._telling(config)))
            else:
                if context.check_hostname and not self.server_hostname:
                    raise ValueError("check_hostname requires server_hostname")
                connection = ClientConnection(self._telling(self._memory.config(config)), server_hostname=self._name_for(config))
        except TLSError as error:
            raise self._translated(error) from error
        self._connection = connection
        self._heard_all(())
        return connection

    def _name_for(self, config: ClientConfig) -> str | None:
        """Whom to ask for; a name that no certificate can have is nobody's, where nobody minds."""
        if isinstance(config.verify, Danger) and self.server_hostname is not None:
            from minitls.certificates.names import normalise

            try:
                return normalise(self.server_hostname)
            except Misuse:
                return None
        return self.server_hostname

    def _telling(self, config: C) -> C:
        """A configuration whose observer is the context's ``_msg_callback``, if it has one."""
        callback = self._context._msg_callback
        if callback is None:
            return config
        from minitls.ssl.messages import tell

        mine, me = copy.copy(config), weakref.ref(self)

        def observer(seen: Observation) -> None:
            channel = me()
            assert channel is not None  # it is who runs the engine
            version = channel._connection.info.version if channel._connection is not None else None
            tell(callback, channel._owner(), version, seen)

        object.__setattr__(mine, "observer", observer)  # a frozen dataclass, and this copy is ours alone
        return mine

    def _asking(self, config: ServerConfig) -> ServerConfig:
        """A server's configuration that asks ``sni_callback`` when the client's hello is there."""
        if self._context.sni_callback is None:
            return config
        mine, me = copy.copy(config), weakref.ref(self)

        def select_config(hello: ClientHello) -> ServerConfig:
            channel = me()
            assert channel is not None  # it is who runs the engine
            return channel._after_hello(hello)

        object.__setattr__(mine, "select_config", select_config)  # a frozen dataclass, and this copy is ours alone
        return mine

    def _after_hello(self, hello: ClientHello) -> ServerConfig:
        """Ask ``sni_callback``, which may have set another context; gives the configuration to go on with."""
        connection, context = self._connection, self._context
        assert connection is not None
        try:
            alert = context.sni_callback(self._owner(), connection.info.server_name, context)
        except Exception as error:
            _unraisable(error, context.sni_callback)
            alert = Alert.handshake_failure
        if alert is not None:
            if not isinstance(alert, int) or alert not in Alert.__members__.values():
                _unraisable(TypeError(f"sni_callback returns None or an alert, not {alert!r}"), context.sni_callback)
                alert = Alert.internal_error
            raise PeerIncompatible(Alert(alert), "sni_callback refuses the client", reason="callback_failed")
        context = self._context
        config = context._config(True)
        assert isinstance(config, ServerConfig)
        return self._telling(without_alpn(context, hello) or config)

    def _feed(self, data: bytes) -> None:
        """Bytes from below to the engine."""
        connection = self._connection
        assert connection is not None
        with self._lock:
            try:
                self._heard_all(connection.receive_data(data))
            except Exception as error:
                self._unheard = False  # it is told now
                self._flush_last_words()
                if isinstance(error, TLSError):
                    raise self._translated(error) from error
                raise
        self._flush()

    def _feed_eof(self) -> None:
        """The transport below has come to its end.  Raises SSLEOFError where that is too early."""
        connection = self._connection
        assert connection is not None
        if self._established and self._context.options & IGNORE_UNEXPECTED_EOF:
            self._ended = True
            return
        with self._lock:
            try:
                connection.receive_eof()
            except TLSError as error:
                raise self._translated(error) from error

    def _flush_last_words(self) -> None:
        """An alert, perhaps; why there is one matters more than whether it arrives."""
        try:
            self._flush()
        except OSError:
            return

    def _heard_all(self, events: Iterable[Event]) -> None:
        connection = self._connection
        assert connection is not None
        for event in events:
            if isinstance(event, ApplicationData):
                self._ready.append(event.data)
            else:
                self._heard(connection, event)
        if connection.error is not None:
            self._unheard = True
        elif connection.question is not None:
            self._cannot_wait(connection, connection.question)

    def _heard(self, connection: Connection, event: Event) -> None:
        if isinstance(event, HandshakeCompleted):
            self._established = True
            side = "accept" if self.server_side else "connect"
            self._context._count(f"{side}_good", *(("hits",) if event.info.resumed else ()))
        elif isinstance(event, TicketReceived):
            self._memory.put("", event.session)
        elif connection.peer_closed and not self._unheard:
            self._unheard = True
            if connection.trailing:
                self._put_back(connection.trailing)

    def _cannot_wait(self, connection: Connection, question: Question) -> None:
        """An answer that has to be awaited (a signer of a native configuration), where nobody can."""
        error = Misuse(f"{question.name} has to be awaited, which an ssl object cannot: use a function, or minitls' own transports")
        connection.answer_error(question, error)

    def _translated(self, error: TLSError) -> TLSError:
        return errors.translate(error, self.server_hostname)

    def _raise_error(self, connection: Connection) -> None:
        """What ended the connection, if anything has."""
        error = connection.error
        if error is None:
            return
        self._unheard = False
        self._flush_last_words()
        if isinstance(error, TLSError):
            raise self._translated(error) from error
        raise error

    # data -----------------------------------------------------------------------------------------------------------------

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        """At most ``size`` bytes, as soon as there are any: as many as there are, also of several records."""
        if buffer is not None:
            return self._read_into(size, buffer)
        if size <= 0:
            if size < 0:
                raise ValueError("size should not be negative")
            return b""
        ready = self._ready
        if not ready and not self._await_data(size):
            return b""
        data = ready.popleft()
        if len(data) > size:
            view = memoryview(data)
            ready.appendleft(view[size:])
            data = view[:size]
        return data if type(data) is bytes else bytes(data)

    def _read_into(self, size: int, buffer: Any) -> int:
        with memoryview(buffer) as given, given.cast("B") as target:
            room = len(target)
            if not 0 < size <= room:
                size = room
            ready = self._ready
            if not size or (not ready and not self._await_data(size)):
                return 0
            done = 0
            while ready and done < size:
                data = ready.popleft()
                count = min(len(data), size - done)
                target[done : done + count] = data[:count] if count < len(data) else data
                if count < len(data):
                    ready.appendleft(memoryview(data)[count:])
                done += count
            return done

    def _await_data(self, wanted: int) -> bool:
        """Receive until there is data; False where there will be none: the peer has closed, and we have not."""
        if not self._established:
            self.do_handshake()
        connection = self._connection
        assert connection is not None
        while not self._ready:
            if connection.error is not None:
                self._raise_error(connection)
            if connection.peer_closed or self._ended:
                self._unheard = False
                if connection.write_closed:
                    raise errors.zero_return()
                return False
            self._receive(wanted)
        return True

    def _check_writable(self) -> Connection:
        if not self._established:
            self.do_handshake()
        connection = self._connection
        assert connection is not None
        if connection.write_closed:
            self._raise_error(connection)
            raise errors.protocol_is_shutdown()
        return connection

    def pending(self) -> int:
        return sum(map(len, self._ready)) or int(self._unheard)

    def shutdown(self) -> Any:
        """Send close_notify, and wait for the peer's.  Gives the owner, which may go on without TLS."""
        self._send_close()
        self._await_close()
        return self._owner()

    def _send_close(self) -> None:
        if not self._established:
            raise errors.shutdown_while_in_init()
        connection = self._connection
        assert connection is not None
        with self._lock:
            connection.close()
        self._raise_error(connection)
        self._flush()

    def _await_close(self) -> None:
        connection = self._connection
        assert connection is not None
        while not connection.peer_closed and not self._ended:
            if self._ready:
                raise errors.application_data_after_close_notify()
            self._raise_error(connection)
            self._receive(0)

    # what there is to know ------------------------------------------------------------------------------------------------

    @property
    def owner(self) -> Any:
        return self._owner()

    @property
    def context(self) -> SSLContext:
        return self._context

    @context.setter
    def context(self, context: SSLContext) -> None:
        from minitls.ssl.context import SSLContext

        if not isinstance(context, SSLContext):
            raise TypeError("The value must be a SSLContext")
        self._context = context

    @property
    def session(self) -> SSLSession | None:
        if self.server_side or self._memory.latest is None:
            return None
        return SSLSession(self._memory.latest, self._memory.identity, self._context)

    @session.setter
    def session(self, session: SSLSession) -> None:
        if not isinstance(session, SSLSession):
            raise TypeError("Value is not a SSLSession.")
        if session.context is not self._context:
            raise ValueError("Session refers to a different SSLContext.")
        if self.server_side:
            raise ValueError("Cannot set session for server-side SSLSocket.")
        if self._established:
            raise ValueError("Cannot set session after handshake.")
        self._memory.latest, self._memory.identity = session.inner, session.id

    @property
    def _info(self) -> ConnectionInfo:
        assert self._connection is not None
        return self._connection.info

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        """On a server: what the client offered, and we have."""
        if not self._established or not self.server_side:
            return None
        ours = self._context._config(True).policy.codes.cipher_suites
        return [ciphers.cipher_tuple(code) for code in self._info.client_hello.cipher_suites if code in ours]

    def selected_npn_protocol(self) -> None:
        return None

    def verify_client_post_handshake(self) -> None:
        """Ask the client for its certificate; the answer comes before or with its next data (RFC 8446 section 4.6.2)."""
        connection = self._connection
        if not isinstance(connection, ServerConnection) or not self._established:
            raise errors.made("not_server" if not self.server_side else "still_in_init")
        mode = self._context.verify_mode
        if connection.info.version != "TLSv1.3":
            raise errors.made("wrong_ssl_version")
        try:
            with self._lock:
                connection.request_client_certificate(required=mode == ssl.CERT_REQUIRED)
        except Misuse as error:
            raise errors.made("extension_not_received") from error
        self._flush()


def _check_role(context: SSLContext, server_side: bool) -> None:
    protocol = context.protocol
    if server_side and protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ssl.SSLError(0, "Cannot create a server socket with a PROTOCOL_TLS_CLIENT context")
    if not server_side and protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ssl.SSLError(0, "Cannot create a client socket with a PROTOCOL_TLS_SERVER context")


def _check_hostname(name: str | None) -> None:
    if name is None:
        return
    if not name or name.startswith("."):
        raise ValueError("server_hostname cannot be an empty string or start with a leading dot.")
    if "\0" in name:
        raise TypeError("embedded null character")


def _unraisable(error: BaseException, where: Any) -> None:
    """Report as Python does what happens where nobody can catch it."""
    told = SimpleNamespace(exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__, err_msg=None, object=where)
    sys.unraisablehook(told)
