"""A session: the secret, and everything that it is bound to."""

from __future__ import annotations

from minitls.errors import DecodeError
from minitls.wire.codec import Structure, opaque, parse, serialize, structure, uint8, uint16, uint32, uint64, vector, wire

FORMAT = 1


@structure
class Session(Structure):
    """What is remembered of a connection.

    ``secret``: TLS 1.2's master secret.  ``extended``: whether it is an extended one (RFC 7627).  ``created``: seconds since the
    epoch; ``lifetime``: seconds.  ``context``: a digest of what the server's configuration asks of clients.  ``identity``: a digest
    of the client's own certificate.  ``chain``: the peer's, DER, leaf first.  ``session_id`` and ``ticket``: by which the client
    asks for it.
    """

    format: int = wire(uint8)
    version: int = wire(uint16)
    cipher_suite: int = wire(uint16)
    secret: bytes = wire(opaque(1, 2**8 - 1))
    extended: int = wire(uint8)
    created: int = wire(uint64)
    lifetime: int = wire(uint32)
    server_name: bytes = wire(opaque(0, 2**8 - 1))
    context: bytes = wire(opaque(0, 32))
    identity: bytes = wire(opaque(0, 32))
    chain: tuple[bytes, ...] = wire(vector(opaque(1, 2**24 - 1), 0, 2**24 - 1))
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

    def alive(self, now: float) -> bool:
        """Whether it may be resumed at this time."""
        return self.created - 1 <= now < self.created + self.lifetime
