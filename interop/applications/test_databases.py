"""PostgreSQL with asyncpg, Redis with redis-py: servers that speak TLS with OpenSSL, in C."""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.applications.frame import HOST, LARGE, PATIENCE, Contexts, Files, library, missing, patience
from tests.conftest import NAME

USER = "nobody"
"""Who runs PostgreSQL where the tests are root's: it refuses to be root."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


def accepting(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    """Until somebody listens there."""
    for _ in range(int(PATIENCE * 100)):
        assert process.poll() is None, log.read_text()
        with socket.socket() as attempt:
            if attempt.connect_ex((HOST, port)) == 0:
                return
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(log.read_text())


# PostgreSQL -------------------------------------------------------------------------------------------------------------


def postgres_programs() -> Path:
    """The folder with ``postgres`` and ``initdb``, which Debian keeps out of the PATH."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), *map(Path, os.get_exec_path())]
    found = next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)
    return found or missing("PostgreSQL's server")


@pytest.fixture(scope="module")
def postgres(files: Files) -> Iterator[tuple[int, str]]:
    """A server of our own, with TLS required: its port, and its superuser."""
    programs = postgres_programs()
    user = USER if os.getuid() == 0 else getpass.getuser()
    identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for file in files.ca, files.server:
            shutil.copy(file, place)
            (place / file.name).chmod(0o600)
        if identity:
            for path in (place, place / "ca.pem", place / "server.pem"):
                shutil.chown(path, user, identity["group"])
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": folder}
        subprocess.run(
            [programs / "initdb", "-D", place / "data", "-U", "alice", "--auth=trust", "-N", "-E", "UTF8"],
            check=True, capture_output=True, env=environment, cwd=folder, timeout=60, **identity,
        )  # fmt: skip
        (place / "data/pg_hba.conf").write_text("hostssl certain all all cert\nhostssl all all all trust\n")
        port = free_port()
        options = {
            "listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off", "ssl": "on",
            "ssl_cert_file": place / "server.pem", "ssl_key_file": place / "server.pem", "ssl_ca_file": place / "ca.pem",
        }  # fmt: skip
        log = place / "log"
        with log.open("wb") as output:
            command = [programs / "postgres", "-D", place / "data", *(f"--{name}={value}" for name, value in options.items())]
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder, **identity)
        try:
            accepting(port, process, log)
            yield port, "alice"
        finally:
            process.terminate()
            process.wait(PATIENCE)


async def test_asyncpg(client_contexts: Contexts, postgres: tuple[int, str]) -> None:
    asyncpg = library("asyncpg")
    port, user = postgres
    async with patience():
        connection = await asyncpg.connect(host=NAME, port=port, user=user, database="postgres", ssl=client_contexts.client())
        try:
            row = await connection.fetchrow("SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert row["version"] == client_contexts.version_name
            assert await connection.fetchval("SELECT $1::bytea", LARGE) == LARGE
            rows = await connection.fetch("SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 2000) AS n")
            assert [row["n"] for row in rows] == list(range(1, 2001))
            await connection.execute("CREATE TEMPORARY TABLE t (n int, b bytea)")
            assert await connection.copy_records_to_table("t", records=[(n, b"x" * n) for n in range(2000)]) == "COPY 2000"
            assert await connection.fetchval("SELECT sum(length(b)) FROM t") == sum(range(2000))
        finally:
            await connection.close()


async def test_asyncpg_with_a_client_certificate(client_contexts: Contexts, postgres: tuple[int, str]) -> None:
    """PostgreSQL knows who we are by our certificate's common name, and lets nobody else into this database."""
    asyncpg = library("asyncpg")
    port, user = postgres
    async with patience():
        connection = await asyncpg.connect(host=NAME, port=port, user=user, database="postgres", ssl=client_contexts.client())
        if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = 'certain'"):
            await connection.execute("CREATE DATABASE certain")
        await connection.close()
        context = client_contexts.client(certificate=True)
        connection = await asyncpg.connect(host=NAME, port=port, user=user, database="certain", ssl=context)
        subject = await connection.fetchval("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert "CN=alice" in subject
        await connection.close()
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="certificate"):
            await asyncpg.connect(host=NAME, port=port, user=user, database="certain", ssl=client_contexts.client())


async def test_asyncpg_pool(client_contexts: Contexts, postgres: tuple[int, str]) -> None:
    asyncpg = library("asyncpg")
    port, user = postgres
    async with (
        patience(),
        asyncpg.create_pool(
            host=NAME, port=port, user=user, database="postgres", ssl=client_contexts.client(), min_size=4, max_size=4
        ) as pool,
    ):
        assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(100))) == list(range(100))


# Redis ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis_server(files: Files) -> Iterator[int]:
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        options = {
            "port": 0, "tls-port": port, "bind": HOST, "save": "", "appendonly": "no", "dir": folder, "logfile": log,
            "tls-cert-file": files.server, "tls-key-file": files.server, "tls-ca-cert-file": files.ca,
            "tls-auth-clients": "optional",
        }  # fmt: skip
        command = [program, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            log.touch()
            accepting(port, process, log)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)


async def test_redis_asyncio(client_contexts: Contexts, redis_server: int) -> None:
    """redis-py has no parameter for a context: its connection class makes one."""
    library("redis")
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.connection import SSLConnection

    context = client_contexts.client()

    class Connection(SSLConnection):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context.context = context

    async with patience():
        client = Redis(connection_pool=ConnectionPool(connection_class=Connection, host=NAME, port=redis_server))
        await client.set("large", LARGE)
        assert await client.get("large") == LARGE
        async with client.pipeline() as pipeline:
            for n in range(1000):
                pipeline.incrby("sum", n)
            results = await pipeline.execute()
        assert results[-1] - results[0] == sum(range(1, 1000))
        await client.delete("sum")
        await client.connection_pool.aclose()


def test_redis_sync(client_contexts: Contexts, redis_server: int) -> None:
    library("redis")
    from redis import ConnectionPool, Redis
    from redis.connection import SSLConnection

    context = client_contexts.client()

    class Connection(SSLConnection):
        def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
            return context.wrap_socket(sock, server_hostname=self.host)

    client = Redis(
        connection_pool=ConnectionPool(connection_class=Connection, host=NAME, port=redis_server, socket_timeout=PATIENCE)
    )
    client.set("large", LARGE)
    assert client.get("large") == LARGE
    client.connection_pool.close()
