"""A real capture of ours, off the loopback interface, is read by tshark with our key log, and by nobody without."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.openssl.harness import HOST, PATIENCE, SUITES, connected, missing, running, serving, update_keys
from minitls import Policy
from tests.conftest import Pki

CASES: Mapping[str, dict[str, Any]] = {
    "defaults": {},
    **{suite: {"policy": Policy(cipher_suites=(suite,))} for suite in SUITES[:4]},
    "x25519": {"policy": Policy(groups=("x25519",))},
    "retried": {"policy": Policy(key_shares=())},
    "padded": {"record_padding": 1000},
    "updated-keys": {},
}
"""By the path that each asks for."""


def find(program: str) -> str:
    path = shutil.which(program)
    return path or missing(f"{program} is missing")


@asynccontextmanager
async def capturing(port: int, file: Path) -> AsyncIterator[None]:
    """Everything to and from this port goes into the file."""
    async with running(find("dumpcap"), "-i", "lo", "-f", f"port {port}", "-w", str(file)) as dumpcap:
        try:
            await dumpcap.said(rb"File: ")
        except AssertionError:
            missing(f"dumpcap may not capture here: {' '.join(dumpcap.text.split())[:200]}")
        yield
        # The last packet of all: when it is in the file, so are the others.
        mark = b"the end of the capture"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(mark, (HOST, port))
        async with asyncio.timeout(PATIENCE):
            while mark not in file.read_bytes():
                await asyncio.sleep(0.02)


def request_lines(file: Path, port: int, key_log: Path) -> list[str]:
    """The paths of the HTTP requests that tshark finds."""
    command = [find("tshark"), "-r", str(file), "-o", f"tls.keylog_file:{key_log}", "-d", f"tcp.port=={port},tls"]
    shown = ["-Y", "http.request", "-T", "fields", "-e", "http.request.method", "-e", "http.request.uri"]
    return subprocess.run([*command, *shown], capture_output=True, text=True, check=True).stdout.splitlines()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")


@pytest.mark.parametrize("whose", ["client", "server"])
async def test_tshark_reads_our_capture(pki: Pki, tmp_path: Path, whose: str) -> None:
    file, key_log, nothing = tmp_path / "ours.pcapng", tmp_path / "keys", tmp_path / "nothing"
    nothing.touch()
    log = {"key_log": key_log}
    server = pki.server_config(policy=Policy(cipher_suites=SUITES[:4]), **(log if whose == "server" else {}))
    async with serving(server, answer) as served, capturing(served.port, file):
        for path, config in CASES.items():
            client = pki.client_config(alpn=("http/1.1",), **config, **(log if whose == "client" else {}))
            async with connected(served.port, client) as (reader, writer):
                if path == "updated-keys":
                    update_keys(writer, request_peer=True)
                writer.write(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert (await reader.read()).endswith(b"OK")
    assert request_lines(file, served.port, key_log) == [f"GET\t/{path}" for path in CASES]
    assert request_lines(file, served.port, nothing) == []
    assert b"/defaults" not in file.read_bytes()
