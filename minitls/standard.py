"""What a connection came to, in the standard library's words: the questions of :class:`ssl.SSLObject` that need no connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minitls.crypto.openssl import cipher_tuple
from minitls.errors import Misuse

if TYPE_CHECKING:
    from minitls.info import ConnectionInfo

CHANNEL_BINDINGS = ("tls-unique", "tls-exporter", "tls-server-end-point")


class Answers:
    """Who inherits has ``_established``: whether the handshake is complete, and ``_info``."""

    __slots__ = ()

    _established: bool

    @property
    def _info(self) -> ConnectionInfo:
        raise NotImplementedError

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The peer's certificate: a dictionary, {} if it was not verified, None if it has none; or DER."""
        if not self._established:
            raise ValueError("handshake not done yet")
        chain = self._info.peer_chain
        if not chain:
            return None
        if binary_form:
            return chain[0]
        if not self._info.verified_chain:
            return {}
        from minitls.certificates.peercert import peercert

        return peercert(chain[0])

    def get_verified_chain(self) -> list[bytes]:
        """The peer's certificates up to the root that they were verified by, DER, leaf first."""
        return list(self._info.verified_chain) if self._established else []

    def get_unverified_chain(self) -> list[bytes]:
        """The peer's certificates as it sent them, DER, leaf first."""
        return list(self._info.peer_chain) if self._established else []

    def version(self) -> str | None:
        return self._info.version if self._established else None

    def cipher(self) -> tuple[str, str, int] | None:
        suite = self._info.cipher_suite if self._established else None
        return None if suite is None else cipher_tuple(suite)

    def compression(self) -> None:
        """None: there is none any more."""
        return

    def selected_alpn_protocol(self) -> str | None:
        return self._info.alpn_protocol if self._established else None

    @property
    def session_reused(self) -> bool:
        return self._established and self._info.resumed

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        """RFC 5929's and RFC 9266's; None before the handshake, and where this connection has none of the kind."""
        if cb_type not in CHANNEL_BINDINGS:
            raise ValueError(f"{cb_type} channel binding type not implemented")
        if not self._established:
            return None
        try:
            return self._info.channel_binding(cb_type)
        except Misuse:
            return None
