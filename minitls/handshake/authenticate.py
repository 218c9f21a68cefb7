"""Certificate, CertificateVerify, Finished: who is there, and that nobody touched a word (RFC 8446 section 4.4).

The same for both roles.  Each step gives what the next one needs: only a verified chain makes a :class:`PeerKey`, and only a
PeerKey can check a CertificateVerify.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature

from minitls.config import CertificateRequested, ClientConfig, Danger, PeerCertificates, ServerConfig
from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.signatures import SCHEMES, signed_content
from minitls.data import dataclass
from minitls.errors import Alert, CertificateError, PeerIncompatible, PeerMisbehaved
from minitls.handshake import delegation, raw_keys
from minitls.handshake.compression import choose_compression, compress, decompress
from minitls.handshake.flow import Flow, Handshake, compute, expect, resolve
from minitls.handshake.negotiate import choose_credential
from minitls.wire.codec import Extensions
from minitls.wire.extensions import CertificateStatus
from minitls.wire.hello import Message
from minitls.wire.messages import Certificate, CertificateEntry, CertificateVerify, CompressedCertificate, Finished
from minitls.wire.numbers import CertificateStatusType, CertificateType, SignatureScheme, is_grease, name_of
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.certificates.beside import Beside
    from minitls.certificates.credentials import Credential


USUAL_CHAIN = 4
USUAL_SIZE = 12 * 1024
"""Certificates and bytes of a chain that is verified at once; a stranger can make a larger one take some hundredths of a second."""


DECLINED = {
    "unsupported_certificate_type": "we have none",  # a raw public key, where the server wants a certificate
    "no_common_signature_algorithms": "the server cannot verify its key",
    "no_matching_issuer": "none is by an authority that the server names",
}
"""Why a client shows nothing."""


@dataclass(frozen=True, slots=True)
class PeerKey:
    """The public key of a certificate that was verified, or one that is trusted without, and what it can sign with.

    ``delegated``: it is another than the certificate's, which signed it (RFC 9345).
    """

    public_key: Any
    schemes: tuple[SignatureScheme, ...]
    is_rsa: bool = False
    may_encipher: bool = False
    may_sign: bool = True
    delegated: bool = False


def verify_chain(
    hs: Handshake, config: ClientConfig | ServerConfig, certificate: Certificate, asked: Mapping[int, Any]
) -> Flow[PeerKey]:
    """Section 4.4.2.4: the peer's chain against our trust, its name, and what the application adds.  Raises CertificateError.

    ``asked``: our extensions, which the peer may answer beside a certificate (section 4.4.2).
    """
    delegation.check_unasked(certificate, asked)
    for entry in certificate.certificate_list:
        if any(kind not in asked or is_grease(kind) for kind in entry.extensions):  # RFC 8701 section 3.1: nobody answers GREASE
            raise PeerMisbehaved(
                Alert.unsupported_extension,
                "a certificate comes with extensions that we did not ask for",
                rule="RFC 8446 4.4.2",
                reason="unsolicited_extension",
            )
    if raw_keys.is_raw(hs):
        subject = yield from raw_keys.verify_entry(hs, config, certificate)
        return PeerKey(subject.key, subject.schemes)
    beside = certificate.certificate_list[0].extensions
    if (status := beside.get(X.status_request)) is not None:
        hs.info.ocsp_response = status.response
    hs.info.scts = beside.get(X.signed_certificate_timestamp, ())
    key = yield from verify_der_chain(hs, config, certificate.chain)
    yield from conclude(hs, config)
    if X.delegated_credential in beside:
        return delegated_key(hs, config, certificate, asked)
    return key


def delegated_key(
    hs: Handshake, config: ClientConfig | ServerConfig, certificate: Certificate, asked: Mapping[int, Any]
) -> PeerKey:
    """RFC 9345 section 4.1.3: the key that the certificate, which is good, delegates to.  Raises illegal_parameter."""
    from minitls.certificates.delegated import verify_delegated
    from minitls.certificates.verify import parse_leaf

    subject, hs.info.delegated_until = verify_delegated(
        certificate.certificate_list[0].extensions[X.delegated_credential],
        parse_leaf(certificate.chain),
        client=hs.info.role == "server",
        at=config.clock(),
        schemes=asked[X.delegated_credential],
        algorithms=asked[X.signature_algorithms],
    )
    delegation.note(hs, by_client=hs.info.role == "server")
    hs.chosen("delegated_credential", subject.schemes[0].name, "a key that the peer's certificate has signed")
    return PeerKey(subject.key, subject.schemes, delegated=True)


def verify_der_chain(hs: Handshake, config: ClientConfig | ServerConfig, chain: tuple[bytes, ...]) -> Flow[PeerKey]:
    """The same for a chain without extensions, as TLS 1.2 has them."""
    hs.info.peer_chain = chain
    raw_keys.check_certificates_wanted(config, chain)
    facts = leaf_facts(*chain[:1])
    if config.verify is not Danger.accept_any_certificate:
        hs.info.verified_chain = yield from verified_path(config, chain, hs.info.server_name)
        hs.chain_verified(hs.info.verified_chain, name_to_verify(config, hs.info.server_name))
    return PeerKey(*facts)


@lru_cache(256)
def leaf_facts(*leaf: bytes) -> tuple[Any, tuple[SignatureScheme, ...], bool, bool, bool]:
    """What a leaf's DER says of its key, once for all who meet it: the key, what it can sign with, whether it is RSA's, may
    encipher and may sign.  Raises CertificateError, also for no leaf at all.
    """
    from minitls.certificates.verify import key_facts

    return key_facts(leaf)


def name_to_verify(config: ClientConfig | ServerConfig, server_name: str | None) -> str | None:
    """Whose certificate it has to be: servers are asked for by name, clients are not."""
    return server_name if isinstance(config, ClientConfig) and config.verify is not Danger.accept_any_name else None


def verified_path(
    config: ClientConfig | ServerConfig, chain: tuple[bytes, ...], server_name: str | None
) -> Flow[tuple[bytes, ...]]:
    """The path from the leaf up to whom we trust, by all that the configuration says of paths.  Raises CertificateError."""
    from datetime import UTC, datetime  # late, like X.509, which brings it

    from minitls.certificates.trust import TrustStore
    from minitls.certificates.verify import accepted

    store, at = config.trust or TrustStore.system(), datetime.fromtimestamp(config.clock(), UTC)
    name = name_to_verify(config, server_name)
    ask = compute if store.unread or len(chain) > USUAL_CHAIN or sum(map(len, chain)) > USUAL_SIZE else resolve
    if isinstance(config, ClientConfig):
        found = yield from ask(store.verify, chain, name, at)
    else:
        found = yield from ask(store.verify_client, chain, at)
    path = accepted(found, config.policy.certificate_signature_schemes or ())
    if not path:
        check_pathless(config, chain)
    if config.pinned_keys:
        from minitls.certificates.pins import check_pins

        check_pins(found, config.pinned_keys)
    if config.crls is not None:
        config.crls.check(found, at)
    return path


def check_pathless(config: ClientConfig | ServerConfig, chain: tuple[bytes, ...]) -> None:
    """Where a trust store of the application's own believes a peer for which nobody vouches: nothing else asks who does."""
    logged = isinstance(config, ClientConfig) and config.logs is not None and config.logs.at_least > 0
    if config.pinned_keys or config.crls is not None or logged:
        raise CertificateError(
            Alert.bad_certificate,
            "nobody vouches for the peer's certificate, and the configuration has rules for who does",
            reason="no_path",
            remedy="pinned_keys, crls and logs need a trust store that finds a path",
            chain=chain,
        )


