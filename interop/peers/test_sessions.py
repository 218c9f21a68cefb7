"""TLS 1.3's resumption, 0-RTT data and external PSKs with GnuTLS, nginx and curl."""

from __future__ import annotations

import asyncio
import os
import re
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from interop.openssl.harness import HOST, PATIENCE, SUITES, Files, Peer, connected, info_of, reverse, running, serving
from interop.openssl.test_sessions import ASKING, PSK_ALONE, RETRIED, moved, returning, reverse_early
from interop.openssl.test_tls12_client import PSK
from interop.peers import test_curl, test_nginx
from interop.peers.harness import BODY, REQUEST, get, page
from interop.peers.test_curl import curl
from interop.peers.test_gnutls import TLS13, asking, echoing, gnutls_cli, gnutls_serv, password_file
from interop.peers.test_nginx import nginx
from minitls import ApplicationData, ClientAuth, ClientConfig, ClientConnection, ConnectionInfo, Policy
from tests.conftest import NAME, Pki

__all__ = ["curl", "gnutls_cli", "gnutls_serv", "nginx"]

CIPHERS = {SUITES[0]: "AES-128-GCM", SUITES[1]: "AES-256-GCM", SUITES[2]: "CHACHA20-POLY1305"}


# our client with gnutls-serv ------------------------------------------------------------------------------------------------


async def visit(peer: Peer, config: ClientConfig, expect: bytes = b"", **early: Any) -> tuple[ConnectionInfo, str]:
    """A line there and back, after what is expected before it.  Gives what the server said in this connection, too."""
    start = len(peer.output)
    times = len(re.findall(b"received cmd: hello", peer.output)) + 1
    async with connected(peer.port, config, **early) as (reader, writer):
        writer.write(b"hello\n")
        assert await reader.readexactly(len(expect) + 6) == expect + b"hello\n"
        await peer.said(rb"received cmd: hello", times)
        return info_of(writer), peer.output[start:].decode("ascii", "backslashreplace")


@pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
@pytest.mark.parametrize("suite", CIPHERS)
async def test_client_resumes_with_gnutls(gnutls_serv: str, pki: Pki, files: Files, suite: str, retried: bool) -> None:
    priority = f"{TLS13}:-CIPHER-ALL:+{CIPHERS[suite]}:-GROUP-ALL:+GROUP-{'SECP384R1' if retried else 'X25519'}"
    config = returning(pki, policy=RETRIED)
    async with echoing(gnutls_serv, files, "--disable-client-cert", "--priority", priority) as peer:
        for resumed in (False, True, True):
            info, said = await visit(peer, config)
            assert (info.resumed, info.hello_retry, info.cipher_suite) == (resumed, retried, suite)
            assert ("This is a resumed session" in said) == resumed


async def test_client_resumes_its_certificate_with_gnutls(gnutls_serv: str, pki: Pki, files: Files) -> None:
    options = ["--priority", TLS13, "--x509cafile", str(files.ca), "--require-client-cert", "--verify-client-cert"]
    config = returning(pki, credential=files.client().credential())
    async with echoing(gnutls_serv, files, *options) as peer:
        for resumed in (False, True, True):
            info, said = await visit(peer, config)
            assert info.resumed == resumed
            assert ("This is a resumed session" in said) == resumed


@pytest.mark.parametrize("size", [12, 16384])
@pytest.mark.parametrize("suite", CIPHERS)
async def test_client_sends_early_data_to_gnutls(gnutls_serv: str, pki: Pki, files: Files, suite: str, size: int) -> None:
    config = returning(pki)
    async with taking_early_data(gnutls_serv, files, f":-CIPHER-ALL:+{CIPHERS[suite]}") as peer:
        for again in (False, True, True):
            info, said = await visit(peer, config, early_data=b"e" * size)
            assert ("early data accepted" in said) == again, said
            assert sum(map(int, re.findall(r"decrypted early data with length: (\d+)", said))) == again * size
            assert (info.resumed, info.early_data_accepted) == (again, again)


@pytest.mark.parametrize("resend", [False, True], ids=["", "sent again"])
@pytest.mark.parametrize("why", ["age", "another server"])
async def test_gnutls_refuses_early_data(gnutls_serv: str, pki: Pki, files: Files, why: str, resend: bool) -> None:
    """It does not know the ticket, or does not believe its age."""
    late = 0.0
    config = returning(pki, clock=lambda: time.time() + late)
    async with taking_early_data(gnutls_serv, files) as first, taking_early_data(gnutls_serv, files) as second:
        await visit(first, config)
        peer = first
        if why == "age":
            late = 20
        else:
            moved(config, first, second)
            peer = second
        early = b"early words\n" if resend else b"e" * 12_000
        info, said = await visit(peer, config, early_data=early, resend_early_data=resend, expect=early if resend else b"")
    assert (info.resumed, info.early_data_accepted) == (why == "age", False)
    assert "early data accepted" not in said
    assert "decrypted early data" not in said


