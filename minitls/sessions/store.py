"""Where sessions are kept: a small protocol for stores of one's own, and one in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Protocol

from minitls.sessions.session import Session

SIZE = 1024


class SessionStore(Protocol):
    """Sessions by key: a server's name and port on a client, a session ID on a server.  Each method may be async."""

    def get(self, key: str) -> Awaitable[Session | None] | Session | None:
        """The session last put under this key, or None."""

    def put(self, key: str, session: Session) -> Awaitable[None] | None:
        """Keep this one, instead of what the key had."""

    def remove(self, key: str) -> Awaitable[None] | None:
        """Forget it; nothing happens where there is none."""


class MemoryStore:
    """The sessions used last, ``size`` of them; may be shared by threads."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MemoryStore: {len(self._sessions)} sessions>"

    def get(self, key: str) -> Session | None:
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                self._sessions.move_to_end(key)
            return session

    def put(self, key: str, session: Session) -> None:
        with self._lock:
            self._sessions[key] = session
            self._sessions.move_to_end(key)
            if len(self._sessions) > self._size:
                self._sessions.popitem(last=False)

    def remove(self, key: str) -> None:
        with self._lock:
            self._sessions.pop(key, None)
