"""The files and the trace of a run: what --trace, --html, --pcapng, --save-run and --secrets ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from minitls.cli.common import USAGE, CommandError, lower

if TYPE_CHECKING:
    from minitls.cli.screen import Screen
    from minitls.observe import KeyLog
    from minitls.trace.recording import Recording
    from minitls.trace.run import Run

FILES = ("html", "pcapng", "save_run")


def check_outputs(args: argparse.Namespace) -> None:
    """What can be said before anything has happened.  Raises CommandError."""
    if args.secrets and not (args.trace == "keys" or args.html or getattr(args, "save_run", None)):
        raise CommandError(USAGE, "--secrets shows nothing by itself", "add --trace=keys, --html FILE or --save-run FILE")
    for name in FILES:
        given = getattr(args, name, None)
        path = Path(given or "")
        if given and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
            raise CommandError(USAGE, f"cannot write {given}")


def wants_wire(args: argparse.Namespace) -> bool:
    """Whether what goes over TCP has to be recorded, too."""
    return any(getattr(args, name, None) for name in FILES)


def recording_for(args: argparse.Namespace, role: Literal["client", "server"], screen: Screen | None = None) -> Recording:
    """A recording that keeps what the options ask for; with a screen, --trace is shown there as it happens."""
    from minitls.trace.recording import Recording

    recording = Recording(role, keep_secrets=bool(args.secrets or args.pcapng))
    if screen is not None and args.trace:
        from minitls.trace.text import TextTrace

        secrets = recording.key_log if args.secrets else None
        recording.also = TextTrace(role, screen.line, width=screen.width, glyphs=screen.glyphs, form=args.trace, key_log=secrets)
    return recording


def key_logs(recording: Recording) -> Sequence[KeyLog]:
    """Whom a configuration has to tell its secrets, besides who asked with --key-log."""
    return (recording.note_secret,) if recording.keep_secrets else ()


def show_trace(args: argparse.Namespace, recording: Recording, screen: Screen) -> None:
    """--trace of a run that is over."""
    from minitls.trace.text import draw

    secrets = recording.key_log if args.secrets else None
    drawn = draw(recording.role, recording.timeline, width=screen.width, glyphs=screen.glyphs, form=args.trace, key_log=secrets)
    for line in drawn:
        screen.line(line)


def write_outputs(
    args: argparse.Namespace, runs: Sequence[Run], *, other: Recording | None = None, each: bool = False
) -> list[Path]:
    """The files that are asked for; the page tells the last of the runs.  Gives their names.

    ``other``: the other side's recording of it, where both are ours.  ``each``: number the files, for there will be more.
    Raises CommandError.
    """
    written: list[Path] = []
    for name in FILES:
        path = getattr(args, name, None)
        if path:
            data = _rendered(name, args, runs, other)
            private = name == "pcapng" or bool(args.secrets)
            written.append(write_numbered(path, data, private=private) if each else write_file(path, data, private=private))
    return written


def _rendered(name: str, args: argparse.Namespace, runs: Sequence[Run], other: Recording | None) -> bytes:
    if name == "html":
        from minitls.trace.html import page

        return page(runs[-1], other=other, secrets=args.secrets).encode("utf-8")
    if name == "pcapng":
        from minitls.trace.pcapng import capture

        return capture([run.recording for run in runs])
    from minitls.trace.run import save

    return save(runs, secrets=args.secrets)


def write_file(path: str | Path, data: bytes, *, private: bool) -> Path:
    """``private``: its owner alone may read it, also if it was there already.  Raises CommandError."""
    _write(Path(path), data, private, os.O_CREAT)
    return Path(path)


def write_numbered(path: str, data: bytes, *, private: bool) -> Path:
    """The same under the next number that no file has: no run takes another's place, whichever process it was in."""
    for candidate in numbered(path):
        try:
            _write(candidate, data, private, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            continue
        return candidate
    raise AssertionError("there are always more numbers")


def numbered(path: str) -> Iterator[Path]:
    """``run-1.html``, ``run-2.html``, ... for ``run.html``; the number stands where the path has %d, if it has."""
    file = Path(path)
    number = 0
    while True:
        number += 1
        if "%d" in file.name:
            yield file.with_name(file.name.replace("%d", str(number)))
        else:
            yield file.with_name(f"{file.stem}-{number}{file.suffix}")


def _write(path: Path, data: bytes, private: bool, flags: int) -> None:
    flags |= os.O_WRONLY | getattr(os, "O_BINARY", 0)  # Windows has another mode, which changes the ends of lines
    try:
        with open(os.open(path, flags, 0o600 if private else 0o666), "wb") as file:
            if private:
                path.chmod(0o600)  # one that was there already may be open to others
            file.truncate()
            file.write(data)
    except FileExistsError:
        raise
    except OSError as error:
        raise CommandError(USAGE, f"cannot write {path}: {lower(error.strerror)}") from None
