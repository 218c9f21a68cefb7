"""``minitls get URL``: the body to stdout or to a file."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
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
from minitls.cli.reach import Target, at

EXAMPLES = """\
examples:
  minitls get https://example.com/
  minitls get example.com/file.zip -o file.zip
  minitls get https://localhost:8443/ --ca ca.pem --trace
  minitls get https://localhost:8443/ --ca ca.pem --session kept --save-session kept --early-data

Like curl, it exits with 0 whatever the HTTP status is; one that is not 2xx is also told on stderr.  A body that is cut short
is an error (35).  Redirects are not followed.
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("get", description="An HTTPS GET: the body to stdout, or to a file.", epilog=EXAMPLES)
    parser.add_argument("url", metavar="URL", help="https://HOST[:PORT]/PATH; https:// may be left out")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the body there")
    returning = parser.add_argument_group("coming back")
    returning.add_argument("--resume", action="store_true", help="connect once before, and ask with the session of that")
    returning.add_argument(
        "--early-data", action="store_true", help="send the request with the hello (0-RTT), or later where that cannot be"
    )
    add_client_options(parser)
    add_connection_options(parser)
    add_output_options(parser)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    if args.json and not args.output:
        raise CommandError(USAGE, "--json and the body both want stdout", "send the body to a file: -o FILE")
    if args.early_data and not (args.resume or args.session):
        raise CommandError(USAGE, "--early-data needs a session", "add --resume, or --session FILE")
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
    from minitls.cli.http import Get
    from minitls.cli.net import Session, dial
    from minitls.cli.reach import route, target
    from minitls.cli.screen import screen_for
    from minitls.cli.sessions import kept_sessions, save
    from minitls.trace.recording import Recording
    from minitls.trace.text import TextTrace

    netloc, what = parts(args.url)
    to = target(netloc, HTTPS)
    screen = screen_for(sys.stderr)
    trace = TextTrace("client", screen.line, width=screen.width, glyphs=screen.glyphs) if args.trace else None
    way = route(args)
    session = Session(to, Recording("client", trace), way)
    kept = kept_sessions(args)
    config = client_config(args, session.recording, kept, alpn=("http/1.1",))
    asked = Get(host_header(to), what) if args.early_data else None  # else the name is looked up before anything is said of it
    failure: Exception | None = None
    try:
        if args.resume:
            before = Session(to, Recording("client"), way)
            async with dial(before, dataclasses.replace(config, observer=before.recording), args.sni or to.host, args.timeout):
                await kept.wait()
        early = b"" if asked is None else asked.request
        async with dial(session, config, args.sni or to.host, args.timeout, early_data=early):
            assert session.info is not None
            assert session.reader is not None
            assert session.writer is not None
            check_requirements(args.require, session.info)
            with ExitStack() as opened:
                answered = _receiver(args.output, opened)
                if asked is None:
                    asked = Get(host_header(to), what)
                    session.writer.write(asked.request)
                await asked.answer(session.reader, answered, args.timeout)
            if args.save_session:
                await kept.wait()
    except Exception as error:
        failure = error
    if args.json:
        from minitls.trace.json import document, dump

        print(dump(document(session.recording, session.info, target={"url": args.url}, error=failure)))
    if args.save_session and (failure is None or kept.newest is not None):
        save(args.save_session, kept)
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
