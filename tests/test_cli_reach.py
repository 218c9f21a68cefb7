"""How the command gets to a server: proxies, STARTTLS, Unix sockets, and of several addresses the first that answers."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import minitls
from minitls.cli import main, reach
from minitls.cli.common import NOT_CONNECTED, STARTTLS, TIMEOUT, TLS, USAGE, CommandError
from minitls.cli.reach import Target, interleaved, proxy, race, target
from minitls.cli.starttls import DIALOGUES, LDAP_REQUEST, POSTGRES_REQUEST
from tests.conftest import Pki
from tests.test_trace_pcapng import needs_tshark, tshark
from tests.test_trace_runs import VALIDATOR

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def listening(handler: Handler, path: str | None = None) -> Iterator[int]:
    """A server on a loop of its own; its port, or 0 for a Unix socket's."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    port: list[int] = []

    tasks: set[Any] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # asyncio's protocol keeps it, and will be another's once TLS begins
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    async def serve() -> None:
        server = await (asyncio.start_unix_server(handle, path) if path else asyncio.start_server(handle, "127.0.0.1", 0))
        name = server.sockets[0].getsockname()
        port.append(0 if path else name[1])
        ready.set()
        await ended.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # closed transports say so in the next turn

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield port[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


async def go_on_in_tls(pki: Pki, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server's side of the upgrade, to its end."""
    protocol = writer.transport.get_protocol()
    early = bytes(reader._buffer)  # type: ignore[attr-defined]  # MySQL's client does not wait for a go-ahead
    reader._buffer.clear()  # type: ignore[attr-defined]
    try:
        transport = await minitls.start_tls(writer.transport, protocol, pki.server_config(), buffered=early)  # type: ignore[arg-type]
        await reader.read()
        transport.close()
    except (OSError, minitls.TLSError):
        pass  # a client that goes away is its own business
    finally:
        writer.close()


def trusting(pki: Pki, tmp_path: Path) -> tuple[str, ...]:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.authority.root_pem())
    return "--ca", str(ca), "--summary"


# STARTTLS ---------------------------------------------------------------------------------------------------------------

SAYS, HEARS = "says", "hears"
Script = tuple[tuple[str, bytes], ...]
MYSQL_GREETING = b"\x0a8.0.36\0" + bytes(4) + b"saltsalt\0" + (0xFFFF).to_bytes(2, "little") + bytes(31)
MYSQL_REQUEST = b"\x20\0\0\x01" + (0x8A00).to_bytes(4, "little") + b"\xff\xff\xff\0" + b"\x21" + bytes(23)


def mysql(packet: bytes) -> bytes:
    return len(packet).to_bytes(3, "little") + b"\0" + packet


SCRIPTS: dict[str, Script] = {
    "smtp": (
        (SAYS, b"220-mail.example\r\n220 ready\r\n"),
        (HEARS, b"EHLO minitls.invalid\r\n"),
        (SAYS, b"250-mail.example\r\n250-SIZE 1000\r\n250-starttls\r\n250 HELP\r\n"),
        (HEARS, b"STARTTLS\r\n"),
        (SAYS, b"220 go ahead\r\n"),
    ),
    "imap": ((SAYS, b"* OK [CAPABILITY IMAP4rev1] ready\r\n"), (HEARS, b"a STARTTLS\r\n"), (SAYS, b"* 0 EXISTS\r\na OK begin\r\n")),
    "pop3": ((SAYS, b"+OK ready\r\n"), (HEARS, b"STLS\r\n"), (SAYS, b"+OK begin\r\n")),
    "ftp": ((SAYS, b"220-Welcome\r\n to 220 files\r\n220 ready\r\n"), (HEARS, b"AUTH TLS\r\n"), (SAYS, b"234 begin\r\n")),
    "ldap": ((HEARS, LDAP_REQUEST), (SAYS, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")),
    "xmpp": (
        (
            HEARS,
            b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
            b"xmlns:stream='http://etherx.jabber.org/streams'>",
        ),
        (
            SAYS,
            b"<?xml version='1.0'?><stream:stream id='1'><stream:features>"
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
        ),
        (HEARS, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        (SAYS, b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
    ),
    "postgres": ((HEARS, POSTGRES_REQUEST), (SAYS, b"S")),
    "mysql": ((SAYS, mysql(MYSQL_GREETING)), (HEARS, MYSQL_REQUEST)),
}


def playing(script: Script, pki: Pki | None, *, slowly: bool = False) -> Handler:
    """A server that keeps to the script, and then begins TLS, or closes where there is no ``pki``."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for who, text in script:
            if who == HEARS:
                assert await reader.readexactly(len(text)) == text
                continue
            for piece in [text[i : i + 1] for i in range(len(text))] if slowly else [text]:
                writer.write(piece)
                await asyncio.sleep(0)
        if pki is None:
            try:
                await reader.read()
            finally:
                writer.close()
        else:
            await go_on_in_tls(pki, reader, writer)

    return handle


def test_each_protocol_has_a_dialogue_and_a_port() -> None:
    assert DIALOGUES.keys() == STARTTLS.keys() == SCRIPTS.keys()


@pytest.mark.parametrize("slowly", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_starttls(name: str, slowly: bool, pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(playing(SCRIPTS[name], pki, slowly=slowly)) as port:
        status = main(["connect", f"localhost:{port}", "--starttls", name, *trusting(pki, tmp_path)])
    out = capsys.readouterr()
    assert status == 0, out.err
    assert "verified" in out.out
    assert f"after {name.upper()}'s STARTTLS" in out.out


@needs_tshark
@pytest.mark.parametrize("name", ["smtp", "imap", "pop3", "ftp", "ldap", "xmpp", "postgres", "mysql"])
def test_a_capture_has_the_dialogue_too(name: str, pki: Pki, tmp_path: Path) -> None:
    """Wireshark reads the protocol, hears it go on in TLS, and opens that."""
    file, shown = tmp_path / "run.pcapng", {"postgres": "pgsql"}.get(name, name).replace("pop3", "pop")
    with listening(playing(SCRIPTS[name], pki)) as port:
        assert main(["connect", f"localhost:{port}", "--starttls", name, "--pcapng", str(file), *trusting(pki, tmp_path)]) == 0
    how = ("-d", f"tcp.port=={port},{shown}")
    assert tshark(file, *how, "-Y", "_ws.malformed || tcp.analysis.flags") == []
    first, *_ = tshark(file, *how, "-Y", "tcp.len > 0", "-T", "fields", "-e", "frame.protocols")
    assert f":{shown}" in first
    assert tshark(file, *how, "-Y", "tls.handshake.type == 20 && tls.handshake.type == 8") != []  # they are encrypted


@needs_tshark
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_capture_through_a_proxy(secure: bool, pki: Pki, tmp_path: Path) -> None:
    """It has the CONNECT and what the mail server says; the password is in no file."""
    capture, saved = tmp_path / "run.pcapng", tmp_path / "run.json"
    handler = proxying(user="alice:secret")
    with listening(playing(SCRIPTS["smtp"], pki)) as port, listening(behind_tls(pki, handler) if secure else handler) as through:
        where = f"{'https' if secure else 'http'}://alice:secret@localhost:{through}"
        options = ("--starttls", "smtp", "--proxy", where, "--pcapng", str(capture), "--save-run", str(saved))
        assert main(["connect", f"localhost:{port}", *options, *trusting(pki, tmp_path)]) == 0
    how = ("-d", f"tcp.port=={through},http", "-d", f"tcp.port=={port},smtp")
    assert tshark(capture, *how, "-Y", "http.request", "-T", "fields", "-e", "http.request.uri") == [f"localhost:{port}"]
    assert tshark(capture, *how, "-Y", "tcp.analysis.flags") == []
    data = capture.read_bytes()
    assert data.index(b"CONNECT") < data.index(b"220 ready") < data.index(b"STARTTLS\r\n")
    for secret in (b"secret", base64.b64encode(b"alice:secret")):
        assert secret not in data
        assert secret.hex().encode() not in saved.read_bytes()
    assert b"Basic **" in data


def test_the_dialogue_is_told(pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, saved = tmp_path / "run.html", tmp_path / "run.json"
    files = ("--html", str(page), "--save-run", str(saved))
    with listening(playing(SCRIPTS["smtp"], pki)) as port:
        command = ["connect", f"localhost:{port}", "--starttls", "smtp", *trusting(pki, tmp_path)]
        assert main([*command, "--trace", *files]) == 0
        shown = capsys.readouterr().out
        assert main([*command, "--json"]) == 0
    assert "before TLS, we: “STARTTLS”" in shown
    assert "before TLS, the peer: “220-mail.example ⏎ 220 ready”" in shown
    assert "Before TLS, in the clear, the client: “EHLO minitls.invalid”." in page.read_text()
    found = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(found)
    clear = [each for each in found["trace"] if each["type"] == "clear"]
    assert b"".join(bytes.fromhex(each["raw"]) for each in clear) == b"".join(text for _, text in SCRIPTS["smtp"])
    assert main(["show", str(saved), "--trace"]) == 0
    assert "before TLS, we: “STARTTLS”" in capsys.readouterr().out


REFUSALS: dict[str, tuple[str, Script, str]] = {
    "smtp has none": ("smtp", (*SCRIPTS["smtp"][:2], (SAYS, b"250 mail.example\r\n")), "does not offer STARTTLS"),
    "smtp is busy": ("smtp", ((SAYS, b"421 too busy\r\n"),), "'421 too busy'"),
    "smtp will not": ("smtp", (*SCRIPTS["smtp"][:4], (SAYS, b"454 not now\r\n")), "'454 not now'"),
    "smtp is ssh": ("smtp", ((SAYS, b"SSH-2.0-OpenSSH_9\r\n"),), "'SSH-2.0-OpenSSH_9'"),
    "imap says bye": ("imap", ((SAYS, b"* BYE\r\n"),), "'* BYE'"),
    "imap will not": ("imap", (*SCRIPTS["imap"][:2], (SAYS, b"a BAD what?\r\n")), "'a BAD what?'"),
    "pop3 will not": ("pop3", (*SCRIPTS["pop3"][:2], (SAYS, b"-ERR\r\n")), "'-ERR'"),
    "ftp will not": ("ftp", (*SCRIPTS["ftp"][:2], (SAYS, b"500 what?\r\n")), "'500 what?'"),
    "ldap will not": (
        "ldap",
        (SCRIPTS["ldap"][0], (SAYS, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00")),
        "code is 2",
    ),
    "ldap is none": ("ldap", (SCRIPTS["ldap"][0], (SAYS, b"HTTP/1.1 400\r\n")), "not LDAP"),
    "ldap is long": ("ldap", (SCRIPTS["ldap"][0], (SAYS, b"\x30\x84\x7f\xff\xff\xff")), "too long"),
    "ldap is another": ("ldap", (SCRIPTS["ldap"][0], (SAYS, b"\x30\x05\x02\x01\x09\x42\x00")), "not one to StartTLS"),
    "xmpp has none": ("xmpp", (SCRIPTS["xmpp"][0], (SAYS, b"<stream:features></stream:features>")), "does not offer STARTTLS"),
    "xmpp will not": ("xmpp", (*SCRIPTS["xmpp"][:3], (SAYS, b"<failure/>")), "<failure/>"),
    "postgres has none": ("postgres", (SCRIPTS["postgres"][0], (SAYS, b"N")), "turned off"),
    "postgres is none": ("postgres", (SCRIPTS["postgres"][0], (SAYS, b"E")), "does not speak PostgreSQL"),
    "mysql has none": ("mysql", ((SAYS, mysql(MYSQL_GREETING.replace(b"\xff\xff", b"\xff\xf7"))),), "turned off"),
    "mysql says no": ("mysql", ((SAYS, mysql(b"\xff\x15\x04Host is blocked")),), "Host is blocked"),
    "mysql is none": ("mysql", ((SAYS, b"HTTP/1.1 400\r\n"),), "does not speak MySQL"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_server_that_will_not(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, script, said = REFUSALS[case]
    with listening(playing(script, None)) as port:
        assert main(["connect", f"localhost:{port}", "--starttls", name]) == TLS
    error = capsys.readouterr().err
    assert said in error
    assert "will not begin TLS" in error


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_somebody_put_behind_the_go_ahead_is_refused(name: str, pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    """CVE-2011-0411: it would be taken for what the server says under TLS."""
    *before, (who, last) = SCRIPTS[name]
    script = (
        (*before, (who, last + b"injected")) if who == SAYS else (*before[:-1], (SAYS, before[-1][1] + b"injected"), (who, last))
    )
    with listening(playing(script, pki)) as port:
        assert main(["connect", f"localhost:{port}", "--starttls", name]) == TLS
    assert "said more in the clear" in capsys.readouterr().err


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_server_that_says_nothing_or_goes_away(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(playing((), None)) as port:
        assert main(["connect", f"localhost:{port}", "--starttls", name, "--timeout", "0.2"]) == TIMEOUT
    assert f"no STARTTLS with localhost:{port} within 0.2 s" in capsys.readouterr().err

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with listening(close) as port:
        assert main(["connect", f"localhost:{port}", "--starttls", name]) == TLS
    assert "before TLS could begin" in capsys.readouterr().err


def test_a_server_that_never_stops(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(playing(((SAYS, b"2" * 2**20),), None)) as port:
        assert main(["connect", f"localhost:{port}", "--starttls", "smtp"]) == TLS
    assert "does not stop talking" in capsys.readouterr().err


def test_the_usual_port_and_a_typo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "localhost", "--starttls", "smpt"]) == USAGE
    assert "did you mean smtp?" in capsys.readouterr().err


# proxies ----------------------------------------------------------------------------------------------------------------


def proxying(answer: bytes | None = None, *, user: str = "", asked: list[bytes] | None = None) -> Handler:
    """An HTTP proxy that connects, or answers this."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head)
        allowed = not user or base64.b64encode(user.encode()) in head
        if answer is not None or not allowed:
            writer.write(answer or b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            return
        where = head.split()[1].decode()
        host, _, port = where.rpartition(":")
        there = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer), return_exceptions=True)
        there[1].close()
        writer.close()

    return handle


def behind_tls(pki: Pki, handler: Handler) -> Handler:
    """The same, for clients that speak TLS to it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = minitls.aio.streams.StreamReader()  # type: ignore[attr-defined]
        protocol = asyncio.StreamReaderProtocol(inner)
        config = pki.server_config(alpn=("http/1.1",))
        transport = await minitls.start_tls(writer.transport, protocol, config)  # type: ignore[arg-type]
        protocol.connection_made(transport)
        await handler(inner, asyncio.StreamWriter(transport, protocol, inner, asyncio.get_running_loop()))

    return handle


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_through_a_proxy(secure: bool, pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bytes] = []
    handler = proxying(asked=asked, user="alice:s e:cret")
    with listening(playing((), pki)) as port, listening(behind_tls(pki, handler) if secure else handler) as through:
        where = f"{'https' if secure else 'http'}://alice:s%20e%3Acret@localhost:{through}"
        status = main(["connect", f"localhost:{port}", "--proxy", where, *trusting(pki, tmp_path)])
    out = capsys.readouterr()
    assert status == 0, out.err
    assert f"through the proxy {where.partition(':')[0]}://localhost:{through}" in out.out
    assert "cret" not in out.out + out.err
    assert asked[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\nhost: localhost:%d\r\n" % (port, port))


def test_a_proxy_and_starttls(pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(playing(SCRIPTS["smtp"], pki)) as port, listening(proxying()) as through:
        options = ("--starttls", "smtp", "--proxy", f"localhost:{through}")
        assert main(["connect", f"localhost:{port}", *options, *trusting(pki, tmp_path)]) == 0
    assert "through the proxy http://localhost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "403 Forbidden"),
        (None, "407 Proxy Authentication Required"),
        (b"SSH-2.0-OpenSSH\r\n", "does not answer as one"),
        (b"HTTP/1.1 200", "unexpectedly closed connection"),
        (b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"),
    ],
)
def test_a_proxy_that_will_not(answer: bytes | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(proxying(answer, user="nobody:else")) as through:
        assert main(["connect", "localhost", "--proxy", f"http://localhost:{through}"]) == NOT_CONNECTED
    error = capsys.readouterr().err
    assert said in error
    assert answer is not None or "http://USER:PASSWORD@HOST:PORT" in error


def test_no_proxy_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["connect", "localhost", "--proxy", f"http://127.0.0.1:{port}"]) == NOT_CONNECTED
    assert f"no connection to 127.0.0.1:{port}: connection refused" in capsys.readouterr().err


def test_what_a_proxy_may_be() -> None:
    assert str(proxy("proxy.example:3128")) == "http://proxy.example:3128"
    assert proxy("https://proxy.example").target == Target("proxy.example", 443)
    assert proxy("http://[::1]").target == Target("::1", 8080)
    with pytest.raises(CommandError, match=r"is no proxy"):
        proxy("socks5://proxy.example")
    with pytest.raises(CommandError) as caught:
        proxy("ftp://alice:secret@proxy.example")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(proxy("http://alice:secret@proxy.example"))


# Unix sockets -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_unix_socket(pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.sock"
    with listening(playing((), pki), str(path)):
        assert main(["connect", f"unix:{path}", "--sni", "localhost", *trusting(pki, tmp_path)]) == 0
        assert main(["connect", f"unix:{path}", "--insecure", "--summary"]) == 0
        assert main(["connect", f"unix:{path}"]) == USAGE
    out = capsys.readouterr()
    assert f"unix:{path}" in out.out
    assert "name it with --sni" in out.err
    assert main(["connect", f"unix:{tmp_path}/none", "--sni", "localhost"]) == NOT_CONNECTED


def test_a_unix_target() -> None:
    assert target("unix:/run/app.sock", 443) == Target("", 0, "/run/app.sock")
    assert target("unix:///run/app.sock", 443) == Target("", 0, "/run/app.sock")


# of several addresses ---------------------------------------------------------------------------------------------------


def address(number: int, family: int = socket.AF_INET) -> tuple[Any, ...]:
    return family, socket.SOCK_STREAM, 0, "", (f"192.0.2.{number}", 443)


def test_families_take_turns() -> None:
    six, four = [address(n, socket.AF_INET6) for n in range(3)], [address(n) for n in range(2)]
    assert interleaved([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert interleaved([]) == []


class Attempts:
    """Stands for the network: what becomes of each address, and which sockets are still open."""

    def __init__(self, **outcome: float | OSError) -> None:
        self.outcome = outcome
        self.begun: list[str] = []
        self.open: set[socket.socket] = set()
        self.cancelled: list[str] = []

    async def __call__(self, family: int, kind: int, number: int, name: str, where: Any) -> socket.socket:
        key = f"a{where[0].rpartition('.')[2]}"
        self.begun.append(key)
        outcome = self.outcome[key]
        if isinstance(outcome, OSError):
            raise outcome
        try:
            await asyncio.sleep(outcome)
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        sock = socket.socket()
        sock.setblocking(False)
        self.open.add(sock)
        return sock


async def run_race(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    monkeypatch.setattr(reach, "_attempt", attempts)
    monkeypatch.setattr(reach, "ATTEMPT_DELAY", 0.02)
    return await race(Target("example.com", 443), [address(n + 1) for n in range(len(attempts.outcome))])


async def test_an_address_that_is_silent_costs_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(a1=60, a2=0)
    began = time.monotonic()
    sock = await run_race(attempts, monkeypatch)
    assert time.monotonic() - began < 5
    assert (attempts.begun, attempts.cancelled) == (["a1", "a2"], ["a1"])
    sock.close()


async def test_an_address_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    attempts = Attempts(a1=refused, a2=refused, a3=0)
    monkeypatch.setattr(reach, "ATTEMPT_DELAY", 60)
    sock = await run_race(attempts, monkeypatch)
    assert attempts.begun == ["a1", "a2", "a3"]
    sock.close()


async def test_one_socket_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(a1=0.03, a2=0.01, a3=60)
    sock = await run_race(attempts, monkeypatch)
    assert [each for each in attempts.open if each.fileno() >= 0] == [sock]
    sock.close()


async def test_none_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(a1=ConnectionRefusedError(111, "Connection refused"), a2=OSError(101, "Network is unreachable"))
    with pytest.raises(
        CommandError, match=r"no connection to example.com:443: connection refused, network is unreachable"
    ) as caught:
        await run_race(attempts, monkeypatch)
    assert caught.value.status == NOT_CONNECTED


async def test_nothing_is_left_of_a_race_that_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(a1=60, a2=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await run_race(attempts, monkeypatch)
    assert sorted(attempts.cancelled) == ["a1", "a2"]
