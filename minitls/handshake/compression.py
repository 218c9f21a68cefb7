"""Certificate compression (RFC 8879): a Certificate message that takes fewer bytes on the wire.

What a peer sends is decompressed up to the length that it declares, which has the limit of any Certificate.  What we send is the
same for every connection, so that it is compressed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.compression import Compression, compressions
from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.codec import parse, serialize
from minitls.wire.messages import Certificate, CompressedCertificate
from minitls.wire.numbers import CertificateCompressionAlgorithm as Algorithm
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import name_of


def asked_for(config: ClientConfig | ServerConfig) -> tuple[int, ...]:
    """What the peer may compress its certificate with."""
    return tuple(each.code for each in config.compressions)


def check_offer(extensions: Mapping[int, Any]) -> None:
    """Section 3: of ClientHello or CertificateRequest, whether or not we compress: each algorithm is listed once."""
    offered = extensions.get(X.compress_certificate)
    if offered is not None and len(set(offered)) != len(offered):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "compress_certificate has an algorithm twice",
            rule="RFC 8879 3",
            reason="duplicate_compression_algorithm",
        )


def choose_compression(offered: Sequence[int], config: ClientConfig | ServerConfig) -> Compression | None:
    """The first of ours that the peer can read; None for the plain message."""
    if not offered:
        return None
    ours = compressions().values() if config.certificate_compression is None else config.compressions
    return next((each for each in ours if each.code in offered), None)


def compress(message: Certificate, algorithm: Compression) -> CompressedCertificate:
    """Section 4."""
    body = serialize(message)
    return CompressedCertificate(algorithm.code, len(body), _compressed(body, algorithm))


@lru_cache(64)
def _compressed(body: bytes, algorithm: Compression) -> bytes:
    return algorithm.compress(body)


def decompress(message: CompressedCertificate, offered: Sequence[Compression], largest: int) -> Certificate:
    """Section 4: raises illegal_parameter for an algorithm that we did not offer, bad_certificate for what does not decompress.

    ``largest``: bytes that we are ready to make of it.  What does must be a Certificate, and is checked as such.
    """
    name, length = name_of(Algorithm, message.algorithm), message.uncompressed_length
    compression = next((each for each in offered if each.code == message.algorithm), None)
    if compression is None:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the peer's Certificate is compressed with {name}, which we did not offer",
            rule="RFC 8879 4",
            reason="unknown_cert_compression_alg",
        )
    if length > largest:
        raise PeerMisbehaved(
            Alert.bad_certificate,
            f"the peer's Certificate would have {length} bytes: {largest} at most",
            rule="RFC 8879 5",
            reason="uncompressed_cert_too_large",
        )
    try:
        body = compression.decompress(message.compressed_certificate_message, length)
    except compression.failures:
        body = None
    if body is None or len(body) != length:
        what = "is damaged" if body is None else f"does not have the {length} bytes that it says"
        raise PeerMisbehaved(
            Alert.bad_certificate,
            f"the peer's Certificate, compressed with {name}, {what}",
            rule="RFC 8879 4",
            reason="cert_decompression_failed",
        )
    return parse(Certificate, body)
