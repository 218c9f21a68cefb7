"""``--html``: a run as a page of its own, for beginners above and experts below.

One file that asks nobody for anything and can be read without scripts; what scripts add is that a field's bytes light up when it is
pointed at.  Every text passes :func:`minitls.trace.markup.escape`; a Content-Security-Policy with the hashes of our own style and
script is a second wall, behind which nothing else would run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Literal, TypeAlias

from minitls.trace.html_proofs import certificates, key_tree, secrets_of
from minitls.trace.html_wire import Wire, axis, messages
from minitls.trace.markup import Markup, breakable, tag
from minitls.trace.phases import Phase, phases
from minitls.trace.recording import Recording
from minitls.trace.run import Run
from minitls.trace.steps import Arrow, Fact, Step, milliseconds
from minitls.trace.story import on_the_way, tell
from minitls.trace.values import safe
from minitls.trace.verdict import verdict

MARKS = {"good": "✓", "warn": "!", "bad": "✗"}
SECTIONS = (
    ("short", "In short"),
    ("offer", "What you offered"),
    ("story", "Step by step"),
    ("wire", "On the wire"),
    ("keys", "The keys"),
    ("certificates", "The certificates"),
    ("seen", "What others have seen"),
)
OFFER = "Your hello lists what your side can do, and we choose. ✓ is what we took; what has no mark we have, too; ? we do not have."
Fate: TypeAlias = Literal["taken", "left", "strange"]
"""What becomes of something offered: chosen; not chosen, though the chooser has it; unknown to the chooser."""
FATES: dict[Fate, str] = {"taken": "taken", "left": "not taken", "strange": "not ours"}


@dataclass(frozen=True, slots=True)
class Offer:
    """``what``: a kind of things; ``items``: those that were offered, by their names."""

    what: str
    items: tuple[tuple[str, Fate], ...]


@dataclass(frozen=True, slots=True)
class Visitor:
    """For the one who reads the page over the very connection that it tells of.  ``facts``: what we know of this visitor."""

    facts: tuple[Fact, ...]
    offers: tuple[Offer, ...]


def page(run: Run, *, other: Recording | None = None, secrets: bool = False, visitor: Visitor | None = None) -> str:
    """The document.  ``other``: the other side's recording, where both are ours.  ``secrets``: SHOW those that the run has."""
    seen = run.recording
    wire = Wire.of(seen)
    shown = secrets_of(seen) if secrets else {}
    style, script = _own("page.css"), _own("page.js")
    title = "Your handshake" if visitor else f"{_name(run)}: a TLS connection, as it happened"
    sections = [each for each in SECTIONS if visitor or each[0] != "offer"]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    tree = key_tree(wire, shown)
    warning = tag("p", "Secrets are shown: who sees this page can read the connection.", class_="danger", role="alert")
    ways = (("a file to keep", "/handshake.html"), ("for programs", "/handshake.json")) if visitor else ()
    more = [tag("p", f"The same, {what}: ", tag("a", path, href=path)) for what, path in ways]
    body = tag(
        "body",
        tag("a", "To the story", href="#short", class_="skip"),
        _header(run, visitor),
        tag("nav", tag("ul", *(tag("li", tag("a", text, href=f"#{name}")) for name, text in sections)), aria_label="Sections"),
        tag(
            "main",
            _section("short", "As the textbooks tell it, with the values of this very connection.", _phases(wire)),
            _section("offer", OFFER, *_offers(visitor)) if visitor else None,
            _section("story", "Open a step to see what it is for, and what it was here.", _story(wire, other)),
            _section(
                "wire",
                "Open a message to see each of its fields; point at a field to see its bytes.",
                tag("div", axis(wire), class_="scroll"),
                messages(wire),
            ),
            _section(
                "keys",
                "From the shared secret down to the keys of each direction: what is made of what, over which messages.",
                warning if shown else tag("p", "The secrets themselves are not in this file.", class_="about"),
                tag("div", tree, class_="scroll") if tree else tag("p", "The run ended before there were any.", class_="about"),
            ),
            _section("certificates", None, certificates(run)),
            _section("seen", None, _on_the_way(seen)),
        ),
        tag("footer", tag("p", "Made by minitls from a run that really happened. This file loads nothing from anywhere."), *more),
        tag("script", script),
    )  # fmt: skip
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _own(name: str) -> Markup:
    return Markup(resources.files("minitls.trace").joinpath(name).read_text("utf-8"))


def _policy(style: str, script: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (style, script)]
    allowed = f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _name(run: Run) -> str:
    target, agreed = run.target or {}, run.connection or {}
    name = agreed.get("server_name") or target.get("host") or target.get("url") or "a server"
    return safe(str(name))


