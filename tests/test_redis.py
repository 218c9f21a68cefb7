"""What servers share through Redis: with a real one, a dead one, a silent one, and one that forgot."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from minitls import Misuse, Policy
from minitls.aio.server import start_server
from minitls.aio.streams import open_connection
from minitls.sessions.redis import _CLIENTS, CONNECTIONS, REST, SKEW, WARN, RedisSessions
from minitls.sessions.session import FORMAT, MAX_LIFETIME, Session
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import READ_EPOCHS, ROTATE
from tests.conftest import NAME, Pki

T = TypeVar("T")
START = 1_800_000_000.0
YEAR = 365 * 86400.0
PATIENCE = 5.0
"""Seconds that Redis may take where its slowness is not what is tested."""

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Server:
    """A redis-server on a port of its own; ``folder``: where its snapshot lies, if anybody makes one."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(self.folder)}
        command = ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + 10
        while True:
            try:
                assert self.do("PING")
                return
            except redis.ConnectionError:
                assert time.monotonic() < give_up, "redis-server does not start"
                time.sleep(0.01)

    def do(self, *command: str | bytes | float) -> Any:
        with redis.Redis(port=self.port, socket_timeout=10) as client:
            return client.execute_command(*command)

    def send(self, what: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(what)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("redis"))
    yield made
    made.kill()


@pytest.fixture
def server(lasting: Server) -> Server:
    """One that is empty, and is to stay alive."""
    lasting.do("FLUSHALL")
    return lasting


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """One to do anything with."""
    made = Server(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a Redis that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


def shared(server: Server | str, clock: Callable[[], float], **how: Any) -> RedisSessions:
    url = server if isinstance(server, str) else server.url
    return RedisSessions(url, clock=clock, **{"timeout": PATIENCE, **how})


async def told(answer: Awaitable[T] | T) -> T:
    return await answer if inspect.isawaitable(answer) else answer


async def sealed(sessions: RedisSessions, state: bytes = b"state") -> bytes:
    ticket = await told(sessions.tickets.seal(state))
    assert ticket is not None
    return ticket


def a_session(**changes: Any) -> Session:
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": 0x0303,
        "cipher_suite": 0xC02B,
        "secret": b"\xaa" * 48,
        "extended": 1,
        "authenticated": int(START * 1000),
        "created": int(START * 1000),
        "lifetime": 3600,
        "until": 0,
        "server_name": b"localhost",
        "alpn": b"",
        "context": b"",
        "identity": b"",
        "chain": (),
        "public_key": b"",
        "certificate_type": 0,
        "signature_scheme": 0,
        "scrutiny": 0,
        "group": b"",
        "ocsp_response": b"",
        "scts": (),
        "session_id": b"\x01" * 32,
        "ticket": b"",
        "age_add": 0,
        "max_early_data": 0,
    }
    return Session(**fields | changes)


# tickets ------------------------------------------------------------------------------------------------------------------


@needs_redis
async def test_one_seals_and_the_other_opens(server: Server) -> None:
    clock = Clock()
    one, other, stranger = shared(server, clock), shared(server, clock), shared(server, clock, prefix="elsewhere:")
    ticket = await sealed(one)
    assert await told(other.tickets.open(ticket)) == b"state"
    assert await told(one.tickets.open(await sealed(other, b""))) == b""
    assert await told(stranger.tickets.open(ticket)) is None


@needs_redis
async def test_after_the_first_nobody_waits(server: Server) -> None:
    """The handshake is not suspended, and Redis is not asked."""
    sessions = shared(server, Clock())
    await sealed(sessions)
    server.do("CONFIG", "RESETSTAT")
    ticket = sessions.tickets.seal(b"state")
    assert isinstance(ticket, bytes)
    assert sessions.tickets.open(ticket) == b"state"
    assert server.do("INFO", "commandstats").keys() <= {"cmdstat_config|resetstat", "cmdstat_client|setinfo", "cmdstat_hello"}


@needs_redis
async def test_all_come_first(server: Server) -> None:
    """Twenty servers start together, and have one key."""
    tickets = await asyncio.gather(*(sealed(shared(server, Clock())) for _ in range(20)))
    assert len({ticket[:16] for ticket in tickets}) == 1
    assert len({ticket[16:28] for ticket in tickets}) == 20


