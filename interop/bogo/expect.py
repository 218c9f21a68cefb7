"""What the runner expects of a finished handshake.  A mismatch is an error of the case, whatever else was expected to fail."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from interop.bogo.answers import der_names
from interop.bogo.flags import Settings
from interop.bogo.settings import RAW, credentials_of, scts_of
from minitls import Alert
from minitls.certificates.credentials import load_chain
from minitls.info import ConnectionInfo
from minitls.observe import AlertSeen, ChangeCipherSpecSeen, MessageSeen, Observation
from minitls.wire.messages12 import CertificateRequest12
from minitls.wire.numbers import CipherSuite, ExtensionType, NamedGroup, ProtocolVersion


class Unexpected(Exception):
    """The handshake came to something else than the runner expects."""


def same(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise Unexpected(f"{what} is {found!r}, and the runner expects {wanted!r}")


def code(registry: Any, name: str | None) -> int:
    return 0 if name is None else int(registry[name])


def version_of(info: ConnectionInfo) -> int:
    return next(int(version) for version in ProtocolVersion if str(version) == info.version)


def selected(settings: Settings, info: ConnectionInfo) -> int:
    """Which of the flags' credentials was shown; -1 for none, and for the one that no flag begins."""
    begun = list(enumerate(settings.credentials))
    if info.psk_identity is not None:
        return next((at for at, each in begun if each.psk_importer_identity == info.psk_identity), -1)
    index = -1 if info.credential is None else credentials_of(settings).index(info.credential)
    shown = [at for at, each in begun if each.kind != "psk"]
    return shown[index] if 0 <= index < len(shown) else -1


def check(settings: Settings, info: ConnectionInfo, *, resumed: bool) -> None:
    """Every expectation that there is a flag for, against what was agreed."""
    server, tls13 = info.role == "server", info.version == "TLSv1.3"
    same("resumed", info.resumed, resumed and not settings.expect_session_miss)
    alpn = (settings.select_alpn if server else settings.expect_alpn) or b""
    same("ALPN", (info.alpn_protocol or "").encode("latin-1"), alpn)
    for wanted, what, found in (
        (settings.expect_version, "version", version_of(info)),
        (settings.expect_cipher, "cipher suite", code(CipherSuite, info.cipher_suite)),
        (settings.expect_cipher_aes, "cipher suite", code(CipherSuite, info.cipher_suite)),
        (settings.expect_curve_id, "group", code(NamedGroup, info.group)),
        (settings.expect_peer_signature_algorithm, "peer's signature scheme", info.peer_signature_code),
        (settings.expect_server_name, "server name", info.server_name),
        (settings.expect_peer_certificate_type, "peer's certificate type", RAW if info.peer_public_key else 0),
        (settings.expect_peer_rpk_sha256, "peer's raw public key", hashlib.sha256(info.peer_public_key).digest()),
        (settings.expect_ocsp_response, "OCSP response", info.ocsp_response),
        (scts_of(settings.expect_signed_cert_timestamps) or None, "SCTs", info.scts),
    ):
        if wanted is not None:
            same(what, found, wanted)
    if settings.expect_peer_verify_pref:
        same("peer's schemes", list(info.peer_signature_schemes), list(settings.expect_peer_verify_pref))
    if settings.expect_selected_credential is not None:
        same("selected credential", selected(settings, info), settings.expect_selected_credential)
    for flag, what, found in (
        (settings.expect_extended_master_secret, "extended master secret", tls13 or info.extended_master_secret),
        (settings.expect_hrr, "HelloRetryRequest", info.hello_retry),
        (settings.expect_no_hrr, "no HelloRetryRequest", not info.hello_retry),
        (settings.expect_no_server_name, "no server name", info.server_name is None),
        (settings.expect_secure_renegotiation, "secure renegotiation", info.secure_renegotiation),
        (settings.expect_no_secure_renegotiation, "no secure renegotiation", not info.secure_renegotiation),
        (settings.expect_no_peer_cert, "no peer certificate", not info.peer_chain),
    ):
        if flag:
            same(what, found, True)
    if settings.psk or info.psk_identity is not None:
        same("no certificate beside a PSK", info.peer_chain, ())
    elif not settings.expect_no_peer_cert and (not server or settings.require_any_client_certificate):
        same("peer certificate", bool(info.peer_chain or info.peer_public_key), True)
    if settings.expect_advertised_alpn is not None:
        offered = info.client_hello.extensions.get(ExtensionType.application_layer_protocol_negotiation, ())
        same("ALPN offered", b"".join(bytes((len(name),)) + name for name in offered), settings.expect_advertised_alpn)
    if settings.expect_client_ca_list is not None:
        same("CAs that the peer names", info.certificate_authorities, der_names(settings.expect_client_ca_list))
    if settings.expect_peer_cert_file is not None:
        with open(settings.expect_peer_cert_file, "rb") as file:
            same("peer's chain", info.peer_chain, tuple(each.public_bytes(Encoding.DER) for each in load_chain(file.read())))


HARMLESS = (Alert.close_notify, Alert.user_canceled, Alert.no_renegotiation)


def told(one: Observation) -> str:
    """An observation in the runner's words, with an end of line; "" for what it has none for."""
    if not isinstance(one, (MessageSeen, ChangeCipherSpecSeen, AlertSeen)):
        return ""
    if isinstance(one, MessageSeen):
        what = f"hs {one.message.raw[0]}"
    else:
        what = "ccs" if isinstance(one, ChangeCipherSpecSeen) else f"alert {1 if one.code in HARMLESS else 2} {one.code}"
    return f"{'write' if one.sent else 'read'} {what}\n"


def check_seen(settings: Settings, seen: Sequence[Observation]) -> None:
    """What was said, and what of it nobody else tells; at the end."""
    if settings.expect_total_renegotiations is not None:
        same("number of renegotiations", 0, settings.expect_total_renegotiations)
    if settings.expect_msg_callback is not None:
        same("all that was said", "".join(map(told, seen)), settings.expect_msg_callback)
    if settings.expect_certificate_types is not None:
        requests = [one.message for one in seen if isinstance(one, MessageSeen) and isinstance(one.message, CertificateRequest12)]
        same("certificate types", bytes(requests[0].certificate_types), settings.expect_certificate_types)
