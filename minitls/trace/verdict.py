"""What came of a run, in plain words: the first thing that a person wants to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from minitls.observe import AlertSeen
from minitls.trace.cards import cards
from minitls.trace.recording import Recording, TcpClosed, TcpOpened
from minitls.trace.run import Run
from minitls.trace.steps import Fact, milliseconds
from minitls.trace.values import count, safe
from minitls.wire.messages import Finished, NewSessionTicket
from minitls.wire.messages12 import NewSessionTicket12

Tone: TypeAlias = Literal["good", "bad", "warn"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``sentence``: whether all is well; ``more``: what else has to be said; ``facts``: what was agreed."""

    tone: Tone
    sentence: str
    more: tuple[str, ...]
    facts: tuple[Fact, ...]


def verdict(run: Run) -> Verdict:
    """Every text in it is harmless."""
    agreed = run.connection
    if run.error is not None:
        remedy = run.error.get("remedy")
        more = tuple(_sentence(safe(str(each))) for each in (run.error.get("message"), remedy) if each)
        return Verdict("bad", "No connection came to be.", more, tuple(_facts(run, agreed or {})))
    if agreed is None or not agreed.get("version"):
        return Verdict("warn", "The handshake did not come to its end.", (), tuple(_facts(run, agreed or {})))
    tone, sentence = _who(run, agreed)
    said = _future(run, agreed)
    if run.recording.role == "server":
        path = cards(run.verified_chain)
        said.insert(0, f"The visitor really is {path[0].title}." if path else "Who the visitor is, it did not prove.")
    return Verdict(tone, sentence, tuple(said), tuple(_facts(run, agreed)))


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _who(run: Run, agreed: Mapping[str, Any]) -> tuple[Tone, str]:
    """Who is at the other end, and how that is known."""
    if run.recording.role == "server":
        return "good", "Nobody between this server and its visitor could read or change what they said."
    name = safe(str(agreed.get("server_name") or "the server"))
    if agreed.get("verified") and run.verified_chain:
        return "good", f"Nobody on the way could read or change what was said, and the other end really is {name}."
    if agreed.get("verified") or agreed.get("psk_identity") or "_PSK_" in str(agreed.get("cipher_suite")):
        return "good", "Nobody on the way could read or change what was said: both ends knew each other’s key before."
    return "warn", f"It was encrypted, but nobody vouches that the other end is {name}."


def _exchange(agreed: Mapping[str, Any]) -> Any:
    """The group of this handshake's own key exchange; where TLS 1.2 resumes, what was agreed is its session's."""
    return None if agreed.get("resumed") and agreed.get("version") == "TLSv1.2" else agreed.get("group")


def _future(run: Run, agreed: Mapping[str, Any]) -> list[str]:
    """What somebody can do who has recorded it."""
    group, static = _exchange(agreed), str(agreed.get("cipher_suite")).startswith("TLS_RSA_")
    if agreed.get("post_quantum"):
        found = ["Not even a large quantum computer of the future could read a recording of it: the key exchange is post-quantum."]
    elif static:
        found = ["Who has recorded it can read all of it with the server’s private key: there is no forward secrecy."]
    elif group:
        found = ["Who has recorded it could read it once there are large quantum computers: the key exchange is not post-quantum."]
    else:
        found = ["There was no key exchange of its own: who learns the old secret can read a recording of it."]
    if agreed.get("early_data_accepted"):
        found.append("What went with the hello (0-RTT) is under the old secret alone, and who has recorded it could send it again.")
    closing = [entry for entry in run.recording.all(AlertSeen) if entry.name == "close_notify"]
    if run.recording.first(TcpClosed) is not None and not closing:
        found.append("It was cut off without a goodbye (close_notify): something may be missing at the end.")
    return found


def _facts(run: Run, agreed: Mapping[str, Any]) -> list[Fact]:
    recording = run.recording
    opened = recording.first(TcpOpened)
    facts: list[Fact] = []
    if opened is not None:
        facts.append(("the other end", safe(opened.peer)))
    names = {
        "version": "version",
        "cipher_suite": "cipher suite",
        "group": "key exchange" if _exchange(agreed) else "key exchange, when the session began",
        "signature_scheme": "signature",
        "alpn_protocol": "protocol inside",
    }
    facts += [(shown, safe(str(agreed[name]))) for name, shown in names.items() if agreed.get(name)]
    if agreed.get("group") and agreed.get("hello_retry"):
        facts.append(("hello retry", "the server asked for another share first"))
    if agreed.get("resumed"):
        facts.append(("resumed", safe(str(agreed.get("resumption")))))
    path = cards(run.verified_chain)
    if path:
        facts.append(("vouched for by", path[-1].title))
    facts += times(recording, agreed.get("handshake_seconds"))
    sent, received = recording.bytes_on_wire(sent=True), recording.bytes_on_wire(sent=False)
    if sent or received:
        facts.append(("on the wire", f"{count(sent, 'byte')} sent, {count(received, 'byte')} received"))
    return facts


def times(recording: Recording, took: Any) -> list[Fact]:
    """How long what took, from the name to the first ticket.  ``took``: the handshake, seconds; None for what has not ended."""
    opened, parts = recording.first(TcpOpened), []
    if opened is not None and opened.resolving is not None:
        parts.append(f"name {milliseconds(opened.resolving)}")
    if opened is not None and opened.connecting is not None:
        trip = f" (round trip {milliseconds(opened.round_trip)})" if opened.round_trip is not None else ""
        parts.append(f"TCP {milliseconds(opened.connecting)}{trip}")
    if isinstance(took, (int, float)):
        parts.append(f"TLS {milliseconds(took)}{_ticket(recording)}")
    return [("time", ", ".join(parts))] if parts else []


def _ticket(recording: Recording) -> str:
    """When the first came: TLS 1.2's belongs to the handshake, TLS 1.3's comes when the server likes (RFC 8446 section 4.6.1)."""
    if recording.messages(NewSessionTicket12):
        return " with its ticket"
    tickets, finished = recording.messages(NewSessionTicket), recording.messages(Finished)
    if not tickets or len(finished) < 2:
        return ""
    later = tickets[0][0].at - finished[1][0].at
    return f", ticket +{milliseconds(later)}" if later > 0 else " with its ticket"
