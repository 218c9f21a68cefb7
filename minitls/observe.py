"""What an observer is told: all that a person who watches a handshake would want to know, and no secret unless asked.

``config.observer`` is called with one of these, at the moment it happens.  Renderers (:mod:`minitls.trace`) make figures and texts
of them.  An observer must not raise; what it raises ends the connection like a bug of ours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeAlias

from minitls.data import dataclass
from minitls.errors import Alert
from minitls.wire.hello import Message


@dataclass(frozen=True, slots=True)
class MessageSeen:
    """A handshake message went out (``sent``) or came in.

    ``at``: seconds by the configuration's clock.  ``key``: the key log name of the secret it was protected under, "" for plaintext.
    ``message.raw`` has its bytes, header included.
    """

    at: float
    sent: bool
    message: Message
    key: str


@dataclass(frozen=True, slots=True)
class ChangeCipherSpecSeen:
    """The record that means nothing in TLS 1.3, but makes middleboxes believe in a TLS 1.2 resumption (RFC 8446 appendix D.4)."""

    at: float
    sent: bool


@dataclass(frozen=True, slots=True)
class AlertSeen:
    """An alert went out or came in; ``code`` may be one that nobody registered."""

    at: float
    sent: bool
    code: int
    key: str

    @property
    def name(self) -> str:
        return Alert(self.code).name if self.code in Alert.__members__.values() else f"alert {self.code}"


@dataclass(frozen=True, slots=True)
class DataSeen:
    """Application data went out or came in, ``size`` bytes of plaintext in one call."""

    at: float
    sent: bool
    size: int
    key: str


@dataclass(frozen=True, slots=True)
class KeyInstalled:
    """From now on we write (``sent``) or read under this secret."""

    at: float
    sent: bool
    key: str
    cipher_suite: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """A negotiation was decided: ``what`` ("cipher_suite", "group", ...), the choice by its name, and ``why`` in words."""

    at: float
    what: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class ChainVerified:
    """The peer's certificates were found good.  ``path``: DER, leaf first, up to the trusted root."""

    at: float
    path: tuple[bytes, ...]
    server_name: str | None


Observation: TypeAlias = MessageSeen | ChangeCipherSpecSeen | AlertSeen | DataSeen | KeyInstalled | Chosen | ChainVerified
Observer: TypeAlias = Callable[[Observation], None]
KeyLog: TypeAlias = Callable[[str], None]

_file_lock = threading.Lock()


def key_log_to(path: str | os.PathLike[str]) -> KeyLog:
    """A key log that appends to a file as RFC 9850 says (SSLKEYLOGFILE), which Wireshark reads; its owner alone may read it."""
    file = os.fspath(path)

    def private(path: str, flags: int) -> int:
        return os.open(path, flags, 0o600)

    def write(line: str) -> None:
        with _file_lock, open(file, "a", encoding="ascii", newline="\n", opener=private) as out:
            out.write(line + "\n")

    return write
