"""The server's side of TLS 1.2, top to bottom, from the client's hello on (RFC 5246, figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitls.config import ClientAuth, ServerConfig
from minitls.crypto.suites12 import SUITES_12, Suite12
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.handshake.authenticate import PeerKey, conclude
from minitls.handshake.exchange12 import Dhe, Ecdhe, Exchange, Psk, StaticRsa, key_of, psk_identity
from minitls.handshake.flow import Flow, Handshake, expect, resolve
from minitls.handshake.fragments import answer_limits
from minitls.handshake.negotiate import Choice, choose_alpn, choose_suite12, offered_schemes
from minitls.handshake.raw_keys import answer_types, choose_client_type, is_raw, types_processed
from minitls.handshake.resume import Remembered, context_of, recall, shared_key
from minitls.handshake.resume12 import find_session, make_session, master_of, recall_psk
from minitls.handshake.server13 import answer_name, candidates, choose_among
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
from minitls.info import EarlyDataReason
from minitls.sessions.session import Session
from minitls.wire.codec import Extensions, serialize
from minitls.wire.extensions import UNCOMPRESSED, CertificateStatus
from minitls.wire.hello import DOWNGRADE_TO_12, ClientHello, ServerHello
from minitls.wire.messages import CertificateVerify
from minitls.wire.messages12 import (
    CertificateRequest12,
    CertificateStatus12,
    ClientKeyExchange,
    DigitallySigned,
    NewSessionTicket12,
    ServerHelloDone,
    ServerKeyExchange,
)
from minitls.wire.numbers import CertificateStatusType, CertificateType, ClientCertificateType, ProtocolVersion
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential

EMPTY_RENEGOTIATION_INFO_SCSV = 0x00FF


def handshake(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[None]:
    """Hello; certificate and key exchange; then ChangeCipherSpec and Finished both ways, the first words under keys."""
    check_hello(config, hello)
    hs.info.early_data_reason = EarlyDataReason.protocol_version
    known = yield from find_session(hs, config, hello)
    if known is not None:
        yield from resume(hs, config, hello, known)
        return
    credentials = yield from candidates(hs, config, hello)
    types = types_processed(hello)

    def choose(among: tuple[Credential, ...]) -> Choice:
        return choose_suite12(
            hello.cipher_suites,
            hello.extensions.get(X.supported_groups),
            among,
            hs.info.server_name,
            hello.extensions.get(X.signature_algorithms, ()),
            hello.extensions.get(X.certificate_authorities, ()),
            config.policy,
            psk=config.psk is not None,
            types=types,
        )

    choice = choose_among(config, credentials, hs.info.server_name, choose)
    suite, hs.info.credential = choice.suite, choice.credential
    hs.chosen("cipher_suite", suite.name, "first of the server's that the client offers and a certificate fits")
    hs.speak_tls12(suite.hash_name)
    hs.info.version = str(ProtocolVersion.TLSv1_2)
    hs.info.cipher_suite = suite.name
    give_ticket = config.tickets is not None and X.session_ticket in hello.extensions
    session_id = config.random(32) if config.session_cache is not None and not give_ticket else b""
    client_type = None
    if choice.credential is not None:
        hs.info.server_certificate_type = choice.credential.certificate_type
        client_type = choose_client_type(hs, config, hello)
    asked = client_type is not None and config.client_auth is not ClientAuth.none
    hellos = send_hello(hs, config, hello, suite, choice.credential, session_id, client_type if asked else None, ticket=give_ticket)

    if choice.credential is not None:
        show(hs, choice.credential)
        if X.status_request in hello.extensions and choice.credential.ocsp_response:
            hs.send(CertificateStatus12(CertificateStatus(CertificateStatusType.ocsp, choice.credential.ocsp_response)))
    exchange = make_exchange(config, choice, hello.legacy_version)
    if exchange.ephemeral:
        yield from send_server_key_exchange(hs, hellos, exchange, choice)
    if asked:
        hs.send(certificate_request(hs, config))
    hs.send(ServerHelloDone())

    key = (yield from client_key(hs, config)) if asked else None
    client_key_exchange = yield from expect(ClientKeyExchange)
    if isinstance(exchange, Psk):
        exchange.key = yield from find_psk(config, client_key_exchange.exchange_keys)
        hs.info.psk_identity = psk_identity(client_key_exchange.exchange_keys)
    premaster = exchange.premaster(client_key_exchange.exchange_keys)
    hs.info.group = exchange.group
    master = master_secret(hs, config, hellos, premaster)
    if key is not None:
        proof = yield from expect(CertificateVerify)
        offered = config.policy.all_schemes
        scheme = check_signature(key, proof.algorithm, proof.signature, hs.transcript.messages_before_last(), offered)
        hs.info.client_signature_scheme = scheme.name

    keys = Keys(hellos, master)
    yield from keys.read(hs)
    hs.info.tls_unique = yield from receive_finished(hs, master)
    identity = shared_key(hs.info.psk_identity or b"", exchange.key) if isinstance(exchange, Psk) else b""
    made = make_session(hs, config, hellos, master, context=context_of(config), identity=identity)
    if give_ticket:
        yield from send_ticket(hs, config, made)
    keys.write(hs)
    send_finished(hs, master)
    if session_id and config.session_cache is not None:
        yield from resolve(config.session_cache.put, session_id.hex(), made)


def resume(hs: Handshake, config: ServerConfig, hello: ClientHello, known: Remembered) -> Flow[None]:
    """RFC 5246 figure 2: no certificate and no key exchange; our Finished comes first, and the client's ends the handshake."""
    session = known.session
    suite = SUITES_12[session.cipher_suite]
    hs.chosen("session", "resumed", "the client has one of ours, and all it is bound to is as it was")
    hs.speak_tls12(suite.hash_name)
    hs.info.version = str(ProtocolVersion.TLSv1_2)
    hs.info.cipher_suite = suite.name
    renew = config.tickets is not None and bool(hello.extensions.get(X.session_ticket))
    recall(hs, known, "ticket" if renew else "session_id")
    recall_psk(hs, session)
    hellos = send_hello(hs, config, hello, suite, None, hello.legacy_session_id, ticket=renew)
    master = master_of(session)
    resumed_master(hs, config, hellos, master)
    keys = Keys(hellos, master)
    if renew:
        yield from send_ticket(hs, config, session)
    keys.write(hs)
    hs.info.tls_unique = send_finished(hs, master)
    yield from keys.read(hs)
    yield from receive_finished(hs, master)


