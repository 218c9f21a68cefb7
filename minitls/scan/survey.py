"""The whole scan: which probe needs which, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from minitls.certificates.names import is_address, normalise
from minitls.certificates.trust import TrustStore
from minitls.scan import features, groups, identity, sessions, signatures, suites, tolerance, versions, web
from minitls.scan.answer import Answer
from minitls.scan.asking import Scan
from minitls.scan.facts import Facts
from minitls.scan.prober import Prober

Probe: TypeAlias = Callable[[Scan], Awaitable[None]]

SECTIONS: dict[str, Probe] = {
    "suites": suites.probe,
    "groups": groups.probe,
    "signatures": signatures.probe,
    "certificates": identity.probe,
    "features": features.probe,
    "sessions": sessions.probe,
    "tolerance": tolerance.probe,
    "http": web.probe,
}
"""What can be asked about, beside the versions: those are always found out, and the suites for all that comes after them."""


class Progress(Protocol):
    """Told what is being done, and of how many steps so many are over."""

    def __call__(self, section: str, done: int, total: int) -> None: ...


@dataclass
class NoTLS(Exception):
    """The server speaks no version at all.  ``answers``: what it said instead."""

    answers: list[Answer]

    def __str__(self) -> str:
        problem = next((answer.problem for answer in self.answers if answer.kind == "garbage"), "")
        if problem:
            return f"it does not speak TLS: {problem}"
        alert = next((answer.alert for answer in self.answers if answer.alert is not None), None)
        if alert is not None:
            return f"it takes none of our hellos, of any version, and answers with alert {alert}"
        if all(answer.kind == "silent" for answer in self.answers):
            return "it does not answer a ClientHello"
        return "it ends the connection at a ClientHello, of any version"


def scan_of(
    prober: Prober, host: str, port: int, *, name: str | None = None, trust: TrustStore | None = None, web: bool = True
) -> Scan:
    """``name``: to be asked for in the place of ``host``; ``web``: False where no HTTP is spoken.  Raises Misuse for no name."""
    asked = normalise(name or host)
    to_send = None if is_address(asked) else asked
    return Scan(prober, Facts(host, port, to_send), asked, to_send, trust or TrustStore.system(), web)


async def survey(scan: Scan, only: Collection[str] = (), progress: Progress = lambda section, done, total: None) -> Facts:
    """Find out everything, or ``only`` some sections.  Raises NoTLS and :class:`~minitls.scan.prober.Unreachable`."""
    wanted = [section for section in SECTIONS if (not only or section in only) and (scan.web or section != "http")]
    total = len(wanted) + 1
    progress("versions", 0, total)
    answers = await versions.probe(scan)
    if not any(scan.facts.versions.values()):
        raise NoTLS(answers)
    done = 1
    if wanted:
        progress("suites", done, total)
        await suites.probe(scan)  # the others offer what it has
        done += "suites" in wanted

    async def one(section: str) -> None:
        nonlocal done
        progress(section, done, total)
        await SECTIONS[section](scan)
        done += 1

    for section in wanted:
        if section != "suites":
            await one(section)
    progress("", total, total)
    return scan.facts
