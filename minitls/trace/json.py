"""``--json``: everything about a run, for programs.

The document says which ``schema`` it follows.  Within one number fields are only added; what changes its meaning gets the next
number.  Times are in seconds, ``at`` from the run's first moment on; bytes are lower-case hex; code points have IANA's names, or
``0x....`` where they have none; what is not known is null.  Nothing in it is secret: what the messages carried, and no key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minitls.crypto.groups import GROUPS
from minitls.errors import CertificateError, TLSError
from minitls.info import ConnectionInfo
from minitls.observe import AlertSeen, ChainVerified, ChangeCipherSpecSeen, Chosen, DataSeen, KeyInstalled, MessageSeen
from minitls.trace.cards import card
from minitls.trace.recording import Entry, Recording, TcpClosed, TcpOpened, WireSeen
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
    return {
        "schema": SCHEMA,
        "role": recording.role,
        "target": dict(target) if target is not None else None,
        "ok": error is None,
        "error": None if error is None else problem(error),
        "tcp": _tcp(recording),
        "connection": None if info is None else connection(info),
        "peer_chain": [certificate(der) for der in _peer_chain(info, error)],
        "verified_chain": [certificate(der) for der in (info.verified_chain if info else ())],
        "tickets": [ticket(message) for kind in TICKETS for _, message in recording.messages(kind)],
        "bytes": {"sent": recording.bytes_on_wire(sent=True), "received": recording.bytes_on_wire(sent=False)},
        "trace": [entry for seen in recording.timeline if (entry := _entry(seen, recording.started)) is not None],
    }


def dump(value: Any, *, indent: int | None = 2) -> str:
    """JSON in ASCII: control characters, and all that a terminal might take for more than text, are escaped."""
    return json.dumps(value, indent=indent, ensure_ascii=True).replace("\x7f", "\\u007f")


def problem(error: BaseException) -> dict[str, Any]:
    """An error: whose fault, the stable ``reason``, the rule, and the sentence."""
    found: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, TLSError):
        found.update(
            message=error.message,
            reason=error.reason,
            rule=error.rule or None,
            alert=error.alert.name if error.alert is not None else None,
        )
    if isinstance(error, CertificateError):
        found["remedy"] = error.remedy or None
    return found


def connection(info: ConnectionInfo) -> dict[str, Any]:
    """What was agreed."""
    group = next((g for g in GROUPS.values() if g.name == info.group), None)
    return {
        "version": info.version,
        "cipher_suite": info.cipher_suite,
        "group": info.group,
        "post_quantum": group.post_quantum if group is not None else None,
        "signature_scheme": info.signature_scheme,
        "client_signature_scheme": info.client_signature_scheme,
        "alpn_protocol": info.alpn_protocol,
        "server_name": info.server_name,
        "verified": bool(info.verified_chain or info.peer_public_key),
        "peer_public_key": info.peer_public_key.hex() or None,
        "delegated": info.delegated,
        "client_delegated": info.client_delegated,
        "hello_retry": info.hello_retry,
        "resumed": info.resumed,
        "resumption": info.resumption,
        "authenticated": info.authenticated,
        "psk_identity": None if info.psk_identity is None else info.psk_identity.hex(),
        "early_data_accepted": info.early_data_accepted,
        "ech_accepted": info.ech_accepted,
        "ja3": info.client_hello.ja3 if info.client_hello_raw else None,
        "ja4": info.client_hello.ja4 if info.client_hello_raw else None,
        "handshake_seconds": info.timing.handshake,
    }


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


def _peer_chain(info: ConnectionInfo | None, error: BaseException | None) -> tuple[bytes, ...]:
    if info is not None and info.peer_chain:
        return info.peer_chain
    return error.chain if isinstance(error, CertificateError) else ()


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


def _entry(seen: Entry, started: float) -> dict[str, Any] | None:
    """One thing that happened; None for what stands elsewhere in the document."""
    at = round(seen.at - started, 6)
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
    if isinstance(seen, TcpClosed):
        return {"at": at, "type": "tcp_closed", "sent": seen.sent}
    assert isinstance(seen, (TcpOpened, WireSeen))
    return None
