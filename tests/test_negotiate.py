"""What two sides agree on: each choice alone, and the offline answer against real handshakes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from minitls import (
    Agreement,
    Alert,
    CertificateError,
    ClientConfig,
    Credential,
    Danger,
    PeerIncompatible,
    Policy,
    ServerConfig,
    negotiate,
)
from minitls.handshake import server13
from minitls.handshake.negotiate import (
    choose_alpn,
    choose_cipher_suite,
    choose_credential,
    choose_group,
    choose_signature_scheme,
    choose_version,
    offered_schemes,
)
from minitls.testing import memory_pair
from minitls.wire.numbers import CertificateType, CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from tests.conftest import Pki

S = SignatureScheme
HYBRID, X25519, P256, P384 = NamedGroup.X25519MLKEM768, NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1
AES128, AES256, CHACHA = (
    CipherSuite.TLS_AES_128_GCM_SHA256,
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([0x0304], 0x0304), ([0x0A0A, 0x0303, 0x0304], 0x0304), ([0x0303], None), ([], None), ([0x7F1C, 0x0305], None)],
)
def test_version(offered: Sequence[int], chosen: int | None) -> None:
    if chosen:
        assert choose_version(offered, Policy()) is ProtocolVersion(chosen)
        return
    with pytest.raises(PeerIncompatible, match="no common version") as caught:
        choose_version(offered, Policy())
    assert (caught.value.alert, caught.value.reason) == (Alert.protocol_version, "unsupported_protocol")


@pytest.mark.parametrize(
    ("offered", "ours", "chosen"),
    [
        ([CHACHA, AES256, AES128], (AES128, CHACHA), AES128),
        ([0x0A0A, CHACHA], (AES128, CHACHA), CHACHA),
        ([AES256], (AES128,), None),
    ],
)
def test_cipher_suite_is_the_servers_first(offered: Sequence[int], ours: Any, chosen: int | None) -> None:
    policy = Policy(cipher_suites=ours)
    if chosen:
        assert choose_cipher_suite(offered, policy)[0].code == chosen
        return
    with pytest.raises(PeerIncompatible, match="TLS_AES_256_GCM_SHA384"):
        choose_cipher_suite(offered, policy)


@pytest.mark.parametrize(
    ("offered", "shared", "ours", "prefer", "chosen"),
    [
        ([X25519, P256], [X25519], (P256, X25519), True, (X25519, False)),
        ([X25519, P256], [X25519, P256], (P256, X25519), True, (P256, False)),
        ([X25519, P256], [], (P256, X25519), True, (P256, True)),
        ([X25519, HYBRID], [X25519], (X25519, HYBRID), True, (HYBRID, True)),
        ([X25519, HYBRID], [X25519], (X25519, HYBRID), False, (X25519, False)),
        ([X25519, HYBRID], [X25519], (HYBRID, X25519), False, (X25519, False)),
        ([X25519, HYBRID], [HYBRID], (X25519, HYBRID), True, (HYBRID, False)),
        ([X25519], [X25519], (HYBRID, X25519), True, (X25519, False)),
        ([0x2A2A, P384], [0x2A2A], (X25519, P384), True, (P384, True)),
        ([X25519], [X25519], (P256,), True, None),
    ],
)
def test_group(offered: Sequence[int], shared: Sequence[int], ours: Any, prefer: bool, chosen: tuple[int, bool] | None) -> None:
    """A share that is there saves a round trip; a hybrid group is worth one, unless the policy says not."""
    policy = Policy(groups=ours, prefer_post_quantum=prefer)
    if chosen:
        group, ask_again, why = choose_group(offered, shared, policy)
        assert (group.code, ask_again) == chosen
        assert ("asked again" in why) == ask_again
        return
    with pytest.raises(PeerIncompatible, match="no common group: the client offers x25519"):
        choose_group(offered, shared, policy)


def test_signature_scheme() -> None:
    schemes = (S.rsa_pss_rsae_sha256, S.rsa_pss_rsae_sha384)
    assert choose_signature_scheme(schemes, [S.rsa_pss_rsae_sha384], Policy()) is S.rsa_pss_rsae_sha384
    assert choose_signature_scheme(schemes, [S.rsa_pkcs1_sha256], Policy()) is None
    assert choose_signature_scheme(schemes, schemes, Policy(signature_schemes=("ed25519",))) is None


def test_what_is_offered_for_handshakes() -> None:
    """Nothing that the handshake must not be signed with, but what cannot sign it anyway."""
    policy = Policy(signature_schemes=("ed25519",), certificate_signature_schemes=("ecdsa_secp256r1_sha256", "rsa_pkcs1_sha256"))
    assert offered_schemes(policy) == (S.ed25519, S.rsa_pkcs1_sha256)


@dataclass
class Card:
    """What choose_credential looks at."""

    name: str
    schemes: tuple[SignatureScheme, ...] = (S.ecdsa_secp256r1_sha256,)
    names: tuple[str, ...] = ()
    issuers: tuple[bytes, ...] = ()
    seen: list[str] = field(default_factory=list)
    certificate_type: CertificateType = CertificateType.X509
    must_match_issuer: bool = False

    def matches(self, server_name: str) -> bool:
        return server_name in self.names

    def signed_within(self, accepted: Sequence[int]) -> bool:
        return True

    def issued_by(self, authorities: Sequence[bytes]) -> bool:
        return any(issuer in authorities for issuer in self.issuers)


RSA = Card("rsa", (S.rsa_pss_rsae_sha256,), ("a.example",))
EC_A = Card("ec a", names=("a.example",))
EC_B = Card("ec b", names=("b.example",), issuers=(b"B",))
EC_B2 = Card("ec b2", names=("b.example",), issuers=(b"C",))


@pytest.mark.parametrize(
    ("name", "offered", "authorities", "chosen", "why"),
    [
        (None, [S.ecdsa_secp256r1_sha256, S.rsa_pss_rsae_sha256], (), "rsa", "the default"),
        ("a.example", [S.ecdsa_secp256r1_sha256], (), "ec a", "for the name a.example"),
        ("b.example", [S.ecdsa_secp256r1_sha256], (), "ec b", "for the name b.example"),
        ("b.example", [S.ecdsa_secp256r1_sha256], (b"C",), "ec b2", "for the name b.example, by an authority that the peer names"),
        ("b.example", [S.ecdsa_secp256r1_sha256], (b"Z",), "ec b", "for the name b.example"),
        ("b.example", [S.rsa_pss_rsae_sha256], (), "rsa", "the default: none is for the name b.example"),
        ("z.example", [S.ecdsa_secp256r1_sha256], (), "ec a", "the default: none is for the name z.example"),
        ("a.example", [S.ed25519], (), None, ""),
    ],
)
def test_credential(name: str | None, offered: Sequence[int], authorities: Any, chosen: str | None, why: str) -> None:
    cards: Any = (RSA, EC_A, EC_B, EC_B2)
    if chosen is None:
        with pytest.raises(PeerIncompatible, match="it accepts ed25519"):
            choose_credential(cards, name, offered, authorities, Policy())
        return
    card, scheme, reason = choose_credential(cards, name, offered, authorities, Policy())
    assert (card.name, reason) == (chosen, why)  # type: ignore[attr-defined]
    assert scheme in card.schemes


@pytest.mark.parametrize(
    ("offered", "ours", "chosen"),
    [
        (None, ("h2",), None),
        (("h2",), (), None),
        (("http/1.1", "h2"), ("h2", "http/1.1"), "h2"),
        (("http/1.1",), ("h2", "http/1.1"), "http/1.1"),
    ],
)
def test_alpn(offered: Any, ours: Any, chosen: str | None) -> None:
    assert choose_alpn(offered, ours) == chosen


def test_alpn_is_strict() -> None:
    with pytest.raises(PeerIncompatible, match="the client offers 'ftp', we have 'h2'"):
        choose_alpn(("ftp",), ("h2",))
    with pytest.raises(PeerIncompatible):
        choose_alpn((), ("h2",))


# offline against the real thing -----------------------------------------------------------------------------------------------

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
GROUPS = ("x25519", "secp256r1", "secp384r1", "X25519MLKEM768")
KINDS = ("p256", "p384", "ed25519")
SCHEMES = ("ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ed25519")
PROTOCOLS = ("h2", "http/1.1", "ftp")


def some(dice: random.Random, of: Sequence[str], least: int = 1) -> tuple[str, ...]:
    return tuple(dice.sample(of, dice.randint(least, len(of))))


def random_pair(pki: Pki, seed: int) -> tuple[ClientConfig, ServerConfig, str]:
    dice = random.Random(seed)

    def policy() -> Policy:
        groups = some(dice, GROUPS)
        return Policy(
            cipher_suites=some(dice, SUITES),
            groups=groups,
            key_shares=dice.choice((None, (), some(dice, groups))),
            signature_schemes=some(dice, SCHEMES, 2),
            certificate_signature_schemes=SCHEMES,
            prefer_post_quantum=dice.random() < 0.5,
        )

    credentials = tuple(pki.server(kind, dice.choice(("localhost", "other.example"))) for kind in some(dice, KINDS))
    client = pki.client_config(grease=False, policy=policy(), alpn=some(dice, PROTOCOLS, 0))
    return client, pki.server_config(policy=policy(), alpn=some(dice, PROTOCOLS, 0), credentials=credentials), "localhost"


def test_offline_as_in_a_handshake(pki: Pki) -> None:
    """``minitls.negotiate`` says what the handshake comes to, or fails with the error that it fails with."""
    agreed, not_agreed = 0, set()
    for seed in range(250):
        client, server, name = random_pair(pki, seed)
        told, refusal = offline(client, server, name)
        if refusal is not None:
            with pytest.raises(PeerIncompatible) as caught:
                memory_pair(client, server, name)
            assert (caught.value.reason, caught.value.message) == (refusal.reason, refusal.message), seed
            not_agreed.add(refusal.reason)
            continue
        assert told is not None
        try:
            info = memory_pair(client, server, name)[0].info
        except CertificateError:  # the certificate is for another name: that is not negotiated
            continue
        agreed += 1
        found = (info.version, info.cipher_suite, info.group, info.signature_scheme, info.alpn_protocol, info.hello_retry)
        assert found == dataclasses.astuple(told)[:-1], seed
        assert len(told.reasons) == 3
    assert agreed > 60
    assert not_agreed == {"no_shared_cipher", "no_shared_group", "no_common_signature_algorithms", "no_application_protocol"}


def offline(client: ClientConfig, server: ServerConfig, name: str) -> tuple[Agreement | None, PeerIncompatible | None]:
    try:
        return negotiate(client, server, name), None
    except PeerIncompatible as error:
        return None, error


# many credentials ---------------------------------------------------------------------------------------------------------


def test_of_many_credentials_those_for_the_name_are_found(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the choice is what it is among few: exact before wildcard only as they stand, another where none for the name will do."""
    others = [pki.authority.issue(f"host{n}.dev.example").credential() for n in range(12)]
    wild, exact = pki.authority.issue("*.example.org").credential(), pki.authority.issue("www.example.org").credential()
    rsa = pki.authority.issue("rsa.example.org", key="rsa2048").credential()
    many = (*others, wild, exact, rsa)
    few = many[-3:]
    looked: list[int] = []

    def count(given: Sequence[Credential], *args: Any, **named: Any) -> Any:
        looked.append(len(given))
        return choose_credential(given, *args, **named)

    monkeypatch.setattr(server13, "choose_credential", count)

    def shown(credentials: tuple[Credential, ...], host: str, **fields: Any) -> Credential:
        _, server = memory_pair(
            pki.client_config(verify=Danger.accept_any_certificate, **fields), pki.server_config(credentials=credentials), host
        )
        return next(each for each in credentials if each.chain == server.info.local_chain)

    assert shown(many, "www.example.org") is shown(few, "www.example.org") is wild
    assert shown(many, "a.example.org") is wild
    assert shown(many, "host7.dev.example") is others[7]
    assert looked == [2, 3, 1, 1]
    ecdsa_alone = Policy.modern.replace(signature_schemes=("ecdsa_secp256r1_sha256",))
    assert shown(many, "rsa.example.org", policy=ecdsa_alone) is wild  # a wildcard, whose key fits
    assert shown((*others, rsa), "rsa.example.org", policy=ecdsa_alone) is others[0]  # none for the name fits
    assert shown(many, "nowhere.example") is others[0]
    tls12 = Policy.intermediate.replace(versions=("TLSv1.2",))
    assert shown(many, "www.example.org", policy=tls12) is wild
    assert shown((*others, rsa), "rsa.example.org", policy=tls12) is rsa


