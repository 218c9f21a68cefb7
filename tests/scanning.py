"""Servers to be scanned: real ones of ours, and impostors that say a hello and mean nothing by it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

import minitls
from minitls import ServerConfig
from minitls.certificates.trust import TrustStore
from minitls.scan.facts import Facts
from minitls.scan.findings import Finding, findings
from minitls.scan.prober import Opener, Prober, Stream
from minitls.scan.registry import FALLBACK_SCSV, Suite
from minitls.scan.survey import scan_of, survey
from minitls.wire.codec import Extensions, serialize
from minitls.wire.framing import Framing
from minitls.wire.hello import ClientHello, Message, ServerHello
from minitls.wire.messages import read_message, write_message
from minitls.wire.messages12 import Certificate12, DigitallySigned, ServerDHParams, ServerHelloDone, ServerKeyExchange
from minitls.wire.numbers import ExtensionType as X

HOST = "localhost"
PATIENCE = 2.0


@dataclass
class Impostor:
    """A server that answers hellos, and cannot do any cryptography.

    ``suites``: by version, in its order; ``own_order``: or else the client's.  ``answers``: extensions that it takes up, with their
    bodies.  ``chain``: DER.  ``prime_bits``: of its Diffie-Hellman.  ``scheme``: what it claims to sign with.
    ``deaf``: hellos that it does not answer, by their length; ``ends_with``: the alert for those that it cannot use.
    ``early_ccs``: what it says to whatever comes after its first flight, None where it closes.
    """

    suites: dict[int, tuple[int, ...]]
    own_order: bool = True
    compression: bool = False
    answers: dict[int, Any] = field(default_factory=lambda: {X.renegotiation_info: b"", X.extended_master_secret: None})
    chain: tuple[bytes, ...] = ()
    prime_bits: int = 2048
    scheme: int = 0x0401
    deaf: range = range(0)
    split: bool = True
    fallback: bool = True
    alert: int = 40
    early_ccs: int | None = None
    hellos: list[ClientHello] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            raw = await self._hello(reader)
            if raw is not None:
                hello = read_message(ClientHello, raw)
                assert isinstance(hello, ClientHello)
                self.hellos.append(hello)
                if len(raw) in self.deaf:
                    await reader.read()
                else:
                    writer.write(self.answer(hello))
                    await writer.drain()
                    if self.early_ccs is not None and await reader.read(1):
                        writer.write(self._alert(self.early_ccs))
        writer.close()

    async def _hello(self, reader: asyncio.StreamReader) -> bytes | None:
        framing, records = Framing(), 0
        while (raw := framing.take()) is None:
            head = await reader.readexactly(5)
            records += 1
            if head[0] != 22 or (records > 1 and not self.split):
                return None
            framing.add(await reader.readexactly(int.from_bytes(head[3:], "big")))
        return raw

    def answer(self, hello: ClientHello) -> bytes:
        versions = [version for version in self.suites if version <= max(hello.versions)]
        if not versions:
            return self._alert(70)
        version = max(versions)
        if self.fallback and FALLBACK_SCSV in hello.cipher_suites and version < max(self.suites):
            return self._alert(86)
        ours, theirs = self.suites[version], hello.cipher_suites
        both = [suite for suite in (ours if self.own_order else theirs) if suite in ours and suite in theirs]
        if not both:
            return self._alert(self.alert)
        extensions = Extensions((kind, body) for kind, body in self.answers.items() if kind in hello.extensions)
        method = 1 if self.compression and 1 in hello.legacy_compression_methods else 0
        said: list[Message] = [ServerHello(version, os.urandom(32), b"", both[0], method, extensions)]
        if self.chain and not Suite.of(both[0]).anonymous:
            said.append(Certificate12(self.chain))
        if Suite.of(both[0]).finite:
            size = self.prime_bits // 8
            parameters = serialize(ServerDHParams(b"\xff" * size, b"\x02", b"\x7f" * size))
            signed = serialize(DigitallySigned(self.scheme, b"not really")) if version == 0x0303 else b"\0\0"
            said.append(ServerKeyExchange(parameters + signed))
        said.append(ServerHelloDone())
        content = b"".join(map(write_message, said))
        return b"\x16" + version.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content

    def _alert(self, code: int) -> bytes:
        return bytes((21, 3, 1, 0, 2, 2, code))


@contextlib.asynccontextmanager
async def listening(serve: Any) -> AsyncIterator[Opener]:
    """A server on a free port; gives what opens streams to it."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield lambda: asyncio.open_connection("127.0.0.1", port)


@contextlib.asynccontextmanager
async def serving(config: ServerConfig, answer: bytes = b"") -> AsyncIterator[Opener]:
    """A server of ours.  ``answer``: what it says to a request, before it closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if await reader.read(2**16) and answer:
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await minitls.start_server(serve, "127.0.0.1", 0, config=config)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield lambda: asyncio.open_connection("127.0.0.1", port)


async def scanned(
    opener: Opener, *only: str, name: str = HOST, trust: TrustStore | None = None, timeout: float = PATIENCE, at_once: int = 8
) -> Facts:
    """What a scan finds out, or some sections of one; "versions" for those alone."""
    prober = Prober(opener, timeout=timeout, at_once=at_once, rate=1e6)
    store = trust if trust is not None else TrustStore.from_certificates([])
    return await survey(scan_of(prober, HOST, 443, name=name, trust=store), only)


def ids(facts: Facts) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings(facts)}


def wants(found: Collection[str], *wanted: str) -> None:
    assert set(wanted) <= set(found), sorted(found)


class Memory(asyncio.Transport):
    """A connection in memory whose other end has said all that it will ever say."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.closing = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.protocol.connection_lost(None)

    abort = close


def parrot(said: bytes) -> Opener:
    """Opens streams at whose other end these bytes are said, whatever comes."""

    async def open_stream() -> Stream:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport = Memory(protocol)
        protocol.connection_made(transport)
        protocol.data_received(said)
        protocol.eof_received()
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    return open_stream
