"""The report for people: with rich where it is installed, else in plain columns."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import IO, Any

HEADS = ("stack", "median", "low to high", "ratio", "its range", "to", "CPU client", "server")
DISPENSABLE = ("low to high", "its range", "range", "server", "CPU client")
"""What a narrow terminal goes without, first one first."""
GOAL_HEADS = ("metric", "stack", "to", "at least / aim", "got", "range", "raw TCP", "")
WHERE_HEADS = ("metric", "stack", "side", "CPU", "kernel", "cryptography", "rest", "busy")


def number(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def factor(value: float) -> str:
    """A ratio: 3.6x, or 1/20 where it is small."""
    return f"1/{1 / value:.1f}" if 0 < value < 0.6 else f"{value:.2f}x"


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    unit, cpu = result["unit"], result["cpu_unit"]
    cells = [
        result["stack_title"],
        f"{number(result['median'])} {unit}",
        f"{number(result['low'])} to {number(result['high'])}",
    ]
    ratio = result["ratios"].get(result["reference"])
    cells += (
        [factor(ratio["median"]), f"{factor(ratio['low'])} to {factor(ratio['high'])}", result["reference"]]
        if ratio
        else ["", "", ""]
    )
    for side in ("client_cpu", "server_cpu"):
        cells.append("" if result[side] is None else f"{number(result[side])} {cpu}")
    return tuple(cells)


def _goal(goal: dict[str, Any]) -> tuple[str, ...]:
    shown: Callable[[float], str] = factor if goal["reference"] else lambda value: f"{number(value)} ms"
    verdict = goal["verdict"] + (f" by {goal['short_of_floor']:.0%}" if goal["verdict"] == "missed" else "")
    return (
        goal["metric"],
        goal["stack"],
        goal["reference"] or "",
        f"{shown(goal['at_least'])} / {shown(goal['aim'])}",
        shown(goal["got"]),
        f"{shown(goal['low'])} to {shown(goal['high'])}",
        "" if goal["ceiling"] is None else factor(goal["ceiling"]),
        verdict,
    )


def _where(row: dict[str, Any]) -> tuple[str, ...]:
    """Each part, and its share of the side's CPU time."""
    cells = []
    for part in ("kernel", "cryptography", "rest"):
        value = row[part]
        cells.append("" if value is None else f"{number(value)} {value / row['cpu']:4.0%}" if row["cpu"] else number(value))
    return (row["metric"], row["stack"], row["side"], f"{number(row['cpu'])} {row['unit']}", *cells, f"{row['busy']:.0%}")


def heading(report: dict[str, Any]) -> list[str]:
    """What was run, where, and what was agreed."""
    machine, versions = report["machine"], report["versions"]
    pinned = "server and client pinned to a core each" if machine["pinned"] else "not pinned"
    load = machine["load_before"]
    lines = [
        f"{' '.join(report['command'])}    {report['started']}, {report['seconds']:.0f} s"
        + (", interrupted" if report["interrupted"] else ""),
        f"{machine['cpu']}, {machine['cores']} cores, {pinned}, {machine['system']}"
        + (f", load {load[0]:.1f} before" if load else ""),
        ", ".join(f"{name} {version}" for name, version in versions.items() if version),
    ]
    settings = report["settings"]
    if report["results"]:
        lines.append(f"{settings['runs']} interleaved rounds, samples of about {settings['sample_seconds']:g} s")
    if report["growth"]:
        lines.append(f"growth: {settings['growth_runs']} interleaved rounds")
    for names, group in groupby(sorted(report["agreed"].items(), key=_agreement), _agreement):
        if names:
            lines.append(f"{names}: {', '.join(stack for stack, _ in group)}")
    return lines


def _agreement(item: tuple[str, dict[str, Any]]) -> str:
    return " ".join(str(what) for what in item[1].values() if what)


