"""A session: the secret, and everything that it is bound to."""

from __future__ import annotations

from minitls.errors import DecodeError
from minitls.wire.codec import Structure, opaque, parse, serialize, structure, uint8, uint16, uint32, uint64, vector, wire

FORMAT = 9
MAX_LIFETIME = 7 * 24 * 3600
"""Seconds that a session may be resumed for, however often it is renewed (RFC 8446 section 4.6.1)."""


@structure
class Session(Structure):
    """What is remembered of a connection.

    ``secret``: TLS 1.3's PSK, TLS 1.2's master secret.  ``extended``: whether the latter is an extended one (RFC 7627).
    ``authenticated``, ``created``: when the peers proved who they are, and when this session was made of that, in milliseconds
    since the epoch; ``lifetime``: seconds from ``created``; ``until``: when the peer's delegated credential expires (RFC 9345),
    likewise, 0 for none.  ``context``: a digest of what the server's configuration asks of clients.  ``identity``: a digest of the
    client's own certificate, or of a PSK suite's key, and behind it what that is called.  ``chain``: the peer's, DER, leaf first;
    ``public_key``: its raw one (RFC 7250), b"" without; ``certificate_type``: of what the server showed; ``ocsp_response``,
    ``scts``: what it stapled to that; ``signature_scheme``: what the peer proved its key with, 0 if it did not; ``scrutiny``: how
    closely its certificate was looked at (:class:`minitls.config.Scrutiny`).  ``group``: the name of the one that TLS 1.2's secret
    was agreed in, b"" for none (each handshake of TLS 1.3 has its own).  ``session_id`` and ``ticket``: by which the client asks
    for it.  ``age_add``: what hides the ticket's age; ``max_early_data``: bytes of 0-RTT data that the server takes, for ``alpn``
    (both TLS 1.3's).
    """

    format: int = wire(uint8)
    version: int = wire(uint16)
    cipher_suite: int = wire(uint16)
    extended: int = wire(uint8)
    authenticated: int = wire(uint64)
    created: int = wire(uint64)
    lifetime: int = wire(uint32)
    until: int = wire(uint64)
    certificate_type: int = wire(uint8)
    signature_scheme: int = wire(uint16)
    scrutiny: int = wire(uint8)
    age_add: int = wire(uint32)
    max_early_data: int = wire(uint32)
    secret: bytes = wire(opaque(1, 2**8 - 1))
    server_name: bytes = wire(opaque(0, 2**8 - 1))
    alpn: bytes = wire(opaque(0, 2**8 - 1))
    context: bytes = wire(opaque(0, 32))
    identity: bytes = wire(opaque(0, 2**8 - 1))
    chain: tuple[bytes, ...] = wire(vector(opaque(1, 2**24 - 1), 0, 2**24 - 1))
    public_key: bytes = wire(opaque(0, 2**16 - 1))
    group: bytes = wire(opaque(0, 2**8 - 1))
    ocsp_response: bytes = wire(opaque(0, 2**24 - 1))
    scts: tuple[bytes, ...] = wire(vector(opaque(1, 2**16 - 1), 0, 2**16 - 1))
    session_id: bytes = wire(opaque(0, 32))
    ticket: bytes = wire(opaque(0, 2**16 - 1))

    def __repr__(self) -> str:
        return f"<Session with {self.server_name.decode('ascii', 'backslashreplace') or 'nobody in particular'}>"

    def to_bytes(self) -> bytes:
        """For keeping; holds secrets."""
        return serialize(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Session:
        """Raises DecodeError for what :meth:`to_bytes` did not make."""
        session = parse(cls, data)
        if session.format != FORMAT:
            raise DecodeError(f"a session in format {session.format}, and we know {FORMAT}", rule="")
        return session

    @property
    def has_peer(self) -> bool:
        """Whether the peer showed who it is."""
        return bool(self.chain or self.public_key)

    def alive(self, now: float) -> bool:
        """Whether it may be resumed at this time, seconds since the epoch."""
        age = now - self.created / 1000
        return -1 <= age < self.lifetime and now - self.authenticated / 1000 < MAX_LIFETIME
