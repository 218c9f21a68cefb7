"""The page of ``serve --www``: visitors see the handshake that they have just made.  Plain HTML, without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from importlib import resources

from minitls.cli.dictionary import by_code
from minitls.crypto.groups import GROUPS
from minitls.crypto.signatures import SCHEMES
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import SUITES_12
from minitls.info import ConnectionInfo
from minitls.trace.figure import figure
from minitls.trace.recording import ClearSeen, Recording, TcpClosed, TcpOpened, WireSeen
from minitls.trace.run import connection
from minitls.trace.steps import Arrow, Step, milliseconds
from minitls.trace.story import tell
from minitls.trace.text import as_text, draw
from minitls.trace.values import duration, protocols, safe, version_name
from minitls.wire.numbers import CipherSuite, ExtensionType, NamedGroup, SignatureScheme, is_grease, name_of

SECURITY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "cache-control": "no-store"}
"""Headers for the page: whatever a visitor might have smuggled into it, nothing of it would run."""


def page(recording: Recording, info: ConnectionInfo) -> str:
    """The whole document."""
    story = "\n".join(_step(number, step) for number, step in enumerate(tell(recording), 1))
    lines = "\n".join(as_text(line) for line in draw("server", recording.timeline, width=100))
    seen = [entry for entry in recording.timeline if not isinstance(entry, (ClearSeen, TcpOpened, TcpClosed, WireSeen))]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Your handshake</title>
<style>{_style()}</style>
<main>
<h1>Your handshake</h1>
<p class="verdict">{_verdict(info)}</p>
<table>{_rows(_agreed(recording, info))}</table>
<h2>What you offered</h2>
<table>{_rows(_offered(info))}</table>
<h2>How it went</h2>
{story}
<h2>As the RFC draws it</h2>
<pre>{_text(figure(seen, "server"))}</pre>
<details><summary>with what each message carried</summary><pre>{_text(lines)}</pre></details>
<p class="small">All of it, down to the single byte: <a href="/handshake.html">/handshake.html</a></p>
<p class="small">The same for programs: <a href="/handshake.json">/handshake.json</a></p>
</main>
"""


def _style() -> str:
    return resources.files("minitls.cli").joinpath("page.css").read_text("utf-8")


def _text(text: str) -> str:
    """A text of many lines, harmless in HTML."""
    return "\n".join(escape(safe(line)) for line in text.split("\n"))


def _rows(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"<tr><th>{escape(name)}<td>{_text(value)}" for name, value in facts)


def _verdict(info: ConnectionInfo) -> str:
    quantum = connection(info)["post_quantum"]
    future = (
        "Not even a quantum computer of the future will read it."
        if quantum
        else ("But who records it could read it one day, with a quantum computer: your key exchange is not post-quantum.")
    )
    return f"Nobody between you and this server can read this page. {future}"


def _agreed(recording: Recording, info: ConnectionInfo) -> list[tuple[str, str]]:
    opened = recording.first(TcpOpened)
    facts = [
        ("version", info.version or ""),
        ("cipher suite", info.cipher_suite or ""),
        ("key exchange", f"{info.group or 'none of its own'}{' (after a HelloRetryRequest)' if info.hello_retry else ''}"),
        ("our signature", info.signature_scheme or "none was needed"),
        ("you have been here before", _returned(info)),
        ("the name you asked for", info.server_name or "none"),
        ("protocol inside (ALPN)", info.alpn_protocol or "none agreed"),
        ("your certificate", "shown" if info.peer_chain else "none"),
        ("JA4, the kind of client", info.client_hello.ja4),
        ("JA3, its older form", info.client_hello.ja3),
    ]
    if opened is not None:
        trip = "" if opened.round_trip is None else f", {milliseconds(opened.round_trip)} there and back"
        facts.append(("you", f"{opened.peer}{trip}"))
    if info.timing.handshake is not None:
        facts.append(("the handshake took", milliseconds(info.timing.handshake)))
    return facts


def _returned(info: ConnectionInfo) -> str:
    if not info.resumed:
        return "not that we knew"
    when = "" if info.authenticated is None else f" {duration(max(1, info.timing.started - info.authenticated))} ago"
    early = ", and what you asked for came with your hello (0-RTT)" if info.early_data_accepted else ""
    return f"yes: we showed our certificate{when}, and this visit goes on from there ({info.resumption}){early}"


def _offered(info: ConnectionInfo) -> list[tuple[str, str]]:
    hello = info.client_hello
    extensions = hello.extensions
    shares = [entry.group for entry in extensions.get(ExtensionType.key_share, ())]

    def names(registry: type[NamedGroup | SignatureScheme], codes: Iterable[int]) -> str:
        return ", ".join(name_of(registry, code) for code in codes if not is_grease(code)) or "none"

    return [
        ("versions", ", ".join(version_name(code) for code in hello.versions if not is_grease(code))),
        ("cipher suites", ", ".join(_suite(code) for code in hello.cipher_suites if not is_grease(code))),
        ("key exchanges", names(NamedGroup, extensions.get(ExtensionType.supported_groups, ()))),
        ("key shares for", names(NamedGroup, shares)),
        ("signatures", names(SignatureScheme, extensions.get(ExtensionType.signature_algorithms, ()))),
        (
            "protocols (ALPN)",
            ", ".join(protocols(extensions.get(ExtensionType.application_layer_protocol_negotiation, ()))) or "none",
        ),
        ("extensions", ", ".join(name_of(ExtensionType, kind) for kind in extensions)),
        ("of all this, we do not have", ", ".join(_not_ours(info)) or "nothing is missing"),
    ]


def _not_ours(info: ConnectionInfo) -> Iterator[str]:
    """What a visitor offers and nobody here can speak."""
    hello = info.client_hello
    groups = hello.extensions.get(ExtensionType.supported_groups, ())
    schemes = hello.extensions.get(ExtensionType.signature_algorithms, ())
    ours = {NamedGroup: (groups, GROUPS), SignatureScheme: (schemes, SCHEMES)}
    yield from (
        _suite(code) for code in hello.cipher_suites if code not in SUITES and code not in SUITES_12 and not is_grease(code)
    )
    for registry, (offered, table) in ours.items():
        yield from (name_of(registry, code) for code in offered if code not in table and not is_grease(code))


def _suite(code: int) -> str:
    """The dictionary knows more names than the registry of what we speak."""
    return next((entry.name for entry in by_code(code, "suite")), name_of(CipherSuite, code))


def _step(number: int, step: Step) -> str:
    arrows = "\n".join(_arrow(arrow) for arrow in step.arrows)
    text = "\n".join(f"<p>{_text(paragraph)}" for paragraph in step.text)
    clock = "" if step.at is None else f" <small>{milliseconds(step.at)}</small>"
    return f"""<section><h3><span>{number}. {escape(step.title)}</span>{clock}</h3>
{arrows}
{text}
<table>{_rows(step.facts)}</table></section>"""


def _arrow(arrow: Arrow) -> str:
    direction = ("right", "to the server") if arrow.by_client else ("left", "to you")
    return (
        f'<div class="lane {arrow.protection}"><span>you</span><i class="{direction[0]}" title="{direction[1]}">'
        f"{escape(arrow.label)}</i><span>server</span></div>"
    )
