"""Texts, stories and JSON of runs in memory: complete, in order, free of secrets, and harmless whatever the peer is called."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from minitls import ClientAuth, ClientConnection, Danger, Policy, ServerConnection, TLSError
from minitls.certificates.authority import Authority
from minitls.cli.page import page
from minitls.cli.screen import PlainScreen
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.testing import exchange, memory_pair
from minitls.trace.cards import card, cards
from minitls.trace.json import SCHEMA, certificate, document, dump
from minitls.trace.recording import Recording, TcpClosed, TcpOpened, WireSeen, records
from minitls.trace.run import connection
from minitls.trace.steps import Step
from minitls.trace.story import on_the_way, tell
from minitls.trace.text import ASCII, as_text, draw, protection
from minitls.trace.values import count, details, duration, extension_value, identity_name, plain, safe, short
from minitls.trace.words import STEPS
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry, ServerName, TicketRequest
from minitls.wire.hello import ClientHello
from minitls.wire.messages import EncryptedExtensions, NewSessionTicket, write_message
from minitls.wire.numbers import ExtensionType
from tests.conftest import NAME, Pki

HOSTILE = "\x1b[2J\r\n\u202e<script>alert(1)</script>\x7f\x00"


def run_in_memory(
    pki: Pki, *, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, talk: bool = True
) -> tuple[Recording, Recording, ClientConnection, ServerConnection]:
    """A run of both sides, recorded by both."""
    ours, theirs = Recording("client"), Recording("server")
    one, other = memory_pair(
        pki.client_config(observer=ours, key_log=ours.note_secret, **(client or {})),
        pki.server_config(observer=theirs, key_log=theirs.note_secret, **(server or {})),
    )
    if talk:
        one.send_data(b"ping")
        other.send_data(b"pong!")
        exchange(one, other)
        one.close()
        other.close()
        exchange(one, other)
    return ours, theirs, one, other


def text_of(recording: Recording, **how: Any) -> str:
    return "\n".join(as_text(line) for line in draw(recording.role, recording.timeline, **how))


def titles(steps: list[Step]) -> list[str]:
    return [step.title for step in steps]


# text -------------------------------------------------------------------------------------------------------------------


def test_the_figure_has_each_message_with_its_key(pki: Pki) -> None:
    ours, theirs, *_ = run_in_memory(pki)
    for recording in (ours, theirs):
        shown = text_of(recording)
        wanted = [
            "ClientHello ─", "─ ServerHello", "─ {EncryptedExtensions}", "─ {Certificate}", "─ {CertificateVerify}", "─ {Finished}",
            "\n{Finished} ─",
        ]  # fmt: skip
        places = [re.sub(r"(?m)^ *[0-9.]+ ms ", "", shown).find(each) for each in wanted]
        assert -1 not in places, wanted[places.index(-1)]
        assert places == sorted(places)
        for each in ("[Application Data] ─", "─ [Application Data]", "[Alert: close_notify] ─", "─ [Alert: close_notify]"):
            assert each in shown
        for secret in ("HANDSHAKE_TRAFFIC_SECRET", "TRAFFIC_SECRET_0"):
            assert f"under CLIENT_{secret}" in shown
            assert f"under SERVER_{secret}" in shown


def test_why_it_was_chosen(pki: Pki) -> None:
    ours, theirs, *_ = run_in_memory(
        pki, client={"policy": Policy(groups=("secp384r1", "x25519"))}, server={"policy": Policy(groups=("x25519",))}
    )
    assert re.search(r"the server took x25519: the 2nd of 2 offered; we had sent no\s+share", text_of(ours))
    assert "HelloRetryRequest" in text_of(ours)
    assert "chosen group: x25519" in text_of(theirs)
    assert "certificates verified, good for localhost" in text_of(ours)


@pytest.mark.parametrize("width", [72, 100, 200])
def test_no_line_is_wider_than_asked(pki: Pki, width: int) -> None:
    for ours, *_ in (run_in_memory(pki), come_back(pki)):
        assert max(map(len, text_of(ours, width=width).splitlines())) <= width


def test_ascii_is_enough(pki: Pki) -> None:
    ours, *_ = run_in_memory(pki)
    assert "ClientHello ---" in text_of(ours, glyphs=ASCII)


def test_a_fatal_alert_is_in_the_figure(pki: Pki) -> None:
    seen = Recording("client")
    with pytest.raises(TLSError):
        memory_pair(pki.client_config(observer=seen), pki.server_config(credentials=(pki.untrusted,)))
    assert "{Alert: unknown_ca} ─" in text_of(seen)


def test_protection() -> None:
    keys = ("", "CLIENT_EARLY_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_3")
    assert [protection(key) for key in keys] == ["clear", "early", "handshake", "application"]


# values -----------------------------------------------------------------------------------------------------------------


def test_values_in_words() -> None:
    assert (count(1, "byte"), count(1216, "byte")) == ("1 byte", "1,216 bytes")
    assert short(b"\xab" * 3) == "ababab (3 bytes)"
    assert short(bytes(20)) == "0000000000000000… (20 bytes)"
    assert extension_value(ExtensionType.key_share, 0x11EC) == "X25519MLKEM768, please"
    assert extension_value(ExtensionType.key_share, (KeyShareEntry(0x1A1A, b"\0"),)) == "GREASE"
    assert extension_value(ExtensionType.early_data, 16384) == "up to 16,384 bytes"
    assert extension_value(ExtensionType.early_data, None) == "follows at once"
    assert extension_value(ExtensionType.pre_shared_key, 1) == "number 1 of those offered"
    assert extension_value(ExtensionType.psk_key_exchange_modes, (1, 0, 0x4B)) == (
        "psk_dhe_ke (and a fresh key exchange), psk_ke (the PSK alone), 0x004b"
    )
    assert extension_value(ExtensionType.ticket_request, TicketRequest(3, 1)) == (
        "3 wanted after a full handshake, 1 after a resumed one"
    )
    assert extension_value(ExtensionType.ticket_request, 1) == "1 ticket will come"
    assert extension_value(ExtensionType.server_name, None) == "acknowledged"
    assert extension_value(ExtensionType.post_handshake_auth, None) == ""
    assert extension_value(0x5555, b"abc") == "616263 (3 bytes)"
    ticket = NewSessionTicket(7200, 1, b"\7", b"ticket", Extensions({ExtensionType.early_data: 16384}))
    write_message(ticket)
    assert details(ticket) == [
        ("ticket_lifetime", "2 hours"),
        ("ticket_age_add", "1: hides the age that the client will tell"),
        ("ticket_nonce", "07 (1 byte): makes its key another than the next ticket's"),
        ("ticket", "7469636b6574 (6 bytes)"),
        ("early_data", "up to 16,384 bytes"),
    ]
    assert ("early_data", "accepted") in details(EncryptedExtensions(Extensions({ExtensionType.early_data: None})))


def test_durations() -> None:
    shown = [duration(seconds) for seconds in (0, 1, 59, 60, 186, 7200, 86400, 100_000, 604_800)]
    assert shown == ["0 seconds", "1 second", "59 seconds", "1 minute", "3.1 minutes", "2 hours", "1 day", "1.2 days", "7 days"]


def test_identities_are_harmless() -> None:
    assert identity_name(b"sensor-7") == "“sensor-7”"
    for identity in (HOSTILE.encode(), b"\x1b[2J", bytes(range(128, 200)), b"a" * 200):
        assert re.fullmatch(r"…?[0-9a-f]{1,16}.* bytes\)", identity_name(identity))


def test_nothing_is_lost_in_plain_values(pki: Pki) -> None:
    ours, *_ = run_in_memory(pki)
    hello = ours.messages(ClientHello)[0][1]
    shown = plain(hello)
    assert shown["random"] == hello.random.hex()
    assert [each["code"] for each in shown["extensions"]] == list(hello.extensions)
    assert re.fullmatch("0x.a.a", shown["cipher_suites"][0])  # GREASE stays a number
    assert "TLS_AES_128_GCM_SHA256" in shown["cipher_suites"]


def test_safe_leaves_words_alone_and_no_control() -> None:
    assert safe("héllo wörld") == "héllo wörld"
    assert safe(HOSTILE).isprintable()
    assert safe("a\ud800b").encode() == b"a\\ud800b"


# JSON -------------------------------------------------------------------------------------------------------------------


def test_json_has_everything_and_no_secret(pki: Pki) -> None:
    secrets: list[str] = []
    ours = Recording("client")
    client, _ = memory_pair(pki.client_config(observer=ours, key_log=secrets.append), pki.server_config())
    text = dump(document(ours, client.info, target={"host": NAME, "port": 1}))
    found = json.loads(text)
    assert found["schema"] == SCHEMA == "minitls/1"
    assert found["ok"] is True
    assert found["error"] is None
    assert found["target"] == {"host": NAME, "port": 1}
    connection = found["connection"]
    assert connection["version"] == "TLSv1.3"
    assert connection["post_quantum"] is True
    assert connection["verified"] is True
    assert [each["message"] for each in found["trace"] if each["type"] == "message"][:2] == ["ClientHello", "ServerHello"]
    assert [each["subject"] for each in found["verified_chain"]][-1] == "CN=minitls development CA"
    assert secrets
    assert not any(line.split()[2] in text for line in secrets)


def test_json_of_a_failure(pki: Pki) -> None:
    seen = Recording("client")
    with pytest.raises(TLSError) as caught:
        memory_pair(pki.client_config(observer=seen), pki.server_config(credentials=(pki.expired,)))
    found = json.loads(dump(document(seen, None, error=caught.value)))
    assert found["ok"] is False
    assert found["error"]["kind"] == "CertificateError"
    assert found["error"]["alert"] == "certificate_expired"
    assert found["error"]["remedy"]
    assert len(found["peer_chain"]) == 2
    assert [each["name"] for each in found["trace"] if each["type"] == "alert"] == ["certificate_expired"]


def test_json_of_what_is_no_certificate() -> None:
    assert certificate(b"nonsense") == {"der": b"nonsense".hex(), "malformed": True}
    assert card(b"nonsense") is None


def test_json_is_ascii_without_control_characters(pki: Pki) -> None:
    ours, _, client, _ = run_in_memory(pki, client={"alpn": ("\x1b[2J<b>\x7f", "h2")})
    text = dump(document(ours, client.info))
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    extension = next(e for e in json.loads(text)["trace"][0]["fields"]["extensions"] if e["code"] == 16)
    assert extension["value"] == ["\x1b[2J<b>\x7f", "h2"]


# stories ----------------------------------------------------------------------------------------------------------------

USUAL = [
    "client_hello", "server_hello", "shared_secret", "change_cipher_spec", "encrypted_extensions", "certificate",
    "certificate_verify", "finished", "session_keys", "data", "goodbye",
]  # fmt: skip


def test_the_usual_story(pki: Pki) -> None:
    ours, theirs, *_ = run_in_memory(pki)
    for seen in (ours, theirs):
        assert titles(tell(seen)) == [STEPS[key].title for key in USUAL]
    both = tell(ours, other=theirs)
    facts = [value for step in both for name, value in step.facts if name in ("client to server", "server to client")]
    assert len(facts) == 4
    assert all("the same at both" in fact for fact in facts)


def test_every_word_is_filled_in(pki: Pki) -> None:
    ours, theirs, *_ = run_in_memory(pki)
    for step in tell(ours, other=theirs):
        assert not re.search(r"[{}]", " ".join((step.title, *step.text)))


def test_a_story_with_a_retry_and_a_client_certificate(pki: Pki) -> None:
    ours, theirs, *_ = run_in_memory(
        pki,
        client={"policy": Policy(groups=("ffdhe2048", "x25519"), key_shares=()), "credential": pki.client()},
        server={"client_auth": ClientAuth.require, "trust": pki.trust, "policy": Policy(groups=("ffdhe2048",))},
    )
    for seen in (ours, theirs):
        steps = tell(seen)
        wanted = [STEPS[key].title for key in ("retry", "hello_again", "certificate_request", "client_certificate")]
        assert [title for title in titles(steps) if title in wanted] == wanted
        assert any("very large numbers" in paragraph for step in steps for paragraph in step.text)


def test_a_client_without_a_certificate(pki: Pki) -> None:
    ours, *_ = run_in_memory(pki, server={"client_auth": ClientAuth.request, "trust": pki.trust})
    assert STEPS["no_client_certificate"].title in titles(tell(ours))


def test_a_story_that_ends_badly(pki: Pki) -> None:
    ours, theirs = Recording("client"), Recording("server")
    with pytest.raises(TLSError):
        memory_pair(pki.client_config(observer=ours), pki.server_config(credentials=(pki.untrusted,), observer=theirs))
    steps = tell(ours)
    assert titles(steps)[-1] == "The client ends it"
    assert ("meaning", "minitls explain alert 48") in steps[-1].facts
    checked = [value for step in steps for name, value in step.facts if name == "checked"]
    assert checked == ["yes, and refused: the client does not believe it"]


def test_an_unverified_story_does_not_claim_to_be_verified(pki: Pki) -> None:
    ours, *_ = run_in_memory(pki, client={"verify": Danger.accept_any_certificate})
    checked = [value for step in tell(ours) for name, value in step.facts if name == "checked"]
    assert checked == ["no: nobody has vouched for it"]


def test_a_key_update_is_told(pki: Pki) -> None:
    ours, _, client, server = run_in_memory(pki, talk=False)
    client.update_keys(request_peer=True)
    exchange(client, server)
    assert STEPS["key_update"].title in titles(tell(ours))


def test_tcp_and_the_wire(pki: Pki) -> None:
    """The record in which data travelled is found among the others, whole or in pieces."""
    ours, _, client, server = run_in_memory(pki, talk=False)
    ours.timeline.insert(0, TcpOpened(0.0, "127.0.0.1:1", "[::1]:2", resolving=0.5, connecting=0.1, round_trip=0.000025))
    client.send_data(b"question")
    sent = client.data_to_send()
    ours(WireSeen(1.0, True, sent))
    server.receive_data(sent)
    server.send_data(b"answer")
    answer = server.data_to_send()
    ours(WireSeen(2.0, False, answer[:7]))
    client.receive_data(answer[:7])
    ours(WireSeen(3.0, False, answer[7:]))
    client.receive_data(answer[7:])
    ours(TcpClosed(4.0, True))
    ours.data = [(True, b"question"), (False, b"answer")]
    steps = tell(ours)
    assert titles(steps)[0] == STEPS["tcp"].title
    wire = [value for step in steps for name, value in step.facts if name == "on the wire"]
    assert [value[: 5 + 9] for value in wire] == [record[:5].hex(" ") for record in (sent, answer)]
    assert ("the client says", "question") in steps[-1].facts
    visible, hidden = on_the_way(ours)
    assert any(NAME in line for line in visible)
    assert hidden


def test_records() -> None:
    stream = b"\x17\x03\x03\x00\x01a" + b"\x16\x03\x03\x00\x02bc"
    assert list(records(stream)) == [stream[:6], stream[6:]]
    assert list(records(stream[:-1])) == [stream[:6]]


# those who come back ----------------------------------------------------------------------------------------------------


def come_back(
    pki: Pki, *, server: dict[str, Any] | None = None, again: dict[str, Any] | None = None, **client: Any
) -> tuple[Recording, Recording, ClientConnection, ServerConnection]:
    """A second run, with the session of the first and with early data.  ``again``: what the server has otherwise then."""
    first = pki.server_config(early_data=16384, **(server or {}))
    store = MemoryStore()
    memory_pair(pki.client_config(session_store=store, **client), first)
    ours, theirs = Recording("client"), Recording("server")
    ours.data = theirs.data = [(True, b"early"), (False, b"answer")]
    config = pki.client_config(session_store=store, observer=ours, key_log=ours.note_secret, **client)
    one = ClientConnection(config, server_hostname=NAME, early_data=b"early")
    fields = {"observer": theirs, "key_log": theirs.note_secret, **(again or {})}
    other = ServerConnection(dataclasses.replace(first, **fields))
    flight = one.data_to_send()
    ours(WireSeen(time.time(), True, flight))
    other.receive_data(flight)
    exchange(one, other)
    other.send_data(b"answer")
    exchange(one, other)
    return ours, theirs, one, other


BACK = [
    "client_hello", "psk_ticket", "early_data", "server_hello", "psk_taken", "shared_secret", "change_cipher_spec",
    "encrypted_extensions", "end_of_early_data", "finished", "session_keys", "tickets", "data",
]  # fmt: skip


def test_the_story_of_a_second_visit(pki: Pki) -> None:
    ours, theirs, *_ = come_back(pki)
    for seen in (ours, theirs):
        assert titles(tell(seen)) == [STEPS[key].title for key in BACK]
    steps = {step.title: step for step in tell(ours, other=theirs)}
    early = dict(steps[STEPS["early_data"].title].facts)
    assert early["the client says"] == "early"
    assert early["the server"] == "takes it: the ticket allows it, and is used for the first time"
    assert "CLIENT_EARLY_TRAFFIC_SECRET, 32 bytes, the same at both" in early["client to server"]
    assert early["on the wire"].startswith("17 03 03 00 16 | ")
    assert [arrow.protection for arrow in steps[STEPS["early_data"].title].arrows] == ["early"]
    assert dict(steps[STEPS["data"].title].facts)["the server says"] == "answer"
    assert dict(steps[STEPS["tickets"].title].facts)["early data"] == "up to 16,384 bytes"
    assert not any(re.search(r"[{}]", " ".join((step.title, *step.text, *map(str, step.facts)))) for step in steps.values())


def test_on_the_way_to_a_second_visit(pki: Pki) -> None:
    visible, hidden = on_the_way(come_back(pki)[0])
    assert "that the two have met before, but not who the client is" in visible
    assert "the server's certificate" not in hidden


@pytest.mark.parametrize(
    ("again", "why"),
    [
        ({"early_data": None}, "drops it: we take none"),
        ({"tickets": TicketKeys()}, "drops it: the client's first PSK is not a ticket of ours"),
        ({"send_cookie": True}, "drops it: it wants another hello first"),
    ],
)
def test_early_data_that_is_dropped(again: dict[str, Any], why: str, pki: Pki) -> None:
    ours, theirs, *_ = come_back(pki, again=again)
    steps = {step.title: step for step in tell(ours, other=theirs)}
    assert dict(steps[STEPS["early_data"].title].facts)["the server"] == why
    assert (STEPS["psk_declined"].title in steps) == ("tickets" in again)
    assert (STEPS["certificate"].title in steps) == ("tickets" in again)
    if "send_cookie" in again:
        assert dict(steps[STEPS["hello_again"].title].facts)["binder"].endswith("made anew")


def test_a_psk_alone_is_said_to_have_no_forward_secrecy(pki: Pki) -> None:
    alone = Policy(psk_key_exchange_modes=("psk_ke",))
    ours, *_ = come_back(pki, server={"policy": alone}, policy=alone)
    told = {step.title: step for step in tell(ours)}
    assert STEPS["shared_secret"].title not in told
    assert dict(told[STEPS["psk_taken"].title].facts)["used with"] == "nothing else (psk_ke): the new keys have no forward secrecy"
    assert told[STEPS["session_keys"].title].text == STEPS["session_keys_psk_ke"].text
    assert re.search(r"took our PSK and nothing else: there is no\s+forward secrecy", text_of(ours))


def test_the_story_of_a_shared_key(pki: Pki) -> None:
    ours, theirs, client, server = run_in_memory(
        pki, client={"psk": lambda hint: (b"sensor-7", bytes(16))}, server={"psk": lambda identity: bytes(16), "credentials": ()}
    )
    for seen in (ours, theirs):
        told = {step.title: step for step in tell(seen)}
        assert {STEPS["psk_external"].title, STEPS["psk_known"].title} <= told.keys()
        assert STEPS["certificate"].title not in told
        assert ("the key's name", "“sensor-7”") in told[STEPS["psk_external"].title].facts
    assert "“sensor-7”, obfuscated age 0, binder" in text_of(ours)
    for one in (client, server):
        assert connection(one.info)["psk_identity"] == b"sensor-7".hex()


def test_json_of_a_second_visit(pki: Pki) -> None:
    ours, _, client, _ = come_back(pki)
    found = json.loads(dump(document(ours, client.info)))
    told = found["connection"]
    assert (told["resumed"], told["resumption"], told["early_data_accepted"]) == (True, "psk_dhe_ke", True)
    (ticket,) = found["tickets"]
    assert (ticket["lifetime_seconds"], ticket["max_early_data"]) == (86400, 16384)
    assert ticket["at"] == max(each["at"] for each in found["trace"] if each.get("message") == "NewSessionTicket")
    assert told["authenticated"] < found["trace"][0]["at"] + ours.started


def test_the_page_of_a_second_visit(pki: Pki) -> None:
    _, theirs, _, server = come_back(pki)
    shown = page(theirs, server.info)
    assert "this visit goes on from there (psk_dhe_ke), and what you asked for came with your hello (0-RTT)" in shown
    assert 'class="lane early from-client"' in shown
    assert ">None<" not in shown


# strangers' names -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(pki: Pki) -> tuple[Recording, ServerConnection, tuple[bytes, ...]]:
    """What a server saw of a client whose protocols have such names, and a chain of a CA that is called so."""
    authority = Authority.create(f"CA {HOSTILE}")
    chain = authority.issue(NAME).credential().chain
    alpn = ("\x1b[2J<script>alert(1)</script>",)
    _, theirs, _, server = run_in_memory(pki, client={"alpn": alpn}, server={"alpn": alpn})
    return theirs, server, chain


def hostile_hello(pki: Pki) -> Recording:
    """What a server saw of a ClientHello that asks for such a host."""
    seen = Recording("server")
    server = ServerConnection(pki.server_config(observer=seen))
    hello = ClientConnection(pki.client_config(), server_hostname=NAME).info.client_hello
    extensions = Extensions(hello.extensions)
    extensions[ExtensionType.server_name] = (ServerName(0, HOSTILE.encode()),)
    raw = write_message(dataclasses.replace(hello, extensions=extensions))
    with pytest.raises(TLSError):
        server.receive_data(b"\x16\x03\x01" + len(raw).to_bytes(2, "big") + raw)
    return seen


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_hostile_names_in_text(hostile: tuple[Recording, ServerConnection, tuple[bytes, ...]], pki: Pki) -> None:
    theirs, _, chain = hostile
    for recording in (theirs, hostile_hello(pki)):
        shown = text_of(recording)
        assert "script" in shown
        assert harmless(shown)
    assert all(
        harmless(value) for found in cards(chain) for value in (found.title, found.subject, found.issuer, found.issuer_title)
    )


def test_hostile_names_in_stories(
    hostile: tuple[Recording, ServerConnection, tuple[bytes, ...]], pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    screen = PlainScreen(sys.stdout)
    for recording in (hostile[0], hostile_hello(pki)):
        for number, step in enumerate(tell(recording)):
            screen.step(number, step)
    shown = capsys.readouterr().out
    assert "script" in shown
    assert harmless(shown)


def test_hostile_names_in_json(hostile: tuple[Recording, ServerConnection, tuple[bytes, ...]], pki: Pki) -> None:
    theirs, server, chain = hostile
    for value in (document(theirs, server.info), document(hostile_hello(pki), None), certificate(chain[1])):
        text = dump(value)
        assert harmless(text)
        assert text.isascii()


def test_hostile_names_in_html(hostile: tuple[Recording, ServerConnection, tuple[bytes, ...]]) -> None:
    theirs, server, _ = hostile
    shown = page(theirs, server.info)
    assert "&lt;script&gt;" in shown
    assert shown.count("<script") == 1  # ours
    assert harmless(shown)


def test_a_hostile_certificate_is_refused_in_plain_characters(pki: Pki, client_config: Callable[..., Any]) -> None:
    credential = Authority.create(f"CA {HOSTILE}").issue(NAME).credential()
    with pytest.raises(TLSError) as caught:
        memory_pair(client_config(), pki.server_config(credentials=(credential,)))
    assert harmless(str(caught.value))
