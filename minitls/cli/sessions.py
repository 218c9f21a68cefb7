"""Coming back to a server: sessions in files, early data, and what a handshake with a session has saved."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minitls.cli.common import NOT_MET, USAGE, CommandError, reading
from minitls.cli.outputs import write_file
from minitls.errors import DecodeError
from minitls.info import EarlyDataReason
from minitls.sessions.session import Session
from minitls.trace.recording import Recording
from minitls.trace.steps import Fact, milliseconds
from minitls.trace.values import count, duration, safe
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion

if TYPE_CHECKING:
    from minitls.info import ConnectionInfo

TICKET = 1.0
"""Seconds that we wait for a ticket: TLS 1.3's come after the handshake, if they come."""
AT_ONCE = 0.05
"""Seconds in which most have come.  Who reads the clock lets them, before drawing what they would have to wait for."""


class KeptSessions:
    """A :class:`~minitls.sessions.store.SessionStore` for one server: the session of --session, then what the server gives.

    ``taken``: what was taken last, to be offered; the engine looks whether it may be.
    """

    def __init__(self, first: Session | None = None) -> None:
        self.taken: Session | None = None
        self._sessions = [] if first is None else [first]
        self._came = asyncio.Event()

    def put(self, key: str, session: Session) -> None:
        self._sessions.append(session)
        self._came.set()

    def take(self, key: str) -> Session | None:
        self.taken = self._sessions.pop() if self._sessions else None
        return self.taken

    async def wait(self, seconds: float = TICKET) -> None:
        """Until the server has given a session, or a moment has passed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._came.wait(), seconds)

    @property
    def newest(self) -> Session | None:
        """What the server gave last, and was not used."""
        return self._sessions[-1] if self._came.is_set() and self._sessions else None


def kept_sessions(args: argparse.Namespace) -> KeptSessions:
    """With the session in the file that --session names.  Raises CommandError."""
    if args.session is None:
        return KeptSessions()
    try:
        return KeptSessions(Session.from_bytes(reading(args.session, Path(args.session).read_bytes)))
    except DecodeError:
        hint = "--save-session FILE makes such a file"
        raise CommandError(USAGE, f"there is no session in {args.session} that this version could use", hint) from None


def save(path: str, kept: KeptSessions) -> None:
    """Write the newest session where its owner alone may read it: it holds secrets.  Raises CommandError."""
    if kept.newest is None:
        raise CommandError(NOT_MET, f"nothing to save in {path}: the server has given no session")
    write_file(path, kept.newest.to_bytes(), private=True)


def read_early_data(args: argparse.Namespace) -> bytes:
    """What --early-data names.  Raises CommandError."""
    if args.early_data is None:
        return b""
    if args.early_data == "-":
        raise CommandError(USAGE, "--early-data - : stdin is read with -i only, after the handshake; name a file")
    if not (args.resume or args.session):
        raise CommandError(USAGE, "--early-data needs a session", "add --resume, or --session FILE")
    data: bytes = reading(args.early_data, Path(args.early_data).read_bytes)
    if not data:
        raise CommandError(USAGE, f"there is nothing in {args.early_data} that could be sent")
    return data


# what came of it --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """What a handshake took: seconds, and bytes on the wire each way."""

    seconds: float
    sent: int
    received: int

    @classmethod
    def of(cls, recording: Recording, info: ConnectionInfo) -> Cost:
        """To be called as soon as it is complete: what comes later is counted, too."""
        return cls(info.timing.handshake or 0.0, recording.bytes_on_wire(sent=True), recording.bytes_on_wire(sent=False))

    def __str__(self) -> str:
        return f"{milliseconds(self.seconds)}, {count(self.sent, 'byte')} sent, {count(self.received, 'byte')} received"


def savings(first: Cost, second: Cost) -> list[Fact]:
    """Two handshakes side by side, and in what the second was cheaper; hellos with a session are longer."""
    differences = (
        (first.seconds - second.seconds, milliseconds(abs(first.seconds - second.seconds)), ""),
        (first.received - second.received, count(abs(first.received - second.received), "byte"), " received"),
        (first.sent - second.sent, count(abs(first.sent - second.sent), "byte"), " sent"),
    )
    saved = ", ".join(f"{shown}{what}" for difference, shown, what in differences if difference >= 0) or "nothing"
    more = ", ".join(f"{shown} more{what}" for difference, shown, what in differences if difference < 0)
    return [("first handshake", str(first)), ("this one", str(second)), ("saved", f"{saved}; but {more}" if more else saved)]


def ago(then: float, now: float) -> str:
    return f"{duration(now - then)} ago" if now - then >= 1 else "just now"


def resumed(info: ConnectionInfo, now: float) -> str:
    """``resumed (psk_dhe_ke), authenticated 3 minutes ago``."""
    when = "" if info.authenticated is None else f", authenticated {ago(info.authenticated, now)}"
    return f"resumed ({info.resumption}){when}"


def why_not_resumed(info: ConnectionInfo, session: Session | None) -> str:
    """What can be said of a connection that was to be resumed and was not; ``session``: what was there for it."""
    if session is None:
        return "there was no session: the server has given none"
    if is_offered(info, session):
        return "the server did not take the session"
    name = session.server_name.decode("ascii", "backslashreplace")
    if name != (info.server_name or ""):
        return f"the session was not offered: it is with {safe(name) or 'a server without a name'}"
    if not session.alive(info.timing.started):
        return "the session was not offered: it is too old"
    return "the session was not offered: its version, cipher, key or certificate would not do now"


def is_offered(info: ConnectionInfo, session: Session) -> bool:
    """Whether the client's hello asks to resume it."""
    hello = info.client_hello
    if session.version == ProtocolVersion.TLSv1_3:
        psks = hello.extensions.get(X.pre_shared_key)
        return psks is not None and psks.identities[0].identity == session.ticket
    return bool(hello.extensions.get(X.session_ticket)) or session.session_id == hello.legacy_session_id != b""


@dataclass(frozen=True, slots=True)
class EarlyData:
    """``outcome``: "accepted", "rejected" or "not sent"; ``why``: "" where it was accepted."""

    size: int
    outcome: str
    why: str = ""

    def __str__(self) -> str:
        if self.outcome == "accepted":
            return f"accepted: {count(self.size, 'byte')} went with the hello"
        return f"{self.outcome}: {self.why}; {count(self.size, 'byte')} sent after the handshake instead"


def early_data_outcome(size: int, info: ConnectionInfo, session: Session | None) -> EarlyData:
    """What became of it; ``session``: what was there for it."""
    if info.early_data_accepted:
        return EarlyData(size, "accepted")
    if X.early_data in info.client_hello.extensions:
        if info.hello_retry:
            why = "the server wanted another hello first"
        else:
            why = "the server did not take it" if info.resumed else "the server did not take the session"
        return EarlyData(size, "rejected", why)
    if session is None or not is_offered(info, session):
        why = why_not_resumed(info, session)
    elif session.version != ProtocolVersion.TLSv1_3:
        why = "TLS 1.2 has no early data"
    elif size > session.max_early_data:
        allowed = session.max_early_data
        why = f"the ticket allows no more than {count(allowed, 'byte')}" if allowed else "the ticket does not allow any"
    elif info.early_data_reason is EarlyDataReason.alpn_mismatch:
        why = f"the session speaks {safe(session.alpn.decode('ascii', 'replace'))}, which is not offered"
    else:
        why = "the cipher suite of the session is not offered"
    return EarlyData(size, "not sent", why)
