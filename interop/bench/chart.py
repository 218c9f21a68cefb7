"""The report as a picture: horizontal bars by metric, in SVG that a light and a dark page can both show."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

from interop.bench.panels import panels, style
from interop.bench.table import factor, number

WIDTH = 860
LEFT = 200
BAR = 360
LINE = 20
THICK = 13
TITLE = 34

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.note { font-size: 11px; fill: #57606a }
.ours { fill: #2f6fde }
.theirs { fill: #9aa4b1 }
.bare { fill: #cfd6de }
.range { stroke: #24292f; stroke-width: 1 }
.small { font-size: 12px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.curve { fill: none; stroke-width: 2 }
.curve.ours { stroke: #2f6fde }
.curve.theirs { stroke: #9aa4b1 }
.curve.bare { stroke: #cfd6de }
.dashed { stroke-dasharray: 5 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .ours { fill: #5b95ff }
  .theirs { fill: #6e7681 }
  .bare { fill: #3d444d }
  .range { stroke: #e6edf3 }
  .grid { stroke: #30363d }
  .curve { fill: none }
  .curve.ours { stroke: #5b95ff }
  .curve.theirs { stroke: #6e7681 }
  .curve.bare { stroke: #3d444d }
}
"""


def _bar(result: dict[str, Any], top: int, scale: float) -> list[str]:
    width = max(1.0, result["median"] * scale)
    middle = top + THICK / 2
    ratio = result["ratios"].get(result["reference"])
    said = f"{number(result['median'])} {result['unit']}" + (
        f"  ({factor(ratio['median'])} {result['reference']})" if ratio else ""
    )
    low, high = LEFT + max(0.0, result["low"]) * scale, LEFT + result["high"] * scale
    return [
        f'<text x="{LEFT - 8}" y="{top + 11}" text-anchor="end">{escape(result["stack_title"])}</text>',
        f'<rect class="{style(result["stack"])}" x="{LEFT}" y="{top}" width="{width:.1f}" height="{THICK}" rx="2"/>',
        f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{max(LEFT + width, high) + 8:.1f}" y="{top + 11}">{escape(said)}</text>',
    ]


def draw(report: dict[str, Any]) -> str:
    """The SVG.  Bars are medians, thin lines reach from the lowest to the highest sample."""
    body: list[str] = []
    top = 20
    for title, group in groupby(report["results"], lambda result: result["title"]):
        results = list(group)
        best = "" if results[0]["higher_is_better"] else ", less is better"
        body.append(f'<text class="title" x="{12}" y="{top + 16}">{escape(title + best)}</text>')
        top += TITLE - 8
        highest = max(result["high"] for result in results)
        scale = BAR / highest if highest > 0 else 0.0
        for result in results:
            body += _bar(result, top, scale)
            top += LINE
        top += 14
    if report["growth"]:
        text = "how cost grows; bend: what a unit costs at the largest size, to what it costs at the middle one"
        body.append(f'<text class="title" x="12" y="{top + 16}">{text}</text>')
        drawn, bottom = panels(report["growth"], top + 24)
        body += drawn
        top = math.ceil(bottom)
    machine, versions = report["machine"], report["versions"]
    software = f"{versions['python']}; {versions['ssl']}; cryptography {versions['cryptography']}"
    runs = report["settings"]["runs"] if report["results"] else report["settings"]["growth_runs"]
    rounds = f"medians of {runs} interleaved rounds; lines: lowest to highest"
    notes = (
        " ".join(report["command"]),
        rounds,
        f"{machine['cpu']}, {machine['cores']} cores; {software}",
    )
    for note in notes:
        body.append(f'<text class="note" x="12" y="{top + 10}">{escape(note)}</text>')
        top += 16
    size = f'width="{WIDTH}" height="{top + 10}" viewBox="0 0 {WIDTH} {top + 10}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            "<title>minitls beside other stacks</title>",
            f"<style>{STYLE}</style>",
            *body,
            "</svg>\n",
        ]
    )
