"""Certificate compression (RFC 8879): both ways, each algorithm, and what does not decompress."""

from __future__ import annotations

import itertools
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from minitls import Alert, ClientAuth, ClientConnection, Connection, Misuse, PeerMisbehaved, Policy, ServerConnection
from minitls.crypto.compression import Compression, compressions
from minitls.observe import MessageSeen
from minitls.testing import memory_pair
from minitls.wire.codec import parse
from minitls.wire.framing import MAX_CERTIFICATE
from minitls.wire.hello import ClientHello
from minitls.wire.messages import Certificate, CertificateRequest, CompressedCertificate
from minitls.wire.numbers import CertificateCompressionAlgorithm as Algorithm
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import Lie, edit, instead, lying_client, lying_server, meet, with_extension

EACH = ("zlib", "brotli", "zstd")


def sizes(seen: list[Any]) -> dict[str, list[int]]:
    """The sizes of Certificate messages by their kind."""
    found: dict[str, list[int]] = {}
    for each in seen:
        if isinstance(each, MessageSeen) and isinstance(each.message, (Certificate, CompressedCertificate)):
            found.setdefault(type(each.message).__name__, []).append(len(each.message.raw))
    return found


@pytest.mark.parametrize("name", EACH)
def test_both_ways(pki: Pki, name: str) -> None:
    """What is verified is the chain that was sent; the messages are smaller."""
    plain: list[Any] = []
    seen: list[Any] = []
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust}
    memory_pair(pki.client_config(credential=pki.client(), observer=plain.append), pki.server_config(**auth))
    client, server = memory_pair(
        pki.client_config(credential=pki.client(), certificate_compression=(name,), observer=seen.append),
        pki.server_config(certificate_compression=(name,), **auth),
    )
    assert client.info.peer_chain == pki.server().chain
    assert server.info.peer_chain == pki.client().chain
    assert set(sizes(seen)) == {"CompressedCertificate"}
    assert sum(sizes(seen)["CompressedCertificate"]) < sum(sizes(plain)["Certificate"])


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (("zlib", "brotli"), None, "brotli"),
        (("zlib",), None, "zlib"),
        (("zlib", "zstd"), ("zstd", "zlib"), "zstd"),
        (("brotli",), ("zlib",), None),
        (None, None, None),
    ],
)
def test_which(pki: Pki, theirs: Any, ours: Any, expected: str | None) -> None:
    """The sender's order decides; who is not asked sends it plain."""
    seen: list[Any] = []
    memory_pair(
        pki.client_config(certificate_compression=theirs, observer=seen.append), pki.server_config(certificate_compression=ours)
    )
    (message,) = [
        each.message for each in seen if isinstance(each, MessageSeen) and type(each.message).__name__[-11:] == "Certificate"
    ]
    algorithm = Algorithm(message.algorithm).name if isinstance(message, CompressedCertificate) else None
    assert algorithm == expected


def refused(connection: Connection, alert: Alert, reason: str) -> None:
    error = connection.error
    assert isinstance(error, PeerMisbehaved)
    assert (error.alert, error.reason) == (alert, reason)
    assert error.rule.startswith("RFC 8879")


LIES: dict[str, tuple[Callable[[Any], object], Alert, str]] = {
    "an algorithm that was not offered": (
        lambda message: setattr(message, "algorithm", Algorithm.zstd),
        Alert.illegal_parameter,
        "unknown_cert_compression_alg",
    ),
    "an algorithm that nobody knows": (
        lambda message: setattr(message, "algorithm", 0x7777),
        Alert.illegal_parameter,
        "unknown_cert_compression_alg",
    ),
    "one byte less than it says": (
        lambda message: setattr(message, "uncompressed_length", message.uncompressed_length + 1),
        Alert.bad_certificate,
        "cert_decompression_failed",
    ),
    "one byte more than it says": (
        lambda message: setattr(message, "uncompressed_length", message.uncompressed_length - 1),
        Alert.bad_certificate,
        "cert_decompression_failed",
    ),
    "nothing": (lambda message: setattr(message, "uncompressed_length", 0), Alert.bad_certificate, "cert_decompression_failed"),
    "more than a Certificate may have": (
        lambda message: setattr(message, "uncompressed_length", MAX_CERTIFICATE + 1),
        Alert.bad_certificate,
        "uncompressed_cert_too_large",
    ),
    "no stream at all": (
        lambda message: setattr(message, "compressed_certificate_message", b"certificate"),
        Alert.bad_certificate,
        "cert_decompression_failed",
    ),
    "cut": (
        lambda message: setattr(message, "compressed_certificate_message", message.compressed_certificate_message[:-1]),
        Alert.bad_certificate,
        "cert_decompression_failed",
    ),
    "with a byte behind it": (
        lambda message: setattr(message, "compressed_certificate_message", message.compressed_certificate_message + b"\0"),
        Alert.bad_certificate,
        "cert_decompression_failed",
    ),
}


@pytest.mark.parametrize(("what", "role"), list(itertools.product(LIES, ["client", "server"])))
def test_a_peer_that_lies(pki: Pki, what: str, role: str) -> None:
    change, alert, reason = LIES[what]
    lie = edit(CompressedCertificate, change)
    ours = pki.client_config(credential=pki.client(), certificate_compression=("zlib",))
    theirs = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust, certificate_compression=("zlib",))
    honest: Connection
    if role == "server":
        honest = ServerConnection(theirs)
        meet(lying_client(ours, lie), honest)
    else:
        honest = ClientConnection(ours, server_hostname="localhost")
        meet(honest, lying_server(theirs, lie))
    refused(honest, alert, reason)


