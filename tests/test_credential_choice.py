"""Which of several credentials a side shows, what it signs with, and what it knows of it afterwards; both roles, both versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from minitls import (
    CertificateRequested,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Credential,
    PeerCertificates,
    Policy,
    Question,
    ServerConfig,
    ServerConnection,
)
from minitls.certificates.authority import Authority
from minitls.config import Danger
from minitls.errors import Alert, Misuse, PeerIncompatible, PeerMisbehaved
from minitls.sessions.store import MemoryStore
from minitls.testing import memory_pair
from minitls.wire.numbers import SignatureScheme
from tests.liar import meet

if TYPE_CHECKING:
    from minitls.info import ConnectionInfo
    from tests.conftest import Pki

S = SignatureScheme
VERSIONS = pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
ROLES = pytest.mark.parametrize("role", ["client", "server"])
PSS_256, PSS_384 = "rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384"


def speaking(version: str, **changes: Any) -> Policy:
    return Policy.intermediate.replace(versions=(version,), **changes)


def accepting(version: str, *schemes: str) -> Policy:
    """Of signatures in handshakes these alone; TLS 1.2 has one list for these and for those in certificates."""
    return speaking(version, signature_schemes=schemes, certificate_signature_schemes=schemes)


def shown(
    pki: Pki, role: str, ours: tuple[Credential, ...], version: str, theirs: Policy | None = None, **more: Any
) -> ConnectionInfo:
    """The info of a side with these credentials, which a peer of this policy asks for one.

    ``policy``: ours; ``trust``, ``authorities``: whom the peer trusts, and whether it says so; the rest is for a client.
    """
    theirs, policy = theirs or speaking(version), more.pop("policy", None) or speaking(version)
    trust, authorities = more.pop("trust", pki.trust), more.pop("authorities", False)
    if role == "server":
        client = ClientConfig(
            policy=theirs,
            trust=trust,
            verify=Danger.accept_any_certificate,
            send_certificate_authorities=authorities,
            session_store=None,
            grease=False,
        )
        return memory_pair(client, ServerConfig(credentials=ours, policy=policy))[1].info
    asked = {"client_auth": ClientAuth.request, "trust": trust if authorities else None}
    if not authorities:
        asked["verify"] = Danger.accept_any_certificate
    server = pki.server_config(policy=theirs.replace(signing_schemes=POLICY_SIGNS), **asked)
    client = pki.client_config(credentials=ours, policy=policy, verify=Danger.accept_any_certificate, **more)
    return memory_pair(client, server)[0].info


POLICY_SIGNS = tuple(SignatureScheme)
"""All: what is for TLS 1.2 alone, a policy of TLS 1.3 passes over."""


def proved_with(info: ConnectionInfo) -> str | None:
    return info.signature_scheme if info.role == "server" else info.client_signature_scheme


@VERSIONS
@ROLES
def test_the_first_of_several(pki: Pki, role: str, version: str) -> None:
    ours = tuple(pki.server(key, "other.example") for key in ("p256", "p384", "rsa2048"))
    assert shown(pki, role, ours, version).credential is ours[0]
    assert shown(pki, role, ours[1:], version).credential is ours[1]


@VERSIONS
@ROLES
def test_by_signature_scheme(pki: Pki, role: str, version: str) -> None:
    rsa, ecdsa = pki.server("rsa2048"), pki.server("p256")
    theirs = accepting(version, "ecdsa_secp256r1_sha256")
    for ours in ((rsa, ecdsa), (ecdsa, rsa)):
        info = shown(pki, role, ours, version, theirs)
        assert info.credential is ecdsa
        assert info.local_chain == ecdsa.chain
        assert proved_with(info) == "ecdsa_secp256r1_sha256"


@VERSIONS
@ROLES
def test_by_what_a_key_may_sign_with(pki: Pki, role: str, version: str) -> None:
    """Two of one key, each for another scheme."""
    rsa = pki.server("rsa2048")
    one, two = rsa.limited(signature_schemes=(PSS_384,)), rsa.limited(signature_schemes=(PSS_256,))
    theirs = accepting(version, PSS_256, "ecdsa_secp256r1_sha256")
    for ours in ((one, two), (two, one)):
        info = shown(pki, role, ours, version, theirs)
        assert info.credential is two
        assert proved_with(info) == PSS_256


@VERSIONS
@ROLES
def test_a_credentials_order_counts(pki: Pki, role: str, version: str) -> None:
    """Ours of those that the peer has, whatever its order (RFC 8446 section 4.4.2.2)."""
    rsa = pki.server("rsa2048")
    theirs = accepting(version, "ecdsa_secp256r1_sha256", PSS_256, PSS_384)
    for order in ((PSS_384, PSS_256), (PSS_256, PSS_384)):
        assert proved_with(shown(pki, role, (rsa.limited(signature_schemes=order),), version, theirs)) == order[0]


@ROLES
def test_a_curve_is_the_schemes_in_tls13_alone(pki: Pki, role: str) -> None:
    p384, p256 = pki.server("p384"), pki.server("p256")
    for version, expected in (("TLSv1.3", p256), ("TLSv1.2", p384)):
        info = shown(pki, role, (p384, p256), version, accepting(version, "ecdsa_secp256r1_sha256"))
        assert info.credential is expected


# what we sign with, and what we accept ---------------------------------------------------------------------------------------


@VERSIONS
@ROLES
def test_signing_is_not_accepting(pki: Pki, role: str, version: str) -> None:
    """A policy that accepts ECDSA alone, and signs with RSA alone."""
    both = (pki.server("p256"), pki.server("rsa2048"))
    accepts = accepting(version, "ecdsa_secp256r1_sha256").replace(signing_schemes=(PSS_384,))
    info = shown(pki, role, both, version, policy=accepts)
    if role == "client":
        assert info.signature_scheme == "ecdsa_secp256r1_sha256"  # the server's
    assert info.credential is both[1]
    assert proved_with(info) == PSS_384


def test_tls12_signs_with_pkcs1(pki: Pki) -> None:
    rsa = pki.server("rsa2048").limited(signature_schemes=("rsa_pkcs1_sha512", "rsa_pss_rsae_sha256"))
    assert rsa.schemes == (S.rsa_pss_rsae_sha256,)
    assert rsa.schemes12 == (S.rsa_pkcs1_sha512, S.rsa_pss_rsae_sha256)
    assert proved_with(shown(pki, "server", (rsa,), "TLSv1.2")) == "rsa_pkcs1_sha512"
    assert proved_with(shown(pki, "server", (rsa,), "TLSv1.3")) == "rsa_pss_rsae_sha256"
    alone = rsa.limited(signature_schemes=("rsa_pkcs1_sha512",))
    assert "rsa_pkcs1_sha512" in repr(alone)
    assert proved_with(shown(pki, "server", (alone,), "TLSv1.2")) == "rsa_pkcs1_sha512"
    with pytest.raises(PeerIncompatible) as caught:
        shown(pki, "server", (alone,), "TLSv1.3")
    assert caught.value.reason == "no_common_signature_algorithms"


def test_a_policy_of_tls12_may_accept_pkcs1_alone(pki: Pki) -> None:
    theirs = accepting("TLSv1.2", "rsa_pkcs1_sha256")
    info = shown(pki, "server", (pki.server("rsa2048"),), "TLSv1.2", theirs)
    assert info.peer_signature_schemes == (S.rsa_pkcs1_sha256,)
    assert proved_with(info) == "rsa_pkcs1_sha256"


def test_a_server_of_tls12_accepts_what_its_policy_has(pki: Pki) -> None:
    """What may sign certificates only may not sign the handshake."""
    policy = speaking("TLSv1.2", signature_schemes=(PSS_256,), signing_schemes=POLICY_SIGNS)
    server = pki.server_config(policy=policy, client_auth=ClientAuth.require, trust=pki.trust)
    client = pki.client_config(credential=pki.client("p256"), policy=speaking("TLSv1.2"))
    with pytest.raises(PeerIncompatible) as caught:
        memory_pair(client, server)
    assert caught.value.reason == "certificate_required"
    info = memory_pair(pki.client_config(credential=pki.client("rsa2048"), policy=speaking("TLSv1.2")), server)[0].info
    assert info.client_signature_scheme == PSS_256
    assert S.ecdsa_secp256r1_sha256 not in info.peer_signature_schemes


REFUSED = {
    "another key's": (("ed25519",), "cannot sign ed25519: it can sign rsa_pss_rsae_sha256, "),
    "another RSA": (("rsa_pss_pss_sha256", PSS_256), "cannot sign rsa_pss_pss_sha256"),
    "unknown": (("md5",), "unknown signature scheme 'md5'"),
    "none": ((), "at least one signature scheme"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_key_cannot_do(pki: Pki, what: str) -> None:
    schemes, says = REFUSED[what]
    with pytest.raises(Misuse, match=says):
        pki.server("rsa2048").limited(signature_schemes=schemes)


def test_limits_add_up(pki: Pki) -> None:
    rsa = pki.server("rsa2048")
    limited = rsa.limited(signature_schemes=(PSS_256, PSS_384)).limited(must_match_issuer=True)
    assert (limited.schemes, limited.must_match_issuer) == ((S.rsa_pss_rsae_sha256, S.rsa_pss_rsae_sha384), True)
    assert not limited.limited(must_match_issuer=False).must_match_issuer
    with pytest.raises(Misuse, match=r"it can sign rsa_pss_rsae_sha256, rsa_pss_rsae_sha384$"):
        limited.limited(signature_schemes=("rsa_pss_rsae_sha512",))
    assert (rsa.schemes[0], rsa.must_match_issuer) == (S.rsa_pss_rsae_sha256, False)


# by who issued it -------------------------------------------------------------------------------------------------------------

OTHER = Authority.create("another CA")


def credential_of(authority: Authority, role: str = "server") -> Credential:
    return authority.issue("localhost", client=role == "client").credential()


@VERSIONS
@ROLES
def test_only_for_peers_that_know_the_issuer(pki: Pki, role: str, version: str) -> None:
    ours = credential_of(pki.authority, role).limited(must_match_issuer=True)
    others = credential_of(OTHER, role).limited(must_match_issuer=True)
    for both in ((ours, others), (others, ours)):
        info = shown(pki, role, both, version, authorities=True)
        assert info.credential is ours
        assert info.certificate_authorities == pki.trust.subjects
    anyones = credential_of(OTHER, role)
    for both in ((anyones, others), (others, anyones)):
        assert shown(pki, role, both, version, authorities=role == "server", trust=pki.trust).credential is anyones


@ROLES
def test_a_peer_that_names_nobody(pki: Pki, role: str) -> None:
    """It is then not known to trust the issuer."""
    ours = credential_of(pki.authority).limited(must_match_issuer=True)
    if role == "client":
        info = shown(pki, role, (ours,), "TLSv1.3")
        assert (info.credential, info.client_signature_scheme, info.certificate_authorities) == (None, None, ())
        return
    with pytest.raises(PeerIncompatible) as caught:
        shown(pki, role, (ours,), "TLSv1.3")
    assert (caught.value.alert, caught.value.reason) == (Alert.handshake_failure, "no_matching_issuer")


# when none will do ------------------------------------------------------------------------------------------------------------


def none_fits(pki: Pki, version: str, what: str) -> tuple[tuple[Credential, ...], dict[str, Any]]:
    if what == "no_matching_issuer":
        return (credential_of(OTHER).limited(must_match_issuer=True),) * 2, {"authorities": True}
    theirs = accepting(version, PSS_256)
    return (pki.server("p256"), pki.server("p384")), {"theirs": theirs}


@VERSIONS
@pytest.mark.parametrize("what", ["no_common_signature_algorithms", "no_matching_issuer"])
def test_a_client_declines_or_fails(pki: Pki, version: str, what: str) -> None:
    """RFC 8446 section 4.4.2: an empty Certificate, unless its owner wants to know."""
    ours, more = none_fits(pki, version, what)
    theirs = more.pop("theirs", speaking(version))
    server = pki.server_config(
        policy=theirs.replace(signing_schemes=POLICY_SIGNS),
        client_auth=ClientAuth.request,
        trust=pki.trust,
        credentials=(pki.server(),),
    )
    client = pki.client_config(credentials=ours, policy=speaking(version))
    declined, _ = memory_pair(client, server)
    assert declined.info.credential is None
    assert declined.info.client_signature_scheme is None
    assert declined.info.peer_signature_schemes[:1] == (S(int(theirs.signature_schemes[0])),)
    client = pki.client_config(credentials=ours, policy=speaking(version), may_decline=False)
    with pytest.raises(PeerIncompatible) as caught:
        memory_pair(client, server)
    assert (caught.value.alert, caught.value.reason) == (Alert.handshake_failure, what)
    assert memory_pair(pki.client_config(may_decline=False), server)[0].info.credential is None  # there is nothing to show


@VERSIONS
def test_a_server_fails(pki: Pki, version: str) -> None:
    ours, more = none_fits(pki, version, "no_common_signature_algorithms")
    with pytest.raises(PeerIncompatible) as caught:
        shown(pki, "server", ours, version, **more)
    reason = "no_common_signature_algorithms" if version == "TLSv1.3" else "no_shared_cipher"
    assert (caught.value.alert, caught.value.reason) == (Alert.handshake_failure, reason)


def test_an_ecdsa_key_is_on_a_curve_of_the_clients_in_tls12(pki: Pki) -> None:
    """RFC 8422 section 5.3; TLS 1.3 has the curve in the scheme."""
    p256, p384 = pki.server("p256"), pki.server("p384")
    theirs = speaking("TLSv1.2", groups=("secp256r1", "x25519"))
    for ours in ((p256, p384), (p384, p256)):
        assert shown(pki, "server", ours, "TLSv1.2", theirs).credential is p256
    with pytest.raises(PeerIncompatible) as caught:
        shown(pki, "server", (p384,), "TLSv1.2", theirs)
    assert (caught.value.alert, caught.value.reason) == (Alert.handshake_failure, "wrong_curve")
    with pytest.raises(PeerIncompatible) as caught:
        shown(pki, "server", (p256.limited(must_match_issuer=True),), "TLSv1.2", theirs)
    assert (caught.value.alert, caught.value.reason) == (Alert.handshake_failure, "no_matching_issuer")
    assert shown(pki, "server", (p384, pki.server("rsa2048")), "TLSv1.2", theirs).signature_scheme == PSS_256
    assert shown(pki, "server", (pki.server("ed25519"),), "TLSv1.2", theirs).signature_scheme == "ed25519"
    assert shown(pki, "server", (p384,), "TLSv1.3", theirs.replace(versions=("TLSv1.3",))).credential is p384


def test_a_client_looks_at_the_curve_in_tls12(pki: Pki) -> None:
    """A policy of P-384 alone, and a server with a key on P-256, which can sign with SHA-384."""
    careless = pki.server("p256")
    careless.curve = None  # so that its server does not look
    with pytest.raises(PeerMisbehaved) as caught:
        shown(pki, "server", (careless,), "TLSv1.2", Policy.wpa3_192)
    assert (caught.value.alert, caught.value.reason) == (Alert.illegal_parameter, "wrong_curve")


def test_what_tls12_has_no_client_certificate_type_for(pki: Pki) -> None:
    ours = pki.client("mldsa44")
    server = pki.server_config(client_auth=ClientAuth.request, trust=pki.trust, policy=speaking("TLSv1.2"))
    assert memory_pair(pki.client_config(credential=ours), server)[0].info.credential is None
    with pytest.raises(PeerIncompatible) as caught:
        memory_pair(pki.client_config(credential=ours, may_decline=False), server)
    assert (caught.value.alert, caught.value.reason) == (Alert.handshake_failure, "unsupported_certificate_type")


def test_one_or_several(pki: Pki) -> None:
    one, other = pki.client(), pki.client("p384")
    assert ClientConfig(credential=one).own_credentials == ClientConfig(credentials=(one,)).own_credentials == (one,)
    assert ClientConfig(credentials=[one, other]).own_credentials == (one, other)  # type: ignore[arg-type]
    assert ClientConfig().own_credentials == ()
    with pytest.raises(Misuse, match="not both"):
        ClientConfig(credential=one, credentials=(other,))


def test_a_session_is_bound_to_all_of_them(pki: Pki) -> None:
    """What would be shown now may be another than when it was made."""
    from minitls.handshake.resume import identity_of

    one, other = pki.client(), pki.client("p384")
    assert len({identity_of(each) for each in ((), (one,), (one, other), (other, one))}) == 4


# what is known afterwards ------------------------------------------------------------------------------------------------------


@VERSIONS
def test_what_each_side_knows(pki: Pki, version: str) -> None:
    ours, theirs = pki.client("p384"), pki.server("ed25519")
    server = pki.server_config(credentials=(pki.server("p256", "other.example"), theirs), policy=speaking(version))
    client = pki.client_config(credentials=(ours,), policy=speaking(version), grease=False)
    at_client, at_server = (side.info for side in memory_pair(client, server))
    assert (at_client.credential, at_server.credential) == (None, theirs)  # nobody asked the client
    assert at_client.peer_signature_schemes == ()
    assert at_client.certificate_authorities == at_server.certificate_authorities == ()
    assert at_server.peer_signature_schemes == client.policy.all_schemes
    server = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust, policy=speaking(version))
    at_client = memory_pair(client, server)[0].info
    assert at_client.credential is ours
    assert at_client.peer_signature_schemes == server.policy.all_schemes
    assert at_client.certificate_authorities == pki.trust.subjects


# by asking --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_client_is_asked(pki: Pki, version: str) -> None:
    """When the server asks, and what it says of itself is known; not where it does not ask, and not when it is resumed."""
    asked: list[CertificateRequested] = []
    first, other = pki.client(), pki.client("p384")

    def choose(request: CertificateRequested) -> Credential | None:
        asked.append(request)
        return other if len(asked) == 1 else None

    config = pki.client_config(credential=first, select_credential=choose, policy=speaking(version), session_store=MemoryStore())
    theirs = {"client_auth": ClientAuth.request, "trust": pki.trust}
    client, server = memory_pair(config, pki.server_config(**theirs))
    assert (client.info.credential, server.info.peer_chain) == (other, other.chain)
    (request,) = asked
    assert request.server == PeerCertificates(client.info.peer_chain, client.info.verified_chain, "localhost")
    assert request.certificate_authorities == pki.trust.subjects
    assert request.signature_schemes == client.info.peer_signature_schemes
    memory_pair(config, pki.server_config())
    assert len(asked) == 1
    client, server = memory_pair(config, pki.server_config(**theirs))
    assert (client.info.credential, server.info.peer_chain, len(asked)) == (first, first.chain, 2)


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_nobody_returns_as_who_was_chosen_before(pki: Pki, version: str) -> None:
    """A session is its owner's: who may be somebody else by now makes a full handshake, and who showed nothing may come back."""
    people = [pki.client("p384"), pki.client(), None, None]
    answers = iter(people)
    config = pki.client_config(
        select_credential=lambda request: next(answers), policy=speaking(version), session_store=MemoryStore()
    )
    server = pki.server_config(client_auth=ClientAuth.request, trust=pki.trust)
    for person, resumed in zip(people, (False, False, False, True), strict=True):
        info = memory_pair(config, server)[1].info
        assert (info.resumed, info.peer_chain) == (resumed, () if person is None else person.chain)
    assert next(answers) is None  # was not asked the last time


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_client_that_is_asked_refuses(pki: Pki, version: str) -> None:
    """By an error of its own, which is told as internal_error; or it answers None, and has none: that declines."""

    def refuse(request: CertificateRequested) -> Credential:
        raise LookupError("nobody is at the keyboard")

    theirs = pki.server_config(client_auth=ClientAuth.request, trust=pki.trust)
    config = pki.client_config(select_credential=refuse, policy=speaking(version))
    meeting = meet(ClientConnection(config, server_hostname="localhost"), ServerConnection(theirs))
    assert isinstance(meeting.client_error, LookupError)
    assert meeting.alert_heard_by(meeting.server) == Alert.internal_error
    _, server = memory_pair(pki.client_config(select_credential=lambda request: None, policy=speaking(version)), theirs)
    assert server.info.peer_chain == ()


def test_a_client_that_takes_its_time(pki: Pki) -> None:
    """In the handshake, and after it."""

    async def later(request: CertificateRequested) -> Credential:
        return pki.client()

    config = pki.client_config(select_credential=later, post_handshake_auth=True)
    for auth in ({"client_auth": ClientAuth.require}, {"post_handshake_auth": True}):
        client = ClientConnection(config, server_hostname="localhost")
        server = ServerConnection(pki.server_config(trust=pki.trust, **auth))
        events = meet(client, server).client_events
        if "post_handshake_auth" in auth:
            server.request_client_certificate()
            events = meet(client, server).client_events
        (question,) = [each for each in events if isinstance(each, Question)]
        assert question.name == "later"
        client.answer(question, pki.client())
        meet(client, server)
        assert server.info.peer_chain == pki.client().chain
        assert client.info.credential is not None
        assert client.info.credential.chain == pki.client().chain
        assert client.info.certificate_authorities == pki.trust.subjects
        assert client.info.peer_signature_schemes == Policy.intermediate.all_schemes
