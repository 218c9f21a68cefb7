"""``minitls serve --workers N``: several processes on one port, which share ticket keys and the record of 0-RTT data.

The parent makes everything once (the certificate, the secret of the ticket keys, the listening sockets), forks, and watches:

1. Each worker has listening sockets of its own (SO_REUSEPORT: the kernel spreads connections over them).  The parent keeps them
   open: what waits in the queue of a worker that died is served by its successor.
2. A socketpair joins each worker to the parent.  The worker says on it that it accepts, and asks whether 0-RTT data comes for the
   first time (:class:`ParentReplay`); the parent holds the one record (:class:`Answers`).  When the parent dies, by whatever it is,
   the worker reads the end of it and stops.
3. Only the parent heeds SIGINT, which a terminal sends to all of us; it tells the workers by SIGTERM.  SIGHUP it passes on.

Sessions by ID (TLS 1.2 without tickets) are remembered by each worker for itself.

Why fork: the workers need keys and certificates that exist nowhere but in memory, and open sockets; a fork has them all.  What
makes forks dangerous does not exist here: there is no thread, and no event loop that runs.  The parent has a loop, but leaves it to
fork; the child never touches what it inherits of it (closing it would change the parent's epoll set), and ends with ``os._exit``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias, cast

from minitls.cli.common import DONE, INTERRUPTED, NOT_CONNECTED, PIPE_CLOSED, USAGE, CommandError
from minitls.cli.reach import at
from minitls.cli.serve import configure
from minitls.cli.service import Service, cannot_listen, listen_address, tell
from minitls.errors import Misuse
from minitls.sessions.replay import MemoryReplay

READY = b"\x01"
"""A worker's first byte: it accepts connections."""
QUESTION = struct.Struct("!32sdd")
"""A use of a ticket: key, issued, until.  The answer is one byte, in the order of the questions."""
FIRST, NOT_FIRST = b"\x01", b"\x00"
PATIENCE = 0.25
"""Seconds that a handshake waits for the parent; then the data is not taken early, and the client sends it again."""
MOST_WAITING = 1024
"""Questions on their way; more of them mean that the parent does not answer."""
BACKLOG = 100
FLEETING = 2.0
"""Seconds of life; a worker that had less died at once."""
HANGING = 30.0
"""Seconds after SIGTERM: a worker that has not ended then hangs.  One that is well needs little more than GRACE and GOODBYE, unless
the machine is busy, or nobody reads what it has to say: killed in the middle of a line it would leave half of that line, and lose
those of its other connections."""
TRIES = 5
"""So many in a row that died at once, and there is no hope."""

Work: TypeAlias = Callable[[Sequence[socket.socket], socket.socket], Coroutine[Any, Any, int]]
"""What a worker does: it is given its listening sockets and its end of the socketpair, and gives its exit status."""


def run(args: argparse.Namespace, root: Path, cleanup: contextlib.ExitStack) -> int:
    """serve, with ``args.workers`` of them, until SIGTERM (0) or SIGINT (130).  Raises CommandError."""
    if not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"):
        raise CommandError(
            USAGE, "--workers needs fork and SO_REUSEPORT, which this system does not have", "leave it out, and one process serves"
        )
    replay = ParentReplay()
    config = configure(args, cleanup, replay)
    with contextlib.ExitStack() as closing:
        try:
            slots = listening_sockets(*listen_address(args.listen), args.workers, closing)
        except OSError as error:
            raise cannot_listen(args.listen, error) from None
        addresses = [at(*sock.getsockname()[:2]) for sock in slots[0]]
        service = Service(args, root, config, Turns(closing.enter_context(tempfile.TemporaryFile())))

        def ready() -> None:
            for address in addresses:
                tell(f"listening on {address}")

        return Supervisor(slots, partial(service.work, replay), ready).run()


# the record --------------------------------------------------------------------------------------------------------------


