"""The policies that authorities ask for, by what they let two sides come to.  The facts are BoringSSL's compliance policies."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from minitls import Policy
from minitls.cli import common
from minitls.config import Danger
from minitls.errors import Alert, PeerIncompatible, TLSError
from minitls.policy import POLICIES
from minitls.testing import memory_pair
from minitls.wire.numbers import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme

if TYPE_CHECKING:
    from minitls.info import ConnectionInfo
    from tests.conftest import Pki

FIPS_GROUPS, FIPS_SCHEMES = ("secp256r1", "secp384r1"), ("ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384")
ONLY_384 = ("ecdsa_secp384r1_sha384",)
AES_256 = (
    "TLS_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
)
AES_128 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
)

# policy: cipher suites, groups, RSA's schemes, curves' schemes
HAVE = {
    "fips_202205": ({*AES_256, *AES_128}, FIPS_GROUPS, ("sha256", "sha384", "sha512"), FIPS_SCHEMES),
    "wpa3_192": ({*AES_256}, ("secp384r1",), ("sha384", "sha512"), ONLY_384),
    "cnsa1": ({*AES_256, "TLS_RSA_WITH_AES_256_GCM_SHA384"}, ("MLKEM1024", "secp384r1"), ("sha384",), ONLY_384),
    "cnsa2": ({"TLS_AES_256_GCM_SHA384"}, ("MLKEM1024",), ("sha384",), ONLY_384),
}
STRICT = pytest.mark.parametrize("name", HAVE)


@STRICT
def test_what_they_have(name: str) -> None:
    policy, (suites, groups, hashes, curves) = POLICIES[name], HAVE[name]
    assert {CipherSuite(int(code)).name for code in policy.cipher_suites} == suites
    assert tuple(NamedGroup(int(code)).name for code in policy.groups) == groups
    in_handshakes = {*curves, *(f"rsa_pss_rsae_{each}" for each in hashes)}
    assert {SignatureScheme(int(code)).name for code in policy.signature_schemes} == in_handshakes
    in_tls12 = in_handshakes | {f"rsa_pkcs1_{each}" for each in hashes}
    assert {SignatureScheme(code).name for code in policy.all_schemes} == in_tls12
    assert not policy.schemes_differ
    assert (ProtocolVersion.TLSv1_2 in policy.versions) == (name != "cnsa2")
    assert policy.secure_tls12


def test_their_names() -> None:
    """The command and the class have the same, and each is itself under no other name."""
    assert set(common.POLICIES) == set(POLICIES)
    assert all(getattr(Policy, name) is policy for name, policy in POLICIES.items())
    assert len({*POLICIES.values()}) == len(POLICIES)


def met(pki: Pki, policy: Policy, theirs: Policy, key: str, role: str) -> ConnectionInfo:
    """A handshake between a side of this policy, as ``role``, and another."""
    ours, others = (policy, theirs) if role == "client" else (theirs, policy)
    client = pki.client_config(policy=ours, verify=Danger.accept_any_certificate)
    return memory_pair(client, pki.server_config(policy=others, credentials=(pki.server(key),)))[0].info


EVERYTHING = Policy.legacy.replace(groups=tuple(NamedGroup))
ROLES = pytest.mark.parametrize("role", ["client", "server"])


@ROLES
@STRICT
def test_groups(pki: Pki, name: str, role: str) -> None:
    for version in ("TLSv1.3", "TLSv1.2"):
        for group in ("secp256r1", "secp384r1", "x25519", "X25519MLKEM768", "MLKEM1024"):
            theirs = Policy.intermediate.replace(groups=(group,), versions=(version,))
            fits = group in HAVE[name][1] and not (version == "TLSv1.2" and (name == "cnsa2" or group == "MLKEM1024"))
            key = "p384" if version == "TLSv1.3" else "rsa2048"  # TLS 1.2 has groups for ECDSA's keys, too
            if fits:
                assert met(pki, POLICIES[name], theirs, key, role).group == group
            else:
                with pytest.raises(PeerIncompatible):
                    met(pki, POLICIES[name], theirs, key, role)


@ROLES
@STRICT
def test_suites(pki: Pki, name: str, role: str) -> None:
    for suite in EVERYTHING.cipher_suites:
        shown = CipherSuite(int(suite)).name
        if "PSK" in shown:
            continue
        key = "p384" if "ECDSA" in shown else "rsa2048"
        version = "TLSv1.2" if "_WITH_" in shown else "TLSv1.3"
        theirs = EVERYTHING.replace(cipher_suites=(suite,), versions=(version,))
        if shown in HAVE[name][0]:
            assert met(pki, POLICIES[name], theirs, key, role).cipher_suite == shown
        else:
            with pytest.raises(PeerIncompatible) as caught:
                met(pki, POLICIES[name], theirs, key, role)
            assert caught.value.alert in (Alert.handshake_failure, Alert.protocol_version)


@ROLES
@STRICT
@pytest.mark.parametrize("key", ["p256", "p384", "p521", "ed25519", "rsa2048"])
def test_signatures(pki: Pki, name: str, role: str, key: str) -> None:
    """In TLS 1.3, where a scheme says what key it is of."""
    theirs = EVERYTHING.replace(versions=("TLSv1.3",))
    _, _, hashes, curves = HAVE[name]
    schemes = {"rsa2048": f"rsa_pss_rsae_{hashes[0]}", "p256": "ecdsa_secp256r1_sha256", "p384": "ecdsa_secp384r1_sha384"}
    if key == "rsa2048" or schemes.get(key) in curves:
        assert met(pki, POLICIES[name], theirs, key, role).signature_scheme == schemes[key]
        return
    with pytest.raises(TLSError) as caught:
        met(pki, POLICIES[name], theirs, key, role)
    assert getattr(caught.value, "reason", "") == "no_common_signature_algorithms"


def test_ml_kem_is_worth_a_round_trip(pki: Pki) -> None:
    """CNSA 1.0's servers take it of whoever has it, though it sent a share in P-384 alone."""
    client = EVERYTHING.replace(versions=("TLSv1.3",), key_shares=("secp384r1",))
    info = met(pki, Policy.cnsa1, client, "p384", "server")
    assert (info.group, info.hello_retry) == ("MLKEM1024", True)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"), "TLS_AES_256_GCM_SHA384"),
        (("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"), "TLS_AES_128_GCM_SHA256"),
        (("TLS_CHACHA20_POLY1305_SHA256",), "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_the_order_of_cnsa_202407(pki: Pki, offered: tuple[str, ...], chosen: str) -> None:
    theirs = Policy(cipher_suites=offered)
    assert met(pki, Policy.cnsa_202407, theirs, "p256", "server").cipher_suite == chosen


def test_cnsa_202407_is_intermediate_in_all_else() -> None:
    policy = Policy.cnsa_202407
    assert set(policy.cipher_suites) == set(Policy.intermediate.cipher_suites)
    assert dataclasses.asdict(policy.replace(cipher_suites=Policy.intermediate.cipher_suites)) == dataclasses.asdict(
        Policy.intermediate
    )
