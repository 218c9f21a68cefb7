"""RFC 8448's example handshakes: every step that it prints, in order, with its octets.

tests/data/rfc8448.json holds the RFC's text as data: sections ``private_keys`` (2), ``simple_1rtt`` (3), ``resumed_0rtt``
(4), ``hello_retry_request`` (5), ``client_authentication`` (6) and ``compatibility_mode`` (7).  The salt that the RFC prints
as "0 (all zero octets)" is 32 zero octets here, and "(empty)" is b"".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_DATA = Path(__file__).parent / "data" / "rfc8448.json"


@dataclass(frozen=True)
class Step:
    """``who``: "client", "server", or "" for the private keys.  ``what``: such as "send handshake record".

    ``octets``: by the RFC's names, such as "private key", "payload", "complete record", "PRK", "expanded".  A step that the
    RFC calls the same as another's has none, and ``same_as`` says whose.
    """

    who: str
    what: str
    octets: Mapping[str, bytes]
    same_as: str = ""

    def __getitem__(self, name: str) -> bytes:
        return self.octets[name]


def load() -> dict[str, list[Step]]:
    """All sections; see the module's docstring for their names."""
    return {
        section: [
            Step(s["who"], s["what"], {n: bytes.fromhex(o) for n, o in s["octets"].items()}, s.get("same_as", "")) for s in steps
        ]
        for section, steps in json.loads(_DATA.read_text()).items()
    }


def find(steps: Sequence[Step], what: str, who: str = "") -> Step:
    """The first step that has octets and whose text starts so, of one side if ``who`` is given."""
    return next(s for s in steps if s.what.startswith(what) and s.octets and who in ("", s.who))


def records(steps: Sequence[Step], who: str) -> list[Step]:
    """What one side sends, in order: each with "payload" and "complete record"."""
    return [s for s in steps if s.who == who and "complete record" in s.octets]
