"""Our server against ``openssl s_client``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from interop.openssl.harness import (
    FRAGMENTS,
    GROUPS,
    KEYS,
    SIGNATURE_TYPES,
    SUITES,
    Files,
    OpenSSL,
    Served,
    Watch,
    info_of,
    reverse,
    serving,
    update_keys,
)
from minitls import (
    AlertReceived,
    CertificateError,
    ClientAuth,
    ConnectionInfo,
    Credential,
    PeerIncompatible,
    Policy,
    ServerConfig,
    TruncationError,
)
from minitls.errors import Alert
from minitls.observe import AlertSeen, ChangeCipherSpecSeen
from minitls.wire.numbers import ExtensionType
from tests.conftest import Pki

SIZE = 16 * 2**20


async def talk(openssl: OpenSSL, config: ServerConfig, *options: str, name: str | None = "localhost") -> tuple[ConnectionInfo, str]:
    """A handshake and a line each way.  Gives what we know of it, and what s_client said."""
    async with serving(config, reverse) as served, openssl.client(served.port, "-brief", *options, name=name) as peer:
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0
        assert "Verification: OK" in peer.text
    assert not served.errors
    return served.infos[0], peer.text


async def fail(openssl: OpenSSL, config: ServerConfig, *options: str) -> tuple[BaseException, str, Served]:
    """A connection that comes to nothing.  Gives our error, and what s_client said."""
    async with serving(config, reverse) as served, openssl.client(served.port, "-brief", *options) as peer:
        error = await served.error()
        assert await peer.exit() == 1
    return error, peer.text, served


# what is agreed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
async def test_suite(openssl: OpenSSL, pki: Pki, suite: str) -> None:
    config = pki.server_config(policy=Policy(cipher_suites=SUITES))
    info, said = await talk(openssl, config, "-ciphersuites", suite)
    assert (info.version, info.cipher_suite) == ("TLSv1.3", suite)
    assert f"Ciphersuite: {suite}\n" in said


async def test_no_suite_in_common(openssl: OpenSSL, pki: Pki) -> None:
    config = pki.server_config(policy=Policy(cipher_suites=SUITES[:1]))
    error, said, _ = await fail(openssl, config, "-ciphersuites", SUITES[1])
    assert isinstance(error, PeerIncompatible)
    assert "alert handshake failure" in said


@pytest.mark.parametrize("group", GROUPS)
async def test_group(openssl: OpenSSL, pki: Pki, group: str) -> None:
    info, said = await talk(openssl, pki.server_config(), "-groups", GROUPS[group])
    assert (info.group, info.hello_retry) == (group, False)
    assert "Temp Key: " in said or "Negotiated TLS1.3 group: " in said


@pytest.mark.parametrize("cookie", [False, True], ids=["", "cookie"])
@pytest.mark.parametrize("group", GROUPS)
async def test_we_ask_for_a_group_that_it_sent_no_share_for(openssl: OpenSSL, pki: Pki, group: str, cookie: bool) -> None:
    first = "P-256" if group == "x25519" else "X25519"
    config = pki.server_config(policy=Policy(groups=(group,)), send_cookie=cookie)
    info, _ = await talk(openssl, config, "-groups", f"{first}:{GROUPS[group]}")
    assert (info.group, info.hello_retry) == (group, True)


async def test_a_cookie_alone(openssl: OpenSSL, pki: Pki) -> None:
    info, _ = await talk(openssl, pki.server_config(send_cookie=True), "-groups", "X25519")
    assert (info.group, info.hello_retry) == ("x25519", True)


async def test_no_group_in_common(openssl: OpenSSL, pki: Pki) -> None:
    error, said, _ = await fail(openssl, pki.server_config(policy=Policy(groups=("x448",))), "-groups", "P-256")
    assert isinstance(error, PeerIncompatible)
    assert error.reason == "no_shared_group"
    assert "alert handshake failure" in said


async def test_an_older_version(openssl: OpenSSL, pki: Pki) -> None:
    error, said, _ = await fail(openssl, pki.server_config(policy=Policy(versions=("TLSv1.3",))), "-tls1_2")
    assert "alert protocol version" in said
    assert isinstance(error, PeerIncompatible)
    assert error.alert is Alert.protocol_version


@pytest.mark.parametrize("key", KEYS)
async def test_our_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    credential = files.server(key).credential()
    info, said = await talk(openssl, pki.server_config(credentials=(credential,)))
    assert info.signature_scheme == KEYS[key]
    said_type = re.search(r"Signature type: (.*)\n", said)
    assert said_type
    assert said_type[1] in (SIGNATURE_TYPES.get(key, "ECDSA"), KEYS[key])  # OpenSSL 3.5 says the scheme


@pytest.mark.parametrize(
    ("sigalgs", "scheme"),
    [
        ("rsa_pss_rsae_sha384", "rsa_pss_rsae_sha384"),
        ("rsa_pss_rsae_sha512:ecdsa_secp384r1_sha384", "rsa_pss_rsae_sha512"),
        ("ed25519", "ed25519"),
        ("ecdsa_secp256r1_sha256:ed25519", "ecdsa_secp256r1_sha256"),
    ],
)
async def test_a_certificate_for_what_it_can_verify(openssl: OpenSSL, pki: Pki, files: Files, sigalgs: str, scheme: str) -> None:
    credentials = tuple(files.server(key).credential() for key in ("p256", "rsa2048", "ed25519"))
    # the chain's own signatures are ECDSA with SHA-256, and s_client does not hold them against its list
    info, _ = await talk(openssl, pki.server_config(credentials=credentials), "-sigalgs", sigalgs)
    assert info.signature_scheme == scheme


async def test_our_certificate_is_not_trusted(openssl: OpenSSL, pki: Pki) -> None:
    error, said, _ = await fail(openssl, pki.server_config(credentials=(pki.untrusted,)))
    assert isinstance(error, AlertReceived)
    assert error.alert is Alert.unknown_ca
    assert "unable to get local issuer certificate" in said


@pytest.mark.parametrize(("theirs", "agreed"), [("h2,http/1.1", "http/1.1"), ("h2", "h2"), (None, None)])
async def test_alpn(openssl: OpenSSL, pki: Pki, theirs: str | None, agreed: str | None) -> None:
    config = pki.server_config(alpn=("http/1.1", "h2"))
    info, _ = await talk(openssl, config, *(["-alpn", theirs] if theirs else []))
    assert info.alpn_protocol == agreed


async def test_what_it_makes_of_our_alpn(openssl: OpenSSL, pki: Pki) -> None:
    async with (
        serving(pki.server_config(alpn=("http/1.1",)), reverse) as served,
        openssl.client(served.port, "-alpn", "h2,http/1.1") as peer,
    ):
        await peer.said(b"ALPN protocol: http/1.1\n")


async def test_no_application_protocol_in_common(openssl: OpenSSL, pki: Pki) -> None:
    error, said, _ = await fail(openssl, pki.server_config(alpn=("http/1.1",)), "-alpn", "h2")
    assert isinstance(error, PeerIncompatible)
    assert "alert no application protocol" in said


@pytest.mark.parametrize("name", ["localhost", "two.example"])
async def test_server_name(openssl: OpenSSL, pki: Pki, name: str) -> None:
    """s_client verifies the name."""
    credentials = (pki.server(), pki.server("p256", "two.example"))
    info, said = await talk(openssl, pki.server_config(credentials=credentials), name=name)
    assert info.server_name == name
    assert re.search(f"Peer certificate: CN ?= ?{name}\n", said)


async def test_no_server_name(openssl: OpenSSL, pki: Pki) -> None:
    credentials = (pki.server(), pki.server("p256", "two.example"))
    info, said = await talk(openssl, pki.server_config(credentials=credentials), name=None)
    assert info.server_name is None
    assert re.search("Peer certificate: CN ?= ?localhost\n", said)


@pytest.mark.parametrize(
    "options",
    [
        ["-status"],
        ["-maxfraglen", "512"],
        ["-nextprotoneg", "h2"],
        ["-serverinfo", "16,18,65000"],
        ["-enable_pha"],
        ["-use_srtp", "SRTP_AES128_CM_SHA1_80"],
        ["-psk", "0102030405060708090a0b0c0d0e0f10", "-psk_identity", "me"],
        ["-fallback_scsv"],
        ["-no_ticket"],
        ["-sigalgs", "rsa_pkcs1_sha256:ecdsa_secp256r1_sha256"],
        ["-nbio"],
        ["-reconnect"],
    ],
    ids=" ".join,
)
async def test_wishes_that_we_pass_over(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    info, said = await talk(openssl, pki.server_config(), *options)
    assert not info.resumed
    assert "Verification: OK" in said


@pytest.mark.parametrize("early", [False, True], ids=["", "early data"])
async def test_an_application_that_takes_its_time(openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path, early: bool) -> None:
    """Which certificate, its signature, and the verdict on the client's: each is awaited, and what comes meanwhile is kept."""
    asked: list[str] = []

    async def answer(what: str, value: Any = None) -> Any:
        asked.append(what)
        await asyncio.sleep(0.01)
        return value

    issued = pki.server()
    slow = Credential(issued.chain, signer=lambda scheme, data: answer("sign", issued.sign(scheme, data)))
    config = pki.server_config(
        select_credential=lambda hello: answer("select", slow),
        client_auth=ClientAuth.require,
        trust=pki.trust,
        verify=lambda peer: answer("verify"),
    )
    options = await early_data(openssl, tmp_path) if early else []
    await talk(openssl, config, *options, *files.client().options)
    assert asked == ["select", "sign", "verify"]


