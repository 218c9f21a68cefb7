"""What a message carries: in short words for people (:func:`details`), and whole for programs (:func:`plain`).

Everything here may come from a stranger.  What goes to people passes :func:`safe`, so that no name can move a cursor, turn the
direction of writing or pretend to be another line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from enum import IntEnum
from typing import Any

from minitls.wire.codec import Extensions, Structure
from minitls.wire.extensions import KeyShareEntry, OfferedPsks
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest, Message, ServerHello
from minitls.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    EncryptedExtensions,
    Finished,
    KeyUpdate,
    NewSessionTicket,
)
from minitls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    ClientKeyExchange,
    NewSessionTicket12,
    RawPublicKey12,
    ServerKeyExchange,
)
from minitls.wire.numbers import (
    CertificateCompressionAlgorithm,
    CertificateType,
    CipherSuite,
    ExtensionType,
    KeyUpdateRequest,
    NamedGroup,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
    is_grease,
    name_of,
)

Detail = tuple[str, str]


def safe(text: str) -> str:
    """A stranger's text, harmless on a terminal: what is not printable, or changes the direction, shows as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def spoken(data: bytes, show: int = 200) -> str:
    """A piece of a dialogue in the clear: its lines, where it is text, or how long it is."""
    lines = data.decode("latin-1").split("\r\n")
    if not data.isascii() or not all(map(str.isprintable, lines)):
        return count(len(data), "byte")
    text = " ⏎ ".join(filter(None, lines))
    return f"“{text[:show]}{'…' if len(text) > show else ''}”"


def name_of_message(message: Message) -> str:
    """The RFC's name; what TLS 1.2 has otherwise than TLS 1.3 bears the same one."""
    return type(message).__name__.removesuffix("12")


def short(data: bytes, show: int = 8) -> str:
    """The first bytes in hex, and how many there are."""
    return f"{data.hex()} ({count(len(data), 'byte')})" if len(data) <= show else f"{data[:show].hex()}… ({len(data):,} bytes)"


def ending(data: bytes, show: int = 8) -> str:
    """The last bytes, of what begins like others of its kind: tickets with the name of the key that seals them."""
    return short(data) if len(data) <= show else f"…{data[-show:].hex()} ({len(data):,} bytes)"


def count(number: int, noun: str) -> str:
    """``1 byte``, ``1,216 bytes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def version_name(code: int) -> str:
    return name_of(ProtocolVersion, code).replace("_", ".")


def _names(registry: type[IntEnum], codes: Iterable[int]) -> str:
    """Names of code points in their order; GREASE's come to one word each."""
    return ", ".join(version_name(code) if registry is ProtocolVersion else name_of(registry, code) for code in codes)


def _key_share(body: Any) -> str:
    if isinstance(body, int):
        return f"{name_of(NamedGroup, body)}, please"
    entries = (body,) if isinstance(body, KeyShareEntry) else body
    shown = [
        "GREASE" if is_grease(entry.group) else f"{name_of(NamedGroup, entry.group)} {short(entry.key_exchange)}"
        for entry in entries
    ]
    return ", ".join(shown) or "none"


def duration(seconds: float) -> str:
    """``1 day``, ``3.1 minutes``: in the largest unit of which there is one."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    shown = f"{seconds / size:.1f}".removesuffix(".0")
    return f"{shown} {unit}" if shown == "1" else f"{shown} {unit}s"


_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def identity_name(identity: bytes) -> str:
    """A PSK's: as text where it is one, as people name their keys; tickets are noise."""
    text = identity.decode("ascii", "backslashreplace")
    return f"“{text}”" if identity.isascii() and text.isprintable() and len(text) <= MAX_NAME else ending(identity)


MAX_NAME = 64
MAX_PSKS = 4
"""Characters of an identity that are shown as text; identities that are shown."""


def _psks(body: Any) -> str:
    if not isinstance(body, OfferedPsks):
        return f"number {body} of those offered"
    shown = [
        f"{identity_name(psk.identity)}, obfuscated age {psk.obfuscated_ticket_age:,}, binder {short(binder)}"
        for psk, binder in zip(body.identities[:MAX_PSKS], body.binders, strict=False)
    ]
    more = len(body.identities) - MAX_PSKS
    return "; ".join([*shown, f"and {more} more"] if more > 0 else shown)


