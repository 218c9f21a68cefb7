"""``minitls scan`` and sslscan, about the same servers: every fact of sslscan's is ours, too, or the difference is explained."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from interop.openssl.harness import Files, OpenSSL
from interop.peers.harness import find
from interop.scan.facts import DIFFERENCES, differences, from_sslscan, ours, unexplained
from interop.scan.servers import KNOWN, SERVERS, Place
from tests.running import MINITLS, environment

LIMIT = 120.0


async def output(*command: str, limit: float = LIMIT) -> tuple[int, str]:
    """What a program says, and its status."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=environment(NO_COLOR="1")
    )
    async with asyncio.timeout(limit):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def scan(port: int, files: Files) -> dict[str, Any]:
    """Ours."""
    fast = ("--rate", "1000", "--timeout", "1")
    status, said = await output(*MINITLS, "scan", f"localhost:{port}", "--json", "--ca", str(files.ca), *fast)
    assert status in (0, 1), said
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize("name", SERVERS)
async def test_no_fact_of_sslscans_is_missing(openssl: OpenSSL, files: Files, tmp_path: Path, name: str) -> None:
    program = find("sslscan", "sslscan")
    async with Place(openssl, files, tmp_path).server(name) as port:
        mine = ours(await scan(port, files))
        show = ("--show-certificate", "--show-sigs", "--no-colour", "--xml=-")
        _, said = await output(program, *show, f"localhost:{port}")
    theirs = from_sslscan(said[said.index("<?xml") :])
    assert len(theirs) >= 4
    assert {fact: mine.get(fact) for fact in KNOWN[name]} == KNOWN[name]
    assert unexplained("sslscan", name, differences(theirs, mine)) == {}


async def test_openssl_is_the_referee_of_renegotiation(openssl: OpenSSL) -> None:
    """sslscan says that this server has no secure renegotiation, and we say that it has."""
    async with openssl.server("-www", "-tls1_2") as peer, openssl.client(peer.port, "-tls1_2") as client:
        await client.said(rb"Secure Renegotiation IS supported")


def test_every_difference_has_its_reason() -> None:
    for each in DIFFERENCES:
        assert each.why.endswith(".")
        assert each.tool in ("sslscan", "testssl")
