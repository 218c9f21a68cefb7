"""The record layer: sealing and opening, padding, limits, and which record may come now (RFC 8446 section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitls import Alert, PeerIncompatible, PeerMisbehaved, TLSError
from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.suites import SUITES, Suite
from minitls.record.layer import MAX_CHANGE_CIPHER_SPECS, MAX_EMPTY_RECORDS, RecordLayer
from minitls.record.protection import (
    BATCH,
    HEADER,
    LENT,
    MAX_CIPHERTEXT,
    MAX_PLAINTEXT,
    OPENED_AT_ONCE,
    Opening,
    Sealing,
    keep_sealed_buffer,
)
from minitls.wire.numbers import CipherSuite, ContentType

GCM = SUITES[CipherSuite.TLS_AES_128_GCM_SHA256]
CCS = b"\x14\x03\x03\x00\x01\x01"
every_suite = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)


def secret(suite: Suite) -> TrafficSecret:
    return TrafficSecret(suite.hash_name, b"\x07" * suite.hash_length, "CLIENT_TRAFFIC_SECRET_0")


def pair(suite: Suite = GCM) -> tuple[Sealing, Opening]:
    return Sealing(suite, secret(suite)), Opening(suite, secret(suite))


def layers(suite: Suite = GCM) -> tuple[RecordLayer, RecordLayer]:
    """One that writes and one that reads, under the same key."""
    writer, reader = RecordLayer(), RecordLayer()
    writer.sealing, reader.opening = pair(suite)
    return writer, reader


def inner(sealing: Sealing, content: bytes) -> bytes:
    """A record with exactly this TLSInnerPlaintext."""
    header = b"\x17\x03\x03" + (len(content) + sealing.suite.aead.tag_length).to_bytes(2, "big")
    return header + sealing._cipher.encrypt(sealing._nonce(), content, header)


def plain(kind: int, content: bytes, version: bytes = b"\x03\x03") -> bytes:
    return bytes((kind,)) + version + len(content).to_bytes(2, "big") + content


def records_in(layer: RecordLayer, data: bytes) -> Iterator[tuple[int, bytes]]:
    view, at = memoryview(data), 0
    while (found := layer.next_record(view, at)) is not None:
        at, kind, content = found
        yield kind, content


def fails(layer: RecordLayer, data: bytes, alert: Alert, reason: str, rule: str | None = None) -> None:
    with pytest.raises(TLSError) as caught:
        list(records_in(layer, data))
    assert (caught.value.alert, caught.value.reason) == (alert, reason)
    assert rule is None or caught.value.rule == rule


# sealing and opening ------------------------------------------------------------------------------------------------------


@every_suite
@pytest.mark.parametrize("size", [0, 1, 100, MAX_PLAINTEXT])
@pytest.mark.parametrize("pad_to", [0, 1, 256, MAX_PLAINTEXT])
def test_there_and_back(suite: Suite, size: int, pad_to: int) -> None:
    sealing, opening = pair(suite)
    for kind in (ContentType.handshake, ContentType.alert, ContentType.application_data):
        record = sealing.seal(kind, bytes(range(256)) * 64 if size == MAX_PLAINTEXT else bytes(size), pad_to)
        padded = len(record) - HEADER - suite.aead.tag_length
        assert padded <= MAX_PLAINTEXT + 1
        assert not pad_to or padded % pad_to == 0 or padded == MAX_PLAINTEXT + 1
        opened, content = opening.open(record[:HEADER], memoryview(record)[HEADER:])
        assert (opened, len(content)) == (kind, size)
    assert sealing.records == opening.records == 3


@every_suite
def test_every_byte_is_authenticated(suite: Suite) -> None:
    """Flip any bit of a record, header included: bad_record_mac, on the fast path and on the other."""
    record = pair(suite)[0].seal(ContentType.application_data, b"hello")
    for at in range(len(record)):
        flipped = bytearray(record)
        flipped[at] ^= 1
        with pytest.raises(PeerMisbehaved) as caught:
            pair(suite)[1].open(bytes(flipped[:HEADER]), memoryview(flipped)[HEADER:])
        assert (caught.value.alert, caught.value.rule) == (Alert.bad_record_mac, "RFC 8446 5.2")
        opening = pair(suite)[1]
        assert opening.open_one(memoryview(flipped)) == b""
        end, data, waits = opening.open_data(memoryview(flipped), 0)
        assert (end, data, opening.records) == (0, b"", 0)
        assert not waits or len(record) < HEADER + int.from_bytes(flipped[3:5], "big")


@every_suite
def test_records_too_short_for_their_tag(suite: Suite) -> None:
    for size in range(suite.aead.tag_length + 1):
        reader = layers(suite)[1]
        fails(reader, plain(ContentType.application_data, bytes(size)), Alert.bad_record_mac, "bad_record_mac")
        assert pair(suite)[1].open_data(memoryview(plain(23, bytes(size))), 0) == (0, b"", False)
        assert pair(suite)[1].open_one(memoryview(plain(23, bytes(size)))) == b""


def test_order_is_authenticated() -> None:
    """A record dropped, repeated or swapped: bad_record_mac."""
    sealing, _ = pair()
    first, second, third = (sealing.seal(ContentType.application_data, bytes((n,))) for n in range(3))
    for order in (second, third), (first, first), (first, third), (second, first):
        fails(layers()[1], b"".join(order), Alert.bad_record_mac, "bad_record_mac")


def test_open_data_takes_a_batch() -> None:
    sealing, opening = pair()
    stream = b"".join(sealing.seal(ContentType.application_data, bytes((n,)) * 1000) for n in range(5))
    partial = sealing.seal(ContentType.application_data, b"more")[:-1]
    end, data, waits = opening.open_data(memoryview(stream + partial), 0)
    assert (end, waits) == (len(stream), True)
    assert data == b"".join(bytes((n,)) * 1000 for n in range(5))


def test_open_data_stops_at_what_is_no_data() -> None:
    """And before it: whoever looks at it opens it again."""
    sealing, opening = pair()
    stream = memoryview(sealing.seal(23, b"data") + sealing.seal(21, b"\x01\x00") + sealing.seal(23, b"after"))
    end, data, waits = opening.open_data(stream, 0)
    assert (data, waits, opening.records) == (b"data", False, 1)
    assert opening.open_data(stream, end) == (end, b"", False)
    reader = RecordLayer()
    reader.opening = opening
    assert reader.next_record(stream, end) == (len(stream) - len(sealing.seal(23, b"after")), 21, b"\x01\x00")
    assert opening.open_data(stream, end + HEADER + 2 + 17) == (len(stream), b"after", True)


@every_suite
@pytest.mark.parametrize("size", [1, 64, MAX_PLAINTEXT])
def test_one_record(suite: Suite, size: int) -> None:
    """Sealed by seal_one it is what seal makes; open_one opens it, and nothing but it."""
    data = bytes(range(256)) * 64
    data = data[:size]
    (one, opening), (other, _) = pair(suite), pair(suite)
    record = one.seal_one(data)
    assert record == other.seal(23, data)
    assert one.seal_one(bytearray(data)) == other.seal(23, data)
    assert one.records == 2
    for wrong in (record + b"\x17", record + record, record[:-1], record[:4], b""):
        assert opening.open_one(memoryview(wrong)) == b""
    assert opening.records == 0
    assert opening.open_one(memoryview(record)) == data
    assert opening.open_one(memoryview(record)) == b""  # the same again
    assert opening.records == 1


@pytest.mark.parametrize(
    "content",
    [b"\x17", b"data\x15", b"data\x17\0", bytes(5), b"x" * (MAX_PLAINTEXT + 1) + b"\x17"],
    ids=lambda content: len(content),
)
def test_open_one_leaves_what_is_not_plain(content: bytes) -> None:
    """Empty, no data, padded, nothing but padding, too long: nothing has happened, and the plain methods see it."""
    sealing, opening = pair()
    assert opening.open_one(memoryview(inner(sealing, content))) == b""
    assert opening.records == 0


def test_seal_one_leaves_the_last_record_to_key_update() -> None:
    sealing, _ = pair()
    sealing._sequence = sealing.suite.aead.usage_limit - 2
    assert sealing.seal_one(b"data")
    assert sealing.seal_one(b"data") == b""
    assert sealing.records_left() == 1


def test_padded_data_is_data() -> None:
    """On the fast path, too, among what is not padded."""
    sealing, opening = pair()
    stream = memoryview(b"".join(sealing.seal(23, b"%d, " % n, pad_to=64 * (n % 2)) for n in range(5)))
    assert opening.open_data(stream, 0) == (len(stream), b"0, 1, 2, 3, 4, ", True)


@pytest.mark.parametrize("stop", range(1, 3))
def test_no_nonce_is_used_twice_whatever_is_raised(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if sealing is interrupted in the middle of a batch, and the application goes on all the same."""
    nonces: list[bytes] = []

    class Interrupted:
        def __init__(self, cipher: Any) -> None:
            self._cipher = cipher

        def __getattr__(self, name: str) -> Any:
            def call(nonce: bytes, *args: Any) -> Any:
                nonces.append(nonce)
                if len(nonces) == stop:
                    raise KeyboardInterrupt
                return getattr(self._cipher, name)(nonce, *args)

            return call

    for send in (
        lambda sealing: list(sealing.seal_data(memoryview(bytes(3 * MAX_PLAINTEXT + 1)))),
        lambda sealing: sealing.seal_one(b"data") + sealing.seal_one(b"data"),
        lambda sealing: sealing.seal(23, b"data") + sealing.seal(23, b"data"),
    ):
        sealing = pair()[0]
        monkeypatch.setattr(sealing, "_cipher", Interrupted(sealing._cipher))
        nonces.clear()
        with pytest.raises(KeyboardInterrupt):
            send(sealing)
        for _ in range(2):
            send(sealing)
        assert len(set(nonces)) == len(nonces) >= 5


