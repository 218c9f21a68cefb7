"""The benchmark itself: its arithmetic, its goals, and a tiny run that is looked at from all sides."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest

from interop.bench.__main__ import chosen, main
from interop.bench.chart import draw
from interop.bench.goals import GOALS, Goal
from interop.bench.metrics import METRICS
from interop.bench.stacks import STACKS
from interop.bench.stats import Spread, paired_ratios
from interop.bench.table import HEADS, factor, fitting, number, show
from interop.bench.wire import DOWNLOAD, read_request, request

RESULT = {
    "metric": str,
    "title": str,
    "stack": str,
    "stack_title": str,
    "reference": str,
    "unit": str,
    "higher_is_better": bool,
    "median": float,
    "low": float,
    "high": float,
    "cpu_unit": str,
    "client_cpu": (float, type(None)),
    "server_cpu": (float, type(None)),
    "ratios": dict,
    "samples": list,
}
REPORT = {
    "schema": int,
    "command": list,
    "started": str,
    "seconds": float,
    "interrupted": bool,
    "settings": dict,
    "machine": dict,
    "versions": dict,
    "agreed": dict,
    "units": dict,
    "results": list,
    "goals": list,
    "breakdown": list,
    "growth": list,
    "failed": list,
    "left_out": dict,
}


def matches(found: dict[str, Any], schema: dict[str, Any]) -> None:
    assert found.keys() == schema.keys()
    for name, kind in schema.items():
        assert isinstance(found[name], kind), name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What a run of two metrics and two stacks leaves behind."""
    folder = tmp_path_factory.mktemp("bench")
    made = folder / "run.json", folder / "run.svg"
    only = [option for metric in ("download-protocol", "roundtrips") for option in ("--only", f"{metric}/minitls,ssl")]
    assert main([*only, "--runs", "2", "--seconds", "0.02", "--json", str(made[0]), "--chart", str(made[1])]) == 0
    return made


