"""The drop-in beside the standard library: files, contexts of either, and two objects over memory."""

from __future__ import annotations

import contextlib
import itertools
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import minitls.ssl as ours
from minitls.certificates.authority import Authority, Issued

MODULES = {"ours": ours, "stdlib": ssl}
PAIRS = [(client, server) for client, server in itertools.product(MODULES, MODULES) if "ours" in (client, server)]
VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}
HOST = "localhost"


@dataclass
class Files:
    """A CA and what it issued, as files."""

    folder: Path
    authority: Authority

    def write(self, name: str, *parts: bytes) -> str:
        path = self.folder / name
        path.write_bytes(b"".join(parts))
        return str(path)

    def issued(self, name: str, issued: Issued) -> tuple[str, str]:
        return self.write(f"{name}.pem", issued.chain_pem()), self.write(f"{name}.key", issued.key_pem())

    def issue(self, name: str, *names: str, **how: Any) -> tuple[str, str]:
        return self.issued(name, self.authority.issue(*(names or (HOST, "127.0.0.1")), **how))

    @property
    def ca(self) -> str:
        return self.write("ca.pem", self.authority.root_pem())


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("dropin"), Authority.create())


@dataclass
class Contexts:
    """Makes contexts: ``contexts.client("ours")``, ``contexts.server("stdlib", alpn=["h2"])``."""

    files: Files

    def client(self, kind: str, *, alpn: Any = (), version: Any = None, cert: Any = None, **settings: Any) -> Any:
        context = MODULES[kind].create_default_context(cafile=self.files.ca)
        return self._set(context, alpn, version, cert, settings)

    def server(self, kind: str, *, alpn: Any = (), version: Any = None, cert: Any = None, **settings: Any) -> Any:
        context = MODULES[kind].SSLContext(ssl.PROTOCOL_TLS_SERVER)
        return self._set(context, alpn, version, cert or self.files.issue("server"), settings)

    def asking(self, kind: str, mode: ssl.VerifyMode = ssl.CERT_REQUIRED, **how: Any) -> Any:
        """A server that asks for client certificates."""
        context = self.server(kind, **how)
        context.load_verify_locations(self.files.ca)
        context.verify_mode = mode
        return context

    def _set(self, context: Any, alpn: Any, version: Any, cert: Any, settings: dict[str, Any]) -> Any:
        if alpn:
            context.set_alpn_protocols(alpn)
        if version is not None:
            context.minimum_version = context.maximum_version = VERSIONS.get(version, version)
        if cert is not None:
            context.load_cert_chain(*cert)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


@pytest.fixture(scope="session")
def contexts(files: Files) -> Contexts:
    return Contexts(files)


class Wire:
    """Two objects over memory BIOs, and what carries their bytes."""

    def __init__(self, client: Any, server: Any, server_hostname: Any = HOST, session: Any = None) -> None:
        self.to_client, self.from_client, self.to_server, self.from_server = (ssl.MemoryBIO() for _ in range(4))
        self.client = client.wrap_bio(self.to_client, self.from_client, server_hostname=server_hostname, session=session)
        self.server = server.wrap_bio(self.to_server, self.from_server, server_side=True)

    def carry(self) -> int:
        """Everything that is there, both ways; how many bytes that were."""
        forth, back = self.from_client.read(), self.from_server.read()
        self.to_server.write(forth)
        self.to_client.write(back)
        return len(forth) + len(back)

    def handshake(self) -> Wire:
        """Both sides to the end, or whatever one of them raises."""
        self.run(self.client.do_handshake, self.server.do_handshake)
        return self

    def run(self, *steps: Callable[[], Any]) -> list[Any]:
        """Each step until it wants nothing more; what they give."""
        results: dict[int, Any] = {}
        for _ in range(50):
            for number, step in enumerate(steps):
                if number not in results:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        results[number] = step()
            self.carry()
            if len(results) == len(steps):
                return [results[number] for number in range(len(steps))]
        raise AssertionError(f"still waiting: {[number for number in range(len(steps)) if number not in results]}")

    def failures(self) -> dict[str, Exception]:
        """Shake hands, and talk on, until both have failed or nothing moves: who raised what."""
        failed: dict[str, Exception] = {}
        for _ in range(20):
            for name, side in (("client", self.client), ("server", self.server)):
                if name in failed:
                    continue
                try:
                    side.do_handshake()
                    side.read(1)
                except ssl.SSLWantReadError:
                    pass
                except (ssl.SSLError, ValueError) as error:
                    failed[name] = error
            self.carry()
        return failed

    def say(self, data: bytes, *, back: bool = False) -> bytes:
        """Write it on one side, read it on the other."""
        source, target = (self.server, self.client) if back else (self.client, self.server)
        assert source.write(data) == len(data)
        self.carry()
        return self.hear(target, len(data))

    def hear(self, target: Any, size: int) -> bytes:
        got = b""
        while len(got) < size:
            part = target.read(size - len(got))
            assert part, "the end came early"
            got += part
        return got

    def settle(self) -> None:
        """Let tickets arrive."""
        self.carry()
        for side in (self.client, self.server):
            with contextlib.suppress(ssl.SSLWantReadError):
                raise AssertionError(f"nobody sent {side.read(1)!r}")


def pairs() -> Iterator[Any]:
    for client, server in PAIRS:
        yield pytest.param((client, server), id=f"{client}-{server}")
