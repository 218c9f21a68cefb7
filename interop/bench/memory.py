"""What a handshake costs a client: CPU microseconds, both sides in this process, no network; and what it costs the server.

The tickets are part of it.  A median, for the garbage collector and the scheduler hit some handshakes and not others.
"""

from __future__ import annotations

import ssl
import statistics
import time
from pathlib import Path
from typing import Any

from interop.bench.endpoints import Minitls, Ssl
from interop.bench.stacks import Stack
from interop.bench.wire import NAME

_clock = time.process_time_ns


class Shared:
    """Time that goes to one side or the other."""

    def __init__(self) -> None:
        self.client = self.server = 0


def handshake_ours(client_config: Any, server_config: Any, name: str = NAME) -> tuple[Shared, bool]:
    from minitls import ClientConnection, ServerConnection

    spent = Shared()
    start = _clock()
    client = ClientConnection(client_config, server_hostname=name)
    out = client.data_to_send()
    spent.client += _clock() - start
    start = _clock()
    server = ServerConnection(server_config)
    spent.server += _clock() - start
    while out:
        start = _clock()
        server.receive_data(out)
        back = server.data_to_send()
        middle = _clock()
        client.receive_data(back)
        out = client.data_to_send()
        spent.server += middle - start
        spent.client += _clock() - middle
    assert client.handshake_completed
    return spent, client.info.resumed


def handshake_ssl(client_context: Any, server_context: Any, name: str = NAME) -> tuple[Shared, bool]:
    spent = Shared()
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    start = _clock()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    spent.client += _clock() - start
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    shaken = {client: False, server: False}
    while to_server.pending or to_client.pending or not all(shaken.values()):
        start = _clock()
        _step(client, shaken)
        middle = _clock()
        _step(server, shaken)
        spent.client += middle - start
        spent.server += _clock() - middle
    if hasattr(client_context, "sessions"):
        client_context.sessions.append(client.session)
    return spent, bool(client.session_reused)


def _step(side: ssl.SSLObject, shaken: dict[ssl.SSLObject, bool]) -> None:
    try:
        if not shaken[side]:
            side.do_handshake()
            shaken[side] = True
        side.read(1)  # tickets
    except ssl.SSLWantReadError:
        pass


def client_cpu(stack: Stack, folder: Path, variant: str, visit: str, count: int) -> dict[str, Any]:
    """The first handshake warms up, and leaves a session where they are resumed."""
    if stack.kind == "minitls":
        made = Minitls(folder)
        config = made.server_config(variant)
        made.prepare(variant, count + 1 if visit == "fresh" else 0)
        runs = [handshake_ours(made.client_config(variant, visit), config) for _ in range(count + 1)]
    else:
        theirs = Ssl(folder, stack.module)
        context = theirs.server_context(variant)
        theirs.prepare(variant, count + 1 if visit == "fresh" else 0)
        runs = [handshake_ssl(theirs.client_context(variant, visit), context) for _ in range(count + 1)]
    assert all(resumed is (visit == "resumed") for _, resumed in runs[1:])
    return {
        "value": statistics.median(spent.client for spent, _ in runs[1:]) / 1000,
        "server_us": statistics.median(spent.server for spent, _ in runs[1:]) / 1000,
    }
