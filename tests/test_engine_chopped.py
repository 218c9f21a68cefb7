"""Whole, one byte at a time, and cut anywhere: chopping never changes a result; nor does how a peer packs its messages."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from minitls import ApplicationData, ClientAuth, ClientConnection, Event, KeyUpdated, PeerClosed, Policy, ServerConnection
from minitls.record.layer import RecordLayer
from minitls.wire.codec import Extensions
from minitls.wire.messages import NewSessionTicket
from tests.conftest import Pki
from tests.liar import Cut, hear, lying_client, lying_server, meet, truth, write_handshake


def whole(data: bytes) -> Sequence[bytes]:
    return [data]


def bytewise(data: bytes) -> Sequence[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def anyhow(seed: int) -> Cut:
    """Pieces of any size, mostly small."""
    dice = random.Random(seed)

    def cut(data: bytes) -> Sequence[bytes]:
        pieces = []
        while data:
            size = dice.choice((1, 2, 3, 5, dice.randint(1, 100), dice.randint(1, len(data))))
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    return cut


def told(events: Sequence[Event]) -> list[Any]:
    """Events without what differs from run to run; data that came in several pieces in one."""
    out: list[Any] = []
    for event in events:
        if isinstance(event, ApplicationData) and out and isinstance(out[-1], ApplicationData):
            out[-1] = ApplicationData(out[-1].data + event.data)
        else:
            out.append(event if isinstance(event, (ApplicationData, KeyUpdated, PeerClosed)) else type(event))
    return out


def conversation(client: ClientConnection, server: ServerConnection, chop: Cut) -> tuple[Any, ...]:
    """A handshake, tickets, data, updates, and close from both sides."""
    client_events: list[Event] = []
    server_events: list[Event] = []

    def talk() -> None:
        meeting = meet(client, server, chop=chop)
        client_events.extend(meeting.client_events)
        server_events.extend(meeting.server_events)

    talk()
    if client.error is None and server.error is None:
        write_handshake(server, *(NewSessionTicket(60, 1, bytes((n,)), b"ticket", Extensions()) for n in range(2)))
        client.send_data(b"x" * 20_000)
        talk()
        client.update_keys(request_peer=True)
        client.send_data(b"y" * 10)
        talk()
        server.send_data(b"z" * 40_000)
        server.close()
        talk()
        client.send_data(b"and thanks")
        client.close()
        talk()
    infos = [
        (
            i.version,
            i.cipher_suite,
            i.group,
            i.alpn_protocol,
            i.signature_scheme,
            i.client_signature_scheme,
            i.hello_retry,
            i.peer_chain,
        )
        for i in (client.info, server.info)
    ]
    errors = [(type(side.error), getattr(side.error, "reason", None)) for side in (client, server)]
    return told(client_events), told(server_events), infos, errors


SCENARIOS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "client authentication": ({}, {"client_auth": ClientAuth.require}),
    "retry": ({"policy": Policy(groups=("x25519",), key_shares=())}, {"send_cookie": True}),
    "alpn": ({"alpn": ("h2",)}, {"alpn": ("h2",)}),
    "no common protocol": ({"alpn": ("h2",)}, {"alpn": ("ftp",)}),
    "certificate refused": ({"trust": None}, {}),
    "padding": ({"record_padding": 100}, {"record_padding": 4096}),
}


def make(pki: Pki, scenario: str) -> tuple[ClientConnection, ServerConnection]:
    ours, theirs = pki.quick
    client, server = SCENARIOS[scenario]
    if "trust" in client:
        client = {"trust": pki.strangers.trust()}
    return (
        ClientConnection(dataclasses.replace(ours, **client), server_hostname="localhost"),
        ServerConnection(dataclasses.replace(theirs, **{"client_auth": ClientAuth.none, **server})),
    )


@pytest.fixture(scope="module")
def outcomes(pki: Pki) -> dict[str, tuple[Any, ...]]:
    return {name: conversation(*make(pki, name), whole) for name in SCENARIOS}


def test_the_conversations_are_what_they_should_be(outcomes: dict[str, tuple[Any, ...]]) -> None:
    failed = {name for name, (*_, errors) in outcomes.items() if errors[0][1] is not None}
    assert failed == {"no common protocol", "certificate refused"}
    kinds = [getattr(event, "__name__", type(event).__name__) for event in outcomes["plain"][0]]
    assert kinds == ["HandshakeCompleted", "TicketReceived", "TicketReceived", "KeyUpdated", "ApplicationData", "PeerClosed"]
    assert outcomes["plain"][1][1] == ApplicationData(b"x" * 20_000)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_one_byte_at_a_time(pki: Pki, scenario: str, outcomes: dict[str, tuple[Any, ...]]) -> None:
    assert conversation(*make(pki, scenario), bytewise) == outcomes[scenario]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cut_anyhow(pki: Pki, scenario: str, outcomes: dict[str, tuple[Any, ...]]) -> None:
    for seed in range(15):
        assert conversation(*make(pki, scenario), anyhow(seed)) == outcomes[scenario], seed


def test_a_thousand_ways_to_cut_a_handshake(pki: Pki) -> None:
    for seed in range(1000):
        client, server = make(pki, "client authentication")
        meeting = meet(client, server, chop=anyhow(seed))
        assert meeting.completed == (True, True), seed
        assert client.error is None, seed
        assert server.error is None, seed


def flights(pki: Pki) -> tuple[int, int, int]:
    """How long the flights are: hello, the server's answer, the client's second."""
    client, server = make(pki, "client authentication")
    hello = client.data_to_send()
    server.receive_data(hello)
    answer = server.data_to_send()
    client.receive_data(answer)
    return len(hello), len(answer), len(client.data_to_send())


@pytest.mark.parametrize("flight", [0, 1, 2])
def test_cut_in_two_at_every_offset(pki: Pki, flight: int) -> None:
    for offset in range(1, flights(pki)[flight]):
        client, server = make(pki, "client authentication")
        sides = [(server, client), (client, server), (server, client)]
        for number, (hearing, saying) in enumerate(sides):
            data = saying.data_to_send()
            pieces = [data[:offset], data[offset:]] if number == flight else [data]
            for piece in pieces:
                hear(hearing, piece, [])
        assert client.handshake_completed, offset
        assert server.handshake_completed, offset


# how messages are put into records is the sender's choice (RFC 8446 section 5.1) ----------------------------------------------


def message_by_message(flight: bytes) -> Sequence[bytes]:
    pieces = []
    while flight:
        end = 4 + int.from_bytes(flight[1:4], "big")
        pieces.append(flight[:end])
        flight = flight[end:]
    return pieces


PACKINGS: dict[str, Callable[[bytes], Sequence[bytes]]] = {
    "a record a message": message_by_message,
    "a record a byte": bytewise,
    "a record two bytes": lambda flight: [flight[at : at + 2] for at in range(0, len(flight), 2)],
    "headers apart": lambda flight: [piece for message in message_by_message(flight) for piece in (message[:3], message[3:])],
    "across messages": lambda flight: [flight[at : at + 100] for at in range(0, len(flight), 100)],
    "all in one": whole,
}


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_by_the_peer(pki: Pki, packing: str, retry: bool) -> None:
    """Several messages in a record, a message over several: both roles."""
    ours, theirs = pki.quick
    if retry:
        ours = dataclasses.replace(ours, policy=Policy(groups=("x25519",), key_shares=()))
    cut = PACKINGS[packing]
    for client, server in (
        (lying_client(ours, truth, cut), ServerConnection(theirs)),
        (ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, truth, cut)),
    ):
        assert meet(client, server).completed == (True, True), (client.error, server.error)


def test_a_record_layer_that_is_never_whole(pki: Pki) -> None:
    """A peer that trickles costs linear time and one record of memory."""
    client, server = make(pki, "plain")
    meet(client, server)
    client.send_data(bytes(16_384))
    record = client.data_to_send()
    for at in range(len(record) - 1):
        assert server.receive_data(record[at : at + 1]) == []
        assert len(server.partial) == at + 1
    assert server.receive_data(record[-1:]) == [ApplicationData(bytes(16_384))]
    assert isinstance(server._records, RecordLayer)
