"""Revocation and transparency in handshakes of both versions: stapled OCSP responses, must-staple, CRLs, SCTs."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from minitls import Alert, AlertReceived, CertificateError, ClientAuth, Danger, PeerCertificates, Policy
from minitls.certificates.crl import Crls
from minitls.certificates.sct import Logs
from minitls.sessions.store import MemoryStore
from minitls.testing import memory_pair
from tests.conftest import NOW, Pki
from tests.liar import Meeting, meet

VERSIONS = ["TLSv1.3", "TLSv1.2"]
both_versions = pytest.mark.parametrize("version", VERSIONS)


def meeting(pki: Pki, version: str, client: dict[str, Any], server: dict[str, Any]) -> Meeting:
    from minitls import ClientConnection, ServerConnection

    policy = Policy.intermediate.replace(versions=(version,))
    ours = ClientConnection(pki.client_config(policy=policy, **client), server_hostname="localhost")
    return meet(ours, ServerConnection(pki.server_config(policy=policy, **server)))


def refused(met: Meeting, reason: str, alert: Alert) -> CertificateError:
    """By the client, and the server hears why."""
    error = met.client.error
    assert isinstance(error, CertificateError), error
    assert (error.reason, error.alert) == (reason, alert)
    assert error.chain
    assert isinstance(met.server.error, AlertReceived)
    assert met.server.error.alert is alert
    return error


@both_versions
def test_a_good_staple(pki: Pki, version: str) -> None:
    met = meeting(pki, version, {"request_staples": True}, {"credentials": (pki.stapled,)})
    assert met.completed == (True, True)
    beside = met.client.info.beside
    assert beside is not None
    assert beside.staple is not None
    assert beside.staple.until is not None
    assert beside.staple.until > NOW


@both_versions
def test_no_staple(pki: Pki, version: str) -> None:
    """Nobody promised one."""
    met = meeting(pki, version, {"request_staples": True}, {})
    assert met.completed == (True, True)
    assert met.client.info.beside is not None
    assert met.client.info.beside.staple is None


@both_versions
@pytest.mark.parametrize(
    ("status", "at", "reason", "alert"),
    [
        ("revoked", NOW, "revoked", Alert.certificate_revoked),
        ("unknown", NOW, "ocsp_unknown", Alert.bad_certificate_status_response),
        ("good", NOW - datetime.timedelta(days=90), "ocsp_expired", Alert.bad_certificate_status_response),
        ("good", NOW + datetime.timedelta(days=1), "ocsp_not_yet_valid", Alert.bad_certificate_status_response),
    ],
)
def test_a_staple_that_is_not_good(pki: Pki, version: str, status: str, at: datetime.datetime, reason: str, alert: Alert) -> None:
    issued = pki.issue("localhost")
    response = pki.authority.ocsp_response(issued, status, at=at)
    credential = issued.credential().stapled(ocsp_response=response)
    refused(meeting(pki, version, {"request_staples": True}, {"credentials": (credential,)}), reason, alert)


@both_versions
def test_a_staple_that_is_none(pki: Pki, version: str) -> None:
    credential = pki.server().stapled(ocsp_response=b"an OCSP response")
    met = meeting(pki, version, {"request_staples": True}, {"credentials": (credential,)})
    refused(met, "ocsp_malformed", Alert.bad_certificate_status_response)


@both_versions
def test_somebody_elses_staple(pki: Pki, version: str) -> None:
    other = pki.issue("special.example")
    credential = pki.server().stapled(ocsp_response=pki.authority.ocsp_response(other))
    met = meeting(pki, version, {"request_staples": True}, {"credentials": (credential,)})
    refused(met, "ocsp_other_certificate", Alert.bad_certificate_status_response)


@both_versions
def test_must_staple(pki: Pki, version: str) -> None:
    """RFC 7633: what the certificate promises has to come, to who asks for it."""
    issued = pki.authority.issue("localhost", must_staple=True)
    bare, stapled = issued.credential(), issued.credential().stapled(ocsp_response=pki.authority.ocsp_response(issued))
    error = refused(
        meeting(pki, version, {"request_staples": True}, {"credentials": (bare,)}),
        "staple_missing",
        Alert.bad_certificate_status_response,
    )
    assert error.remedy
    assert meeting(pki, version, {"request_staples": True}, {"credentials": (stapled,)}).completed == (True, True)
    assert meeting(pki, version, {}, {"credentials": (bare,)}).completed == (True, True)  # nobody asked


def test_what_nobody_verifies_is_not_looked_at(pki: Pki) -> None:
    """Without a verified path there is no issuer who could have signed the response."""
    credential = pki.server().stapled(ocsp_response=b"an OCSP response")
    config = pki.client_config(request_staples=True, verify=Danger.accept_any_certificate)
    client, _ = memory_pair(config, pki.server_config(credentials=(credential,)))
    assert client.info.beside is None
    assert client.info.ocsp_response == b"an OCSP response"


@both_versions
def test_crls(pki: Pki, version: str) -> None:
    """The caller's lists: for servers, and for clients."""
    good, bad = pki.issue("localhost"), pki.authority.issue("localhost")
    crls = Crls.from_bytes(pki.authority.crl(bad))
    assert meeting(pki, version, {"crls": crls}, {"credentials": (good.credential(),)}).completed == (True, True)
    error = refused(
        meeting(pki, version, {"crls": crls}, {"credentials": (bad.credential(),)}), "revoked", Alert.certificate_revoked
    )
    assert "revoked" in str(error)
    revoked = pki.authority.issue("client", client=True)
    theirs = {"client_auth": ClientAuth.require, "trust": pki.trust, "crls": Crls.from_bytes(pki.authority.crl(revoked))}
    met = meeting(pki, version, {"credential": revoked.credential()}, theirs)
    assert isinstance(met.server.error, CertificateError)
    assert met.server.error.reason == "revoked"
    assert meeting(pki, version, {"credential": pki.client()}, theirs).completed == (True, True)