def size(value: int) -> str:
    """1, 10, 1,000 and 10k; 32 Ki, 1 Mi."""
    for power, prefix in ((30, "Gi"), (20, "Mi"), (10, "Ki")):
        if value >= 1 << power and value % (1 << power) == 0:
            return f"{value >> power} {prefix}"
    return f"{value:,}"


def _curve(curve: dict[str, Any]) -> tuple[str, Sequence[str], list[tuple[str, ...]]]:
    unit = "each more" if curve["by_step"] else "each"
    told = f"bends beyond {curve['tolerance']:g}x: {unit} at {size(curve['sizes'][-1])} to {unit} at {size(curve['middle'])}"
    heads = ("stack", *map(size, curve["sizes"]), "bend", "its range", "")
    rows = []
    for line in curve["lines"]:
        found = {point["size"]: number(point["median"]) for point in line["points"]}
        bend = line["bend"]
        spread = ("", "") if bend is None else (f"{bend['median']:.2f}x", f"{bend['low']:.2f}x to {bend['high']:.2f}x")
        rows.append((line["title"], *(found.get(each, "") for each in curve["sizes"]), *spread, line["verdict"]))
    return f"{curve['name']}: {curve['title']}, {curve['unit']}, by {curve['of']}; {told}", heads, rows


def _tables(report: dict[str, Any]) -> list[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    made: list[tuple[str, Sequence[str], list[tuple[str, ...]]]] = []
    for (metric, words), group in groupby(report["results"], lambda result: (result["metric"], result["title"])):
        made.append((f"{metric}: {words}", HEADS, [_row(result) for result in group]))
    if report["goals"]:
        title = "goals; raw TCP: the same ratio of a stack that does nothing"
        made.append((title, GOAL_HEADS, [_goal(goal) for goal in report["goals"]]))
    if report["breakdown"]:
        made.append(("where the time goes", WHERE_HEADS, [_where(row) for row in report["breakdown"]]))
    made += [_curve(curve) for curve in report["growth"]]
    return made


def fitting(heads: Sequence[str], rows: Sequence[tuple[str, ...]], width: int) -> list[int]:
    """The columns that there is room for, two spaces apart."""
    columns = list(range(len(heads)))
    for dispensable in DISPENSABLE:
        needed = sum(max(len(row[column]) for row in (tuple(heads), *rows)) + 2 for column in columns)
        if needed > width and dispensable in heads:
            columns.remove(heads.index(dispensable))
    return columns


def _plain(title: str, heads: Sequence[str], rows: list[tuple[str, ...]], out: IO[str]) -> None:
    widths = [max(len(row[column]) for row in (tuple(heads), *rows)) for column in range(len(heads))]
    print(f"\n{title}", file=out)
    for row in (tuple(heads), *rows):
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip(), file=out)


def _rich(title: str, heads: Sequence[str], rows: list[tuple[str, ...]], out: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out)
    columns = fitting(heads, rows, console.width)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for column in columns:
        table.add_column(heads[column], justify="left" if column == 0 else "right", no_wrap=True)
    for row in rows:
        style = {"missed": "red", "met": "green", "aim met": "green"}.get(row[-1].partition(" by ")[0], "")
        ours = "bold" if row[0].startswith("minitls") else ""
        table.add_row(*(Text(row[column], style if column == len(row) - 1 else ours) for column in columns))
    console.print()
    console.print(table)


def show(report: dict[str, Any], out: IO[str] | None = None) -> None:
    """Print it all.  A file or a pipe gets plain columns."""
    out = out or sys.stdout
    for line in heading(report):
        print(line, file=out)
    draw = _rich if out.isatty() and importlib.util.find_spec("rich") else _plain
    for title, heads, rows in _tables(report):
        draw(title, heads, rows, out)
    for failure in report["failed"]:
        print(f"failed: {failure}", file=out)
    for stack, why in report["left_out"].items():
        print(f"left out: {stack}: {why}", file=out)
