"""Our server against ``openssl s_client -tls1_2``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path

import pytest

from interop.openssl.harness import KEYS, Files, OpenSSL, Watch, info_of, reverse, serving
from interop.openssl.test_server import fail, talk
from interop.openssl.test_tls12_client import (
    CERTIFIED,
    CIPHERS,
    INTERMEDIATE,
    LEGACY,
    PSK,
    SHARED,
    SIZE,
    WITHOUT_EMS,
    key_for,
    openssl_name,
)
from minitls import AlertReceived, ClientAuth, PeerIncompatible, Policy, TruncationError
from minitls.crypto.suites12 import Suite12
from minitls.errors import Alert
from minitls.observe import AlertSeen
from tests.conftest import Pki

PSK_OPTIONS = ["-psk", PSK[1].hex(), "-psk_identity", "me"]
VERIFIED = rb"Verify return code: 0 \(ok\)"


# what is agreed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SHARED, ids=lambda suite: suite.name)
async def test_suite(openssl: OpenSSL, pki: Pki, files: Files, suite: Suite12) -> None:
    name = openssl_name(suite)
    psk = suite.authentication == "PSK"
    config = pki.server_config(
        policy=LEGACY,
        credentials=() if psk else (files.server(key_for(suite)).credential(),),
        psk=dict([PSK]).get if psk else None,
    )
    options = ["-brief", "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", *(PSK_OPTIONS if psk else [])]
    async with serving(config, reverse) as served, openssl.client(served.port, *options) as peer:
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0
    assert not served.errors
    info = served.infos[0]
    assert (info.version, info.cipher_suite) == ("TLSv1.2", suite.name)
    assert info.extended_master_secret
    assert f"Ciphersuite: {name}\n" in peer.text
    assert ("Verification: OK" in peer.text) != psk


@pytest.mark.parametrize("suite", CERTIFIED, ids=lambda suite: suite.name)
async def test_the_default_policy_has_the_safe_suites(openssl: OpenSSL, pki: Pki, files: Files, suite: Suite12) -> None:
    config = pki.server_config(credentials=(files.server(key_for(suite)).credential(),))
    info, _ = await talk(openssl, config, "-tls1_2", "-cipher", openssl_name(suite))
    assert info.cipher_suite == suite.name


@pytest.mark.parametrize("name", ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"])
async def test_the_default_policy_has_no_other(openssl: OpenSSL, pki: Pki, files: Files, name: str) -> None:
    config = pki.server_config(credentials=(files.server("rsa2048").credential(),))
    error, said, _ = await fail(openssl, config, "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0")
    assert isinstance(error, PeerIncompatible)
    assert "alert handshake failure" in said


@pytest.mark.parametrize("key", KEYS)
async def test_our_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    config = pki.server_config(credentials=(files.server(key).credential(),))
    info, _ = await talk(openssl, config, "-tls1_2")
    assert info.signature_scheme is not None
    assert info.signature_scheme.partition("_")[0] == KEYS[key].partition("_")[0]


@pytest.mark.parametrize(
    ("sigalgs", "scheme"),
    [
        ("rsa_pss_rsae_sha384", "rsa_pss_rsae_sha384"),
        ("ed25519", "ed25519"),
        ("ecdsa_secp256r1_sha256:ed25519", "ecdsa_secp256r1_sha256"),
    ],
)
async def test_a_certificate_for_what_it_can_verify(openssl: OpenSSL, pki: Pki, files: Files, sigalgs: str, scheme: str) -> None:
    credentials = tuple(files.server(key).credential() for key in ("p256", "rsa2048", "ed25519"))
    info, _ = await talk(openssl, pki.server_config(credentials=credentials), "-tls1_2", "-sigalgs", sigalgs)
    assert info.signature_scheme == scheme


@pytest.mark.parametrize(("theirs", "group"), [("X25519", "x25519"), ("P-384:P-256", "secp256r1"), ("X448:P-256", "secp256r1")])
async def test_curve(openssl: OpenSSL, pki: Pki, files: Files, theirs: str, group: str) -> None:
    """Ours is the preference; with RSA, as the list is about ECDSA keys, too."""
    config = pki.server_config(credentials=(files.server("rsa2048").credential(),))
    info, _ = await talk(openssl, config, "-tls1_2", "-curves", theirs)
    assert info.group == group


@pytest.mark.parametrize(("theirs", "agreed"), [("h2,http/1.1", "http/1.1"), ("h2", "h2"), (None, None)])
async def test_alpn(openssl: OpenSSL, pki: Pki, theirs: str | None, agreed: str | None) -> None:
    config = pki.server_config(alpn=("http/1.1", "h2"))
    info, _ = await talk(openssl, config, "-tls1_2", *(["-alpn", theirs] if theirs else []))
    assert info.alpn_protocol == agreed


async def test_no_application_protocol_in_common(openssl: OpenSSL, pki: Pki) -> None:
    _, said, _ = await fail(openssl, pki.server_config(alpn=("http/1.1",)), "-tls1_2", "-alpn", "h2")
    assert "alert no application protocol" in said


@pytest.mark.parametrize("name", ["localhost", "two.example", None])
async def test_server_name(openssl: OpenSSL, pki: Pki, name: str | None) -> None:
    """s_client verifies the name."""
    credentials = (pki.server(), pki.server("p256", "two.example"))
    info, said = await talk(openssl, pki.server_config(credentials=credentials), "-tls1_2", name=name)
    assert info.server_name == name
    assert re.search(f"Peer certificate: CN ?= ?{name or 'localhost'}\n", said)


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
async def test_an_older_version(openssl: OpenSSL, pki: Pki, option: str) -> None:
    error, said, _ = await fail(openssl, pki.server_config(), option, "-cipher", "ALL:@SECLEVEL=0")
    assert isinstance(error, PeerIncompatible)
    assert error.alert is Alert.protocol_version
    assert "alert protocol version" in said


async def test_the_downgrade_is_marked(openssl: OpenSSL, pki: Pki) -> None:
    """RFC 8446 section 4.1.3; a client that asked for 1.2 alone goes on."""
    for policy, marked in (Policy.intermediate, True), (INTERMEDIATE, False):
        options = ["-brief", "-tls1_2", "-msg"]
        async with (
            serving(pki.server_config(policy=policy), reverse) as served,
            openssl.client(served.port, *options) as peer,
        ):
            await peer.say("hello")
            await peer.said(rb"olleh\n")
            said = bytes.fromhex(re.search(rb"<<< TLS 1.2, Handshake .*ServerHello\n([0-9a-f\s]+)", peer.output)[1].decode())
        assert (said[30:38] == b"DOWNGRD\1") == marked


@pytest.mark.parametrize("best", [True, False], ids=["needed", "not needed"])
async def test_fallback(openssl: OpenSSL, pki: Pki, best: bool) -> None:
    """RFC 7507: a client that says it fell back, from a version that we have or that we do not have."""
    if best:
        info, _ = await talk(openssl, pki.server_config(policy=INTERMEDIATE), "-tls1_2", "-fallback_scsv")
        assert info.version == "TLSv1.2"
    else:
        error, said, _ = await fail(openssl, pki.server_config(), "-tls1_2", "-fallback_scsv")
        assert isinstance(error, PeerIncompatible)
        assert error.reason == "inappropriate_fallback"
        assert "alert inappropriate fallback" in said


@pytest.mark.parametrize("etm", [True, False], ids=["encrypt-then-MAC", "MAC-then-encrypt"])
@pytest.mark.parametrize("name", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384"])
async def test_encrypt_then_mac(openssl: OpenSSL, pki: Pki, name: str, etm: bool) -> None:
    """Every length of a line gives another padding."""
    options = ["-brief", "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", *([] if etm else ["-no_etm"])]
    config = pki.server_config(policy=LEGACY)
    async with serving(config, reverse) as served, openssl.client(served.port, *options) as peer:
        for length in range(1, 40):
            await peer.say("x" * length + "y")
            await peer.said(b"\ny" + b"x" * length + b"\n")
    hello = served.infos[0].client_hello
    assert (22 in hello.extensions) == etm


@pytest.mark.parametrize("policy", [INTERMEDIATE, LEGACY], ids=["intermediate", "legacy"])
async def test_without_extended_master_secret(
    openssl: OpenSSL, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    conf = tmp_path / "openssl.cnf"
    conf.write_text(WITHOUT_EMS)
    monkeypatch.setenv("OPENSSL_CONF", str(conf))
    config = pki.server_config(policy=policy)
    if policy.secure_tls12:
        error, said, _ = await fail(openssl, config, "-tls1_2")
        assert isinstance(error, PeerIncompatible)
        assert error.reason == "no_extended_master_secret"
        assert "alert handshake failure" in said
        return
    session = tmp_path / "session"
    for option, resumed in ("-sess_out", False), ("-sess_in", True):
        info, _ = await talk(openssl, config, "-tls1_2", option, str(session))
        assert (info.extended_master_secret, info.resumed) == (False, resumed)


@pytest.mark.parametrize("length", [512, 1024, 2048, 4096])
async def test_max_fragment_length(openssl: OpenSSL, pki: Pki, length: int) -> None:
    options = ["-tls1_2", "-maxfraglen", str(length), "-msg", "-nocommands"]
    async with serving(pki.server_config(), reverse) as served, openssl.client(served.port, *options) as peer:
        line = os.urandom(4500).hex()
        await peer.say(line)
        await peer.said(line[-1:-100:-1].encode())
        header = b"17 03 03 " + (length + 24).to_bytes(2, "big").hex(" ").encode()
        await peer.said(rb"<<< TLS 1.2, RecordHeader \[length 0005\]\n    " + header)
        await peer.said(rb">>> TLS 1.2, RecordHeader \[length 0005\]\n    " + header)


@pytest.mark.parametrize("name", ["PSK-AES128-GCM-SHA256", "ECDHE-PSK-CHACHA20-POLY1305"])
@pytest.mark.parametrize("wrong", ["identity", "key"])
async def test_psk_is_refused(openssl: OpenSSL, pki: Pki, name: str, wrong: str) -> None:
    known = {b"somebody else": PSK[1]} if wrong == "identity" else {PSK[0]: bytes(16)}
    config = pki.server_config(policy=LEGACY, credentials=(), psk=known.get)
    error, said, _ = await fail(openssl, config, "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", *PSK_OPTIONS)
    assert "alert" in said
    if wrong == "identity":
        assert getattr(error, "alert", None) is Alert.unknown_psk_identity
    else:
        assert getattr(error, "alert", None) in (Alert.bad_record_mac, Alert.decrypt_error)


@pytest.mark.parametrize(
    "options",
    [["-status"], ["-nextprotoneg", "h2"], ["-use_srtp", "SRTP_AES128_CM_SHA1_80"], ["-nbio"], ["-legacy_renegotiation"]],
    ids=" ".join,
)
async def test_wishes_that_we_pass_over(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    await talk(openssl, pki.server_config(), "-tls1_2", *options)


# client certificates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
async def test_the_clients_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    info, _ = await talk(openssl, config, "-tls1_2", *files.client(key).options)
    assert info.client_signature_scheme is not None
    assert len(info.verified_chain) == 3


@pytest.mark.parametrize(("shown", "alert"), [("strange", "unknown ca"), ("none", "handshake failure")], ids=["refused", "missing"])
async def test_the_clients_certificate_is_not_good(openssl: OpenSSL, pki: Pki, files: Files, shown: str, alert: str) -> None:
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    options = files.strange("client", client=True).options if shown == "strange" else []
    _, said, served = await fail(openssl, config, "-tls1_2", *options)
    assert f"alert {alert}" in said
    assert not served.infos


async def test_a_certificate_that_is_only_requested(openssl: OpenSSL, pki: Pki) -> None:
    config = pki.server_config(client_auth=ClientAuth.request, trust=pki.trust)
    info, _ = await talk(openssl, config, "-tls1_2")
    assert info.peer_chain == ()


# resumption ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("options", [[], ["-no_ticket"]], ids=["by ticket", "by ID"])
async def test_resumption(
    openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path, options: list[str], authenticated: bool
) -> None:
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust} if authenticated else {}
    config = pki.server_config(**auth)
    session = str(tmp_path / "session")
    shown = files.client().options if authenticated else []
    info, _ = await talk(openssl, config, "-tls1_2", *options, *shown, "-sess_out", session)
    assert not info.resumed
    info, _ = await talk(openssl, config, "-tls1_2", *options, *shown, "-sess_in", session)
    assert info.resumed
    assert info.extended_master_secret
    assert bool(info.peer_chain) == authenticated


@pytest.mark.parametrize("options", [[], ["-no_ticket"]], ids=["by ticket", "by ID"])
async def test_reconnect(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    """s_client's own test of a server: five more connections with the session of the first."""
    async with (
        serving(pki.server_config(), reverse) as served,
        openssl.client(served.port, "-tls1_2", "-reconnect", *options) as peer,
    ):
        await peer.said(rb"Reused, TLSv1.2", times=5)
        await peer.say("hello")
        await peer.said(rb"olleh\n")
    assert [info.resumed for info in served.infos] == [False] + [True] * 5


