"""The command's frame: help, guesses, exit statuses, and how it ends when it is not let finish."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minitls.cli import COMMANDS, main
from minitls.cli.common import CommandError, did_you_mean, words
from minitls.cli.reach import Target, target
from minitls.cli.screen import ASCII, UNICODE, glyphs_for
from tests.conftest import Pki
from tests.running import LIMIT, MINITLS, environment, run


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A TCP server that says this to everybody and closes; with None, it stays silent."""
    listening = socket.create_server(("127.0.0.1", 0))
    open_ones = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if answer is None:
                open_ones.append(connection)
                continue
            with connection:
                connection.recv(2**16)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(LIMIT)
        for connection in open_ones:
            connection.close()


def test_help_shows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert main([]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("minitls ")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "certs"])
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"minitls {command} " in capsys.readouterr().out.partition("examples:")[2]


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (["conect"], "did you mean connect?"),
        (["xyzzy"], "one of demo, connect"),
        (["connect", "localhost", "--trce"], "did you mean --trace?"),
        (["connect", "localhost", "--groups", "x25518"], "did you mean x25519?"),
        (["connect", "localhost", "--groups", "0x1234"], "unknown group 0x1234"),
        (["connect", "localhost", "--ciphers", "AES"], "unknown cipher suite 'AES'"),
        (["connect", "localhost", "--tls", "1.1"], "unknown version '1.1'"),
        (["connect", "localhost", "--policy", "modren"], "did you mean modern?"),
        (["connect", "localhost", "--require", "post"], "one of verified, pq, alpn"),
        (["connect", "localhost", "--timeout", "-1"], "no number of seconds above 0"),
        (["connect", "localhost", "--json", "-i"], "both want stdout"),
        (["connect", "localhost:port"], "such as example.com"),
        (["connect", "localhost:70000"], "such as example.com"),
        (["connect"], "HOST[:PORT]"),
        (["connect", "localhost", "--key", "k.pem"], "each certificate has its key"),
        (["connect", "localhost", "--ca", "/nonexistent/ca.pem"], "cannot read /nonexistent/ca.pem: no such file"),
        (["connect", "localhost", "--key-log", "/nonexistent/keys"], "cannot write the key log"),
        (["get", "http://localhost/"], "only https"),
        (["get", "https://user@localhost/"], "a user or a password"),
        (["get", "https://[::1"], "is no URL"),
        (["get", "https:///path"], "there is no host"),
        (["get", "localhost", "--json"], "-o FILE"),
        (["serve"], "a server needs a certificate"),
        (["serve", "--dev", "--www", "--echo"], "exclude each other"),
        (["serve", "--dev", "--listen", "nowhere"], "is no ADDR:PORT"),
        (["serve", "--dev", "/nonexistent"], "is no folder"),
        (["serve", "--dev", "--request-client-cert"], "--client-ca"),
        (["explain", "qwertyuiop"], "in the dictionary"),
    ],
)
def test_nonsense_is_one_sentence_and_status_2(arguments: list[str], guess: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("minitls: ")
    assert guess in shown.err
    assert len(shown.err.splitlines()) <= 2
    assert shown.out == ""


@pytest.mark.parametrize("text", ["nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_bad_pem(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.pem"
    file.write_text(text)
    assert main(["connect", "localhost", "--ca", str(file)]) == 2
    assert str(file) in capsys.readouterr().err
    assert main(["serve", "--cert", str(file), "--key", str(file)]) == 2


def test_key_of_another_certificate(pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(pki.issue("localhost").chain_pem())
    key.write_bytes(pki.issue("elsewhere").key_pem())
    assert main(["serve", "--cert", str(cert), "--key", str(key)]) == 2
    assert "private key does not belong to the certificate" in capsys.readouterr().err


def test_name_that_does_not_exist_is_6(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "nothing.invalid"]) == 6
    assert "nothing.invalid" in capsys.readouterr().err
    assert main(["get", f"https://{'a' * 64}.invalid/"]) == 6


def test_refused_port_is_7(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main(["connect", f"127.0.0.1:{port}"]) == 7
    assert capsys.readouterr().err == f"minitls: no connection to 127.0.0.1:{port}: connection refused\n"


def test_silence_is_28(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(None) as port:
        assert main(["connect", f"127.0.0.1:{port}", "--timeout", "0.3"]) == 28
    assert "within 0.3 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "alert handshake_failure"),
        (b"", "closed the connection during the handshake"),
    ],
)
def test_a_server_that_cannot_is_35(answer: bytes, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(answer) as port:
        assert main(["connect", f"127.0.0.1:{port}"]) == 35
    assert sentence in capsys.readouterr().err


def test_as_a_module_and_without_a_traceback() -> None:
    done = run("explain", "alert", "47")
    assert done.returncode == 0
    assert b"illegal_parameter" in done.stdout


def test_control_c_is_quiet_and_130() -> None:
    with answering(None) as port:
        process = subprocess.Popen((*MINITLS, "connect", f"127.0.0.1:{port}"), stderr=subprocess.PIPE, env=environment())
        with process:
            # Only once it waits for the server does an interrupt find the command, and not the interpreter's start.
            for _ in range(200):
                if _is_connected(port):
                    break
                threading.Event().wait(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b""


def _is_connected(port: int) -> bool:
    """Whether somebody is connected to this port, by Linux's table of connections (state 01)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            (*MINITLS, "explain", "0"), stdout=write, stderr=subprocess.PIPE, env=environment(), timeout=LIMIT, check=False
        )
    finally:
        os.close(write)
    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.com", "example.com", 443),
        ("example.com:8443", "example.com", 8443),
        ("[::1]:8443", "::1", 8443),
        ("[::1]", "::1", 443),
        ("::1", "::1", 443),
        ("https://example.com:444/path?q=1", "example.com", 444),
        ("https://example.com/a:b", "example.com", 443),
    ],
)
def test_targets(text: str, host: str, port: int) -> None:
    assert target(text, 443) == Target(host, port)


@pytest.mark.parametrize("text", ["", ":443", "a:b", "a:0", "[::1", "a]:1", "[]:1"])
def test_bad_targets(text: str) -> None:
    with pytest.raises(CommandError, match="is no HOST:PORT"):
        target(text, 443)


def test_guesses_and_lists() -> None:
    assert did_you_mean("--trce", ["--trace", "--json"]) == "did you mean --trace?"
    assert did_you_mean("zzz", ["--trace"]) == ""
    assert words("h2,http/1.1") == ("h2", "http/1.1")
    assert words("X25519:P-256") == ("X25519", "P-256")


def test_glyphs_follow_the_encoding(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w", encoding="ascii") as ascii_only, (tmp_path / "b").open("w", encoding="utf-8") as utf8:
        assert glyphs_for(ascii_only) is ASCII
        assert glyphs_for(utf8) is UNICODE


def test_only_what_is_needed_is_imported() -> None:
    program = (
        "import sys, minitls.cli; minitls.cli.main(['explain', 'alert', '0']); "
        "print([name for name in ('rich', 'h11', 'asyncio') if name in sys.modules])"
    )
    done = run("-c", program, command=(sys.executable,))
    assert done.stdout.decode().splitlines()[-1] == "[]"
