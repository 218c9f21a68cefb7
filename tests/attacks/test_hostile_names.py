"""Injection through SNI and ALPN, other protocols at our port, and protocols that are not ours (ALPACA)."""

from __future__ import annotations

import pytest

from minitls import Alert, ClientConnection, PeerIncompatible, PeerMisbehaved, ServerConnection
from minitls.observe import Observation
from minitls.trace.figure import figure
from minitls.wire.extensions import ServerName
from minitls.wire.hello import ClientHello
from minitls.wire.messages import EncryptedExtensions
from tests.conftest import Pki
from tests.liar import edit, hear, lying_client, lying_server, meet

HOSTILE = [
    b"evil\r\nSet-Cookie: a=b",
    b"\x1b[2J\x1b]0;owned\x07",
    b"localhost\0.evil.example",
    b"<script>alert(1)</script>\n",
    "löcalhost".encode(),
    b"\xff\xfe",
    b"a b",
    b"\x7f",
]


def clean(text: str) -> bool:
    return text.isprintable() or (all(line.isprintable() for line in text.split("\n")) and "\r" not in text)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_server_name(pki: Pki, name: bytes) -> None:
    """Injection through SNI: refused, shown escaped in the error, and kept out of what an application reads."""
    seen: list[Observation] = []
    client = lying_client(pki.client_config(), edit(ClientHello, lambda m: m.extensions.update({0: (ServerName(0, name),)})))
    server = ServerConnection(pki.server_config(observer=seen.append))
    meet(client, server)
    if name == b"<script>alert(1)</script>\n" or not name.isascii() or any(not 0x21 <= byte <= 0x7E for byte in name):
        assert isinstance(server.error, PeerMisbehaved)
        assert server.error.reason == "bad_server_name"
        assert server.info.server_name is None
    assert clean(str(server.error))
    assert clean(repr(server.info))
    assert clean(figure(seen, "server"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_protocols_from_a_client(pki: Pki, name: bytes) -> None:
    """Injection through ALPN into the server's log."""
    client = lying_client(pki.client_config(), edit(ClientHello, lambda m: m.extensions.update({16: (name,)})))
    server = ServerConnection(pki.server_config(alpn=("h2",)))
    meet(client, server)
    assert isinstance(server.error, PeerIncompatible)
    assert server.error.alert is Alert.no_application_protocol
    assert clean(str(server.error))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_protocols_from_a_server(pki: Pki, name: bytes) -> None:
    client = ClientConnection(pki.client_config(alpn=("h2",)), server_hostname="localhost")
    meet(client, lying_server(pki.server_config(), edit(EncryptedExtensions, lambda m: m.extensions.update({16: (name,)}))))
    assert isinstance(client.error, PeerMisbehaved)
    assert clean(str(client.error))
    assert client.info.alpn_protocol is None


@pytest.mark.parametrize("offered", [("ftp",), ("smtp", "imap"), ("h2c",), ("H2",)])
def test_cross_protocol(pki: Pki, offered: tuple[str, ...]) -> None:
    """ALPACA: a client of another protocol gets no_application_protocol, and no connection."""
    client = ClientConnection(pki.client_config(alpn=offered), server_hostname="localhost")
    meeting = meet(client, ServerConnection(pki.server_config(alpn=("h2", "http/1.1"))))
    assert meeting.alert_heard_by(client) == Alert.no_application_protocol
    assert meeting.completed == (False, False)


GREETINGS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.7\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "SSLv2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
    "PROXY": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "PostgreSQL": b"\0\0\0\x08\x04\xd2\x16\x2f",
    "escapes": b"\x1b[31m\r\n",
}


@pytest.mark.parametrize("greeting", GREETINGS)
@pytest.mark.parametrize("role", ["client", "server"])
def test_other_protocols(pki: Pki, greeting: str, role: str) -> None:
    """Garbage, HTTP, SSH, SSLv2 at the port: one alert, one clean sentence that says what came."""
    ours, theirs = pki.quick
    side = ClientConnection(ours, server_hostname="localhost") if role == "client" else ServerConnection(theirs)
    side.data_to_send()
    hear(side, GREETINGS[greeting], [])
    assert isinstance(side.error, PeerIncompatible)
    assert side.error.reason == "wrong_version_number"
    assert clean(str(side.error))
    sent = side.data_to_send()
    assert sent[:1] == b"\x15"
    assert len(sent) == 7
