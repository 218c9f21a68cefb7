"""A server that has imported everything, and forks a shim for each of the suite's cases.

A fresh Python that imports what a handshake needs takes a hundred milliseconds, a fork a few; the suite has thousands of cases.
``client.c`` is what the runner starts: it sends its flags, its folder and its standard streams, and ends as the child here ends.
A client that goes away before has been killed by the runner, and its child goes, too; all of them go when the one who started the
nursery does, which its standard input tells.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Sequence

Case = Callable[[Sequence[str]], int]
"""What a child does with its flags; gives the exit status."""

LENGTH = struct.Struct("=I")
PATIENCE = 10.0
"""Seconds that a client may take to send its message, all of which is there when it starts."""
NOT_FOR_CASES = ("minitls.cli", "minitls.trace", "minitls.scan", "minitls.ssl", "minitls.testing", "minitls.__main__")


def receive(connection: socket.socket) -> tuple[list[str], list[int]] | None:
    """The folder and the flags, and the descriptors; None if the client is gone before it has said all."""
    connection.settimeout(PATIENCE)
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while len(message) < LENGTH.size or len(message) < LENGTH.size + LENGTH.unpack_from(message)[0]:
        more = connection.recv(1 << 16)
        if not more:
            for descriptor in descriptors:
                os.close(descriptor)
            return None
        message += more
    connection.settimeout(None)
    return [os.fsdecode(word) for word in message[LENGTH.size : -1].split(b"\0")], descriptors


def child(case: Case, words: list[str], descriptors: list[int]) -> int:
    """The exit status of a case, which has the client's folder and streams."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        os.chdir(words[0])
        status = case(words[1:])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # SystemExit, too: a case says its status and ends in no other way
        traceback.print_exc()
        return 1
    return status


class Nursery:
    def __init__(self, listener: socket.socket, lifeline: int, case: Case) -> None:
        self._listener = listener
        self._lifeline = lifeline
        self._case = case
        self._clients: dict[int, socket.socket] = {}
        """By their child's number."""
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Fork children until the lifeline's other end is closed."""
        ended, wake = socket.socketpair()
        ended.setblocking(False)
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._lifeline, selectors.EVENT_READ)
        self._selector.register(ended, selectors.EVENT_READ)
        try:
            while True:
                ready = [(key.fileobj, key.data) for key, _ in self._selector.select()]
                if any(source is ended for source, _ in ready):
                    with contextlib.suppress(BlockingIOError):
                        while ended.recv(4096):
                            pass
                    self._reap()
                for source, number in ready:
                    if source == self._lifeline:
                        return
                    if source is self._listener:
                        self._start(self._listener.accept()[0], (ended, wake))
                    elif number in self._clients:
                        self._selector.unregister(self._clients[number])
                        os.kill(number, signal.SIGKILL)  # not reaped yet: the number is still its own
                        self._clients.pop(number).close()
        finally:
            for number in self._clients:
                os.kill(number, signal.SIGKILL)

    def _start(self, client: socket.socket, ours: Sequence[socket.socket]) -> None:
        try:
            said = receive(client)
        except OSError:  # killed, or no client of ours; whoever it is learns it from the close
            said = None
        if said is None:
            client.close()
            return
        words, descriptors = said
        number = os.fork()
        if number == 0:
            status = 1
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._selector.close()
                for inherited in (self._listener, client, *ours, *self._clients.values()):
                    inherited.close()
                status = child(self._case, words, descriptors)
            finally:
                os._exit(status)
        for descriptor in descriptors:
            os.close(descriptor)
        self._clients[number] = client
        self._selector.register(client, selectors.EVENT_READ, number)

    def _reap(self) -> None:
        while True:
            try:
                number, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if number == 0:
                return
            client = self._clients.pop(number, None)
            if client is None:  # it was killed after its client
                continue
            self._selector.unregister(client)
            status = os.waitstatus_to_exitcode(wait_status)
            with client, contextlib.suppress(OSError):  # the client was killed a moment ago
                client.sendall(bytes([status if status >= 0 else 128 - status]))


def import_all(package: str) -> None:
    """Every module of a package that a case may need, so that no child imports it for itself alone."""
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.startswith(NOT_FOR_CASES):
            importlib.import_module(module.name)


def main(descriptor: int) -> None:
    """Serve on a listening socket that was inherited, while standard input is open."""
    from interop.bogo import shim

    import_all("minitls")
    gc.collect()
    gc.freeze()
    Nursery(socket.socket(fileno=descriptor), sys.stdin.fileno(), shim.main).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
