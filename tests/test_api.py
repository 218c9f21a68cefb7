"""The names that programs elsewhere rely on: they stay, and mean what they meant."""

from __future__ import annotations

import argparse
import inspect
import ssl
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

import minitls
import minitls.ssl
import minitls.testing
from minitls.cli import whole_parser
from minitls.wire.hello import ClientHello
from tests.conftest import Pki

PARAMETERS: dict[Callable[..., Any], str] = {
    minitls.open_connection: "host port config server_hostname early_data",
    minitls.create_connection: "factory host port config server_hostname early_data sock",
    minitls.start_server: "client_connected host port config",
    minitls.create_server: "factory host port config",
    minitls.start_tls: "transport protocol config server_hostname buffered",
    minitls.negotiate: "client server",
    minitls.ClientConnection: "config server_hostname",
    minitls.ServerConnection: "config",
    minitls.testing.memory_pair: "client_config server_config",
    minitls.TrustStore.verify: "self chain server_name at",
    minitls.Credential: "chain signer",
    minitls.Credential.from_files: "cert key",
    minitls.Credential.from_pem: "chain key password",
    minitls.Credential.from_pkcs12: "",
    minitls.Credential.from_cryptography: "chain key",
    minitls.ssl.create_default_context: "",
    minitls.ssl.context_from: "config",
}
FIELDS: dict[type[Any], str] = {
    minitls.ClientConfig: (
        "policy trust alpn credential verify session_store key_log observer clock handshake_timeout psk tickets_wanted"
    ),
    minitls.ServerConfig: (
        "credentials select_credential client_auth trust policy alpn tickets early_data key_log observer psk replay session_cache"
    ),
    minitls.Policy: "versions cipher_suites groups signature_schemes certificate_signature_schemes",
}
ATTRIBUTES: dict[Any, str] = {
    minitls.Policy: "modern intermediate legacy replace",
    minitls.ClientAuth: "none request require",
    minitls.TrustStore: "system from_files from_pem from_certificates verify verify_client",
    minitls.Connection: "receive_data send_data update_keys close data_to_send answer info",
    minitls: (
        "HandshakeCompleted ApplicationData EarlyData TicketReceived KeyUpdated PeerClosed Question ConnectionInfo TLSError"
        " CertificateError PeerMisbehaved PeerIncompatible AlertReceived TruncationError Misuse"
    ),
}
INFO = (
    "version cipher_suite group signature_scheme alpn_protocol server_name peer_chain verified_chain resumed early_data_accepted"
    " ech_accepted hello_retry client_hello timing export_keying_material channel_binding"
)
COMMON = "trace html pcapng json key-log policy tls groups ciphers sigalgs alpn cert key timeout"
CLIENTS = "ca sni resume early-data insecure require"
OPTIONS = {
    "connect": f"{COMMON} {CLIENTS} starttls",
    "get": f"{COMMON} {CLIENTS}",
    "serve": (f"{COMMON} www echo proxy-to listen dev client-ca request-client-cert tickets psk early-data workers"),
    "demo": "",
    "scan": "",
    "certs": "",
    "explain": "",
}
"""Of each of the command's parts."""


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda function: function.__qualname__)
def test_parameters(function: Callable[..., Any]) -> None:
    assert set(PARAMETERS[function].split()) <= inspect.signature(function).parameters.keys()


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_fields(kind: type[Any]) -> None:
    assert set(FIELDS[kind].split()) <= {each.name for each in fields(kind)}
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in inspect.signature(kind).parameters.values())


@pytest.mark.parametrize("what", ATTRIBUTES, ids=lambda what: what.__name__)
def test_attributes(what: Any) -> None:
    assert not [name for name in ATTRIBUTES[what].split() if not hasattr(what, name)]


def test_info(pki: Pki) -> None:
    client, server = minitls.testing.memory_pair(pki.client_config(), pki.server_config())
    for side in (client, server):
        assert not [name for name in INFO.split() if not hasattr(side.info, name)]
        assert isinstance(side.info.client_hello, ClientHello)
        assert side.info.client_hello.raw
        assert side.info.client_hello.ja4


def test_policies_are_data() -> None:
    made = minitls.Policy.intermediate.replace(versions=("TLSv1.3",), groups=("X25519MLKEM768", "SECP256R1", 0x001D))
    assert [each.name for each in made.groups] == ["X25519MLKEM768", "secp256r1", "x25519"]  # type: ignore[union-attr]
    assert made.replace(cipher_suites=("TLS_AES_128_GCM_SHA256",), signature_schemes=("ecdsa_secp256r1_sha256",))


def test_errors() -> None:
    """By blame, and each is what the standard library's callers catch."""
    assert issubclass(minitls.TLSError, ssl.SSLError)
    assert issubclass(minitls.CertificateError, minitls.TLSError)
    assert issubclass(minitls.CertificateError, ssl.SSLCertVerificationError)
    with pytest.raises(minitls.Misuse) as caught:
        minitls.ServerConfig()
    assert not [name for name in ("alert", "reason", "rule") if not hasattr(caught.value, name)]


def test_the_drop_in() -> None:
    assert issubclass(minitls.ssl.SSLContext, ssl.SSLContext)
    context = minitls.ssl.context_from(minitls.ClientConfig())
    assert isinstance(context, minitls.ssl.SSLContext)
    assert not [name for name in ("wrap_bio", "wrap_socket") if not callable(getattr(context, name))]


def parts() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in whole_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


@pytest.mark.parametrize("part", OPTIONS)
def test_the_command(part: str) -> None:
    known = {option for action in dict(parts())[part]._actions for option in action.option_strings}
    assert not [name for name in OPTIONS[part].split() if f"--{name}" not in known]
