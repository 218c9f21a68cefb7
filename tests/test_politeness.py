"""No step holds up an event loop: what it costs does not grow with what there is already, nor faster than what has come.

Counted where that tells, in calls; otherwise the CPU time of a step for much is compared with that for a quarter of it, which is
the same on any machine: four times as much is a straight line, sixteen times a parabola.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from minitls import CertificateError, ClientConnection, CredentialStore, ServerConfig, ServerConnection, TLSError, TrustStore
from minitls.certificates.authority import Authority
from minitls.certificates.crl import Crls
from minitls.crypto.groups import GROUPS
from minitls.sessions.replay import AT_ONCE, MemoryReplay
from minitls.sessions.session import Session
from minitls.sessions.store import MemoryStore
from minitls.testing import memory_pair
from minitls.wire.hello import ClientHello
from minitls.wire.numbers import NamedGroup
from tests.conftest import Pki
from tests.test_work import called

STRAIGHT = 9.0
"""Times as long for four times as much: between the line's four and the parabola's sixteen."""
START = 1_800_000_000.0


def seconds(step: Callable[[], object], tries: int = 7) -> float:
    """CPU time of the quickest of a few: others use the machine, too."""
    best = float("inf")
    for _ in range(tries):
        begin = time.process_time()
        step()
        best = min(best, time.process_time() - begin)
    return best


# what there is ----------------------------------------------------------------------------------------------------------


def long_list(authority: Authority, count: int, *serials: int) -> bytes:
    """A CRL of so many entries, and of these, last of all."""
    now = datetime.now(UTC).replace(microsecond=0)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.chain[0].subject)
    builder = builder.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=7))
    entry = x509.RevokedCertificateBuilder().revocation_date(now)
    builder._revoked_certificates = [
        entry.serial_number(number + 1).build() for number in (*range(count), *serials)
    ]  # add_ is quadratic
    return builder.sign(authority._key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_a_list_of_many_revoked_is_hashed_when_it_is_given(kind: str) -> None:
    """And not when a handshake first needs it: then a signature is checked over the hash."""
    authority = Authority.create(key=kind)
    path = [authority.issue("localhost").chain[0], *authority.chain]
    at = datetime.now(UTC)
    once, few, many = (Crls.from_bytes(long_list(authority, count)) for count in (1, 1, 5000))
    once.check(path, at)  # the first of all reads what is kept of names and keys
    counts = [called(lambda crls=crls: crls.check(path, at)) for crls in (few, many)]  # type: ignore[misc]
    assert counts[0] == counts[1]
    assert counts[1]["verify"] == 1
    assert counts[1]["is_signature_valid"] == 0


def test_who_is_revoked_is_found_at_once() -> None:
    authority = Authority.create()
    path = [authority.issue("localhost").chain[0], *authority.chain]
    listed = long_list(authority, 50_000, path[0].serial_number - 1)
    crls = Crls.from_bytes(listed)

    def check() -> None:
        with pytest.raises(CertificateError) as caught:
            crls.check(path, datetime.now(UTC))
        assert caught.value.reason == "revoked"

    assert seconds(check) < seconds(lambda: Crls.from_bytes(listed), tries=3) / 40


def test_uses_are_forgotten_a_few_at_a_time() -> None:
    """A record that was full of what ends at the same time."""
    now = [START]
    replay = MemoryReplay(20 * AT_ONCE, clock=lambda: now[0])
    for number in range(20 * AT_ONCE):
        assert replay.first_use(number.to_bytes(32, "big"), START, START + 15)
    now[0] += 40
    for number in range(25):
        before = len(replay._used)
        assert replay.first_use(b"%32d" % number, START, START + 60), "there is room again, at once"
        assert before - len(replay._used) <= AT_ONCE
    assert len(replay._used) == 25


def test_a_full_store_costs_what_an_empty_one_costs(pki: Pki) -> None:
    kept = MemoryStore()
    memory_pair(pki.client_config(session_store=kept), pki.server_config())
    (sessions,) = kept._sessions.values()
    session: Session = sessions[0]

    def use(store: MemoryStore) -> None:
        store.put("a new one", session)
        assert store.take("a new one") is session

    small, full = MemoryStore(5000), MemoryStore(5000)
    for number in range(6000):
        full.put(str(number), session)
    evicting = called(lambda: use(full))
    assert evicting.total() - called(lambda: use(small)).total() <= 2


def test_a_host_of_a_thousand_is_found_as_one_of_one(pki: Pki) -> None:
    names = [f"host{number}.example" for number in range(1000)]
    few, many = (CredentialStore({name: pki.server("p256", name) for name in some}) for some in (names[-1:], names))
    client_config = pki.client_config()

    def handshake(store: CredentialStore) -> int:
        config = ServerConfig(select_credential=store)
        memory_pair(client_config, config, server_hostname=names[-1])
        return called(lambda: memory_pair(client_config, config, server_hostname=names[-1])).total()

    assert abs(handshake(many) - handshake(few)) <= 20


# what comes -------------------------------------------------------------------------------------------------------------

SHARE = GROUPS[NamedGroup.x25519].generate().public
CODES = range(0x4000, 0x4000 + 32_000)
"""Of nothing that anybody knows."""


def uint16s(codes: Sequence[int]) -> bytes:
    return struct.pack(f"!H{len(codes)}H", 2 * len(codes), *codes)


def prefixed(*items: bytes) -> bytes:
    body = b"".join(items)
    return len(body).to_bytes(2, "big") + body


def hello(suites: Sequence[int] = (), groups: Sequence[int] = (), schemes: Sequence[int] = (), **more: Any) -> bytes:
    """A ClientHello that could be answered, with more of everything; ``more``: an extension's body by "x" and its code."""
    shares = more.pop("shares", b"")
    extensions = {
        43: b"\2\3\4",
        10: uint16s([*groups, NamedGroup.x25519]),
        13: uint16s([*schemes, 0x0403]),
        51: prefixed(shares, struct.pack("!H", NamedGroup.x25519), prefixed(SHARE)),
        **{int(code[1:]): body for code, body in more.items()},
    }
    body = b"\3\3" + bytes(33) + uint16s([*suites, 0x1301]) + b"\1\0"
    body += prefixed(*(struct.pack("!H", code) + prefixed(each) for code, each in extensions.items()))
    return b"\1" + len(body).to_bytes(3, "big") + body


