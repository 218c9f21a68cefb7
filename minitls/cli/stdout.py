"""stdout, whatever it is, takes all of what it is given, at once."""

from __future__ import annotations

import sys


def put(data: bytes) -> None:
    """Write ``data`` to the last byte.

    Under PYTHONUNBUFFERED the standard library writes straight to the file, where a signal that comes while a pipe is full cuts a
    write short (write(2)), and forgets the rest.
    """
    rest = memoryview(data)
    sys.stdout.flush()
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()
