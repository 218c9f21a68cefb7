"""The page of a run: whole and well-formed, asking nobody for anything, and deaf to whatever strangers are called."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import zlib
from html.parser import HTMLParser
from typing import Any

import pytest

from minitls import ClientConnection, ServerConnection, TLSError
from minitls.certificates.authority import Authority
from minitls.cli.page import page as visitors_page
from minitls.observe import MessageSeen
from minitls.testing import memory_pair
from minitls.trace.fields import dissect
from minitls.trace.html import SECTIONS, page
from minitls.trace.html_proofs import secrets_of
from minitls.trace.html_wire import Wire, ticks
from minitls.trace.keys import derivations
from minitls.trace.markup import VOID, Markup, breakable, escape, joined, tag
from minitls.trace.pcapng import capture
from minitls.trace.phases import phases
from minitls.trace.recording import Recording, WireSeen, certificate_in
from minitls.trace.run import Run
from minitls.trace.steps import STEPS
from minitls.trace.story import tell
from minitls.trace.text import draw
from minitls.trace.verdict import verdict
from minitls.wire.codec import Extensions
from minitls.wire.extensions import ServerName
from minitls.wire.hello import ClientHello, Message, ServerHello
from minitls.wire.messages import CompressedCertificate, write_message
from minitls.wire.numbers import ExtensionType
from tests.conftest import NAME, Pki
from tests.runs import RUNS, recorded, run

HOSTILE = "\x1b[2J\r\u202e</p><script>alert(1)</script><img>\" '\x00"
TAGS = {
    "a", "article", "b", "body", "circle", "code", "dd", "details", "div", "dl", "dt", "footer", "h1", "h2", "h3", "head", "header",
    "html", "li", "line", "main", "meta", "nav", "ol", "p", "pre", "rect", "script", "section", "small", "span", "style", "summary",
    "svg", "text", "title", "ul", "wbr",
}  # fmt: skip


class Reader(HTMLParser):
    """Holds a document against what it may be made of, and gathers what it says."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.policy = ""
        self.counts: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        self.counts[tag] = self.counts.get(tag, 0) + 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), attrs
        for name, value in attrs:
            assert not name.startswith("on"), attrs
            assert name not in ("style", "src", "srcdoc", "action", "xlink:href"), attrs
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.append(value or "")
        values = dict(attrs)
        if values.get("http-equiv"):
            self.policy = values["content"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def read(document: str) -> Reader:
    reader = Reader()
    reader.feed(document)
    reader.close()
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert all(link.startswith("#") and link[1:] in reader.ids for link in reader.links), "a link leads out, or nowhere"
    assert all(line.isprintable() for line in document.split("\n"))
    assert reader.counts["script"] == reader.counts["style"] == 1
    return reader


def page_of(pki: Pki, name: str, **how: Any) -> tuple[Run, str]:
    ours, _, client, _ = run(pki, name)
    made = Run.of(ours, client.info, target={"host": NAME})
    return made, page(made, **how)


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("name", RUNS)
def test_each_run_has_a_page(pki: Pki, name: str, side: str) -> None:
    ours, theirs, client, server = run(pki, name)
    mine = Run.of(ours, client.info) if side == "client" else Run.of(theirs, server.info)
    found = read(page(mine))
    assert {section for section, _ in SECTIONS if section != "offer"} <= set(found.ids)
    for _, message in mine.recording.messages(Message):
        assert f"{len(message.raw):,}" in found.text
    for step in tell(mine.recording):
        assert step.title in found.text
    for derivation in derivations(mine.recording):
        assert derivation.name.replace("_", "_ ") in found.text  # it may be broken there
    assert verdict(mine).sentence in found.text
    assert "None" not in found.texts


@pytest.mark.parametrize("name", ["tls13", "tls12-rsa"])
def test_every_byte_has_its_field(pki: Pki, name: str) -> None:
    """What is in the hex views is the messages' bytes, each in one field; and each field leads to its own."""
    made, document = page_of(pki, name)
    wire = Wire.of(made.recording)
    for row in wire.rows:
        if isinstance(row.entry, MessageSeen):
            raw = row.entry.message.raw
            leaves = list(dissect(row.entry.message, wire.suite).leaves())
            spans = re.findall(rf'<span id="m{row.number}b(\d+)"[^>]*>([0-9a-f ]*)</span>', document)
            assert [int(number) for number, _ in spans] == list(range(len(leaves)))
            assert bytes.fromhex("".join(text for _, text in spans)) == raw
            links = re.findall(rf'<a href="#m{row.number}b(\d+)" class="field" data-first="(\d+)" data-last="(\d+)"', document)
            assert [set(each) for each in links] == [{str(number)} for number in range(len(leaves))]


def test_the_textbook_s_steps(pki: Pki) -> None:
    ours, _ = recorded(pki, "tls12-rsa")
    names = [phase.name for phase in phases(ours)]
    assert names == [
        "Connect", "Hello", "Certificate", "Key exchange", "Session keys", "ChangeCipherSpec, Finished", "Encrypted data", "Close",
    ]  # fmt: skip
    told = {phase.name: phase.sentence for phase in phases(ours)}
    assert "premaster secret and encrypts it with the server’s RSA key" in told["Key exchange"]
    told = {phase.name: phase.sentence for phase in phases(recorded(pki, "tls13")[0])}
    assert told["Key exchange"].startswith("X25519MLKEM768: ")
    told = {phase.name: phase.sentence for phase in phases(recorded(pki, "tls13-psk")[0])}
    assert told["Certificate"].startswith("None this time")


def test_a_compressed_certificate_is_told_as_any_other(pki: Pki) -> None:
    """Chromium asks for one: the story and the textbook's steps know what is in it."""
    for seen in run(pki, "tls13-compressed")[:2]:
        told = {phase.name: phase.sentence for phase in phases(seen)}
        assert told["Certificate"].startswith(f"The server says who it is: {NAME}")
        assert STEPS["certificate"].title in [step.title for step in tell(seen)]
    ((entry, message),) = seen.messages(CompressedCertificate)
    inside = certificate_in(message)
    assert inside is not None
    assert seen.certificates(by_client=False) == [(entry, inside)]
    body, length = message.compressed_certificate_message, message.uncompressed_length
    for damaged in (
        CompressedCertificate(message.algorithm, length, body[:-8]),
        CompressedCertificate(message.algorithm, length, zlib.compress(bytes(length))),
        CompressedCertificate(message.algorithm, 2**17 + 1, body),
        CompressedCertificate(99, length, body),
    ):
        assert certificate_in(damaged) is None


def test_the_page_of_a_visitor(pki: Pki) -> None:
    """What was offered, by what became of it; what we know of the visitor; and the way to the JSON."""
    _, theirs, _, server = run(pki, "tls13")
    document = visitors_page(theirs, server.info)
    for part in (
        "<title>Your handshake</title>",
        "Nobody between you and this server can read or change this page.",
        server.info.client_hello.ja4,
        server.info.client_hello.ja3,
        '<a href="/handshake.json">/handshake.json</a>',
        '<li class="taken"><span aria-hidden="true">✓ </span>X25519MLKEM768<span class="aside"> (taken)</span></li>',
        '<li class="left"><span aria-hidden="true"></span>x25519<span class="aside"> (not taken)</span></li>',
        "Of all this, nothing is strange to us.",
    ):
        assert part in document, part
    found = read(document.replace('href="/handshake.json"', 'href="#story"').replace('href="/handshake.html"', 'href="#story"'))
    assert {section for section, _ in SECTIONS} <= set(found.ids)


def test_what_is_strange_to_us_is_said(pki: Pki) -> None:
    extensions = Extensions({ExtensionType.supported_groups: (0x001D, 0xFE02), 0xFE03: b""})
    hello = ClientHello(0x0303, bytes(32), b"", (0x0A0A, 0x1301, 0x00FF, 0x0005, 0xFE01), b"\0", extensions)
    _, theirs, _, server = run(pki, "tls13")
    info = dataclasses.replace(server.info, client_hello_raw=write_message(hello))
    document = visitors_page(theirs, info)
    assert "Of all this, we do not have: " in document
    (said,) = re.findall(r"we do not have: ([^<]*)\.", document)
    assert said == "TLSv1.1, TLSv1, SSLv3, TLS_RSA_WITH_RC4_128_SHA, 0xfe01, 0xfe02, 0xfe03"
    assert "0x0a0a" not in document.partition('id="story"')[0]


def test_the_policy_lets_our_own_in_and_nothing_else(pki: Pki) -> None:
    _, document = page_of(pki, "tls13")
    policy = read(document).policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", document, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_nothing_is_fetched(pki: Pki) -> None:
    _, document = page_of(pki, "tls13")
    assert not re.search(r"https?:|url\(|@import|//[a-z]", re.sub(r"// [A-Z].*", "", document))


def test_a_long_download_stays_a_short_page(pki: Pki) -> None:
    ours, _, client, server = run(pki, "tls13", talk=False)
    for _ in range(300):
        server.send_data(bytes(16000))
        data = server.data_to_send()
        ours(WireSeen(ours.timeline[-1].at, False, data))
        client.receive_data(data)
    made = Run.of(ours, client.info)
    document = page(made)
    assert len(document) < 300_000
    assert "4,800,000 bytes in 300 pieces" in read(document).text


def test_secrets_are_in_it_only_for_who_asks(pki: Pki) -> None:
    for name in ("tls13", "tls12"):
        ours, _, client, _ = run(pki, name, keep_secrets=True)
        made = Run.of(ours, client.info)
        secrets = [value for each in secrets_of(ours).values() for _, value in each]
        assert len(secrets) > 4
        plain = page(made)
        assert not any(secret in plain.replace(" ", "") for secret in secrets)
        shown = page(made, secrets=True)
        assert all(secret in shown for secret in secrets if name == "tls12" or len(secret) > 24)
        assert "Secrets are shown" in shown
        assert "Secrets are shown" not in plain


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_told_as_far_as_it_came(pki: Pki, name: str) -> None:
    """A connection may end anywhere, and that is when it is looked at."""
    recording = recorded(pki, name)[len(name) % 2]
    whole = list(recording.timeline)
    for end in range(len(whole) + 1):
        recording.timeline[:] = whole[:end]
        made = Run(recording, error={"kind": "TLSError", "message": "cut", "remedy": None})
        assert verdict(made).tone == "bad"
        tell(recording)
        capture([recording])
        for form in ("messages", "wire", "keys"):
            draw(recording.role, recording.timeline, form=form)
        if end % 4 == len(name) % 4:  # it takes its time
            read(page(made))


def test_a_server_that_chooses_what_nobody_knows(pki: Pki) -> None:
    for version in ({ExtensionType.supported_versions: 0x0304}, {}):
        seen = Recording("client")
        client = ClientConnection(pki.client_config(observer=seen), server_hostname=NAME)
        hello = client.info.client_hello
        raw = write_message(ServerHello(0x0303, bytes(32), hello.legacy_session_id, 0x9999, 0, Extensions(version)))
        with pytest.raises(TLSError) as caught:
            client.receive_data(b"\x16\x03\x03" + len(raw).to_bytes(2, "big") + raw)
        found = read(page(Run.of(seen, client.info, error=caught.value)))
        assert "0x9999" in found.text
        assert "No connection came to be." in found.text


# strangers' names -------------------------------------------------------------------------------------------------------


def test_text_is_never_markup() -> None:
    assert escape("<b>&\"'") == "&lt;b&gt;&amp;&quot;&#x27;"
    assert escape(Markup("<b>")) == "<b>"
    assert tag("p", "<i>", class_='"><script>') == '<p class="&quot;&gt;&lt;script&gt;">&lt;i&gt;</p>'
    assert tag("a", None, hidden=True, title=None, href=False, data_n=3) == '<a hidden data-n="3"></a>'
    assert joined("<", Markup("<p>")) == "&lt;<p>"
    assert breakable("a_<b") == "a_<wbr>&lt;b"
    assert "\x1b" not in escape(HOSTILE)


def hostile_runs(pki: Pki) -> dict[str, Run]:
    """SNI, ALPN and certificates of people who are called so."""
    found: dict[str, Run] = {}
    alpn = (HOSTILE.replace("\u202e", ""),)
    ours, theirs, client, server = run(pki, "tls13", client={"alpn": alpn}, server={"alpn": alpn})
    found["alpn client"], found["alpn server"] = Run.of(ours, client.info), Run.of(theirs, server.info)

    authority = Authority.create(f"CA {HOSTILE}")
    client_, server_ = Recording("client"), Recording("server")
    one, other = memory_pair(
        pki.client_config(trust=authority.trust(), observer=client_),
        pki.server_config(credentials=(authority.issue(NAME).credential(),), observer=server_),
    )
    found["certificate"] = Run.of(client_, one.info, target={"host": HOSTILE, "url": HOSTILE})
    found["certificate, the other side"] = Run.of(server_, other.info)
    stranger = Recording("client")
    with pytest.raises(TLSError) as caught:
        memory_pair(pki.client_config(observer=stranger), pki.server_config(credentials=(authority.issue(NAME).credential(),)))
    found["certificate refused"] = Run.of(stranger, None, error=caught.value)

    seen = Recording("server")
    refusing = ServerConnection(pki.server_config(observer=seen))
    hello = ClientConnection(pki.client_config(), server_hostname=NAME).info.client_hello
    extensions = Extensions(hello.extensions)
    extensions[ExtensionType.server_name] = (ServerName(0, HOSTILE.encode()),)
    raw = write_message(dataclasses.replace(hello, extensions=extensions))
    with pytest.raises(TLSError) as sni:
        refusing.receive_data(b"\x16\x03\x01" + len(raw).to_bytes(2, "big") + raw)
    found["sni"] = Run.of(seen, refusing.info, error=sni.value, target={"host": HOSTILE})
    lies = dict.fromkeys(("version", "cipher_suite", "group", "server_name", "alpn_protocol", "resumption"), HOSTILE)
    found["saved"] = Run(ours, {**lies, "resumed": True}, error={"kind": HOSTILE, "message": HOSTILE, "remedy": HOSTILE})
    return found


def test_hostile_names_are_text(pki: Pki) -> None:
    for name, made in hostile_runs(pki).items():
        document = page(made)
        found = read(document)
        assert "script>alert(1)" in found.text, name
        assert document.count("<script") == 1
        assert "<img" not in document
        shown = verdict(made)
        assert all(text.isprintable() for text in (shown.sentence, *shown.more, *(value for _, value in shown.facts)))


def test_ticks_are_round_and_few() -> None:
    for span in (1e-6, 0.00033, 0.01, 0.2, 1.0, 77.0, 100_000.0):
        found = list(ticks(span))
        assert 4 <= len(found) <= 9
        assert found[0] == 0.0
        assert span * 0.6 <= found[-1] <= span
        assert f"{found[1]:.0e}"[0] in "125"
