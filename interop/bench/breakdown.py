"""Where the time goes: the kernel, cryptography, and the rest, which is the interpreter's and that of all else in the process.

For each of the main metrics, of both processes' CPU time per piece of work:

- kernel: the system time that getrusage tells;
- cryptography: how many operations a piece of work takes, times what one costs (``units``), and no more than the user time.  A
  byte of bulk takes 1/16384 of a full record (1/1024 of a 1 KiB one, where ssl sends each small write as a record: we gather
  them), sealed by who sends and opened by who receives.  A round trip is a small record sealed and one opened on each side.
  A handshake is one key exchange on each side, HMACS of the key schedule, and RECORDS small ones sealed and opened; a full one
  is a signature on the server's side, and on the client's the checks of three: of the CertificateVerify, the leaf and the
  intermediate, or of the first alone where the chain is known, which only minitls remembers;
- the rest: what is left of the user time.

``busy`` is CPU time to wall time: below 1 that process waited, for the other one or for the kernel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from interop.bench.metrics import Metric
from interop.bench.rounds import Result
from interop.bench.stacks import Stack
from interop.bench.units import FULL, SIZES

HMACS = {"fresh": 21, "known": 21, "resumed": 26}
"""Counted in ours; RFC 8446 section 7.1 asks everybody for as many, give or take a ticket."""
RECORDS = 4
SIGNATURES_CHECKED = {"fresh": 3, "known": 3, "resumed": 0}
SIDES = ("client", "server")
NOTHING = defaultdict[str, float](float)
"""Raw TCP's."""


def cryptography(metric: Metric, stack: Stack, side: str, unit: Mapping[str, float]) -> float:
    """Microseconds of a byte, a round trip or a handshake."""
    if metric.task == "bulk":
        kib = metric.params["piece"] <= SIZES["kib"] and stack.kind == "ssl" and not stack.ours
        sends = (side == "client") == (metric.params["operation"] == "upload")
        return unit[f"{'seal' if sends else 'open'}_{'kib' if kib else 'full'}"] / (SIZES["kib"] if kib else FULL)
    small = unit["seal_small"] + unit["open_small"]
    if metric.task == "roundtrips":
        return small
    visit = metric.params["visit"]
    common = HMACS[visit] * unit["mac"] + RECORDS * small
    if side == "server":
        return common + unit["answer"] + (unit["sign"] if visit != "resumed" else 0.0)
    checked = 1 if visit == "known" and stack.ours else SIGNATURES_CHECKED[visit]
    return common + unit["share"] + checked * unit["verify"]


def _side(result: Result, side: str, unit: Mapping[str, float] | None) -> dict[str, Any]:
    """In ``metric.cpu_unit``, of all rounds together: the kernel shares time out by the tick, which a short sample has few of."""
    scale = result.metric.cpu_scale
    count, seconds, spent, system = (
        sum(sample[name] for sample in result.samples.values()) for name in ("count", "seconds", f"{side}_cpu", f"{side}_system")
    )
    cpu, kernel = spent / count * scale, system / count * scale
    crypto = None
    if unit is not None:
        crypto = max(0.0, min(cpu - kernel, cryptography(result.metric, result.stack, side, unit) * 1e-6 * scale))
    return {
        "side": side,
        "cpu": cpu,
        "kernel": kernel,
        "cryptography": crypto,
        "rest": None if crypto is None else cpu - kernel - crypto,
        "busy": spent / seconds,
    }


def breakdown(results: Sequence[Result], units: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Both sides of each main metric and stack; ``cryptography`` and ``rest`` are None where nobody knows what operations cost."""
    made = []
    for result in results:
        if result.metric.main:
            unit = NOTHING if result.stack.kind == "tcp" else units.get(result.stack.name)
            for side in SIDES:
                about = {"metric": result.metric.name, "stack": result.stack.name, "stack_title": result.stack.title}
                made.append({**about, "unit": result.metric.cpu_unit, **_side(result, side, unit)})
    return made