def taking_early_data(command: str, files: Files, priority: str = "") -> AbstractAsyncContextManager[Peer]:
    """``gnutls-serv``, which tells of early data only when it tells everything; what it skips, it counts with tags and headers."""
    options = ["--disable-client-cert", "--earlydata", "--maxearlydata", "20000", "--debug", "5"]
    return echoing(command, files, "--priority", TLS13 + priority, *options)


@pytest.mark.parametrize("how", ["with a key exchange", "retried", "alone"])
async def test_client_with_a_psk_and_gnutls(gnutls_serv: str, pki: Pki, files: Files, tmp_path: Path, how: str) -> None:
    exchange = "+PSK" if how == "alone" else "+ECDHE-PSK"
    groups = ":-GROUP-ALL:+GROUP-SECP384R1" if how == "retried" else ""
    policy = {"alone": PSK_ALONE, "retried": RETRIED}.get(how, Policy.modern)
    options = ["--priority", f"{TLS13}:-KX-ALL:{exchange}{groups}", "--pskpasswd", str(password_file(tmp_path))]
    async with echoing(gnutls_serv, files, *options, key=None) as peer:
        info, said = await visit(peer, pki.client_config(policy=policy, psk=lambda hint: PSK))
    assert (info.psk_identity, info.group is None) == (b"me", how == "alone")
    assert info.hello_retry == (how == "retried")
    assert "PSK authentication. Connected as 'me'" in said


# our server with gnutls-cli -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("how", ["plainly", "retried", "early data", "early data answered"])
@pytest.mark.parametrize("suite", CIPHERS)
async def test_server_resumes_with_gnutls(
    gnutls_cli: str, pki: Pki, files: Files, tmp_path: Path, suite: str, how: str, authenticated: bool
) -> None:
    """But not early data and a retry: gnutls-cli 3.7 then seals its second hello, at which s_server stops, too."""
    retried, early, answered = how == "retried", how.startswith("early data"), how == "early data answered"
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust} if authenticated else {}
    config = pki.server_config(policy=ASKING if retried else Policy.modern, early_data=16384, **auth)
    options = ["--priority", f"{TLS13}:-CIPHER-ALL:+{CIPHERS[suite]}", "--resume", "--waitresumption", "--single-key-share"]
    if authenticated:
        identity = files.client()
        options += ["--x509certfile", str(identity.full), "--x509keyfile", str(identity.key)]
    if early:
        (tmp_path / "early").write_bytes(b"early words\n")
        options += ["--earlydata", str(tmp_path / "early")]
    handler = reverse_early if answered else reverse
    async with (
        serving(config, handler, answer_early=answered) as served,
        asking(gnutls_cli, files, served.port, *options) as peer,
    ):
        await peer.said(rb"This is a resumed session")
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0
    assert not served.errors, served.errors
    first, second = served.infos
    assert (first.resumed, second.resumed, second.hello_retry, second.cipher_suite) == (False, True, retried, suite)
    assert (second.early_data_accepted, second.early_data) == (early, b"early words\n" if early else b"")
    assert (b"sdrow ylrae\n" in peer.output) == answered
    assert second.peer_chain == first.peer_chain
    assert bool(second.peer_chain) == authenticated


@pytest.mark.parametrize("how", ["with a key exchange", "retried", "alone"])
async def test_server_with_a_psk_and_gnutls(gnutls_cli: str, pki: Pki, files: Files, how: str) -> None:
    exchange = "+PSK" if how == "alone" else "+ECDHE-PSK"
    policy = {"alone": PSK_ALONE, "retried": ASKING}.get(how, Policy.modern)
    config = pki.server_config(credentials=(), psk=dict([PSK]).get, policy=policy)
    options = ["--priority", f"{TLS13}:-KX-ALL:{exchange}", "--pskusername", "me", "--pskkey", PSK[1].hex(), "--single-key-share"]
    async with serving(config, reverse) as served, asking(gnutls_cli, files, served.port, *options) as peer:
        await peer.said(rb"PSK authentication. Connected as 'me'")
        await peer.said(rb"- Handshake was completed")
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0
    [info] = served.infos
    assert (info.psk_identity, info.group is None, info.hello_retry) == (b"me", how == "alone", how == "retried")


# our client with nginx ------------------------------------------------------------------------------------------------------

ANSWER = 'location = / { return 200 "reused $ssl_session_reused, early [$ssl_early_data]"; } ssl_protocols TLSv1.3;'


