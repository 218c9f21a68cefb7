"""The nursery, with a case of the test's own, and the client that asks for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interop.bogo import runner

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the client")

SERVER = """
import os, socket, sys, time
from interop.bogo.nursery import Nursery

def case(flags):
    match flags[0]:
        case "say":
            print(os.getcwd())
            print(repr(flags))
            print(repr(sys.stdin.read()))
            return 0
        case "status":
            print("said", file=sys.stderr)
            return int(flags[1])
        case "raise":
            raise ValueError("of the case")
        case "exit":
            sys.exit(0)
        case "kill":
            os.kill(os.getpid(), int(flags[1]))
        case "wait":
            print(os.getpid(), flush=True)
            time.sleep(600)

Nursery(socket.socket(fileno=int(sys.argv[1])), 0, case).serve()
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = runner.compiled_client(tmp_path_factory.mktemp("cache"))
    assert made is not None
    return made


@contextmanager
def nursery(folder: Path) -> Iterator[dict[str, str]]:
    command = [sys.executable, "-c", SERVER]
    with runner.nursery(folder, command) as variables:
        yield os.environ | variables


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    with nursery(tmp_path) as variables:
        yield variables


def ask(client: Path, environ: dict[str, str], *flags: str | bytes, **rest: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([client, *flags], env=environ, capture_output=True, timeout=30, check=False, **rest)  # type: ignore[call-overload,no-any-return]


def gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{number}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_until_gone(number: int) -> None:
    end = time.monotonic() + 20
    while not gone(number):
        assert time.monotonic() < end, f"{number} goes on"
        time.sleep(0.01)


def test_folder_flags_and_streams_arrive(client: Path, environ: dict[str, str], tmp_path: Path) -> None:
    long = "x" * 100_000
    flags: list[str | bytes] = ["say", b"\x03foo\xff\xfe", "", "a b\nc", long]
    done = ask(client, environ, *flags, cwd=tmp_path, input=b"to read")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    where, said, read = done.stdout.decode().splitlines()
    assert Path(where) == tmp_path.resolve()
    assert said == repr(["say", "\x03foo\udcff\udcfe", "", "a b\nc", long])
    assert read == repr("to read")


@pytest.mark.parametrize("status", [0, 1, 89, 90, 255])
def test_the_status_comes_back(client: Path, environ: dict[str, str], status: int) -> None:
    done = ask(client, environ, "status", str(status))
    assert done.returncode == status
    assert done.stderr == b"said\n"


@pytest.mark.parametrize(("flag", "text"), [("raise", b"ValueError: of the case"), ("exit", b"SystemExit")])
def test_a_case_that_raises_has_failed(client: Path, environ: dict[str, str], flag: str, text: bytes) -> None:
    done = ask(client, environ, flag)
    assert done.returncode == 1
    assert text in done.stderr


def test_a_case_that_is_killed_has_failed(client: Path, environ: dict[str, str]) -> None:
    assert ask(client, environ, "kill", str(int(signal.SIGKILL))).returncode == 128 + signal.SIGKILL


def test_cases_run_beside_each_other(client: Path, environ: dict[str, str]) -> None:
    with subprocess.Popen([client, "wait"], env=environ, stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        number = int(waiting.stdout.readline())
        assert ask(client, environ, "status", "7").returncode == 7
        assert not gone(number)
        waiting.kill()
    wait_until_gone(number)
    assert ask(client, environ, "status", "0").returncode == 0


def test_all_cases_end_with_the_nursery(client: Path, tmp_path: Path) -> None:
    with nursery(tmp_path) as environ:
        waiting = subprocess.Popen([client, "wait"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert waiting.stdout is not None
        number = int(waiting.stdout.readline())
    wait_until_gone(number)
    _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 1
    assert b"the nursery is gone" in said
    assert ask(client, environ, "status", "0").returncode == 1


def test_a_client_that_no_nursery_was_named(client: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != runner.SOCKET}
    done = ask(client, environ, "status", "0")
    assert done.returncode == 1
    assert runner.SOCKET.encode() in done.stderr
