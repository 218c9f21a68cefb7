"""``minitls scan HOST[:PORT]``: what a server supports, and what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from minitls.cli.common import (
    DONE,
    HTTPS,
    NOT_CONNECTED,
    NOT_MET,
    STARTTLS,
    TIMEOUT,
    TLS,
    CommandError,
    add_proxy_option,
    add_starttls_option,
    did_you_mean,
    seconds,
    words,
)

if TYPE_CHECKING:
    from minitls.cli.reach import Route, Target
    from minitls.scan.asking import Scan
    from minitls.scan.prober import Opener, Stream
    from minitls.scan.survey import Progress

ANSWER = 5.0
AT_ONCE = 3
RATE = 25.0
NOT_HTTP = frozenset({465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5223, 6379, 6514, 6697, 8883})
"""Seconds for an answer, connections at a time, and new ones in a second, unless told otherwise; ports where no HTTP is spoken."""

EXAMPLES = """\
examples:
  minitls scan example.com                         everything, the summary first
  minitls scan example.com --only versions,suites  some of it
  minitls scan localhost:8443 --ca ca.pem          a server of your own, with a CA of your own
  minitls scan 192.0.2.7 --sni example.com         one machine of several
  minitls scan mail.example.com --starttls smtp    a mail server, on its port 25
  minitls scan example.com --json                  for programs (schema "minitls-scan/1")
  minitls scan example.com --rate 2 --at-once 1    more politely still

Nothing is exploited, and nothing is sent that a server would have to choke on.  A scan is some 100 connections; ask before you scan
what is not yours.

exit status: 0 done, and no fault found (remarks do not count); 1 done, and there are faults; 2 usage; 6 name not found;
             7 not connected; 28 no answer; 35 the server does not speak TLS; 60 there is nobody to trust
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "scan", description="Find out what a server supports, and what is wrong with it.", epilog=EXAMPLES
    )
    parser.add_argument(
        "target", metavar="HOST[:PORT]", help="a name or an address ([::1]:8443), or unix:PATH; the port is 443 by default"
    )
    parser.set_defaults(insecure=False)
    group = parser.add_argument_group("what is asked")
    group.add_argument("--only", metavar="SECTIONS", type=sections, default=(), help=f"some of {', '.join(_sections())}")
    group.add_argument("--sni", metavar="NAME", help="ask for, and verify, this name instead of HOST")
    group.add_argument("--ca", metavar="FILE", action="append", default=[], help="trust these certificates, and not the system's")
    group = parser.add_argument_group("how")
    add_proxy_option(group)
    add_starttls_option(parser)
    group.add_argument("--timeout", metavar="SECONDS", type=seconds, default=ANSWER, help="for each answer (%(default)g)")
    group.add_argument("--at-once", metavar="N", type=some, default=AT_ONCE, help="connections at a time (%(default)s)")
    group.add_argument("--rate", metavar="N", type=rate, default=RATE, help="new connections in a second, at most (%(default)g)")
    group.add_argument("--json", action="store_true", help='everything, for programs (schema "minitls-scan/1")')


def _sections() -> tuple[str, ...]:
    from minitls.scan.survey import SECTIONS

    return ("versions", *SECTIONS)


def sections(text: str) -> tuple[str, ...]:
    found = words(text)
    for name in found:
        if name not in _sections():
            guess = did_you_mean(name, _sections()) or f"one of {', '.join(_sections())}"
            raise argparse.ArgumentTypeError(f"unknown section {name!r}: {guess}")
    return found


