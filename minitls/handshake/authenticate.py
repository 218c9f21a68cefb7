"""Certificate, CertificateVerify, Finished: who is there, and that nobody touched a word (RFC 8446 section 4.4).

The same for both roles.  Each step gives what the next one needs: only a verified chain makes a :class:`PeerKey`, and only a
PeerKey can check a CertificateVerify.
"""

from __future__ import annotations

import hmac
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature

from minitls.config import ClientConfig, Danger, PeerCertificates, ServerConfig
from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.signatures import SCHEMES, signed_content
from minitls.errors import Alert, PeerMisbehaved
from minitls.handshake.flow import Flow, Handshake, expect, resolve
from minitls.wire.codec import Extensions
from minitls.wire.extensions import CertificateStatus
from minitls.wire.messages import Certificate, CertificateEntry, CertificateVerify, Finished
from minitls.wire.numbers import CertificateStatusType, SignatureScheme, name_of
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential


@dataclass(frozen=True, slots=True)
class PeerKey:
    """The public key of a certificate that was verified, and what it can sign with."""

    public_key: Any
    schemes: tuple[SignatureScheme, ...]
    is_rsa: bool
    may_encipher: bool


def verify_chain(
    hs: Handshake, config: ClientConfig | ServerConfig, certificate: Certificate, asked: Container[int] = ()
) -> Flow[PeerKey]:
    """Section 4.4.2.4: the peer's chain against our trust, its name, and what the application adds.  Raises CertificateError.

    ``asked``: the extensions that the peer may answer beside a certificate (section 4.4.2).
    """
    for entry in certificate.certificate_list:
        if any(kind not in asked for kind in entry.extensions):
            raise PeerMisbehaved(
                Alert.unsupported_extension,
                "a certificate comes with extensions that we did not ask for",
                rule="RFC 8446 4.4.2",
                reason="unsolicited_extension",
            )
    beside = certificate.certificate_list[0].extensions
    if (status := beside.get(X.status_request)) is not None:
        hs.info.ocsp_response = status.response
    hs.info.scts = beside.get(X.signed_certificate_timestamp, ())
    return verify_der_chain(hs, config, certificate.chain)


def verify_der_chain(hs: Handshake, config: ClientConfig | ServerConfig, chain: tuple[bytes, ...]) -> Flow[PeerKey]:
    """The same for a chain without extensions, as TLS 1.2 has them."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from minitls.certificates.trust import TrustStore
    from minitls.certificates.verify import check_signatures, leaf_public_key, leaf_schemes, may_encipher, parse_leaf

    hs.info.peer_chain = chain
    leaf = parse_leaf(chain)
    name = hs.info.server_name if isinstance(config, ClientConfig) else None
    if config.verify is not Danger.accept_any_certificate:
        store = config.trust or TrustStore.system()
        at = datetime.fromtimestamp(config.clock(), UTC)
        if isinstance(config, ClientConfig):
            found = yield from resolve(store.verify, chain, name, at)
        else:
            found = yield from resolve(store.verify_client, chain, at)
        check_signatures(found, tuple(map(int, config.policy.certificate_signature_schemes or ())))
        path = der_of(found)
        if config.verify is not None:
            yield from resolve(config.verify, PeerCertificates(chain, path, name))
        hs.info.verified_chain = path
        hs.chain_verified(path, name)
    key = leaf_public_key(leaf)
    return PeerKey(key, leaf_schemes(leaf), isinstance(key, RSAPublicKey), may_encipher(leaf))


def der_of(path: Sequence[Any]) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(certificate.public_bytes(Encoding.DER) for certificate in path)


def receive_proof(hs: Handshake, context: bytes, key: PeerKey, offered: Sequence[int]) -> Flow[SignatureScheme]:
    """Section 4.4.3: the peer has the private key.  Raises illegal_parameter for a scheme that cannot be, decrypt_error for a
    lie.
    """
    message = yield from expect(CertificateVerify)
    code = message.algorithm
    scheme = next((scheme for known, scheme in SCHEMES.items() if known == code), None)
    if code not in offered or scheme is None or not scheme.in_tls13 or code not in key.schemes:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the peer signs with {name_of(SignatureScheme, code)}, "
            + ("which does not fit its key" if code in offered else "which we did not offer"),
            rule="RFC 8446 4.4.3",
            reason="wrong_signature_type",
        )
    try:
        scheme.verify(key.public_key, message.signature, signed_content(context, hs.transcript.before_last()))
    except InvalidSignature:
        raise PeerMisbehaved(
            Alert.decrypt_error,
            "the peer's signature over the handshake is wrong: it does not have the certificate's private key",
            rule="RFC 8446 4.4.3",
            reason="bad_signature",
        ) from None
    return scheme.code


def send_certificate(
    hs: Handshake,
    context: bytes,
    request_context: bytes,
    credential: Credential,
    scheme: SignatureScheme,
    asked: Container[int] = (),
) -> Flow[None]:
    """Our Certificate and CertificateVerify; the signer may take its time."""
    entries = tuple(CertificateEntry(der, Extensions()) for der in credential.chain)
    if X.status_request in asked and credential.ocsp_response:
        entries[0].extensions[X.status_request] = CertificateStatus(CertificateStatusType.ocsp, credential.ocsp_response)
    if X.signed_certificate_timestamp in asked and credential.scts:
        entries[0].extensions[X.signed_certificate_timestamp] = credential.scts
    hs.send(Certificate(request_context, entries))
    hs.info.local_chain = credential.chain
    signature = yield from resolve(credential.sign, scheme, signed_content(context, hs.transcript.digest()))
    hs.send(CertificateVerify(scheme, signature))


def send_finished(hs: Handshake, secret: TrafficSecret) -> None:
    """Section 4.4.4."""
    hs.send(Finished(secret.verify_data(hs.transcript.digest())))


def receive_finished(hs: Handshake, secret: TrafficSecret) -> Flow[None]:
    """Section 4.4.4: both have seen the same handshake, to the byte."""
    message = yield from expect(Finished)
    if not hmac.compare_digest(message.verify_data, secret.verify_data(hs.transcript.before_last())):
        raise PeerMisbehaved(
            Alert.decrypt_error,
            "the peer's Finished is wrong: it did not see the handshake that we saw",
            rule="RFC 8446 4.4.4",
            reason="digest_check_failed",
        )
