"""serve, get and connect against each other over loopback, and serve against openssl's client."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import minitls
from minitls.certificates.sct import Timestamp
from minitls.cli import main
from minitls.cli.connect import _timestamps, agreed
from minitls.cli.files import content_type
from minitls.cli.get import host_header, parts
from minitls.cli.reach import target
from minitls.testing import memory_pair
from tests.conftest import Pki
from tests.running import LIMIT, Serving, run, serving


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files to serve, and one beside the folder."""
    root = tmp_path_factory.mktemp("served")
    files = root / "public"
    (files / "sub" / "deeper").mkdir(parents=True)
    (files / "empty").write_bytes(b"")
    (files / "hello.txt").write_text("hello\n")
    (files / "page.html").write_text("<p>page")
    (files / "archive.tar.gz").write_bytes(b"\x1f\x8b")
    (files / "large.bin").write_bytes(os.urandom(3 * 2**20 + 1))
    (files / "sub" / "index.html").write_text("<p>the index")
    (files / "sub" / "deeper" / "<script>.txt").write_text("odd name")
    (files / ".hidden").write_text("hidden")
    (files / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (root / "outside.txt").write_text("outside")
    (files / "way-out").symlink_to(root / "outside.txt")
    (files / "circle").symlink_to(files / "circle")
    os.mkfifo(files / "pipe")
    return files


@pytest.fixture(scope="module")
def files(folder: Path) -> Iterator[Serving]:
    with serving(str(folder), "--dev", cwd=folder.parent) as server:
        yield server


@pytest.fixture(scope="module")
def www(folder: Path) -> Iterator[Serving]:
    with serving("--www", "--dev", cwd=folder.parent) as server:
        yield server


@pytest.fixture
def get(files: Serving, tmp_path: Path) -> Callable[..., tuple[int, bytes]]:
    """``get(path)``: the exit status and the body."""

    def ask(path: str, *options: str) -> tuple[int, bytes]:
        out = tmp_path / "body"
        status = main(["get", f"https://{files.address}{path}", "--ca", files.ca, "-o", str(out), *options])
        return status, out.read_bytes() if out.exists() else b""

    return ask


# files ------------------------------------------------------------------------------------------------------------------


def test_a_file(get: Callable[..., tuple[int, bytes]], files: Serving) -> None:
    assert get("/hello.txt") == (0, b"hello\n")
    assert get("/hello.txt?query") == (0, b"hello\n")
    assert get("//./hello.txt") == (0, b"hello\n")
    assert get("/empty") == (0, b"")
    files.wait_for(r'127\.0\.0\.1:\d+ "GET /hello.txt HTTP/1.1" 200 6 TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768')


def test_a_large_file(get: Callable[..., tuple[int, bytes]], folder: Path) -> None:
    status, body = get("/large.bin")
    assert status == 0
    assert hashlib.sha256(body).digest() == hashlib.sha256((folder / "large.bin").read_bytes()).digest()


def test_folders(get: Callable[..., tuple[int, bytes]], capsys: pytest.CaptureFixture[str]) -> None:
    assert get("/sub/") == (0, b"<p>the index")
    listing = get("/")[1].decode()
    assert "hello.txt" in listing
    assert ".hidden" not in listing
    odd = get("/sub/deeper/")[1].decode()
    assert "%3Cscript%3E.txt" in odd
    assert "<script" not in odd
    assert get("/sub/deeper/%3Cscript%3E.txt") == (0, b"odd name")
    assert get("/sub") == (0, b"<p>the index")
    assert get("/sub", "--max-redirects", "0")[0] == 0
    assert "HTTP 301" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/../outside.txt", 404),
        ("/%2e%2e/outside.txt", 404),
        ("/sub/..%2f..%2foutside.txt", 404),
        ("/..%5coutside.txt", 404),
        ("/way-out", 404),
        ("/circle", 404),
        ("/pipe", 404),
        ("/.hidden", 404),
        ("/%00", 404),
        ("/%ff%fe", 404),
        ("/hello.txt/more", 404),
        (f"/{'a' * 5000}", 404),
        ("/key.pem", 403),
    ],
)
def test_what_is_not_served(
    path: str, status: int, get: Callable[..., tuple[int, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, body = get(path)
    assert code == 0  # as curl has it: the answer came
    assert body.startswith(str(status).encode())
    assert f"HTTP {status}" in capsys.readouterr().err


def test_content_types() -> None:
    assert content_type("a.txt") == "text/plain; charset=utf-8"
    assert content_type("a.png") == "image/png"
    assert content_type("a.tar.gz") == "application/octet-stream"
    assert content_type("a") == "application/octet-stream"


async def _raw(server: Serving, request: bytes) -> bytes:
    """What the server says to these bytes, up to its end."""
    config = minitls.ClientConfig(trust=minitls.TrustStore.from_files(server.ca))
    reader, writer = await minitls.open_connection("127.0.0.1", server.port, config=config, server_hostname="localhost")
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), LIMIT)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET /hello.txt HTTP/1.0\r\n\r\n", rb"^HTTP/1.1 200 .*\r\n\r\nhello\n$"),
        (b"GET /hello.txt HTTP/1.0\n\n", rb"^HTTP/1.1 200 .*\r\n\r\nhello\n$"),
        (b"HEAD /hello.txt HTTP/1.0\r\n\r\n", rb"^HTTP/1.1 200 .*content-length: 6\r\n.*\r\n\r\n$"),
        (b"POST /hello.txt HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc", rb"^HTTP/1.1 405 .*allow: GET, HEAD"),
        (b"GET /hello.txt HTTP/1.1\r\nhost: x\r\n\r\nGET /empty HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
         rb"^HTTP/1.1 200 .*hello\nHTTP/1.1 200 "),
        (b"nonsense\r\n\r\n", rb"^HTTP/1.1 400 "),
        (b"GET /\x1b HTTP/1.1\r\n\r\n", rb"^HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70000, rb"^HTTP/1.1 431 "),
        (b"POST / HTTP/1.0\r\ncontent-length: 2000000\r\n\r\n" + bytes(2000000), rb"^HTTP/1.1 413 "),
    ],
)  # fmt: skip
def test_http(request_: bytes, answer: bytes, files: Serving) -> None:
    assert re.search(answer, asyncio.run(_raw(files, request_)), re.DOTALL)


