"""What ``get_extra_info("ssl_object")`` gives: something to ask, as asyncio's SSLObject is; data go through the transport."""

from __future__ import annotations

import ssl
import warnings
from typing import Any, NoReturn

from minitls.connection import Connection
from minitls.info import ConnectionInfo
from minitls.standard import Answers


class TLSObject(Answers, ssl.SSLObject):
    """A connection of ours, asked as the standard library's are.  It cannot be read from or written to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _info(self) -> ConnectionInfo:
        return self._connection.info

    @property
    def _established(self) -> bool:  # type: ignore[override]  # nobody sets it
        return self._connection.handshake_completed

    @property
    def server_side(self) -> bool:
        return self._info.role == "server"

    @property
    def server_hostname(self) -> Any:
        """Whom a client asked for."""
        return None if self.server_side else self._info.server_name

    @property
    def context(self) -> Any:  # type: ignore[override]  # likewise
        """None: there is a configuration instead."""
        return None

    @property
    def session(self) -> Any:  # type: ignore[override]  # likewise
        """None: the configuration's ``session_store`` has them."""
        return None

    def shared_ciphers(self) -> None:
        return None

    def selected_npn_protocol(self) -> None:
        warnings.warn("ssl NPN is deprecated, use ALPN instead", DeprecationWarning, stacklevel=2)

    def pending(self) -> int:
        return 0

    def do_handshake(self) -> None:
        """The transport does it."""

    def _not_here(self) -> NoReturn:
        raise NotImplementedError("data go through the transport, which this object is only asked about")

    def read(self, len: int = 1024, buffer: Any = None) -> NoReturn:
        self._not_here()

    def write(self, data: Any) -> NoReturn:
        self._not_here()

    def unwrap(self) -> NoReturn:
        self._not_here()

    def verify_client_post_handshake(self) -> NoReturn:
        raise NotImplementedError("await the transport's request_client_certificate() instead")
