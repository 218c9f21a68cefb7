"""A golden figure for each scenario, drawn from a real run: what happens on the wire, for everybody to read.

The files are in tests/figures; MINITLS_UPDATE_FIGURES=1 writes them anew, and the difference is then for a person to judge.
Where the two sides did not see the same, the file has both drawings.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minitls import (
    Alert,
    CertificateError,
    ClientAuth,
    ClientConnection,
    Credential,
    PeerCertificates,
    Policy,
    ServerConfig,
    ServerConnection,
)
from minitls.certificates.authority import make_key
from minitls.observe import Observation
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.testing import exchange
from minitls.trace.figure import figure
from minitls.wire.hello import ServerHello
from tests.conftest import Pki
from tests.liar import edit, lying_server, meet

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
        self,
        client: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        *,
        make: Any = ServerConnection,
        say_first: bytes = b"",
    ) -> None:
        ours, theirs = (observed.append for observed in self.seen)
        config = self.pki.client_config(observer=ours, **client or {})
        self.client = ClientConnection(config, server_hostname="localhost", early_data=say_first, resend_early_data=True)
        self.server = make(self.pki.server_config(observer=theirs, **server or {}))

    def meet_again(self, client: dict[str, Any], server: dict[str, Any] | None = None, *, say_first: bytes = b"") -> None:
        """Only this time is drawn; the server is the one of the last time, but for these fields."""
        self.start_again(client, server, say_first=say_first)
        meet(self.client, self.server)

    def start_again(self, client: dict[str, Any], server: dict[str, Any] | None = None, *, say_first: bytes = b"") -> None:
        config = self.server._config
        assert isinstance(config, ServerConfig)
        for seen in self.seen:
            seen.clear()
        remembered = {name: getattr(config, name) for name in ("tickets", "replay")}
        self.start(client, remembered | (server or {}), say_first=say_first)

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
def raw_public_keys(w: Watched) -> None:
    """RFC 7250, section 5, as RFC 8446 has it: each side shows a key."""
    server, client = Credential.raw(make_key("ed25519")), Credential.raw(make_key("ed25519"))
    w.meet(
        {"trusted_keys": server.chain, "credential": client},
        {"credentials": (server,), "trusted_keys": client.chain, "client_auth": ClientAuth.require},
    )


@scenario
def delegated_credentials(w: Watched) -> None:
    """RFC 9345, section 4: the server's key is one that its certificate's signed, and the client has none such."""
    credential = w.pki.issue("localhost", delegation=True).credential().delegated(make_key("ed25519"))
    w.meet(
        {"delegated_credentials": True, "credential": w.pki.client()},
        {"delegated_credentials": True, "credentials": (credential,), "client_auth": ClientAuth.require, "trust": w.pki.trust},
    )


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
    w.meet({"session_store": MemoryStore()})
    w.say_hello()


@scenario
def new_session_ticket_that_allows_early_data(w: Watched) -> None:
    w.meet({"session_store": MemoryStore()}, {"early_data": 16384, "ticket_count": 1})


@scenario
def resumption(w: Watched) -> None:
    """RFC 8446, figure 3, its second half."""
    come_back(w)
    w.say_hello()


@scenario
def resumption_by_the_psk_alone(w: Watched) -> None:
    """psk_ke: without a key exchange, and so without forward secrecy."""
    alone = {"policy": Policy(psk_key_exchange_modes=("psk_ke",))}
    come_back(w, alone, alone)


@scenario
def resumption_after_hello_retry_request(w: Watched) -> None:
    """The second hello has its ticket with it, bound anew."""
    come_back(w, {"policy": Policy().replace(key_shares=())})


@scenario
def resumption_declined(w: Watched) -> None:
    """The server does not know the ticket: as if there were none."""
    come_back(w, again={"tickets": TicketKeys()})


@scenario
def resumption_with_a_wrong_binder(w: Watched) -> None:
    """Who has stolen a ticket has not its secret."""
    store = MemoryStore()
    w.meet({"session_store": store})
    session = store.take("localhost:")
    assert session is not None
    store.put("localhost:", dataclasses.replace(session, secret=bytes(len(session.secret))))
    w.meet_again({"session_store": store})


@scenario
def early_data(w: Watched) -> None:
    """RFC 8446, figure 4: 0-RTT data that the server takes."""
    come_back(w, server={"early_data": 16384}, say_first=b"hello")
    w.say_hello()


@scenario
def early_data_answered_at_once(w: Watched) -> None:
    """Half-RTT data: the server says something before the client has finished (RFC 8446 section 2.3)."""
    w.meet({"session_store": (store := MemoryStore())}, {"early_data": 16384})
    w.start_again({"session_store": store}, {"early_data": 16384}, say_first=b"hello")
    w.server.receive_data(w.client.data_to_send())
    w.server.send_data(b"hello yourself")
    exchange(w.client, w.server)


@scenario
def early_data_rejected(w: Watched) -> None:
    """The server passes over it, and the session is resumed all the same; the client says it again afterwards."""
    come_back(w, server={"early_data": 16384}, again={"early_data": None}, say_first=b"hello")


@scenario
def early_data_rejected_by_hello_retry_request(w: Watched) -> None:
    come_back(w, {"policy": Policy().replace(key_shares=())}, {"early_data": 16384}, say_first=b"hello")


@scenario
def early_data_rejected_with_its_ticket(w: Watched) -> None:
    come_back(w, server={"early_data": 16384}, again={"tickets": TicketKeys(), "replay": None}, say_first=b"hello")


@scenario
def early_data_is_not_sent(w: Watched) -> None:
    """It is more than the ticket allows."""
    come_back(w, server={"early_data": 4}, say_first=b"hello")


@scenario
def external_psk(w: Watched) -> None:
    w.meet({"psk": lambda hint: (b"sensor-7", bytes(16))}, {"psk": lambda identity: bytes(16), "credentials": ()})
    w.say_hello()


@scenario
def external_psk_by_itself(w: Watched) -> None:
    alone = {"policy": Policy(psk_key_exchange_modes=("psk_ke",))}
    w.meet(
        {"psk": lambda hint: (b"sensor-7", bytes(16)), **alone},
        {"psk": lambda identity: bytes(16), "credentials": (), **alone},
    )


@scenario
def external_psk_that_nobody_knows(w: Watched) -> None:
    w.meet({"psk": lambda hint: (b"sensor-7", bytes(16))}, {"psk": lambda identity: None, "credentials": ()})


def come_back(
    w: Watched,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    *,
    again: dict[str, Any] | None = None,
    say_first: bytes = b"",
) -> None:
    """Meet twice; the second time is what is drawn.  ``again``: what the server has otherwise then."""
    client = {"session_store": MemoryStore(), **(client or {})}
    w.meet(client, server)
    w.meet_again(client, {**(server or {}), **(again or {})}, say_first=say_first)


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
