"""Our client against ``openssl s_server -tls1_2``."""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from interop.openssl.harness import KEYS, Files, OpenSSL, Watch, connected, find_openssl, info_of
from interop.openssl.test_client import BLOCK, SIZE, talk
from minitls import AlertReceived, ClientConfig, ConnectionInfo, PeerIncompatible, Policy, TLSError, TruncationError, TrustStore
from minitls.crypto.suites12 import SUITES_12, Suite12
from minitls.errors import Alert
from minitls.observe import AlertSeen
from minitls.sessions.store import MemoryStore
from tests.conftest import Pki

LEGACY = Policy.legacy.replace(versions=("1.2",))
INTERMEDIATE = Policy.intermediate.replace(versions=("1.2",))
PSK = (b"me", bytes(range(16)))
PSK_OPTIONS = ["-nocert", "-psk", PSK[1].hex(), "-psk_identity", "me"]
ANY = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"

SMALL_GROUP = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""
"""The prime of 1024 bits that the Logjam paper is about (RFC 2409 section 6.2)."""

WITHOUT_EMS = """openssl_conf = settings
[settings]
ssl_conf = ssl
[ssl]
system_default = options
[options]
Options = -ExtendedMasterSecret
"""
"""OpenSSL 3.0 has no option for it on its command line."""


