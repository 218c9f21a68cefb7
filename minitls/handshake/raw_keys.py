"""Raw public keys (RFC 7250), in TLS 1.3: which of the two kinds of certificate each side will show.

The client says what it can process and what it can show, each best first, where that is more than X.509; the server chooses
both, in EncryptedExtensions (RFC 8446 section 4.4.2).  In TLS 1.2 we have X.509 alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
X509_ALONE: Sequence[int] = (X509,)
"""What it means that an extension is not there (RFC 7250 section 4.1)."""


def accepted_types(config: ClientConfig | ServerConfig) -> tuple[CertificateType, ...]:
    """What a peer may show us, best first."""
    if not config.trusted_keys:
        return (X509,)
    return (RAW,) if config.trust is None and config.verify is not Danger.accept_any_certificate else (RAW, X509)


def check_certificates_wanted(config: ClientConfig | ServerConfig, chain: Sequence[bytes]) -> None:
    """Who trusts raw public keys alone trusts no certificates, the system's neither.  Raises CertificateError."""
    if X509 not in accepted_types(config):
        raise CertificateError(
            Alert.unsupported_certificate,
            "the peer shows an X.509 certificate, and we trust raw public keys alone",
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


def offer_types(config: ClientConfig, extensions: Extensions) -> None:
    """Section 4.1: what we can process and what we can show; X.509 alone is not worth a word."""
    if config.trusted_keys:
        extensions[X.server_certificate_type] = tuple(map(int, accepted_types(config)))
    types = tuple(dict.fromkeys(int(each.certificate_type) for each in config.own_credentials))
    if RAW in types:
        extensions[X.client_certificate_type] = types


def take_answer(hs: Handshake, hello: ClientHello, answer: Extensions, *, tls13: bool) -> None:
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
        if chosen == RAW and not tls13:
            raise PeerIncompatible(
                Alert.unsupported_certificate,
                "the server wants raw public keys in TLS 1.2, and we have them in TLS 1.3 alone",
                rule="RFC 7250 4.2",
                reason="unsupported_certificate_type",
            )
        setattr(hs.info, kind.name, CertificateType(chosen))


# the server -------------------------------------------------------------------------------------------------------------


def choose_client_type(hs: Handshake, config: ServerConfig, hello: ClientHello) -> CertificateType | None:
    """Section 4.2: what the client shall show, the first of its types that we accept; None where we do not ask, now or later.

    Raises unsupported_certificate where we have to ask, and it has nothing that we accept.
    """
    later = config.post_handshake_auth and X.post_handshake_auth in hello.extensions
    if config.client_auth is ClientAuth.none and not later:
        return None
    offered, accepted = hello.extensions.get(X.client_certificate_type, X509_ALONE), accepted_types(config)
    found = next((CertificateType(kind) for kind in offered if kind in accepted), None)
    if found is None and config.client_auth is ClientAuth.require:
        theirs, ours = (", ".join(name_of(CertificateType, kind) for kind in kinds) for kinds in (offered, accepted))
        raise PeerIncompatible(
            Alert.unsupported_certificate,
            f"no common type of client certificates: the client has {theirs}, we accept {ours}",
            rule="RFC 7250 4.2",
            reason="unsupported_certificate_type",
        )
    if found is not None:
        hs.info.client_certificate_type = found
    return found


def answer_types(offered: Extensions, extensions: Extensions, ours: CertificateType, clients: CertificateType | None) -> None:
    """Section 4.2: in EncryptedExtensions, what we show, and what the client shall if we ask."""
    if X.server_certificate_type in offered:
        extensions[X.server_certificate_type] = int(ours)
    if X.client_certificate_type in offered and clients is not None:
        extensions[X.client_certificate_type] = int(clients)


# either -----------------------------------------------------------------------------------------------------------------


def verify_key(hs: Handshake, config: ClientConfig | ServerConfig, certificate: Certificate) -> Flow[SubjectKey]:
    """RFC 8446 section 4.4.2: one entry, with a key that we trust.  Raises CertificateError."""
    from minitls.certificates.raw import fingerprint, verify_raw_key

    entry, *others = certificate.certificate_list
    if others or X.delegated_credential in entry.extensions:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the peer's raw public key does not come alone",
            rule="RFC 8446 4.4.2",
            reason="raw_public_key_not_alone",
        )
    subject = verify_raw_key(entry.cert_data, config.trusted_keys)
    if callable(config.verify):
        name = hs.info.server_name if isinstance(config, ClientConfig) else None
        yield from resolve(config.verify, PeerCertificates((), (), name, entry.cert_data))
    hs.info.peer_public_key = entry.cert_data
    hs.chosen("peer_public_key", fingerprint(entry.cert_data), "one of those that we trust")
    return subject
