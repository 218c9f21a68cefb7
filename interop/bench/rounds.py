"""The run: each metric in rounds, each round once by every stack, and every sample kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interop.bench.growth import Growth
from interop.bench.metrics import Metric
from interop.bench.pair import Pair, StackEnded, StackFailed
from interop.bench.stacks import STACKS, Stack
from interop.bench.stats import Spread, paired_ratios

Sample = dict[str, Any]


@dataclass
class Result:
    """One stack's samples of one metric, by round."""

    metric: Metric
    stack: Stack
    samples: dict[int, Sample] = field(default_factory=dict)

    @property
    def values(self) -> dict[int, float]:
        return {number: sample["value"] for number, sample in self.samples.items()}

    @property
    def spread(self) -> Spread:
        return Spread.of(list(self.values.values()))

    def cpu(self, side: str) -> float | None:
        """The median CPU time of "client" or "server" in ``metric.cpu_unit``."""
        used = [
            sample[f"{side}_cpu"] / sample["count"] * self.metric.cpu_scale
            for sample in self.samples.values()
            if f"{side}_cpu" in sample
        ]
        return Spread.of(used).median if used else None


@dataclass
class Plan:
    """Which stacks measure which metrics; ``runs`` rounds with samples of about ``seconds``."""

    work: list[tuple[Metric, list[Stack]]]
    runs: int
    seconds: float

    @property
    def stacks(self) -> list[Stack]:
        return [stack for stack in STACKS.values() if any(stack in stacks for _, stacks in self.work)]

    @property
    def steps(self) -> int:
        return sum(len(stacks) for _, stacks in self.work) * (self.runs + 1)


@dataclass
class Outcome:
    """All that came of a run.  ``units``: what operations cost, by stack; ``growth``: the curves; ``failed``: what went wrong;
    ``left_out``: stacks that are not here, and why.
    """

    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    agreed: dict[str, dict[str, Any]] = field(default_factory=dict)
    units: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    growth: Growth = field(default_factory=Growth)
    interrupted: bool = False

    def ratio(self, metric: str, stack: str, reference: str) -> list[float]:
        """Paired ratios; empty where one of them was not measured."""
        ours, theirs = self.results.get((metric, stack)), self.results.get((metric, reference))
        return paired_ratios(ours.values, theirs.values) if ours and theirs else []


class Harness:
    """``start``: starts a stack's processes; ``told``: called before each step, with what comes."""

    def __init__(self, start: Callable[[Stack], Pair], told: Callable[[str], None]) -> None:
        self._start = start
        self._told = told
        self._pairs: dict[str, Pair] = {}
        self._idled: dict[tuple[str, int], tuple[float, float]] = {}

    def run(self, plan: Plan) -> Outcome:
        """Measure.  Ctrl-C ends it early, with what there is."""
        outcome = Outcome()
        try:
            for stack in plan.stacks:
                self._told(f"starting {stack.name}")
                try:
                    self._pairs[stack.name] = pair = self._start(stack)
                    outcome.agreed[stack.name] = pair.agreed()
                except (StackFailed, RuntimeError) as error:
                    outcome.failed.append(f"{stack.name}: {error}")
            for metric, stacks in plan.work:
                self._metric(metric, stacks, plan, outcome)
            self._measure_units(plan, outcome)
        except KeyboardInterrupt:
            outcome.interrupted = True
        finally:
            for pair in self._pairs.values():
                pair.end()
        outcome.results = {key: result for key, result in outcome.results.items() if result.samples}
        return outcome

    def _measure_units(self, plan: Plan, outcome: Outcome) -> None:
        """Last of all: the blocks that this frees teach malloc to keep large ones, which it had not known in the rounds."""
        for stack in plan.stacks:
            pair, agreed = self._pairs.get(stack.name), outcome.agreed.get(stack.name)
            if pair is None or not agreed or not stack.tells_units:
                continue
            if any(stack in stacks and metric.main for metric, stacks in plan.work):
                try:
                    outcome.units[stack.name] = pair.alone("units", suite=agreed["cipher_suite"], group=agreed["group"])
                except (StackFailed, RuntimeError) as error:
                    outcome.failed.append(f"{stack.name}: {error}")

    def _metric(self, metric: Metric, stacks: list[Stack], plan: Plan, outcome: Outcome) -> None:
        counts: dict[str, int] = {}
        for stack in stacks:
            if stack.name not in self._pairs:
                continue
            with self._noting(metric, stack, "warm-up", outcome):
                counts[stack.name] = self._warm_up(metric, stack, plan.seconds)
                outcome.results[metric.name, stack.name] = Result(metric, stack)
        for number in range(plan.runs):
            for stack in stacks:
                if stack.name in counts and stack.name in self._pairs:
                    with self._noting(metric, stack, f"round {number + 1} of {plan.runs}", outcome):
                        sample = self._sample(metric, stack, counts[stack.name], number)
                        outcome.results[metric.name, stack.name].samples[number] = sample

    @contextlib.contextmanager
    def _noting(self, metric: Metric, stack: Stack, what: str, outcome: Outcome) -> Iterator[None]:
        self._told(f"{metric.name}  {stack.name}  {what}")
        try:
            yield
        except StackFailed as error:
            outcome.failed.append(f"{metric.name}/{stack.name}, {what}: {error}")
            if isinstance(error, StackEnded):
                self._pairs.pop(stack.name).end()

    def _warm_up(self, metric: Metric, stack: Stack, seconds: float) -> int:
        """How much fills the time of a sample."""
        if metric.direct:
            return metric.first
        sample = self._sample(metric, stack, metric.first if stack.kind != "tlslite" else max(2, metric.first // 100))
        wanted = float(sample["count"] * seconds / sample["seconds"])
        return max(1, round(wanted / metric.multiple)) * metric.multiple

    def _sample(self, metric: Metric, stack: Stack, count: int, number: int = -1) -> Sample:
        if metric.task == "idle":
            return self._idle(metric, stack, count, number)
        pair = self._pairs[stack.name]
        if metric.alone:
            return pair.alone(metric.task, count=count, **metric.params)
        sample = pair.measure(metric.task, count=count, **metric.params)
        sample |= {f"client_{kind}": sample.pop(kind) for kind in ("cpu", "system")}
        sample["value"] = sample["count"] / sample["seconds"] / metric.scale
        if metric.params.get("visit") == "resumed" and sample["resumed"] < 0.99:
            raise StackFailed(f"only {sample['resumed']:.0%} of the handshakes were resumed")
        return sample

    def _idle(self, metric: Metric, stack: Stack, count: int, number: int) -> Sample:
        """In processes of its own, that have done nothing yet; once in a round, for both sides are measured together."""
        if (stack.name, number) not in self._idled:
            pair = self._start(stack)
            try:
                self._idled[stack.name, number] = pair.idle(count)
            finally:
                pair.end()
        server, client = self._idled[stack.name, number]
        return {"value": (server if metric.params["side"] == "server" else client) / 1024, "server": server, "client": client}


def starter(folder: Path, cores: tuple[int, int] | None) -> Callable[[Stack], Pair]:
    """Starts stacks with the identity in ``folder``; Go's program is built when it is first asked for."""
    program: Path | None = None

    def start(stack: Stack) -> Pair:
        nonlocal program
        if stack.kind == "go" and program is None:
            from interop.bench.go_peer import build

            program = build(folder)
        return Pair(stack, folder, cores, program if stack.kind == "go" else None)

    return start