@cache
def _names() -> dict[str, str]:
    listed = subprocess.run(
        [find_openssl(), "ciphers", "-stdname", ANY], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    return dict(re.findall(r"^(TLS_\S+) +- (\S+)", listed, re.MULTILINE))


def openssl_name(suite: Suite12) -> str:
    return _names()[suite.name]


SHARED = [suite for suite in SUITES_12.values() if not suite.name.startswith("TLS_ECDHE_PSK_WITH_AES") or suite.is_cbc]
"""OpenSSL and GnuTLS have all of ours but for ECDHE_PSK with GCM (RFC 8442)."""
CERTIFIED = [suite for code, suite in SUITES_12.items() if code in INTERMEDIATE.cipher_suites and suite.authentication != "PSK"]
"""What a client without a key to share offers by default."""


def only(*suites: str, **changes: object) -> Policy:
    """A policy that speaks TLS 1.2 alone, with these suites."""
    return LEGACY.replace(cipher_suites=suites, **changes)


def key_for(suite: Suite12) -> str:
    return "rsa2048" if suite.authentication == "RSA" else "p256"


async def page(port: int, config: ClientConfig) -> tuple[ConnectionInfo, bytes]:
    """What ``s_server -www`` says of the connection."""
    async with connected(port, config) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return info_of(writer), await reader.read()


# what is agreed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SHARED, ids=lambda suite: suite.name)
async def test_suite(openssl: OpenSSL, pki: Pki, files: Files, suite: Suite12) -> None:
    name = openssl_name(suite)
    options = PSK_OPTIONS if suite.authentication == "PSK" else []
    config = pki.client_config(policy=LEGACY, psk=lambda hint: PSK)
    async with openssl.server(
        "-rev", "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", *options, identity=files.server(key_for(suite))
    ) as peer:
        info = await talk(peer.port, config)
        await peer.said(b"Ciphersuite: " + name.encode() + b"\n")
    assert (info.version, info.cipher_suite) == ("TLSv1.2", suite.name)
    assert info.extended_master_secret
    assert bool(info.verified_chain) == (suite.authentication != "PSK")


@pytest.mark.parametrize("suite", CERTIFIED, ids=lambda suite: suite.name)
async def test_the_default_policy_has_the_safe_suites(openssl: OpenSSL, pki: Pki, files: Files, suite: Suite12) -> None:
    async with openssl.server("-rev", "-tls1_2", "-cipher", openssl_name(suite), identity=files.server(key_for(suite))) as peer:
        info = await talk(peer.port, pki.client_config())
    assert (info.version, info.cipher_suite) == ("TLSv1.2", suite.name)


@pytest.mark.parametrize("name", ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"])
async def test_the_default_policy_has_no_other(openssl: OpenSSL, pki: Pki, files: Files, name: str) -> None:
    async with openssl.server("-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", identity=files.server("rsa2048")) as peer:
        with pytest.raises(AlertReceived) as caught:
            await talk(peer.port, pki.client_config())
    assert caught.value.alert is Alert.handshake_failure


@pytest.mark.parametrize("key", KEYS)
async def test_the_servers_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    async with openssl.server("-rev", "-tls1_2", identity=files.server(key)) as peer:
        info = await talk(peer.port, pki.client_config(policy=INTERMEDIATE))
    assert info.signature_scheme is not None
    assert info.signature_scheme.partition("_")[0] == KEYS[key].partition("_")[0]
    assert len(info.verified_chain) == 3


@pytest.mark.parametrize("curve", ["x25519", "secp256r1", "secp384r1", "secp521r1", "x448"])
async def test_curve(openssl: OpenSSL, pki: Pki, files: Files, curve: str) -> None:
    """With an RSA certificate: the list is about ECDSA keys, too (RFC 8422 section 5.1.1)."""
    async with openssl.server("-rev", "-tls1_2", identity=files.server("rsa2048")) as peer:
        info = await talk(peer.port, pki.client_config(policy=INTERMEDIATE.replace(groups=(curve,))))
    assert info.group == curve


async def test_a_small_diffie_hellman_group_is_refused(openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path) -> None:
    made = tmp_path / "dh.pem"
    made.write_text(SMALL_GROUP)
    options = ["-rev", "-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", "-dhparam", str(made)]
    async with openssl.server(*options, identity=files.server("rsa2048")) as peer:
        with pytest.raises(TLSError) as caught:
            await talk(peer.port, pki.client_config(policy=LEGACY))
        assert caught.value.alert is Alert.insufficient_security
        await peer.said(b"alert insufficient security")


async def test_a_downgrade_is_seen(openssl: OpenSSL, pki: Pki) -> None:
    """A client that speaks both gets 1.2 from a server that has only that, and 1.3 from one that has both."""
    for options, version in (["-tls1_2"], "TLSv1.2"), ([], "TLSv1.3"):
        async with openssl.server("-rev", *options) as peer:
            info = await talk(peer.port, pki.client_config())
        assert info.version == version


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
async def test_an_older_version(openssl: OpenSSL, pki: Pki, option: str) -> None:
    async with openssl.server(option, "-cipher", "ALL:@SECLEVEL=0") as peer:
        with pytest.raises((AlertReceived, PeerIncompatible)) as caught:
            await talk(peer.port, pki.client_config())
    assert caught.value.alert is Alert.protocol_version


@pytest.mark.parametrize(("ours", "agreed"), [(("http/1.1",), "http/1.1"), (("http/1.1", "h2"), "h2"), ((), None)])
async def test_alpn(openssl: OpenSSL, pki: Pki, ours: tuple[str, ...], agreed: str | None) -> None:
    async with openssl.server("-rev", "-tls1_2", "-alpn", "h2,http/1.1") as peer:
        info = await talk(peer.port, pki.client_config(alpn=ours))
    assert info.alpn_protocol == agreed


@pytest.mark.parametrize("name", ["localhost", "two.example"])
async def test_server_name(openssl: OpenSSL, pki: Pki, files: Files, name: str) -> None:
    """Verification fails if the wrong one of two certificates is shown."""
    second = files.server(name="two.example")
    options = ["-servername", "two.example", "-cert2", str(second.cert), "-key2", str(second.key)]
    async with openssl.server("-rev", "-tls1_2", *options) as peer:
        trust = TrustStore.from_certificates(pki.authority.chain)  # s_server sends the second one without its intermediate
        await talk(peer.port, pki.client_config(trust=trust, policy=INTERMEDIATE), name)


@pytest.mark.parametrize("etm", [True, False], ids=["encrypt-then-MAC", "MAC-then-encrypt"])
@pytest.mark.parametrize("name", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384"])
async def test_encrypt_then_mac(openssl: OpenSSL, pki: Pki, name: str, etm: bool) -> None:
    """Every length of a line gives another padding."""
    options = ["-rev", "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", "-tlsextdebug", *([] if etm else ["-no_etm"])]
    async with openssl.server(*options) as peer:
        async with connected(peer.port, pki.client_config(policy=LEGACY)) as (reader, writer):
            for length in range(1, 40):
                writer.write(b"x" * length + b"y\n")
                assert await reader.readline() == b"y" + b"x" * length + b"\n"
        await peer.said(b'TLS client extension "encrypt-then-mac"')


@pytest.mark.parametrize("policy", [INTERMEDIATE, LEGACY], ids=["intermediate", "legacy"])
async def test_without_extended_master_secret(
    openssl: OpenSSL, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    conf = tmp_path / "openssl.cnf"
    conf.write_text(WITHOUT_EMS)
    monkeypatch.setenv("OPENSSL_CONF", str(conf))
    config = pki.client_config(policy=policy, session_store=MemoryStore())
    async with openssl.server("-www", "-tls1_2") as peer:
        if policy.secure_tls12:
            with pytest.raises(PeerIncompatible) as caught:
                await page(peer.port, config)
            assert caught.value.reason == "no_extended_master_secret"
            return
        for resumed in (False, True):
            info, said = await page(peer.port, config)
            assert (info.extended_master_secret, info.resumed) == (False, resumed)
            assert b"Extended master secret: no" in said


@pytest.mark.parametrize("length", [512, 1024, 2048, 4096])
async def test_max_fragment_length(openssl: OpenSSL, pki: Pki, length: int) -> None:
    config = pki.client_config(policy=INTERMEDIATE, max_fragment_length=length)
    async with openssl.server("-rev", "-tls1_2", "-msg") as peer:
        async with connected(peer.port, config) as (reader, writer):
            line = BLOCK[:9000].replace(b"\x8a", b"")
            writer.write(line + b"\n")
            assert await reader.readline() == line[::-1] + b"\n"
        # a full record of it and GCM's 24 bytes, both ways
        header = b"17 03 03 " + (length + 24).to_bytes(2, "big").hex(" ").encode()
        await peer.said(rb"<<< TLS 1.2, RecordHeader \[length 0005\]\n    " + header)
        await peer.said(rb">>> TLS 1.2, RecordHeader \[length 0005\]\n    " + header)


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("name", ["PSK-AES128-GCM-SHA256", "ECDHE-PSK-CHACHA20-POLY1305"])
async def test_psk(openssl: OpenSSL, pki: Pki, name: str, right: bool) -> None:
    """The server's hint reaches us; a wrong key fails at Finished."""
    hints: list[bytes | None] = []

    async def psk(hint: bytes | None) -> tuple[bytes, bytes]:
        hints.append(hint)
        return PSK if right else (PSK[0], bytes(16))

    options = ["-rev", "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", *PSK_OPTIONS, "-psk_hint", "say who"]
    async with openssl.server(*options) as peer:
        if right:
            await talk(peer.port, pki.client_config(policy=LEGACY, psk=psk))
        else:
            with pytest.raises(AlertReceived) as caught:
                await talk(peer.port, pki.client_config(policy=LEGACY, psk=psk))
            assert caught.value.alert in (Alert.bad_record_mac, Alert.decrypt_error)
    assert len(hints) == 1


# client certificates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
async def test_our_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    credential = files.client(key).credential()
    async with openssl.server("-rev", "-tls1_2", "-Verify", "4", "-verify_return_error", "-CAfile", str(files.ca)) as peer:
        info = await talk(peer.port, pki.client_config(policy=INTERMEDIATE, credential=credential))
        await peer.said(b"Peer certificate: CN = client")
    assert info.client_signature_scheme is not None


@pytest.mark.parametrize(
    ("shown", "alert"), [("strange", Alert.unknown_ca), ("none", Alert.handshake_failure)], ids=["refused", "missing"]
)
async def test_our_certificate_is_not_good(openssl: OpenSSL, pki: Pki, files: Files, shown: str, alert: Alert) -> None:
    """In TLS 1.2 the verdict comes before the handshake is over."""
    credential = files.strange("client", client=True).credential() if shown == "strange" else None
    async with openssl.server("-rev", "-tls1_2", "-Verify", "4", "-verify_return_error", "-CAfile", str(files.ca)) as peer:
        with pytest.raises(AlertReceived) as caught:
            await talk(peer.port, pki.client_config(policy=INTERMEDIATE, credential=credential))
    assert caught.value.alert is alert


async def test_a_certificate_that_is_only_requested(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    async with openssl.server("-rev", "-tls1_2", "-verify", "4", "-CAfile", str(files.ca)) as peer:
        await talk(peer.port, pki.client_config(policy=INTERMEDIATE))
        await peer.said(b"No peer certificate")


# resumption ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("policy", [Policy.intermediate, INTERMEDIATE], ids=["1.3 offered", "1.2 alone"])
@pytest.mark.parametrize("options", [[], ["-no_ticket"]], ids=["by ticket", "by ID"])
async def test_resumption(
    openssl: OpenSSL, pki: Pki, files: Files, options: list[str], policy: Policy, authenticated: bool
) -> None:
    credential = files.client().credential() if authenticated else None
    config = pki.client_config(policy=policy, credential=credential, session_store=MemoryStore())
    asked = ["-verify", "4", "-CAfile", str(files.ca)] if authenticated else []
    async with openssl.server("-www", "-tls1_2", *options, *asked) as peer:
        for resumed in (False, True, True):
            info, said = await page(peer.port, config)
            assert (info.version, info.resumed) == ("TLSv1.2", resumed)
            assert (b"Reused, TLSv1.2" if resumed else b"New, TLSv1.2") in said
            assert info.extended_master_secret
            assert info.peer_chain


@pytest.mark.parametrize("options", [[], ["-no_ticket"]], ids=["by ticket", "by ID"])
async def test_a_session_that_another_server_does_not_know(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    """A full handshake, and then its own session."""
    store = MemoryStore()
    config = pki.client_config(policy=INTERMEDIATE, session_store=store)
    async with openssl.server("-www", "-tls1_2", *options) as first, openssl.server("-www", "-tls1_2", *options) as second:
        await page(first.port, config)
        session = store.get(f"localhost:{first.port}")
        assert session is not None
        store.put(f"localhost:{second.port}", session)
        for resumed in (False, True):
            info, _ = await page(second.port, config)
            assert info.resumed == resumed


@pytest.mark.parametrize("suite", ["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"])
async def test_resumption_of_legacy_suites(openssl: OpenSSL, pki: Pki, files: Files, suite: str) -> None:
    config = pki.client_config(policy=only(suite), session_store=MemoryStore())
    async with openssl.server("-www", "-tls1_2", "-cipher", "ALL:@SECLEVEL=0", identity=files.server("rsa2048")) as peer:
        for resumed in (False, True):
            info, _ = await page(peer.port, config)
            assert (info.cipher_suite, info.resumed) == (suite, resumed)


# after the handshake -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["r", "R"])
async def test_the_server_asks_for_a_renegotiation(openssl: OpenSSL, pki: Pki, command: str) -> None:
    """HelloRequest: answered with no_renegotiation; that ends the connection on OpenSSL's side."""
    watch = Watch()
    async with (
        openssl.server("-tls1_2") as peer,
        connected(peer.port, pki.client_config(observer=watch)) as (reader, writer),
    ):
        writer.write(b"before\n")
        await peer.said(b"before")
        await peer.say(command)
        with pytest.raises((AlertReceived, TruncationError)) as caught:
            await reader.read()
        await peer.said(b"no renegotiation")
    if isinstance(caught.value, AlertReceived):
        assert caught.value.alert is Alert.handshake_failure
    assert watch.received.count("HelloRequest") == 1
    assert watch.sent.count("ClientHello") == 1
    sent = [seen.name for seen in watch.all if isinstance(seen, AlertSeen) and seen.sent]
    assert sent[:1] == ["no_renegotiation"]


CIPHERS = {"ECDHE-ECDSA-AES128-GCM-SHA256": INTERMEDIATE, "ECDHE-ECDSA-AES128-SHA": LEGACY}


@pytest.mark.parametrize("cipher", CIPHERS)
async def test_16_mib_up(openssl: OpenSSL, pki: Pki, cipher: str) -> None:
    config = pki.client_config(policy=CIPHERS[cipher])
    async with openssl.server("-tls1_2", "-cipher", cipher) as peer, connected(peer.port, config) as (_, writer):
        end = (await peer.said(rb"Secure Renegotiation IS.* supported\n")).end()
        for _ in range(SIZE // len(BLOCK)):
            writer.write(BLOCK)
            await writer.drain()
        writer.close()
        await peer.until(lambda: len(peer.output) > end + SIZE, "end of the data")
    received = peer.output[end : end + SIZE]
    assert hashlib.sha256(received).digest() == hashlib.sha256(BLOCK * (SIZE // len(BLOCK))).digest()
    assert b"ERROR" not in peer.output[end + SIZE :]


@pytest.mark.parametrize("cipher", CIPHERS)
async def test_16_mib_down(openssl: OpenSSL, pki: Pki, cipher: str) -> None:
    config = pki.client_config(policy=CIPHERS[cipher])
    async with openssl.server("-tls1_2", "-cipher", cipher) as peer, connected(peer.port, config) as (reader, _):
        feeding = asyncio.create_task(peer.write(BLOCK * (SIZE // len(BLOCK))))
        digest = hashlib.sha256()
        left = SIZE
        while left:
            data = await reader.read(min(left, 2**18))
            assert data
            digest.update(data)
            left -= len(data)
        await feeding
    assert digest.digest() == hashlib.sha256(BLOCK * (SIZE // len(BLOCK))).digest()


# how it ends ---------------------------------------------------------------------------------------------------------------


async def test_the_server_closes(openssl: OpenSSL, pki: Pki) -> None:
    watch = Watch()
    async with openssl.server("-rev", "-tls1_2", "-msg") as peer:
        async with connected(peer.port, pki.client_config(observer=watch)) as (reader, writer):
            writer.write(b"hello\nCLOSE\n")  # s_server's word for it
            assert await reader.read() == b"olleh\n"
        await peer.said(b"CONNECTION CLOSED")
    closes = [(seen.sent, seen.name) for seen in watch.all if isinstance(seen, AlertSeen)]
    assert closes == [(False, "close_notify"), (True, "close_notify")]


async def test_we_close(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-tls1_2", "-msg") as peer:
        async with connected(peer.port, pki.client_config()) as (_, writer):
            writer.write(b"last words\n")
        await peer.said(b"last words")
        await peer.said(rb"<<< TLS 1.2, Alert .*, warning close_notify")
        await peer.said(rb">>> TLS 1.2, Alert .*, warning close_notify")
        assert b"ERROR" not in peer.output


async def test_truncation(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-rev", "-tls1_2") as peer, connected(peer.port, pki.client_config()) as (reader, writer):
        writer.write(b"hello\n")
        assert await reader.readline() == b"olleh\n"
        await peer.kill()
        with pytest.raises((TruncationError, ConnectionResetError)):
            await reader.read()


# what others can compute ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
async def test_exporter(openssl: OpenSSL, pki: Pki, name: str) -> None:
    """OpenSSL's command exports without a context, which TLS 1.2 tells from an empty one (RFC 5705 section 4)."""
    options = ["-tls1_2", "-cipher", name, "-keymatexport", "EXPORTER-minitls-test", "-keymatexportlen", "48"]
    async with openssl.server(*options) as peer, connected(peer.port, pki.client_config()) as (_, writer):
        theirs = (await peer.said(rb"Keying material: ([0-9A-F]+)\n"))[1]
        export = info_of(writer).export_keying_material
        assert export("EXPORTER-minitls-test", None, 48) == bytes.fromhex(theirs.decode())
        assert export("EXPORTER-minitls-test", b"", 48) != bytes.fromhex(theirs.decode())


@pytest.mark.parametrize("options", [[], ["-no_ticket"]], ids=["by ticket", "by ID"])
async def test_key_log(openssl: OpenSSL, pki: Pki, tmp_path: Path, options: list[str]) -> None:
    """A line for each handshake, the resumed one, too."""
    lines: list[str] = []
    config = pki.client_config(key_log=lines.append)
    async with openssl.server("-www", "-tls1_2", *options, "-keylogfile", str(tmp_path / "keys")) as peer:
        for _ in range(2):
            await page(peer.port, config)
    theirs = [line for line in (tmp_path / "keys").read_text().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(theirs)
    assert [line.split()[0] for line in lines] == ["CLIENT_RANDOM"] * 2


# how it looks on the wire --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["-max_send_frag", "512"], ["-status"], ["-serverpref"], ["-nbio"]], ids=" ".join)
async def test_a_server_with_habits(openssl: OpenSSL, pki: Pki, files: Files, options: list[str]) -> None:
    async with openssl.server("-rev", "-tls1_2", *options, identity=files.server("rsa3072")) as peer:
        info = await talk(peer.port, pki.client_config(request_staples=True))
    assert info.version == "TLSv1.2"
