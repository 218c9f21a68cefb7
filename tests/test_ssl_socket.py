"""The drop-in's SSLSocket: blocking, with timeouts, non-blocking, and used by several threads."""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import minitls.ssl as ours
from tests.dropin import HOST, VERSIONS, Contexts, Wire, contexts, files, pairs

_ = (contexts, files)  # fixtures

Pair = tuple[str, str]
LIMIT = 20


@pytest.fixture(params=pairs())
def pair(request: pytest.FixtureRequest) -> Pair:
    made: Pair = request.param
    return made


class Running:
    """A thread, what it gave, and what it raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result


@contextlib.contextmanager
def connected(client: Any, server: Any, **how: Any) -> Iterator[tuple[Any, Any]]:
    """Both ends of a connection, after the handshake."""
    a, b = socket.socketpair()
    a.settimeout(LIMIT)
    b.settimeout(LIMIT)
    accepting = Running(lambda: server.wrap_socket(b, server_side=True))
    with client.wrap_socket(a, server_hostname=HOST, **how) as left, accepting.result() as right:
        yield left, right


@contextlib.contextmanager
def pair_of(contexts: Contexts, pair: Pair, **how: Any) -> Iterator[tuple[Any, Any]]:
    with connected(contexts.client(pair[0], **how), contexts.server(pair[1])) as ends:
        yield ends


def exactly(sock: Any, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = sock.recv(size - len(got))
        assert part, "the end came early"
        got += part
    return got


@pytest.mark.parametrize("version", VERSIONS)
def test_data(contexts: Contexts, pair: Pair, version: str) -> None:
    with pair_of(contexts, pair, version=version) as (client, server):
        assert client.version() == server.version() == f"TLSv{version}"
        for size in (1, 16384, 16385, 1_000_000):
            data = os.urandom(size)
            for source, target in ((client, server), (server, client)):
                reading = Running(lambda target=target, size=size: exactly(target, size))
                source.sendall(data)
                assert reading.result() == data


def test_listening_and_accepting(contexts: Contexts, pair: Pair) -> None:
    with contexts.server(pair[1]).wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:

        def serve() -> bytes:
            connection, address = listener.accept()
            with connection:
                assert address[0] == "127.0.0.1"
                data: bytes = connection.recv(100)
                connection.sendall(data.upper())
                connection.unwrap().close()
                return data

        serving = Running(serve)
        with contexts.client(pair[0]).wrap_socket(socket.socket(), server_hostname=HOST) as client:
            client.connect(listener.getsockname())
            with pytest.raises(ValueError, match="already-connected"):
                client.connect(listener.getsockname())
            client.sendall(b"hello")
            assert client.recv(100) == b"HELLO"
            assert client.recv(100) == b""
            client.unwrap()
        assert serving.result() == b"hello"


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_connect_ex(contexts: Contexts, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with contexts.client(kind).wrap_socket(socket.socket(), server_hostname=HOST) as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0
        with pytest.raises(OSError, match=r"."):
            client.do_handshake()
        with pytest.raises(OSError, match=r"."):
            client.getpeercert()


def test_files_of_sockets(contexts: Contexts, pair: Pair) -> None:
    with pair_of(contexts, pair) as (client, server):
        server.sendall(b"one\ntwo\n" + b"x" * 50_000)
        with client.makefile("rb") as file:
            assert file.readline() == b"one\n"
            assert file.readline() == b"two\n"
            assert file.read(50_000) == b"x" * 50_000
        with client.makefile("wb") as file:
            file.write(b"y" * 1000)
        assert exactly(server, 1000) == b"y" * 1000
        assert client.sendfile(io.BytesIO(b"z" * 30_000)) == 30_000
        assert exactly(server, 30_000) == b"z" * 30_000


def test_recv_into(contexts: Contexts, pair: Pair) -> None:
    with pair_of(contexts, pair) as (client, server):
        server.sendall(b"0123456789")
        buffer = bytearray(4)
        assert client.recv_into(buffer) == 4
        assert client.recv_into(buffer, 2) == 2
        assert bytes(buffer) == b"4523"
        assert client.read(2) == b"67"
        assert client.pending() == 2
        assert client.recv(100) == b"89"


def test_what_a_wrapped_socket_does_not_do(contexts: Contexts, pair: Pair) -> None:
    with pair_of(contexts, pair) as (client, _server):
        for call in (
            lambda: client.recv(1, 1),
            lambda: client.recv_into(bytearray(1), 1, 1),
            lambda: client.send(b"", 1),
            lambda: client.sendall(b"", 1),
            lambda: client.recvfrom(1),
            lambda: client.recvfrom_into(bytearray(1)),
            lambda: client.sendto(b"", ("", 0)),
        ):
            with pytest.raises(ValueError, match="not allowed"):
                call()
        for call in (client.dup, lambda: client.recvmsg(1), lambda: client.recvmsg_into([]), lambda: client.sendmsg([])):
            with pytest.raises(NotImplementedError):
                call()


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_what_cannot_be_wrapped(contexts: Contexts, kind: str) -> None:
    client, server = contexts.client(kind), contexts.server(kind)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(NotImplementedError):
        client.wrap_socket(datagrams, server_hostname=HOST)
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="check_hostname requires server_hostname"):
            client.wrap_socket(sock)
        with pytest.raises(ValueError, match="client mode"):
            server.wrap_socket(sock, server_side=True, server_hostname=HOST)
        with pytest.raises(ValueError, match="client mode"):
            server.wrap_socket(sock, server_side=True, session=object())
    if kind == "ours":  # before Python 3.13, the standard library leaves it open
        with socket.socket() as sock, pytest.raises(UnicodeError):
            client.wrap_socket(sock, server_hostname="a" * 70 + ".example")
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        with pytest.raises(ValueError, match="do_handshake_on_connect should not be specified"):
            client.wrap_socket(a, server_hostname=HOST)


# the end ----------------------------------------------------------------------------------------------------------------


def test_unwrap_gives_a_plain_socket(contexts: Contexts, pair: Pair) -> None:
    with pair_of(contexts, pair) as (client, server):
        unwrapping = Running(server.unwrap)
        plain = client.unwrap()
        other = unwrapping.result()
        assert plain.fileno() == client.fileno()
        plain.sendall(b"in the clear")
        assert other.recv(100) == b"in the clear"
        assert client.version() is None
        with pytest.raises(ValueError, match="closed or unwrapped"):
            client.read(1)
        with pytest.raises(ValueError, match="closed or unwrapped"):
            client.write(b"x")
        with pytest.raises(ValueError, match="No SSL wrapper"):
            client.unwrap()


def test_plaintext_right_behind_the_end_of_tls(contexts: Contexts) -> None:
    """A large read takes it from the kernel with the close_notify; it is there for who goes on without TLS."""
    a, b = socket.socketpair()
    with contexts.client("ours").wrap_socket(a, server_hostname=HOST, do_handshake_on_connect=False) as client, b:
        wire = Wire(contexts.client("ours"), contexts.server("ours"))
        b.setblocking(False)
        client.setblocking(False)
        for _ in range(20):
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            with contextlib.suppress(BlockingIOError):
                wire.to_server.write(b.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                wire.server.do_handshake()
            b.sendall(wire.from_server.read())
        with contextlib.suppress(ssl.SSLWantReadError):
            wire.server.unwrap()
        b.sendall(wire.from_server.read() + b"in the clear")
        assert client.recv(65536) == b""
        client.unwrap()
        buffer = bytearray(3)
        assert client.recv_into(buffer) == 3
        assert bytes(buffer) + client.recv(100) == b"in the clear"
        b.sendall(b" and more")
        assert client.recv(100) == b" and more"


def test_a_ragged_end(contexts: Contexts, pair: Pair) -> None:
    with pair_of(contexts, pair) as (client, server):
        server.shutdown(socket.SHUT_RDWR)
        assert client.recv(10) == b""
        assert client.recv_into(bytearray(10)) == 0
    with connected(contexts.client(pair[0]), contexts.server(pair[1]), suppress_ragged_eofs=False) as (client, server):
        server.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ssl.SSLEOFError):
            client.recv(10)


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_a_failed_handshake_closes_the_socket(contexts: Contexts, kind: str) -> None:
    a, b = socket.socketpair()
    with a, b:
        accepting = Running(lambda: contexts.server("ours").wrap_socket(b, server_side=True))
        with pytest.raises(ssl.SSLCertVerificationError):
            contexts.client(kind).wrap_socket(a, server_hostname="wrong.example")
        assert a.fileno() == -1
        with pytest.raises(ssl.SSLError) as caught:
            accepting.result()
        assert caught.value.reason == "SSLV3_ALERT_BAD_CERTIFICATE"


def test_plaintext_from_before_is_refused(contexts: Contexts) -> None:
    """CVE-2023-40217: who closed before the handshake must not have left data that passes for TLS's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as rude:
            rude.sendall(b"injected")
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted, _ = listener.accept()
            time.sleep(0.05)
            rude.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        with accepted, contextlib.suppress(OSError):
            wrapped = contexts.server("ours").wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            assert wrapped.recv(100) != b"injected"


