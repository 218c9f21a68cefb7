"""What two sides agree on: pure functions, each giving its choice and the reason in words.

The server decides (RFC 8446 section 4.1.1); :func:`negotiate` asks the same functions offline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.groups import CURVES, FIELDS, GROUPS, Group
from minitls.crypto.signatures import SCHEMES
from minitls.crypto.suites import SUITES, Suite
from minitls.crypto.suites12 import SUITES_12, Suite12
from minitls.data import dataclass
from minitls.errors import Alert, PeerIncompatible
from minitls.handshake.raw_keys import X509_ALONE, accepted_types
from minitls.policy import Policy
from minitls.wire.names import Name
from minitls.wire.numbers import CertificateType, CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, name_of

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential
    from minitls.handshake.psk import Psk

V = TypeVar("V")
SHOWN = 16
"""How many of a peer's values an error names."""


def choose_version(offered: Sequence[int], policy: Policy) -> ProtocolVersion:
    """The best of ours that the client offers (RFC 8446 section 4.2.1).  Raises protocol_version."""
    for version in policy.versions:
        if version in offered:
            return ProtocolVersion(int(version))
    theirs = ", ".join(name_of(ProtocolVersion, v).replace("_", ".") for v in offered if v in ProtocolVersion.__members__.values())
    raise PeerIncompatible(
        Alert.protocol_version,
        f"no common version: the client offers {theirs or 'none that we know'}, we have {', '.join(map(str, policy.versions))}",
        rule="RFC 8446 4.2.1",
        reason="unsupported_protocol",
    )


def common_of(ours: Sequence[int], offered: Sequence[int], equal: Sequence[Sequence[Name]]) -> list[int]:
    """What both have in our order, and among equals, which stand where the first of them does, in the client's."""
    common = [code for code in ours if code in offered]
    if equal:
        place = {code: at for at, code in enumerate(ours)}
        for each in equal:
            tied = [int(code) for code in each if code in place]
            place.update(dict.fromkeys(tied, min((place[code] for code in tied), default=0)))
        common.sort(key=lambda code: (place[code], offered.index(code)))
    return common


def common_suites(offered: Sequence[int], policy: Policy) -> list[Suite]:
    """TLS 1.3's suites that both have, best first."""
    return [SUITES[code] for code in common_of(policy.codes.cipher_suites, offered, policy.equal_suites) if code in SUITES]


def choose_cipher_suite(offered: Sequence[int], policy: Policy, psk: Psk | None = None) -> tuple[Suite, str]:
    """The session's, or the first of ours that the client offers and the PSK fits (RFC 8446 section 4.1.1).  Raises
    handshake_failure.
    """
    common = common_suites(offered, policy)
    if psk is not None:
        common = [suite for suite in common if suite.hash_name == psk.hash_name]
        before = psk.known.session.cipher_suite if psk.known is not None else None
        for suite in common:
            if suite.code == before:
                return suite, "the session's"
    for suite in common:
        return suite, "first of the server's that the client offers"
    raise PeerIncompatible(
        Alert.handshake_failure,
        f"no common cipher suite: the client offers {_names(CipherSuite, offered)}",
        rule="RFC 8446 4.1.1",
        reason="no_shared_cipher",
    )


def choose_group(offered: Sequence[int], shared: Sequence[int], policy: Policy) -> tuple[Group, bool, str]:
    """The group, whether the client must be asked for a share in it, and why (RFC 8446 section 4.1.1).  Raises handshake_failure.

    ``offered``: supported_groups; ``shared``: the groups with a share in the hello.
    """
    common = common_of(policy.codes.groups, offered, policy.equal_groups)
    if not common:
        raise PeerIncompatible(
            Alert.handshake_failure,
            f"no common group: the client offers {_names(NamedGroup, offered)}",
            rule="RFC 8446 4.1.1",
            reason="no_shared_group",
        )
    hybrid = [code for code in common if GROUPS[code].post_quantum]
    candidates = hybrid if hybrid and policy.prefer_post_quantum else common
    for code in candidates:
        if code in shared:
            return GROUPS[code], False, "first of the server's that the client sent a share for"
    why = "post-quantum, and the client has it" if candidates is hybrid else "first of the server's that the client has"
    return GROUPS[candidates[0]], True, f"{why}, but sent no share for: asked again"


def offered_schemes(policy: Policy) -> tuple[int, ...]:
    """What signature_algorithms has: the handshake's schemes, and those that can sign certificates only.

    They stand there too because not every peer reads signature_algorithms_cert (RFC 8446 section 4.2.3).  What clients alone sign
    with stands in TLS 1.3's CertificateRequest alone (RFC 9963 section 3).
    """
    return policy.schemes_for_all


def choose_signature_scheme(schemes: Sequence[SignatureScheme], offered: Sequence[int], policy: Policy) -> SignatureScheme | None:
    """The first of a credential's schemes that we may use and that the peer accepts, or None (RFC 8446 section 4.4.2.2)."""
    ours = policy.may_sign
    return next((scheme for scheme in schemes if scheme in offered and scheme in ours), None)