def records(message: bytes, size: int) -> bytes:
    return b"".join(b"\x16\3\1" + prefixed(message[at : at + size]) for at in range(0, len(message), size))


HELLOS: dict[str, Callable[[int], bytes]] = {
    "cipher suites": lambda n: hello(suites=CODES[:n]),
    "groups": lambda n: hello(groups=CODES[:n]),
    "signature schemes": lambda n: hello(schemes=CODES[:n]),
    "extensions": lambda n: hello(**{f"x{code}": b"" for code in CODES[: n // 2]}),
    "key shares": lambda n: hello(
        groups=CODES[: n // 4], shares=b"".join(struct.pack("!HHx", code, 1) for code in CODES[: n // 4])
    ),
    "protocols": lambda n: hello(x16=prefixed(b"\1a" * (n - 1))),
    "authorities": lambda n: hello(x47=prefixed(prefixed(b"\x30\1\0") * (n // 3))),
    "identities": lambda n: hello(
        x45=b"\1\1", x41=prefixed((prefixed(b"x") + bytes(4)) * (n // 20)) + prefixed((b"\x20" + bytes(32)) * (n // 20))
    ),
}
"""Hellos of up to 64 KiB, with so many of something; ``n`` counts what has two bytes."""


@pytest.mark.parametrize("what", HELLOS)
def test_a_long_hello_costs_by_its_length(pki: Pki, what: str) -> None:
    config = pki.server_config(alpn=("a",))

    def answered(data: bytes) -> None:
        server = ServerConnection(config)
        try:
            server.receive_data(data)
        except TLSError as error:
            raise AssertionError(f"the hello was refused: {error}") from error

    quarter, whole = (records(HELLOS[what](n), 2**14) for n in (7_500, 30_000))
    assert 3 * len(quarter) < len(whole) < 2**16 + 100
    assert seconds(lambda: answered(whole)) < STRAIGHT * seconds(lambda: answered(quarter))


def test_a_hello_in_crumbs_costs_by_their_number(pki: Pki) -> None:
    """Each byte in a record of its own, as a peer may send them (RFC 8446 section 5.1)."""
    config = pki.server_config()
    crumbs = records(hello(groups=CODES[:15_000]), 1)
    quarter, whole = crumbs[: len(crumbs) // 8], crumbs[: len(crumbs) // 2]
    read = ServerConnection(config)
    assert read.receive_data(crumbs) == []
    assert isinstance(read.info.client_hello, ClientHello)

    def step(data: bytes) -> float:
        return seconds(lambda: ServerConnection(config).receive_data(data))

    assert step(whole) < STRAIGHT * step(quarter)


@pytest.mark.parametrize("padding", [0, 8])
def test_small_records_cost_by_their_number(pki: Pki, padding: int) -> None:
    """One byte in each."""
    client, server = memory_pair(pki.client_config(record_padding=padding), pki.server_config())

    def step(count: int) -> float:
        pieces = []
        for _ in range(7):
            for _ in range(count):
                client.send_data(b"x")
            wire = client.data_to_send()
            begin = time.process_time()
            events = server.receive_view(memoryview(wire))
            pieces.append(time.process_time() - begin)
            assert sum(len(event.data) for event in events) == count  # type: ignore[attr-defined]
        return min(pieces)

    assert step(4000) < STRAIGHT * step(1000)


def test_the_systems_roots_are_read_in_another_thread(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time that a connection needs them: there are many."""
    bundle = tmp_path / "roots.pem"
    bundle.write_bytes(pki.authority.root_pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    asked: list[Any] = []

    async def offload(function: Any, *args: Any) -> Any:
        asked.append(function)
        return function(*args)

    def shake(trust: TrustStore | None) -> list[Any]:
        asked.clear()
        client = ClientConnection(pki.client_config(trust=trust), server_hostname="localhost", offload=offload)
        server = ServerConnection(pki.server_config())
        server.receive_data(client.data_to_send())
        client.receive_data(server.data_to_send())
        if (question := client.question) is not None:
            client.answer(question, asyncio.run(question.awaitable))  # type: ignore[arg-type]
        assert client.handshake_completed
        return [function.__name__ for function in asked]

    assert shake(None) == ["verify"]
    assert shake(None) == []
    assert shake(pki.trust) == []
