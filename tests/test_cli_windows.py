"""The command where only that of the system is there which Windows has, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minitls.cli.outputs import write_file
from tests.running import LIMIT, environment, run

HIDE = """
import asyncio, multiprocessing, os, pkgutil, select, signal, socket, subprocess, sys, tempfile
pair = socket.socketpair
socket.socketpair = lambda: pair(socket.AddressFamily(1))
def nothing(*_):
    raise NotImplementedError
asyncio.SelectorEventLoop.add_signal_handler = nothing
HIDDEN = {
    os: "O_NONBLOCK WNOHANG chown fchmod fork forkpty getegid geteuid getgid getpgid getuid killpg nice openpty pipe2 posix_spawn"
        " readv sched_getaffinity sendfile setsid sysconf uname wait waitid writev",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 SIGWINCH pthread_kill pthread_sigmask sigwait",
    socket: "AF_UNIX MSG_DONTWAIT MSG_NOSIGNAL SO_REUSEPORT",
    select: "epoll poll",
}
for module, names in HIDDEN.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
for name in ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
"""
IMPORT_ALL = """
import minitls
for each in pkgutil.walk_packages(minitls.__path__, "minitls."):
    if each.name != "minitls.__main__":
        __import__(each.name)
"""
COMMAND = "from minitls.cli import main\nsys.exit(main())"
ELSEWHERE = (sys.executable, "-W", "error", "-c", HIDE + COMMAND)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, str]]:
    """``minitls serve --dev`` there: its address and its CA.  Windows has no signal that ends it well."""
    command = (*ELSEWHERE, "serve", "--dev", "--listen", "127.0.0.1:0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=folder, env=environment(), text=True) as process:
        assert process.stderr is not None
        found: dict[str, str] = {}
        try:
            for line in process.stderr:
                found |= re.findall(r"(listening|--ca) (?:on 127.0.0.1:)?(\S+)$", line.rstrip())
                if len(found) == 2:
                    break
            yield f"localhost:{found['listening']}", found["--ca"]
        finally:
            process.kill()


def test_everything_can_be_imported() -> None:
    subprocess.run((sys.executable, "-W", "error", "-c", HIDE + IMPORT_ALL), check=True, timeout=LIMIT)


def test_what_is_hidden_is_hidden() -> None:
    code = HIDE + "print(hasattr(os, 'fork'), hasattr(socket, 'AF_UNIX'))\nimport fcntl"
    done = subprocess.run((sys.executable, "-c", code), check=False, capture_output=True, timeout=LIMIT)
    assert done.stdout.split() == [b"False", b"False"]
    assert b"import of fcntl halted" in done.stderr


def test_the_commands(tmp_path: Path) -> None:
    for arguments in (["--help"], ["demo"], ["demo", "--html", "run.html", "--pcapng", "run.pcapng"], ["explain", "47"]):
        done = run(*arguments, cwd=tmp_path, command=ELSEWHERE)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout
    assert run("certs", "make", "--out", "certs", "localhost", cwd=tmp_path, command=ELSEWHERE).returncode == 0
    assert run("connect", "unix:/x", "--insecure", command=ELSEWHERE).returncode == 7
    assert run("serve", "--dev", "--workers", "2", command=ELSEWHERE).returncode == 2


def test_client_and_server(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    with serving(tmp_path) as (address, ca):
        for command in (["connect", address], ["get", f"https://{address}/hello.txt"], ["scan", address, "--only", "groups"]):
            done = run(*command, "--ca", ca, cwd=tmp_path, command=ELSEWHERE)
            assert done.returncode == 0, done.stderr.decode()
            assert done.stdout


def test_names_that_a_code_page_has_not(tmp_path: Path) -> None:
    done = run("certs", "make", "--out", "ключи", "localhost", cwd=tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode == 0
    assert rb"\u043a\u043b\u044e\u0447\u0438" in done.stdout


def test_files_are_written_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor of Windows' other mode would get more bytes than were written."""
    given: list[int] = []
    binary, opened = 1 << 30, os.open

    def noting(path: str, flags: int, mode: int = 0o777) -> int:
        given.append(flags)
        return opened(path, flags & ~binary, mode)

    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", noting)
    write_file(tmp_path / "run.pcapng", b"\n", private=True)
    assert [flags & binary for flags in given] == [binary]
