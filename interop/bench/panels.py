"""The curves of ``growth`` as small pictures, two in a row: what is flat stays flat."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

from interop.bench.table import size

WIDTH, HEIGHT = 430, 236
LEFT, RIGHT, TOP, BOTTOM = 56, 112, 44, 44
"""Around what is drawn in a panel."""
LABEL = 13
"""Lines of text are so far apart at least."""


class Panel:
    """``x``, ``y``: where its upper left corner is.  Both axes are logarithmic, but for a curve whose units add up."""

    def __init__(self, curve: dict[str, Any], x: float, y: float) -> None:
        self._curve = curve
        self._x, self._y = x, y
        self._values = [
            value for line in curve["lines"] for point in line["points"] for value in (point["low"], point["high"]) if value > 0
        ]
        if curve["by_step"]:
            low, high = 0.0, max(self._values) * 1.05
        else:
            low, high = min(self._values) / 1.2, max(self._values) * 1.2
            if high / low < 10:  # a flat one shall not fill the panel with its noise
                middle = math.sqrt(low * high)
                low, high = middle / math.sqrt(10), middle * math.sqrt(10)
        self._low, self._high = low, high

    def _across(self, at: int) -> float:
        sizes: list[int] = self._curve["sizes"]
        width = WIDTH - LEFT - RIGHT
        if self._curve["by_step"]:
            share = (at - sizes[0]) / (sizes[-1] - sizes[0])
        else:
            share = math.log(at / sizes[0]) / math.log(sizes[-1] / sizes[0])
        return self._x + LEFT + width * share

    def _up(self, value: float) -> float:
        low, high = self._low, self._high
        share = (value - low) / (high - low) if self._curve["by_step"] else math.log(max(value, low) / low) / math.log(high / low)
        return self._y + TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    def _ticks(self) -> Iterator[float]:
        if self._curve["by_step"]:
            step = 10.0 ** math.floor(math.log10(self._high / 2))
            step = next(step * by for by in (1, 2, 5, 10) if self._high / (step * by) <= 6)
            yield from (step * place for place in range(int(self._high / step) + 1))
            return
        for power in range(math.floor(math.log10(self._low)), math.ceil(math.log10(self._high)) + 1):
            narrow = self._high / self._low < 40
            yield from (by * 10.0**power for by in ((1, 2, 5) if narrow else (1,)) if self._low <= by * 10.0**power <= self._high)

    def draw(self) -> list[str]:
        curve, right = self._curve, self._x + WIDTH - RIGHT
        better = ", more is better" if curve["higher_is_better"] else ""
        body = [
            f'<text class="title" x="{self._x + 12}" y="{self._y + 18}">{escape(curve["title"])}</text>',
            f'<text class="note" x="{self._x + 12}" y="{self._y + 34}">{escape(curve["unit"] + better)}</text>',
        ]
        for value in self._ticks():
            up = self._up(value)
            body.append(f'<line class="grid" x1="{self._x + LEFT}" x2="{right}" y1="{up:.1f}" y2="{up:.1f}"/>')
            body.append(f'<text class="note" x="{self._x + LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{value:,g}</text>')
        for at in curve["sizes"]:
            across, below = self._across(at), self._y + HEIGHT - BOTTOM + 16
            body.append(f'<text class="note" x="{across:.1f}" y="{below}" text-anchor="middle">{size(at)}</text>')
        middle, below = self._x + (LEFT + WIDTH - RIGHT) / 2, self._y + HEIGHT - BOTTOM + 31
        body.append(f'<text class="note" x="{middle}" y="{below}" text-anchor="middle">{escape(curve["of"])}</text>')
        ends = []
        for line in sorted(curve["lines"], key=lambda line: style(line["line"]) == "ours"):  # ours last, above the others
            points = [point for point in line["points"] if point["median"] > 0]
            if points:
                body += self._line(line["line"], points)
                ends.append((self._up(points[-1]["median"]), line))
        return body + self._labels(ends, right)

    def _line(self, name: str, points: Sequence[dict[str, Any]]) -> list[str]:
        kind = style(name) + (" dashed" if ", " in name else "")
        path = " ".join(f"{self._across(point['size']):.1f},{self._up(point['median']):.1f}" for point in points)
        made = [f'<polyline class="curve {kind}" points="{path}"/>']
        for point in points:
            across = self._across(point["size"])
            made.append(f'<circle class="{kind}" cx="{across:.1f}" cy="{self._up(point["median"]):.1f}" r="2.5"/>')
            low, high = self._up(point["low"]), self._up(point["high"])
            made.append(f'<line class="range" x1="{across:.1f}" x2="{across:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
        return made

    def _labels(self, ends: list[tuple[float, dict[str, Any]]], right: float) -> list[str]:
        """Each line's name at its end, moved away where another stands there, or the axis."""
        made, room = [], 2 * LABEL + 1
        lowest = self._y + HEIGHT - BOTTOM - LABEL - room * len(ends)
        free = self._y + TOP - room
        for up, line in sorted(ends, key=lambda end: end[0]):
            lowest += room
            free = max(free + room, min(up, lowest))
            name = line["line"].rpartition(", ")[2]
            bend = "" if line["bend"] is None else f"{line['bend']['median']:.2f}x"
            said = f"{bend} {line['verdict'].partition(',')[0]}"
            made.append(f'<text class="small" x="{right + 8}" y="{free + 2:.1f}">{escape(name)}</text>')
            made.append(f'<text class="note" x="{right + 8}" y="{free + 2 + LABEL:.1f}">{escape(said)}</text>')
        return made


def style(line: str) -> str:
    """The class of what is drawn for a stack."""
    if line.startswith(("minitls", "dropin")):
        return "ours"
    return "bare" if line.startswith("tcp") else "theirs"


def panels(curves: Sequence[dict[str, Any]], top: float) -> tuple[list[str], float]:
    """All of them below ``top``, and where they end."""
    body: list[str] = []
    for place, curve in enumerate(curves):
        if any(point["high"] > 0 for line in curve["lines"] for point in line["points"]):
            body += Panel(curve, (place % 2) * WIDTH, top + place // 2 * (HEIGHT + 8)).draw()
    return body, top + math.ceil(len(curves) / 2) * (HEIGHT + 8)
