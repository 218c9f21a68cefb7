"""TLS 1.3 after the first time: resumption, 0-RTT data and external PSKs; with OpenSSL's commands, and with OpenSSL 4.0."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from pathlib import Path
from typing import Any

import pytest

from interop.openssl.harness import SUITES, Files, OpenSSL, Peer, Served, Watch, connected, info_of, reverse, serving
from interop.openssl.openssl4 import OpenSSL4, context, exchange, require
from interop.openssl.test_client import talk
from interop.openssl.test_tls12_client import PSK, PSK_OPTIONS
from minitls import (
    AlertReceived,
    ApplicationData,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    ConnectionInfo,
    EarlyData,
    ExternalPsk,
    HandshakeCompleted,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConnection,
)
from minitls.aio.streams import StreamReader
from minitls.errors import Alert
from minitls.observe import MessageSeen
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.wire.messages import NewSessionTicket
from tests.conftest import NAME, Pki

READY = rb"Secure Renegotiation IS NOT supported\n"
"""The last that ``s_server`` says of a handshake."""

EARLY = ["-early_data", "-max_early_data", "16384"]
PSK_ALONE = Policy.modern.replace(psk_key_exchange_modes=("psk_ke",))
RETRIED = Policy.modern.replace(groups=("x25519", "secp384r1"), key_shares=("x25519",))
ASKING = Policy.modern.replace(groups=("secp384r1",))
"""s_client and we, by RETRIED, send no share for it."""


# our client ----------------------------------------------------------------------------------------------------------------


def returning(pki: Pki, **fields: Any) -> ClientConfig:
    """A client that remembers sessions."""
    return pki.client_config(session_store=MemoryStore(), **fields)


def moved(config: ClientConfig, old: Peer, new: Peer) -> None:
    """The session with one server is now one with the other, for the client."""
    store = config.session_store
    assert isinstance(store, MemoryStore)
    session = store.take(f"localhost:{old.port}")
    assert session is not None
    store.put(f"localhost:{new.port}", session)


async def visit(peer: Peer, config: ClientConfig, **early: Any) -> tuple[ConnectionInfo, bytes]:
    """A line each way with ``s_server``, which comes behind its tickets.  Gives what it said in this connection, too."""
    start = len(peer.output)
    times = len(re.findall(READY, peer.output)) + 1
    async with connected(peer.port, config, **early) as (reader, writer):
        await peer.said(READY, times)
        await peer.say("welcome")
        assert await reader.readline() == b"welcome\n"
        writer.write(b"the last line\n")
        await peer.said(rb"the last line\n", times)
        return info_of(writer), bytes(peer.output[start:])


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("options", [[], ["-no_ticket"]], ids=["by ticket", "by ID"])
@pytest.mark.parametrize("suite", SUITES[:3])
async def test_client_resumes(
    openssl: OpenSSL, pki: Pki, files: Files, suite: str, options: list[str], authenticated: bool
) -> None:
    config = returning(pki, credential=files.client().credential() if authenticated else None)
    asked = ["-Verify", "4", "-verify_return_error", "-CAfile", str(files.ca)] if authenticated else []
    async with openssl.server("-ciphersuites", suite, *options, *asked) as peer:
        first, said = await visit(peer, config)
        assert (first.resumed, b"Reused session-id" in said) == (False, False)
        for _ in range(3):
            info, said = await visit(peer, config)
            assert (info.resumed, info.resumption, info.cipher_suite) == (True, "psk_dhe_ke", suite)
            assert b"Reused session-id\n" in said
            assert (info.peer_chain, info.verified_chain) == (first.peer_chain, first.verified_chain)
            assert info.authenticated is not None
            assert info.authenticated < info.timing.started
            assert (b"CN = client\n" in said or b"CN=client\n" in said) == authenticated


@pytest.mark.parametrize("suite", SUITES[:2])
async def test_client_resumes_after_a_retry(openssl: OpenSSL, pki: Pki, suite: str) -> None:
    """The binder is made anew, over both hellos."""
    config = returning(pki, policy=RETRIED)
    async with openssl.server("-groups", "P-384", "-ciphersuites", suite) as peer:
        for resumed in (False, True, True):
            info, said = await visit(peer, config)
            assert (info.resumed, info.hello_retry, info.group) == (resumed, True, "secp384r1")
            assert (b"Reused session-id\n" in said) == resumed


@pytest.mark.parametrize(("second", "resumed"), [(SUITES[2], True), (SUITES[1], False)], ids=["same hash", "another hash"])
async def test_client_resumes_with_another_suite(openssl: OpenSSL, pki: Pki, second: str, resumed: bool) -> None:
    """A session belongs to a hash, not to a cipher (RFC 8446 section 4.2.11)."""
    store = MemoryStore()
    async with openssl.server() as peer:
        for suite, expected in ((SUITES[0], False), (second, resumed)):
            config = pki.client_config(session_store=store, policy=Policy(cipher_suites=(suite,)))
            info, said = await visit(peer, config)
            assert (info.cipher_suite, info.resumed) == (suite, expected)
            assert (b"Reused session-id\n" in said) == expected


async def test_a_session_that_another_server_does_not_know(openssl: OpenSSL, pki: Pki) -> None:
    config = returning(pki)
    async with openssl.server() as first, openssl.server() as second:
        await visit(first, config)
        moved(config, first, second)
        for resumed in (False, True):
            info, _ = await visit(second, config)
            assert info.resumed == resumed


@pytest.mark.parametrize("options", [["-allow_no_dhe_kex"], []], ids=["allowed", "not allowed"])
async def test_client_resumes_without_a_key_exchange(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    config = returning(pki, policy=PSK_ALONE)
    async with openssl.server(*options) as peer:
        for again in (False, True):
            info, said = await visit(peer, config)
            resumed = again and bool(options)
            assert (info.resumed, info.resumption) == (resumed, "psk_ke" if resumed else None)
            assert (info.group is None, b"Reused session-id\n" in said) == (resumed, resumed)


# our client's early data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)], ids=["", "ALPN"])
@pytest.mark.parametrize("options", [[], ["-no_anti_replay"]], ids=["", "no anti-replay"])
@pytest.mark.parametrize("suite", SUITES[:3])
async def test_client_sends_early_data(openssl: OpenSSL, pki: Pki, suite: str, options: list[str], alpn: tuple[str, ...]) -> None:
    config = returning(pki, alpn=alpn)
    async with openssl.server(*EARLY, *options, "-ciphersuites", suite, "-alpn", "h2,http/1.1") as peer:
        info, said = await visit(peer, config, early_data=b"early words\n")
        assert (info.early_data_accepted, b"No early data received" in said) == (False, True)
        assert b"early words" not in said
        for _ in range(2):
            info, said = await visit(peer, config, early_data=b"early words\n")
            assert (info.resumed, info.early_data_accepted) == (True, True)
            assert b"Reused session-id\n" in said
            assert b"End of early data" in said
            assert said.count(b"early words\n") == 1
            assert info.alpn_protocol == (alpn[0] if alpn else None)


@pytest.mark.parametrize("size", [1, 16384, 100_000])
async def test_client_sends_much_early_data(openssl: OpenSSL, pki: Pki, size: int) -> None:
    """As much as the ticket allows, in as many records as it takes; one byte more is not sent early."""
    config = returning(pki)
    async with openssl.server("-early_data", "-max_early_data", str(size), "-recv_max_early_data", str(size)) as peer:
        await visit(peer, config)
        info, said = await visit(peer, config, early_data=b"%" * size)
        assert (info.resumed, info.early_data_accepted) == (True, True)
        assert said.count(b"%") == size
        info, said = await visit(peer, config, early_data=b"%" * (size + 1))
        assert (info.resumed, info.early_data_accepted) == (True, False)
        assert b"No early data received" in said
        assert b"%" not in said


REFUSALS = ["another server", "another protocol", "used before", "a retry", "age"]


@pytest.mark.parametrize("resend", [False, True], ids=["", "sent again"])
@pytest.mark.parametrize("why", REFUSALS)
async def test_the_server_refuses_early_data(openssl: OpenSSL, pki: Pki, why: str, resend: bool) -> None:
    """It is sent, and the server skips it; then it comes as ordinary data, or not at all.

    With its protection against replays, s_server forgets the ticket at the hello that it answers with a retry.
    """
    late = 0.0
    config = returning(pki, alpn=("a",), policy=RETRIED, clock=lambda: time.time() + late)
    groups = ["-groups", "P-384", "-no_anti_replay"] if why == "a retry" else ["-groups", "X25519"]
    options = [*EARLY, "-alpn", "b,a", *groups]
    async with openssl.server(*options) as first, openssl.server("-alpn", "b,a", *groups) as second:
        await visit(first, config)
        peer = first
        match why:
            case "another server":
                moved(config, first, second)
                peer = second
            case "age":
                late = 20
            case "another protocol":
                config = pki.client_config(session_store=config.session_store, alpn=("a", "b"))
            case "used before":
                store = config.session_store
                assert isinstance(store, MemoryStore)
                session = store.get(f"localhost:{first.port}")
                assert session is not None
                info, _ = await visit(first, config, early_data=b"used\n")
                assert info.early_data_accepted
                store.put(f"localhost:{first.port}", session)
        info, said = await visit(peer, config, early_data=b"early words\n", resend_early_data=resend)
        assert not info.early_data_accepted
        assert b"End of early data" not in said
        assert said.count(b"early words\n") == resend
        assert info.resumed == (why in ("another protocol", "a retry", "age"))
        assert info.hello_retry == (why == "a retry")
        assert info.alpn_protocol == ("b" if why == "another protocol" else "a")


@pytest.mark.parametrize("early", [b"", b"early words\n"], ids=["", "early data"])
async def test_a_server_that_has_forgotten_1_3(openssl: OpenSSL, pki: Pki, early: bytes) -> None:
    """A full handshake of TLS 1.2; but not where data was sent that means nothing there (RFC 8446 appendix D.3)."""
    config = returning(pki)
    async with openssl.server(*EARLY) as first, openssl.server("-rev", "-tls1_2") as second:
        await visit(first, config)
        moved(config, first, second)
        if early:
            with pytest.raises(PeerIncompatible) as caught:
                await visit(second, config, early_data=early)
            assert caught.value.reason == "wrong_version_on_early_data"
        info = await talk(second.port, config)
    assert (info.version, info.resumed) == ("TLSv1.2", False)


async def test_a_server_that_has_learnt_1_3(openssl: OpenSSL, pki: Pki) -> None:
    config = returning(pki)
    async with openssl.server("-rev", "-tls1_2") as first, openssl.server() as second:
        await talk(first.port, config)
        moved(config, first, second)
        info, said = await visit(second, config)
    assert (info.version, info.resumed) == ("TLSv1.3", False)
    assert b"Reused session-id" not in said


# our client's external PSK --------------------------------------------------------------------------------------------------


def sharing(pki: Pki, psk: Any = PSK, **fields: Any) -> ClientConfig:
    return returning(pki, psk=lambda hint: psk, **fields)


@pytest.mark.parametrize("policy", [Policy.intermediate, Policy.modern, RETRIED], ids=["intermediate", "modern", "retried"])
async def test_client_with_a_psk(openssl: OpenSSL, pki: Pki, policy: Policy) -> None:
    """Each time anew: nothing is resumed where nobody showed a certificate."""
    options = ["-groups", "P-384"] if policy is RETRIED else []
    async with openssl.server(*PSK_OPTIONS, "-tls1_3", *options) as peer:
        for _ in range(2):
            info, said = await visit(peer, sharing(pki, policy=policy))
            assert (info.psk_identity, info.resumed, info.peer_chain) == (b"me", False, ())
            assert (info.cipher_suite, info.group is None) == (SUITES[0], False)
            assert info.hello_retry == (policy is RETRIED)
            assert b"Reused session-id\n" in said  # its word for every PSK


async def test_client_with_a_psk_of_sha384(openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path) -> None:
    session, key = await session_of_sha384(openssl, pki, tmp_path)
    options = ["-nocert", "-psk_session", session, "-psk_identity", "me", "-tls1_3", "-ciphersuites", SUITES[1]]
    async with openssl.server(*options) as peer:
        info, _ = await visit(peer, sharing(pki, ExternalPsk(b"me", key, "sha384")))
    assert (info.psk_identity, info.cipher_suite) == (b"me", SUITES[1])


async def session_of_sha384(openssl: OpenSSL, pki: Pki, folder: Path) -> tuple[str, bytes]:
    """A file that OpenSSL takes for an external PSK of this hash, and the key in it: a session that somebody else had."""
    session = str(folder / "psk.session")
    async with serving(pki.server_config(), reverse) as served:
        _, said = await call(openssl, served, "-ciphersuites", SUITES[1], "-sess_out", session)
    return session, bytes.fromhex(re.findall(r"Resumption PSK: ([0-9A-F]+)", said)[-1])


@pytest.mark.parametrize("options", [["-allow_no_dhe_kex"], []], ids=["allowed", "not allowed"])
async def test_client_with_a_psk_alone(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    config = sharing(pki, policy=PSK_ALONE)
    async with openssl.server(*PSK_OPTIONS, "-tls1_3", *options) as peer:
        if options:
            info, _ = await visit(peer, config)
            assert (info.psk_identity, info.group) == (b"me", None)
        else:
            with pytest.raises(AlertReceived):
                await visit(peer, config)


@pytest.mark.parametrize("options", [[], ["-nocert"]], ids=["certificate", "PSK only"])
async def test_a_psk_that_the_server_does_not_know(openssl: OpenSSL, pki: Pki, options: list[str]) -> None:
    async with openssl.server("-psk", PSK[1].hex(), "-psk_identity", "you", "-tls1_3", *options) as peer:
        if options:
            with pytest.raises(AlertReceived):
                await visit(peer, sharing(pki))
        else:
            info, _ = await visit(peer, sharing(pki))
            assert (info.psk_identity, info.resumed, bool(info.verified_chain)) == (None, False, True)


async def test_a_wrong_psk(openssl: OpenSSL, pki: Pki) -> None:
    async with openssl.server(*PSK_OPTIONS, "-tls1_3") as peer:
        with pytest.raises(AlertReceived) as caught:
            await visit(peer, sharing(pki, (b"me", bytes(16))))
    assert caught.value.alert in (Alert.illegal_parameter, Alert.decrypt_error)


async def test_a_psk_beside_a_ticket(openssl: OpenSSL, pki: Pki) -> None:
    """Both are offered: the ticket where the server knows it, the PSK where it does not."""
    config = sharing(pki)
    async with openssl.server() as first, openssl.server(*PSK_OPTIONS, "-tls1_3") as second:
        for resumed in (False, True):
            info, _ = await visit(first, config)
            assert (info.resumed, info.psk_identity) == (resumed, None)
        moved(config, first, second)
        info, _ = await visit(second, config)
        assert (info.resumed, info.psk_identity) == (False, b"me")


# our server ----------------------------------------------------------------------------------------------------------------


async def call(openssl: OpenSSL, served: Served, *options: str, name: str = "localhost") -> tuple[ConnectionInfo, str]:
    """A line each way with ``s_client``, which comes behind our tickets.  Gives what we know of it, and all that it said."""
    async with openssl.client(served.port, *options, name=name) as peer:
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0, peer.text
    assert not served.errors, served.errors
    return served.infos[-1], peer.output.decode("ascii", "backslashreplace")


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
@pytest.mark.parametrize("suite", SUITES[:3])
async def test_server_resumes(
    openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path, suite: str, retried: bool, authenticated: bool
) -> None:
    """Also a session of a resumed connection."""
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust} if authenticated else {}
    config = pki.server_config(policy=ASKING if retried else Policy.intermediate, **auth)
    options = ["-ciphersuites", suite, *(files.client().options if authenticated else [])]
    session, again = (str(tmp_path / name) for name in ("session", "again"))
    async with serving(config, reverse) as served:
        first, said = await call(openssl, served, *options, "-sess_out", session)
        assert not first.resumed
        assert f"New, TLSv1.3, Cipher is {suite}\n" in said
        for more in ["-sess_in", session, "-sess_out", again], ["-sess_in", again]:
            info, said = await call(openssl, served, *options, *more)
            assert f"Reused, TLSv1.3, Cipher is {suite}\n" in said
            assert (info.resumed, info.resumption, info.cipher_suite) == (True, "psk_dhe_ke", suite)
            assert info.hello_retry == retried
            assert info.peer_chain == first.peer_chain
            assert info.verified_chain == first.verified_chain
            assert bool(info.peer_chain) == authenticated


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_tickets(openssl: OpenSSL, pki: Pki, tmp_path: Path, count: int) -> None:
    config = pki.server_config(ticket_count=count, ticket_lifetime=3000, early_data=20_000)
    async with serving(config, reverse) as served:
        _, said = await call(openssl, served, "-sess_out", str(tmp_path / "session"))
    assert said.count("Post-Handshake New Session Ticket arrived") == count
    assert said.count("TLS session ticket lifetime hint: 3000 (seconds)") == count
    assert said.count("Max Early Data: 20000\n") == count
    assert (tmp_path / "session").exists() == bool(count)


async def test_server_resumes_with_another_suite(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    session = str(tmp_path / "session")
    async with serving(pki.server_config(), reverse) as served:
        await call(openssl, served, "-sess_out", session, "-ciphersuites", SUITES[0])
        info, said = await call(openssl, served, "-sess_in", session, "-ciphersuites", SUITES[2])
    assert (info.resumed, info.cipher_suite) == (True, SUITES[2])
    assert "Reused, TLSv1.3" in said


@pytest.mark.parametrize("policy", [PSK_ALONE, Policy.modern], ids=["allowed", "not allowed"])
async def test_server_resumes_without_a_key_exchange(openssl: OpenSSL, pki: Pki, tmp_path: Path, policy: Policy) -> None:
    """s_client offers both: we take psk_ke where that is all we have."""
    session = str(tmp_path / "session")
    async with serving(pki.server_config(policy=policy), reverse) as served:
        await call(openssl, served, "-allow_no_dhe_kex", "-sess_out", session)
        info, said = await call(openssl, served, "-allow_no_dhe_kex", "-sess_in", session)
    assert (info.resumption, info.group is None) == (("psk_ke", True) if policy is PSK_ALONE else ("psk_dhe_ke", False))
    assert "Reused, TLSv1.3" in said


MISFITS = ["keys", "name", "hash", "client certificates", "other authorities", "age", "no tickets"]


@pytest.mark.parametrize("what", MISFITS)
async def test_a_session_that_does_not_fit_any_more(openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path, what: str) -> None:
    """There is a full handshake instead."""
    fields: dict[str, Any] = {"credentials": (pki.server(), pki.server("p256", "two.example")), "alpn": ("a", "b")}
    session, options, name = str(tmp_path / "session"), ["-alpn", "a"], "localhost"
    config = pki.server_config(**fields)
    async with serving(config, reverse) as served:
        await call(openssl, served, *options, "-sess_out", session)
    fields["tickets"] = config.tickets
    match what:
        case "keys":
            fields["tickets"] = TicketKeys()
        case "name":
            name = "two.example"
        case "hash":
            fields["policy"] = Policy(cipher_suites=SUITES[1:2])
        case "client certificates":
            fields |= {"client_auth": ClientAuth.require, "trust": pki.trust}
            options += files.client().options
        case "other authorities":
            fields |= {"trust": pki.trust}
        case "age":
            fields["clock"] = lambda: time.time() + 24 * 3600
        case _:
            fields["tickets"] = None
    async with serving(pki.server_config(**fields), reverse) as served:
        info, said = await call(openssl, served, *options, "-sess_in", session, name=name)
    assert (info.resumed, info.resumption) == (False, None)
    assert "New, TLSv1.3" in said


async def test_a_session_with_another_protocol(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    """The protocol is the connection's, not the session's (RFC 7301 section 3.1)."""
    session = str(tmp_path / "session")
    async with serving(pki.server_config(alpn=("a", "b")), reverse) as served:
        await call(openssl, served, "-alpn", "a", "-sess_out", session)
        info, said = await call(openssl, served, "-alpn", "b", "-sess_in", session)
    assert (info.resumed, info.alpn_protocol) == (True, "b")
    assert "Reused, TLSv1.3" in said


@pytest.mark.parametrize("at", [0, 20, 60, -1], ids=["name", "nonce", "ciphertext", "tag"])
async def test_a_damaged_ticket(openssl: OpenSSL, pki: Pki, tmp_path: Path, at: int) -> None:
    session, watch = tmp_path / "session", Watch()
    async with serving(pki.server_config(observer=watch), reverse) as served:
        await call(openssl, served, "-sess_out", str(session))
        session.write_text(damaged(session.read_text(), watch, at))
        info, said = await call(openssl, served, "-sess_in", str(session))
    assert not info.resumed
    assert "New, TLSv1.3" in said


def damaged(pem: str, watch: Watch, at: int) -> str:
    """A session file with another byte in its ticket, which is one of those that we sent."""
    first, *lines, last = pem.splitlines()
    der = base64.b64decode("".join(lines))
    sent = [
        seen.message.ticket for seen in watch.all if isinstance(seen, MessageSeen) and isinstance(seen.message, NewSessionTicket)
    ]
    [ticket] = [ticket for ticket in sent if ticket in der]
    other = bytearray(ticket)
    other[at] ^= 1
    return "\n".join((first, base64.encodebytes(der.replace(ticket, other)).decode().strip(), last, ""))


# early data for our server ---------------------------------------------------------------------------------------------------


async def reverse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers early data at once, and then as ``reverse``."""
    assert isinstance(reader, StreamReader)
    while early := await reader.read_early():
        writer.write(early.rstrip(b"\n")[::-1] + b"\n")
    assert info_of(writer).timing.completed is not None
    await reverse(reader, writer)