@pytest.mark.parametrize("why", ["another server", "another name", "another suite", "client certificates now"])
async def test_a_session_that_does_not_fit_any_more(openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path, why: str) -> None:
    """There is a full handshake instead."""
    credentials = (pki.server(), pki.server("p256", "two.example"))
    config = pki.server_config(credentials=credentials)
    session, options, name = str(tmp_path / "session"), [], "localhost"
    await talk(openssl, config, "-tls1_2", "-sess_out", session)
    match why:
        case "another server":
            config = pki.server_config(credentials=credentials)
        case "another name":
            name = "two.example"
        case "another suite":
            suites = ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",)
            policy = INTERMEDIATE.replace(cipher_suites=suites)
            config = pki.server_config(credentials=credentials, policy=policy, tickets=config.tickets)
        case _:
            config = pki.server_config(
                credentials=credentials, tickets=config.tickets, client_auth=ClientAuth.require, trust=pki.trust
            )
            options = files.client().options
    info, _ = await talk(openssl, config, "-tls1_2", "-sess_in", session, *options, name=name)
    assert not info.resumed


# after the handshake -------------------------------------------------------------------------------------------------------


async def test_the_client_asks_for_a_renegotiation(openssl: OpenSSL, pki: Pki) -> None:
    """Refused with no_renegotiation; that ends the connection on OpenSSL's side, which says so."""
    watch = Watch()
    async with (
        serving(pki.server_config(observer=watch), reverse) as served,
        openssl.client(served.port, "-tls1_2") as peer,
    ):
        await peer.said(VERIFIED)
        await peer.say("R")
        await peer.said(b"no renegotiation")
        assert await peer.exit() == 1
        error = await served.error()
    assert isinstance(error, (AlertReceived, TruncationError))
    assert watch.received.count("ClientHello") == 2
    assert watch.sent.count("ServerHello") == 1
    assert [seen.name for seen in watch.all if isinstance(seen, AlertSeen) and seen.sent][:1] == ["no_renegotiation"]


