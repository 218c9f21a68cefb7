"""A run as data: what was measured, by what, on what, and every sample.  The table and the chart are drawn from this alone."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import ssl
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interop.bench.breakdown import breakdown
from interop.bench.goals import evaluate
from interop.bench.growth import make as make_growth
from interop.bench.pair import ROOT
from interop.bench.rounds import Outcome, Plan, Result
from interop.bench.stats import Spread

SCHEMA = 2
PACKAGES = ("cryptography", "uvloop", "tlslite-ng", "rich")


def _said_by(*command: str) -> str | None:
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def versions() -> dict[str, str | None]:
    """Of all that takes part; None for what is not there."""
    from cryptography.hazmat.backends.openssl import backend

    found: dict[str, str | None] = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "built": "with PGO" if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "") else "without PGO",
        "ssl": ssl.OPENSSL_VERSION,
        "cryptography's OpenSSL": backend.openssl_version_text(),
        "go": _said_by("go", "version"),
        "libc": " ".join(platform.libc_ver()),
        "minitls commit": _said_by("git", "describe", "--always", "--dirty"),
    }
    import minitls

    found["minitls"] = minitls.__version__
    for package in PACKAGES:
        found[package] = None
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> tuple[float, float, float] | None:
    return os.getloadavg() if hasattr(os, "getloadavg") else None


def machine(cores: tuple[int, int] | None) -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "pinned": cores is not None,
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def _ratios(result: Result, outcome: Outcome, goals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """To the stack's own reference, and to those that a goal names."""
    metric, stack = result.metric.name, result.stack
    named = [goal["reference"] for goal in goals if (goal["metric"], goal["stack"]) == (metric, stack.name) and goal["reference"]]
    made = {}
    for reference in dict.fromkeys((stack.reference, *named)):
        ratios = outcome.ratio(metric, stack.name, reference) if reference != stack.name else []
        if ratios:
            spread = Spread.of(ratios)
            made[reference] = {"median": spread.median, "low": spread.low, "high": spread.high, "samples": ratios}
    return made


def _result(result: Result, outcome: Outcome, goals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    metric, spread = result.metric, result.spread
    return {
        "metric": metric.name,
        "title": metric.title,
        "stack": result.stack.name,
        "stack_title": result.stack.title,
        "reference": result.stack.reference,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "median": spread.median,
        "low": spread.low,
        "high": spread.high,
        "cpu_unit": metric.cpu_unit,
        "client_cpu": result.cpu("client"),
        "server_cpu": result.cpu("server"),
        "ratios": _ratios(result, outcome, goals),
        "samples": [{"round": number, **sample} for number, sample in sorted(result.samples.items())],
    }


def make(
    outcome: Outcome,
    plan: Plan,
    cores: tuple[int, int] | None,
    arguments: Sequence[str],
    started: datetime.datetime,
    load_before: tuple[float, float, float] | None,
) -> dict[str, Any]:
    """The report, ready for JSON."""
    goals = evaluate(outcome)
    return {
        "schema": SCHEMA,
        "command": ["python", "-m", "interop.bench", *arguments],
        "started": started.isoformat(timespec="seconds"),
        "seconds": (datetime.datetime.now(datetime.UTC) - started).total_seconds(),
        "interrupted": outcome.interrupted or outcome.growth.interrupted,
        "settings": {"runs": plan.runs, "sample_seconds": plan.seconds, "growth_runs": outcome.growth.runs},
        "machine": {**machine(cores), "load_before": load_before, "load_after": load()},
        "versions": versions(),
        "agreed": outcome.agreed,
        "units": outcome.units,
        "results": [_result(result, outcome, goals) for result in outcome.results.values()],
        "goals": goals,
        "breakdown": breakdown(list(outcome.results.values()), outcome.units),
        "growth": make_growth(outcome.growth),
        "failed": [*outcome.failed, *outcome.growth.failed],
        "left_out": outcome.left_out | dict(outcome.growth.left_out),
    }
