"""The standard library's HTTP, and what is built on it: urllib.request, http.client, urllib3, requests; with http.server."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from interop.applications.frame import HOST, LARGE, PATIENCE, Contexts, library
from tests.conftest import NAME


class Handler(BaseHTTPRequestHandler):
    """Answers with the request's body, and with the version of TLS."""

    protocol_version = "HTTP/1.1"
    connection: ssl.SSLSocket
    timeout = PATIENCE

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("TLS", str(self.connection.version()))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.headers["Content-Length"] = "0"
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a handshake that fails is its client's to tell


@contextmanager
def served(context: ssl.SSLContext) -> Iterator[str]:
    """A web server in threads, its listening socket wrapped as the documentation of http.server has it."""
    server = Server((HOST, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://{NAME}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


def fetched(context: ssl.SSLContext, port: int, body: bytes) -> bytes:
    """What urllib.request is answered."""
    with urllib.request.urlopen(f"https://{NAME}:{port}/", body, context=context, timeout=PATIENCE) as response:
        return bytes(response.read())


BODIES = b"", b"hello", LARGE


def test_urllib_request(contexts: Contexts) -> None:
    context = contexts.client()
    with served(contexts.server()) as url:
        for body in BODIES:
            with urllib.request.urlopen(
                urllib.request.Request(url, body, method="POST"), context=context, timeout=PATIENCE
            ) as response:
                assert response.read() == body
                assert response.headers["TLS"] == contexts.version_name


def test_http_client(contexts: Contexts) -> None:
    """One connection for several requests, and what its socket says."""
    with served(contexts.server()) as url:
        port = int(url.rpartition(":")[2][:-1])
        connection = http.client.HTTPSConnection(NAME, port, context=contexts.client(), timeout=PATIENCE)
        for body in BODIES:
            connection.request("POST", "/", body)
            assert connection.getresponse().read() == body
        assert type(connection.sock) is contexts.client_module.SSLSocket
        assert connection.sock.version() == contexts.version_name
        assert ("DNS", NAME) in connection.sock.getpeercert()["subjectAltName"]
        connection.close()


def test_urllib_says_what_is_wrong(contexts: Contexts) -> None:
    with served(contexts.server(used=False)) as url, pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(url, context=contexts.distrusting(), timeout=PATIENCE)
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)
    assert "certificate verify failed: unable to get local issuer certificate" in str(caught.value)


def test_urllib3(contexts: Contexts) -> None:
    urllib3 = library("urllib3")
    with served(contexts.server()) as url, urllib3.PoolManager(ssl_context=contexts.client(), timeout=PATIENCE) as pool:
        for body in BODIES:
            response = pool.request("POST", url, body=body)
            assert response.data == body
            assert response.headers["TLS"] == contexts.version_name


def test_urllib3_fingerprint(contexts: Contexts) -> None:
    """A pinned certificate: of the right one, and of another."""
    urllib3 = library("urllib3")
    der = x509.load_pem_x509_certificate(contexts.files.server.read_bytes()).public_bytes(Encoding.DER)
    with served(contexts.server()) as url:
        good = hashlib.sha256(der).hexdigest()
        with urllib3.PoolManager(ssl_context=contexts.client(), assert_fingerprint=good, timeout=PATIENCE) as pool:
            assert pool.request("GET", url).status == 200
        with (
            urllib3.PoolManager(
                ssl_context=contexts.client(), assert_fingerprint="00" * 32, timeout=PATIENCE, retries=False
            ) as pool,
            pytest.raises(urllib3.exceptions.SSLError, match="Fingerprints did not match"),
        ):
            pool.request("GET", url)


def test_requests(contexts: Contexts) -> None:
    requests = library("requests")
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **options)

    context = contexts.client()
    with served(contexts.server()) as url, requests.Session() as session:
        session.mount("https://", Adapter())
        session.verify = str(contexts.files.ca)
        for body in BODIES:
            response = session.post(url, data=body, timeout=PATIENCE)
            assert response.content == body
            assert response.headers["TLS"] == contexts.version_name


def test_requests_says_what_is_wrong(contexts: Contexts) -> None:
    requests = library("requests")
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **options)

    context = contexts.distrusting()
    with served(contexts.server(used=False)) as url, requests.Session() as session:
        session.mount("https://", Adapter())
        session.verify = str(contexts.files.strangers)
        with pytest.raises(requests.exceptions.SSLError, match="certificate verify failed: unable to get local issuer certificate"):
            session.get(url, timeout=PATIENCE)
