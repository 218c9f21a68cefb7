"""What a handshake costs, counted: calls into C, where the cryptography is, not seconds on a machine that others use."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import minitls.ssl
from minitls import ClientConfig, ClientConnection, ServerConfig, ServerConnection
from minitls.aio.transport import TLSTransport
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
    gc.disable()  # who is told of a collection would be counted: hypothesis is
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
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


def test_a_context_of_the_standard_library_is_made_of_what_others_were_made_of() -> None:
    """A program may make one for each connection: neither certificates are read again, nor is a policy made or a store."""
    roots, made = Authority.create("new to every cache").root_pem().decode("ascii"), list[Any]()

    def make() -> None:
        context = minitls.ssl.create_default_context(cadata=roots)
        context.minimum_version = minitls.ssl.TLSVersion.TLSv1_3
        made.append(context._config(False))

    first, again = called(make), called(make)
    assert (first["load_pem_x509_certificates"], again["load_pem_x509_certificates"]) == (1, 0)
    one, another = made
    assert one.policy is another.policy
    assert one.trust is not another.trust  # each has verdicts of its own
    assert one.trust.anchors.store is another.trust.anchors.store is not None


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


class Wire:
    """A transport of TCP that only collects."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0


class Echo(asyncio.Protocol):
    """Sends back what comes, if it is short."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.sizes = transport, list[int]()

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))
        if len(data) < 100:
            self.transport.write(data)


def bring(wire: Wire, to: TLSTransport) -> None:
    """What was written, as an event loop hands it over."""
    data, wire.written = b"".join(wire.written), []
    while data:
        buffer = to.get_buffer(-1)
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        to.buffer_updated(size)
        data = data[size:]


@pytest.fixture
async def talking(pki: Pki) -> list[Any]:
    """Client and server on transports: wire, transport and protocol of each."""
    loop = asyncio.get_running_loop()
    connections = ClientConnection(pki.client_config(), server_hostname="localhost"), ServerConnection(pki.server_config())
    sides = []
    for connection in reversed(connections):
        wire, protocol = Wire(), Echo()
        transport = TLSTransport(loop, connection, lambda protocol=protocol: protocol, 60.0)  # type: ignore[misc]
        transport.connection_made(wire)  # type: ignore[arg-type]
        sides.insert(0, (wire, transport, protocol))
    for _ in range(4):
        bring(sides[0][0], sides[1][1])
        bring(sides[1][0], sides[0][1])
    sides[0][1].write(b"x" * 64)
    sides[0][1]._flush()
    bring(sides[0][0], sides[1][1])
    return sides


async def test_an_answer_on_a_transport_costs_little(talking: list[Any]) -> None:
    """From the loop's call to the write on TCP: ten functions, the application's among them."""
    (_, client, _), (there, _, _) = talking
    counts = called(lambda: bring(there, client))
    assert counts["decrypt"] == counts["encrypt"] == 1
    assert counts[PYTHON] <= 10 + 3  # the test's own
    assert counts.total() - counts[PYTHON] <= 30


async def test_bulk_data_on_transports_costs_little(talking: list[Any]) -> None:
    """No function of ours for each record, and for each record one call into the cipher; few deliveries, of many records."""
    (here, client, _), (_, server, protocol) = talking
    data = bytes(16 * 2**14)
    client.write(data)  # the buffer is there
    bring(here, server)
    protocol.sizes.clear()
    counts = called(lambda: client.write(data))
    assert len(here.written) == 1
    assert counts["encrypt_into"] == 16
    assert counts[PYTHON] <= 7 + 3  # the test's own
    assert counts.total() - counts[PYTHON] <= 16 * 2 + 20
    counts = called(lambda: bring(here, server))
    assert counts["decrypt_into"] == 16
    assert len(protocol.sizes) == 2
    assert counts[PYTHON] <= 2 * 8 + 2
    assert counts.total() - counts[PYTHON] <= 16 * 2 + 2 * 15


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults of glibc's malloc")
def test_bulk_data_does_not_go_to_the_system_for_memory() -> None:
    """Blocks of the size of a delivery, and of twice that, come from memory that the process has."""
    program = """if True:
        from minitls.record import protection
        import resource
        protection._buffer(2**18)
        def work():
            for _ in range(200):
                data = bytes(115_000) + b"."
                halves, more = (data[:65_000], data[65_000:]), bytes(250_000) + b"."
                del data, halves, more
        work()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        work()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        """
    faults = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert int(faults) < 1000


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
