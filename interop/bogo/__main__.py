"""BoringSSL's conformance suite against minitls.

The suite's runner plays a peer that lies, in thousands of cases, and starts a shim for each; see interop/bogo/README.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from interop.bogo import runner, summary

UNAVAILABLE = 3
"""The exit status if there is no runner to be had."""


@contextmanager
def progress(expected: int) -> Iterator[Callable[[str, str, str], None]]:
    """Tells of failures as they come, and on a terminal how far the run is."""
    if sys.stderr.isatty() and importlib.util.find_spec("rich"):
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task, failed = bar.add_task("", total=expected), 0

            def drawn(name: str, verdict: str, error: str) -> None:
                nonlocal failed
                if verdict == "FAILED":
                    failed += 1
                    bar.console.print(f"[red]FAILED[/] {escape(name)}\n{escape(error)}\n", highlight=False)
                bar.update(task, advance=1, description=f"{failed} failed" if failed else "")

            yield drawn
    else:

        def said(name: str, verdict: str, error: str) -> None:
            if verdict == "FAILED":
                print(f"FAILED {name}\n{error}\n", file=sys.stderr, flush=True)

        yield said


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interop.bogo", description=__doc__)
    parser.add_argument("--test", default="", metavar="'A*;B*'", help="only the cases that one of these patterns matches")
    parser.add_argument("--list", action="store_true", help="which cases there are, each with its family, and why it is disabled")
    parser.add_argument("--workers", type=int, metavar="N", help="cases at once (as many as there are processors)")
    parser.add_argument("--idle", type=float, default=15.0, metavar="SECONDS", help="how long the runner waits for the shim (15)")
    parser.add_argument("--asyncio", action="store_true", help="drive minitls.aio rather than the engine")
    parser.add_argument("--plain", action="store_true", help="start a Python for each case rather than fork one")
    parser.add_argument("--include-disabled", action="store_true", help="what config.json disables, too")
    parser.add_argument("--debug", action="store_true", help="what the runner says, with a dump of every byte: for one --test")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every case's result into a file")
    parser.add_argument("--markdown", action="store_true", help="the summary as the README has it")
    cache = runner.cache_folder()
    parser.add_argument("--cache", type=Path, default=cache, help=f"where the runner is kept ({cache})")
    parser.add_argument("--runner", type=Path, metavar="PROGRAM", help="the runner, already compiled, rather than Go's proxy's")
    return parser.parse_args(given)


def whole(chosen: argparse.Namespace) -> int:
    program = chosen.runner.resolve() if chosen.runner else runner.obtain(chosen.cache, tell)
    config = json.loads(runner.CONFIG.read_text())
    disabled = config["DisabledTests"]
    names = runner.names(program, chosen.cache)
    wanted = (
        [name for name in names if any(summary.matches(pattern, name) for pattern in chosen.test.split(";"))]
        if chosen.test
        else names
    )
    if chosen.list:
        for name in wanted:
            why = summary.reason(disabled, name)
            print(f"{name}  [{summary.family(name)}]" + (f"  {why}" if why else ""))
        return 0
    running = wanted if chosen.include_disabled else [name for name in wanted if summary.reason(disabled, name) is None]
    if not running:
        tell("no case is left to run: --list says which there are, --include-disabled runs what config.json disables")
        return 1
    options = runner.Options(
        tests=chosen.test,
        workers=chosen.workers,
        idle=chosen.idle,
        asyncio=chosen.asyncio,
        plain=chosen.plain,
        include_disabled=chosen.include_disabled,
        debug=chosen.debug,
    )
    started = time.monotonic()
    with progress(len(running)) as case:
        results = runner.run(program, chosen.cache, options, case)
    seconds = time.monotonic() - started
    cases = summary.outcomes(names, results, disabled, chosen.test)
    if missing := set(running) - results.keys():
        raise runner.Broken(f"the runner says nothing of {len(missing):,} cases, {min(missing)} among them")
    counts = summary.count(cases)
    if chosen.json:
        told = {"revision": runner.VERSION, "seconds": round(seconds, 1), "families": counts, "cases": summary.as_data(cases)}
        chosen.json.write_text(json.dumps(told, indent=1))
    print(summary.markdown(counts) if chosen.markdown else summary.plain(counts), end="")
    tell(f"{len(results):,} cases in {seconds:.0f} s")
    total = summary.total(counts)
    complaints = [*stale(names, disabled), *([] if chosen.test else too_few(total[summary.PASSED], by_asyncio=chosen.asyncio))]
    for complaint in complaints:
        tell(complaint)
    return 1 if complaints or total[summary.FAILED] else 0


def stale(names: Sequence[str], disabled: Iterable[str]) -> Iterator[str]:
    for pattern in disabled:
        if not any(summary.matches(pattern, name) for name in names):
            yield f"config.json disables {pattern!r}, which no case matches"


def too_few(passed: int, *, by_asyncio: bool) -> Iterator[str]:
    """Of a run of everything."""
    least = runner.ASYNCIO_PASSES if by_asyncio else runner.PASSES
    if passed < least:
        yield (
            f"{passed:,} cases passed, which are fewer than the {least:,} of runner.py: --json tells what became of the others; "
            "mend what slid into another column, or write there why it should, and the new number in runner.py and README.md"
        )


def main(given: Sequence[str] | None = None) -> int:
    chosen = arguments(given)
    try:
        return whole(chosen)
    except runner.Unavailable as error:
        tell(f"BoGo not run: {error}")
        return UNAVAILABLE
    except runner.Broken as error:
        tell(f"BoGo: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
