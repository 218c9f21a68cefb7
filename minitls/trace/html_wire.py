"""The page's middle: the time axis, and every message on its way from one side to the other, down to its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from minitls.crypto.suites12 import Suite12
from minitls.observe import AlertSeen, ChainVerified, ChangeCipherSpecSeen, Chosen, DataSeen, KeyInstalled, MessageSeen
from minitls.trace.cards import cards
from minitls.trace.fields import Field, dissect
from minitls.trace.keys import KeySchedule
from minitls.trace.markup import Markup, breakable, escape, joined, tag
from minitls.trace.recording import RECORD_HEADER, ClearSeen, Entry, Recording, TcpClosed, TcpOpened
from minitls.trace.steps import milliseconds
from minitls.trace.text import protection, reasons
from minitls.trace.values import count, name_of_message, safe, spoken
from minitls.wire.hello import ClientHello, HelloRetryRequest, ServerHello

ROW = 16
"""Bytes in a row of the hex view."""
UNDER = {
    "tcp": "TCP",
    "clear": "readable by everybody",
    "early": "under early keys",
    "handshake": "under handshake keys",
    "application": "under session keys",
}
TICKS = 8
DATA_SHOWN, RECORD_SHOWN = 16, 1024
"""How many of the application's turns are shown with a record, and how much of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """Something that went from one side to the other.  ``number``: of its anchor.  ``under``: whose keys, as a class of CSS.

    ``pieces``, ``total``: of data that went one way without an answer, and its bytes; ``entry`` is the first of them.
    """

    number: int
    at: float
    by_client: bool
    sent: bool
    label: str
    under: str
    size: str = ""
    entry: Entry | None = None
    pieces: int = 1
    total: int = 0


@dataclass(slots=True)
class Wire:
    """The rows of a run, and what happened between them."""

    seen: Recording
    began: float
    rows: list[Row] = field(default_factory=list)
    notes: dict[int, list[tuple[float, str]]] = field(default_factory=dict)
    suite: Suite12 | None = None

    @classmethod
    def of(cls, seen: Recording) -> Wire:
        opened = seen.first(TcpOpened)
        took = opened.connecting or 0.0 if opened is not None else 0.0
        wire = cls(seen, seen.started - took)
        schedule = KeySchedule(seen.role)
        for entry in seen.timeline:
            list(schedule(entry))
            wire._add(entry, took)
        wire.suite = schedule.suite
        return wire

    def anchor(self, entry: Entry | None) -> str | None:
        """Where in the page it stands."""
        return next((f"m{row.number}" for row in self.rows if row.entry is entry and entry is not None), None)

    def _row(self, at: float, by_client: bool, label: str, under: str, size: str = "", entry: Entry | None = None) -> None:
        sent = by_client == (self.seen.role == "client")
        self.rows.append(Row(len(self.rows) + 1, at, by_client, sent, label, under, size, entry))

    def _note(self, at: float, text: str) -> None:
        self.notes.setdefault(len(self.rows), []).append((at, text))

    def _add(self, entry: Entry, connecting: float) -> None:
        if isinstance(entry, TcpOpened):
            self._row(entry.at - connecting, True, "SYN", "tcp", entry=entry)
            self._row(entry.at - connecting / 2, False, "SYN, ACK", "tcp")
            self._row(entry.at, True, "ACK", "tcp")
        elif isinstance(entry, MessageSeen):
            under, size = protection(entry.key), count(len(entry.message.raw), "byte")
            self._row(entry.at, self.seen.by_client(entry), name_of_message(entry.message), under, size, entry)
            self._reasons(entry)
        elif isinstance(entry, ChangeCipherSpecSeen):
            self._row(entry.at, self.seen.by_client(entry), "ChangeCipherSpec", "clear", "1 byte", entry)
        elif isinstance(entry, AlertSeen):
            label = f"Alert: {entry.name}"
            self._row(entry.at, self.seen.by_client(entry), label, protection(entry.key), "2 bytes", entry)
        elif isinstance(entry, DataSeen):
            self._data(entry)
        elif isinstance(entry, ClearSeen):
            who = "client" if self.seen.by_client(entry) else "server"
            self._note(entry.at, f"Before TLS, in the clear, the {who}: {spoken(entry.data)}.")
        elif isinstance(entry, TcpClosed):
            self._row(entry.at, self.seen.by_client(entry), "FIN", "tcp", entry=entry)
        elif isinstance(entry, KeyInstalled):
            who = "client" if self.seen.by_client(entry) else "server"
            self._note(entry.at, f"The {who} writes under {entry.key} from here on ({entry.cipher_suite}).")
        elif isinstance(entry, Chosen):
            self._note(entry.at, f"Chosen {entry.what}: {entry.value}, {entry.why}.")
        elif isinstance(entry, ChainVerified):
            names = " ← ".join(found.title for found in cards(entry.path))
            self._note(entry.at, f"The certificates are verified: {names}.")

    def _data(self, entry: DataSeen) -> None:
        """What goes on in one direction is one row, however much it is."""
        by_client, under, last = self.seen.by_client(entry), protection(entry.key), self.rows[-1] if self.rows else None
        if last is None or not isinstance(last.entry, DataSeen) or (last.by_client, last.under) != (by_client, under):
            self._row(entry.at, by_client, "Application Data", under, entry=entry)
            self.rows[-1] = replace(self.rows[-1], pieces=0)
        row = self.rows[-1]
        pieces, total = row.pieces + 1, row.total + entry.size
        size = f"{count(total, 'byte')} in {count(pieces, 'piece')}" if pieces > 1 else count(total, "byte")
        self.rows[-1] = replace(row, pieces=pieces, total=total, size=size)

    def _reasons(self, entry: MessageSeen) -> None:
        """What a client can say of the server's choice."""
        message = entry.message
        if isinstance(message, (ServerHello, HelloRetryRequest)) and self.seen.role == "client":
            for _, hello in self.seen.messages(ClientHello)[-1:]:
                for why in reasons(hello, message):
                    self._note(entry.at, f"{why[:1].upper()}{why[1:]}.")


