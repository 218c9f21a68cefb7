"""The ``openssl`` command as a peer: processes that are talked to, and what both roles of ours need around them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import minitls
from minitls import ClientConfig, ServerConfig
from minitls.aio.transport import TLSTransport
from minitls.certificates.authority import Issued
from minitls.certificates.credentials import Credential
from minitls.observe import MessageSeen, Observation
from tests.conftest import NAME, Pki

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Seconds after which something that is waited for counts as missing."""

SUITES = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
)
GROUPS = {
    "x25519": "X25519",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "x448": "X448",
    "ffdhe2048": "ffdhe2048",
    "ffdhe3072": "ffdhe3072",
    "ffdhe4096": "ffdhe4096",
}
"""Our names of the groups that OpenSSL 3.0 has, and its own."""

KEYS = {
    "rsa2048": "rsa_pss_rsae_sha256",
    "rsa3072": "rsa_pss_rsae_sha256",
    "rsapss": "rsa_pss_pss_sha256",
    "p256": "ecdsa_secp256r1_sha256",
    "p384": "ecdsa_secp384r1_sha384",
    "p521": "ecdsa_secp521r1_sha512",
    "ed25519": "ed25519",
    "ed448": "ed448",
}
"""The kinds of certificates that OpenSSL 3.0 has, and what we sign with theirs."""

SIGNATURE_TYPES = {"rsa2048": "RSA-PSS", "rsa3072": "RSA-PSS", "rsapss": "RSA-PSS", "ed25519": "ed25519", "ed448": "ed448"}
"""What OpenSSL calls their signatures; "ECDSA" for the others."""


FRAGMENTS = (["-max_send_frag", "512"], ["-max_send_frag", "4096", "-split_send_frag", "600"])
"""Options that make many small records."""


