"""tlslite-ng, both sides, with blocking sockets.  Its ciphers and curves are Python, so it takes part where little is to be done.

It verifies the server's signature and no chain: it cannot.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tlslite.api import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    HandshakeSettings,
    TLSConnection,
    X509CertChain,
    parsePEMKey,
)

from interop.bench.client import Clock
from interop.bench.control import say
from interop.bench.identity import CHAIN, KEY
from interop.bench.wire import ECHO, HELLO, HOST, MESSAGE, NAME, REPLY, REQUEST_SIZE, VARIANTS, port_of, read_request, request


def settings(variant: str) -> Any:
    made = HandshakeSettings()
    if variant == "tls12":
        made.maxVersion = (3, 3)
    return made


def serve(folder: Path, control: Callable[[], None]) -> None:
    chain = X509CertChain()
    chain.parsePemList((folder / CHAIN).read_text())
    key = parsePEMKey((folder / KEY).read_text(), private=True)
    listeners = {variant: socket.create_server((HOST, 0)) for variant in VARIANTS}

    def talk(connection: Any, variant: str) -> None:
        try:
            connection.handshakeServer(certChain=chain, privateKey=key, settings=settings(variant))
            while head := bytes(connection.read(REQUEST_SIZE, REQUEST_SIZE)):
                operation, _, _ = read_request(head)
                if operation == ECHO:
                    while message := connection.read(1 << 14, 1):
                        connection.write(message)
                else:
                    connection.write(REPLY)
        except Exception:  # the client has gone, which is told in many ways
            pass
        connection.close()

    def accept(listener: socket.socket, variant: str) -> None:
        while True:
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=talk, args=(TLSConnection(accepted), variant), daemon=True).start()

    for variant, listener in listeners.items():
        threading.Thread(target=accept, args=(listener, variant), daemon=True).start()
    say({"ports": {f"protocol/{variant}": listener.getsockname()[1] for variant, listener in listeners.items()}})
    control()


def connect(port: int, variant: str) -> Any:
    connected = socket.create_connection((HOST, port))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = TLSConnection(connected)
    connection.handshakeClientCert(settings=settings(variant), serverName=NAME)
    return connection


def run_task(task: str, ports: dict[str, Any], count: int = 1, variant: str = "default", **_more: Any) -> dict[str, Any]:
    port = port_of(ports, "protocol", variant)
    if task == "handshakes":
        with Clock() as clock:
            for _ in range(count):
                connection = connect(port, variant)
                connection.write(request(HELLO))
                connection.read(1, 1)
                connection.close()
        return clock.answer(count, resumed=0.0)
    connection = connect(port, variant)
    try:
        if task == "agreed":
            return {"version": connection.getVersionName(), "cipher_suite": connection.getCipherName(), "group": None}
        assert task == "roundtrips", task
        with Clock() as clock:
            connection.write(request(ECHO) + MESSAGE)
            for sent in range(1, count + 1):
                connection.read(len(MESSAGE), len(MESSAGE))
                if sent < count:
                    connection.write(MESSAGE)
        return clock.answer(count)
    finally:
        connection.close()