class ParentReplay(asyncio.Protocol):
    """A worker's ReplayRecord: the parent has it.  It is made before the fork, and each worker joins its own copy to the parent."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._gone: Callable[[], None] | None = None

    async def join(self, link: socket.socket, gone: Callable[[], None]) -> None:
        """``gone`` is called when the parent is."""
        self._gone = gone
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=link)

    def ready(self) -> None:
        """Tell the parent that we accept connections."""
        assert self._transport is not None
        self._transport.write(READY)

    async def part(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)  # connection_lost is called

    async def first_use(self, key: bytes, issued: float, until: float) -> bool:
        """What the parent says.  False, too, where it is gone, or slow: who cannot know must not take the data."""
        if len(key) != 32:
            raise Misuse(f"a ticket's key in the record has 32 bytes, not {len(key)}")
        if self._transport is None or self._transport.is_closing() or len(self._waiting) >= MOST_WAITING:
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)  # and it stays there when we have lost patience: an answer will come for it
        self._transport.write(QUESTION.pack(key, issued, until))
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for said in data:
            self._answered(said == FIRST[0])

    def connection_lost(self, exc: Exception | None) -> None:
        while self._waiting:
            self._answered(False)
        if self._gone is not None:
            self._gone()

    def _answered(self, first: bool) -> None:
        answer = self._waiting.popleft()
        if not answer.done():
            answer.set_result(first)


class Answers(asyncio.Protocol):
    """The parent's side of it, one for each worker; all have the same ``record``.  ``ready``: called when the worker accepts."""

    def __init__(self, record: MemoryReplay, ready: Callable[[], None]) -> None:
        self._record = record
        self._tell_ready = ready
        self._unread = bytearray()
        self._transport: asyncio.Transport | None = None
        self.ready = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._unread += data
        if not self.ready:
            del self._unread[: len(READY)]
            self.ready = True
            self._tell_ready()
        while len(self._unread) >= QUESTION.size:
            key, issued, until = QUESTION.unpack_from(self._unread)
            del self._unread[: QUESTION.size]
            self._transport.write(FIRST if self._record.first_use(key, issued, until) else NOT_FIRST)


# the port ----------------------------------------------------------------------------------------------------------------