@pytest.mark.parametrize("name", EACH)
def test_what_is_inside_is_no_certificate(pki: Pki, name: str) -> None:
    """A DecodeError as for the plain message."""
    data = b"certificate" * 9
    algorithm = Algorithm[name]
    say = CompressedCertificate(algorithm, len(data), compressions()[algorithm].compress(data))
    lie: Lie = instead(CompressedCertificate, lambda message: [say])
    client = ClientConnection(pki.client_config(certificate_compression=(name,)), server_hostname="localhost")
    meet(client, lying_server(pki.server_config(), lie))
    assert client.error is not None
    assert client.error.alert is Alert.decode_error  # type: ignore[attr-defined]


def test_unasked(pki: Pki) -> None:
    """Section 4: who did not offer it gets none."""
    body = b"\0\0\0\0"
    say = CompressedCertificate(Algorithm.zlib, len(body), zlib.compress(body))
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    meet(client, lying_server(pki.server_config(), instead(Certificate, lambda message: [say])))
    assert isinstance(client.error, PeerMisbehaved)
    assert client.error.alert is Alert.unexpected_message


@pytest.mark.parametrize("name", EACH)
def test_a_bomb(name: str) -> None:
    """Declared or not, no more is decompressed than asked for and one byte (tests/attacks: compression bomb)."""
    compression = compressions()[Algorithm[name]]
    bomb = compression.compress(bytes(64 * 2**20))
    assert len(bomb) < 2**17
    tracemalloc.start()
    try:
        out = compression.decompress(bomb, 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(out) == 1001
    assert peak < 2**20


@pytest.mark.parametrize("name", EACH)
def test_each_byte_of_the_stream(pki: Pki, name: str) -> None:
    """Cut or changed anywhere: the certificate, or one of the failures that are expected."""
    chain = b"".join(pki.server().chain)
    compression = compressions()[Algorithm[name]]
    stream = compression.compress(chain)
    assert compression.decompress(stream, len(chain)) == chain
    for at in range(len(stream)):
        for bad in (stream[:at], stream[:at] + bytes((stream[at] ^ 0x55,)) + stream[at + 1 :]):
            try:
                out = compression.decompress(bad, len(chain))
            except compression.failures:
                continue
            assert len(out) <= len(chain) + 1 + len(bad)


def test_it_is_compressed_once(pki: Pki) -> None:
    from minitls.handshake import compression

    compression._compressed.cache_clear()
    client, server = pki.client_config(certificate_compression=("zlib",)), pki.server_config()
    for _ in range(3):
        memory_pair(client, server)
    assert compression._compressed.cache_info().misses == 1


def test_a_configuration_that_cannot_be(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misuse, match=r"unknown certificate compression 'gzip'"):
        pki.client_config(certificate_compression=("gzip",))
    monkeypatch.setattr("minitls.config.compressions", lambda: {Algorithm.zlib: None})
    with pytest.raises(Misuse, match=r"brotli is not installed: pip install 'minitls\[compress\]'"):
        pki.client_config(certificate_compression=("brotli",))


def test_the_message_is_declared() -> None:
    """RFC 8879 section 4."""
    message = parse(CompressedCertificate, bytes.fromhex("0001 000005 000003 616263"))
    assert (message.algorithm, message.uncompressed_length, message.compressed_certificate_message) == (1, 5, b"abc")


def backwards(data: bytes, length: int) -> bytes:
    if not data.startswith(b"!"):
        raise ValueError("none of ours")
    return data[:0:-1][: length + 1]


OWN = Compression(0xFF01, lambda data: b"!" + data[::-1], backwards)


def test_one_of_ones_own(pki: Pki) -> None:
    """By its number for private use, beside the others, and no less strictly."""
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust}
    seen: list[Any] = []
    ours = pki.client_config(credential=pki.client(), certificate_compression=("zlib", OWN), observer=seen.append)
    client, server = memory_pair(ours, pki.server_config(certificate_compression=(OWN, "zlib"), **auth))
    assert (client.info.peer_chain, server.info.peer_chain) == (pki.server().chain, pki.client().chain)
    compressed = [e.message for e in seen if isinstance(e, MessageSeen) and isinstance(e.message, CompressedCertificate)]
    assert [each.algorithm for each in compressed] == [0xFF01, Algorithm.zlib]
    for change, reason in (
        (lambda m: setattr(m, "uncompressed_length", 12), "cert_decompression_failed"),
        (lambda m: setattr(m, "compressed_certificate_message", b"?"), "cert_decompression_failed"),
        (lambda m: setattr(m, "algorithm", 0xFF02), "unknown_cert_compression_alg"),
    ):
        lie = edit(CompressedCertificate, change)  # type: ignore[arg-type]
        meeting = meet(
            ClientConnection(ours, server_hostname="localhost"),
            lying_server(pki.server_config(certificate_compression=(OWN,)), lie),
        )
        assert meeting.client_error.reason == reason


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_an_algorithm_twice(pki: Pki, version: str) -> None:
    """Whether or not we compress, or would know either."""
    twice = with_extension(ClientHello, X.compress_certificate, b"\x04\xff\x07\xff\x07", first=True)
    policy = Policy.intermediate.replace(versions=(version,))
    meeting = meet(lying_client(pki.client_config(policy=policy), twice), ServerConnection(pki.server_config()))
    assert (meeting.server_error.alert, meeting.server_error.reason) == (Alert.illegal_parameter, "duplicate_compression_algorithm")
    assert meeting.server_error.rule == "RFC 8879 3"
    asked = with_extension(CertificateRequest, X.compress_certificate, b"\x04\x00\x01\x00\x01", first=True)
    server = pki.server_config(client_auth=ClientAuth.request, trust=pki.trust)
    meeting = meet(ClientConnection(pki.client_config(), server_hostname="localhost"), lying_server(server, asked))
    assert meeting.client_error.reason == "duplicate_compression_algorithm"
