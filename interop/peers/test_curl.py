"""Our server against curl."""

from __future__ import annotations

import pytest

from interop.openssl.harness import Files, running, serving
from interop.peers.harness import BODY, find, page
from minitls import ClientAuth, Policy
from tests.conftest import Pki

VERSIONS = {"TLSv1.2": ["--tlsv1.2", "--tls-max", "1.2"], "TLSv1.3": ["--tlsv1.3"]}


@pytest.fixture(scope="session")
def curl() -> str:
    return find("curl", "curl")


def command(curl: str, files: Files, port: int, *options: str) -> list[str]:
    """A request for our page, verified."""
    fixed = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "10", "--cacert", str(files.ca)]
    return [curl, *fixed, "--connect-to", f"localhost:443:127.0.0.1:{port}", *options]


@pytest.mark.parametrize("key", ["p256", "rsa2048"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_get(curl: str, pki: Pki, files: Files, version: str, key: str) -> None:
    config = pki.server_config(credentials=(files.server(key).credential(),), alpn=("http/1.1",))
    async with (
        serving(config, page) as served,
        running(*command(curl, files, served.port, *VERSIONS[version], "https://localhost/")) as peer,
    ):
        assert await peer.exit() == 0, peer.text
    assert peer.output == BODY
    assert not served.errors
    assert (served.infos[0].version, served.infos[0].alpn_protocol) == (version, "http/1.1")


async def test_it_resumes(curl: str, pki: Pki, files: Files) -> None:
    """Two requests of one process, over two connections."""
    urls = ["https://localhost/one", "https://localhost/two"]
    async with (
        serving(pki.server_config(), page) as served,
        running(*command(curl, files, served.port, *VERSIONS["TLSv1.2"], *urls)) as peer,
    ):
        assert await peer.exit() == 0, peer.text
    assert peer.output == BODY * 2
    assert [info.resumed for info in served.infos] == [False, True]


@pytest.mark.parametrize("version", VERSIONS)
async def test_client_certificate(curl: str, pki: Pki, files: Files, version: str) -> None:
    identity = files.client()
    shown = ["--cert", str(identity.full), "--key", str(identity.key)]
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    async with (
        serving(config, page) as served,
        running(*command(curl, files, served.port, *VERSIONS[version], *shown, "https://localhost/")) as peer,
    ):
        assert await peer.exit() == 0, peer.text
    assert len(served.infos[0].verified_chain) == 3


async def test_nothing_in_common(curl: str, pki: Pki, files: Files) -> None:
    """35 is curl's "a problem occurred somewhere in the handshake"."""
    config = pki.server_config(policy=Policy.modern)
    async with (
        serving(config, page) as served,
        running(*command(curl, files, served.port, *VERSIONS["TLSv1.2"], "https://localhost/")) as peer,
    ):
        assert await peer.exit() == 35
        assert b"alert protocol version" in peer.output


async def test_a_certificate_that_it_does_not_trust(curl: str, pki: Pki, files: Files) -> None:
    """60 is curl's "the remote server's certificate was deemed not OK"."""
    async with (
        serving(pki.server_config(credentials=(pki.untrusted,)), page) as served,
        running(*command(curl, files, served.port, *VERSIONS["TLSv1.2"], "https://localhost/")) as peer,
    ):
        assert await peer.exit() == 60
