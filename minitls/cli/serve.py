"""``minitls serve``: HTTPS files, a page that shows visitors their own handshake, or an echo."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from minitls.cli.common import (
    DONE,
    INTERRUPTED,
    NOT_CONNECTED,
    USAGE,
    CommandError,
    add_connection_options,
    add_output_options,
    add_policy_options,
    credentials,
    key_log,
    lower,
    policy,
    trust,
)

if TYPE_CHECKING:
    from minitls.cli.http import Reply, Request
    from minitls.config import ServerConfig
    from minitls.info import ConnectionInfo
    from minitls.trace.recording import Recording

DEFAULT_LISTEN = "127.0.0.1:8443"
DEV_FOLDER = "certs"
GRACE = 5.0
"""Seconds in which requests that are being answered may be finished, once we are told to stop."""
GOODBYE = 1.0

EXAMPLES = """\
examples:
  minitls serve --dev                                  this folder, with a certificate made for the occasion
  minitls serve --www --dev                            show visitors their own handshake
  minitls serve public --cert chain.pem --key key.pem --listen 0.0.0.0:443
  minitls serve --echo --dev --listen 127.0.0.1:0      a port that is free; it is told on stderr
  openssl s_client -connect localhost:8443 -crlf       then: GET / HTTP/1.0, and an empty line

Hidden files and files with a private key in them are not served.  SIGTERM stops it when what is being answered is answered.
"""


def add_parser(subparsers: Any) -> None:
    about = "Serve files over HTTPS; or a page about the visitor's handshake; or an echo."
    parser = subparsers.add_parser("serve", description=about, epilog=EXAMPLES)
    what = parser.add_argument_group("what is served")
    what.add_argument("folder", metavar="DIR", nargs="?", help="the files in this folder (by default, in this one)")
    what.add_argument("--www", action="store_true", help="a page that shows visitors their own handshake")
    what.add_argument("--echo", action="store_true", help="what comes goes back")
    where = parser.add_argument_group("who and where")
    where.add_argument(
        "--listen", metavar="ADDR:PORT", default=DEFAULT_LISTEN, help="(%(default)s); port 0: any; :PORT: everywhere"
    )
    where.add_argument(
        "--dev", action="store_true", help="a certificate for this machine's names, by the CA in ./certs or one made on the spot"
    )
    where.add_argument(
        "--client-ca", metavar="FILE", action="append", default=[], help="ask clients for a certificate by these CAs"
    )
    where.add_argument("--request-client-cert", action="store_true", help="with --client-ca: but let them in without one, too")
    add_connection_options(parser)
    add_output_options(parser)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    if sum((args.www, args.echo, args.folder is not None)) > 1:
        raise CommandError(USAGE, "DIR, --www and --echo exclude each other")
    if args.dev == bool(args.cert):
        sentence = "--dev and --cert exclude each other" if args.dev else "a server needs a certificate"
        raise CommandError(USAGE, sentence, "" if args.dev else "--cert FILE --key FILE, or --dev for one made on the spot")
    if args.request_client_cert and not args.client_ca:
        raise CommandError(USAGE, "--request-client-cert needs --client-ca FILE: whose client certificates are believed?")
    root = Path(args.folder or ".").resolve()
    if not (args.www or args.echo or root.is_dir()):
        raise CommandError(USAGE, f"{args.folder} is no folder")
    with contextlib.ExitStack() as cleanup:
        return asyncio.run(Service(args, root, configure(args, cleanup)).run())


def configure(args: argparse.Namespace, cleanup: contextlib.ExitStack) -> ServerConfig:
    """The configuration; with --dev, the CA's certificate lies in a file until ``cleanup``."""
    from minitls.config import ClientAuth, ServerConfig

    asked = ClientAuth.request if args.request_client_cert else ClientAuth.require
    return ServerConfig(
        credentials=(cleanup.enter_context(dev_credential(args)),) if args.dev else credentials(args),
        client_auth=asked if args.client_ca else ClientAuth.none,
        trust=trust(args.client_ca),
        policy=policy(args),
        alpn=args.alpn or (() if args.echo else ("http/1.1",)),
        key_log=key_log(args),
        handshake_timeout=args.timeout,
    )


