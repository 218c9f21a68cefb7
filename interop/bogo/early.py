"""A client that speaks before the server has."""

from __future__ import annotations

from interop.bogo.expect import Unexpected
from interop.bogo.flags import Settings
from interop.bogo.link import Link
from minitls import ClientConnection, ConnectionInfo
from minitls.wire.numbers import HandshakeType


def speak(link: Link, engine: ClientConnection, settings: Settings, retried: Settings) -> tuple[Settings, bytes | None]:
    """A client with early data, until the handshake is complete: the settings that hold from then on, what is yet to be said."""
    if settings.expect_no_offer_early_data:
        raise Unexpected("the client offers early data")
    link.flush()
    while settings.early_write_after_message and not came(settings.early_write_after_message, engine.info):
        link.step()
    if settings.export_keying_material:
        engine.info.export_keying_material(settings.export_label or "", None, settings.export_keying_material)  # too early
    owed = b""
    if settings.shim_writes_first or settings.read_with_unfinished_write:
        data = settings.shim_initial_write or b"hello"
        for _ in range(settings.repeat_shim_initial_write or 1):
            owed += data[engine.send_early_data(data) :]
    link.allowed = 1 if settings.read_with_unfinished_write else None
    link.handshake()
    link.allowed = None
    link.flush()
    if engine.info.early_data_accepted:
        return settings, owed
    if not settings.expect_reject_early_data:
        raise Unexpected(f"early data is not accepted: {engine.info.early_data_reason}")
    return retried, None


def came(message: int, info: ConnectionInfo) -> bool:
    """Whether the server's message has come."""
    return info.version is not None if message == HandshakeType.server_hello else info.early_data_accepted
