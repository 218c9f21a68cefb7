"""signature_algorithms_cert, both ways: the chain a server chooses, and those a policy accepts (RFC 8446 4.2.3, 4.4.2.2)."""

from __future__ import annotations

import pytest

from minitls import CertificateError, Policy
from minitls.certificates.authority import Authority
from minitls.certificates.verify import signed_with
from minitls.testing import memory_pair
from minitls.wire.numbers import SignatureScheme as S
from tests.conftest import Pki

KINDS = {
    "p256": S.ecdsa_secp256r1_sha256,
    "p384": S.ecdsa_secp384r1_sha384,
    "rsa2048": S.rsa_pkcs1_sha256,
    "ed25519": S.ed25519,
    "ed448": S.ed448,
    "mldsa44": S.mldsa44,
    "mldsa65": S.mldsa65,
}


@pytest.mark.parametrize(("kind", "scheme"), KINDS.items())
def test_signed_with(kind: str, scheme: S) -> None:
    """The name of each kind of CA's signature."""
    authority = Authority.create(key=kind, intermediate=False)
    assert scheme in signed_with(authority.issue("localhost").chain[0])


def test_a_policy_refuses_other_signatures(pki: Pki) -> None:
    """The chain is good, but signed in a way that this client does not want; with it wanted, all is well."""
    server = pki.server_config()
    refusing = pki.client_config(policy=Policy.modern.replace(certificate_signature_schemes=("ed25519", "rsa_pkcs1_sha256")))
    with pytest.raises(CertificateError) as caught:
        memory_pair(refusing, server)
    assert caught.value.reason == "signature_not_accepted"
    accepting = pki.client_config(policy=Policy.modern.replace(certificate_signature_schemes=("ecdsa_secp256r1_sha256",)))
    assert memory_pair(accepting, server)[0].handshake_completed


def test_a_server_chooses_the_chain_that_the_client_can_check(pki: Pki) -> None:
    """Two certificates for the same name and kind of key, by CAs of different kinds: the client's list decides."""
    other = Authority.create("an Ed25519 CA", key="ed25519")
    credentials = (pki.server(), other.issue("localhost").credential())
    server = pki.server_config(credentials=credentials)
    for wanted, expected in (("ecdsa_secp256r1_sha256", 0), ("ed25519", 1)):
        policy = Policy.modern.replace(certificate_signature_schemes=(wanted,))
        client = pki.client_config(policy=policy, trust=(pki.trust, other.trust())[expected])
        assert memory_pair(client, server)[0].info.peer_chain == credentials[expected].chain