def _modes(body: Any) -> str:
    return ", ".join(_MODES.get(code) or name_of(PskKeyExchangeMode, code) for code in body)


_MODES: Mapping[int, str] = {
    PskKeyExchangeMode.psk_ke: "psk_ke (the PSK alone)",
    PskKeyExchangeMode.psk_dhe_ke: "psk_dhe_ke (and a fresh key exchange)",
}


def _tickets(body: Any) -> str:
    if isinstance(body, int):
        return f"{count(body, 'ticket')} will come"
    return f"{body.new_session_count} wanted after a full handshake, {body.resumption_count} after a resumed one"


REGISTRIES: Mapping[int, type[IntEnum]] = {
    ExtensionType.supported_versions: ProtocolVersion,
    ExtensionType.supported_groups: NamedGroup,
    ExtensionType.signature_algorithms: SignatureScheme,
    ExtensionType.signature_algorithms_cert: SignatureScheme,
    ExtensionType.psk_key_exchange_modes: PskKeyExchangeMode,
    ExtensionType.client_certificate_type: CertificateType,
    ExtensionType.server_certificate_type: CertificateType,
    ExtensionType.delegated_credential: SignatureScheme,
    ExtensionType.compress_certificate: CertificateCompressionAlgorithm,
}
"""Extensions that hold one code point or a list of them."""

_IN_WORDS: Mapping[int, Callable[[Any], str]] = {
    ExtensionType.server_name: lambda body: ", ".join(safe(n.host_name.decode("ascii", "backslashreplace")) for n in body),
    ExtensionType.application_layer_protocol_negotiation: lambda body: ", ".join(protocols(body)),
    ExtensionType.key_share: _key_share,
    ExtensionType.pre_shared_key: _psks,
    ExtensionType.psk_key_exchange_modes: _modes,
    ExtensionType.ticket_request: _tickets,
    ExtensionType.certificate_authorities: lambda body: f"{count(len(body), 'name')} of authorities",
    ExtensionType.early_data: lambda body: f"up to {body:,} bytes",
    ExtensionType.record_size_limit: lambda body: f"{body:,} bytes",
}


def protocols(names: Iterable[bytes]) -> tuple[str, ...]:
    """ALPN's protocol names, harmless."""
    return tuple(safe(name.decode("ascii", "backslashreplace")) for name in names)


def extension_name(kind: int) -> str:
    return name_of(ExtensionType, kind)


_MARKS: Mapping[int, str] = {
    ExtensionType.server_name: "acknowledged",
    ExtensionType.early_data: "follows at once",
}
"""What it means that an extension without content is there."""


def extension_value(kind: int, body: Any) -> str:
    """An extension's content in short words; "" where being there says it all."""
    if body is None or body == b"":
        return _MARKS.get(kind, "")
    if kind in _IN_WORDS:
        return _IN_WORDS[kind](body)
    if kind in REGISTRIES:
        return _names(REGISTRIES[kind], (body,) if isinstance(body, int) else body)
    if isinstance(body, bytes):
        return short(body)
    if isinstance(body, int):
        return str(body)
    if isinstance(body, tuple):
        return ", ".join(short(each) if isinstance(each, bytes) else str(each) for each in body)
    return count(len(fields(body)), "field")  # a structure that nobody has asked to see in words


