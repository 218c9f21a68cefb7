"""Which versions a server speaks, by what it answers to a hello of each."""

from __future__ import annotations

from minitls.scan.answer import Answer, speaks_sslv2
from minitls.scan.asking import CODES, Scan, candidates
from minitls.scan.hello import sslv2_hello

PROTOCOL_VERSION = 70


async def probe(scan: Scan) -> list[Answer]:
    """Fill in ``versions``; gives what came of the hellos, for who wonders why there is none."""
    answers: list[Answer] = []

    async def speaks(version: str) -> bool:
        for batch in candidates(version):
            answer = await scan.ask(version, batch)
            answers.append(answer)
            if answer.version == CODES[version]:
                return True
            if answer.kind != "alert" or answer.alert == PROTOCOL_VERSION:
                return False  # else no suite of this batch may have been the reason
        return False

    async def speaks_ssl2() -> bool:
        came = await scan.prober.ask_raw(sslv2_hello(), lambda data: speaks_sslv2(data) is not None)
        return bool(speaks_sslv2(came))

    versions = list(CODES)
    found = await scan.prober.together(speaks_ssl2(), *map(speaks, versions))
    scan.facts.versions = dict(zip(("SSLv2", *versions), found, strict=True))
    return answers
