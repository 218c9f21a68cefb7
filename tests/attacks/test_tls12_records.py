"""TLS 1.2's records under attack: Lucky 13 and POODLE, flipped and truncated records, replays, versions, and the limits of keys."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC as CBCMode

from minitls import Alert, ClientConnection, Misuse, PeerMisbehaved, Policy, ServerConnection
from minitls.crypto.suites12 import CBC, SUITES_12, Suite12, lengths
from minitls.events import PeerClosed
from minitls.record.protection import MAX_PLAINTEXT
from minitls.record.protection12 import Opening12, Sealing12, opening12, sealing12
from minitls.testing import exchange, memory_pair
from tests.conftest import Pki

CBC_SUITES = [suite for suite in SUITES_12.values() if suite.is_cbc]
CIPHERS = list({suite.cipher.name: suite for suite in SUITES_12.values()}.values())
each_cipher = pytest.mark.parametrize("suite", CIPHERS, ids=lambda suite: suite.cipher.name)
each_cbc = pytest.mark.parametrize("suite", [s for s in CIPHERS if s.is_cbc], ids=lambda suite: suite.cipher.name)
both_ways = pytest.mark.parametrize("etm", [False, True], ids=["MAC-then-encrypt", "encrypt-then-MAC"])


def keys(suite: Suite12) -> tuple[bytes, bytes, bytes]:
    mac, key, iv = lengths(suite.cipher)
    return bytes(range(mac)), bytes(range(64, 64 + key)), bytes(range(128, 128 + iv))


def pair(suite: Suite12, *, etm: bool = False) -> tuple[Sealing12, Opening12]:
    return sealing12(suite, *keys(suite), "write", etm=etm), opening12(suite, *keys(suite), "read", etm=etm)


def opened(opening: Opening12, record: bytes) -> tuple[int, bytes]:
    return opening.open(record[:5], memoryview(record)[5:])


def refused(opening: Opening12, record: bytes) -> tuple[Any, ...]:
    """What the one who sent it learns: nothing but that it was wrong."""
    with pytest.raises(PeerMisbehaved) as raised:
        opened(opening, record)
    error = raised.value
    assert error.__cause__ is None
    return error.alert, error.reason, error.rule, error.message


ONE = (Alert.bad_record_mac, "bad_record_mac", "RFC 5246 7.2.2", "a record does not authenticate")


@each_cipher
@both_ways
def test_there_and_back(suite: Suite12, etm: bool) -> None:
    sealing, opening = pair(suite, etm=etm)
    for size in (0, 1, 15, 16, 17, 255, 256, MAX_PLAINTEXT):
        assert opened(opening, sealing.seal(23, bytes(size))) == (23, bytes(size))
    assert sealing.records == opening.records == 8
    assert b"".join(map(bytes, sealing.seal_data(memoryview(bytes(40_000)))))[:3] == b"\x17\x03\x03"


@each_cipher
@both_ways
def test_each_byte_of_a_record(suite: Suite12, etm: bool) -> None:
    """Whatever is flipped, cut off or added: one alert, one sentence; type and version are covered, too."""
    sealing, opening = pair(suite, etm=etm)
    record = sealing.seal(23, b"attack at dawn, and bring the others")
    for at in [0, 1, 2, *range(5, len(record))]:
        for flip in (1, 0x80):
            assert refused(opening, record[:at] + bytes((record[at] ^ flip,)) + record[at + 1 :]) == ONE
    for end in range(5, len(record)):
        assert refused(opening, record[:end]) == ONE
    for more in (b"\0", bytes(16)):
        assert refused(opening, record + more) == ONE
    assert opened(opening, record)[1] == b"attack at dawn, and bring the others"


@each_cipher
def test_records_replayed_dropped_and_swapped(suite: Suite12) -> None:
    for order in ((0, 0), (1,), (1, 0), (0, 2)):
        sealing, opening = pair(suite)
        records = [sealing.seal(23, b"record %d" % n) for n in range(3)]
        for n in order[:-1] if order[0] == 0 else ():
            opened(opening, records[n])
        assert refused(opening, records[order[-1] if order[0] == 0 else order[0]]) == ONE


def by_hand(suite: Suite12, content: bytes, padding: bytes, tag: bytes | None = None, *, etm: bool = False) -> bytes:
    """A CBC record with this padding (its length byte included) and MAC, computed with nothing but AES and HMAC."""
    cipher = suite.cipher
    assert isinstance(cipher, CBC)
    mac_key, key, _ = keys(suite)

    def mac(data: bytes) -> bytes:
        return hmac.digest(mac_key, bytes(8) + b"\x17\x03\x03" + len(data).to_bytes(2, "big") + data, cipher.mac)

    plain = content + (b"" if etm else mac(content) if tag is None else tag) + padding
    iv = os.urandom(16)
    encryptor = Cipher(AES(key), CBCMode(iv)).encryptor()
    body = iv + encryptor.update(plain) + encryptor.finalize()
    if etm:
        body += mac(body) if tag is None else tag
    return b"\x17\x03\x03" + len(body).to_bytes(2, "big") + body


def room(suite: Suite12, content: bytes, *, etm: bool) -> int:
    """The shortest padding, length byte included."""
    assert isinstance(suite.cipher, CBC)
    return 16 - (len(content) + (0 if etm else suite.cipher.mac_length)) % 16


@each_cbc
@both_ways
@pytest.mark.parametrize("blocks", [0, 1, 7, 15])
def test_any_padding_that_is_right(suite: Suite12, etm: bool, blocks: int) -> None:
    """RFC 5246 section 6.2.3.2: up to 255 bytes; what a peer adds is taken off, and our own records are as computed by hand."""
    for content in (b"", b"x", b"some bytes more than a block has"):
        length = room(suite, content, etm=etm) + 16 * blocks
        if length <= 256:
            _, opening = pair(suite, etm=etm)
            assert opened(opening, by_hand(suite, content, bytes((length - 1,)) * length, etm=etm)) == (23, content)


@each_cbc
@both_ways
def test_our_records_are_as_computed_by_hand(suite: Suite12, etm: bool) -> None:
    content = b"by hand, and by the record layer"
    sealing, _ = pair(suite, etm=etm)
    length = room(suite, content, etm=etm)
    iv = b"the IV of both.."
    with mock.patch("os.urandom", return_value=iv):
        assert sealing.seal(23, content) == by_hand(suite, content, bytes((length - 1,)) * length, etm=etm)


@each_cbc
@both_ways
def test_ivs_are_never_the_same(suite: Suite12, etm: bool) -> None:
    """BEAST: an explicit, unpredictable IV for each record."""
    sealing, _ = pair(suite, etm=etm)
    assert len({sealing.seal(23, b"x")[5:21] for _ in range(64)}) == 64


BAD_PADDINGS: dict[str, Callable[[int], bytes]] = {
    "the first byte": lambda n: bytes((n - 1) ^ (at == 0) for at in range(n)),
    "POODLE: all but the length": lambda n: os.urandom(n - 1).replace(bytes((n - 1,)), b"\xfe") + bytes((n - 1,)),
    "a length of one less": lambda n: bytes((n - 1,)) * (n - 1) + bytes((n - 2,)),
    "a length of 255": lambda n: bytes((n - 1,)) * (n - 1) + b"\xff",
    "a length of a block more": lambda n: bytes((n - 1,)) * (n - 1) + bytes((n + 15,)),
    "SSLv3: zeros": lambda n: bytes(n - 1) + bytes((n - 1,)),
}


@each_cbc
@both_ways
@pytest.mark.parametrize("what", BAD_PADDINGS)
def test_padding(suite: Suite12, etm: bool, what: str) -> None:
    """Lucky 13, POODLE, CVE-2016-2107: a wrong padding under a right MAC is as wrong as a wrong MAC."""
    content = b"some bytes"
    length = room(suite, content, etm=etm) + 16
    padding = BAD_PADDINGS[what](length)
    assert len(padding) == length
    _, opening = pair(suite, etm=etm)
    assert refused(opening, by_hand(suite, content, padding, etm=etm)) == ONE


@each_cbc
@both_ways
def test_each_byte_of_padding_and_mac(suite: Suite12, etm: bool) -> None:
    """Lucky 13: each byte of both, alone and together."""
    cipher = suite.cipher
    assert isinstance(cipher, CBC)
    content = b"some bytes"
    length = room(suite, content, etm=etm) + 32
    good = bytes((length - 1,)) * length
    _, opening = pair(suite, etm=etm)
    for at in range(length):
        wrong = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
        assert refused(opening, by_hand(suite, content, wrong, etm=etm)) == ONE
        assert refused(opening, by_hand(suite, content, wrong, bytes(cipher.mac_length), etm=etm)) == ONE
    if not etm:
        mac_key = keys(suite)[0]
        tag = hmac.digest(mac_key, bytes(8) + b"\x17\x03\x03" + len(content).to_bytes(2, "big") + content, cipher.mac)
        assert opened(pair(suite)[1], by_hand(suite, content, good, tag))[1] == content
        for at in range(len(tag)):
            flipped = tag[:at] + bytes((tag[at] ^ 1,)) + tag[at + 1 :]
            assert refused(opening, by_hand(suite, content, good, flipped)) == ONE


@each_cbc
def test_the_mac_is_always_computed(suite: Suite12) -> None:
    """Lucky 13: over what the padding leaves, and over as many bytes in all, whatever is wrong."""
    content = b"some bytes"
    length = room(suite, content, etm=False)
    counts = []
    for padding in (bytes((length - 1,)) * length, bytes(length - 1) + b"\x99", bytes(length - 1) + b"\xff"):
        record = by_hand(suite, content, padding)
        _, opening = pair(suite)
        with mock.patch("hmac.digest", wraps=hmac.digest) as digest:
            try:
                opened(opening, record)
            except PeerMisbehaved as error:
                assert error.alert is Alert.bad_record_mac  # noqa: PT017
            counts.append(digest.call_count)
    assert counts == [1, 1, 1]


@each_cbc
@both_ways
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 64])
def test_records_that_are_too_short(suite: Suite12, etm: bool, size: int) -> None:
    """No blocks, half a block, no room for the MAC: the same alert."""
    _, opening = pair(suite, etm=etm)
    assert refused(opening, b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)) == ONE


@each_cipher
@both_ways
def test_a_record_that_holds_too_much(suite: Suite12, etm: bool) -> None:
    """RFC 5246 section 6.2.3: 2^14 bytes."""
    sealing, opening = pair(suite, etm=etm)
    with pytest.raises(PeerMisbehaved) as raised:
        opened(opening, sealing.seal(23, bytes(MAX_PLAINTEXT + 1)))
    assert raised.value.alert is Alert.record_overflow


def test_nonces_count() -> None:
    """GCM nonce reuse: the explicit part is the sequence number, so never the same under one key."""
    gcm = next(suite for suite in CIPHERS if suite.cipher.name == "AES-128-GCM")
    sealing, _ = pair(gcm)
    assert [int.from_bytes(sealing.seal(23, b"x")[5:13], "big") for _ in range(5)] == [0, 1, 2, 3, 4]
    chacha = next(suite for suite in CIPHERS if suite.cipher.name.startswith("ChaCha"))
    sealing, _ = pair(chacha)
    assert [len(sealing.seal(23, b"x")) for _ in range(2)] == [5 + 1 + 16] * 2  # no nonce on the wire (RFC 7905)
    assert len({sealing.seal(23, b"x") for _ in range(5)}) == 5


# on a connection ----------------------------------------------------------------------------------------------------------


def connected(pki: Pki, suite: Suite12) -> tuple[ClientConnection, ServerConnection]:
    policy = Policy.legacy.replace(versions=("TLSv1.2",), cipher_suites=(suite.code,))
    psk = suite.authentication == "PSK"
    client = pki.client_config(policy=policy, psk=(lambda hint: (b"we", b"key")) if psk else None)
    credential = pki.server("rsa2048" if suite.authentication == "RSA" else "p256")
    return memory_pair(
        client, pki.server_config(policy=policy, credentials=(credential,), psk=(lambda who: b"key") if psk else None)
    )


@each_cipher
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_changed_record_ends_the_connection(pki: Pki, suite: Suite12, role: str) -> None:
    """bad_record_mac on the wire, the same whichever byte; nothing of the record comes through."""
    for at in (5, 12, -1, -20):
        client, server = connected(pki, suite)
        says, hears = (client, server) if role == "client" else (server, client)
        says.send_data(b"a secret of some length, in blocks")
        record = bytearray(says.data_to_send())
        record[at] ^= 1
        with pytest.raises(PeerMisbehaved) as raised:
            hears.receive_data(bytes(record))
        assert (raised.value.alert, raised.value.message) == (Alert.bad_record_mac, "a record does not authenticate")
        with pytest.raises(Exception, match="bad_record_mac"):
            says.receive_data(hears.data_to_send())
        assert hears.data_to_send() == b""


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302, 0x0304, 0x0000, 0xFFFF])
def test_a_record_of_another_version(pki: Pki, version: int) -> None:
    """RFC 5246 section 6.2.3.3: tag and MAC cover the version."""
    client, server = connected(pki, SUITES_12[0xC02B])
    client.send_data(b"data")
    record = client.data_to_send()
    with pytest.raises(PeerMisbehaved) as raised:
        server.receive_data(record[:1] + version.to_bytes(2, "big") + record[3:])
    assert raised.value.alert is Alert.bad_record_mac


@each_cipher
def test_close_before_the_limit(pki: Pki, suite: Suite12) -> None:
    """AEAD limits, Sweet32: TLS 1.2 has no KeyUpdate, so the connection ends while its key is still good (RFC 9325 section 4.4)."""
    client, server = connected(pki, suite)
    sealing = client._records.sealing
    assert isinstance(sealing, Sealing12)
    sealing._sequence = sealing.usage_limit - 4
    opening = server._records.opening
    assert isinstance(opening, Opening12)
    opening._sequence = sealing._sequence
    client.send_data(bytes(2 * MAX_PLAINTEXT))
    with pytest.raises(Misuse) as raised:
        client.send_data(bytes(2 * MAX_PLAINTEXT))
    assert raised.value.rule == "RFC 9325 4.4"
    _, heard = exchange(client, server)
    assert isinstance(heard[-1], PeerClosed)
    assert sealing.records == sealing.usage_limit
    assert client.write_closed


def test_the_limits() -> None:
    """2^24 records for GCM, 2^23 for CCM; CBC's 2^32 stay far below 2^64 blocks."""
    limits = {suite.cipher.name: pair(suite)[0].usage_limit for suite in CIPHERS}
    assert limits["AES-128-GCM"] == limits["AES-256-GCM"] == 2**24
    assert limits["AES-128-CCM"] == 2**23
    assert limits["AES-128-CBC-SHA"] == 2**32


