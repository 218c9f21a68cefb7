"""What shells and man are told of the command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from minitls.cli import COMMANDS, main, whole_parser
from minitls.cli.common import USAGE
from minitls.cli.completion import SHELLS
from tests.running import run


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "minitls"
    path.write_bytes(run("completion", "bash").stdout)
    return path


def completed(script: Path, line: str, cwd: Path) -> set[str]:
    """What bash offers when somebody presses Tab at the end of the line."""
    words = line.split(" ")
    ask = f"""
        source {script}
        COMP_WORDS=({" ".join(words[:-1])} "{words[-1]}")
        COMP_CWORD={len(words) - 1}
        COMP_LINE="{line}"
        COMP_POINT={len(line)}
        $(complete -p minitls | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, cwd=cwd, timeout=20, check=False)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes(script: Path, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").touch()
    assert completed(script, "minitls co", tmp_path) == {"connect", "completion"}
    assert {"--trace", "--tls"} <= completed(script, "minitls connect --t", tmp_path)
    assert completed(script, "minitls connect --starttls p", tmp_path) == {"pop3", "postgres"}
    assert completed(script, "minitls certs m", tmp_path) == {"make"}
    assert completed(script, "minitls serve --cert cha", tmp_path) == {"chain.pem"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_hears_of_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert not [command for command in COMMANDS if command not in script]


def test_a_shell_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fsh"]) == USAGE
    assert "did you mean fish?" in capsys.readouterr().err


def test_the_manual_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["man"]) == 0
    page = capsys.readouterr().out
    assert page.startswith('.TH MINITLS "1"')
    assert not [command for command in COMMANDS if f"minitls {command}" not in page]
    assert "47 too many redirects" in page
    if shutil.which("groff") is not None:
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True, check=True)
        assert "NAME" in done.stdout


def test_all_parsers_together() -> None:
    """Made anew each time, and with what each command has by itself."""
    assert whole_parser().format_usage() == "usage: minitls [-h] COMMAND ...\n"