def send_ticket(hs: Handshake, config: ServerConfig, session: Session) -> Flow[None]:
    """RFC 5077 section 3.3: the session for the client to keep."""
    assert config.tickets is not None
    left = max(0, round(session.created / 1000 + session.lifetime - config.clock()))
    ticket = yield from resolve(config.tickets.seal, session.to_bytes())
    fits = ticket is not None and len(ticket) < 2**16  # else it stays empty, since it was promised: no key, or a long chain
    hs.send(NewSessionTicket12(left, ticket if fits else b""))


def check_hello(config: ServerConfig, hello: ClientHello) -> None:
    """RFC 5246 section 7.4.1.2, RFC 5746, RFC 7627: what a hello for TLS 1.2 must have, and what none may."""
    extensions = hello.extensions
    if 0 not in hello.legacy_compression_methods:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "ClientHello does not offer the null compression",
            rule="RFC 5246 7.4.1.2",
            reason="invalid_compression_list",
        )
    if UNCOMPRESSED not in extensions.get(X.ec_point_formats, (UNCOMPRESSED,)):
        raise PeerMisbehaved(
            Alert.illegal_parameter, "the client wants compressed points alone", rule="RFC 8422 5.1.2", reason="bad_point_formats"
        )
    if extensions.get(X.renegotiation_info, b""):
        raise PeerMisbehaved(
            Alert.handshake_failure,
            "the client's first hello is about a renegotiation",
            rule="RFC 5746 3.6",
            reason="renegotiation_mismatch",
        )
    if config.policy.secure_tls12 and not _renegotiates_securely(hello):
        raise PeerIncompatible(
            Alert.handshake_failure,
            "the client does not know secure renegotiation",
            rule="RFC 5746 3.6",
            reason="unsafe_legacy_renegotiation",
        )
    if config.policy.secure_tls12 and X.extended_master_secret not in extensions:
        raise PeerIncompatible(
            Alert.handshake_failure,
            "the client does not know the extended master secret",
            rule="RFC 7627 5.3",
            reason="no_extended_master_secret",
        )


def _renegotiates_securely(hello: ClientHello) -> bool:
    return X.renegotiation_info in hello.extensions or EMPTY_RENEGOTIATION_INFO_SCSV in hello.cipher_suites


