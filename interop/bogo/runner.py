"""The suite's runner: where it comes from, which cases it has, and a run of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TREE = HERE.parents[1]
CONFIG = HERE / "config.json"

MODULE = "boringssl.googlesource.com/boringssl.git"
VERSION = "v0.0.0-20260821155238-a0689af29e8e"
"""Go's name for the commit of that second (UTC).  The numbers of cases, and config.json, are this revision's."""
PASSES, ASYNCIO_PASSES = 3_030, 3_020
"""How many of its cases pass, by the engine and by asyncio: a run of all of them in which fewer do has failed.  The former are
those of README.md's table."""

ASYNCIO = "-minitls-asyncio"
SOCKET = "MINITLS_BOGO"
"""The variable that tells client.c the nursery's socket."""

NURSERY = (sys.executable, "-W", "ignore", "-m", "interop.bogo.nursery")
NAMES_SHIM = """\
#!/bin/sh
[ "$*" = -is-handshaker-supported ] && echo No && exit 0
exit 89
"""
PLAIN_SHIM = """\
#!/bin/sh
PYTHONPATH={tree} exec {python} -W ignore -m interop.bogo.shim "$@"
"""
STATUS = re.compile(r"(PASSED|UNIMPLEMENTED|FAILED) \((.*)\)\n")


class Unavailable(Exception):
    """There is no runner to be had here; the sentence says why."""


class Broken(Exception):
    """The runner could not be built, or did not get to its end."""


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minitls-bogo"


def last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it says nothing").strip()


