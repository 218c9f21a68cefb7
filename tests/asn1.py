"""DER by hand, for structures that pyca/cryptography makes only as they should be (X.690)."""

from __future__ import annotations

from datetime import datetime

NULL = b"\5\0"


def der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def sequence(*content: bytes) -> bytes:
    return der(0x30, *content)


def octets(data: bytes) -> bytes:
    return der(0x04, data)


def object_identifier(dotted: str) -> bytes:
    first, second, *arcs = map(int, dotted.split("."))
    out = bytearray()
    for arc in (40 * first + second, *arcs):
        groups = [arc >> shift & 0x7F for shift in range(0, max(arc.bit_length(), 1), 7)]
        out += bytes([*(group | 0x80 for group in groups[:0:-1]), groups[0]])
    return der(0x06, bytes(out))


def moment(when: datetime) -> bytes:
    return der(0x18, f"{when:%Y%m%d%H%M%SZ}".encode())
