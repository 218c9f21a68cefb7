"""The wire: every structure that is declared, generated from its declaration, there and back and damaged.

The strategies are made of the codecs themselves, so that a structure declared tomorrow is tested tomorrow.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitls import Alert, DecodeError, PeerMisbehaved
from minitls.wire import extensions as declared
from minitls.wire import messages
from minitls.wire.codec import Codec, Extensions, Structure, opaque, parse, serialize, structure, uint8, uint16, vector, wire
from minitls.wire.extensions import EXTENSIONS
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest, Message, ServerHello
from minitls.wire.messages import (
    MESSAGES,
    Certificate,
    Finished,
    KeyUpdate,
    NewSessionTicket,
    message_type,
    read_message,
    write_message,
)
from minitls.wire.numbers import (
    CipherSuite,
    ContentType,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    is_grease,
    name_of,
)

LONG = 24
"""Bytes by which a generated field may be longer than it must."""


def strategy(codec: Codec[Any]) -> st.SearchStrategy[Any]:
    """Values that a codec can write, found in its closures: what was declared is what is generated."""
    kind = codec.write.__qualname__.partition(".")[0]
    inside = {**inspect.getclosurevars(codec.read).nonlocals, **inspect.getclosurevars(codec.write).nonlocals}
    if kind == "_uint":
        return st.integers(0, 256 ** inside["size"] - 1)
    if kind == "_fixed":
        return st.binary(min_size=inside["length"], max_size=inside["length"])
    if kind == "opaque":
        return st.binary(min_size=inside["floor"], max_size=min(inside["top"], inside["floor"] + LONG))
    if kind == "_uint16_vector":
        body = inspect.getclosurevars(inside["write_body"]).nonlocals
        most = min(body["top"], body["floor"] + LONG) // 2
        return st.lists(st.integers(0, 0xFFFF), min_size=-(-body["floor"] // 2), max_size=most).map(tuple)
    if kind == "vector":
        item = codec.shape[3]
        fewest = -(-inside["floor"] // smallest(item))
        return st.lists(strategy(item), min_size=fewest, max_size=fewest + 2).map(tuple)
    if kind == "extensions":
        known = {code: strategy(body) for code, body in inside["table"].items()}
        unknown = st.dictionaries(
            st.integers(0, 0xFFFF).filter(lambda code: code not in EXTENSIONS), st.binary(max_size=5), max_size=1
        )
        some = st.lists(st.sampled_from(sorted(known)), unique=True, max_size=4) if known else st.just([])
        bodies = some.flatmap(lambda codes: st.tuples(*(st.tuples(st.just(code), known[code]) for code in codes)))
        return st.builds(lambda pairs, more: Extensions([*pairs, *more.items()]), bodies, unknown)
    if kind == "structure":
        return structures(inside["made"])
    if kind == "_write_rest":
        return st.binary(max_size=LONG)
    if kind == "_write_at_most_one":
        return st.binary(max_size=LONG).map(lambda item: (item,) if item else ())
    assert kind == "_write_nothing", f"teach strategy() the codec of {kind}"
    return st.none()


def smallest(codec: Codec[Any]) -> int:
    """The fewest bytes that a codec writes: enough for the items of vectors."""
    kind = codec.write.__qualname__.partition(".")[0]
    inside = inspect.getclosurevars(codec.write).nonlocals
    if kind == "structure":
        return sum(smallest(each.metadata["codec"]) for each in fields_of(inspect.getclosurevars(codec.read).nonlocals["made"]))
    if kind == "_uint":
        return int(inside["size"])
    if kind == "opaque":
        return int(inside["size"] + inside["floor"])
    return 2


def fields_of(kind: type[Structure]) -> list[Any]:
    return list(dataclasses.fields(kind))  # type: ignore[arg-type]


def structures(kind: type[Structure]) -> st.SearchStrategy[Any]:
    return st.builds(kind, *(strategy(each.metadata["codec"]) for each in fields_of(kind)))


def declared_in(*modules: Any) -> list[type[Structure]]:
    found = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    return sorted((kind for kind in found if issubclass(kind, Structure) and "codec" in vars(kind)), key=lambda kind: kind.__name__)


STRUCTURES = declared_in(declared, messages)
every_structure = pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
few = settings(max_examples=40)


def may_end_at(kind: type[Structure], value: Any) -> set[int]:
    """Where a truncated structure is still whole: before an optional extension block, and anywhere in a ``rest``."""
    data, last = serialize(value), fields_of(kind)[-1] if fields_of(kind) else None
    if last is None:
        return set()
    if last.metadata["codec"].write.__qualname__ == "_write_rest":
        return set(range(len(data)))
    inside = inspect.getclosurevars(last.metadata["codec"].write).nonlocals
    if inside.get("optional"):
        block = bytearray()
        last.metadata["codec"].write(value.extensions, block)
        return {len(data) - len(block)}
    return set()


def outcome(kind: type[Structure], data: bytes) -> Alert | None:
    """The alert that these bytes deserve, None when they parse."""
    try:
        parse(kind, data)
    except PeerMisbehaved as error:
        return error.alert
    return None


def test_all_structures_are_here() -> None:
    assert len(STRUCTURES) >= 18
    assert set(MESSAGES.values()) | {HelloRetryRequest} == {kind for kind in STRUCTURES if issubclass(kind, Message)}


@every_structure
def test_round_trip(kind: type[Structure]) -> None:
    @few
    @given(structures(kind))
    def check(value: Any) -> None:
        assert parse(kind, serialize(value)) == value

    check()


@every_structure
def test_truncation_at_every_offset(kind: type[Structure]) -> None:
    @few
    @given(structures(kind))
    def check(value: Any) -> None:
        data = serialize(value)
        for end in set(range(len(data))) - may_end_at(kind, value):
            with pytest.raises(DecodeError):
                parse(kind, data[:end])

    check()


@every_structure
def test_one_byte_too_many(kind: type[Structure]) -> None:
    @few
    @given(structures(kind), st.binary(min_size=1, max_size=1))
    def check(value: Any, more: bytes) -> None:
        data = serialize(value)
        if len(data) in may_end_at(kind, value) or (data and len(data) - 1 in may_end_at(kind, value)):
            return  # a block that may be missing, or a rest, begins there
        with pytest.raises(DecodeError, match=kind.__name__):
            parse(kind, data + more)

    if kind is not Finished:
        check()


@every_structure
def test_each_byte_one_more_and_one_less(kind: type[Structure]) -> None:
    """Every length field is among them: what comes is a value, DecodeError, or PeerMisbehaved with an alert; nothing else."""

    @few
    @given(structures(kind))
    def check(value: Any) -> None:
        data = serialize(value)
        for at in range(min(len(data), 300)):
            for step in (1, -1, 0x80):
                damaged = data[:at] + bytes(((data[at] + step) % 256,)) + data[at + 1 :]
                assert outcome(kind, damaged) in (None, Alert.decode_error, Alert.illegal_parameter)

    check()


@settings(max_examples=300)
@given(st.sampled_from(STRUCTURES), st.binary(max_size=80))
def test_garbage(kind: type[Structure], data: bytes) -> None:
    try:
        value = parse(kind, data)
    except PeerMisbehaved:
        return
    if data != serialize(value):  # the one thing that is not written as it was read
        assert data.endswith(b"\0\0")
        assert data[:-2] == serialize(value)


# values that are out of their bounds --------------------------------------------------------------------------------------


@structure
class Sample(Structure):
    number: int = wire(uint8)
    name: bytes = wire(opaque(2, 4))
    numbers: tuple[int, ...] = wire(vector(uint16, 2, 6))
    names: tuple[bytes, ...] = wire(vector(opaque(1, 3), 0, 9))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "Sample.number: uint8 at offset 0 is cut short: 0 of 1 bytes"),
        ("01", "Sample.name: opaque<2..4> at offset 1 is cut short"),
        ("01 01 aa", "Sample.name: opaque<2..4> at offset 1 has 1 bytes"),
        ("01 05 aabbccddee", "Sample.name: opaque<2..4> at offset 1 has 5 bytes"),
        ("01 02 aabb 00", "Sample.numbers: opaque<2..6> at offset 4 has 0 bytes"),
        ("01 02 aabb 03 000102", "Sample.numbers: vector of uint16 at offset 4 has an odd length: 3"),
        ("01 02 aabb 02 0001", "Sample.names: vector<0..9> at offset 7 is cut short"),
        ("01 02 aabb 02 0001 02 01", "Sample.names: vector<0..9> at offset 7 is cut short: 2 bytes left"),
        ("01 02 aabb 02 0001 02 0200", "Sample.names: opaque<1..3> at offset 8 is cut short"),
        ("01 02 aabb 02 0001 00 ff", "Sample: 1 bytes too many at offset 8"),
    ],
)
def test_errors_name_structure_field_and_offset(data: str, says: str) -> None:
    with pytest.raises(DecodeError, match=re.escape(says)) as caught:
        parse(Sample, bytes.fromhex(data))
    assert (caught.value.alert, caught.value.reason, caught.value.rule) == (Alert.decode_error, "decode_error", "RFC 8446 6.2")


@pytest.mark.parametrize(
    "value",
    [
        Sample(256, b"ab", (1,), ()),
        Sample(1, b"a", (1,), ()),
        Sample(1, b"abcde", (1,), ()),
        Sample(1, b"ab", (), ()),
        Sample(1, b"ab", (1, 2, 3, 4), ()),
        Sample(1, b"ab", (1,), (b"",)),
        Sample(1, b"ab", (1,), (b"abc", b"abc", b"abc")),
        ServerHello(0x0303, b"short", b"", 0x1301, 0, Extensions()),
        ServerHello(0x0303, bytes(32), b"", 0x1301, 0, Extensions({0x1A1A: bytes(2**16)})),
        NewSessionTicket(2**32, 0, b"", b"ticket", Extensions()),
        NewSessionTicket(0, -1, b"", b"ticket", Extensions()),
    ],
)
def test_we_never_write_what_is_out_of_bounds(value: Structure) -> None:
    with pytest.raises((ValueError, OverflowError)):
        serialize(value)


def hello(*extensions: tuple[int, str], raw: str | None = None) -> bytes:
    block = raw if raw is not None else "".join(f"{code:04x}{len(body) // 2:04x}{body}" for code, body in extensions)
    data = bytes.fromhex(block)
    return bytes.fromhex("0303" + "11" * 32 + "00" + "00021301" + "0100") + len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (hello(raw="002b"), "ClientHello.extensions: extension at offset 43 is cut short: 2 bytes left"),
        (hello(raw="002b0003 02"), "ClientHello.extensions: supported_versions at offset 47 is cut short: 1 of 3 bytes"),
        (
            hello((43, "03030403ff")),
            "ClientHello.extensions: supported_versions: vector of uint16 at offset 47 has an odd length: 3",
        ),
        (hello((43, "0203040000")), "ClientHello.extensions: supported_versions: 2 bytes too many at offset 50"),
        (hello((51, "0005001d0001")), "ClientHello.extensions: key_share: vector<0..65535> at offset 47 is cut short"),
        (
            hello((51, "0005001d0002aa")),
            "ClientHello.extensions: key_share: KeyShareEntry.key_exchange: opaque<1..65535> at offset 51",
        ),
    ],
)
def test_errors_name_the_extension(data: bytes, says: str) -> None:
    with pytest.raises(DecodeError, match=re.escape(says)):
        parse(ClientHello, data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (hello((0xFAFA, ""), (43, "020304"), (0xFAFA, "")), "duplicate_extension"),
        (hello((10, "0002001d"), (10, "0002001d")), "duplicate_extension"),
        (hello((48, "0000")), "misplaced_extension"),
    ],
)
def test_extensions_that_must_not_be_there(data: bytes, reason: str) -> None:
    with pytest.raises(PeerMisbehaved) as caught:
        parse(ClientHello, data)
    assert (caught.value.alert, caught.value.reason, caught.value.rule) == (Alert.illegal_parameter, reason, "RFC 8446 4.2")


# messages -----------------------------------------------------------------------------------------------------------------


def test_a_message_keeps_its_bytes() -> None:
    raw = bytes.fromhex("18 000001 01")
    assert message_type(raw) is KeyUpdate
    assert read_message(KeyUpdate, raw).raw is raw
    update = KeyUpdate(1)
    assert write_message(update) == update.raw == raw


@pytest.mark.parametrize("number", sorted(set(range(256)) - set(MESSAGES)))
def test_unknown_message_types(number: int) -> None:
    """RFC 8446 section 4: unexpected_message for what TLS 1.3 does not have; 254, message_hash, never comes from the wire."""
    with pytest.raises(PeerMisbehaved) as caught:
        message_type(bytes((number, 0, 0, 0)))
    assert caught.value.alert is Alert.unexpected_message
    assert caught.value.rule == "RFC 8446 4"


def test_hello_retry_request_is_told_by_its_random() -> None:
    body = b"\x03\x03%b\0\x13\x01\0\0\0"
    for random, kind in (HELLO_RETRY_REQUEST_RANDOM, HelloRetryRequest), (HELLO_RETRY_REQUEST_RANDOM[::-1], ServerHello):
        raw = b"\x02\0\0\x28" + body % random
        assert message_type(raw) is kind


def test_empty_certificate() -> None:
    assert parse(Certificate, b"\0\0\0\0").chain == ()


# numbers and names --------------------------------------------------------------------------------------------------------


def test_grease_is_sixteen_values() -> None:
    """RFC 8701 section 2."""
    assert [value for value in range(0x10000) if is_grease(value)] == [n << 12 | 0xA00 | n << 4 | 0xA for n in range(16)]
    for registry in (CipherSuite, NamedGroup, ExtensionType):
        assert not any(is_grease(each) for each in registry)


@pytest.mark.parametrize(
    ("registry", "value", "name"),
    [
        (CipherSuite, 0x1301, "TLS_AES_128_GCM_SHA256"),
        (NamedGroup, 0x11EC, "X25519MLKEM768"),
        (NamedGroup, 0x3A3A, "GREASE"),
        (ExtensionType, 0x1234, "0x1234"),
        (HandshakeType, 20, "finished"),
        (ContentType, 22, "handshake"),
    ],
)
def test_name_of(registry: Any, value: int, name: str) -> None:
    assert name_of(registry, value) == name


# what a ClientHello says at a glance --------------------------------------------------------------------------------------


def client_hello(suites: str, extensions: dict[int, Any], version: int = 0x0303) -> ClientHello:
    listed = tuple(int(code, 16) for code in suites.split(","))
    return ClientHello(version, bytes(32), b"", listed, b"\0", Extensions(extensions))


CHROME = {
    **dict.fromkeys((0x1A1A, 0x12, 0x15, 0x17, 0x1B, 0x23, 0x2D, 0x4469, 0xFF01, 5, 11), b""),
    0: (),
    10: (0x2A2A, 29),
    13: (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601),
    16: (b"h2", b"http/1.1"),
    43: (0x3A3A, 0x0304, 0x0303),
    51: (),
}


def test_ja3() -> None:
    """The example of JA3's own description: 769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0."""
    extensions = {
        ExtensionType.server_name: (declared.ServerName(0, b"example.com"),),
        ExtensionType.supported_groups: (23, 24, 25),
        ExtensionType.ec_point_formats: (0,),
    }
    suites = (47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4)
    hello = ClientHello(0x0301, bytes(32), b"", suites, b"\0", Extensions(extensions))
    assert hello.ja3 == "ada70206e40642a3e4461f35503241d5"
    hello.cipher_suites = (0x0A0A, *suites)
    hello.extensions = Extensions({0x1A1A: b"", **extensions})
    assert hello.ja3 == "ada70206e40642a3e4461f35503241d5"  # GREASE does not count
    assert ClientHello(0x0301, bytes(32), b"", (4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99), b"\0", Extensions()).ja3 == (
        "de350869b8c85de67a350c8d186f11e6"
    )


