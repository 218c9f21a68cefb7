"""What a handshake costs, counted: calls into C, where the cryptography is, not seconds on a machine that others use."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from minitls import ClientConfig, ClientConnection, ServerConfig, ServerConnection
from minitls.certificates.authority import Authority
from minitls.sessions.store import MemoryStore
from minitls.testing import memory_pair
from tests.conftest import Pki

CERTIFICATES = ("load_der_x509_certificate", "verify", "public_bytes")
WEBS_VERIFIER = ("build_server_verifier", "verify_directly_issued_by")

PYTHON = "functions in Python"


def called(work: Callable[[], Any]) -> Counter[str]:
    """The functions in C that ``work`` called, by name, and how many in Python."""
    seen: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            seen[arg.__name__] += 1
        elif event == "call":
            seen[PYTHON] += 1

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return seen


def client_work(client_config: ClientConfig, server_config: ServerConfig) -> tuple[ClientConnection, Counter[str]]:
    """A client after its handshake, tickets included, and what it called for it."""
    connections: list[ClientConnection] = []
    server = ServerConnection(server_config)
    count = called(lambda: connections.append(ClientConnection(client_config, server_hostname="localhost")))
    (client,) = connections
    while out := client.data_to_send():
        server.receive_data(out)
        back = server.data_to_send()
        count += called(lambda back=back: client.receive_data(back))  # type: ignore[misc]
    assert client.handshake_completed
    return client, count


def test_a_resumed_handshake_touches_no_certificate(pki: Pki) -> None:
    """On the client: no certificate is parsed, no signature checked; the chain's verdict is known."""
    unknown = pki.authority.issue("localhost").credential()  # to every cache
    client_config, server_config = pki.client_config(session_store=MemoryStore()), pki.server_config(credentials=(unknown,))
    counts: list[Counter[str]] = []
    for resumed in (False, True, True):
        client, count = client_work(client_config, server_config)
        assert client.info.resumed is resumed
        counts.append(count)
    full, _, resumed_count = counts
    assert full["verify"] >= 1
    assert full["load_der_x509_certificate"] >= 1
    assert {name: resumed_count[name] for name in CERTIFICATES} == dict.fromkeys(CERTIFICATES, 0)
    assert resumed_count["hmac_digest"] <= 27  # RFC 8446 section 7.1: each secret once, and the ticket's
    assert resumed_count["generate_mlkem768_key"] + resumed_count["generate_key"] == 2  # the hybrid's halves, and no more


def test_a_new_leaf_costs_one_signature(pki: Pki) -> None:
    """Where its CA is known: that one is not read again, nor its signature checked, and the web's verifier is not asked."""
    client_config = pki.client_config(session_store=None)
    known_ca, new_leaf = (pki.server_config(credentials=(pki.authority.issue("localhost").credential(),)) for _ in range(2))
    client_work(client_config, known_ca)
    _, first = client_work(client_config, new_leaf)
    assert first["load_der_x509_certificate"] == 1
    assert first["verify"] == 2  # the CA's of the leaf, the leaf's of the handshake
    assert first["public_bytes"] == 0  # what came as DER is not written as DER
    assert [first[name] for name in WEBS_VERIFIER] == [0, 0]
    _, again = client_work(client_config, new_leaf)
    assert {name: again[name] for name in CERTIFICATES} == {**dict.fromkeys(CERTIFICATES, 0), "verify": 1}
    assert first[PYTHON] - again[PYTHON] <= 220


def test_a_new_ca_costs_one_signature_more(pki: Pki) -> None:
    """A chain with an intermediate, and a store that has seen neither."""
    authority = Authority.create("new to every cache")
    client_config = pki.client_config(session_store=None, trust=authority.trust())
    server_config = pki.server_config(credentials=(authority.issue("localhost").credential(),))
    _, first = client_work(client_config, server_config)
    assert first["load_der_x509_certificate"] == 2
    assert first["verify"] == 3
    assert first["public_bytes"] == 1  # the root's, for those who are told the path
    assert [first[name] for name in WEBS_VERIFIER] == [0, 0]
    _, again = client_work(client_config, server_config)
    assert first[PYTHON] - again[PYTHON] <= 420


RECORDS = 64
MIB = RECORDS * 2**14


def test_bulk_data_costs_a_record_one_call_into_the_cipher(pki: Pki) -> None:
    """Sending and receiving: no function of ours is called for each record (docs of record/protection)."""
    client, server = memory_pair(pki.client_config(), pki.server_config())
    data, wire = bytes(MIB), bytearray()

    def send() -> None:
        for piece in server.seal(data):
            wire.extend(piece)

    sent = called(send)
    assert sent["encrypt_into"] == RECORDS
    assert sent[PYTHON] < RECORDS / 2
    received: list[Any] = []
    view = memoryview(wire)
    counts = called(lambda: received.extend(client.receive_view(view)))
    assert b"".join(event.data for event in received) == data
    assert counts["decrypt_into"] == RECORDS
    assert counts[PYTHON] < RECORDS
    assert counts.total() < 8 * RECORDS
    assert len(received) <= MIB / 2**16  # few deliveries, each of many records


def test_a_small_message_costs_little(pki: Pki) -> None:
    """64 bytes each way: one sealing, one opening, and a few functions around them."""
    client, server = memory_pair(pki.client_config(), pki.server_config())
    client.send_data(b"x" * 64)  # the first of its kind may prepare something
    server.receive_data(client.data_to_send())

    def trip() -> None:
        client.send_data(b"x" * 64)
        (event,) = server.receive_data(client.data_to_send())
        assert event

    counts = called(trip)
    assert counts["encrypt"] == counts["decrypt"] == 1
    assert counts[PYTHON] <= 10
    assert counts.total() <= 40


def test_a_transfer_takes_no_memory(pki: Pki) -> None:
    """What is sealed and opened goes through buffers that are there already."""
    client, server = memory_pair(pki.client_config(), pki.server_config())
    data = bytes(MIB)
    pieces = [bytes(piece) for piece in server.seal(data)]
    for piece in pieces:
        client.receive_view(memoryview(piece))
    tracemalloc.start()
    try:
        for piece in server.seal(data):
            client.receive_view(memoryview(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**19


def test_an_established_connection_is_small(pki: Pki) -> None:
    """Flow, transcript and key shares are gone: what is left is counted in objects (RSS is the benchmark's to tell)."""
    configs = pki.client_config(), pki.server_config()
    memory_pair(*configs)  # caches are filled
    kept = [memory_pair(*configs) for _ in range(4)]
    gc.collect()
    tracemalloc.start()
    try:
        kept += [memory_pair(*configs) for _ in range(16)]
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept
    assert size / 32 < 6 * 1024  # bytes of Python a connection; the ciphers' own are outside
