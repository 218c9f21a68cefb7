"""What certificates may be compressed with (RFC 8879 section 3): zlib always, brotli and zstd where their packages are (the extra
``compress``), and what an application brings.

A stranger's bytes are decompressed up to the length that is asked for, and not one byte further than what shows that there is more.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial

from minitls.data import dataclass
from minitls.wire.numbers import CertificateCompressionAlgorithm as Algorithm


@dataclass(frozen=True, slots=True)
class Compression:
    """An algorithm, which may be one's own.

    ``code``: its number (RFC 8879 section 7.3): 16384 to 65535 are for private use.  ``compress(data)``: what it gives may be kept
    for the same data.  ``decompress(data, length)``: at most ``length`` + 1 bytes, so that more can be seen; raises one of
    ``failures`` where a stranger's bytes make no sense.
    """

    code: int
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]
    failures: tuple[type[Exception], ...] = (ValueError,)


@cache
def compressions() -> Mapping[int, Compression]:
    """What can be used here, smallest result first."""
    return {each.code: each for each in (_brotli(), _zstd(), _zlib()) if each}


def _zlib() -> Compression:
    def decompress(data: bytes, length: int) -> bytes:
        inflating = zlib.decompressobj()
        out = inflating.decompress(data, length + 1)
        if len(out) <= length and not inflating.eof:
            raise zlib.error("the stream has no end")
        return (out + inflating.unused_data)[: length + 1]

    return Compression(Algorithm.zlib, lambda data: zlib.compress(data, 9), decompress, (zlib.error,))


def _brotli() -> Compression | None:
    try:
        import brotli  # type: ignore[import-untyped]
    except ImportError:
        return None

    def decompress(data: bytes, length: int) -> bytes:
        inflating = brotli.Decompressor()
        out = bytes(inflating.process(data, output_buffer_limit=length + 1))
        while len(out) <= length and not inflating.is_finished():
            more = inflating.process(b"", output_buffer_limit=length + 1 - len(out))
            if not more:
                raise brotli.error("the stream has no end")
            out += more
        return out[: length + 1]  # it gives whole blocks, and the first may be longer

    # The best quality, 11, makes a chain one in a hundred smaller, and takes 3 ms where this takes 0.05: each host has its own.
    return Compression(Algorithm.brotli, partial(brotli.compress, quality=5), decompress, (brotli.error,))


def _zstd() -> Compression | None:
    try:
        import zstandard
    except ImportError:
        return None

    def decompress(data: bytes, length: int) -> bytes:
        with zstandard.ZstdDecompressor(max_window_size=2**23).stream_reader(data) as reader:
            out: bytes = reader.read(length + 1)
        return out

    return Compression(Algorithm.zstd, zstandard.ZstdCompressor(19).compress, decompress, (zstandard.ZstdError,))