def ask_application(
    config: ClientConfig | ServerConfig,
    chain: tuple[bytes, ...],
    path: tuple[bytes, ...],
    server_name: str | None,
    beside: Beside | None = None,
) -> Flow[None]:
    """What the application adds to a verdict that is good so far.  Raises CertificateError."""
    if callable(config.verify):
        name = server_name if isinstance(config, ClientConfig) else None
        yield from resolve(config.verify, PeerCertificates(chain, path, name, beside=beside))


def judged(
    config: ClientConfig | ServerConfig, path: tuple[bytes, ...], ocsp_response: bytes, scts: tuple[bytes, ...]
) -> Beside | None:
    """What came beside a server's certificate, or did not (RFC 6066 section 8, RFC 6962, RFC 7633).  Raises CertificateError.

    None where nobody asked for it, and where nobody verified the certificate.
    """
    if not isinstance(config, ClientConfig) or not path or not (config.request_staples or config.logs is not None):
        return None
    from datetime import UTC, datetime

    from minitls.certificates.beside import check_beside

    at, response = datetime.fromtimestamp(config.clock(), UTC), ocsp_response if config.request_staples else None
    return check_beside(path, at, ocsp_response=response, scts=scts, logs=config.logs)


def conclude(hs: Handshake, config: ClientConfig | ServerConfig) -> Flow[None]:
    """The path is good: what came beside it, and then what the application says of it all.  Raises CertificateError."""
    info = hs.info
    info.beside = judged(config, info.verified_chain, info.ocsp_response, info.scts)
    yield from ask_application(config, info.peer_chain, info.verified_chain, info.server_name, info.beside)


def receive_proof(hs: Handshake, context: bytes, key: PeerKey, offered: Sequence[int]) -> Flow[SignatureScheme]:
    """Section 4.4.3: the peer has the private key.  Raises illegal_parameter for a scheme that cannot be, decrypt_error for a
    lie.
    """
    message = yield from expect(CertificateVerify)
    check_may_sign(key)
    code = message.algorithm
    offered = key.schemes if key.delegated else offered  # RFC 9345 section 4.1.3: the one that its credential says
    scheme = SCHEMES.get(code)
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


