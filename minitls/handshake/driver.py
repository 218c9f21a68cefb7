"""What runs a flow: hands it the peer's messages and the application's answers, and does what it asks for at once.

The driver checks that a message is one that the flow waits for, and throws what is wrong *into* the flow, so that a traceback
ends at the waiting line.  It sends no alert and catches nothing: errors leave it for :mod:`minitls.connection`, which does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.suites import Suite
from minitls.errors import Alert, PeerMisbehaved
from minitls.handshake.flow import Expect, Flow, Question, Resolve
from minitls.handshake.transcript import Transcript
from minitls.info import ConnectionInfo
from minitls.observe import ChainVerified, ChangeCipherSpecSeen, Chosen, DataSeen, KeyInstalled, MessageSeen
from minitls.record.layer import RecordLayer
from minitls.record.protection import Opening, Sealing
from minitls.sessions.session import Session
from minitls.wire.framing import Framing
from minitls.wire.hello import ClientHello, HelloRetryRequest, Message
from minitls.wire.messages import MESSAGES, message_type, read_message, write_message
from minitls.wire.messages12 import MESSAGES_12, MESSAGES_12_RAW, ChangeCipherSpec, HelloRequest, ServerHelloDone
from minitls.wire.numbers import ContentType

if TYPE_CHECKING:
    from minitls.record.protection12 import Opening12, Sealing12

EARLY_DATA_TO_SKIP = 64 * 1024
"""Bytes of records dropped when a client sends 0-RTT data that we did not agree to, or twice what a ticket of ours allows."""

ENDS_A_FLIGHT = (ClientHello, HelloRetryRequest, ServerHelloDone)
"""What the peer says nothing more after until it is answered (RFC 8446 section 5.1, RFC 5246 section 7.3), whether or not we change
keys for it.
"""

_PLAIN = (type(None), bytes, list, Session)
"""Usual answers that nobody awaits, told apart without the slow question."""

Offload: TypeAlias = Callable[..., Awaitable[Any]]
C = TypeVar("C", ClientConfig, ServerConfig)


class Driver:
    """One handshake: :class:`~minitls.handshake.flow.Handshake` for the flow, ``receive`` and ``answer`` for the connection.

    ``question``: what the application was asked and has not answered; meanwhile the flow stands still.
    ``config``: the connection's, until the flow chooses another.
    ``offload``: computes in another thread, and gives what to await for it; None: everything is computed at once.
    ``done``: the flow came to its end, with ``result``.  ``early_data``: what a client says first, None where it offers no such;
    ``early_data_room``: how many bytes of it may follow now.  ``half_rtt``: a server may already send data.  ``kept``: the
    transcript that post-handshake authentication goes on from, if there can be any.
    ``transcript``: what a flow after the handshake goes on from; ``patient``: it has not begun to hear its answer, so that data and
    other messages may come first (RFC 8446 section 4.6.2).
    """

    __slots__ = (
        "_early_data_left",
        "_expected",
        "_flight",
        "_flow",
        "_framing",
        "_hello_requested",
        "_limit_later",
        "_messages",
        "_output",
        "_records",
        "config",
        "done",
        "early_data",
        "early_data_room",
        "half_rtt",
        "info",
        "kept",
        "offload",
        "patient",
        "question",
        "result",
        "transcript",
    )

    def __init__(
        self,
        handshake: Callable[[Driver, C], Flow[Any]],
        config: C,
        info: ConnectionInfo,
        records: RecordLayer,
        framing: Framing,
        output: list[bytes],
        early_data: bytes | None = None,
        offload: Offload | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        self.transcript = transcript or Transcript()
        self.patient = transcript is not None
        self.kept: Transcript | None = None
        self.result: Any = None
        self.info = info
        self.question: Question | None = None
        self.done = False
        self.early_data = None if early_data is None else bytearray(early_data)
        self.early_data_room = 0
        self.offload = offload
        self.half_rtt = False
        self._early_data_left: int | None = None
        self._limit_later: int | None = None
        self.config: ClientConfig | ServerConfig = config
        self._records = records
        self._framing = framing
        self._output = output
        self._flight = bytearray()
        self._expected: tuple[type[Message], ...] = ()
        self._messages = MESSAGES
        self._hello_requested = False
        self._flow = handshake(self, config)
        self._advance(self._flow.send, None)

    # what the connection calls ----------------------------------------------------------------------------------------

    def receive(self, raw: bytes) -> None:
        """The peer's next handshake message, header included."""
        self.patient = False
        kind = message_type(raw, self._messages)
        if kind is HelloRequest and self.info.role == "client" and not self._hello_requested:
            self._hello_requested = True  # RFC 5246 section 7.4.1.1: nothing to us while we shake hands; once
            return
        if kind not in self._expected:
            wanted = " or ".join(each.__name__ for each in self._expected)
            self._advance(
                self._flow.throw,
                PeerMisbehaved(Alert.unexpected_message, f"expected {wanted}, got {kind.__name__}", rule="RFC 8446 4"),
            )
        message = read_message(kind, raw)
        if kind in ENDS_A_FLIGHT:
            check_boundary(self._framing)
        self.transcript.add(raw)
        if self.config.observer:
            opening = self._records.opening
            self.config.observer(MessageSeen(self.config.clock(), False, message, opening.name if opening else ""))
        self._advance(self._flow.send, message)

    def takes(self, raw: bytes) -> bool:
        """Whether a message is this flow's business: after the handshake, what it waits for, and then all until it has ended."""
        return not self.patient or message_type(raw, self._messages) in self._expected

    def receive_change_cipher_spec(self) -> None:
        """TLS 1.2's, which a flow waits for like a message, though it is none (RFC 5246 section 7.1)."""
        check_boundary(self._framing)
        if ChangeCipherSpec not in self._expected:
            wanted = " or ".join(each.__name__ for each in self._expected)
            text = f"expected {wanted}, got ChangeCipherSpec"
            error = PeerMisbehaved(Alert.unexpected_message, text, rule="RFC 5246 7.1", reason="unexpected_change_cipher_spec")
            self._advance(self._flow.throw, error)
        self._advance(self._flow.send, ChangeCipherSpec())

    def receive_data(self, data: bytes) -> None:
        """Application data in the middle of a handshake: early data, or a fault."""
        if self._early_data_left is None:
            after = self.info.timing.completed is not None
            raise PeerMisbehaved(
                Alert.unexpected_message,
                f"application data {'in the middle of a client authentication' if after else 'during the handshake'}",
                rule="RFC 8446 4.6.2" if after else "RFC 8446 2",
                reason="unexpected_record",
            )
        self._early_data_left -= len(data)
        if self._early_data_left < 0:
            raise PeerMisbehaved(
                Alert.unexpected_message,
                "the client sends more early data than its ticket allows",
                rule="RFC 8446 4.2.10",
                reason="too_much_early_data",
            )
        self.info.keep_early_data(data)

    def answer(self, value: Any) -> None:
        """The application's answer to ``question``."""
        self._forget_question()
        self._advance(self._flow.send, value)

    def fail(self, error: BaseException) -> None:
        """The application could not answer: its error goes through the flow and out again."""
        self._forget_question()
        self._advance(self._flow.throw, error)

    def close(self) -> None:
        """A suspended flow refers to itself: end it, so that it is freed now."""
        self._forget_question()
        self._flow.close()

    def flush(self) -> None:
        """Make records of the messages sent so far: a flight shares them."""
        if self._flight:
            first = not self._output and self._records.sealing is None and not self._records.started
            version = 0x0301 if first else 0x0303  # RFC 8446 section 5.1: old servers want to see TLS 1.0 in a first ClientHello
            self._output.append(self._records.write(ContentType.handshake, bytes(self._flight), version=version))
            self._flight.clear()

    def _forget_question(self) -> None:
        question, self.question = self.question, None
        asked = question.awaitable if question else None
        if inspect.iscoroutine(asked) and inspect.getcoroutinestate(asked) == inspect.CORO_CREATED:
            asked.close()  # answered by other means: nobody will await it

    def _advance(self, resume: Callable[[Any], Expect | Resolve], value: Any) -> None:
        """Run the flow to the next thing that it must wait for."""
        try:
            wanted = resume(value)
            while isinstance(wanted, Resolve):
                try:
                    if wanted.heavy and self.offload is not None:
                        reply = self.offload(wanted.ask, *wanted.args)
                    else:
                        reply = wanted.ask(*wanted.args)
                except Exception as error:
                    wanted = self._flow.throw(error)
                    continue
                if not isinstance(reply, _PLAIN) and inspect.isawaitable(reply):
                    name = getattr(wanted.ask, "__name__", type(wanted.ask).__name__)
                    self.question = Question(name, wanted.args, reply)
                    return
                wanted = self._flow.send(reply)
            self._expected = wanted.types
        except StopIteration as end:
            self.done = True
            self.result = end.value

    # what the flow calls ----------------------------------------------------------------------------------------------

    def send(self, message: Message, raw: bytes | None = None) -> None:
        if raw is None:
            raw = write_message(message)
        self.transcript.add(raw)
        if isinstance(message, ClientHello) and not self.info.client_hello_raw:
            self.info.client_hello_raw = raw
        self._flight += raw
        if self.config.observer:
            sealing = self._records.sealing
            self.config.observer(MessageSeen(self.config.clock(), True, message, sealing.name if sealing else ""))

    def use_config(self, config: ServerConfig) -> ServerConfig:
        self.config = config
        self._framing.max_certificate = config.max_certificate_size
        self._records.max_send = config.max_send_fragment
        return config

    def send_change_cipher_spec(self) -> None:
        self.flush()
        self._output.append(b"\x14\x03\x03\x00\x01\x01")
        if self.config.observer:
            self.config.observer(ChangeCipherSpecSeen(self.config.clock(), True))

    def speak_tls12(self, hash_name: str) -> None:
        if self._records.change_cipher_spec_seen:
            raise PeerMisbehaved(
                Alert.unexpected_message,
                "ChangeCipherSpec before the hellos",
                rule="RFC 5246 7.1",
                reason="unexpected_change_cipher_spec",
            )
        self._messages = MESSAGES_12
        self._records.tls12 = True
        self.transcript.keep()
        self.transcript.use(hash_name)

    def expect_raw_key(self) -> None:
        self._messages = MESSAGES_12_RAW

    def change_write_cipher(self, sealing: Sealing12) -> None:
        self.send_change_cipher_spec()
        self._records.sealing = sealing
        self._observe_key(True, sealing.name, sealing.suite.name)

    def change_read_cipher(self, opening: Opening12) -> None:
        self._records.opening = opening
        self._observe_key(False, opening.name, opening.suite.name)

    def install_read_key(self, suite: Suite, secret: TrafficSecret) -> None:
        check_boundary(self._framing)
        self._early_data_left = None
        if self._limit_later is not None:
            self._records.max_receive, self._limit_later = self._limit_later, None
        self._records.opening = Opening(suite, secret)
        self._installed(False, suite, secret)

    def install_write_key(self, suite: Suite, secret: TrafficSecret) -> None:
        self.flush()
        self.early_data_room = 0
        self._records.sealing = Sealing(suite, secret)
        self._installed(True, suite, secret)

    def _installed(self, sent: bool, suite: Suite, secret: TrafficSecret) -> None:
        self.config.log_secret(secret.key_log_label, self.info.client_random, secret.value)
        self._observe_key(sent, secret.key_log_label, suite.name)

    def _observe_key(self, sent: bool, key: str, suite: str) -> None:
        if self.config.observer:
            self.config.observer(KeyInstalled(self.config.clock(), sent, key, suite))

    def keep_transcript(self) -> None:
        self.kept = self.transcript.copy()

    def client_secret(self) -> TrafficSecret:
        protection = self._records.sealing if self.info.role == "client" else self._records.opening
        assert isinstance(protection, (Sealing, Opening))
        return protection.secret

    def limit_fragments(self, send: int, receive: int) -> None:
        self._records.max_send = min(send, self.config.max_send_fragment)
        if self._early_data_left is None:
            self._records.max_receive = receive
        else:
            self._limit_later = receive  # early data was on its way before the client could know

    def drop_write_key(self) -> None:
        self.early_data_room = 0
        self._records.sealing = None

    def begin_early_data(self, limit: int) -> None:
        assert self.early_data is not None
        first, self.early_data, self.early_data_room = bytes(self.early_data), bytearray(), limit
        self.send_early_data(first)

    def send_early_data(self, data: bytes) -> int:
        """Queue as much of this as may go as 0-RTT data now; gives how many bytes that is."""
        taken = data[: self.early_data_room]
        if taken:
            assert self.early_data is not None
            self.early_data += taken
            self.early_data_room -= len(taken)
            self._output.append(self._records.write(ContentType.application_data, taken))
            if self.config.observer:
                assert self._records.sealing is not None
                self.config.observer(DataSeen(self.config.clock(), True, len(taken), self._records.sealing.name))
        return len(taken)

    def take_early_data(self, limit: int) -> None:
        self._early_data_left = limit

    def allow_half_rtt_data(self) -> None:
        self.half_rtt = True

    def skip_early_data(self) -> None:
        limit = getattr(self.config, "early_data", None) or 0
        self._records.early_data_to_skip = max(EARLY_DATA_TO_SKIP, 2 * limit)

    def chosen(self, what: str, value: str, why: str) -> None:
        if self.config.observer:
            self.config.observer(Chosen(self.config.clock(), what, value, why))

    def chain_verified(self, path: tuple[bytes, ...], server_name: str | None) -> None:
        if self.config.observer:
            self.config.observer(ChainVerified(self.config.clock(), path, server_name))


def check_boundary(framing: Framing) -> None:
    """RFC 8446 section 5.1: what comes before a key change and what comes after never share a record; nor do two flights."""
    if framing:
        raise PeerMisbehaved(
            Alert.unexpected_message,
            "the peer goes on in a record after a message that ends its flight",
            rule="RFC 8446 5.1",
            reason="excess_handshake_data",
        )
