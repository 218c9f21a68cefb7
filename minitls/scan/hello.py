"""Hand-made hellos: any version, any numbers, any length; nothing in them that a server would have to refuse by itself."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minitls.crypto.groups import GROUPS
from minitls.scan.registry import RENEGOTIATION_SCSV, groups, schemes
from minitls.wire.codec import Extensions
from minitls.wire.extensions import UNCOMPRESSED, CertificateStatusRequest, KeyShareEntry, ServerName
from minitls.wire.hello import ClientHello
from minitls.wire.messages import write_message
from minitls.wire.numbers import CertificateStatusType, ContentType, NamedGroup, ProtocolVersion
from minitls.wire.numbers import ExtensionType as X

SSLV3, TLS10, TLS12, TLS13 = (
    ProtocolVersion.SSLv3,
    ProtocolVersion.TLSv1,
    ProtocolVersion.TLSv1_2,
    ProtocolVersion.TLSv1_3,
)
MAX_RECORD = 2**14
OLD_GROUPS = tuple(code for code in groups() if code < 0x1F)
"""The curves of TLS 1.2 and older."""
NEW_GROUPS = tuple(code for code in groups() if code >= 0x17 and not 0x1A <= code <= 0x1C)
"""The groups of TLS 1.3, and drafts'."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """A ClientHello to be.

    ``version``: the newest that is offered, and for TLS 1.3 the only one.  ``legacy_version``: where it is to say something else.
    ``name``: for server_name, or None.  ``groups``, ``schemes``: all there are, unless given.  ``shares``: groups with a share.
    ``more``: further extensions, or other bodies of those that are there; ``without``: extensions to leave out.
    ``length``: of the message, padded (RFC 7685) to have it; ``piece``: the length of its records.
    """

    version: int
    suites: tuple[int, ...]
    name: str | None = None
    groups: tuple[int, ...] | None = None
    schemes: tuple[int, ...] | None = None
    shares: tuple[int, ...] = (NamedGroup.x25519,)
    alpn: tuple[str, ...] = ()
    compression: bytes = b"\0"
    session_id: bytes | None = None
    legacy_version: int | None = None
    more: Mapping[int, Any] = field(default_factory=dict)
    without: frozenset[int] = frozenset()
    length: int = 0
    piece: int = MAX_RECORD

    def replace(self, **changes: Any) -> Hello:
        return dataclasses.replace(self, **changes)

    def message(self) -> bytes:
        tls13 = self.version >= TLS13
        legacy = self.legacy_version if self.legacy_version is not None else min(self.version, TLS12)
        suites = self.suites if self.version > SSLV3 else (*self.suites, RENEGOTIATION_SCSV)
        session_id = self.session_id if self.session_id is not None else os.urandom(32) if tls13 else b""
        extensions = self._extensions()
        hello = ClientHello(legacy, os.urandom(32), session_id, suites, self.compression, extensions)
        raw = write_message(hello)
        if self.length > len(raw):
            extensions[X.padding] = bytes(max(0, self.length - len(raw) - 4))
            raw = write_message(hello)
        return raw

    def records(self) -> bytes:
        """What goes out: the message in plaintext records (RFC 8446 section 5.1)."""
        raw = self.message()
        head = bytes((ContentType.handshake,)) + min(self.version, TLS10).to_bytes(2, "big")
        pieces = (raw[at : at + self.piece] for at in range(0, len(raw), self.piece))
        return b"".join(head + len(piece).to_bytes(2, "big") + piece for piece in pieces)

    def _extensions(self) -> Extensions:
        found = Extensions()
        if self.version <= SSLV3:
            return found  # it has none
        if self.name is not None:
            found[X.server_name] = (ServerName(0, self.name.encode("ascii")),)
        offered = self.groups if self.groups is not None else NEW_GROUPS if self.version >= TLS13 else OLD_GROUPS
        if offered:
            found[X.supported_groups] = offered
        if self.version >= TLS12:
            found[X.signature_algorithms] = self.schemes if self.schemes is not None else tuple(schemes())
        if self.alpn:
            found[X.application_layer_protocol_negotiation] = tuple(name.encode("ascii") for name in self.alpn)
        if self.version >= TLS13:
            found[X.supported_versions] = (self.version,)
            shares = [GROUPS[code].generate() for code in self.shares if self.groups is None or code in self.groups]
            found[X.key_share] = tuple(KeyShareEntry(share.group.code, share.public) for share in shares)
        else:
            found[X.ec_point_formats] = (UNCOMPRESSED,)
            found[X.renegotiation_info] = b""
            found[X.session_ticket] = b""
            found[X.extended_master_secret] = None
        found.update(self.more)
        return Extensions((kind, body) for kind, body in found.items() if kind not in self.without)


ASK_FOR_STAPLE = {X.status_request: CertificateStatusRequest(CertificateStatusType.ocsp, b"", b"")}

SSLV2_CIPHERS = {
    0x010080: "SSL_CK_RC4_128_WITH_MD5",
    0x020080: "SSL_CK_RC4_128_EXPORT40_WITH_MD5",
    0x030080: "SSL_CK_RC2_128_CBC_WITH_MD5",
    0x040080: "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5",
    0x050080: "SSL_CK_IDEA_128_CBC_WITH_MD5",
    0x060040: "SSL_CK_DES_64_CBC_WITH_MD5",
    0x0700C0: "SSL_CK_DES_192_EDE3_CBC_WITH_MD5",
}


def sslv2_hello() -> bytes:
    """SSL 2.0's CLIENT-HELLO, which has a form of its own (RFC 6101 appendix E)."""
    ciphers = b"".join(code.to_bytes(3, "big") for code in SSLV2_CIPHERS)
    body = b"\x01\x00\x02" + len(ciphers).to_bytes(2, "big") + b"\0\0\0\x10" + ciphers + os.urandom(16)
    return (0x8000 | len(body)).to_bytes(2, "big") + body
