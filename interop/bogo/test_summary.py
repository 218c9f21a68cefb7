"""What a run is told as, and whether the suite's configuration says what it should."""

from __future__ import annotations

import json
import re

import pytest

import interop.bogo
from interop.bogo import flags, runner, summary
from interop.bogo.families import FAMILIES

CONFIG = json.loads(runner.CONFIG.read_text())
OUR_CHOICES = 40
"""Cases of TLS 1.2 and 1.3 that we decide otherwise: fewer patterns than this."""


def test_the_readmes_table_is_of_the_run_that_the_next_one_is_held_against() -> None:
    section = (
        (runner.TREE / "README.md").read_text("utf-8").partition("\n## BoringSSL's conformance suite\n")[2].partition("\n## ")[0]
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    counts = {
        title: dict(zip(summary.VERDICTS, (int(cell.replace(",", "") or 0) for cell in cells), strict=True))
        for title, *cells in rows[2:-1]
    }
    assert "".join(f"{line}\n" for line in section.splitlines() if line.startswith("|")) == summary.markdown(counts)
    total = summary.total(counts)
    assert (total[summary.PASSED], total[summary.FAILED]) == (runner.PASSES, 0)
    assert section.count(f"{sum(total.values()):,} cases") == 2


def test_the_map_has_every_module() -> None:
    told = set(re.findall(r"^    (\w+)  ", interop.bogo.__doc__ or "", re.MULTILINE))
    assert told == {file.stem for file in runner.HERE.glob("*.py") if not file.name.startswith("test_")} - {"__init__"}


def test_every_flag_is_of_use_or_said_to_be_of_none() -> None:
    files = (file for file in runner.HERE.glob("*.py") if file.stem != "flags" and not file.stem.startswith("test_"))
    modules = "".join(file.read_text("utf-8") for file in files)
    names = {flag.replace("-", "_") for flag in (*flags.SWITCHES, *flags.VALUES, *flags.LISTS) if flag not in flags.IGNORED}
    assert {name for name in names if not re.search(rf'\.{name}_?\b|"{name}"', modules)} == set()


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("ALPN*", "ALPNServer-TLS", True),
        ("*-TLS1", "NoTicket-TLS1", True),
        ("*-TLS1", "NoTicket-TLS12", False),
        ("[^M]*-TLS1-*", "Resume-TLS1-TLS", True),
        ("[^M]*-TLS1-*", "MinimumVersion-TLS1-TLS", False),
        ("Server-JDK11-[0-9]*", "Server-JDK11-10", True),
        ("Server-JDK11-[0-9]*", "Server-JDK11-NoWorkaround-1", False),
        ("A?C", "ABC", True),
        ("A?C", "AC", False),
        ("A*C", "A/C", False),
        ("A.C", "ABC", False),
        (r"A\*", "A*", True),
        (r"A\*", "AB", False),
    ],
)
def test_patterns_are_as_gos(pattern: str, name: str, expected: bool) -> None:
    assert summary.matches(pattern, name) is expected


def test_every_pattern_is_there_once_and_has_a_reason() -> None:
    patterns: list[str] = []

    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        patterns.extend(key for key, _ in found)
        return dict(found)

    json.loads(runner.CONFIG.read_text(), object_pairs_hook=pairs)
    assert len(patterns) == len(set(patterns)), sorted(each for each in patterns if patterns.count(each) > 1)
    for pattern, reason in CONFIG["DisabledTests"].items():
        prefix = next((each for each in (summary.OUT_OF_SCOPE, summary.OUR_CHOICE) if reason.startswith(each)), None)
        assert prefix is not None, f"{pattern}: {reason!r}"
        assert reason.removeprefix(prefix).strip(), pattern
        assert prefix == summary.OUT_OF_SCOPE or "RFC " in reason, f"{pattern}: which RFC allows it? {reason!r}"


def test_our_own_choices_are_few() -> None:
    ours = [pattern for pattern, reason in CONFIG["DisabledTests"].items() if reason.startswith(summary.OUR_CHOICE)]
    assert len(ours) < OUR_CHOICES


