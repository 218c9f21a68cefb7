"""What a run came to, by family: passed, unimplemented, disabled, failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from interop.bogo.families import FAMILIES

PASSED, UNIMPLEMENTED, DISABLED, FAILED = VERDICTS = ("passed", "unimplemented", "disabled", "failed")
ACTUAL = {"PASS": PASSED, "SKIP": UNIMPLEMENTED, "FAIL": FAILED}
OUT_OF_SCOPE, OUR_CHOICE = "out of scope: ", "our choice: "
"""How a reason in config.json begins: what minitls leaves alone, or what it decides otherwise (with the section that lets it)."""


@cache
def glob(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match: ``*`` and ``?`` stop at a slash, ``[^a-c]`` is a class."""
    parts = re.findall(r"\[\^?[^\]]+\]|\\.|.", pattern, re.DOTALL)
    meanings = {"*": "[^/]*", "?": "[^/]"}
    regex = (part if part.startswith("[") and len(part) > 1 else meanings.get(part) or re.escape(part[-1]) for part in parts)
    return re.compile("".join(regex), re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    return glob(pattern).fullmatch(name) is not None


def reason(disabled: Mapping[str, str], name: str) -> str | None:
    """Why a case is disabled; None if it is not."""
    return next((why for pattern, why in disabled.items() if matches(pattern, name)), None)


@cache
def family(name: str) -> str:
    """The first that has a pattern for it."""
    return next(title for title, patterns in FAMILIES if any(matches(pattern, name) for pattern in patterns))


@dataclass(frozen=True)
class Case:
    name: str
    verdict: str
    text: str = ""
    """The runner's error, or why the case is disabled."""


def outcomes(
    names: Iterable[str], results: Mapping[str, Mapping[str, str]], disabled: Mapping[str, str], chosen: str
) -> list[Case]:
    """Every case of the suite that was asked for."""
    patterns = chosen.split(";") if chosen else ["*"]
    found = []
    for name in names:
        if (result := results.get(name)) is not None:
            found.append(Case(name, ACTUAL[result["actual"]], result.get("error", "").strip()))
        elif (why := reason(disabled, name)) is not None and any(matches(pattern, name) for pattern in patterns):
            found.append(Case(name, DISABLED, why))
    return found


def count(cases: Iterable[Case]) -> dict[str, dict[str, int]]:
    """{family: {verdict: how many}} in the families' order, with what there is."""
    found = {title: dict.fromkeys(VERDICTS, 0) for title, _ in FAMILIES}
    for case in cases:
        found[family(case.name)][case.verdict] += 1
    return {title: counts for title, counts in found.items() if any(counts.values())}


def total(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {verdict: sum(each[verdict] for each in counts.values()) for verdict in VERDICTS}


def table(counts: Mapping[str, Mapping[str, int]]) -> list[Sequence[str]]:
    """Rows of text: the heads first, the sum last; nothing for none."""
    rows: list[Sequence[str]] = [("family", *VERDICTS)]
    for title, each in (*counts.items(), ("all", total(counts))):
        rows.append((title, *(f"{each[verdict]:,}" if each[verdict] else "" for verdict in VERDICTS)))
    return rows


def plain(counts: Mapping[str, Mapping[str, int]]) -> str:
    rows = table(counts)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def markdown(counts: Mapping[str, Mapping[str, int]]) -> str:
    head, *rows = table(counts)
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_data(cases: Iterable[Case]) -> dict[str, dict[str, str]]:
    found = {}
    for case in cases:
        found[case.name] = {"family": family(case.name), "result": case.verdict}
        if case.text:
            found[case.name]["reason" if case.verdict == DISABLED else "error"] = case.text
    return found