@needs_redis
async def test_each_byte_of_a_ticket(server: Server) -> None:
    clock = Clock()
    sessions = shared(server, clock)
    ticket = await sealed(sessions)
    for at in range(len(ticket)):
        for flip in (1, 0x80):
            clock.now += REST  # a name that nobody knows is looked for
            assert await told(sessions.tickets.open(ticket[:at] + bytes((ticket[at] ^ flip,)) + ticket[at + 1 :])) is None
        assert await told(sessions.tickets.open(ticket[:at])) is None
    assert await told(sessions.tickets.open(ticket + b"\0")) is None
    assert await told(sessions.tickets.open(ticket)) == b"state"


@needs_redis
async def test_rotation(server: Server) -> None:
    """A new key each epoch; those of the last two are still read, also by who starts only then."""
    clock = Clock()
    sessions = shared(server, clock)
    ticket = await sealed(sessions)
    names = {ticket[:16]}
    for epochs in range(1, READ_EPOCHS + 3):
        clock.now = START + ROTATE * epochs
        for reader in (sessions, shared(server, clock)):
            assert await told(reader.tickets.open(ticket)) == (b"state" if epochs <= READ_EPOCHS else None), epochs
        names.add((await sealed(sessions))[:16])
    assert len(names) == READ_EPOCHS + 3
    assert len(sessions.tickets._reading) <= READ_EPOCHS + 2  # type: ignore[attr-defined]


@needs_redis
async def test_a_clock_that_is_ahead(server: Server) -> None:
    """One epoch to come is read, and no more."""
    clock, other = Clock(), Clock(START + ROTATE)
    one, ahead, far = shared(server, clock), shared(server, other), shared(server, Clock(START + 2 * ROTATE))
    assert await told(one.tickets.open(await sealed(ahead))) == b"state"
    other.now += REST
    assert await told(ahead.tickets.open(await sealed(one))) == b"state"
    clock.now += REST
    assert await told(one.tickets.open(await sealed(far))) is None


@needs_redis
async def test_a_clock_that_goes_back_ten_years_and_forth(server: Server) -> None:
    clock = Clock()
    sessions = shared(server, clock)
    ticket = await sealed(sessions)
    clock.now -= 10 * YEAR
    assert await told(sessions.tickets.open(ticket)) is None
    assert await told(sessions.tickets.open(await sealed(sessions, b"old"))) == b"old"
    clock.now += 20 * YEAR
    assert await told(sessions.tickets.open(ticket)) is None
    clock.now -= 10 * YEAR
    assert await told(sessions.tickets.open(ticket)) == b"state"


@needs_redis
async def test_names_that_nobody_knows(server: Server) -> None:
    """Anybody can send tickets that look like ours: Redis is asked once a second, not once a ticket."""
    clock = Clock()
    sessions = shared(server, clock)
    ticket = await sealed(sessions)
    junk = bytes(len(ticket))
    assert sessions.tickets.open(junk) is None
    assert sessions.tickets.open(b"short") is None
    clock.now += REST
    asked = sessions.tickets.open(junk)
    assert inspect.isawaitable(asked)
    assert await asked is None
    assert sessions.tickets.open(junk) is None


@needs_redis
async def test_redis_without_its_keys(server: Server) -> None:
    """Who has the lost key and who has the new one understand each other within a second, and then have one key again."""
    clock = Clock()
    old = shared(server, clock)
    before = await sealed(old)
    server.do("FLUSHALL")
    new = shared(server, clock)
    after = await sealed(new)
    assert before[:16] != after[:16]
    clock.now += REST
    assert await told(old.tickets.open(after)) == b"state"
    assert old.tickets.open(before) == b"state"
    assert (await sealed(old))[:16] == after[:16]


@needs_redis
@pytest.mark.parametrize("damage", [("SET", b"short"), ("SET", bytes(49)), ("RPUSH", b"list")])
async def test_what_is_no_key(server: Server, damage: tuple[str, bytes], caplog: pytest.LogCaptureFixture) -> None:
    command, value = damage
    server.do(command, f"minitls:ticket-key:{int(START // ROTATE)}", value)
    assert await told(shared(server, Clock()).tickets.seal(b"state")) is None
    assert "holds no ticket key" in caplog.text


