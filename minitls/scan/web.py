"""One HEAD request: does it say that it is to be visited by HTTPS only, and how does it part?"""

from __future__ import annotations

import re

from minitls.scan.asking import Scan

HEAD_MAX = 2**15
PARTING = 2.0
"""Seconds that it may take to close after ``Connection: close``."""


def request(scan: Scan) -> bytes:
    """Harmless, also if it comes twice; b"" where no HTTP is spoken."""
    facts = scan.facts
    if not scan.web:
        return b""
    host = f"[{scan.whom}]" if ":" in scan.whom else scan.whom
    where = host if facts.port == 443 else f"{host}:{facts.port}"
    return f"HEAD / HTTP/1.1\r\nHost: {where}\r\nUser-Agent: minitls scan\r\nConnection: close\r\n\r\n".encode("ascii")


async def probe(scan: Scan) -> None:
    web = scan.facts.web
    config, _ = scan.config(alpn=("http/1.1",))
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        talk.send(request(scan))
        if not await talk.until(lambda: b"\r\n\r\n" in talk.data or len(talk.data) > HEAD_MAX):
            return
        lines = bytes(talk.data).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        status = re.fullmatch(r"HTTP/1\.[01] ([0-9]{3})(?: .*)?", lines[0])
        if status is None:
            return
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines[1:]))}
        web.status = int(status[1])
        web.hsts = headers.get("strict-transport-security")
        web.server = headers.get("server")
        await talk.until(lambda: talk.closed, PARTING)
        web.close_notify = talk.closed if talk.closed or talk.over else None
