"""The server's beginning: what the client offers, and which version's handshake it leads into (RFC 8446 section 4.1)."""

from __future__ import annotations

from minitls.config import ServerConfig
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.handshake import server13
from minitls.handshake.compression import check_offer
from minitls.handshake.flow import Flow, Handshake, expect, resolve
from minitls.handshake.negotiate import choose_version
from minitls.wire.extensions import ServerName
from minitls.wire.hello import FALLBACK_SCSV, ClientHello
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion

_VERSIONS = frozenset(ProtocolVersion)
"""What a version may be: GREASE is none, however large."""


def server_handshake(hs: Handshake, config: ServerConfig) -> Flow[None]:
    """The server's side, whatever version it will be."""
    hello = yield from expect(ClientHello)
    hs.info.client_hello_raw = hello.raw
    hs.info.timing.hello_answered = config.clock()
    hs.info.server_name = check_server_name(hello)
    if config.select_config is not None:
        other = yield from resolve(config.select_config, hello)
        config = config if other is None else hs.use_config(other)
    check_offer(hello.extensions)
    check_fallback(hello, max(map(int, config.policy.versions)))
    version = choose_version(hello.versions, config.policy)
    if version == ProtocolVersion.TLSv1_3:
        yield from server13.handshake(hs, config, hello)
    else:
        from minitls.handshake import server12  # TLS 1.2 is imported where somebody speaks it

        yield from server12.handshake(hs, config, hello)


def check_fallback(hello: ClientHello, best: int) -> None:
    """RFC 7507 section 3: who says that it came back with an older version did so although we have a newer one."""
    if FALLBACK_SCSV not in hello.cipher_suites:
        return
    if max((version for version in hello.versions if version in _VERSIONS), default=0) < best:
        raise PeerIncompatible(
            Alert.inappropriate_fallback,
            "the client has fallen back to an older version than both have: somebody made it",
            rule="RFC 7507 3",
            reason="inappropriate_fallback",
        )


def check_server_name(hello: ClientHello) -> str | None:
    """RFC 6066 section 3: one host name at most, in ASCII, and nothing in it that could fool who reads it."""
    names: tuple[ServerName, ...] = hello.extensions.get(X.server_name, ())
    if not names:
        return None
    hosts = [name.host_name for name in names if name.name_type == 0]
    printable = all(host.isascii() and (text := host.decode("ascii")).isprintable() and " " not in text for host in hosts)
    if len(hosts) != 1 or not printable:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "server_name does not hold one host name in ASCII",
            rule="RFC 6066 3",
            reason="bad_server_name",
        )
    return hosts[0].decode("ascii").lower().removesuffix(".")
