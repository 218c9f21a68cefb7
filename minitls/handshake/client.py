"""The client's beginning: what it offers, and which version's handshake the answer leads into (RFC 8446 section 4.1)."""

from __future__ import annotations

from collections.abc import Callable

from minitls.config import ClientConfig
from minitls.crypto.groups import GROUPS, KeyShare
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import PSK_SUITES
from minitls.data import dataclass
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.handshake import client13, delegation, early_data, resume13
from minitls.handshake.compression import asked_for
from minitls.handshake.flow import Flow, Handshake, expect, resolve
from minitls.handshake.fragments import offer_limits
from minitls.handshake.negotiate import offered_schemes
from minitls.handshake.psk import Psk, external_psks, of_session, offer_psks, send_bound
from minitls.handshake.raw_keys import offer_types
from minitls.handshake.resume import Remembered, is_bound_to, remembered
from minitls.sessions.session import Session
from minitls.wire.codec import Extensions
from minitls.wire.extensions import UNCOMPRESSED, CertificateStatusRequest, KeyShareEntry, ServerName, TicketRequest
from minitls.wire.hello import DOWNGRADE_TO_11, DOWNGRADE_TO_12, FALLBACK_SCSV, ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.numbers import GREASE, CertificateStatusType, ProtocolVersion
from minitls.wire.numbers import ExtensionType as X


@dataclass(frozen=True, slots=True)
class Offer:
    """A ClientHello, the private halves of its key shares, the session that it wants to resume, and its PSKs."""

    hello: ClientHello
    shares: tuple[KeyShare, ...]
    remembered: Remembered | None = None
    psks: tuple[Psk, ...] = ()

    @property
    def has_early_data(self) -> bool:
        return X.early_data in self.hello.extensions


def client_handshake(hs: Handshake, config: ClientConfig) -> Flow[None]:
    """The client's side, whatever version it will be."""
    external = yield from external_psks(config)
    known = yield from resumable(hs, config, external)
    hs.info.early_data_reason = why_not = early_data.obstacle(config, known, hs.early_data)
    offer = make_offer(config, hs.info.server_name, known, external, early_data=why_not is None)
    send_bound(hs, offer.hello, offer.psks)
    if offer.has_early_data:
        early_data.send(hs, offer)
    answer = yield from expect(ServerHello, HelloRetryRequest)
    hs.info.timing.hello_answered = config.clock()
    if check_version(offer.hello, answer) == ProtocolVersion.TLSv1_3:
        yield from client13.handshake(hs, config, offer, answer)
    else:
        from minitls.handshake import client12  # TLS 1.2 is imported where somebody speaks it

        assert isinstance(answer, ServerHello)
        yield from client12.handshake(hs, config, offer, answer)


def resumable(hs: Handshake, config: ClientConfig, external: tuple[Psk, ...]) -> Flow[Remembered | None]:
    """The session to offer: kept under this server's name, all it is bound to as it was, its certificates still good."""
    store = config.session_store
    if store is None:
        return None
    session = yield from resolve(store.take, hs.info.session_key)
    if (
        session is None
        or session.version not in config.policy.versions
        or not is_bound_to(session, hs.info.server_name)
        or not session.alive(config.clock())
        or not (yield from offerable(config, session, external))
    ):
        return None
    known = yield from remembered(config, session, hs.info.server_name)
    if known is not None and session.version != ProtocolVersion.TLSv1_3:
        yield from resolve(store.put, hs.info.session_key, session)  # TLS 1.2's may be used again
    return known


def offerable(config: ClientConfig, session: Session, external: tuple[Psk, ...]) -> Flow[bool]:
    """Whether the policy still has what the session is made with, and we are who we were."""
    if session.version == ProtocolVersion.TLSv1_3:
        return resume13.offerable(config, session, external)
    from minitls.handshake import resume12

    return (yield from resume12.offerable(config, session))


