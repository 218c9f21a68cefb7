"""A run, kept: what one side observed, together with the bytes that went over the wire and what TCP did, in their order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from minitls.crypto.compression import compressions
from minitls.errors import TLSError
from minitls.observe import (
    AlertSeen,
    ChainVerified,
    ChangeCipherSpecSeen,
    Chosen,
    DataSeen,
    KeyInstalled,
    MessageSeen,
    Observation,
)
from minitls.wire.codec import parse
from minitls.wire.framing import MAX_CERTIFICATE
from minitls.wire.hello import Message
from minitls.wire.messages import Certificate, CompressedCertificate
from minitls.wire.numbers import ContentType

Role: TypeAlias = Literal["client", "server"]
RECORD_HEADER = 5
OVERHEAD = 17
"""What a TLS 1.3 record has besides data, without padding: its type, and the tag of most AEADs."""


@dataclass(frozen=True, slots=True)
class TcpOpened:
    """TCP's handshake is done.  Seconds throughout; None for what is not known.

    ``resolving``: looking the name up; ``connecting``: from SYN to SYN, ACK; ``round_trip``: as the kernel measured it.
    """

    at: float
    local: str
    peer: str
    resolving: float | None = None
    connecting: float | None = None
    round_trip: float | None = None


@dataclass(frozen=True, slots=True)
class ClearSeen:
    """A piece of what is said before TLS begins, to a proxy or for STARTTLS.  Passwords in it are blanked."""

    at: float
    sent: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class WireSeen:
    """Bytes went down to TCP (``sent``) or came up from it: records, whole or in pieces."""

    at: float
    sent: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class TcpClosed:
    """An end of the connection.  ``sent``: we closed our side, else the peer closed its."""

    at: float
    sent: bool


Directed: TypeAlias = MessageSeen | ChangeCipherSpecSeen | AlertSeen | DataSeen | KeyInstalled | ClearSeen | WireSeen | TcpClosed
"""What one of the two sides does."""
Entry: TypeAlias = Observation | TcpOpened | ClearSeen | WireSeen | TcpClosed
E = TypeVar("E", bound=Entry)
M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class Recording:
    """An observer that keeps everything; ``also`` is told each thing as it happens.

    ``data``: the application's bytes, if it puts them here: (client's?, bytes).  ``secrets``: fingerprints by key log label, if
    :meth:`note_secret` is the key log; the secrets themselves are kept, in ``key_log``, if ``keep_secrets`` says so.
    """

    role: Role
    also: Callable[[Entry], None] | None = None
    keep_secrets: bool = False
    timeline: list[Entry] = field(default_factory=list)
    data: list[tuple[bool, bytes]] = field(default_factory=list)
    secrets: dict[str, tuple[int, str]] = field(default_factory=dict)
    key_log: list[str] = field(default_factory=list, repr=False)

    def __call__(self, entry: Entry) -> None:
        self.timeline.append(entry)
        if self.also is not None:
            self.also(entry)

    def note_secret(self, line: str) -> None:
        """A line of the key log: its label, the secret's length in bytes and the beginning of its SHA-256 are kept.

        The whole line is, too, with ``keep_secrets``.
        """
        label, _, secret = line.split(" ")
        value = bytes.fromhex(secret)
        self.secrets[label] = len(value), hashlib.sha256(value).hexdigest()[:8]
        if self.keep_secrets:
            self.key_log.append(line)

    @property
    def started(self) -> float:
        """When the first thing happened, by the configuration's clock."""
        return self.timeline[0].at if self.timeline else 0.0

    def forget(self) -> None:
        """Begin anew, with another connection."""
        for kept in (self.timeline, self.data, self.secrets, self.key_log):
            kept.clear()

    def by_client(self, entry: Directed) -> bool:
        """Whether the client did it."""
        return entry.sent == (self.role == "client")

    def all(self, kind: type[E]) -> Iterator[E]:
        """Entries of one kind, in their order."""
        return (entry for entry in self.timeline if isinstance(entry, kind))

    def first(self, kind: type[E]) -> E | None:
        return next(self.all(kind), None)

    def messages(self, kind: type[M], *, by_client: bool | None = None) -> list[tuple[MessageSeen, M]]:
        """Handshake messages of one kind; ``by_client``: of one side only."""
        return [
            (entry, entry.message)
            for entry in self.all(MessageSeen)
            if isinstance(entry.message, kind) and by_client in (None, self.by_client(entry))
        ]

    def certificates(self, *, by_client: bool) -> list[tuple[MessageSeen, Certificate]]:
        """TLS 1.3's Certificate messages of one side, opened where they are compressed; what cannot be opened is none."""
        found = ((entry, certificate_in(entry.message)) for entry in self.all(MessageSeen) if self.by_client(entry) == by_client)
        return [(entry, message) for entry, message in found if message is not None]

    def chosen(self, what: str) -> Chosen | None:
        """The last decision about ``what``."""
        return next((entry for entry in reversed(self.timeline) if isinstance(entry, Chosen) and entry.what == what), None)

    def verified_path(self) -> tuple[bytes, ...]:
        found = self.first(ChainVerified)
        return found.path if found else ()

    def bytes_on_wire(self, *, sent: bool) -> int:
        return sum(len(entry.data) for entry in self.all(WireSeen) if entry.sent == sent)

    def record_of(self, data: DataSeen) -> bytes | None:
        """The record, header included, in which (the end of) this data travelled; None where the wire was not recorded."""
        at = next(index for index, entry in enumerate(self.timeline) if entry is data)
        if data.sent:
            after = (entry.data for entry in self.timeline[at:] if isinstance(entry, WireSeen) and entry.sent)
            stream = next(after, b"")
        else:
            stream = b"".join(entry.data for entry in self.timeline[:at] if isinstance(entry, WireSeen) and not entry.sent)
        protected = [record for record in records(stream) if record[0] == ContentType.application_data]
        fitting = [record for record in protected if len(record) == RECORD_HEADER + data.size + OVERHEAD]
        return next(iter(fitting[:: 1 if data.sent else -1] or protected[-1:]), None)


def certificate_in(message: Message) -> Certificate | None:
    """The Certificate that this is, or that is in it (RFC 8879 section 4)."""
    if isinstance(message, CompressedCertificate):
        compression = compressions().get(message.algorithm)
        if compression is None or message.uncompressed_length > MAX_CERTIFICATE:
            return None
        try:
            body = compression.decompress(message.compressed_certificate_message, message.uncompressed_length)
        except compression.failures:
            return None
        try:
            return parse(Certificate, body)
        except TLSError:
            return None
    return message if isinstance(message, Certificate) else None


def records(stream: bytes) -> Iterator[bytes]:
    """The whole records of a stream, headers included (RFC 8446 section 5.1)."""
    start = 0
    while start + RECORD_HEADER <= len(stream):
        end = start + RECORD_HEADER + int.from_bytes(stream[start + 3 : start + 5], "big")
        if end > len(stream):
            return
        yield stream[start:end]
        start = end
