"""Numbers by their names: what people write, as IANA calls it in any case, or as a code point."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TypeAlias, TypeVar

from minitls.errors import Misuse
from minitls.wire.numbers import ProtocolVersion

E = TypeVar("E", bound=IntEnum)
Name: TypeAlias = str | int

_ALIASES = {"p-256": "secp256r1", "p-384": "secp384r1", "p-521": "secp521r1", "1.3": "tlsv1.3", "1.2": "tlsv1.2"}


def lookup(registry: type[E], supported: Iterable[int], what: str, name: Name) -> E:
    """The member of ``registry`` that ``name`` means: IANA's name in any case, or the code point.  Raises Misuse."""
    names = {str(registry(code)) if registry is ProtocolVersion else registry(code).name: registry(code) for code in supported}
    if isinstance(name, int):
        found = [member for member in names.values() if member == name]
    else:
        wanted = _ALIASES.get(name.lower(), name.lower())
        found = [member for key, member in names.items() if key.lower() == wanted]
    if found:
        return found[0]
    import difflib  # for who made a mistake, and nobody else

    shown = f"0x{name:04x}" if isinstance(name, int) else repr(name)
    near = difflib.get_close_matches(str(name).lower(), [key.lower() for key in names], 1)
    guess = next((key for key in names if near and key.lower() == near[0]), None)
    hint = f"did you mean {guess}?" if guess else f"one of {', '.join(names)}"
    raise Misuse(f"unknown {what} {shown}: {hint}", reason="unknown_name")


def lookup_all(registry: type[E], supported: Iterable[int], what: str, names: Iterable[Name]) -> tuple[E, ...]:
    """The members that ``names`` mean, each once, in their order.  Raises Misuse, also for none."""
    supported = tuple(supported)

    def member(name: Name) -> E:
        return name if isinstance(name, registry) and name in supported else lookup(registry, supported, what, name)

    found = tuple(dict.fromkeys(map(member, names)))
    if not found:
        raise Misuse(f"at least one {what} is needed")
    return found