def early_file(folder: Path, data: bytes = b"early words\n") -> list[str]:
    (folder / "early").write_bytes(data)
    return ["-early_data", str(folder / "early")]


@pytest.mark.parametrize("authenticated", [False, True], ids=["", "client certificate"])
@pytest.mark.parametrize("answered", [False, True], ids=["", "answered early"])
@pytest.mark.parametrize("suite", SUITES[:3])
async def test_server_takes_early_data(
    openssl: OpenSSL, pki: Pki, files: Files, tmp_path: Path, suite: str, answered: bool, authenticated: bool
) -> None:
    """Of each ticket; the application may answer before the handshake is complete."""
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust} if authenticated else {}
    config = pki.server_config(early_data=16384, alpn=("http/1.1",), **auth)
    options = ["-ciphersuites", suite, "-alpn", "http/1.1", *(files.client().options if authenticated else [])]
    session, again = (str(tmp_path / name) for name in ("session", "again"))
    async with serving(config, reverse_early if answered else reverse, answer_early=answered) as served:
        _, said = await call(openssl, served, *options, "-sess_out", session)
        assert "Early data was not sent" in said
        for more in ["-sess_in", session, "-sess_out", again], ["-sess_in", again]:
            info, said = await call(openssl, served, *options, *more, *early_file(tmp_path))
            assert "Reused, TLSv1.3" in said
            assert "Early data was accepted" in said
            assert (info.resumed, info.early_data_accepted, info.early_data) == (True, True, b"early words\n")
            assert bool(info.peer_chain) == authenticated
            assert ("sdrow ylrae\n" in said) == answered
    assert [info.early_data_accepted for info in served.infos] == [False, True, True]