@needs_redis
async def test_keys_end(server: Server) -> None:
    """Redis forgets them when nobody reads them any more; the beginning of the record stays."""
    await sealed(shared(server, Clock()))
    (key,) = server.do("KEYS", "minitls:ticket-key:*")
    left = server.do("PTTL", key) / 1000
    assert (READ_EPOCHS + 1) * ROTATE < left <= (READ_EPOCHS + 2) * ROTATE
    assert server.do("PTTL", "minitls:began") == -1


# sessions by ID -----------------------------------------------------------------------------------------------------------


@needs_redis
async def test_the_cache(server: Server) -> None:
    clock = Clock()
    one, other = shared(server, clock), shared(server, clock)
    session = a_session()
    assert await told(one.cache.get("01" * 32)) is None
    await told(one.cache.put("01" * 32, session))
    for reader in (one, other, other):
        assert await told(reader.cache.get("01" * 32)) == session
    assert await told(shared(server, clock, prefix="elsewhere:").cache.get("01" * 32)) is None


@needs_redis
@pytest.mark.parametrize(
    ("age", "authenticated", "left"),
    [
        (0, 0, 3600),
        (3000, 3000, 600),
        (3599, 3599, 1),
        (3600, 3600, None),
        (10 * YEAR, 10 * YEAR, None),
        (0, MAX_LIFETIME - 60, 60),
        (0, MAX_LIFETIME, None),
    ],
)
async def test_how_long_a_session_is_kept(server: Server, age: float, authenticated: float, left: float | None) -> None:
    """As long as it may be resumed, by itself and by the certificates that were shown once."""
    session = a_session(created=int((START - age) * 1000), authenticated=int((START - authenticated) * 1000))
    await told(shared(server, Clock()).cache.put("id", session))
    kept = server.do("PTTL", "minitls:session:id")
    if left is None:
        assert kept == -2
    else:
        assert left - 1 < kept / 1000 <= left


