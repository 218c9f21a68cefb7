"""Which of the library's raises a test session has come by: each error notes the line that made it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import minitls.errors
from minitls.errors import TLSError

SOURCE = Path(minitls.errors.__file__).parent
LINES: set[tuple[str, int]] = set()
"""(file, line) of every construction of a TLSError in this session."""

WHOLE = pytest.StashKey[bool]()
"""Whether all test files take part in this run, and none of their tests was left out; set by conftest.py."""


def watch() -> None:
    """From now on."""
    make = TLSError.__init__

    def note(self: TLSError, *args: Any, **fields: Any) -> None:
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename == minitls.errors.__file__:
            frame = frame.f_back  # type: ignore[assignment]  # an error's own constructor
        LINES.add((frame.f_code.co_filename, frame.f_lineno))
        make(self, *args, **fields)

    TLSError.__init__ = note  # type: ignore[method-assign]
