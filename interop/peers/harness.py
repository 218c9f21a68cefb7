"""Other programs as peers: where they are, a port for those that cannot choose one, and a web server of ours for clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from typing import Any

from interop.openssl.harness import HOST, PATIENCE, Files, Identity, Peer, connected, info_of, missing, running
from minitls import ClientConfig, ConnectionInfo

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BODY = b"what minitls says\n" * 5000


def find(command: str, package: str) -> str:
    """The path of a peer's command; a skip that says why where there is none, a failure if CI=true."""
    path = shutil.which(command, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if path is None:
        missing(f"the command {command} is missing (Debian's package {package})")
    return path


def free_port() -> int:
    """One that nobody listens at: the kernel does not give it to the next who asks."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def listening(port: int, *command: str) -> AsyncIterator[Peer]:
    """A server that is told its port, from when it accepts connections."""
    async with running(*command) as peer:
        peer.port = port
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection(HOST, port)
                except ConnectionRefusedError:
                    assert peer.process.returncode is None, f"it ended at once:\n{peer.text}"
                    await asyncio.sleep(0.005)  # nothing says when a process will listen
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield peer


async def get(port: int, config: ClientConfig, *, early: bool = False) -> tuple[ConnectionInfo, bytes]:
    """A page from a server, and what we know of the connection.  ``early``: ask with the hello, if that may be."""
    asked: dict[str, Any] = {"early_data": REQUEST, "resend_early_data": True} if early else {}
    async with connected(port, config, **asked) as (reader, writer):
        if not early:
            writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"200", head
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), -1)
        return info_of(writer), await (reader.read() if length < 0 else reader.readexactly(length))


async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A web server's handler: one request, one page."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"GET /"), head
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY)
    await writer.drain()


__all__ = ["BODY", "Files", "Identity", "find", "free_port", "get", "listening", "page"]
