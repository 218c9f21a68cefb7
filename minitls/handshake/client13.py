"""The client's side of TLS 1.3, top to bottom, from the server's answer on (RFC 8446, figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minitls.config import ClientConfig
from minitls.crypto.schedule import EarlySecret, TrafficSecret
from minitls.crypto.signatures import CLIENT_CONTEXT, SERVER_CONTEXT
from minitls.crypto.suites import SUITES, Suite
from minitls.data import replace
from minitls.errors import Alert, PeerMisbehaved
from minitls.handshake import early_data
from minitls.handshake.authenticate import (
    choose_own,
    expect_certificate,
    may_ask_later,
    own_credentials,
    receive_certificate,
    receive_finished,
    receive_proof,
    send_certificate,
    send_finished,
    verify_chain,
)
from minitls.handshake.compression import check_offer
from minitls.handshake.delegation import delegate_for
from minitls.handshake.flow import Flow, Handshake, expect
from minitls.handshake.fragments import agreed_limits
from minitls.handshake.psk import Psk, accepted_psk, offer_psks, recall_psk, send_bound
from minitls.handshake.raw_keys import take_answer
from minitls.info import EarlyDataReason
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry
from minitls.wire.hello import ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.messages import Certificate, CertificateRequest, EncryptedExtensions, EndOfEarlyData
from minitls.wire.numbers import CipherSuite, ExtensionType, NamedGroup, ProtocolVersion, PskKeyExchangeMode, is_grease, name_of
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.handshake.client import Offer

IN_SERVER_HELLO = frozenset({X.supported_versions, X.key_share, X.pre_shared_key})
"""What it may hold in TLS 1.3, and nothing of which TLS 1.2 has."""


def handshake(hs: Handshake, config: ClientConfig, offer: Offer, answer: ServerHello | HelloRetryRequest) -> Flow[None]:
    """Hello and key share, then all under keys: parameters, authentication, Finished both ways."""
    suite = check_answer(offer.hello, answer)
    hs.transcript.use(suite.hash_name)
    if isinstance(answer, HelloRetryRequest):
        offer, answer = yield from retry(hs, config, offer, answer, suite)
    elif offer.hello.legacy_session_id and not offer.has_early_data:  # middlebox compatibility mode (appendix D.4)
        hs.send_change_cipher_spec()
    psk = accepted_psk(offer.psks, answer, suite)
    if psk is None and config.psk_required:
        raise PeerMisbehaved(
            Alert.missing_extension,
            "the server does not use a key of ours, and we take nothing else",
            rule="RFC 8446 4.2.11",
            reason="psk_required",
        )
    shared_secret = exchange(hs, config, offer, answer, psk)

    early_secret = EarlySecret.without_psk(suite.hash_name) if psk is None else psk.secret
    handshake_secret = early_secret.handshake_secret(shared_secret)
    client_secret, server_secret = handshake_secret.traffic(hs.transcript.digest())
    hs.install_read_key(suite, server_secret)
    early_data_possible = offer.has_early_data and psk is not None
    if not early_data_possible:
        hs.install_write_key(suite, client_secret)
    hs.info.version = str(ProtocolVersion.TLSv1_3)
    hs.info.cipher_suite = suite.name

    encrypted_extensions = yield from expect(EncryptedExtensions)
    if early_data_possible and X.early_data not in encrypted_extensions.extensions:
        hs.install_write_key(suite, client_secret)
    check_encrypted_extensions(hs, config, offer.hello, encrypted_extensions)
    hs.info.early_data_accepted = early_data.is_accepted(hs, psk, suite, offer.hello, encrypted_extensions)
    request = None
    if psk is None:
        request = yield from authenticate_server(hs, config, offer.hello, server_secret)
    else:
        recall_psk(hs, psk, with_key_exchange=shared_secret is not None)
        yield from receive_finished(hs, server_secret)

    main_secret = handshake_secret.main_secret()
    through_server_finished = hs.transcript.digest()
    client_data_secret, server_data_secret = main_secret.traffic(through_server_finished)
    hs.install_read_key(suite, server_data_secret)
    if hs.info.early_data_accepted:
        hs.send(EndOfEarlyData())
        hs.install_write_key(suite, client_secret)
    if request is not None:
        yield from authenticate_client(hs, config, request)
    send_finished(hs, client_secret)
    hs.install_write_key(suite, client_data_secret)
    hs.info.keep_secrets(main_secret, through_server_finished, hs.transcript.digest())
    if X.post_handshake_auth in offer.hello.extensions and may_ask_later(hs):
        hs.keep_transcript()


def check_answer(hello: ClientHello, answer: ServerHello | HelloRetryRequest) -> Suite:
    """Section 4.1.3: everything in the answer is an answer to something that we said.  Gives the cipher suite."""
    name = type(answer).__name__
    if answer.legacy_version != ProtocolVersion.TLSv1_2:
        raise PeerMisbehaved(
            Alert.protocol_version,
            f"{name} has legacy_version 0x{answer.legacy_version:04x}",
            rule="RFC 9846 4.1.3",
            reason="wrong_version",
        )
    if answer.legacy_session_id_echo != hello.legacy_session_id:
        raise PeerMisbehaved(
            Alert.illegal_parameter, f"{name} does not echo our session id", rule="RFC 8446 4.1.3", reason="wrong_session_id"
        )
    if answer.cipher_suite not in hello.cipher_suites or answer.cipher_suite not in SUITES:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server chose {name_of(CipherSuite, answer.cipher_suite)}, which we did not offer",
            rule="RFC 8446 4.1.3",
            reason="wrong_cipher_returned",
        )
    if answer.legacy_compression_method != 0:
        raise PeerMisbehaved(
            Alert.illegal_parameter, f"{name} wants compression", rule="RFC 8446 4.1.3", reason="unsupported_compression"
        )
    allowed = IN_SERVER_HELLO if isinstance(answer, ServerHello) else {X.supported_versions, X.key_share, X.cookie}
    for kind in answer.extensions:
        if kind not in hello.extensions and kind != X.cookie:
            raise unsolicited(name, kind)
        if kind not in allowed:
            raise misplaced(name, kind)
    return SUITES[answer.cipher_suite]


def unsolicited(where: str, kind: int) -> PeerMisbehaved:
    """Section 4.2: an answer to an extension that was not sent, or asks nothing."""
    return PeerMisbehaved(
        Alert.unsupported_extension,
        f"{where} answers {name_of(ExtensionType, kind)}, which we did not ask for",
        rule="RFC 8446 4.2",
        reason="unsolicited_extension",
    )


def misplaced(where: str, kind: int) -> PeerMisbehaved:
    """Section 4.2: an extension that we know from other messages."""
    return PeerMisbehaved(
        Alert.illegal_parameter,
        f"the extension {name_of(ExtensionType, kind)} does not belong in {where}",
        rule="RFC 8446 4.2",
        reason="misplaced_extension",
    )


def retry(
    hs: Handshake, config: ClientConfig, offer: Offer, request: HelloRetryRequest, suite: Suite
) -> Flow[tuple[Offer, ServerHello]]:
    """Section 4.1.4: say hello again, with the share and the cookie that the server asks for.

    Early data is lost with the first hello; PSKs that do not fit the suite go, the others are bound anew.
    """
    from minitls.handshake.client import Offer, make_shares

    group: int | None = request.extensions.get(X.key_share)
    cookie: bytes | None = request.extensions.get(X.cookie)
    shares = offer.shares
    extensions = Extensions(offer.hello.extensions)
    if group is not None:
        sent = {share.group.code for share in offer.shares}
        supported = [code for code in offer.hello.extensions[X.supported_groups] if code in NamedGroup.__members__.values()]
        if group not in supported or group in sent:
            what = "sent a share for" if group in sent else "do not offer"
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                f"the server asks for a share in {name_of(NamedGroup, group)}, which we {what}",
                rule="RFC 8446 4.2.8",
                reason="wrong_curve",
            )
        shares = make_shares((group,))
        extensions[X.key_share] = tuple(KeyShareEntry(share.group.code, share.public) for share in shares)
    elif cookie is None:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "HelloRetryRequest that would change nothing",
            rule="RFC 8446 4.1.4",
            reason="empty_hello_retry_request",
        )
    if cookie is not None:
        extensions[X.cookie] = cookie
    hs.info.hello_retry = True
    hs.transcript.replace_by_message_hash()
    if offer.has_early_data:
        del extensions[X.early_data]
        hs.info.early_data_reason = EarlyDataReason.hello_retry_request
        hs.drop_write_key()
    elif offer.hello.legacy_session_id:
        hs.send_change_cipher_spec()
    psks = tuple(psk for psk in offer.psks if psk.hash_name == suite.hash_name)
    offer_psks(extensions, psks, config.clock())
    again = replace(offer.hello, extensions=extensions)
    send_bound(hs, again, psks)

    server_hello = yield from expect(ServerHello)
    check_answer(again, server_hello)
    if server_hello.extensions.get(X.supported_versions) != ProtocolVersion.TLSv1_3:
        raise PeerMisbehaved(
            Alert.illegal_parameter, "another version after HelloRetryRequest", rule="RFC 8446 4.1.4", reason="wrong_version"
        )
    if server_hello.cipher_suite != request.cipher_suite:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "another cipher suite after HelloRetryRequest",
            rule="RFC 8446 4.1.4",
            reason="wrong_cipher_returned",
        )
    return Offer(again, shares, offer.remembered, psks), server_hello


def exchange(hs: Handshake, config: ClientConfig, offer: Offer, server_hello: ServerHello, psk: Psk | None) -> bytes | None:
    """Section 4.2.8: the server's share in one of the groups that we sent one for makes the shared secret.

    None where the server wants to use the PSK alone, and we offered that.
    """
    entry: KeyShareEntry | None = server_hello.extensions.get(X.key_share)
    if entry is None and psk is not None and PskKeyExchangeMode.psk_ke in config.policy.psk_key_exchange_modes:
        return None
    if psk is not None and PskKeyExchangeMode.psk_dhe_ke not in config.policy.psk_key_exchange_modes:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the server answers a key exchange beside a PSK, and we offered psk_ke alone",
            rule="RFC 8446 4.2.9",
            reason="unexpected_key_share",
        )
    if entry is None:
        raise PeerMisbehaved(
            Alert.missing_extension if psk is None else Alert.illegal_parameter,
            "ServerHello without key_share",
            rule="RFC 8446 9.2" if psk is None else "RFC 8446 4.2.11",
            reason="missing_key_share",
        )
    share = next((share for share in offer.shares if share.group.code == entry.group), None)
    if share is None:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server's share is in {name_of(NamedGroup, entry.group)}, which we sent none for",
            rule="RFC 8446 4.2.8",
            reason="wrong_curve",
        )
    hs.info.group = share.group.name
    return share.exchange(entry.key_exchange)


def check_encrypted_extensions(hs: Handshake, config: ClientConfig, hello: ClientHello, message: EncryptedExtensions) -> None:
    """Section 4.3.1: only answers, and an application protocol of ours (RFC 7301 section 3.1)."""
    for kind in message.extensions:
        if kind not in hello.extensions or is_grease(kind):  # RFC 8701 section 3.1: nobody answers GREASE
            raise unsolicited("EncryptedExtensions", kind)
    hs.info.server_name_used = X.server_name in message.extensions
    check_alpn(hs, config, message.extensions)
    take_answer(hs, hello, message.extensions)
    hs.limit_fragments(*agreed_limits(hello.extensions, message.extensions, tls13=True))


def check_alpn(hs: Handshake, config: ClientConfig, extensions: Extensions) -> None:
    """RFC 7301 section 3.1: one protocol, and one of ours."""
    protocols: tuple[bytes, ...] | None = extensions.get(X.application_layer_protocol_negotiation)
    if protocols is None:
        return
    chosen = protocols[0].decode("ascii", "backslashreplace")
    if len(protocols) != 1 or chosen not in config.alpn:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server chose the application protocol {chosen!r}, and we offered {', '.join(config.alpn)}",
            rule="RFC 7301 3.1",
            reason="invalid_alpn_protocol",
        )
    hs.info.alpn_protocol = chosen


def authenticate_server(
    hs: Handshake, config: ClientConfig, hello: ClientHello, server_secret: TrafficSecret
) -> Flow[CertificateRequest | None]:
    """Section 4.4: the server's chain, the proof that it has the key, its Finished; and whether it asks who we are."""
    request = None
    came = yield from expect_certificate(config, CertificateRequest)
    if isinstance(came, CertificateRequest):
        request = check_request(came)
        came = yield from expect_certificate(config)
    message = receive_certificate(config, came)
    if message.certificate_request_context:
        raise PeerMisbehaved(
            Alert.illegal_parameter, "the server's Certificate answers a request", rule="RFC 8446 4.4.2", reason="wrong_context"
        )
    if not message.certificate_list:
        raise PeerMisbehaved(
            Alert.decode_error, "the server's Certificate is empty", rule="RFC 8446 4.4.2.4", reason="no_certificate"
        )
    key = yield from verify_chain(hs, config, message, hello.extensions)
    scheme = yield from receive_proof(hs, SERVER_CONTEXT, key, hello.extensions[X.signature_algorithms])
    hs.info.signature_scheme = scheme.name
    yield from receive_finished(hs, server_secret)
    return request


