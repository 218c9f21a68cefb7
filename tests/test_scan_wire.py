"""The scanner's hellos and its ears: any number goes out, and whatever comes back is an answer of some kind."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitls.scan.answer import Answer, Listener, speaks_sslv2
from minitls.scan.hello import SSLV2_CIPHERS, TLS12, TLS13, Hello, sslv2_hello
from minitls.scan.registry import RENEGOTIATION_SCSV, Suite, groups, protocols, schemes, suites
from minitls.wire.codec import Extensions, serialize
from minitls.wire.extensions import KeyShareEntry, ServerName
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.messages import read_message, write_message
from minitls.wire.messages12 import (
    Certificate12,
    DigitallySigned,
    ServerDHParams,
    ServerECDHParams,
    ServerHelloDone,
    ServerKeyExchange,
)
from minitls.wire.numbers import CipherSuite, NamedGroup, SignatureScheme
from minitls.wire.numbers import ExtensionType as X

RANDOM = bytes(range(32))


def sent(hello: Hello) -> tuple[ClientHello, bytes]:
    """What a server reads: the message, and its bytes."""
    raw, stream, at = b"", hello.records(), 0
    while at < len(stream):
        assert stream[at] == 22
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        assert 0 < length <= hello.piece
        raw += stream[at + 5 : at + 5 + length]
        at += 5 + length
    message = read_message(ClientHello, raw)
    assert isinstance(message, ClientHello)
    return message, raw


def record(content: bytes, kind: int = 22, version: int = 0x0303) -> bytes:
    return bytes((kind,)) + version.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def heard(data: bytes, until: str = "hello") -> Answer:
    listener = Listener(until)  # type: ignore[arg-type]
    return listener.answer if listener.feed(data) else listener.ended()


# the registry ------------------------------------------------------------------------------------------------------------


def test_the_registry_has_what_the_engine_has_under_the_same_names() -> None:
    for ours, table in ((CipherSuite, suites()), (NamedGroup, groups()), (SignatureScheme, schemes())):
        for member in ours:
            assert table[member] == member.name
    assert len(suites()) > 350
    assert {"h2", "http/1.1", "acme-tls/1"} <= set(protocols())


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (0x1301, {"tls13", "forward_secret", "aead"}),
        (0xC02F, {"forward_secret", "aead", "elliptic"}),
        (0xC013, {"forward_secret", "cbc", "elliptic"}),
        (0x009E, {"forward_secret", "aead", "finite"}),
        (0x002F, {"cbc"}),
        (0x0003, {"export"}),
        (0x0018, {"anonymous", "forward_secret", "finite"}),
        (0xC018, {"anonymous", "forward_secret", "elliptic", "cbc"}),
        (0x003B, {"null"}),
        (0x008C, {"shared_key", "cbc"}),
        (0xC0B4, {"tls13", "forward_secret", "null"}),
        (0xFEFE, {"cbc"}),
    ],
)
def test_what_a_suites_name_says(code: int, what: set[str]) -> None:
    names = ("tls13", "forward_secret", "aead", "elliptic", "finite", "cbc", "export", "anonymous", "null", "shared_key")
    assert {name for name in names if getattr(Suite.of(code), name)} == what


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0xC02B, "ECDSA"), (0xC02F, "RSA"), (0x002F, "RSA"), (0x0003, "RSA"), (0x0032, "DSS"), (0x0018, ""), (0x1301, "")],
)
def test_whose_key_a_suite_needs(code: int, kind: str) -> None:
    assert Suite.of(code).authentication == kind


# hellos -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0x0301, 0x0302, 0x0303])
def test_an_old_hello(version: int) -> None:
    message, _ = sent(Hello(version=version, suites=(0xC02F, 0x0005), name="a.example"))
    assert message.legacy_version == version
    assert message.cipher_suites == (0xC02F, 0x0005)
    assert message.extensions[X.server_name] == (ServerName(0, b"a.example"),)
    assert (X.signature_algorithms in message.extensions) == (version == 0x0303)
    assert X.supported_versions not in message.extensions


def test_a_hello_of_ssl3_has_no_extensions_and_the_marker_of_renegotiation() -> None:
    message, raw = sent(Hello(version=0x0300, suites=(5,), name="a.example"))
    assert message.legacy_version == 0x0300
    assert message.cipher_suites == (5, RENEGOTIATION_SCSV)
    assert not message.extensions
    assert raw.endswith(message.legacy_compression_methods)


def test_a_new_hello_is_of_one_version_alone_and_has_a_share_that_is_one() -> None:
    message, _ = sent(Hello(version=TLS13, suites=(0x1301,)))
    assert message.legacy_version == TLS12
    assert message.extensions[X.supported_versions] == (TLS13,)
    (share,) = message.extensions[X.key_share]
    assert (share.group, len(share.key_exchange)) == (NamedGroup.x25519, 32)
    assert len(message.legacy_session_id) == 32
    without, _ = sent(Hello(version=TLS13, suites=(0x1301,), shares=()))
    assert without.extensions[X.key_share] == ()


@given(st.integers(400, 60_000), st.integers(1, 2**14))
def test_a_hello_is_as_long_as_it_should_be(length: int, piece: int) -> None:
    hello = Hello(version=TLS12, suites=(0xC02F,), groups=(29,), length=length, piece=piece)
    assert len(sent(hello)[1]) == length


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=1000, unique=True).map(tuple))
def test_any_numbers_can_be_offered(codes: tuple[int, ...]) -> None:
    message, _ = sent(Hello(version=TLS12, suites=codes, groups=codes, schemes=codes))
    assert message.cipher_suites == message.extensions[X.supported_groups] == message.extensions[X.signature_algorithms] == codes


def test_a_hello_of_ssl2() -> None:
    hello = sslv2_hello()
    assert int.from_bytes(hello[:2], "big") & 0x7FFF == len(hello) - 2
    assert hello[2:5] == b"\x01\x00\x02"
    assert int.from_bytes(hello[5:7], "big") == 3 * len(SSLV2_CIPHERS)


@pytest.mark.parametrize(
    ("answer", "is_one"),
    [
        (b"\x80\x0b\x04\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00", True),
        (b"\x80\x0b\x04\x00\x01\x00\x02", True),
        (b"\x80\x03\x00\x00\x01", None),
        (b"\x15\x03\x01\x00\x02\x02\x46", False),
        (b"HTTP/1.1 400", False),
        (b"", None),
    ],
)
def test_the_answer_of_ssl2(answer: bytes, is_one: bool | None) -> None:
    assert speaks_sslv2(answer) is is_one


# answers ----------------------------------------------------------------------------------------------------------------


def flight(*, curve: bool = True, version: int = TLS12) -> bytes:
    """A server's whole first flight in TLS 1.2, in three records that cut its messages."""
    suite = 0xC02F if curve else 0x009E
    hello = ServerHello(version, RANDOM, b"", suite, 0, Extensions({X.renegotiation_info: b""}))
    numbers = ServerECDHParams(3, 29, bytes(32)) if curve else ServerDHParams(b"\x03" + b"\xff" * 767, b"\x02", b"\x05" * 768)
    signed = serialize(DigitallySigned(0x0401, b"signature"))
    messages = (hello, Certificate12((b"leaf", b"issuer")), ServerKeyExchange(serialize(numbers) + signed), ServerHelloDone())
    content = b"".join(map(write_message, messages))
    return b"".join(record(content[at : at + 700]) for at in range(0, len(content), 700))


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("curve", [True, False])
def test_a_flight_of_tls12_whole_and_in_pieces(step: int, curve: bool) -> None:
    listener, said = Listener("done"), flight(curve=curve)
    done = [listener.feed(said[at : at + step]) for at in range(0, len(said), step)]
    assert done[-1]
    assert not any(done[:-1])
    answer = listener.answer
    assert (answer.kind, answer.version, answer.problem) == ("hello", TLS12, "")
    assert answer.chain == (b"leaf", b"issuer")
    assert answer.signed == 0x0401
    assert answer.curve == (29 if curve else None)
    assert (answer.prime.bit_length() if answer.prime else None) == (None if curve else 768 * 8 - 6)


