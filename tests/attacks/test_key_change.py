"""Key change inside a record, plaintext after keys, early ChangeCipherSpec: nothing crosses the line between two keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from minitls import (
    Alert,
    ApplicationData,
    ClientConnection,
    Connection,
    KeyUpdated,
    PeerMisbehaved,
    Policy,
    ServerConnection,
    TLSError,
)
from minitls.testing import exchange, memory_pair
from minitls.wire.hello import ClientHello, Message, ServerHello
from minitls.wire.messages import EncryptedExtensions, Finished, KeyUpdate, write_message
from minitls.wire.messages12 import ServerHelloDone
from minitls.wire.numbers import ContentType
from tests.conftest import Pki
from tests.liar import Cut, Record, Unheard, instead, lying_client, lying_server, meet, truth, write_handshake

TLS12 = Policy.intermediate.replace(versions=("TLSv1.2",))
RETRY = Policy(groups=("x25519",), key_shares=())


def pair(pki: Pki) -> tuple[ClientConnection, ServerConnection]:
    ours, theirs = pki.quick
    return memory_pair(ours, theirs)


BEHIND = {"a byte": b"\x08", "a header": b"\x08\0\0\2", "a message": b"\x08\0\0\2\0\0", "garbage": bytes(100)}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize(("role", "kind"), [("server", ServerHello), ("server", Finished), ("client", ClientHello)])
def test_a_record_goes_on_behind_a_key_change(pki: Pki, role: str, kind: type[Message], behind: str) -> None:
    """Key change inside a record (RFC 8446 section 5.1): what follows in it was sent under the wrong key, by whoever could."""
    ours, theirs = pki.quick
    lie = instead(kind, lambda message: [message, Unheard(BEHIND[behind])])
    honest: Connection
    if role == "server":
        honest = ClientConnection(ours, server_hostname="localhost")
        meet(honest, lying_server(theirs, lie))
    else:
        honest = ServerConnection(theirs)
        meet(lying_client(ours, lie), honest)
    assert isinstance(honest.error, PeerMisbehaved)
    assert (honest.error.alert, honest.error.reason) == (Alert.unexpected_message, "excess_handshake_data")


@pytest.mark.parametrize("behind", BEHIND)
def test_a_record_goes_on_behind_server_hello_done(pki: Pki, behind: str) -> None:
    """TLS 1.2: the server has said all until the client answers; what stands behind it is no part of what it says then."""
    ours, theirs = pki.client_config(policy=TLS12), pki.server_config(policy=TLS12)
    client = ClientConnection(ours, server_hostname="localhost")
    meet(client, lying_server(theirs, instead(ServerHelloDone, lambda message: [message, Unheard(BEHIND[behind])])))
    assert isinstance(client.error, PeerMisbehaved)
    assert (client.error.alert, client.error.reason) == (Alert.unexpected_message, "excess_handshake_data")


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("side", [0, 1])
def test_a_record_goes_on_behind_key_update(pki: Pki, side: int, behind: str) -> None:
    liar, honest = pair(pki)[:: 1 - 2 * side]
    write_handshake(liar, KeyUpdate(0), BEHIND[behind])
    with pytest.raises(PeerMisbehaved) as caught:
        honest.receive_data(liar.data_to_send())
    assert caught.value.reason == "excess_handshake_data"


@pytest.mark.parametrize("offset", range(1, 8))
def test_a_message_cut_by_a_key_change(pki: Pki, offset: int) -> None:
    """EncryptedExtensions begins in ServerHello's plaintext record and goes on under keys."""
    ours, theirs = pki.quick
    beginning = b""

    def first_half(message: Message) -> list[object]:
        nonlocal beginning
        beginning = write_message(EncryptedExtensions({}))[:offset]  # type: ignore[arg-type]
        return [message, Unheard(beginning)]

    client = ClientConnection(ours, server_hostname="localhost")
    meet(client, lying_server(theirs, instead(ServerHello, first_half)))  # type: ignore[arg-type]
    assert isinstance(client.error, PeerMisbehaved)
    assert client.error.reason == "excess_handshake_data"


PLAINTEXT = {
    "close_notify": b"\x15\3\3\0\2\1\0",
    "a fatal alert": b"\x15\3\3\0\2\2\x28",
    "user_canceled": b"\x15\3\3\0\2\1\x5a",
    "a handshake message": b"\x16\3\3\0\4\x14\0\0\0",
    "ChangeCipherSpec": b"\x14\3\3\0\1\1",
    "data": b"\x17\3\3\0\5hello",
}


@pytest.mark.parametrize("what", PLAINTEXT)
@pytest.mark.parametrize("when", ["at once", "after data", "after KeyUpdate", "after both updated"])
@pytest.mark.parametrize("side", [0, 1])
def test_plaintext_after_the_handshake(pki: Pki, side: int, when: str, what: str) -> None:
    """Plaintext after keys: injected by anybody, it changes nothing but that the connection ends with an error.

    A close_notify above all: taken for the peer's it would make a truncated stream look whole.
    """
    honest, peer = pair(pki)[:: 1 - 2 * side]
    if when == "after data":
        peer.send_data(b"hello")
        assert honest.receive_data(peer.data_to_send()) == [ApplicationData(b"hello")]
    elif when == "after KeyUpdate":
        peer.update_keys()
        assert honest.receive_data(peer.data_to_send()) == [KeyUpdated(False)]
    elif when == "after both updated":
        peer.update_keys(request_peer=True)
        exchange(honest, peer)
    with pytest.raises(PeerMisbehaved) as caught:
        honest.receive_data(PLAINTEXT[what])
    assert caught.value.alert is (Alert.bad_record_mac if what == "data" else Alert.unexpected_message)
    assert not honest.peer_closed
    with pytest.raises(PeerMisbehaved):
        honest.receive_eof()


