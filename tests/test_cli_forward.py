"""``minitls serve --proxy-to``: what comes out of TLS, and who it is from, as the service behind sees it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import minitls
from minitls.certificates.trust import TrustStore
from minitls.cli import main
from minitls.cli.common import USAGE
from minitls.cli.forward import SIGNATURE, preamble
from minitls.errors import TruncationError
from tests.running import Serving, run, serving
from tests.test_cli_reach import listening


class Behind:
    """A service that hears all, and then answers."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda heard: heard, *, break_off: bool = False) -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._break_off = break_off

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.read())
        writer.write(self._answer(self.heard[-1]))
        await writer.drain()
        if self._break_off:
            sock = writer.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()


async def ask(server: Serving, data: bytes, **config: Any) -> bytes:
    """Say it, end, and hear all."""
    made = minitls.ClientConfig(trust=TrustStore.from_files(server.ca), **config)
    reader, writer = await minitls.open_connection("localhost", server.port, config=made)
    try:
        writer.write(data)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


def forwarding(tmp_path: Path, port: int, *options: str) -> Any:
    return serving("--dev", "--proxy-to", f"127.0.0.1:{port}", *options, cwd=tmp_path)


async def test_both_ways_and_each_end(tmp_path: Path) -> None:
    """The service answers when the client has ended, and not before."""
    data = os.urandom(2**21)
    behind = Behind(lambda heard: hashlib.sha256(heard).digest() * 2**14)
    with listening(behind) as port, forwarding(tmp_path, port) as server:
        answer = await ask(server, data)
        assert answer == hashlib.sha256(data).digest() * 2**14
        server.wait_for(rf"127\.0\.0\.1:\d+ to 127\.0\.0\.1:{port} 2,097,152 bytes there, 524,288 back TLSv1.3")


async def test_a_service_that_breaks_off_is_not_a_whole_answer(tmp_path: Path) -> None:
    with listening(Behind(break_off=True)) as port, forwarding(tmp_path, port) as server:
        with pytest.raises((TruncationError, ConnectionResetError)):
            await ask(server, b"half of it")
        server.wait_for("failed")


async def test_no_service_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with forwarding(tmp_path, port) as server:
        with pytest.raises((TruncationError, ConnectionResetError)):
            await ask(server, b"hello")
        server.wait_for(f"no connection to 127.0.0.1:{port}: connection refused")


async def test_a_service_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with listening(Behind(), str(path)), serving("--dev", "--proxy-to", f"unix:{path}", cwd=tmp_path) as server:
        assert await ask(server, b"hello") == b"hello"


