"""The examples of every ``--help``: each is one that the command understands, and those that a test can run are run."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minitls.cli import whole_parser
from tests.running import LIMIT, Serving, environment, run, serving


def epilogs(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Of all commands, and of their own."""
    yield parser.epilog or ""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from epilogs(below)


def examples() -> Iterator[str]:
    """The lines with our command in them, without what is said of them."""
    for epilog in epilogs(whole_parser()):
        for line in epilog.splitlines():
            text = re.split(r" {2,}", line.strip())[0]
            if line.startswith("  ") and re.search(r"\bminitls (?!.*:$)", text):
                yield text


EXAMPLES = tuple(examples())
STARTERS = ("minitls demo", "minitls serve")
"""Tested with all their options elsewhere: the one takes its time, the other does not end."""
ELSEWHERE = ("--proxy", "unix:", "--starttls", "<(", "| man", "> ~")
"""What these need is in tests of their own (test_cli_reach, test_cli_shell)."""


def runnable(line: str) -> bool:
    return not line.startswith(STARTERS) and not any(each in line for each in ELSEWHERE) and "scan" not in line


def test_there_are_many() -> None:
    assert len(EXAMPLES) > 60
    assert sum(map(runnable, EXAMPLES)) > 30


@pytest.mark.parametrize("line", EXAMPLES)
def test_it_is_understood(line: str) -> None:
    command = re.search(r"minitls [^|<>)]*", line)
    assert command is not None
    whole_parser().parse_args(shlex.split(command[0])[1:])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "file.zip").write_bytes(bytes(1000))
    with serving(str(folder), "--dev", "--early-data", cwd=folder) as started:
        yield started


@pytest.fixture
def here(tmp_path: Path, server: Serving) -> Path:
    """A folder with what the examples find in theirs."""
    assert run("certs", "make", cwd=tmp_path).returncode == 0
    assert run("connect", server.address, "--ca", server.ca, "--save-run", "run.json", cwd=tmp_path).returncode == 0
    (tmp_path / "chain.pem").write_bytes((tmp_path / "certs" / "localhost-p256.pem").read_bytes())
    (tmp_path / "request.txt").write_bytes(b"GET / HTTP/1.0\r\n\r\n")
    (tmp_path / "ca.pem").write_bytes(Path(server.ca).read_bytes())
    (tmp_path / "file.zip").write_bytes(bytes(10))
    command = f'#!/bin/sh\nexec "{sys.executable}" -m minitls "$@"\n'
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "minitls").write_text(command)
    (tmp_path / "bin" / "minitls").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("line", [*filter(runnable, EXAMPLES)])
def test_it_does_what_it_says(line: str, here: Path, server: Serving) -> None:
    """With a server of ours for the ones that the examples name."""
    line = re.sub(r"(?<![\w.@*])example\.com", server.address, line).replace("localhost:8443", server.address)
    if server.address in line and "--ca" not in line:
        line = re.sub(r"minitls (connect|get|certs show)", r"minitls \1 --ca ca.pem", line)
    env = environment(PATH=f"{here}/bin:/usr/bin:/bin", XDG_DATA_HOME=str(here / "data"))
    if "--session kept" in line:  # kept by the same command before
        first = line.replace("--session kept ", "").replace(" --early-data", "")
        subprocess.run(["bash", "-c", first], cwd=here, env=env, check=True, timeout=LIMIT)
    done = subprocess.run(["bash", "-c", line], cwd=here, env=env, capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, (line, done.stderr.decode())
    assert b"Traceback" not in done.stderr
