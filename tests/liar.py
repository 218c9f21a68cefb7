"""A peer that lies: our own engine, whose messages pass through a lie before they are written.

What it says is well framed, well encrypted and in its own transcript, so that whoever hears it has nothing to object to but the lie
itself.  ::

    client = ClientConnection(client_config, server_hostname="localhost")
    server = lying_server(server_config, edit(ServerHello, lambda hello: setattr(hello, "cipher_suite", 0x1399)))
    meeting = meet(client, server)
    assert meeting.client_error.alert is Alert.illegal_parameter
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from unittest import mock

import minitls.endpoints
from minitls import AlertReceived, ClientConfig, ClientConnection, Connection, Event, ServerConfig, ServerConnection
from minitls.handshake.driver import Driver
from minitls.observe import MessageSeen
from minitls.wire.codec import Extensions
from minitls.wire.hello import Message
from minitls.wire.messages import write_message
from minitls.wire.numbers import ContentType


@dataclass(frozen=True)
class Unheard:
    """Bytes that go out among the handshake's, and into no transcript of the liar's."""

    data: bytes


@dataclass(frozen=True)
class Record:
    """A record of its own, of any type, under whatever key the liar has then."""

    content_type: int
    content: bytes


Said: TypeAlias = Message | bytes | Unheard | Record
Lie: TypeAlias = Callable[[Message], Iterable[Said]]
Cut: TypeAlias = Callable[[bytes], Sequence[bytes]]


class LyingDriver(Driver):
    """Says what ``lie`` makes of each message; ``cut`` makes records' contents of a flight."""

    def __init__(self, lie: Lie, cut: Cut | None, *args: Any, **more: Any) -> None:
        self.lie = lie
        self.cut = cut
        super().__init__(*args, **more)

    def send(self, message: Message, raw: bytes | None = None) -> None:
        for said in self.lie(message):
            if isinstance(said, Unheard):
                self._flight += said.data
            elif isinstance(said, Record):
                self.flush()
                self._output.append(self._records.write(said.content_type, said.content))
            elif isinstance(said, bytes):
                self.transcript.add(said)
                self._flight += said
            else:
                super().send(said)

    def flush(self) -> None:
        if self.cut is None:
            super().flush()
            return
        flight = bytes(self._flight)
        self._flight.clear()
        for piece in self.cut(flight) if flight else ():
            self._output.append(self._records.write(ContentType.handshake, piece))


def lying(make: Callable[[], Connection], lie: Lie, cut: Cut | None = None) -> Any:
    """The connection that ``make`` makes, with a driver that lies."""
    with mock.patch.object(minitls.endpoints, "Driver", lambda *args, **more: LyingDriver(lie, cut, *args, **more)):
        return make()


def lying_client(config: ClientConfig, lie: Lie, cut: Cut | None = None, server_hostname: str = "localhost") -> ClientConnection:
    return lying(lambda: ClientConnection(config, server_hostname=server_hostname), lie, cut)


def lying_server(config: ServerConfig, lie: Lie, cut: Cut | None = None) -> ServerConnection:
    return lying(lambda: ServerConnection(config), lie, cut)


# what can be said instead of the truth ------------------------------------------------------------------------------------


def truth(message: Message) -> list[Said]:
    return [message]


def instead(kind: type[Message], say: Callable[[Message], Iterable[Said]], nth: int = 1) -> Lie:
    """At the ``nth`` message of this kind, what ``say`` makes of it."""
    seen = 0

    def lie(message: Message) -> Iterable[Said]:
        nonlocal seen
        if type(message) is not kind:
            return [message]
        seen += 1
        return say(message) if seen == nth else [message]

    return lie


def edit(kind: type[Message], change: Callable[[Any], object], nth: int = 1) -> Lie:
    """The message, after ``change`` had its hands on a copy."""

    def say(message: Message) -> list[Said]:
        changed: Any = copy.copy(message)
        if hasattr(changed, "extensions"):
            changed.extensions = Extensions(changed.extensions)
        change(changed)
        return [changed]

    return instead(kind, say, nth)


