"""The tables of the README, from a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from interop.bench.metrics import METRICS
from interop.bench.stacks import STACKS
from interop.bench.table import factor, heading, number, size


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _results(report: dict[str, Any]) -> list[str]:
    """The main metrics, on asyncio's loop or none, and on uvloop."""
    made: list[str] = []
    for uvloop in (False, True):
        shown = [result for result in report["results"] if (STACKS[result["stack"]].loop == "uvloop") is uvloop]
        shown = [result for result in shown if METRICS[result["metric"]].short]
        if shown:
            made += ["", *_beside(shown)] if made else _beside(shown)
    return made


def _beside(shown: Sequence[dict[str, Any]]) -> list[str]:
    """A row for each metric, a column for each stack: its median, and its ratio to its reference."""
    titles = dict.fromkeys((result["stack"], result["stack_title"]) for result in shown)
    rows = []
    for _, group in groupby(shown, lambda result: result["metric"]):
        of = {result["stack"]: result for result in group}
        first = next(iter(of.values()))
        cells = []
        for stack, _ in titles:
            result = of.get(stack)
            ratio = result["ratios"].get(result["reference"]) if result else None
            cells.append("" if result is None else number(result["median"]) + (f" ({factor(ratio['median'])})" if ratio else ""))
        rows.append([f"{first['title']}, {first['unit']}", *cells])
    return _table(["", *(title for _, title in titles)], rows)


def _goals(report: dict[str, Any]) -> list[str]:
    rows = []
    for goal in report["goals"]:
        ms = goal["reference"] is None
        at_least, aim, got, low, high = (
            f"{number(goal[name])} ms" if ms else factor(goal[name]) for name in ("at_least", "aim", "got", "low", "high")
        )
        ceiling = "" if goal["ceiling"] is None else factor(goal["ceiling"])
        rows.append(
            [
                goal["metric"],
                goal["stack"],
                goal["reference"] or "",
                at_least,
                aim,
                f"{got} ({low} to {high})",
                ceiling,
                goal["verdict"],
            ]
        )
    return _table(["metric", "stack", "to", "at least", "aim", "got (range)", "raw TCP", ""], rows)


def _breakdown(report: dict[str, Any]) -> list[str]:
    rows = []
    for row in report["breakdown"]:
        shares = ["" if row[part] is None else f"{row[part] / row['cpu']:.0%}" for part in ("kernel", "cryptography", "rest")]
        rows.append([row["metric"], row["stack"], row["side"], f"{number(row['cpu'])} {row['unit']}", *shares])
    return _table(["metric", "stack", "side", "CPU", "kernel", "cryptography", "interpreter and the rest"], rows)


def _growth(report: dict[str, Any]) -> list[str]:
    rows = []
    for curve in report["growth"]:
        for line in curve["lines"]:
            points = [f"{size(point['size'])}: {number(point['median'])}" for point in line["points"]]
            bend = "" if line["bend"] is None else f"{line['bend']['median']:.2f}x"
            rows.append([f"{curve['title']}, {curve['unit']}", line["title"], ", ".join(points), bend, line["verdict"]])
    return _table(["what grows", "stack", "at", "bend", ""], rows)


def markdown(report: dict[str, Any]) -> str:
    parts = [[f"    {line}" for line in heading(report)]]
    for name, make in (("results", _results), ("goals", _goals), ("breakdown", _breakdown), ("growth", _growth)):
        if report[name]:
            parts.append(make(report))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"
