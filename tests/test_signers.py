"""A signer of one's own, of which we know nothing but what it answers: sync or async, on both sides, in both versions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import minitls
from minitls import (
    AlertReceived,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Credential,
    Policy,
    ServerConfig,
    ServerConnection,
    TLSError,
)
from minitls.certificates.authority import Issued
from minitls.crypto.signatures import SCHEMES, SCHEMES_12
from minitls.errors import Alert
from minitls.testing import exchange, memory_pair
from minitls.wire.numbers import SignatureScheme
from tests.conftest import Pki

VERSIONS = ("TLSv1.3", "TLSv1.2")
Sign = Callable[[SignatureScheme, bytes], Any]


def keyed(issued: Issued, asked: list[str]) -> Sign:
    def sign(scheme: SignatureScheme, data: bytes) -> bytes:
        asked.append(scheme.name)
        return SCHEMES_12.get(scheme, SCHEMES.get(scheme)).sign(issued.key, data)  # type: ignore[union-attr]

    return sign


def configs(pki: Pki, version: str, server: Sign, client: Sign) -> tuple[ClientConfig, ServerConfig]:
    """Both sides with a signer of their own."""
    policy = Policy.intermediate.replace(versions=(version,))
    ours, theirs = pki.issue("localhost"), pki.issue("client", client=True)
    return (
        pki.client_config(policy=policy, credential=Credential(theirs.chain, signer=client)),
        ServerConfig(
            policy=policy, credentials=(Credential(ours.chain, signer=server),), client_auth=ClientAuth.require, trust=pki.trust
        ),
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_in_memory(pki: Pki, version: str) -> None:
    asked: list[str] = []
    pair = configs(pki, version, keyed(pki.issue("localhost"), asked), keyed(pki.issue("client", client=True), asked))
    client, server = memory_pair(*pair)
    assert client.handshake_completed
    assert server.handshake_completed
    assert asked == ["ecdsa_secp256r1_sha256"] * 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("side", ["server", "client"])
def test_a_signer_that_fails(pki: Pki, version: str, side: str) -> None:
    """Its error is raised where it is ours, whatever it is; the peer gets internal_error, or the alert of a TLSError."""
    issued = {"server": pki.issue("localhost"), "client": pki.issue("client", client=True)}
    for error, alert in (
        (ConnectionRefusedError("no agent"), Alert.internal_error),
        (RuntimeError("oh"), Alert.internal_error),
        (TLSError(Alert.access_denied, "not now"), Alert.access_denied),
    ):

        def fail(scheme: SignatureScheme, data: bytes, error: Exception = error) -> bytes:
            raise error

        signers = {name: keyed(its, []) for name, its in issued.items()} | {side: fail}
        client_config, server_config = configs(pki, version, signers["server"], signers["client"])
        client, server = ClientConnection(client_config, server_hostname="localhost"), ServerConnection(server_config)
        with pytest.raises(type(error)):
            exchange(client, server)
        broken, other = (server, client) if side == "server" else (client, server)
        with pytest.raises(AlertReceived) as caught:
            other.receive_data(broken.data_to_send())
        assert caught.value.alert is alert


@pytest.mark.parametrize("answer", [b"", b"\x30\x00", bytes(70), b"x" * 5000], ids=["empty", "no r and s", "zeros", "long"])
def test_a_signature_that_is_wrong(pki: Pki, answer: bytes) -> None:
    """A token that is broken: the peer notices."""
    client_config, server_config = configs(pki, "TLSv1.3", lambda scheme, data: answer, keyed(pki.issue("client", client=True), []))
    client, server = ClientConnection(client_config, server_hostname="localhost"), ServerConnection(server_config)
    with pytest.raises(TLSError) as caught:
        exchange(client, server)
    assert caught.value.alert is Alert.decrypt_error


@pytest.mark.parametrize("version", VERSIONS)
async def test_awaited_on_both_sides(pki: Pki, version: str) -> None:
    """Over sockets; many handshakes wait at the same time, and some in vain."""
    waiting, most, failures = 0, 0, list[BaseException]()

    def slow(issued: Issued, *, fails: Callable[[], bool] = lambda: False) -> Callable[[SignatureScheme, bytes], Awaitable[bytes]]:
        sign = keyed(issued, [])

        async def later(scheme: SignatureScheme, data: bytes) -> bytes:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            try:
                await asyncio.sleep(0.02)
                if fails():
                    raise ConnectionResetError("the agent is gone")
            finally:
                waiting -= 1
            answer: bytes = sign(scheme, data)
            return answer

        return later

    broken = False
    server_signer = slow(pki.issue("localhost"), fails=lambda: broken)
    client_config, server_config = configs(pki, version, server_signer, slow(pki.issue("client", client=True)))

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def visit() -> bytes:
        reader, writer = await minitls.open_connection("127.0.0.1", port, config=client_config, server_hostname="localhost")
        try:
            return await reader.read()
        finally:
            writer.close()

    failed = lambda error, transport: failures.append(error)  # noqa: E731
    server = await minitls.start_server(hello, "127.0.0.1", 0, config=server_config, handshake_failed=failed)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await asyncio.gather(*(visit() for _ in range(10))) == [b"hello"] * 10
        broken = True
        with pytest.raises(AlertReceived, match="internal_error"):
            await visit()
        broken = False
        assert await visit() == b"hello"
    assert most > 1
    assert [type(error) for error in failures] == [ConnectionResetError]