# client certificates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
async def test_its_certificate(openssl: OpenSSL, pki: Pki, files: Files, key: str) -> None:
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    info, _ = await talk(openssl, config, *files.client(key).options)
    assert info.client_signature_scheme == KEYS[key]
    assert info.peer_chain == files.client(key).credential().chain
    assert len(info.verified_chain) == 3


async def test_its_certificate_is_not_trusted(openssl: OpenSSL, pki: Pki, files: Files) -> None:
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    error, said, _ = await fail(openssl, config, *files.strange("client", client=True).options)
    assert isinstance(error, CertificateError)
    assert "alert unknown ca" in said


async def test_its_certificate_is_missing(openssl: OpenSSL, pki: Pki) -> None:
    """Its handshake is over before our verdict comes: the alert meets its first read."""
    error, said, served = await fail(openssl, pki.server_config(client_auth=ClientAuth.require, trust=pki.trust))
    assert isinstance(error, PeerIncompatible)
    assert error.alert is Alert.certificate_required
    assert "alert number 116" in said
    assert not served.infos


async def test_a_certificate_that_we_only_request(openssl: OpenSSL, pki: Pki) -> None:
    info, _ = await talk(openssl, pki.server_config(client_auth=ClientAuth.request, trust=pki.trust))
    assert info.peer_chain == ()


