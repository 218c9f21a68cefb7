"""What client and server say to each other, by whatever stack: a request of 16 bytes, and what it asks for."""

from __future__ import annotations

import struct
from typing import Any

HOST = "127.0.0.1"
NAME = "localhost"

DOWNLOAD = 1  # the server writes ``total`` bytes, ``piece`` at a time
UPLOAD = 2  # it reads ``total`` bytes and answers REPLY
ECHO = 3  # it sends back ``total`` bytes as they come; 0: whatever comes, from then on
HELLO = 4  # it answers REPLY

REPLY = b"k"
MESSAGE = b"m" * 64

_REQUEST = struct.Struct(">BxxxIQ")
REQUEST_SIZE = _REQUEST.size

FACES = ("protocol", "buffered", "streams")
VARIANTS = ("default", "x25519", "tls12")


def request(operation: int, piece: int = 0, total: int = 0) -> bytes:
    return _REQUEST.pack(operation, piece, total)


def read_request(data: bytes) -> tuple[int, int, int]:
    """Operation, piece, total."""
    operation, piece, total = _REQUEST.unpack(data)
    return operation, piece, total


def port_of(ports: dict[str, Any], face: str, variant: str) -> int:
    """Where a server listens for this: it says "face/variant" of each."""
    return int(ports[f"{face}/{variant}"])
