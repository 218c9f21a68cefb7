"""mbedTLS 2.28, TLS 1.2 alone, both ways."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from interop.openssl.harness import Files, connected, info_of, missing, reverse, running, serving
from minitls import Policy
from tests.conftest import Pki

KEYS = ("rsa2048", "p256", "p384")


@pytest.fixture(scope="session")
def mbedtls() -> tuple[str, str]:
    """The start of its command."""
    if importlib.util.find_spec("mbedtls") is None:
        if sys.version_info >= (3, 13) or sys.platform != "linux":
            pytest.skip("python-mbedtls has no wheel for this Python")
        missing("python-mbedtls is missing")
    return sys.executable, str(Path(__file__).with_name("mbed_peer.py"))


@pytest.mark.parametrize("key", KEYS)
async def test_client(mbedtls: tuple[str, str], pki: Pki, files: Files, key: str) -> None:
    """A server that is done says nothing: python-mbedtls just closes."""
    identity = files.server(key)
    async with running(*mbedtls, "server", str(identity.full), str(identity.key)) as peer:
        port = int((await peer.said(rb"listens at (\d+)\n"))[1])
        async with connected(port, pki.client_config(alpn=("http/1.1",))) as (reader, writer):
            writer.write(b"hello\n")
            assert await reader.readexactly(6) == b"hello\n"
            info = info_of(writer)
    assert (info.version, info.alpn_protocol) == ("TLSv1.2", "http/1.1")


@pytest.mark.parametrize("policy", [Policy.intermediate, Policy.legacy], ids=["intermediate", "legacy"])
@pytest.mark.parametrize("key", KEYS)
async def test_server(mbedtls: tuple[str, str], pki: Pki, files: Files, key: str, policy: Policy) -> None:
    config = pki.server_config(credentials=(files.server(key).credential(),), alpn=("http/1.1",), policy=policy)
    async with serving(config, reverse) as served, running(*mbedtls, "client", str(served.port), str(files.ca)) as peer:
        await peer.said(b"heard olleh")
        assert await peer.exit() == 0, peer.text
    assert (served.infos[0].version, served.infos[0].alpn_protocol) == ("TLSv1.2", "http/1.1")