async def test_the_authorities_that_we_name(openssl: OpenSSL, pki: Pki) -> None:
    config = pki.server_config(client_auth=ClientAuth.request, trust=pki.trust)
    async with serving(config, reverse) as served, openssl.client(served.port) as peer:
        await peer.said(rb"Acceptable client certificate CA names\nCN ?= ?minitls development CA\n")


# after the handshake -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "requested"), [("k", False), ("K", True)])
async def test_the_client_updates_its_keys(openssl: OpenSSL, pki: Pki, command: str, requested: bool) -> None:
    watch = Watch()
    async with (
        serving(pki.server_config(observer=watch), reverse) as served,
        openssl.client(served.port, "-msg") as peer,
    ):
        await peer.said(rb"Verify return code: 0 \(ok\)")
        for round_ in range(1, 4):
            await peer.say(command)
            await peer.said(rb">>> TLS 1.3, Handshake .*, KeyUpdate", times=round_)
            await peer.say("hello")
            await peer.said(rb"olleh\n", times=round_)
    assert watch.received.count("KeyUpdate") == 3
    assert watch.sent.count("KeyUpdate") == (3 if requested else 0)


@pytest.mark.parametrize("request_peer", [False, True])
async def test_we_update_our_keys(openssl: OpenSSL, pki: Pki, request_peer: bool) -> None:
    async def update_and_reverse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            update_keys(writer, request_peer=request_peer)
            writer.write(line.rstrip(b"\n")[::-1] + b"\n")

    watch = Watch()
    async with (
        serving(pki.server_config(observer=watch), update_and_reverse) as served,
        openssl.client(served.port, "-brief") as peer,
    ):
        for round_ in range(1, 5):
            await peer.say("hello")
            await peer.said(rb"olleh\n", times=round_)
        peer.end_input()
        assert await peer.exit() == 0
    assert watch.sent.count("KeyUpdate") == 4
    assert watch.received.count("KeyUpdate") == (3 if request_peer else 0)  # it answers with the next line that it sends


