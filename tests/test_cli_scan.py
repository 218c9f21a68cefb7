"""``minitls scan`` as a program: what it shows, its exit statuses, and what hostile servers can do to a terminal: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import minitls
from minitls.cli import main
from minitls.cli.scan import EXAMPLES
from minitls.scan.survey import SECTIONS
from tests.conftest import Pki
from tests.running import LIMIT, MINITLS, Serving, environment, run, serving
from tests.test_cli_main import answering

FAST = ("--rate", "1000", "--at-once", "8")
README = Path(minitls.__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving("--dev", "--www", "--alpn", "http/1.1") as ready:
        yield ready


def scan(server: Serving, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return run("scan", server.address, *FAST, "--ca", server.ca, *arguments)


def test_a_good_server_is_status_0_and_the_summary_comes_first(server: Serving) -> None:
    done = scan(server)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert lines[0].startswith(server.address)
    assert lines[2].startswith("1 remark. It speaks TLSv1.3 and TLSv1.2, with a post-quantum key exchange, and its certificate is")
    assert done.stderr == b""
    for heading in ("versions", "cipher suites", "key exchange", "signatures", "certificate", "coming back", "tolerance", "HTTP"):
        assert heading in lines


def test_faults_are_status_1(server: Serving, pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pki.strangers.root_pem())
    done = run("scan", server.address, *FAST, "--only", "certificates", "--ca", str(tmp_path / "ca.pem"))
    assert done.returncode == 1
    assert "✘ nobody whom we trust issued the certificate" in done.stdout.decode()
    assert "what to do" in done.stdout.decode()


def test_where_there_is_nobody_to_trust_it_is_not_the_servers_fault(server: Serving) -> None:
    done = run("scan", server.address, *FAST, "--only", "certificates", SSL_CERT_FILE=os.devnull, SSL_CERT_DIR=os.devnull)
    assert done.returncode == 60
    assert b"there are no certificates to trust" in done.stderr


def test_another_name_is_asked_for(server: Serving) -> None:
    done = scan(server, "--only", "certificates", "--sni", "other.example")
    assert done.returncode == 1
    assert "is not for other.example" in done.stdout.decode()


def test_json_is_everything(server: Serving) -> None:
    done = scan(server, "--json")
    found = json.loads(done.stdout)
    assert done.stdout.isascii()
    assert found["schema"] == "minitls-scan/1"
    assert found["target"] == {"host": "localhost", "port": server.port, "name": "localhost"}
    assert found["versions"]["TLSv1.3"] is True
    assert found["suites"]["TLSv1.3"]["suites"][0] == {
        "code": "0x1301", "name": "TLS_AES_128_GCM_SHA256", "forward_secret": True, "aead": True
    }  # fmt: skip
    assert found["groups"]["TLSv1.3"]["groups"][0] == {"code": "0x11ec", "name": "X25519MLKEM768", "post_quantum": True}
    assert found["chains"][0]["verified"] is True
    assert found["chains"][0]["certificates"][0]["names"] == ["localhost", "127.0.0.1", "::1", *_more(found)]
    assert [finding["id"] for finding in found["findings"]] == ["no_hsts"]
    assert found["connections"] > 50
    documented = _schema()
    assert set(found) == documented


def _more(found: dict[str, Any]) -> list[str]:
    return list(found["chains"][0]["certificates"][0]["names"][3:])


def _schema() -> set[str]:
    """The fields that the module's docstring lists."""
    from minitls.scan import report

    listed = re.findall(r"^    ([a-z_]+(?:, [a-z_]+)*) {2,}", report.__doc__ or "", re.MULTILINE)
    return {name for names in listed for name in names.split(", ")}


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_by_itself(server: Serving, section: str) -> None:
    done = scan(server, "--only", section, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    parts = {
        "suites": "suites", "groups": "groups", "signatures": "signatures", "certificates": "chains", "tolerance": "tolerance"
    }  # fmt: skip
    filled = {name for name, part in parts.items() if found[part] and name != "suites"}
    assert filled - {"certificates"} == ({section} & set(parts)) - {"suites", "certificates"}
    assert bool(found["chains"]) == (section in ("certificates", "signatures"))
    assert (found["web"]["status"] == 200) == (section == "http")
    assert (found["sessions"]["psk"] is True) == (section == "sessions")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "suits"], "did you mean suites?"),
        (["--only", "xyzzy"], "one of versions, suites"),
        (["--at-once", "0"], "no number from 1 to 16"),
        (["--at-once", "x"], "no number from 1 to 16"),
        (["--rate", "0"], "no number above 0"),
        (["--rate", "fast"], "no number above 0"),
        (["--ca", "/nonexistent/ca.pem"], "cannot read /nonexistent/ca.pem"),
    ],
)
def test_nonsense_is_status_2(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(b"") as port:
        assert main(["scan", f"127.0.0.1:{port}", *arguments]) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.splitlines()) <= 2


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        (b"SSH-2.0-\x1b[2J\x07evil\r\n", 35, rb"it does not speak TLS: what came is not TLS: b'SSH-2.0-\\x1b[2J\\x07evil\\r\\n'"),
        (b"", 35, rb"it ends the connection at a ClientHello"),
        (b"\x15\x03\x01\x00\x02\x02\x28", 35, rb"answers with alert 40"),
        (None, 28, rb"it does not answer a ClientHello"),
    ],
)
def test_what_is_no_tls_server_is_one_line(answer: bytes | None, status: int, sentence: bytes) -> None:
    with answering(answer) as port:
        done = run("scan", f"127.0.0.1:{port}", *FAST, "--timeout", "0.5")
    assert done.returncode == status
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert sentence.replace(b"\\\\", b"\\") in done.stderr
    assert b"\x1b" not in done.stderr


