"""Huge hellos, messages, chains, records: refused by their declared length, before they are buffered."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from minitls import Alert, ClientConnection, Connection, PeerIncompatible, PeerMisbehaved, ServerConnection, TLSError
from minitls.testing import memory_pair
from minitls.wire.framing import MAX_CERTIFICATE, MAX_MESSAGE
from minitls.wire.hello import ClientHello
from minitls.wire.messages import Certificate, CertificateEntry
from tests.conftest import Pki
from tests.liar import edit, lying_client, lying_server, meet, write_record


def fresh(pki: Pki, role: str) -> Connection:
    ours, theirs = pki.quick
    side: Connection = ClientConnection(ours, server_hostname="localhost") if role == "client" else ServerConnection(theirs)
    side.data_to_send()
    return side


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("kind", [1, 2, 11, 20, 99])
def test_declared_length(pki: Pki, role: str, kind: int) -> None:
    """Huge message: 64 KiB, 128 KiB for certificates; the header is enough to refuse it."""
    limit = MAX_CERTIFICATE if kind == 11 else MAX_MESSAGE
    for length, too_large in (limit, False), (limit + 1, True), (2**24 - 1, True):
        side = fresh(pki, role)
        header = bytes((kind,)) + length.to_bytes(3, "big")
        if too_large:
            with pytest.raises(PeerMisbehaved) as caught:
                side.receive_data(b"\x16\3\3\0\4" + header)
            assert (caught.value.alert, caught.value.reason) == (Alert.illegal_parameter, "message_too_large")
        else:
            assert side.receive_data(b"\x16\3\3\0\4" + header) == []


def test_memory_of_a_huge_message_is_bounded(pki: Pki) -> None:
    """A peer that never finishes its message holds at most that."""
    side = fresh(pki, "server")
    side.receive_data(b"\x16\3\3\0\4\1" + MAX_MESSAGE.to_bytes(3, "big"))
    tracemalloc.start()
    for _ in range(MAX_MESSAGE // 16384 - 1):
        side.receive_data(b"\x16\3\3\x40\0" + bytes(16384))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MAX_MESSAGE


def test_hello_of_every_suite(pki: Pki) -> None:
    """Huge hello: tens of thousands of suites, or of extensions; quick, and a short error."""
    suites = tuple(range(0x2000, 0x2000 + 32_000))
    client = lying_client(pki.quick[0], edit(ClientHello, lambda m: setattr(m, "cipher_suites", suites)))
    server = ServerConnection(pki.quick[1])
    start = time.process_time()
    meet(client, server)
    assert time.process_time() - start < 0.5
    assert isinstance(server.error, PeerIncompatible)
    assert len(str(server.error)) < 400
    many = edit(ClientHello, lambda m: m.extensions.update({0x8000 + n: b"" for n in range(12_000)}))
    start = time.process_time()
    assert meet(lying_client(pki.quick[0], many), ServerConnection(pki.quick[1])).server.error is None
    assert time.process_time() - start < 0.5


def test_hello_of_every_protocol(pki: Pki) -> None:
    names = tuple(b"p%d" % n for n in range(9_000))
    client, server = pki.client_config(), pki.server_config(alpn=("h2",))
    meeting = meet(lying_client(client, edit(ClientHello, lambda m: m.extensions.update({16: names}))), ServerConnection(server))
    assert isinstance(meeting.server.error, PeerIncompatible)
    assert len(str(meeting.server.error)) < 400


@pytest.mark.parametrize("copies", [11, 100, 300])
def test_long_chains(pki: Pki, copies: int) -> None:
    """Huge chain: ten certificates, and no search that grows with them; refused as a chain, not as a bug."""
    padding = CertificateEntry(pki.authority.chain[0].public_bytes(Encoding.DER), {})  # type: ignore[arg-type]

    def grow(message: Certificate) -> None:
        message.certificate_list = (*message.certificate_list, *[padding] * copies)

    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    start = time.process_time()
    meet(client, lying_server(pki.server_config(), edit(Certificate, grow)))
    assert time.process_time() - start < 0.5
    assert isinstance(client.error, TLSError)


@pytest.mark.parametrize("size", [2**14 + 257, 2**16 - 1])
def test_record_overflow(pki: Pki, size: int) -> None:
    """Record overflow, by its header alone (RFC 8446 section 5.2)."""
    client, _ = memory_pair(*pki.quick)
    with pytest.raises(PeerMisbehaved) as caught:
        client.receive_data(b"\x17\3\3" + size.to_bytes(2, "big"))
    assert caught.value.alert is Alert.record_overflow


@pytest.mark.parametrize("fill", [0, 255])
def test_data_of_the_largest_size(pki: Pki, fill: int) -> None:
    client, server = memory_pair(*pki.quick)
    write_record(server, 23, bytes((fill,)) * 2**14)
    (event,) = client.receive_data(server.data_to_send())
    assert event.data == bytes((fill,)) * 2**14  # type: ignore[union-attr]
