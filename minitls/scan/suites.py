"""Each version's cipher suites in the server's order, and how large its Diffie-Hellman numbers are."""

from __future__ import annotations

from minitls.crypto.groups import GROUPS, FiniteField
from minitls.scan.asking import CODES, Scan, candidates, preference
from minitls.scan.registry import Suite


async def probe(scan: Scan) -> None:
    versions = [version for version in CODES if scan.facts.versions.get(version)]
    await scan.prober.together(*(_of(scan, version) for version in versions))
    scan.facts.suites = {version: scan.facts.suites[version] for version in versions}
    await _numbers(scan)


async def _of(scan: Scan, version: str) -> None:
    async def pick(offered: tuple[int, ...]) -> int | None:
        answer = await scan.ask(version, offered)
        if answer.version != CODES[version]:
            return None
        if answer.suite not in offered:
            scan.note(f"{version}: the server chose the cipher suite 0x{answer.suite:04x}, which was not offered")
        return answer.suite

    scan.facts.suites[version] = await preference(scan, pick, candidates(version))


async def _numbers(scan: Scan) -> None:
    """The smallest prime that any of its suites comes with: export suites have one of their own."""
    for version in scan.facts.old:
        offered = [Suite.of(code) for code in scan.facts.codes(version) if Suite.of(code).finite]
        for kind in (True, False):
            codes = [suite.code for suite in offered if suite.export == kind]
            prime = (await scan.ask(version, codes, "done")).prime if codes else None
            if prime is not None and prime.bit_length() < (scan.facts.dh_bits or prime.bit_length() + 1):
                known = (each for each in GROUPS.values() if isinstance(each, FiniteField))
                scan.facts.dh_bits = prime.bit_length()
                scan.facts.dh_group = next((each.name for each in known if each.prime == prime), None)
