"""A native configuration of what a context says, and the other way round."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from minitls.certificates.flagged import FlaggedTrust
from minitls.config import ClientAuth, ClientConfig, Danger, ServerConfig
from minitls.crypto.suites import SUITES
from minitls.errors import Alert, Misuse, PeerIncompatible
from minitls.policy import Policy
from minitls.ssl import ciphers, errors
from minitls.wire.hello import ClientHello
from minitls.wire.numbers import ProtocolVersion

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential
    from minitls.ssl.context import SSLContext

LEGACY_SERVER_CONNECT = 0x4
IGNORE_UNEXPECTED_EOF = 0x80
"""OpenSSL's numbers: not every Python has names for them."""

_ONE_VERSION = {
    method: version
    for name, version in ssl.TLSVersion.__members__.items()
    if (method := getattr(ssl, f"PROTOCOL_{name}", None)) is not None
}
"""The old protocols of contexts that speak one version, such as PROTOCOL_TLSv1_2."""


def make_config(context: SSLContext, server_side: bool) -> ClientConfig | ServerConfig:
    """What the context says, for one side.  Raises SSLError for what no handshake can be made with."""
    kind: type[ClientConfig | ServerConfig] = ServerConfig if server_side else ClientConfig
    native = context._native
    groups: dict[str, Callable[[SSLContext, bool], dict[str, Any]]] = {
        "policy": _policy,
        "trust": _trust,
        "credentials": _credentials,
        "alpn": _alpn,
        "key_log": lambda context, server_side: {"key_log": context.keylog_filename},
        "tickets": _tickets,
        "psk": _psk,
    }
    try:
        if native is not None:
            changed = [make(context, server_side) for name, make in groups.items() if name in context._touched]
            return dataclasses.replace(native, **{name: value for each in changed for name, value in each.items()})
        fields = [make(context, server_side) for make in groups.values()]
        return kind(**{name: value for each in fields for name, value in each.items()})
    except Misuse as error:
        raise errors.translate(error) from error


def mirror(context: SSLContext, config: ClientConfig | ServerConfig) -> None:
    """Let a new context say what a configuration has, as far as the standard library has words for it."""
    versions = [ssl.TLSVersion(int(version)) for version in config.policy.codes.versions]
    context.minimum_version, context.maximum_version = min(versions), max(versions)
    context._suites = tuple(code for code in config.policy.codes.cipher_suites if code not in SUITES)
    if config.alpn:
        context.set_alpn_protocols(config.alpn)
    if isinstance(config, ServerConfig):
        asked = {ClientAuth.none: ssl.CERT_NONE, ClientAuth.request: ssl.CERT_OPTIONAL, ClientAuth.require: ssl.CERT_REQUIRED}
        context.verify_mode = asked[config.client_auth]
        return
    context.check_hostname = not isinstance(config.verify, Danger)
    if config.verify is Danger.accept_any_certificate:
        context.verify_mode = ssl.CERT_NONE


def _policy(context: SSLContext, server_side: bool) -> dict[str, Any]:
    lowest, highest, options = context.minimum_version, context.maximum_version, context.options
    if context.protocol in _ONE_VERSION:
        lowest = highest = _ONE_VERSION[context.protocol]
    highest = ssl.TLSVersion.TLSv1_3 if highest == ssl.TLSVersion.MAXIMUM_SUPPORTED else highest
    allowed = {ProtocolVersion.TLSv1_3: ssl.OP_NO_TLSv1_3, ProtocolVersion.TLSv1_2: ssl.OP_NO_TLSv1_2}
    versions = [version for version, forbidden in allowed.items() if lowest <= version <= highest and not options & forbidden]
    if not versions:
        raise errors.made("no_protocols_available")
    base = context._native.policy if context._native is not None else Policy.intermediate
    return {"policy": _changed(base, tuple(versions), context._suites, context._groups, not options & LEGACY_SERVER_CONNECT)}