def test_open_data_hands_up_a_bounded_batch() -> None:
    sealing, opening = pair()
    stream = b"".join(bytes(piece) for piece in sealing.seal_data(memoryview(bytes(20 * MAX_PLAINTEXT))))
    end, data, _ = opening.open_data(memoryview(stream), 0)
    assert OPENED_AT_ONCE <= len(data) < OPENED_AT_ONCE + MAX_PLAINTEXT
    assert end < len(stream)


@pytest.mark.parametrize("bad", ["padding", "mac", "overflow"])
def test_what_came_whole_before_a_fault_is_handed_up(bad: str) -> None:
    """And the fault is met again, the same, on the next call."""
    sealing, opening = pair()
    good = sealing.seal(23, b"good")
    fault = {
        "padding": lambda: inner(sealing, bytes(10)),
        "mac": lambda: sealing.seal(23, b"x")[:-1] + b"\0",
        "overflow": lambda: inner(sealing, b"x" * (MAX_PLAINTEXT + 1) + b"\x17"),
    }[bad]()
    view = memoryview(good + fault)
    assert opening.open_data(view, 0) == (len(good), b"good", False)
    assert opening.open_data(view, len(good)) == (len(good), b"", False)
    reader = RecordLayer()
    reader.opening = opening
    with pytest.raises(PeerMisbehaved) as raised:
        reader.next_record(view, len(good))
    assert raised.value.reason == {"padding": "empty_inner_plaintext", "mac": "bad_record_mac", "overflow": "record_overflow"}[bad]