# the page ---------------------------------------------------------------------------------------------------------------


def test_www_shows_the_handshake(www: Serving, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run_it = ["get", f"https://{www.address}/", "--ca", www.ca, "--alpn", "http/1.1,<i>"]
    assert main(run_it) == 0
    page = capfdbinary.readouterr().out.decode()
    for part in (
        "X25519MLKEM768",
        "TLS_AES_128_GCM_SHA256",
        "localhost",
        "t13d",
        "ClientHello",
        "CertificateVerify",
        "What you offered",
        "&lt;i&gt;",
    ):
        assert part in page
    assert "<i>" not in page


def test_www_as_json(www: Serving, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["get", f"https://{www.address}/handshake.json", "--ca", www.ca]) == 0
    found = json.loads(capfdbinary.readouterr().out)
    assert found["role"] == "server"
    assert found["connection"]["server_name"] == "localhost"
    assert main(["get", f"https://{www.address}/other", "--ca", www.ca]) == 0
    assert capfdbinary.readouterr().out == b"404 Not Found\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_gets_the_page(www: Serving) -> None:
    command = ["openssl", "s_client", "-connect", www.address, "-CAfile", www.ca, "-servername", "localhost",
               "-verify_return_error", "-quiet", "-ign_eof"]  # fmt: skip
    done = subprocess.run(command, input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"HTTP/1.1 200 OK")
    assert b"Your handshake" in done.stdout


# echo, and talking ------------------------------------------------------------------------------------------------------


def test_echo_and_interactive(folder: Path) -> None:
    data = os.urandom(300_000)
    with serving("--echo", "--dev", cwd=folder.parent) as server:
        done = run("connect", "-i", server.address, "--ca", server.ca, stdin=data)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout == data
        assert b"verified: this is localhost" in done.stderr
        server.wait_for(r"echo 300,000 bytes")


def test_stdin_is_left_alone_without_i(files: Serving) -> None:
    read, write = os.pipe()
    try:
        process = subprocess.run(
            [*run_command(), "connect", files.address, "--ca", files.ca, "--summary"],
            stdin=read, capture_output=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        assert process.returncode == 0
        os.write(write, b"x")
        assert os.read(read, 1) == b"x"
    finally:
        os.close(read)
        os.close(write)


def run_command() -> tuple[str, ...]:
    from tests.running import MINITLS

    return MINITLS


# connect ----------------------------------------------------------------------------------------------------------------


def test_connect_says_what_was_agreed(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", files.address, "--ca", files.ca]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == "✔ verified: this is localhost, vouched for by minitls development CA"
    for part in ("X25519MLKEM768 (post-quantum)", "days left", "in the trust store", "1. Two computers find each other", "Goodbye"):
        assert part in " ".join(shown.split())
    assert re.search(r" time name \S+ ms, TCP \S+ ms .*TLS \S+ ms, ticket \+\S+ ms ", " ".join(shown.split()))


def test_the_times_of_tls12_and_of_the_whole_run(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    """TLS 1.2 has its ticket in the handshake; in the JSON a ticket has its time, which is that of its message."""
    assert main(["connect", files.address, "--ca", files.ca, "--tls", "1.2", "--summary"]) == 0
    assert re.search(r"TLS \d+\.\d+ ms with its ticket\n$", capsys.readouterr().out)
    assert main(["connect", files.address, "--ca", files.ca, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    messages = [each["at"] for each in found["trace"] if each.get("message") == "NewSessionTicket"]
    assert [each["at"] for each in found["tickets"]] == messages != []


def test_summary_trace_and_json(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["connect", files.address, "--ca", files.ca]
    assert main([*command, "--summary"]) == 0
    assert "Two computers" not in capsys.readouterr().out
    assert main([*command, "--trace"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("ClientHello") < shown.index("verified: this is localhost")
    assert main([*command, "--json", "--trace"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["connection"]["verified"] is True
    assert found["target"] == {"host": "localhost", "port": files.port}
    assert found["bytes"]["received"] > 1000
    assert found["tcp"]["connecting_seconds"] > 0
    assert [each["type"] for each in found["trace"]][-2:] == ["tcp_closed", "tcp_closed"]


def test_by_address(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", f"127.0.0.1:{files.port}", "--ca", files.ca, "--summary"]) == 0
    assert "this is 127.0.0.1" in capsys.readouterr().out


def test_untrusted_is_60_and_says_why(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", files.address]) == 60
    shown = capsys.readouterr()
    assert shown.err.startswith("minitls: ")
    assert "minitls development CA" in shown.err
    assert "--ca FILE" in shown.err.splitlines()[1]
    assert "not verified" in shown.out
    files.wait_for(r"the handshake failed: the peer sent the alert unknown_ca")


def test_another_name_is_60(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", files.address, "--ca", files.ca, "--sni", "other.example"]) == 60
    assert "other.example" in capsys.readouterr().err
    assert main(["get", f"https://{files.address}/", "--ca", files.ca, "--sni", "other.example"]) == 60


def test_json_of_a_refusal(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", files.address, "--json"]) == 60
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert found["error"]["reason"] == "unknown_ca"


def test_insecure_goes_on_and_says_so(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", files.address, "--insecure", "--summary"]) == 0
    assert capsys.readouterr().out.startswith("! NOT verified, as --insecure asks: ")
    assert main(["connect", files.address, "--insecure", "--require", "verified"]) == 1
    assert "the certificate was not verified" in capsys.readouterr().err


def test_requirements(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["connect", files.address, "--ca", files.ca, "--summary"]
    assert main([*command, "--alpn", "http/1.1", "--require", "pq,alpn,verified"]) == 0
    assert main([*command, "--groups", "x25519", "--require", "pq,alpn"]) == 1
    error = capsys.readouterr().err
    assert "x25519, which is not post-quantum" in error
    assert "no application protocol" in error
    assert main(["get", f"https://{files.address}/", "--ca", files.ca, "--groups", "x25519", "--require", "pq"]) == 1
    assert main([*command, "--require", "ech"]) == 1
    shown, error = capsys.readouterr()
    assert "none: localhost went in the clear" in shown
    assert "--require ech: none: localhost went in the clear" in error


def test_no_common_protocol_is_35(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", files.address, "--ca", files.ca, "--alpn", "nonsense"]) == 35
    assert "see minitls explain alert 120" in capsys.readouterr().err


def test_key_log_of_both(folder: Path, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "server", tmp_path / "client"
    with serving(str(folder), "--dev", "--key-log", str(theirs), cwd=folder.parent) as server:
        command = ["connect", server.address, "--ca", server.ca, "--key-log", str(ours), "--summary"]
        assert main(command) == 0
    assert sorted(ours.read_text().splitlines()) == sorted(theirs.read_text().splitlines())


# client certificates ----------------------------------------------------------------------------------------------------


def test_client_certificates(pki: Pki, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ca, cert, both = tmp_path / "client-ca.pem", tmp_path / "client.pem", tmp_path / "both.pem"
    client = pki.issue("client", client=True)
    ca.write_bytes(pki.authority.root_pem())
    cert.write_bytes(client.chain_pem())
    both.write_bytes(client.chain_pem() + client.key_pem())
    with serving(str(folder), "--dev", "--client-ca", str(ca), cwd=folder.parent) as server:
        command = ["connect", server.address, "--ca", server.ca]
        assert main([*command, "--cert", str(both)]) == 0
        shown = capsys.readouterr().out
        assert "our certificate (ecdsa_secp256r1_sha256)" in shown
        assert "The client shows who it is" in shown
        assert main(["get", f"https://{server.address}/hello.txt", "--ca", server.ca]) == 35
        assert "certificate_required" in capsys.readouterr().err
        assert main([*command, "--cert", str(both), "--cert", str(both)]) == 2
    with serving(str(folder), "--dev", "--client-ca", str(ca), "--request-client-cert", cwd=folder.parent) as server:
        assert main(["get", f"https://{server.address}/hello.txt", "--ca", server.ca, "-o", str(tmp_path / "out")]) == 0


# get --------------------------------------------------------------------------------------------------------------------


@contextmanager
def saying(pki: Pki, answer: bytes, *, truncated: bool = False) -> Iterator[int]:
    """An HTTPS server that says this to everybody; ``truncated``: and then cuts TCP, without close_notify."""
    ready, stop, ports = threading.Event(), threading.Event(), [0]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if truncated:
            await asyncio.sleep(0.1)
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.1)
            writer.transport.abort()
        else:
            writer.close()

    async def serve() -> None:
        server = await minitls.start_server(talk, "127.0.0.1", 0, config=pki.server_config(alpn=("http/1.1",)))
        async with server:
            ports[0] = server.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(LIMIT)
        yield ports[0]
    finally:
        stop.set()
        thread.join(LIMIT)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (HEAD + b"content-length: 5\r\n\r\nhello", b"hello"),
        (HEAD + b"content-length: 0\r\n\r\n", b""),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (HEAD + b"\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.0 500 Oh \x1b[31m\r\n\r\n", b""),
    ],
)
def test_get_reads_all_kinds_of_bodies(
    pki: Pki, answer: bytes, body: bytes, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.authority.root_pem())
    with saying(pki, answer) as port:
        status = main(["get", f"https://localhost:{port}/", "--ca", str(ca)])
    shown = capfdbinary.readouterr()
    assert (status, shown.out) == (0, body)
    assert b"\x1b" not in shown.err


@pytest.mark.parametrize(
    ("answer", "truncated", "sentence"),
    [
        (HEAD + b"content-length: 10\r\n\r\nhello", False, b"the answer is not whole"),
        (HEAD + b"content-length: 10\r\n\r\nhello", True, b"without close_notify"),
        (HEAD + b"\r\nno end", True, b"without close_notify"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhel", False, b"the answer is not whole"),
        (b"220 mail.example ESMTP\r\n", False, b"does not answer in HTTP/1.1"),
        (b"", False, b""),
    ],
)
def test_get_notices_what_is_missing(
    pki: Pki, answer: bytes, truncated: bool, sentence: bytes, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.authority.root_pem())
    with saying(pki, answer, truncated=truncated) as port:
        assert main(["get", f"https://localhost:{port}/", "--ca", str(ca)]) == 35
    assert sentence in capfdbinary.readouterr().err


def test_get_trace_and_json(files: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["get", f"{files.address}/hello.txt", "--ca", files.ca, "-o", str(out)]
    assert main([*command, "--trace", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["target"]["url"] == f"{files.address}/hello.txt"
    assert "{Finished}" in shown.err
    assert out.read_text() == "hello\n"
    assert main(["get", f"{files.address}/hello.txt", "--ca", files.ca, "-o", str(tmp_path)]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_urls() -> None:
    assert parts("example.com") == ("example.com", "/")
    assert parts("https://example.com:444/a b?ü#part") == ("example.com:444", "/a%20b?%C3%BC")
    assert host_header(target("bücher.example", 443)) == "xn--bcher-kva.example"
    assert host_header(target("[::1]:8443", 443)) == "[::1]:8443"


# serve ------------------------------------------------------------------------------------------------------------------


def test_serve_stops_gracefully(folder: Path) -> None:
    with serving(str(folder), "--dev", cwd=folder.parent) as server:
        config = minitls.ClientConfig(trust=minitls.TrustStore.from_files(server.ca))

        async def wait_while_it_stops() -> bytes:
            reader, writer = await minitls.open_connection("127.0.0.1", server.port, config=config, server_hostname="localhost")
            writer.write(b"GET /hello.txt HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await reader.readuntil(b"hello\n")
            server.process.send_signal(signal.SIGTERM)
            rest = await asyncio.wait_for(reader.read(), LIMIT)  # close_notify: an end, and no error
            writer.close()
            return rest

        assert asyncio.run(wait_while_it_stops()) == b""
        assert server.process.wait(LIMIT) == 0


def test_serve_ends_with_130_after_control_c(folder: Path) -> None:
    with serving(str(folder), "--dev", cwd=folder.parent) as server:
        assert server.stop(signal.SIGINT) == 130
    assert len(server.lines) == 2


def test_serve_trace_and_json(folder: Path, tmp_path: Path) -> None:
    with serving(str(folder), "--dev", "--trace", cwd=folder.parent) as server:
        assert main(["get", f"https://{server.address}/hello.txt", "--ca", server.ca, "-o", str(tmp_path / "out")]) == 0
        server.wait_for(r"chosen group: X25519MLKEM768")
        server.wait_for(r"\[Alert: close_notify\]")
    with serving(str(folder), "--dev", "--json", cwd=folder.parent) as server:
        assert main(["get", f"https://{server.address}/hello.txt", "--ca", server.ca, "-o", str(tmp_path / "out")]) == 0
        assert main(["connect", server.address]) == 60
        server.wait_for("the handshake failed")
        server.stop()
        assert server.process.stdout is not None
        lines = [json.loads(line) for line in server.process.stdout]
    assert [line["ok"] for line in lines] == [True, False]
    assert lines[0]["connection"]["group"] == "X25519MLKEM768"
    assert lines[1]["error"]["alert"] == "unknown_ca"


def test_serve_with_certificates_of_two_kinds(pki: Pki, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.authority.root_pem())
    options = []
    for key in ("p256", "rsa2048"):
        issued = pki.issue("localhost", "127.0.0.1", "::1", key=key)
        (tmp_path / f"{key}.pem").write_bytes(issued.chain_pem())
        (tmp_path / f"{key}.key").write_bytes(issued.key_pem())
        options += ["--cert", str(tmp_path / f"{key}.pem"), "--key", str(tmp_path / f"{key}.key")]
    with serving(str(folder), *options, cwd=folder.parent) as server:
        for scheme in ("ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"):
            assert main(["connect", server.address, "--ca", str(ca), "--sigalgs", scheme, "--summary"]) == 0
            assert re.search(rf"signature +{scheme}", capsys.readouterr().out)


def test_dev_takes_the_ca_of_certs_make(folder: Path, tmp_path: Path) -> None:
    assert run("certs", "make", "dev.example", cwd=tmp_path).returncode == 0
    with serving("--www", "--dev", cwd=tmp_path) as server:
        assert server.ca == "certs/root.pem"
        assert run("connect", server.address, "--ca", "certs/root.pem", "--summary", cwd=tmp_path).returncode == 0


def test_a_port_that_is_taken(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--dev", "--listen", f"127.0.0.1:{files.port}"]) == 7
    assert "address already in use" in capsys.readouterr().err


# certificates that are replaced ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_reads_the_certificates_again(workers: str, pki: Pki, tmp_path: Path) -> None:
    """At once, though neither their times nor their sizes tell; a bad one is told, and the old one stays."""
    (tmp_path / "ca.pem").write_bytes(pki.authority.root_pem())
    first, second = (pki.authority.issue("localhost") for _ in range(2))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def install(chain: bytes, private: bytes) -> None:
        for path, data in ((cert, chain), (key, private)):
            path.write_bytes(data)
            os.utime(path, (1, 1))

    def shown() -> str:
        done = run("connect", server.address, "--ca", str(tmp_path / "ca.pem"), "--json")
        serial: str = json.loads(done.stdout)["peer_chain"][0]["sha256"]
        return serial

    install(first.chain_pem(), first.key_pem())
    with serving("--echo", "--cert", str(cert), "--key", str(key), "--workers", workers, cwd=tmp_path) as server:
        before = shown()
        install(second.chain_pem(), second.key_pem())
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("SIGHUP: the certificates were read again")
        after = {shown() for _ in range(3 * int(workers))}
        assert before not in after or workers != "1"
        install(first.chain_pem(), b"no key")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("SIGHUP: .*the old certificate stays")
        assert shown() in after


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_sighup_without_files(files: Serving) -> None:
    files.process.send_signal(signal.SIGHUP)
    files.wait_for("SIGHUP: this certificate is in no file")


# what comes beside the certificate ----------------------------------------------------------------------------------------


def test_the_summary_tells_what_was_stapled(pki: Pki) -> None:
    config = pki.client_config(request_staples=True)
    client, _ = memory_pair(config, pki.server_config(credentials=(pki.stapled,)))
    told = dict(agreed(client.info, config))
    assert re.fullmatch(r"stapled: not revoked, good until \d{4}-\d\d-\d\d \d\d:\d\d UTC", told["OCSP"])
    assert told["SCTs"] == "none"
    seen = tuple(Timestamp(source, "unknown log") for source in ("certificate", "certificate", "tls"))
    assert _timestamps(seen) == "2 in the certificate, 1 beside the certificate"
    assert dict(agreed(memory_pair(config, pki.server_config())[0].info, config))["OCSP"] == "none stapled, and none promised"


def test_connect_asks_for_staples(files: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", files.address, "--ca", files.ca, "--summary"]) == 0
    assert re.search(r"OCSP +none stapled", capsys.readouterr().out)