def test_no_such_name_and_nobody_there() -> None:
    with answering(b"") as port:
        pass
    assert run("scan", f"127.0.0.1:{port}").returncode == 7
    assert run("scan", "no-such-host.invalid").returncode == 6


def on_a_terminal(*arguments: str, **env: str) -> tuple[int, str, str]:
    """Status, stdout and stderr, each with a terminal of its own at its end."""
    ends = [pty.openpty(), pty.openpty()]
    process = subprocess.Popen(
        (*MINITLS, *arguments), stdin=subprocess.DEVNULL, stdout=ends[0][1], stderr=ends[1][1], env=environment(TERM="xterm", **env)
    )
    for _, far in ends:
        os.close(far)
    shown = []
    for near, _ in ends:
        data = b""
        try:
            while more := os.read(near, 2**16):
                data += more
        except OSError:  # the other side is closed
            pass
        os.close(near)
        shown.append(data.decode())
    return process.wait(LIMIT), shown[0], shown[1]


@pytest.mark.parametrize("plain", [False, True])
def test_on_a_terminal_there_are_colours_and_progress_unless_no_color(server: Serving, plain: bool) -> None:
    env = {"NO_COLOR": "1"} if plain else {}
    status, out, err = on_a_terminal("scan", server.address, "--ca", server.ca, *FAST, "--only", "suites", **env)
    assert status == 0
    assert "connections" in err
    assert ("\x1b[" in out) == (not plain)
    assert ("\x1b[3" in err or "\x1b[9" in err) == (not plain)


def test_a_pipe_has_no_progress(server: Serving) -> None:
    assert scan(server, "--only", "suites").stderr == b""


# the README --------------------------------------------------------------------------------------------------------------


def _section() -> str:
    return README.read_text("utf-8").partition("## Scan a server\n")[2].partition("\n## ")[0]


def test_the_readmes_commands(server: Serving) -> None:
    lines = [re.split(r" {2,}", line.strip())[0] for line in _section().splitlines() if line.startswith("    minitls scan")]
    assert len(lines) == 4
    for line in lines:
        words = [re.sub(r"^(example\.org|192\.0\.2\.7:8443)$", server.address, word) for word in line.split()[1:]]
        words = ["localhost" if word == server.address and words[at - 1] == "--sni" else word for at, word in enumerate(words)]
        assert run(*words, "--ca", server.ca, *FAST).returncode == 0, line


