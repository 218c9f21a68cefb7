"""Runs of every kind, saved and read again, and their documents held against the schema."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from minitls import Danger, TLSError
from minitls.observe import MessageSeen
from minitls.testing import memory_pair
from minitls.trace.figure import figure
from minitls.trace.html import page
from minitls.trace.json import SCHEMA, document_of, dump, schema
from minitls.trace.pcapng import capture
from minitls.trace.recording import Recording, TcpClosed, TcpOpened, WireSeen
from minitls.trace.run import FORMAT, Run, load, save
from minitls.trace.text import draw
from minitls.trace.verdict import verdict
from tests.conftest import Pki
from tests.runs import RUNS, run


def strict(part: Any) -> Any:
    """The schema without room for fields that it does not name: what we print is all in it."""
    if isinstance(part, dict):
        closed = {"additionalProperties": False} if "properties" in part else {}
        return {name: strict(value) for name, value in part.items()} | closed
    return [strict(each) for each in part] if isinstance(part, list) else part


VALIDATOR = jsonschema.Draft202012Validator(strict(json.loads(schema())))


def runs_of(pki: Pki, name: str) -> list[Run]:
    ours, theirs, client, server = run(pki, name, keep_secrets=True)
    target = {"host": "localhost", "port": 8443}
    return [Run.of(ours, client.info, target=target), Run.of(theirs, server.info)]


def failed(pki: Pki) -> Run:
    seen = Recording("client")
    with pytest.raises(TLSError) as caught:
        memory_pair(pki.client_config(observer=seen), pki.server_config(credentials=(pki.expired,)))
    return Run.of(seen, None, target={"url": "https://localhost/"}, error=caught.value)


def documents(pki: Pki) -> list[dict[str, Any]]:
    return [document_of(each) for name in RUNS for each in runs_of(pki, name)] + [document_of(failed(pki))]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema()))
    assert SCHEMA in schema()


def test_every_run_follows_the_schema(pki: Pki) -> None:
    found = documents(pki)
    for each in found:
        VALIDATOR.validate(json.loads(dump(each)))
    VALIDATOR.validate({"schema": SCHEMA, "client": found[0], "server": found[1]})
    kinds = {entry["type"] for each in found for entry in each["trace"]}
    assert kinds == {"message", "change_cipher_spec", "alert", "data", "key", "chosen", "chain_verified", "tcp_closed"}


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "minitls/2"},
        {"role": "eavesdropper"},
        {"more": 1},
        {"bytes": {"sent": -1, "received": 0}},
        {"trace": [{"at": 0, "type": "message"}]},
        {"peer_chain": [{"der": "no hex"}]},
    ],
)
def test_the_schema_refuses_what_is_none(pki: Pki, change: dict[str, Any]) -> None:
    found = document_of(runs_of(pki, "tls13")[0])
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(found | change)


@pytest.mark.parametrize("name", RUNS)
def test_a_saved_run_is_the_same_in_every_form(pki: Pki, name: str) -> None:
    for before in runs_of(pki, name):
        (after,) = load(save([before], secrets=True))
        assert after.recording.key_log == before.recording.key_log
        assert document_of(after) == document_of(before)
        assert capture([after.recording]) == capture([before.recording])
        assert page(after, secrets=True) == page(before, secrets=True)
        for form in ("messages", "wire", "keys"):
            assert draw(after.recording.role, after.recording.timeline, form=form) == draw(
                before.recording.role, before.recording.timeline, form=form
            )
        hidden = (TcpOpened, TcpClosed, WireSeen)
        shown = [[entry for entry in each.recording.timeline if not isinstance(entry, hidden)] for each in (before, after)]
        assert figure(shown[0]) == figure(shown[1])


def test_a_failed_run_is_kept_with_its_error(pki: Pki) -> None:
    before = failed(pki)
    (after,) = load(save([before]))
    assert after.error == before.error
    assert after.error is not None
    assert after.error["alert"] == "certificate_expired"
    assert after.peer_chain == before.peer_chain


def test_secrets_are_saved_only_for_who_asks(pki: Pki) -> None:
    (ours, _) = runs_of(pki, "tls13")
    secrets = [line.split()[2] for line in ours.recording.key_log]
    assert secrets
    assert not any(secret.encode() in save([ours]) for secret in secrets)
    assert all(secret.encode() in save([ours], secrets=True) for secret in secrets)


def damaged(pki: Pki) -> dict[str, bytes]:
    whole: dict[str, Any] = json.loads(save([runs_of(pki, "tls13")[0]], secrets=True))
    message = next(number for number, entry in enumerate(whole["runs"][0]["timeline"]) if entry["entry"] == MessageSeen.__name__)

    def changed(*path: Any, to: Any) -> bytes:
        copy = json.loads(json.dumps(whole))
        place = copy["runs"][0]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to
        return json.dumps(copy).encode()

    return {
        "no JSON": b"\x16\x03\x01",
        "not text": b"\xff\xfe",
        "a list": b"[]",
        "another format": json.dumps({"format": "minitls-run/9", "runs": []}).encode(),
        "empty": json.dumps({"format": FORMAT, "runs": []}).encode(),
        "nested": b'{"format":' * 100000,
        "role": changed("role", to="<script>"),
        "no timeline": changed("timeline", to=None),
        "unknown entry": changed("timeline", 0, "entry", to="Exploded"),
        "a moment that is none": changed("timeline", 0, "at", to="<b>"),
        "a field too many": changed("timeline", 0, "more", to=1),
        "not hex": changed("timeline", message, "message", "raw", to="zz"),
        "cut short": changed("timeline", message, "message", "raw", to="0100"),
        "another message": changed("timeline", message, "message", "kind", to="ServerHello"),
        "no message": changed("timeline", message, "message", to=None),
        "a key log that is none": changed("key_log", to=["CLIENT_RANDOM"]),
        "chains": changed("peer_chain", to=["zz"]),
    }


def test_what_is_no_saved_run_is_told_so(pki: Pki) -> None:
    for name, data in damaged(pki).items():
        with pytest.raises(ValueError, match=r".") as caught:
            load(data)
        assert not isinstance(caught.value, TLSError), name


def test_an_unverified_run_does_not_claim_more(pki: Pki) -> None:
    ours, _, client, _ = run(pki, "tls13", client={"verify": Danger.accept_any_certificate})
    shown = page(Run.of(ours, client.info))
    assert "nobody vouches that the other end is localhost" in shown
    assert "really is" not in shown
    assert 'class="yes"' not in shown
    assert "The client did not verify that." in shown
    refused = page(failed(pki))
    assert 'class="yes"' not in refused
    assert "The client was not convinced." in refused
    assert re.search(r'<li class="no">the certificate of CN=localhost expired on [^<]*</li>', refused)


def sentences(made: Run) -> str:
    found = verdict(made)
    return " ".join((found.sentence, *found.more))


def test_verdicts_in_plain_words(pki: Pki) -> None:
    """Nothing is promised that the connection did not have."""
    said = {name: [sentences(made) for made in runs_of(pki, name)] for name in RUNS}
    for name, (client, server) in said.items():
        known = "psk" in name
        assert ("really is localhost" in client) != known
        assert ("knew each other’s key before" in client) == known
        assert "Nobody between this server and its visitor" in server
        assert ("The visitor really is client." in server) == ("client-certificate" in name)
        assert ("could send it again" in client) == (name == "tls13-early-data")
        assert ("post-quantum." in client) == (name != "tls12-rsa" and name != "tls12-psk" and name != "tls12-resumed")
    assert "Not even a large quantum computer" in said["tls13"][0]
    assert "the key exchange is not post-quantum" in said["tls13-retry"][0]
    assert "there is no forward secrecy" in said["tls12-rsa"][0]
    assert "who learns the old secret" in said["tls12-resumed"][0]
    facts = dict(verdict(runs_of(pki, "tls12-resumed")[0]).facts)
    assert facts["key exchange, when the session began"] == "x25519"


def test_a_connection_that_was_cut_off_is_said_to_be(pki: Pki) -> None:
    ours, _, client, _ = run(pki, "tls13", talk=False)
    ours(TcpClosed(ours.timeline[-1].at, False))
    assert "cut off without a goodbye" in sentences(Run.of(ours, client.info))
    assert verdict(Run.of(Recording("client"), None)).sentence == "The handshake did not come to its end."