def check_request(request: CertificateRequest) -> CertificateRequest:
    """Section 4.3.2: a request during the handshake."""
    if request.certificate_request_context:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "CertificateRequest has a context during the handshake",
            rule="RFC 8446 4.3.2",
            reason="wrong_context",
        )
    check_request_extensions(request)
    return request


def check_request_extensions(request: CertificateRequest) -> None:
    """Section 4.3.2: the one that it must have; and one that must not say anything twice."""
    check_offer(request.extensions)
    if X.signature_algorithms not in request.extensions:
        raise PeerMisbehaved(
            Alert.missing_extension,
            "CertificateRequest without signature_algorithms",
            rule="RFC 8446 4.3.2",
            reason="missing_extension",
        )


def authenticate_client(hs: Handshake, config: ClientConfig, request: CertificateRequest) -> Flow[bool]:
    """Section 4.4.2: our certificate, if we have one that the server can verify; an empty Certificate declines.  Gives which."""
    context, extensions = request.certificate_request_context, request.extensions
    schemes, authorities = extensions[X.signature_algorithms], extensions.get(X.certificate_authorities, ())
    ours = yield from own_credentials(hs, config, schemes, authorities)
    chosen = choose_own(
        hs,
        config,
        {delegate_for(each, extensions, config, client=True): each for each in ours},
        schemes,
        authorities,
        in_certificates=extensions.get(X.signature_algorithms_cert),
    )
    if chosen is None:
        hs.send(Certificate(context, ()))
        return False
    asked: dict[int, Any] = {X.compress_certificate: extensions.get(X.compress_certificate, ())}
    yield from send_certificate(hs, config, CLIENT_CONTEXT, context, *chosen, asked)
    return True
