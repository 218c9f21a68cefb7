"""The rest of TLS 1.3's handshake messages (RFC 8446 sections 4.3 to 4.6), and the table that names them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.codec import (
    Extensions,
    Structure,
    opaque,
    parse,
    rest,
    serialize,
    structure,
    uint8,
    uint16,
    uint24,
    uint32,
    vector,
    wire,
)
from minitls.wire.extensions import extensions_of
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest, Message, ServerHello
from minitls.wire.numbers import HandshakeType, name_of


@structure
class EncryptedExtensions(Message):
    """RFC 8446 section 4.3.1."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.encrypted_extensions
    extensions: Extensions = wire(extensions_of(HandshakeType.encrypted_extensions))


@structure
class CertificateRequest(Message):
    """RFC 8446 section 4.3.2; that its extensions may be none is RFC 9846's correction."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.certificate_request
    certificate_request_context: bytes = wire(opaque(0, 2**8 - 1))
    extensions: Extensions = wire(extensions_of(HandshakeType.certificate_request))


@structure
class CertificateEntry(Structure):
    """RFC 8446 section 4.4.2."""

    cert_data: bytes = wire(opaque(1, 2**24 - 1))
    extensions: Extensions = wire(extensions_of(HandshakeType.certificate))


@structure
class Certificate(Message):
    """RFC 8446 section 4.4.2."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.certificate
    certificate_request_context: bytes = wire(opaque(0, 2**8 - 1))
    certificate_list: tuple[CertificateEntry, ...] = wire(vector(CertificateEntry.codec, 0, 2**24 - 1))

    @property
    def chain(self) -> tuple[bytes, ...]:
        return tuple(entry.cert_data for entry in self.certificate_list)


@structure
class CompressedCertificate(Message):
    """RFC 8879 section 4."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.compressed_certificate
    algorithm: int = wire(uint16)
    uncompressed_length: int = wire(uint24)
    compressed_certificate_message: bytes = wire(opaque(1, 2**24 - 1))


@structure
class CertificateVerify(Message):
    """RFC 8446 section 4.4.3."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.certificate_verify
    algorithm: int = wire(uint16)
    signature: bytes = wire(opaque(0, 2**16 - 1))


@structure
class Finished(Message):
    """RFC 8446 section 4.4.4."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.finished
    verify_data: bytes = wire(rest)


@structure
class NewSessionTicket(Message):
    """RFC 8446 section 4.6.1."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.new_session_ticket
    ticket_lifetime: int = wire(uint32)
    ticket_age_add: int = wire(uint32)
    ticket_nonce: bytes = wire(opaque(0, 255))
    ticket: bytes = wire(opaque(1, 2**16 - 1))
    extensions: Extensions = wire(extensions_of(HandshakeType.new_session_ticket))


@structure
class KeyUpdate(Message):
    """RFC 8446 section 4.6.3."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.key_update
    request_update: int = wire(uint8)


@structure
class EndOfEarlyData(Message):
    """RFC 8446 section 4.5."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.end_of_early_data


MESSAGES: Mapping[int, type[Message]] = {
    kind.msg_type: kind
    for kind in (
        ClientHello,
        ServerHello,
        NewSessionTicket,
        EndOfEarlyData,
        EncryptedExtensions,
        Certificate,
        CertificateRequest,
        CompressedCertificate,
        CertificateVerify,
        Finished,
        KeyUpdate,
    )
}

HEADER = 4
"""msg_type and length: what stands before each message's body (RFC 8446 section 4)."""


def message_type(raw: bytes, table: Mapping[int, type[Message]] = MESSAGES) -> type[Message]:
    """Which message these bytes (header included) say they are.  Raises unexpected_message for a type that TLS 1.3 does not
    have.
    """
    if raw[0] == HandshakeType.server_hello and raw[HEADER + 2 : HEADER + 34] == HELLO_RETRY_REQUEST_RANDOM:
        return HelloRetryRequest
    try:
        return table[raw[0]]
    except KeyError:
        name = name_of(HandshakeType, raw[0])
        raise PeerMisbehaved(
            Alert.unexpected_message, f"the peer sent a handshake message of type {name}", rule="RFC 8446 4"
        ) from None


def read_message(kind: type[Message], raw: bytes) -> Message:
    """The message in these bytes, header included; ``raw`` stays with it."""
    message = parse(kind, raw[HEADER:])
    message.raw = raw
    return message


def write_message(message: Message) -> bytes:
    """The message's bytes, header included; they stay with it as ``raw``."""
    body = serialize(message)
    message.raw = bytes((message.msg_type,)) + len(body).to_bytes(3, "big") + body
    return message.raw