@needs_redis
@pytest.mark.parametrize("value", [b"", b"damaged", a_session().to_bytes()[:-1], a_session(format=FORMAT + 1).to_bytes()])
async def test_a_damaged_session_is_none(server: Server, value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    server.do("SET", "minitls:session:id", value)
    assert await told(shared(server, Clock()).cache.get("id")) is None
    assert not caplog.records


# single use ---------------------------------------------------------------------------------------------------------------

KEY = bytes(range(32))


async def running(server: Server | str, clock: Clock, **how: Any) -> RedisSessions:
    """With a record that began long enough ago for tickets of this moment."""
    sessions = shared(server, clock, **how)
    await sealed(sessions)
    clock.now += SKEW
    return sessions


@needs_redis
async def test_once_in_all(server: Server) -> None:
    """Two servers, fifty attempts at the same time."""
    clock = Clock()
    both = [await running(server, clock), shared(server, clock)]
    for number in range(3):
        key, issued = bytes((number,)) * 32, clock.now
        uses = (told(both[attempt % 2].replay.first_use(key, issued, issued + 60)) for attempt in range(50))
        assert sum(await asyncio.gather(*uses)) == 1
    assert server.do("DBSIZE") == 3 + 2


@needs_redis
async def test_how_long_a_use_is_remembered(server: Server) -> None:
    """Until its end, and a second more: another server's clock may be behind."""
    clock = Clock()
    sessions = await running(server, clock)
    assert await told(sessions.replay.first_use(KEY, clock.now, clock.now + 60)) is True
    assert 60 + SKEW - 1 < server.do("PTTL", f"minitls:used:{KEY.hex()}") / 1000 <= 60 + SKEW
    assert sessions.replay.first_use(bytes(32), clock.now, clock.now) is False


@needs_redis
async def test_tickets_of_before_the_record(server: Server) -> None:
    """And those of the first second after it: the clock of who began it may be ahead."""
    clock = Clock()
    sessions = await running(server, clock)
    for early in (0.001, SKEW, YEAR):
        assert await told(sessions.replay.first_use(KEY + b"%f" % early, clock.now - early, clock.now + 60)) is False
    assert await told(sessions.replay.first_use(KEY, clock.now, clock.now + 60)) is True


@needs_redis
async def test_a_record_without_tickets_begins_with_the_first_use(server: Server) -> None:
    clock = Clock()
    sessions = shared(server, clock)
    assert await told(sessions.replay.first_use(KEY, clock.now + SKEW, clock.now + 60)) is False
    clock.now += SKEW
    assert await told(sessions.replay.first_use(bytes(32), clock.now, clock.now + 60)) is True


@needs_redis
async def test_who_starts_later_goes_on_with_the_record(server: Server) -> None:
    clock = Clock()
    await running(server, clock)
    issued = clock.now
    clock.now += 3600
    late = shared(server, clock)
    await sealed(late)
    assert await told(late.replay.first_use(KEY, issued, clock.now + 60)) is True


@needs_redis
async def test_redis_that_lost_its_data(server: Server) -> None:
    clock = Clock()
    sessions = await running(server, clock)
    issued, until = clock.now, clock.now + 3600
    assert await told(sessions.replay.first_use(KEY, issued, until)) is True
    server.do("FLUSHALL")
    clock.now += 10
    for key in (KEY, bytes(32)):
        assert await told(sessions.replay.first_use(key, issued, until)) is False
    clock.now += SKEW
    assert await told(sessions.replay.first_use(bytes(32), clock.now, until)) is False  # its key was used just now
    assert await told(sessions.replay.first_use(b"\1" * 32, clock.now, until)) is True


@needs_redis
async def test_redis_that_comes_back_with_old_data(mortal: Server) -> None:
    """A snapshot has the record's beginning, but not the last uses: by the run_id we see that it is not the same Redis."""
    clock = Clock()
    sessions = await running(mortal, clock)
    issued, until = clock.now, clock.now + 3600
    mortal.do("SAVE")
    assert await told(sessions.replay.first_use(KEY, issued, until)) is True
    mortal.kill()
    mortal.start()
    assert mortal.do("GET", "minitls:began")
    assert not mortal.do("EXISTS", f"minitls:used:{KEY.hex()}")
    clock.now += 10
    assert await told(sessions.replay.first_use(KEY, issued, until)) is False
    clock.now += SKEW
    assert await told(sessions.replay.first_use(b"\1" * 32, clock.now, until)) is True


@needs_redis
@pytest.mark.parametrize("value", [b"", b"x", b"nan", b"RUN", b"RUN nan", b"RUN -1", b"RUN 1.5", b"\xff \xff", b"RUN 1 2"])
async def test_a_damaged_beginning_is_none(server: Server, value: bytes) -> None:
    clock = Clock()
    run = server.do("INFO", "server")["run_id"].encode()
    server.do("SET", "minitls:began", value.replace(b"RUN", run))
    sessions = shared(server, clock)
    assert await told(sessions.replay.first_use(KEY, clock.now, clock.now + 60)) is False
    clock.now += SKEW
    assert await told(sessions.replay.first_use(bytes(32), clock.now, clock.now + 60)) is True


@needs_redis
async def test_clocks_that_are_years_off(server: Server) -> None:
    clock = Clock()
    sessions = await running(server, clock)
    issued, until = clock.now, clock.now + 60
    assert await told(sessions.replay.first_use(KEY, issued, until)) is True
    for now in (START - 10 * YEAR, START + 10 * YEAR, 0.0, START):
        clock.now = now
        assert await told(sessions.replay.first_use(KEY, issued, until)) is False


# a Redis that is not there ------------------------------------------------------------------------------------------------


async def nothing_of(sessions: RedisSessions, clock: Clock) -> float:
    """Everything asked of a Redis that does not answer, together; the seconds that it took."""
    began = time.monotonic()
    calls = (
        lambda: sessions.tickets.seal(b"state"),
        lambda: sessions.tickets.open(bytes(100)),
        lambda: sessions.cache.put("id", a_session(created=int(clock.now * 1000), authenticated=int(clock.now * 1000))),
        lambda: sessions.cache.get("id"),
        lambda: sessions.replay.first_use(KEY, clock.now, clock.now + 60),
    )
    assert await asyncio.gather(*(told(call()) for call in calls)) == [None, None, None, None, False]
    return time.monotonic() - began


@needs_redis
async def test_a_dead_redis(mortal: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Answers at once, one warning a minute; what is known already serves on; and when Redis is back, all is as it was."""
    clock = Clock()
    sessions = shared(mortal, clock)
    ticket = await sealed(sessions)
    await told(sessions.cache.put("id", a_session()))
    mortal.kill()
    assert sessions.tickets.open(ticket) == b"state"
    assert isinstance(sessions.tickets.seal(b"state"), bytes)

    clock.now += ROTATE
    for _ in range(59):
        clock.now += 1
        assert await nothing_of(sessions, clock) < PATIENCE / 2
    (warning,) = caplog.records
    assert (warning.name, warning.levelno) == ("minitls", logging.WARNING)
    assert f"127.0.0.1:{mortal.port}" in caplog.text
    assert "handshakes may not resume" in caplog.text
    clock.now += WARN
    assert await nothing_of(sessions, clock) < PATIENCE / 2
    assert len(caplog.records) == 2
    assert sessions.tickets.open(ticket) == b"state"

    mortal.start()
    assert await nothing_of(sessions, clock) < PATIENCE / 2  # it rests yet
    clock.now += REST
    assert await told(sessions.tickets.open(await sealed(sessions, b"again"))) == b"again"
    await told(sessions.cache.put("id", again := a_session(created=int(clock.now * 1000), authenticated=int(clock.now * 1000))))
    assert await told(sessions.cache.get("id")) == again
    clock.now += SKEW
    assert await told(sessions.replay.first_use(KEY, clock.now, clock.now + 60)) is True
    assert len(caplog.records) == 2


async def test_a_silent_redis(silent: str, caplog: pytest.LogCaptureFixture) -> None:
    """One timeout in all, for a thousand handshakes as for one; and none for those that come after."""
    clock = Clock()
    sessions = shared(silent, clock, timeout=0.2)
    assert 0.19 < await nothing_of(sessions, clock) < PATIENCE
    assert await nothing_of(sessions, clock) < 0.19
    clock.now += REST
    sessions = shared(silent, clock, timeout=0.2)
    began = time.monotonic()
    assert set(await asyncio.gather(*(told(sessions.cache.get("id")) for _ in range(1000)))) == {None}
    assert time.monotonic() - began < PATIENCE
    assert "no answer within 0.2 s" in caplog.text
    assert len(caplog.records) == 2


async def test_one_tries_and_the_others_wait_for_what_it_learns(silent: str) -> None:
    clock = Clock()
    sessions = shared(silent, clock, timeout=0.05)
    assert await told(sessions.cache.get("id")) is None
    for _ in range(3):
        clock.now += REST
        tried = sessions.cache.get("id")
        assert inspect.isawaitable(tried)
        assert [sessions.cache.get("id"), sessions.tickets.seal(b""), sessions.replay.first_use(KEY, START, 2 * START)] == [
            None,
            None,
            False,
        ]
        assert await tried is None
    clock.now -= YEAR  # which is no reason to rest for a year
    tried = sessions.cache.get("id")
    assert inspect.isawaitable(tried)
    assert await tried is None


@needs_redis
async def test_no_answer_goes_to_another_question(mortal: Server) -> None:
    """What was asked of a Redis that stood still is not answered on the same connection later."""
    clock = Clock()
    sessions = shared(mortal, clock, timeout=1.0)
    sessions_of = {f"id{number}": a_session(secret=bytes((number + 1,)) * 48) for number in range(40)}
    for key, session in sessions_of.items():
        await told(sessions.cache.put(key, session))
    mortal.send(signal.SIGSTOP)
    waiting = [asyncio.ensure_future(told(sessions.cache.get(key))) for key in list(sessions_of)[:20]]
    await asyncio.sleep(0.05)
    for impatient in waiting[:10]:
        impatient.cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(answer is None or isinstance(answer, asyncio.CancelledError) for answer in answers)
    mortal.send(signal.SIGCONT)
    clock.now += REST
    assert await told(sessions.cache.get("id39")) == sessions_of["id39"]
    for _ in range(3):
        answers = await asyncio.gather(*(told(sessions.cache.get(key)) for key in sessions_of))
        assert answers == list(sessions_of.values())


@needs_redis
async def test_idle_connections_that_redis_closed(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    sessions = shared(server, Clock())
    await told(sessions.cache.put("id", a_session()))
    for _ in range(3):
        server.do("CLIENT", "KILL", "TYPE", "normal")
        assert await told(sessions.cache.get("id")) == a_session()
    assert not caplog.records


@needs_redis
async def test_connections_are_few(server: Server) -> None:
    for url, most in ((server.url, CONNECTIONS), (server.url + "?max_connections=3", 3)):
        sessions = shared(url, Clock())
        await asyncio.gather(*(told(sessions.cache.get("id")) for _ in range(200)))
        assert server.do("INFO", "clients")["connected_clients"] <= most + 1
        await sessions.close()


@needs_redis
@pytest.mark.parametrize("command", [("maxmemory", "1"), ("min-replicas-to-write", "1")])
async def test_no_secret_is_logged(mortal: Server, command: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """redis-py's errors repeat the command that failed; the log has their name only."""
    caplog.set_level(logging.DEBUG)
    clock = Clock()
    sessions = shared(mortal, clock)
    mortal.do("CONFIG", "SET", *command)
    assert await told(sessions.tickets.seal(b"state")) is None
    clock.now += WARN
    await told(sessions.cache.put("id", a_session()))
    clock.now += WARN
    assert await told(sessions.replay.first_use(KEY, clock.now, clock.now + 60)) is False
    ours = [record.getMessage() for record in caplog.records if record.name == "minitls"]
    assert len(ours) == 3
    for message in ours:
        assert "Error; while" in message
        assert "SET" not in message
        assert "minitls:" not in message


@needs_redis
async def test_passwords(mortal: Server, caplog: pytest.LogCaptureFixture) -> None:
    mortal.do("CONFIG", "SET", "requirepass", "hunter2")
    clock = Clock()
    right, wrong, none = (shared(f"redis://{user}127.0.0.1:{mortal.port}", clock) for user in (":hunter2@", "default:letmein@", ""))
    assert await told(right.tickets.open(await sealed(right))) == b"state"
    for sessions in (wrong, none):
        assert await told(sessions.tickets.seal(b"state")) is None
    assert len(caplog.records) == 2
    for text in (caplog.text, *(repr(each) for each in (right, right.tickets, right.cache, right.replay, wrong))):
        assert "hunter2" not in text
        assert "letmein" not in text
    assert repr(right) == f"<RedisSessions at 127.0.0.1:{mortal.port}>"


@needs_redis
async def test_options_of_the_url_that_would_change_the_answers(server: Server) -> None:
    sessions = shared(server.url + "?decode_responses=true&socket_timeout=99&protocol=3", Clock())
    assert await told(sessions.tickets.open(await sealed(sessions))) == b"state"


# handshakes ---------------------------------------------------------------------------------------------------------------


class AnyPort:
    """A client's store that takes two servers for one, as behind a load balancer."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    def put(self, key: str, session: Session) -> None:
        self._store.put("", session)

    def take(self, key: str) -> Session | None:
        return self._store.take("")


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()
    await writer.wait_closed()


async def resumed(pki: Pki, version: str, servers: list[dict[str, Any]], times: int) -> list[bool]:
    """Whether the handshakes of one client, with these servers in turn, were resumptions."""
    policy = Policy.intermediate.replace(versions=(version,))
    listeners = [await start_server(greet, "127.0.0.1", 0, config=pki.server_config(policy=policy, **fields)) for fields in servers]
    client = pki.client_config(policy=policy, session_store=AnyPort())
    seen = []
    for turn in range(times):
        port = listeners[turn % len(listeners)].sockets[0].getsockname()[1]
        reader, writer = await open_connection("127.0.0.1", port, config=client, server_hostname=NAME)
        assert await reader.read() == b"hello"
        seen.append(writer.get_extra_info("tls").resumed)
        writer.close()
        await writer.wait_closed()
    for listener in listeners:
        listener.close()
        await listener.wait_closed()
    return seen


@needs_redis
@pytest.mark.parametrize(("version", "by"), [("TLSv1.3", "ticket"), ("TLSv1.2", "ticket"), ("TLSv1.2", "session ID")])
async def test_what_one_server_began_the_other_resumes(server: Server, pki: Pki, version: str, by: str) -> None:
    servers = []
    for _ in range(2):
        sessions = shared(server, time.time)
        servers.append({"tickets": sessions.tickets if by == "ticket" else None, "session_cache": sessions.cache})
    assert await resumed(pki, version, servers, 4) == [False, True, True, True]


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
async def test_handshakes_with_a_silent_redis(silent: str, pki: Pki, version: str) -> None:
    sessions = shared(silent, time.time, timeout=0.1)
    fields = {"tickets": sessions.tickets, "session_cache": sessions.cache}
    assert await resumed(pki, version, [fields], 3) == [False, False, False]


# event loops and threads --------------------------------------------------------------------------------------------------


@needs_redis
async def test_close(server: Server) -> None:
    sessions = shared(server, Clock())
    await sessions.close()
    for _ in range(2):
        await told(sessions.cache.put("id", a_session()))
        assert await told(sessions.cache.get("id")) == a_session()
        await sessions.close()
        await sessions.close()
        assert server.do("INFO", "clients")["connected_clients"] == 1


@needs_redis
def test_loops_one_after_another_and_at_once(server: Server) -> None:
    """Each has its own connections, and takes them with it."""
    clock = Clock()
    sessions = shared(server, clock)
    opened: list[bytes | None] = []
    together = threading.Barrier(4)

    async def work(number: int) -> None:
        await told(sessions.cache.put(f"id{number}", a_session()))
        for _ in range(20):
            assert await told(sessions.cache.get(f"id{number}")) == a_session()
        opened.append(await told(sessions.tickets.open(await sealed(sessions))))

    def thread(number: int) -> None:
        together.wait()
        for _ in range(3):
            asyncio.run(work(number))

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert opened == [b"state"] * 12
    assert server.do("INFO", "clients")["connected_clients"] == 1
    gc.collect()  # whatever were left open would warn


@needs_redis
def test_sessions_that_nobody_holds(server: Server) -> None:
    """Dropped without a word, their connections still close with the loop."""

    async def work() -> None:
        await told(shared(server, Clock()).cache.get("id"))
        gc.collect()
        assert server.do("INFO", "clients")["connected_clients"] == 2

    asyncio.run(work())
    gc.collect()
    assert server.do("INFO", "clients")["connected_clients"] == 1


@needs_redis
def test_loops_that_ended_are_forgotten(server: Server) -> None:
    for _ in range(3):
        asyncio.run(told(shared(server, Clock()).cache.get("id")))
    assert len(_CLIENTS) == 1


# how it is made -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:hunter2@localhost",
        "redis://:hunter2@localhost:port",
        "redis://:hunter2@localhost:99999",
        "redis://:hunter2@localhost?foo=1",
        "redis://:hunter2@localhost?db=x",
        "redis://:hunter2@localhost?max_connections=0",
        "redis://:hunter2@[::1",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(Misuse, match="Redis has a URL such as") as raised:
        RedisSessions(url)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_timeouts_that_are_none(timeout: float) -> None:
    with pytest.raises(Misuse, match="seconds to answer"):
        RedisSessions("redis://localhost", timeout=timeout)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://", "localhost:6379"),
        ("redis://user:hunter2@example.org/3", "example.org:6379"),
        ("rediss://:hunter2@example.org:7000", "example.org:7000"),
        ("unix://:hunter2@/run/redis.sock", "/run/redis.sock"),
    ],
)
def test_where_redis_is(url: str, where: str) -> None:
    assert repr(RedisSessions(url)) == f"<RedisSessions at {where}>"


async def test_a_unix_socket_and_a_name_that_are_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for url in (f"unix://{tmp_path}/none.sock", "redis://nowhere.invalid"):
        assert await told(shared(url, Clock()).cache.get("id")) is None
    assert len(caplog.records) == 2


def test_without_the_package() -> None:
    code = "import sys; sys.modules['redis'] = None; import minitls.sessions.redis"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.rstrip().endswith("ImportError: sessions in Redis need the package redis: pip install 'minitls[redis]'")
