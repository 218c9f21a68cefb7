"""The standard library's ``SSLContext._msg_callback``: a debugging hook, told of each message as it is sent or received."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeAlias

from minitls.observe import AlertSeen, ChangeCipherSpecSeen, MessageSeen, Observation

MessageCallback: TypeAlias = Callable[[Any, str, Any, Any, Any, bytes], Any]

_std: Any = ssl  # its enumerations have private names


def tell(callback: MessageCallback, owner: Any, version: str | None, seen: Observation) -> None:
    """Tell of what was seen, if it is a message: ``callback(conn, direction, version, content_type, msg_type, data)``."""
    kinds = _std._TLSContentType
    if isinstance(seen, MessageSeen):
        kind, message = kinds.HANDSHAKE, _member(_std._TLSMessageType, seen.message.raw[0])
        data = seen.message.raw
    elif isinstance(seen, ChangeCipherSpecSeen):
        kind, message, data = kinds.CHANGE_CIPHER_SPEC, _std._TLSMessageType.CHANGE_CIPHER_SPEC, b"\x01"
    elif isinstance(seen, AlertSeen):
        kind, message, data = kinds.ALERT, _member(_std._TLSAlertType, seen.code), bytes((seen.code,))
    else:
        return
    spoken = ssl.TLSVersion.TLSv1_3 if version == "TLSv1.3" else ssl.TLSVersion.TLSv1_2
    callback(owner, "write" if seen.sent else "read", spoken, kind, message, data)


def _member(kind: type[IntEnum], number: int) -> int:
    try:
        return kind(number)
    except ValueError:
        return number
