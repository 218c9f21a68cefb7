"""How the harness talks to the processes: JSON lines on their standard input and output; and what they say of themselves."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def commands() -> Iterator[dict[str, Any]]:
    """What the harness says, until it has gone."""
    for line in sys.stdin:
        yield json.loads(line)


def serve_commands(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Do as told, to the end of the input.  Errors are answers, too."""
    for command in commands():
        try:
            say(answer(command))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})


def cpu_times() -> tuple[float, float]:
    """This process's CPU seconds: all, and those of them that the kernel had."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_stime


def resident_bytes() -> int:
    """This process's memory, where the system tells (Linux), else its highest so far."""
    gc.collect()
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def allow_many_files() -> None:
    """As many open connections as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
