"""Raw public keys (RFC 7250): which of the two kinds of certificate each side will show.

The client says what it can process and what it can show, each best first, where that is more than X.509; the server chooses
both by its own order, in EncryptedExtensions (RFC 8446 section 4.4.2) or in TLS 1.2's ServerHello.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from minitls.config import ClientAuth, ClientConfig, Danger, PeerCertificates, ServerConfig
from minitls.errors import Alert, CertificateError, PeerIncompatible, PeerMisbehaved
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.wire.codec import Extensions
from minitls.wire.hello import ClientHello
from minitls.wire.messages import Certificate
from minitls.wire.numbers import CertificateType, name_of
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.certificates.spki import SubjectKey

X509, RAW = CertificateType.X509, CertificateType.RawPublicKey
X509_ALONE: tuple[CertificateType, ...] = (X509,)
"""What it means that an extension is not there (RFC 7250 section 4.1)."""


def accepted_types(config: ClientConfig | ServerConfig) -> tuple[CertificateType, ...]:
    """What a peer may show us, best first."""
    if config.accepted_certificate_types is not None:
        return cast("tuple[CertificateType, ...]", config.accepted_certificate_types)
    if not config.trusted_keys:
        return X509_ALONE
    return (RAW,) if config.trust is None and config.verify is not Danger.accept_any_certificate else (RAW, X509)


def check_certificates_wanted(config: ClientConfig | ServerConfig, chain: Sequence[bytes]) -> None:
    """Who takes raw public keys alone trusts no certificates, the system's neither.  Raises CertificateError."""
    if X509 not in accepted_types(config):
        raise CertificateError(
            Alert.unsupported_certificate,
            "the peer shows an X.509 certificate, and we take raw public keys alone",
            rule="RFC 7250 4.2",
            reason="unsupported_certificate_type",
            remedy="give trust=, whose certificates are believed, beside trusted_keys",
            chain=chain,
        )


def is_raw(hs: Handshake) -> bool:
    """Whether the peer's Certificate holds a raw public key."""
    info = hs.info
    return RAW is (info.server_certificate_type if info.role == "client" else info.client_certificate_type)


# the client -------------------------------------------------------------------------------------------------------------


def shown_types(config: ClientConfig) -> tuple[CertificateType, ...]:
    """What we can show, best first."""
    if config.offered_certificate_types is not None:
        return cast("tuple[CertificateType, ...]", config.offered_certificate_types)
    ours = config.own_credentials
    return tuple(dict.fromkeys(each.certificate_type for each in ours)) if ours else ()


def offer_types(config: ClientConfig, extensions: Extensions) -> None:
    """Section 4.1: what we can process and what we can show; X.509 alone is not worth a word."""
    if (theirs := accepted_types(config)) != X509_ALONE:
        extensions[X.server_certificate_type] = tuple(map(int, theirs))
    if (ours := shown_types(config)) not in ((), (X509,)):
        extensions[X.client_certificate_type] = tuple(map(int, ours))


def take_answer(hs: Handshake, hello: ClientHello, answer: Extensions) -> None:
    """Section 4.2: the types that the server chose of those that we offered."""
    for kind in (X.server_certificate_type, X.client_certificate_type):
        chosen = answer.get(kind)
        if chosen is None:
            continue
        if chosen not in hello.extensions[kind]:
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                f"the server chose the {kind.name} {name_of(CertificateType, chosen)}, which we did not offer",
                rule="RFC 7250 4.2",
                reason="wrong_certificate_type",
            )
        setattr(hs.info, kind.name, CertificateType(chosen))


# the server -------------------------------------------------------------------------------------------------------------


