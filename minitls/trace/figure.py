"""The RFC's message-flow figure (RFC 8446 figures 1 to 4, RFC 5246 figures 1 and 2), drawn from a run.

The client on the left, the server on the right, whoever watched; an arrow where a flight ends.  No times and no sizes: the same
handshake gives the same drawing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from minitls.observe import AlertSeen, ChangeCipherSpecSeen, DataSeen, MessageSeen, Observation
from minitls.wire.hello import ClientHello, Message, ServerHello
from minitls.wire.messages import Certificate, CertificateVerify, Finished, KeyUpdate
from minitls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus12,
    NewSessionTicket12,
    ServerKeyExchange,
)
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import KeyUpdateRequest

LEFT = 31
"""The column where arrows begin."""
WIDTH = 72
TO_SERVER, TO_CLIENT, BOTH_WAYS = "-------->", "<--------", "<------->"
EARLY_DATA = "(Application Data)"

NOTEWORTHY = (
    X.server_name,
    X.application_layer_protocol_negotiation,
    X.signature_algorithms,
    X.server_certificate_type,
    X.client_certificate_type,
    X.delegated_credential,
    X.psk_key_exchange_modes,
    X.post_handshake_auth,
    X.early_data,
    X.supported_versions,
    X.cookie,
    X.key_share,
    X.pre_shared_key,
)

NOTEWORTHY_12 = (X.session_ticket, X.extended_master_secret, X.encrypt_then_mac, X.renegotiation_info)
"""What is noteworthy in TLS 1.2 besides."""

OPTIONAL_12 = (
    Certificate12,
    CertificateStatus12,
    ServerKeyExchange,
    CertificateRequest12,
    CertificateVerify,
    NewSessionTicket12,
)

LEGEND = {
    "+": "noteworthy extensions of the message above",
    "()": "protected under keys from client_early_traffic_secret",
    "{}": "protected under keys from a handshake_traffic_secret",
    "[]": "protected under keys from an application_traffic_secret_N",
}


LEGEND_12 = {
    "+": "noteworthy extensions of the message above",
    "*": "not always sent",
    "[]": "a record of its own type, and no handshake message",
    "{}": "protected under the sender's write key",
}


@dataclass
class _Flight:
    """What one side says until the other does.  ``reply``: application data that runs the other way meanwhile."""

    from_client: bool
    lines: list[str] = field(default_factory=list)
    data: bool = False
    reply: str = ""


def figure(observations: Iterable[Observation], role: Literal["client", "server"] = "client") -> str:
    """The drawing of what this side saw, at most 79 characters wide, without a newline at its end."""
    seen = list(observations)
    tls12 = any(
        isinstance(each, MessageSeen)
        and isinstance(each.message, ServerHello)
        and X.supported_versions not in each.message.extensions
        for each in seen
    )
    flights = _flights_12(seen, role) if tls12 else _flights(seen, role)
    drawn = [line for flight in flights for line in _draw(flight)]
    lines = [line for flight in flights for line in (*flight.lines, flight.reply)]
    marks = {line[:1] for line in lines} | {line[-1:] for line in lines}
    legend = [f"{mark:>{LEFT // 2}}  {meaning}" for mark, meaning in (LEGEND_12 if tls12 else LEGEND).items() if mark[0] in marks]
    return "\n".join([f"{'Client':<{LEFT}}{'Server':>{WIDTH - LEFT}}", "", *drawn, *([""] if legend else []), *legend])


def _flights(observations: Iterable[Observation], role: Literal["client", "server"]) -> list[_Flight]:
    """What was seen, grouped by who spoke.

    ChangeCipherSpec and early data cross the other side's messages.  As RFC 8446 appendix D.4 has it, a server's ChangeCipherSpec
    is drawn behind its first message, and a client's in front of its second flight, or between its hello and its early data.
    """
    flights: list[_Flight] = []
    waiting: list[str] = []
    first: _Flight | None = None  # the client's first, where early data belongs to it
    finished = False  # the client
    for seen in observations:
        if not isinstance(seen, (MessageSeen, ChangeCipherSpecSeen, AlertSeen, DataSeen)):
            continue
        from_client = seen.sent == (role == "client")
        last = flights[-1] if flights else None
        if isinstance(seen, ChangeCipherSpecSeen):
            before = next((f for f in reversed(flights) if not f.from_client and not f.data), None)
            if from_client and first is not None:
                first.lines.append("ChangeCipherSpec")
            elif from_client or before is None:
                waiting.append("ChangeCipherSpec")
            else:
                before.lines.append("ChangeCipherSpec")
        elif isinstance(seen, DataSeen) and _is_early(seen.key) and first is not None:
            if EARLY_DATA not in first.lines:
                first.lines.append(EARLY_DATA)
        elif isinstance(seen, DataSeen):
            text = _protected("Application Data", seen.key)
            if last is not None and not from_client and not finished:
                last.lines.append(text)  # before the client has finished: half-RTT data
            elif last is None or not last.data:
                flights.append(_Flight(from_client, [text], data=True))
            elif last.from_client != from_client:
                last.reply = text
        else:
            if last is None or last.data or last.from_client != from_client:
                flights.append(last := _Flight(from_client))
            if from_client:
                last.lines += waiting
                waiting = []
                finished = finished or (isinstance(seen, MessageSeen) and isinstance(seen.message, Finished))
            last.lines += _describe(seen)
            if first is None and isinstance(seen, MessageSeen) and X.early_data in _extensions(seen):
                first = last if isinstance(seen.message, ClientHello) else None
    if waiting:
        flights.append(_Flight(True, waiting))
    return flights


def _flights_12(observations: Iterable[Observation], role: Literal["client", "server"]) -> list[_Flight]:
    """TLS 1.2's: ChangeCipherSpec stands where it came, and a resuming server says two things before the client answers."""
    flights: list[_Flight] = []
    for seen in observations:
        if not isinstance(seen, (MessageSeen, ChangeCipherSpecSeen, AlertSeen, DataSeen)):
            continue
        from_client = seen.sent == (role == "client")
        last = flights[-1] if flights else None
        if isinstance(seen, DataSeen):
            if last is None or not last.data:
                flights.append(_Flight(from_client, ["{Application Data}"], data=True))
            elif last.from_client != from_client:
                last.reply = "{Application Data}"
            continue
        if last is None or last.data or last.from_client != from_client:
            flights.append(last := _Flight(from_client))
        last.lines += ["[ChangeCipherSpec]"] if isinstance(seen, ChangeCipherSpecSeen) else _describe_12(seen)
    return flights