@contextlib.contextmanager
def dev_credential(args: argparse.Namespace) -> Iterator[Any]:
    """A certificate by the CA in ./certs (``minitls certs make``), or by one that lives as long as this process.

    Whoever wants to trust the latter finds it in a temporary file.
    """
    import socket

    from minitls.certificates.authority import Authority
    from minitls.certificates.devpki import authority_in

    host, _ = listen_address(args.listen)
    names = ["localhost", "127.0.0.1", "::1", *([host] if host and host not in ("0.0.0.0", "::") else [])]
    if (name := socket.gethostname()) and re.fullmatch(r"[A-Za-z0-9.-]+", name):
        names.append(name)
    names = list(dict.fromkeys(names))
    with tempfile.TemporaryDirectory(prefix="minitls-") as folder:
        kept = Path(DEV_FOLDER, "root.pem")
        if kept.exists():
            file, authority = kept, authority_in(DEV_FOLDER)
        else:
            file, authority = Path(folder, "ca.pem"), Authority.create()
            file.write_bytes(authority.root_pem())
        tell(f"certificate for {', '.join(names)}; clients trust it with --ca {file}")
        yield authority.issue(*names).credential()


def listen_address(text: str) -> tuple[str | None, int]:
    """ADDR:PORT, :PORT or PORT; None stands for every address.  Raises CommandError."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise CommandError(
            USAGE, f"--listen {text!r} is no ADDR:PORT", "such as 127.0.0.1:8443, [::1]:8443, or :8443 for every address"
        )
    return host.strip("[]") or None, int(port)


def tell(line: str) -> None:
    """stderr, at once: others wait for it."""
    print(line, file=sys.stderr, flush=True)


class Accepted(asyncio.Protocol):
    """A TCP connection before TLS: it waits, unread, until a task takes it over."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        below = cast("asyncio.Transport", transport)
        below.pause_reading()
        self._service.accept(below)