@pytest.mark.parametrize("size", [1, 16384, 100_000])
async def test_much_early_data(openssl: OpenSSL, pki: Pki, tmp_path: Path, size: int) -> None:
    session = str(tmp_path / "session")
    data = b"e" * size
    async with serving(pki.server_config(early_data=size), reverse_early, answer_early=True) as served:
        await call(openssl, served, "-sess_out", session)
        info, said = await call(openssl, served, "-sess_in", session, *early_file(tmp_path, data))
    assert (info.early_data_accepted, info.early_data) == (True, data)
    assert "Early data was accepted" in said


@pytest.mark.parametrize("answered", [False, True], ids=["", "answered early"])
@pytest.mark.parametrize(
    "why", ["used before", "no early data", "another protocol", "other keys", "age", "a retry", "another suite"]
)
async def test_server_refuses_early_data(openssl: OpenSSL, pki: Pki, tmp_path: Path, why: str, answered: bool) -> None:
    """It is skipped, and the handshake completed."""
    fields: dict[str, Any] = {"early_data": 16384, "alpn": ("a", "b")}
    session, options = str(tmp_path / "session"), ["-alpn", "a", "-ciphersuites", SUITES[0]]
    config = pki.server_config(**fields)
    async with serving(config, reverse) as served:
        await call(openssl, served, *options, "-sess_out", session)
        if why == "used before":
            info, _ = await call(openssl, served, *options, "-sess_in", session, *early_file(tmp_path))
            assert info.early_data_accepted
    fields |= {"tickets": config.tickets, "replay": config.replay}
    match why:
        case "no early data":
            del fields["early_data"]
        case "another protocol":
            fields["alpn"] = ("b", "a")
            options = ["-alpn", "a,b", "-ciphersuites", SUITES[0]]
        case "other keys":
            fields["tickets"] = TicketKeys()
        case "age":
            fields["clock"] = lambda: time.time() + 20
        case "a retry":
            fields["policy"] = ASKING
        case "another suite":
            fields["policy"] = Policy(cipher_suites=SUITES[2:3])
            options = ["-alpn", "a", "-ciphersuites", f"{SUITES[0]}:{SUITES[2]}"]
    handler = reverse_early if answered else reverse
    async with serving(pki.server_config(**fields), handler, answer_early=answered) as served:
        info, said = await call(openssl, served, *options, "-sess_in", session, *early_file(tmp_path))
    assert (info.early_data_accepted, info.early_data) == (False, b"")
    assert "Early data was rejected" in said
    assert "sdrow ylrae" not in said
    resumed = why != "other keys"
    assert info.resumed == resumed
    assert f"{'Reused' if resumed else 'New'}, TLSv1.3" in said


