"""The server's side of TLS 1.3, top to bottom, from the client's hello on (RFC 8446, figure 1)."""

from __future__ import annotations

import hmac
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from minitls.config import ClientAuth, Danger, ServerConfig
from minitls.crypto.groups import Group
from minitls.crypto.schedule import EarlySecret, TrafficSecret
from minitls.crypto.signatures import CLIENT_CONTEXT, SERVER_CONTEXT
from minitls.crypto.suites import Suite
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.handshake.authenticate import (
    receive_finished,
    receive_proof,
    send_certificate,
    send_finished,
    verify_chain,
)
from minitls.handshake.flow import Flow, Handshake, expect, resolve
from minitls.handshake.fragments import answer_limits
from minitls.handshake.negotiate import choose_alpn, choose_cipher_suite, choose_credential, choose_group, offered_schemes
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.messages import Certificate, CertificateRequest, EncryptedExtensions
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion, SignatureScheme

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential

_MAY_CHANGE = frozenset({X.early_data, X.pre_shared_key, X.padding})
"""What a second ClientHello may have otherwise than the first, besides what it was asked for (section 4.1.2)."""


def handshake(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[None]:
    """Hello and key share, then all under keys: parameters, authentication, Finished both ways."""
    check_hello(hello)
    if X.early_data in hello.extensions:
        hs.skip_early_data()
    suite, why = choose_cipher_suite(hello.cipher_suites, config.policy)
    hs.transcript.use(suite.hash_name)
    hs.chosen("cipher_suite", suite.name, why)
    groups = hello.extensions[X.supported_groups]
    group, ask_again, why = choose_group(groups, [entry.group for entry in hello.extensions[X.key_share]], config.policy)
    hs.chosen("group", group.name, why)
    if ask_again or config.send_cookie:
        hello = yield from retry(hs, config, hello, suite, group, ask_again)
    server_share, shared_secret = group.encapsulate(share_in(hello, group))
    protocol = choose_alpn(hello.alpn if X.application_layer_protocol_negotiation in hello.extensions else None, config.alpn)
    credential, scheme = yield from select_credential(hs, config, hello)

    hs.send(
        ServerHello(
            legacy_version=ProtocolVersion.TLSv1_2,
            random=config.random(32),
            legacy_session_id_echo=hello.legacy_session_id,
            cipher_suite=suite.code,
            legacy_compression_method=0,
            extensions=Extensions(
                {X.supported_versions: ProtocolVersion.TLSv1_3, X.key_share: KeyShareEntry(group.code, server_share)}
            ),
        )
    )
    if hello.legacy_session_id and not hs.info.hello_retry:
        hs.send_change_cipher_spec()
    handshake_secret = EarlySecret(suite.hash_name).handshake_secret(shared_secret)
    through_hello = hs.transcript.digest()
    client_secret = handshake_secret.client_traffic(through_hello)
    server_secret = handshake_secret.server_traffic(through_hello)
    hs.install_read_key(suite, client_secret)
    hs.install_write_key(suite, server_secret)
    hs.info.version = str(ProtocolVersion.TLSv1_3)
    hs.info.cipher_suite = suite.name
    hs.info.group = group.name
    hs.info.alpn_protocol = protocol
    hs.info.signature_scheme = scheme.name

    extensions = answers(hello, credential, hs.info.server_name, protocol)
    hs.limit_fragments(*answer_limits(config, hello.extensions, extensions, tls13=True))
    hs.send(EncryptedExtensions(extensions))
    if config.client_auth is not ClientAuth.none:
        hs.send(certificate_request(config))
    yield from send_certificate(hs, SERVER_CONTEXT, b"", credential, scheme, hello.extensions)
    send_finished(hs, server_secret)
    main_secret = handshake_secret.main_secret()
    through_server_finished = hs.transcript.digest()
    hs.install_write_key(suite, main_secret.server_traffic(through_server_finished))

    yield from authenticate_client(hs, config, client_secret)
    hs.install_read_key(suite, main_secret.client_traffic(through_server_finished))
    hs.info.keep_exporter(main_secret, through_server_finished)


def check_hello(hello: ClientHello) -> None:
    """Sections 4.1.2, 4.2 and 9.2: what every ClientHello for TLS 1.3 must have, and what none may."""
    extensions = hello.extensions
    if hello.legacy_compression_methods != b"\0":
        raise PeerMisbehaved(
            Alert.illegal_parameter, "ClientHello offers compression", rule="RFC 8446 4.1.2", reason="invalid_compression_list"
        )
    for needed in (X.supported_groups, X.key_share, X.signature_algorithms):
        if needed not in extensions:
            raise PeerMisbehaved(
                Alert.missing_extension,
                f"ClientHello without {needed.name}",
                rule="RFC 8446 9.2",
                reason="missing_key_share" if needed is X.key_share else "missing_extension",
            )
    shared = [entry.group for entry in extensions[X.key_share]]
    if len(set(shared)) != len(shared) or not set(shared) <= set(extensions[X.supported_groups]):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "key_share has a group twice, or one that supported_groups does not have",
            rule="RFC 8446 4.2.8",
            reason="bad_key_share",
        )
    if X.pre_shared_key in extensions:
        check_pre_shared_key(extensions)


