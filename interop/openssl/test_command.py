"""The command and ``openssl``, each way."""

from __future__ import annotations

import re
import sys

from interop.openssl.harness import Files, OpenSSL, running
from tests.conftest import NAME

MINITLS = (sys.executable, "-m", "minitls")


async def test_minitls_gets_a_page(openssl: OpenSSL, files: Files) -> None:
    async with (
        openssl.server("-www") as server,
        running(*MINITLS, "get", "--ca", str(files.ca), f"https://{NAME}:{server.port}/") as command,
    ):
        assert await command.exit() == 0
    assert b"New, TLSv1.3, Cipher is TLS_" in command.output
    assert command.output.rstrip().endswith(b"</HTML>")


async def test_minitls_refuses_a_certificate(openssl: OpenSSL, files: Files) -> None:
    async with (
        openssl.server("-www", identity=files.strange(NAME)) as server,
        running(*MINITLS, "connect", "--ca", str(files.ca), f"{NAME}:{server.port}") as command,
    ):
        assert await command.exit() == 60
    assert b"whom we trust" in command.output


async def test_openssl_gets_a_page(openssl: OpenSSL, files: Files) -> None:
    shown = files.server()
    identity = ["--cert", str(shown.full), "--key", str(shown.key)]
    async with running(*MINITLS, "serve", "--www", "--listen", "127.0.0.1:0", *identity) as server:
        port = int((await server.said(rb"listening on 127.0.0.1:(\d+)"))[1])
        async with openssl.client(port, "-quiet", "-verify_quiet", "-nocommands") as peer:
            await peer.say("GET / HTTP/1.0\r\nHost: localhost\r\n\r")
            assert await peer.exit() == 0
    head, _, body = bytes(peer.output).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert length
    assert int(length[1]) == len(body)
    assert b"TLS_AES_" in body
