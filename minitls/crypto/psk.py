"""External pre-shared keys (RFC 8446 section 4.2.11), and how they are imported into TLS 1.3 (RFC 9258)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar

from minitls.crypto.schedule import hash_length, hkdf_expand_label, hkdf_extract
from minitls.data import dataclass, field
from minitls.errors import DecodeError, Misuse
from minitls.wire.codec import Structure, opaque, parse, serialize, structure, uint16, wire
from minitls.wire.numbers import ProtocolVersion

KDFS: Mapping[str, int] = {"sha256": 0x0001, "sha384": 0x0002}
"""The hash of a key schedule, and what stands for it in an imported identity (RFC 9258 section 10)."""


@structure
class ImportedIdentity(Structure):
    """RFC 9258 section 5.1."""

    external_identity: bytes = wire(opaque(1, 2**16 - 1))
    context: bytes = wire(opaque(0, 2**16 - 1))
    target_protocol: int = wire(uint16)
    target_kdf: int = wire(uint16)


@structure
class Roles(Structure):
    """RFC 9258 appendix A: the context that says who is the client and who the server."""

    client: bytes = wire(opaque(0, 2**8 - 1))
    server: bytes = wire(opaque(0, 2**8 - 1))


@dataclass(frozen=True)
class ExternalPsk:
    """A key that both sides have from elsewhere.

    ``identity``: 1 to 16384 bytes, sent in the open.  ``key``: at least 16 bytes, from a random generator: a password can be
    guessed by who records one handshake.  ``hash_name``: "sha256" or "sha384", which the key belongs to.
    ``context``: not None: the key is imported (RFC 9258), which binds it to TLS 1.3 and to this context.

    A plain key serves one direction: if both sides may begin, what one said can be sent back to it (the Selfie attack), so use
    :meth:`between` there.  Raises Misuse.
    """

    SHORTEST: ClassVar[int] = 16
    LONGEST: ClassVar[int] = 2**14

    identity: bytes
    key: bytes = field(repr=False)
    hash_name: str = "sha256"
    context: bytes | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.identity) <= self.LONGEST or len(self.context or b"") > self.LONGEST:
            raise Misuse(f"a PSK's identity has 1 to {self.LONGEST} bytes, and its context no more", rule="RFC 8446 4.2.11")
        if len(self.key) < self.SHORTEST:
            raise Misuse(f"a PSK has at least {self.SHORTEST} bytes, and no password is one", rule="RFC 9257 6")
        if self.hash_name not in KDFS:
            raise Misuse(f"a PSK is of {' or '.join(KDFS)}, not of {self.hash_name!r}")

    @classmethod
    def between(cls, identity: bytes, key: bytes, *, client: bytes, server: bytes, hash_name: str = "sha256") -> ExternalPsk:
        """Imported for one direction: ``client`` and ``server`` are what both sides call each other, at most 255 bytes each."""
        return cls(identity, key, hash_name, serialize(Roles(client, server)))

    @property
    def imported(self) -> bool:
        return self.context is not None

    def imported_identity(self, hash_name: str) -> bytes:
        """The identity that stands for the key as imported for this hash (section 5.1)."""
        assert self.context is not None
        return serialize(ImportedIdentity(self.identity, self.context, ProtocolVersion.TLSv1_3, KDFS[hash_name]))

    def imported_key(self, hash_name: str) -> bytes:
        """The key as imported for this hash (section 5.1)."""
        secret = hkdf_extract(self.hash_name, bytes(hash_length(self.hash_name)), self.key)
        digest = hashlib.new(self.hash_name, self.imported_identity(hash_name)).digest()
        return hkdf_expand_label(self.hash_name, secret, b"derived psk", digest, hash_length(hash_name))


class KnownPsks:
    """Keys that a server has at hand, best first: :class:`~minitls.ServerConfig` takes it as ``psk``, and its order counts."""

    __slots__ = ("keys",)

    def __init__(self, *keys: ExternalPsk) -> None:
        self.keys = keys

    def __call__(self, identity: bytes) -> ExternalPsk | None:
        return next((key for key in self.keys if key.identity == identity), None)

    def __repr__(self) -> str:
        return f"<KnownPsks: {len(self.keys)}>"


def read_imported_identity(identity: bytes) -> tuple[ImportedIdentity, str] | None:
    """What an identity says and the hash it is for, if it is one of an imported key for TLS 1.3 that we can use."""
    try:
        imported = parse(ImportedIdentity, identity)
    except DecodeError:  # any bytes may be an identity
        return None
    hash_name = next((name for name, code in KDFS.items() if code == imported.target_kdf), None)
    if imported.target_protocol != ProtocolVersion.TLSv1_3 or hash_name is None:
        return None
    return imported, hash_name
