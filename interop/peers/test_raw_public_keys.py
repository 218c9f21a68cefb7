"""Raw public keys (RFC 7250) with GnuTLS, both ways: a server's, a client's, and the ones that the other side does not have."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interop.openssl.harness import HOST, Files, Peer, connected, info_of, reverse, running, serving
from interop.peers.harness import find, free_port, listening
from minitls import (
    CertificateError,
    ClientAuth,
    ClientConfig,
    ConnectionInfo,
    Credential,
    ServerConfig,
    TLSError,
)
from minitls.certificates.authority import make_key, private_pem
from minitls.errors import Alert
from minitls.wire.numbers import CertificateType
from tests.conftest import Pki

TLS13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
TLS12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
BOTH, SERVERS, CLIENTS = (
    ":+CTYPE-ALL",
    ":-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-X509",
    ":-CTYPE-ALL:+CTYPE-SRV-X509:+CTYPE-CLI-RAWPK",
)
"""Which side's keys may be raw: GnuTLS names what it offers, best first."""

RAW, X509 = CertificateType.RawPublicKey, CertificateType.X509
KINDS = ("p256", "p384", "p521", "ed25519", "ed448", "rsa2048")


@dataclass(frozen=True)
class KeyFiles:
    """A key pair for GnuTLS, and for us."""

    private: Path
    public: Path

    @property
    def options(self) -> list[str]:
        return ["--rawpkkeyfile", str(self.private), "--rawpkfile", str(self.public)]

    def credential(self) -> Credential:
        return Credential.raw(self.private.read_bytes())

    def pem(self) -> bytes:
        return self.public.read_bytes()


def key_files(folder: Path, kind: str, name: str) -> KeyFiles:
    key, files = make_key(kind), KeyFiles(folder / f"{name}.key", folder / f"{name}.pub")
    files.private.write_bytes(private_pem(key))
    files.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return files


