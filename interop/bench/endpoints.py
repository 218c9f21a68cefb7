"""One face for every stack on an event loop: how it listens, and how it connects."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from interop.bench.identity import CHAIN, KEY, ROOT
from interop.bench.stacks import Stack
from interop.bench.wire import HOST, NAME

Factory = Callable[[], asyncio.BaseProtocol]
Connected = tuple[asyncio.Transport, Any]


class Endpoint:
    """Raw TCP, and what the others share.

    ``visit``: fresh, known or resumed, see ``interop.bench``; ``worker``: whose connection it is, of those that go on at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def listen(self, factory: Factory, variant: str) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(factory, HOST, 0, backlog=512, **self._server(variant))

    async def listen_streams(self, handler: Any, variant: str) -> asyncio.Server:
        return await asyncio.start_server(handler, HOST, 0, backlog=512, **self._server(variant))

    async def connect(self, factory: Factory, port: int, variant: str, visit: str, worker: int = 0, **tcp: Any) -> Connected:
        loop = asyncio.get_running_loop()
        return await loop.create_connection(factory, HOST, port, **self._client(variant, visit), **tcp)

    async def connect_streams(self, port: int, variant: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, port, **self._client(variant, "known"))

    def prepare(self, variant: str, count: int) -> None:
        """So many fresh visits will follow."""

    def finished(self, transport: asyncio.Transport, variant: str, visit: str) -> bool:
        """A connection has done its work.  Whether it was resumed."""
        return False

    def agreed(self, transport: asyncio.Transport) -> dict[str, Any]:
        return {}

    def _server(self, variant: str) -> dict[str, Any]:
        return {}

    def _client(self, variant: str, visit: str) -> dict[str, Any]:
        return {}


@cache
def resuming(base: Any) -> Any:
    """A class of clients' contexts that give asyncio's connections a session of an earlier one, out of ``sessions``."""

    class Resuming(base):  # type: ignore[misc]
        sessions: deque[Any]

        def wrap_bio(
            self,
            incoming: ssl.MemoryBIO,
            outgoing: ssl.MemoryBIO,
            server_side: bool = False,
            server_hostname: str | bytes | None = None,
            session: Any = None,
        ) -> Any:
            if session is None and self.sessions:
                session = self.sessions.pop()
            return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    return Resuming


def restrict(context: Any, variant: str, prefers: str) -> None:
    """``prefers``: the group that it would choose by itself."""
    if variant == "tls12":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    elif variant == "x25519":
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if prefers != "x25519":
            context.set_ecdh_curve("X25519")


class Ssl(Endpoint):
    """The standard library's, or a module that looks like it."""

    def __init__(self, folder: Path, module: str) -> None:
        super().__init__(folder)
        self._module = importlib.import_module(module)
        self._contexts: dict[tuple[str, str], Any] = {}
        self._fresh: list[Any] = []
        older = self._module is ssl and ssl.OPENSSL_VERSION_INFO < (3, 5)
        self.group = "x25519" if older else "X25519MLKEM768"  # which the module has no way to tell

    def _server(self, variant: str) -> dict[str, Any]:
        return {"ssl": self.server_context(variant)}

    def _client(self, variant: str, visit: str) -> dict[str, Any]:
        return {"ssl": self.client_context(variant, visit), "server_hostname": NAME}

    def bare_server_context(self) -> Any:
        """Without a certificate."""
        return self._module.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def server_context(self, variant: str) -> Any:
        context = self.bare_server_context()
        context.load_cert_chain(self.folder / CHAIN, self.folder / KEY)
        restrict(context, variant, self.group)
        return context

    def client_context(self, variant: str, visit: str) -> Any:
        if visit == "fresh" and self._fresh:
            return self._fresh.pop()
        if (variant, visit) not in self._contexts:
            self._contexts[variant, visit] = self._client_context(variant, visit)
        return self._contexts[variant, visit]

    def _client_context(self, variant: str, visit: str) -> Any:
        if visit == "resumed":
            context = resuming(self._module.SSLContext)(ssl.PROTOCOL_TLS_CLIENT)
            context.sessions = deque(maxlen=256)
            context.load_verify_locations(self.folder / ROOT)
        else:
            context = self._module.create_default_context(cafile=self.folder / ROOT)
        restrict(context, variant, self.group)
        return context

    def prepare(self, variant: str, count: int) -> None:
        if self._module is not ssl:  # OpenSSL remembers no verdict, so that all its handshakes are fresh
            self._fresh = [self._client_context(variant, "fresh") for _ in range(count)]
            for context in self._fresh:  # it reads its settings when it is first used
                context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=NAME)

    def finished(self, transport: asyncio.Transport, variant: str, visit: str) -> bool:
        session = transport.get_extra_info("ssl_object")
        if visit == "resumed" and session.session is not None:
            self._contexts[variant, visit].sessions.append(session.session)
        return bool(session.session_reused)

    def agreed(self, transport: asyncio.Transport) -> dict[str, Any]:
        name, version, _ = transport.get_extra_info("cipher")
        return {"version": version, "cipher_suite": name, "group": self.group}