def check_may_sign(key: PeerKey) -> None:
    """Section 4.4.2.2, RFC 5246 section 7.4.2: a certificate that says what its key is for says that it may sign.

    Whoever takes it, and whether or not anybody verifies it.
    """
    if not key.may_sign:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the peer's certificate says that its key may not sign",
            rule="RFC 8446 4.4.2.2",
            reason="key_usage_bit_incorrect",
        )


def receive_certificate(config: ClientConfig | ServerConfig, message: Message) -> Certificate:
    """The peer's Certificate, also where it came compressed (RFC 8879)."""
    if isinstance(message, CompressedCertificate):
        return decompress(message, config.compressions, config.max_certificate_size)
    assert isinstance(message, Certificate)
    return message


def expect_certificate(config: ClientConfig | ServerConfig, *also: type[Message]) -> Flow[Message]:
    """The peer's Certificate as it comes, or ``also``."""
    compressed = (CompressedCertificate,) if config.certificate_compression else ()
    return expect(*also, Certificate, *compressed)


def own_credentials(
    hs: Handshake, config: ClientConfig, schemes: Sequence[int], authorities: Sequence[bytes]
) -> Flow[tuple[Credential, ...]]:
    """What a client may show to a server that asks like this: the application's answer if it has one, else all ``credentials``."""
    info = hs.info
    info.keep_request(schemes, authorities)
    if config.select_credential is not None:
        server = PeerCertificates(info.peer_chain, info.verified_chain, info.server_name, info.peer_public_key, info.beside)
        answer = yield from resolve(config.select_credential, CertificateRequested(server, tuple(schemes), tuple(authorities)))
        if answer is not None:
            return (answer,)
    return config.own_credentials


def choose_own(
    hs: Handshake,
    config: ClientConfig,
    shown: Mapping[Credential, Credential],
    schemes: Sequence[int],
    authorities: Sequence[bytes],
    *,
    in_certificates: Sequence[int] | None = None,
    tls12: bool = False,
) -> tuple[Credential, SignatureScheme] | None:
    """What a client shows to a server that asks (section 4.4.2.2, RFC 5246 section 7.4.6), None to decline.  Raises
    PeerIncompatible where it must not.

    ``shown``: what may be, and which of the configuration's credentials it comes from.  The rest is what the server said.
    """
    if not shown:
        hs.chosen("client_certificate", "none", "we have none")
        return None
    types = (hs.info.client_certificate_type,)
    try:
        credential, scheme, _ = choose_credential(
            tuple(shown), None, schemes, authorities, config.policy, in_certificates=in_certificates, types=types, tls12=tls12
        )
    except PeerIncompatible as error:
        if not config.may_decline:
            raise
        hs.chosen("client_certificate", "none", DECLINED[error.reason])
        return None
    hs.chosen("client_certificate", scheme.name, "the server asks for one, and can verify its key")
    hs.info.credential = shown[credential]
    hs.info.client_signature_scheme = scheme.name
    return credential, scheme


def send_certificate(
    hs: Handshake,
    config: ClientConfig | ServerConfig,
    context: bytes,
    request_context: bytes,
    credential: Credential,
    scheme: SignatureScheme,
    asked: Mapping[int, Any],
) -> Flow[None]:
    """Our Certificate and CertificateVerify; the signer may take its time.  ``asked``: the extensions that the peer sent."""
    entries = tuple(CertificateEntry(der, Extensions()) for der in credential.chain)
    if credential.delegation is not None:
        entries[0].extensions[X.delegated_credential] = credential.delegation.message
        delegation.note(hs, by_client=hs.info.role == "client")
    if X.status_request in asked and credential.ocsp_response:
        entries[0].extensions[X.status_request] = CertificateStatus(CertificateStatusType.ocsp, credential.ocsp_response)
    if X.signed_certificate_timestamp in asked and credential.scts:
        entries[0].extensions[X.signed_certificate_timestamp] = credential.scts
    message = Certificate(request_context, entries)
    algorithm = choose_compression(asked.get(X.compress_certificate, ()), config)
    hs.send(message if algorithm is None else compress(message, algorithm))
    hs.info.local_chain = credential.chain if credential.certificate_type is CertificateType.X509 else ()
    signature = yield from resolve(credential.sign, scheme, signed_content(context, hs.transcript.digest()))
    hs.send(CertificateVerify(scheme, signature))


def may_ask_later(hs: Handshake) -> bool:
    """Whether the application protocol has a place for post-handshake authentication (section 4.6.2): HTTP/2 has none.

    Its answers come in any order: whom a question is for, nobody could tell (RFC 9113 section 9.2.3).
    """
    return hs.info.alpn_protocol != "h2"


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
