"""``--trace``: the RFC's message figure as it happens, two lanes and a clock, with what each message carried and under which key.

As in RFC 8446 figures 1 and 4, ``{}`` is protected under a handshake traffic secret, ``[]`` under an application traffic secret and
``()`` under the early traffic secret; what has no brackets is in the clear.  A line is a list of spans, each with a style by its
meaning ("clear", "early", "handshake", "application", "time", "name", "field", "why", "alert", "dim", or ""); who prints it decides
what a meaning looks like.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from minitls.observe import AlertSeen, ChainVerified, ChangeCipherSpecSeen, Chosen, DataSeen, KeyInstalled, MessageSeen
from minitls.trace.cards import cards
from minitls.trace.fields import Field, dissect
from minitls.trace.keys import Derivation, KeySchedule, in_words, name_of_secret, values
from minitls.trace.recording import ClearSeen, Entry, Role, TcpClosed, TcpOpened, WireSeen
from minitls.trace.values import count, details, name_of_message, safe, spoken
from minitls.wire.hello import ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.messages import Certificate
from minitls.wire.messages12 import Certificate12
from minitls.wire.numbers import CipherSuite, ExtensionType, NamedGroup, is_grease, name_of


class Span(NamedTuple):
    text: str
    style: str = ""


Line: TypeAlias = list[Span]
Form: TypeAlias = Literal["messages", "wire", "keys"]
Protection: TypeAlias = Literal["tcp", "clear", "early", "handshake", "application"]


class Glyphs(NamedTuple):
    """What arrows and rules are made of."""

    dash: str
    right: str
    left: str
    dot: str
    by: str


UNICODE = Glyphs("─", "▶", "◀", "·", "←")
ASCII = Glyphs("-", ">", "<", "*", "<-")

CLOCK = 12
NAMES = 24
SERVER_DETAILS = 16
"""Columns: the clock's width, that of the names in a message's details, and by how much the server's details are moved right."""

HEX_ROW, HEX_SHOWN = 8, 64
"""Bytes of a field on one line, and in all."""

_BRACKETS = {"clear": "{}", "early": "({})", "handshake": "{{{}}}", "application": "[{}]"}


def protection(key: str) -> Protection:
    """Which of "clear", "early", "handshake" and "application" it is, by the key log name of the secret."""
    if not key:
        return "clear"
    if "EARLY" in key:
        return "early"
    return "handshake" if "HANDSHAKE" in key else "application"