@pytest.mark.parametrize("cipher", CIPHERS)
async def test_16_mib_there_and_back(openssl: OpenSSL, pki: Pki, cipher: str) -> None:
    data = os.urandom(SIZE)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()

    options = ["-tls1_2", "-cipher", cipher, "-quiet", "-verify_quiet", "-nocommands"]
    config = pki.server_config(policy=CIPHERS[cipher])
    async with serving(config, echo) as served, openssl.client(served.port, *options) as peer:
        await peer.write(data)
        await peer.until(lambda: len(peer.output) >= SIZE, "data")
        assert hashlib.sha256(peer.output[-SIZE:]).digest() == hashlib.sha256(data).digest()


# how it ends ---------------------------------------------------------------------------------------------------------------


async def test_the_client_closes(openssl: OpenSSL, pki: Pki) -> None:
    watch = Watch()
    async with (
        serving(pki.server_config(observer=watch), reverse) as served,
        openssl.client(served.port, "-tls1_2") as peer,
    ):
        await peer.said(VERIFIED)
        await peer.say("Q")
        assert await peer.exit() == 0
    assert not served.errors
    closes = [(seen.sent, seen.name) for seen in watch.all if isinstance(seen, AlertSeen)]
    assert closes == [(False, "close_notify"), (True, "close_notify")]


