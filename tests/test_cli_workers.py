"""serve --workers: several processes on one port, what they share, and what becomes of them; --tickets, --early-data and --psk."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import minitls
from minitls import ClientConfig, Misuse, Policy, TrustStore
from minitls.cli import main, serve
from minitls.cli.common import CommandError
from minitls.cli.service import GOODBYE, GRACE
from minitls.cli.workers import FIRST, HANGING, MOST_WAITING, NOT_FIRST, PATIENCE, QUESTION, Answers, ParentReplay, Turns
from minitls.sessions.replay import MemoryReplay
from minitls.sessions.session import Session
from tests.running import LIMIT, Serving, environment, serving

TLS12 = Policy.intermediate.replace(versions=("TLSv1.2",))
TLS13 = Policy.modern
TRIES = 200
"""Connections until one comes to the other of two workers: the kernel tosses a coin for each."""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FORCE_COLOR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Serving]:
    """Two workers that echo."""
    with serving("--echo", "--dev", "--workers", "2", cwd=tmp_path, TMPDIR=str(tmp_path)) as server:
        yield server


# who serves --------------------------------------------------------------------------------------------------------------


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def ended(pid: int) -> bool:
    """Gone, or dead and not yet buried by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not what():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.01)


def who_serves(server: Serving, port: int) -> int:
    """The worker that has the connection which comes from this port: the kernel's table has the socket, a process has it open."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(fields[n].rpartition(":")[2], 16) for n in (1, 2)] == [server.port, port]:
            mine = f"socket:[{fields[9]}]"
            break
    else:
        raise AssertionError("there is no such connection")
    for pid in children(server.process.pid):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(entry) == mine:
                    return pid
    raise AssertionError("nobody serves it")


class OneSession:
    """A client's store that offers one session again and again, which a client of ours would not."""

    def __init__(self) -> None:
        self.session: Session | None = None

    def put(self, key: str, session: Session) -> None:
        self.session = self.session or session

    def take(self, key: str) -> Session | None:
        return self.session


async def visit(server: Serving, config: ClientConfig, early: bytes = b"") -> tuple[int, minitls.ConnectionInfo]:
    """Send something and have it back: the worker that did it, and the connection."""
    reader, writer = await minitls.open_connection(
        "127.0.0.1", server.port, config=config, server_hostname="localhost", early_data=early
    )
    try:
        writer.write(b"hello")
        await asyncio.wait_for(reader.readuntil(b"hello"), LIMIT)
        return who_serves(server, writer.get_extra_info("sockname")[1]), writer.get_extra_info("tls")
    finally:
        writer.close()
        await writer.wait_closed()


def config_for(server: Serving, **fields: object) -> ClientConfig:
    return dataclasses.replace(ClientConfig(trust=TrustStore.from_files(server.ca)), **fields)  # type: ignore[arg-type]


@linux
def test_all_workers_serve(two: Serving) -> None:
    async def visits() -> list[int]:
        config = config_for(two, session_store=None)
        served: list[int] = []
        while len(set(served)) < 2 and len(served) < TRIES:
            served.append((await visit(two, config))[0])
        return served

    served = asyncio.run(visits())
    assert set(served) == children(two.process.pid)
    assert two.stop() == 0
    assert [bool(re.search("listening on", line)) for line in two.lines].count(True) == 1
    lines = [line for line in two.lines if re.fullmatch(r"127\.0\.0\.1:\d+ echo 5 bytes TLSv1.3 \S+ X25519MLKEM768", line)]
    assert len(lines) == len(served)


