"""A session outlives no trust: certificates, raw keys and staples are looked at again, unless somebody says not to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from minitls import CertificateError, ClientAuth, ClientConfig, Credential, Danger, Policy, ServerConfig, TrustStore
from minitls.certificates.raw import RawKey
from minitls.data import replace
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.testing import memory_pair
from tests.chains import HOST, ca, leaf
from tests.conftest import Pki
from tests.test_certificates_ocsp import HOUR, NOW, respond

VERSIONS = ["TLSv1.3", "TLSv1.2"]


def policy_of(version: str) -> Policy:
    return Policy.intermediate.replace(versions=(version,))


def nobody(*_: Any) -> None:
    raise CertificateError(None, "nobody any more", reason="changed_its_mind")  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", ["client", "server"])
def test_what_held_once(pki: Pki, who: str, version: str) -> None:
    """The side that would refuse now: with ``reverify`` there is a full handshake, which fails; without, none is asked."""
    client = pki.client_config(credential=pki.client(), session_store=MemoryStore(), policy=policy_of(version))
    server = pki.server_config(trust=pki.trust, client_auth=ClientAuth.require, tickets=TicketKeys())

    def meet(**changes: Any) -> Any:
        ours, theirs = (replace(client, **changes), server) if who == "client" else (client, replace(server, **changes))
        met = memory_pair(ours, theirs, server_hostname="localhost")
        return met[who == "server"].info

    first = meet()
    assert first.verified_chain
    again = meet(reverify=False, verify=nobody)
    assert (again.resumed, again.peer_chain, again.verified_chain) == (True, first.peer_chain, ())
    again = meet()
    assert (again.resumed, again.verified_chain) == (True, first.verified_chain)
    with pytest.raises(CertificateError, match="nobody any more"):
        meet(verify=nobody)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", ["client", "server"])
def test_what_never_held(pki: Pki, who: str, version: str) -> None:
    """A session that began in danger is none for who is in less, though it does not look again: another config, the same store."""
    client = pki.client_config(session_store=MemoryStore(), policy=policy_of(version), reverify=False)
    server = pki.server_config(tickets=TicketKeys(), reverify=False)
    if who == "client":
        server = replace(server, credentials=(pki.untrusted,))
    else:
        client = replace(client, credential=pki.untrusted)
        server = replace(server, trust=pki.trust, client_auth=ClientAuth.require)

    def meet(verify: Any, name: str = "localhost") -> Any:
        ours, theirs = (replace(client, verify=verify), server) if who == "client" else (client, replace(server, verify=verify))
        return memory_pair(ours, theirs, server_hostname=name)[0].info.resumed

    assert [meet(Danger.accept_any_certificate) for _ in range(2)] == [False, True]
    with pytest.raises(CertificateError):
        meet(None)
    if who == "client":
        server = replace(server, credentials=(pki.server(),))
        assert [meet(Danger.accept_any_name, "other.example") for _ in range(2)] == [False, True]
        with pytest.raises(CertificateError):
            meet(None, "other.example")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_staple_that_has_expired(version: str) -> None:
    """What it says is there for a resumed connection, too; when it is too old, the server shows its certificate and a fresh one."""
    root = ca("root")
    made = leaf(root)
    at = [NOW]
    whole = Credential.from_cryptography([made.certificate], made.key)
    fresh, later = respond(made, root, until=NOW + HOUR), respond(made, root, since=NOW + HOUR, until=NOW + 3 * HOUR)
    client = ClientConfig(
        trust=TrustStore.from_certificates([root.certificate]),
        session_store=MemoryStore(),
        request_staples=True,
        policy=policy_of(version),
        clock=lambda: at[0].timestamp(),
    )
    server = ServerConfig(credentials=(whole.stapled(ocsp_response=fresh),), clock=client.clock)

    def meet(**changes: Any) -> Any:
        info = memory_pair(client, replace(server, **changes), server_hostname=HOST)[0].info
        return info.resumed, info.ocsp_response, info.beside

    first = meet()
    assert first[:2] == (False, fresh)
    assert meet() == (True, *first[1:])
    at[0] = NOW + 2 * HOUR
    renewed = meet(credentials=(whole.stapled(ocsp_response=later),))
    assert renewed[:2] == (False, later)
    assert renewed[2].staple.until == datetime.fromtimestamp((NOW + 3 * HOUR).timestamp(), UTC).replace(microsecond=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_s_type_that_is_not_taken_any_more(pki: Pki, version: str) -> None:
    """RFC 7250: what a session was made with is what the client takes now, or there is no resumption; the answer says which."""
    key = Credential.raw(pki.server().leaf.public_key(), signer=pki.server().sign)
    assert isinstance(key, RawKey)
    store = MemoryStore()
    config = pki.client_config(trusted_keys=key.chain, session_store=store, policy=policy_of(version))
    server = pki.server_config(credentials=(key, pki.server()))
    for resumed in (False, True):
        info = memory_pair(config, server, server_hostname="localhost")[1].info
        assert (info.resumed, info.server_certificate_type.name) == (resumed, "RawPublicKey")
    forgets = replace(config, trusted_keys=(), accepted_certificate_types=None, reverify=False)
    info = memory_pair(forgets, server, server_hostname="localhost")[0].info
    assert (info.resumed, info.server_certificate_type.name) == (False, "X509")