@pytest.mark.parametrize("what", ["close_notify", "user_canceled", "a fatal alert"])
@pytest.mark.parametrize("flight", [1, 2])
def test_plaintext_alerts_in_the_handshake_never_complete_it(pki: Pki, flight: int, what: str) -> None:
    """They are believed, as a peer without keys has no other way to speak: an attacker can only end what it could cut anyway."""
    ours, theirs = pki.quick
    client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
    server.receive_data(client.data_to_send())
    hearing: Connection = client if flight == 1 else server
    try:
        hearing.receive_data(PLAINTEXT[what])
    except TLSError:
        assert what != "user_canceled"
    assert not hearing.peer_closed
    assert not hearing.handshake_completed


@pytest.mark.parametrize("role", ["client", "server"])
def test_data_before_finished(pki: Pki, role: str) -> None:
    """SKIP: data under the handshake's keys is none, whoever sends it."""
    ours, theirs = pki.quick
    lie = instead(Finished, lambda message: [Record(ContentType.application_data, b"GET / HTTP/1.1\r\n\r\n"), message])
    honest: Connection
    if role == "client":
        honest = ServerConnection(theirs)
        meeting = meet(lying_client(ours, lie), honest)
    else:
        honest = ClientConnection(ours, server_hostname="localhost")
        meeting = meet(honest, lying_server(theirs, lie))
    assert isinstance(honest.error, PeerMisbehaved)
    assert (honest.error.alert, honest.error.rule) == (Alert.unexpected_message, "RFC 8446 2")
    assert not any(isinstance(event, ApplicationData) for event in meeting.client_events + meeting.server_events)


# ChangeCipherSpec ---------------------------------------------------------------------------------------------------------

CCS = b"\x14\3\3\0\1\1"


def test_change_cipher_spec_anywhere_in_the_handshake_means_nothing(pki: Pki) -> None:
    """Early CCS (CVE-2014-0224): it changes no key.  Between any two records of either side's flights, once."""
    ours, theirs = pki.quick
    for position in range(8):
        client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
        server.receive_data(client.data_to_send())
        records = split(server.data_to_send())
        if position <= len(records):
            records.insert(position, CCS)
        if records.count(CCS) > 2:
            continue
        client.receive_data(b"".join(records))
        mine = split(client.data_to_send())
        if position < len(mine):
            mine.insert(position, CCS)
        server.receive_data(b"".join(mine))
        assert client.handshake_completed, position
        assert server.handshake_completed, position


def split(stream: bytes) -> list[bytes]:
    found = []
    while stream:
        end = 5 + int.from_bytes(stream[3:5], "big")
        found.append(stream[:end])
        stream = stream[end:]
    return found


@pytest.mark.parametrize("content", [b"", b"\0", b"\2", b"\1\1", bytes(100)])
@pytest.mark.parametrize("side", [0, 1])
def test_odd_change_cipher_spec(pki: Pki, side: int, content: bytes) -> None:
    ours, theirs = pki.quick
    client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
    server.receive_data(client.data_to_send())
    honest: Connection = (client, server)[side]
    with pytest.raises(PeerMisbehaved) as caught:
        honest.receive_data(b"\x14\3\3" + len(content).to_bytes(2, "big") + content)
    assert (caught.value.alert, caught.value.reason) == (Alert.unexpected_message, "unexpected_change_cipher_spec")


# split and packed flights -------------------------------------------------------------------------------------------------


def aligned(sizes: Sequence[int]) -> Cut:
    """A flight cut at these sizes, over and over."""

    def cut(flight: bytes) -> Sequence[bytes]:
        pieces, at = [], 0
        while flight:
            pieces.append(flight[: sizes[at % len(sizes)]])
            flight = flight[len(pieces[-1]) :]
            at += 1
        return pieces

    return cut


@pytest.mark.parametrize("sizes", [(1,), (4,), (5, 1), (36,), (1, 16384), (3, 3, 200)])
@pytest.mark.parametrize("retry", [False, True])
def test_flights_may_be_split_anywhere_but_at_keys(pki: Pki, sizes: Sequence[int], retry: bool) -> None:
    ours, theirs = pki.quick
    if retry:
        ours = dataclasses.replace(ours, policy=RETRY)
    make: list[Callable[[], tuple[ClientConnection, ServerConnection]]] = [
        lambda: (lying_client(ours, truth, aligned(sizes)), ServerConnection(theirs)),
        lambda: (ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, truth, aligned(sizes))),
    ]
    for each in make:
        client, server = each()
        assert meet(client, server).completed == (True, True), (client.error, server.error)
