"""What an import costs: milliseconds over ``import asyncio``, each in an interpreter of its own, the median of a few.

The bytecode is compiled before, as an installer does, whatever the environment says of that; ``asyncio_ms`` in the sample is what
asyncio itself took, by which one machine can be compared with another.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

STATEMENTS = {
    ("minitls", False): "import minitls",
    ("minitls", True): (
        "from minitls import ClientConfig, Credential, ServerConfig, TrustStore\n"
        "from minitls import create_connection, create_server, open_connection, start_server"
    ),
    ("tlslite", False): "import tlslite.api",
}
CODE = """import time
start = time.perf_counter()
import asyncio
middle = time.perf_counter()
{}
print(middle - start, time.perf_counter() - middle)"""


def import_time(kind: str, ready: bool, count: int, folder: Path) -> dict[str, Any]:
    """``folder``: where the bytecode goes."""
    command = [sys.executable, "-c", CODE.format(STATEMENTS[kind, ready])]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def once() -> list[float]:
        done = subprocess.run(command, check=True, capture_output=True, env=environment)
        return [float(seconds) * 1000 for seconds in done.stdout.split()]

    once()  # compiles, the first time
    times = [once() for _ in range(count)]
    return {
        "value": statistics.median(ours for _, ours in times),
        "asyncio_ms": statistics.median(asyncios for asyncios, _ in times),
        "times": [ours for _, ours in times],
    }
