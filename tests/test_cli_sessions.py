"""Coming back from the command line: connect and get with sessions, early data and shared keys, against servers in this process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import minitls
from minitls import Policy
from minitls.cli import main
from minitls.cli.sessions import Cost, ago, savings
from minitls.sessions.session import Session
from minitls.trace.words import STEPS
from tests.conftest import Pki
from tests.running import LIMIT, run

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
KEY = "000102030405060708090a0b0c0d0e0f"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Server:
    """``heard``: of each connection, what came early and what came later."""

    port: int = 0
    heard: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"


@contextmanager
def listening(config: minitls.ServerConfig) -> Iterator[Server]:
    """A server that answers what looks like HTTP, and otherwise listens."""
    ready, stop, server = threading.Event(), threading.Event(), Server()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        early = writer.get_extra_info("tls").early_data
        with contextlib.suppress(OSError):
            data = b"" if early else await reader.read(2**16)
            if (early or data).startswith(b"GET"):
                writer.write(REPLY)
            server.heard.append((early, data + await reader.read()))
        writer.close()

    async def serve() -> None:
        listener = await minitls.start_server(talk, "127.0.0.1", 0, config=config)
        async with listener:
            server.port = listener.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(LIMIT)
        yield server
    finally:
        stop.set()
        thread.join(LIMIT)


@pytest.fixture
def ca(pki: Pki, tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    file.write_bytes(pki.authority.root_pem())
    return str(file)


@pytest.fixture
def request_file(tmp_path: Path) -> str:
    file = tmp_path / "request"
    file.write_bytes(REQUEST)
    return str(file)


Connect = Callable[..., tuple[int, str, str]]


@pytest.fixture
def connect(ca: str, capsys: pytest.CaptureFixture[str]) -> Connect:
    """``connect(server, "--resume")``: the exit status, stdout in one line, stderr."""

    def ask(server: Server, *options: str) -> tuple[int, str, str]:
        status = main(["connect", server.address, "--ca", ca, "--summary", *options])
        shown = capsys.readouterr()
        return status, " ".join(shown.out.split()), shown.err

    return ask


@pytest.fixture
def server(pki: Pki) -> Iterator[Server]:
    with listening(pki.server_config(early_data=16384, alpn=("http/1.1",))) as running:
        yield running


# resumption -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "how"), [((), "psk_dhe_ke"), (("--tls", "1.2"), "ticket")])
def test_resume(options: tuple[str, ...], how: str, server: Server, connect: Connect) -> None:
    status, shown, _ = connect(server, "--resume", "--require", "resumed,verified", *options)
    assert status == 0
    assert f"verified: this is localhost, vouched for by minitls development CA; resumed ({how}), authenticated just now" in shown
    assert re.search(r"signature \w+, when the session began", shown)
    assert bool(re.search(r"key exchange +\w+ \([\w -]+\), when the session began", shown)) == (how == "ticket")
    first, second = received(shown)
    assert second < first
    assert len(server.heard) == 2


def received(shown: str) -> tuple[int, int]:
    """Bytes of the first and of the second handshake."""
    found = re.search(r"first handshake .*?, ([\d,]+) bytes received this one .*?, ([\d,]+) bytes received saved", shown)
    assert found is not None, shown
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def test_no_ticket_no_resumption(pki: Pki, connect: Connect) -> None:
    with listening(pki.server_config(tickets=None, session_cache=None)) as server:
        status, shown, _ = connect(server, "--resume")
        assert status == 0
        assert "NOT resumed: there was no session: the server has given none" in shown
        status, _, error = connect(server, "--resume", "--require", "resumed")
        assert status == 1
        assert "--require resumed: no session was resumed" in error


def test_the_story_of_the_second_visit(server: Server, ca: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", server.address, "--ca", ca, "--resume"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for key in ("psk_ticket", "psk_taken", "shared_secret", "tickets"):
        assert STEPS[key].title in shown
    assert STEPS["certificate"].title not in shown
    assert "the key that both had before, the key exchange and the hellos make" in shown


def test_what_nobody_verified_is_not_verified_when_it_is_resumed(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", server.address, "--insecure", "--resume", "--summary", "--require", "resumed"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("! NOT verified, as --insecure asks: ")
    assert "; resumed (psk_dhe_ke), authenticated just now" in shown


def test_how_long_ago_and_what_was_saved() -> None:
    assert [ago(0, seconds) for seconds in (0.9, 3, 186)] == ["just now", "3 seconds ago", "3.1 minutes ago"]
    (_, first), (_, second), (_, saved) = savings(Cost(0.25, 500, 4000), Cost(0.125, 700, 1000))
    assert (first, second) == ("250.0 ms, 500 bytes sent, 4,000 bytes received", "125.0 ms, 700 bytes sent, 1,000 bytes received")
    assert saved == "125.0 ms, 3,000 bytes received; but 200 bytes more sent"
    assert savings(Cost(1, 1, 1), Cost(2, 2, 2))[-1][1] == "nothing; but 1000.0 ms more, 1 byte more received, 1 byte more sent"


def test_two_traces(server: Server, connect: Connect, request_file: str) -> None:
    status, shown, _ = connect(server, "--resume", "--early-data", request_file, "--trace")
    assert status == 0
    first, second = shown.split("the second connection")
    assert "the first connection" in first
    assert "{CertificateVerify}" in first
    assert "[NewSessionTicket]" in first
    assert "{CertificateVerify}" not in second
    for part in ("obfuscated age", "(Application Data)", "under CLIENT_EARLY_TRAFFIC_SECRET", "(EndOfEarlyData)", "took our PSK"):
        assert part in second


def test_json(server: Server, ca: str, request_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["connect", server.address, "--ca", ca, "--json", "--resume", "--early-data", request_file]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["early_data"] == {"size": len(REQUEST), "outcome": "accepted", "why": ""}
    assert found["connection"]["resumed"] is True
    assert found["connection"]["resumption"] == "psk_dhe_ke"
    assert found["connection"]["early_data_accepted"] is True
    assert found["connection"]["authenticated"] == pytest.approx(time.time(), abs=LIMIT)
    first = found["first"]
    assert first["connection"]["resumed"] is False
    assert first["handshake"]["bytes_received"] > found["handshake"]["bytes_received"]
    assert [each["max_early_data"] for each in first["tickets"]] == [16384, 16384]
    assert first["tickets"][0]["lifetime_seconds"] == 24 * 3600


def test_a_first_connection_that_fails(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", server.address, "--resume"]) == 60
    assert "not verified, and so not connected" in capsys.readouterr().out
    assert main(["connect", server.address, "--resume", "--json"]) == 60
    assert json.loads(capsys.readouterr().out)["ok"] is False


# early data -------------------------------------------------------------------------------------------------------------


def test_early_data(server: Server, connect: Connect, request_file: str) -> None:
    status, shown, _ = connect(server, "--resume", "--early-data", request_file, "--require", "early-data")
    assert status == 0
    assert f"early data accepted: {len(REQUEST)} bytes went with the hello" in shown
    assert server.heard == [(b"", b""), (REQUEST, b"")]


def test_early_data_in_a_conversation(server: Server, ca: str, request_file: str) -> None:
    done = run("connect", "-i", server.address, "--ca", ca, "--resume", "--early-data", request_file, stdin=b"and more")
    assert done.returncode == 0
    assert done.stdout == REPLY
    assert b"early data accepted" in done.stderr
    assert server.heard[-1] == (REQUEST, b"and more")


@pytest.mark.parametrize(
    ("fields", "options", "why"),
    [
        ({}, (), "not sent: the ticket does not allow any"),
        ({"early_data": 4}, (), "not sent: the ticket allows no more than 4 bytes"),
        ({"early_data": 4096}, ("--tls", "1.2"), "not sent: TLS 1.2 has no early data"),
        ({"early_data": 4096, "ticket_count": 0}, (), "not sent: there was no session: the server has given none"),
        (
            {"early_data": 4096, "policy": Policy(groups=("secp256r1",))},
            ("--groups", "x25519,secp256r1"),
            "rejected: the server wanted another hello first",
        ),
    ],
)
def test_early_data_that_is_late(
    fields: dict[str, Any], options: tuple[str, ...], why: str, pki: Pki, connect: Connect, request_file: str
) -> None:
    """It is sent all the same, after the handshake."""
    with listening(pki.server_config(**fields)) as server:
        status, shown, error = connect(server, "--resume", "--early-data", request_file, "--require", "early-data", *options)
    assert status == 1
    assert f"early data {why}; {len(REQUEST)} bytes sent after the handshake instead" in shown
    assert "--require early-data: no early data was accepted" in error
    assert server.heard[-1] == (b"", REQUEST)


def test_early_data_of_another_protocol(server: Server, connect: Connect, request_file: str, tmp_path: Path) -> None:
    """The session is resumed by whatever protocol (RFC 7301 section 3.1), and what would be said early is of one."""
    file = str(tmp_path / "session")
    assert connect(server, "--alpn", "http/1.1", "--save-session", file)[0] == 0
    status, shown, _ = connect(server, "--session", file, "--early-data", request_file, "--require", "resumed")
    assert status == 0
    assert "early data not sent: the session speaks http/1.1, which is not offered" in shown


def test_the_same_ticket_twice(server: Server, connect: Connect, request_file: str, tmp_path: Path) -> None:
    """The server resumes the session again, but takes early data with it only once."""
    file = str(tmp_path / "session")
    assert connect(server, "--save-session", file)[0] == 0
    use = ("--session", file, "--early-data", request_file, "--require", "resumed")
    assert "early data accepted" in connect(server, *use)[1]
    status, shown, _ = connect(server, *use)
    assert status == 0
    assert "early data rejected: the server did not take it; " in shown
    assert server.heard[1:] == [(REQUEST, b""), (b"", REQUEST)]


# files ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_session_in_a_file(version: str, server: Server, connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "session"
    file.write_text("what was there before, and is longer than a session " * 100)
    file.chmod(0o644)
    assert connect(server, "--tls", version, "--save-session", str(file))[0] == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = Session.from_bytes(file.read_bytes())
    assert first.server_name == b"localhost"
    for _ in range(2):
        before = file.read_bytes()
        again = ("--tls", version, "--session", str(file), "--save-session", str(file), "--require", "resumed")
        assert connect(server, *again)[0] == 0
        assert file.read_bytes() != before


def test_a_session_that_does_not_fit(server: Server, connect: Connect, ca: str, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "session"
    assert connect(server, "--save-session", str(file))[0] == 0
    use = ("--session", str(file))
    assert main(["connect", f"127.0.0.1:{server.port}", "--ca", ca, "--summary", *use]) == 0
    assert "NOT resumed: the session was not offered: it is with localhost" in " ".join(capsys.readouterr().out.split())
    assert "NOT resumed: the session was not offered: its version, cipher" in connect(server, *use, "--tls", "1.2")[1]
    session = Session.from_bytes(file.read_bytes())
    week = 7 * 24 * 3600 * 1000
    file.write_bytes(dataclasses.replace(session, created=session.created - week).to_bytes())
    assert "NOT resumed: the session was not offered: it is too old" in connect(server, *use)[1]
    file.write_bytes(dataclasses.replace(session, ticket=b"nonsense").to_bytes())
    status, shown, _ = connect(server, *use)
    assert status == 0
    assert "NOT resumed: the server did not take the session" in shown


def test_nothing_to_save(pki: Pki, connect: Connect, tmp_path: Path) -> None:
    with listening(pki.server_config(tickets=None, session_cache=None)) as server:
        status, _, error = connect(server, "--save-session", str(tmp_path / "session"))
    assert status == 1
    assert "the server has given no session" in error
    assert not (tmp_path / "session").exists()


def test_where_nothing_can_be_written(server: Server, connect: Connect, tmp_path: Path) -> None:
    status, _, error = connect(server, "--save-session", str(tmp_path))
    assert status == 2
    assert "cannot write" in error


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--early-data", "{request}"], "--early-data needs a session"),
        (["--early-data", "-", "--resume"], "stdin is read with -i only"),
        (["--early-data", "{empty}", "--resume"], "there is nothing in"),
        (["--early-data", "{missing}", "--resume"], "cannot read"),
        (["--session", "{missing}"], "cannot read"),
        (["--session", "{request}"], "there is no session in"),
        (["--session", "{empty}"], "there is no session in"),
        (["--psk", "sensor-7"], "--psk wants IDENTITY:HEX"),
        (["--psk", "sensor-7:xyz"], "is not in hex"),
        (["--psk", "sensor-7:00"], "at least 16 bytes"),
        (["--require", "resume"], "did you mean resumed?"),
    ],
)
def test_usage(options: list[str], sentence: str, connect: Connect, request_file: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    named = [each.format(request=request_file, empty=empty, missing=tmp_path / "missing") for each in options]
    status, _, error = connect(Server(1), *named)
    assert status == 2
    assert sentence in error
    assert error.count("\n") <= 2


def test_get_comes_back(server: Server, ca: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    command = ["get", f"https://{server.address}/", "--ca", ca]
    file = str(tmp_path / "session")
    assert main([*command, "--save-session", file]) == 0
    assert main([*command, "--session", file, "--save-session", file, "--require", "resumed"]) == 0
    assert main([*command, "--session", file, "--require", "resumed"]) == 0
    assert capfdbinary.readouterr().out == b"okokok"


def test_get_asks_with_the_hello(server: Server, ca: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The request is the early data; without a session there is nothing to send it with."""
    url = f"https://{server.address}/"
    assert main(["get", url, "--ca", ca, "--resume", "--early-data", "--require", "resumed,early-data"]) == 0
    assert capfdbinary.readouterr().out == b"ok"
    assert [early.startswith(b"GET / HTTP/1.1") for early, _ in server.heard] == [False, True]
    assert main(["get", url, "--ca", ca, "--early-data"]) == 2
    assert b"--early-data needs a session" in capfdbinary.readouterr().err