def details(message: Message) -> list[Detail]:
    """What a message carries, by the RFC's names, in the order of the wire."""
    found: list[Detail] = []
    if isinstance(message, ClientHello):
        found += [
            ("random", short(message.random)),
            ("legacy_session_id", short(message.legacy_session_id) if message.legacy_session_id else "empty"),
            ("cipher_suites", _names(CipherSuite, message.cipher_suites)),
        ]
    elif isinstance(message, (ServerHello, HelloRetryRequest)):
        retry = message.random == HELLO_RETRY_REQUEST_RANDOM
        found += [
            ("random", "the one that says: HelloRetryRequest" if retry else short(message.random)),
            ("cipher_suite", name_of(CipherSuite, message.cipher_suite)),
        ]
    elif isinstance(message, (Certificate, Certificate12)):
        sizes = ", ".join(f"{len(der):,}" for der in message.chain)
        what = "raw public key" if isinstance(message, RawPublicKey12) else "certificate"
        found.append(("certificate_list", f"{count(len(message.chain), what)} ({sizes} bytes)" if sizes else "empty"))
    elif isinstance(message, CertificateVerify):
        found += [("algorithm", name_of(SignatureScheme, message.algorithm)), ("signature", short(message.signature))]
    elif isinstance(message, ServerKeyExchange):
        found.append(("parameters", short(message.parameters)))
    elif isinstance(message, ClientKeyExchange):
        found.append(("exchange_keys", short(message.exchange_keys)))
    elif isinstance(message, CertificateRequest12):
        found.append(("supported_signature_algorithms", _names(SignatureScheme, message.supported_signature_algorithms)))
    elif isinstance(message, NewSessionTicket12):
        hint = message.ticket_lifetime_hint
        found += [("ticket_lifetime_hint", duration(hint) if hint else "none"), ("ticket", ending(message.ticket))]
    elif isinstance(message, Finished):
        found.append(("verify_data", short(message.verify_data)))
    elif isinstance(message, NewSessionTicket):
        found += [
            ("ticket_lifetime", duration(message.ticket_lifetime)),
            ("ticket_age_add", f"{message.ticket_age_add:,}: hides the age that the client will tell"),
            ("ticket_nonce", f"{short(message.ticket_nonce)}: makes its key another than the next ticket's"),
            ("ticket", ending(message.ticket)),
        ]
    elif isinstance(message, KeyUpdate):
        found.append(("request_update", name_of(KeyUpdateRequest, message.request_update)))
    if isinstance(message, CertificateRequest) and message.certificate_request_context:
        found.append(("certificate_request_context", short(message.certificate_request_context)))
    found += [(extension_name(kind), _value_in(message, kind, body)) for kind, body in extensions_of(message).items()]
    return found


def _value_in(message: Message, kind: int, body: Any) -> str:
    """An extension's value where the message matters, too."""
    if kind == ExtensionType.early_data and isinstance(message, EncryptedExtensions):
        return "accepted"
    return extension_value(kind, body)


def extensions_of(message: Message) -> Extensions:
    """The message's extension block; empty where it has none."""
    found = getattr(message, "extensions", None)
    return found if isinstance(found, Extensions) else Extensions()


_FIELDS: Mapping[str, type[IntEnum]] = {
    "legacy_version": ProtocolVersion,
    "cipher_suites": CipherSuite,
    "cipher_suite": CipherSuite,
    "algorithm": SignatureScheme,
    "dc_cert_verify_algorithm": SignatureScheme,
    "group": NamedGroup,
    "request_update": KeyUpdateRequest,
}


def _code(registry: type[IntEnum], value: int) -> str:
    """The name, or the number in hex: unlike :func:`name_of`, nothing is lost."""
    if value not in registry.__members__.values():
        return f"0x{value:04x}"
    return version_name(value) if registry is ProtocolVersion else registry(value).name


def plain(value: Any, registry: type[IntEnum] | None = None) -> Any:
    """A wire value for JSON: structures become objects, bytes hex, code points names."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Extensions):
        return [_plain_extension(kind, body) for kind, body in value.items()]
    if isinstance(value, Structure):
        return {part.name: plain(getattr(value, part.name), _FIELDS.get(part.name)) for part in fields(value)}  # type: ignore[arg-type]
    if isinstance(value, tuple):
        return [plain(each, registry) for each in value]
    if isinstance(value, int) and registry is not None:
        return _code(registry, value)
    return value


def _plain_extension(kind: int, body: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"code": kind, "name": extension_name(kind)}
    if kind == ExtensionType.server_name and isinstance(body, tuple):
        entry["value"] = [name.host_name.decode("ascii", "backslashreplace") for name in body]
    elif kind == ExtensionType.application_layer_protocol_negotiation:
        entry["value"] = [name.decode("ascii", "backslashreplace") for name in body]
    elif kind == ExtensionType.key_share and isinstance(body, int):
        entry["value"] = _code(NamedGroup, body)
    else:
        entry["value"] = plain(body, REGISTRIES.get(kind))
    return entry
