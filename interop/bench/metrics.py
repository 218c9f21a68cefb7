"""What is measured: each metric is a task of the client's, with its arguments, for some kinds of stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KIB = 1024
LOOPS = ("minitls", "ssl", "tcp")
WIRED = (*LOOPS, "go")
SECURE = ("minitls", "ssl", "go")


@dataclass(frozen=True)
class Metric:
    """``task`` and ``params``: what the client is told; it does ``count`` pieces of work, ``first`` in the warm-up.

    ``scale``: what a value is a number of, such as 1e6 bytes.  ``multiple``: ``count`` is a multiple of this.
    ``direct``: the client says the value itself, and ``count`` is ``first``.  ``short``: part of the short pass.
    """

    name: str
    title: str
    unit: str
    task: str
    params: Mapping[str, Any]
    kinds: tuple[str, ...]
    first: int
    scale: float = 1.0
    multiple: int = 1
    higher_is_better: bool = True
    direct: bool = False
    short: bool = False

    @property
    def alone(self) -> bool:
        """The client does it without a server and without a loop."""
        return self.task in ("memory", "imports")

    @property
    def main(self) -> bool:
        """Where its time goes is told: it is in the short pass, with the network, and as everybody has it by default."""
        return (
            self.short and self.task in ("bulk", "roundtrips", "handshakes") and self.params.get("variant", "default") == "default"
        )

    @property
    def cpu_unit(self) -> str:
        """CPU time is given for this much work."""
        return "ms/MB" if self.unit == "MB/s" else "us"

    @property
    def cpu_scale(self) -> float:
        """What makes seconds for a piece of work a number of ``cpu_unit``."""
        return 1e9 if self.unit == "MB/s" else 1e6


def _bulk(name: str, title: str, operation: str, face: str, piece: int, kinds: tuple[str, ...], short: bool = False) -> Metric:
    params = {"operation": operation, "face": face, "piece": piece}
    first = (2 if piece < 16 * KIB else 16) << 20
    return Metric(name, title, "MB/s", "bulk", params, kinds, first, scale=1e6, multiple=piece, short=short)


def _handshakes(
    name: str, title: str, at_once: int, variant: str, visit: str, kinds: tuple[str, ...] = SECURE, short: bool = False
) -> Metric:
    params = {"at_once": at_once, "variant": variant, "visit": visit}
    return Metric(name, title, "/s", "handshakes", params, kinds, 2 * at_once if at_once > 1 else 8, short=short)


def _cpu(variant: str, visit: str, title: str, short: bool = False) -> Metric:
    name = f"client-cpu-{visit}" + ("" if variant == "default" else f"-{variant}")
    params = {"variant": variant, "visit": visit}
    return Metric(name, title, "us", "memory", params, ("minitls", "ssl"), 150, higher_is_better=False, direct=True, short=short)


_NAMES = {"default": "", "x25519": ", x25519 only", "tls12": ", TLS 1.2"}
_VISITS = {"fresh": "full handshakes", "known": "full handshakes, known chain", "resumed": "resumed handshakes"}
_SHORT = {
    ("default", "fresh", 32),
    ("x25519", "fresh", 32),
    ("default", "known", 32),
    ("default", "resumed", 32),
    ("default", "fresh", 1),
}


def _all_handshakes() -> list[Metric]:
    made = []
    for visit, what in _VISITS.items():
        word = {"fresh": "handshakes", "known": "handshakes-known", "resumed": "resumed"}[visit]
        for at_once in (1, 32):
            for variant, said in _NAMES.items():
                name = f"{word}-{at_once}" + (f"-{variant}" if said else "")
                title = f"{what}{said}, {'one at a time' if at_once == 1 else '32 at once'}"
                slow = visit == "fresh" and at_once == 1 and variant != "x25519"
                kinds = (*SECURE, "tlslite") if slow else SECURE
                made.append(_handshakes(name, title, at_once, variant, visit, kinds, (variant, visit, at_once) in _SHORT))
    return made


METRICS = {
    metric.name: metric
    for metric in (
        _bulk("download-protocol", "download, Protocol, 256 KiB writes", "download", "protocol", 256 * KIB, WIRED, short=True),
        _bulk("upload-protocol", "upload, Protocol, 256 KiB writes", "upload", "protocol", 256 * KIB, WIRED, short=True),
        _bulk("download-buffered", "download, BufferedProtocol, 256 KiB writes", "download", "buffered", 256 * KIB, LOOPS),
        _bulk("upload-buffered", "upload, BufferedProtocol, 256 KiB writes", "upload", "buffered", 256 * KIB, LOOPS),
        _bulk("download-streams", "download, streams, 64 KiB writes", "download", "streams", 64 * KIB, LOOPS, short=True),
        _bulk("upload-streams", "upload, streams, 64 KiB writes", "upload", "streams", 64 * KIB, LOOPS, short=True),
        _bulk("download-1k", "download in 1 KiB writes", "download", "protocol", KIB, WIRED, short=True),
        _bulk("upload-1k", "upload in 1 KiB writes", "upload", "protocol", KIB, WIRED),
        Metric("roundtrips", "round trips of 64 B", "/s", "roundtrips", {}, (*WIRED, "tlslite"), 200, short=True),
        *_all_handshakes(),
        *(
            _cpu(variant, visit, f"client's CPU, {what}{said}, in memory", variant == "x25519")
            for variant, said in _NAMES.items()
            for visit, what in _VISITS.items()
        ),
        *(
            Metric(
                f"rss-{side}",
                f"RSS per idle connection, {side}",
                "KiB",
                "idle",
                {"side": side},
                WIRED,
                500,
                higher_is_better=False,
                direct=True,
                short=side == "server",
            )
            for side in ("server", "client")
        ),
        Metric(
            "import",
            "import, over importing asyncio",
            "ms",
            "imports",
            {"ready": False},
            ("minitls", "tlslite"),
            5,
            higher_is_better=False,
            direct=True,
            short=True,
        ),
        Metric(
            "import-ready",
            "import of all that a client and a server need, over asyncio",
            "ms",
            "imports",
            {"ready": True},
            ("minitls",),
            5,
            higher_is_better=False,
            direct=True,
        ),
    )
}