# the time axis ----------------------------------------------------------------------------------------------------------


def axis(wire: Wire) -> Markup:
    """Both lanes from left to right, true to time; each line leads to its message."""
    rows = wire.rows
    if not rows:
        return Markup()
    span = max(max(row.at for row in rows) - wire.began, 1e-6)
    opened = wire.seen.first(TcpOpened)
    trip = (opened.round_trip or opened.connecting or 0.0) / 2 if opened is not None else 0.0

    def place(at: float) -> str:
        return f"{4 + 92 * min(max((at - wire.began) / span, 0.0), 1.0):.2f}%"

    parts = [
        tag("line", class_="track", x1="2%", x2="98%", y1=30, y2=30),
        tag("line", class_="track", x1="2%", x2="98%", y1=110, y2=110),
        tag("text", "client", class_="who", x="2%", y=18),
        tag("text", "server", class_="who", x="2%", y=130),
    ]
    for at in ticks(span):
        x = place(wire.began + at)
        parts.append(tag("line", class_="tick", x1=x, x2=x, y1=30, y2=114))
        if at:
            parts.append(tag("text", milliseconds(at), class_="at", x=x, y=130, text_anchor="middle"))
    for row in rows:
        left, right = (row.at, row.at + trip) if row.sent else (row.at - trip, row.at)
        tops = (30, 110) if row.by_client else (110, 30)
        line = tag("line", class_=f"way {row.under}", x1=place(left), x2=place(right), y1=tops[0], y2=tops[1])
        dot = tag("circle", class_=f"dot {row.under}", cx=place(left), cy=tops[0], r=4)
        title = tag("title", f"{row.label}, {'client' if row.by_client else 'server'}, {milliseconds(row.at - wire.began)}")
        parts.append(tag("a", title, line, dot, href=f"#m{row.number}", tabindex=-1))
    label = f"Time axis: {len(rows)} messages in {milliseconds(span)}; the list below has them all."
    return tag("svg", *parts, class_="axis", width="100%", height=140, role="img", aria_label=label)


