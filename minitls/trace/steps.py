"""What a story is made of: steps, with arrows and facts, and what somebody who tells one needs to know of a run.

All texts are harmless (:func:`minitls.trace.values.safe`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from minitls.observe import AlertSeen, DataSeen, MessageSeen
from minitls.trace.recording import RECORD_HEADER, Recording
from minitls.trace.text import Protection, protection
from minitls.trace.values import count, name_of_message, safe
from minitls.trace.words import STEPS

Fact: TypeAlias = tuple[str, str]
SHOWN = 4
"""How many pieces of data are shown, and names of a certificate."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """Something that went over: by whom, what, and who could read it."""

    by_client: bool
    label: str
    protection: Protection


@dataclass(frozen=True, slots=True)
class Step:
    """``at``: seconds from the beginning; None where it has no moment of its own.  ``facts``: names and values of this very run."""

    title: str
    text: tuple[str, ...]
    arrows: tuple[Arrow, ...] = ()
    facts: tuple[Fact, ...] = ()
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """One side's recording, and the other's where both are ours."""

    seen: Recording
    other: Recording | None

    def step(
        self,
        key: str,
        entries: Sequence[MessageSeen | AlertSeen | DataSeen],
        facts: Sequence[Fact] = (),
        *,
        arrows: Sequence[Arrow] | None = None,
        at: float | None = None,
        **values: str,
    ) -> Step:
        """The step with the words of ``key``; its moment is that of the first entry unless ``at`` says otherwise."""
        words = STEPS[key]
        moment = entries[0].at if entries else at
        return Step(
            words.title.format(**values),
            tuple(paragraph.format(**values) for paragraph in words.text),
            tuple(map(self.arrow, entries) if arrows is None else arrows),
            tuple(facts),
            None if moment is None else moment - self.seen.started,
        )

    def arrow(self, entry: MessageSeen | AlertSeen | DataSeen) -> Arrow:
        if isinstance(entry, MessageSeen):
            label = f"{name_of_message(entry.message)}, {count(len(entry.message.raw), 'byte')}"
        elif isinstance(entry, DataSeen):
            label = f"Application Data, {count(entry.size, 'byte')}"
        else:
            label = f"Alert: {entry.name}"
        return Arrow(self.seen.by_client(entry), label, protection(entry.key))

    def why(self, what: str) -> str:
        """The server's reason for a choice, where we have heard it."""
        for side in (self.seen, self.other):
            chosen = side.chosen(what) if side is not None and side.role == "server" else None
            if chosen is not None:
                return f": {safe(chosen.why)}"
        return ""

    def secrets(self, *labels: str) -> list[Fact]:
        """The fingerprints of secrets at each side that told us; the secrets themselves are in nobody's hands but theirs."""
        facts: list[Fact] = []
        for label in labels:
            if label not in self.seen.secrets:
                continue
            length, fingerprint = self.seen.secrets[label]
            shown = f"{label}, {length} bytes"
            other = self.other.secrets.get(label) if self.other is not None else None
            if other is not None:
                same = other[1] == fingerprint
                shown += f", the same at both: SHA-256 {fingerprint}…" if same else ", NOT the same at both"
            facts.append((direction(label.startswith("CLIENT")), shown))
        return facts


def said(story: Story, number: int, entry: DataSeen) -> Iterator[Fact]:
    """A piece of data, the ``number``-th of all, and its record."""
    if number < len(story.seen.data):
        who = "client" if story.seen.by_client(entry) else "server"
        text = story.seen.data[number][1].decode("utf-8", "backslashreplace")
        yield f"the {who} says", safe(" ⏎ ".join(filter(None, text.strip().splitlines())))
    record = story.seen.record_of(entry)
    if record is not None:
        head, body = record[:RECORD_HEADER].hex(" "), record[RECORD_HEADER : RECORD_HEADER + 16].hex(" ")
        yield "on the wire", f"{head} | {body} … ({count(len(record), 'byte')})"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds < 0.01 else f"{seconds * 1000:.1f} ms"


def direction(by_client: bool) -> str:
    return "client to server" if by_client else "server to client"
