"""The client's side of TLS 1.2, top to bottom, from the server's hello on (RFC 5246, figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitls.config import ClientConfig
from minitls.crypto.groups import CURVES, curve_of
from minitls.crypto.suites12 import SUITES_12, Suite12
from minitls.errors import Alert, DecodeError, PeerIncompatible, PeerMisbehaved
from minitls.handshake.authenticate import PeerKey, choose_own, conclude, own_credentials
from minitls.handshake.client13 import IN_SERVER_HELLO, check_alpn, misplaced, unsolicited
from minitls.handshake.exchange12 import Dhe, Ecdhe, Exchange, Psk, StaticRsa, plain_psk
from minitls.handshake.flow import Flow, Handshake, expect, resolve
from minitls.handshake.fragments import agreed_limits
from minitls.handshake.raw_keys import is_raw, take_answer
from minitls.handshake.resume import Remembered, identity_of, recall, shared_key
from minitls.handshake.resume12 import check_resumed, make_session, master_of, recall_psk, remember
from minitls.handshake.tls12 import (
    Hellos,
    Keys,
    check_signature,
    master_secret,
    receive_certificate,
    receive_finished,
    resumed_master,
    send_finished,
    show,
)
from minitls.wire.codec import parse
from minitls.wire.extensions import UNCOMPRESSED
from minitls.wire.hello import ClientHello, Message, ServerHello
from minitls.wire.messages import CertificateVerify
from minitls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus12,
    ClientKeyExchange,
    DigitallySigned,
    NewSessionTicket12,
    ServerHelloDone,
    ServerKeyExchange,
)
from minitls.wire.numbers import CipherSuite, ClientCertificateType, ProtocolVersion, SignatureScheme, name_of
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential
    from minitls.handshake.client import Offer


def handshake(hs: Handshake, config: ClientConfig, offer: Offer, server_hello: ServerHello) -> Flow[None]:
    """Hello; certificate and key exchange; then ChangeCipherSpec and Finished both ways, the first words under keys."""
    hello = offer.hello
    hellos = check_server_hello(hs, config, hello, server_hello)
    suite = hellos.suite
    hs.speak_tls12(suite.hash_name)
    hs.info.version = str(ProtocolVersion.TLSv1_2)
    hs.info.cipher_suite = suite.name
    hs.info.extended_master_secret = hellos.extended
    session_id = server_hello.legacy_session_id_echo
    if session_id and session_id == hello.legacy_session_id:
        yield from resume(hs, config, hellos, offer.remembered, session_id)
        return

    key = None
    if suite.authentication != "PSK":
        key = yield from server_key(hs, config, suite)
    exchange = make_exchange(config, suite, hello, key)
    request = yield from receive_server_keys(hs, hellos, exchange, key, hello, X.status_request in server_hello.extensions)
    hs.info.scts = server_hello.extensions.get(X.signed_certificate_timestamp, ())
    if key is not None and not is_raw(hs):
        yield from conclude(hs, config)

    if isinstance(exchange, Psk):
        assert config.psk is not None
        exchange.identity, exchange.key = plain_psk((yield from resolve(config.psk, exchange.hint)))
        hs.info.psk_identity = exchange.identity
    proof = None if request is None else (yield from send_certificate(hs, config, request))
    exchange_keys, premaster = exchange.answer()
    hs.info.group = exchange.group
    hs.send(ClientKeyExchange(exchange_keys))
    master = master_secret(hs, config, hellos, premaster)
    if proof is not None:
        credential, scheme = proof
        signature = yield from resolve(credential.sign, scheme, hs.transcript.messages())
        hs.send(CertificateVerify(scheme, signature))

    keys = Keys(hellos, master)
    keys.write(hs)
    hs.info.tls_unique = send_finished(hs, master)
    ticket = (yield from expect(NewSessionTicket12)).ticket if hellos.ticket else b""
    yield from keys.read(hs)
    yield from receive_finished(hs, master)
    identity = shared_key(exchange.identity, exchange.key) if isinstance(exchange, Psk) else identity_of(config.own_credentials)
    session = make_session(hs, config, hellos, master, context=b"", identity=identity)
    yield from remember(hs, config, session, ticket, session_id)


def resume(hs: Handshake, config: ClientConfig, hellos: Hellos, known: Remembered | None, session_id: bytes) -> Flow[None]:
    """RFC 5246 figure 2: the server has the session; its Finished comes first, and ours ends the handshake."""
    if known is None or known.session.version != ProtocolVersion.TLSv1_2:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the server resumes a session that we did not offer",
            rule="RFC 5246 7.4.1.3",
            reason="wrong_session_id",
        )
    session = known.session
    check_resumed(hellos, session)
    recall(hs, known, "ticket" if session.ticket else "session_id")
    recall_psk(hs, session)
    master = master_of(session)
    resumed_master(hs, config, hellos, master)
    keys = Keys(hellos, master)
    renewed = (yield from expect(NewSessionTicket12)).ticket if hellos.ticket else b""
    yield from keys.read(hs)
    hs.info.tls_unique = yield from receive_finished(hs, master)
    keys.write(hs)
    send_finished(hs, master)
    yield from remember(hs, config, session, renewed or session.ticket, session_id)


def check_server_hello(hs: Handshake, config: ClientConfig, hello: ClientHello, answer: ServerHello) -> Hellos:
    """RFC 5246 section 7.4.1.3: everything in the answer is an answer to something that we said."""
    suite = SUITES_12.get(answer.cipher_suite) if answer.cipher_suite in hello.cipher_suites else None
    if suite is None:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server chose {name_of(CipherSuite, answer.cipher_suite)}, which we did not offer for TLS 1.2",
            rule="RFC 5246 7.4.1.3",
            reason="wrong_cipher_returned",
        )
    if answer.legacy_compression_method != 0:
        raise PeerMisbehaved(
            Alert.illegal_parameter, "the server wants compression", rule="RFC 5246 7.4.1.3", reason="unsupported_compression"
        )
    extensions = answer.extensions
    for kind in extensions:
        if kind not in hello.extensions:
            raise unsolicited("ServerHello", kind)
        if kind in IN_SERVER_HELLO:
            raise misplaced("the ServerHello of TLS 1.2", kind)
    if UNCOMPRESSED not in extensions.get(X.ec_point_formats, (UNCOMPRESSED,)):
        raise PeerMisbehaved(
            Alert.illegal_parameter, "the server wants compressed points alone", rule="RFC 8422 5.2", reason="bad_point_formats"
        )
    hs.info.server_name_used = X.server_name in extensions
    check_alpn(hs, config, extensions)
    take_answer(hs, hello, extensions)
    hs.limit_fragments(*agreed_limits(hello.extensions, extensions, tls13=False))
    extended = X.extended_master_secret in extensions
    hs.info.secure_renegotiation = X.renegotiation_info in extensions
    if config.policy.secure_tls12:
        if not hs.info.secure_renegotiation:
            raise PeerIncompatible(
                Alert.handshake_failure,
                "the server does not know secure renegotiation",
                rule="RFC 5746 3.4",
                reason="unsafe_legacy_renegotiation",
            )
        if not extended:
            raise PeerIncompatible(
                Alert.handshake_failure,
                "the server does not know the extended master secret",
                rule="RFC 7627 5.2",
                reason="no_extended_master_secret",
            )
    if X.encrypt_then_mac in extensions and not suite.is_cbc:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server wants encrypt-then-MAC with {suite.name}, which has no MAC",
            rule="RFC 7366 3",
            reason="unexpected_encrypt_then_mac",
        )
    if extensions.get(X.renegotiation_info, b""):
        raise PeerMisbehaved(
            Alert.handshake_failure,
            "the server's first hello is about a renegotiation",
            rule="RFC 5746 3.4",
            reason="renegotiation_mismatch",
        )
    return Hellos(
        suite,
        hello.random,
        answer.random,
        extended,
        etm=X.encrypt_then_mac in extensions,
        ticket=X.session_ticket in extensions,
    )


def server_key(hs: Handshake, config: ClientConfig, suite: Suite12) -> Flow[PeerKey]:
    """RFC 5246 section 7.4.2, RFC 7250: the server's chain, or its raw key, which must be of the suite's kind."""
    key = yield from receive_certificate(hs, config)
    if key is None:
        raise PeerMisbehaved(
            Alert.decode_error, "the server's Certificate is empty", rule="RFC 5246 7.4.2", reason="no_certificate"
        )
    if key.is_rsa != (suite.authentication == "RSA"):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server's key does not fit {suite.name}",
            rule="RFC 5246 7.4.2",
            reason="wrong_certificate_type",
        )
    curve = curve_of(key.public_key)
    if curve is not None and curve not in config.policy.codes.groups:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server's key is on {curve.name}, which we did not offer",
            rule="RFC 8422 5.3",
            reason="wrong_curve",
        )
    if suite.key_exchange == "RSA" and not key.may_encipher:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the server's certificate may not be used for key encipherment",
            rule="RFC 5246 7.4.2",
            reason="key_usage_bit_incorrect",
        )
    return key


def make_exchange(config: ClientConfig, suite: Suite12, hello: ClientHello, key: PeerKey | None) -> Exchange:
    """The suite's key exchange, our side of it."""
    curves = [code for code in hello.extensions.get(X.supported_groups, ()) if code in CURVES]
    match suite.key_exchange:
        case "ECDHE":
            return Ecdhe(curves)
        case "DHE":
            return Dhe()
        case "RSA":
            assert key is not None
            return StaticRsa(config.random, public_key=key.public_key)
        case _:
            return Psk(inner=Ecdhe(curves) if suite.key_exchange == "ECDHE_PSK" else None)


