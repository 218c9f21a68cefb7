"""The straight way of application data, where a connection spends its life once the handshake is over.

It leads past everything that does not matter to plain data: few functions, one call into the cipher.  The rules:

1. It can be taken while nothing but data can happen: see ``Connection._find_straight_ways``.  Whoever changes any of that forgets
   the ways, and the long way is taken, which looks for them again when it has come to its end.
2. Nothing is decided here.  What is not plain data in whole records is left as it is, for the long way to look at.
3. The sequence number is advanced before anything can go wrong: whatever is raised or cancelled, no nonce is used twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from minitls.config import ClientConfig, ServerConfig
from minitls.errors import Misuse
from minitls.events import ApplicationData, Event
from minitls.record.layer import RecordLayer
from minitls.record.protection import MAX_PLAINTEXT, Opening, Sealing, TrafficKeys

SHORT = 2048
"""Bytes that may well be one record: looked at as that first."""


class Straight:
    """What :class:`~minitls.sending.Sending`, and so :class:`~minitls.Connection`, is made on.

    ``partial``: bytes received that are no whole record yet, or wait for an answer; see :meth:`receive_view`.
    ``_reads``, ``_writes``: what opens and seals on the straight way; None where the long one must be taken.
    ``_restless``: what the peer may not send for ever, counted since its last data.
    ``_output``: what is to be sent before anything else; ``_update_owed``: and a KeyUpdate, too.
    """

    __slots__ = ("_config", "_output", "_reads", "_records", "_restless", "_update_owed", "_writes", "partial")

    def __init__(self, config: ClientConfig | ServerConfig) -> None:
        self._config = config
        self._records = RecordLayer(config.max_send_fragment)
        self._output: list[bytes] = []
        self._restless: dict[str, int] = {}
        self._update_owed = False
        self._reads: Opening | None = None
        self._writes: Sealing | None = None
        self.partial = b""

    def traffic_keys(self) -> tuple[TrafficKeys, TrafficKeys]:
        """What the records are protected with at this moment, those that we receive and those that we send; TLS 1.3.

        For who takes the records over, such as the kernel.  Who has it reads everything and can speak for both sides: it belongs in
        no log, and once another uses it this connection must not be written to again (a nonce must never return: RFC 8446 section
        5.3).  Raises Misuse before the handshake is complete, and in TLS 1.2.
        """
        opening, sealing = self._records.opening, self._records.sealing
        if not (isinstance(opening, Opening) and isinstance(sealing, Sealing) and opening.of_data and sealing.of_data):
            raise Misuse("there are traffic keys of TLS 1.3, and once the handshake is complete", rule="RFC 8446 7.2")
        return opening.traffic_keys(), sealing.traffic_keys()

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Bytes from the peer, any number of them.  Raises TLSError; then ``data_to_send`` has the alert for the peer."""
        return self.receive_view(memoryview(self.partial + bytes(data) if self.partial else data))

    def receive_view(self, view: memoryview) -> list[Event]:
        """The same for callers that put ``partial`` in front of the new bytes by themselves.  The view is free again afterwards."""
        received = self.receive(view)
        if isinstance(received, list):
            return received
        return [ApplicationData(received)] if received else []

    def receive(self, view: memoryview) -> bytes | list[Event]:
        """The same: data, if that is all that there is, without an event around it; maybe none."""
        opening = self._reads
        if opening is None:
            return self._receive_all(view, 0, [])
        if len(view) <= SHORT and (data := opening.open_one(view)):
            self.partial = b""
            return data
        start, data, waits = opening.open_data(view, 0)
        if waits:
            self.partial = bytes(view[start:])
            return data
        return self._receive_all(view, start, [ApplicationData(data)] if data else [])

    def seal(self, data: bytes | bytearray | memoryview) -> Iterable[bytes | memoryview]:
        """Application data as records, some at a time, after what :meth:`~minitls.Connection.data_to_send` has.

        A view that is given is good until the next is asked for; who keeps it longer calls
        :func:`minitls.record.protection.keep_sealed_buffer`.  Raises Misuse as :meth:`send_data`.
        """
        sealing = self._writes
        if sealing is not None and not (self._output or self._update_owed or isinstance(data, memoryview)):
            if len(data) > MAX_PLAINTEXT:
                if sealing.records_left() > len(data) // MAX_PLAINTEXT + 2:
                    return sealing.seal_data(memoryview(data))
            elif data and (record := sealing.seal_one(data)):
                return (record,)
        return self._seal(data)

    def send_data(self, data: bytes | bytearray | memoryview) -> None:
        """Queue application data for :meth:`~minitls.Connection.data_to_send`.

        Raises Misuse before the handshake is complete and after close.
        """
        for piece in self.seal(data):
            self._output.append(bytes(piece))

    def _receive_all(self, view: memoryview, start: int, events: list[Event]) -> list[Event]:
        """The long way, for everything from ``start``."""
        raise NotImplementedError

    def _seal(self, data: bytes | bytearray | memoryview) -> Iterable[bytes | memoryview]:
        """The long way."""
        raise NotImplementedError