def _describe_12(seen: MessageSeen | AlertSeen) -> Iterator[str]:
    if isinstance(seen, AlertSeen):
        text = f"Alert: {seen.name}"
    else:
        text = type(seen.message).__name__.removesuffix("12")
        if isinstance(seen.message, Certificate12) and not seen.message.certificate_list:
            text += " (empty)"
        if isinstance(seen.message, OPTIONAL_12):
            text += "*"
    yield f"{{{text}}}" if seen.key else text
    if isinstance(seen, MessageSeen):
        yield from (f"+ {X(kind).name}" for kind in (*NOTEWORTHY, *NOTEWORTHY_12) if kind in _extensions(seen))


def _describe(seen: MessageSeen | AlertSeen) -> Iterator[str]:
    """A message and its noteworthy extensions; an alert."""
    if isinstance(seen, AlertSeen):
        yield _protected(f"Alert: {seen.name}", seen.key)
        return
    yield _protected(_name(seen.message), seen.key)
    yield from (f"+ {X(kind).name}" for kind in NOTEWORTHY if kind in _extensions(seen))


def _extensions(seen: MessageSeen) -> Container[int]:
    """The message's; a Certificate's stand beside its first certificate."""
    if isinstance(seen.message, Certificate):
        return next((entry.extensions for entry in seen.message.certificate_list), ())
    return getattr(seen.message, "extensions", ())


def _is_early(key: str) -> bool:
    return "EARLY" in key


def _name(message: Message) -> str:
    if isinstance(message, Certificate) and not message.certificate_list:
        return "Certificate (empty)"
    if isinstance(message, KeyUpdate) and message.request_update == KeyUpdateRequest.update_requested:
        return "KeyUpdate (update_requested)"
    return type(message).__name__.removesuffix("12")


def _protected(text: str, key: str) -> str:
    """In the RFC's brackets, by the key log name of the secret; with N where keys were updated."""
    if not key:
        return text
    if _is_early(key):
        return f"({text})"
    if "HANDSHAKE" in key:
        return f"{{{text}}}"
    n = key.rpartition("_")[2]
    return f"[{text}]" + (f" N={n}" if n.isdigit() and n != "0" else "")


def _draw(flight: _Flight) -> Iterator[str]:
    """The flight's lines on its side; the arrow on the last one, or below it where that is too long."""
    if flight.reply:
        client, server = (flight.lines[0], flight.reply) if flight.from_client else (flight.reply, flight.lines[0])
        yield f"{client:<{LEFT}}{BOTH_WAYS}{server:>{WIDTH - LEFT - len(BOTH_WAYS)}}"
        return
    lines, arrow = list(flight.lines), TO_SERVER if flight.from_client else TO_CLIENT
    if len(lines[-1]) >= min(LEFT, WIDTH - LEFT - len(arrow)):
        lines.append("")
    if flight.from_client:
        yield from lines[:-1]
        yield f"{lines[-1]:<{LEFT}}{arrow}"
    else:
        yield from (f"{line:>{WIDTH}}" for line in lines[:-1])
        yield f"{'':<{LEFT}}{arrow}{lines[-1]:>{WIDTH - LEFT - len(arrow)}}".rstrip()