def test_a_session_does_not_outlive_a_revocation(pki: Pki) -> None:
    """What is resumed is looked up again."""
    store, issued = MemoryStore(), pki.authority.issue("localhost")
    server = pki.server_config(credentials=(issued.credential(),))
    memory_pair(pki.client_config(session_store=store), server)
    crls = Crls.from_bytes(pki.authority.crl(issued))
    with pytest.raises(CertificateError, match="revoked"):
        memory_pair(pki.client_config(session_store=store, crls=crls), server)


@both_versions
def test_logs(pki: Pki, version: str) -> None:
    """Nobody logged the development CA's certificates: told where nobody asks for more, refused where somebody does."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    told = meeting(pki, version, {"logs": Logs([(key, "a log")])}, {})
    assert told.completed == (True, True)
    assert told.client.info.beside is not None
    assert told.client.info.beside.timestamps == ()
    error = meeting(pki, version, {"logs": Logs([(key, "a log")], at_least=1)}, {}).client.error
    assert isinstance(error, CertificateError)
    assert error.reason == "not_logged"


@both_versions
def test_a_verify_hook_sees_the_verdict_so_far(pki: Pki, version: str) -> None:
    """The chain, the path, and what came beside it; it may add to that, and refuses by raising."""
    shown: list[PeerCertificates] = []

    def hook(peer: PeerCertificates) -> None:
        shown.append(peer)
        if peer.beside is None or peer.beside.staple is None:
            raise CertificateError(Alert.bad_certificate_status_response, "we want a staple", reason="our_rule")

    ours = {"request_staples": True, "verify": hook}
    assert meeting(pki, version, ours, {"credentials": (pki.stapled,)}).completed == (True, True)
    (peer,) = shown
    assert peer.chain == pki.stapled.chain
    assert peer.path[0] == peer.chain[0]
    assert peer.server_name == "localhost"
    met = meeting(pki, version, ours, {})
    assert isinstance(met.client.error, CertificateError)
    assert met.client.error.reason == "our_rule"
