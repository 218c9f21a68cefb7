"""From a target to a transport on which TLS can begin: which address, through which proxy, and what is said before."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import minitls
from minitls.certificates.names import is_address
from minitls.cli.common import NOT_CONNECTED, NOT_RESOLVED, USAGE, CommandError, lower, trust
from minitls.cli.conversation import Conversation
from minitls.cli.starttls import DIALOGUES
from minitls.trace.recording import Entry, TcpOpened
from minitls.trace.values import safe

_TCP_INFO_RTT = 68
"""Where Linux's ``struct tcp_info`` has tcpi_rtt, microseconds."""
ATTEMPT_DELAY = 0.25
"""Seconds that an address gets before the next one is tried beside it (RFC 8305 section 5)."""
PROXY_PORTS = {"http": 8080, "https": 443}
MAX_HEAD = 2**15
"""Bytes of a proxy's answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is to be reached.  ``host``: a name or an address, without brackets; ``path``: of a Unix socket, instead of both."""

    host: str
    port: int
    path: str | None = None

    def __str__(self) -> str:
        return f"unix:{safe(self.path)}" if self.path is not None else at(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Proxy:
    """``secure``: TLS to the proxy itself; ``authorization``: the header's value, or ""."""

    target: Target
    secure: bool
    authorization: str = ""

    def __repr__(self) -> str:
        return f"<Proxy {self}>"  # not the password

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.target}"


@dataclass(frozen=True, slots=True)
class Route:
    """How to get there.  ``config``: for TLS to a proxy; ``starttls``: a name of ``DIALOGUES``."""

    proxy: Proxy | None = None
    config: minitls.ClientConfig | None = None
    starttls: str | None = None

    def __str__(self) -> str:
        parts = [f"through the proxy {self.proxy}"] if self.proxy else []
        return ", ".join([*parts, *([f"after {self.starttls.upper()}'s STARTTLS"] if self.starttls else [])])


DIRECT = Route()


def route(args: argparse.Namespace) -> Route:
    """What --proxy and --starttls ask for.  Raises CommandError and Misuse."""
    through = proxy(args.proxy) if args.proxy else None
    config = minitls.ClientConfig(trust=trust(args.ca), alpn=("http/1.1",)) if through and through.secure else None
    return Route(through, config, getattr(args, "starttls", None))


def at(host: str, port: int) -> str:
    """``example.com:443``, ``[::1]:443``."""
    return f"[{host}]:{port}" if ":" in host else f"{safe(host)}:{port}"


def target(text: str, default_port: int) -> Target:
    """``HOST``, ``HOST:PORT``, ``[::1]:PORT``, a bare IPv6 address, ``unix:PATH``, or a URL of which the rest is ignored.

    Raises CommandError.
    """
    if text.startswith("unix:"):
        return Target("", 0, text.removeprefix("unix:").removeprefix("//"))
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0].rpartition("@")[2] if "://" in text else text
    if authority.count(":") > 1 and not authority.startswith("["):
        return Target(authority, default_port)  # a bare IPv6 address: its colons are its own
    match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::([0-9]+))?", authority)
    port = int(match[2]) if match and match[2] else default_port
    if match is None or not 0 < port < 2**16:
        raise CommandError(USAGE, f"{safe(text)!r} is no HOST:PORT", "such as example.com, example.com:8443 or [::1]:8443")
    return Target(match[1].strip("[]"), port)


def server_name(args: argparse.Namespace, to: Target) -> str | None:
    """Whom the certificate must be for: --sni, or the host that was named.  Raises CommandError where there is neither."""
    if args.sni or to.path is None:
        return str(args.sni or to.host)
    if args.insecure:
        return None
    raise CommandError(USAGE, f"whose certificate should {to} show?", "name it with --sni NAME, or do without: --insecure")


def proxy(text: str) -> Proxy:
    """``[http[s]://][USER:PASSWORD@]HOST[:PORT]``.  Raises CommandError, which does not repeat a password."""
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        default = PROXY_PORTS[url.scheme]
        user, password = unquote(url.username or ""), unquote(url.password or "")
    except (ValueError, KeyError):
        shown = re.sub(r"//[^/]*@", "//...@", text)
        raise CommandError(USAGE, f"{safe(shown)!r} is no proxy: http:// or https://, HOST and PORT") from None
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode() if url.username is not None else ""
    found = target(url.netloc.rpartition("@")[2], default)
    return Proxy(found, url.scheme == "https", f"Basic {credentials}" if credentials else "")


Doing: TypeAlias = Callable[[str], None]
"""Told what cannot be said to be done yet, for who has waited long enough."""


async def reach(
    to: Target, route: Route, tls: asyncio.BaseProtocol, doing: Doing, seen: Callable[[Entry], None] = lambda entry: None
) -> TcpOpened:
    """Connect, have the dialogues, and make ``tls`` the protocol.  Says how long TCP took.  Raises CommandError.

    ``seen``: told of TCP and of what is said.
    """
    first = route.proxy.target if route.proxy else to
    sock, opened = await connected(first, doing)
    seen(opened)
    loop = asyncio.get_running_loop()
    if route.proxy is None and route.starttls is None:
        await loop.create_connection(lambda: tls, sock=sock)
        return opened
    talk = Conversation(f"the proxy {route.proxy}" if route.proxy else str(to), seen)
    try:
        if route.proxy is not None and route.proxy.secure:
            doing(f"no handshake with the proxy {route.proxy}")
            await minitls.create_connection(lambda: talk, sock=sock, config=route.config, server_hostname=first.host)
        else:
            await loop.create_connection(lambda: talk, sock=sock)
        if route.proxy is not None:
            doing(f"no way to {to} from the proxy {route.proxy}")
            await tunnel(talk, to, route.proxy)
            talk.whom = str(to)
        if route.starttls is not None:
            doing(f"no STARTTLS with {to}")
            await DIALOGUES[route.starttls](talk, to.host)
        talk.hand_over(tls)
    except BaseException:
        talk.abort()
        sock.close()
        raise
    return opened


