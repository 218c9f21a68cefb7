"""Where a body goes: to stdout, to a file, or to the end of a file that has its beginning; with a bar on a terminal."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from minitls.cli.common import RANGE, USAGE, CommandError, lower
from minitls.cli.stdout import put

if TYPE_CHECKING:
    from minitls.cli.http import Head

PARTIAL, UNSATISFIABLE = 206, 416


class Sink:
    """What takes a body's pieces.  ``output``: a file's name, None for stdout; ``go_on``: what is there is the beginning.

    A file is made when there is an answer to put into it: a failure leaves none behind.
    """

    def __init__(self, output: str | None, *, go_on: bool = False) -> None:
        self._output = output
        self._file: BinaryIO
        self._bar: Any = None
        self._task: Any = None
        self._opened = ExitStack()
        self.first = Path(output).stat().st_size if go_on and output is not None and Path(output).exists() else 0
        self.complete = False

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def begin(self, head: Head) -> Any:
        """An answer has come: what its pieces are handed to.  Raises CommandError where it is not the rest that was asked for."""
        if self.first and head.status == UNSATISFIABLE and head.headers.get("content-range") == f"bytes */{self.first}":
            self.complete = True
            return lambda piece: None
        if self.first and head.status == UNSATISFIABLE:
            raise CommandError(RANGE, f"{self._output} has {self.first} bytes, and the server says that is not the beginning of it")
        if self.first and head.status == PARTIAL and not head.headers.get("content-range", "").startswith(f"bytes {self.first}-"):
            raise CommandError(RANGE, "the server sends another part than the one that was asked for")
        if self._output is None:
            return put
        at_end = bool(self.first) and head.status == PARTIAL
        try:
            self._file = self._opened.enter_context(open(self._output, "ab" if at_end else "wb"))  # noqa: SIM115  # it is one
        except OSError as error:
            raise CommandError(USAGE, f"cannot write {self._output}: {lower(error.strerror)}") from None
        self._show(self.first if at_end else 0, head.number("content-length"))
        return self._write if self._bar is not None else self._file.write

    def _show(self, done: int, left: int | None) -> None:
        """A bar, where somebody watches."""
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        columns = (BarColumn(None), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        bar = Progress(TextColumn("{task.description}"), *columns, console=console, transient=True)
        self._bar = self._opened.enter_context(bar)
        name = Path(self._output or "").name
        self._task = self._bar.add_task(name.replace("[", "\\["), total=None if left is None else done + left, completed=done)

    def _write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._bar.update(self._task, advance=len(piece))