@pytest.fixture
def ours(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path, "p256", "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path, "p256", "theirs")


@pytest.fixture(scope="session")
def gnutls_serv() -> str:
    return find("gnutls-serv", "gnutls-bin")


@pytest.fixture(scope="session")
def gnutls_cli() -> str:
    return find("gnutls-cli", "gnutls-bin")


# our client ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def echoing(command: str, *options: str) -> AsyncIterator[Peer]:
    port = free_port()
    async with listening(port, command, "--echo", "--port", str(port), *options) as peer:
        yield peer


async def echo(port: int, config: ClientConfig) -> ConnectionInfo:
    async with connected(port, config) as (reader, writer):
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        return info_of(writer)


@pytest.mark.parametrize("version", [TLS13, TLS12], ids=["1.3", "1.2"])
@pytest.mark.parametrize("kind", KINDS)
async def test_client(gnutls_serv: str, tmp_path: Path, ours: KeyFiles, kind: str, version: str) -> None:
    """Both show a key; theirs is known by its bytes, ours they show us."""
    theirs = key_files(tmp_path, kind, "theirs")
    config = ClientConfig(trusted_keys=(theirs.pem(),), credential=ours.credential(), session_store=None)
    async with echoing(gnutls_serv, "--priority", version + BOTH, "--require-client-cert", *theirs.options) as peer:
        info = await echo(peer.port, config)
        await peer.said(b"Certificate type: Raw Public Key")
    assert (info.server_certificate_type, info.client_certificate_type) == (RAW, RAW)
    assert ours.pem().split(b"\n")[1] in peer.output


@pytest.mark.parametrize("version", [TLS13, TLS12], ids=["1.3", "1.2"])
async def test_client_comes_back(gnutls_serv: str, theirs: KeyFiles, version: str) -> None:
    """With a ticket, as long as we trust the key."""
    config = ClientConfig(trusted_keys=(theirs.pem(),))
    async with echoing(gnutls_serv, "--priority", version + BOTH, "--disable-client-cert", *theirs.options) as peer:
        infos = [await echo(peer.port, config) for _ in range(2)]
    assert [info.resumed for info in infos] == [False, True]
    assert infos[0].peer_public_key == infos[1].peer_public_key != b""


@pytest.mark.parametrize("kind", KINDS)
async def test_client_shows_its_key_to_a_server_with_a_certificate(
    gnutls_serv: str, pki: Pki, files: Files, tmp_path: Path, kind: str
) -> None:
    identity, ours = files.server(), key_files(tmp_path, kind, "ours")
    shown = ["--x509certfile", str(identity.full), "--x509keyfile", str(identity.key)]
    async with echoing(gnutls_serv, "--priority", TLS13 + BOTH, "--require-client-cert", *shown) as peer:
        info = await echo(peer.port, pki.client_config(credential=ours.credential()))
    assert (info.server_certificate_type, info.client_certificate_type) == (X509, RAW)
    assert ours.pem().split(b"\n")[1] in peer.output


async def test_client_refuses_an_unknown_key(gnutls_serv: str, ours: KeyFiles, theirs: KeyFiles) -> None:
    async with echoing(gnutls_serv, "--priority", TLS13 + BOTH, "--disable-client-cert", *theirs.options) as peer:
        with pytest.raises(CertificateError) as caught:
            await echo(peer.port, ClientConfig(trusted_keys=(ours.pem(),)))
        await peer.said(b"A TLS fatal alert has been received")
    assert caught.value.reason == "untrusted_key"


# our server ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def asking(command: str, port: int, *options: str) -> AsyncIterator[Peer]:
    """``gnutls-cli``, which knows no raw public keys by their bytes and so is told to take any."""
    async with running(
        command, "--port", str(port), "--insecure", "--print-cert", "--sni-hostname", "localhost", *options, HOST
    ) as peer:
        yield peer


async def talk(command: str, config: ServerConfig, *options: str) -> tuple[list[ConnectionInfo], Peer]:
    async with serving(config, reverse) as served, asking(command, served.port, *options) as peer:
        await peer.said(rb"- Handshake was completed")
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0, peer.text
    assert not served.errors
    return served.infos, peer


@pytest.mark.parametrize("version", [TLS13, TLS12], ids=["1.3", "1.2"])
@pytest.mark.parametrize("kind", KINDS)
async def test_server(gnutls_cli: str, tmp_path: Path, kind: str, version: str) -> None:
    ours = key_files(tmp_path, kind, "ours")
    infos, peer = await talk(gnutls_cli, ServerConfig(credentials=(ours.credential(),)), "--priority", version + SERVERS)
    assert infos[0].server_certificate_type is RAW
    assert b"Raw Public Key" in peer.output
    assert ours.pem().split(b"\n")[1] in peer.output


@pytest.mark.parametrize("version", [TLS13, TLS12], ids=["1.3", "1.2"])
@pytest.mark.parametrize("kind", KINDS)
async def test_server_knows_a_client(gnutls_cli: str, tmp_path: Path, ours: KeyFiles, kind: str, version: str) -> None:
    theirs = key_files(tmp_path, kind, "theirs")
    config = ServerConfig(credentials=(ours.credential(),), trusted_keys=(theirs.pem(),), client_auth=ClientAuth.require)
    infos, _ = await talk(
        gnutls_cli, config, "--priority", version + BOTH.replace("ALL", "SRV-RAWPK:+CTYPE-CLI-RAWPK"), *theirs.options
    )
    assert infos[0].client_certificate_type is RAW
    assert (infos[0].peer_public_key,) == config.trusted_keys
    assert infos[0].peer_chain == ()


async def test_server_with_a_certificate_knows_a_client(gnutls_cli: str, pki: Pki, theirs: KeyFiles) -> None:
    config = pki.server_config(trusted_keys=(theirs.pem(),), client_auth=ClientAuth.require)
    infos, _ = await talk(gnutls_cli, config, "--priority", TLS13 + CLIENTS, *theirs.options)
    assert (infos[0].server_certificate_type, infos[0].client_certificate_type) == (X509, RAW)


async def test_server_refuses_an_unknown_key(gnutls_cli: str, pki: Pki, ours: KeyFiles, theirs: KeyFiles) -> None:
    config = pki.server_config(trusted_keys=(ours.pem(),), client_auth=ClientAuth.require)
    async with (
        serving(config, reverse) as served,
        asking(gnutls_cli, served.port, "--priority", TLS13 + CLIENTS, *theirs.options) as peer,
    ):
        error = await served.error()
        await peer.said(b"(?i)certificate is bad|bad certificate")
    assert isinstance(error, CertificateError)
    assert error.reason == "untrusted_key"


async def test_server_without_a_certificate(gnutls_cli: str, ours: KeyFiles) -> None:
    """For who wants one: the alert of RFC 7250 section 4.2."""
    async with (
        serving(ServerConfig(credentials=(ours.credential(),)), reverse) as served,
        asking(gnutls_cli, served.port, "--priority", TLS13) as peer,
    ):
        error = await served.error()
        await peer.said(b"(?i)certificate is not supported|unsupported certificate")
    assert isinstance(error, TLSError)
    assert error.alert is Alert.unsupported_certificate
