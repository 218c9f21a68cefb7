"""``get_extra_info`` of our transports: "ssl_object", "peercert", "cipher" and "compression" answer as asyncio's own do."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

import minitls
from minitls import ClientAuth, ClientConfig, Danger, Policy
from minitls.aio.ssl_object import TLSObject
from tests.conftest import NAME, Pki

WORDS = ("ssl_object", "peercert", "cipher", "compression")


async def both_ends(client: ClientConfig, server: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two ends are told, once connected."""
    told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.set_result({word: writer.get_extra_info(word, "nothing") for word in WORDS})
        await reader.read()
        writer.close()
        await writer.wait_closed()

    listening = await minitls.start_server(serve, "127.0.0.1", 0, config=server)
    where = listening.sockets[0].getsockname()[1]
    _, writer = await minitls.open_connection("127.0.0.1", where, config=client, server_hostname=NAME)
    asked = {word: writer.get_extra_info(word, "nothing") for word in WORDS}
    of_server = await told
    writer.close()
    await writer.wait_closed()
    listening.close()
    return asked, of_server


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
async def test_what_asyncio_would_say(pki: Pki, version: str) -> None:
    policy = Policy.intermediate.replace(versions=(version,))
    client, server = await both_ends(
        pki.client_config(policy=policy, credential=pki.client(), alpn=("x",)),
        pki.server_config(trust=pki.trust, client_auth=ClientAuth.require, alpn=("x",)),
    )
    suite = {"TLSv1.3": "TLS_AES_128_GCM_SHA256", "TLSv1.2": "ECDHE-ECDSA-AES128-GCM-SHA256"}[version]
    for end, name, role in ((client, NAME, False), (server, "client", True)):
        assert end["cipher"] == (suite, version, 128)
        assert end["compression"] is None
        assert ("DNS", name) in end["peercert"]["subjectAltName"]
        obj = end["ssl_object"]
        assert isinstance(obj, ssl.SSLObject)
        assert obj.version() == version
        assert obj.cipher() == end["cipher"]
        assert obj.getpeercert() == end["peercert"]
        assert ssl.DER_cert_to_PEM_cert(obj.getpeercert(binary_form=True)).startswith("-----BEGIN")
        assert obj.selected_alpn_protocol() == "x"
        assert len(obj.get_verified_chain()) == len(obj.get_unverified_chain()) + 1
        assert (obj.server_side, obj.session_reused, obj.pending(), obj.compression()) == (role, False, 0, None)
        assert (obj.context, obj.session, obj.shared_ciphers()) == (None, None, None)
        assert obj.server_hostname == (None if role else NAME)
        obj.do_handshake()
        for refused in (lambda obj=obj: obj.read(), lambda obj=obj: obj.write(b""), obj.unwrap, obj.verify_client_post_handshake):
            with pytest.raises(NotImplementedError):
                refused()
        with pytest.warns(DeprecationWarning, match="NPN"):
            obj.selected_npn_protocol()
    bindings = [end["ssl_object"].get_channel_binding("tls-exporter") for end in (client, server)]
    assert bindings[0] == bindings[1] is not None


async def test_who_was_not_verified(pki: Pki) -> None:
    client, server = await both_ends(pki.client_config(verify=Danger.accept_any_certificate), pki.server_config())
    assert client["peercert"] == {}
    assert server["peercert"] is None


async def test_before_the_handshake(pki: Pki) -> None:
    connection = minitls.ClientConnection(pki.client_config(), server_hostname=NAME)
    obj = TLSObject(connection)
    assert (obj.version(), obj.cipher(), obj.selected_alpn_protocol(), obj.get_channel_binding()) == (None, None, None, None)
    with pytest.raises(ValueError, match="handshake not done yet"):
        obj.getpeercert()
    with pytest.raises(ValueError, match="not implemented"):
        obj.get_channel_binding("tls-magic")
    connection.abort(ConnectionAbortedError())


def test_every_member_is_ours() -> None:
    public = {name for name in dir(ssl.SSLObject) if not name.startswith("_")}
    owners = {name: next(kind for kind in TLSObject.__mro__ if name in vars(kind)) for name in public}
    assert {name for name, owner in owners.items() if not owner.__module__.startswith("minitls.")} == set()
