"""``python -m minitls`` is the command."""

from __future__ import annotations

import sys

from minitls.cli import main

if __name__ == "__main__":
    sys.exit(main())
