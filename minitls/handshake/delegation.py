"""Delegated credentials (RFC 9345), in TLS 1.3: a key for some days, which the certificate's key signed.

Who asks for one says which schemes it may sign with; who answers sends it beside its own certificate, and signs with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.signatures import CLIENTS_ONLY, SCHEMES
from minitls.errors import Alert, PeerMisbehaved
from minitls.handshake.flow import Handshake
from minitls.wire.messages import Certificate
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import SignatureScheme

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential

NOT_ALLOWED = frozenset(
    (SignatureScheme.rsa_pss_rsae_sha256, SignatureScheme.rsa_pss_rsae_sha384, SignatureScheme.rsa_pss_rsae_sha512)
)
"""A delegated RSA key is for RSASSA-PSS alone (section 4)."""


def asked_for(config: ClientConfig | ServerConfig) -> tuple[int, ...]:
    """Sections 4.1.1 and 4.1.2: what a delegated credential may sign with; () where none is wanted."""
    if not config.delegated_credentials:
        return ()
    ours = (int(code) for code in config.policy.signature_schemes)
    return tuple(code for code in ours if code not in NOT_ALLOWED and code not in CLIENTS_ONLY and SCHEMES[code].in_tls13)


def delegate_for(
    credential: Credential, asked: Mapping[int, Any], config: ClientConfig | ServerConfig, *, client: bool
) -> Credential:
    """What this credential shows to who asked so: its first delegation that fits, itself where none does.

    ``asked``: the extensions of ClientHello or CertificateRequest.  ``client``: whether it is a client that shows it.

    Section 4.1.1 wants what the certificate's key signed with in signature_algorithms.  NSS, and so Firefox, wants it among what
    delegated keys may sign with, as drafts did: where it is not, as an RSA certificate's never should be, the certificate's own
    key serves as well, if it is here.
    """
    if not credential.delegations or X.delegated_credential not in asked:
        return credential
    now, ours = config.clock(), config.policy.may_sign
    theirs, listed = asked[X.signature_algorithms], asked[X.delegated_credential]
    for each in credential.delegations:
        held = each.delegation
        assert held is not None
        if held.client != client or not held.is_good(now):
            continue
        if held.scheme not in ours or held.scheme not in listed or held.scheme not in theirs or held.algorithm not in theirs:
            continue
        if held.algorithm in listed or not credential.schemes:
            return each
    return credential


def note(hs: Handshake, *, by_client: bool) -> None:
    """For who asks later: who signed with a delegated credential's key."""
    if by_client:
        hs.info.client_delegated = True
    else:
        hs.info.delegated = True


def check_unasked(certificate: Certificate, asked: Mapping[int, Any]) -> None:
    """Sections 4.1.1 and 4.1.2: a delegated credential comes to who asked for one."""
    if X.delegated_credential not in asked and any(X.delegated_credential in e.extensions for e in certificate.certificate_list):
        raise PeerMisbehaved(
            Alert.unexpected_message,
            "a certificate comes with a delegated credential, which we did not ask for",
            rule="RFC 9345 4.1",
            reason="unsolicited_delegated_credential",
        )
