"""The handshake messages that only TLS 1.2 has, or has otherwise (RFC 5246 section 7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from minitls.wire.codec import Codec, Structure, opaque, rest, structure, uint8, uint16, uint32, vector, wire
from minitls.wire.extensions import CertificateStatus
from minitls.wire.hello import ClientHello, Message, ServerHello
from minitls.wire.messages import CertificateVerify, Finished
from minitls.wire.numbers import HandshakeType


class ChangeCipherSpec(Message):
    """RFC 5246 section 7.1: a record of its own type, and yet one of the things that a handshake waits for."""

    __slots__ = ()


@structure
class HelloRequest(Message):
    """RFC 5246 section 7.4.1.1."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.hello_request


@structure
class Certificate12(Message):
    """RFC 5246 section 7.4.2."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.certificate
    certificate_list: tuple[bytes, ...] = wire(vector(opaque(1, 2**24 - 1), 0, 2**24 - 1))

    @property
    def chain(self) -> tuple[bytes, ...]:
        return self.certificate_list


def _read_at_most_one(buf: bytes, pos: int, end: int) -> tuple[tuple[bytes, ...], int]:
    value, after = _KEY.read(buf, pos, end)
    return (value,) if value else (), after


def _write_at_most_one(value: tuple[bytes, ...], out: bytearray) -> None:
    _KEY.write(b"".join(value), out)


_KEY = opaque(0, 2**24 - 1)


@structure
class RawPublicKey12(Certificate12):
    """RFC 7250 section 3: the Certificate of a side that shows a raw public key: its SubjectPublicKeyInfo, in no list.

    The RFC has no way to decline, so that its vector begins at 1; a Certificate without certificates looks like this one without a
    key.
    """

    msg_type: ClassVar[HandshakeType] = HandshakeType.certificate
    certificate_list: tuple[bytes, ...] = wire(Codec(_read_at_most_one, _write_at_most_one, _KEY.shape))


@structure
class CertificateStatus12(Message):
    """RFC 6066 section 8."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.certificate_status
    status: CertificateStatus = wire(CertificateStatus.codec)


@structure
class ServerKeyExchange(Message):
    """RFC 5246 section 7.4.3; what it holds depends on the key exchange, which reads it."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.server_key_exchange
    parameters: bytes = wire(rest)


@structure
class CertificateRequest12(Message):
    """RFC 5246 section 7.4.4."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.certificate_request
    certificate_types: tuple[int, ...] = wire(vector(uint8, 1, 2**8 - 1))
    supported_signature_algorithms: tuple[int, ...] = wire(vector(uint16, 2, 2**16 - 2))
    certificate_authorities: tuple[bytes, ...] = wire(vector(opaque(1, 2**16 - 1), 0, 2**16 - 1))


@structure
class ServerHelloDone(Message):
    """RFC 5246 section 7.4.5."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.server_hello_done


@structure
class ClientKeyExchange(Message):
    """RFC 5246 section 7.4.7; what it holds depends on the key exchange, which reads it."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.client_key_exchange
    exchange_keys: bytes = wire(rest)


@structure
class NewSessionTicket12(Message):
    """RFC 5077 section 3.3."""

    msg_type: ClassVar[HandshakeType] = HandshakeType.new_session_ticket
    ticket_lifetime_hint: int = wire(uint32)
    ticket: bytes = wire(opaque(0, 2**16 - 1))


@structure
class DigitallySigned(Structure):
    """RFC 5246 section 4.7."""

    algorithm: int = wire(uint16)
    signature: bytes = wire(opaque(0, 2**16 - 1))


@structure
class ServerECDHParams(Structure):
    """RFC 8422 section 5.4, for curve_type named_curve (3)."""

    curve_type: int = wire(uint8)
    named_curve: int = wire(uint16)
    public: bytes = wire(opaque(1, 2**8 - 1))


@structure
class ServerDHParams(Structure):
    """RFC 5246 section 7.4.3."""

    dh_p: bytes = wire(opaque(1, 2**16 - 1))
    dh_g: bytes = wire(opaque(1, 2**16 - 1))
    dh_Ys: bytes = wire(opaque(1, 2**16 - 1))


@structure
class ClientECDHPublic(Structure):
    """RFC 8422 section 5.7."""

    ecdh_Yc: bytes = wire(opaque(1, 2**8 - 1))


@structure
class ClientDHPublic(Structure):
    """RFC 5246 section 7.4.7.2."""

    dh_Yc: bytes = wire(opaque(1, 2**16 - 1))


@structure
class EncryptedPreMasterSecret(Structure):
    """RFC 5246 section 7.4.7.1."""

    pre_master_secret: bytes = wire(opaque(0, 2**16 - 1))


MESSAGES_12: Mapping[int, type[Message]] = {
    kind.msg_type: kind
    for kind in (
        HelloRequest,
        ClientHello,
        ServerHello,
        NewSessionTicket12,
        Certificate12,
        ServerKeyExchange,
        CertificateRequest12,
        ServerHelloDone,
        CertificateVerify,
        ClientKeyExchange,
        Finished,
        CertificateStatus12,
    )
}
MESSAGES_12_RAW: Mapping[int, type[Message]] = {**MESSAGES_12, HandshakeType.certificate: RawPublicKey12}
"""Where the peer shows a raw public key."""
