"""Two ``minitls serve`` with a Redis between them are one service: its clients cannot tell which of them they meet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import minitls
from minitls import ClientConfig, ClientConnection, ConnectionInfo, Policy, TrustStore
from minitls.certificates.devpki import make_dev_pki
from minitls.sessions.redis import SKEW
from minitls.sessions.session import Session
from minitls.wire.numbers import ContentType
from tests.running import Serving, serving
from tests.test_redis import Server, mortal, needs_redis

assert mortal  # the fixture
pytestmark = needs_redis
REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS12 = Policy.intermediate.replace(versions=("TLSv1.2",))


class Anywhere:
    """A session store of one service at several ports."""

    def __init__(self) -> None:
        self.kept: list[Session] = []

    def put(self, key: str, session: Session) -> None:
        self.kept.append(session)

    def take(self, key: str) -> Session | None:
        return self.kept.pop() if self.kept else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("service")
    make_dev_pki(made / "certs")
    (made / "hello").write_bytes(b"hello")
    return made


@contextlib.contextmanager
def service(folder: Path, redis: Server, *more: str) -> Iterator[tuple[Serving, Serving]]:
    options = ("--dev", "--tickets", redis.url, "--early-data", *more)
    with serving(*options, cwd=folder) as one, serving(*options, cwd=folder) as other:
        yield one, other


def client(folder: Path, store: Anywhere, policy: Policy = Policy.intermediate) -> ClientConfig:
    return ClientConfig(trust=TrustStore.from_files(folder / "certs" / "root.pem"), session_store=store, policy=policy)


async def visit(server: Serving, config: ClientConfig, **early: bytes) -> ConnectionInfo:
    """A request and its answer; tickets came before the answer."""
    async with asyncio.timeout(10):
        reader, writer = await minitls.open_connection(
            "127.0.0.1", server.port, config=config, server_hostname="localhost", **early
        )
        info: ConnectionInfo = writer.get_extra_info("tls")
        if not info.early_data_accepted:
            writer.write(REQUEST)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"hello")
        writer.close()
        await writer.wait_closed()
        return info


async def begin(server: Serving, config: ClientConfig, store: Anywhere) -> None:
    """The replay record begins with the first ticket: those of its first second are not for 0-RTT."""
    await visit(server, config)
    await asyncio.sleep(SKEW + 0.1)
    store.kept.clear()


@pytest.mark.parametrize("policy", [Policy.intermediate, TLS12], ids=["TLS 1.3", "TLS 1.2"])
async def test_a_ticket_of_one_is_good_at_the_other(folder: Path, mortal: Server, policy: Policy) -> None:
    store = Anywhere()
    config = client(folder, store, policy)
    with service(folder, mortal) as (one, other):
        assert not (await visit(one, config)).resumed
        for server in (other, one, other):
            assert (await visit(server, config)).resumed


async def test_early_data_is_accepted_once_in_all(folder: Path, mortal: Server) -> None:
    """A flight that somebody recorded, sent to both: the one that it was meant for takes it, and nobody again."""
    store = Anywhere()
    config = client(folder, store)
    with service(folder, mortal) as (one, other):
        await begin(one, config, store)
        await visit(one, config)
        recorded = ClientConnection(config, server_hostname="localhost", early_data=REQUEST)
        flight = recorded.data_to_send()
        answers = await asyncio.gather(*(answer(server, flight) for server in (one, other) * 4))
        assert sorted(answers) == [False] * 7 + [True]
        assert (await visit(one, config)).resumed is True
        assert (await visit(other, config, early_data=REQUEST)).early_data_accepted


async def answer(server: Serving, flight: bytes) -> bool:
    """Whether the flight's request is answered, before anybody has finished: a protected record after the server's own flight."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(flight)
    records = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while records < 2:
                header = await reader.readexactly(5)
                await reader.readexactly(int.from_bytes(header[3:], "big"))
                records += header[0] == ContentType.application_data
    writer.close()
    return records == 2


async def test_redis_stops_in_the_middle_of_load(folder: Path, mortal: Server) -> None:
    """No connection is lost; what is lost is said once."""
    store = Anywhere()
    config = client(folder, store)
    with service(folder, mortal) as (one, other):
        await begin(one, config, store)
        visits = 0
        stopped = 0.0

        async def load(server: Serving) -> None:
            nonlocal visits
            while not stopped or time.monotonic() < stopped + 1.5:
                await visit(server, config)
                visits += 1

        loads = [asyncio.create_task(load(server)) for server in (one, other) * 3]
        while visits < 30:
            await asyncio.sleep(0.01)
        mortal.kill()
        stopped = time.monotonic()
        before = visits
        await asyncio.gather(*loads)
        assert visits > before + 10
        early = ClientConfig(trust=config.trust, session_store=store)
        assert not (await visit(one, early, early_data=REQUEST)).early_data_accepted
        warnings = [line for server in (one, other) for line in server.lines if "redis" in line.lower()]
        assert 1 <= len(warnings) <= 2