@pytest.mark.parametrize("how", test_nginx.RESUMPTION)
@pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
async def test_client_resumes_with_nginx(nginx: str, pki: Pki, files: Files, tmp_path: Path, retried: bool, how: str) -> None:
    settings = f"{ANSWER} ssl_ecdh_curve {'secp384r1' if retried else 'X25519'}; {test_nginx.RESUMPTION[how]}"
    config = returning(pki, policy=RETRIED)
    async with test_nginx.serving(nginx, files, tmp_path, settings) as peer:
        for resumed in (False, True, True):
            info, body = await get(peer.port, config)
            assert (info.resumed, info.hello_retry) == (resumed, retried)
            assert body == b"reused %b, early []" % (b"r" if resumed else b".")


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)], ids=["", "ALPN"])
@pytest.mark.parametrize("how", test_nginx.RESUMPTION)
async def test_client_sends_early_data_to_nginx(
    nginx: str, pki: Pki, files: Files, tmp_path: Path, how: str, alpn: tuple[str, ...]
) -> None:
    """A request with the hello.  Whether nginx calls it early depends on who is faster, it or our Finished."""
    settings = f"{ANSWER} ssl_early_data on; {test_nginx.RESUMPTION[how]}"
    config = returning(pki, alpn=alpn)
    async with test_nginx.serving(nginx, files, tmp_path, settings) as peer:
        for again in (False, True, True):
            info, body = await get(peer.port, config, early=True)
            assert (info.resumed, info.early_data_accepted) == (again, again)
            assert body in ((b"reused r, early [1]", b"reused r, early []") if again else (b"reused ., early []",))


@pytest.mark.parametrize("how", test_nginx.RESUMPTION)
async def test_nginx_answers_early_data(nginx: str, pki: Pki, files: Files, tmp_path: Path, how: str) -> None:
    """Our Finished waits until the answer is here: so it was for early data, and nginx knows that."""
    config = returning(pki)
    async with test_nginx.serving(nginx, files, tmp_path, f"{ANSWER} ssl_early_data on; {test_nginx.RESUMPTION[how]}") as peer:
        await get(peer.port, config)
        ours = ClientConnection(config, server_hostname=NAME, port=peer.port, early_data=REQUEST)
        answer = bytearray()
        reader, writer = await asyncio.open_connection(HOST, peer.port)
        writer.write(ours.data_to_send())
        async with asyncio.timeout(PATIENCE):
            while not answer.endswith(b"]"):
                data = await reader.read(2**16)
                assert data, answer
                answer += b"".join(event.data for event in ours.receive_data(data) if isinstance(event, ApplicationData))
        writer.close()
        await writer.wait_closed()
    assert ours.info.early_data_accepted
    assert answer.endswith(b"\r\n\r\nreused r, early [1]")


@pytest.mark.parametrize("why", ["not wanted any more", "age", "a retry"])
async def test_nginx_refuses_early_data(nginx: str, pki: Pki, files: Files, tmp_path: Path, why: str) -> None:
    """The session is resumed, and the request sent again."""
    late = 0.0
    config = returning(pki, policy=RETRIED, clock=lambda: time.time() + late)
    (tmp_path / "ticket.key").write_bytes(os.urandom(80))
    settings = f"{ANSWER} ssl_session_ticket_key {tmp_path}/ticket.key;"
    changed = {"not wanted any more": "ssl_early_data off;", "a retry": "ssl_early_data on; ssl_ecdh_curve secp384r1;"}
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with (
        test_nginx.serving(nginx, files, first, f"{settings} ssl_early_data on;") as one,
        test_nginx.serving(nginx, files, second, settings + changed.get(why, "ssl_early_data on;")) as other,
    ):
        await get(one.port, config)
        moved(config, one, other)
        late = 20 if why == "age" else 0
        info, body = await get(other.port, config, early=True)
    assert (info.resumed, info.early_data_accepted, info.hello_retry) == (True, False, why == "a retry")
    assert body == b"reused r, early []"


# our server with curl -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
async def test_curl_resumes(curl: str, pki: Pki, files: Files, tmp_path: Path, retried: bool, authenticated: bool) -> None:
    """Three requests of one process, each over its own connection."""
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust} if authenticated else {}
    identity = files.client()
    shown = ["--cert", str(identity.full), "--key", str(identity.key)] if authenticated else []
    config = pki.server_config(policy=ASKING if retried else Policy.intermediate, early_data=16384, **auth)
    pages = [tmp_path / str(number) for number in range(3)]
    urls = [option for out in pages for option in ("--output", str(out), f"https://localhost/{out.name}")]
    async with (
        serving(config, page) as served,
        running(*test_curl.command(curl, files, served.port, "--tlsv1.3", "--verbose", *shown, *urls)) as peer,
    ):
        assert await peer.exit() == 0, peer.text
    assert [out.read_bytes() for out in pages] == [BODY] * 3
    assert len(re.findall(rb"\* SSL re-?using session", peer.output)) == 2
    assert [(info.version, info.resumed, info.hello_retry) for info in served.infos] == [
        ("TLSv1.3", False, retried),
        ("TLSv1.3", True, retried),
        ("TLSv1.3", True, retried),
    ]
    assert {bool(info.peer_chain) for info in served.infos} == {authenticated}