@pytest.mark.parametrize("length", [MAX_PLAINTEXT + 2049, 0xFFFF])
def test_records_that_are_too_long(pki: Pki, length: int) -> None:
    """Refused by their header, before anything is kept."""
    client, server = connected(pki, SUITES_12[0xC02B])
    for side in (client, server):
        with pytest.raises(PeerMisbehaved) as raised:
            side.receive_data(b"\x17\x03\x03" + length.to_bytes(2, "big"))
        assert raised.value.alert is Alert.record_overflow


def test_plaintext_records_that_are_too_long(pki: Pki) -> None:
    """RFC 5246 section 6.2.1: without protection there is no room for any; also when TLS 1.2 is agreed, and keys are not."""
    policy = Policy.intermediate.replace(versions=("TLSv1.2",))
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")
    server = ServerConnection(pki.server_config(policy=policy))
    server.receive_data(client.data_to_send())
    with pytest.raises(PeerMisbehaved) as raised:
        server.receive_data(b"\x16\x03\x03" + (MAX_PLAINTEXT + 1).to_bytes(2, "big"))
    assert raised.value.alert is Alert.record_overflow


def test_only_rows_of_legacy_have_cbc() -> None:
    assert len(CBC_SUITES) == 22
    assert not {suite.code for suite in CBC_SUITES} & set(Policy.intermediate.cipher_suites)
