"""``--pcapng``: a run as a capture file (draft-ietf-opsawg-pcapng): TCP packets made from what went over, and how to read them.

The bytes are the run's own, and so are the moments at which they were sent and received; what was said before TLS, to a proxy or
for STARTTLS, is among them.  How TCP cut them into packets nobody knows: here each write is cut at the segment size of Ethernet.
Packets are raw IP, without anything below it.  A Decryption Secrets
Block has the key log, so that Wireshark opens the file decrypted: WHO HAS SUCH A FILE CAN READ THE CONNECTION.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from minitls.trace.recording import ClearSeen, Recording, TcpClosed, TcpOpened, WireSeen

LINKTYPE_RAW = 101
SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET, DECRYPTION_SECRETS = 0x0A0D0D0A, 1, 6, 0x0A
TLS_KEY_LOG = 0x544C534B
OPT_END, OPT_COMMENT, SHB_USERAPPL, IF_NAME, EPB_FLAGS = 0, 1, 4, 2, 2
INBOUND, OUTBOUND = 1, 2

FIN, SYN, PSH, ACK = 1, 2, 8, 16
WINDOW = 65535
SEGMENT = {4: 1460, 6: 1440}
"""Bytes in a packet, by the version of IP."""
CLIENT_START, SERVER_START = 1000, 2000
"""Where sequence numbers begin; the real ones are the kernel's secret."""
UNKNOWN = ("192.0.2.1:49152", "192.0.2.2:443")
"""Client and server where no address is known, as of runs in memory (RFC 5737)."""
TCP = 6


@dataclass(slots=True)
class _End:
    """One end of the connection.  ``next``: the sequence number of what it sends next."""

    address: IPv4Address | IPv6Address
    port: int
    next: int
    opened: bool = False
    closed: bool = False
    acknowledged: int = field(default=0)


def capture(recordings: Sequence[Recording]) -> bytes:
    """The file's bytes, with all the secrets that the recordings have (``keep_secrets``).  Each is a TCP connection of its own."""
    key_log = "".join(f"{line}\n" for recording in recordings for line in recording.key_log).encode("ascii")
    out = bytearray(_section_header())
    out += _block(
        INTERFACE_DESCRIPTION, struct.pack("<HHI", LINKTYPE_RAW, 0, 0), _option(IF_NAME, b"minitls: packets made from a run")
    )
    if key_log:
        out += _block(DECRYPTION_SECRETS, struct.pack("<II", TLS_KEY_LOG, len(key_log)) + _padded(key_log))
    for number, recording in enumerate(recordings):
        for at, sent, packet in _packets(recording, number):
            out += _packet(at, packet, OUTBOUND if sent else INBOUND)
    return bytes(out)


# TCP --------------------------------------------------------------------------------------------------------------------


def _packets(recording: Recording, number: int) -> Iterator[tuple[float, bool, bytes]]:
    """When, whether this side sent it, and the packet.  ``number``: tells connections without known ports apart."""
    opened = recording.first(TcpOpened)
    ours, theirs = _ends(recording, opened, number)
    client, server = (ours, theirs) if recording.role == "client" else (theirs, ours)

    def segment(at: float, sender: _End, flags: int, data: bytes = b"") -> tuple[float, bool, bytes]:
        receiver = theirs if sender is ours else ours
        sender.acknowledged = receiver.next
        packet = _ip(sender, receiver, flags, data)
        sender.next = (sender.next + len(data) + bool(flags & (SYN | FIN))) % 2**32
        return at, sender is ours, packet

    began = opened.at if opened is not None else recording.started
    took = opened.connecting if opened is not None and opened.connecting is not None else 0.0
    yield segment(began - took, client, SYN)
    yield segment(began - (0.0 if recording.role == "client" else took / 2), server, SYN | ACK)
    yield segment(began, client, ACK)
    size = SEGMENT[ours.address.version]
    for entry in recording.timeline:
        if isinstance(entry, (ClearSeen, WireSeen)):
            sender, receiver = (ours, theirs) if entry.sent else (theirs, ours)
            for start in range(0, len(entry.data), size):
                last = start + size >= len(entry.data)
                yield segment(entry.at, sender, (PSH | ACK) if last else ACK, entry.data[start : start + size])
            if entry.data:
                yield segment(entry.at, receiver, ACK)
        elif isinstance(entry, TcpClosed):
            sender, receiver = (ours, theirs) if entry.sent else (theirs, ours)
            yield segment(entry.at, sender, FIN | ACK)
            yield segment(entry.at, receiver, ACK)


def _ends(recording: Recording, opened: TcpOpened | None, number: int) -> tuple[_End, _End]:
    """We and the peer, with addresses of one version of IP."""
    starts = (CLIENT_START, SERVER_START) if recording.role == "client" else (SERVER_START, CLIENT_START)
    texts = UNKNOWN if recording.role == "client" else UNKNOWN[::-1]
    found = [_address(text) for text in (opened.local, opened.peer)] if opened is not None else []
    if len(found) != 2 or None in found or len({each[0].version for each in found if each}) != 1:
        found = [_address(text) for text in texts]
        shift = [number, 0] if recording.role == "client" else [0, number]
    else:
        shift = [0, 0]
    ours, theirs = (
        _End(each[0], each[1] + more, start) for each, more, start in zip(found, shift, starts, strict=True) if each is not None
    )
    return ours, theirs


def _address(text: str) -> tuple[IPv4Address | IPv6Address, int] | None:
    """``127.0.0.1:443`` or ``[::1]:443``; None for what is no address of IP, such as a path of a Unix socket."""
    host, _, port = text.rpartition(":")
    try:
        return ip_address(host.strip("[]").partition("%")[0]), int(port)
    except ValueError:
        return None


def _ip(sender: _End, receiver: _End, flags: int, data: bytes) -> bytes:
    """A TCP segment in an IP packet, with the checksums that they need."""
    acknowledgment = receiver.next if flags & ACK else 0
    head = struct.pack("!HHIIBBHHH", sender.port, receiver.port, sender.next, acknowledgment, 5 << 4, flags, WINDOW, 0, 0)
    source, target, length = sender.address.packed, receiver.address.packed, len(head) + len(data)
    version = sender.address.version
    pseudo = source + target + (struct.pack("!BBH", 0, TCP, length) if version == 4 else struct.pack("!II", length, TCP))
    head = head[:16] + struct.pack("!H", _checksum(pseudo + head + data)) + head[18:]
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, length, TCP, 64) + source + target + head + data
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, TCP, 0) + source + target
    return ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:] + head + data


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# blocks -----------------------------------------------------------------------------------------------------------------


def _section_header() -> bytes:
    options = (
        _option(OPT_COMMENT, b"TCP's packets are made from what went over; times and bytes are real"),
        _option(SHB_USERAPPL, b"minitls"),
    )
    return _block(SECTION_HEADER, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), *options)


def _packet(at: float, data: bytes, direction: int) -> bytes:
    moment = round(max(at, 0.0) * 1e6)
    head = struct.pack("<IIIII", 0, moment >> 32, moment & 0xFFFFFFFF, len(data), len(data))
    return _block(ENHANCED_PACKET, head + _padded(data), _option(EPB_FLAGS, struct.pack("<I", direction)))


def _block(kind: int, body: bytes, *options: bytes) -> bytes:
    body += b"".join((*options, struct.pack("<HH", OPT_END, 0))) if options else b""
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
