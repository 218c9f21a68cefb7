"""What probes share: the scan at hand, and how an order is found by asking again without what was chosen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from minitls.certificates.trust import TrustStore
from minitls.config import ClientConfig, Danger
from minitls.policy import Policy
from minitls.scan.answer import Answer, Until
from minitls.scan.facts import Facts, Order, Preference
from minitls.scan.hello import Hello
from minitls.scan.prober import Prober, Seen
from minitls.scan.registry import Suite, suites
from minitls.wire.numbers import ProtocolVersion

BATCH = 100
"""Cipher suites in a hello: some servers have no room for all."""
CODES: dict[str, int] = {str(version): int(version) for version in ProtocolVersion}
Pick: TypeAlias = Callable[[tuple[int, ...]], Awaitable[int | None]]


@dataclass
class Scan:
    """``whom``: a name or an address, which the certificate has to be for; ``name``: to be asked for, None for an address;
    ``trust``: whom to believe; ``web``: whether a request may be sent.
    """

    prober: Prober
    facts: Facts
    whom: str
    name: str | None
    trust: TrustStore
    web: bool = True

    async def ask(self, version: str, offered: Iterable[int], until: Until = "hello", **more: object) -> Answer:
        """A hello of one version."""
        more.setdefault("name", self.name)
        hello = Hello(version=CODES[version], suites=tuple(offered)).replace(**more)
        answer = await self.prober.ask(hello, until)
        if answer.problem and answer.hello is not None:
            self.note(f"{version}: {answer.problem}")
        return answer

    def seen(self, version: str, der: tuple[bytes, ...], staple: bytes, scts: Sequence[bytes]) -> None:
        """A chain was shown to who asked for our name, and this beside it."""
        chain = self.facts.chain(der)
        chain.with_name = True
        if version not in chain.versions:
            chain.versions.append(version)
        chain.ocsp_response = max(chain.ocsp_response or b"", staple)
        chain.scts["tls"] = max(chain.scts.get("tls", 0), len(scts))

    def note(self, problem: str) -> None:
        if problem not in self.facts.unusual:
            self.facts.unusual.append(problem)

    def config(self, version: str | None = None, **changes: object) -> tuple[ClientConfig, Seen]:
        """For the engine: everything that it can speak, and nobody verified: that is judged apart."""
        seen = Seen()
        policy: dict[str, object] = {"secure_tls12": False, "cipher_suites": _ENGINE_SUITES}
        policy |= {name: changes.pop(name) for name in list(changes) if name in Policy.__dataclass_fields__}
        if version is not None:
            policy["versions"] = (version,)
        changes.setdefault("session_store", None)
        config = ClientConfig(
            policy=Policy.legacy.replace(**policy),
            verify=Danger.accept_any_certificate,
            grease=False,
            observer=seen,
            **changes,  # type: ignore[arg-type]
        )
        return config, seen


_ENGINE_SUITES = (*Policy.legacy.cipher_suites, "TLS_AES_128_CCM_8_SHA256")


def candidates(version: str) -> list[tuple[int, ...]]:
    """The suites that a version may have, in batches, the usual ones first."""
    tls13 = version == "TLSv1.3"
    found = [code for code in suites() if Suite.of(code).tls13 == tls13]
    return [tuple(found[at : at + BATCH]) for at in range(0, len(found), BATCH)]


async def in_order(pick: Pick, left: Sequence[int]) -> list[int]:
    """What the server takes of these, in the order of its choices."""
    found: list[int] = []
    remaining = list(left)
    while remaining:
        choice = await pick(tuple(remaining))
        if choice is None or choice not in remaining:
            break
        found.append(choice)
        remaining.remove(choice)
    return found


async def whose_order(pick: Pick, found: Sequence[int]) -> Order | None:
    """Whether the server still chooses its first when that is offered last."""
    if len(found) < 2:
        return None
    return "client" if await pick(tuple(reversed(found))) == found[-1] else "server"


async def preference(scan: Scan, pick: Pick, batches: Sequence[Sequence[int]]) -> Preference:
    """What the server takes of all batches, and in whose order."""
    lists = [found for found in await scan.prober.together(*(in_order(pick, batch) for batch in batches)) if found]
    everything = [code for found in lists for code in found]
    order = await whose_order(pick, everything)
    if order != "server" or len(lists) < 2:
        return Preference(tuple(everything), order)
    merged: list[int] = []
    while len(lists) > 1:  # each list is in the server's order already: only their heads compete
        choice = await pick(tuple(found[0] for found in lists))
        best = next((found for found in lists if found[0] == choice), lists[0])
        merged.append(best.pop(0))
        lists = [found for found in lists if found]
    return Preference((*merged, *(code for found in lists for code in found)), order)
