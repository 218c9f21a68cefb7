"""What each extension holds, and in which message it may stand: RFC 8446 section 4.2's table, with the bodies' declarations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minitls.wire.codec import (
    Codec,
    Extensions,
    Structure,
    extensions,
    nothing,
    opaque,
    rest,
    structure,
    uint8,
    uint16,
    uint32,
    vector,
    wire,
)
from minitls.wire.numbers import ExtensionType, HandshakeType, name_of

X = ExtensionType


@structure
class ServerName(Structure):
    """RFC 6066 section 3; name_type 0 is host_name, the only one there is."""

    name_type: int = wire(uint8)
    host_name: bytes = wire(opaque(1, 2**16 - 1))


@structure
class KeyShareEntry(Structure):
    """RFC 8446 section 4.2.8."""

    group: int = wire(uint16)
    key_exchange: bytes = wire(opaque(1, 2**16 - 1))


@structure
class PskIdentity(Structure):
    """RFC 8446 section 4.2.11."""

    identity: bytes = wire(opaque(1, 2**16 - 1))
    obfuscated_ticket_age: int = wire(uint32)


@structure
class OfferedPsks(Structure):
    """RFC 8446 section 4.2.11."""

    identities: tuple[PskIdentity, ...] = wire(vector(PskIdentity.codec, 7, 2**16 - 1))
    binders: tuple[bytes, ...] = wire(vector(opaque(32, 255), 33, 2**16 - 1))


@structure
class TicketRequest(Structure):
    """RFC 9149 section 3."""

    new_session_count: int = wire(uint8)
    resumption_count: int = wire(uint8)


@structure
class CertificateStatusRequest(Structure):
    """RFC 6066 section 8, for status_type ocsp: responder_id_list and request_extensions, each as bytes."""

    status_type: int = wire(uint8)
    responder_id_list: bytes = wire(opaque(0, 2**16 - 1))
    request_extensions: bytes = wire(opaque(0, 2**16 - 1))


@structure
class CertificateStatus(Structure):
    """RFC 6066 section 8, for status_type ocsp: a DER OCSPResponse."""

    status_type: int = wire(uint8)
    response: bytes = wire(opaque(1, 2**24 - 1))


@structure
class OIDFilter(Structure):
    """RFC 8446 section 4.2.5."""

    certificate_extension_oid: bytes = wire(opaque(1, 2**8 - 1))
    certificate_extension_values: bytes = wire(opaque(0, 2**16 - 1))


@structure
class Delegation(Structure):
    """RFC 9345 section 4's Credential: a key, and until when it is good, in seconds after the certificate's notBefore."""

    valid_time: int = wire(uint32)
    dc_cert_verify_algorithm: int = wire(uint16)
    public_key: bytes = wire(opaque(1, 2**24 - 1))


@structure
class DelegatedCredential(Structure):
    """RFC 9345 section 4; ``signature`` is by the certificate's key."""

    cred: Delegation = wire(Delegation.codec)
    algorithm: int = wire(uint16)
    signature: bytes = wire(opaque(1, 2**16 - 1))


_GROUPS = vector(uint16, 2, 2**16 - 1)
_SCHEMES = vector(uint16, 2, 2**16 - 2)
_PROTOCOL_NAMES = vector(opaque(1, 2**8 - 1), 2, 2**16 - 1)
_AUTHORITIES = vector(opaque(1, 2**16 - 1), 3, 2**16 - 1)
_CERTIFICATE_TYPES = vector(uint8, 1, 2**8 - 1)
_TIMESTAMPS = vector(opaque(1, 2**16 - 1), 1, 2**16 - 1)
_POINT_FORMATS = vector(uint8, 1, 2**8 - 1)
_COMPRESSIONS = vector(uint16, 2, 2**8 - 2)

UNCOMPRESSED = 0
"""The one point format there is (RFC 8422 section 5.1.2)."""

HRR = "hello_retry_request"
"""A HelloRetryRequest is a ServerHello by its type and another message by its extensions (RFC 8446 section 4.1.4)."""

CH, SH, EE = HandshakeType.client_hello, HandshakeType.server_hello, HandshakeType.encrypted_extensions
CT, CR, NST = HandshakeType.certificate, HandshakeType.certificate_request, HandshakeType.new_session_ticket