def ticks(span: float) -> Iterator[float]:
    """Round numbers of seconds in a span, few enough to be read."""
    step = 10.0**-9
    factors = (2.0, 2.5, 2.0)
    number = 0
    while span / step > TICKS:
        step *= factors[number % 3]
        number += 1
    yield from (index * step for index in range(int(span / step) + 1))


# messages ---------------------------------------------------------------------------------------------------------------


def messages(wire: Wire) -> Markup:
    """All that went over, in its order."""
    last: float | None = None
    items: list[Markup] = []
    for row in wire.rows:
        items += _notes(wire, row.number - 1)
        gap = None if last is None else row.at - last
        items.append(_row(wire, row, gap))
        last = row.at
    items += _notes(wire, len(wire.rows))
    return tag("ol", *items, class_="messages")


def _notes(wire: Wire, after: int) -> list[Markup]:
    return [
        tag("li", tag("span", milliseconds(max(at - wire.began, 0.0)), class_="time"), tag("p", text), class_="note")
        for at, text in wire.notes.get(after, [])
    ]


def _row(wire: Wire, row: Row, gap: float | None) -> Markup:
    at = milliseconds(max(row.at - wire.began, 0.0))
    to = "to the server" if row.by_client else "to the client"
    waited = f"+{milliseconds(gap)}" if gap is not None and gap >= 0.0005 else None
    arrow = tag("span", tag("b", row.label), " ", tag("small", row.size) if row.size else None, class_="label")
    head = tag(
        "summary",
        tag("span", at, tag("small", waited) if waited else None, class_="time"),
        tag("span", arrow, class_="arrow"),
        tag("span", UNDER[row.under], tag("span", f", {to}", class_="aside"), class_="under"),
    )
    direction = "from-client" if row.by_client else "from-server"
    inside = _inside(wire, row)
    bad = " bad" if isinstance(row.entry, AlertSeen) and row.entry.name not in ("close_notify", "user_canceled") else ""
    return tag("li", tag("details", head, inside, id=f"m{row.number}", class_=f"message {row.under} {direction}{bad}"))


_TEXTS = {
    "SYN": "May we talk? TCP’s three-way handshake begins: each side tells the number from which it counts its bytes.",
    "SYN, ACK": "We may, and here is my number.",
    "ACK": "Understood. The connection stands, and nothing of it is protected.",
    "FIN": "This side sends nothing more.",
    "ChangeCipherSpec": "A single byte, 01, in a record of its own type. In TLS 1.2 it says that what follows is under keys; "
    "in TLS 1.3 it means nothing, and is there so that middleboxes do not stumble.",
}


def _inside(wire: Wire, row: Row) -> Markup:
    entry = row.entry
    if isinstance(entry, MessageSeen):
        root = dissect(entry.message, wire.suite)
        under = f"under {entry.key}" if entry.key else "in the clear"
        about = tag("p", f"{count(len(entry.message.raw), 'byte')}, {under}. Defined in {root.section}.", class_="about")
        return tag("div", about, opened(root, entry.message.raw, f"m{row.number}"), class_="inside")
    if isinstance(entry, DataSeen):
        return tag("div", *_data(wire, row, entry), class_="inside")
    if isinstance(entry, AlertSeen):
        text = "That was all." if entry.name == "close_notify" else "This side cannot go on, and says why."
        text = f"{text} Alert {entry.code} ({safe(entry.name)}), {f'under {entry.key}' if entry.key else 'in the clear'}."
    else:
        text = _TEXTS[row.label]
    return tag("div", tag("p", text, class_="about"), class_="inside")