@pytest.fixture(scope="module")
def report(files: tuple[Path, Path]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(files[0].read_text())
    return read


def test_the_json_has_everything_that_was_measured(report: dict[str, Any]) -> None:
    matches(report, REPORT)
    assert report["failed"] == []
    assert report["versions"]["cryptography"]
    assert report["machine"]["cores"]
    assert {each: report["agreed"][each]["version"] for each in report["agreed"]} == {"minitls": "TLSv1.3", "ssl": "TLSv1.3"}
    measured = [(result["metric"], result["stack"]) for result in report["results"]]
    assert measured == [(metric, stack) for metric in ("download-protocol", "roundtrips") for stack in ("minitls", "ssl")]
    for result in report["results"]:
        matches(result, RESULT)
        assert [sample["round"] for sample in result["samples"]] == [0, 1]
        assert result["low"] <= result["median"] <= result["high"]
        for sample in result["samples"]:
            figures = {f"{side}_{kind}" for side in ("client", "server") for kind in ("cpu", "system")}
            assert sample.keys() == {"round", "value", "count", "seconds", *figures}
            assert sample["value"] > 0
            assert 0 <= sample["client_system"] <= sample["client_cpu"] + 1e-9  # differences of floats, both
    ours = report["results"][0]["ratios"]["ssl"]
    assert ours["samples"] == [
        mine["value"] / theirs["value"]
        for mine, theirs in zip(report["results"][0]["samples"], report["results"][1]["samples"], strict=True)
    ]
    assert {(goal["metric"], goal["reference"]) for goal in report["goals"]} == {
        ("download-protocol", "ssl"),
        ("roundtrips", "ssl"),
    }


def test_the_time_goes_somewhere(report: dict[str, Any]) -> None:
    """All of it, on each side of each stack."""
    told = [(row["metric"], row["stack"], row["side"]) for row in report["breakdown"]]
    assert told == [
        (metric, stack, side)
        for metric in ("download-protocol", "roundtrips")
        for stack in ("minitls", "ssl")
        for side in ("client", "server")
    ]
    for row in report["breakdown"]:
        assert row["kernel"] + row["cryptography"] + row["rest"] == pytest.approx(row["cpu"])
        assert row["cryptography"] >= 0  # a sample as short as these may be all the kernel's, which gets whole ticks
        assert row["busy"] > 0
    assert max(row["cryptography"] for row in report["breakdown"]) > 0
    assert report["units"].keys() == {"minitls", "ssl"}
    assert report["units"]["minitls"].keys() == report["units"]["ssl"].keys()
    assert all(value > 0 for unit in report["units"].values() for value in unit.values())


def test_a_report_is_read_again(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again.svg", tmp_path / "tables.md"
    assert main(["--read", str(files[0]), "--chart", str(again[0]), "--markdown", str(again[1])]) == 0
    assert "download-protocol: download" in capsys.readouterr().out
    assert again[0].read_text() == files[1].read_text()
    tables = again[1].read_text()
    assert "| download, Protocol, 256 KiB writes, MB/s |" in tables
    assert "| roundtrips | ssl | server |" in tables
    for table in tables.split("\n\n"):
        if table.startswith("| "):
            assert len({line.count("|") for line in table.strip().splitlines()}) == 1


def test_the_chart_is_xml_with_a_bar_for_each_result(files: tuple[Path, Path], report: dict[str, Any]) -> None:
    text = files[1].read_text()
    root = xml.etree.ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{*}rect")) == len(report["results"])
    assert "prefers-color-scheme: dark" in text
    assert draw(report) == text


def test_the_table_names_stacks_and_goals(report: dict[str, Any]) -> None:
    out = io.StringIO()
    show(report, out)
    assert "download-protocol: download, Protocol, 256 KiB writes" in out.getvalue()
    assert "asyncio+ssl" in out.getvalue()
    assert "3.00x / 3.60x" in out.getvalue()


def test_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)


def test_ratios_are_of_the_same_round() -> None:
    assert paired_ratios({0: 4.0, 1: 9.0, 3: 5.0}, {0: 2.0, 1: 3.0, 2: 1.0}) == [2.0, 3.0]
    assert paired_ratios({0: 1.0}, {0: 0.0}) == []


def test_goals_judge_both_directions() -> None:
    speed, memory = Goal("m", "a", "b", 3.0, 3.6), Goal("m", "a", "b", 1 / 20, 1 / 30, smaller=True)
    assert [speed.judge(got) for got in (2.9, 3.0, 3.6)] == ["missed", "met", "aim met"]
    assert [memory.judge(got) for got in (0.06, 0.05, 0.03)] == ["missed", "met", "aim met"]
    assert speed.short_of(2.4) == pytest.approx(0.2)
    assert memory.short_of(0.06) == pytest.approx(0.2)
    assert speed.short_of(5) == memory.short_of(0.01) == 0


def test_goals_are_about_what_there_is() -> None:
    for goal in GOALS:
        assert METRICS[goal.metric].kinds.count(STACKS[goal.stack].kind) == 1
        assert goal.reference is None or STACKS[goal.reference].kind in METRICS[goal.metric].kinds
        assert METRICS[goal.metric].short, "the short pass answers every goal"


def test_only_chooses_metrics_and_stacks() -> None:
    def names(only: list[str] | None, full: bool = False) -> list[tuple[str, list[str]]]:
        work = chosen(only, full, [STACKS["minitls"], STACKS["ssl"], STACKS["go"]])
        return [(metric.name, [stack.name for stack in stacks]) for metric, stacks in work]

    assert names(["roundtrips/ssl", "roundtrips/g*"]) == [("roundtrips", ["ssl", "go"])]
    assert names(["upload-str*"]) == [("upload-streams", ["minitls", "ssl"])]
    assert names(["nothing"]) == []
    assert len(names(None)) < len(names(None, full=True)) == len(METRICS)


def test_narrow_terminals_get_fewer_columns_and_whole_figures() -> None:
    row = tuple("x" * 10 for _ in HEADS)
    assert fitting(HEADS, [row], 200) == list(range(len(HEADS)))
    assert [HEADS[column] for column in fitting(HEADS, [row], 80)] == ["stack", "median", "ratio", "to", "CPU client", "server"]
    assert [HEADS[column] for column in fitting(HEADS, [row], 40)] == ["stack", "median", "ratio", "to"]


def test_requests_are_read_as_they_were_made() -> None:
    assert read_request(request(DOWNLOAD, 1024, 1 << 40)) == (DOWNLOAD, 1024, 1 << 40)


def test_numbers_for_people() -> None:
    assert [number(value) for value in (None, 1.234, 12.34, 1234.5)] == ["", "1.23", "12.3", "1,234"]
    assert [factor(value) for value in (3.625, 1.0, 0.05)] == ["3.62x", "1.00x", "1/20.0"]
