"""HelloRetryRequest loops, renegotiation, and what a malicious server may ask once the handshake is over."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from minitls import Alert, ClientConnection, PeerMisbehaved, Policy, ServerConnection, TicketReceived
from minitls.testing import memory_pair
from minitls.wire.codec import Extensions
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest
from minitls.wire.messages import CertificateRequest, NewSessionTicket, read_message, write_message
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import edit, hear, lying_client, meet, write_handshake


def retry_request(client: ClientConnection, **extensions: Any) -> bytes:
    """A record with a HelloRetryRequest for this client."""
    values = {X.supported_versions: 0x0304, **{X[name]: value for name, value in extensions.items()}}
    session = client.info.client_hello.legacy_session_id
    raw = write_message(HelloRetryRequest(0x0303, HELLO_RETRY_REQUEST_RANDOM, session, 0x1301, 0, Extensions(values)))
    return b"\x16\3\3" + len(raw).to_bytes(2, "big") + raw


@pytest.mark.parametrize("second", [{"cookie": b"2"}, {"key_share": 0x18}, {"cookie": b"2", "key_share": 0x18}])
def test_a_server_that_always_asks_again(pki: Pki, second: dict[str, Any]) -> None:
    """HelloRetryRequest loop: one, and no more."""
    policy = Policy(groups=("x25519", "secp256r1", "secp384r1"), key_shares=("x25519",))
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")
    client.data_to_send()
    assert client.receive_data(retry_request(client, key_share=0x17)) == []
    again = client.data_to_send()
    assert again.startswith(b"\x14\3\3\0\1\1\x16\3\3")
    with pytest.raises(PeerMisbehaved) as caught:
        client.receive_data(retry_request(client, **second))
    assert (caught.value.alert, caught.value.message) == (
        Alert.unexpected_message,
        "expected ServerHello, got HelloRetryRequest",
    )


def test_a_client_that_never_sends_the_share(pki: Pki) -> None:
    """HelloRetryRequest loop, the other way: a server asks once, and does not ask again."""
    ours = dataclasses.replace(pki.quick[0], policy=Policy(groups=("x25519",), key_shares=()))
    client = lying_client(ours, edit(ClientHello, lambda m: m.extensions.update({X.key_share: ()}), nth=2))
    server = ServerConnection(pki.quick[1])
    meeting = meet(client, server)
    assert isinstance(server.error, PeerMisbehaved)
    assert server.error.reason == "wrong_curve"
    assert meeting.alert_heard_by(client) == Alert.illegal_parameter


def test_a_cookie_is_echoed_whatever_it_is(pki: Pki) -> None:
    """RFC 8446 section 4.2.2."""
    for cookie in b"x", bytes(range(256)), bytes(16_000):
        client = ClientConnection(pki.quick[0], server_hostname="localhost")
        client.data_to_send()
        client.receive_data(retry_request(client, cookie=cookie))
        assert read_message(ClientHello, client.data_to_send()[11:]).extensions[X.cookie] == cookie  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ["client", "server"])
def test_renegotiation(pki: Pki, role: str) -> None:
    """Renegotiation injection: HelloRequest to a client, a second ClientHello to a server: unexpected_message, and the end."""
    client, server = memory_pair(*pki.quick)
    if role == "client":
        write_handshake(server, b"\0\0\0\0")
        hear(client, server.data_to_send(), [])
    else:
        write_handshake(client, client.info.client_hello_raw)
        hear(server, client.data_to_send(), [])
    error = (client if role == "client" else server).error
    assert isinstance(error, PeerMisbehaved)
    assert error.alert is Alert.unexpected_message


@pytest.mark.parametrize("context", [b"", b"context"])
def test_a_certificate_request_after_the_handshake(pki: Pki, context: bytes) -> None:
    """Post-handshake: refused, as we did not offer post_handshake_auth (RFC 8446 section 4.6.2); the credential stays unseen."""
    client, server = memory_pair(*pki.quick)
    write_handshake(server, CertificateRequest(context, Extensions({13: (0x0807,)})))
    hear(client, server.data_to_send(), [])
    assert isinstance(client.error, PeerMisbehaved)
    assert (client.error.alert, client.error.rule) == (Alert.unexpected_message, "RFC 8446 4.6")
    assert len(client.data_to_send()) == 24


def test_tickets_are_only_handed_up(pki: Pki) -> None:
    """Post-handshake: a server that hands out tickets costs what the application keeps of them; here nothing."""
    client, server = memory_pair(*pki.quick)
    for n in range(16):
        write_handshake(server, NewSessionTicket(2**32 - 1, 0, bytes((n,)), bytes(1000), Extensions({X.early_data: 2**32 - 1})))
    events = client.receive_data(server.data_to_send())
    assert [type(event) for event in events] == [TicketReceived] * 16
    assert client.data_to_send() == b""