# waiting ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_timeouts(contexts: Contexts, kind: str) -> None:
    with pair_of(contexts, (kind, "ours")) as (client, server):
        client.settimeout(0.1)
        with pytest.raises(TimeoutError, match="timed out"):
            client.recv(1)
        server.sendall(b"late")
        assert client.recv(10) == b"late"
        with pytest.raises(TimeoutError, match="timed out"):
            client.sendall(bytes(20_000_000))
        assert client.gettimeout() == 0.1


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_a_handshake_that_takes_too_long(contexts: Contexts, kind: str) -> None:
    a, b = socket.socketpair()
    with a, b:
        a.settimeout(0.2)
        with pytest.raises(TimeoutError, match="handshake operation timed out"):
            contexts.client(kind).wrap_socket(a, server_hostname=HOST)


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_a_peer_that_drips_does_not_hold_us(contexts: Contexts, kind: str) -> None:
    """The timeout is for the whole handshake, and for a whole read."""
    a, b = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            for byte in b"\x16\x03\x03\x40\x00" + bytes(100):
                b.sendall(bytes((byte,)))
                if stop.wait(0.1):
                    return

    with a, b:
        a.settimeout(0.5)
        dripping = Running(drip)
        started = time.monotonic()
        with pytest.raises((TimeoutError, ssl.SSLError)):
            contexts.client(kind).wrap_socket(a, server_hostname=HOST)
        assert time.monotonic() - started < 3
        stop.set()
        dripping.result()


