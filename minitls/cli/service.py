"""The listening sockets of ``minitls serve``, and a task for each connection."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import signal
import sys
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from minitls.cli.common import DONE, INTERRUPTED, NOT_CONNECTED, USAGE, CommandError, lower
from minitls.cli.common import key_log as key_log_of
from minitls.cli.outputs import key_logs, recording_for, show_trace, wants_wire, write_outputs

if TYPE_CHECKING:
    import socket

    from minitls.aio.streams import StreamReader
    from minitls.cli.http import Reply, Request
    from minitls.cli.net import Tap
    from minitls.cli.workers import ParentReplay
    from minitls.config import ServerConfig
    from minitls.info import ConnectionInfo
    from minitls.trace.recording import Recording

GRACE = 5.0
"""Seconds in which requests that are being answered may be finished, once we are told to stop."""
GOODBYE = 1.0


def listen_address(text: str) -> tuple[str | None, int]:
    """ADDR:PORT, :PORT or PORT; None stands for every address.  Raises CommandError."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise CommandError(
            USAGE, f"--listen {text!r} is no ADDR:PORT", "such as 127.0.0.1:8443, [::1]:8443, or :8443 for every address"
        )
    return host.strip("[]") or None, int(port)


def cannot_listen(where: str, error: OSError) -> CommandError:
    why = lower(error.strerror or str(error)).partition(": ")[2] or lower(error.strerror)
    return CommandError(NOT_CONNECTED, f"cannot listen on {where}: {why}")


def tell(line: str) -> None:
    """stderr, at once: others wait for it; and in one piece: others write there, too."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Accepted(asyncio.Protocol):
    """A TCP connection before TLS: it waits, unread, until a task takes it over."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        below = cast("asyncio.Transport", transport)
        below.pause_reading()
        self._service.accept(below)


