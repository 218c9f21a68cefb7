"""HTML that cannot be injected: text becomes markup in :func:`tag` alone, and everything else passes :func:`escape` on its way."""

from __future__ import annotations

import html
from typing import TypeAlias

from minitls.trace.values import safe


class Markup(str):
    """HTML.  Made by :func:`tag`, :func:`escape` and :func:`joined`, and of what is in this package."""

    __slots__ = ()


Child: TypeAlias = "str | Markup | None"
VOID = frozenset({"meta", "wbr", "line", "circle", "rect"})
"""Elements without content; SVG's close themselves."""


def escape(text: str) -> Markup:
    """A stranger's text, or ours: no markup, no control characters, nothing that turns the direction of writing."""
    return text if isinstance(text, Markup) else Markup(html.escape(safe(text), quote=True))


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Markup:
    """An element.  Attributes in Python's spelling: ``class_``, ``aria_label``; True is there without a value."""
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{shown}>" if name in ("meta", "wbr") else f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """One after the other."""
    return Markup("".join(escape(child) for child in children if child is not None))


def breakable(name: str) -> Markup:
    """A long name that may go on in the next line after an underscore."""
    first, *more = name.split("_")
    return joined(first, *(joined("_", tag("wbr"), part) for part in more))