# among equals -------------------------------------------------------------------------------------------------------------

AES_OR_CHACHA = ((AES128, CHACHA),)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((CHACHA, AES128, AES256), CHACHA),
        ((AES128, CHACHA, AES256), AES128),
        ((AES256, CHACHA), CHACHA),  # equals stand where the first of them does
        ((AES256,), AES256),
        ((0x0A0A, AES256, CHACHA, AES128), CHACHA),
    ],
)
def test_equal_suites(pki: Pki, offered: tuple[int, ...], chosen: int) -> None:
    """The server lets clients choose, who know what their hardware has."""
    policy = Policy(cipher_suites=(AES128, AES256, CHACHA), equal_suites=AES_OR_CHACHA)
    assert choose_cipher_suite(offered, policy)[0].code == chosen
    theirs = Policy(cipher_suites=tuple(code for code in offered if code != 0x0A0A))
    info = memory_pair(pki.client_config(policy=theirs), pki.server_config(policy=policy))[0].info
    assert info.cipher_suite == CipherSuite(chosen).name


def test_equal_suites_of_tls12(pki: Pki) -> None:
    suites = ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")
    server = Policy.intermediate.replace(versions=("TLSv1.2",))
    for equal, chosen in (((), suites[0]), ((suites,), suites[1])):
        config = pki.server_config(policy=server.replace(equal_suites=equal))
        client = pki.client_config(policy=server.replace(cipher_suites=suites[::-1]))
        assert memory_pair(client, config)[0].info.cipher_suite == chosen
        assert negotiate(client, config).cipher_suite == chosen


