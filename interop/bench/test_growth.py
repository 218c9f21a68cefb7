"""How cost grows: the judgement on a curve, the crowd of connections, and a tiny run with its pictures."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest

from interop.bench import breakdown, growth
from interop.bench.__main__ import chosen_curves, main
from interop.bench.chart import draw
from interop.bench.crowd import Crowd
from interop.bench.endpoints import endpoint
from interop.bench.growth import CURVES, Growth, make, no_files_for, no_memory_for, verdict
from interop.bench.identity import write_identity
from interop.bench.markdown import markdown
from interop.bench.metrics import METRICS
from interop.bench.protocols import AnsweringProtocol
from interop.bench.rounds import Result
from interop.bench.scale import credentials_cost, host
from interop.bench.stacks import STACKS
from interop.bench.table import size

CHAIN, CREDENTIALS, TRANSFER = CURVES["chain"], CURVES["credentials"], CURVES["transfer"]


def test_a_bend_is_what_a_unit_costs_far_out() -> None:
    assert CREDENTIALS.bend({1: 9.0, 10: 2.0, 100: 0.0, 1000: 5.0}) == 2.5
    assert TRANSFER.bend({TRANSFER.sizes[0]: 1.0, TRANSFER.middle: 1000.0, TRANSFER.sizes[-1]: 500.0}) == 2.0  # half as fast
    assert CHAIN.bend({1: 100.0, 3: 120.0, 5: 140.0}) == 1.0  # each adds 10, whatever all begin with
    assert CHAIN.bend({1: 100.0, 3: 120.0, 5: 180.0}) == 3.0
    assert CREDENTIALS.bend({1: 9.0, 10: 2.0}) is None


def test_the_verdict_names_who_bends_with_us() -> None:
    assert verdict(CREDENTIALS, 1.2, {"ssl": 1.0}) == "straight"
    assert verdict(CREDENTIALS, 3.0, {"ssl": 1.0}) == "bends"
    assert verdict(CREDENTIALS, 3.0, {"ssl": 2.9, "tcp": 1.0}) == "bends, as ssl"


def test_bends_are_of_the_same_round() -> None:
    made = Growth(runs=3)
    for line, values in {"minitls": [(1.0, 1.0), (2.0, 4.0), (3.0, 3.0)], "ssl": [(1.0, 1.0), (1.0, 1.0)]}.items():
        for middle, largest in values:
            for at in CREDENTIALS.sizes:
                made.add("credentials", line, at, largest if at == CREDENTIALS.sizes[-1] else middle)
    (curve,) = make(made)
    assert [line["bend"] for line in curve["lines"]] == [
        {"median": 1.0, "low": 1.0, "high": 2.0},
        {"median": 1.0, "low": 1.0, "high": 1.0},
    ]
    assert [point["median"] for point in curve["lines"][0]["points"]] == [2.0, 2.0, 2.0, 3.0]


def test_what_there_is_no_room_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    assert no_files_for(1000) is None
    assert no_files_for(10_000) == (
        "10,000 connections need 10,100 open files in a process, and the hard limit is 4,096 (ulimit -Hn)"
    )
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, resource.RLIM_INFINITY))
    assert no_files_for(10_000) is None
    if Path("/proc/meminfo").exists():
        assert no_memory_for(10_000, 1.0) is None
        assert "10,000 connections would take" in str(no_memory_for(10_000, 2.0**40))


def test_curves_are_chosen_like_metrics() -> None:
    def names(only: list[str] | None, wanted: bool = False) -> tuple[list[str], list[str]]:
        curves, stacks = chosen_curves(only, wanted, list(STACKS.values()))
        return [curve.name for curve in curves], [stack.name for stack in stacks]

    assert names(None) == ([], [])
    assert names(None, wanted=True) == (list(CURVES), list(growth.STACKS))
    assert names(["chain/minitls", "roundtrips/tcp"]) == (["chain"], ["minitls"])
    assert names(["connections-r*"]) == (["connections-rss-server", "connections-rss-client"], list(growth.STACKS))


@pytest.mark.parametrize("name", ["tcp", "minitls", "ssl"])
async def test_a_crowd(name: str, tmp_path: Path) -> None:
    write_identity(tmp_path)
    made = endpoint(STACKS[name], tmp_path)
    server = await made.listen(AnsweringProtocol, "default")
    ports = {"protocol/default": server.sockets[0].getsockname()[1]}
    crowd = Crowd(made)
    assert await crowd.grow(ports, 5) == {"held": 5}
    assert await crowd.grow(ports, 40) == {"held": 40}
    loaded = await crowd.all_download(ports, piece=100_000, count=2, at_once=7)
    assert loaded["count"] == 40 * 2 * 100_000
    said = await crowd.messages(ports, count=100)
    assert 0 < said["p50"] <= said["p99"]
    assert (await crowd.all_download(ports, piece=1, count=1, at_once=100))["count"] == 40
    assert await crowd.leave() == {"held": 0}
    moved = await crowd.transfers(ports, size=1 << 20, count=2)
    assert moved["count"] == 2 << 20
    await crowd.leave()
    server.close()
    async with asyncio.timeout(5):
        await server.wait_closed()


def test_each_of_many_hosts_gets_its_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interop.bench.scale.HOSTS", (1, 3))
    from interop.bench.scale import write_hosts

    write_hosts(tmp_path)
    assert {file.name for file in (tmp_path / "hosts").glob("host*")} == {f"{host(number)}.pem" for number in range(3)}
    for stack, way in (("minitls", ""), ("minitls", "CredentialStore"), ("ssl", "")):
        assert credentials_cost(STACKS[stack], tmp_path, 3, way, 4)["value"] > 0  # each client checks that it is for its host


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of one curve leaves behind."""
    file = tmp_path_factory.mktemp("growth") / "run.json"
    assert main(["--only", "chain", "--runs", "1", "--json", str(file)]) == 0
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def test_the_json_has_the_curve(report: dict[str, Any]) -> None:
    assert report["failed"] == []
    assert report["results"] == []
    (curve,) = report["growth"]
    assert curve["name"] == "chain"
    assert [line["line"] for line in curve["lines"]] == ["minitls", "ssl"]
    for line in curve["lines"]:
        assert [point["size"] for point in line["points"]] == curve["sizes"] == [1, 2, 3, 4, 5]
        assert line["points"][0]["median"] < line["points"][-1]["median"]
        assert line["bend"] is not None


