"""What the tests of applications share: the two modules that make contexts, the certificates in files, servers in threads."""

from __future__ import annotations

import asyncio
import importlib
import os
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

from tests.conftest import NAME, Pki

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Seconds after which something that is waited for counts as missing."""
LARGE = bytes(range(256)) * 4096
"""A mebibyte: more than any buffer on the way, so that both sides have to wait for each other."""
EVERYTHING = "INTEROP_APPLICATIONS"
"""Set to "all" where every library and server has to be there."""


def missing(what: str) -> NoReturn:
    """Something that is not there: a skip that says what, or a failure where everything has to be."""
    if os.environ.get(EVERYTHING) == "all":
        pytest.fail(f"{what} is missing, and {EVERYTHING}=all")
    pytest.skip(f"{what} is missing: pip install 'minitls[applications]'", allow_module_level=True)


def library(name: str) -> Any:
    """The library, imported; the module of tests is skipped where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(name)


@dataclass(frozen=True)
class Files:
    """PEM files around one CA: its certificate, a server's and a client's, chain and key in one file each."""

    folder: Path
    ca: Path
    server: Path
    client: Path
    strangers: Path

    @classmethod
    def make(cls, pki: Pki, folder: Path) -> Files:
        made = cls(folder, *(folder / f"{name}.pem" for name in ("ca", "server", "client", "strangers")))
        server = pki.issue(NAME, HOST, "::1")
        client = pki.issue("alice", client=True)
        made.ca.write_bytes(pki.authority.root_pem())
        made.server.write_bytes(server.chain_pem() + server.key_pem())
        made.client.write_bytes(client.chain_pem() + client.key_pem())
        made.strangers.write_bytes(pki.strangers.root_pem())
        for file in (made.server, made.client):
            file.chmod(0o600)  # PostgreSQL refuses a key that others can read
        return made


@dataclass
class Contexts:
    """Makes the contexts of one test, each side's by its own module, and knows afterwards that they were used."""

    client_module: ModuleType
    server_module: ModuleType
    files: Files
    version: ssl.TLSVersion
    made: list[ssl.SSLContext] = field(default_factory=list)

    def client(self, *alpn: str, certificate: bool = False) -> ssl.SSLContext:
        """A client's context, as the documentation of most libraries has it."""
        context = self.client_module.create_default_context(cafile=str(self.files.ca))
        if certificate:
            context.load_cert_chain(self.files.client)
        return self._ready(context, alpn, True)

    def distrusting(self) -> ssl.SSLContext:
        """A client's context, with which no handshake can succeed: it knows another CA."""
        context: ssl.SSLContext = self.client_module.create_default_context(cafile=str(self.files.strangers))
        self._check(context, self.client_module)
        return context

    def server(self, *alpn: str, client_ca: bool = False, used: bool = True) -> ssl.SSLContext:
        """``used``: a client will come, and be content."""
        context = self.server_module.SSLContext(self.server_module.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.files.server)
        if client_ca:
            context.load_verify_locations(self.files.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return self._ready(context, alpn, used)

    def _ready(self, context: ssl.SSLContext, alpn: tuple[str, ...], used: bool) -> ssl.SSLContext:
        self._check(context, self.client_module if context.protocol == ssl.PROTOCOL_TLS_CLIENT else self.server_module)
        context.minimum_version = context.maximum_version = self.version
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if used:
            self.made.append(context)
        return context

    def _check(self, context: ssl.SSLContext, module: ModuleType) -> None:
        assert type(context) is module.SSLContext

    def check_used(self) -> None:
        """Every context has made a connection: no library has quietly taken one of its own."""
        for context in self.made:
            stats = context.session_stats()
            which = "connect_good" if context.protocol == ssl.PROTOCOL_TLS_CLIENT else "accept_good"
            assert stats[which] > 0, f"{context} of {type(context).__module__} was not used: {stats}"

    @property
    def version_name(self) -> str:
        return self.version.name.replace("_", ".")


@contextmanager
def in_thread(run: Callable[[], AbstractAsyncContextManager[int]]) -> Iterator[int]:
    """An asyncio server in a thread of its own: yields its port, and ends it afterwards."""
    started: list[int | BaseException] = []
    ready = threading.Event()
    ending: list[Callable[[], object]] = []

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        ending.append(lambda: loop.call_soon_threadsafe(end.set))
        try:
            async with run() as port:
                started.append(port)
                ready.set()
                await end.wait()
        except BaseException as error:
            started.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        assert ready.wait(PATIENCE), "the server does not start"
        if isinstance(started[0], BaseException):
            raise started[0]
        yield started[0]
    finally:
        ending[0]()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server does not end"


@asynccontextmanager
async def patience() -> AsyncIterator[None]:
    """What is inside takes no longer than it may."""
    async with asyncio.timeout(PATIENCE):
        yield
