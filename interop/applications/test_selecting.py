"""What waits with select(): Tornado, Werkzeug, urllib3's idle connections.

OpenSSL takes one record at a time out of the kernel's buffer.  Who selects on the socket relies on that: what has come and was not
yet given has to be seen there, or in ``pending()``.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from interop.applications.frame import HOST, LARGE, PATIENCE, Contexts, library, patience
from interop.applications.test_http import fetched
from tests.conftest import NAME


@contextmanager
def connected(contexts: Contexts) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """A client's and a server's socket after their handshake."""
    with socket.create_server((HOST, 0)) as listening:
        got: list[ssl.SSLSocket] = []
        context = contexts.server()

        def accept() -> None:
            got.append(context.wrap_socket(listening.accept()[0], server_side=True))

        thread = threading.Thread(target=accept)
        thread.start()
        with socket.create_connection(listening.getsockname()) as plain:
            plain.settimeout(PATIENCE)
            with contexts.client().wrap_socket(plain, server_hostname=NAME) as client:
                thread.join(PATIENCE)
                with got[0] as server:
                    server.settimeout(PATIENCE)
                    yield client, server


def to_be_read(sock: ssl.SSLSocket, size: int) -> bool:
    """Who reads as much as a record may have need not ask for ``pending()``: nothing is left of one."""
    return (size < 16384 and sock.pending() > 0) or bool(select.select([sock], [], [], 1)[0])


def arrived(sock: ssl.SSLSocket, size: int) -> None:
    """At least so many octets are in the kernel's buffer."""
    with socket.socket(fileno=os.dup(sock.fileno())) as plain:
        for _ in range(int(PATIENCE * 1000)):
            with suppress(BlockingIOError):
                if len(plain.recv(2**20, socket.MSG_PEEK)) >= size:
                    return
            threading.Event().wait(0.001)
    raise AssertionError(f"{size} octets have not come")


WRITES = {"one": [b"x"], "two": [b"x", b"y"], "three": [b"x" * 1000, b"y" * 3000, b"z"], "several records": [b"x" * 40_000]}


@pytest.mark.parametrize("size", [1, 1024, 16384, 65536])
@pytest.mark.parametrize(
    "sent", [[b"x"], [b"x", b"y"], [b"x" * 1000, b"y" * 3000, b"z"], [b"x" * 40_000]], ids=lambda s: f"{len(s)} writes"
)
def test_everything_is_seen(contexts: Contexts, sent: list[bytes], size: int) -> None:
    """Data and the end of it arrive together; after each read, select() or pending() tells that there is more."""
    with connected(contexts) as (client, server):
        client.setblocking(False)
        for data in sent:
            server.sendall(data)
        closing = threading.Thread(target=_unwrap, args=(server,))
        closing.start()
        arrived(client, sum(map(len, sent)) + 24)
        received = bytearray()
        while to_be_read(client, size):
            try:
                data = client.recv(size)
            except ssl.SSLWantReadError:
                continue
            if not data:
                break
            received += data
        else:
            pytest.fail(f"nobody tells that there is more after {len(received)} bytes")
        assert received == b"".join(sent)
        client.close()
        closing.join(PATIENCE)


def _unwrap(sock: ssl.SSLSocket) -> None:
    """The peer may not answer."""
    with suppress(OSError):
        sock.unwrap()


def test_urllib3_sees_that_an_idle_connection_was_closed(contexts: Contexts) -> None:
    """Between two requests the server closes the connection: the second goes over another, and needs no retry."""
    urllib3 = library("urllib3")
    accepted: list[Any] = []

    def answer(connection: ssl.SSLSocket) -> None:
        accepted.append(connection)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        _unwrap(connection)
        connection.close()

    with (
        serving(contexts.server(), answer) as port,
        urllib3.PoolManager(ssl_context=contexts.client(), retries=False, timeout=PATIENCE) as pool,
    ):
        for _ in range(3):
            assert pool.request("GET", f"https://{NAME}:{port}/").data == b"hello"
            threading.Event().wait(0.05)
    assert len(accepted) == 3


@contextmanager
def serving(context: ssl.SSLContext, answer: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """Each connection in a thread."""
    listening = socket.create_server((HOST, 0))

    def meet(plain: socket.socket) -> None:
        answer(context.wrap_socket(plain, server_side=True))

    def accept() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            plain.settimeout(PATIENCE)
            threading.Thread(target=meet, args=(plain,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(PATIENCE)


async def test_tornado(contexts: Contexts) -> None:
    """Its streams drive an SSLSocket that does not block."""
    library("tornado")
    from tornado.httpclient import HTTPRequest
    from tornado.httpserver import HTTPServer
    from tornado.simple_httpclient import SimpleAsyncHTTPClient
    from tornado.web import Application, RequestHandler

    class Echo(RequestHandler):
        def post(self) -> None:
            self.write(self.request.body)

    async with patience():
        server = HTTPServer(Application([("/", Echo)]), ssl_options=contexts.server(), max_buffer_size=2**24)
        server.listen(0, HOST)
        port = next(iter(server._sockets.values())).getsockname()[1]
        client = SimpleAsyncHTTPClient(force_instance=True, max_buffer_size=2**24)
        context = contexts.client()
        for body in b"", b"hello", LARGE:
            request = HTTPRequest(f"https://{NAME}:{port}/", "POST", {"Content-Type": "x/y"}, body=body, ssl_options=context)
            answer = await client.fetch(request)
            assert answer.body == body
        client.close()
        server.stop()
        await server.close_all_connections()


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Length", str(len(body))), ("Scheme", environ["wsgi.url_scheme"])])
    return [body]


def test_werkzeug(contexts: Contexts) -> None:
    """Flask's development server, too."""
    library("werkzeug")
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *args: Any) -> None:
            pass

    server = make_server(HOST, 0, wsgi, threaded=True, request_handler=Quiet, ssl_context=contexts.server())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for body in b"hello", LARGE:
            assert fetched(contexts.client(), server.server_port, body) == body
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()
