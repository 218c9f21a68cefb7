"""What a server says to a hello, without believing any of it: the first messages, an alert, silence, or something else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from minitls.errors import TLSError
from minitls.scan.registry import Suite
from minitls.wire.codec import Extensions, Structure, opaque, parse, rest, structure, uint8, uint16, wire
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, HelloRetryRequest, Message, ServerHello
from minitls.wire.messages import HEADER, read_message
from minitls.wire.messages12 import (
    Certificate12,
    CertificateStatus12,
    DigitallySigned,
    ServerDHParams,
    ServerECDHParams,
    ServerHelloDone,
    ServerKeyExchange,
)
from minitls.wire.numbers import ContentType, HandshakeType
from minitls.wire.numbers import ExtensionType as X

Kind: TypeAlias = Literal["hello", "retry", "alert", "closed", "silent", "garbage"]
Until: TypeAlias = Literal["hello", "done"]
M = TypeVar("M", bound=Message)

WARNING = 1
MAX_RECORD = 2**14 + 2048
MAX_MESSAGE = 2**18
MAX_ANSWER = 2**20
"""Bytes of a record, of a message and of a whole answer that are read."""
_FIRST = {HandshakeType.server_hello, HandshakeType.hello_request}


@structure
class HelloStart(Structure):
    """A ServerHello whose extensions break a rule: the rest of it is still worth knowing."""

    legacy_version: int = wire(uint16)
    random: bytes = wire(opaque(32))
    legacy_session_id_echo: bytes = wire(opaque(0, 32))
    cipher_suite: int = wire(uint16)
    legacy_compression_method: int = wire(uint8)
    extensions: bytes = wire(rest)


@dataclass(slots=True)
class Answer:
    """``kind``: what it came to.  ``alert``: the code of the fatal alert, ``warnings``: of others.  ``problem``: a rule that the
    server broke, or what came instead of TLS, in words.
    """

    kind: Kind = "silent"
    hello: ServerHello | HelloRetryRequest | None = None
    messages: list[Message] = field(default_factory=list)
    alert: int | None = None
    warnings: list[int] = field(default_factory=list)
    problem: str = ""

    @property
    def version(self) -> int | None:
        """The version that the server chose."""
        if self.hello is None:
            return None
        chosen = self.hello.extensions.get(X.supported_versions, self.hello.legacy_version)
        return chosen if isinstance(chosen, int) else None

    @property
    def suite(self) -> int | None:
        return self.hello.cipher_suite if self.hello is not None else None

    @property
    def group(self) -> int | None:
        """In TLS 1.3, the group that was chosen or asked for."""
        share = self.hello.extensions.get(X.key_share) if self.hello is not None else None
        return share if share is None or isinstance(share, int) else getattr(share, "group", None)

    def has(self, extension: int) -> bool:
        return self.hello is not None and extension in self.hello.extensions

    def find(self, kind: type[M]) -> M | None:
        return next((message for message in self.messages if isinstance(message, kind)), None)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER, leaf first, as sent."""
        found = self.find(Certificate12)
        return found.chain if found is not None else ()

    @property
    def staple(self) -> bytes:
        found = self.find(CertificateStatus12)
        return found.status.response if found is not None else b""

    @property
    def signed(self) -> int | None:
        """The signature scheme of TLS 1.2's ServerKeyExchange."""
        return self._exchange()[1]

    @property
    def curve(self) -> int | None:
        parameters = self._exchange()[0]
        return parameters.named_curve if isinstance(parameters, ServerECDHParams) else None

    @property
    def prime(self) -> int | None:
        """Of finite-field Diffie-Hellman."""
        parameters = self._exchange()[0]
        return int.from_bytes(parameters.dh_p, "big") if isinstance(parameters, ServerDHParams) else None

    def _exchange(self) -> tuple[ServerECDHParams | ServerDHParams | None, int | None]:
        """ServerKeyExchange's parameters, which the suite says the form of, and the scheme that they are signed with."""
        message = self.find(ServerKeyExchange)
        if message is None:
            return None, None
        suite = Suite.of(self.suite or 0)
        kind = None if suite.shared_key else ServerECDHParams if suite.elliptic else ServerDHParams if suite.finite else None
        if kind is None:
            return None, None
        try:
            parameters, at = kind.codec.read(message.parameters, 0, len(message.parameters))
        except TLSError:
            return None, None
        return parameters, self._scheme(message.parameters[at:])

    def _scheme(self, signature: bytes) -> int | None:
        try:
            return parse(DigitallySigned, signature).algorithm if self.version == 0x0303 else None
        except TLSError:
            return None


