"""The command as tests run it: in this process, or as a program of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MINITLS = (sys.executable, "-W", "error", "-m", "minitls")
LIMIT = 20.0


def environment(**more: str) -> dict[str, str]:
    """This process's, without what would change how things look."""
    hidden = {"NO_COLOR", "FORCE_COLOR", "SSLKEYLOGFILE", "COLUMNS"}
    return {name: value for name, value in os.environ.items() if name not in hidden} | more


def run(
    *arguments: str, stdin: bytes = b"", cwd: Path | None = None, command: Sequence[str] = MINITLS, **env: str
) -> subprocess.CompletedProcess[bytes]:
    """The command, to its end; nothing of it may be a traceback."""
    done = subprocess.run(
        (*command, *arguments), input=stdin, capture_output=True, timeout=LIMIT, cwd=cwd, env=environment(**env), check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


@dataclass
class Serving:
    """A ``minitls serve`` that runs.  ``lines``: its stderr so far; ``ca``: where its development CA is, if it has one."""

    process: subprocess.Popen[bytes]
    lines: list[str] = field(default_factory=list)
    port: int = 0
    ca: str = ""
    _more: threading.Condition = field(default_factory=threading.Condition)

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line.decode().rstrip("\n"))
                self._more.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line of its stderr that has this."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        with self._more:
            assert self._more.wait_for(found, LIMIT), self.lines
        match = found()
        assert match is not None
        return match

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT)


@contextmanager
def serving(*arguments: str, cwd: Path | None = None, **env: str) -> Iterator[Serving]:
    """``minitls serve`` on a free port, ready."""
    command = (*MINITLS, "serve", "--listen", "127.0.0.1:0", *arguments)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=environment(**env))
    server = Serving(process)
    reader = threading.Thread(target=server.read)
    reader.start()
    try:
        server.port = int(server.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])
        if "--dev" in arguments:
            server.ca = server.wait_for(r"--ca (\S+)$")[1]
        yield server
    finally:
        if process.poll() is None:
            server.stop()
        reader.join(LIMIT)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
    assert not any("Traceback" in line for line in server.lines), server.lines
