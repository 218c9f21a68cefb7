"""Post-handshake client authentication (RFC 8446 section 4.6.2) with GnuTLS's commands."""

from __future__ import annotations

import asyncio

import pytest

from interop.openssl.harness import KEYS, Files, Watch, connected, info_of, serving
from interop.openssl.test_post_handshake_auth import Asking, config_of
from interop.peers.harness import find
from interop.peers.test_gnutls import TLS13, asking, echoing
from minitls import CertificateError, Misuse
from tests.conftest import Pki

REAUTH = b"**REAUTH**\n"
"""gnutls-serv's command, which a client gives it."""


@pytest.mark.parametrize("key", [*KEYS, None])
async def test_client(pki: Pki, files: Files, key: str | None) -> None:
    watch = Watch()
    credential = files.client(key).credential() if key else None
    config = pki.client_config(credential=credential, post_handshake_auth=True, observer=watch)
    options = ["--priority", TLS13, "--x509cafile", str(files.ca), "--verify-client-cert"]
    async with (
        echoing(find("gnutls-serv", "gnutls-bin"), files, *options) as peer,
        connected(peer.port, config) as (reader, writer),
    ):
        for number in range(1, 4):
            writer.write(REAUTH)
            assert await reader.readline() == b"Successfully executed command\n"
            await peer.said(rb"Sending re-auth request\n", number)
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
        assert info_of(writer).client_signature_scheme == (KEYS[key] if key else None)
    assert watch.received.count("CertificateRequest") == 4
    assert watch.sent.count("Finished") == 4
    assert watch.sent.count("CertificateVerify") == (4 if key else 0)


@pytest.mark.parametrize("key", [*KEYS, None])
async def test_server(pki: Pki, files: Files, key: str | None) -> None:
    handler = Asking()
    identity = files.client(key or "p256")
    shown = ["--x509certfile", str(identity.full), "--x509keyfile", str(identity.key)] if key else []
    options = ["--priority", TLS13, "--post-handshake-auth", *shown]
    command = find("gnutls-cli", "gnutls-bin")
    async with serving(config_of(pki), handler) as served, asking(command, files, served.port, *options) as peer:
        await peer.said(rb"- Handshake was completed")
        for number in range(1, 4):
            await peer.say("who")
            await peer.said(rb"certificates: %d\n" % (2 if key else 0), number)
        await peer.said(rb"Re-auth was performed", 3)
        peer.end_input()
        assert await peer.exit() == 0, peer.text
    assert not served.errors
    assert [info.client_signature_scheme for info in handler.infos] == [KEYS[key] if key else None] * 3


async def test_server_does_not_believe_it(pki: Pki, files: Files) -> None:
    stranger = files.strange("client", client=True)
    options = ["--post-handshake-auth", "--x509certfile", str(stranger.full), "--x509keyfile", str(stranger.key)]
    command = find("gnutls-cli", "gnutls-bin")
    async with (
        serving(config_of(pki), Asking()) as served,
        asking(command, files, served.port, "--priority", TLS13, *options) as peer,
    ):
        await peer.say("who")
        async with asyncio.timeout(10):
            assert isinstance(await served.error(), CertificateError)


async def test_server_may_not_ask(pki: Pki, files: Files) -> None:
    command = find("gnutls-cli", "gnutls-bin")
    async with serving(config_of(pki), Asking()) as served, asking(command, files, served.port, "--priority", TLS13) as peer:
        await peer.say("who")
        assert isinstance(await served.error(), Misuse)