def _data(wire: Wire, row: Row, entry: DataSeen) -> Iterator[Markup]:
    yield tag("p", f"{row.size} of the application’s, under {entry.key}.", class_="about")
    before = [each for each in wire.rows[: row.number - 1] if isinstance(each.entry, DataSeen)]
    number = sum(each.pieces for each in before)
    if number < len(wire.seen.data):
        yield tag("pre", *_lines(wire.seen.data[number][1].decode("utf-8", "backslashreplace")), class_="plain")
    record = wire.seen.record_of(entry) if len(before) < DATA_SHOWN else None
    if record is None:
        return
    which = "its first record" if row.pieces > 1 else "it"
    yield tag("p", f"What somebody on the way has seen of {which}:", class_="about")
    yield opened(record_fields(record[:RECORD_SHOWN], len(record)), record[:RECORD_SHOWN], f"m{row.number}")


def _lines(text: str) -> Iterator[Markup]:
    """A text of many lines, each harmless."""
    for line in text.splitlines():
        yield joined(escape(line), Markup("\n"))


def record_fields(record: bytes, whole: int) -> Field:
    """RFC 8446 section 5.2's TLSCiphertext, or its beginning; what is in it is noise without the key.  ``whole``: bytes in all."""
    section = "RFC 8446 5.2"
    sealed = whole - RECORD_HEADER
    parts = (
        Field("opaque_type", 0, 1, "application_data (23)", section),
        Field("legacy_record_version", 1, 3, "TLSv1.2", section),
        Field("length", 3, RECORD_HEADER, f"{sealed:,}", section),
        Field("encrypted_record", RECORD_HEADER, len(record), f"{count(sealed, 'byte')}, the seal among them", section),
    )
    return Field("TLSCiphertext", 0, len(record), count(whole, "byte"), section, parts)


def opened(root: Field, raw: bytes, anchor: str) -> Markup:
    """The fields beside the bytes.  A field leads to its bytes by a link, which needs no script."""
    leaves = list(root.leaves())
    number = {(leaf.start, leaf.stop, leaf.name): index for index, leaf in enumerate(leaves)}
    tree = tag("ul", *(_field(part, anchor, number) for part in root.parts), class_="fields")
    spans = [
        joined(tag("span", raw[leaf.start : leaf.stop].hex(" "), id=f"{anchor}b{index}", title=leaf.name), " ")
        for index, leaf in enumerate(leaves)
    ]
    rows = range(0, len(raw), ROW)
    offsets = tag("pre", "", *(joined(f"{at:04x}", Markup("\n")) for at in rows), class_="offsets", aria_hidden="true")
    bytes_ = tag("div", *spans, class_="bytes", role="img", aria_label=f"{root.name}: {count(len(raw), 'byte')} in hexadecimal")
    hexes = tag("div", offsets, bytes_, class_="hex", tabindex=0)
    return tag("div", tree, hexes, class_="opened")


def _field(part: Field, anchor: str, number: dict[tuple[int, int, str], int]) -> Markup:
    texts = (
        tag("span", breakable(part.name), class_="name"),
        " ",
        tag("span", breakable(part.value), class_="value"),
        " ",
        tag("span", f"{part.start:#06x}", class_="at"),
        " ",
        tag("span", part.section, class_="rfc"),
    )
    inner = [number[leaf.start, leaf.stop, leaf.name] for leaf in part.leaves()]
    first, last = (inner[0], inner[-1]) if inner else (0, -1)
    if not part.parts:
        link = tag("a", *texts, href=f"#{anchor}b{first}", class_="field", data_first=first, data_last=last)
        return tag("li", link)
    below = tag("ul", *(_field(each, anchor, number) for each in part.parts))
    return tag("li", tag("details", tag("summary", *texts, class_="field", data_first=first, data_last=last), below))
