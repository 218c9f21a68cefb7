"""The StreamReader: who keeps up is handed the bytes as they came; nothing is lost or out of order, whatever is cancelled."""

from __future__ import annotations

import asyncio
import random

import pytest

from minitls.aio.streams import BLOCK, StreamReader


def reader_of(limit: int = 2**16) -> StreamReader:
    return StreamReader(limit=limit, loop=asyncio.get_running_loop())


async def waiting(reader: StreamReader, n: int) -> asyncio.Task[bytes]:
    task = asyncio.ensure_future(reader.read(n))
    await asyncio.sleep(0)
    return task


async def test_who_waits_gets_the_very_bytes() -> None:
    """Uncopied."""
    reader, data = reader_of(), bytes(100)
    task = await waiting(reader, 1000)
    reader.feed_data(data)
    assert await task is data


async def test_who_comes_in_time_gets_the_very_bytes() -> None:
    """Uncopied, whoever was first."""
    reader, data = reader_of(), bytes(100)
    reader.feed_data(data)
    assert await reader.read(100) is data
    reader.feed_data(data)
    assert await reader.readexactly(100) is data


async def test_nothing_is_no_end() -> None:
    reader = reader_of()
    task = await waiting(reader, 1000)
    reader.feed_data(b"")
    await asyncio.sleep(0)
    assert not task.done()
    reader.feed_data(b"abc")
    assert await task == b"abc"


class Below(asyncio.Transport):
    """Counts."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause_reading(self) -> None:
        self.said.append("pause")

    def resume_reading(self) -> None:
        self.said.append("resume")


@pytest.mark.parametrize("how", ["read", "readexactly", "readuntil"])
@pytest.mark.parametrize("pieces", [1, 5])
async def test_reading_stops_and_goes_on(how: str, pieces: int) -> None:
    """As with asyncio's own: at twice the limit it stops, and below it it goes on."""
    reader, below = reader_of(100), Below()
    reader.set_transport(below)
    for _ in range(pieces):
        reader.feed_data((b"x" * 49 + b"\n") * (20 // pieces))
    assert below.said == ["pause"]
    left = 1000
    while left:
        if how == "read":
            left -= len(await reader.read(30))
        elif how == "readexactly":
            left -= len(await reader.readexactly(50))
        else:
            left -= len(await reader.readuntil())
        assert len(below.said) == 1 or left <= 100
    assert below.said == ["pause", "resume"]
    task = await waiting(reader, 10)
    reader.feed_data(b"x" * 201)  # who waits has read some of it already
    assert below.said == ["pause", "resume"]
    reader.feed_data(b"x" * 201)
    assert below.said == ["pause", "resume", "pause"]
    assert await task == b"x" * 10
    assert await reader.readexactly(391) == b"x" * 391
    assert below.said == ["pause", "resume", "pause", "resume"]


@pytest.mark.parametrize("seed", range(30))
async def test_as_asyncios(seed: int) -> None:
    """Lines, separators, exact sizes, with all that is wrong with them: ours says what asyncio's says."""
    said: list[list[bytes | str]] = []
    for make in StreamReader, asyncio.StreamReader:
        chance = random.Random(seed)
        reader = make(limit=chance.choice([5, 20, 100]), loop=asyncio.get_running_loop())
        here: list[bytes | str] = []
        said.append(here)
        for _ in range(chance.randrange(1, 6)):
            reader.feed_data(bytes(chance.choices(b"abc\n", k=chance.randrange(1, 60))))
        reader.feed_eof()
        for _ in range(40):
            reads = [
                reader.readline(),
                reader.readuntil(chance.choice([b"\n", b"ab", b"abc", b"", b"cccccccc"])),
                reader.readexactly(chance.randrange(-1, 30)),
            ]
            chosen = reads.pop(chance.randrange(3))
            for other in reads:
                other.close()
            try:
                here.append(await chosen)
            except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                here.append(f"{type(error).__name__} {getattr(error, 'consumed', '')} {getattr(error, 'partial', '')!r}")
        assert reader.at_eof() or "ValueError" in str(here) or "LimitOverrunError" in str(here)
    assert said[0] == said[1]


async def test_more_than_was_asked_for() -> None:
    """The rest is there for the next read, before what came since."""
    reader = reader_of()
    task = await waiting(reader, 3)
    reader.feed_data(b"abcdef")
    reader.feed_data(b"ghi")
    assert await task == b"abc"
    assert await reader.read(4) == b"defg"
    assert await reader.readexactly(2) == b"hi"


@pytest.mark.parametrize("then", ["read", "readexactly", "readuntil", "read all"])
async def test_cancelled_when_it_was_handed_over(then: str) -> None:
    """asyncio.wait_for at just the wrong moment: the bytes are the next reader's."""
    reader = reader_of()
    task = await waiting(reader, 100)
    reader.feed_data(b"abc\n")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    reader.feed_data(b"def")
    reader.feed_eof()
    assert not reader.at_eof()
    if then == "read":
        assert await reader.read(100) == b"abc\ndef"
    elif then == "readexactly":
        assert await reader.readexactly(7) == b"abc\ndef"
    elif then == "readuntil":
        assert await reader.readline() == b"abc\n"
        assert await reader.read() == b"def"
    else:
        assert await reader.read() == b"abc\ndef"
    assert reader.at_eof()


async def test_cancelled_before_anything_came() -> None:
    reader = reader_of()
    task = await waiting(reader, 100)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    reader.feed_data(b"abc")
    assert await reader.read(100) == b"abc"


async def test_two_cannot_wait() -> None:
    """As with asyncio's own; the first is not disturbed."""
    reader = reader_of()
    task = await waiting(reader, 100)
    with pytest.raises(RuntimeError, match="another coroutine"):
        await reader.read(100)
    reader.feed_data(b"abc")
    assert await task == b"abc"


async def test_an_error_after_what_was_handed_over() -> None:
    """It is read first."""
    reader = reader_of()
    task = await waiting(reader, 100)
    reader.feed_data(b"abc")
    reader.set_exception(ConnectionResetError("gone"))
    assert await task == b"abc"
    with pytest.raises(ConnectionResetError):
        await reader.read(100)


async def test_all_of_it() -> None:
    reader = reader_of()
    task = asyncio.ensure_future(reader.read())
    pieces = [bytes([number]) * BLOCK for number in range(3)]
    for piece in pieces:
        await asyncio.sleep(0)
        reader.feed_data(piece)
    reader.feed_eof()
    assert await task == b"".join(pieces)


@pytest.mark.parametrize("seed", range(30))
async def test_any_order_of_things(seed: int) -> None:
    """Reads of all kinds, some cancelled, while bytes come in pieces: together they give what came, in its order."""
    chance = random.Random(seed)
    sent = chance.randbytes(20_000).replace(b"\n", b" ")
    reader, got = reader_of(), bytearray()

    async def feed() -> None:
        at = 0
        while at < len(sent):
            size = chance.randrange(1, 400)
            reader.feed_data(sent[at : at + size])
            at += size
            if chance.random() < 0.7:
                await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.ensure_future(feed())
    while not (reader.at_eof() and feeding.done()):
        task = asyncio.ensure_future(
            reader.read(chance.randrange(1, 600)) if chance.random() < 0.8 else reader.readexactly(chance.randrange(1, 50))
        )
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            task.cancel()
        try:
            got += await task
        except asyncio.CancelledError:
            continue
        except asyncio.IncompleteReadError as error:
            got += error.partial
    assert bytes(got) == sent
