"""The server's side of TLS 1.3, top to bottom, from the client's hello on (RFC 8446, figure 1)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Set
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, TypeVar

from minitls.config import ClientAuth, Danger, ServerConfig
from minitls.crypto.groups import Group
from minitls.crypto.schedule import EarlySecret, TrafficSecret
from minitls.crypto.signatures import CLIENT_CONTEXT, CLIENTS_ONLY, SERVER_CONTEXT
from minitls.crypto.suites import Suite
from minitls.data import dataclass
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.handshake import delegation, early_data
from minitls.handshake.authenticate import (
    expect_certificate,
    may_ask_later,
    receive_certificate,
    receive_finished,
    receive_proof,
    send_certificate,
    send_finished,
    verify_chain,
)
from minitls.handshake.compression import asked_for
from minitls.handshake.flow import Flow, Handshake, expect, resolve
from minitls.handshake.fragments import answer_limits
from minitls.handshake.negotiate import (
    choose_alpn,
    choose_cipher_suite,
    choose_credential,
    choose_group,
)
from minitls.handshake.psk import Psk, check_binder, choose_mode, choose_psk, offered_again, recall_psk
from minitls.handshake.raw_keys import answer_types, choose_client_type, types_processed
from minitls.handshake.resume13 import send_tickets, tickets_wanted
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry
from minitls.wire.hello import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.messages import CertificateRequest, EncryptedExtensions, EndOfEarlyData, Finished, write_message
from minitls.wire.numbers import CertificateType, ProtocolVersion, PskKeyExchangeMode, SignatureScheme
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential

T = TypeVar("T")
_MAY_CHANGE = frozenset({X.early_data, X.pre_shared_key, X.padding})
"""What a second ClientHello may have otherwise than the first, besides what it was asked for (section 4.1.2)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a handshake will be, decided before we say a word.

    ``hello``: the one that counts, the second if there are two.  ``group``: None where the PSK is used alone; ``psk``: None where
    we show a certificate; ``early``: the client's early data is taken.
    """

    hello: ClientHello
    suite: Suite
    group: Group | None
    psk: Psk | None
    protocol: str | None
    early: bool


def handshake(hs: Handshake, config: ServerConfig, first_hello: ClientHello) -> Flow[None]:
    """Hello and key share, then all under keys: parameters, authentication, Finished both ways; tickets."""
    terms = yield from agree(hs, config, first_hello)
    hello, suite, psk = terms.hello, terms.suite, terms.psk
    early_secret = EarlySecret.without_psk(suite.hash_name) if psk is None else psk.secret
    credential = None if psk is not None else (yield from select_credential(hs, config, hello))
    client_type = None if credential is None else choose_client_type(hs, config, hello)
    if terms.early:
        hs.install_read_key(suite, early_secret.client_traffic(hs.transcript.digest()))
        hs.take_early_data(config.early_data or 0)

    shared_secret = send_hello(hs, config, terms)
    handshake_secret = early_secret.handshake_secret(shared_secret)
    through_hello = hs.transcript.digest()
    client_secret, server_secret = handshake_secret.traffic(through_hello)
    if not terms.early:
        hs.install_read_key(suite, client_secret)
    hs.install_write_key(suite, server_secret)

    tickets = tickets_wanted(config, hello, hs.info)
    extensions = answers(hs, terms, credential, client_type, tickets)
    hs.limit_fragments(*answer_limits(config, hello.extensions, extensions, tls13=True))
    hs.send(EncryptedExtensions(extensions))
    request = None
    if client_type is not None and config.client_auth is not ClientAuth.none:
        request = certificate_request(config, client_type)
        hs.send(request)
    if credential is not None:
        yield from send_certificate(hs, config, SERVER_CONTEXT, b"", *credential, hello.extensions)
    send_finished(hs, server_secret)
    main_secret = handshake_secret.main_secret()
    through_server_finished = hs.transcript.digest()
    client_data_secret, server_data_secret = main_secret.traffic(through_server_finished)
    hs.install_write_key(suite, server_data_secret)

    if terms.early:
        hs.allow_half_rtt_data()
        hs.info.keep_exporter(main_secret, through_server_finished)
        if config.half_rtt_tickets:
            handshake, through_client_finished = hs.transcript.copy(), foresee(hs, client_secret)
            hs.info.keep_secrets(main_secret, through_server_finished, through_client_finished)
            yield from send_tickets(hs, config, tickets)
            hs.transcript, tickets = handshake, 0  # tickets are no part of it
        yield from expect(EndOfEarlyData)
        hs.install_read_key(suite, client_secret)
    if request is not None:
        yield from authenticate_client(hs, config, request)
    yield from receive_finished(hs, client_secret)
    hs.install_read_key(suite, client_data_secret)
    hs.info.keep_secrets(main_secret, through_server_finished, hs.transcript.digest())
    invited = X.post_handshake_auth in hello.extensions and hs.info.psk_identity is None  # RFC 9846 section 4.3.2
    if config.post_handshake_auth and invited and may_ask_later(hs):
        hs.keep_transcript()
    yield from send_tickets(hs, config, tickets)


def foresee(hs: Handshake, client_secret: TrafficSecret) -> bytes:
    """Section 4.6.1: the hash through the client's Finished, where we know all that it can say until then."""
    transcript = hs.transcript.copy()
    transcript.add(write_message(EndOfEarlyData()))
    transcript.add(write_message(Finished(client_secret.verify_data(transcript.digest()))))
    return transcript.digest()


