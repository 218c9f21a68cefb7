"""Both of our sides against Go's crypto/tls, whose program is in ``go/``: agreement, client certificates, resumption."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop.openssl.harness import SUITES, Files, Peer, connected, info_of, reverse, running, serving
from interop.peers.harness import find
from minitls import ClientAuth, ClientConfig, ConnectionInfo, Policy
from minitls.sessions.store import MemoryStore
from tests.conftest import Pki

VERSIONS = {"TLSv1.2": Policy.intermediate.replace(versions=("1.2",)), "TLSv1.3": Policy.modern}
GROUPS = {"X25519MLKEM768": "X25519MLKEM768", "x25519": "X25519", "secp256r1": "P-256", "secp384r1": "P-384"}
RETRIED = Policy.modern.replace(groups=("x25519", "secp384r1"), key_shares=("x25519",))
ASKING = Policy.modern.replace(groups=("secp384r1",))
"""Go and we, by RETRIED, send no share for it."""


@pytest.fixture(scope="session")
def go_peer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program, made with the Go that is installed; nothing is downloaded."""
    go = find("go", "golang-go")
    program = tmp_path_factory.mktemp("go") / "peer"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0", "GOFLAGS": ""}
    command = [go, "build", "-buildvcs=false", "-o", str(program), "."]
    folder = Path(__file__).parent / "go"
    built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return str(program)


# our client ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def echoing(program: str, files: Files, *options: str, key: str = "p256") -> AsyncIterator[Peer]:
    identity = files.server(key)
    async with running(program, "-cert", str(identity.full), "-key", str(identity.key), *options) as peer:
        peer.port = int((await peer.said(rb"listening at (\d+)\n"))[1])
        yield peer


async def echo(port: int, config: ClientConfig) -> ConnectionInfo:
    async with connected(port, config) as (reader, writer):
        for line in (b"hello\n", b"x" * 9000 + b"\n"):
            writer.write(line)
            assert await reader.readexactly(len(line)) == line
        return info_of(writer)


@pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_client(go_peer: str, pki: Pki, files: Files, version: str, key: str) -> None:
    async with echoing(go_peer, files, key=key) as peer:
        info = await echo(peer.port, pki.client_config(policy=VERSIONS[version]))
        await peer.said(rb"resumed=false peer=\n")
    assert info.version == version


@pytest.mark.parametrize("group", GROUPS)
async def test_client_group(go_peer: str, pki: Pki, files: Files, group: str) -> None:
    async with echoing(go_peer, files, "-curve", GROUPS[group]) as peer:
        info = await echo(peer.port, pki.client_config())
    assert info.group == group


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("suite", SUITES[:3])
async def test_client_resumes(go_peer: str, pki: Pki, files: Files, suite: str, authenticated: bool) -> None:
    asked = ["-ca", str(files.ca)] if authenticated else []
    credential = files.client().credential() if authenticated else None
    policy = Policy(cipher_suites=(suite,))
    config = pki.client_config(session_store=MemoryStore(), policy=policy, credential=credential)
    name = b"client" if authenticated else b""
    async with echoing(go_peer, files, *asked) as peer:
        for resumed in (b"false", b"true", b"true"):
            peer.output.clear()
            info = await echo(peer.port, config)
            await peer.said(rb"TLS 1.3 %b \w+ resumed=%b peer=%b\n" % (suite.encode(), resumed, name))
            assert (info.resumed, info.cipher_suite) == (resumed == b"true", suite)


async def test_client_resumes_after_a_retry(go_peer: str, pki: Pki, files: Files) -> None:
    config = pki.client_config(session_store=MemoryStore(), policy=RETRIED)
    async with echoing(go_peer, files, "-curve", "P-384") as peer:
        for resumed in (b"false", b"true", b"true"):
            peer.output.clear()
            info = await echo(peer.port, config)
            await peer.said(b"CurveP384 resumed=" + resumed)
            assert (info.resumed, info.hello_retry) == (resumed == b"true", True)


async def test_client_resumes_1_2(go_peer: str, pki: Pki, files: Files) -> None:
    config = pki.client_config(session_store=MemoryStore(), policy=VERSIONS["TLSv1.2"])
    async with echoing(go_peer, files) as peer:
        for resumed in (b"false", b"true", b"true"):
            peer.output.clear()
            info = await echo(peer.port, config)
            await peer.said(b"resumed=" + resumed)
            assert info.resumed == (resumed == b"true")


# our server ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def calling(program: str, files: Files, port: int, *options: str) -> AsyncIterator[Peer]:
    """Three visits to our server."""
    async with running(program, "-address", f"127.0.0.1:{port}", "-visits", "3", "-ca", str(files.ca), *options) as peer:
        assert await peer.exit() == 0, peer.text
        yield peer


@pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_server_resumes(go_peer: str, pki: Pki, files: Files, version: str, key: str) -> None:
    config = pki.server_config(policy=VERSIONS[version], credentials=(files.server(key).credential(),))
    async with serving(config, reverse) as served, calling(go_peer, files, served.port) as peer:
        assert peer.output.count(b"heard: olleh\n") == 3
        assert re.findall(rb"resumed=(\w+)", peer.output) == [b"false", b"true", b"true"]
    assert [(info.version, info.resumed) for info in served.infos] == [(version, False), (version, True), (version, True)]
    assert not served.errors


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("suite", SUITES[:3])
async def test_server_resumes_with(go_peer: str, pki: Pki, files: Files, suite: str, authenticated: bool) -> None:
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust} if authenticated else {}
    identity = files.client()
    shown = ["-cert", str(identity.full), "-key", str(identity.key)] if authenticated else []
    config = pki.server_config(policy=Policy(cipher_suites=(suite,)), **auth)
    async with serving(config, reverse) as served, calling(go_peer, files, served.port, *shown) as peer:
        assert peer.output.count(suite.encode()) == 3
        assert peer.output.count(b"resumed=true peer=localhost\n") == 2
    assert [info.resumed for info in served.infos] == [False, True, True]
    assert {bool(info.peer_chain) for info in served.infos} == {authenticated}


async def test_server_resumes_after_a_retry(go_peer: str, pki: Pki, files: Files) -> None:
    async with serving(pki.server_config(policy=ASKING), reverse) as served, calling(go_peer, files, served.port) as peer:
        assert peer.output.count(b"CurveP384 resumed=true") == 2
    assert [(info.resumed, info.hello_retry) for info in served.infos] == [(False, True), (True, True), (True, True)]


async def test_server_without_tickets(go_peer: str, pki: Pki, files: Files) -> None:
    async with serving(pki.server_config(tickets=None), reverse) as served, calling(go_peer, files, served.port) as peer:
        assert peer.output.count(b"resumed=false") == 3
    assert [info.resumed for info in served.infos] == [False] * 3