@settings(max_examples=25)
@given(st.integers(0, 5 * MAX_PLAINTEXT), st.sampled_from([0, 0, 512]))
def test_seal_data_of_any_size(size: int, pad_to: int) -> None:
    writer, reader = layers()
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    assert writer.sealing is not None
    stream = writer.write(23, data, pad_to) if pad_to else b"".join(bytes(p) for p in writer.sealing.seal_data(memoryview(data)))
    assert b"".join(content for _, content in records_in(reader, stream)) == data


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "size", [2 * BATCH * MAX_PLAINTEXT, BATCH * MAX_PLAINTEXT + 1, (BATCH + LENT) * MAX_PLAINTEXT + 9, 3 * MAX_PLAINTEXT]
)
def test_seal_data_in_batches_and_the_buffer_that_is_kept(size: int, keep: bool) -> None:
    """What is kept stays as it was; what is not is used again, for records of full size, whatever was in it."""
    sealing, opening = pair()
    data = b"".join(bytes((n,)) * 999 for n in range(256)) * 3
    data = data[:size]
    stream = bytearray()
    for _ in range(2):
        pieces = []
        for piece in sealing.seal_data(memoryview(data)):
            pieces.append(piece if keep else bytes(piece))
            if keep and isinstance(piece, memoryview):
                keep_sealed_buffer()
        assert len(pieces) == -(-size // (BATCH * MAX_PLAINTEXT)) or size == BATCH * MAX_PLAINTEXT + 1
        stream += b"".join(pieces)
    opened, at = b"", 0
    while at < len(stream):
        at, more, _ = opening.open_data(memoryview(stream), at)
        opened += more
    assert opened == data * 2


@every_suite
def test_records_left(suite: Suite) -> None:
    sealing, _ = pair(suite)
    before = sealing.records_left()
    sealing.seal(23, b"")
    assert sealing.records_left() == before - 1 == suite.aead.usage_limit - 1
    assert sealing.name == "CLIENT_TRAFFIC_SECRET_0"
    assert sealing.updated_secret().key_log_label == "CLIENT_TRAFFIC_SECRET_1"


# what a record may be -----------------------------------------------------------------------------------------------------

OVERFLOW = (Alert.record_overflow, "record_overflow")
UNEXPECTED = (Alert.unexpected_message, "unexpected_record")
EMPTY = (Alert.unexpected_message, "empty_record")


@pytest.mark.parametrize(
    ("data", "alert", "reason", "rule"),
    [
        (plain(22, bytes(MAX_PLAINTEXT + 1)), *OVERFLOW, "RFC 8446 5.1"),
        (plain(21, bytes(MAX_PLAINTEXT + 1))[:HEADER], *OVERFLOW, "RFC 8446 5.1"),
        (plain(23, bytes(MAX_CIPHERTEXT + 1))[:HEADER], *OVERFLOW, "RFC 8446 5.1"),
        (plain(23, b"data"), *UNEXPECTED, "RFC 8446 5"),
        (plain(22, b""), *EMPTY, "RFC 8446 5.4"),
        (plain(21, b""), *EMPTY, "RFC 8446 5.4"),
        (CCS, Alert.unexpected_message, "unexpected_change_cipher_spec", "RFC 8446 5"),
    ],
)
def test_plaintext_that_must_not_be(data: bytes, alert: Alert, reason: str, rule: str) -> None:
    fails(RecordLayer(), data, alert, reason, rule)


@pytest.mark.parametrize("kind", sorted(set(range(256)) - {20, 21, 22, 23}))
def test_unknown_content_types(kind: int) -> None:
    """RFC 8446 section 5: unexpected_message; as the very first record, the sign of a peer that does not speak TLS."""
    later = RecordLayer()
    later.started = True
    fails(later, plain(kind, b"x"), *UNEXPECTED)
    fails(layers()[1], plain(kind, b"x", b"\x09\x09"), Alert.unexpected_message if kind < 128 else Alert.protocol_version,
          "wrong_version_number")  # fmt: skip


@pytest.mark.parametrize("kind", [0, 19, 24, 0x80, 255])
@pytest.mark.parametrize("protected", [False, True])
def test_an_unknown_content_type_is_not_waited_for(kind: int, protected: bool) -> None:
    """Its header says what it is: the thousands of bytes that it may announce need not come first."""
    layer = layers()[1] if protected else RecordLayer()
    layer.started = True
    with pytest.raises(PeerMisbehaved) as caught:
        layer.next_record(memoryview(bytes((kind, 3, 3, 0x40, 0))), 0)
    assert (caught.value.alert, caught.value.reason) == (Alert.unexpected_message, "unexpected_record")


@pytest.mark.parametrize(
    ("content", "alert", "reason"),
    [
        (b"x\x14", Alert.unexpected_message, "unexpected_message"),
        (b"x\x18", Alert.unexpected_message, "unexpected_message"),
        (b"\x16", *EMPTY),
        (b"\x15\0\0", *EMPTY),
        (b"", Alert.unexpected_message, "empty_inner_plaintext"),
        (bytes(100), Alert.unexpected_message, "empty_inner_plaintext"),
        (bytes(MAX_PLAINTEXT + 1), Alert.unexpected_message, "empty_inner_plaintext"),
        (bytes(MAX_PLAINTEXT + 2), *OVERFLOW),
        (b"x\x17" + bytes(MAX_PLAINTEXT), *OVERFLOW),
    ],
)
def test_protected_content_that_must_not_be(content: bytes, alert: Alert, reason: str) -> None:
    writer, reader = layers()
    assert writer.sealing is not None
    fails(reader, inner(writer.sealing, content), alert, reason)


@pytest.mark.parametrize("kind", [ContentType.handshake, ContentType.alert, ContentType.change_cipher_spec])
def test_plaintext_under_keys(kind: int) -> None:
    """Once there are keys nothing may come without them, but CCS and a first alert during the handshake."""
    content = {20: b"\x01", 21: b"\x02\x28", 22: b"\x14\0\0\0"}[kind]
    reader = layers()[1]
    fails(reader, plain(kind, content), Alert.unexpected_message,
          "unexpected_change_cipher_spec" if kind == ContentType.change_cipher_spec else "unexpected_record")  # fmt: skip
    writer, reader = layers()
    reader.change_cipher_spec_allowed = True
    if kind == ContentType.handshake:
        fails(reader, plain(kind, content), *UNEXPECTED)
    else:
        assert list(records_in(reader, plain(kind, content))) == [(kind, content)]
    list(records_in(reader, writer.write(22, b"x")))
    if kind == ContentType.alert:
        fails(reader, plain(kind, content), *UNEXPECTED)


@pytest.mark.parametrize("content", [b"", b"\0", b"\x02", b"\x01\x01"])
def test_odd_change_cipher_specs(content: bytes) -> None:
    layer = RecordLayer()
    layer.change_cipher_spec_allowed = True
    fails(layer, plain(20, content), Alert.unexpected_message, "unexpected_change_cipher_spec", "RFC 8446 5")


def test_too_many_change_cipher_specs() -> None:
    layer = RecordLayer()
    layer.change_cipher_spec_allowed = True
    assert len(list(records_in(layer, CCS * MAX_CHANGE_CIPHER_SPECS))) == MAX_CHANGE_CIPHER_SPECS
    fails(layer, CCS, Alert.unexpected_message, "unexpected_change_cipher_spec")


def test_empty_data_records_in_a_row() -> None:
    """They are legal, as cover traffic, but not for ever (RFC 8446 section 5.4)."""
    writer, reader = layers()
    assert writer.sealing is not None
    empty = [inner(writer.sealing, b"\x17") for _ in range(MAX_EMPTY_RECORDS)]
    assert len(list(records_in(reader, b"".join(empty)))) == MAX_EMPTY_RECORDS
    list(records_in(reader, writer.sealing.seal(23, b"data")))
    for _ in range(MAX_EMPTY_RECORDS):
        list(records_in(reader, inner(writer.sealing, b"\x17\0\0")))
    fails(reader, inner(writer.sealing, b"\x17"), *EMPTY, "RFC 8446 5.4")


@pytest.mark.parametrize("version", [b"\x03\0", b"\x03\x01", b"\x03\x04", b"\x03\xff", b"\0\0", b"\xff\xff"])
def test_record_versions_are_ignored(version: bytes) -> None:
    """RFC 8446 section 5.1; only the first record's tells whether the peer speaks TLS at all."""
    layer = RecordLayer()
    if version[0] == 3:
        assert list(records_in(layer, plain(22, b"x", version))) == [(22, b"x")]
    layer.started = True
    assert list(records_in(layer, plain(22, b"x", version))) == [(22, b"x")]


@pytest.mark.parametrize(
    ("data", "alert", "shown"),
    [
        (b"GET / HTTP/1.1\r\n", Alert.unexpected_message, "'GET / HTTP/1.1'"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Alert.unexpected_message, "'SSH-2.0-OpenSSH_'"),
        (b"\x80\x2e\x01\x03\x01\0\x15\0\0", Alert.protocol_version, r"'\x80.\x01\x03\x01\x00\x15\x00\x00'"),
        (b"\x16\x02\x00\x00\x04abcd", Alert.protocol_version, r"'\x16\x02\x00\x00\x04abcd'"),
        (b"\0\0\0\0\0", Alert.unexpected_message, r"'\x00\x00\x00\x00\x00'"),
        (b"\n", Alert.unexpected_message, "''"),
        (b"\xff", Alert.protocol_version, r"'\xff'"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_peers_that_do_not_speak_tls(data: bytes, alert: Alert, shown: str, size: int) -> None:
    """However little has come of it, as soon as it can be told."""
    first = data[:size]
    if first == b"\x16":
        assert RecordLayer().next_record(memoryview(first), 0) is None
        return
    with pytest.raises(PeerIncompatible) as caught:
        RecordLayer().next_record(memoryview(first), 0)
    assert (caught.value.alert, caught.value.reason) == (alert, "wrong_version_number")
    assert len(data) > size or shown in str(caught.value)


def test_a_record_that_is_not_whole() -> None:
    whole = plain(22, b"abcdef")
    for end in range(len(whole)):
        assert RecordLayer().next_record(memoryview(whole)[:end], 0) is None


# writing ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protected", [False, True])
@pytest.mark.parametrize("size", [1, MAX_PLAINTEXT, MAX_PLAINTEXT + 1, 3 * MAX_PLAINTEXT])
def test_long_content_is_split(protected: bool, size: int) -> None:
    writer, reader = layers() if protected else (RecordLayer(), RecordLayer())
    content = bytes(range(256)) * 192
    found = list(records_in(reader, writer.write(ContentType.handshake, content[:size])))
    assert [len(piece) for _, piece in found] == [MAX_PLAINTEXT] * (size // MAX_PLAINTEXT) + [size % MAX_PLAINTEXT] * bool(
        size % MAX_PLAINTEXT
    )
    assert b"".join(piece for _, piece in found) == content[:size]


def test_nothing_makes_no_record() -> None:
    """Neither handshake nor alert may be empty (RFC 8446 section 5.1)."""
    assert RecordLayer().write(ContentType.handshake, b"") == layers()[0].write(ContentType.handshake, b"") == b""


# early data that is skipped -----------------------------------------------------------------------------------------------


def skipping(limit: int, opening: Any = None) -> RecordLayer:
    layer = RecordLayer()
    layer.early_data_to_skip = limit
    layer.opening = opening
    return layer


def test_early_data_is_skipped_until_a_record_opens() -> None:
    """RFC 8446 section 4.2.10: what does not open is dropped, up to a limit; what opens ends the skipping."""
    sealing, opening = pair()
    foreign = plain(23, bytes(100))
    layer = skipping(1000, opening)
    stream = foreign * 3 + sealing.seal(22, b"finished")
    assert list(records_in(layer, stream)) == [(0, b"")] * 3 + [(22, b"finished")]
    fails(layer, foreign, Alert.bad_record_mac, "bad_record_mac")


def test_early_data_before_a_second_hello() -> None:
    layer = skipping(1000)
    assert list(records_in(layer, plain(23, bytes(100)) * 2 + plain(22, b"hello"))) == [(0, b"")] * 2 + [(22, b"hello")]


def test_too_much_early_data() -> None:
    layer = skipping(150, pair()[1])
    fails(layer, plain(23, bytes(100)) * 3, Alert.bad_record_mac, "bad_record_mac")
    fails(skipping(150), plain(23, bytes(100)) * 3, *UNEXPECTED)
