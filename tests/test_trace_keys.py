"""The key schedule as it is told: the hashes and names are those that the two sides really used, and no secret shows unasked."""

from __future__ import annotations

import hashlib

import pytest

from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import SUITES_12
from minitls.observe import KeyInstalled
from minitls.testing import exchange
from minitls.trace.keys import (
    EARLY,
    HANDSHAKE,
    MAIN,
    MASTER,
    PREMASTER,
    Derivation,
    KeySchedule,
    derivations,
    installed,
    name_of_secret,
    values,
)
from minitls.trace.recording import Recording
from minitls.wire.hello import Message, ServerHello
from minitls.wire.messages import Finished
from tests.conftest import Pki
from tests.runs import RUNS, recorded, run

TLS_13 = [name for name in RUNS if name.startswith("tls13")]
TLS_12 = [name for name in RUNS if name.startswith("tls12")]


def by_name(recording: Recording) -> dict[str, Derivation]:
    found = derivations(recording)
    names = [each.name for each in found]
    assert len(names) == len(set(names)), names
    return {each.name: each for each in found}


def secret_of(recording: Recording, label: str) -> bytes:
    return next(bytes.fromhex(line.split()[2]) for line in recording.key_log if line.startswith(f"{label} "))


@pytest.mark.parametrize("name", TLS_13)
def test_the_hashes_are_those_that_finished_proves(pki: Pki, name: str) -> None:
    """Finished is made of the transcript up to it: what is told of the transcript leads to the very bytes that were sent."""
    for recording in recorded(pki, name, keep_secrets=True):
        found = by_name(recording)
        suite = SUITES[recording.messages(ServerHello)[0][1].cipher_suite]
        # At the client's Finished the schedule has hashed through it: what stands before is asked of a schedule that stops there.
        for by_client in (False, True):
            schedule = KeySchedule(recording.role)
            until, _ = recording.messages(Finished, by_client=by_client)[0]
            for entry in recording.timeline[: recording.timeline.index(until)]:
                list(schedule(entry))
            transcript = schedule._traffic(0.0, HANDSHAKE, "", "", "").digest
            who = "CLIENT" if by_client else "SERVER"
            label = f"{who}_HANDSHAKE_TRAFFIC_SECRET"
            secret = TrafficSecret(suite.hash_name, secret_of(recording, label), label)
            sent = recording.messages(Finished, by_client=by_client)[0][1]
            assert secret.verify_data(bytes.fromhex(transcript)) == sent.verify_data
        assert list(found)[:1] == [EARLY]
        assert found[HANDSHAKE].parent == EARLY
        assert found[MAIN].parent == HANDSHAKE
        assert found["client_handshake_traffic_secret"].over[-1] == "ServerHello"
        assert found["server_application_traffic_secret_0"].over[-1] == "Finished"
        assert found["resumption_master_secret"].over[-1] == "Finished"
        assert len(found["resumption_master_secret"].over) > len(found["server_application_traffic_secret_0"].over)
        assert all(each.parent in found or not each.parent for each in found.values())


@pytest.mark.parametrize("name", RUNS)
def test_both_sides_tell_the_same(pki: Pki, name: str) -> None:
    def told(recording: Recording) -> set[tuple[object, ...]]:
        return {(each.name, each.formula, each.over, each.digest, each.length) for each in derivations(recording)}

    ours, theirs = recorded(pki, name)
    assert told(ours) == told(theirs)


@pytest.mark.parametrize("name", RUNS)
def test_every_key_that_is_used_is_derived(pki: Pki, name: str) -> None:
    for recording in recorded(pki, name):
        assert set(installed(recording)) <= set(by_name(recording))
        assert {entry.sent for entry in recording.all(KeyInstalled)} == {True, False}


@pytest.mark.parametrize("name", TLS_12)
def test_the_key_block_of_tls12(pki: Pki, name: str) -> None:
    for recording in recorded(pki, name, keep_secrets=True):
        found = by_name(recording)
        answer = recording.messages(ServerHello)[0][1]
        suite = SUITES_12[answer.cipher_suite]
        resumed = "resumed" in name
        assert (PREMASTER in found) != resumed
        assert found["client write key"].parent == "key block"
        shown = values(recording.key_log, suite.name, answer.random)
        assert shown[MASTER] == [("secret", secret_of(recording, "CLIENT_RANDOM").hex())]
        for who in ("client", "server"):
            assert sum(len(value) for _, value in shown[f"{who} write key"]) == 2 * found[f"{who} write key"].length
        if not resumed:
            assert found[MASTER].label == "extended master secret"
            assert found[MASTER].over[-1] == "ClientKeyExchange"
            raws = b"".join(message.raw for _, message in recording.messages(Message)[: len(found[MASTER].over)])
            assert found[MASTER].digest == hashlib.new(suite.hash_name, raws).hexdigest()


def test_a_retry_is_hashed_as_such(pki: Pki) -> None:
    ours, _ = recorded(pki, "tls13-retry")
    found = by_name(ours)
    assert found["client_handshake_traffic_secret"].over == ("message_hash", "HelloRetryRequest", "ClientHello", "ServerHello")


def test_where_secrets_come_from(pki: Pki) -> None:
    assert "ECDHE and ML-KEM shared secret of X25519MLKEM768" in by_name(recorded(pki, "tls13")[0])[HANDSHAKE].formula
    assert by_name(recorded(pki, "tls13-resumed")[0])[EARLY].formula == "HKDF-Extract(0, PSK)"
    assert by_name(recorded(pki, "tls13")[0])[EARLY].formula == "HKDF-Extract(0, no PSK: zeros)"
    early = by_name(recorded(pki, "tls13-early-data")[0])["client_early_traffic_secret"]
    assert (early.parent, early.over) == (EARLY, ("ClientHello",))
    assert "RSA key" in by_name(recorded(pki, "tls12-rsa")[0])[PREMASTER].formula


def test_key_updates_go_on(pki: Pki) -> None:
    ours, theirs, client, server = run(pki, "tls13", talk=False)
    client.update_keys(request_peer=True)
    exchange(client, server)
    server.send_data(b"the server's next key, too")
    exchange(client, server)
    client.update_keys()
    exchange(client, server)
    for recording in (ours, theirs):
        found = by_name(recording)
        assert found["client_application_traffic_secret_2"].parent == "client_application_traffic_secret_1"
        assert found["server_application_traffic_secret_1"].parent == "server_application_traffic_secret_0"
        assert set(installed(recording)) <= set(found)
    assert installed(ours)["client_application_traffic_secret_2"][0].sent
    assert not installed(theirs)["client_application_traffic_secret_2"][0].sent


def test_no_secret_unasked(pki: Pki) -> None:
    """What is told without asking has no byte string of the key log, nor any key made of it."""
    for name in RUNS:
        ours, _ = recorded(pki, name, keep_secrets=True)
        suite = next(ours.all(KeyInstalled)).cipher_suite
        server_random = ours.messages(ServerHello)[0][1].random
        secrets = {value for each in values(ours.key_log, suite, server_random).values() for _, value in each}
        assert secrets
        assert not any(secret in repr(derivations(ours)) for secret in secrets)
        assert not any(secret in repr(ours) for secret in secrets)
        assert recorded(pki, name)[0].key_log == []


def test_names() -> None:
    assert name_of_secret("CLIENT_TRAFFIC_SECRET_12") == "client_application_traffic_secret_12"
    assert name_of_secret("client write key") == "client write key"