def receive_server_keys(
    hs: Handshake, hellos: Hellos, exchange: Exchange, key: PeerKey | None, hello: ClientHello, stapled: bool
) -> Flow[CertificateRequest12 | None]:
    """CertificateStatus where there is one, ServerKeyExchange, CertificateRequest where the server asks who we are, and
    ServerHelloDone.
    """
    if exchange.ephemeral:
        first: tuple[type[Message], ...] = (ServerKeyExchange,)
    elif hellos.suite.key_exchange == "PSK":  # it may come with a hint of whose key is wanted
        first = (ServerKeyExchange, ServerHelloDone)
    else:
        first = (CertificateRequest12, ServerHelloDone)
    status = (
        (CertificateStatus12,) if stapled and key is not None else ()
    )  # said that it may, not that it does (RFC 6066 section 8)
    message: Message = yield from expect(*status, *first)
    if isinstance(message, CertificateStatus12):
        hs.info.ocsp_response = message.status.response
        message = yield from expect(*first)
    if isinstance(message, ServerKeyExchange):
        check_server_key_exchange(hs, hellos, exchange, key, hello, message.parameters)
        message = (yield from expect(CertificateRequest12, ServerHelloDone)) if key else (yield from expect(ServerHelloDone))
    if not isinstance(message, CertificateRequest12):
        return None
    yield from expect(ServerHelloDone)
    return message