@lru_cache(64)
def _changed(base: Policy, versions: tuple[int, ...], suites: tuple[int, ...], groups: tuple[int, ...], secure: bool) -> Policy:
    """A program makes many contexts and few kinds of them: those that say the same share a policy, and all it has worked out."""
    return base.replace(
        versions=versions,
        cipher_suites=(*(code for code in base.cipher_suites if code in ciphers.DEFAULT_13), *suites),
        groups=groups or base.groups,
        secure_tls12=secure,
    )


def _trust(context: SSLContext, server_side: bool) -> dict[str, Any]:
    mode = context.verify_mode
    trust = _store(context) if mode != ssl.CERT_NONE else None
    if server_side:
        asked = ClientAuth.require if mode == ssl.CERT_REQUIRED else ClientAuth.request
        later = context.post_handshake_auth
        return {
            "trust": trust,
            "client_auth": ClientAuth.none if trust is None or later else asked,
            "post_handshake_auth": trust is not None,
        }
    if trust is None:
        verify: Danger | None = Danger.accept_any_certificate
    else:
        verify = None if context.check_hostname else Danger.accept_any_name
    return {"trust": trust, "verify": verify, "post_handshake_auth": context.post_handshake_auth}


def _store(context: SSLContext) -> FlaggedTrust:
    flags = context.verify_flags
    whole = bool(flags & ssl.VERIFY_CRL_CHECK_CHAIN & ~ssl.VERIFY_CRL_CHECK_LEAF)
    return context._authorities.trust(
        partial_chain=bool(flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN),
        strict=bool(flags & ssl.VerifyFlags.VERIFY_X509_STRICT),
        crls=bool(flags & ssl.VERIFY_CRL_CHECK_LEAF),
        whole_chain=whole,
    )


def _credentials(context: SSLContext, server_side: bool) -> dict[str, Any]:
    given = tuple(_completed(context, each) for each in context._credentials.values())
    if not server_side:
        return {"credential": given[-1] if given else None}
    return {"credentials": given, "select_credential": None if given or context._psk_server else _no_credential}


def _completed(context: SSLContext, credential: Credential) -> Credential:
    """As OpenSSL: with a leaf that was loaded alone, its issuers are sent, if they were loaded to be trusted."""
    if len(credential.chain) > 1:
        return credential
    return credential.followed_by(tuple(context._authorities.issuers(credential.leaf)))


def _no_credential(hello: ClientHello) -> Credential | None:
    raise PeerIncompatible(Alert.handshake_failure, "the context has no certificate", reason="no_shared_cipher")


def _alpn(context: SSLContext, server_side: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"alpn": context._alpn}
    if server_side and context._alpn:
        fields["select_config"] = lambda hello: without_alpn(context, hello)
    return fields


def without_alpn(context: SSLContext, hello: ClientHello) -> ServerConfig | None:
    """OpenSSL goes on without an application protocol where both sides have none in common; who minds looks at what was agreed."""
    config = context._config(True)
    assert isinstance(config, ServerConfig)
    if not config.alpn or not hello.alpn or any(name in config.alpn for name in hello.alpn):
        return None
    return dataclasses.replace(config, alpn=(), select_config=None)


def _tickets(context: SSLContext, server_side: bool) -> dict[str, Any]:
    if not server_side:
        return {"session_store": None}
    tickets = None if context.options & ssl.OP_NO_TICKET else context._tickets
    return {"tickets": tickets, "session_cache": context._session_cache, "ticket_count": min(context.num_tickets, 16)}


def _psk(context: SSLContext, server_side: bool) -> dict[str, Any]:
    ask_client, ask_server = context._psk_client, context._psk_server
    if server_side:
        ask = None if ask_server is None else lambda identity: ask_server(identity.decode("utf-8", "replace")) or None
        return {"psk": ask, "psk_identity_hint": context._psk_hint}
    if ask_client is None:
        return {"psk": None}

    def ours(hint: bytes | None) -> tuple[bytes, bytes] | None:
        identity, key = ask_client(None if hint is None else hint.decode("utf-8", "replace"))
        return ((identity or "").encode("utf-8"), key) if key else None

    return {"psk": ours}