def make_offer(
    config: ClientConfig,
    server_name: str | None,
    known: Remembered | None = None,
    external: tuple[Psk, ...] = (),
    *,
    early_data: bool = False,
) -> Offer:
    """The first ClientHello (section 4.1.2), its binders still to come.

    ``server_name``: a host name; addresses are not sent (RFC 6066 section 3).  ``early_data``: some goes with it.
    """
    from minitls.certificates.names import is_address

    policy, codes, random = config.policy, config.policy.codes, config.random
    greased = _grease(random(6)) if config.grease else ()
    certificates = not config.psk_required
    versions = codes.versions if certificates else versions_for(codes.versions, external)
    tls13, tls12 = ProtocolVersion.TLSv1_3 in versions, ProtocolVersion.TLSv1_2 in versions
    session = known.session if known is not None and known.session.version == ProtocolVersion.TLSv1_2 else None
    psks = (of_session(known.session.ticket, known), *external) if known is not None and session is None else external
    shares = make_shares(codes.key_shares)
    suites = codes.without_psk if config.psk is None else codes.cipher_suites
    if not certificates:
        suites = tuple(code for code in suites if code in SUITES or (tls12 and code in PSK_SUITES))
    extensions = Extensions()
    if greased:
        extensions[greased[3]] = b""
    if server_name is not None and not is_address(server_name):
        extensions[X.server_name] = (ServerName(0, server_name.encode("ascii")),)
    extensions[X.supported_groups] = (*greased[1:2], *codes.groups)
    if certificates:
        extensions[X.signature_algorithms] = (*greased[5:], *offered_schemes(policy))
    if certificates and policy.schemes_differ:
        extensions[X.signature_algorithms_cert] = tuple(map(int, policy.certificate_signature_schemes or ()))
    if config.alpn:
        extensions[X.application_layer_protocol_negotiation] = tuple(name.encode("ascii") for name in config.alpn)
    if tls12:
        extensions[X.ec_point_formats] = (UNCOMPRESSED,)
        extensions[X.extended_master_secret] = None
        extensions[X.renegotiation_info] = b""
        if config.session_store is not None and config.session_tickets:
            extensions[X.session_ticket] = session.ticket if session is not None else b""
        if codes.cbc:
            extensions[X.encrypt_then_mac] = None
    if certificates and config.request_staples:
        extensions[X.status_request] = CertificateStatusRequest(CertificateStatusType.ocsp, b"", b"")
    if certificates and (config.request_staples or config.logs is not None):
        extensions[X.signed_certificate_timestamp] = None
    offer_limits(config, extensions)
    if certificates and config.send_certificate_authorities and config.trust is not None:
        extensions[X.certificate_authorities] = config.trust.subjects
    if certificates:
        offer_types(config, extensions)
    if tls13:
        extensions[X.supported_versions] = (*greased[2:3], *versions)
        meaningless = [KeyShareEntry(code, b"\0") for code in greased[1:2]]
        extensions[X.key_share] = (*meaningless, *(KeyShareEntry(share.group.code, share.public) for share in shares))
        if config.session_store is not None or psks:
            extensions[X.psk_key_exchange_modes] = codes.psk_key_exchange_modes
        if certificates and (compression := asked_for(config)):
            extensions[X.compress_certificate] = compression
        if certificates and (schemes_delegated := delegation.asked_for(config)):
            extensions[X.delegated_credential] = schemes_delegated
        if config.tickets_wanted is not None:
            extensions[X.ticket_request] = TicketRequest(*config.tickets_wanted)
        if certificates and config.post_handshake_auth:
            extensions[X.post_handshake_auth] = None
        if early_data:
            extensions[X.early_data] = None
    if greased:
        extensions[greased[4]] = b"\0"
    if config.permute_extensions:
        extensions = permuted(extensions, random)
    offer_psks(extensions, psks, config.clock())
    session_id = random(32) if tls13 or session is not None else b""  # middlebox compatibility mode (appendix D.4)
    if session is not None and session.session_id:
        session_id = session.session_id
    hello = ClientHello(
        legacy_version=ProtocolVersion.TLSv1_2,
        random=random(32),
        legacy_session_id=session_id,
        cipher_suites=(*greased[:1], *suites, *((FALLBACK_SCSV,) if config.fallback_scsv else ())),
        legacy_compression_methods=b"\0",
        extensions=extensions,
    )
    return Offer(hello, shares, known, psks)