def of_types(credentials: Sequence[Credential], types: Sequence[int]) -> Sequence[Credential]:
    """The credentials that the peer can process.  Raises unsupported_certificate where that is none of ours."""
    fitting = [credential for credential in credentials if credential.certificate_type in types]
    if credentials and not fitting:
        raise PeerIncompatible(
            Alert.unsupported_certificate,
            f"no common type of certificates: the peer accepts {_names(CertificateType, types)}",
            rule="RFC 7250 4.2",
            reason="unsupported_certificate_type",
        )
    return fitting


def is_for(credential: Credential, authorities: Sequence[bytes]) -> bool:
    """Whether a peer that names these may see it (RFC 8446 section 4.2.4)."""
    return not credential.must_match_issuer or credential.issued_by(authorities)


def no_matching_issuer() -> PeerIncompatible:
    return PeerIncompatible(
        Alert.handshake_failure,
        "no certificate by an authority that the peer names, and ours are for no others",
        rule="RFC 8446 4.4.2.2",
        reason="no_matching_issuer",
    )


def choose_credential(
    credentials: Sequence[Credential],
    server_name: str | None,
    offered: Sequence[int],
    authorities: Sequence[bytes],
    policy: Policy,
    *,
    in_certificates: Sequence[int] | None = None,
    types: Sequence[int] = X509_ALONE,
    tls12: bool = False,
) -> tuple[Credential, SignatureScheme, str]:
    """A credential and the scheme to prove it with (RFC 8446 section 4.4.2.2).  Raises handshake_failure, unsupported_certificate.

    ``types``: what the peer can process (RFC 7250 section 4.2).  Of those whose key it can verify, the first decides of what type.
    Among these: one for its name, else any; among these, one whose whole chain it can verify (by its signature_algorithms_cert,
    ``in_certificates``), else any; then one issued by who it trusts, else any; then our order.
    """
    usable = [
        (credential, scheme)
        for credential in of_types(credentials, types)
        if (scheme := choose_signature_scheme(credential.schemes12 if tls12 else credential.schemes, offered, policy)) is not None
    ]
    if not usable:
        raise PeerIncompatible(
            Alert.handshake_failure,
            f"no certificate whose key the peer can verify: it accepts {_names(SignatureScheme, offered)}",
            rule="RFC 8446 4.4.2.2",
            reason="no_common_signature_algorithms",
        )
    usable = [pair for pair in usable if is_for(pair[0], authorities)]
    if not usable:
        raise no_matching_issuer()
    usable = [pair for pair in usable if pair[0].certificate_type == usable[0][0].certificate_type]
    why = "the default"
    named = [pair for pair in usable if server_name and pair[0].matches(server_name)]
    if named:
        usable, why = named, f"for the name {server_name}"
    elif server_name:
        why = f"the default: none is for the name {server_name}"
    accepted = offered if in_certificates is None else in_certificates
    usable = [pair for pair in usable if pair[0].signed_within(accepted)] or usable if len(usable) > 1 else usable
    trusted = [pair for pair in usable if authorities and pair[0].issued_by(authorities)]
    if trusted:
        usable, why = trusted, f"{why}, by an authority that the peer names"
    return *usable[0], why


@dataclass(frozen=True, slots=True)
class Choice:
    """A suite, and who proves it with which signature; None for a PSK's.  ``group``: of an ephemeral exchange."""

    suite: Suite12
    credential: Credential | None
    scheme: SignatureScheme | None
    group: int | None