class Reading(asyncio.StreamReaderProtocol):
    """Early data is read like any other: whatever is asked for twice here, nothing changes (RFC 8470 section 3)."""

    def __init__(self, reader: StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self.early_data_received = reader.feed_data


class Service:
    """The listening sockets, and a task for each connection."""

    def __init__(
        self,
        args: argparse.Namespace,
        root: Path,
        config: ServerConfig,
        turn: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """``turn``: a context in which nobody else writes what has several lines."""
        self._args = args
        self._root = root
        self._config = config
        self._turn = turn
        self._tasks: dict[asyncio.Task[None], bool] = {}  # whether each is in the middle of an answer
        self._stop: asyncio.Future[int]

    async def run(self) -> int:
        """Serve until SIGTERM (0) or SIGINT (130); SIGHUP reads the certificates again."""
        from minitls.cli.reach import at

        loop = asyncio.get_running_loop()
        self._stop = loop.create_future()
        self._hear("SIGINT", self._stopped_by, INTERRUPTED)
        self._hear("SIGTERM", self._stopped_by, DONE)
        self._hear("SIGHUP", self._reload)
        host, port = listen_address(self._args.listen)
        try:
            server = await loop.create_server(lambda: Accepted(self), host, port)
        except OSError as error:
            raise cannot_listen(self._args.listen, error) from None
        for sock in server.sockets:
            tell(f"listening on {at(*sock.getsockname()[:2])}")
        return await self._until_stopped(server)

    async def work(self, replay: ParentReplay, listening: Sequence[socket.socket], link: socket.socket) -> int:
        """Serve as one of several workers, on sockets that the parent made, until SIGTERM or until the parent is gone."""
        loop = asyncio.get_running_loop()
        self._stop = loop.create_future()
        self._hear("SIGTERM", self._stopped_by, DONE)
        self._hear("SIGHUP", self._reload)
        await replay.join(link, functools.partial(self._stopped_by, DONE))
        try:
            servers = [await loop.create_server(lambda: Accepted(self), sock=sock) for sock in listening]
            replay.ready()
            return await self._until_stopped(*servers)
        finally:
            await replay.part()

    async def _until_stopped(self, *servers: asyncio.Server) -> int:
        try:
            return await self._stop
        finally:
            for server in servers:
                server.close()
            await self._finish()

    def _hear(self, name: str, heed: Callable[..., None], *args: object) -> None:
        """A signal, where there is such a thing: Windows has few, and threads other than the main one none."""
        with contextlib.suppress(AttributeError, NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), heed, *args)

    def _reload(self) -> None:
        """SIGHUP: the certificates' files are read again now, whatever their times say."""
        from minitls.certificates.store import CredentialStore
        from minitls.errors import Misuse

        store = self._config.select_credential
        if not isinstance(store, CredentialStore):
            tell("SIGHUP: this certificate is in no file that could be read again")
            return
        try:
            store.reload()
        except Misuse as error:
            tell(f"SIGHUP: {error}")
        else:
            tell("SIGHUP: the certificates were read again")

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
        if isinstance(error, BrokenPipeError):  # nobody reads our stdout or stderr any more
            if not self._stop.done():
                self._stop.set_exception(error)
        elif error is not None:
            # A fault of our own: loud, but one visitor shall not end it for all.
            context = {"message": "a connection was not served to its end", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _connection(self, transport: asyncio.Transport) -> None:
        """Handshake, application, goodbye; what the peer does wrong is one line in the log."""
        import minitls
        from minitls.aio.streams import LIMIT, StreamReader
        from minitls.cli.net import Tap
        from minitls.cli.reach import at
        from minitls.trace.values import safe

        who = at(*(transport.get_extra_info("peername") or ("unknown", 0))[:2])
        recording, config = self._recording(transport, who)
        loop = asyncio.get_running_loop()
        reader = StreamReader(limit=LIMIT, loop=loop)
        protocol = Reading(reader, loop)
        info: ConnectionInfo | None = None
        problem: OSError | None = None
        tap: Tap | None = None
        if recording is not None and (self._args.www or wants_wire(self._args)):
            tap = Tap(recording)
            tap.connection_made(transport)
            transport.set_protocol(tap)
        try:
            tls = await minitls.start_tls(tap or transport, protocol, config)
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
        except asyncio.CancelledError:
            problem = ConnectionAbortedError("we were told to stop") if info is None else None
            raise
        finally:
            try:
                if problem is not None:
                    tell(f"{who} {'the handshake' if info is None else 'the connection'} failed: {safe(str(problem) or 'timeout')}")
                if tap is not None and wants_wire(self._args):
                    await self._closed(tap)
            finally:
                if recording is not None:
                    self._report(recording, info, problem)  # also of what was going on when we were told to stop

    async def _closed(self, tap: Tap) -> None:
        """The run's end belongs to its files: who is told to stop waits for it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(tap.closed.wait(), GOODBYE)

    def _recording(self, transport: asyncio.Transport, who: str) -> tuple[Recording | None, ServerConfig]:
        """A recording of this connection and the configuration that makes it; none where nobody will look."""
        if not (self._args.www or self._args.trace or self._args.json or wants_wire(self._args)):
            return None, self._config
        from minitls.cli.reach import at, round_trip
        from minitls.trace.recording import TcpOpened

        recording = recording_for(self._args, "server")
        local = at(*(transport.get_extra_info("sockname") or ("unknown", 0))[:2])
        recording(TcpOpened(time.time(), local, who, round_trip=round_trip(transport.get_extra_info("socket"))))
        key_log = key_log_of(self._args, *key_logs(recording))
        return recording, dataclasses.replace(self._config, observer=recording, key_log=key_log)

    def _report(self, recording: Recording, info: ConnectionInfo | None, problem: BaseException | None) -> None:
        """--json: a line for each connection; --trace: its figure; and its files."""
        from minitls.trace.run import Run

        run = Run.of(recording, info, error=problem)
        if self._args.json:
            from minitls.cli.stdout import put
            from minitls.trace.json import document_of, dump

            line = f"{dump(document_of(run), indent=None)}\n".encode("ascii")
            with self._turn():
                put(line)
        elif self._args.trace:
            from minitls.cli.screen import screen_for

            with self._turn():
                show_trace(self._args, recording, screen_for(sys.stderr))
        try:
            written = write_outputs(self._args, [run], each=True)
        except CommandError as error:
            tell(f"{error}")
        else:
            for path in written:
                tell(f"wrote {path}")

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str, recording: Recording | None
    ) -> None:
        info = writer.get_extra_info("tls")
        came = ("resumed" if info.resumed else "", "with early data" if info.early_data_accepted else "")
        agreed = " ".join(filter(None, (info.version, info.cipher_suite, info.group, *came)))
        if self._args.echo:
            size = await self._echo(reader, writer)
            tell(f"{who} echo {size:,} bytes {agreed}")
            return
        if self._args.proxy_to:
            await self._forward(reader, writer, who, agreed)
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

        await serve_http(reader, writer, self._answering(info, recording), log, idle=self._args.timeout, busy=busy)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str, agreed: str) -> None:
        from minitls.cli.forward import forward, preamble
        from minitls.cli.reach import target

        to = target(self._args.proxy_to, 0)
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = True  # what is going on may come to its end when we are told to stop
        first = preamble(self._args.proxy_protocol, writer.transport, writer.get_extra_info("tls"))
        try:
            came, went = await forward(reader, writer, to, first)
        except CommandError as error:
            tell(f"{who} {error} {agreed}")
            cast("asyncio.Transport", writer.transport).abort()
            return
        tell(f"{who} to {to} {came:,} bytes there, {went:,} back {agreed}")

    def _answering(self, info: ConnectionInfo, recording: Recording | None) -> Callable[[Request], Reply]:
        """Who answers the requests of this connection."""
        if recording is not None and self._args.www:
            return functools.partial(about, recording, info)
        from minitls.cli import files

        return functools.partial(files.answer, self._root)

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        size = 0
        while data := await reader.read(2**18):
            size += len(data)
            writer.write(data)
            await writer.drain()
        return size


def about(recording: Recording, info: ConnectionInfo, request: Request) -> Reply:
    """--www: the visitor's page at /; the run as a file to keep at /handshake.html, and as JSON at /handshake.json."""
    from minitls.cli.http import Reply
    from minitls.cli.page import page
    from minitls.trace.html import page as page_of
    from minitls.trace.json import document, dump
    from minitls.trace.run import Run

    path, fresh = request.target.partition("?")[0], {"cache-control": "no-store"}
    if path in ("/", "/handshake.html"):
        body = page(recording, info) if path == "/" else page_of(Run.of(recording, info))
        return Reply(HTTPStatus.OK, body.encode(), "text/html; charset=utf-8", fresh)  # its policy is in it
    if path == "/handshake.json":
        sealed = {"content-security-policy": "default-src 'none'"} | fresh
        return Reply(HTTPStatus.OK, dump(document(recording, info)).encode(), "application/json", sealed)
    return Reply.error(HTTPStatus.NOT_FOUND)
