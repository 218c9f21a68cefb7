"""Our client against ``openssl s_server``."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from interop.openssl.harness import (
    FRAGMENTS,
    GROUPS,
    HOST,
    KEYS,
    SUITES,
    Files,
    OpenSSL,
    Watch,
    connected,
    info_of,
    update_keys,
)
from minitls import AlertReceived, CertificateError, ClientConfig, ConnectionInfo, Credential, Policy, TruncationError, TrustStore
from minitls.errors import Alert
from minitls.observe import AlertSeen, ChangeCipherSpecSeen, MessageSeen
from minitls.wire.messages import KeyUpdate
from minitls.wire.numbers import KeyUpdateRequest
from tests.conftest import Pki

SIZE = 16 * 2**20
BLOCK = random.Random(1).randbytes(2**16).translate(bytes(0x80 | byte for byte in range(256)))
"""Bytes of which none is a command to s_server, wherever a read of its standard input begins."""


async def talk(port: int, config: ClientConfig, name: str = "localhost") -> ConnectionInfo:
    """A handshake and a line each way with ``s_server -rev``."""
    async with connected(port, config, name) as (reader, writer):
        writer.write(b"hello\n")
        assert await reader.readline() == b"olleh\n"
        return info_of(writer)


# what is agreed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
async def test_suite(openssl: OpenSSL, pki: Pki, suite: str) -> None:
    config = pki.client_config(policy=Policy(cipher_suites=SUITES))
    async with openssl.server("-rev", "-ciphersuites", suite) as peer:
        info = await talk(peer.port, config)
        await peer.said(b"Ciphersuite: " + suite.encode())
    assert (info.version, info.cipher_suite) == ("TLSv1.3", suite)


@pytest.mark.parametrize("group", GROUPS)
async def test_group(openssl: OpenSSL, pki: Pki, group: str) -> None:
    async with openssl.server("-rev", "-groups", GROUPS[group]) as peer:
        info = await talk(peer.port, pki.client_config(policy=Policy(groups=(group,))))
    assert (info.group, info.hello_retry) == (group, False)


@pytest.mark.parametrize("group", GROUPS)
async def test_the_server_asks_for_a_group_that_we_sent_no_share_for(openssl: OpenSSL, pki: Pki, group: str) -> None:
    shared = "secp256r1" if group == "x25519" else "x25519"
    config = pki.client_config(policy=Policy(groups=(shared, group), key_shares=(shared,)))
    async with openssl.server("-rev", "-groups", GROUPS[group]) as peer:
        info = await talk(peer.port, config)
    assert (info.group, info.hello_retry) == (group, True)


async def test_a_first_hello_without_any_share(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-rev", "-groups", "X25519") as peer:
        info = await talk(peer.port, pki.client_config(policy=Policy(key_shares=())))
    assert (info.group, info.hello_retry) == ("x25519", True)


async def test_no_group_in_common(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-groups", "P-521") as peer:
        with pytest.raises(AlertReceived) as caught:
            await talk(peer.port, pki.client_config(policy=Policy(groups=("x25519",))))
        assert caught.value.alert is Alert.handshake_failure


async def test_an_older_version(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-tls1_2") as peer:
        with pytest.raises(AlertReceived) as caught:
            await talk(peer.port, pki.client_config(policy=Policy(versions=("TLSv1.3",))))
        assert caught.value.alert is Alert.protocol_version


@pytest.mark.parametrize("key", KEYS)
async def test_the_servers_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    async with openssl.server("-rev", identity=files.server(key)) as peer:
        info = await talk(peer.port, pki.client_config())
    assert info.signature_scheme == KEYS[key]
    assert len(info.verified_chain) == 3


async def test_a_server_certificate_that_we_do_not_trust(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    async with openssl.server(identity=files.strange("localhost")) as peer:
        with pytest.raises(CertificateError) as caught:
            await talk(peer.port, pki.client_config())
        assert caught.value.alert is Alert.unknown_ca
        await peer.said(b"alert unknown ca")


async def test_a_server_certificate_for_another_name(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    async with openssl.server(identity=files.server(name="other.example")) as peer:
        with pytest.raises(CertificateError) as caught:
            await talk(peer.port, pki.client_config())
        assert caught.value.reason == "name_mismatch"
        await peer.said(b"alert bad certificate")


@pytest.mark.parametrize(("ours", "agreed"), [(("http/1.1",), "http/1.1"), (("http/1.1", "h2"), "h2"), ((), None)])
async def test_alpn(openssl: OpenSSL, pki: Pki, ours: tuple[str, ...], agreed: str | None) -> None:
    async with openssl.server("-rev", "-alpn", "h2,http/1.1") as peer:
        info = await talk(peer.port, pki.client_config(alpn=ours))
    assert info.alpn_protocol == agreed


async def test_no_application_protocol_in_common(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-rev", "-alpn", "h2") as peer:
        with pytest.raises(AlertReceived) as caught:
            await talk(peer.port, pki.client_config(alpn=("http/1.1",)))
        assert caught.value.alert is Alert.no_application_protocol


@pytest.mark.parametrize("name", ["localhost", "two.example"])
async def test_server_name(openssl: OpenSSL, pki: Pki, files: Files, name: str) -> None:
    """Verification fails if the wrong one of two certificates is shown."""
    second = files.server(name="two.example")
    options = ["-servername", "two.example", "-cert2", str(second.cert), "-key2", str(second.key)]
    async with openssl.server("-rev", *options) as peer:
        trust = TrustStore.from_certificates(pki.authority.chain)  # s_server sends the second one without its intermediate
        await talk(peer.port, pki.client_config(trust=trust), name)


async def test_an_address(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    """It is verified, and not sent."""
    async with openssl.server("-rev", "-tlsextdebug", identity=files.server(name=HOST)) as peer:
        info = await talk(peer.port, pki.client_config(), HOST)
        await peer.said(b"TLS client extension .supported versions")
        assert b'TLS client extension "server name"' not in peer.output
    assert info.server_name == HOST


@pytest.mark.parametrize(
    "options",
    [
        ["-num_tickets", "0"],
        ["-no_ticket"],
        ["-no_cache"],
        ["-serverpref", "-prioritize_chacha"],
        ["-nextprotoneg", "h2"],
        ["-status"],
        ["-nbio"],
        ["-async"],
        ["-bugs"],
    ],
    ids=" ".join,
)
async def test_a_server_with_habits(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    async with openssl.server("-rev", *options) as peer:
        await talk(peer.port, pki.client_config())


async def test_an_application_that_takes_its_time(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    """The verdict on the server's certificate and our signature are awaited, and what comes meanwhile is kept."""
    asked: list[str] = []

    async def answer(what: str, value: Any = None) -> Any:
        asked.append(what)
        await asyncio.sleep(0.01)
        return value

    issued = pki.client()
    slow = Credential(issued.chain, signer=lambda scheme, data: answer("sign", issued.sign(scheme, data)))
    async with openssl.server("-rev", "-Verify", "4", "-verify_return_error", "-CAfile", str(files.ca)) as peer:
        await talk(peer.port, pki.client_config(credential=slow, verify=lambda peer: answer("verify")))
    assert asked == ["verify", "sign"]