def _section(name: str, intro: str | None, *children: Markup | None) -> Markup:
    heading = dict(SECTIONS)[name]
    return tag(
        "section",
        tag("h2", heading, id=f"{name}-title"),
        tag("p", intro, class_="intro") if intro else None,
        *children,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def _header(run: Run, visitor: Visitor | None) -> Markup:
    found = verdict(run)
    sentence = "Nobody between you and this server can read or change this page." if visitor else found.sentence
    facts = (*found.facts, *(visitor.facts if visitor else ()))
    when = datetime.fromtimestamp(run.recording.started, UTC)
    side = "as the client saw it" if run.recording.role == "client" else "as the server saw it"
    return tag(
        "header",
        tag("p", f"{_name(run)}, {when:%Y-%m-%d %H:%M:%S} UTC, {side}", class_="kicker"),
        tag("div", tag("span", MARKS[found.tone], class_="mark", aria_hidden="true"), tag("h1", sentence), class_="verdict"),
        *(tag("p", each, class_="more") for each in found.more),
        _facts(facts, "agreed") if facts else None,
        class_=found.tone,
    )


def _facts(facts: Sequence[Fact], kind: str) -> Markup:
    """Names and values; a fact without a name goes on with the one before."""
    pairs: list[tuple[str, list[str]]] = []
    for name, value in facts:
        if name or not pairs:
            pairs.append((name, [value]))
        else:
            pairs[-1][1].append(value)
    return tag(
        "dl",
        *(tag("div", tag("dt", name), *(tag("dd", value) for value in values if value)) for name, values in pairs),
        class_=kind,
    )


def _offers(visitor: Visitor) -> Iterator[Markup]:
    """Each kind with its things, and at the end those that are strange to us, once more in one place."""
    for offer in visitor.offers:
        things = tag("ul", *(_offered(text, fate) for text, fate in offer.items)) if offer.items else tag("p", "none")
        yield tag("div", tag("h3", offer.what), things, class_="offer")
    strange = dict.fromkeys(text for offer in visitor.offers for text, fate in offer.items if fate == "strange")
    missing = f"Of all this, we do not have: {', '.join(strange)}." if strange else "Of all this, nothing is strange to us."
    yield tag("p", missing, class_="about")


def _offered(text: str, fate: Fate) -> Markup:
    mark = {"taken": "✓ ", "left": "", "strange": "? "}[fate]
    return tag(
        "li", tag("span", mark, aria_hidden="true"), breakable(text), tag("span", f" ({FATES[fate]})", class_="aside"), class_=fate
    )


# for beginners ----------------------------------------------------------------------------------------------------------


def _phases(wire: Wire) -> Markup:
    return tag("ol", *(_phase(wire, phase) for phase in phases(wire.seen)), class_="phases")


def _phase(wire: Wire, phase: Phase) -> Markup:
    anchor = wire.anchor(phase.entry)
    moment = None
    if phase.entry is not None:
        at = milliseconds(max(phase.entry.at - wire.began, 0.0))
        moment = tag("a", at, href=f"#{anchor}", class_="time") if anchor else tag("span", at, class_="time")
    return tag("li", tag("h3", phase.name), tag("p", phase.sentence), moment)


def _story(wire: Wire, other: Recording | None) -> Markup:
    steps = tell(wire.seen, other=other)
    before = wire.seen.started - wire.began
    return tag("ol", *(_step(number, step, before) for number, step in enumerate(steps, 1)), class_="steps")


def _step(number: int, step: Step, before: float) -> Markup:
    """``before``: seconds that TCP took until the recording began, from which steps count."""
    clock = None if step.at is None else tag("span", milliseconds(step.at + before), class_="time")
    style = step.arrows[-1].protection if step.arrows else "stage"
    head = tag("summary", tag("span", str(number), class_="number"), tag("span", step.title, class_="title"), clock)
    inside = tag(
        "div",
        *map(_arrow, step.arrows),
        *(tag("p", paragraph) for paragraph in step.text),
        _facts(step.facts, "facts") if step.facts else None,
        class_="inside",
    )
    return tag("li", tag("details", head, inside, class_=f"step {style}"))


def _arrow(arrow: Arrow) -> Markup:
    ends = ("client", "server")
    said = f"{ends[not arrow.by_client]} to {ends[arrow.by_client]}: {arrow.label}"
    direction = "from-client" if arrow.by_client else "from-server"
    lane = tag("span", tag("span", arrow.label, class_="label"), class_="arrow")
    style = f"lane {arrow.protection} {direction}"
    return tag("div", tag("span", "client"), lane, tag("span", "server"), class_=style, role="img", aria_label=said)


def _on_the_way(seen: Recording) -> Markup:
    visible, hidden = on_the_way(seen)
    lists = ((visible, "Somebody on the way has seen", "visible"), (hidden, "and has not seen", "hidden"))
    boxes = [
        tag("div", tag("h3", title), tag("ul", *(tag("li", each) for each in items)), class_=kind)
        for items, title, kind in lists
        if items
    ]
    return tag("div", *boxes, class_="both")
