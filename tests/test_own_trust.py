"""A trust store of the application's own: rules that nobody else has, here and in sessions; and what stays ours to check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509

from minitls import Alert, CertificateError, ClientAuth, ClientConfig, Danger, Policy, ServerConfig, TLSError, TrustStore
from minitls.certificates.credentials import Credential
from minitls.certificates.crl import Crls
from minitls.certificates.sct import Logs
from minitls.data import replace
from minitls.sessions.store import MemoryStore
from minitls.testing import memory_pair
from tests.chains import NOW, Made, ca, key, make
from tests.conftest import Pki

VERSIONS = ["TLSv1.3", "TLSv1.2"]
Chain = Sequence[bytes | x509.Certificate]


def policy_of(version: str) -> Policy:
    return Policy.intermediate.replace(versions=(version,))


class Spiffe(TrustStore):
    """Who a peer is, a URI in its certificate says: the path is found as ever, and no DNS name matters."""

    allowed = "spiffe://example.org/db"

    def _ours(self, path: list[x509.Certificate]) -> list[x509.Certificate]:
        names = path[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if self.allowed not in names.get_values_for_type(x509.UniformResourceIdentifier):
            raise CertificateError(Alert.certificate_unknown, "another workload", reason="wrong_spiffe_id")
        return path

    def verify(self, chain: Chain, server_name: str | None, at: datetime | None = None) -> list[x509.Certificate]:
        return self._ours(super().verify(chain, None, at))

    def verify_client(self, chain: Chain, at: datetime | None = None) -> list[x509.Certificate]:
        return self._ours(super().verify_client(chain, at))


class FirstUse(TrustStore):
    """Whoever was there first; nobody vouches for it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str | None, bytes] = {}
        self.asked = 0

    def verify(self, chain: Chain, server_name: str | None, at: datetime | None = None) -> list[x509.Certificate]:
        self.asked += 1
        leaf = chain[0]
        assert isinstance(leaf, bytes)
        if self.seen.setdefault(server_name, leaf) != leaf:
            raise CertificateError(Alert.bad_certificate, "another certificate than the first time", reason="changed")
        return []


def workload(root: Made, uri: str) -> Credential:
    made = make("", root, names=[f"uri:{uri}"], critical_names=True, purposes=None)
    return Credential.from_cryptography([made.certificate], made.key)


@pytest.mark.parametrize("version", VERSIONS)
def test_spiffe(version: str) -> None:
    """Both sides by the same rules; then somebody else, whom the same CA vouches for, on either side."""
    root = ca("root")
    store = Spiffe.from_certificates([root.certificate])
    assert type(store) is Spiffe
    ours, other = workload(root, Spiffe.allowed), workload(root, "spiffe://example.org/web")
    client = ClientConfig(trust=store, credential=ours, policy=policy_of(version), session_store=None)
    server = ServerConfig(credentials=(ours,), trust=store, client_auth=ClientAuth.require)
    met = memory_pair(client, server, server_hostname="10.0.0.7")
    for side in met:
        assert len(side.info.verified_chain) == 2
    for pair in (client, replace(server, credentials=(other,))), (replace(client, credential=other), server):
        with pytest.raises(CertificateError) as caught:
            memory_pair(*pair, server_hostname="10.0.0.7")
        assert (caught.value.reason, caught.value.alert) == ("wrong_spiffe_id", Alert.certificate_unknown)


@pytest.mark.parametrize("version", VERSIONS)
def test_trust_on_first_use(pki: Pki, version: str) -> None:
    """No path is no chain that was verified; sessions are judged by the same rules, by what they remember."""
    store = FirstUse()
    client = ClientConfig(trust=store, policy=policy_of(version), session_store=MemoryStore())
    strange, other = (replace(pki.server_config(), credentials=(each,)) for each in (pki.self_signed, pki.untrusted))
    for resumed in (False, True):
        info = memory_pair(client, strange, server_hostname="localhost")[0].info
        assert (info.resumed, info.verified_chain, len(info.peer_chain)) == (resumed, (), 1)
    assert store.asked == 2
    with pytest.raises(CertificateError, match="another certificate"):
        memory_pair(client, other, server_hostname="localhost")
    store.seen["localhost"] = b"another from the beginning"  # while there is a session with the one that is no more
    with pytest.raises(CertificateError, match="another certificate"):
        memory_pair(client, strange, server_hostname="localhost")


def test_it_hears_of_no_name_where_none_matters(pki: Pki) -> None:
    store = FirstUse()
    client = ClientConfig(trust=store, verify=Danger.accept_any_name, session_store=None)
    memory_pair(client, pki.server_config(), server_hostname="localhost")
    assert list(store.seen) == [None]


def test_it_cannot_believe_who_has_not_the_key(pki: Pki) -> None:
    """The signature is ours to check, whoever judges the chain."""
    real, strange = pki.server(), pki.untrusted
    thief = Credential(real.chain, signer=strange.sign)
    with pytest.raises(TLSError) as caught:
        memory_pair(ClientConfig(trust=FirstUse()), replace(pki.server_config(), credentials=(thief,)), server_hostname="localhost")
    assert caught.value.reason == "bad_signature"


@pytest.mark.parametrize("rule", ["pinned_keys", "crls", "logs"])
def test_rules_for_paths_hold_where_there_is_none(pki: Pki, rule: str) -> None:
    """Nobody is let in because there was nothing to look at."""
    rules: dict[str, Any] = {
        "pinned_keys": (bytes(32),),
        "crls": Crls(()),
        "logs": Logs([(key().public_key(), "a log")], at_least=1),
    }
    client = ClientConfig(trust=FirstUse(), session_store=None, **{rule: rules[rule]})
    with pytest.raises(CertificateError) as caught:
        memory_pair(client, pki.server_config(), server_hostname="localhost")
    assert (caught.value.reason, caught.value.alert) == ("no_path", Alert.bad_certificate)
    assert caught.value.chain == pki.server().chain


def test_nobody_is_believed_by_default(pki: Pki) -> None:
    """A store without certificates, whose rules are for servers alone: no client is let in."""
    with pytest.raises(CertificateError):
        FirstUse().verify_client(pki.client().chain, NOW)


def test_the_system_s_with_other_rules() -> None:
    """No store that only looks like it."""
    assert type(Spiffe.system()) is Spiffe
    assert Spiffe.system() is Spiffe.system() is not TrustStore.system()