def agree(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[Terms]:
    """Section 4.1.1: suite, group and PSK, which depend on each other; with a second hello, if that is what it takes."""
    check_hello(hello)
    protocol = choose_alpn(hello.alpn if X.application_layer_protocol_negotiation in hello.extensions else None, config.alpn)
    psk = yield from choose_psk(hs, config, hello)
    suite, why = choose_cipher_suite(hello.cipher_suites, config.policy, psk)
    hs.transcript.use(suite.hash_name)
    hs.chosen("cipher_suite", suite.name, why)
    group, ask_again = key_exchange(hs, config, hello, psk)
    if ask_again or config.send_cookie:
        yield from early_data.accept(hs, config, hello, psk, suite, protocol, retry=True)
        hello = yield from retry(hs, config, hello, suite, group, ask_again)
        psk = None if psk is None else offered_again(hello, psk)
    early = False
    if psk is not None:
        check_binder(hs, hello, psk)
        recall_psk(hs, psk, with_key_exchange=group is not None)
        hs.info.ticket_age_skew = early_data.ticket_age_skew(config, hello, psk)
    if not hs.info.hello_retry:
        early = yield from early_data.accept(hs, config, hello, psk, suite, protocol, retry=False)
    hs.info.version = str(ProtocolVersion.TLSv1_3)
    hs.info.cipher_suite = suite.name
    hs.info.group = None if group is None else group.name
    hs.info.alpn_protocol = protocol
    hs.info.early_data_accepted = early
    return Terms(hello, suite, group, psk, protocol, early)


def send_hello(hs: Handshake, config: ServerConfig, terms: Terms) -> bytes | None:
    """ServerHello; gives the shared secret, None where there is no key exchange."""
    extensions = Extensions({X.supported_versions: ProtocolVersion.TLSv1_3})
    shared_secret = None
    if terms.group is not None:
        server_share, shared_secret = terms.group.encapsulate(share_in(terms.hello, terms.group))
        extensions[X.key_share] = KeyShareEntry(terms.group.code, server_share)
    if terms.psk is not None:
        extensions[X.pre_shared_key] = terms.psk.index
    session_id = terms.hello.legacy_session_id
    hs.send(
        ServerHello(
            legacy_version=ProtocolVersion.TLSv1_2,
            random=config.random(32),
            legacy_session_id_echo=session_id,
            cipher_suite=terms.suite.code,
            legacy_compression_method=0,
            extensions=extensions,
        )
    )
    if session_id and not hs.info.hello_retry:
        hs.send_change_cipher_spec()
    return shared_secret


def check_hello(hello: ClientHello) -> None:
    """Sections 4.1.2, 4.2 and 9.2: what every ClientHello for TLS 1.3 must have, and what none may."""
    extensions = hello.extensions
    if hello.legacy_compression_methods != b"\0":
        raise PeerMisbehaved(
            Alert.illegal_parameter, "ClientHello offers compression", rule="RFC 8446 4.1.2", reason="invalid_compression_list"
        )
    needs: tuple[X, ...] = (X.supported_groups, X.key_share, X.signature_algorithms)
    if X.pre_shared_key in extensions:  # a PSK may do without a key exchange and certificates
        needs = needs[:2] if X.key_share in extensions or X.supported_groups in extensions else ()
    for needed in needs:
        if needed not in extensions:
            raise PeerMisbehaved(
                Alert.missing_extension,
                f"ClientHello without {needed.name}",
                rule="RFC 8446 9.2",
                reason="missing_key_share" if needed is X.key_share else "missing_extension",
            )
    shared = [entry.group for entry in extensions.get(X.key_share, ())]
    if len(set(shared)) != len(shared) or not set(shared) <= set(extensions.get(X.supported_groups, ())):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "key_share has a group twice, or one that supported_groups does not have",
            rule="RFC 8446 4.2.8",
            reason="bad_key_share",
        )
    if X.pre_shared_key in extensions:
        check_pre_shared_key(extensions)


