"""What an import costs: milliseconds over ``import asyncio``, each in an interpreter of its own, the median of a few."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

STATEMENTS = {
    ("minitls", False): "import minitls",
    ("minitls", True): (
        "from minitls import ClientConfig, Credential, ServerConfig, TrustStore\n"
        "from minitls import create_connection, create_server, open_connection, start_server"
    ),
    ("tlslite", False): "import tlslite.api",
}
CODE = "import asyncio, time; start = time.perf_counter()\n{}\nprint((time.perf_counter() - start) * 1000)"


def import_time(kind: str, ready: bool, count: int) -> dict[str, Any]:
    command = [sys.executable, "-c", CODE.format(STATEMENTS[kind, ready])]
    subprocess.run(command, check=True, capture_output=True)  # compiled, and in the page cache
    times = [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(count)]
    return {"value": statistics.median(times), "times": times}