# client certificates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
async def test_our_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    credential = files.client(key).credential()
    async with openssl.server("-rev", "-Verify", "4", "-verify_return_error", "-CAfile", str(files.ca)) as peer:
        info = await talk(peer.port, pki.client_config(credential=credential))
        await peer.said(b"Peer certificate: CN ?= ?client")
    assert info.client_signature_scheme == KEYS[key]


@pytest.mark.parametrize(
    ("shown", "alert"), [("strange", Alert.unknown_ca), ("none", Alert.certificate_required)], ids=["refused", "missing"]
)
async def test_our_certificate_is_not_good(openssl: OpenSSL, pki: Pki, files: Files, shown: str, alert: Alert) -> None:
    """Our handshake is over before the server's verdict comes: the first read has it."""
    credential = files.strange("client", client=True).credential() if shown == "strange" else None
    async with (
        openssl.server("-rev", "-Verify", "4", "-verify_return_error", "-CAfile", str(files.ca)) as peer,
        connected(peer.port, pki.client_config(credential=credential)) as (reader, _),
    ):
        with pytest.raises(AlertReceived) as caught:
            await reader.read(1)
        assert caught.value.alert is alert


async def test_a_certificate_that_is_only_requested(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    async with openssl.server("-rev", "-verify", "4", "-CAfile", str(files.ca)) as peer:
        await talk(peer.port, pki.client_config())
        await peer.said(b"No peer certificate")


# after the handshake -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "requested"), [("k", False), ("K", True)])
async def test_the_server_updates_its_keys(openssl: OpenSSL, pki: Pki, command: str, requested: bool) -> None:
    watch = Watch()
    async with (
        openssl.server("-msg") as peer,
        connected(peer.port, pki.client_config(observer=watch)) as (reader, writer),
    ):
        for round_ in range(3):
            await peer.say(command)
            await peer.said(rb">>> TLS 1.3, Handshake .*, KeyUpdate", times=round_ + 1)
            await peer.say(f"down {round_}")
            assert await reader.readline() == b"down %d\n" % round_
            writer.write(b"up %d\n" % round_)
            await peer.said(b"up %d" % round_)
    updates = [seen.message for seen in watch.all if isinstance(seen, MessageSeen) and isinstance(seen.message, KeyUpdate)]
    assert updates.count(KeyUpdate(KeyUpdateRequest(requested))) >= 3
    assert watch.sent.count("KeyUpdate") == (3 if requested else 0)
    assert watch.received.count("KeyUpdate") == 3


@pytest.mark.parametrize("request_peer", [False, True])
async def test_we_update_our_keys(openssl: OpenSSL, pki: Pki, request_peer: bool) -> None:
    watch = Watch()
    async with (
        openssl.server() as peer,
        connected(peer.port, pki.client_config(observer=watch)) as (reader, writer),
    ):
        for line in ("one", "two", "three"):
            update_keys(writer, request_peer=request_peer)
            writer.write(f"{line}\n".encode())
            await peer.said(line.encode())
            await peer.say(f"after {line}")
            assert await reader.readline() == f"after {line}\n".encode()
    assert watch.sent.count("KeyUpdate") == 3
    assert watch.received.count("KeyUpdate") == (3 if request_peer else 0)


async def test_tickets_do_no_harm(openssl: OpenSSL, pki: Pki) -> None:
    watch = Watch()
    async with openssl.server("-rev", "-num_tickets", "5") as peer:
        await talk(peer.port, pki.client_config(observer=watch))
    assert watch.received.count("NewSessionTicket") == 5


async def test_16_mib_up(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server() as peer, connected(peer.port, pki.client_config()) as (_, writer):
        end = (await peer.said(rb"Secure Renegotiation IS.* supported\n")).end()
        for _ in range(SIZE // len(BLOCK)):
            writer.write(BLOCK)
            await writer.drain()
        writer.close()
        await peer.until(lambda: len(peer.output) > end + SIZE, "end of the data")
    received = peer.output[end : end + SIZE]
    assert hashlib.sha256(received).digest() == hashlib.sha256(BLOCK * (SIZE // len(BLOCK))).digest()
    assert b"ERROR" not in peer.output[end + SIZE :]


async def test_16_mib_down(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server() as peer, connected(peer.port, pki.client_config()) as (reader, _):
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


async def test_a_page(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-www") as peer, connected(peer.port, pki.client_config()) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        page = await reader.read()
    assert page.startswith(b"HTTP/1.0 200 ok\r\n")
    assert b"New, TLSv1.3, Cipher is TLS_AES_" in page
    assert page.rstrip().endswith(b"</HTML>")


# how it ends ---------------------------------------------------------------------------------------------------------------


async def test_the_server_closes(openssl: OpenSSL, pki: Pki) -> None:
    watch = Watch()
    async with openssl.server("-rev", "-msg") as peer:
        async with connected(peer.port, pki.client_config(observer=watch)) as (reader, writer):
            writer.write(b"hello\nCLOSE\n")  # s_server's word for it
            assert await reader.read() == b"olleh\n"
        await peer.said(b"CONNECTION CLOSED")
        await peer.said(rb">>> TLS 1.3, Alert .*, warning close_notify")
    closes = [(seen.sent, seen.name) for seen in watch.all if isinstance(seen, AlertSeen)]
    assert closes == [(False, "close_notify"), (True, "close_notify")]


async def test_we_close(openssl: OpenSSL, pki: Pki) -> None:
    watch = Watch()
    async with openssl.server("-msg") as peer:
        async with connected(peer.port, pki.client_config(observer=watch)) as (_, writer):
            writer.write(b"last words\n")
        await peer.said(b"last words")
        await peer.said(rb"<<< TLS 1.3, Alert .*, warning close_notify")
        await peer.said(b"shutting down SSL")
        await peer.said(rb">>> TLS 1.3, Alert .*, warning close_notify")
        assert b"ERROR" not in peer.output


async def test_the_server_leaves_without_close_notify(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server() as peer, connected(peer.port, pki.client_config()) as (reader, _):
        await peer.say("half a ")
        assert await reader.read(7) == b"half a "
        await peer.say("q")
        with pytest.raises(TruncationError):
            await reader.read()


async def test_the_server_dies(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-rev") as peer, connected(peer.port, pki.client_config()) as (reader, writer):
        writer.write(b"hello\n")
        assert await reader.readline() == b"olleh\n"
        await peer.kill()
        with pytest.raises((TruncationError, ConnectionResetError)):
            await reader.read()


# what others can compute ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES[:2])
async def test_exporter(openssl: OpenSSL, pki: Pki, suite: str) -> None:
    options = ["-ciphersuites", suite, "-keymatexport", "EXPORTER-minitls-test", "-keymatexportlen", "48"]
    async with openssl.server(*options) as peer, connected(peer.port, pki.client_config()) as (_, writer):
        theirs = (await peer.said(rb"Keying material: ([0-9A-F]+)\n"))[1]
        ours = info_of(writer).export_keying_material("EXPORTER-minitls-test", b"", 48)
    assert ours == bytes.fromhex(theirs.decode())


async def test_key_log(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    lines: list[str] = []
    async with openssl.server("-rev", "-keylogfile", str(tmp_path / "keys")) as peer:
        await talk(peer.port, pki.client_config(key_log=lines.append))
    theirs = [line for line in (tmp_path / "keys").read_text().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(theirs)
    assert len(lines) == 5


# how it looks on the wire --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retried", [False, True])
async def test_without_middlebox_compatibility(openssl: OpenSSL, pki: Pki, retried: bool) -> None:
    for options, expected in ([], 1), (["-no_middlebox"], 0):
        watch = Watch()
        async with openssl.server("-rev", *options, "-groups", "P-384" if retried else "X25519") as peer:
            await talk(peer.port, pki.client_config(observer=watch))
        assert sum(isinstance(seen, ChangeCipherSpecSeen) and not seen.sent for seen in watch.all) == expected


@pytest.mark.parametrize("options", FRAGMENTS, ids=" ".join)
async def test_small_records(openssl: OpenSSL, pki: Pki, files: Files, options: list[str]) -> None:
    """The server's own messages do not fit into records of 512 bytes, either."""
    async with openssl.server("-rev", *options, identity=files.server("rsa3072")) as peer:
        async with connected(peer.port, pki.client_config()) as (reader, writer):
            line = BLOCK[:12000].replace(b"\x8a", b"")
            writer.write(line + b"\n")
            got = await reader.readline()
        assert got == line[::-1] + b"\n"


async def test_padding(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server("-rev", "-msg", "-record_padding", "1000") as peer:
        await talk(peer.port, pki.client_config(record_padding=500))
        await peer.said(rb"<<< TLS 1.2, RecordHeader \[length 0005\]\n    17 03 03 02 04\n")  # 500 and a tag of 16
        await peer.said(rb">>> TLS 1.2, RecordHeader \[length 0005\]\n    17 03 03 03 f8\n")  # 1000 and a tag of 16