def choose_client_type(hs: Handshake, config: ServerConfig, hello: ClientHello) -> CertificateType | None:
    """Section 4.2: what the client shall show, the first of ours that it has; None where we do not ask, now or later.

    Raises unsupported_certificate where there is nothing in common, but it need not show anything, and one of us knows nothing
    of these types: then it is not asked, and is as one that declines.
    """
    check_offer(hello, X.client_certificate_type)
    later = config.post_handshake_auth and X.post_handshake_auth in hello.extensions
    if config.client_auth is ClientAuth.none and not later:
        return None
    offered, accepted = hello.extensions.get(X.client_certificate_type), accepted_types(config)
    found = next((kind for kind in accepted if kind in (offered or X509_ALONE)), None)
    both_know = offered is not None and RAW in accepted
    if found is None and (config.client_auth is ClientAuth.require or both_know):
        theirs, ours = (", ".join(name_of(CertificateType, kind) for kind in kinds) for kinds in (offered or X509_ALONE, accepted))
        raise PeerIncompatible(
            Alert.unsupported_certificate,
            f"no common type of client certificates: the client has {theirs}, we accept {ours}",
            rule="RFC 7250 4.2",
            reason="unsupported_certificate_type",
        )
    if found is not None:
        hs.info.client_certificate_type = found
    return found


def check_offer(hello: ClientHello, kind: X) -> None:
    """Section 4.1: a client that has X.509 alone sends no such extension."""
    if hello.extensions.get(kind) == X509_ALONE:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the client's {kind.name} says what every client means without it: X.509 alone",
            rule="RFC 7250 4.1",
            reason="needless_certificate_types",
        )


def types_processed(hello: ClientHello) -> Sequence[int]:
    """Section 4.1: what the client takes for a server's certificate."""
    check_offer(hello, X.server_certificate_type)
    types: Sequence[int] = hello.extensions.get(X.server_certificate_type, X509_ALONE)
    return types


def answer_types(hs: Handshake, offered: Extensions, extensions: Extensions, clients: CertificateType | None) -> None:
    """Section 4.2: what we show, or did in the session that is resumed, and what the client shall if we ask."""
    if X.server_certificate_type in offered:
        extensions[X.server_certificate_type] = int(hs.info.server_certificate_type)
    if X.client_certificate_type in offered and clients is not None:
        extensions[X.client_certificate_type] = int(clients)


# either -----------------------------------------------------------------------------------------------------------------


def verify_key(hs: Handshake, config: ClientConfig | ServerConfig, spki: bytes) -> Flow[SubjectKey]:
    """A peer's key is one that we trust, and the application has nothing against it.  Raises CertificateError."""
    from minitls.certificates.raw import fingerprint

    subject = yield from believe(config, spki, hs.info.server_name)
    hs.info.peer_public_key = spki
    hs.chosen("peer_public_key", fingerprint(spki), "one of those that we trust")
    return subject


def verify_entry(hs: Handshake, config: ClientConfig | ServerConfig, certificate: Certificate) -> Flow[SubjectKey]:
    """RFC 8446 section 4.4.2: one entry, with a key that we trust.  Raises CertificateError."""
    entry, *others = certificate.certificate_list
    if others or X.delegated_credential in entry.extensions:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the peer's raw public key does not come alone",
            rule="RFC 8446 4.4.2",
            reason="raw_public_key_not_alone",
        )
    return (yield from verify_key(hs, config, entry.cert_data))


def believe(config: ClientConfig | ServerConfig, spki: bytes, server_name: str | None) -> Flow[SubjectKey]:
    """RFC 7250 section 6: what the configuration says of a key, now.  Raises CertificateError."""
    from minitls.certificates.raw import is_among, read_raw_key, untrusted

    subject = read_raw_key(spki)
    trusted, name = config.trusted_keys, server_name if isinstance(config, ClientConfig) else None
    if not ((yield from resolve(trusted, spki, name)) if callable(trusted) else is_among(spki, trusted)):
        raise untrusted(spki)
    if callable(config.verify):
        yield from resolve(config.verify, PeerCertificates((), (), name, spki))
    return subject