async def test_16_mib_up(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    digest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def hash_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = hashlib.sha256()
        while piece := await reader.read(2**18):
            state.update(piece)
        digest.set_result(state.digest())

    async with (
        serving(pki.server_config(), hash_all) as served,
        openssl.client(served.port, "-quiet", "-no_ign_eof", "-nocommands") as peer,
    ):
        await peer.write(data)
        peer.end_input()
        assert await asyncio.wait_for(digest, 10) == hashlib.sha256(data).digest()
    assert not served.errors


async def test_16_mib_down(openssl: OpenSSL, pki: Pki) -> None:
    data = os.urandom(SIZE)

    async def send_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    async with serving(pki.server_config(), send_all) as served, openssl.client(served.port, "-quiet", "-verify_quiet") as peer:
        await peer.exit()
    assert not served.errors
    # what it says about the chain stands before the data
    assert len(peer.output) - SIZE < 1000
    assert hashlib.sha256(peer.output[-SIZE:]).digest() == hashlib.sha256(data).digest()


async def test_16_mib_there_and_back(openssl: OpenSSL, pki: Pki) -> None:
    """Both ways at once: neither side may wait for the other to stop writing."""
    data = os.urandom(SIZE)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()

    options = ["-quiet", "-verify_quiet", "-nocommands"]
    async with serving(pki.server_config(), echo) as served, openssl.client(served.port, *options) as peer:
        await peer.write(data)
        await peer.until(lambda: len(peer.output) >= SIZE, "data")
        assert hashlib.sha256(peer.output[-SIZE:]).digest() == hashlib.sha256(data).digest()


# how it ends ---------------------------------------------------------------------------------------------------------------


async def test_the_client_closes(openssl: OpenSSL, pki: Pki) -> None:
    watch = Watch()
    async with (
        serving(pki.server_config(observer=watch), reverse) as served,
        openssl.client(served.port, "-msg") as peer,
    ):
        await peer.said(rb"Verify return code: 0 \(ok\)")
        await peer.say("Q")
        assert await peer.exit() == 0
        assert b">>> TLS 1.3, Alert [length 0002], warning close_notify" in peer.output
    assert not served.errors
    closes = [(seen.sent, seen.name) for seen in watch.all if isinstance(seen, AlertSeen)]
    assert closes == [(False, "close_notify"), (True, "close_notify")]


async def test_we_close(openssl: OpenSSL, pki: Pki) -> None:
    async def say_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last words\n")

    async with serving(pki.server_config(), say_and_close) as served, openssl.client(served.port, "-msg") as peer:
        assert await peer.exit() == 0
        assert b"last words\n" in peer.output
        assert b"<<< TLS 1.3, Alert [length 0002], warning close_notify" in peer.output
        assert b">>> TLS 1.3, Alert [length 0002], warning close_notify" in peer.output
        assert b"closed\n" in peer.output
    assert not served.errors


async def test_the_client_dies(openssl: OpenSSL, pki: Pki) -> None:
    async with serving(pki.server_config(), reverse) as served, openssl.client(served.port, "-brief") as peer:
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        await peer.kill()
        assert isinstance(await served.error(), (TruncationError, ConnectionResetError))


async def test_the_client_dies_in_the_handshake(openssl: OpenSSL, pki: Pki) -> None:
    """While the application still thinks about the certificate."""
    asked = asyncio.Event()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def select(hello: object) -> None:
        asked.set()
        await answer

    async with serving(pki.server_config(select_credential=select), reverse) as served:
        async with openssl.client(served.port) as peer:
            await asked.wait()
            await peer.kill()
        answer.set_result(None)
        assert isinstance(await served.error(), (TruncationError, ConnectionError))


# what others can compute ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES[:2])
async def test_exporter(openssl: OpenSSL, pki: Pki, suite: str) -> None:
    exported: list[bytes] = []

    async def export(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exported.append(info_of(writer).export_keying_material("EXPORTER-minitls-test", b"", 48))

    options = ["-ciphersuites", suite, "-keymatexport", "EXPORTER-minitls-test", "-keymatexportlen", "48"]
    async with serving(pki.server_config(), export) as served, openssl.client(served.port, *options) as peer:
        theirs = (await peer.said(rb"Keying material: ([0-9A-F]+)\n"))[1]
    assert exported == [bytes.fromhex(theirs.decode())]


async def test_key_log(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    await talk(openssl, pki.server_config(key_log=tmp_path / "ours"), "-keylogfile", str(tmp_path / "theirs"))
    ours, theirs = ((tmp_path / name).read_text().splitlines() for name in ("ours", "theirs"))
    assert sorted(ours) == sorted(line for line in theirs if not line.startswith("#"))
    assert len(ours) == 5


# how it looks on the wire --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retried", [False, True])
async def test_without_middlebox_compatibility(openssl: OpenSSL, pki: Pki, retried: bool) -> None:
    policy = Policy(groups=("secp384r1",)) if retried else Policy()
    for options, expected in ([], 1), (["-no_middlebox"], 0):
        watch = Watch()
        await talk(openssl, pki.server_config(policy=policy, observer=watch), *options)
        for sent in (True, False):
            assert sum(isinstance(seen, ChangeCipherSpecSeen) and seen.sent == sent for seen in watch.all) == expected


@pytest.mark.parametrize("options", FRAGMENTS, ids=" ".join)
async def test_small_records(openssl: OpenSSL, pki: Pki, files: Files, options: list[str]) -> None:
    """The client's hello and certificate do not fit into records of 512 bytes, either."""
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust)
    async with serving(config, reverse) as served:
        command = ["-brief", *options, "-groups", "ffdhe4096", *files.client("rsa3072").options]
        async with openssl.client(served.port, *command) as peer:
            line = os.urandom(3000).hex()
            await peer.say(line)
            await peer.said(line[::-1].encode())
    assert served.infos[0].peer_chain


async def test_padding(openssl: OpenSSL, pki: Pki) -> None:
    _, said = await talk(openssl, pki.server_config(record_padding=500), "-record_padding", "1000", "-msg")
    assert "<<< TLS 1.2, RecordHeader [length 0005]\n    17 03 03 02 04\n" in said  # 500 and a tag of 16
    assert ">>> TLS 1.2, RecordHeader [length 0005]\n    17 03 03 03 f8\n" in said  # 1000 and a tag of 16


async def early_data(openssl: OpenSSL, folder: Path) -> list[str]:
    """Options that offer a ticket of another server's, and 0-RTT data under it."""
    session, early = folder / "session", folder / "early"
    early.write_bytes(b"early\n" * 2000)
    async with (
        openssl.server("-early_data", "-max_early_data", "16384") as server,
        openssl.client(server.port, "-sess_out", str(session)) as peer,
    ):
        await server.said(rb"Secure Renegotiation IS.* supported")
        await server.say("behind the tickets")
        await peer.said(b"behind the tickets")
        await peer.say("Q")
        await peer.exit()
    return ["-sess_in", str(session), "-early_data", str(early)]


@pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
async def test_early_data_is_skipped(openssl: OpenSSL, pki: Pki, tmp_path: Path, retried: bool) -> None:
    """A full handshake, and only what comes after it is heard."""
    watch = Watch()
    policy = Policy(groups=("secp384r1",)) if retried else Policy()
    config = pki.server_config(policy=policy, observer=watch)
    info, said = await talk(openssl, config, *await early_data(openssl, tmp_path))
    assert "ylrae" not in said
    assert "EndOfEarlyData" not in watch.received
    assert (info.resumed, info.early_data_accepted, info.hello_retry) == (False, False, retried)
    assert ExtensionType.early_data in info.client_hello.extensions
