"""A server whose key is in another process: handshakes, many at once, and what happens when that process is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop.openssl.harness import OpenSSL, Peer, Served, connected, info_of, reverse, running, serving
from interop.signers.agent import REFUSED, Agent, AgentSigner
from minitls import AlertReceived, Credential, Policy, ServerConfig, TLSError
from minitls.certificates.authority import Issued
from minitls.crypto.signatures import SCHEMES, SERVER_CONTEXT, signed_content
from minitls.errors import Alert
from minitls.wire.numbers import SignatureScheme
from tests.conftest import Pki

CONTENT = signed_content(SERVER_CONTEXT, bytes(32))


@contextlib.asynccontextmanager
async def agent(folder: Path, issued: Issued, *options: str) -> AsyncIterator[tuple[Path, Peer]]:
    """A process that signs with this key.  Gives its socket's path."""
    socket, key = folder / "agent", folder / "agent.key"
    key.write_bytes(issued.key_pem())
    async with running(sys.executable, "-m", "interop.signers.agent", str(socket), str(key), *options) as peer:
        await peer.said(b"signing at")
        key.unlink()  # it has it, and nobody else does
        yield socket, peer


def config_for(issued: Issued, signer: AgentSigner, policy: Policy = Policy.modern) -> ServerConfig:
    return ServerConfig(credentials=(Credential(issued.chain, signer=signer),), policy=policy)


async def visit(served: Served, pki: Pki) -> str:
    async with connected(served.port, pki.client_config()) as (reader, writer):
        writer.write(b"hello\n")
        assert await reader.readline() == b"olleh\n"
        scheme = info_of(writer).signature_scheme
        assert scheme is not None
        return scheme


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519", "mldsa44"])
async def test_handshake(kind: str, pki: Pki, tmp_path: Path) -> None:
    issued = pki.issue("localhost", key=kind)
    async with agent(tmp_path, issued) as (socket, _):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        config = config_for(issued, AgentSigner(socket))
        async with serving(config, reverse) as served:
            assert await visit(served, pki) == config.credentials[0].schemes[0].name
        assert served.errors == []


async def test_openssl(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    """s_client, in TLS 1.3 and, with an agent that signs anything, in 1.2."""
    issued = pki.issue("localhost")
    for version, options in {"-tls1_3": (), "-tls1_2": ("--anything",)}.items():
        async with agent(tmp_path, issued, *options) as (socket, _):
            config = config_for(issued, AgentSigner(socket), Policy.intermediate)
            async with serving(config, reverse) as served, openssl.client(served.port, "-brief", version) as peer:
                await peer.say("hello")
                await peer.said(rb"olleh\n")
                peer.end_input()
                assert await peer.exit() == 0
                assert "Verification: OK" in peer.text
                assert "Signature type: ECDSA" in peer.text


async def test_many_at_once(pki: Pki, tmp_path: Path) -> None:
    issued = pki.issue("localhost", key="rsa2048")
    async with agent(tmp_path, issued) as (socket, _), serving(config_for(issued, AgentSigner(socket)), reverse) as served:
        done = await asyncio.gather(*(visit(served, pki) for _ in range(40)))
        assert done == ["rsa_pss_rsae_sha256"] * 40
    assert served.errors == []


async def refused(served: Served, pki: Pki) -> tuple[TLSError, TLSError]:
    """A handshake that the agent spoils: what the client and what the server raise."""
    before = len(served.errors)
    with pytest.raises(AlertReceived) as caught:
        await visit(served, pki)
    while len(served.errors) == before:
        await asyncio.sleep(0.005)
    error = served.errors[-1]
    assert isinstance(error, TLSError)
    return caught.value, error


async def test_the_agent_is_gone(pki: Pki, tmp_path: Path) -> None:
    """Handshakes fail, with a clear error and an alert; the server goes on, and so do they when there is an agent again."""
    issued = pki.issue("localhost")
    async with serving(config_for(issued, AgentSigner(tmp_path / "agent")), reverse) as served:
        async with agent(tmp_path, issued) as (socket, peer):
            await visit(served, pki)
            await peer.kill()
            for left_behind in (True, False):
                theirs, ours = await refused(served, pki)
                assert theirs.alert is Alert.internal_error
                what = "Connection refused" if left_behind else "No such file or directory"
                assert str(ours) == f"the signing agent at {socket} is gone: {what}"
                assert ours.reason == "signer_failed"
                socket.unlink(missing_ok=True)
        async with agent(tmp_path, issued):
            await visit(served, pki)


async def test_the_agent_hangs(pki: Pki, tmp_path: Path) -> None:
    """It is asked for so long; who already has a connection notices nothing."""
    issued = pki.issue("localhost")
    async with (
        agent(tmp_path, issued) as (socket, peer),
        serving(config_for(issued, AgentSigner(socket, timeout=0.5)), reverse) as served,
        connected(served.port, pki.client_config()) as (reader, writer),
    ):
        os.kill(peer.process.pid, signal.SIGSTOP)
        theirs, ours = await refused(served, pki)
        assert theirs.alert is Alert.internal_error
        assert str(ours).endswith("did not answer within 0.5 s")
        writer.write(b"still here\n")
        assert await reader.readline() == b"ereh llits\n"
        os.kill(peer.process.pid, signal.SIGCONT)
        await visit(served, pki)


async def test_what_it_signs(pki: Pki, tmp_path: Path) -> None:
    """A TLS 1.3 server's proof, and nothing else."""
    issued = pki.issue("localhost")
    scheme = SignatureScheme.ecdsa_secp256r1_sha256
    async with agent(tmp_path, issued) as (socket, _):
        sign = AgentSigner(socket)
        SCHEMES[scheme].verify(issued.key.public_key(), await sign(scheme, CONTENT), CONTENT)
        with pytest.raises(TLSError, match=r"refuses: this is not what a TLS 1.3 server signs"):
            await sign(scheme, b"a certificate")
        with pytest.raises(TLSError, match="refuses: this key cannot sign ed25519"):
            await sign(SignatureScheme.ed25519, CONTENT)
    assert Agent(issued.key).sign(b"\xff\xff" + CONTENT) == REFUSED + b"unknown signature scheme"


async def test_half_an_answer(tmp_path: Path) -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(nothing, tmp_path / "agent"):
        with pytest.raises(TLSError, match="ended in the middle of an answer"):
            await AgentSigner(tmp_path / "agent")(SignatureScheme.ed25519, CONTENT)