def missing(what: str) -> NoReturn:
    """A peer that is not there: a failure where everything has to be tried, a skip that says why elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI=true: every peer must be there")
    pytest.skip(what)


def find_openssl() -> str:
    """The command, version 3.0 or later."""
    path = shutil.which("openssl")
    version = "none" if path is None else _version(path)
    if path is None or not re.match(r"OpenSSL ([3-9]|\d\d)\.", version):
        missing(f"the openssl command, 3.0 or later, is missing: there is {version}")
    return path


@cache
def _version(path: str) -> str:
    return subprocess.run([path, "version"], capture_output=True, text=True, check=True).stdout.strip()


# certificates in files -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """The files of a certificate, of those above it but for the root, of all these, and of the private key."""

    cert: Path
    chain: Path
    full: Path
    key: Path

    @property
    def options(self) -> list[str]:
        """What makes s_server and s_client show it."""
        return ["-cert", str(self.cert), "-cert_chain", str(self.chain), "-key", str(self.key)]

    def credential(self) -> Credential:
        """The same for our side."""
        return Credential.from_files(self.full, self.key)


@dataclass
class Files:
    """The tests' PKI as files, for who takes nothing else; each made when somebody asks for it."""

    pki: Pki
    folder: Path
    _made: dict[str, Identity] = field(default_factory=dict)

    @cached_property
    def ca(self) -> Path:
        return self._write("ca.pem", self.pki.authority.root_pem())

    def server(self, key: str = "p256", name: str = NAME) -> Identity:
        return self._identity(key, name, client=False)

    def client(self, key: str = "p256") -> Identity:
        return self._identity(key, "client", client=True)

    def strange(self, name: str, *, client: bool = False) -> Identity:
        """Of a CA that nobody trusts."""
        return self._once(f"strange-{name}", lambda stem: self._issued(stem, self.pki.strangers.issue(name, client=client)))

    def _identity(self, key: str, name: str, *, client: bool) -> Identity:
        if key == "rsapss":
            return self._once(f"{name}-{key}", lambda stem: self._rsa_pss(stem, name, client))
        return self._once(f"{name}-{key}", lambda stem: self._issued(stem, self.pki.issue(name, key=key, client=client)))

    def _once(self, stem: str, make: Callable[[str], Identity]) -> Identity:
        if stem not in self._made:
            self._made[stem] = make(stem)
        return self._made[stem]

    def _issued(self, stem: str, issued: Issued) -> Identity:
        cert, chain = (b"".join(c.public_bytes(Encoding.PEM) for c in part) for part in (issued.chain[:1], issued.chain[1:]))
        return self._identity_of(stem, cert, chain, self._write(f"{stem}.key", issued.key_pem()))

    def _identity_of(self, stem: str, cert: bytes, chain: bytes, key: Path) -> Identity:
        return Identity(
            cert=self._write(f"{stem}.pem", cert),
            chain=self._write(f"{stem}.chain.pem", chain),
            full=self._write(f"{stem}.full.pem", cert + chain),
            key=key,
        )

    def _rsa_pss(self, stem: str, name: str, client: bool) -> Identity:
        """A certificate whose key says id-RSASSA-PSS: pyca/cryptography makes none, the command does."""
        authority = self.pki.authority
        issuer = self._write("issuer.pem", authority.chain_pem())
        issuer_key = self._write("issuer.key", authority.key_pem())
        key, request = (self.folder / f"{stem}.{suffix}" for suffix in ("key", "csr"))
        extensions = self._write(
            f"{stem}.cnf",
            f"extendedKeyUsage={'clientAuth' if client else 'serverAuth'}\nsubjectAltName=DNS:{name}\n"
            "keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:false\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n".encode(),
        )

        def run(*arguments: str | Path) -> bytes:
            return subprocess.run([find_openssl(), *arguments], check=True, capture_output=True).stdout

        run("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        run("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        signing: list[str | Path] = ["-CA", issuer, "-CAkey", issuer_key, "-days", "9", "-extfile", extensions]
        cert = run("x509", "-req", "-in", request, *signing)
        return self._identity_of(stem, cert, authority.chain[0].public_bytes(Encoding.PEM), key)

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


# processes -----------------------------------------------------------------------------------------------------------------


class Peer:
    """An ``openssl s_server`` or ``s_client`` and all that it has said, both its outputs as one.

    ``port``: where the server listens.
    """

    port = 0

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = bytearray()
        self._news = asyncio.Event()
        self._ended = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(2**16):
            self.output += data
            self._news.set()
        self._ended = True
        self._news.set()

    async def said(self, pattern: bytes, times: int = 1) -> re.Match[bytes]:
        """Wait until the output has this regular expression, so many times; fail when it ends, or takes too long, without."""
        found: list[re.Match[bytes]] = []

        def all_there() -> bool:
            found[:] = re.finditer(pattern, self.output)
            return len(found) >= times

        await self.until(all_there, f"{times} of {pattern!r}")
        return found[times - 1]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition on the output; fail when it cannot come true any more, or takes too long."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    assert not self._ended, f"it ended without {what}:\n{self.text}"
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {what} within {PATIENCE:g} s:\n{self.text}") from None

    @property
    def text(self) -> str:
        """The last of what it said, for people."""
        return self.output[-3000:].decode("utf-8", "backslashreplace")

    async def say(self, line: str) -> None:
        """A line to its standard input: data, or one of its commands."""
        await self.write(line.encode() + b"\n")

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def exit(self) -> int:
        """Wait for its own end; gives its exit status."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._reading
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"it did not end within {PATIENCE:g} s:\n{self.text}") from None

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading
        if self.process.stdin is not None:
            self.process.stdin.close()
            with contextlib.suppress(OSError):
                await self.process.stdin.wait_closed()


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[Peer]:
    environment = {name: value for name, value in os.environ.items() if name != "SSLKEYLOGFILE"}
    peer = Peer(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=environment))
    try:
        yield peer
    finally:
        await peer.kill()


@dataclass(frozen=True)
class OpenSSL:
    """The command, and the files that it is given."""

    path: str
    files: Files

    @contextlib.asynccontextmanager
    async def server(self, *options: str, identity: Identity | None = None) -> AsyncIterator[Peer]:
        """``openssl s_server`` on a port of its own choice, with a certificate for localhost unless told otherwise."""
        shown = (identity or self.files.server()).options
        async with running(self.path, "s_server", "-accept", f"{HOST}:0", *shown, *options) as peer:
            peer.port = int((await peer.said(rb"ACCEPT .*:(\d+)\n"))[1])
            yield peer

    @contextlib.asynccontextmanager
    async def client(self, port: int, *options: str, name: str | None = NAME) -> AsyncIterator[Peer]:
        """``openssl s_client``, which verifies our certificate, and the name in it if it asks for one."""
        named = ["-noservername"] if name is None else ["-servername", name, "-verify_hostname", name]
        verified = ["-CAfile", str(self.files.ca), "-verify_return_error", *named]
        async with running(self.path, "s_client", "-connect", f"{HOST}:{port}", *verified, *options) as peer:
            yield peer


# our side ------------------------------------------------------------------------------------------------------------------

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def connected(
    port: int, config: ClientConfig, name: str = NAME, **early: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Our client.  ``early``: ``early_data`` and what is to become of it."""
    async with asyncio.timeout(2 * PATIENCE):
        reader, writer = await minitls.open_connection(HOST, port, config=config, server_hostname=name, **early)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@dataclass
class Served:
    """What came of the connections to our server: an entry in ``infos`` for each handshake, in ``errors`` for each failure."""

    port: int = 0
    infos: list[minitls.ConnectionInfo] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def failed(self, error: BaseException, transport: Any = None) -> None:
        self.errors.append(error)
        self._news.set()

    async def error(self) -> BaseException:
        """The first connection's error, waited for."""
        async with asyncio.timeout(PATIENCE):
            while not self.errors:
                await self._news.wait()
        return self.errors[0]


@contextlib.asynccontextmanager
async def serving(config: ServerConfig, handler: Handler, *, answer_early: bool = False) -> AsyncIterator[Served]:
    """Our server.  What a handler raises is kept in ``errors``, with the handshakes that failed."""
    served = Served()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.infos.append(info_of(writer))
        try:
            await handler(reader, writer)
        except Exception as error:
            served.failed(error)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    failed = served.failed
    server = await minitls.start_server(handle, HOST, 0, config=config, answer_early=answer_early, handshake_failed=failed)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        await server.wait_closed()


async def reverse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What ``s_server -rev`` does: each line comes back with its characters in reverse."""
    while line := await reader.readline():
        writer.write(line.rstrip(b"\n")[::-1] + b"\n")
        await writer.drain()


def info_of(writer: asyncio.StreamWriter) -> minitls.ConnectionInfo:
    info: minitls.ConnectionInfo = writer.get_extra_info("tls")
    return info


def update_keys(writer: asyncio.StreamWriter, *, request_peer: bool) -> None:
    """Our KeyUpdate; it leaves with what is written next."""
    transport = writer.transport
    assert isinstance(transport, TLSTransport)
    transport.connection.update_keys(request_peer=request_peer)


class Watch:
    """An observer that remembers the names of the handshake messages, sent and received."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.received: list[str] = []
        self.all: list[Observation] = []

    def __call__(self, seen: Observation) -> None:
        self.all.append(seen)
        if isinstance(seen, MessageSeen):
            (self.sent if seen.sent else self.received).append(type(seen.message).__name__)
