"""Where the runner comes from, and what the command makes of it: a module of the suite's name and a runner of a few lines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from interop.bogo import runner
from interop.bogo.__main__ import UNAVAILABLE, main
from interop.peers.harness import find

RUNNER = """\
#!{python} -IWignore
# What the command needs of the suite's runner: each case starts the shim, and its status is the verdict.
import fnmatch, json, os, subprocess, sys, time

words = [word for word in sys.argv[1:] if word not in ("-pipe", "-allow-unimplemented", "-include-disabled", "-debug")]
given = dict(zip(words[::2], words[1::2]))
shim = given["-shim-path"]
assert subprocess.run([shim, "-is-handshaker-supported"], stdout=subprocess.PIPE, check=True).stdout == b"No\\n"
disabled = json.load(open(given["-shim-config"]))["DisabledTests"] if "-shim-config" in given else {{}}
tests = {{}}
for name in {names!r}:
    if name == "Crash" and "-shim-config" in given:
        print("panic: what nobody thought of")
        sys.exit(2)
    if name == "Hang" and "-shim-config" in given:
        print(f"FAILED (Number)\\n{{os.getpid()}}\\nPASSED (Good)", flush=True)
        time.sleep(600)
    if "-include-disabled" not in sys.argv and any(fnmatch.fnmatchcase(name, pattern) for pattern in disabled):
        continue
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in given.get("-test", "*").split(";")):
        continue
    extra = given["-shim-extra-flags"].split(";") if "-shim-extra-flags" in given else []
    done = subprocess.run([shim, *extra, "-no-such-flag" if name.startswith("Unknown") else "-is-handshaker-supported"])
    if done.returncode == 89:
        print(f"UNIMPLEMENTED ({{name}})")
        tests[name] = {{"actual": "SKIP"}}
    elif done.returncode or name.startswith("Bad"):
        print(f"FAILED ({{name}})\\nunexpected success\\n\\nwant:\\n\\tremote: \\":REASON:\\"")
        tests[name] = {{"actual": "FAIL", "error": "unexpected success"}}
    else:
        print(f"PASSED ({{name}})")
        tests[name] = {{"actual": "PASS"}}
json.dump({{"tests": tests}}, open(given["-json-output"], "w"))
sys.exit(any(each["actual"] == "FAIL" for each in tests.values()))
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"DisabledTests": {"*-DTLS": "out of scope: DTLS"}, "ErrorMap": {}}))
    monkeypatch.setattr(runner, "CONFIG", file)
    monkeypatch.setattr(runner, "PASSES", 0)
    return file


def runner_of(folder: Path, *names: str) -> Path:
    return runner.script(folder / "runner", RUNNER.format(python=sys.executable, names=names))