def send_hello(
    hs: Handshake,
    config: ServerConfig,
    hello: ClientHello,
    suite: Suite12,
    credential: Credential | None,
    session_id: bytes,
    client_type: CertificateType | None = None,
    *,
    ticket: bool,
) -> Hellos:
    """ServerHello, with our answers to the client's extensions."""
    offered = hello.extensions
    random = config.random(32)
    if ProtocolVersion.TLSv1_3 in config.policy.versions:
        random = random[:-8] + DOWNGRADE_TO_12  # RFC 8446 section 4.1.3: we could have done better
    extensions = Extensions()
    extended = X.extended_master_secret in offered
    etm = X.encrypt_then_mac in offered and suite.is_cbc
    hs.info.secure_renegotiation = _renegotiates_securely(hello)
    if hs.info.secure_renegotiation:
        extensions[X.renegotiation_info] = b""
    if extended:
        extensions[X.extended_master_secret] = None
    if etm:
        extensions[X.encrypt_then_mac] = None
    if X.ec_point_formats in offered and suite.key_exchange.startswith("ECDHE"):
        extensions[X.ec_point_formats] = (UNCOMPRESSED,)
    if credential is not None:
        answer_name(hs, extensions, credential)
    protocol = choose_alpn(hello.alpn if X.application_layer_protocol_negotiation in offered else None, config.alpn)
    if protocol is not None:
        extensions[X.application_layer_protocol_negotiation] = (protocol.encode("ascii"),)
    if ticket:
        extensions[X.session_ticket] = None
    if X.status_request in offered and credential is not None and credential.ocsp_response:
        extensions[X.status_request] = None
    if X.signed_certificate_timestamp in offered and credential is not None and credential.scts:
        extensions[X.signed_certificate_timestamp] = credential.scts
    if credential is not None or (hs.info.resumed and hs.info.psk_identity is None):
        answer_types(hs, offered, extensions, client_type)
    hs.limit_fragments(*answer_limits(config, offered, extensions, tls13=False))
    hs.info.alpn_protocol = protocol
    hs.info.extended_master_secret = extended
    hs.send(
        ServerHello(
            legacy_version=ProtocolVersion.TLSv1_2,
            random=random,
            legacy_session_id_echo=session_id,
            cipher_suite=suite.code,
            legacy_compression_method=0,
            extensions=extensions,
        )
    )
    return Hellos(suite, hello.random, random, extended, etm, ticket)


def make_exchange(config: ServerConfig, choice: Choice, offered: int) -> Exchange:
    """The suite's key exchange, our side of it.  ``offered``: ClientHello's version."""
    kind = choice.suite.key_exchange
    curves = () if choice.group is None else (choice.group,)
    match kind:
        case "ECDHE":
            return Ecdhe(curves)
        case "DHE":
            return Dhe(choice.group)
        case "RSA":
            assert choice.credential is not None
            return StaticRsa(config.random, decrypt=choice.credential.decrypt, offered=offered)
        case _:
            return Psk(inner=Ecdhe(curves) if kind == "ECDHE_PSK" else None, hint=config.psk_identity_hint)


def send_server_key_exchange(hs: Handshake, hellos: Hellos, exchange: Exchange, choice: Choice) -> Flow[None]:
    """RFC 5246 section 7.4.3: fresh parameters, signed together with both randoms; a PSK's are not signed."""
    parameters = exchange.parameters()
    if choice.credential is None or choice.scheme is None:
        hs.send(ServerKeyExchange(parameters))
        return
    signature = yield from resolve(choice.credential.sign, choice.scheme, hellos.randoms + parameters)
    hs.info.signature_scheme = choice.scheme.name
    hs.send(ServerKeyExchange(parameters + serialize(DigitallySigned(choice.scheme, signature))))


def certificate_request(hs: Handshake, config: ServerConfig) -> CertificateRequest12:
    """RFC 5246 section 7.4.4: what client certificates we can verify."""
    schemes = offered_schemes(config.policy)
    authorities = config.trust.subjects if config.trust is not None and not is_raw(hs) else ()
    return CertificateRequest12((ClientCertificateType.ecdsa_sign, ClientCertificateType.rsa_sign), schemes, authorities)


def client_key(hs: Handshake, config: ServerConfig) -> Flow[PeerKey | None]:
    """RFC 5246 section 7.4.6: the client's chain or raw key, or none where it may have none."""
    key = yield from receive_certificate(hs, config)
    if key is not None:
        if not is_raw(hs):
            yield from conclude(hs, config)
        return key
    if config.client_auth is ClientAuth.require:
        raise PeerIncompatible(
            Alert.handshake_failure,
            "the client has no certificate, and we require one",
            rule="RFC 5246 7.4.6",
            reason="certificate_required",
        )
    return None


def find_psk(config: ServerConfig, exchange_keys: bytes) -> Flow[bytes]:
    """RFC 4279 section 2: the key of whom the client says it is."""
    assert config.psk is not None
    key = key_of((yield from resolve(config.psk, psk_identity(exchange_keys))))
    if key is None:
        raise PeerIncompatible(
            Alert.unknown_psk_identity,
            "nobody here knows the client's PSK identity",
            rule="RFC 4279 2",
            reason="unknown_psk_identity",
        )
    return key
