"""A server that chooses its configuration by the hello, and a client that verifies a chain and no name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from minitls import Alert, CertificateError, ClientConfig, Danger, Misuse, PeerIncompatible, Policy, ServerConfig
from minitls.testing import memory_pair
from minitls.wire.hello import ClientHello
from tests.conftest import NAME, Pki

Configs = Callable[..., Any]
VERSIONS = ["TLSv1.3", "TLSv1.2"]


@pytest.mark.parametrize("version", VERSIONS)
def test_another_configuration(pki: Pki, version: str) -> None:
    """All of it counts: versions, ALPN, certificates, and what is used after the handshake."""
    log: list[str] = []
    other = pki.server_config(
        policy=Policy.intermediate.replace(versions=(version,)),
        alpn=("chosen",),
        key_log=log.append,
        credentials=(pki.server("ed25519"),),
    )
    asked: list[ClientHello] = []

    def select(hello: ClientHello) -> ServerConfig:
        asked.append(hello)
        return other

    client, server = memory_pair(pki.client_config(alpn=("chosen",)), ServerConfig(select_config=select))
    assert (server.info.version, server.info.alpn_protocol) == (version, "chosen")
    assert client.info.peer_chain == pki.server("ed25519").chain
    assert [hello.raw for hello in asked] == [server.info.client_hello_raw]
    assert any(line.startswith("EXPORTER_SECRET" if version == "TLSv1.3" else "CLIENT_RANDOM") for line in log)
    if version == "TLSv1.3":
        before = len(log)
        server.update_keys()
        assert len(log) == before + 1


def test_none_means_this_one(pki: Pki) -> None:
    _, server = memory_pair(pki.client_config(), pki.server_config(select_config=lambda hello: None))
    assert server.handshake_completed


def test_the_choice_may_be_to_refuse(pki: Pki) -> None:
    def refuse(hello: ClientHello) -> ServerConfig:
        raise PeerIncompatible(Alert.access_denied, "we are closed")

    with pytest.raises(PeerIncompatible, match="we are closed"):
        memory_pair(pki.client_config(), ServerConfig(select_config=refuse))


async def test_the_choice_may_take_its_time(pki: Pki) -> None:
    import minitls

    async def select(hello: ClientHello) -> ServerConfig:
        await asyncio.sleep(0.01)
        return pki.server_config(alpn=("later",))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    server = await minitls.start_server(serve, "127.0.0.1", 0, config=ServerConfig(select_config=select))
    port = server.sockets[0].getsockname()[1]
    reader, writer = await minitls.open_connection(
        "127.0.0.1", port, config=pki.client_config(alpn=("later",)), server_hostname=NAME
    )
    assert writer.get_extra_info("tls").alpn_protocol == "later"
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [None, "somebody.else"])
def test_a_chain_without_a_name(pki: Pki, version: str, name: Any) -> None:
    policy = Policy.intermediate.replace(versions=(version,))
    config = pki.client_config(verify=Danger.accept_any_name, policy=policy)
    client, _ = memory_pair(config, pki.server_config(), server_hostname=name)
    assert client.info.verified_chain
    with pytest.raises(CertificateError) as caught:
        memory_pair(config, pki.server_config(credentials=(pki.untrusted,)), server_hostname=name)
    assert caught.value.alert is Alert.unknown_ca
    with pytest.raises(CertificateError):
        memory_pair(config, pki.server_config(credentials=(pki.expired,)), server_hostname=name)


def test_a_name_is_needed_otherwise(pki: Pki) -> None:
    with pytest.raises(Misuse, match="server_hostname is needed"):
        memory_pair(pki.client_config(), pki.server_config(), server_hostname=None)


def test_what_follows_close_notify_is_kept(pki: Pki) -> None:
    client, server = memory_pair(pki.client_config(), pki.server_config())
    server.close()
    client.receive_data(server.data_to_send() + b"in the clear")
    assert client.peer_closed
    assert client.trailing == b"in the clear"
    client.receive_data(b"more")
    assert client.trailing == b"more"


def test_a_session_without_a_name_is_resumed(pki: Pki) -> None:
    from minitls.sessions.store import MemoryStore

    config: ClientConfig = pki.client_config(verify=Danger.accept_any_name, session_store=MemoryStore())
    server_config = pki.server_config()
    memory_pair(config, server_config, server_hostname="somebody.else")
    client, _ = memory_pair(config, server_config, server_hostname="somebody.else")
    assert client.info.resumed