class Minitls(Endpoint):
    """Ours, with the default configuration."""

    def __init__(self, folder: Path) -> None:
        import minitls

        super().__init__(folder)
        self._m = minitls
        default = minitls.Policy.intermediate
        self._policies = {
            "default": default,
            "x25519": default.replace(groups=("x25519",), versions=("1.3",)),
            "tls12": default.replace(versions=("1.2",)),
        }
        self._root = (folder / ROOT).read_bytes()
        self._trust = minitls.TrustStore.from_pem(self._root)
        self._configs: dict[tuple[str, str, int], Any] = {}
        self._fresh: list[Any] = []

    def server_config(self, variant: str) -> Any:
        credential = self._m.Credential.from_pem((self.folder / CHAIN).read_bytes(), (self.folder / KEY).read_bytes())
        return self._m.ServerConfig(credentials=(credential,), policy=self._policies[variant])

    def client_config(self, variant: str, visit: str, worker: int = 0) -> Any:
        if visit == "fresh" and self._fresh:
            return self._fresh.pop()
        key = (variant, visit, worker if visit == "resumed" else 0)
        if key not in self._configs:
            config = self._m.ClientConfig(trust=self._trust, policy=self._policies[variant], session_store=None)
            if visit == "resumed":  # a store for each worker: the default one keeps four sessions with a server
                config = self._m.ClientConfig(trust=self._trust, policy=self._policies[variant])
            self._configs[key] = config
        return self._configs[key]

    def prepare(self, variant: str, count: int) -> None:
        self._fresh = [self._fresh_config(variant) for _ in range(count)]

    def _fresh_config(self, variant: str) -> Any:
        trust = self._m.TrustStore.from_pem(self._root)
        assert trust.subjects  # parsed before the clock runs
        return self._m.ClientConfig(trust=trust, policy=self._policies[variant], session_store=None)

    async def listen(self, factory: Factory, variant: str) -> asyncio.Server:
        return await self._m.create_server(factory, HOST, 0, config=self.server_config(variant), backlog=512)

    async def listen_streams(self, handler: Any, variant: str) -> asyncio.Server:
        return await self._m.start_server(handler, HOST, 0, config=self.server_config(variant), backlog=512)

    async def connect(self, factory: Factory, port: int, variant: str, visit: str, worker: int = 0, **tcp: Any) -> Connected:
        config = self.client_config(variant, visit, worker)
        return await self._m.create_connection(factory, HOST, port, config=config, server_hostname=NAME, **tcp)

    async def connect_streams(self, port: int, variant: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        config = self.client_config(variant, "known")
        return await self._m.open_connection(HOST, port, config=config, server_hostname=NAME)

    def finished(self, transport: asyncio.Transport, variant: str, visit: str) -> bool:
        return bool(transport.get_extra_info("tls").resumed)

    def agreed(self, transport: asyncio.Transport) -> dict[str, Any]:
        info = transport.get_extra_info("tls")
        return {"version": info.version, "cipher_suite": info.cipher_suite, "group": info.group}


def endpoint(stack: Stack, folder: Path) -> Endpoint:
    if stack.kind == "minitls":
        return Minitls(folder)
    if stack.kind == "ssl":
        return Ssl(folder, stack.module)
    assert stack.kind == "tcp", stack.kind
    return Endpoint(folder)


def new_loop(stack: Stack) -> asyncio.AbstractEventLoop:
    if stack.loop == "uvloop":
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()
