"""Recorded handshakes of each kind, by name: what renderers are tried on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from minitls import ClientAuth, ClientConnection, ExternalPsk, Policy, ServerConnection
from minitls.sessions.store import MemoryStore
from minitls.testing import exchange, memory_pair
from minitls.trace.recording import Recording, TcpClosed, TcpOpened, WireSeen
from tests.conftest import NAME, Pki

Fields = dict[str, Any]
TLS_12 = Policy.intermediate.replace(versions=("TLSv1.2",))
LEGACY = Policy.legacy.replace(versions=("TLSv1.2",))
REQUEST = b"GET /wishes HTTP/1.1\r\nHost: localhost\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
CLIENT, SERVER = "127.0.0.1:40404", "127.0.0.1:8443"


def legacy(exchange: str, pki: Pki) -> tuple[Fields, Fields]:
    """Both sides with nothing but one of TLS 1.2's key exchanges."""
    from minitls.crypto.suites12 import SUITES_12

    suites = tuple(code for code, suite in SUITES_12.items() if suite.key_exchange == exchange)
    policy = {"policy": LEGACY.replace(cipher_suites=suites)}
    if "PSK" in exchange:
        return {**policy, "psk": lambda hint: (b"we", b"key")}, {**policy, "credentials": (), "psk": lambda identity: b"key"}
    return policy, {**policy, "credentials": (pki.server("rsa2048"),)}


RUNS: dict[str, Callable[[Pki], tuple[Fields, Fields]]] = {
    "tls13": lambda pki: ({"alpn": ("http/1.1",)}, {"alpn": ("http/1.1",)}),
    "tls13-sha384": lambda pki: ({"policy": Policy(cipher_suites=("TLS_AES_256_GCM_SHA384",))}, {}),
    "tls13-retry": lambda pki: ({"policy": Policy(groups=("secp384r1", "x25519"))}, {"policy": Policy(groups=("x25519",))}),
    "tls13-client-certificate": lambda pki: (
        {"credential": pki.client()},
        {"client_auth": ClientAuth.require, "trust": pki.trust},
    ),
    "tls13-compressed": lambda pki: ({"certificate_compression": ("zlib",)}, {"certificate_compression": ("zlib",)}),
    "tls13-stapled": lambda pki: ({"request_staples": True}, {"credentials": (pki.stapled,)}),
    "tls13-psk": lambda pki: (
        {"psk": lambda hint: ExternalPsk(b"sensor", b"k" * 32)},
        {"credentials": (), "psk": lambda identity: ExternalPsk(b"sensor", b"k" * 32)},
    ),
    "tls13-resumed": lambda pki: ({"session_store": MemoryStore()}, {}),
    "tls13-early-data": lambda pki: ({"session_store": MemoryStore()}, {"early_data": 16384}),
    "tls12": lambda pki: ({"policy": TLS_12}, {}),
    "tls12-resumed": lambda pki: ({"policy": TLS_12, "session_store": MemoryStore()}, {}),
    "tls12-client-certificate": lambda pki: (
        {"policy": TLS_12, "credential": pki.client()},
        {"client_auth": ClientAuth.require, "trust": pki.trust},
    ),
    **{f"tls12-{each.lower()}": lambda pki, each=each: legacy(each, pki) for each in ("DHE", "RSA", "PSK", "ECDHE_PSK")},
}


def recorded(
    pki: Pki, name: str, *, client: Fields | None = None, server: Fields | None = None, keep_secrets: bool = False
) -> tuple[Recording, Recording]:
    """The run as both sides recorded it, with TCP around it, and a request and its answer within."""
    found = run(pki, name, client=client, server=server, keep_secrets=keep_secrets)
    return found[0], found[1]


def run(
    pki: Pki,
    name: str,
    *,
    client: Fields | None = None,
    server: Fields | None = None,
    keep_secrets: bool = False,
    talk: bool = True,
) -> tuple[Recording, Recording, ClientConnection, ServerConnection]:
    """The same, with both connections; without ``talk`` they have shaken hands and are open."""
    one, other = RUNS[name](pki)
    ours = pki.client_config(**{**one, **(client or {})})
    theirs = pki.server_config(**{**other, **(server or {})})
    if ours.session_store is not None:
        meet(ours, theirs)
    recordings = Recording("client", keep_secrets=keep_secrets), Recording("server", keep_secrets=keep_secrets)
    ours, theirs = (
        dataclasses.replace(config, observer=recording, key_log=recording.note_secret)
        for config, recording in zip((ours, theirs), recordings, strict=True)
    )
    return *recordings, *meet(ours, theirs, recordings, early=name == "tls13-early-data", talk=talk)


def meet(
    ours: Any, theirs: Any, recordings: tuple[Recording, Recording] | None = None, *, early: bool = False, talk: bool = True
) -> tuple[ClientConnection, ServerConnection]:
    """A handshake, a request and its answer, and goodbye; what goes over is put into the recordings."""
    if recordings is None:
        return memory_pair(ours, theirs)
    now = time.time()
    for recording, local, peer in zip(recordings, (CLIENT, SERVER), (SERVER, CLIENT), strict=True):
        recording(TcpOpened(now, local, peer, connecting=0.0002, round_trip=0.0001))
    client = ClientConnection(ours, server_hostname=NAME, early_data=REQUEST if early else b"")
    server = ServerConnection(theirs)

    def carry() -> None:
        while True:
            there, back = client.data_to_send(), server.data_to_send()
            if not there and not back:
                return
            for data, sender, receiver, to in ((there, 0, 1, server), (back, 1, 0, client)):
                if data:
                    recordings[sender](WireSeen(time.time(), True, data))
                    recordings[receiver](WireSeen(time.time(), False, data))
                    to.receive_data(data)

    carry()
    if not talk:
        return client, server
    if not client.info.early_data_accepted:
        client.send_data(REQUEST)
        carry()
    server.send_data(REPLY)
    carry()
    client.close()
    carry()
    server.close()
    carry()
    for number in (0, 1):
        recordings[number](TcpClosed(time.time(), number == 0))
        recordings[number](TcpClosed(time.time(), number == 1))
    return client, server


__all__ = ["RUNS", "exchange", "recorded", "run"]
