"""``minitls connect HOST[:PORT]``: what was agreed with a server and why it is trusted; ``-i``: talk to it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from minitls.cli.common import (
    DONE,
    HTTPS,
    NOT_MET,
    USAGE,
    CommandError,
    add_client_options,
    add_connection_options,
    add_output_options,
    add_policy_options,
    client_config,
)

if TYPE_CHECKING:
    from minitls.cli.net import Session
    from minitls.cli.screen import Screen
    from minitls.config import ClientConfig
    from minitls.info import ConnectionInfo
    from minitls.trace.story import Fact

FAREWELL = 1.0
"""Seconds that we wait for the server's own close_notify after ours: only so that it can be told."""

EXAMPLES = """\
examples:
  minitls connect example.com                      the summary, then the handshake step by step
  minitls connect example.com --summary            the summary alone
  minitls connect example.com --trace              each message, with what it carried
  minitls connect example.com --json               everything, for programs
  minitls connect localhost:8443 --ca ca.pem       a server of your own
  minitls connect example.com --require pq         exit with 1 if a quantum computer could read it one day
  printf 'HEAD / HTTP/1.0\\r\\n\\r\\n' | minitls connect -i example.com
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "connect", description="Shake hands with a server and say what came of it, and why it is trusted.", epilog=EXAMPLES
    )
    parser.add_argument("target", metavar="HOST[:PORT]", help="a name or an address ([::1]:8443); the port is 443 by default")
    parser.add_argument("-i", "--interactive", action="store_true", help="send stdin, print what comes to stdout")
    parser.add_argument("--summary", action="store_true", help="only the summary, without the story of the handshake")
    add_client_options(parser)
    add_connection_options(parser)
    add_output_options(parser)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    if args.interactive and args.json:
        raise CommandError(USAGE, "--json and -i both want stdout")
    return asyncio.run(connect(args))


async def connect(args: argparse.Namespace) -> int:
    """Connect, report, and talk if asked to."""
    from minitls.cli.net import Session, dial, target
    from minitls.cli.screen import screen_for
    from minitls.trace.recording import Recording
    from minitls.trace.text import TextTrace

    to = target(args.target, HTTPS)
    screen = screen_for(sys.stderr if args.interactive else sys.stdout)
    trace = TextTrace("client", screen.line, width=screen.width, glyphs=screen.glyphs) if args.trace and not args.json else None
    recording = Recording("client", trace)
    alpn = ("h2", "http/1.1") if to.port == HTTPS and not args.interactive else ()
    config = client_config(args, recording, alpn=alpn)
    session = Session(to, recording)
    failure: Exception | None = None
    try:
        async with dial(session, config, args.sni or to.host, args.timeout):
            assert session.info is not None
            if not args.json:
                summarise(screen, session, session.info, config, brief=args.interactive)
            await (_talk(session) if args.interactive else _part(session))
    except Exception as error:
        failure = error
    if args.json:
        _print_json(session, failure)
    elif failure is not None:
        _show_refused(screen, failure)
    elif not (args.trace or args.summary or args.interactive):
        _tell(screen, session)
    if failure is not None:
        raise failure
    assert session.info is not None
    check_requirements(args.require, session.info)
    return DONE


def summarise(screen: Screen, session: Session, info: ConnectionInfo, config: ClientConfig, *, brief: bool) -> None:
    """The verdict first, then (unless ``brief``) what was agreed, the chain and the times."""
    from minitls.trace.cards import cards

    path = cards(info.verified_chain)
    if path:
        screen.verdict("good", f"verified: this is {info.server_name}, vouched for by {path[-1].title}")
    else:
        screen.verdict("warn", f"NOT verified, as --insecure asks: {_why_not(info, config)}")
    if not brief:
        screen.facts([("server", _where(session)), *agreed(info, config), *_chain(info), *_times(session, info)])


def _where(session: Session) -> str:
    from minitls.trace.recording import TcpOpened

    opened = session.recording.first(TcpOpened)
    return f"{session.target}" if opened is None or opened.peer == str(session.target) else f"{session.target} at {opened.peer}"


def _why_not(info: ConnectionInfo, config: ClientConfig) -> str:
    """What the verification that was turned off would have said."""
    from minitls.certificates.trust import TrustStore
    from minitls.errors import CertificateError
    from minitls.trace.values import safe

    try:
        (config.trust or TrustStore.system()).verify(info.peer_chain, info.server_name)
    except CertificateError as error:
        return safe(str(error))
    return "it would have been found good"


def agreed(info: ConnectionInfo, config: ClientConfig) -> list[Fact]:
    """What the two sides came to."""
    from minitls.trace.values import safe

    quantum = "post-quantum" if is_post_quantum(info) else "not post-quantum"
    retry = ", after a HelloRetryRequest" if info.hello_retry else ""
    facts = [
        ("version", info.version or ""),
        ("cipher suite", info.cipher_suite or ""),
        ("key exchange", f"{info.group} ({quantum}{retry})"),
        ("signature", info.signature_scheme or ""),
    ]
    if config.alpn:
        facts.append(("ALPN", safe(info.alpn_protocol) if info.alpn_protocol else f"none of {', '.join(map(safe, config.alpn))}"))
    if info.client_signature_scheme:
        facts.append(("we showed", f"our certificate ({info.client_signature_scheme})"))
    return facts


def is_post_quantum(info: ConnectionInfo) -> bool:
    from minitls.crypto.groups import GROUPS

    return any(group.post_quantum for group in GROUPS.values() if group.name == info.group)


def _chain(info: ConnectionInfo) -> list[Fact]:
    import time

    from minitls.trace.cards import cards

    now = time.time()
    chain = cards(info.verified_chain or info.peer_chain)
    facts = [("chain" if not n else "", f"{card.title}, key {card.key}, {card.validity(now)}") for n, card in enumerate(chain)]
    if info.verified_chain and len(chain) > 1:
        facts[-1] = ("", f"{facts[-1][1]}: in the trust store")
    return facts


def _times(session: Session, info: ConnectionInfo) -> list[Fact]:
    from minitls.trace.recording import TcpOpened
    from minitls.trace.story import milliseconds

    opened = session.recording.first(TcpOpened)
    if opened is None or opened.connecting is None:
        return []
    parts = [f"name {milliseconds(opened.resolving)}"] if opened.resolving is not None else []
    trip = f" (round trip {milliseconds(opened.round_trip)})" if opened.round_trip is not None else ""
    parts.append(f"TCP {milliseconds(opened.connecting)}{trip}")
    if info.timing.handshake is not None:
        parts.append(f"TLS {milliseconds(info.timing.handshake)}")
    return [("time", ", ".join(parts))]


def check_requirements(required: tuple[str, ...], info: ConnectionInfo) -> None:
    """Raises CommandError for what --require asks and this connection has not."""
    missing = {
        "verified": (bool(info.verified_chain), "the certificate was not verified"),
        "pq": (is_post_quantum(info), f"the key exchange is {info.group}, which is not post-quantum"),
        "alpn": (info.alpn_protocol is not None, "no application protocol was agreed"),
    }
    problems = [f"--require {name}: {problem}" for name in required for met, problem in (missing[name],) if not met]
    if problems:
        raise CommandError(NOT_MET, "; ".join(problems))


async def _part(session: Session) -> None:
    """Say goodbye, and let the server do so too; what it does not say is no fault here."""
    import contextlib

    assert session.writer is not None
    assert session.reader is not None
    session.writer.write_eof()
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(FAREWELL):
            while await session.reader.read(2**16):
                pass
            await session.ended(FAREWELL)


async def _talk(session: Session) -> None:
    """stdin to the server, the server to stdout, until the server ends it.  The end of stdin becomes a close_notify."""
    from minitls.cli.stdin import read_stdin

    assert session.writer is not None
    assert session.reader is not None
    writer = session.writer

    async def send() -> None:
        async for data in read_stdin():
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    try:
        while data := await session.reader.read(2**16):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    finally:
        sending.cancel()
        await asyncio.wait((sending,))
    if not sending.cancelled() and (problem := sending.exception()) is not None:
        raise problem


def _print_json(session: Session, failure: Exception | None) -> None:
    from minitls.trace.json import document, dump

    target = {"host": session.target.host, "port": session.target.port}
    print(dump(document(session.recording, session.info, target=target, error=failure)))


def _show_refused(screen: Screen, failure: Exception) -> None:
    """The chain that did not convince; the sentence itself goes to stderr."""
    import time

    from minitls.errors import CertificateError
    from minitls.trace.cards import cards

    if not isinstance(failure, CertificateError):
        return
    now = time.time()
    screen.verdict("bad", "not verified, and so not connected; the server sent:")
    screen.facts(
        [
            ("chain" if not n else "", f"{card.title}, key {card.key}, {card.validity(now)}, issued by {card.issuer_title}")
            for n, card in enumerate(cards(failure.chain))
        ]
    )


def _tell(screen: Screen, session: Session) -> None:
    from minitls.trace.story import tell

    screen.text()
    for number, step in enumerate(tell(session.recording), 1):
        screen.step(number, step)
