"""A golden figure for each handshake of TLS 1.2, as in tests/test_figures.py: RFC 5246 figures 1 and 2, and RFC 5077's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minitls import ClientAuth, ClientConnection, Policy
from minitls.sessions.store import MemoryStore
from minitls.testing import exchange
from minitls.trace.figure import figure
from minitls.wire.messages12 import HelloRequest
from tests.conftest import Pki
from tests.liar import meet, write_handshake
from tests.test_figures import FIGURES, UPDATE, Watched

Fields = dict[str, Any]
Run = Callable[[Watched, Fields, Fields], None]
SCENARIOS: dict[str, Run] = {}

LEGACY = Policy.legacy.replace(versions=("TLSv1.2",))


def scenario(run: Run) -> Run:
    SCENARIOS[f"tls12-{run.__name__}"] = run
    return run


def suite(name: str) -> Fields:
    return {"policy": LEGACY.replace(cipher_suites=(name,))}


@scenario
def ecdhe(w: Watched, client: Fields, server: Fields) -> None:
    """What the web speaks."""
    w.meet({**client, "alpn": ("h2",)}, {**server, "alpn": ("h2",)})
    w.say_hello()


@scenario
def client_offers_tls13(w: Watched, client: Fields, server: Fields) -> None:
    """One hello for both versions."""
    w.meet({**client, "policy": Policy.intermediate}, server)


@scenario
def dhe(w: Watched, client: Fields, server: Fields) -> None:
    rsa = (w.pki.server("rsa2048"),)
    w.meet({**client, **suite("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256")}, {**server, "policy": LEGACY, "credentials": rsa})


@scenario
def static_rsa(w: Watched, client: Fields, server: Fields) -> None:
    """The handshake of the textbooks: no ServerKeyExchange."""
    rsa = (w.pki.server("rsa2048"),)
    w.meet({**client, **suite("TLS_RSA_WITH_AES_128_CBC_SHA")}, {**server, "policy": LEGACY, "credentials": rsa})
    w.say_hello()


@scenario
def psk(w: Watched, client: Fields, server: Fields) -> None:
    w.meet(
        {**client, **suite("TLS_PSK_WITH_AES_128_GCM_SHA256"), "psk": lambda hint: (b"we", b"key")},
        {**server, "policy": LEGACY, "credentials": (), "psk": lambda identity: b"key"},
    )


@scenario
def client_authentication(w: Watched, client: Fields, server: Fields) -> None:
    auth = {"client_auth": ClientAuth.require, "trust": w.pki.trust}
    w.meet({**client, "credential": w.pki.client()}, {**server, **auth})
    w.say_hello()


@scenario
def client_certificate_declined(w: Watched, client: Fields, server: Fields) -> None:
    w.meet(client, {**server, "client_auth": ClientAuth.request, "trust": w.pki.trust})


@scenario
def stapled(w: Watched, client: Fields, server: Fields) -> None:
    w.meet({**client, "request_staples": True}, {**server, "credentials": (w.pki.stapled,)})


def twice(w: Watched, client: Fields, server: Fields) -> None:
    """The second meeting is what is drawn."""
    w.meet(client, server)
    cache = {name: getattr(w.server._config, name) for name in ("tickets", "session_cache")}
    for seen in w.seen:
        seen.clear()
    w.meet(client, {**server, **cache})
    w.say_hello()


@scenario
def resumed_by_session_id(w: Watched, client: Fields, server: Fields) -> None:
    """RFC 5246, figure 2."""
    twice(w, {**client, "session_store": MemoryStore()}, {**server, "tickets": None})


@scenario
def resumed_by_ticket(w: Watched, client: Fields, server: Fields) -> None:
    """RFC 5077, figure 2."""
    twice(w, {**client, "session_store": MemoryStore()}, server)


@scenario
def ticket_for_the_first_time(w: Watched, client: Fields, server: Fields) -> None:
    """RFC 5077, figure 1."""
    w.meet({**client, "session_store": MemoryStore()}, server)


@scenario
def renegotiation_refused(w: Watched, client: Fields, server: Fields) -> None:
    w.meet(client, server)
    w.say_hello()
    write_handshake(w.server, HelloRequest())
    meet(w.client, w.server)
    w.say_hello()


@scenario
def closed(w: Watched, client: Fields, server: Fields) -> None:
    w.meet(client, server)
    w.say_hello()
    w.client.close()
    exchange(w.client, w.server)
    w.server.close()
    exchange(w.client, w.server)


@scenario
def no_common_cipher_suite(w: Watched, client: Fields, server: Fields) -> None:
    w.meet({**client, **suite("TLS_RSA_WITH_AES_128_CBC_SHA")}, server)


def drawn(name: str, pki: Pki) -> Watched:
    watched = Watched(pki)
    SCENARIOS[name](
        watched, {"policy": LEGACY, "session_store": None}, {"policy": Policy.intermediate.replace(versions=("TLSv1.2",))}
    )
    return watched


@pytest.mark.parametrize("name", SCENARIOS)
def test_figure(name: str, pki: Pki) -> None:
    drawing, file = drawn(name, pki).drawing() + "\n", FIGURES / f"{name}.txt"
    assert all(len(line) <= 79 and line == line.rstrip() for line in drawing.splitlines())
    if UPDATE:
        file.write_text(drawing, encoding="ascii")
    assert file.exists(), f"{file} is missing: look at the drawing, and run with MINITLS_UPDATE_FIGURES=1\n\n{drawing}"
    assert drawing == file.read_text(encoding="ascii")


def test_no_figure_is_left_over() -> None:
    assert {file.stem for file in FIGURES.glob("tls12-*.txt")} == set(SCENARIOS)


def test_both_sides_draw_the_same(pki: Pki) -> None:
    for name in SCENARIOS:
        watched = drawn(name, pki)
        assert isinstance(watched.client, ClientConnection)
        assert figure(watched.seen[0], "client") == figure(watched.seen[1], "server"), name