def versions_for(versions: tuple[int, ...], external: tuple[Psk, ...]) -> tuple[int, ...]:
    """Those that a client speaks which has keys alone: an imported one is for TLS 1.3 (RFC 9258 section 7)."""
    if external and all(psk.external is not None and psk.external.imported for psk in external):
        return (ProtocolVersion.TLSv1_3,)
    return versions


def make_shares(groups: tuple[int, ...]) -> tuple[KeyShare, ...]:
    """A fresh key for each group; a hybrid's classical half serves as that group's own share (RFC 9954 section 3.1)."""
    made: dict[int, KeyShare] = {}
    for code in groups:
        if code in made:
            continue
        share = made[code] = GROUPS[code].generate()
        half = share.classical
        if half is not None and half.group.code in groups:
            made[half.group.code] = half
    return tuple(made[code] for code in groups)


def permuted(extensions: Extensions, random: Callable[[int], bytes]) -> Extensions:
    """The same in any order, as section 4.2 allows; pre_shared_key is not among them yet, which must come last."""
    places = sorted((random(4), kind) for kind in extensions)
    return Extensions((kind, extensions[kind]) for _, kind in places)


def _grease(random: bytes) -> tuple[int, ...]:
    """RFC 8701 section 3.1: values for a cipher suite, a group, a version, two different extensions and a signature scheme."""
    picked = [byte >> 4 for byte in random]
    if picked[3] == picked[4]:
        picked[4] ^= 1
    return tuple([GREASE[nibble] for nibble in picked])


def check_version(hello: ClientHello, answer: ServerHello | HelloRetryRequest) -> ProtocolVersion:
    """Section 4.2.1: the version that the server chose is one that we offered, and no downgrade (section 4.1.3)."""
    chosen = answer.extensions.get(X.supported_versions)
    offered = hello.versions
    if chosen is not None:
        if chosen != ProtocolVersion.TLSv1_3 or chosen not in offered:
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                f"the server chose the version 0x{chosen:04x} in supported_versions",
                rule="RFC 8446 4.2.1",
                reason="wrong_version",
            )
        return ProtocolVersion.TLSv1_3
    if ProtocolVersion.TLSv1_3 in offered and answer.random[-8:] in (DOWNGRADE_TO_12, DOWNGRADE_TO_11):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "somebody between us and the server took TLS 1.3 out of our offer: the server says that it has it",
            rule="RFC 8446 4.1.3",
            reason="tls13_downgrade",
        )
    if isinstance(answer, HelloRetryRequest):
        raise PeerMisbehaved(
            Alert.missing_extension,
            "HelloRetryRequest without supported_versions",
            rule="RFC 8446 4.1.4",
            reason="missing_extension",
        )
    if X.early_data in hello.extensions:
        raise PeerIncompatible(
            Alert.protocol_version,
            "the server has forgotten TLS 1.3 since it gave us a ticket: what we sent with the hello means nothing to it",
            rule="RFC 8446 D.3",
            reason="wrong_version_on_early_data",
        )
    if answer.legacy_version == ProtocolVersion.TLSv1_2 and ProtocolVersion.TLSv1_2 in offered:
        return ProtocolVersion.TLSv1_2
    version = {v.value: str(v) for v in ProtocolVersion}.get(answer.legacy_version, f"version 0x{answer.legacy_version:04x}")
    raise PeerIncompatible(
        Alert.protocol_version,
        f"the server speaks {version}, which we did not offer",
        rule="RFC 8446 4.2.1",
        reason="unsupported_protocol",
    )