def go(*arguments: str | Path, folder: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # no go.work of the user's folders has a say
    variables = os.environ | {"GOWORK": "off"} | (environ or {})
    return subprocess.run(["go", *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False)


def obtain(cache: Path, said: Callable[[str], None]) -> Path:
    """The compiled runner, from the cache or made anew, as Go's own tests of crypto/tls get it: by the Go module proxy."""
    folder = cache / VERSION
    program = folder / "runner"
    if program.exists():
        return program
    if shutil.which("go") is None:
        raise Unavailable("there is no go toolchain to build the suite's runner with")
    folder.mkdir(parents=True, exist_ok=True)
    said(f"getting {MODULE}@{VERSION}")
    fetched = go("mod", "download", "-json", f"{MODULE}@{VERSION}", folder=folder)
    try:
        told = json.loads(fetched.stdout)
    except ValueError:
        told = {"Error": last_line(fetched.stderr)}
    if "Dir" not in told:
        raise Unavailable(f"the Go module proxy does not give {MODULE}: {last_line(told['Error'])}")
    # The module is its own main module, in a folder that cannot be written to.
    source, readonly = Path(told["Dir"]), {"GOFLAGS": "-mod=readonly"}
    needed = go("list", "-deps", "-test", "./ssl/test/runner", folder=source, environ=readonly)
    if needed.returncode:
        raise Unavailable(f"the Go module proxy does not give what the suite's runner needs: {last_line(needed.stderr)}")
    said("compiling the suite's runner")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = go("test", "-c", "-o", Path(scratch, "runner"), "./ssl/test/runner", folder=source, environ=readonly)
        if built.returncode:
            raise Broken(f"the suite's runner does not compile:\n{built.stderr}")
        os.replace(Path(scratch, "runner"), program)
    return program


def script(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o700)
    return file


def names(runner: Path, cache: Path) -> list[str]:
    """Every case that the runner has.  It tells by running them all, against a shim that implements none: a matter of seconds."""
    with runner.open("rb") as file:
        mark = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    kept = cache / f"names-{mark}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as scratch:
            shim, told = script(Path(scratch, "shim"), NAMES_SHIM), Path(scratch, "names")
            command: list[str | Path] = [runner, "-shim-path", shim, "-allow-unimplemented", "-pipe", "-json-output", told]
            done = subprocess.run(
                command,
                cwd=scratch,
                env=os.environ | {"TMPDIR": scratch},
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            if not told.exists():
                raise Broken(f"{runner} does not tell its cases:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            found = list(json.loads(told.read_text())["tests"])
            cache.mkdir(parents=True, exist_ok=True)
            script(Path(scratch, "kept"), json.dumps(found)).replace(kept)
    known: list[str] = json.loads(kept.read_text())
    return known


def compiled_client(cache: Path) -> Path | None:
    """client.c, compiled; None where there is no C compiler."""
    source = HERE / "client.c"
    program = cache / f"client-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch, "client")
            subprocess.run([compiler, "-O2", "-o", made, source], check=True)
            made.replace(program)
    return program


@contextlib.contextmanager
def nursery(scratch: Path, program: Sequence[str] = NURSERY) -> Iterator[dict[str, str]]:
    """A nursery that runs; the variables by which a client finds it."""
    path = scratch / "nursery"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        command = [*program, str(listener.fileno())]
        # In a session of its own: Ctrl-C is for us, and our end closes its standard input, which ends it.
        serving = subprocess.Popen(
            command,
            cwd=TREE,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    try:
        yield {SOCKET: str(path)}
    finally:
        assert serving.stdin is not None
        serving.stdin.close()
        serving.wait()


@dataclass(frozen=True)
class Options:
    tests: str = ""
    """Patterns, with semicolons between; "" is all."""
    workers: int | None = None
    idle: float = 15.0
    """Seconds that the runner waits for the shim to say something."""
    asyncio: bool = False
    plain: bool = False
    """Start a Python for each case rather than fork one."""
    include_disabled: bool = False
    debug: bool = False


def run(runner: Path, cache: Path, options: Options, case: Callable[[str, str, str], None]) -> dict[str, dict[str, str]]:
    """Run the suite: ``case(name, verdict, error)`` as each ends.  Gives the runner's report: {name: {"actual": "PASS", ...}}."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        scratch = Path(folder)
        environ = os.environ | {"TMPDIR": folder}
        client = None if options.plain else compiled_client(cache)
        if client is None:
            plain = PLAIN_SHIM.format(tree=shlex.quote(str(TREE)), python=shlex.quote(sys.executable))
            client = script(scratch / "shim", plain)
        else:
            environ |= stack.enter_context(nursery(scratch))
        report = scratch / "report.json"
        command: list[str | Path] = [
            *(runner, "-shim-path", client, "-shim-config", CONFIG, "-allow-unimplemented", "-pipe", "-json-output", report),
            *("-idle-timeout", f"{options.idle}s", "-num-workers", str(options.workers or os.cpu_count() or 1)),
        ]
        if options.tests:
            command += ["-test", options.tests]
        if options.asyncio:
            command += ["-shim-extra-flags", ASYNCIO]
        command += ["-include-disabled"] * options.include_disabled + ["-debug"] * options.debug
        running = subprocess.Popen(
            command, cwd=scratch, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with running:
            try:
                rest = follow(running, case)
            finally:
                running.kill()
        if not report.exists():
            raise Broken(f"the runner ended with status {running.returncode}, and no report:\n{rest}")
        results: dict[str, dict[str, str]] = json.loads(report.read_text())["tests"]
        return results


def follow(running: subprocess.Popen[bytes], case: Callable[[str, str, str], None]) -> str:
    """Tell each case as it ends.  What a runner prints below FAILED is the error; gives the last of what belongs to none."""
    assert running.stdout is not None
    failed, text = "", ""
    for raw in running.stdout:
        line = raw.decode(errors="replace")
        found = STATUS.fullmatch(line)
        if found is None:
            text = (text + line)[-20_000:]
            continue
        if failed:
            case(failed, "FAILED", text.strip())
            failed = ""
        verdict, name = found.groups()
        text = ""
        if verdict == "FAILED":
            failed = name
        else:
            case(name, verdict, "")
    if failed:
        case(failed, "FAILED", text.strip())
    running.wait()
    return text