def test_the_picture_has_a_line_for_each(report: dict[str, Any]) -> None:
    root = xml.etree.ElementTree.fromstring(draw(report))
    assert len(root.findall("{*}polyline")) == 2
    assert len(root.findall("{*}circle")) == 10
    for line in root.findall("{*}polyline"):
        numbers = [float(number) for number in re.findall(r"[\d.]+", str(line.get("points")))]
        assert len(numbers) == 10
        assert all(0 <= number <= 860 for number in numbers)


def test_the_tables_have_it_too(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert "| client's CPU, full handshake, x25519, us | minitls | 1: " in markdown(report)


def test_sizes_for_people() -> None:
    assert [size(value) for value in (1, 10_000, 1 << 10, 32 << 20, 1 << 30)] == ["1", "10,000", "1 Ki", "32 Mi", "1 Gi"]


UNIT = {
    **{f"{what}_{size}": 1.0 for what in ("seal", "open") for size in ("small", "kib")},
    "seal_full": 2.0,
    "open_full": 3.0,
    "sign": 20.0,
    "verify": 60.0,
    "share": 100.0,
    "answer": 80.0,
    "mac": 2.0,
}


def test_cryptography_is_counted() -> None:
    """By the formula of ``breakdown``."""

    def cost(metric: str, stack: str, side: str) -> float:
        return breakdown.cryptography(METRICS[metric], STACKS[stack], side, UNIT)

    assert cost("download-protocol", "minitls", "server") == 2.0 / 2**14
    assert cost("download-protocol", "minitls", "client") == 3.0 / 2**14
    assert cost("upload-protocol", "ssl", "server") == 3.0 / 2**14
    assert cost("download-1k", "minitls", "server") == 2.0 / 2**14  # gathered
    assert cost("download-1k", "ssl", "server") == 1.0 / 2**10
    assert cost("roundtrips", "ssl", "client") == 2.0
    common = 21 * 2.0 + 4 * 2.0
    assert cost("handshakes-32", "minitls", "client") == common + 100 + 3 * 60
    assert cost("handshakes-known-32", "minitls", "client") == common + 100 + 60
    assert cost("handshakes-known-32", "ssl", "client") == common + 100 + 3 * 60
    assert cost("handshakes-known-32", "ssl", "server") == common + 80 + 20
    assert cost("resumed-32", "ssl", "server") == 26 * 2.0 + 4 * 2.0 + 80


def test_the_rest_is_what_is_left() -> None:
    sample = {"count": 10, "seconds": 1.0, "client_cpu": 0.5, "client_system": 0.1, "server_cpu": 0.25, "server_system": 0.25}
    result = Result(METRICS["roundtrips"], STACKS["minitls"], {0: sample, 1: sample})
    client, server = breakdown.breakdown([result], {"minitls": UNIT})
    assert (client["cpu"], client["kernel"], client["cryptography"]) == pytest.approx((50_000, 10_000, 2.0))
    assert client["rest"] == pytest.approx(39_998)
    assert client["busy"] == 0.5
    assert (server["cryptography"], server["rest"]) == (0.0, 0.0)  # all of it was the kernel's
    (unknown, _) = breakdown.breakdown([Result(METRICS["roundtrips"], STACKS["tlslite"], {0: sample})], {})
    assert (unknown["cryptography"], unknown["rest"]) == (None, None)


def test_go_tells_the_same_units() -> None:
    text = (Path(growth.__file__).parent / "go" / "main.go").read_text()
    for unit in UNIT:
        kind, _, size = unit.partition("_")
        assert f'made["{kind}_"+name]' in text if size else f'made["{kind}"]' in text
        assert not size or f'"{size}":' in text