def some(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 16")
    return int(text)


def rate(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")


def run(args: argparse.Namespace) -> int:
    return asyncio.run(scan(args))


async def scan(args: argparse.Namespace) -> int:
    """Ask, judge, show.  Raises CommandError where there is nothing to judge."""
    import time

    from minitls.cli.common import trust
    from minitls.cli.reach import route, server_name, target
    from minitls.scan.findings import findings
    from minitls.scan.prober import Prober, Unreachable
    from minitls.scan.survey import NoTLS, scan_of, survey
    from minitls.trace.values import safe

    to, way = target(args.target, STARTTLS.get(args.starttls, HTTPS)), route(args)
    name = server_name(args, to)
    opener, address = await streams_to(to, way, args.timeout)
    prober = Prober(opener, timeout=args.timeout, at_once=args.at_once, rate=args.rate)
    web = args.starttls is None and to.port not in NOT_HTTP
    asked = scan_of(prober, to.host, to.port, name=name, trust=trust(args.ca), web=web)
    if not args.only or "certificates" in args.only:
        _ = asked.trust.anchors  # a machine that trusts nobody says so at once: it is no fault of the server's
    began, clock = time.time(), time.monotonic()
    try:
        with progress_bar(asked, quiet=args.json) as progress:
            facts = await survey(asked, args.only, progress)
    except NoTLS as nothing:
        silent = all(answer.kind == "silent" for answer in nothing.answers)
        raise CommandError(TIMEOUT if silent else TLS, f"{to}: {safe(str(nothing))}") from None
    except Unreachable as error:
        raise CommandError(
            NOT_CONNECTED, f"{to} took {prober.connections - 1} connections, and then no more: {error}", "try --rate 2 --at-once 1"
        ) from None
    found = findings(facts)
    took = time.monotonic() - clock
    if args.json:
        from minitls.scan.report import document
        from minitls.trace.json import dump

        print(dump(document(facts, found, began=began, seconds=took, connections=prober.connections)))
    else:
        from minitls.cli.screen import screen_for
        from minitls.cli.verdict import show

        where = f"{to}" if address == str(to) else f"{to} at {address}"
        where += f", {way}" if str(way) else ""
        show(screen_for(sys.stdout), where, facts, found, took, prober.connections)
    return NOT_MET if any(finding.severity == "fault" for finding in found) else DONE


class _Streams(asyncio.StreamReaderProtocol):
    """asyncio's, which tells what it is connected to."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", transport)


async def streams_to(to: Target, way: Route, timeout: float) -> tuple[Opener, str]:
    """How streams to the server are opened, and the address that answered: all of a scan is about that one.

    Behind a proxy and after STARTTLS, it is the name that is asked for each time.  Raises CommandError where none opens.
    """
    from minitls.cli.reach import DIRECT, reach, target

    loop = asyncio.get_running_loop()
    undone = ""

    def doing(what: str) -> None:
        nonlocal undone
        undone = what

    async def opened(to: Target) -> tuple[Stream, str]:
        reader = asyncio.StreamReader(loop=loop)
        protocol = _Streams(reader, loop=loop)
        seen = await reach(to, way, protocol, doing)
        protocol.transport.resume_reading()  # what was said before TLS has stopped it
        return (reader, asyncio.StreamWriter(protocol.transport, protocol, reader, loop)), seen.peer

    try:
        async with asyncio.timeout(timeout):
            (_, writer), peer = await opened(to)
    except TimeoutError:
        raise CommandError(TIMEOUT, f"{undone} within {timeout:g} s") from None
    writer.transport.abort()
    chosen = target(peer, to.port) if way == DIRECT and to.path is None else to

    async def open_stream() -> Stream:
        try:
            return (await opened(chosen))[0]
        except CommandError as error:
            raise OSError(str(error)) from None

    return open_stream, peer


@contextlib.contextmanager
def progress_bar(asked: Scan, *, quiet: bool) -> Iterator[Progress]:
    """On a terminal, what is being done and how far it is; on stderr, so that a pipe gets the answer alone."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda section, done, total: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    except ImportError:
        yield lambda section, done, total: None
        return
    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")))
    columns = (SpinnerColumn(), TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.fields[count]} connections"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("versions", total=None, count=0)

        def told(section: str, done: int, total: int) -> None:
            bar.update(task, description=section, completed=done, total=total, count=asked.prober.connections)

        asked.prober.opened = lambda: bar.update(task, count=asked.prober.connections)
        yield told