def test_ja4() -> None:
    """The example in JA4's technical description."""
    suites = "1a1a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
    assert client_hello(suites, CHROME).ja4 == "t13d1516h2_8daaf6152771_e5627efa2ab1"


@pytest.mark.parametrize(
    ("extensions", "begins"),
    [
        ({}, "t12i010000_"),
        ({43: (0x0304,)}, "t13i010100_"),
        ({16: (b"\xab\xcd",)}, "t12i0101ad_"),
        ({16: (b"h",)}, "t12i0101hh_"),
        ({0: (), 43: (0x9999,)}, "t00d010200_"),
    ],
)
def test_ja4_of_odd_hellos(extensions: dict[int, Any], begins: str) -> None:
    assert client_hello("1301", extensions).ja4.startswith(begins)


def test_hostile_names_show_as_escapes() -> None:
    shown = client_hello("1301", {0: (declared.ServerName(0, b"a\xff\x1b[31m"),), 16: (b"\xffh2",)})
    assert shown.server_name == "a\\xff\x1b[31m"
    assert shown.alpn == ("\\xffh2",)
    assert client_hello("1301", {0: (declared.ServerName(1, b"other"),)}).server_name is None


@pytest.mark.parametrize(
    ("version", "extensions", "versions"),
    [
        (0x0303, {}, (0x0303, 0x0302, 0x0301, 0x0300)),
        (0x0301, {}, (0x0301, 0x0300)),
        (0x0399, {}, (0x0303, 0x0302, 0x0301, 0x0300)),
        (0x0303, {43: (0x0304, 0x0A0A)}, (0x0304, 0x0A0A)),
    ],
)
def test_versions_offered(version: int, extensions: dict[int, Any], versions: tuple[int, ...]) -> None:
    """RFC 8446 section 4.2.1: the extension if there is one, legacy_version otherwise."""
    assert client_hello("1301", extensions, version).versions == versions
