"""``python -m interop.bench``: see the package."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from interop.bench import __doc__ as theory
from interop.bench import report
from interop.bench.chart import draw
from interop.bench.growth import CURVES, Curve, Measuring, growth_steps
from interop.bench.growth import RUNS as GROWTH_RUNS
from interop.bench.growth import STACKS as GROWTH_STACKS
from interop.bench.identity import write_identity
from interop.bench.markdown import markdown
from interop.bench.metrics import METRICS, Metric
from interop.bench.pair import two_cores
from interop.bench.rounds import Harness, Plan, starter
from interop.bench.scale import write_scale
from interop.bench.stacks import STACKS, Stack
from interop.bench.table import show

SHORT = 3, 0.15
FULL = 5, 0.3
"""Rounds, and seconds of a sample."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("python -m interop.bench", description=(theory or "").partition("\n")[0])
    made.add_argument("--full", action="store_true", help=f"every metric, {FULL[0]} rounds of longer samples, and --growth")
    made.add_argument("--growth", action="store_true", help="how cost grows with connections, bytes, certificates, credentials")
    made.add_argument(
        "--only",
        action="append",
        metavar="METRIC[/STACK[,STACK...]]",
        help="just these, or these curves of --growth; * and ? as in file names; may be given again",
    )
    made.add_argument(
        "--runs", type=int, metavar="N", help=f"rounds; {SHORT[0]}, {FULL[0]} in a full pass; of --growth {GROWTH_RUNS}"
    )
    made.add_argument("--seconds", type=float, metavar="S", help=f"a sample's length; {SHORT[1]}, or {FULL[1]} in a full pass")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything, with all samples")
    made.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw it")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables of the README")
    made.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: show what --json wrote")
    made.add_argument("--list", action="store_true", help="say which metrics, curves and stacks there are")
    return made


def chosen(only: Sequence[str] | None, full: bool, available: Sequence[Stack]) -> list[tuple[Metric, list[Stack]]]:
    """What is to be measured by whom: ``only`` may name metrics that the short pass leaves out."""
    patterns = [
        (metric, stacks.split(",") if stacks else ["*"]) for metric, _, stacks in (each.partition("/") for each in only or [])
    ]
    work = []
    for metric in METRICS.values():
        wanted = [stacks for pattern, stacks in patterns if fnmatchcase(metric.name, pattern)]
        if not patterns and (full or metric.short):
            wanted = [["*"]]
        names = [name for stacks in wanted for name in stacks]
        able = [stack for stack in available if stack.kind in metric.kinds and (stack.plain or not metric.alone)]
        able = [stack for stack in able if stack.takes_part(metric.task, metric.params.get("variant", "default"))]
        able = [stack for stack in able if any(fnmatchcase(stack.name, name) for name in names)]
        if able:
            work.append((metric, able))
    return work


def chosen_curves(only: Sequence[str] | None, wanted: bool, available: Sequence[Stack]) -> tuple[list[Curve], list[Stack]]:
    """The same of the curves, which are of few stacks."""
    stacks = [stack for stack in available if stack.name in GROWTH_STACKS]
    if not only:
        return (list(CURVES.values()), stacks) if wanted else ([], [])
    patterns = [(curve, names or "*") for curve, _, names in (each.partition("/") for each in only)]
    curves = [curve for curve in CURVES.values() if any(fnmatchcase(curve.name, pattern) for pattern, _ in patterns)]
    names = [name for pattern, names in patterns for name in names.split(",") if any(fnmatchcase(c.name, pattern) for c in curves)]
    return curves, [stack for stack in stacks if any(fnmatchcase(stack.name, name) for name in names)]


class Progress:
    """One line that is written over, where somebody is looking."""

    def __init__(self, steps: int) -> None:
        self._steps, self._done = steps, -1
        self._seen = sys.stderr.isatty()

    def __call__(self, what: str) -> None:
        if not what.startswith("starting"):
            self._done += 1
        if self._seen:
            sys.stderr.write(f"\r\x1b[K[{max(self._done, 0)}/{self._steps}] {what}")
            sys.stderr.flush()

    def end(self) -> None:
        if self._seen:
            sys.stderr.write("\r\x1b[K")


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    missing = {stack.name: stack.missing() for stack in STACKS.values()}
    if options.list:
        listed(missing)
        return 0
    if options.read:
        write(json.loads(options.read.read_text()), options)
        return 0
    runs, seconds = FULL if options.full else SHORT
    available = [stack for stack in STACKS.values() if not missing[stack.name]]
    growth_alone = options.growth and not (options.full or options.only)
    work = [] if growth_alone else chosen(options.only, options.full, available)
    curves, crowd = chosen_curves(options.only, options.full or options.growth, available)
    if not work and not curves:
        print("nothing to measure: --list says what there is", file=sys.stderr)
        return 2
    plan, growth_runs = Plan(work, max(1, options.runs or runs), options.seconds or seconds), max(1, options.runs or GROWTH_RUNS)
    started, load, cores = datetime.datetime.now(datetime.UTC), report.load(), two_cores()
    told = Progress(plan.steps + growth_steps(curves, crowd, growth_runs))
    with tempfile.TemporaryDirectory(prefix="minitls-bench-") as name:
        folder = Path(name)
        write_identity(folder)
        start = starter(folder, cores)
        outcome = Harness(start, told).run(plan)
        if curves and not outcome.interrupted:
            write_scale(folder, {curve.experiment for curve in curves})
            outcome.growth = Measuring(start, told).run(curves, crowd, growth_runs)
    told.end()
    asked_for = [name for each in options.only or [] for name in each.partition("/")[2].split(",")]
    if work:
        outcome.left_out = {name: why for name, why in missing.items() if why and (not options.only or name in asked_for)}
    write(report.make(outcome, plan, cores, arguments, started, load), options)
    if outcome.interrupted or outcome.growth.interrupted:
        return 130
    return 1 if outcome.failed or outcome.growth.failed else 0


def listed(missing: Mapping[str, str | None]) -> None:
    for metric in METRICS.values():
        print(f"{metric.name:<26}{'short   ' if metric.short else '        '}{metric.title}, {metric.unit}")
    for curve in CURVES.values():
        sizes = f"{curve.sizes[0]:,} to {curve.sizes[-1]:,} {curve.of}"
        print(f"{curve.name:<26}growth  {curve.title}, {curve.unit}: {sizes}")
    for stack in STACKS.values():
        print(f"{stack.name:<26}{stack.title}" + (f" (not here: {missing[stack.name]})" if missing[stack.name] else ""))


def write(made: dict[str, Any], options: argparse.Namespace) -> None:
    """Show a report, and write the files that are asked for."""
    show(made)
    if options.json:
        options.json.write_text(json.dumps(made, indent=1) + "\n")
    if options.chart:
        options.chart.write_text(draw(made))
    if options.markdown:
        options.markdown.write_text(markdown(made))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