class TextTrace:
    """An observer that draws.  ``write`` gets each line as it comes; ``width``: columns in all, at least 72.

    ``form``: "wire" has every field of each message, with its bytes; "keys" the key schedule instead of what messages carry.
    ``key_log``: lines of a key log, which may grow; then "keys" SHOWS SECRETS.
    """

    def __init__(
        self,
        role: Role,
        write: Callable[[Line], None],
        *,
        width: int = 100,
        glyphs: Glyphs = UNICODE,
        form: Form = "messages",
        key_log: Sequence[str] | None = None,
    ) -> None:
        self._role: Role = role
        self._form = form
        self._key_log = key_log
        self._schedule = KeySchedule(role)
        self._server_random = b""
        self._write = write
        self._width = max(width, 72)
        self._glyphs = glyphs
        self._start: float | None = None
        self._hello: ClientHello | None = None
        self._is_tls13 = True

    def __call__(self, entry: Entry) -> None:
        if isinstance(entry, WireSeen):
            return
        if self._start is None:
            self._start = entry.at
            for line in self._heading():
                self._write(line)
        for line in self._lines(entry):
            self._write(line)
        for step in self._schedule(entry):
            if self._form == "keys":
                for line in self._derived(step):
                    self._write(line)

    def _heading(self) -> Iterator[Line]:
        left, right = ("client (we)", "server") if self._role == "client" else ("client", "server (we)")
        yield [Span(" " * CLOCK), Span(left, "name"), Span(right.rjust(self._width - CLOCK - len(left)), "name")]
        if self._shows_secrets:
            yield [Span(" " * CLOCK), Span("SECRETS ARE SHOWN: who sees this can read the connection", "alert")]
        keys = [Span("(early)  ", "early"), Span("{handshake}  ", "handshake"), Span("[application] keys", "application")]
        yield [Span(" " * CLOCK), Span("in the clear  ", "clear"), *keys]

    def _lines(self, entry: Entry) -> Iterator[Line]:
        if isinstance(entry, MessageSeen):
            yield from self._message(entry)
        elif isinstance(entry, ChangeCipherSpecSeen):
            yield self._arrow(entry.at, entry.sent, "ChangeCipherSpec", "clear")
            meaning = (
                "means nothing in TLS 1.3: middleboxes want to see it" if self._is_tls13 else "says: what follows is under keys"
            )
            yield from self._detail(entry.sent, "", f"1 byte that {meaning}")
        elif isinstance(entry, AlertSeen):
            yield self._arrow(
                entry.at,
                entry.sent,
                f"Alert: {entry.name}",
                protection(entry.key),
                style="" if entry.name == "close_notify" else "alert",
            )
            yield from self._detail(entry.sent, "", self._under(2, entry.key))
        elif isinstance(entry, DataSeen):
            yield self._arrow(entry.at, entry.sent, "Application Data", protection(entry.key))
            yield from self._detail(entry.sent, "", self._under(entry.size, entry.key))
        elif isinstance(entry, KeyInstalled):
            who = self._role if entry.sent else ("server" if self._role == "client" else "client")
            yield from self._note(entry.at, f"the {who} now writes under {entry.key} ({entry.cipher_suite})")
            if self._shows_secrets:
                yield from self._secret(entry)
        elif isinstance(entry, Chosen):
            yield from self._note(entry.at, f"chosen {entry.what}: {safe(entry.value)}, {safe(entry.why)}")
        elif isinstance(entry, ChainVerified):
            path = f" {self._glyphs.by} ".join(found.title for found in cards(entry.path))
            name = f", good for {safe(entry.server_name)}" if entry.server_name else ""
            yield from self._note(entry.at, f"certificates verified{name}: {path}")
        elif isinstance(entry, TcpOpened):
            trip = f", round trip {entry.round_trip * 1000:.3f} ms" if entry.round_trip is not None else ""
            yield from self._note(entry.at, f"TCP connected: {entry.local} to {entry.peer}{trip}")
        elif isinstance(entry, ClearSeen):
            yield from self._note(entry.at, f"before TLS, {'we' if entry.sent else 'the peer'}: {spoken(entry.data)}")
        elif isinstance(entry, TcpClosed):
            yield from self._note(entry.at, "we closed TCP (FIN)" if entry.sent else "the peer closed TCP (FIN)")

    def _message(self, entry: MessageSeen) -> Iterator[Line]:
        message = entry.message
        yield self._arrow(entry.at, entry.sent, name_of_message(message), protection(entry.key))
        yield from self._detail(entry.sent, "", self._under(len(message.raw), entry.key))
        if isinstance(message, ServerHello):
            self._is_tls13 = ExtensionType.supported_versions in message.extensions
            self._server_random = message.random
        if self._form == "wire":
            yield from self._fields(message.raw, dissect(message, self._schedule.suite))
        elif self._form == "messages":
            for name, value in details(message):
                yield from self._detail(entry.sent, name, value)
        if self._form == "messages" and isinstance(message, (Certificate, Certificate12)):
            for number, found in enumerate(cards(message.chain), 1):
                yield from self._detail(entry.sent, f"  {number}", f"{found.title}, key {found.key}, {found.validity(entry.at)}")
        if isinstance(message, ClientHello):
            self._hello = message
        elif isinstance(message, (ServerHello, HelloRetryRequest)) and self._hello is not None and self._role == "client":
            for why in reasons(self._hello, message) if self._form != "keys" else ():
                yield from self._note(entry.at, why)

    def _fields(self, raw: bytes, field: Field, depth: int = 0) -> Iterator[Line]:
        """Offset, bytes, name, value and section of each part; bytes that do not fit go on below."""
        for part in field.parts:
            data = raw[part.start : part.stop] if not part.parts else b""
            rows = [data[at : at + HEX_ROW].hex(" ") for at in range(0, min(len(data), HEX_SHOWN), HEX_ROW)] or [""]
            name = f"{'  ' * depth}{part.name}".ljust(NAMES - 1) + " "
            column = 10 + HEX_ROW * 3 + len(name)
            words = textwrap.wrap(part.value, max(self._width - column, 16), break_on_hyphens=False) or [""]
            room = self._width - column - len(words[-1]) - len(part.section)
            if room < 1 or len(words) > 1:
                words, room = [*words, ""], self._width - column - len(part.section)
            left = [Span(f"  {part.start:06x}  ", "time"), Span(f"{rows[0]:<{HEX_ROW * 3}}", "dim"), Span(name, "field")]
            section = Span(" " * room + part.section, "dim")
            yield [*left, Span(words[0]), *([section] if len(words) == 1 else [])]
            for number, each in enumerate(words[1:], 2):
                yield [Span(" " * column), Span(each), *([section] if number == len(words) else [])]
            for row in rows[1:]:
                yield [Span(" " * 10), Span(row, "dim")]
            if len(data) > HEX_SHOWN:
                yield [Span(" " * 10), Span(f"and {count(len(data) - HEX_SHOWN, 'byte')} more", "dim")]
            yield from self._fields(raw, part, depth + 1)

    @property
    def _shows_secrets(self) -> bool:
        return self._form == "keys" and self._key_log is not None

    def _derived(self, step: Derivation) -> Iterator[Line]:
        """A secret, where it comes from, and over which messages."""
        style = protection(step.key_log) if step.key_log else "name"
        yield [self._clock(step.at), Span(f"{self._glyphs.dot} {step.name}", style), Span(f"  {in_words(step)}", "dim")]
        lines = [f"= {step.formula}"]
        if step.over:
            lines += [f"over {', '.join(step.over)}", f"whose hash is {step.digest}"]
        for line in lines:
            for piece in textwrap.wrap(line, self._width - CLOCK - 4, break_on_hyphens=False, subsequent_indent="  "):
                yield [Span(" " * (CLOCK + 4)), Span(piece, "field" if line is lines[0] else "dim")]

    def _secret(self, entry: KeyInstalled) -> Iterator[Line]:
        shown = values(self._key_log or (), entry.cipher_suite, self._server_random).get(name_of_secret(entry.key), ())
        for what, value in shown:
            for piece in textwrap.wrap(f"{what:<7}{value}", self._width - CLOCK - 4, subsequent_indent=" " * 7):
                yield [Span(" " * (CLOCK + 4)), Span(piece, "alert")]

    def _under(self, size: int, key: str) -> str:
        return f"{count(size, 'byte')}, {f'under {key}' if key else 'in the clear'}"

    def _clock(self, at: float) -> Span:
        assert self._start is not None
        return Span(f"{(at - self._start) * 1000:8.2f} ms ".ljust(CLOCK), "time")

    def _arrow(self, at: float, sent: bool, what: str, kind: str, *, style: str = "") -> Line:
        glyphs, label = self._glyphs, _BRACKETS[kind].format(what)
        shaft = self._width - CLOCK - len(label) - 2
        if sent == (self._role == "client"):
            return [self._clock(at), Span(label, style or kind), Span(" " + glyphs.dash * shaft + glyphs.right, "dim")]
        return [self._clock(at), Span(glyphs.left + glyphs.dash * shaft + " ", "dim"), Span(label, style or kind)]

    def _detail(self, sent: bool, name: str, value: str) -> Iterator[Line]:
        indent = CLOCK + 2 + (0 if sent == (self._role == "client") else SERVER_DETAILS)
        column = indent + (NAMES if name else 0)
        pieces = textwrap.wrap(value, self._width - column, break_on_hyphens=False)
        if len(name) >= NAMES:
            yield [Span(" " * indent), Span(name, "field")]
        elif name:
            first = pieces.pop(0) if pieces else ""
            yield [Span(" " * indent), Span(name.ljust(NAMES), "field"), Span(first)]
        yield from ([Span(" " * column), Span(piece, "" if name else "dim")] for piece in pieces)

    def _note(self, at: float, text: str) -> Iterator[Line]:
        first, *more = textwrap.wrap(text, self._width - CLOCK - 2, break_on_hyphens=False)
        yield [self._clock(at), Span(f"{self._glyphs.dot} {first}", "why")]
        yield from ([Span(" " * (CLOCK + 2)), Span(piece, "why")] for piece in more)