def test_not_blocking(contexts: Contexts, pair: Pair) -> None:
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    client = contexts.client(pair[0]).wrap_socket(a, server_hostname=HOST, do_handshake_on_connect=False)
    server = contexts.server(pair[1]).wrap_socket(b, server_side=True, do_handshake_on_connect=False)
    with client, server:

        def drive(sock: Any, step: Callable[[], Any]) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    select.select([sock], [], [], LIMIT)
                except ssl.SSLWantWriteError:
                    select.select([], [sock], [], LIMIT)

        shaking = Running(lambda: drive(server, server.do_handshake))
        drive(client, client.do_handshake)
        shaking.result()
        with pytest.raises(ssl.SSLWantReadError):
            server.recv(1)
        data = os.urandom(3_000_000)

        def send() -> None:
            view = memoryview(data)
            while view:
                view = view[drive(client, lambda view=view: client.send(view)) :]

        sending, got = Running(send), b""
        while len(got) < len(data):
            got += drive(server, lambda: server.recv(16384))
        sending.result()
        assert got == data


def test_select_sees_what_is_left(contexts: Contexts) -> None:
    """A read that was filled leaves the rest to the kernel, or tells of it: who waits with select never waits for what we have."""
    with pair_of(contexts, ("ours", "ours")) as (client, server):
        for size, step in ((300_000, 16384), (300_000, 65536), (50_000, 1000), (100, 7)):
            sending = Running(lambda size=size: server.sendall(bytes(size)))
            left = size
            while left:
                if not client.pending():
                    assert select.select([client], [], [], LIMIT)[0]
                left -= len(client.recv(step))
            sending.result()


# threads ----------------------------------------------------------------------------------------------------------------


