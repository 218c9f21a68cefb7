"""A golden figure for each scenario, drawn from a real run: what happens on the wire, for everybody to read.

The files are in tests/figures; MINITLS_UPDATE_FIGURES=1 writes them anew, and the difference is then for a person to judge.
Where the two sides did not see the same, the file has both drawings.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minitls import Alert, CertificateError, ClientAuth, ClientConnection, PeerCertificates, Policy, ServerConnection
from minitls.observe import Observation
from minitls.testing import exchange
from minitls.trace.figure import figure
from minitls.wire.codec import Extensions
from minitls.wire.hello import ServerHello
from minitls.wire.messages import NewSessionTicket
from tests.conftest import Pki
from tests.liar import edit, lying_server, meet, write_handshake

FIGURES = Path(__file__).parent / "figures"
UPDATE = bool(os.environ.get("MINITLS_UPDATE_FIGURES"))

Run = Callable[["Watched"], None]
SCENARIOS: dict[str, Run] = {}


class Watched:
    """A client and a server whose observers draw."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.seen: tuple[list[Observation], list[Observation]] = ([], [])

    def meet(
        self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, *, make: Any = ServerConnection
    ) -> None:
        """Let the two shake hands, with these fields in their configurations, or fail to."""
        self.start(client, server, make=make)
        meet(self.client, self.server)

    def start(
        self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, *, make: Any = ServerConnection
    ) -> None:
        ours, theirs = (observed.append for observed in self.seen)
        self.client = ClientConnection(self.pki.client_config(observer=ours, **client or {}), server_hostname="localhost")
        self.server = make(self.pki.server_config(observer=theirs, **server or {}))

    def say_hello(self) -> None:
        """Data there and back."""
        self.client.send_data(b"hello")
        exchange(self.client, self.server)
        self.server.send_data(b"hello yourself")
        exchange(self.client, self.server)

    def drawing(self) -> str:
        client, server = figure(self.seen[0], "client"), figure(self.seen[1], "server")
        return client if client == server else f"as the client saw it\n\n{client}\n\nas the server saw it\n\n{server}"


def scenario(run: Run) -> Run:
    SCENARIOS[run.__name__] = run
    return run


@scenario
def full_handshake(w: Watched) -> None:
    """RFC 8446, figure 1."""
    w.meet()
    w.say_hello()


@scenario
def alpn(w: Watched) -> None:
    w.meet({"alpn": ("h2", "http/1.1")}, {"alpn": ("http/1.1",)})


@scenario
def hello_retry_request(w: Watched) -> None:
    """RFC 8446, figure 2."""
    w.meet({"policy": Policy().replace(key_shares=())})


@scenario
def hello_retry_request_with_cookie(w: Watched) -> None:
    w.meet(server={"send_cookie": True})


@scenario
def client_certificate_given(w: Watched) -> None:
    w.meet({"credential": w.pki.client()}, {"client_auth": ClientAuth.require, "trust": w.pki.trust})


@scenario
def client_certificate_declined(w: Watched) -> None:
    w.meet(server={"client_auth": ClientAuth.request, "trust": w.pki.trust})
    w.say_hello()


@scenario
def client_certificate_required(w: Watched) -> None:
    w.meet(server={"client_auth": ClientAuth.require, "trust": w.pki.trust})


@scenario
def client_certificate_refused(w: Watched) -> None:
    w.meet({"credential": w.pki.client()}, {"client_auth": ClientAuth.require, "trust": w.pki.strangers.trust()})


@scenario
def key_update_from_the_client(w: Watched) -> None:
    w.meet()
    w.say_hello()
    w.client.update_keys()
    exchange(w.client, w.server)
    w.say_hello()


@scenario
def key_update_from_the_server(w: Watched) -> None:
    w.meet()
    w.say_hello()
    w.server.update_keys()
    exchange(w.client, w.server)
    w.say_hello()


@scenario
def key_update_requested(w: Watched) -> None:
    w.meet()
    w.say_hello()
    w.client.update_keys(request_peer=True)
    w.say_hello()


@scenario
def close_from_the_client(w: Watched) -> None:
    """Half-closed: the server may still send (RFC 8446 section 6.1)."""
    w.meet()
    w.say_hello()
    w.client.close()
    exchange(w.client, w.server)
    w.server.send_data(b"and one more thing")
    w.server.close()
    exchange(w.client, w.server)


@scenario
def close_from_the_server(w: Watched) -> None:
    w.meet()
    w.say_hello()
    w.server.close()
    exchange(w.client, w.server)
    w.client.close()
    exchange(w.client, w.server)


@scenario
def alpn_mismatch(w: Watched) -> None:
    w.meet({"alpn": ("h2",)}, {"alpn": ("http/1.1",)})


@scenario
def no_common_cipher_suite(w: Watched) -> None:
    w.meet(
        {"policy": Policy(cipher_suites=("TLS_CHACHA20_POLY1305_SHA256",))},
        {"policy": Policy(cipher_suites=("TLS_AES_128_GCM_SHA256",))},
    )


@scenario
def server_certificate_refused(w: Watched) -> None:
    """The alert goes out under keys that both have, though nobody knows yet who the other is."""
    w.meet(server={"credentials": (w.pki.untrusted,)})


@scenario
def server_certificate_refused_by_the_application(w: Watched) -> None:
    def refuse(certificates: PeerCertificates) -> None:
        raise CertificateError(Alert.certificate_unknown, "not one that we have pinned")

    w.meet({"verify": refuse})


@scenario
def server_hello_that_lies(w: Watched) -> None:
    """There are no keys: the alert is in plaintext."""
    lie = edit(ServerHello, lambda hello: setattr(hello, "legacy_session_id_echo", b"not yours"))
    w.meet(make=lambda config: lying_server(config, lie))


@scenario
def user_cancels(w: Watched) -> None:
    w.start()
    w.server.receive_data(w.client.data_to_send())
    w.client.close()
    meet(w.client, w.server)


@scenario
def new_session_tickets(w: Watched) -> None:
    """RFC 8446, figure 3, its first half."""
    w.meet()
    tickets = [NewSessionTicket(7200, 1, bytes((n,)), b"a ticket", Extensions()) for n in range(2)]
    write_handshake(w.server, *tickets)
    exchange(w.client, w.server)
    w.say_hello()


@pytest.mark.parametrize("name", SCENARIOS)
def test_figure(name: str, pki: Pki) -> None:
    watched = Watched(pki)
    SCENARIOS[name](watched)
    drawn, file = watched.drawing() + "\n", FIGURES / f"{name}.txt"
    assert all(len(line) <= 79 and line == line.rstrip() for line in drawn.splitlines())
    if UPDATE:
        file.write_text(drawn, encoding="ascii")
    assert file.exists(), f"{file} is missing: look at the drawing, and run with MINITLS_UPDATE_FIGURES=1\n\n{drawn}"
    assert drawn == file.read_text(encoding="ascii")


def test_no_figure_is_left_over() -> None:
    assert {file.stem for file in FIGURES.glob("*.txt") if not file.stem.startswith("tls12-")} == set(SCENARIOS)


def test_nothing_seen() -> None:
    assert figure([]).splitlines()[0].split() == ["Client", "Server"]


def test_the_same_run_gives_the_same_drawing(pki: Pki) -> None:
    drawings = set()
    for _ in range(4):
        watched = Watched(pki)
        full_handshake(watched)
        drawings.add(watched.drawing())
    assert len(drawings) == 1