async def test_what_is_going_on_may_end(tmp_path: Path) -> None:
    """SIGTERM waits for it, for a while."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        loop.call_soon_threadsafe(asked.set)
        await asyncio.sleep(0.5)
        writer.write(b"done")
        writer.close()

    with listening(slow) as port, forwarding(tmp_path, port) as server:
        answer = asyncio.create_task(ask(server, b"hello"))
        await asyncio.wait_for(asked.wait(), 10)
        server.process.terminate()
        assert await answer == b"done"
        assert server.process.wait(10) == 0


def test_an_http_server_behind(tmp_path: Path) -> None:
    """Python's own, and our own client."""
    (tmp_path / "page.txt").write_text("a page\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["python3", "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as behind:
        try:
            assert behind.stdout is not None
            behind.stdout.readline()  # it listens
            with forwarding(tmp_path, port) as server:
                got = run("get", f"https://{server.address}/page.txt", "--ca", server.ca)
        finally:
            behind.terminate()
    assert (got.returncode, got.stdout) == (0, b"a page\n")


# who the client is ------------------------------------------------------------------------------------------------------


def read_version_2(data: bytes) -> tuple[int, bytes, dict[int, bytes], bytes]:
    """Family, addresses, TLVs, and what comes after."""
    assert data.startswith(SIGNATURE)
    command, family, length = struct.unpack_from("!BBH", data, 12)
    assert command == 0x21
    body, rest = data[16 : 16 + length], data[16 + length :]
    size = {0x00: 0, 0x11: 12, 0x21: 36}[family]
    return family, body[:size], tlvs(body[size:]), rest


def tlvs(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        kind, length = struct.unpack_from("!BH", data)
        found[kind] = data[3 : 3 + length]
        assert len(found[kind]) == length
        data = data[3 + length :]
    return found


async def test_version_1(tmp_path: Path) -> None:
    behind = Behind()
    with listening(behind) as port, forwarding(tmp_path, port, "--proxy-protocol", "1") as server:
        await ask(server, b"hello")
    line, _, rest = behind.heard[0].partition(b"\r\n")
    words = line.decode().split()
    assert words[:4] == ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"]
    assert words[5] == str(server.port)
    assert rest == b"hello"


async def test_version_2(tmp_path: Path) -> None:
    behind = Behind()
    options = ("--proxy-protocol", "2", "--alpn", "imap")
    with listening(behind) as port, forwarding(tmp_path, port, *options) as server:
        await ask(server, b"hello", alpn=("imap",))
    family, addresses, told, rest = read_version_2(behind.heard[0])
    assert (family, addresses[:8], rest) == (0x11, socket.inet_aton("127.0.0.1") * 2, b"hello")
    assert struct.unpack("!HH", addresses[8:])[1] == server.port
    assert (told[0x01], told[0x02]) == (b"imap", b"localhost")
    client, verify = struct.unpack_from("!BI", told[0x20])
    assert (client, verify) == (0x01, 1)  # TLS, and no certificate that was verified
    assert tlvs(told[0x20][5:]) == {0x21: b"TLSv1.3", 0x23: b"TLS_AES_128_GCM_SHA256"}


async def test_version_2_of_a_client_with_a_certificate(tmp_path: Path) -> None:
    behind = Behind()
    assert main(["certs", "make", "--client", "alice@dev.example", "--out", str(tmp_path / "clients")]) == 0
    mine = tmp_path / "clients" / "alice@dev.example.pem"
    options = ("--proxy-protocol", "2", "--client-ca", str(tmp_path / "clients" / "root.pem"))
    with listening(behind) as port, forwarding(tmp_path, port, *options) as server:
        await ask(server, b"hello", credential=minitls.Credential.from_files(mine, mine.with_suffix(".key")))
    told = read_version_2(behind.heard[0])[2]
    assert struct.unpack_from("!BI", told[0x20]) == (0x07, 0)


class Transport:
    def __init__(self, peer: Any, local: Any) -> None:
        self._names = {"peername": peer, "sockname": local}

    def get_extra_info(self, name: str) -> Any:
        return self._names[name]


def test_addresses_of_other_kinds() -> None:
    info: Any = minitls.ConnectionInfo(role="server", timing=None)  # type: ignore[arg-type]
    six: Any = Transport(("fe80::1%eth0", 1000, 0, 2), ("::1", 443, 0, 0))
    assert preamble(1, six, info) == b"PROXY TCP6 fe80::1 ::1 1000 443\r\n"
    family, addresses, _, _ = read_version_2(preamble(2, six, info))
    assert (family, addresses[-4:]) == (0x21, struct.pack("!HH", 1000, 443))
    unix: Any = Transport("", "/run/app.sock")
    assert preamble(1, unix, info) == b"PROXY UNKNOWN\r\n"
    assert read_version_2(preamble(2, unix, info))[0] == 0x00
    assert preamble(0, six, info) == b""


@pytest.mark.parametrize(
    "options",
    [
        ("--proxy-to", "localhost"),
        ("--proxy-to", "localhost:1", "--www"),
        ("--proxy-to", "localhost:1", "--early-data"),
        ("--proxy-protocol", "1"),
        ("--proxy-to", "localhost:1", "--proxy-protocol", "3"),
    ],
)
def test_what_cannot_be(options: tuple[str, ...]) -> None:
    assert main(["serve", "--dev", *options]) == USAGE
