"""Where sessions are kept: small protocols for stores of one's own, and one in memory that is both."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Protocol

from minitls.sessions.session import Session
from minitls.wire.numbers import ProtocolVersion

SIZE = 1024
PER_KEY = 16
"""What a client keeps of one server: each TLS 1.3 session is good for one of its connections, and many begin at once."""


class SessionStore(Protocol):
    """A client's sessions, by the server's name and port.  Each method may be async."""

    def put(self, key: str, session: Session) -> Awaitable[None] | None:
        """Keep this one, beside others of the same key if it is TLS 1.3's: each of those is good for one connection."""

    def take(self, key: str) -> Awaitable[Session | None] | Session | None:
        """The newest session of this key, or None.  It is the caller's: nobody gets it a second time."""


class SessionCache(Protocol):
    """A TLS 1.2 server's sessions, by session ID in hex.  Each method may be async."""

    def put(self, key: str, session: Session) -> Awaitable[None] | None:
        """Keep this one."""

    def get(self, key: str) -> Awaitable[Session | None] | Session | None:
        """The session of this key, or None; it stays."""


class MemoryStore:
    """The sessions used last, of ``size`` keys, and of each the newest few; may be shared by threads."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._sessions: OrderedDict[str, list[Session]] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MemoryStore: sessions of {len(self._sessions)} keys>"

    def put(self, key: str, session: Session) -> None:
        with self._lock:
            kept = self._sessions.setdefault(key, [])
            if session.version != ProtocolVersion.TLSv1_3:
                kept.clear()  # TLS 1.2's is put back by who takes it: it is good for many connections, and the newest for all
            kept.append(session)
            del kept[:-PER_KEY]
            self._sessions.move_to_end(key)
            if len(self._sessions) > self._size:
                self._sessions.popitem(last=False)

    def get(self, key: str) -> Session | None:
        with self._lock:
            if key not in self._sessions:
                return None
            self._sessions.move_to_end(key)
            return self._sessions[key][-1]

    def take(self, key: str) -> Session | None:
        with self._lock:
            kept = self._sessions.get(key)
            if not kept:
                return None
            session = kept.pop()
            if not kept:
                del self._sessions[key]
            return session
