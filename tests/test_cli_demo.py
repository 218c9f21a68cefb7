"""``minitls demo``: a real run, told whole."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from minitls.cli import main
from minitls.trace.words import STEPS
from tests.running import run


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


def test_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    keys = [
        "tcp", "client_hello", "server_hello", "shared_secret", "change_cipher_spec", "encrypted_extensions", "certificate",
        "certificate_verify", "finished", "session_keys", "tickets", "data", "goodbye",
    ]  # fmt: skip
    for number, key in enumerate(keys, 1):
        assert f"{number}. {STEPS[key].title}" in shown
    for part in (
        "SYN, ACK", "X25519MLKEM768", "ML-KEM-768", "shop.example", "signed by minitls demo CA", "GET /secret-wishes",
        "17 03 03", "Hello! Nobody but you and me", "Alert: close_notify", "FIN", "Somebody on the way has seen",
    ):  # fmt: skip
        assert part in " ".join(shown.split())
    assert shown.count("the same at both") == 4
    if sys.platform.startswith("linux"):
        assert re.search(r"round trip +0\.\d+ ms there and back", shown)
    assert "\x1b" not in shown


def test_no_run_is_like_another(capsys: pytest.CaptureFixture[str]) -> None:
    def randoms() -> list[str]:
        assert main(["demo"]) == 0
        return re.findall(r"[0-9a-f]{32}…", capsys.readouterr().out)

    assert set(randoms()).isdisjoint(randoms())


def test_what_is_on_the_wire_is_what_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """The record's length is the plaintext's, its type's and its seal's."""
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    sizes = [int(size) for size in re.findall(r"Application Data, (\d+) bytes", shown)]
    on_wire = [
        (int(size.replace(" ", ""), 16), int(whole)) for size, whole in re.findall(r"17 03 03 (.. ..) \| .*\((\d+) bytes\)", shown)
    ]
    assert on_wire == [(size + 1 + 16, size + 1 + 16 + 5) for size in sizes]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--groups", "x25519"], "no: who records this today"),
        (["--groups", "ffdhe2048"], "with very large numbers"),
        (["--ciphers", "TLS_CHACHA20_POLY1305_SHA256"], "Poly1305 seals"),
        (["--policy", "cnsa2"], "ML-KEM-1024 holds against quantum computers, too. The client's share is an open padlock"),
        (["--policy", "cnsa1", "--tls", "1.2"], "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        (["--sigalgs", "mldsa65"], "key ML-DSA-65"),
        (["--sigalgs", "ed25519", "--policy", "modern", "--tls", "1.3"], "key Ed25519"),
    ],
)
def test_other_ways(options: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *options]) == 0
    assert part in " ".join(capsys.readouterr().out.split())


RETURNS: dict[tuple[str, ...], tuple[list[str], list[str]]] = {
    ("--resume",): (["psk_ticket", "psk_taken", "shared_secret", "tickets"], ["early_data", "certificate"]),
    ("--early-data",): (["psk_ticket", "early_data", "psk_taken", "end_of_early_data"], ["certificate", "certificate_verify"]),
    ("--resume", "--tls", "1.2"): (["resumed_12", "ticket_12"], ["certificate_12", "premaster_dh", "psk_ticket"]),
}


@pytest.mark.parametrize("options", RETURNS, ids=" ".join)
def test_the_second_visit(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *options]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    told, untold = RETURNS[options]
    assert all(f". {STEPS[key].title} " in shown for key in told)
    assert not any(f". {STEPS[key].title} " in shown for key in untold)
    for part in ("for the second time", "GET /secret-wishes", "Hello! Nobody but you and me", "that the two have met before"):
        assert part in shown
    saved = re.search(r"first handshake .* ([\d,]+) bytes received this one .* ([\d,]+) bytes received saved", shown)
    assert saved is not None
    assert int(saved[1].replace(",", "")) > int(saved[2].replace(",", ""))
    assert "NOT the same" not in shown


@pytest.mark.parametrize(
    "options", [["--early-data", "--tls", "1.2"], ["--resume", "--policy", "legacy", "--kex", "psk"]], ids=" ".join
)
def test_what_cannot_be_shown(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *options]) == 2
    assert "--resume" in capsys.readouterr().err


def test_the_trace_of_early_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--early-data", "--trace"]) == 0
    shown = capsys.readouterr().out
    places = [
        shown.find(part) for part in ("ClientHello", "(Application Data)", "─ ServerHello", "(EndOfEarlyData)", "{Finished} ─")
    ]
    assert -1 not in places
    assert places == sorted(places)


def test_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--trace"]) == 0
    shown = capsys.readouterr().out
    assert "{CertificateVerify}" in shown
    assert "TCP connected" in shown
    assert "the peer closed TCP" in shown


def test_json_tells_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "minitls/1"
    assert found["client"]["connection"]["ja4"] == found["server"]["connection"]["ja4"]
    assert found["client"]["bytes"]["sent"] > 1000
    assert [each["why"] for each in found["server"]["trace"] if each["type"] == "chosen"]


def test_key_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given, from_environment = tmp_path / "given", tmp_path / "environment"
    monkeypatch.setenv("SSLKEYLOGFILE", str(from_environment))
    assert main(["demo"]) == 0
    assert main(["demo", "--key-log", str(given)]) == 0
    for file in (given, from_environment):
        labels = [line.split()[0] for line in file.read_text().splitlines()]
        assert sorted(labels) == [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "EXPORTER_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0",
        ]  # fmt: skip
    assert not any(line.split()[2] in capsys.readouterr().out for line in given.read_text().splitlines())


def test_colours_only_where_they_are_wanted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["demo"]) == 0
    coloured = capsys.readouterr().out
    assert "\x1b[" in coloured
    assert "╭" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["demo"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_without_rich_it_is_plain(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setitem(sys.modules, "rich.box", None)
    monkeypatch.delitem(sys.modules, "minitls.cli.colour", raising=False)
    assert main(["demo"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_where_only_ascii_can_be_written() -> None:
    done = run("demo", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"---- ClientHello" in done.stdout
    assert done.stdout.isascii()