# shared keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_shared_key(version: str, pki: Pki, connect: Connect) -> None:
    def keys(identity: bytes) -> bytes | None:
        return bytes.fromhex(KEY) if identity == b"sensor:7" else None

    with listening(pki.server_config(credentials=(), psk=keys)) as server:
        options = ("--tls", version, "--require", "verified")
        status, shown, _ = connect(server, *options, "--psk", f"sensor:7:{KEY}")
        assert status == 0
        assert "verified: the server has the key that we share" in shown
        assert connect(server, *options, "--psk", f"sensor:8:{KEY}")[0] == 35
        assert connect(server, *options, "--psk", f"sensor:7:{KEY[::-1]}")[0] == 35


# the dictionary ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("0-RTT", "early_data"),
        ("binder", "pre_shared_key"),
        ("psk_ke", "psk_key_exchange_modes"),
        ("ticket_request", "ticket_request"),
        ("NewSessionTicket", "new_session_ticket"),
        ("EndOfEarlyData", "end_of_early_data"),
    ],
)
def test_what_is_explained(what: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", what]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{name} (")
    assert re.search(r"minitls +has it\n", shown)


# openssl ----------------------------------------------------------------------------------------------------------------


@contextmanager
def openssl(*options: str) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(free.getsockname()[1])
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{server.port}", *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port)):
                break
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        heard, _ = process.communicate(timeout=LIMIT)
        server.heard.append((heard, b""))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_back_to_openssl(pki: Pki, connect: Connect, request_file: str, tmp_path: Path) -> None:
    file = tmp_path / "server.pem"
    issued = pki.issue("localhost", "127.0.0.1", "::1")
    file.write_bytes(issued.chain_pem() + issued.key_pem())
    with openssl("-cert", str(file), "-cert_chain", str(file), "-early_data", "-max_early_data", "4096") as server:
        status, shown, error = connect(server, "--resume", "--early-data", request_file, "--require", "resumed,early-data")
        assert (status, error) == (0, "")
        assert "resumed (psk_dhe_ke)" in shown
        assert connect(server, "--resume", "--tls", "1.2", "--require", "resumed")[0] == 0
    assert REQUEST in server.heard[0][0]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_a_key_that_openssl_has_too(connect: Connect) -> None:
    with openssl("-nocert", "-psk", KEY, "-psk_identity", "sensor-7") as server:
        for version in ("1.3", "1.2"):
            status, shown, error = connect(server, "--psk", f"sensor-7:{KEY}", "--tls", version, "--require", "verified")
            assert (status, error) == (0, "")
            assert "verified: the server has the key that we share" in shown
