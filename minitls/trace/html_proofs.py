"""The page's end: the key schedule as a tree, the certificates as cards, and what others have seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from minitls.observe import ChainVerified, KeyInstalled
from minitls.trace.cards import Card, cards
from minitls.trace.html_wire import Wire
from minitls.trace.keys import Derivation, derivations, in_words, installed, values
from minitls.trace.markup import Markup, breakable, joined, tag
from minitls.trace.recording import Recording
from minitls.trace.run import Run
from minitls.trace.steps import milliseconds
from minitls.trace.text import protection
from minitls.trace.values import count
from minitls.wire.hello import ServerHello

Secrets = Mapping[str, Sequence[tuple[str, str]]]


# keys -------------------------------------------------------------------------------------------------------------------


def secrets_of(seen: Recording) -> Secrets:
    """What the recording has, by the names of derivations.  SECRET."""
    first = seen.first(KeyInstalled)
    randoms = [hello.random for _, hello in seen.messages(ServerHello)]
    return values(seen.key_log, first.cipher_suite, randoms[0]) if first is not None and randoms else {}


def key_tree(wire: Wire, secrets: Secrets) -> Markup | None:
    """From where the schedule begins down to the keys of each direction."""
    steps = derivations(wire.seen)
    if not steps:
        return None
    children: dict[int, list[int]] = {}
    roots: list[int] = []
    for index, step in enumerate(steps):
        parent = next((before for before in range(index - 1, -1, -1) if steps[before].name == step.parent), None)
        (roots if parent is None else children.setdefault(parent, [])).append(index)
    uses = installed(wire.seen)

    def node(index: int) -> Markup:
        step = steps[index]
        below = children.get(index)
        return tag("li", _secret(wire, step, uses.get(step.name, []), secrets), tag("ul", *map(node, below)) if below else None)

    return tag("ul", *map(node, roots), class_="tree")


def _secret(wire: Wire, step: Derivation, uses: Sequence[KeyInstalled], secrets: Secrets) -> Markup:
    style: str = protection(step.key_log) if "_SECRET" in step.key_log else "stage"
    style = "application" if step.name.endswith("write key") else style
    facts = [tag("p", tag("code", step.formula), class_="formula")]
    if "shared secret" in step.also:
        facts.insert(0, tag("p", step.also, class_="input"))  # where something comes in that only the two know
    if step.over:
        over = tag("p", f"over {', '.join(step.over)}")
        facts.append(tag("details", tag("summary", "the messages and their hash"), over, tag("code", step.digest, class_="digest")))
    for use in uses:
        who = "client" if wire.seen.by_client(use) else "server"
        facts.append(tag("p", f"the {who} writes under it from {milliseconds(use.at - wire.began)} on", class_="used"))
    for what, value in secrets.get(step.name, ()):
        facts.append(tag("p", tag("b", what), " ", tag("code", value), class_="secret"))
    head = tag("p", tag("b", breakable(step.name)), " ", tag("small", in_words(step)), class_="title")
    return tag("div", head, *facts, class_=f"node {style}")


# certificates -----------------------------------------------------------------------------------------------------------


def certificates(run: Run) -> Markup:
    """Leaf first, up to whom is trusted; or why there are none."""
    seen = run.recording
    verified = seen.first(ChainVerified)
    chain = run.verified_chain or run.peer_chain
    shown = cards(chain)
    whose = "The server’s" if seen.role == "client" else "The client’s"
    if not shown:
        return tag("p", _why_none(run), class_="about")
    now = seen.started
    items = [_card(found, number, shown, run, verified, now) for number, found in enumerate(shown)]
    said = f"{whose} certificates, from its own up to the one that was trusted before."
    if not run.verified_chain:
        said = f"{whose} certificates as they came. They were not verified, or did not convince."
    return joined(tag("p", said, class_="about"), tag("ol", *items, class_="cards"))


def _why_none(run: Run) -> str:
    agreed = run.connection or {}
    if run.recording.role == "server":
        return "The client has shown none, as hardly any client does: it knows who the server is, and stays a stranger itself."
    if agreed.get("peer_public_key"):
        return "The server has shown a raw public key (RFC 7250), which the client was told to trust."
    if agreed.get("resumed"):
        return "None this time: those of the first visit were verified then, and the secret of that visit proves the rest."
    if agreed.get("psk_identity") or "_PSK_" in str(agreed.get("cipher_suite")):
        return "None: both know the same key, and that is the proof."
    return "The run ended before any came."


def _card(found: Card, number: int, chain: Sequence[Card], run: Run, verified: ChainVerified | None, now: float) -> Markup:
    last = number == len(chain) - 1
    good = bool(run.verified_chain)
    role = "its own" if not number else "sent with it"
    if good and number:
        role = "trusted already" if last else "vouches for the one before"
    facts: list[tuple[str, str]] = []
    if found.names:
        facts.append(("for", ", ".join(found.names)))
    facts += [
        ("subject", found.subject),
        ("issuer", found.issuer),
        ("key", found.key),
        ("signed with", found.signed_with),
        ("valid", f"{found.not_before:%Y-%m-%d} to {found.not_after:%Y-%m-%d}"),
        ("serial", found.serial),
        ("SHA-256", " ".join(found.sha256[at : at + 8] for at in range(0, 64, 8))),
        ("size", count(len(found.der), "byte")),
    ]
    rows = [joined(tag("dt", name), tag("dd", value)) for name, value in facts]
    checks = _checks(found, number, chain, run, verified, now)
    return tag(
        "li",
        tag("article", tag("p", role, class_="role"), tag("h3", found.title), _life(found, now), tag("dl", *rows), checks),
        class_="card good" if good else "card",
    )


def _checks(found: Card, number: int, chain: Sequence[Card], run: Run, verified: ChainVerified | None, now: float) -> Markup | None:
    """What was checked of this one: said only of a path that was found good; else what is known to be wrong."""
    if not run.verified_chain:
        refused = run.error is not None and run.error.get("kind") == "CertificateError" and not number
        wrong = [str(run.error.get("message"))] if refused and run.error is not None else []
        if not wrong and not found.not_before.timestamp() <= now <= found.not_after.timestamp():
            wrong = [found.validity(now)]
        return tag("ul", *(tag("li", each, class_="no") for each in wrong), class_="checks") if wrong else None
    done = []
    if not number and verified is not None and verified.server_name:
        done.append(f"it is for {verified.server_name}")
    if number < len(chain) - 1:
        done.append(f"its signature is by the key of {chain[number + 1].title}")
    else:
        done.append("it is in the trust store")
    done.append(f"{found.validity(now)}")
    return tag("ul", *(tag("li", each, class_="yes") for each in done), class_="checks")


def _life(found: Card, now: float) -> Markup:
    """From its first day to its last, and where that run was."""
    first, last = found.not_before.timestamp(), found.not_after.timestamp()
    share = min(max((now - first) / max(last - first, 1.0), 0.0), 1.0)
    day = datetime.fromtimestamp(now, UTC)
    return tag(
        "svg",
        tag("rect", class_="whole", x=0, y=5, width="100%", height=6, rx=3),
        tag("rect", class_="past", x=0, y=5, width=f"{share * 100:.1f}%", height=6, rx=3),
        tag("circle", class_="now", cx=f"{share * 100:.1f}%", cy=8, r=5),
        class_="life", width="100%", height=16, role="img", aria_label=f"{found.validity(now)}, as of {day:%Y-%m-%d}",
    )  # fmt: skip
