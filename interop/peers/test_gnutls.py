"""Our client against ``gnutls-serv``, our server against ``gnutls-cli``."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop.openssl.harness import HOST, KEYS, Files, Peer, Watch, connected, info_of, reverse, running, serving
from interop.openssl.test_tls12_client import LEGACY, PSK, SHARED, key_for
from interop.peers.harness import find, free_port, listening
from minitls import AlertReceived, ClientAuth, ClientConfig, ConnectionInfo, ServerConfig
from minitls.crypto.suites12 import CBC, Suite12
from minitls.errors import Alert
from minitls.observe import AlertSeen
from minitls.sessions.store import MemoryStore
from tests.conftest import Pki

TLS12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
TLS13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
VERSIONS = {"TLSv1.2": TLS12, "TLSv1.3": TLS13}


def priority(suite: Suite12) -> str:
    """GnuTLS's way to say that this suite is the only one."""
    cipher = suite.cipher
    exchange = suite.key_exchange.replace("_", "-")
    if suite.key_exchange in ("ECDHE", "DHE"):
        exchange += f"-{suite.authentication}"
    if isinstance(cipher, CBC):
        name, mac = f"AES-{8 * cipher.key_length}-CBC", cipher.mac.upper()
    else:
        name, mac = cipher.name.upper().replace("CCM_8", "CCM-8").replace("_", "-"), "AEAD"
    return f"NONE:+VERS-TLS1.2:+COMP-NULL:+CTYPE-X509:+SIGN-ALL:+GROUP-ALL:+{exchange}:+{name}:+{mac}"


@pytest.fixture(scope="session")
def gnutls_serv() -> str:
    return find("gnutls-serv", "gnutls-bin")


@pytest.fixture(scope="session")
def gnutls_cli() -> str:
    return find("gnutls-cli", "gnutls-bin")


# our client ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def echoing(command: str, files: Files, *options: str, key: str | None = "p256") -> AsyncIterator[Peer]:
    """``gnutls-serv``, which says back what it is told."""
    port = free_port()
    identity = files.server(key or "p256")
    shown = ["--x509certfile", str(identity.full), "--x509keyfile", str(identity.key)] if key else []
    async with listening(port, command, "--echo", "--port", str(port), *shown, *options) as peer:
        yield peer


async def echo(port: int, config: ClientConfig) -> ConnectionInfo:
    async with connected(port, config) as (reader, writer):
        for line in (b"hello\n", b"x" * 9000 + b"\n"):
            writer.write(line)
            assert await reader.readexactly(len(line)) == line
        return info_of(writer)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_client(gnutls_serv: str, pki: Pki, files: Files, version: str, key: str) -> None:
    options = ["--priority", VERSIONS[version], "--disable-client-cert", "--alpn", "http/1.1"]
    async with echoing(gnutls_serv, files, *options, key=key) as peer:
        info = await echo(peer.port, pki.client_config(alpn=("http/1.1",)))
    assert (info.version, info.alpn_protocol) == (version, "http/1.1")


@pytest.mark.parametrize("suite", SHARED, ids=lambda suite: suite.name)
async def test_client_suite(gnutls_serv: str, pki: Pki, files: Files, tmp_path: Path, suite: Suite12) -> None:
    psk = suite.authentication == "PSK"
    options = ["--priority", priority(suite), "--disable-client-cert"]
    if psk:
        options += ["--pskpasswd", str(password_file(tmp_path))]
    async with echoing(gnutls_serv, files, *options, key=None if psk else key_for(suite)) as peer:
        info = await echo(peer.port, pki.client_config(policy=LEGACY, psk=lambda hint: PSK))
    assert info.cipher_suite == suite.name
    assert info.extended_master_secret


def password_file(folder: Path) -> Path:
    file = folder / "passwords"
    file.write_text(f"{PSK[0].decode()}:{PSK[1].hex()}\n")
    return file


@pytest.mark.parametrize("options", [[], ["--noticket"]], ids=["by ticket", "by ID"])
async def test_client_resumes(gnutls_serv: str, pki: Pki, files: Files, options: list[str]) -> None:
    config = pki.client_config(session_store=MemoryStore())
    async with echoing(gnutls_serv, files, "--priority", TLS12, "--disable-client-cert", *options) as peer:
        for resumed in (False, True, True):
            info = await echo(peer.port, config)
            assert info.resumed == resumed


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_client_certificate(gnutls_serv: str, pki: Pki, files: Files, version: str, key: str) -> None:
    options = ["--priority", VERSIONS[version], "--x509cafile", str(files.ca), "--require-client-cert", "--verify-client-cert"]
    async with echoing(gnutls_serv, files, *options) as peer:
        info = await echo(peer.port, pki.client_config(credential=files.client(key).credential()))
    assert info.client_signature_scheme is not None