# external PSKs with our server ------------------------------------------------------------------------------------------------

PSK_CLIENT = ["-psk", PSK[1].hex(), "-psk_identity", "me"]


@pytest.mark.parametrize(
    "policy", [Policy.intermediate, ASKING, Policy(cipher_suites=SUITES[1::-1])], ids=["", "retried", "by hash"]
)
async def test_server_with_a_psk(openssl: OpenSSL, pki: Pki, policy: Policy) -> None:
    """The suite is one of the PSK's hash, whatever we like best."""
    async with serving(pki.server_config(credentials=(), psk=dict([PSK]).get, policy=policy), reverse) as served:
        info, said = await call(openssl, served, *PSK_CLIENT)
    assert (info.psk_identity, info.resumed, info.signature_scheme) == (b"me", False, None)
    assert (info.cipher_suite in (SUITES[0], SUITES[2]), info.group is None) == (True, False)
    assert info.hello_retry == (policy is ASKING)
    assert "Reused, TLSv1.3" in said  # its word for every PSK
    assert "no peer certificate available" in said
    assert "Post-Handshake New Session Ticket" in said


async def test_server_with_a_psk_of_sha384(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    session, key = await session_of_sha384(openssl, pki, tmp_path)
    config = pki.server_config(credentials=(), psk=lambda identity: ExternalPsk(identity, key, "sha384"))
    async with serving(config, reverse) as served:
        info, said = await call(openssl, served, "-psk_session", session, "-psk_identity", "me")
    assert (info.psk_identity, info.cipher_suite) == (b"me", SUITES[1])
    assert "Reused, TLSv1.3" in said


async def test_server_with_a_psk_alone(openssl: OpenSSL, pki: Pki) -> None:
    async with serving(pki.server_config(credentials=(), psk=dict([PSK]).get, policy=PSK_ALONE), reverse) as served:
        info, said = await call(openssl, served, *PSK_CLIENT, "-allow_no_dhe_kex")
    assert (info.psk_identity, info.group) == (b"me", None)
    assert "Reused, TLSv1.3" in said


async def test_a_psk_that_we_do_not_know(openssl: OpenSSL, pki: Pki) -> None:
    """A certificate does instead, if there is one."""
    async with serving(pki.server_config(psk=lambda identity: None), reverse) as served:
        info, said = await call(openssl, served, *PSK_CLIENT)
    assert (info.psk_identity, info.resumed) == (None, False)
    assert "New, TLSv1.3" in said
    async with (
        serving(pki.server_config(credentials=(), psk=lambda identity: None), reverse) as served,
        openssl.client(served.port, *PSK_CLIENT) as peer,
    ):
        error = await served.error()
        await peer.said(b"alert unknown psk identity|alert number 115")
    assert isinstance(error, PeerIncompatible)
    assert error.alert is Alert.unknown_psk_identity


async def test_a_psk_that_is_not_ours(openssl: OpenSSL, pki: Pki) -> None:
    async with (
        serving(pki.server_config(psk=lambda identity: bytes(16)), reverse) as served,
        openssl.client(served.port, *PSK_CLIENT) as peer,
    ):
        error = await served.error()
        await peer.said(b"alert decrypt error")
    assert isinstance(error, PeerMisbehaved)
    assert error.alert is Alert.decrypt_error
    assert not served.infos


async def test_a_ticket_beside_a_psk(openssl: OpenSSL, pki: Pki, tmp_path: Path) -> None:
    """s_client offers both: the ticket where we know it, the PSK where we do not."""
    config = pki.server_config(psk=dict([PSK]).get)
    session = str(tmp_path / "session")
    async with serving(config, reverse) as served:
        await call(openssl, served, "-sess_out", session)
        info, _ = await call(openssl, served, "-sess_in", session, *PSK_CLIENT)
        assert (info.resumed, info.psk_identity) == (True, None)
    async with serving(pki.server_config(psk=dict([PSK]).get), reverse) as served:
        info, _ = await call(openssl, served, "-sess_in", session, *PSK_CLIENT)
        assert (info.resumed, info.psk_identity) == (False, b"me")


# OpenSSL 4.0 in this process ------------------------------------------------------------------------------------------------

CHOPPED = pytest.mark.parametrize("chop", [0, 1], ids=["whole", "chopped"])
RETRY = pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
SUITE = pytest.mark.parametrize("suite", SUITES[:3])


def same_keys(ours: list[str], theirs: list[str], retried: bool) -> None:
    """Each secret is on both sides; but early data's is the client's alone where there was a retry.

    OpenSSL tells the early exporter's, too, which we have not.
    """
    special = ("EARLY_EXPORTER_SECRET", *(["CLIENT_EARLY_TRAFFIC_SECRET"] if retried else []))
    ours, theirs = ([line for line in lines if not line.startswith(special)] for lines in (ours, theirs))
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == 3 * 5 + (not retried)


@CHOPPED
@RETRY
@SUITE
def test_client_with_openssl4(pki: Pki, files: Files, suite: str, retried: bool, chop: int) -> None:
    """A full handshake, one that resumes, one with early data, which is refused where there is a retry."""
    require()
    our_log: list[str] = []
    their_log: list[str] = []
    config = returning(pki, policy=RETRIED if retried else Policy.modern, key_log=our_log.append)
    groups = ["P-384"] if retried else []
    made = context("server", files, identity=files.server(), suites=[suite], groups=groups, key_log=their_log, max_early_data=1000)
    for resumed, early in (False, b""), (True, b""), (True, b"early words"):
        taken = bool(early) and not retried
        ours = ClientConnection(config, server_hostname=NAME, port=443, early_data=early)
        theirs = OpenSSL4("server", made, takes_early_data=bool(early))
        exchange(ours, theirs, chop=chop)
        assert theirs.error is None
        assert (ours.info.resumed, theirs.resumed, ours.info.hello_retry) == (resumed, resumed, retried)
        assert (ours.info.early_data_accepted, bytes(theirs.early)) == (taken, early if taken else b"")
        assert ours.info.cipher_suite == theirs.ssl.get_cipher_name() == suite
        theirs.send_data(b"there")
        ours.send_data(b"back")
        events = exchange(ours, theirs, chop=chop)
        assert [event.data for event in events if isinstance(event, ApplicationData)] == [b"there"]
        assert theirs.received == b"back"
        theirs.close()
        ours.close()
        exchange(ours, theirs, chop=chop)
    same_keys(our_log, their_log, retried)


@CHOPPED
@RETRY
@SUITE
def test_server_with_openssl4(pki: Pki, files: Files, suite: str, retried: bool, chop: int) -> None:
    """The same the other way round; what we answer to early data is there before its handshake is over."""
    require()
    our_log: list[str] = []
    their_log: list[str] = []
    config = pki.server_config(policy=ASKING if retried else Policy.modern, early_data=1000, key_log=our_log.append)
    made = context("client", files, verify=True, suites=[suite], groups=["X25519", "P-384"], key_log=their_log)
    session = None
    for resumed, early in (False, b""), (True, b""), (True, b"early words"):
        taken = bool(early) and not retried
        ours, theirs = ServerConnection(config), OpenSSL4("client", made, session=session, early_data=early)
        if taken:
            events = ours.receive_data(theirs.data_to_send())
            assert [event.data for event in events if isinstance(event, EarlyData)] == [early]
            assert not any(isinstance(event, HandshakeCompleted) for event in events)
            ours.send_data(early[::-1])
        events = exchange(ours, theirs, chop=chop)
        assert any(isinstance(event, HandshakeCompleted) for event in events)
        assert theirs.received == (early[::-1] if taken else b"")
        assert (ours.info.resumed, theirs.resumed, ours.info.hello_retry) == (resumed, resumed, retried)
        assert (ours.info.early_data_accepted, ours.info.early_data) == (taken, early if taken else b"")
        assert ours.info.cipher_suite == theirs.ssl.get_cipher_name() == suite
        theirs.received.clear()
        theirs.send_data(b"there")
        ours.send_data(b"back")
        events = exchange(ours, theirs, chop=chop)
        assert [event.data for event in events if isinstance(event, ApplicationData)] == [b"there"]
        assert theirs.received == b"back"
        session = theirs.ssl.get_session()
        assert session is not None
        theirs.close()
        ours.close()
        exchange(ours, theirs, chop=chop)
    same_keys(our_log, their_log, retried)