class Service:
    """The listening sockets, and a task for each connection."""

    def __init__(self, args: argparse.Namespace, root: Path, config: ServerConfig) -> None:
        self._args = args
        self._root = root
        self._config = config
        self._tasks: dict[asyncio.Task[None], bool] = {}  # whether each is in the middle of an answer
        self._stop: asyncio.Future[int]

    async def run(self) -> int:
        """Serve until SIGTERM (0) or SIGINT (130)."""
        from minitls.cli.net import at

        loop = asyncio.get_running_loop()
        self._stop = loop.create_future()
        for number, status in ((signal.SIGINT, INTERRUPTED), (signal.SIGTERM, DONE)):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
                loop.add_signal_handler(number, self._stopped_by, status)
        host, port = listen_address(self._args.listen)
        try:
            server = await loop.create_server(lambda: Accepted(self), host, port)
        except OSError as error:
            why = lower(error.strerror or str(error)).partition(": ")[2] or lower(error.strerror)
            raise CommandError(NOT_CONNECTED, f"cannot listen on {self._args.listen}: {why}") from None
        for sock in server.sockets:
            tell(f"listening on {at(*sock.getsockname()[:2])}")
        try:
            return await self._stop
        finally:
            server.close()
            await self._finish()

    def _stopped_by(self, status: int) -> None:
        if not self._stop.done():
            self._stop.set_result(status)

    async def _finish(self) -> None:
        """Those that wait for a request end now; those that answer one have GRACE to end."""
        for task, busy in list(self._tasks.items()):
            if not busy:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GOODBYE)

    def accept(self, transport: asyncio.Transport) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(transport))
        self._tasks[task] = False
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, BrokenPipeError) and not self._stop.done():
            self._stop.set_exception(error)  # nobody reads our stdout or stderr any more
        elif error is not None:
            # A fault of our own: loud, but one visitor shall not end it for all.
            context = {"message": "a connection was not served to its end", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _connection(self, transport: asyncio.Transport) -> None:
        """Handshake, application, goodbye; what the peer does wrong is one line in the log."""
        import minitls
        from minitls.aio.streams import LIMIT, StreamReader
        from minitls.cli.net import at
        from minitls.trace.values import safe

        who = at(*(transport.get_extra_info("peername") or ("unknown", 0))[:2])
        recording, config = self._recording(transport, who)
        loop = asyncio.get_running_loop()
        reader = StreamReader(limit=LIMIT, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        info: ConnectionInfo | None = None
        problem: OSError | None = None
        try:
            tls = await minitls.start_tls(transport, protocol, config)
            protocol.connection_made(tls)
            writer = asyncio.StreamWriter(tls, protocol, reader, loop)
            info = writer.get_extra_info("tls")
            try:
                await self._talk(reader, writer, who, recording)
            finally:
                writer.close()
                with contextlib.suppress(OSError, TimeoutError):
                    await asyncio.wait_for(writer.wait_closed(), GOODBYE)
        except TimeoutError as error:
            problem = error if info is None else None  # an idle connection, closed by us, is nobody's fault
        except OSError as error:
            problem = error
        if problem is not None:
            tell(f"{who} {'the handshake' if info is None else 'the connection'} failed: {safe(str(problem) or 'timeout')}")
        if recording is not None:
            self._report(recording, info, problem)

    def _recording(self, transport: asyncio.Transport, who: str) -> tuple[Recording | None, ServerConfig]:
        """A recording of this connection and the configuration that makes it; none where nobody will look."""
        if not (self._args.www or self._args.trace or self._args.json):
            return None, self._config
        from minitls.cli.net import at, round_trip
        from minitls.trace.recording import Recording, TcpOpened

        recording = Recording("server")
        local = at(*(transport.get_extra_info("sockname") or ("unknown", 0))[:2])
        recording(TcpOpened(time.time(), local, who, round_trip=round_trip(transport.get_extra_info("socket"))))
        return recording, dataclasses.replace(self._config, observer=recording)

    def _report(self, recording: Recording, info: ConnectionInfo | None, problem: BaseException | None) -> None:
        """--json: a line for each connection; --trace: its figure."""
        if self._args.json:
            from minitls.trace.json import document, dump

            print(dump(document(recording, info, error=problem), indent=None), flush=True)
        elif self._args.trace:
            from minitls.cli.screen import screen_for
            from minitls.trace.text import draw

            screen = screen_for(sys.stderr)
            for line in draw("server", recording.timeline, width=screen.width, glyphs=screen.glyphs):
                screen.line(line)

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str, recording: Recording | None
    ) -> None:
        info = writer.get_extra_info("tls")
        agreed = f"{info.version} {info.cipher_suite} {info.group}"
        if self._args.echo:
            size = await self._echo(reader, writer)
            tell(f"{who} echo {size:,} bytes {agreed}")
            return
        from minitls.cli.http import serve_http
        from minitls.trace.values import safe

        def log(request: str, status: int, size: int) -> None:
            tell(f'{who} "{safe(request)}" {status:d} {size} {agreed}')

        def busy(is_busy: bool) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks[task] = is_busy
            if not is_busy and self._stop.done():
                task.cancel()  # that was the last one

        if recording is not None and self._args.www:
            answer = functools.partial(about, recording, info)
        else:
            from minitls.cli import files

            answer = functools.partial(files.answer, self._root)
        await serve_http(reader, writer, answer, log, idle=self._args.timeout, busy=busy)

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        size = 0
        while data := await reader.read(2**18):
            size += len(data)
            writer.write(data)
            await writer.drain()
        return size


def about(recording: Recording, info: ConnectionInfo, request: Request) -> Reply:
    """--www: the page at /, the same as JSON at /handshake.json."""
    from minitls.cli.http import Reply
    from minitls.cli.page import SECURITY, page
    from minitls.trace.json import document, dump

    path = request.target.partition("?")[0]
    if path == "/":
        return Reply(HTTPStatus.OK, page(recording, info).encode(), "text/html; charset=utf-8", dict(SECURITY))
    if path == "/handshake.json":
        return Reply(HTTPStatus.OK, dump(document(recording, info)).encode(), "application/json", dict(SECURITY))
    return Reply.error(HTTPStatus.NOT_FOUND)