def check_pre_shared_key(extensions: Extensions) -> None:
    """Sections 4.2.9 and 4.2.11."""
    if list(extensions)[-1] != X.pre_shared_key:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "pre_shared_key is not the last extension",
            rule="RFC 8446 4.2.11",
            reason="pre_shared_key_must_be_last",
        )
    if X.psk_key_exchange_modes not in extensions:
        raise PeerMisbehaved(
            Alert.missing_extension,
            "pre_shared_key without psk_key_exchange_modes",
            rule="RFC 8446 4.2.9",
            reason="missing_extension",
        )
    offered = extensions[X.pre_shared_key]
    if len(offered.identities) != len(offered.binders):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "pre_shared_key has not one binder for each identity",
            rule="RFC 8446 4.2.11",
            reason="psk_identity_binder_count_mismatch",
        )


def retry(
    hs: Handshake, config: ServerConfig, hello: ClientHello, suite: Suite, group: Group, ask_again: bool
) -> Flow[ClientHello]:
    """Section 4.1.4: ask for a second hello, with a share in the group that we chose; it must otherwise be the first."""
    hs.info.hello_retry = True
    extensions = Extensions({X.supported_versions: ProtocolVersion.TLSv1_3})
    if ask_again:
        extensions[X.key_share] = group.code
    cookie = config.random(32) if config.send_cookie else None
    if cookie is not None:
        extensions[X.cookie] = cookie
    hs.send(
        HelloRetryRequest(
            legacy_version=ProtocolVersion.TLSv1_2,
            random=HELLO_RETRY_REQUEST_RANDOM,
            legacy_session_id_echo=hello.legacy_session_id,
            cipher_suite=suite.code,
            legacy_compression_method=0,
            extensions=extensions,
        )
    )
    hs.transcript.replace_by_message_hash()
    if hello.legacy_session_id:
        hs.send_change_cipher_spec()
    again = yield from expect(ClientHello)
    check_hello(again)
    check_same(hello, again, _MAY_CHANGE | extensions.keys() - {X.supported_versions})
    if X.early_data in again.extensions:
        raise PeerMisbehaved(
            Alert.illegal_parameter, "early_data after HelloRetryRequest", rule="RFC 8446 4.1.2", reason="unexpected_early_data"
        )
    if cookie is not None and not hmac.compare_digest(again.extensions.get(X.cookie, b""), cookie):
        raise PeerMisbehaved(
            Alert.illegal_parameter, "the client does not return our cookie", rule="RFC 8446 4.2.2", reason="wrong_cookie"
        )
    if ask_again and [entry.group for entry in again.extensions[X.key_share]] != [group.code]:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the second ClientHello does not have just the share in {group.name} that we asked for",
            rule="RFC 8446 4.2.8",
            reason="wrong_curve",
        )
    return again


