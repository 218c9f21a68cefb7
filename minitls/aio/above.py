"""What a transport says of itself and passes on: the face of :class:`~minitls.aio.transport.TLSTransport` that needs no thought."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from minitls.connection import Connection

_ASKED = {"cipher": "cipher", "compression": "compression", "peercert": "getpeercert"}


class Above(asyncio.Transport):
    """``connection``: the engine.  ``_below``: the transport of TCP, once there is one; ``_pending``: small writes, gathered;
    ``_rest``: of a large one; ``_protocol``: the application's, and whether it is ``_buffered``.
    """

    __slots__ = ("_below", "_buffered", "_pending", "_protocol", "_rest", "connection")

    connection: Connection
    _below: asyncio.Transport | None
    _pending: bytes | bytearray | memoryview
    _rest: memoryview
    _protocol: asyncio.BaseProtocol | None
    _buffered: bool

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert self._below is not None
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        assert self._below is not None
        return self._below.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return len(self._pending) + len(self._rest) + (self._below.get_write_buffer_size() if self._below is not None else 0)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """ "tls" is the :class:`~minitls.info.ConnectionInfo`; "ssl_object", "peercert", "cipher" and "compression" are as
        asyncio's; the rest is TCP's.
        """
        info = self.connection.info
        if name == "tls":
            return info
        if name in ("ssl_object", "cipher", "compression", "peercert"):
            from minitls.aio.ssl_object import TLSObject

            asked = TLSObject(self.connection)
            if name == "ssl_object":
                return asked
            return getattr(asked, _ASKED[name])() if self.connection.handshake_completed else default
        return default if self._below is None else self._below.get_extra_info(name, default)
