"""``minitls demo --tls 1.2``: the handshakes that the textbooks draw, each a real run, told whole."""

from __future__ import annotations

import pytest

from minitls.cli import main
from minitls.trace.words import STEPS

CLASSIC = ["tcp", "client_hello", "server_hello_12", "certificate_12"]
END = ["master_secret", "change_cipher_spec_12", "finished", "data", "goodbye"]
RUNS: dict[tuple[str, ...], list[str]] = {
    ("--tls", "1.2"): [*CLASSIC, "server_key_exchange", "server_hello_done", "premaster_dh", *END],
    ("--tls", "1.2", "--policy", "legacy", "--kex", "rsa"): [*CLASSIC, "server_hello_done", "premaster_rsa", *END],
    ("--policy", "legacy", "--kex", "dhe"): [*CLASSIC, "server_key_exchange", "server_hello_done", "premaster_dh", *END],
    ("--policy", "legacy", "--kex", "psk"): [*CLASSIC[:3], "server_hello_done", "premaster_psk", *END],
}


@pytest.mark.parametrize(("options", "keys"), RUNS.items(), ids=" ".join)
def test_the_steps(options: tuple[str, ...], keys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """In their order; nothing is told that did not happen."""
    assert main(["demo", *options]) == 0
    shown = capsys.readouterr().out
    places = [shown.find(f". {STEPS[key].title} ") for key in keys]
    assert -1 not in places
    assert places == sorted(places)
    titles = {STEPS[key].title for key in (*keys, "ticket_12")}
    told = {words.title for words in STEPS.values() if words.title and f". {words.title} " in shown}
    assert told <= titles
    assert "talked over TLS 1.2" in shown
    assert "the same at both" in shown


def test_the_premaster_secret_is_under_the_servers_key(capsys: pytest.CaptureFixture[str]) -> None:
    """What tells the textbooks' handshake from the safe one is said."""
    assert main(["demo", "--tls", "1.2", "--policy", "legacy", "--kex", "rsa"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("encrypts them with the public key", "there is no forward secrecy", "RFC 10015", "48 bytes, the same at both"):
        assert part in shown


@pytest.mark.parametrize("kind", ["rsa", "dhe", "psk"])
def test_what_is_old_needs_the_legacy_policy(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--kex", kind]) == 2
    assert "--policy legacy" in capsys.readouterr().err


def test_the_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--tls", "1.2", "--trace"]) == 0
    shown = capsys.readouterr().out
    for part in ("ServerKeyExchange", "ClientKeyExchange", "ChangeCipherSpec", "[Finished]"):
        assert part in shown
    assert "Certificate12" not in shown
    assert "middleboxes" not in shown


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--tls", "1.2", "--json"]) == 0
    assert '"ClientKeyExchange"' in capsys.readouterr().out