EXTENSIONS: Mapping[int, Mapping[HandshakeType | str, Codec[Any]]] = {
    X.server_name: {CH: vector(ServerName.codec, 1, 2**16 - 1), EE: nothing, CR: rest, SH: nothing},
    X.max_fragment_length: {CH: uint8, EE: uint8, SH: uint8},
    X.status_request: {CH: CertificateStatusRequest.codec, CR: rest, CT: CertificateStatus.codec, SH: nothing},
    X.supported_groups: {CH: _GROUPS, EE: _GROUPS, SH: _GROUPS},  # old servers of TLS 1.2 send it; TLS 1.3 has it refused
    X.ec_point_formats: {CH: _POINT_FORMATS, SH: _POINT_FORMATS},
    X.signature_algorithms: {CH: _SCHEMES, CR: _SCHEMES},
    X.use_srtp: {CH: rest, EE: rest, SH: rest},
    X.heartbeat: {CH: uint8, EE: uint8, SH: uint8},
    X.application_layer_protocol_negotiation: {
        CH: _PROTOCOL_NAMES,
        EE: _PROTOCOL_NAMES,
        SH: _PROTOCOL_NAMES,
    },
    X.signed_certificate_timestamp: {CH: nothing, CR: nothing, CT: _TIMESTAMPS, SH: _TIMESTAMPS},
    X.client_certificate_type: {CH: _CERTIFICATE_TYPES, EE: uint8, SH: uint8},
    X.server_certificate_type: {CH: _CERTIFICATE_TYPES, EE: uint8, SH: uint8},
    X.padding: {CH: rest},
    X.encrypt_then_mac: {CH: nothing, SH: nothing},
    X.extended_master_secret: {CH: nothing, SH: nothing},
    X.compress_certificate: {CH: _COMPRESSIONS, CR: _COMPRESSIONS},
    X.record_size_limit: {CH: uint16, EE: uint16, SH: uint16},
    X.delegated_credential: {CH: _SCHEMES, CR: _SCHEMES, CT: DelegatedCredential.codec},
    X.session_ticket: {CH: rest, SH: nothing},
    X.pre_shared_key: {CH: OfferedPsks.codec, SH: uint16},
    X.early_data: {CH: nothing, EE: nothing, NST: uint32},
    X.ticket_request: {CH: TicketRequest.codec, EE: uint8},
    X.supported_versions: {CH: vector(uint16, 2, 254), SH: uint16, HRR: uint16},
    X.cookie: {CH: opaque(1, 2**16 - 1), HRR: opaque(1, 2**16 - 1)},
    X.psk_key_exchange_modes: {CH: vector(uint8, 1, 255)},
    X.certificate_authorities: {CH: _AUTHORITIES, CR: _AUTHORITIES},
    X.oid_filters: {CR: vector(OIDFilter.codec, 0, 2**16 - 1)},
    X.post_handshake_auth: {CH: nothing},
    X.signature_algorithms_cert: {CH: _SCHEMES, CR: _SCHEMES},
    X.key_share: {
        CH: vector(KeyShareEntry.codec, 0, 2**16 - 1),
        SH: KeyShareEntry.codec,
        HRR: uint16,
    },
    X.renegotiation_info: {CH: opaque(0, 255), SH: opaque(0, 255)},
}

SECTIONS: Mapping[int, str] = {
    X.server_name: "RFC 6066 3",
    X.max_fragment_length: "RFC 6066 4",
    X.status_request: "RFC 6066 8",
    X.supported_groups: "RFC 8446 4.2.7",
    X.ec_point_formats: "RFC 8422 5.1.2",
    X.signature_algorithms: "RFC 8446 4.2.3",
    X.use_srtp: "RFC 5764 4.1",
    X.heartbeat: "RFC 6520 2",
    X.application_layer_protocol_negotiation: "RFC 7301 3.1",
    X.signed_certificate_timestamp: "RFC 6962 3.3.1",
    X.client_certificate_type: "RFC 7250 3",
    X.server_certificate_type: "RFC 7250 3",
    X.padding: "RFC 7685 3",
    X.encrypt_then_mac: "RFC 7366 2",
    X.extended_master_secret: "RFC 7627 5.1",
    X.compress_certificate: "RFC 8879 3",
    X.record_size_limit: "RFC 8449 4",
    X.delegated_credential: "RFC 9345 4.1",
    X.session_ticket: "RFC 5077 3.2",
    X.pre_shared_key: "RFC 8446 4.2.11",
    X.early_data: "RFC 8446 4.2.10",
    X.supported_versions: "RFC 8446 4.2.1",
    X.cookie: "RFC 8446 4.2.2",
    X.psk_key_exchange_modes: "RFC 8446 4.2.9",
    X.certificate_authorities: "RFC 8446 4.2.4",
    X.oid_filters: "RFC 8446 4.2.5",
    X.post_handshake_auth: "RFC 8446 4.2.6",
    X.signature_algorithms_cert: "RFC 8446 4.2.3",
    X.key_share: "RFC 8446 4.2.8",
    X.ticket_request: "RFC 9149 3",
    X.renegotiation_info: "RFC 5746 3.2",
}
"""Where each is defined."""


def extensions_of(message: HandshakeType | str, *, optional: bool = False) -> Codec[Extensions]:
    """The codec of the extension block of one kind of message."""
    table: dict[int, Codec[Any]] = {kind: where[message] for kind, where in EXTENSIONS.items() if message in where}
    return extensions(
        message if isinstance(message, str) else message.name,
        table,
        EXTENSIONS,
        lambda kind: name_of(ExtensionType, kind),
        optional=optional,
    )
