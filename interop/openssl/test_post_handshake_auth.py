"""Post-handshake client authentication (RFC 8446 section 4.6.2) with OpenSSL: its commands, and OpenSSL 4.0 in this process."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from interop.openssl.harness import KEYS, Files, Identity, OpenSSL, Peer, Watch, connected, info_of, serving, update_keys
from interop.openssl.openssl4 import KEYS as KEYS_4
from interop.openssl.openssl4 import OpenSSL4, _ffi, _lib, context, exchange, require
from minitls import (
    AlertReceived,
    CertificateError,
    ClientAuthenticated,
    ClientConnection,
    ClientDeclined,
    ConnectionInfo,
    Misuse,
    Policy,
    ServerConfig,
    ServerConnection,
)
from minitls.aio.transport import TLSTransport
from minitls.errors import Alert
from minitls.sessions.store import MemoryStore
from tests.conftest import Pki

SHOWN = rb"depth=0 CN ?= ?client\nverify return:1\n"
DONE = rb"SSL_do_handshake -> 1\n"


# our client ----------------------------------------------------------------------------------------------------------------


def asking(files: Files) -> list[str]:
    """Options of an s_server that asks on its command ``c``, and not before."""
    return ["-CAfile", str(files.ca)]


async def line_each_way(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str) -> None:
    await peer.say(line)
    assert await reader.readline() == f"{line}\n".encode()
    writer.write(f"back: {line}\n".encode())
    await peer.said(f"back: {line}\n".encode())


@pytest.mark.parametrize("key", KEYS)
async def test_client(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    """Three times, with new keys in between, both ways."""
    watch = Watch()
    credential = files.client(key).credential()
    config = pki.client_config(credential=credential, post_handshake_auth=True, observer=watch)
    async with openssl.server(*asking(files), "-msg") as peer, connected(peer.port, config) as (reader, writer):
        await line_each_way(peer, reader, writer, "before")
        assert not re.search(SHOWN, peer.output)
        for number in range(1, 4):
            await peer.say("c")
            await peer.said(DONE, number)
            await peer.said(SHOWN, number)
            await peer.say("K")
            await peer.said(rb">>> TLS 1.3, Handshake .*, KeyUpdate", number)  # commands have a read to themselves
            update_keys(writer, request_peer=False)
            await line_each_way(peer, reader, writer, f"number {number}")
        assert info_of(writer).client_signature_scheme == KEYS[key]
    assert watch.sent.count("CertificateVerify") == watch.received.count("CertificateRequest") == 3
    assert watch.sent.count("Finished") == 4


async def test_client_declines(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    config = pki.client_config(post_handshake_auth=True)
    async with openssl.server(*asking(files)) as peer, connected(peer.port, config) as (reader, writer):
        await line_each_way(peer, reader, writer, "before")
        await peer.say("c")
        await peer.said(DONE)
        await line_each_way(peer, reader, writer, "afterwards")
        assert info_of(writer).client_signature_scheme is None


async def test_client_does_not_offer_it(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    config = pki.client_config(credential=pki.client())
    async with openssl.server(*asking(files)) as peer, connected(peer.port, config) as (reader, writer):
        await peer.say("c")
        await peer.said(rb"SSL_verify_client_post_handshake:extension not received")
        await line_each_way(peer, reader, writer, "afterwards")


async def test_client_is_not_believed(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    """Good enough for the handshake, and then it shows another certificate."""
    config = pki.client_config(credential=pki.client(), post_handshake_auth=True)
    options = [*asking(files), "-verify", "4", "-verify_return_error"]
    async with openssl.server(*options) as peer, connected(peer.port, config) as (reader, writer):
        await line_each_way(peer, reader, writer, "before")
        transport = writer.transport
        assert isinstance(transport, TLSTransport)
        stranger = pki.strangers.issue("client", client=True).credential()
        transport.connection._config = dataclasses.replace(config, credential=stranger)
        await peer.say("c")
        with pytest.raises(AlertReceived) as caught:
            await reader.read()
    assert caught.value.alert is Alert.unknown_ca


async def test_client_returns_as_who_it_was(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    """OpenSSL gives new tickets after it has asked; and it can ask again in a resumed connection."""
    config = pki.client_config(credential=pki.client(), post_handshake_auth=True, session_store=MemoryStore())
    async with openssl.server(*asking(files)) as peer:
        for resumed in (False, True):
            async with connected(peer.port, config) as (reader, writer):
                await line_each_way(peer, reader, writer, f"resumed: {resumed}")
                assert info_of(writer).resumed == resumed
                if resumed:
                    await peer.said(rb"subject=CN ?= ?client\n")  # it says so at the handshake's end
                await peer.say("c")
                await peer.said(DONE, 1 + resumed)
                await line_each_way(peer, reader, writer, f"authenticated, resumed: {resumed}")


# our server ----------------------------------------------------------------------------------------------------------------


class Asking:
    """A handler that asks for a certificate at each line ``who``, and says back what it learned."""

    def __init__(self) -> None:
        self.infos: list[ConnectionInfo] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        assert isinstance(transport, TLSTransport)
        while line := await reader.readline():
            if line == b"who\n":
                info = await transport.request_client_certificate()
                self.infos.append(info)
                line = b"certificates: %d\n" % len(info.peer_chain)
            writer.write(line)


def config_of(pki: Pki, **fields: Any) -> ServerConfig:
    return pki.server_config(**{"post_handshake_auth": True, "trust": pki.trust, **fields})


def showing(identity: Identity) -> list[str]:
    return ["-enable_pha", *identity.options]


@pytest.mark.parametrize("key", KEYS)
async def test_server(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    """Three times, with new keys in between."""
    handler = Asking()
    async with serving(config_of(pki), handler) as served, openssl.client(served.port, *showing(files.client(key))) as peer:
        for number in range(1, 4):
            await peer.say("who")
            await peer.said(rb"certificates: 2\n", number)
            await peer.say("K")
            await peer.said(rb"KEYUPDATE\n", number)
        await peer.say("Q")
        assert await peer.exit() == 0, peer.text
    assert not served.errors
    assert [info.client_signature_scheme for info in handler.infos] == [KEYS[key]] * 3
    assert handler.infos[0].peer_chain == files.client(key).credential().chain
    assert len(handler.infos[0].verified_chain) == 3


async def test_server_hears_that_there_is_none(openssl: OpenSSL, pki: Pki) -> None:
    handler = Asking()
    async with serving(config_of(pki), handler) as served, openssl.client(served.port, "-enable_pha") as peer:
        await peer.say("who")
        await peer.said(rb"certificates: 0\n")
        await peer.say("hello")
        await peer.said(rb"hello\n")
    assert [info.client_signature_scheme for info in handler.infos] == [None]


async def test_server_does_not_believe_it(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    stranger = files.strange("client", client=True)
    async with serving(config_of(pki), Asking()) as served, openssl.client(served.port, *showing(stranger)) as peer:
        await peer.say("who")
        assert isinstance(await served.error(), CertificateError)
        await peer.said(rb"alert unknown ca")


async def test_server_may_not_ask(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    options = files.client().options
    async with serving(config_of(pki), Asking()) as served, openssl.client(served.port, *options) as peer:
        await peer.say("who")
        assert isinstance(await served.error(), Misuse)


async def test_server_asks_in_a_resumed_connection(openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path) -> None:
    handler = Asking()
    session = str(tmp_path / "session")
    async with serving(config_of(pki), handler) as served:
        for option in ("-sess_out", "-sess_in"):
            async with openssl.client(served.port, *showing(files.client()), option, session) as peer:
                await peer.say("who")
                await peer.said(rb"certificates: 2\n")
                await peer.say("Q")
                await peer.exit()
    assert [info.resumed for info in handler.infos] == [False, True]
    assert not served.errors


# OpenSSL 4.0 ---------------------------------------------------------------------------------------------------------------

SIZES = {"whole": 2**20, "single bytes": 1}


def step(ours: ClientConnection | ServerConnection, theirs: OpenSSL4, size: int) -> list[Any]:
    """Carry bytes both ways in pieces of this size; gives our events."""
    events: list[Any] = []
    while True:
        to_us, to_them = theirs.data_to_send(), ours.data_to_send()
        if not to_us and not to_them:
            return events
        for at in range(0, len(to_them), size):
            theirs.receive_data(to_them[at : at + size])
        for at in range(0, len(to_us), size):
            events += ours.receive_data(to_us[at : at + size])


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("key", [*KEYS_4, None])
def test_client_with_openssl4(pki: Pki, files: Files, key: str | None, size: int) -> None:
    require()
    made = context("server", files, identity=files.server())
    made.load_verify_locations(str(files.ca))
    theirs = OpenSSL4("server", made)
    credential = files.client(key).credential() if key else None
    config = pki.client_config(credential=credential, post_handshake_auth=True, policy=Policy(groups=("x25519",)))
    ours = ClientConnection(config, server_hostname="localhost")
    exchange(ours, theirs)
    for _ in range(2):
        _lib.SSL_set_verify(theirs.ssl._ssl, SSL.VERIFY_PEER, _ffi.NULL)
        assert _lib.SSL_verify_client_post_handshake(theirs.ssl._ssl) == 1
        theirs.ssl.do_handshake()
        theirs.ssl.send(b"behind the request")
        events = step(ours, theirs, size)
        assert any(isinstance(event, ClientAuthenticated if key else ClientDeclined) for event in events)
        ours.send_data(b"hello")
        step(ours, theirs, size)
        assert theirs.error is None
        shown = theirs.ssl.get_peer_certificate()
        assert (shown is not None) == (key is not None)
    assert bytes(theirs.received) == b"hello" * 2
    assert ours.info.client_signature_scheme == (KEYS_4[key] if key else None)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("key", [*KEYS_4, None])
def test_server_with_openssl4(pki: Pki, files: Files, key: str | None, size: int) -> None:
    require()
    made = context("client", files, identity=files.client(key) if key else None)
    _lib.SSL_CTX_set_post_handshake_auth(made._context, 1)
    theirs = OpenSSL4("client", made)
    ours = ServerConnection(config_of(pki, policy=Policy(groups=("x25519",))))
    exchange(ours, theirs)
    for _ in range(2):
        ours.request_client_certificate()
        ours.send_data(b"behind the request")
        theirs.ssl.send(b"before the answer")
        kinds = [type(event) for event in step(ours, theirs, size)]
        assert kinds[-1] is (ClientAuthenticated if key else ClientDeclined)
        assert theirs.error is None
    assert bytes(theirs.received) == b"behind the request" * 2
    assert ours.info.client_signature_scheme == (KEYS_4[key] if key else None)
    assert ours.info.peer_chain == (files.client(key).credential().chain if key else ())
