"""``python -m interop.bench``: see the package."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from interop.bench import __doc__ as theory
from interop.bench import report
from interop.bench.chart import draw
from interop.bench.identity import write_identity
from interop.bench.metrics import METRICS, Metric
from interop.bench.pair import two_cores
from interop.bench.rounds import Harness, Plan, starter
from interop.bench.stacks import STACKS, Stack
from interop.bench.table import show

SHORT = 3, 0.15
FULL = 7, 1.0
"""Rounds, and seconds of a sample."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("python -m interop.bench", description=(theory or "").partition("\n")[0])
    made.add_argument("--full", action="store_true", help=f"every metric, {FULL[0]} rounds of longer samples")
    made.add_argument(
        "--only",
        action="append",
        metavar="METRIC[/STACK[,STACK...]]",
        help="just these; * and ? as in file names; may be given again",
    )
    made.add_argument("--runs", type=int, metavar="N", help=f"rounds; {SHORT[0]}, or {FULL[0]} in a full pass")
    made.add_argument("--seconds", type=float, metavar="S", help=f"a sample's length; {SHORT[1]}, or {FULL[1]} in a full pass")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything, with all samples")
    made.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw it")
    made.add_argument("--list", action="store_true", help="say which metrics and stacks there are")
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
        able = [stack for stack in able if any(fnmatchcase(stack.name, name) for name in names)]
        if able:
            work.append((metric, able))
    return work


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
        for metric in METRICS.values():
            print(f"{metric.name:<26}{'short  ' if metric.short else '       '}{metric.title}, {metric.unit}")
        for stack in STACKS.values():
            print(f"{stack.name:<26}{stack.title}" + (f" (not here: {missing[stack.name]})" if missing[stack.name] else ""))
        return 0
    runs, seconds = FULL if options.full else SHORT
    work = chosen(options.only, options.full, [stack for stack in STACKS.values() if not missing[stack.name]])
    if not work:
        print("nothing to measure: --list says what there is", file=sys.stderr)
        return 2
    plan = Plan(work, max(1, options.runs or runs), options.seconds or seconds)
    started, load, cores = datetime.datetime.now(datetime.UTC), report.load(), two_cores()
    told = Progress(plan.steps)
    with tempfile.TemporaryDirectory(prefix="minitls-bench-") as folder:
        write_identity(Path(folder))
        outcome = Harness(starter(Path(folder), cores), told).run(plan)
    told.end()
    asked_for = [name for each in options.only or [] for name in each.partition("/")[2].split(",")]
    outcome.left_out = {name: why for name, why in missing.items() if why and (not options.only or name in asked_for)}
    made = report.make(outcome, plan, cores, arguments, started, load)
    show(made)
    if options.json:
        options.json.write_text(json.dumps(made, indent=1) + "\n")
    if options.chart:
        options.chart.write_text(draw(made))
    if outcome.interrupted:
        return 130
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
