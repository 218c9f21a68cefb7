"""Delegated credentials (RFC 9345): our server against NSS's ``tstclnt -B``.  No peer here shows one to our client."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import subprocess
from pathlib import Path

import pytest

from interop.openssl.harness import PATIENCE, running, serving
from interop.peers.harness import find
from minitls import AlertReceived, ConnectionInfo, Credential, ServerConfig
from minitls.certificates.authority import make_key
from minitls.errors import Alert
from tests.conftest import Pki


@pytest.fixture(scope="session")
def tstclnt() -> str:
    return find("tstclnt", "libnss3-tools")


@pytest.fixture(scope="session")
def database(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> str:
    """NSS's own kind of trust store, with the tests' CA."""
    folder = tmp_path_factory.mktemp("nss")
    (folder / "ca.pem").write_bytes(pki.authority.root_pem())
    for options in (["-N", "--empty-password"], ["-A", "-n", "ca", "-t", "TC,,", "-i", str(folder / "ca.pem")]):
        subprocess.run([find("certutil", "libnss3-tools"), "-d", f"sql:{folder}", *options], check=True, capture_output=True)
    return f"sql:{folder}"


def credential(pki: Pki, leaf: str = "p256") -> Credential:
    return pki.issue("localhost", key=leaf, delegation=True).credential()


async def visit(command: str, database: str, folder: Path, config: ServerConfig, *options: str) -> ConnectionInfo | BaseException:
    """What came of a connection: a line goes there, and comes back in reverse; or our error."""
    request = folder / "request"
    request.write_bytes(b"hello\n")

    async def one_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).rstrip()[::-1] + b"\n")
        await writer.drain()

    async with serving(config, one_line) as served:
        told = ["-4", "-h", "localhost", "-p", str(served.port), "-d", database, "-V", "tls1.3:tls1.3", "-A", str(request)]
        async with running(command, *told, *options) as peer:
            async with asyncio.timeout(PATIENCE):
                while not (served.errors or b"olleh" in peer.output):
                    await asyncio.sleep(0.01)
                answered = b"olleh" in peer.output
        return served.infos[0] if answered else served.errors[0]


@pytest.mark.parametrize("leaf", ["p256", "p384", "p521"])
@pytest.mark.parametrize("key", ["p256", "p384", "p521"])
async def test_server(tstclnt: str, database: str, pki: Pki, tmp_path: Path, leaf: str, key: str) -> None:
    config = pki.server_config(credentials=(credential(pki, leaf).delegated(make_key(key)),))
    info = await visit(tstclnt, database, tmp_path, config, "-B")
    assert isinstance(info, ConnectionInfo), info
    assert info.delegated
    assert info.signature_scheme is not None
    assert key[1:] in info.signature_scheme


@pytest.mark.parametrize(
    ("leaf", "key", "options"),
    [("p256", "ed25519", ["-B"]), ("rsa2048", "p256", ["-B"]), ("p256", "p256", [])],
    ids=["a scheme that it has not", "an RSA certificate", "not asked"],
)
async def test_server_with_its_own_key(
    tstclnt: str, database: str, pki: Pki, tmp_path: Path, leaf: str, key: str, options: list[str]
) -> None:
    """NSS refuses a delegated credential that an RSA certificate signed: it gets none."""
    config = pki.server_config(credentials=(credential(pki, leaf).delegated(make_key(key)),))
    info = await visit(tstclnt, database, tmp_path, config, *options)
    assert isinstance(info, ConnectionInfo), info
    assert not info.delegated


async def test_one_that_is_not_signed(tstclnt: str, database: str, pki: Pki, tmp_path: Path) -> None:
    """To see that the others were looked at."""
    good, client = credential(pki).delegated(make_key("p256")), credential(pki).delegated(make_key("p256"), client=True)
    (view,) = client.delegations
    assert view.delegation is not None
    forged = copy.copy(view)
    forged.delegation = dataclasses.replace(view.delegation, client=False)
    bad = copy.copy(good)
    bad.delegations = (forged,)
    error = await visit(tstclnt, database, tmp_path, pki.server_config(credentials=(bad,)), "-B")
    assert isinstance(error, AlertReceived)
    assert error.alert is Alert.illegal_parameter
