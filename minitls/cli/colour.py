"""The same page with rich: colours for who can read what (yellow: everybody; cyan, green: under keys), and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from minitls.cli.screen import MARKS, SEEN_BY, Tone, glyphs_for, lane, width_of
from minitls.trace.steps import Arrow, Fact, Step, milliseconds
from minitls.trace.text import ASCII, Line

STYLES = {
    "tcp": "bright_black",
    "clear": "yellow",
    "early": "bright_magenta",
    "handshake": "cyan",
    "application": "green",
    "time": "bright_black",
    "name": "bold",
    "field": "bright_blue",
    "why": "magenta",
    "alert": "bold red",
    "dim": "bright_black",
    "": "",
}
TONES: dict[Tone, str] = {"good": "bold green", "bad": "bold red", "warn": "bold yellow"}


class ColourScreen:
    """A :class:`minitls.cli.screen.Screen` for terminals."""

    def __init__(self, stream: TextIO) -> None:
        self.width = width_of(stream)
        self.glyphs = glyphs_for(stream)
        self._console = Console(
            file=stream, width=self.width, force_terminal=True, highlight=False, markup=False, emoji=False, safe_box=True
        )

    def banner(self, title: str, *text: str) -> None:
        body = Group(*(Text(paragraph) for paragraph in text))
        self._console.print(
            Panel(body, title=Text(title, "bold"), title_align="left", box=ROUNDED, border_style="bold", padding=(0, 1))
        )

    def verdict(self, tone: Tone, text: str) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text(MARKS[tone][self.glyphs is ASCII], TONES[tone]), Text(text, TONES[tone]))
        self._console.print(grid)

    def heading(self, text: str) -> None:
        self._console.print(Text(text, "bold cyan"))

    def facts(self, facts: Sequence[Fact]) -> None:
        self._console.print(Padding(_table(facts), (0, 0, 0, 1)))

    def entry(self, title: str, kind: str, facts: Sequence[Fact]) -> None:
        self._console.print(Text.assemble((title, "bold"), (f"  {kind}", "cyan")))
        self._console.print(Padding(_table(facts), (0, 0, 0, 2)))

    def step(self, number: int, step: Step) -> None:
        body: list[RenderableType] = [self._arrow(arrow) for arrow in step.arrows]
        if step.arrows:
            body.append(Text())
        for place, paragraph in enumerate(step.text):
            body += [Text()] * bool(place) + [Text(paragraph)]
        if step.facts:
            body += [Text(), _table(step.facts)]
        style = STYLES[step.arrows[-1].protection] if step.arrows else "bright_black"
        title = Text.assemble((f" {number} ", f"reverse {style}"), (f" {step.title} ", "bold"))
        clock = None if step.at is None else Text(milliseconds(step.at), "bright_black")
        panel = Panel(Group(*body), title=title, title_align="left", subtitle=clock, subtitle_align="right", box=ROUNDED)
        panel.border_style, panel.padding = style, (1, 2, 0, 2)
        self._console.print(panel)

    def _arrow(self, arrow: Arrow) -> Text:
        style = STYLES[arrow.protection]
        return Text.assemble(
            ("client ", "bold"), (lane(arrow, self.glyphs), style), (" server", "bold"), (f"  {SEEN_BY[arrow.protection]}", style)
        )

    def columns(self, left: tuple[str, Sequence[str]], right: tuple[str, Sequence[str]]) -> None:
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(*(self._list(*each, style) for each, style in ((left, STYLES["clear"]), (right, STYLES["application"]))))
        self._console.print(grid)

    def _list(self, title: str, items: Sequence[str], style: str) -> Panel:
        rows = Table.grid(padding=(0, 1))
        for item in items:
            rows.add_row(Text(self.glyphs.dot, style), Text(item))
        return Panel(rows, title=Text(title, "bold"), title_align="left", border_style=style, box=ROUNDED, padding=(1, 2))

    def line(self, line: Line) -> None:
        text = Text.assemble(*((span.text, STYLES.get(span.style, "")) for span in line), no_wrap=True)
        self._console.print(text, soft_wrap=True)

    def text(self, text: str = "") -> None:
        self._console.print(Text(text))


def _table(facts: Sequence[Fact]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), Text(value))
    return table
