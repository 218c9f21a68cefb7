"""A stack's two processes: started, pinned, told what to do, ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from interop.bench.stacks import Stack

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds that a process may take for an answer."""


class StackFailed(Exception):
    """A process of a stack says that something failed."""


class StackEnded(StackFailed):
    """A process of a stack is no more."""


def two_cores() -> tuple[int, int] | None:
    """Two cores that we may use, not two threads of one if that can be; None where there is one, or nobody can say."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    with contextlib.suppress(OSError):
        siblings = Path(f"/sys/devices/system/cpu/cpu{allowed[0]}/topology/thread_siblings_list").read_text().strip()
        for core in allowed[1:]:
            if Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text().strip() != siblings:
                return allowed[0], core
    return allowed[0], allowed[1]


@contextlib.contextmanager
def _on(core: int | None) -> Iterator[None]:
    """Children that are started inside run on this core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """One side of a stack.  It ends when its standard input does, so that it never outlives the harness."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], core: int | None) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed in end()
        with _on(core):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                cwd=ROOT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the harness, which ends them
            )

    def heard(self) -> dict[str, Any]:
        """Its next line.  Raises StackFailed."""
        assert self._process.stdout is not None
        limit = threading.Timer(PATIENCE, self._process.kill)
        limit.start()
        line = self._process.stdout.readline()
        limit.cancel()
        if not line:
            raise StackEnded(f"a process ended: {self._complaint()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StackFailed(answer["error"])
        return answer

    def ask(self, task: str, **params: Any) -> dict[str, Any]:
        """Do this, and say what came of it.  Raises StackFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"task": task, **params}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise StackEnded(f"a process ended: {self._complaint()}") from None
        return self.heard()

    def _complaint(self) -> str:
        """The last line that it wrote to its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip().rpartition("\n")[2] or "it said nothing"

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()


class Pair:
    """Server and client of a stack."""

    def __init__(self, stack: Stack, folder: Path, cores: tuple[int, int] | None, program: Path | None) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **stack.environment, "PYTHONPATH": path}
        for tuning in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
            if tuning not in stack.environment:
                environment.pop(tuning, None)

        def start(side: str) -> Process:
            command = [str(program), side] if program else [sys.executable, "-m", f"interop.bench.{side}"]
            core = None if cores is None else cores[side == "client"]
            return Process([*command, stack.name, str(folder)], environment, core)

        self._processes: list[Process] = []
        try:
            self._server = start("server")
            self._processes.append(self._server)
            self._client = start("client")
            self._processes.append(self._client)
            self._ports = self._server.heard()["ports"]
        except BaseException:
            self.end()
            raise

    def measure(self, task: str, **params: Any) -> dict[str, Any]:
        """The client's answer, and the server's CPU seconds with it."""
        before = self._server.ask("usage")
        answer = self._client.ask(task, ports=self._ports, **params)
        after = self._server.ask("usage")
        answer |= {f"server_{kind}": after[kind] - before[kind] for kind in ("cpu", "system")}
        return answer

    def alone(self, task: str, **params: Any) -> dict[str, Any]:
        """What the client can do without a server."""
        return self._client.ask(task, **params)

    def agreed(self) -> dict[str, Any]:
        return self._client.ask("agreed", ports=self._ports)

    def idle(self, count: int, warm_up: int = 10) -> tuple[float, float]:
        """Bytes per idle connection: the server's, the client's."""
        for task, params in (("hold", {"count": warm_up}), ("drop", {})):
            self._client.ask(task, ports=self._ports, **params)
        before = self.resident()
        self._client.ask("hold", ports=self._ports, count=count)
        after = self.resident()
        return (after[0] - before[0]) / count, (after[1] - before[1]) / count

    def resident(self) -> tuple[int, int]:
        """Bytes of memory: the server's, the client's."""
        return self._server.ask("memory")["bytes"], self._client.ask("rss")["bytes"]

    def end(self) -> None:
        for process in self._processes:
            process.end()