@pytest.mark.parametrize(
    "name",
    [
        *("MinimumVersion-Client-TLS12-TLS1-TLS", "MinimumVersion-Server2-TLS1-TLS13-TLS", "NoSSL3-Client"),
        *("Server-JDK11-NoWorkaround-1", "TLS13-Client-UnknownTicketFlags-2", "TrustAnchors-Unsolicited-Certificate"),
        *("PAKE-NormalClient-PAKEInHRR", "ServerPaddingServer-NotRequested", "AllExtensions-Client-Permute-TLS-TLS12"),
        *(
            "EmptyPSKHint-Client-TLS-Sync",
            "KeyShareWithServerHint-TLS13",
            "Compliance-wpa-202304-TLS-Client-RSA_WITH_3DES_EDE_CBC_SHA",
        ),
    ],
)
def test_a_wide_pattern_leaves_what_is_in_scope(name: str) -> None:
    assert not (summary.reason(CONFIG["DisabledTests"], name) or "").startswith(summary.OUT_OF_SCOPE)


@pytest.mark.parametrize(
    "name", ["TLS1-NoTicket-NoMint", "Resume-Server-TLS12-TLS1-TLS", "MinimumVersion-Client-TLS1-TLS11-TLS", "ALPN-DTLS-TLS13"]
)
def test_what_is_out_of_scope_is_disabled(name: str) -> None:
    assert (summary.reason(CONFIG["DisabledTests"], name) or "").startswith(summary.OUT_OF_SCOPE)


def test_tickets_among_half_rtt_data() -> None:
    """The suite's own server gives two there; ours gives one for the one that was used."""
    assert CONFIG["HalfRTTTickets"] == 1


def test_errors_map_to_lists() -> None:
    for theirs, ours in CONFIG["ErrorMap"].items():
        assert theirs.startswith(":") or " " in theirs, f"{theirs} is neither a reason nor a sentence of the shim's"
        assert isinstance(ours, list), theirs
        assert all(isinstance(each, str) and each for each in ours), f"{theirs}: the empty string would match every error"


def test_each_family_has_a_title_of_its_own_and_the_last_takes_the_rest() -> None:
    titles = [title for title, _ in FAMILIES]
    assert len(titles) == len(set(titles))
    assert FAMILIES[-1][1] == ("*",)
    assert summary.family("TLS-ECH-Client") == "Encrypted Client Hello"
    assert summary.family("Resume-Server-DTLS-TLS13") == "DTLS"
    assert summary.family("what nobody has thought of") == titles[-1]


def test_a_summary_counts_each_case_once() -> None:
    names = ["PSK-A", "PSK-B", "PSK-C", "KeyUpdate-A", "DTLS-A", "DTLS-B"]
    results = {
        "PSK-A": {"actual": "PASS"},
        "PSK-B": {"actual": "SKIP"},
        "PSK-C": {"actual": "FAIL", "error": "unexpected success\n"},
        "KeyUpdate-A": {"actual": "PASS"},
    }
    disabled = {"DTLS-*": "out of scope: DTLS"}
    cases = summary.outcomes(names, results, disabled, "")
    counts = summary.count(cases)
    assert counts == {
        "DTLS": {"passed": 0, "unimplemented": 0, "disabled": 2, "failed": 0},
        "external PSKs": {"passed": 1, "unimplemented": 1, "disabled": 0, "failed": 1},
        "key updates": {"passed": 1, "unimplemented": 0, "disabled": 0, "failed": 0},
    }
    assert summary.total(counts) == {"passed": 2, "unimplemented": 1, "disabled": 2, "failed": 1}
    assert summary.plain(counts).splitlines()[-1].split() == ["all", "2", "1", "2", "1"]
    assert "| external PSKs | 1 | 1 |  | 1 |" in summary.markdown(counts).splitlines()
    assert summary.as_data(cases)["PSK-C"] == {"family": "external PSKs", "result": "failed", "error": "unexpected success"}
    assert [case.name for case in summary.outcomes(names, {"PSK-A": {"actual": "PASS"}}, disabled, "PSK-A;DTLS-B")] == [
        "PSK-A",
        "DTLS-B",
    ]
