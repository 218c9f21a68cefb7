"""A message field by field: where each lies in its bytes, what it is called, what it says, and where that is defined.

Nothing here knows the layout of any message: it is read off the declared structures (:data:`minitls.wire.codec.Shape`).  A field
has parts or is a leaf; the leaves cover every byte of the message once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, NamedTuple

from minitls.crypto.suites12 import Suite12
from minitls.errors import DecodeError
from minitls.trace.cards import card
from minitls.trace.values import REGISTRIES, count, extension_name, name_of_message, safe, version_name
from minitls.wire.codec import Codec, Structure, opaque, rest, uint8, uint24
from minitls.wire.extensions import SECTIONS
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, Message
from minitls.wire.messages import HEADER, CompressedCertificate
from minitls.wire.messages12 import (
    ClientDHPublic,
    ClientECDHPublic,
    ClientKeyExchange,
    DigitallySigned,
    EncryptedPreMasterSecret,
    ServerDHParams,
    ServerECDHParams,
    ServerKeyExchange,
)
from minitls.wire.numbers import (
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CipherSuite,
    ClientCertificateType,
    ExtensionType,
    HandshakeType,
    KeyUpdateRequest,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
    is_grease,
    name_of,
)


@dataclass(frozen=True, slots=True)
class Field:
    """``start``, ``stop``: offsets in the message, header included.  ``section``: such as "RFC 8446 4.1.2".

    ``value``: in words; for bytes that no word says, how many they are.
    """

    name: str
    start: int
    stop: int
    value: str
    section: str
    parts: tuple[Field, ...] = ()

    def leaves(self) -> Iterator[Field]:
        """What has no parts; what has no bytes is not among them."""
        for part in self.parts:
            yield from part.leaves()
        if not self.parts and self.stop > self.start:
            yield self


class _Place(NamedTuple):
    """What a codec cannot know of its bytes: how they are called, where that is defined, and whose numbers they are."""

    name: str
    section: str
    registry: type[IntEnum] | None = None


def dissect(message: Message, suite: Suite12 | None = None) -> Field:
    """The message, its header first.  ``suite``: of a TLS 1.2 connection, whose key exchange says what its messages hold."""
    kind, raw = type(message), message.raw
    section = section_of(kind)
    header = _Place("", "RFC 5246 7.4" if section.startswith("RFC 5246") else "RFC 8446 4")
    parts = [
        *_read(uint8, raw, 0, 1, header._replace(name="msg_type", registry=HandshakeType)),
        *_read(uint24, raw, 1, HEADER, header._replace(name="length")),
    ]
    body = _exchange_parts(kind, raw, suite) or kind.codec
    if isinstance(body, Codec):
        parts += _read(body, raw, HEADER, len(raw), _Place("", section))
    else:
        parts += body
    return Field(name_of_message(message), 0, len(raw), count(len(raw), "byte"), section, tuple(parts))


def section_of(kind: type[Structure]) -> str:
    """Where a structure is defined, as its docstring begins."""
    found = re.match(r"RFC (\d+) section ([0-9.]*[0-9])", kind.__doc__ or "")
    return f"RFC {found[1]} {found[2]}" if found else ""


def _read(codec: Codec[Any], raw: bytes, pos: int, end: int, place: _Place) -> list[Field]:
    """What a codec reads from ``pos`` on; bytes that are known to be well-formed, for they were read before."""
    kind, size, prefix, inside = codec.shape
    if kind == "structure":
        return list(_structure(inside, raw, pos, end))
    if kind == "nothing":
        return []
    if kind == "uint":
        number = int.from_bytes(raw[pos : pos + size], "big")
        return [Field(place.name, pos, pos + size, _number(number, place), place.section)]
    if kind == "rest" or not prefix:
        stop = end if kind == "rest" else pos + size
        return [Field(place.name, pos, stop, _bytes(raw[pos:stop], place), place.section)]
    if kind == "extensions" and pos == end:
        return []  # a hello of old may end here
    start = pos + prefix
    stop = start + int.from_bytes(raw[pos:start], "big")
    length = Field(f"{place.name} length".strip(), pos, start, f"{stop - start:,}", place.section)
    if kind == "opaque":
        if start == stop:
            return [replace(length, value="0: empty")]
        return [length, Field(place.name or "bytes", start, stop, _bytes(raw[start:stop], place), place.section)]
    below = _extensions if kind == "extensions" else _items
    parts = (length, *below(inside, raw, start, stop, place))
    what = "extension" if kind == "extensions" else "entry"
    value = count(len(parts) - 1, what).replace("entrys", "entries")
    return [Field(place.name, pos, stop, value, place.section, parts)]


def _structure(kind: type[Structure], raw: bytes, pos: int, end: int) -> Iterator[Field]:
    for part in fields(kind):  # type: ignore[arg-type]
        registry = NUMBERS_IN.get(kind, {}).get(part.name) or NUMBERS.get(part.name)
        found = _read(part.metadata["codec"], raw, pos, end, _Place(part.name, section_of(kind), registry))
        pos = found[-1].stop if found else pos
        yield from found


def _items(item: Codec[Any], raw: bytes, pos: int, stop: int, place: _Place) -> Iterator[Field]:
    number = 0
    while pos < stop:
        name = f"[{number}]"
        found = _read(item, raw, pos, stop, place._replace(name=name if item.shape[0] == "uint" else ""))
        after = found[-1].stop
        if item.shape[0] == "uint":
            yield from found
        else:
            shown = ", ".join(part.value for part in found if not part.name.endswith("length"))
            yield Field(name, pos, after, shown, found[0].section, tuple(found))
        pos, number = after, number + 1


def _extensions(table: Mapping[int, Codec[Any]], raw: bytes, pos: int, stop: int, _: _Place) -> Iterator[Field]:
    while pos < stop:
        body = pos + HEADER
        code, after = int.from_bytes(raw[pos : pos + 2], "big"), body + int.from_bytes(raw[pos + 2 : body], "big")
        section, name = SECTIONS.get(code, "RFC 8701 2" if is_grease(code) else "RFC 8446 4.2"), extension_name(code)
        inner = _Place(name, section, REGISTRIES.get(code))
        if code == ExtensionType.key_share:
            inner = inner._replace(registry=NamedGroup)
        parts = (
            Field("extension_type", pos, pos + 2, f"{name} ({code})", "RFC 8446 4.2"),
            Field("length", pos + 2, body, f"{after - body:,}", "RFC 8446 4.2"),
            *(_read(table.get(code, rest), raw, body, after, inner) if body < after else ()),
        )
        yield Field(name, pos, after, count(after - body, "byte") if body < after else "present", section, parts)
        pos = after


NUMBERS: Mapping[str, type[IntEnum]] = {
    "legacy_version": ProtocolVersion,
    "cipher_suites": CipherSuite,
    "cipher_suite": CipherSuite,
    "algorithm": SignatureScheme,
    "dc_cert_verify_algorithm": SignatureScheme,
    "supported_signature_algorithms": SignatureScheme,
    "certificate_types": ClientCertificateType,
    "group": NamedGroup,
    "named_curve": NamedGroup,
    "request_update": KeyUpdateRequest,
    "status_type": CertificateStatusType,
}
"""Whose numbers a field of this name holds."""
NUMBERS_IN: Mapping[type[Structure], Mapping[str, type[IntEnum]]] = {
    CompressedCertificate: {"algorithm": CertificateCompressionAlgorithm},
}
"""The same, where a name has another meaning in one structure."""


def _number(number: int, place: _Place) -> str:
    if place.registry is None:
        return f"{number:,}"
    return version_name(number) if place.registry is ProtocolVersion else name_of(place.registry, number)


def _bytes(data: bytes, place: _Place) -> str:
    if place.name == "host_name" or place.section == SECTIONS[ExtensionType.application_layer_protocol_negotiation]:
        return f"“{safe(data.decode('ascii', 'backslashreplace'))}”"
    if data == HELLO_RETRY_REQUEST_RANDOM:
        return "the one that says: HelloRetryRequest"
    if place.section in ("RFC 8446 4.4.2", "RFC 5246 7.4.2") and data[:1] == b"\x30" and (found := card(data)) is not None:
        return f"the certificate of {found.title} ({count(len(data), 'byte')})"
    return count(len(data), "byte")


# TLS 1.2's key exchanges: what ServerKeyExchange and ClientKeyExchange hold -------------------------------------------

_SIGNED = (("", DigitallySigned.codec),)
_HINT = (("psk_identity_hint", opaque(0, 2**16 - 1)),)
_IDENTITY = (("psk_identity", opaque(0, 2**16 - 1)),)
_ECDH, _DH = (("", ServerECDHParams.codec),), (("", ServerDHParams.codec),)
_ECDH_PUBLIC = (("", ClientECDHPublic.codec),)
_EXCHANGES: Mapping[str, tuple[Iterable[tuple[str, Codec[Any]]], Iterable[tuple[str, Codec[Any]]]]] = {
    "ECDHE": ((*_ECDH, *_SIGNED), _ECDH_PUBLIC),
    "DHE": ((*_DH, *_SIGNED), (("", ClientDHPublic.codec),)),
    "RSA": ((), (("", EncryptedPreMasterSecret.codec),)),
    "PSK": (_HINT, _IDENTITY),
    "ECDHE_PSK": ((*_HINT, *_ECDH), (*_IDENTITY, *_ECDH_PUBLIC)),
}
"""By the suite's key exchange: the server's message, and the client's."""


def _exchange_parts(kind: type[Message], raw: bytes, suite: Suite12 | None) -> list[Field] | None:
    """None for other messages, and where the bytes are not what the suite says: nobody has looked at them before."""
    if suite is None or kind not in (ServerKeyExchange, ClientKeyExchange):
        return None
    found: list[Field] = []
    pos = HEADER
    try:
        for name, codec in _EXCHANGES[suite.key_exchange][kind is ClientKeyExchange]:
            _, after = codec.read(raw, pos, len(raw))
            found += _read(codec, raw, pos, len(raw), _Place(name, "RFC 4279 2" if name else section_of(kind)))
            pos = after
    except DecodeError:
        return None
    return found if pos == len(raw) else None