def test_the_hello_alone_is_enough_where_nobody_asks_for_more() -> None:
    answer = heard(flight())
    assert (answer.kind, answer.chain, answer.curve) == ("hello", (), None)


def test_tls13() -> None:
    share = KeyShareEntry(0x11EC, b"\1" * 1120)
    hello = ServerHello(TLS12, RANDOM, b"", 0x1301, 0, Extensions({X.supported_versions: TLS13, X.key_share: share}))
    answer = heard(record(write_message(hello)), "done")
    assert (answer.kind, answer.version, answer.suite, answer.group) == ("hello", TLS13, 0x1301, 0x11EC)
    retry = HelloRetryRequest(
        TLS12, HELLO_RETRY_REQUEST_RANDOM, b"", 0x1302, 0, Extensions({X.supported_versions: TLS13, X.key_share: 0x17})
    )
    answer = heard(record(write_message(retry)))
    assert (answer.kind, answer.version, answer.suite, answer.group) == ("retry", TLS13, 0x1302, 0x17)


@pytest.mark.parametrize(
    ("said", "kind", "alert", "problem"),
    [
        (record(b"\x02\x28", 21), "alert", 40, ""),
        (record(b"\x01\x70", 21) + record(b"\x02\x46", 21), "alert", 70, ""),
        (record(b"\x01\x00", 21), "alert", 0, ""),
        (record(b"\x02", 21), "garbage", None, "an alert of 1 bytes"),
        (b"", "closed", None, ""),
        (b"\x16\x03", "closed", None, ""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "garbage", None, "what came is not TLS: b'SSH-2.0-OpenSSH_9.2\\r\\n'"),
        (b"220", "garbage", None, "what came is not TLS: b'220'"),
        (record(b"hello", 23), "garbage", None, "application data came instead of a hello"),
        (record(b"\x0b\0\0\x01\0"), "garbage", None, "a handshake message out of place"),
        (record(b"\x02\0\0\x02\x03\x03"), "garbage", None, "ServerHello.random: opaque[32] at offset 2 is cut short: 0 bytes left"),
    ],
)
def test_what_else_may_come(said: bytes, kind: str, alert: int | None, problem: str) -> None:
    answer = heard(said)
    assert (answer.kind, answer.alert) == (kind, alert)
    assert problem in answer.problem
    assert answer.hello is None


