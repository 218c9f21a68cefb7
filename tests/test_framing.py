"""Handshake messages out of records' contents: split, packed, too large (RFC 8446 section 5.1)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitls import Alert, PeerMisbehaved
from minitls.wire.framing import MAX_CERTIFICATE, MAX_MESSAGE, Framing


def message(kind: int, length: int) -> bytes:
    return bytes((kind,)) + length.to_bytes(3, "big") + bytes(length)


def taken(framing: Framing) -> list[bytes]:
    return list(iter(framing.take, None))


@given(st.lists(st.builds(message, st.integers(0, 255), st.integers(0, 50)), max_size=5), st.randoms(use_true_random=False))
def test_however_it_is_cut(messages: list[bytes], random: object) -> None:
    stream, framing, found = b"".join(messages), Framing(), []
    while stream:
        size = random.randint(1, len(stream))  # type: ignore[attr-defined]
        framing.add(stream[:size])
        stream = stream[size:]
        found += taken(framing)
    assert found == messages
    assert not framing


def test_says_whether_a_message_is_cut() -> None:
    framing = Framing()
    assert not framing
    framing.add(b"\x14\0")
    assert framing
    assert framing.take() is None
    framing.add(b"\0\x01a\x14")
    assert framing.take() == b"\x14\0\0\x01a"
    assert framing


@pytest.mark.parametrize(
    ("kind", "length", "fits"),
    [
        (1, MAX_MESSAGE, True),
        (1, MAX_MESSAGE + 1, False),
        (1, 2**24 - 1, False),
        (11, MAX_MESSAGE + 1, True),
        (11, MAX_CERTIFICATE, True),
        (11, MAX_CERTIFICATE + 1, False),
        (25, MAX_CERTIFICATE, True),
    ],
)
def test_limits(kind: int, length: int, fits: bool) -> None:
    """A message that is too large is refused by its header, before anything of it is buffered."""
    framing = Framing()
    framing.add(message(kind, length)[:4])
    if fits:
        assert framing.take() is None
        framing.add(bytes(length))
        assert len(framing.take() or b"") == 4 + length
        return
    with pytest.raises(PeerMisbehaved) as caught:
        framing.take()
    assert (caught.value.alert, caught.value.reason) == (Alert.illegal_parameter, "message_too_large")


def test_one_byte_at_a_time_takes_linear_time() -> None:
    whole, framing = message(11, MAX_CERTIFICATE), Framing()
    start = time.process_time()
    for at in range(len(whole) - 1):
        framing.add(whole[at : at + 1])
        assert framing.take() is None
    framing.add(whole[-1:])
    assert framing.take() == whole
    assert time.process_time() - start < 2