@pytest.mark.parametrize("how", [[], ["--plain"]])
def test_a_run_that_passes(how: list[str], tmp_path: Path, cache: Path, config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = runner_of(tmp_path, "Good-1", "Good-2", "Unknown-1", "Alert-DTLS")
    report = tmp_path / "report.json"
    assert main(["--runner", str(program), "--cache", str(cache), "--json", str(report), *how]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines()[-1].split() == ["all", "2", "1", "1"]
    assert "3 cases in" in error
    cases = json.loads(report.read_text())["cases"]
    assert {name: case["result"] for name, case in cases.items()} == {
        "Good-1": "passed",
        "Good-2": "passed",
        "Unknown-1": "unimplemented",
        "Alert-DTLS": "disabled",
    }
    assert cases["Alert-DTLS"]["reason"] == "out of scope: DTLS"


def test_a_run_that_fails_says_why(tmp_path: Path, cache: Path, config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = runner_of(tmp_path, "Bad-1", "Good-1", "Bad-2", "Alert-DTLS")
    assert main(["--runner", str(program), "--cache", str(cache), "--markdown"]) == 1
    out, error = capfd.readouterr()
    assert 'FAILED Bad-1\nunexpected success\n\nwant:\n\tremote: ":REASON:"\n' in error
    assert "FAILED Bad-2\nunexpected success" in error
    assert "| all | 1 |  | 1 | 2 |" in out.splitlines()
    assert main(["--runner", str(program), "--cache", str(cache), "--test", "Good-*"]) == 0


def test_a_run_in_which_fewer_pass_is_a_failure(
    tmp_path: Path, cache: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = runner_of(tmp_path, "Good-1", "Unknown-1", "Alert-DTLS")
    common = ["--runner", str(program), "--cache", str(cache)]
    monkeypatch.setattr(runner, "PASSES", 2)
    monkeypatch.setattr(runner, "ASYNCIO_PASSES", 1)
    assert main([*common, "--test", "Good-*"]) == 0, "some cases are none of its business"
    assert main([*common, "--asyncio"]) == 0
    assert "fewer" not in capfd.readouterr().err
    assert main(common) == 1
    assert "1 cases passed, which are fewer than the 2 of runner.py: " in capfd.readouterr().err
    monkeypatch.setattr(runner, "ASYNCIO_PASSES", 2)
    assert main([*common, "--asyncio"]) == 1


def test_disabled_cases_run_when_asked_for(tmp_path: Path, cache: Path, config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = runner_of(tmp_path, "Good-1", "Alert-DTLS")
    common = ["--runner", str(program), "--cache", str(cache)]
    assert main([*common, "--test", "Alert-DTLS"]) == 1
    assert "no case is left to run" in capfd.readouterr().err
    assert main([*common, "--test", "Alert-DTLS", "--include-disabled"]) == 0
    assert "1 cases in" in capfd.readouterr().err
    assert main([*common, "--list"]) == 0
    assert capfd.readouterr().out.splitlines() == ["Good-1  [records and flights]", "Alert-DTLS  [DTLS]  out of scope: DTLS"]


def test_a_pattern_without_a_case_is_a_failure(
    tmp_path: Path, cache: Path, config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--runner", str(runner_of(tmp_path, "Good-1")), "--cache", str(cache)]) == 1
    assert "'*-DTLS', which no case matches" in capfd.readouterr().err


def test_a_runner_that_crashes_is_a_failure(tmp_path: Path, cache: Path, config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = runner_of(tmp_path, "Good-1", "Crash", "Alert-DTLS")
    assert main(["--runner", str(program), "--cache", str(cache)]) == 1
    assert "panic: what nobody thought of" in capfd.readouterr().err


def test_an_interrupt_ends_everything(tmp_path: Path, cache: Path) -> None:
    program = runner_of(tmp_path, "Hang")
    command = [sys.executable, "-m", "interop.bogo", "--runner", str(program), "--cache", str(cache)]
    running = subprocess.Popen(
        command, cwd=runner.TREE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "FAILED Number\n"
    number = int(running.stderr.readline())
    running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=20)  # the nursery has our standard error, too: it is at its end
    assert (running.returncode, out, error.strip()) == (130, "", "")
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_without_go_it_says_so(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--cache", str(cache)]) == UNAVAILABLE
    assert capfd.readouterr().err == "BoGo not run: there is no go toolchain to build the suite's runner with\n"


def put_module(proxy: Path, mod: str, sources: dict[str, str]) -> None:
    """The suite's module as a Go module proxy in a folder has it."""
    folder = proxy / runner.MODULE / "@v"
    folder.mkdir(parents=True)
    (folder / f"{runner.VERSION}.info").write_text(json.dumps({"Version": runner.VERSION, "Time": "2026-08-21T15:52:38Z"}))
    (folder / f"{runner.VERSION}.mod").write_text(mod)
    with zipfile.ZipFile(folder / f"{runner.VERSION}.zip", "w") as archive:
        for name, text in {"go.mod": mod, **sources}.items():
            archive.writestr(f"{runner.MODULE}@{runner.VERSION}/{name}", text)


MOD = f"module {runner.MODULE}\n\ngo 1.21\n"
TEST = """\
package runner

import (
	"fmt"
	"os"
	"testing"
)

func TestAll(t *testing.T) {
	fmt.Println(Text)
	os.Exit(7)
}
"""


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go module proxy that is a folder, and a module cache of the test's own."""
    find("go", "golang-go")
    folder = tmp_path / "proxy"
    folder.mkdir()
    values: dict[str, Any] = {
        "GOPROXY": folder.as_uri(),
        "GOMODCACHE": tmp_path / "modules",
        "GONOSUMDB": runner.MODULE,
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    return folder


def test_the_runner_is_compiled_from_the_proxys_module(proxy: Path, cache: Path) -> None:
    put_module(
        proxy,
        MOD,
        {"ssl/test/runner/runner.go": 'package runner\n\nconst Text = "compiled"\n', "ssl/test/runner/runner_test.go": TEST},
    )
    said: list[str] = []
    program = runner.obtain(cache, said.append)
    done = os.popen(str(program))
    assert done.read() == "compiled\n"
    assert os.waitstatus_to_exitcode(done.close() or 0) == 7
    assert len(said) == 2
    shutil.rmtree(proxy)
    assert runner.obtain(cache, said.append) == program, "it is kept"
    assert len(said) == 2


def test_a_module_that_cannot_be_had(proxy: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--cache", str(cache)]) == UNAVAILABLE
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"BoGo not run: the Go module proxy does not give {runner.MODULE}: ")
    assert "no such file" in last


def test_a_module_that_needs_what_cannot_be_had(proxy: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mod = f"{MOD}\nrequire example.invalid/none v1.0.0\n"
    needing = 'package runner\n\nimport "example.invalid/none"\n\nconst Text = none.Text\n'
    put_module(proxy, mod, {"ssl/test/runner/runner.go": needing, "ssl/test/runner/runner_test.go": TEST})
    assert main(["--cache", str(cache)]) == UNAVAILABLE
    assert "does not give what the suite's runner needs: " in capfd.readouterr().err


def test_a_runner_that_does_not_compile_is_a_failure(proxy: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    put_module(proxy, MOD, {"ssl/test/runner/runner.go": "package runner\n", "ssl/test/runner/runner_test.go": TEST})
    assert main(["--cache", str(cache)]) == 1
    assert "undefined: Text" in capfd.readouterr().err
