"""What an established connection sends: data, KeyUpdate between, alerts; all that there is to its write direction.

A key seals so many records and no more: TLS 1.3 changes it then by itself, TLS 1.2 cannot and closes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minitls.config import ClientConfig, ServerConfig
from minitls.errors import Alert, AlertLevel, Misuse
from minitls.handshake.driver import Driver
from minitls.info import ConnectionInfo
from minitls.observe import AlertSeen, DataSeen, KeyInstalled, MessageSeen, Observation
from minitls.record.protection import MAX_PLAINTEXT, Sealing
from minitls.straight import Straight
from minitls.wire.messages import KeyUpdate, write_message
from minitls.wire.numbers import ContentType, KeyUpdateRequest


class Sending(Straight):
    """What :class:`~minitls.Connection` is made on, and what its ``info`` and ``write_closed`` belong to.

    ``_handshake``: until it is complete; ``_update_asked``: the peer was asked to update its key, and has not yet.
    """

    __slots__ = ("_handshake", "_update_asked", "info", "write_closed")

    def __init__(self, config: ClientConfig | ServerConfig, info: ConnectionInfo) -> None:
        super().__init__(config)
        self.info = info
        self.write_closed = False
        self._handshake: Driver | None = None
        self._update_asked = False

    @property
    def handshake_completed(self) -> bool:
        return self._handshake is None and self.info.timing.completed is not None

    @property
    def can_send_data(self) -> bool:
        """Whether the handshake is complete, or so far that a server may answer early data (half-RTT data, RFC 8446 2.3)."""
        return self.handshake_completed or (self._handshake is not None and self._handshake.half_rtt)

    def data_to_send(self) -> bytes:
        """What has gathered for the peer; afterwards it is ours no more."""
        if self._handshake is not None:
            self._handshake.flush()
        if not self._output:
            return b""
        out = b"".join(self._output)
        self._output.clear()
        return out

    def _seal(self, data: bytes | bytearray | memoryview) -> Iterator[bytes | memoryview]:
        if self.write_closed:
            raise Misuse("the connection is closed for writing")
        if not self.can_send_data:
            raise Misuse("data cannot be sent before the handshake is complete")
        view = memoryview(data).cast("B")
        if self._update_owed:  # one answer for all requests since we last sent data (RFC 8446 section 4.6.3)
            self._output.append(self._update_write_key(KeyUpdateRequest.update_not_requested))
        if self._config.observer:
            self._observe_sent(lambda at, key: DataSeen(at, True, len(view), key))
        return self._pieces(view)

    def _pieces(self, view: memoryview) -> Iterator[bytes | memoryview]:
        self._find_straight_ways()
        if before := self.data_to_send():
            yield before
        while view:
            sealing = self._records.sealing
            assert sealing is not None
            left = sealing.records_left() - 1  # the last one is KeyUpdate's, or close_notify's
            if left <= 0 and self._records.tls12:
                self.close()
                yield self.data_to_send()
                raise Misuse("the connection has come to the end of its key, and TLS 1.2 has no other", rule="RFC 9325 4.4")
            if left <= 0:
                yield self._update_write_key(KeyUpdateRequest.update_not_requested)
                continue
            size = self._records.max_send
            now, view = view[: left * size], view[left * size :]
            if self._config.record_padding or size != MAX_PLAINTEXT:
                yield self._records.write(ContentType.application_data, bytes(now), self._config.record_padding)
            else:
                yield from sealing.seal_data(now)

    def update_keys(self, *, request_peer: bool = False) -> None:
        """Write under the next key from now on (RFC 8446 section 4.6.3); ``request_peer``: and ask the peer to do so."""
        if self._records.tls12:
            raise Misuse("TLS 1.2 has no KeyUpdate")
        if not self.handshake_completed or self.write_closed:
            raise Misuse("keys can be updated while the connection is open for writing")
        request_peer = request_peer and not self._update_asked  # until it answers, once (RFC 9846 section 4.6.3)
        self._update_asked = self._update_asked or request_peer
        self._output.append(self._update_write_key(KeyUpdateRequest(request_peer)))

    def _update_write_key(self, request: KeyUpdateRequest) -> bytes:
        """KeyUpdate's record, still under the old key."""
        sealing = self._records.sealing
        assert isinstance(sealing, Sealing)
        self._update_owed = self._update_owed and request is not KeyUpdateRequest.update_not_requested
        message = KeyUpdate(request)
        record = self._records.write(ContentType.handshake, write_message(message))
        self._observe_sent(lambda at, key: MessageSeen(at, True, message, key))
        secret = sealing.updated_secret()
        self._records.sealing = Sealing(sealing.suite, secret)
        self._writes = None
        self._config.log_secret(secret.key_log_label, self.info.client_random, secret.value)
        self._observe_sent(lambda at, key: KeyInstalled(at, True, key, sealing.suite.name))
        return record

    def close(self) -> None:
        """Send no more, and say so."""
        raise NotImplementedError

    def _find_straight_ways(self) -> None:
        """The long way has come to its end: may the next be straight?"""
        raise NotImplementedError

    def _send_alert(self, alert: Alert, level: AlertLevel = AlertLevel.warning) -> None:
        if self._handshake is not None:
            self._handshake.flush()
        self._observe_sent(lambda at, key: AlertSeen(at, True, alert, key))
        self._output.append(self._records.write(ContentType.alert, bytes((level, alert))))

    def _observe_sent(self, make: Any) -> None:
        if self._config.observer:
            sealing = self._records.sealing
            observation: Observation = make(self._config.clock(), sealing.name if sealing else "")
            self._config.observer(observation)