async def test_we_close(openssl: OpenSSL, pki: Pki) -> None:
    async def say_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last words\n")

    async with serving(pki.server_config(), say_and_close) as served, openssl.client(served.port, "-tls1_2", "-msg") as peer:
        assert await peer.exit() == 0
        assert b"last words\n" in peer.output
        assert b"<<< TLS 1.2, Alert [length 0002], warning close_notify" in peer.output
        assert b">>> TLS 1.2, Alert [length 0002], warning close_notify" in peer.output
    assert not served.errors


async def test_truncation(openssl: OpenSSL, pki: Pki) -> None:
    async with serving(pki.server_config(), reverse) as served, openssl.client(served.port, "-tls1_2", "-brief") as peer:
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        await peer.kill()
        assert isinstance(await served.error(), (TruncationError, ConnectionResetError))


# what others can compute ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
async def test_exporter(openssl: OpenSSL, pki: Pki, name: str) -> None:
    exported: list[bytes] = []

    async def export(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exported.append(info_of(writer).export_keying_material("EXPORTER-minitls-test", None, 48))

    options = ["-tls1_2", "-cipher", name, "-keymatexport", "EXPORTER-minitls-test", "-keymatexportlen", "48"]
    async with serving(pki.server_config(), export) as served, openssl.client(served.port, *options) as peer:
        theirs = (await peer.said(rb"Keying material: ([0-9A-F]+)\n"))[1]
    assert exported == [bytes.fromhex(theirs.decode())]


async def test_key_log(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    config = pki.server_config(key_log=tmp_path / "ours")
    session = str(tmp_path / "session")
    for option in "-sess_out", "-sess_in":
        await talk(openssl, config, "-tls1_2", "-keylogfile", str(tmp_path / "theirs"), option, session)
    ours, theirs = ((tmp_path / name).read_text().splitlines() for name in ("ours", "theirs"))
    assert sorted(ours) == sorted(line for line in theirs if not line.startswith("#"))
    assert [line.split()[0] for line in ours] == ["CLIENT_RANDOM"] * 2


# how it looks on the wire --------------------------------------------------------------------------------------------------


async def test_small_records(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    """The client's certificate does not fit into records of 512 bytes, either."""
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    command = ["-brief", "-tls1_2", "-max_send_frag", "512", *files.client("rsa3072").options]
    async with serving(config, reverse) as served, openssl.client(served.port, *command) as peer:
        line = os.urandom(3000).hex()
        await peer.say(line)
        await peer.said(line[::-1].encode())
    assert served.infos[0].peer_chain
