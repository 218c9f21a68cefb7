"""``minitls serve``: HTTPS files, a page that shows visitors their own handshake, an echo, or TLS in front of another service."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minitls.cli.common import (
    USAGE,
    CommandError,
    add_connection_options,
    add_output_options,
    add_policy_options,
    did_you_mean,
    key_log,
    policy,
    shared_key,
    trust,
    watched,
)
from minitls.cli.outputs import check_outputs
from minitls.cli.service import Service, listen_address, tell

if TYPE_CHECKING:
    from minitls.cli.workers import ParentReplay
    from minitls.config import ServerConfig

DEFAULT_LISTEN = "127.0.0.1:8443"
DEV_FOLDER = "certs"
EARLY_DATA = 2**14
"""Bytes of 0-RTT data, unless --early-data says how many."""
MAX_WORKERS = 256
REDIS = ("redis", "rediss", "unix")

EXAMPLES = """\
examples:
  minitls serve --dev                                  this folder, with a certificate made for the occasion
  minitls serve --www --dev                            show visitors their own handshake
  minitls serve public --cert chain.pem --key key.pem --listen 0.0.0.0:443
  minitls serve --echo --dev --listen 127.0.0.1:0      a port that is free; it is told on stderr
  minitls serve --dev --proxy-to localhost:8000        TLS for a server that has none
  minitls serve --dev --workers 4                      four processes; tickets of one are good at all
  openssl s_client -connect localhost:8443 -crlf       then: GET / HTTP/1.0, and an empty line

Hidden files and files with a private key in them are not served.  SIGTERM stops it when what is being answered is answered;
SIGHUP reads --cert and --key again at once, which otherwise happens some time after they have changed.
"""


def add_parser(subparsers: Any) -> None:
    about = "Serve files over HTTPS; or a page about the visitor's handshake; or an echo; or be the TLS of another service."
    parser = subparsers.add_parser("serve", description=about, epilog=EXAMPLES)
    what = parser.add_argument_group("what is served")
    what.add_argument("folder", metavar="DIR", nargs="?", help="the files in this folder (by default, in this one)")
    what.add_argument("--www", action="store_true", help="a page that shows visitors their own handshake")
    what.add_argument("--echo", action="store_true", help="what comes goes back")
    what.add_argument(
        "--proxy-to", metavar="HOST:PORT", help="what comes out of TLS goes on to this service, by TCP; also unix:PATH"
    )
    what.add_argument(
        "--proxy-protocol", metavar="1|2", type=int, choices=(1, 2), default=0, help="tell that service first who the client is"
    )
    where = parser.add_argument_group("who and where")
    where.add_argument(
        "--listen", metavar="ADDR:PORT", default=DEFAULT_LISTEN, help="(%(default)s); port 0: any; :PORT: everywhere"
    )
    where.add_argument(
        "--dev",
        action="store_true",
        help="a certificate for this machine's names, by the CA in ./certs, your own (certs install), or one made on the spot",
    )
    where.add_argument(
        "--client-ca", metavar="FILE", action="append", default=[], help="ask clients for a certificate by these CAs"
    )
    where.add_argument("--request-client-cert", action="store_true", help="with --client-ca: but let them in without one, too")
    where.add_argument(
        "--psk",
        metavar="IDENTITY:HEX",
        type=shared_key,
        action="append",
        default=[],
        help="a key that a client has, too; may be repeated, and does without a certificate",
    )
    where.add_argument("--workers", metavar="N", type=processes, default=1, help="so many processes on the one port (%(default)s)")
    returning = parser.add_argument_group("clients that return")
    returning.add_argument(
        "--tickets", metavar="URL", type=redis_url, help="share tickets and sessions with other servers by redis://HOST:PORT/DB"
    )
    returning.add_argument(
        "--early-data",
        metavar="BYTES",
        type=early_data,
        nargs="?",
        const=EARLY_DATA,
        help=f"take 0-RTT data, at most so much ({EARLY_DATA}).  It can be recorded and sent again by anybody: "
        "only requests that change nothing, such as GET and HEAD, should be answered early",
    )
    add_connection_options(parser)
    add_output_options(parser, each=True)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    if sum((args.www, args.echo, args.proxy_to is not None, args.folder is not None)) > 1:
        raise CommandError(USAGE, "DIR, --www, --echo and --proxy-to exclude each other")
    if args.proxy_protocol and args.proxy_to is None:
        raise CommandError(USAGE, "--proxy-protocol needs --proxy-to: whom would we tell?")
    if args.proxy_to is not None:
        check_forwarding(args)
    if args.dev and args.cert:
        raise CommandError(USAGE, "--dev and --cert exclude each other")
    if not (args.dev or args.cert or args.psk):
        hint = "--cert FILE --key FILE, --dev for one made on the spot, or --psk IDENTITY:HEX for a shared key instead"
        raise CommandError(USAGE, "a server needs a certificate", hint)
    if args.request_client_cert and not args.client_ca:
        raise CommandError(USAGE, "--request-client-cert needs --client-ca FILE: whose client certificates are believed?")
    check_outputs(args)
    root = Path(args.folder or ".").resolve()
    if not (args.www or args.echo or args.proxy_to or root.is_dir()):
        raise CommandError(USAGE, f"{args.folder} is no folder")
    with contextlib.ExitStack() as cleanup:
        if args.workers == 1:
            return asyncio.run(Service(args, root, configure(args, cleanup)).run())
        from minitls.cli import workers

        return workers.run(args, root, cleanup)


def check_forwarding(args: argparse.Namespace) -> None:
    """Raises CommandError for a service that cannot be, and for 0-RTT data, which the one behind could not tell from fresh data."""
    from minitls.cli.reach import target

    target(args.proxy_to, 0)
    if args.early_data is not None:
        raise CommandError(USAGE, "--early-data and --proxy-to exclude each other: the service could not tell what may be a replay")


def configure(args: argparse.Namespace, cleanup: contextlib.ExitStack, replay: ParentReplay | None = None) -> ServerConfig:
    """The configuration; with --dev, the CA's certificate lies in a file until ``cleanup``.

    ``replay``: for several workers, the record of 0-RTT data that they share.
    """
    from minitls.config import ClientAuth, ServerConfig

    asked = ClientAuth.request if args.request_client_cert else ClientAuth.require
    keys = dict(args.psk)
    return ServerConfig(
        credentials=(cleanup.enter_context(dev_credential(args)),) if args.dev else (),
        select_credential=None if args.dev else watched(args),
        client_auth=asked if args.client_ca else ClientAuth.none,
        trust=trust(args.client_ca),
        policy=policy(args),
        alpn=args.alpn or (() if args.echo or args.proxy_to else ("http/1.1",)),
        key_log=key_log(args),
        handshake_timeout=args.timeout,
        psk=keys.get if keys else None,
        early_data=args.early_data,
        **memory(args, replay),
    )


def memory(args: argparse.Namespace, replay: ParentReplay | None) -> dict[str, Any]:
    """Where the configuration remembers clients; what is not here is in this process alone, by the configuration's default."""
    if args.tickets:
        try:
            from minitls.sessions.redis import RedisSessions
        except ImportError as error:
            raise CommandError(USAGE, f"--tickets: {error}") from None
        shared = RedisSessions(args.tickets)
        return {"tickets": shared.tickets, "session_cache": shared.cache, "replay": shared.replay}
    if replay is not None:
        from minitls.sessions.tickets import TicketKeys

        return {"tickets": TicketKeys(secret=os.urandom(32)), "replay": replay}
    return {}