class Listener:
    """Bytes in, an :class:`Answer` growing.  ``until``: the hello is enough, or the server's whole first flight (TLS 1.2)."""

    def __init__(self, until: Until = "hello") -> None:
        self.answer = Answer()
        self.finished = False
        self._until = until
        self._records = bytearray()
        self._handshake = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> bool:
        """Whether all that is wanted has come."""
        self._records += data
        self._size += len(data)
        while not self.finished and len(self._records) >= 5:
            kind, major, length = self._records[0], self._records[1], int.from_bytes(self._records[3:5], "big")
            if kind not in (20, 21, 22, 23) or major != 3 or length > MAX_RECORD:
                self._garbage()
                break
            if len(self._records) < 5 + length:
                break
            content = bytes(self._records[5 : 5 + length])
            del self._records[: 5 + length]
            self._record(kind, content)
        if not self.finished and self._size > MAX_ANSWER:
            self._end(self.answer.kind, "more than anybody wanted to know")
        return self.finished

    def ended(self) -> Answer:
        """No more is to come: enough has, or the server has ended TCP."""
        if not self.finished and self._records and self.answer.hello is None and self._records[0] not in (20, 21, 22, 23):
            self._garbage()
        if not self.finished and self.answer.kind == "silent":
            self.answer.kind = "closed"
        self.finished = True
        return self.answer

    def _garbage(self) -> None:
        start = bytes(self._records[:40])
        self._end("garbage" if self.answer.hello is None else self.answer.kind, f"what came is not TLS: {start!r}")

    def _end(self, kind: Kind, problem: str = "") -> None:
        self.answer.kind, self.finished = kind, True
        self.answer.problem = self.answer.problem or problem

    def _record(self, kind: int, content: bytes) -> None:
        if kind == ContentType.alert:
            self._alert(content)
        elif kind == ContentType.handshake:
            self._handshake += content
            self._messages()
        elif self.answer.hello is not None:
            self.finished = True  # what follows is encrypted
        elif kind == ContentType.application_data:
            self._end("garbage", "application data came instead of a hello")

    def _alert(self, content: bytes) -> None:
        if len(content) != 2:
            self._end(self.answer.kind if self.answer.hello else "garbage", f"an alert of {len(content)} bytes")
        elif content[0] == WARNING and content[1] != 0:
            self.answer.warnings.append(content[1])
        else:
            self.answer.alert = content[1]
            self._end("alert" if self.answer.hello is None else self.answer.kind)

    def _messages(self) -> None:
        while not self.finished and len(self._handshake) >= HEADER:
            length = int.from_bytes(self._handshake[1:HEADER], "big")
            if length > MAX_MESSAGE or (self.answer.hello is None and self._handshake[0] not in _FIRST):
                return self._end("garbage" if self.answer.hello is None else self.answer.kind, "a handshake message out of place")
            if len(self._handshake) < HEADER + length:
                return None
            raw = bytes(self._handshake[: HEADER + length])
            del self._handshake[: HEADER + length]
            if raw[0] == HandshakeType.server_hello:
                self._hello(raw)
            elif raw[0] in _PLAIN:
                self._message(_PLAIN[raw[0]], raw)
            elif raw[0] not in (HandshakeType.hello_request, HandshakeType.certificate_request):
                self.answer.problem = self.answer.problem or f"a handshake message of type {raw[0]}, which has no place there"
        return None

    def _hello(self, raw: bytes) -> None:
        if self.answer.hello is not None:
            return self._end(self.answer.kind, "a second ServerHello")
        retry = raw[HEADER + 2 : HEADER + 34] == HELLO_RETRY_REQUEST_RANDOM
        try:
            message = read_message(HelloRetryRequest if retry else ServerHello, raw)
            assert isinstance(message, (ServerHello, HelloRetryRequest))
            self.answer.hello = message
        except TLSError as error:
            self.answer.problem = str(error)
            try:
                start = parse(HelloStart, raw[HEADER:])
            except TLSError:
                return self._end("garbage")
            self.answer.hello = ServerHello(
                start.legacy_version,
                start.random,
                start.legacy_session_id_echo,
                start.cipher_suite,
                start.legacy_compression_method,
                Extensions(),
            )
        self.answer.kind = "retry" if retry else "hello"
        self.finished = self._until == "hello" or retry or self.answer.version == 0x0304
        return None

    def _message(self, kind: type[Message], raw: bytes) -> None:
        try:
            self.answer.messages.append(read_message(kind, raw))
        except TLSError as error:
            self.answer.problem = self.answer.problem or str(error)
        if kind is ServerHelloDone:
            self.finished = True


_PLAIN: dict[int, type[Message]] = {
    kind.msg_type: kind for kind in (Certificate12, CertificateStatus12, ServerKeyExchange, ServerHelloDone)
}


def speaks_sslv2(data: bytes) -> bool | None:
    """Whether these bytes begin SSL 2.0's SERVER-HELLO; None while they are too few to tell."""
    if len(data) < 7:
        return None if data[:1] >= b"\x80" or not data else False
    return bool(data[0] & 0x80) and data[2] == 4 and data[5:7] == b"\x00\x02"