def reasons(hello: ClientHello, answer: ServerHello | HelloRetryRequest) -> Iterator[str]:
    """What a client can say about the server's choices: where they stood in its own offer."""
    yield f"the server took {name_of(CipherSuite, answer.cipher_suite)}: {_place(answer.cipher_suite, hello.cipher_suites)}"
    share = answer.extensions.get(ExtensionType.key_share)
    group = share if isinstance(share, int) else getattr(share, "group", None)
    offered = hello.extensions.get(ExtensionType.supported_groups, ())
    if group is not None:
        sent = group in [entry.group for entry in hello.extensions.get(ExtensionType.key_share, ())]
        how = "we had sent a share for it" if sent else "we had sent no share for it, so it cost a round trip"
        yield f"the server took {name_of(NamedGroup, group)}: {_place(group, offered)}; {how}"
    if ExtensionType.pre_shared_key in hello.extensions and isinstance(answer, ServerHello):
        taken = ExtensionType.pre_shared_key in answer.extensions
        alone = taken and share is None
        yield (
            f"the server took our PSK{' and nothing else: there is no forward secrecy' if alone else ''}: no certificate will come"
            if taken
            else "the server did not take our PSK: this is a full handshake"
        )


def _place(code: int, offered: tuple[int, ...]) -> str:
    """``the 2nd of the 5 that we offered``."""
    ours = [each for each in offered if not is_grease(each)]
    if code not in ours:
        return "which we did not offer"
    place = ours.index(code) + 1
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10 if place not in (11, 12, 13) else 0, "th")
    return f"{'our first choice' if place == 1 else f'the {place}{ending}'} of {len(ours)} offered"


def draw(role: Role, timeline: list[Entry], **how: Any) -> list[Line]:
    """The figure of a run that is over; ``how``: as for :class:`TextTrace`."""
    lines: list[Line] = []
    trace = TextTrace(role, lines.append, **how)
    for entry in timeline:
        trace(entry)
    return lines


def as_text(line: Line) -> str:
    """A line without its styles."""
    return "".join(span.text for span in line).rstrip()
