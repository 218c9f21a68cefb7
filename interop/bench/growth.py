"""How cost grows: with the number of connections, the size of a transfer, the length of a chain, the number of credentials.

A curve is straight if a unit of work costs at its largest size no more than ``tolerance`` times what it costs at its middle one
(the smallest says more of fixed costs).  The kernel, the allocator and the caches bend everybody's, so that raw TCP and ssl stand
beside us, in the same rounds: the verdict on a curve says whether theirs bends as much.

- connections: one process on each side, which open 1, 10, ... 10,000 in turn.  At each size: the growth of either side's RSS by
  connection, while all are idle; 64 KiB from the server for each of them in turn, at most BUSY at the same time, in sum, and the
  CPU time that it took; and round trips of 64 bytes, one at a time, of the connections in turn, of which the slowest of 100 is
  told.
- transfer: downloads of 1 KiB to 1 GiB on one connection, one after the other.
- chain: the client's CPU of a full handshake, in memory, with 1 to 5 certificates in the server's chain.  Each certificate counts
  as much as those before it: the unit is one certificate more.
- credentials: the server's CPU of a full handshake, in memory, with 1 to 1,000 credentials of which the client's SNI chooses
  one: as ``ServerConfig(credentials=...)`` and as ``CredentialStore``; for ssl by ``sni_callback`` from a dictionary.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interop.bench.pair import Pair, StackEnded, StackFailed
from interop.bench.scale import CHAINS, HOSTS, chain_folder
from interop.bench.stacks import STACKS as ALL_STACKS
from interop.bench.stacks import Stack
from interop.bench.stats import Spread

KIB = 1024
PIECE = 64 * KIB
BUSY = 100
"""Connections that get data at the same time.  More of them would measure how much of what is under way the caches hold."""
SPARE_FILES = 100
"""File descriptors that a process has for other things than connections."""


@dataclass(frozen=True)
class Curve:
    """``bare``: raw TCP has it, too.  ``by_step``: what counts is what each unit adds, not the sum by the unit."""

    name: str
    title: str
    unit: str
    of: str
    sizes: tuple[int, ...]
    middle: int
    tolerance: float = 1.25
    bare: bool = False
    higher_is_better: bool = False
    by_step: bool = False

    @property
    def experiment(self) -> str:
        """What measures it, and maybe others with it."""
        return self.name.partition("-")[0]

    def bend(self, values: dict[int, float]) -> float | None:
        """What a unit costs at the largest size, to what it costs at the middle one; None where one of them is missing."""
        first, largest = self.sizes[0], self.sizes[-1]
        if not values.keys() >= {first, self.middle, largest}:
            return None
        if self.by_step:
            before = (values[self.middle] - values[first]) / (self.middle - first)
            after = (values[largest] - values[self.middle]) / (largest - self.middle)
            return after / before if before > 0 else None
        costs = (values[self.middle], values[largest]) if self.higher_is_better else (values[largest], values[self.middle])
        return costs[0] / costs[1] if costs[1] > 0 else None


_CROWD = (1, 10, 100, 1000, 10_000)

CURVES = {
    curve.name: curve
    for curve in (
        Curve("connections-rss-server", "RSS per idle connection, server", "KiB", "connections", _CROWD, 1000, bare=True),
        Curve("connections-rss-client", "RSS per idle connection, client", "KiB", "connections", _CROWD, 1000, bare=True),
        Curve(
            "connections-throughput",
            "64 KiB to each in turn, in sum",
            "MB/s",
            "connections",
            _CROWD,
            100,
            tolerance=1.5,
            bare=True,
            higher_is_better=True,
        ),
        Curve("connections-cpu", "CPU of both sides for each 64 KiB", "us", "connections", _CROWD, 100, tolerance=1.5, bare=True),
        Curve("connections-p99", "round trips of 64 B in turn, p99", "us", "connections", _CROWD, 100, tolerance=1.5, bare=True),
        Curve(
            "transfer",
            "download of so many bytes",
            "MB/s",
            "bytes",
            (KIB, 32 * KIB, KIB**2, 32 * KIB**2, KIB**3),
            KIB**2,
            bare=True,
            higher_is_better=True,
        ),
        Curve("chain", "client's CPU, full handshake, x25519", "us", "certificates", CHAINS, 3, tolerance=1.5, by_step=True),
        Curve("credentials", "server's CPU, full handshake, by SNI", "us", "credentials", HOSTS, 10),
    )
}
RUNS = 3
STACKS = ("minitls", "ssl", "tcp")
TRANSFERS = {KIB: 300, 32 * KIB: 300, KIB**2: 64, 32 * KIB**2: 4, KIB**3: 1}
HANDSHAKES = 60
MESSAGES = 2000

Value = tuple[str, str, int, float]
"""Of which curve, which line (a stack, or one of its ways), at which size."""


@dataclass
class Growth:
    """What came out: by curve and line the samples of each size; and what could not be measured, and why."""

    samples: dict[tuple[str, str], dict[int, list[float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    runs: int = 0
    interrupted: bool = False

    def add(self, curve: str, line: str, size: int, value: float) -> None:
        self.samples.setdefault((curve, line), {}).setdefault(size, []).append(value)


class Measuring:
    """``start``: starts a stack's processes; ``told``: called before each step, with what comes."""

    def __init__(self, start: Callable[[Stack], Pair], told: Callable[[str], None]) -> None:
        self._start = start
        self._told = told
        self._pairs: dict[str, Pair] = {}
        self.growth = Growth()

    def run(self, curves: Sequence[Curve], stacks: Sequence[Stack], runs: int) -> Growth:
        """Each experiment in rounds, in each round once by every stack.  Ctrl-C ends it early, with what there is."""
        wanted = {curve.name for curve in curves}
        self.growth.runs = runs
        try:
            for experiment, able in experiments(curves, stacks):
                measure: Callable[[Stack], Iterator[Value]] = getattr(self, f"_{experiment}")
                for number in range(runs):
                    for stack in able:
                        self._told(f"{experiment}  {stack.name}  round {number + 1} of {runs}")
                        with self._noting(stack, experiment):
                            for curve, line, size, value in measure(stack):
                                if curve in wanted:
                                    self.growth.add(curve, line, size, value)
        except KeyboardInterrupt:
            self.growth.interrupted = True
        finally:
            for pair in self._pairs.values():
                pair.end()
        return self.growth

    @contextlib.contextmanager
    def _noting(self, stack: Stack, what: str) -> Iterator[None]:
        try:
            yield
        except (StackFailed, RuntimeError) as error:
            self.growth.failed.append(f"{what}/{stack.name}: {error}")
            if isinstance(error, StackEnded) and stack.name in self._pairs:
                self._pairs.pop(stack.name).end()

    def _pair(self, stack: Stack) -> Pair:
        """Processes that may have done something before."""
        if stack.name not in self._pairs:
            self._pairs[stack.name] = self._start(stack)
        return self._pairs[stack.name]

    def _connections(self, stack: Stack) -> Iterator[Value]:
        """In processes of their own, that have done nothing before."""
        pair = self._start(stack)
        try:
            pair.measure("grow", count=10)
            pair.alone("leave")
            empty = pair.resident()
            each = 0.0
            for size in _CROWD:
                if (why := no_files_for(size) or no_memory_for(size, each)) is not None:
                    self.growth.left_out[f"{stack.name}, connections"] = why
                    return
                pair.measure("grow", count=size)
                grown = [(now - then) / size for now, then in zip(pair.resident(), empty, strict=True)]
                yield "connections-rss-server", stack.name, size, grown[0] / KIB
                yield "connections-rss-client", stack.name, size, grown[1] / KIB
                each = sum(grown)
                loaded = pair.measure("all_download", piece=PIECE, count=max(1, 1000 // size), at_once=BUSY)
                yield "connections-throughput", stack.name, size, loaded["count"] / loaded["seconds"] / 1e6
                cpu = loaded["cpu"] + loaded["server_cpu"]
                yield "connections-cpu", stack.name, size, cpu / loaded["count"] * PIECE * 1e6
                yield "connections-p99", stack.name, size, pair.measure("messages", count=MESSAGES)["p99"]
        finally:
            pair.end()

    def _transfer(self, stack: Stack) -> Iterator[Value]:
        pair = self._pair(stack)
        for size, count in TRANSFERS.items():
            done = pair.measure("transfers", size=size, count=count)
            yield "transfer", stack.name, size, done["count"] / done["seconds"] / 1e6

    def _chain(self, stack: Stack) -> Iterator[Value]:
        pair = self._pair(stack)
        for length in CHAINS:
            how = {"variant": "x25519", "visit": "fresh", "count": HANDSHAKES, "within": chain_folder(length)}
            yield "chain", stack.name, length, pair.alone("memory", **how)["value"]

    def _credentials(self, stack: Stack) -> Iterator[Value]:
        pair = self._pair(stack)
        for size in HOSTS:
            for way in ("", *(["CredentialStore"] if stack.kind == "minitls" else [])):
                value = pair.alone("credentials", size=size, way=way, count=HANDSHAKES)["value"]
                yield "credentials", f"{stack.name}, {way}" if way else stack.name, size, value


def experiments(curves: Sequence[Curve], stacks: Sequence[Stack]) -> list[tuple[str, list[Stack]]]:
    """What has to be done for these curves, and by whom."""
    bare = {curve.experiment: curve.bare for curve in curves}
    return [(name, [stack for stack in stacks if stack.kind != "tcp" or with_tcp]) for name, with_tcp in bare.items()]


def growth_steps(curves: Sequence[Curve], stacks: Sequence[Stack], runs: int) -> int:
    return sum(len(able) for _, able in experiments(curves, stacks)) * runs


def no_files_for(size: int) -> str | None:
    """Why there cannot be so many connections in a process, if there cannot."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= size + SPARE_FILES:
        return None
    return f"{size:,} connections need {size + SPARE_FILES:,} open files in a process, and the hard limit is {hard:,} (ulimit -Hn)"


def no_memory_for(size: int, each: float) -> str | None:
    """``each``: bytes of a connection at both sides, as far as one knows."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * KIB for line in lines if line.startswith("MemAvailable"))
        if 1.5 * size * each > free and size > BUSY:
            return f"{size:,} connections would take {size * each / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
    return None


def _title(line: str) -> str:
    stack, _, way = line.partition(", ")
    return ALL_STACKS[stack].title + (f", {way}" if way else "")


def _bends(curve: Curve, samples: dict[int, list[float]], runs: int) -> list[float]:
    """By round: sizes of the same one."""
    made = []
    for number in range(runs):
        values = {size: each[number] for size, each in samples.items() if number < len(each)}
        if (bend := curve.bend(values)) is not None:
            made.append(bend)
    return made


def verdict(curve: Curve, bend: float, peers: dict[str, float]) -> str:
    """``peers``: whose curve of the same name bends how much."""
    if bend <= curve.tolerance:
        return "straight"
    with_us = [name for name, theirs in peers.items() if theirs * curve.tolerance >= bend]
    return f"bends, as {' and '.join(with_us)}" if with_us else "bends"


def make(growth: Growth) -> list[dict[str, Any]]:
    """The curves for the report, each with its lines, and what is to be said of them."""
    made = []
    for curve in CURVES.values():
        lines = {line: samples for (name, line), samples in growth.samples.items() if name == curve.name}
        bends = {line: _bends(curve, samples, growth.runs) for line, samples in lines.items()}
        medians = {line: Spread.of(values).median for line, values in bends.items() if values}
        told = []
        for line, samples in lines.items():
            spread = Spread.of(bends[line]) if bends[line] else None
            peers = {name: medians[name] for name in STACKS[1:] if name in medians and name != line}
            points = [
                {"size": size, "median": of.median, "low": of.low, "high": of.high, "samples": samples[size]}
                for size in sorted(samples)
                for of in (Spread.of(samples[size]),)
            ]
            told.append(
                {
                    "line": line,
                    "title": _title(line),
                    "points": points,
                    "bend": None if spread is None else {"median": spread.median, "low": spread.low, "high": spread.high},
                    "verdict": "not known" if spread is None else verdict(curve, spread.median, peers),
                }
            )
        if told:
            about = ("name", "title", "unit", "of", "middle", "tolerance", "higher_is_better", "by_step")
            made.append({**{name: getattr(curve, name) for name in about}, "sizes": list(curve.sizes), "lines": told})
    return made