async def test_client_without_a_certificate_where_one_is_wanted(gnutls_serv: str, pki: Pki, files: Files) -> None:
    options = ["--priority", TLS12, "--x509cafile", str(files.ca), "--require-client-cert"]
    async with echoing(gnutls_serv, files, *options) as peer:
        with pytest.raises(AlertReceived):
            await echo(peer.port, pki.client_config())


# our server ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def asking(command: str, files: Files, port: int, *options: str) -> AsyncIterator[Peer]:
    """``gnutls-cli``, which verifies our certificate."""
    named = ["--sni-hostname", "localhost", "--verify-hostname", "localhost", "--x509cafile", str(files.ca)]
    async with running(command, "--port", str(port), *named, *options, HOST) as peer:
        yield peer


async def talk(command: str, files: Files, config: ServerConfig, *options: str) -> tuple[list[ConnectionInfo], str]:
    async with serving(config, reverse) as served, asking(command, files, served.port, *options) as peer:
        await peer.said(rb"- Handshake was completed")
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0, peer.text
    assert not served.errors
    return served.infos, peer.text


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_server(gnutls_cli: str, pki: Pki, files: Files, version: str, key: str) -> None:
    config = pki.server_config(credentials=(files.server(key).credential(),), alpn=("http/1.1",))
    infos, said = await talk(gnutls_cli, files, config, "--priority", VERSIONS[version], "--alpn", "http/1.1")
    assert (infos[0].version, infos[0].alpn_protocol) == (version, "http/1.1")
    assert "The certificate is trusted" in said


@pytest.mark.parametrize("suite", SHARED, ids=lambda suite: suite.name)
async def test_server_suite(gnutls_cli: str, pki: Pki, files: Files, suite: Suite12) -> None:
    psk = suite.authentication == "PSK"
    config = pki.server_config(
        policy=LEGACY,
        credentials=() if psk else (files.server(key_for(suite)).credential(),),
        psk=dict([PSK]).get if psk else None,
    )
    options = ["--pskusername", PSK[0].decode(), "--pskkey", PSK[1].hex()] if psk else []
    options += ["--priority", priority(suite)]
    if suite.key_exchange == "ECDHE_PSK":  # after this handshake gnutls-cli 3.7 crashes, with other servers too
        async with serving(config, reverse) as served, asking(gnutls_cli, files, served.port, *options) as peer:
            await peer.exit()
            await served.error()
        infos = served.infos
    else:
        infos, _ = await talk(gnutls_cli, files, config, *options)
    assert infos[0].cipher_suite == suite.name
    assert infos[0].extended_master_secret


@pytest.mark.parametrize("options", ["", ":%NO_TICKETS"], ids=["by ticket", "by ID"])
async def test_server_resumes(gnutls_cli: str, pki: Pki, files: Files, options: str) -> None:
    async with (
        serving(pki.server_config(), reverse) as served,
        asking(gnutls_cli, files, served.port, "--priority", TLS12 + options, "--resume") as peer,
    ):
        await peer.said(rb"This is a resumed session")
        await peer.say("hello")
        await peer.said(rb"olleh\n")
    assert [info.resumed for info in served.infos] == [False, True]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_server_asks_for_a_certificate(gnutls_cli: str, pki: Pki, files: Files, version: str, key: str) -> None:
    identity = files.client(key)
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    shown = ["--x509certfile", str(identity.full), "--x509keyfile", str(identity.key)]
    infos, _ = await talk(gnutls_cli, files, config, "--priority", VERSIONS[version], *shown)
    assert len(infos[0].verified_chain) == 3


async def test_server_refuses_a_renegotiation(gnutls_cli: str, pki: Pki, files: Files) -> None:
    """gnutls-cli asks twice before it gives up; there is no second handshake."""
    watch = Watch()
    async with (
        serving(pki.server_config(observer=watch), reverse) as served,
        asking(gnutls_cli, files, served.port, "--priority", TLS12, "--rehandshake") as peer,
    ):
        await peer.said(b"(?i)rehandshake|renegotiat")
        await peer.exit()
    refusals = [seen.code for seen in watch.all if isinstance(seen, AlertSeen) and seen.sent].count(Alert.no_renegotiation)
    assert watch.received.count("ClientHello") > refusals > 0
    assert watch.sent.count("ServerHello") == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_exporter(gnutls_cli: str, pki: Pki, files: Files, version: str) -> None:
    options = ["--priority", VERSIONS[version], "--keymatexport", "EXPORTER-minitls-test", "--keymatexportsize", "48"]
    infos, said = await talk(gnutls_cli, files, pki.server_config(), *options)
    theirs = re.search(r"Key material: ([0-9a-f]+)", said)
    assert theirs, said
    context = None if version == "TLSv1.2" else b""
    assert infos[0].export_keying_material("EXPORTER-minitls-test", context, 48) == bytes.fromhex(theirs[1])
