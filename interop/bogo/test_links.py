"""The shim's two links and its answers that take their time, against each other and without the suite."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from interop.bogo.later import unhurried, unhurried_credential
from interop.bogo.link import Link
from interop.bogo.loop import LoopLink, offload
from minitls import Alert, AlertReceived, ClientConfig, ClientConnection, ServerConfig, ServerConnection
from minitls.certificates.authority import Authority

AUTHORITY = Authority.create()


def configs(*, slow: bool) -> tuple[ClientConfig, ServerConfig]:
    credential = AUTHORITY.issue("localhost").credential()
    ours = ClientConfig(trust=AUTHORITY.trust(), verify=lambda peer: None)
    theirs = ServerConfig(credentials=(unhurried_credential(credential) if slow else credential,), select_config=lambda hello: None)
    return (unhurried(ours), unhurried(theirs)) if slow else (ours, theirs)


def answer(sock: socket.socket, config: ServerConfig, *, slow: bool) -> bytes:
    """A server that gives back what it hears, and an alert for b"no"."""
    link, heard = Link(ServerConnection(config), sock, piecemeal=slow), b""
    link.handshake()
    while data := link.read(4):
        heard += data
        if data == b"no":
            link.fail(Alert.access_denied)
            break
        link.update_keys()
        link.write(data)
    else:
        link.close()
    link.drain()
    return heard


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("asyncio", [False, True])
def test_talk(asyncio: bool, slow: bool) -> None:
    ours, theirs = configs(slow=slow)
    one, other = socket.socketpair()
    one.settimeout(10)
    other.settimeout(10)
    with one, other, ThreadPoolExecutor(1) as pool:
        server = pool.submit(answer, other, theirs, slow=slow)
        engine = ClientConnection(ours, server_hostname="localhost", offload=offload if asyncio else None)
        link = LoopLink(engine, one) if asyncio else Link(engine, one, piecemeal=slow)
        link.handshake()
        for word in (b"one", b"two"):
            link.update_keys()
            link.write(word)
            assert link.peek(9) == link.read(9) == word
        assert len(link.tickets) == 2
        link.close()
        assert link.read(1) == b""
        assert engine.peer_closed
        link.drain()
        assert server.result() == b"onetwo"


@pytest.mark.parametrize("asyncio", [False, True])
def test_refused(asyncio: bool) -> None:
    ours, theirs = configs(slow=False)
    one, other = socket.socketpair()
    one.settimeout(10)
    other.settimeout(10)
    with one, other, ThreadPoolExecutor(1) as pool:
        server = pool.submit(answer, other, theirs, slow=False)
        engine = ClientConnection(ours, server_hostname="localhost", offload=offload if asyncio else None)
        link = LoopLink(engine, one) if asyncio else Link(engine, one, piecemeal=False)
        link.handshake()
        link.write(b"no")
        with pytest.raises(AlertReceived) as caught:
            link.read(1)
        assert caught.value.alert is Alert.access_denied
        link.drain()
        assert server.result() == b"no"


def test_unfinished_write() -> None:
    """Of what is written, one byte is let through; the rest follows when all is allowed."""
    ours, theirs = configs(slow=False)
    one, other = socket.socketpair()
    one.settimeout(10)
    other.settimeout(10)
    with one, other, ThreadPoolExecutor(1) as pool:
        server = pool.submit(answer, other, theirs, slow=False)
        link = Link(ClientConnection(ours, server_hostname="localhost"), one, piecemeal=False)
        link.handshake()
        link.allowed = 1
        link.write(b"word")
        link.flush()
        assert link.allowed == 0
        link.allowed = None
        assert link.read(9) == b"word"
        link.close()
        link.drain()
        assert server.result() == b"word"