@linux
@pytest.mark.parametrize("policy", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_a_ticket_of_one_is_good_at_the_other(two: Serving, policy: Policy) -> None:
    async def visits() -> set[tuple[int, bool]]:
        config = config_for(two, policy=policy, session_store=OneSession())
        first, info = await visit(two, config)
        assert not info.resumed
        served: set[tuple[int, bool]] = set()
        while not any(pid != first for pid, _ in served) and len(served) < TRIES:
            pid, info = await visit(two, config)
            served.add((pid, info.resumed))
        return served

    served = asyncio.run(visits())
    assert all(resumed for _, resumed in served)
    assert children(two.process.pid) - {pid for pid, _ in served} != children(two.process.pid)


@linux
def test_early_data_is_taken_once_by_all_of_them(tmp_path: Path) -> None:
    with serving("--echo", "--dev", "--workers", "2", "--early-data", cwd=tmp_path, TMPDIR=str(tmp_path)) as server:

        async def visits() -> list[tuple[int, bool]]:
            config = config_for(server, policy=TLS13, session_store=OneSession())
            await visit(server, config)
            served: list[tuple[int, bool]] = []
            while len({pid for pid, _ in served[1:]}) < 2 and len(served) < TRIES:
                pid, info = await visit(server, config, b"early")
                assert info.resumed
                served.append((pid, bool(info.early_data_accepted)))
            return served

        served = asyncio.run(visits())
        assert {pid for pid, _ in served[1:]} == children(server.process.pid)
        assert [accepted for _, accepted in served] == [True] + [False] * (len(served) - 1)


# life and death ----------------------------------------------------------------------------------------------------------


@linux
def test_a_worker_that_dies_is_replaced(two: Serving) -> None:
    before = children(two.process.pid)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)

    async def visits() -> set[int]:
        config = config_for(two)  # without a pause: what comes to the dead one's socket waits for the new one
        return {pid for pid, _ in [await visit(two, config) for _ in range(20)]}

    assert victim not in asyncio.run(visits())
    two.wait_for(rf"^worker {victim} ended by SIGKILL: another takes its place$")
    until(lambda: len(children(two.process.pid)) == 2)
    assert len(children(two.process.pid) & before) == 1
    assert two.stop() == 0
    assert sum("listening on" in line for line in two.lines) == 1


@linux
def test_a_worker_that_is_told_to_end_is_replaced(two: Serving) -> None:
    victim = max(children(two.process.pid))
    os.kill(victim, signal.SIGTERM)
    two.wait_for(rf"^worker {victim} ended with status 0: another takes its place$")
    assert two.stop() == 0


