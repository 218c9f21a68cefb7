"""Go's crypto/tls: the program in ``go/``, built where it goes away again, with the Go that is installed; nothing is downloaded."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "go"


def build(folder: Path) -> Path:
    """The program.  Raises RuntimeError with what Go says."""
    program = folder / "go-stack"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0", "GOFLAGS": ""}
    command = ["go", "build", "-buildvcs=false", "-o", str(program), "."]
    built = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"go build failed: {built.stderr.strip()}")
    return program
