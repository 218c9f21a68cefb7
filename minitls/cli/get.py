"""``minitls get URL``: the body to stdout or to a file."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from minitls.certificates.names import normalise
from minitls.cli.common import (
    DONE,
    HTTPS,
    REDIRECTS,
    TLS,
    USAGE,
    CommandError,
    add_client_options,
    add_connection_options,
    add_output_options,
    add_policy_options,
    client_config,
    key_log,
    lower,
)
from minitls.cli.download import Sink
from minitls.cli.outputs import check_outputs, key_logs, recording_for, write_outputs
from minitls.cli.reach import Target, at

if TYPE_CHECKING:
    from minitls.cli.http import Head
    from minitls.cli.net import Session
    from minitls.cli.sessions import KeptSessions

MAX_REDIRECTS = 10
REDIRECTION = (301, 302, 303, 307, 308)
"""The statuses whose Location is where to ask instead (RFC 9110 section 15.4)."""

EXAMPLES = """\
examples:
  minitls get https://example.com/
  minitls get example.com/file.zip -o file.zip
  minitls get example.com/file.zip -o file.zip --continue
  minitls get https://localhost:8443/ --ca ca.pem --trace
  minitls get https://localhost:8443/ --ca ca.pem --session kept --save-session kept --early-data

Like curl, it exits with 0 whatever the HTTP status is; one that is not 2xx is also told on stderr.  A body that is cut short
is an error (35), and so is a redirect that leaves TLS; too many redirects: 47; a file that cannot be continued: 33.
A certificate, a key or a session of yours goes to the host that you named, and not along with a redirect.
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("get", description="An HTTPS GET: the body to stdout, or to a file.", epilog=EXAMPLES)
    parser.add_argument("url", metavar="URL", help="https://HOST[:PORT]/PATH; https:// may be left out")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the body there")
    parser.add_argument("-C", "--continue", dest="go_on", action="store_true", help="FILE has the beginning: ask for the rest")
    parser.add_argument(
        "--max-redirects", metavar="N", type=_count, default=MAX_REDIRECTS, help="follow so many (%(default)s); 0: none"
    )
    returning = parser.add_argument_group("coming back")
    returning.add_argument("--resume", action="store_true", help="connect once before, and ask with the session of that")
    returning.add_argument(
        "--early-data", action="store_true", help="send the request with the hello (0-RTT), or later where that cannot be"
    )
    add_client_options(parser)
    add_connection_options(parser)
    add_output_options(parser)
    add_policy_options(parser)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def run(args: argparse.Namespace) -> int:
    if args.json and not args.output:
        raise CommandError(USAGE, "--json and the body both want stdout", "send the body to a file: -o FILE")
    if args.early_data and not (args.resume or args.session):
        raise CommandError(USAGE, "--early-data needs a session", "add --resume, or --session FILE")
    if args.go_on and not args.output:
        raise CommandError(USAGE, "--continue needs the file that is to be continued", "name it: -o FILE")
    check_outputs(args)
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
    """Ask, and ask again where an answer sends us on."""
    from minitls.cli.reach import target
    from minitls.cli.sessions import KeptSessions, kept_sessions, save
    from minitls.trace.json import document_of, dump
    from minitls.trace.run import Run

    url, passed = args.url, list[str]()
    kept = kept_sessions(args)
    first = target(parts(url)[0], HTTPS)
    failure: Exception | None = None
    session: Session | None = None
    runs: list[Run] = []
    try:
        with Sink(args.output, go_on=args.go_on) as sink:
            while True:
                netloc, what = parts(url)
                to = target(netloc, HTTPS)
                here = to == first
                visit = Visit(
                    args if here else _elsewhere(args), to, what, kept if here else KeptSessions(), sink, again=bool(passed)
                )
                session = visit.session
                try:
                    await visit.ask(follow=args.max_redirects > 0)
                except Exception as error:
                    runs.append(Run.of(session.recording, session.info, target={"url": url}, error=error))
                    raise
                runs.append(Run.of(session.recording, session.info, target={"url": url}))
                if visit.location is None:
                    break
                if len(passed) == args.max_redirects:
                    raise CommandError(
                        REDIRECTS, f"more than {args.max_redirects} redirects: the last one leads to {visit.location!a}"
                    )
                passed.append(url)
                url = redirected(url, visit.location)
    except Exception as error:
        failure = error
    if runs:
        write_outputs(args, runs)
    if args.json:
        assert session is not None
        found = document_of(Run.of(session.recording, session.info, target={"url": args.url}, error=failure))
        print(dump(found | {"redirects": [*passed[1:], url] if passed else []}))
    if args.save_session and (failure is None or kept.newest is not None):
        save(args.save_session, kept)
    if failure is not None:
        raise failure
    return DONE