def choose_suite12(
    offered: Sequence[int],
    groups: Sequence[int] | None,
    credentials: Sequence[Credential],
    server_name: str | None,
    schemes: Sequence[int],
    authorities: Sequence[bytes],
    policy: Policy,
    *,
    psk: bool,
    types: Sequence[int] = X509_ALONE,
) -> Choice:
    """TLS 1.2's suite, with all it takes: a certificate and a group that fit (RFC 5246 section 7.4.1.3).  Raises handshake_failure.

    ``groups``: the client's supported_groups, None if it sent none (RFC 8422 section 4, RFC 7919 section 4); ``psk``: whether we
    have keys to share; ``types``: of certificates that it can process.
    """
    if not psk:
        credentials = of_types(credentials, types)
    ours = policy.codes.groups
    curves = [code for code in common_of(ours, ours if groups is None else groups, policy.equal_groups) if code in CURVES]
    fields = [code for code in ours if code in FIELDS]
    fields = [code for code in fields if groups is None or code in groups] or fields
    on_curve = [each for each in credentials if groups is None or each.curve is None or each.curve in groups]
    if credentials and not on_curve and not psk:
        raise PeerIncompatible(
            Alert.handshake_failure,
            f"no certificate whose key is on a curve of the client's: it has {_names(NamedGroup, groups or ())}",
            rule="RFC 8422 5.3",
            reason="wrong_curve",
        )
    eligible = [credential for credential in on_curve if is_for(credential, authorities)]
    if on_curve and not eligible and not psk:
        raise no_matching_issuer()
    named = [each for each in eligible if each.matches(server_name) or each.certificate_type is CertificateType.RawPublicKey]
    for pool in (named, eligible):  # a suite that fits a certificate for the name, before one that fits another
        for code in common_of(policy.codes.cipher_suites, offered, policy.equal_suites):
            suite = SUITES_12.get(code)
            if suite is None:
                continue
            candidates = {"ECDHE": curves, "ECDHE_PSK": curves, "DHE": fields}.get(suite.key_exchange)
            if candidates == []:
                continue
            group = candidates[0] if candidates else None
            if suite.authentication == "PSK":
                if psk:
                    return Choice(suite, None, None, group)
                continue
            encrypted = suite.key_exchange == "RSA"  # nothing is signed, so no scheme has to fit
            fitting = [c for c in pool if c.is_rsa == (suite.authentication == "RSA") and (c.can_decrypt or not encrypted)]
            accepted = tuple(SCHEMES) if encrypted else schemes
            try:
                credential, scheme, _ = choose_credential(
                    fitting, server_name, accepted, authorities, policy, types=types, tls12=True
                )
            except PeerIncompatible:
                continue
            return Choice(suite, credential, scheme, group)
    raise PeerIncompatible(
        Alert.handshake_failure,
        f"no common cipher suite that a certificate and a group of ours fit: the client offers {_names(CipherSuite, offered)}",
        rule="RFC 5246 7.4.1.3",
        reason="no_shared_cipher",
    )


def choose_alpn(offered: Sequence[str] | None, ours: Sequence[str]) -> str | None:
    """The first of the server's protocols that the client offers; None where either side has none (RFC 7301 section 3.2)."""
    if offered is None or not ours:
        return None
    for protocol in ours:
        if protocol in offered:
            return protocol
    raise PeerIncompatible(
        Alert.no_application_protocol,
        f"no common application protocol: the client offers {_some(offered, repr)}, we have {_some(ours, repr)}",
        rule="RFC 7301 3.2",
        reason="no_application_protocol",
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two configurations come to, and why: ``reasons`` has a sentence for each choice."""

    version: str
    cipher_suite: str
    group: str | None
    signature_scheme: str | None
    alpn_protocol: str | None
    hello_retry: bool
    reasons: tuple[str, ...]


def negotiate(client: ClientConfig, server: ServerConfig, server_name: str | None = None) -> Agreement:
    """What these two would agree on, without a handshake.  Raises PeerIncompatible, which says why not.

    Looks at policies, ALPN and ``server.credentials``; what a ``select_credential`` callback would answer cannot be known.
    """
    ours, theirs = client.policy, server.policy
    version = choose_version([int(v) for v in ours.versions], theirs)
    suites, groups = [int(c) for c in ours.cipher_suites], [int(g) for g in ours.groups]
    accepted = offered_schemes(ours)
    if version != ProtocolVersion.TLSv1_3:
        psk = server.psk is not None and client.psk is not None
        types = accepted_types(client)
        choice = choose_suite12(suites, groups, server.credentials, server_name, accepted, (), theirs, psk=psk, types=types)
        protocol = choose_alpn(client.alpn or None, server.alpn)
        why = f"{choice.suite.name}: first of the server's that the client offers and a certificate and group fit"
        group12 = None if choice.group is None else GROUPS[choice.group].name
        scheme12 = choice.scheme.name if choice.scheme is not None and choice.suite.key_exchange != "RSA" else None
        return Agreement(str(version), choice.suite.name, group12, scheme12, protocol, False, (why,))
    protocol = choose_alpn(client.alpn or None, server.alpn)
    suite, suite_why = choose_cipher_suite(suites, theirs)
    group, retry, group_why = choose_group(groups, [int(g) for g in ours.key_shares or ()], theirs)
    types = accepted_types(client)
    _, scheme, credential_why = choose_credential(server.credentials, server_name, accepted, (), theirs, types=types)
    return Agreement(
        str(version),
        suite.name,
        group.name,
        scheme.name,
        protocol,
        retry,
        (
            f"{suite.name}: {suite_why}",
            f"{group.name}: {group_why}",
            f"{scheme.name}: the certificate's key; {credential_why}",
        ),
    )


def _names(registry: type[CipherSuite | NamedGroup | SignatureScheme | CertificateType], codes: Sequence[int]) -> str:
    return _some(codes, lambda code: name_of(registry, code))


def _some(values: Sequence[V], show: Callable[[V], str]) -> str:
    """The first of them: a hello has room for tens of thousands, an error for a sentence."""
    more = [f"{len(values) - SHOWN} more"] if len(values) > SHOWN else []
    return ", ".join([*map(show, values[:SHOWN]), *more]) or "nothing"