def key_exchange(hs: Handshake, config: ServerConfig, hello: ClientHello, psk: Psk | None) -> tuple[Group | None, bool]:
    """The group, and whether the client must be asked for a share in it; None where the PSK is used alone (section 4.2.9)."""
    if psk is not None and choose_mode(hello, config.policy) is PskKeyExchangeMode.psk_ke:
        return None, False
    if X.key_share not in hello.extensions:
        raise PeerIncompatible(
            Alert.unknown_psk_identity,
            "the client offers a PSK and nothing else, and nobody here knows it",
            rule="RFC 8446 4.2.11",
            reason="unknown_psk_identity",
        )
    groups = hello.extensions[X.supported_groups]
    group, ask_again, why = choose_group(groups, [entry.group for entry in hello.extensions[X.key_share]], config.policy)
    hs.chosen("group", group.name, why)
    return group, ask_again


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
    hs: Handshake, config: ServerConfig, hello: ClientHello, suite: Suite, group: Group | None, ask_again: bool
) -> Flow[ClientHello]:
    """Section 4.1.4: ask for a second hello, with a share in the group that we chose; it must otherwise be the first."""
    hs.info.hello_retry = True
    extensions = Extensions({X.supported_versions: ProtocolVersion.TLSv1_3})
    if ask_again and group is not None:
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
    if X.early_data in again.extensions:
        raise PeerMisbehaved(
            Alert.illegal_parameter, "early_data after HelloRetryRequest", rule="RFC 8446 4.1.2", reason="unexpected_early_data"
        )
    check_hello(again)
    check_same(hello, again, _MAY_CHANGE | extensions.keys() - {X.supported_versions})
    if cookie is not None and not hmac.compare_digest(again.extensions.get(X.cookie, b""), cookie):
        raise PeerMisbehaved(
            Alert.illegal_parameter, "the client does not return our cookie", rule="RFC 8446 4.2.2", reason="wrong_cookie"
        )
    if ask_again and group and [entry.group for entry in again.extensions.get(X.key_share, ())] != [group.code]:
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


def choose_among(
    config: ServerConfig, credentials: tuple[Credential, ...], host: str | None, choose: Callable[[tuple[Credential, ...]], T]
) -> T:
    """By ``choose``, which prefers those for the host: it need not look at hundreds of others, unless none of those will do."""
    named = config.credentials_for(host) if credentials is config.credentials else ()
    if named:
        try:
            return choose(named)
        except PeerIncompatible:
            pass  # one for another name may have a key that fits
    return choose(credentials)


