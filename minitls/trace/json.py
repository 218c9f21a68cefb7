"""``--json``: everything about a run, for programs.

The document says which ``schema`` it follows.  Within one number fields are only added; what changes its meaning gets the next
number.  Times are in seconds, ``at`` from the run's first moment on; bytes are lower-case hex; code points have IANA's names, or
``0x....`` where they have none; what is not known is null.  Nothing in it is secret: what the messages carried, and no key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from minitls.info import ConnectionInfo
from minitls.observe import AlertSeen, ChainVerified, ChangeCipherSpecSeen, Chosen, DataSeen, KeyInstalled, MessageSeen
from minitls.trace.cards import card
from minitls.trace.recording import ClearSeen, Entry, Recording, TcpClosed, TcpOpened, WireSeen
from minitls.trace.run import Run
from minitls.trace.values import name_of_message, plain
from minitls.wire.messages import NewSessionTicket
from minitls.wire.messages12 import NewSessionTicket12
from minitls.wire.numbers import ExtensionType

SCHEMA = "minitls/1"
TICKETS: tuple[type[NewSessionTicket | NewSessionTicket12], ...] = (NewSessionTicket, NewSessionTicket12)


def document(
    recording: Recording,
    info: ConnectionInfo | None,
    *,
    target: Mapping[str, Any] | None = None,
    error: BaseException | None = None,
) -> dict[str, Any]:
    """One connection as one side saw it.  ``info``: None where no handshake came to be; ``target``: what was asked for."""
    return document_of(Run.of(recording, info, target=target, error=error))


def document_of(run: Run) -> dict[str, Any]:
    """The same for a run that may have been saved."""
    recording = run.recording
    return {
        "schema": SCHEMA,
        "role": recording.role,
        "target": dict(run.target) if run.target is not None else None,
        "ok": run.error is None,
        "error": None if run.error is None else dict(run.error),
        "tcp": _tcp(recording),
        "connection": None if run.connection is None else dict(run.connection),
        "peer_chain": [certificate(der) for der in run.peer_chain],
        "verified_chain": [certificate(der) for der in run.verified_chain],
        "tickets": [
            ticket(message) | {"at": _at(seen, recording)} for kind in TICKETS for seen, message in recording.messages(kind)
        ],
        "bytes": {"sent": recording.bytes_on_wire(sent=True), "received": recording.bytes_on_wire(sent=False)},
        "trace": [entry for seen in recording.timeline if (entry := _entry(seen, _at(seen, recording))) is not None],
    }


def schema() -> str:
    """The JSON Schema of these documents."""
    return resources.files("minitls.trace").joinpath("schema.json").read_text("utf-8")


def dump(value: Any, *, indent: int | None = 2) -> str:
    """JSON in ASCII: control characters, and all that a terminal might take for more than text, are escaped."""
    return json.dumps(value, indent=indent, ensure_ascii=True).replace("\x7f", "\\u007f")


def ticket(message: NewSessionTicket | NewSessionTicket12) -> dict[str, Any]:
    """A ticket for another time, as it was given."""
    if isinstance(message, NewSessionTicket12):
        return {"lifetime_seconds": message.ticket_lifetime_hint or None, "max_early_data": 0, "ticket": message.ticket.hex()}
    return {
        "lifetime_seconds": message.ticket_lifetime,
        "max_early_data": message.extensions.get(ExtensionType.early_data, 0),
        "ticket": message.ticket.hex(),
    }


def certificate(der: bytes) -> dict[str, Any]:
    """A certificate; only its bytes where they are not one."""
    found = card(der)
    if found is None:
        return {"der": der.hex(), "malformed": True}
    return {
        "subject": found.subject,
        "issuer": found.issuer,
        "names": list(found.names),
        "key": found.key,
        "signed_with": found.signed_with,
        "serial": found.serial,
        "not_before": found.not_before.isoformat(),
        "not_after": found.not_after.isoformat(),
        "sha256": found.sha256,
        "der": der.hex(),
    }


def _tcp(recording: Recording) -> dict[str, Any] | None:
    opened = recording.first(TcpOpened)
    if opened is None:
        return None
    return {
        "local": opened.local,
        "peer": opened.peer,
        "resolving_seconds": opened.resolving,
        "connecting_seconds": opened.connecting,
        "round_trip_seconds": opened.round_trip,
    }


def _at(seen: Entry, recording: Recording) -> float:
    """Seconds from the run's first moment on."""
    return round(seen.at - recording.started, 6)


def _entry(seen: Entry, at: float) -> dict[str, Any] | None:
    """One thing that happened; None for what stands elsewhere in the document."""
    if isinstance(seen, MessageSeen):
        name = name_of_message(seen.message)
        head = {"at": at, "type": "message", "sent": seen.sent, "key": seen.key or None, "message": name}
        return head | {"size": len(seen.message.raw), "fields": plain(seen.message), "raw": seen.message.raw.hex()}
    if isinstance(seen, ChangeCipherSpecSeen):
        return {"at": at, "type": "change_cipher_spec", "sent": seen.sent}
    if isinstance(seen, AlertSeen):
        return {"at": at, "type": "alert", "sent": seen.sent, "key": seen.key or None, "code": seen.code, "name": seen.name}
    if isinstance(seen, DataSeen):
        return {"at": at, "type": "data", "sent": seen.sent, "key": seen.key, "size": seen.size}
    if isinstance(seen, KeyInstalled):
        return {"at": at, "type": "key", "writing": seen.sent, "key": seen.key, "cipher_suite": seen.cipher_suite}
    if isinstance(seen, Chosen):
        return {"at": at, "type": "chosen", "what": seen.what, "value": seen.value, "why": seen.why}
    if isinstance(seen, ChainVerified):
        return {"at": at, "type": "chain_verified", "server_name": seen.server_name, "length": len(seen.path)}
    if isinstance(seen, ClearSeen):
        return {"at": at, "type": "clear", "sent": seen.sent, "size": len(seen.data), "raw": seen.data.hex()}
    if isinstance(seen, TcpClosed):
        return {"at": at, "type": "tcp_closed", "sent": seen.sent}
    assert isinstance(seen, (TcpOpened, WireSeen))
    return None
