"""The wire of TLS 1.2: every structure that it declares, generated from its declaration, there and back and damaged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitls import Alert, DecodeError, PeerMisbehaved
from minitls.handshake import exchange12
from minitls.sessions import session
from minitls.wire import messages12
from minitls.wire.codec import Structure, parse, serialize
from minitls.wire.messages import message_type, read_message, write_message
from minitls.wire.messages12 import (
    MESSAGES_12,
    Certificate12,
    CertificateRequest12,
    HelloRequest,
    NewSessionTicket12,
    ServerHelloDone,
)
from minitls.wire.numbers import HandshakeType
from tests.test_wire import declared_in, few, may_end_at, outcome, structures

STRUCTURES = [kind for kind in declared_in(messages12, exchange12, session) if kind.__name__ not in ("ClientHello", "ServerHello")]
every_structure = pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)


def test_all_structures_are_here() -> None:
    """What the modules declare, and every message that the table knows."""
    assert len(STRUCTURES) >= 16
    assert len(MESSAGES_12) == 12
    assert {kind.msg_type for kind in MESSAGES_12.values()} == set(MESSAGES_12)


@every_structure
def test_round_trip(kind: type[Structure]) -> None:
    @few
    @given(structures(kind))
    def check(value: Any) -> None:
        assert parse(kind, serialize(value)) == value

    check()


@every_structure
def test_truncated_at_every_offset(kind: type[Structure]) -> None:
    """decode_error, wherever it ends before its end."""

    @few
    @given(structures(kind))
    def check(value: Any) -> None:
        data, whole = serialize(value), may_end_at(kind, value)
        for end in range(len(data)):
            assert outcome(kind, data[:end]) is (None if end in whole else Alert.decode_error), end

    check()


ENDS_ANYWHERE = ("ServerKeyExchange", "ClientKeyExchange", "Finished")
"""Their last field is whatever is left."""


@pytest.mark.parametrize(
    "kind", [kind for kind in STRUCTURES if kind.__name__ not in ENDS_ANYWHERE], ids=lambda kind: kind.__name__
)
def test_bytes_behind_it(kind: type[Structure]) -> None:
    @few
    @given(structures(kind))
    def check(value: Any) -> None:
        assert outcome(kind, serialize(value) + b"\0") is Alert.decode_error

    check()


@every_structure
def test_any_bytes(kind: type[Structure]) -> None:
    """A value that is written as it was read, or one of ours: nothing else comes out."""

    @few
    @given(st.binary(max_size=80))
    def check(data: bytes) -> None:
        try:
            value = parse(kind, data)
        except PeerMisbehaved:
            return
        assert serialize(value) == data

    check()


@pytest.mark.parametrize("number", range(256))
def test_which_messages_there_are(number: int) -> None:
    """RFC 5246 section 7.4, RFC 5077, RFC 6066: no KeyUpdate, no EncryptedExtensions; what is unknown is unexpected_message."""
    raw = bytes((number, 0, 0, 0))
    if number in MESSAGES_12:
        assert message_type(raw, MESSAGES_12) is MESSAGES_12[number]
        return
    with pytest.raises(PeerMisbehaved) as raised:
        message_type(raw, MESSAGES_12)
    assert raised.value.alert is Alert.unexpected_message


FIXED: dict[str, tuple[Any, str]] = {
    "HelloRequest": (HelloRequest(), "00000000"),
    "ServerHelloDone": (ServerHelloDone(), "0e000000"),
    "Certificate, empty": (Certificate12(()), "0b000003000000"),
    "Certificate": (Certificate12((b"ab", b"c")), "0b00000c0000090000026162" + "00000163"),
    "CertificateRequest": (CertificateRequest12((64,), (0x0403,), (b"dn",)), "0d00000c" + "0140" + "00020403" + "00040002646e"),
    "NewSessionTicket": (NewSessionTicket12(300, b"t"), "040000070000012c000174"),
}


@pytest.mark.parametrize("name", FIXED)
def test_bytes_as_the_rfc_prints_them(name: str) -> None:
    message, expected = FIXED[name]
    assert write_message(message).hex() == expected
    assert read_message(type(message), bytes.fromhex(expected)) == message


@pytest.mark.parametrize("body", ["00", "0000", "00000001"])
@pytest.mark.parametrize("kind", [HelloRequest, ServerHelloDone])
def test_messages_that_are_empty(kind: Any, body: str) -> None:
    data = bytes.fromhex(body)
    with pytest.raises(DecodeError):
        read_message(kind, bytes((kind.msg_type,)) + len(data).to_bytes(3, "big") + data)


def test_numbers() -> None:
    assert [HandshakeType.hello_request, HandshakeType.server_hello_done, HandshakeType.certificate_status] == [0, 14, 22]
