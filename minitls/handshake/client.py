"""The client's beginning: what it offers, and which version's handshake the answer leads into (RFC 8446 section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from minitls.config import ClientConfig
from minitls.crypto.groups import GROUPS, KeyShare
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.handshake import client13
from minitls.handshake.flow import Flow, Handshake, expect
from minitls.handshake.negotiate import offered_schemes
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry, ServerName
from minitls.wire.hello import DOWNGRADE_TO_11, DOWNGRADE_TO_12, ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion


@dataclass(frozen=True, slots=True)
class Offer:
    """A ClientHello, and the private halves of its key shares."""

    hello: ClientHello
    shares: tuple[KeyShare, ...]


def client_handshake(hs: Handshake, config: ClientConfig) -> Flow[None]:
    """The client's side, whatever version it will be."""
    offer = make_offer(config, hs.info.server_name)
    hs.send(offer.hello)
    answer = yield from expect(ServerHello, HelloRetryRequest)
    hs.info.timing.hello_answered = config.clock()
    check_version(offer.hello, answer)
    yield from client13.handshake(hs, config, offer, answer)


def make_offer(config: ClientConfig, server_name: str | None) -> Offer:
    """The first ClientHello (section 4.1.2).  ``server_name``: a host name; addresses are not sent (RFC 6066 section 3)."""
    from minitls.certificates.names import is_address

    policy, random = config.policy, config.random
    grease = iter(_grease(random) if config.grease else ())
    greased = tuple(grease)
    shares = make_shares(tuple(int(code) for code in policy.key_shares or ()))
    entries = [KeyShareEntry(share.group.code, share.public) for share in shares]
    assert policy.certificate_signature_schemes is not None
    schemes = offered_schemes(policy)
    extensions = Extensions()
    if greased:
        extensions[greased[3]] = b""
    if server_name is not None and not is_address(server_name):
        extensions[X.server_name] = (ServerName(0, server_name.encode("ascii")),)
    extensions[X.supported_groups] = (*greased[1:2], *map(int, policy.groups))
    extensions[X.signature_algorithms] = schemes
    if set(schemes) != set(policy.certificate_signature_schemes):
        extensions[X.signature_algorithms_cert] = tuple(map(int, policy.certificate_signature_schemes))
    if config.alpn:
        extensions[X.application_layer_protocol_negotiation] = tuple(name.encode("ascii") for name in config.alpn)
    extensions[X.supported_versions] = (*greased[2:3], *map(int, policy.versions))
    if config.send_certificate_authorities and config.trust is not None:
        extensions[X.certificate_authorities] = config.trust.subjects
    extensions[X.key_share] = (*(KeyShareEntry(code, b"\0") for code in greased[1:2]), *entries)
    if greased:
        extensions[greased[4]] = b"\0"
    hello = ClientHello(
        legacy_version=ProtocolVersion.TLSv1_2,
        random=random(32),
        legacy_session_id=random(32),  # not empty: middlebox compatibility mode (appendix D.4)
        cipher_suites=(*greased[:1], *map(int, policy.cipher_suites)),
        legacy_compression_methods=b"\0",
        extensions=extensions,
    )
    return Offer(hello, shares)


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


def _grease(random: object) -> tuple[int, ...]:
    """RFC 8701 section 3.1: values for a cipher suite, a group, a version and two different extensions."""
    assert callable(random)
    picked = [byte >> 4 for byte in random(5)]
    if picked[3] == picked[4]:
        picked[4] ^= 1
    return tuple(nibble << 12 | 0x0A00 | nibble << 4 | 0x000A for nibble in picked)


def check_version(hello: ClientHello, answer: ServerHello | HelloRetryRequest) -> None:
    """Section 4.2.1: the version that the server chose is one that we offered, and no downgrade (section 4.1.3)."""
    chosen = answer.extensions.get(X.supported_versions)
    offered = hello.extensions[X.supported_versions]
    if chosen is not None:
        if chosen != ProtocolVersion.TLSv1_3 or chosen not in offered:
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                f"the server chose the version 0x{chosen:04x} in supported_versions",
                rule="RFC 8446 4.2.1",
                reason="wrong_version",
            )
        return
    if answer.random[-8:] in (DOWNGRADE_TO_12, DOWNGRADE_TO_11):
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
    version = {v.value: str(v) for v in ProtocolVersion}.get(answer.legacy_version, f"version 0x{answer.legacy_version:04x}")
    raise PeerIncompatible(
        Alert.protocol_version,
        f"the server speaks {version} only, and we want TLSv1.3",
        rule="RFC 8446 4.2.1",
        reason="unsupported_protocol",
    )