def check_same(first: ClientHello, second: ClientHello, may_change: Set[int]) -> None:
    """Section 4.1.2: the second hello is the first but for what had to change."""

    def fixed(hello: ClientHello) -> tuple[Any, ...]:
        kept = {kind: body for kind, body in hello.extensions.items() if kind not in may_change}
        plain = (hello.legacy_version, hello.random, hello.legacy_session_id, hello.cipher_suites)
        return (*plain, hello.legacy_compression_methods, kept)

    if fixed(first) != fixed(second):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the second ClientHello differs from the first where it must not",
            rule="RFC 8446 4.1.2",
            reason="second_client_hello_mismatch",
        )


def share_in(hello: ClientHello, group: Group) -> bytes:
    """The client's key_exchange in a group that it sent one for."""
    entries: tuple[KeyShareEntry, ...] = hello.extensions[X.key_share]
    return next(entry.key_exchange for entry in entries if entry.group == group.code)


def candidates(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[tuple[Credential, ...]]:
    """The application's choice if it has one, all ``credentials`` otherwise.  Raises unrecognized_name where there is none."""
    credentials = config.credentials
    if config.select_credential is not None:
        answer = yield from resolve(config.select_credential, hello)
        credentials = credentials if answer is None else (answer,)
    if not credentials and config.psk is None:
        raise PeerIncompatible(
            Alert.unrecognized_name,
            f"no certificate for the name {hs.info.server_name}",
            rule="RFC 6066 3",
            reason="unrecognized_name",
        )
    return credentials


def select_credential(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[tuple[Credential, SignatureScheme]]:
    """Section 4.4.2.2: the credential that fits the client best, and the scheme to prove it with."""
    credentials = yield from candidates(hs, config, hello)
    authorities = hello.extensions.get(X.certificate_authorities, ())
    schemes = hello.extensions[X.signature_algorithms]
    in_certificates = hello.extensions.get(X.signature_algorithms_cert)
    credential, scheme, why = choose_credential(
        credentials, hs.info.server_name, schemes, authorities, config.policy, in_certificates=in_certificates
    )
    hs.chosen("certificate", scheme.name, why)
    return credential, scheme


def answers(hello: ClientHello, credential: Credential, server_name: str | None, protocol: str | None) -> Extensions:
    """EncryptedExtensions (section 4.3.1): what we have to say to the client's extensions."""
    extensions = Extensions()
    if server_name is not None and credential.matches(server_name):
        extensions[X.server_name] = None  # "we used it" (RFC 6066 section 3)
    if protocol is not None:
        extensions[X.application_layer_protocol_negotiation] = (protocol.encode("ascii"),)
    return extensions


def certificate_request(config: ServerConfig) -> CertificateRequest:
    """Section 4.3.2: what client certificates we can verify."""
    policy = config.policy
    assert policy.certificate_signature_schemes is not None
    schemes = offered_schemes(policy)
    extensions = Extensions({X.signature_algorithms: schemes})
    if set(schemes) != set(policy.certificate_signature_schemes):
        extensions[X.signature_algorithms_cert] = tuple(map(int, policy.certificate_signature_schemes))
    if config.trust is not None and config.verify is not Danger.accept_any_certificate and config.trust.subjects:
        extensions[X.certificate_authorities] = config.trust.subjects
    return CertificateRequest(b"", extensions)


def authenticate_client(hs: Handshake, config: ServerConfig, client_secret: TrafficSecret) -> Flow[None]:
    """Section 4.4: the client's chain and proof, where we asked for them, and its Finished always."""
    if config.client_auth is not ClientAuth.none:
        message = yield from expect(Certificate)
        if message.certificate_request_context:
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                "the client's Certificate answers another request",
                rule="RFC 8446 4.4.2",
                reason="wrong_context",
            )
        if message.certificate_list:
            key = yield from verify_chain(hs, config, message)
            scheme = yield from receive_proof(hs, CLIENT_CONTEXT, key, tuple(map(int, config.policy.signature_schemes)))
            hs.info.client_signature_scheme = scheme.name
        elif config.client_auth is ClientAuth.require:
            raise PeerIncompatible(
                Alert.certificate_required,
                "the client has no certificate, and we require one",
                rule="RFC 8446 4.4.2.4",
                reason="certificate_required",
            )
    yield from receive_finished(hs, client_secret)