def check_server_key_exchange(
    hs: Handshake, hellos: Hellos, exchange: Exchange, key: PeerKey | None, hello: ClientHello, data: bytes
) -> None:
    """RFC 5246 section 7.4.3: the parameters, and that the certificate's key signed them together with both randoms."""
    end = exchange.receive(data)
    if key is None:
        if end != len(data):
            raise DecodeError("ServerKeyExchange: bytes after the parameters", rule="RFC 4279 2")
        return
    signed = parse(DigitallySigned, data[end:])
    offered = hello.extensions[X.signature_algorithms]
    scheme = check_signature(key, signed.algorithm, signed.signature, hellos.randoms + data[:end], offered)
    hs.info.signature_scheme = scheme.name


def send_certificate(
    hs: Handshake, config: ClientConfig, request: CertificateRequest12
) -> Flow[tuple[Credential, SignatureScheme] | None]:
    """RFC 5246 sections 7.4.4 and 7.4.6: our certificate if the server can verify it; an empty one declines."""
    schemes, authorities = request.supported_signature_algorithms, request.certificate_authorities
    credentials = yield from own_credentials(hs, config, schemes, authorities)
    ours = {each: each for each in credentials if each.schemes12 and kind_of(each) in request.certificate_types}
    if credentials and not ours and not config.may_decline:
        raise PeerIncompatible(
            Alert.handshake_failure,
            "the server takes no client certificates of our keys' kinds",
            rule="RFC 5246 7.4.4",
            reason="unsupported_certificate_type",
        )
    chosen = choose_own(hs, config, ours, schemes, authorities, tls12=True)
    if chosen is None:
        hs.send(Certificate12(()))  # whose bytes say "no raw public key", too
        return None
    show(hs, chosen[0])
    return chosen


def kind_of(credential: Credential) -> ClientCertificateType:
    """RFC 8422 section 5.5: EdDSA's keys count as ECDSA's."""
    return ClientCertificateType.rsa_sign if credential.is_rsa else ClientCertificateType.ecdsa_sign