def test_a_warning_is_no_end() -> None:
    answer = heard(record(b"\x01\x70", 21) + flight())
    assert (answer.kind, answer.warnings, answer.alert) == ("hello", [112], None)


@pytest.mark.parametrize(
    "extensions",
    [
        b"\x00\x0a\x00\x02\x00\x1d\x00\x00\x00\x00",  # supported_groups, which a ServerHello does not have
        b"\xff\x01\x00\x01\x00\xff\x01\x00\x01\x00",  # twice
        b"\xff\x01\x00\x05",  # cut short
    ],
)
def test_a_hello_that_breaks_a_rule_is_noted_and_its_choice_known(extensions: bytes) -> None:
    body = b"\x03\x03" + RANDOM + b"\0" + b"\xc0\x2f" + b"\0" + len(extensions).to_bytes(2, "big") + extensions
    answer = heard(record(b"\x02" + len(body).to_bytes(3, "big") + body))
    assert (answer.kind, answer.version, answer.suite) == ("hello", TLS12, 0xC02F)
    assert answer.problem


_BEGINNINGS = st.sampled_from([b"", b"\x16\x03\x03", b"\x15\x03\x03", record(b"\x01\x70", 21), flight()[:60], flight()])


@given(_BEGINNINGS, st.binary(max_size=400), st.sampled_from(["hello", "done"]), st.integers(1, 50))
def test_any_bytes_are_an_answer_and_chopping_does_not_change_it(start: bytes, more: bytes, until: str, step: int) -> None:
    whole, chopped = heard(start + more, until), Listener(until)  # type: ignore[arg-type]
    for at in range(0, len(start + more), step):
        if chopped.feed((start + more)[at : at + step]):
            break
    answer = chopped.answer if chopped.finished else chopped.ended()
    assert answer.kind in ("hello", "retry", "alert", "closed", "garbage")
    assert (answer.kind, answer.version, answer.suite, answer.chain) == (whole.kind, whole.version, whole.suite, whole.chain)
    _ = (answer.curve, answer.prime, answer.signed, answer.group, answer.staple)  # none of them raises


@given(st.data())
def test_a_flight_with_any_byte_changed_is_an_answer(data: st.DataObject) -> None:
    said = bytearray(flight(curve=data.draw(st.booleans())))
    said[data.draw(st.integers(0, len(said) - 1))] = data.draw(st.integers(0, 255))
    answer = heard(bytes(said), "done")
    _ = (answer.version, answer.curve, answer.prime, answer.signed, answer.group, answer.staple, answer.chain)


def test_an_answer_without_end_is_left() -> None:
    listener = Listener("done")
    listener.feed(flight()[:700])
    filler = record(os.urandom(2**14), 20)
    assert any(listener.feed(filler) for _ in range(100))
