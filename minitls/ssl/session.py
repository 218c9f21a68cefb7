"""A client's session as the standard library shows it, and where one connection keeps its own."""

from __future__ import annotations

import copy
import hashlib
import weakref
from typing import TYPE_CHECKING

from minitls.config import ClientConfig
from minitls.sessions.session import Session

if TYPE_CHECKING:
    from minitls.ssl.context import SSLContext


class SSLSession:
    """A session to give to a later connection of the same context: ``wrap_socket(..., session=...)``.

    The attributes are those of ``ssl.SSLSession``, which has no constructor either.  ``id``: TLS 1.2's session ID, or the hash of
    the first ticket: it stays when a session is resumed and gets another ticket, so that it is known for the same one.
    """

    __slots__ = ("_context", "id", "inner")

    def __init__(self, inner: Session, identity: bytes, context: SSLContext) -> None:
        self.inner = inner
        self.id = identity
        self._context = weakref.ref(context)

    def __repr__(self) -> str:
        return f"<SSLSession {self.inner!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SSLSession) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def context(self) -> SSLContext | None:
        return self._context()

    @property
    def time(self) -> int:
        """When it was made, in seconds since the epoch."""
        return self.inner.created // 1000

    @property
    def timeout(self) -> int:
        """Seconds from ``time``."""
        return self.inner.lifetime

    @property
    def ticket_lifetime_hint(self) -> int:
        return self.inner.lifetime if self.inner.ticket else 0

    @property
    def has_ticket(self) -> bool:
        return bool(self.inner.ticket)


class Memory:
    """A session store for one connection: offers the session that it was given, and keeps the newest that it gets."""

    __slots__ = ("identity", "latest")

    def __init__(self) -> None:
        self.latest: Session | None = None
        self.identity = b""

    def put(self, key: str, session: Session | None) -> None:
        if session is None:
            return
        if self.latest is None or session.secret != self.latest.secret:
            self.identity = session.session_id or hashlib.sha256(session.ticket).digest()
        self.latest = session

    def take(self, key: str) -> Session | None:
        return self.latest

    def config(self, config: ClientConfig) -> ClientConfig:
        """The configuration with this memory, and nothing checked anew."""
        mine = copy.copy(config)
        object.__setattr__(mine, "session_store", self)  # a frozen dataclass, and this copy is ours alone
        return mine