def listening_sockets(host: str | None, port: int, count: int, closing: contextlib.ExitStack) -> list[list[socket.socket]]:
    """For each of ``count`` workers its sockets, one for each address of ``host``; they listen.  Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    slots: list[list[socket.socket]] = [[] for _ in range(count)]
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        try:
            # Alone first: SO_REUSEPORT would share the port with any service of this user, who may know no ticket of ours.
            with _bound(family, address, shared=False) as alone:
                taken = alone.getsockname()
        except OSError:
            if family == socket.AF_INET6 and host is None and not socket.has_dualstack_ipv6():
                continue  # everywhere, where there is no IPv6
            raise
        for slot in slots:
            sock = closing.enter_context(_bound(family, taken, shared=True))
            sock.listen(BACKLOG)
            slot.append(sock)
    return slots


def _bound(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


# the parent --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    """``link``: our end of the socketpair; ``status``: the exit status, below 0 for a signal."""

    slot: int
    pid: int
    link: socket.socket
    answers: Answers
    began: float = field(default_factory=time.monotonic)
    status: int | None = None


class Supervisor:
    """The parent: starts the workers, replaces those that die, and ends with all of them.

    ``slots``: for each worker its listening sockets; ``ready``: called once, when all workers accept.
    """

    def __init__(self, slots: Sequence[Sequence[socket.socket]], work: Work, ready: Callable[[], None]) -> None:
        self._slots = slots
        self._work = work
        self._ready: Callable[[], None] | None = ready
        self._record = MemoryReplay()
        self._workers: dict[int, _Worker] = {}  # by slot
        self._happened: asyncio.Queue[int | _Worker | None] = asyncio.Queue()  # we end; one has ended; one is ready
        self._fleeting = 0

    def run(self) -> int:
        """Serve until SIGTERM (0) or SIGINT (130).  Raises CommandError where the workers do not stay alive."""
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            loop.add_signal_handler(signal.SIGINT, self._happened.put_nowait, INTERRUPTED)
            loop.add_signal_handler(signal.SIGTERM, self._happened.put_nowait, DONE)
            loop.add_signal_handler(signal.SIGCHLD, self._reap)
            loop.add_signal_handler(signal.SIGHUP, self._signal, signal.SIGHUP)
            try:
                for slot in range(len(self._slots)):
                    self._start(slot, runner)
                while True:
                    happened = runner.run(self._happened.get())
                    if isinstance(happened, int):
                        return happened
                    if happened is None:
                        self._one_is_ready()
                    else:
                        self._replace(happened, runner)
            finally:
                runner.run(self._end())

    def _start(self, slot: int, runner: asyncio.Runner) -> None:
        """A worker; the loop does not run while we fork."""
        ours, theirs = socket.socketpair()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or the child would say it once more
        # A signal that comes before the child has forgotten our handlers would go to our loop, through the pipe that it inherits.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            pid = os.fork()
            if not pid:
                self._become_worker(slot, ours, theirs, held)
        except OSError as error:
            ours.close()
            raise CommandError(NOT_CONNECTED, f"no process for a worker: {error.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            theirs.close()
        answers = Answers(self._record, lambda: self._happened.put_nowait(None))
        self._workers[slot] = _Worker(slot, pid, ours, answers)
        runner.run(_attach(answers, ours))

    def _become_worker(self, slot: int, ours: socket.socket, theirs: socket.socket, held: set[int | signal.Signals]) -> NoReturn:
        """In the child: nothing of the parent is left but its memory."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it has a loop that heeds it: it reads the files anyway
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            # The parent's ends: while we held one, that worker would not see the parent die.
            for link in (ours, *(other.link for other in self._workers.values())):
                link.close()
            for other, sockets in enumerate(self._slots):
                for sock in sockets if other != slot else ():
                    sock.close()
            status = asyncio.run(self._work(self._slots[slot], theirs))
            sys.stdout.flush()
        except BrokenPipeError:
            status = PIPE_CLOSED
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(status)

    def _one_is_ready(self) -> None:
        ready = sum(worker.answers.ready for worker in self._workers.values())
        if self._ready is not None and ready == len(self._slots):
            self._ready()
            self._ready = None

    def _reap(self) -> None:
        """SIGCHLD: one or several have ended."""
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                worker.status = os.waitstatus_to_exitcode(status)
                worker.answers.abort()
                del self._workers[worker.slot]
                self._happened.put_nowait(worker)

    def _replace(self, worker: _Worker, runner: asyncio.Runner) -> None:
        assert worker.status is not None
        if worker.status == PIPE_CLOSED:
            raise BrokenPipeError  # nobody reads our stdout or stderr any more
        how = f"by {signal.Signals(-worker.status).name}" if worker.status < 0 else f"with status {worker.status}"
        self._fleeting = self._fleeting + 1 if time.monotonic() - worker.began < FLEETING else 0
        if self._fleeting >= TRIES:
            raise CommandError(NOT_CONNECTED, f"the workers do not stay alive: {TRIES} in a row died at once, the last one {how}")
        tell(f"worker {worker.pid} ended {how}: another takes its place")
        runner.run(asyncio.sleep(0.1 * self._fleeting))
        self._start(worker.slot, runner)

    async def _end(self) -> None:
        """Tell the workers, and wait until they have finished what they do; those that do not end are killed."""
        for sock in itertools.chain.from_iterable(self._slots):
            sock.close()  # or connections would wait here for nobody
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANGING):
                await self._all_ended()
        self._signal(signal.SIGKILL)
        await self._all_ended()
        await asyncio.sleep(0)  # the last connection_lost is called

    async def _all_ended(self) -> None:
        self._reap()
        while self._workers:
            await self._happened.get()

    def _signal(self, number: int) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)  # it exists until it is reaped


async def _attach(answers: Answers, link: socket.socket) -> None:
    await asyncio.get_running_loop().create_unix_connection(lambda: answers, sock=link)


# whole lines -------------------------------------------------------------------------------------------------------------


class Turns:
    """What is several lines long is written by one process at a time.

    ``file``: any, opened before the fork; a process that dies gives up its lock on it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        import fcntl

        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
