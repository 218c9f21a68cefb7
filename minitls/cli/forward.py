"""``serve --proxy-to``: TLS ends here, and what was in it goes on to another service; who the client is can be told before it.

The PROXY protocol is HAProxy's (``proxy-protocol.txt``): a line in version 1, in version 2 a binary header with what TLS knows.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from typing import TYPE_CHECKING, cast

from minitls.cli.reach import Target, connected

if TYPE_CHECKING:
    from minitls.info import ConnectionInfo

CHUNK = 2**17
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
VERSION_2_PROXY = 0x21
ALPN, AUTHORITY, SSL, SSL_VERSION, SSL_CIPHER = 0x01, 0x02, 0x20, 0x21, 0x23
CLIENT_SSL, CLIENT_CERTIFICATE_NOW, CLIENT_CERTIFICATE_ONCE = 0x01, 0x02, 0x04
NOT_VERIFIED = 1


def preamble(version: int, transport: asyncio.BaseTransport, info: ConnectionInfo) -> bytes:
    """Who the client is, for the service behind.  ``version``: 1 or 2 of the PROXY protocol, 0 for nothing."""
    if not version:
        return b""
    peer, local = (transport.get_extra_info(name) for name in ("peername", "sockname"))
    try:
        source, destination = ipaddress.ip_address(peer[0].partition("%")[0]), ipaddress.ip_address(local[0].partition("%")[0])
    except (TypeError, IndexError, ValueError):  # a Unix socket has no addresses
        return b"PROXY UNKNOWN\r\n" if version == 1 else _header(0x00, b"", info)
    if version == 1:
        family = f"TCP{source.version}"
        return f"PROXY {family} {source} {destination} {peer[1]} {local[1]}\r\n".encode("ascii")
    addresses = source.packed + destination.packed + struct.pack("!HH", peer[1], local[1])
    return _header(0x11 if source.version == 4 else 0x21, addresses, info)


def _header(family: int, addresses: bytes, info: ConnectionInfo) -> bytes:
    shown = CLIENT_SSL
    if info.peer_chain:
        shown |= CLIENT_CERTIFICATE_ONCE | (0 if info.resumed else CLIENT_CERTIFICATE_NOW)
    good = 0 if info.verified_chain else NOT_VERIFIED
    about_tls = struct.pack("!BI", shown, good) + _tlv(SSL_VERSION, info.version) + _tlv(SSL_CIPHER, info.cipher_suite)
    more = _tlv(ALPN, info.alpn_protocol) + _tlv(AUTHORITY, info.server_name) + _tlv(SSL, about_tls)
    return SIGNATURE + struct.pack("!BBH", VERSION_2_PROXY, family, len(addresses) + len(more)) + addresses + more


def _tlv(kind: int, value: str | bytes | None) -> bytes:
    """A type, a length and a value; nothing where there is no value."""
    if value is None:
        return b""
    data = value.encode("ascii") if isinstance(value, str) else value
    return struct.pack("!BH", kind, len(data)) + data


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Target, first: bytes) -> tuple[int, int]:
    """Carry bytes both ways until both have ended; each end is passed on by itself.  Gives how many came and went.

    ``first``: said to the service before all else.  Raises CommandError where the service is not there, OSError where a side
    breaks: then the client sees no close_notify, so that nobody takes a piece for the whole (RFC 8446 section 6.1).
    """
    sock, _ = await connected(to, lambda what: None)
    behind_reader, behind = await asyncio.open_connection(sock=sock)
    try:
        behind.write(first)
        async with asyncio.TaskGroup() as both:
            came = both.create_task(_carry(reader, behind))
            went = both.create_task(_carry(behind_reader, writer))
    except BaseException as error:
        cast("asyncio.Transport", writer.transport).abort()
        broken = error.subgroup(OSError) if isinstance(error, BaseExceptionGroup) else None
        raise broken.exceptions[0] if broken is not None else error from None
    finally:
        behind.close()
    return came.result(), went.result()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    size = 0
    while data := await reader.read(CHUNK):
        size += len(data)
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    return size
