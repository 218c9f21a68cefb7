"""The two hellos, and the HelloRetryRequest that looks like one of them (RFC 8446 section 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import ClassVar

from minitls.wire.codec import Extensions, Structure, opaque, structure, uint8, uint16, vector, wire
from minitls.wire.extensions import HRR, ServerName, extensions_of
from minitls.wire.numbers import ExtensionType, HandshakeType, ProtocolVersion, is_grease

HELLO_RETRY_REQUEST_RANDOM = hashlib.sha256(b"HelloRetryRequest").digest()
"""RFC 8446 section 4.1.3: the random that makes a ServerHello a HelloRetryRequest."""

DOWNGRADE_TO_12 = b"DOWNGRD\x01"
DOWNGRADE_TO_11 = b"DOWNGRD\x00"

FALLBACK_SCSV = 0x5600
"""RFC 7507 section 2: no cipher suite, but a word to the server in the place of one."""


class Message(Structure):
    """A handshake message.  ``raw``: its bytes on the wire, header included; set by who reads or sends it."""

    __slots__ = ("raw",)
    msg_type: ClassVar[HandshakeType]
    raw: bytes


@structure
class ClientHello(Message):
    """RFC 8446 section 4.1.2."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.client_hello
    legacy_version: int = wire(uint16)
    random: bytes = wire(opaque(32))
    legacy_session_id: bytes = wire(opaque(0, 32))
    cipher_suites: tuple[int, ...] = wire(vector(uint16, 2, 2**16 - 2))
    legacy_compression_methods: bytes = wire(opaque(1, 2**8 - 1))
    extensions: Extensions = wire(extensions_of(HandshakeType.client_hello, optional=True))

    @property
    def server_name(self) -> str | None:
        """The host_name of server_name (RFC 6066 section 3), or None.  What is not ASCII shows as escapes."""
        names: tuple[ServerName, ...] = self.extensions.get(ExtensionType.server_name, ())
        return next((n.host_name.decode("ascii", "backslashreplace") for n in names if n.name_type == 0), None)

    @property
    def alpn(self) -> tuple[str, ...]:
        """The protocol names offered (RFC 7301).  What is not ASCII shows as escapes."""
        names: tuple[bytes, ...] = self.extensions.get(ExtensionType.application_layer_protocol_negotiation, ())
        return tuple(name.decode("ascii", "backslashreplace") for name in names)

    @property
    def versions(self) -> tuple[int, ...]:
        """What supported_versions says, or legacy_version and all below it (RFC 8446 section 4.2.1)."""
        offered: tuple[int, ...] | None = self.extensions.get(ExtensionType.supported_versions)
        if offered is not None:
            return offered
        return tuple(v for v in reversed(ProtocolVersion) if v <= min(self.legacy_version, ProtocolVersion.TLSv1_2))

    @property
    def ja3(self) -> str:
        """The JA3 fingerprint, JA4's forerunner: the MD5 of what is offered, in its order, GREASE left out."""

        def joined(codes: Iterable[int]) -> str:
            return "-".join(str(code) for code in codes if not is_grease(code))

        groups = self.extensions.get(ExtensionType.supported_groups, ())
        formats = self.extensions.get(ExtensionType.ec_point_formats, ())
        parts = (str(self.legacy_version), *map(joined, (self.cipher_suites, self.extensions, groups, formats)))
        return hashlib.md5(",".join(parts).encode("ascii"), usedforsecurity=False).hexdigest()

    @property
    def ja4(self) -> str:
        """The JA4 fingerprint: what kind of client this is, by what it offers and not by what changes from hello to hello."""

        def digest(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12

        suites = [f"{s:04x}" for s in self.cipher_suites if not is_grease(s)]
        kinds = [kind for kind in self.extensions if not is_grease(kind)]
        known_versions = [v for v in self.versions if not is_grease(v)]
        version = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}.get(max(known_versions, default=0), "00")
        names: tuple[bytes, ...] = self.extensions.get(ExtensionType.application_layer_protocol_negotiation, ())
        protocol = "00"
        if names:
            ends = names[0][:1] + names[0][-1:]
            hexed = names[0].hex()
            protocol = ends.decode() if ends.isalnum() else hexed[0] + hexed[-1]
        sni = "d" if ExtensionType.server_name in self.extensions else "i"
        hidden = (ExtensionType.server_name, ExtensionType.application_layer_protocol_negotiation)
        listed = ",".join(sorted(f"{kind:04x}" for kind in kinds if kind not in hidden))
        schemes = self.extensions.get(ExtensionType.signature_algorithms, ())
        signed = ",".join(f"{s:04x}" for s in schemes if not is_grease(s))
        return (
            f"t{version}{sni}{min(len(suites), 99):02}{min(len(kinds), 99):02}{protocol}"
            f"_{digest(','.join(sorted(suites)))}_{digest(f'{listed}_{signed}' if signed else listed)}"
        )


@structure
class ServerHello(Message):
    """RFC 8446 section 4.1.3."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.server_hello
    legacy_version: int = wire(uint16)
    random: bytes = wire(opaque(32))
    legacy_session_id_echo: bytes = wire(opaque(0, 32))
    cipher_suite: int = wire(uint16)
    legacy_compression_method: int = wire(uint8)
    extensions: Extensions = wire(extensions_of(HandshakeType.server_hello, optional=True))


@structure
class HelloRetryRequest(Message):
    """RFC 8446 section 4.1.4: a ServerHello whose random is HELLO_RETRY_REQUEST_RANDOM."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.server_hello
    legacy_version: int = wire(uint16)
    random: bytes = wire(opaque(32))
    legacy_session_id_echo: bytes = wire(opaque(0, 32))
    cipher_suite: int = wire(uint16)
    legacy_compression_method: int = wire(uint8)
    extensions: Extensions = wire(extensions_of(HRR))
