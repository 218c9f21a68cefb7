"""``minitls scan`` and testssl.sh, about the same servers: each of its lines is a fact of ours, or says why it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interop.openssl.harness import Files, OpenSSL
from interop.peers.harness import find
from interop.scan.facts import FINDINGS, TESTSSL, Facts, differences, from_testssl, ours, unexplained
from interop.scan.servers import Place
from interop.scan.test_sslscan import output, scan

PARTS = ("-p", "-S", "-P", "-h", "-R", "-C", "-Z")
"""Protocols, server defaults, preferences, headers, renegotiation, CRIME, the fallback: what does not take minutes."""
SERVERS = ("nginx", "minitls")
CIPHERS = ("-s", "-f", "-P", "-E", "-U", "-g")
"""Categories of ciphers, forward secrecy, preferences, ciphers by version, all vulnerabilities, GREASE: a minute or two each."""
WEAK = ("nginx, old", "openssl, TLS 1.2 as of long ago", "minitls, legacy")


async def compared(place: Place, name: str, *parts: str) -> tuple[Facts, Facts]:
    """Theirs and ours."""
    program, report = find("testssl", "testssl.sh"), place.folder / "testssl.json"
    async with place.server(name) as port:
        mine = ours(await scan(port, place.files))
        quiet = ("--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--mapping", "iana")
        where = ("--add-ca", str(place.files.ca), "--jsonfile", str(report), f"localhost:{port}")
        await output(program, *quiet, *parts, *where, limit=600.0)
    return from_testssl(json.loads(report.read_text())), mine


@pytest.mark.parametrize("name", SERVERS)
async def test_no_fact_of_testssls_is_missing(openssl: OpenSSL, files: Files, tmp_path: Path, name: str) -> None:
    theirs, mine = await compared(Place(openssl, files, tmp_path), name, *PARTS)
    assert {"versions", "certificates", "verified", "order TLSv1.3", "HTTP status"} <= set(theirs)
    assert unexplained("testssl", name, differences(theirs, mine)) == {}


@pytest.mark.parametrize("name", WEAK)
async def test_no_weakness_of_testssls_is_missing(openssl: OpenSSL, files: Files, tmp_path: Path, name: str) -> None:
    """Each of its ciphers, and each attack that it says a server is open to, or not."""
    theirs, mine = await compared(Place(openssl, files, tmp_path), name, *CIPHERS)
    assert {*FINDINGS, "LOGJAM", "FREAK", "BEAST", "CBC", "early ChangeCipherSpec", "suites TLSv1.2", "tolerant"} <= set(theirs)
    assert unexplained("testssl", name, differences(theirs, mine)) == {}


@pytest.mark.parametrize(("option", "reused"), [((), 5), (("-no_ticket",), 0)])
async def test_s_client_is_the_referee_of_resumption(
    openssl: OpenSSL, files: Files, tmp_path: Path, option: tuple[str, ...], reused: int
) -> None:
    """By ticket it goes, by ID it does not: nginx has no cache unless it is given one."""
    async with Place(openssl, files, tmp_path).server("nginx") as port:
        _, said = await output(openssl.path, "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-reconnect", *option)
    assert (said.count("Reused, TLSv1.2"), said.count("New, TLSv1.2")) == (reused, 6 - reused)


def test_every_line_is_a_fact_or_has_its_reason() -> None:
    for line in TESTSSL:
        assert bool(line.fact) != bool(line.why), line