def _elsewhere(args: argparse.Namespace) -> argparse.Namespace:
    """The options for another host than the one that was named: what proves who we are is not for everybody."""
    return argparse.Namespace(**vars(args) | {"cert": [], "key": [], "psk": None, "sni": None})


def redirected(url: str, location: str) -> str:
    """Where a Location leads from here (RFC 9110 section 10.2.2).  Raises CommandError where it leaves TLS, or leads nowhere."""
    from minitls.trace.values import safe

    try:
        found = urljoin(url if "://" in url else f"https://{url}", location)
        scheme = urlsplit(found).scheme
    except ValueError:
        raise CommandError(TLS, f"the server redirects to {safe(location)!r}, which is no URL") from None
    if scheme != "https":
        raise CommandError(TLS, f"the server redirects to {safe(found)!r}, which is not https: not followed")
    return found.partition("#")[0]


class Visit:
    """One connection and one question.  ``location``: where its answer sends us on, or None; ``again``: it is not the first."""

    def __init__(self, args: argparse.Namespace, to: Target, what: str, kept: KeptSessions, sink: Sink, *, again: bool) -> None:
        from minitls.cli.net import Session
        from minitls.cli.reach import route
        from minitls.cli.screen import screen_for

        self.location: str | None = None
        self.session = Session(to, recording_for(args, "client", screen_for(sys.stderr)), route(args))
        self._args, self._to, self._what, self._kept, self._sink = args, to, what, kept, sink
        self._resume, self._early = args.resume and not again, args.early_data and not again
        self._config = client_config(
            args, self.session.recording, kept, alpn=("http/1.1",), also_log=key_logs(self.session.recording)
        )

    async def ask(self, *, follow: bool) -> None:
        from minitls.cli.connect import check_requirements
        from minitls.cli.http import Get
        from minitls.cli.net import Session, dial
        from minitls.trace.recording import Recording

        args, session, name = self._args, self.session, self._args.sni or self._to.host
        # Unless it goes out early, the name is looked up before anything is said of it.
        asked = self._get(Get) if self._early else None
        if self._resume:
            before = Session(self._to, Recording("client"), session.route)
            config = dataclasses.replace(self._config, observer=before.recording, key_log=key_log(args))
            async with dial(before, config, name, args.timeout):
                await self._kept.wait()
        early = b"" if asked is None else asked.request
        async with dial(session, self._config, name, args.timeout, early_data=early):
            assert session.info is not None
            assert session.reader is not None
            assert session.writer is not None
            check_requirements(args.require, session.info)
            if asked is None:
                asked = self._get(Get)
                session.writer.write(asked.request)
            await asked.answer(session.reader, self._follow if follow else self._take, args.timeout)
            if args.save_session:
                await self._kept.wait()

    def _get(self, make: Callable[[str, str, int], Any]) -> Any:
        return make(host_header(self._to), self._what, self._sink.first)

    def _follow(self, head: Head) -> Callable[[bytes], Any]:
        if head.status in REDIRECTION and "location" in head.headers:
            self.location = head.headers["location"]
            return lambda piece: None
        return self._take(head)

    def _take(self, head: Head) -> Callable[[bytes], Any]:
        take: Callable[[bytes], Any] = self._sink.begin(head)
        if not 200 <= head.status < 300 and not self._sink.complete:
            from minitls.trace.values import safe

            print(f"minitls: HTTP {head.status} {safe(head.reason)}", file=sys.stderr)
        return take
