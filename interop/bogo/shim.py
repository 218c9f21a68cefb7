"""One case of the suite: as many connections as the runner asks for, each checked.

Exit status 0: all was as the runner expects; 89: unimplemented; 1: something else, which stderr says, as ``:reason:`` first.
"""

from __future__ import annotations

import socket
import sys
import traceback
from collections.abc import Sequence

from interop.bogo import early, expect, resuming
from interop.bogo.answers import Everybody
from interop.bogo.flags import Settings, Unimplemented, parse
from interop.bogo.later import unhurried
from interop.bogo.link import Link
from interop.bogo.settings import OneSession, Shared, client_config, server_config
from minitls import Alert, AlertReceived, ClientConfig, ClientConnection, Misuse, ServerConfig, ServerConnection, Session, TLSError

UNIMPLEMENTED = 89
RECORD_SIZES = (0, 1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769)


def main(argv: Sequence[str]) -> int:
    if "-is-handshaker-supported" in argv:
        print("No")
        return 0
    try:
        first, resumed, retried = parse(argv)
        shared, session = Shared(), None
        for number in range((first.resume_count or 0) + 1):
            session = connect(resumed if number else first, retried, shared, session, resumed=bool(number))
            shared.clock.now += (resumed if number else first).resumption_delay or 0
    except (Unimplemented, NotImplementedError) as error:
        print(f"unimplemented: {error}", file=sys.stderr)
        return UNIMPLEMENTED
    except AlertReceived as error:
        print(f":ALERT_{error.reason.upper()}: {error}", file=sys.stderr)
        return 1
    except TLSError as error:
        print(f":{error.reason.upper()}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def connect(settings: Settings, retried: Settings, shared: Shared, session: Session | None, *, resumed: bool) -> Session | None:
    """One connection.  Gives a client's new session."""
    store = OneSession(session)
    shared.seen.clear()
    config: ClientConfig | ServerConfig
    offload = None
    if settings.minitls_asyncio:
        from interop.bogo.loop import LoopLink, offload
    if settings.server:
        config = server_config(settings, shared)
        config = unhurried(config) if settings.async_ else config
        engine: ClientConnection | ServerConnection = ServerConnection(config, offload=offload)
    else:
        if resumed and session is None:
            raise expect.Unexpected("there is no session to offer")
        config = client_config(settings, shared, store)
        config = unhurried(config) if settings.async_ else config
        name, early_data = settings.host_name, settings.enable_early_data
        engine = ClientConnection(config, server_hostname=name, offload=offload, offer_early_data=early_data)
    family = socket.AF_INET6 if settings.ipv6 else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(("::1" if settings.ipv6 else "127.0.0.1", settings.port))
        sock.sendall(settings.shim_id.to_bytes(8, "little"))
        link = LoopLink(engine, sock) if settings.minitls_asyncio else Link(engine, sock, piecemeal=settings.async_)
        try:
            owed = None
            if isinstance(engine, ClientConnection) and engine.early_data_room:
                assert isinstance(config.trust, Everybody)
                config.trust.settings = retried
                settings, owed = early.speak(link, engine, settings, retried)
            link.handshake()
            expect.check(settings, engine.info, resumed=resumed)
            resuming.check(settings, engine.info, shared.cache.count, session, store.got, resumed=resumed)
            converse(link, settings, owed)
            expect.check_seen(settings, shared.seen)
        finally:
            link.drain()
    return store.got


def prove(link: Link, settings: Settings) -> None:
    """Show the runner what both sides can make of the handshake's secrets."""
    engine = link.engine
    if settings.export_keying_material:
        context = settings.export_context if settings.use_export_context else None
        label = settings.export_label or ""
        link.write(engine.info.export_keying_material(label, context, settings.export_keying_material))
    if settings.export_traffic_secrets:
        received, sent = engine.traffic_keys()
        link.write(len(sent.secret).to_bytes(2, "little") + received.secret + sent.secret)
    if settings.tls_unique:
        try:
            link.write(engine.info.channel_binding("tls-unique"))
        except Misuse as error:
            raise expect.Unexpected("failed to get tls-unique") from error


def converse(link: Link, settings: Settings, owed: bytes | None) -> None:
    """What is said once the handshake is complete.  ``owed``: what is left of the first words, if they were said early."""
    prove(link, settings)
    if settings.send_alert:
        link.fail(Alert.decompression_failure)
        return
    first_words = settings.shim_initial_write or b"hello"
    if settings.write_different_record_sizes:
        for size in RECORD_SIZES:
            link.write(bytes((0x42,)) * size)
        return
    if owed is not None:
        link.write(owed)
    elif settings.read_with_unfinished_write:
        link.allowed = 1
        link.write(first_words)
    elif settings.shim_writes_first:
        for _ in range(settings.repeat_shim_initial_write or 1):
            link.write(first_words)
    if not settings.shim_shuts_down:
        echo(link, settings)
    if not settings.server and link.engine.info.version == "TLSv1.3" and not settings.shim_shuts_down:
        resuming.check_tickets(settings, link.tickets)
    if settings.check_close_notify:
        shut_down(link)


def echo(link: Link, settings: Settings) -> None:
    """Give back what comes, bit by bit the opposite, until the peer ends, politely or not."""
    while True:
        if settings.key_update_before_read:
            link.update_keys()
        size = settings.read_size or 512
        peeked = link.peek(size) if settings.peek_then_read else None
        data = link.read(size)
        if peeked is not None:
            expect.same("what is read", data, peeked)
        if not data:
            return
        if settings.use_exporter_between_reads:
            link.engine.info.export_keying_material("some label", b"some context", 1)
        link.allowed = None
        if settings.key_update:
            link.update_keys()
        link.write(bytes(byte ^ 0xFF for byte in data))


def shut_down(link: Link) -> None:
    """close_notify, and the peer's; data between the two is for nobody."""
    link.close()
    if link.read(1):
        raise expect.Unexpected(":APPLICATION_DATA_ON_SHUTDOWN:")
    expect.same("the peer's close_notify", link.engine.peer_closed, True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
