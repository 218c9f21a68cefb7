"""The engine: bytes in, events and bytes out.  No sockets, no clock but the configuration's.

Rules that hold here and nowhere else:

1. Alerts are sent in one place, :meth:`Connection._fail`: an error of TLS sends its own, anything else internal_error.
2. Nothing is lost.  What arrived whole before a fault is returned first; the error is raised by that call if there is nothing to
   return, by the next one otherwise (``error`` has it at once).
3. While a question is open nothing is processed: what comes meanwhile is kept.  What was said before it may be sent.
4. After a fatal alert nothing more is sent, after the peer's close_notify nothing more is read.
5. When the handshake is over its flow, transcript and buffers go; an established connection is two keys and little else.
   Who has agreed to post-handshake authentication keeps the transcript's hash, too.
6. Such an authentication is a flow in a slot of its own.  Data and other messages may come before its answer, none within it; and
   its answer is sent when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minitls.config import ClientConfig, ServerConfig
from minitls.data import replace
from minitls.errors import (
    Alert,
    AlertLevel,
    AlertReceived,
    DecodeError,
    Misuse,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
    TruncationError,
)
from minitls.events import ApplicationData, EarlyData, Event, HandshakeCompleted, KeyUpdated, PeerClosed, client_answered
from minitls.handshake.after import may_come
from minitls.handshake.driver import Driver, Offload, check_boundary
from minitls.handshake.flow import Flow, Question
from minitls.handshake.post import settle
from minitls.handshake.transcript import Transcript
from minitls.info import ConnectionInfo
from minitls.observe import AlertSeen, ChangeCipherSpecSeen, DataSeen, KeyInstalled, MessageSeen
from minitls.record.protection import MAX_PLAINTEXT, Opening, Sealing
from minitls.sending import Sending
from minitls.wire.framing import Framing
from minitls.wire.messages import MESSAGES, message_type, read_message
from minitls.wire.messages12 import MESSAGES_12
from minitls.wire.numbers import ContentType, ProtocolVersion

MAX_KEY_UPDATES = 32
MAX_TICKETS = 16
MAX_WARNINGS = 4
MAX_RENEGOTIATIONS = 1
MAX_CERTIFICATE_REQUESTS = 4
"""How many of these a peer may send without any application data between them."""


class Connection(Sending):
    """One TLS connection.  Make a :class:`ClientConnection` or a :class:`ServerConnection`.

    ``info``: what was agreed (:class:`~minitls.info.ConnectionInfo`), growing during the handshake.
    ``error``: what ended the connection, or None.
    ``write_closed``: nothing more can be sent: closed by us, or failed.
    ``trailing``: what came last behind the peer's close_notify, for those who go on without TLS.
    """

    __slots__ = (
        "_framing",
        "_offload",
        "_peer_closed",
        "_post",
        "_resend_early_data",
        "_transcript",
        "error",
        "trailing",
    )

    def __init__(self, config: ClientConfig | ServerConfig, info: ConnectionInfo) -> None:
        super().__init__(config, info)
        self.error: BaseException | None = None
        self.trailing = b""
        self._framing = Framing(config.max_certificate_size)
        self._post: Driver | None = None
        self._transcript: Transcript | None = None
        self._offload: Offload | None = None
        self._peer_closed = False
        self._resend_early_data = False

    def __repr__(self) -> str:
        if self.error is not None:
            state = "failed"
        elif self._handshake is not None:
            state = "in the handshake"
        else:
            state = "closed" if self.write_closed and self._peer_closed else "open"
        return f"<{type(self).__name__} {state}>"

    @property
    def question(self) -> Question | None:
        """What the application was asked and has not answered."""
        driver = self._handshake or self._post
        return driver.question if driver else None

    @property
    def peer_closed(self) -> bool:
        """Whether the peer's close_notify came."""
        return self._peer_closed

    # receiving --------------------------------------------------------------------------------------------------------

    def _receive_all(self, view: memoryview, start: int, events: list[Event]) -> list[Event]:
        if self.error is not None:
            raise self.error
        try:
            start = self._receive(view, start, events)
        except Exception as error:
            self._fail(error)
            if not events:
                raise
        else:
            self.partial = bytes(view[start:])
            self._find_straight_ways()
        return events

    def _find_straight_ways(self) -> None:
        """The long way has come to its end: may the next be straight?"""
        records, config = self._records, self._config
        self._reads = self._writes = None
        if self._handshake is not None or self._post is not None or self.error is not None or config.observer is not None:
            return
        nothing_counted = not (self._restless or records.empty_records or self._framing)
        if nothing_counted and not self._peer_closed and records.max_receive == MAX_PLAINTEXT:
            self._reads = records.opening if isinstance(records.opening, Opening) else None
        if not self.write_closed and records.max_send == MAX_PLAINTEXT and not config.record_padding:
            self._writes = records.sealing if isinstance(records.sealing, Sealing) else None

    def receive_eof(self) -> list[Event]:
        """The transport below has come to its end.  Raises TruncationError unless close_notify came first."""
        if self.error is not None:
            raise self.error
        if not self._peer_closed:
            what = "the connection ended without close_notify: data may be missing"
            if not self.handshake_completed:
                what = "the peer closed the connection during the handshake"
            error = TruncationError(what)
            self._fail(error)
            raise error
        return []

    def answer(self, question: Question, value: Any) -> list[Event]:
        """The application's answer to an open question; what was kept meanwhile is processed."""
        return self._answered(question, lambda driver: driver.answer(value))

    def answer_error(self, question: Question, error: BaseException) -> list[Event]:
        """The application cannot answer: the handshake fails with this error, which is raised again."""
        return self._answered(question, lambda driver: driver.fail(error))

    def _answered(self, question: Question, step: Any) -> list[Event]:
        driver = self._handshake or self._post
        if driver is None or driver.question is not question:
            raise Misuse("this question is not open: it was answered, or the connection has ended")
        events: list[Event] = []
        try:
            step(driver)
            self._after_step(driver, events)
            self._messages(events)
        except Exception as error:
            self._fail(error)
            raise
        if self.question is None and self.partial:
            try:
                events += self.receive_view(memoryview(self.partial))
            except Exception:
                if not events:
                    raise
        return events

    def _receive(self, view: memoryview, start: int, events: list[Event]) -> int:
        """Process whole records; gives where the first one that is not whole begins."""
        records, end = self._records, len(view)
        while start < end and self.question is None:
            if self._peer_closed:
                self.trailing = bytes(view[start:])  # RFC 8446 section 6.1: what comes after close_notify is no TLS
                return end
            in_flow = self._handshake is not None or (self._post is not None and not self._post.patient)
            if not in_flow and not self._framing and records.max_receive == MAX_PLAINTEXT:
                assert records.opening is not None
                start, data, waits = records.opening.open_data(view, start)
                if data:
                    records.empty_records = 0
                    self._data_received(data, events)
                    continue
                if waits:
                    break
            record = records.next_record(view, start)
            if record is None:
                break
            start, kind, content = record
            self._content(kind, content, events)
        return start

    def _content(self, kind: int, content: bytes, events: list[Event]) -> None:
        """One record's content, by its type."""
        if self._framing and kind not in (ContentType.handshake, ContentType.alert):
            text = "a record in the middle of a handshake message"
            raise PeerMisbehaved(Alert.unexpected_message, text, rule="RFC 8446 5.1", reason="unexpected_record")
        if kind == ContentType.handshake:
            self._framing.add(content)
            self._messages(events)
        elif kind == ContentType.change_cipher_spec and self._records.tls12:
            self._change_cipher_spec(content, events)
        elif kind == ContentType.alert:
            self._alert(content, events)
        elif kind == ContentType.application_data:
            if (driver := self._handshake or self._post) is not None and not driver.patient:
                driver.receive_data(content)
            if content:
                self._data_received(content, events)
        elif kind == ContentType.change_cipher_spec and self._config.observer:
            self._config.observer(ChangeCipherSpecSeen(self._config.clock(), False))

    def _change_cipher_spec(self, content: bytes, events: list[Event]) -> None:
        """TLS 1.2's (RFC 5246 section 7.1): in its one place, and nowhere else."""
        if content != b"\x01" or self._handshake is None:
            text = "change_cipher_spec where none may be"
            raise PeerMisbehaved(Alert.unexpected_message, text, rule="RFC 5246 7.1", reason="unexpected_change_cipher_spec")
        if self._config.observer:
            self._config.observer(ChangeCipherSpecSeen(self._config.clock(), False))
        self._handshake.receive_change_cipher_spec()
        self._after_step(self._handshake, events)

    def _data_received(self, data: bytes, events: list[Event]) -> None:
        events.append(ApplicationData(data) if self._handshake is None else EarlyData(data))
        if self._restless:
            self._restless.clear()
        if self._config.observer:
            assert self._records.opening is not None
            self._config.observer(DataSeen(self._config.clock(), False, len(data), self._records.opening.name))

    def _messages(self, events: list[Event]) -> None:
        """Whole handshake messages, for as long as nobody must answer first."""
        while self.question is None and (raw := self._framing.take()) is not None:
            driver = self._handshake or self._post
            if driver is not None and driver.takes(raw):
                driver.receive(raw)
                self._records.change_cipher_spec_allowed = driver is self._handshake
                self._after_step(driver, events)
                continue
            tls12 = self._records.tls12
            kind = message_type(raw, MESSAGES_12 if tls12 else MESSAGES)
            handler = may_come(self.info.role, tls12=tls12, authenticating=self._transcript is not None).get(kind)
            if handler is None:
                raise PeerMisbehaved(
                    Alert.unexpected_message,
                    f"{kind.__name__} after the handshake",
                    rule="RFC 8446 4.6",
                    reason="unexpected_message",
                )
            message = read_message(kind, raw)
            if self._config.observer:
                assert self._records.opening is not None
                self._config.observer(MessageSeen(self._config.clock(), False, message, self._records.opening.name))
            if (event := handler(self, message)) is not None:
                events.append(event)

    def _after_step(self, driver: Driver, events: list[Event]) -> None:
        """The flow has moved: it asks something, or it is over."""
        if driver.question is not None:
            events.append(driver.question)
        if not driver.done:
            return
        if driver is self._post:
            self._authenticated(driver, events)
            return
        check_boundary(self._framing)
        driver.flush()
        self._handshake = None
        self._config = driver.config
        if driver.kept is not None:
            self._transcript, self._offload = driver.kept, driver.offload
        self._records.change_cipher_spec_allowed = False
        self.info.timing.completed = self._config.clock()
        self.info.authenticated = self.info.authenticated or self.info.timing.completed
        if self._config.key_log is not None and not self._records.tls12:
            secret = self.info.exporter_secret()
            self._config.log_secret(secret.key_log_label, self.info.client_random, secret.value)
        events.append(HandshakeCompleted(self.info))
        if driver.early_data and self._resend_early_data and not self.info.early_data_accepted:
            self.send_data(bytes(driver.early_data))

    def _alert(self, content: bytes, events: list[Event]) -> None:
        """RFC 8446 section 6: close_notify ends, user_canceled is passed over, everything else is fatal whatever its level.

        TLS 1.2 has warnings, which are passed over (RFC 5246 section 7.2.2); too many of either are not.
        """
        if len(content) != 2:
            raise DecodeError(f"an alert of {len(content)} bytes")
        code = content[1]
        if self._config.observer:
            opening = self._records.opening  # nothing opened with it yet: the alert came in plaintext
            self._config.observer(AlertSeen(self._config.clock(), False, code, opening.name if opening and opening.records else ""))
        # Levels mean something in TLS 1.2, and until we know better: some servers warn before their hello (RFC 6066 section 3).
        maybe12 = self._records.tls12 or (self.info.version is None and ProtocolVersion.TLSv1_2 in self._config.policy.versions)
        warning = maybe12 and content[0] == AlertLevel.warning and code != Alert.close_notify
        if code == Alert.user_canceled or warning:
            self._count("warning alerts", MAX_WARNINGS)
        elif code == Alert.close_notify and self._handshake is None:
            self._peer_closed = True
            if self._post is not None:
                self._post.close()
            events.append(PeerClosed())
        else:
            raise AlertReceived(code)

    def _count(self, what: str, limit: int) -> None:
        """A peer that sends these and no data keeps us busy for nothing."""
        self._restless[what] = count = self._restless.get(what, 0) + 1
        if count > limit:
            raise PeerMisbehaved(
                Alert.unexpected_message, f"more than {limit} {what} without any data", reason=f"too_many_{what.replace(' ', '_')}"
            )

    # what a message after the handshake brings about (minitls.handshake.after) ----------------------------------------

    def peer_updated_keys(self, requested: bool) -> KeyUpdated:
        check_boundary(self._framing)
        self._count("key updates", MAX_KEY_UPDATES)
        opening = self._records.opening
        assert isinstance(opening, Opening)
        secret = opening.updated_secret()
        self._records.opening = Opening(opening.suite, secret)
        self._config.log_secret(secret.key_log_label, self.info.client_random, secret.value)
        if self._config.observer:
            self._config.observer(KeyInstalled(self._config.clock(), False, secret.key_log_label, opening.suite.name))
        self._update_owed = self._update_owed or requested
        self._update_asked = False
        return KeyUpdated(requested)

    def refuse_renegotiation(self) -> None:
        if self._config.renegotiation_ends:
            text = "the peer wants to renegotiate, and the configuration has that end the connection"
            raise PeerIncompatible(Alert.no_renegotiation, text, rule="RFC 5246 7.2.2", reason="no_renegotiation")
        self._count("renegotiations", MAX_RENEGOTIATIONS)
        self._send_alert(Alert.no_renegotiation)

    def _authenticate(self, flow: Callable[[Driver, Any], Flow[bool]]) -> Driver:
        """Start a post-handshake authentication, which goes on from the handshake's transcript (RFC 8446 section 4.4.1)."""
        assert self._transcript is not None
        config: Any = self._config
        info, transcript = replace(self.info), self._transcript.copy()
        self._reads = self._writes = None
        self._post = Driver(flow, config, info, self._records, self._framing, self._output, None, self._offload, transcript)
        return self._post

    def _authenticated(self, driver: Driver, events: list[Event]) -> None:
        self._post = None
        if self.write_closed and self.info.role == "client":
            return  # closed in the meantime: nobody will hear our answer
        driver.flush()
        settle(self.info, driver.info)
        events.append(client_answered(self.info, driver.result))

    # the end ----------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send no more: queues close_notify, during the handshake user_canceled before it.  What comes can still be received."""
        if self.write_closed:
            return
        if not self.can_send_data:
            self._send_alert(Alert.user_canceled)
        self._send_alert(Alert.close_notify)
        self.write_closed, self._writes = True, None
        if self._handshake is not None:
            self.abort(Misuse("the connection was closed during the handshake", reason="closed"))

    def fail(self, alert: Alert) -> None:
        """End with a fatal alert, for a reason of the application's own (RFC 8446 section 6.2): nothing more is sent or received.

        A callable of the configuration need not call this: it raises a TLSError with the alert.  Raises Misuse for alerts that say
        no failure.
        """
        if alert in (Alert.close_notify, Alert.user_canceled):
            raise Misuse(f"{alert.name} is no fatal alert: close() says close_notify", rule="RFC 8446 6.1")
        self._fail(TLSError(alert, "the application ended the connection"))

    def abort(self, error: BaseException) -> None:
        """End at once, without a word to the peer; later calls raise ``error``."""
        self.error = self.error or error
        self.write_closed = True
        self._reads = self._writes = None
        for driver in filter(None, (self._handshake, self._post)):
            driver.close()

    def _fail(self, error: BaseException) -> None:
        """The one place that sends fatal alerts."""
        alert = error.alert if isinstance(error, TLSError) and not isinstance(error, Misuse) else Alert.internal_error
        if alert is not None and not self.write_closed and not isinstance(error, AlertReceived):
            self._send_alert(alert, AlertLevel.fatal)
        self.abort(error)
