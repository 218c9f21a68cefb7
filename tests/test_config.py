"""Configuration: names in any case and by code point, defaults, and everything that is refused when it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from minitls import ClientAuth, ClientConfig, Danger, Misuse, Policy, ServerConfig
from minitls.crypto.groups import GROUPS
from minitls.crypto.schedule import hkdf_expand
from minitls.testing import memory_pair
from minitls.wire.numbers import CipherSuite, NamedGroup, SignatureScheme
from tests.conftest import Pki


@pytest.mark.parametrize("name", ["x25519", "X25519", 29, NamedGroup.x25519])
def test_a_group_by_any_name(name: Any) -> None:
    assert Policy(groups=(name,)).groups == (NamedGroup.x25519,)


@pytest.mark.parametrize(("alias", "group"), [("P-256", "secp256r1"), ("p-384", "secp384r1"), ("P-521", "secp521r1")])
def test_aliases(alias: str, group: str) -> None:
    assert Policy(groups=(alias,)).groups == (NamedGroup[group],)


def test_names_of_all_kinds() -> None:
    policy = Policy(
        versions=("1.3",),
        cipher_suites=("tls_aes_128_gcm_sha256", 0x1303, "TLS_AES_128_GCM_SHA256"),
        signature_schemes=("ED25519", 0x0403),
        certificate_signature_schemes=("rsa_pkcs1_sha256",),
    )
    assert [str(version) for version in policy.versions] == ["TLSv1.3"]
    assert policy.cipher_suites == (CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite.TLS_CHACHA20_POLY1305_SHA256)
    assert policy.signature_schemes == (SignatureScheme.ed25519, SignatureScheme.ecdsa_secp256r1_sha256)
    assert policy.certificate_signature_schemes == (SignatureScheme.rsa_pkcs1_sha256,)


def test_defaults() -> None:
    """The hybrid first, a classical share beside it; the short CCM tag, SHA-1 and ML-KEM without a classical half nowhere."""
    policy = Policy()
    assert policy.groups[0] == NamedGroup.X25519MLKEM768
    assert policy.key_shares == (NamedGroup.X25519MLKEM768, NamedGroup.x25519)
    assert CipherSuite.TLS_AES_128_CCM_8_SHA256 not in policy.cipher_suites
    assert set(GROUPS) - set(policy.groups) == {NamedGroup.MLKEM768, NamedGroup.MLKEM1024}
    assert Policy(groups=("secp384r1", "x25519")).key_shares == (NamedGroup.secp384r1,)
    hybrid_last = Policy(groups=("x25519", "secp256r1", "X25519MLKEM768", "SecP256r1MLKEM768"))
    assert hybrid_last.key_shares == (NamedGroup.x25519, NamedGroup.X25519MLKEM768)
    assert Policy(groups=("MLKEM1024", "X25519MLKEM768")).key_shares == (NamedGroup.MLKEM1024,)
    assert Policy(key_shares=()).key_shares == ()


def test_a_share_that_the_server_is_known_to_take(pki: Pki) -> None:
    """draft-ietf-tls-key-share-prediction: our first that is among the server's, in place of whatever was sent first."""
    policy = Policy(groups=("X25519MLKEM768", "secp384r1", "x25519"), key_shares=("x25519",))
    assert policy.predict(("x25519", "P-384", 0x9999)).key_shares == (NamedGroup.secp384r1,)
    assert policy.replace(key_shares=()).predict([0x001D]).key_shares == (NamedGroup.x25519,)
    assert policy.predict(("secp521r1",)) is policy.predict(()) is policy
    with pytest.raises(Misuse, match="unknown group"):
        policy.predict(("P-123",))
    for server_groups, retry in (("secp384r1",), False), (("secp384r1", "x25519"), False), (("x25519",), True):
        theirs = Policy(groups=server_groups)
        client, _ = memory_pair(pki.client_config(policy=policy.predict(("secp384r1",))), pki.server_config(policy=theirs))
        assert client.info.hello_retry is retry


