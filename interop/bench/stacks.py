"""The stacks: a name, what it is made of, and whom it is compared with."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

TUNED = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""glibc's: blocks below 8 MiB come from the heap, and the heap is not given back for less than 64 MiB."""


@dataclass(frozen=True)
class Stack:
    """``kind``: minitls, ssl, tcp, tlslite or go; ``module``: where an "ssl" has ``create_default_context`` from.
    ``reference``: the stack that ratios are to.
    """

    name: str
    title: str
    kind: str
    loop: str = "asyncio"
    reference: str = "ssl"
    module: str = "ssl"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """It differs from no other by its loop or its environment alone."""
        return self.loop != "uvloop" and not self.environment

    @property
    def ours(self) -> bool:
        return "minitls" in (self.kind, self.module.partition(".")[0])

    def takes_part(self, task: str, variant: str) -> bool:
        """What differs only by its loop or its environment is measured where that matters: malloc in bulk, a loop by default."""
        if self.environment:
            return task == "bulk"
        return self.plain or variant == "default"

    @property
    def tells_units(self) -> bool:
        """It can say what a cryptographic operation costs it."""
        return self.kind in ("minitls", "ssl", "go")

    def missing(self) -> str | None:
        """Why it cannot take part here, if it cannot."""
        needed = {"uvloop": self.loop, "tlslite": self.kind}
        for module, wanted in needed.items():
            if wanted == module and importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
        if self.kind == "ssl" and importlib.util.find_spec(self.module) is None:
            return f"there is no {self.module}"
        if self.kind == "go" and shutil.which("go") is None:
            return "there is no go toolchain"
        return None


STACKS = {
    stack.name: stack
    for stack in (
        Stack("minitls", "minitls", "minitls"),
        Stack("ssl", "asyncio+ssl", "ssl"),
        Stack("ssl-malloc", "asyncio+ssl, malloc tuned", "ssl", environment=TUNED),
        Stack("dropin", "minitls.ssl", "ssl", module="minitls.ssl"),
        Stack("tcp", "raw TCP", "tcp"),
        Stack("minitls-uvloop", "minitls, uvloop", "minitls", "uvloop", "ssl-uvloop"),
        Stack("ssl-uvloop", "uvloop+ssl", "ssl", "uvloop"),
        Stack("ssl-uvloop-malloc", "uvloop+ssl, malloc tuned", "ssl", "uvloop", "ssl-uvloop", environment=TUNED),
        Stack("dropin-uvloop", "minitls.ssl, uvloop", "ssl", "uvloop", "ssl-uvloop", module="minitls.ssl"),
        Stack("tcp-uvloop", "raw TCP, uvloop", "tcp", "uvloop", "ssl-uvloop"),
        Stack("go", "Go crypto/tls", "go", ""),
        Stack("tlslite", "tlslite-ng", "tlslite", ""),
    )
}