def edit_bytes(kind: type[Message], change: Callable[[bytearray], object], nth: int = 1) -> Lie:
    """The message's body as bytes, after ``change``; its header is made to fit."""

    def say(message: Message) -> list[Said]:
        raw = write_message(copy.copy(message))
        body = bytearray(raw[4:])
        change(body)
        return [raw[:1] + len(body).to_bytes(3, "big") + bytes(body)]

    return instead(kind, say, nth)


def with_extension(kind: type[Message], code: int, body: bytes, *, first: bool = False, nth: int = 1) -> Lie:
    """The message with one more extension in it, whatever stands there already."""
    return instead(kind, lambda message: [add_extension(message, code, body, first=first)], nth)


def add_extension(message: Message, code: int, body: bytes, *, first: bool = False) -> bytes:
    """The bytes of a message that ends in an extension block, with this extension in front of the others or behind them."""
    raw = write_message(copy.copy(message))
    block = _block_at(message, raw)
    extension = code.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
    old = raw[block + 2 :]
    new = extension + old if first else old + extension
    inner = raw[4:block] + len(new).to_bytes(2, "big") + new
    return raw[:1] + len(inner).to_bytes(3, "big") + inner


def _block_at(message: Any, raw: bytes) -> int:
    """Where the extension block's length stands: it is the last field."""
    bare = copy.copy(message)
    bare.extensions = Extensions()
    without = write_message(bare)
    return len(without) - 2 if without[-2:] == b"\0\0" and len(without) > 4 else len(without)


# what comes of it ---------------------------------------------------------------------------------------------------------


@dataclass
class Meeting:
    """What two connections came to: their events and errors, in the order (client, server)."""

    client: Connection
    server: Connection
    client_events: list[Event] = field(default_factory=list)
    server_events: list[Event] = field(default_factory=list)

    @property
    def client_error(self) -> Any:
        return self.client.error

    @property
    def server_error(self) -> Any:
        return self.server.error

    @property
    def completed(self) -> tuple[bool, bool]:
        return self.client.info.timing.completed is not None, self.server.info.timing.completed is not None

    def alert_heard_by(self, peer: Connection) -> int | None:
        """The code of the alert that ended this side's connection, if one did."""
        return peer.error.code if isinstance(peer.error, AlertReceived) else None


def meet(client: Connection, server: Connection, *, chop: Cut | None = None, rounds: int = 40) -> Meeting:
    """Carry bytes both ways until both are silent; who has failed hears nothing more, but its alert is still delivered."""
    meeting = Meeting(client, server)
    for _ in range(rounds):
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not to_server and not to_client:
            return meeting
        hear(server, to_server, meeting.server_events, chop)
        hear(client, to_client, meeting.client_events, chop)
    raise AssertionError("they talk for ever")


def hear(connection: Connection, data: bytes, events: list[Event], chop: Cut | None = None) -> None:
    """Give bytes to a connection; an error stays with it."""
    for piece in chop(data) if chop and data else [data]:
        if connection.error is not None or not piece:
            return
        try:
            events += connection.receive_data(piece)
        except Exception:
            assert connection.error is not None


def write_record(connection: Connection, content_type: int, content: bytes, pad_to: int = 0) -> None:
    """Put a record of any type into what a connection sends next, under its present key."""
    connection._output.append(connection._records.write(content_type, content, pad_to))


def write_handshake(connection: Connection, *messages: Message | bytes) -> None:
    """Put handshake messages, in one record, into what a connection sends next."""
    raw = b"".join(each if isinstance(each, bytes) else write_message(each) for each in messages)
    write_record(connection, ContentType.handshake, raw)
    for each in messages:
        if not isinstance(each, bytes):
            connection._observe_sent(lambda at, key, message=each: MessageSeen(at, True, message, key))


def seal_inner(connection: Connection, inner: bytes) -> bytes:
    """A record whose TLSInnerPlaintext is exactly this."""
    sealing = connection._records.sealing
    assert sealing is not None
    header = b"\x17\x03\x03" + (len(inner) + sealing.suite.aead.tag_length).to_bytes(2, "big")
    return header + sealing._cipher.encrypt(sealing._nonce(), inner, header)