async def tunnel(talk: Conversation, to: Target, through: Proxy) -> None:
    """CONNECT (RFC 9110 section 9.3.6).  Raises CommandError for another answer than a 2xx."""
    import h11

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    headers = [("host", str(to)), ("user-agent", "minitls")]
    if through.authorization:
        headers.append(("proxy-authorization", through.authorization))
    try:
        request = connection.send(h11.Request(method="CONNECT", target=str(to), headers=headers))
        talk.say((request or b"") + (connection.send(h11.EndOfMessage()) or b""), through.authorization.partition(" ")[2].encode())
        while not isinstance(event := connection.next_event(), h11.Response):  # nor one of the 1xx
            if event is h11.NEED_DATA:
                connection.receive_data(await talk.some())
    except h11.ProtocolError as error:
        raise CommandError(NOT_CONNECTED, f"{talk.whom} does not answer as one: {safe(str(error))}") from None
    if not 200 <= event.status_code < 300:
        reason = safe(event.reason.decode("latin-1"))
        hint = "it wants a user and a password: http://USER:PASSWORD@HOST:PORT" if event.status_code == 407 else ""
        raise CommandError(NOT_CONNECTED, f"{talk.whom} does not connect us to {to}: {event.status_code} {reason}", hint)
    talk.put_back(connection.trailing_data[0])


async def connected(to: Target, doing: Doing) -> tuple[socket.socket, TcpOpened]:
    """TCP's handshake, or a Unix socket's.  Raises CommandError."""
    began = time.perf_counter()
    doing(f"no connection to {to}")
    if to.path is not None:
        sock = await _unix(to, to.path)
        return sock, TcpOpened(time.time(), "here", str(to), connecting=time.perf_counter() - began)
    doing(f"no answer to the name {safe(to.host)}")
    addresses = await resolve(to)
    resolved = time.perf_counter()
    doing(f"no connection to {to}")
    sock = await race(to, addresses)
    opened = TcpOpened(
        at=time.time(),
        local=at(*sock.getsockname()[:2]),
        peer=at(*sock.getpeername()[:2]),
        resolving=None if is_address(to.host) else resolved - began,
        connecting=time.perf_counter() - resolved,
        round_trip=round_trip(sock),
    )
    return sock, opened


async def _unix(to: Target, path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise CommandError(NOT_CONNECTED, f"no connection to {to}: this system has no Unix sockets")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException as error:
        sock.close()
        if not isinstance(error, OSError):
            raise
        raise CommandError(NOT_CONNECTED, f"no connection to {to}: {_why(error)}") from None
    return sock


async def resolve(to: Target) -> list[tuple[Any, ...]]:
    loop = asyncio.get_running_loop()
    try:
        return list(await loop.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM))
    except socket.gaierror as error:
        raise CommandError(NOT_RESOLVED, f"the name {safe(to.host)} was not found: {lower(error.strerror)}") from None
    except UnicodeError as error:
        raise CommandError(NOT_RESOLVED, f"{safe(to.host)!r} can be no host name: {error}") from None


def interleaved(addresses: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """IPv6 and IPv4 by turns, beginning with the resolver's first (RFC 8305 section 4)."""
    families = dict.fromkeys(address[0] for address in addresses)
    columns = [[address for address in addresses if address[0] == family] for family in families]
    return [address for address in chain.from_iterable(zip_longest(*columns)) if address is not None]


async def race(to: Target, addresses: Sequence[tuple[Any, ...]]) -> socket.socket:
    """RFC 8305 section 5: one address after the other, each begun when the one before has failed or had its time; the first to
    stand wins.  Raises CommandError.
    """
    waiting, running = interleaved(addresses), set[asyncio.Task[socket.socket]]()
    problems: dict[str, None] = {}
    begun: list[asyncio.Task[socket.socket]] = []
    winner: socket.socket | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                begun.append(asyncio.create_task(_attempt(*waiting.pop(0))))
                running.add(begun[-1])
            delay = ATTEMPT_DELAY if waiting else None
            done, running = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if isinstance(error := task.exception(), OSError):
                    problems[_why(error)] = None
                elif winner is None:
                    winner = task.result()
    finally:
        for task in running:
            task.cancel()
        for sock in await asyncio.gather(*begun, return_exceptions=True):
            if isinstance(sock, socket.socket) and sock is not winner:
                sock.close()
    if winner is None:
        raise CommandError(NOT_CONNECTED, f"no connection to {to}: {', '.join(problems) or 'it has no address'}")
    return winner


async def _attempt(family: int, kind: int, number: int, _: str, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, number)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _why(error: OSError) -> str:
    return lower(os.strerror(error.errno)) if error.errno else str(error)


def round_trip(sock: socket.socket) -> float | None:
    """Seconds from here to the peer and back, as the kernel has measured; None where it does not say."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RTT + 4)
    except OSError:
        return None
    microseconds: int = struct.unpack_from("=I", state, _TCP_INFO_RTT)[0]
    return microseconds / 1e6 or None