def candidates(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[tuple[Credential, ...]]:
    """The application's choice if it has one, all ``credentials`` otherwise.  Raises unrecognized_name where there is none."""
    credentials = config.credentials
    if config.select_credential is not None:
        answer = yield from resolve(config.select_credential, hello)
        if answer is not None:
            credentials, hs.info.server_name_used = (answer,), hs.info.server_name is not None
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
    if not credentials and X.psk_key_exchange_modes in hello.extensions and choose_mode(hello, config.policy) is None:
        raise PeerIncompatible(
            Alert.handshake_failure,
            "we have no certificate, and the client uses PSKs in another way than we do",
            rule="RFC 8446 4.2.9",
            reason="no_supported_psk_mode",
        )
    if not credentials:
        raise PeerIncompatible(
            Alert.unknown_psk_identity,
            "we have no certificate, and the client offers no PSK that we know",
            rule="RFC 8446 4.2.11",
            reason="unknown_psk_identity",
        )
    if X.signature_algorithms not in hello.extensions:
        raise PeerIncompatible(
            Alert.missing_extension,
            "nobody here knows the client's PSK, and it accepts no certificate",
            rule="RFC 8446 9.2",
            reason="missing_extension",
        )
    authorities = hello.extensions.get(X.certificate_authorities, ())
    schemes = tuple(filterfalse(CLIENTS_ONLY.__contains__, hello.extensions[X.signature_algorithms]))
    in_certificates = hello.extensions.get(X.signature_algorithms_cert)
    types = types_processed(hello)
    shown: dict[Credential, Credential] = {}

    def choose(among: tuple[Credential, ...]) -> tuple[Credential, SignatureScheme, str]:
        offered = tuple(delegation.delegate_for(each, hello.extensions, config, client=False) for each in among)
        shown.update(zip(offered, among, strict=True))
        return choose_credential(
            offered, hs.info.server_name, schemes, authorities, config.policy, in_certificates=in_certificates, types=types
        )

    credential, scheme, why = choose_among(config, credentials, hs.info.server_name, choose)
    hs.info.server_certificate_type = credential.certificate_type
    hs.info.credential = shown[credential]
    hs.chosen("certificate", scheme.name, why if credential.delegation is None else f"{why}; a key that it delegates to")
    hs.info.signature_scheme = scheme.name
    return credential, scheme


def answer_name(hs: Handshake, extensions: Extensions, credential: Credential) -> None:
    """RFC 6066 section 3: say that the name led to the certificate, where it did: the application's choice, or ours by it."""
    hs.info.server_name_used = hs.info.server_name_used or credential.matches(hs.info.server_name)
    if hs.info.server_name_used:
        extensions[X.server_name] = None


def answers(
    hs: Handshake,
    terms: Terms,
    credential: tuple[Credential, SignatureScheme] | None,
    client_type: CertificateType | None,
    tickets: int,
) -> Extensions:
    """EncryptedExtensions (section 4.3.1): what we have to say to the client's extensions."""
    extensions = Extensions()
    if credential is not None:
        answer_name(hs, extensions, credential[0])
    if terms.protocol is not None:
        extensions[X.application_layer_protocol_negotiation] = (terms.protocol.encode("ascii"),)
    if credential is not None or hs.info.resumed:
        answer_types(hs, terms.hello.extensions, extensions, client_type)
    if terms.early:
        extensions[X.early_data] = None
    if X.ticket_request in terms.hello.extensions:
        extensions[X.ticket_request] = tickets
    return extensions


def certificate_request(
    config: ServerConfig, kind: CertificateType = CertificateType.X509, context: bytes = b""
) -> CertificateRequest:
    """Section 4.3.2: what client certificates we can verify.  ``kind``: by RFC 7250; ``context``: of one after the handshake."""
    policy = config.policy
    extensions = Extensions({X.signature_algorithms: policy.all_schemes})
    if policy.schemes_differ:
        extensions[X.signature_algorithms_cert] = tuple(map(int, policy.certificate_signature_schemes or ()))
    if (
        kind is CertificateType.X509
        and config.trust is not None
        and config.verify is not Danger.accept_any_certificate
        and config.trust.subjects
    ):
        extensions[X.certificate_authorities] = config.trust.subjects
    if compression := asked_for(config):
        extensions[X.compress_certificate] = compression
    if schemes_delegated := delegation.asked_for(config):
        extensions[X.delegated_credential] = schemes_delegated
    return CertificateRequest(context, extensions)


def authenticate_client(hs: Handshake, config: ServerConfig, request: CertificateRequest, *, required: bool = False) -> Flow[bool]:
    """Section 4.4: the client's chain and the proof that it has the key, or that it has none to show.  Gives which.

    ``required``: it must have one, also where the configuration does not say so.
    """
    message = receive_certificate(config, (yield from expect_certificate(config)))
    if message.certificate_request_context != request.certificate_request_context:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the client's Certificate answers another request",
            rule="RFC 8446 4.4.2",
            reason="wrong_context",
        )
    if message.certificate_list:
        key = yield from verify_chain(hs, config, message, request.extensions)
        scheme = yield from receive_proof(hs, CLIENT_CONTEXT, key, tuple(map(int, config.policy.signature_schemes)))
        hs.info.client_signature_scheme = scheme.name
    elif required or config.client_auth is ClientAuth.require:
        raise PeerIncompatible(
            Alert.certificate_required,
            "the client has no certificate, and we require one",
            rule="RFC 8446 4.4.2.4",
            reason="certificate_required",
        )
    return bool(message.certificate_list)
