"""What is wanted: PERFORMANCE's last table.  A goal is a floor and an aim for a paired ratio, or for a value itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interop.bench.metrics import METRICS
from interop.bench.rounds import Outcome
from interop.bench.stacks import STACKS
from interop.bench.stats import Spread


@dataclass(frozen=True)
class Goal:
    """``reference``: the stack that the ratio is to; None: the value counts.  ``smaller``: less is better."""

    metric: str
    stack: str
    reference: str | None
    at_least: float
    aim: float
    smaller: bool = False

    def judge(self, got: float) -> str:
        reaches: Callable[[float], bool] = (lambda wanted: got <= wanted) if self.smaller else (lambda wanted: got >= wanted)
        return "aim met" if reaches(self.aim) else "met" if reaches(self.at_least) else "missed"

    def short_of(self, got: float) -> float:
        """How far below the floor, as a share of it; 0 where it is met."""
        return max(0.0, got / self.at_least - 1 if self.smaller else 1 - got / self.at_least)

    def ceiling(self, outcome: Outcome) -> float | None:
        """The same ratio of raw TCP on the same loop: nobody who does more than that can be faster here.  None where it is not
        asked for, or was not measured.
        """
        if self.reference is None or METRICS[self.metric].task not in ("bulk", "roundtrips"):
            return None
        bare = "tcp-uvloop" if STACKS[self.stack].loop == "uvloop" else "tcp"
        ratios = outcome.ratio(self.metric, bare, self.reference)
        return Spread.of(ratios).median if ratios else None

    def evaluate(self, outcome: Outcome) -> dict[str, Any] | None:
        """What came out, and whether that will do; None where it was not measured."""
        if self.reference is None:
            result = outcome.results.get((self.metric, self.stack))
            values = list(result.values.values()) if result else []
        else:
            values = outcome.ratio(self.metric, self.stack, self.reference)
        if not values:
            return None
        spread = Spread.of(values)
        return {
            "metric": self.metric,
            "stack": self.stack,
            "reference": self.reference,
            "at_least": self.at_least,
            "aim": self.aim,
            "smaller_is_better": self.smaller,
            "got": spread.median,
            "low": spread.low,
            "high": spread.high,
            "verdict": self.judge(spread.median),
            "short_of_floor": self.short_of(spread.median),
            "ceiling": self.ceiling(outcome),
        }


def _both(metric: str, at_least: float, aim: float, tuned: tuple[float, float] | None = None) -> list[Goal]:
    """Each loop's own ssl is the reference; ``tuned``: what is wanted beside the same with malloc tuned."""
    made = []
    for ours, theirs in (("minitls", "ssl"), ("minitls-uvloop", "ssl-uvloop")):
        made.append(Goal(metric, ours, theirs, at_least, aim))
        if tuned:
            made.append(Goal(metric, ours, f"{theirs}-malloc", *tuned))
    return made


GOALS = (
    *_both("download-protocol", 3.0, 3.6, (1.3, 1.45)),
    Goal("download-protocol", "minitls", "go", 1.5, 1.9),
    *_both("upload-protocol", 1.4, 1.6),
    *_both("download-streams", 2.5, 3.0),
    *_both("upload-streams", 1.1, 1.15),
    *_both("download-1k", 5.0, 6.5),
    Goal("roundtrips", "minitls", "ssl", 1.2, 1.3),
    Goal("roundtrips", "minitls-uvloop", "ssl-uvloop", 1.0, 1.15),
    *_both("handshakes-32", 1.3, 1.5),
    *_both("handshakes-known-32", 1.6, 2.0),
    *_both("resumed-32", 1.5, 2.0),
    Goal("rss-server", "minitls", "ssl", 1 / 20, 1 / 30, smaller=True),
    Goal("rss-server", "minitls-uvloop", "ssl-uvloop", 1 / 2, 1 / 2.5, smaller=True),
    Goal("import", "minitls", None, 45, 37, smaller=True),
)


def evaluate(outcome: Outcome) -> list[dict[str, Any]]:
    return [judged for goal in GOALS if (judged := goal.evaluate(outcome)) is not None]
