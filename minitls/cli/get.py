"""``minitls get URL``: the body to stdout or to a file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlsplit

from minitls.certificates.names import normalise
from minitls.cli.common import (
    DONE,
    HTTPS,
    USAGE,
    CommandError,
    add_client_options,
    add_connection_options,
    add_output_options,
    add_policy_options,
    client_config,
    lower,
)
from minitls.cli.net import Target, at

EXAMPLES = """\
examples:
  minitls get https://example.com/
  minitls get example.com/file.zip -o file.zip
  minitls get https://localhost:8443/ --ca ca.pem --trace

Like curl, it exits with 0 whatever the HTTP status is; one that is not 2xx is also told on stderr.  A body that is cut short
is an error (35).  Redirects are not followed.
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("get", description="An HTTPS GET: the body to stdout, or to a file.", epilog=EXAMPLES)
    parser.add_argument("url", metavar="URL", help="https://HOST[:PORT]/PATH; https:// may be left out")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the body there")
    add_client_options(parser)
    add_connection_options(parser)
    add_output_options(parser)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    if args.json and not args.output:
        raise CommandError(USAGE, "--json and the body both want stdout", "send the body to a file: -o FILE")
    return asyncio.run(fetch(args))


def parts(url: str) -> tuple[str, str]:
    """HOST[:PORT] and what is asked of it.  Raises CommandError."""
    try:
        split = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError as error:
        raise CommandError(USAGE, f"{url!r} is no URL: {lower(str(error))}") from None
    if split.scheme != "https":
        raise CommandError(USAGE, f"only https is spoken here, not {split.scheme!r}")
    if "@" in split.netloc:
        raise CommandError(USAGE, "a URL with a user or a password in it is not sent anywhere")
    if not split.netloc:
        raise CommandError(USAGE, f"there is no host in the URL {url!r}")
    asked = f"{split.path or '/'}?{split.query}" if split.query else split.path or "/"
    return split.netloc, quote(asked, safe="/%:@!$&'()*+,;=~?", errors="surrogateescape")


def host_header(to: Target) -> str:
    """The host as HTTP wants it: in ASCII, without the port that everybody expects."""
    shown = at(normalise(to.host), to.port)
    return shown.removesuffix(f":{HTTPS}") if to.port == HTTPS else shown


async def fetch(args: argparse.Namespace) -> int:
    from minitls.cli.connect import check_requirements
    from minitls.cli.http import get
    from minitls.cli.net import Session, dial, target
    from minitls.cli.screen import screen_for
    from minitls.trace.recording import Recording
    from minitls.trace.text import TextTrace

    netloc, what = parts(args.url)
    to = target(netloc, HTTPS)
    screen = screen_for(sys.stderr)
    trace = TextTrace("client", screen.line, width=screen.width, glyphs=screen.glyphs) if args.trace else None
    session = Session(to, Recording("client", trace))
    config = client_config(args, session.recording, alpn=("http/1.1",))
    failure: Exception | None = None
    try:
        async with dial(session, config, args.sni or to.host, args.timeout):
            assert session.info is not None
            assert session.reader is not None
            assert session.writer is not None
            check_requirements(args.require, session.info)
            with ExitStack() as opened:
                answered = _receiver(args.output, opened)
                await get(
                    session.reader, session.writer, host=host_header(to), target=what, timeout=args.timeout, answered=answered
                )
    except Exception as error:
        failure = error
    if args.json:
        from minitls.trace.json import document, dump

        print(dump(document(session.recording, session.info, target={"url": args.url}, error=failure)))
    if failure is not None:
        raise failure
    return DONE


def _receiver(output: str | None, opened: ExitStack) -> Callable[[int, str], Callable[[bytes], Any]]:
    """The file is made when there is an answer to put into it: a failure leaves none behind."""

    def answered(status: int, reason: str) -> Callable[[bytes], Any]:
        if not 200 <= status < 300:
            from minitls.trace.values import safe

            print(f"minitls: HTTP {status} {safe(reason)}", file=sys.stderr)
        if output is None:
            return sys.stdout.buffer.write
        try:
            return opened.enter_context(open(output, "wb")).write
        except OSError as error:
            raise CommandError(USAGE, f"cannot write {output}: {lower(error.strerror)}") from None

    return answered
