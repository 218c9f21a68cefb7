"""signature_algorithms_cert, both ways: the chain a server chooses, and those a policy accepts (RFC 8446 4.2.3, 4.4.2.2)."""

from __future__ import annotations

import pytest

from minitls import CertificateError, ClientAuth, ClientConnection, Misuse, Policy, ServerConnection, TLSError
from minitls.certificates.authority import Authority
from minitls.certificates.verify import signed_with
from minitls.testing import memory_pair
from minitls.wire.hello import ClientHello
from minitls.wire.messages import CertificateVerify
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import SignatureScheme as S
from tests.conftest import Pki
from tests.liar import edit, lying_client, lying_server, meet

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


# rsa_pkcs1_*_legacy (RFC 9963) --------------------------------------------------------------------------------------------

LEGACY = (S.rsa_pkcs1_sha256_legacy, S.rsa_pkcs1_sha384_legacy, S.rsa_pkcs1_sha512_legacy)
WITH_LEGACY = Policy.intermediate.replace(signature_schemes=(*Policy.intermediate.signature_schemes, *LEGACY))


@pytest.mark.parametrize("scheme", LEGACY)
def test_a_client_whose_hardware_is_old(pki: Pki, scheme: S) -> None:
    """RFC 9963 section 3: it signs with what the server's request names, and only if both policies say so."""
    credential = pki.client("rsa2048").limited(signature_schemes=(scheme,))
    client = pki.client_config(policy=WITH_LEGACY, credential=credential)
    server = pki.server_config(policy=WITH_LEGACY, client_auth=ClientAuth.require, trust=pki.trust)
    for side in memory_pair(client, server):
        assert side.info.client_signature_scheme == scheme.name
    for one, other in ((Policy.intermediate, WITH_LEGACY), (WITH_LEGACY, Policy.intermediate)):
        with pytest.raises(TLSError):
            memory_pair(
                pki.client_config(policy=one, credential=credential),
                pki.server_config(policy=other, client_auth=ClientAuth.require, trust=pki.trust),
            )


def test_rather_than_that_pss(pki: Pki) -> None:
    client = pki.client_config(policy=WITH_LEGACY, credential=pki.client("rsa2048"))
    server = pki.server_config(policy=WITH_LEGACY, client_auth=ClientAuth.require, trust=pki.trust)
    assert memory_pair(client, server)[0].info.client_signature_scheme == "rsa_pss_rsae_sha256"


def test_no_server_signs_so(pki: Pki) -> None:
    """No client offers it, no server takes the offer, and no client takes a server's."""
    ours = pki.client_config(policy=WITH_LEGACY)
    theirs = pki.server_config(policy=WITH_LEGACY, credentials=(pki.server("rsa2048"),))
    client, _ = memory_pair(ours, theirs)
    assert not {*LEGACY} & {*client.info.client_hello.extensions[X.signature_algorithms]}
    assert client.info.signature_scheme == "rsa_pss_rsae_sha256"

    offering = edit(ClientHello, lambda hello: hello.extensions.update({X.signature_algorithms: LEGACY}))
    server = ServerConnection(theirs)
    meet(lying_client(ours, offering), server)
    assert isinstance(server.error, TLSError)
    assert server.error.reason == "no_common_signature_algorithms"

    signing = edit(CertificateVerify, lambda proof: setattr(proof, "algorithm", LEGACY[0]))
    refusing = ClientConnection(ours, server_hostname="localhost")
    meet(refusing, lying_server(theirs, signing))
    assert isinstance(refusing.error, TLSError)
    assert refusing.error.reason == "wrong_signature_type"


def test_no_certificate_is_signed_so() -> None:
    assert not {*LEGACY} & {*(Policy.modern.certificate_signature_schemes or ())}
    with pytest.raises(Misuse, match="rsa_pkcs1_sha256_legacy"):
        Policy.modern.replace(certificate_signature_schemes=("rsa_pkcs1_sha256_legacy",))