@linux
def test_workers_that_die_at_once_are_not_replaced_for_ever(two: Serving) -> None:
    def kill_them() -> bool:
        with contextlib.suppress(FileNotFoundError):
            for pid in children(two.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return two.process.poll() is not None

    until(kill_them)
    assert two.process.returncode == 7
    two.wait_for(r"^minitls: the workers do not stay alive: 5 in a row died at once, the last one by SIGKILL$")


@linux
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals(two: Serving, number: int, status: int) -> None:
    workers = children(two.process.pid)
    if number == signal.SIGINT:  # a terminal sends it to all
        for pid in workers:
            os.kill(pid, number)
    assert two.stop(number) == status
    assert all(map(ended, workers))
    assert len(two.lines) == 2


@linux
def test_workers_end_with_their_parent(two: Serving) -> None:
    workers = children(two.process.pid)
    os.kill(max(workers), signal.SIGSTOP)  # whatever it inherited: the others notice at once
    try:
        two.process.kill()
        until(lambda: all(map(ended, workers - {max(workers)})))
    finally:
        os.kill(max(workers), signal.SIGCONT)
    until(lambda: all(map(ended, workers)))


@linux
def test_what_is_idle_ends_with_close_notify(two: Serving) -> None:
    async def wait_while_it_stops() -> bytes:
        reader, writer = await minitls.open_connection("127.0.0.1", two.port, config=config_for(two), server_hostname="localhost")
        writer.write(b"x")
        await reader.readexactly(1)
        two.process.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(reader.read(), LIMIT)
        writer.close()
        return rest

    assert asyncio.run(wait_while_it_stops()) == b""
    assert two.process.wait(LIMIT) == 0


@contextlib.contextmanager
def serving_by(code: str, tmp_path: Path, *more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Two workers, after this code; its port.  Its stderr is read no further."""
    program = f"import sys\nfrom minitls.cli import main, workers\n{code}\nsys.exit(main())"
    options = ("--echo", "--dev", "--workers", "2", "--listen", "127.0.0.1:0", *more)
    command, environ, pipe = (sys.executable, "-W", "error", "-c", program), environment(TMPDIR=str(tmp_path)), subprocess.PIPE
    with subprocess.Popen((*command, "serve", *options), stdout=pipe, stderr=pipe, cwd=tmp_path, env=environ) as process:
        assert process.stderr is not None
        try:
            yield process, next(int(line.rpartition(b":")[2]) for line in process.stderr if line.startswith(b"listening"))
        finally:
            process.kill()


@linux
def test_a_worker_that_hangs_is_killed_in_the_end(tmp_path: Path) -> None:
    assert HANGING > 2 * (GRACE + GOODBYE)  # which one that is well needs
    with serving_by("workers.HANGING = 0.5", tmp_path) as (process, _):
        workers = children(process.pid)
        os.kill(min(workers), signal.SIGSTOP)
        process.terminate()
        assert process.wait(LIMIT) == 0
        assert all(map(ended, workers))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nobody_reads_what_we_say(stream: str, tmp_path: Path) -> None:
    with serving_by("", tmp_path, "--json") as (process, port):
        getattr(process, stream).close()
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"this is no TLS\r\n")
            assert process.wait(LIMIT) == 141


# the port ----------------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken(two: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ((), ("--workers", "2")):
        assert main(["serve", "--dev", "--listen", f"127.0.0.1:{two.port}", *more]) == 7
        assert f"minitls: cannot listen on 127.0.0.1:{two.port}: address already in use\n" in capsys.readouterr().err
    with serving("--echo", "--dev") as alone:
        assert main(["serve", "--dev", "--workers", "2", "--listen", f"127.0.0.1:{alone.port}"]) == 7


def test_an_address_that_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--dev", "--workers", "2", "--listen", "203.0.113.1:0"]) == 7
    assert "cannot listen on 203.0.113.1:0: cannot assign requested address" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["os.fork", "socket.SO_REUSEPORT"])
def test_a_system_that_cannot(missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delattr(missing)
    assert main(["serve", "--dev", "--workers", "2", "--listen", "127.0.0.1:0"]) == 2
    assert "--workers needs fork and SO_REUSEPORT" in capsys.readouterr().err


# the record --------------------------------------------------------------------------------------------------------------


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@contextlib.asynccontextmanager
async def joined(record: MemoryReplay) -> AsyncIterator[tuple[ParentReplay, Answers, list[str]]]:
    """A worker's side, its parent's, and what they are told."""
    ours, theirs = socket.socketpair()
    told: list[str] = []
    answers, replay = Answers(record, lambda: told.append("ready")), ParentReplay()
    await asyncio.get_running_loop().create_unix_connection(lambda: answers, sock=ours)
    await replay.join(theirs, lambda: told.append("gone"))
    replay.ready()
    try:
        yield replay, answers, told
    finally:
        await replay.part()
        answers.abort()
        await asyncio.sleep(0)


async def test_a_use_is_the_first_in_all_workers() -> None:
    record, now = MemoryReplay(), time.time() + 1
    async with joined(record) as (one, _, told), joined(record) as (other, _, _):
        assert await one.first_use(key(1), now, now + 10) is True
        assert await one.first_use(key(1), now, now + 10) is False
        assert await other.first_use(key(1), now, now + 10) is False
        assert await other.first_use(key(2), now, now + 10) is True
        assert await one.first_use(key(2), now, now + 10) is False
        assert await one.first_use(key(3), now - 100, now + 10) is False  # issued before the record began
        assert await one.first_use(key(3), now, now - 100) is False
        assert told == ["ready"]


async def test_answers_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minitls.cli.workers.PATIENCE", 10)  # a thousand questions at once, on a machine that may be busy
    record, now = MemoryReplay(), time.time() + 1
    used = {number for number in range(500) if number % 3 == 0 or number % 7 == 0}
    for number in used:
        assert record.first_use(key(number), now, now + 10)
    async with joined(record) as (one, _, _), joined(record) as (other, _, _):
        asked = [(who, number) for number in range(500) for who in (one, other)]
        said = await asyncio.gather(*(who.first_use(key(number), now, now + 10) for who, number in asked))
        firsts = [number for (_, number), first in zip(asked, said, strict=True) if first]
        assert sorted(firsts) == sorted(set(range(500)) - used)


async def test_nobody_waits_for_a_parent_that_is_gone() -> None:
    async with joined(MemoryReplay()) as (replay, answers, told):
        now = time.time() + 1
        asking = asyncio.create_task(replay.first_use(key(1), now, now + 10))
        answers.abort()
        assert await asking in (True, False)
        await asyncio.sleep(0.01)
        assert told[-1] == "gone"
        began = time.monotonic()
        assert await replay.first_use(key(2), now, now + 10) is False
        assert time.monotonic() - began < PATIENCE / 2
    assert await ParentReplay().first_use(key(1), 0, 0) is False  # the parent itself, which serves nobody


async def test_a_parent_that_is_slow() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        replay = ParentReplay()
        await replay.join(theirs, lambda: None)
        began = time.monotonic()
        assert await replay.first_use(key(1), 0, 0) is False
        assert PATIENCE * 0.9 < time.monotonic() - began < PATIENCE * 4
        asking = asyncio.create_task(replay.first_use(key(2), 0, 0))
        await asyncio.sleep(0.01)
        assert len(ours.recv(1000)) == 2 * QUESTION.size
        ours.send(FIRST + NOT_FIRST)  # the late answer belongs to the first question
        assert await asking is False
        asking = asyncio.create_task(replay.first_use(key(3), 0, 0))
        await asyncio.sleep(0.01)
        ours.send(FIRST)
        assert await asking is True
        full = [asyncio.create_task(replay.first_use(key(n), 0, 0)) for n in range(MOST_WAITING)]
        await asyncio.sleep(0.01)
        began = time.monotonic()
        assert await replay.first_use(key(4), 0, 0) is False
        assert time.monotonic() - began < PATIENCE / 2
        assert not any(await asyncio.gather(*full))
        with pytest.raises(Misuse, match="32 bytes"):
            await replay.first_use(b"short", 0, 0)
        await replay.part()


async def test_questions_in_pieces() -> None:
    class Kept(asyncio.Transport):
        written = b""

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.written += bytes(data)

    transport, now, told = Kept(), time.time() + 1, []
    answers = Answers(MemoryReplay(), lambda: told.append("ready"))
    answers.connection_made(transport)
    for byte in b"\x01" + QUESTION.pack(key(1), now, now + 9) * 2 + QUESTION.pack(key(2), now, now + 9):
        answers.data_received(bytes((byte,)))
    assert transport.written == FIRST + NOT_FIRST + FIRST
    assert told == ["ready"]


# the options -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--workers", "0"], "'0' is no number of processes from 1 to 256"),
        (["--workers", "two"], "'two' is no number of processes"),
        (["--workers", "100000"], "no number of processes"),
        (["--worker", "2"], "did you mean --workers?"),
        (["--early-data", "0"], "'0' is no number of bytes above 0\n"),
        (["--early-data", "public"], "a folder comes before it, or write --early-data=16384"),
        (["--early-data", "4294967296"], "no number of bytes above 0"),
        (["--psk", "client"], "--psk wants IDENTITY:HEX"),
        (["--psk", ":00"], "--psk wants IDENTITY:HEX"),
        (["--psk", "client:"], "the key of --psk 'client' is not in hex"),
        (["--psk", "client:5ecre7"], "the key of --psk 'client' is not in hex"),
        (["--tickets", "redis"], "--tickets is no URL of a Redis, such as redis://localhost:6379/0"),
        (["--tickets", "redi://localhost"], "did you mean redis://?"),
        (["--tickets", "http://localhost"], "--tickets is no URL of a Redis"),
        (["--tickets", "redis://localhost:port"], "Redis has a URL such as"),
    ],
)
def test_options_that_cannot_be(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--dev", *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "5ecre7" not in error


def test_a_server_without_anything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == 2
    assert "--psk IDENTITY:HEX" in capsys.readouterr().err


def configured(*options: str) -> minitls.ServerConfig:
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    with contextlib.ExitStack() as cleanup:
        return serve.configure(parser.parse_args(["serve", *options]), cleanup)


def test_configurations() -> None:
    plain = configured("--psk", "a:b:00ff", "--psk", "c:11")
    assert plain.early_data is None
    assert plain.psk is not None
    assert [plain.psk(identity) for identity in (b"a:b", b"c", b"d")] == [b"\x00\xff", b"\x11", None]
    assert configured("--psk", "c:11", "--early-data").early_data == 2**14
    assert configured("--psk", "c:11", "--early-data", "100").early_data == 100
    pytest.importorskip("redis")
    shared = configured("--psk", "c:11", "--tickets", "redis://localhost:1", "--early-data")
    assert [type(each).__module__ for each in (shared.tickets, shared.session_cache, shared.replay)] == [
        "minitls.sessions.redis"
    ] * 3


def test_tickets_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "minitls.sessions.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(CommandError, match=r"--tickets: .*pip install"):
        configured("--psk", "c:11", "--tickets", "redis://localhost")


def test_a_shared_key_instead_of_a_certificate(tmp_path: Path) -> None:
    with serving("--echo", "--psk", f"client:{'17' * 16}", cwd=tmp_path) as server:

        async def talk(key: bytes) -> bytes:
            config = ClientConfig(policy=TLS12, psk=lambda hint: (b"client", key))
            reader, writer = await minitls.open_connection("127.0.0.1", server.port, config=config)
            writer.write(b"hello")
            answer = await asyncio.wait_for(reader.readexactly(5), LIMIT)
            writer.close()
            await writer.wait_closed()
            return answer

        assert asyncio.run(talk(b"\x17" * 16)) == b"hello"
        with pytest.raises(minitls.TLSError):
            asyncio.run(talk(b"\x18" * 16))
        server.wait_for("the handshake failed")


@linux
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server here")
def test_tickets_in_redis(tmp_path: Path) -> None:
    """Two services that know of each other only by Redis."""
    pytest.importorskip("redis")
    assert main(["certs", "make", "--out", str(tmp_path / "certs"), "localhost"]) == 0
    with tempfile.TemporaryDirectory(prefix="minitls-") as folder:  # the path of a socket must be short
        where = Path(folder, "redis")
        command = ("redis-server", "--port", "0", "--unixsocket", str(where), "--save", "", "--dir", folder)
        redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(where.exists)
            options = ("--echo", "--dev", "--tickets", f"unix://{where}", "--workers", "2")
            with serving(*options, cwd=tmp_path) as one, serving(*options, cwd=tmp_path) as other:
                trust = TrustStore.from_files(tmp_path / "certs" / "root.pem")
                config = ClientConfig(trust=trust, policy=TLS12, session_store=OneSession())
                assert not asyncio.run(visit(one, config))[1].resumed
                assert asyncio.run(visit(other, config))[1].resumed
                assert asyncio.run(visit(one, config))[1].resumed
        finally:
            redis.terminate()
            redis.wait(LIMIT)


# what is written -----------------------------------------------------------------------------------------------------------


def test_lines_of_several_workers_are_whole(tmp_path: Path) -> None:
    documents: list[dict[str, object]] = []
    options = ("--www", "--dev", "--json", "--workers", "3")
    with serving(*options, cwd=tmp_path, TMPDIR=str(tmp_path)) as server:
        assert server.process.stdout is not None
        out = server.process.stdout
        reading = threading.Thread(target=lambda: documents.extend(map(json.loads, out)))
        reading.start()

        async def one() -> None:
            config = config_for(server, session_store=None)
            _, writer = await minitls.open_connection("127.0.0.1", server.port, config=config, server_hostname="localhost")
            writer.close()
            await writer.wait_closed()

        async def many() -> None:
            await asyncio.gather(*(one() for _ in range(60)))

        asyncio.run(many())
        assert server.stop() == 0
        reading.join(LIMIT)
    assert len(documents) == 60
    assert all(document["ok"] for document in documents)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_lines_are_whole_though_they_are_read_late(unbuffered: str, tmp_path: Path) -> None:
    """The pipe is full when SIGTERM comes, which cuts a write short; each connection has its line nevertheless."""
    options, env = ("--echo", "--dev", "--json", "--workers", "2"), {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": unbuffered}
    with serving(*options, cwd=tmp_path, **env) as server:

        async def one() -> None:
            config = config_for(server, session_store=None)
            _, writer = await minitls.open_connection("127.0.0.1", server.port, config=config, server_hostname="localhost")
            writer.close()
            await writer.wait_closed()

        async def many() -> None:
            await asyncio.gather(*(one() for _ in range(20)))

        asyncio.run(many())
        assert server.process.stdout is not None
        time.sleep(0.5)  # until they write
        server.process.terminate()
        time.sleep(0.5)  # until they have heard it
        documents = [json.loads(line) for line in server.process.stdout]
        assert server.process.wait(LIMIT) == 0
    assert len(documents) == 20


@pytest.mark.parametrize(("workers", "complete"), [((), True), ((), False), (("--workers", "2"), True)])
def test_what_goes_on_when_it_stops_has_its_line(workers: tuple[str, ...], complete: bool, tmp_path: Path) -> None:
    """Whether the handshake was complete or not."""

    async def stopped_between(server: Serving) -> None:
        if complete:
            reader, writer = await minitls.open_connection(
                "127.0.0.1", server.port, config=config_for(server), server_hostname="localhost"
            )
            writer.write(b"x")
            await reader.readexactly(1)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)  # type: ignore[assignment]
            writer.write(b"\x16\x03\x01")  # the beginning of a record
            await asyncio.sleep(0.2)
        server.process.terminate()
        await asyncio.wait_for(reader.read(), LIMIT)
        writer.close()
        await writer.wait_closed()

    with serving("--echo", "--dev", "--json", *workers, cwd=tmp_path, TMPDIR=str(tmp_path)) as server:
        asyncio.run(stopped_between(server))
        assert server.process.stdout is not None
        (found,) = map(json.loads, server.process.stdout)
    assert found["ok"] is complete
    assert (found["connection"] is not None and found["connection"]["version"]) == (complete and "TLSv1.3")


def test_turns() -> None:
    with tempfile.TemporaryFile() as file:
        turn = Turns(file)
        with turn():
            pid = os.fork()
            if not pid:
                with turn():
                    os._exit(3)
            time.sleep(0.2)
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