def test_replace() -> None:
    """Shares that were the default follow the groups; those that were asked for stay.  How a CA signs is not how a leaf does."""
    changed = Policy().replace(groups=("secp521r1",))
    assert changed.key_shares == (NamedGroup.secp521r1,)
    assert Policy().replace(key_shares=()).key_shares == ()
    fewer = Policy().replace(signature_schemes=("ed25519",))
    assert fewer.signature_schemes == (SignatureScheme.ed25519,)
    assert fewer.certificate_signature_schemes == Policy().certificate_signature_schemes
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.groups = ()  # type: ignore[misc]


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "an unknown group": (lambda: Policy(groups=("x25518",)), "unknown group 'x25518': did you mean x25519?"),
    "a number that is no group": (lambda: Policy(groups=(0x9999,)), "unknown group 0x9999: one of X25519MLKEM768"),
    "an unknown suite": (lambda: Policy(cipher_suites=("TLS_AES_128_GCM_SHA257",)), "did you mean TLS_AES_128_GCM_SHA256?"),
    "an unknown scheme": (lambda: Policy(signature_schemes=("md5",)), "unknown signature scheme 'md5'"),
    "a scheme for certificates only": (lambda: Policy(signature_schemes=("rsa_pkcs1_sha256",)), "unknown signature scheme"),
    "equals that are one": (lambda: Policy(equal_groups=("x25519",)), "equal_groups is a tuple of tuples"),  # type: ignore[arg-type]
    "an unknown equal": (lambda: Policy(equal_suites=(("md5",),)), "unknown cipher suite 'md5'"),
    "an old version": (lambda: Policy(versions=("TLSv1.1",)), "unknown version 'TLSv1.1'"),
    "nothing": (lambda: Policy(groups=()), "at least one group is needed"),
    "a share in a group that is not offered": (lambda: Policy(groups=("x25519",), key_shares=("x448",)), "group for a key share"),
    "a field that is none": (lambda: Policy().replace(ciphers=()), "a policy has no ciphers: it has certificate_signature_schemes"),
    "ALPN as a string": (lambda: ClientConfig(alpn="h2"), "alpn is a tuple of names"),  # type: ignore[arg-type]
    "ALPN as bytes": (lambda: ClientConfig(alpn=(b"h2",)), "alpn is a tuple of names"),  # type: ignore[arg-type]
    "ALPN of nothing": (lambda: ClientConfig(alpn=("",)), "is no protocol name for ALPN"),
    "ALPN too long": (lambda: ClientConfig(alpn=("x" * 256,)), "is no protocol name for ALPN"),
    "ALPN that is not ASCII": (lambda: ClientConfig(alpn=("hä",)), "is no protocol name for ALPN"),
    "no time": (lambda: ClientConfig(handshake_timeout=0), "handshake_timeout is a number of seconds above 0, not 0"),
    "too small fragments": (lambda: ClientConfig(max_send_fragment=63), "max_send_fragment is a number of bytes from 64 to 16384"),
    "too large fragments": (lambda: ClientConfig(max_send_fragment=2**14 + 1), "max_send_fragment is a number of bytes from 64"),
    "no certificates": (lambda: ClientConfig(max_certificate_size=0), "max_certificate_size is a number of bytes above 0"),
    "certificates of any size": (lambda: ClientConfig(max_certificate_size=2**24), "max_certificate_size is a number of bytes"),
    "too much padding": (lambda: ClientConfig(record_padding=2**14 + 1), "record_padding is a number of bytes from 0 to 16384"),
    "a server without a certificate": (lambda: ServerConfig(), "a server needs a certificate"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    make, says = REFUSED[what]
    with pytest.raises(Misuse) as caught:
        make()
    assert says in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert caught.value.alert is None


def test_client_auth_needs_trust(pki: Pki) -> None:
    for auth in ClientAuth.request, ClientAuth.require:
        with pytest.raises(Misuse, match="whose client certificates are believed"):
            pki.server_config(client_auth=auth)
        pki.server_config(client_auth=auth, trust=pki.trust)
        pki.server_config(client_auth=auth, verify=Danger.accept_any_certificate)


def test_one_credential_is_a_tuple_of_one(pki: Pki) -> None:
    credential = pki.server()
    assert ServerConfig(credentials=credential).credentials == (credential,)  # type: ignore[arg-type]
    assert ServerConfig(credentials=[credential]).credentials == (credential,)  # type: ignore[arg-type]


def test_exporters_refuse_what_cannot_be(pki: Pki) -> None:
    """RFC 8446 section 7.5, RFC 5869 section 2.3."""
    info = memory_pair(*pki.quick)[0].info
    assert len(info.export_keying_material("x" * 249, b"", 255 * 32)) == 255 * 32
    for label in "", "x" * 250:
        with pytest.raises(Misuse, match="1 to 249 characters"):
            info.export_keying_material(label, b"", 16)
    for length in 255 * 32 + 1, 2**15:
        with pytest.raises(Misuse, match="at most 8160 bytes can be derived"):
            info.export_keying_material("label", b"", length)
    with pytest.raises(Misuse):
        hkdf_expand("sha384", bytes(48), b"", 255 * 48 + 1)
