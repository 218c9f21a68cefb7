"""What a handshake costs, counted: calls into C, where the cryptography is, not seconds on a machine that others use."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from minitls import ClientConnection, ServerConnection
from minitls.sessions.store import MemoryStore
from tests.conftest import Pki

CERTIFICATES = ("load_der_x509_certificate", "verify", "public_bytes")


def called(work: Callable[[], Any]) -> Counter[str]:
    """The functions in C that ``work`` called, by name."""
    seen: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            seen[arg.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return seen


def test_a_resumed_handshake_touches_no_certificate(pki: Pki) -> None:
    """On the client: no certificate is parsed, no signature checked; the chain's verdict is known."""
    client_config, server_config = pki.client_config(session_store=MemoryStore()), pki.server_config()
    counts: list[Counter[str]] = []
    for resumed in (False, True, True):
        connections: list[ClientConnection] = []
        server = ServerConnection(server_config)

        def begin(connections: list[ClientConnection] = connections) -> None:
            connections.append(ClientConnection(client_config, server_hostname="localhost"))

        count = called(begin)
        (client,) = connections
        while out := client.data_to_send():
            server.receive_data(out)
            back = server.data_to_send()
            count += called(lambda client=client, back=back: client.receive_data(back))  # type: ignore[misc]
        assert client.handshake_completed
        assert client.info.resumed is resumed
        counts.append(count)
    full, _, resumed_count = counts
    assert full["verify"] >= 1
    assert full["load_der_x509_certificate"] >= 1
    assert {name: resumed_count[name] for name in CERTIFICATES} == dict.fromkeys(CERTIFICATES, 0)
    assert resumed_count["hmac_digest"] <= 27  # RFC 8446 section 7.1: each secret once, and the ticket's
    assert resumed_count["generate_mlkem768_key"] + resumed_count["generate_key"] == 2  # the hybrid's halves, and no more
