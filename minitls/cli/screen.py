"""How things look: as plain text here, which reads well in a file or a pipe, and with colours in :mod:`minitls.cli.colour`.

:func:`screen_for` chooses: colours on a terminal where rich is installed, unless NO_COLOR or a dumb terminal says otherwise.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Sequence
from typing import Literal, Protocol, TextIO, TypeAlias

from minitls.trace.steps import Arrow, Fact, Step, milliseconds
from minitls.trace.text import ASCII, UNICODE, Glyphs, Line, as_text

Tone: TypeAlias = Literal["good", "bad", "warn"]

MIN_WIDTH, MAX_WIDTH = 72, 110
LANE = 46
"""How long an arrow between client and server is."""
NAMES = 18
"""The column of the facts' names."""

SEEN_BY: dict[str, str] = {
    "tcp": "",
    "clear": "readable by everybody",
    "early": "encrypted, early keys",
    "handshake": "encrypted, handshake keys",
    "application": "encrypted, session keys",
}
MARKS: dict[Tone, tuple[str, str]] = {"good": ("✔", "OK"), "bad": ("✘", "NOT OK"), "warn": ("!", "!")}


class Screen(Protocol):
    """What commands show themselves on.  All text must be harmless already."""

    width: int
    glyphs: Glyphs

    def banner(self, title: str, *text: str) -> None:
        """The head of a page."""

    def verdict(self, tone: Tone, text: str) -> None:
        """The one line that says whether all is well."""

    def heading(self, text: str) -> None:
        """What stands over facts."""

    def facts(self, facts: Sequence[Fact]) -> None:
        """Names and values; a fact without a name goes on with the one before."""

    def entry(self, title: str, kind: str, facts: Sequence[Fact]) -> None:
        """One entry of a dictionary."""

    def step(self, number: int, step: Step) -> None:
        """One step of a story."""

    def columns(self, left: tuple[str, Sequence[str]], right: tuple[str, Sequence[str]]) -> None:
        """Two lists, side by side where there is room."""

    def line(self, line: Line) -> None:
        """A line of a trace."""

    def text(self, text: str = "") -> None:
        """A paragraph."""


def screen_for(stream: TextIO) -> Screen:
    """The screen for this stream."""
    if wants_colour(stream) and glyphs_for(stream) is UNICODE:
        try:
            from minitls.cli.colour import ColourScreen
        except ImportError:  # rich is not installed
            return PlainScreen(stream)
        return ColourScreen(stream)
    return PlainScreen(stream)


def wants_colour(stream: TextIO) -> bool:
    """https://no-color.org; FORCE_COLOR is for pictures and tests."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int:
    columns = shutil.get_terminal_size((100, 24)).columns if stream.isatty() or "COLUMNS" in os.environ else 100
    return max(MIN_WIDTH, min(columns, MAX_WIDTH))


def glyphs_for(stream: TextIO) -> Glyphs:
    """Arrows where the stream's encoding has them, hyphens elsewhere."""
    try:
        "".join((*UNICODE, "✔✘“”…⏎")).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def lane(arrow: Arrow, glyphs: Glyphs, length: int = LANE) -> str:
    """``──── ClientHello, 1,478 bytes ────▶``."""
    shaft = max(length - len(arrow.label) - 3, 4)
    before, after = shaft // 2, shaft - shaft // 2
    middle = f"{glyphs.dash * before} {arrow.label} {glyphs.dash * after}"
    return f"{middle}{glyphs.right}" if arrow.by_client else f"{glyphs.left}{middle}"


class PlainScreen:
    """Plain text; ASCII where the stream has no more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.width = width_of(stream)
        self.glyphs = glyphs_for(stream)

    def _write(self, text: str) -> None:
        if self.glyphs is ASCII:
            text = text.encode(self._stream.encoding or "ascii", "backslashreplace").decode(self._stream.encoding or "ascii")
        self._stream.write(text.rstrip() + "\n")

    def _wrapped(self, text: str, indent: str, first: str | None = None) -> None:
        for each in textwrap.wrap(
            text, self.width, initial_indent=indent if first is None else first, subsequent_indent=indent, break_on_hyphens=False
        ):
            self._write(each)

    def banner(self, title: str, *text: str) -> None:
        self._write(title)
        self._write(self.glyphs.dash * len(title))
        for paragraph in text:
            self._wrapped(paragraph, "")
        self._write("")

    def verdict(self, tone: Tone, text: str) -> None:
        mark = MARKS[tone][self.glyphs is ASCII]
        self._wrapped(text, " " * (len(mark) + 1), f"{mark} ")

    def heading(self, text: str) -> None:
        self._write(text)

    def facts(self, facts: Sequence[Fact]) -> None:
        for name, value in facts:
            self._wrapped(value, " " * (NAMES + 2), f"  {name:<{NAMES - 1}} " if value else None)

    def entry(self, title: str, kind: str, facts: Sequence[Fact]) -> None:
        self._write(f"{title} ({kind})")
        for name, value in facts:
            self._wrapped(value, " " * 14, f"  {name:<11} ")

    def step(self, number: int, step: Step) -> None:
        clock = "" if step.at is None else f" {milliseconds(step.at)}"
        head = f"{self.glyphs.dash * 2} {number}. {step.title} "
        self._write("")
        self._write(head + self.glyphs.dash * (self.width - len(head) - len(clock)) + clock)
        self._write("")
        for arrow in step.arrows:
            self._write(f"   client {lane(arrow, self.glyphs)} server  {SEEN_BY[arrow.protection]}")
        if step.arrows:
            self._write("")
        for place, paragraph in enumerate(step.text):
            if place:
                self._write("")
            self._wrapped(paragraph, "   ")
        if step.text and step.facts:
            self._write("")
        self.facts(step.facts)

    def columns(self, left: tuple[str, Sequence[str]], right: tuple[str, Sequence[str]]) -> None:
        for title, items in (left, right):
            self._write(title)
            for item in items:
                self._wrapped(item, "    ", f"  {self.glyphs.dot} ")

    def line(self, line: Line) -> None:
        self._write(as_text(line))

    def text(self, text: str = "") -> None:
        if text:
            self._wrapped(text, "")
        else:
            self._write("")