@contextlib.contextmanager
def dev_credential(args: argparse.Namespace) -> Iterator[Any]:
    """A certificate by the CA in ./certs (``minitls certs make``), or by one that lives as long as this process.

    Whoever wants to trust the latter finds it in a temporary file.
    """
    import socket

    from minitls.certificates.authority import Authority
    from minitls.certificates.devpki import authority_in, local_ca

    host, _ = listen_address(args.listen)
    names = ["localhost", "127.0.0.1", "::1", *([host] if host and host not in ("0.0.0.0", "::") else [])]
    if (name := socket.gethostname()) and re.fullmatch(r"[A-Za-z0-9.-]+", name):
        names.append(name)
    names = list(dict.fromkeys(names))
    with tempfile.TemporaryDirectory(prefix="minitls-") as folder:
        kept = next((known for known in (Path(DEV_FOLDER), local_ca()) if (known / "root.pem").exists()), None)
        if kept is not None:
            file, authority = kept / "root.pem", authority_in(kept)
        else:
            file, authority = Path(folder, "ca.pem"), Authority.create()
            file.write_bytes(authority.root_pem())
        tell(f"certificate for {', '.join(names)}; clients trust it with --ca {file}")
        yield authority.issue(*names).credential()


def processes(text: str) -> int:
    """The value of --workers.  Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_WORKERS):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes from 1 to {MAX_WORKERS}")
    return int(text)


def early_data(text: str) -> int:
    """The value of --early-data.  Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) < 2**32):
        hint = f"; a folder comes before it, or write --early-data={EARLY_DATA}" if not text[:1].isdigit() else ""
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes above 0{hint}")
    return int(text)


def redis_url(text: str) -> str:
    """The value of --tickets; what comes after the scheme is for redis to judge.  Raises CommandError."""
    scheme, colon, rest = text.partition("://")
    if scheme not in REDIS or not rest:  # it may have a password in it: it is not repeated
        guess = did_you_mean(f"{scheme}://", [f"{known}://" for known in REDIS]) if colon and scheme not in REDIS else ""
        raise CommandError(USAGE, "--tickets is no URL of a Redis, such as redis://localhost:6379/0", guess)
    return text