@pytest.mark.parametrize(
    ("equal", "prefer", "chosen"),
    [
        ((), True, (HYBRID, False)),
        (((X25519, P256, HYBRID),), True, (HYBRID, False)),
        (((X25519, P256, HYBRID),), False, (P256, False)),
        (((X25519, HYBRID), (P256, P384)), False, (X25519, False)),
        (((P256, P384),), False, (HYBRID, False)),
    ],
)
def test_equal_groups(equal: Any, prefer: bool, chosen: tuple[int, bool]) -> None:
    """The client's order; that a hybrid is worth more is another matter."""
    policy = Policy(groups=(HYBRID, X25519, P384, P256), equal_groups=equal, prefer_post_quantum=prefer)
    group, ask_again, _ = choose_group((P256, X25519, HYBRID, P384), (P256, X25519, HYBRID), policy)
    assert (group.code, ask_again) == chosen


def test_equal_groups_of_tls12(pki: Pki) -> None:
    server = Policy.intermediate.replace(versions=("TLSv1.2",), groups=("x25519", "secp256r1"))
    client = pki.client_config(policy=server.replace(groups=("secp256r1", "x25519")))
    for equal, chosen in (((), "x25519"), ((("x25519", "secp256r1"),), "secp256r1")):
        config = pki.server_config(policy=server.replace(equal_groups=equal))
        assert memory_pair(client, config)[1].info.group == chosen