def test_one_reads_while_others_write(contexts: Contexts) -> None:
    """Two writers and a reader on each side, all at once: every record arrives whole."""
    with pair_of(contexts, ("ours", "ours")) as (client, server):

        def write(sock: Any, mark: bytes) -> None:
            for _ in range(300):
                sock.sendall(mark * 100)

        ends = ((client, b"a"), (client, b"b"), (server, b"c"), (server, b"d"))
        reading = [Running(lambda sock=sock: exactly(sock, 60_000)) for sock in (client, server)]
        writing = [Running(lambda sock=sock, mark=mark: write(sock, mark)) for sock, mark in ends]
        for each in writing:
            each.result()
        for each, marks in zip(reading, (b"cd", b"ab"), strict=True):
            got = each.result()
            assert [got.count(mark) for mark in marks] == [30_000, 30_000]


def test_both_send_much_at_once(contexts: Contexts) -> None:
    """Neither waits for the other's writes before it reads."""
    with pair_of(contexts, ("ours", "ours")) as (client, server):
        size = 8_000_000
        reading = [Running(lambda sock=sock: len(exactly(sock, size))) for sock in (client, server)]
        writing = [Running(lambda sock=sock: sock.sendall(bytes(size))) for sock in (client, server)]
        for each in (*reading, *writing):
            assert each.result() in (size, None)


def test_keys_are_updated_while_others_write(contexts: Contexts) -> None:
    """A reader that has to answer a KeyUpdate does not cut into a writer's records."""
    with pair_of(contexts, ("ours", "ours")) as (client, server):
        size = 4_000_000
        channel = server._sslobj

        def update() -> None:
            for _ in range(20):
                with channel._lock:
                    channel._connection.update_keys(request_peer=True)
                server.sendall(b"x" * 100)

        jobs = [
            Running(lambda: len(exactly(client, 2000))),
            Running(lambda: len(exactly(server, size))),
            Running(lambda: client.sendall(bytes(size))),
            Running(update),
        ]
        assert [job.result() for job in jobs] == [2000, size, None, None]


def test_unwrapping_while_another_reads(contexts: Contexts) -> None:
    with pair_of(contexts, ("ours", "ours")) as (client, server):
        reading = Running(lambda: client.recv(10))
        time.sleep(0.05)
        unwrapping = Running(client.unwrap)
        assert server.recv(10) == b""
        server.unwrap()
        assert unwrapping.result() is client
        with pytest.raises(ssl.SSLZeroReturnError):
            reading.result()


# other ------------------------------------------------------------------------------------------------------------------


def test_sessions(contexts: Contexts, pair: Pair) -> None:
    client, server = contexts.client(pair[0]), contexts.server(pair[1])
    with connected(client, server) as (left, right):
        right.sendall(b"x")
        assert left.recv(1) == b"x"
        session = left.session
        assert not left.session_reused
    with connected(client, server, session=session) as (left, _right):
        assert left.session_reused


def test_what_there_is_to_know(contexts: Contexts, pair: Pair) -> None:
    with connected(contexts.client(pair[0], alpn=["x"]), contexts.server(pair[1], alpn=["x"])) as (client, server):
        assert client.getpeercert()["subjectAltName"][0] == ("DNS", HOST)
        assert client.cipher() == server.cipher()
        assert client.cipher() in server.shared_ciphers()
        assert client.selected_alpn_protocol() == client._sslobj.selected_alpn_protocol() == "x"
        assert client.compression() is None
        assert (client.server_side, server.server_side, client.server_hostname) == (False, True, HOST)
        assert isinstance(client, ssl.SSLSocket)
        with pytest.raises(ValueError, match="not implemented"):
            client.get_channel_binding("tls-magic")


def test_sni_callback(contexts: Contexts) -> None:
    other, server = contexts.server("ours", alpn=["other"]), contexts.server("ours")

    def choose(sock: Any, name: str, context: Any) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        sock.context = other

    server.sni_callback = choose
    with connected(contexts.client("ours", alpn=["other"]), server) as (client, accepted):
        assert client.selected_alpn_protocol() == "other"
        assert accepted.context is other


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_get_server_certificate(contexts: Contexts, kind: str) -> None:
    module = {"ours": ours, "stdlib": ssl}[kind]
    cert = contexts.files.issue("certificate")
    with contexts.server("ours", cert=cert).wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:
        accepting = Running(listener.accept)
        pem = module.get_server_certificate(listener.getsockname(), timeout=LIMIT)
        accepting.result()[0].close()
    with open(cert[0]) as file:
        assert pem.strip() in file.read()
