"""``minitls explain``: the dictionary agrees with the registries, and finds what is meant."""

from __future__ import annotations

import json
from enum import IntEnum

import pytest

from minitls.cli import main
from minitls.cli.dictionary import Kind, by_code, by_name, entries
from minitls.cli.explain import look_up, split, support
from minitls.errors import Alert
from minitls.wire.numbers import (
    CipherSuite,
    ContentType,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)

REGISTRIES: list[tuple[Kind, type[IntEnum]]] = [
    ("alert", Alert),
    ("suite", CipherSuite),
    ("group", NamedGroup),
    ("scheme", SignatureScheme),
    ("extension", ExtensionType),
    ("message", HandshakeType),
    ("version", ProtocolVersion),
    ("record", ContentType),
]


@pytest.mark.parametrize(("kind", "registry"), REGISTRIES)
def test_every_number_that_we_know_is_explained(kind: Kind, registry: type[IntEnum]) -> None:
    for member in registry:
        if member.name == "invalid":
            continue
        (entry,) = by_code(member, kind)
        if registry is not ProtocolVersion:
            assert entry.name == member.name


def test_each_entry_is_a_sentence_with_a_source() -> None:
    assert len(entries()) > 200
    seen = set()
    for entry in entries():
        assert entry.text.endswith((".", "?")), entry
        assert entry.source, entry
        assert "|" not in entry.text
        assert support(entry)
        seen.add((entry.kind, entry.code))
    assert len(seen) == len(entries())


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("0x11ec", ["X25519MLKEM768"]),
        ("alert 47", ["illegal_parameter"]),
        ("X25519MLKEM768", ["X25519MLKEM768"]),
        ("x25519", ["x25519"]),
        ("cipher suite 0x1301", ["TLS_AES_128_GCM_SHA256"]),
        ("0x13,0x01", ["TLS_AES_128_GCM_SHA256"]),
        ("aes-128-gcm-sha256", ["TLS_AES_128_GCM_SHA256"]),
        ("ECDHE-RSA-AES128-GCM-SHA256", ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]),
        ("P-256", ["secp256r1"]),
        ("sni", ["server_name"]),
        ("handshake type 2", ["server_hello"]),
        ("extension 43", ["supported_versions"]),
        ("22", ["record_overflow", "secp256k1", "encrypt_then_mac", "certificate_status", "handshake"]),
        ("0x2a2a", ["GREASE"]),
        ("alert grease", []),
    ],
)
def test_what_is_found(what: str, names: list[str]) -> None:
    found = [entry.name for entry in look_up(*split(what.split()))]
    assert found[: len(names)] == names
    assert bool(found) == bool(names)


def test_part_of_a_name_is_enough() -> None:
    assert {entry.name for entry in by_name("MLKEM", "group")} >= {"X25519MLKEM768", "MLKEM512"}


def test_status_of_old_suites() -> None:
    def status(name: str) -> str:
        return by_name(name, "suite")[0].status

    assert "RFC 10015" in status("TLS_RSA_WITH_AES_128_GCM_SHA256")
    assert "RFC 7465" in status("TLS_ECDHE_RSA_WITH_RC4_128_SHA")
    assert "RFC 9325" in status("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA")
    assert "recommended" in status("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")


def test_support() -> None:
    def answer(name: str) -> str:
        return support(by_name(name, None)[0])

    assert answer("X25519MLKEM768") == "has it, on by default"
    assert answer("TLS_AES_128_CCM_8_SHA256") == "has it, off by default: --ciphers"
    assert answer("rsa_pkcs1_sha256") == "has it, in certificates and in TLS 1.2"
    assert answer("TLS_RSA_WITH_RC4_128_MD5") == "does not have it"
    assert answer("heartbeat") == "reads it, and does not act on it"
    assert answer("key_share") == "has it"


def test_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert main(["explain", "alert", "47"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("illegal_parameter (alert 47)\n")
    assert "RFC 8446 6.2" in shown
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["explain", "alert", "47"]) == 0
    assert "\x1b[1millegal_parameter" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json", "0x11ec"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "minitls/1"
    assert found["entries"][0]["kind"] == "group"
    assert found["entries"][0]["minitls"] == "has it, on by default"


def test_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "ilegal_parameter"]) == 2
    assert "did you mean illegal_parameter?" in capsys.readouterr().err