def test_the_readmes_answer_is_what_it_says() -> None:
    shown = _section().partition("```\n")[2].partition("\n...\n```")[0]
    command, _, answer = shown.partition("\n")
    assert "minitls serve --dev --tls 1.2 --policy legacy" in _section()
    with serving("--dev", "--tls", "1.2", "--policy", "legacy") as server:
        done = run(*command.removeprefix("$ minitls ").replace("localhost:8443", server.address).split(), *FAST, "--ca", server.ca)

    def plain(text: str) -> list[str]:
        text = re.sub(r"\d+ connections, [\d.]+ s", "N connections, S s", re.sub(r":\d{4,5}\b", ":P", text))
        return [line for line in text.splitlines() if not line.startswith("──")]

    answered = plain(done.stdout.decode())
    assert answered[: len(plain(answer))] == plain(answer)
    assert done.returncode == 0


def test_the_examples_of_the_help(server: Serving) -> None:
    lines = [re.split(r" {2,}", line.strip())[0] for line in EXAMPLES.splitlines() if line.startswith("  minitls scan")]
    assert len(lines) == 7
    for words in (line.split()[2:] for line in lines):
        if "--starttls" in words:
            continue  # a server of its own has it below
        words[0] = server.address
        if "--sni" in words:
            words[words.index("--sni") + 1] = "localhost"
        if "--ca" not in words:
            words += ["--ca", server.ca]
        words = [server.ca if word == "ca.pem" else word for word in words]
        assert run("scan", *words, *(() if "--only" in words else ("--only", "versions"))).returncode == 0, words


def test_no_http_is_spoken_to_mail_servers(
    server: Serving, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["scan", server.address, "--ca", server.ca, *FAST, "--only", "http", "--json"]
    for ports, status in ((frozenset({465}), 200), (frozenset({server.port}), None)):
        monkeypatch.setattr("minitls.cli.scan.NOT_HTTP", ports)
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["web"]["status"] == status


# how it gets there -------------------------------------------------------------------------------------------------------


def test_through_a_proxy(server: Serving) -> None:
    with proxying() as (port, asked):
        done = scan(server, "--only", "suites,http", "--proxy", f"http://127.0.0.1:{port}")
    assert done.returncode == 0, done.stderr
    assert f"through the proxy http://127.0.0.1:{port}" in done.stdout.decode().splitlines()[0]
    assert len(asked) > 10


@contextmanager
def proxying() -> Iterator[tuple[int, list[bytes]]]:
    """An HTTP proxy that connects whoever asks; and what it was asked."""
    asked: list[bytes] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        host, _, port = head.split()[1].decode().rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(carry(reader, back), carry(there, writer))

    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listening.sockets[0].getsockname()[1], asked
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
        listening.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


def test_after_starttls(pki: Pki, tmp_path: Path) -> None:
    """A mail server: TLS begins when it was asked for, on each connection, and no HTTP is spoken to it."""
    (tmp_path / "ca.pem").write_bytes(pki.authority.root_pem())
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        assert (await reader.readline()).startswith(b"EHLO")
        writer.write(b"250-mail.example\r\n250 STARTTLS\r\n")
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"220 go ahead\r\n")
        with contextlib.suppress(OSError):
            protocol = asyncio.StreamReaderProtocol(inner := asyncio.StreamReader())
            tls = await minitls.start_tls(writer.transport, protocol, pki.server_config())  # type: ignore[arg-type]
            protocol.connection_made(tls)
            said.append(await inner.read())
            tls.close()

    async def run_both() -> subprocess.CompletedProcess[bytes]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as mail:
            port = mail.sockets[0].getsockname()[1]
            where = (f"localhost:{port}", "--starttls", "smtp", "--ca", str(tmp_path / "ca.pem"))
            return await asyncio.to_thread(run, "scan", *where, *FAST, "--timeout", "1", "--json")

    done = asyncio.run(run_both())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["versions"]["TLSv1.3"] is True
    assert found["chains"][0]["verified"] is True
    assert found["web"]["status"] is None
    assert not any(said)
