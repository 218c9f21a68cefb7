"""Sessions: what is remembered, where and how, and who may resume what."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from minitls import (
    Alert,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Danger,
    DecodeError,
    Misuse,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConfig,
    ServerConnection,
)
from minitls.sessions.session import FORMAT, Session
from minitls.sessions.store import PER_KEY, MemoryStore
from minitls.sessions.tickets import READ_EPOCHS, TicketKeys
from minitls.testing import exchange
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.messages12 import NewSessionTicket12
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import NOW, Pki
from tests.liar import Lie, edit, instead, lying_client, lying_server, meet, truth

SAFE = Policy.intermediate.replace(versions=("TLSv1.2",))
LEGACY = Policy.legacy.replace(versions=("TLSv1.2",))
START = NOW.timestamp()


def bounded(least: int, most: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=least, max_size=most)


sessions = st.builds(
    Session,
    format=st.just(FORMAT),
    version=st.integers(0, 0xFFFF),
    cipher_suite=st.integers(0, 0xFFFF),
    secret=bounded(1, 255),
    extended=st.integers(0, 1),
    authenticated=st.integers(0, 2**64 - 1),
    created=st.integers(0, 2**64 - 1),
    lifetime=st.integers(0, 2**32 - 1),
    until=st.integers(0, 2**64 - 1),
    server_name=bounded(0, 255),
    alpn=bounded(0, 255),
    context=bounded(0, 32),
    identity=bounded(0, 32),
    chain=st.lists(bounded(1, 300), max_size=3).map(tuple),
    public_key=bounded(0, 300),
    certificate_type=st.integers(0, 255),
    signature_scheme=st.integers(0, 2**16 - 1),
    scrutiny=st.integers(0, 255),
    group=bounded(0, 255),
    ocsp_response=bounded(0, 300),
    scts=st.lists(bounded(1, 300), max_size=3).map(tuple),
    session_id=bounded(0, 32),
    ticket=bounded(0, 300),
    age_add=st.integers(0, 2**32 - 1),
    max_early_data=st.integers(0, 2**32 - 1),
)


def a_session(name: str = "localhost", **changes: Any) -> Session:
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": 0x0303,
        "cipher_suite": 0xC02B,
        "secret": b"secret" * 8,
        "extended": 1,
        "authenticated": 1_000_000,
        "created": 1_000_000,
        "lifetime": 100,
        "until": 0,
        "server_name": name.encode(),
        "alpn": b"",
        "context": b"",
        "identity": b"",
        "chain": (),
        "public_key": b"",
        "certificate_type": 0,
        "signature_scheme": 0,
        "scrutiny": 0,
        "group": b"",
        "ocsp_response": b"",
        "scts": (),
        "session_id": b"",
        "ticket": b"ticket",
        "age_add": 0,
        "max_early_data": 0,
    }
    return Session(**fields | changes)


# a session as bytes -------------------------------------------------------------------------------------------------------


@given(sessions)
def test_there_and_back(session: Session) -> None:
    assert Session.from_bytes(session.to_bytes()) == session


@given(st.binary(max_size=200))
def test_of_any_bytes(data: bytes) -> None:
    """A session or a DecodeError, and nothing else."""
    try:
        session = Session.from_bytes(data)
    except DecodeError:
        return
    assert session.to_bytes() == data


def test_truncated_at_every_offset() -> None:
    data = a_session(chain=(b"leaf", b"root"), session_id=bytes(32)).to_bytes()
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            Session.from_bytes(data[:end])
    with pytest.raises(DecodeError):
        Session.from_bytes(data + b"\0")


def test_of_another_format() -> None:
    with pytest.raises(DecodeError, match=f"format {FORMAT + 1}"):
        Session.from_bytes(a_session(format=FORMAT + 1).to_bytes())


@pytest.mark.parametrize(("at", "alive"), [(998, False), (999, True), (1000, True), (1099.9, True), (1100, False), (10**9, False)])
def test_alive(at: float, alive: bool) -> None:
    """A second of grace for clocks; a session of tomorrow is as bad as one of yesterday."""
    assert a_session().alive(at) is alive


def test_no_secret_shows() -> None:
    session = a_session(secret=b"\xaa" * 48, ticket=b"\xbb" * 99)
    store = MemoryStore()
    store.put("somewhere", session)
    for each in (session, store, TicketKeys(secret=b"\xcc" * 32)):
        assert not [secret for secret in ("aa", "bb", "cc", r"\xaa") if secret * 3 in repr(each)]
    assert "nobody in particular" in repr(a_session(""))


# the store ----------------------------------------------------------------------------------------------------------------


def test_the_store_forgets_who_was_not_seen_longest() -> None:
    store = MemoryStore(3)
    for name in "abc":
        store.put(name, a_session(name))
    assert store.get("a") == a_session("a")  # and is younger than b now
    store.put("d", a_session("d"))
    assert [name for name in "abcd" if store.get(name)] == ["a", "c", "d"]
    store.put("a", a_session("another"))
    store.put("e", a_session("e"))
    assert [name for name in "abcde" if store.get(name)] == ["a", "d", "e"]
    assert store.get("a") == a_session("another")


def test_each_session_is_taken_once() -> None:
    """The newest first; of each key a few are kept."""
    store = MemoryStore()
    for number in range(PER_KEY + 2):
        store.put("a", a_session(ticket=bytes((number,)), version=0x0304))
    taken = [store.take("a") for _ in range(PER_KEY + 1)]
    assert [session and session.ticket[0] for session in taken] == [*range(PER_KEY + 1, 1, -1), None]
    assert store.take("nobody") is None


# tickets ------------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def keys(clock: Clock, **how: Any) -> TicketKeys:
    return TicketKeys(rotate=100, clock=clock, **how)


@given(st.binary(max_size=300))
def test_tickets_hold_what_was_put_in(state: bytes) -> None:
    made = TicketKeys()
    assert made.open(made.seal(state)) == state


def test_each_byte_of_a_ticket() -> None:
    """Key name, nonce, ciphertext, tag: whatever is changed, cut or added, it is no ticket of ours."""
    made = TicketKeys()
    ticket = made.seal(b"state")
    assert made.seal(b"state") != ticket
    for at in range(len(ticket)):
        for flip in (1, 0x80):
            assert made.open(ticket[:at] + bytes((ticket[at] ^ flip,)) + ticket[at + 1 :]) is None
        assert made.open(ticket[:at]) is None
    assert made.open(ticket + b"\0") is None
    assert made.open(b"") is None


@pytest.mark.parametrize("secret", [None, b"s" * 32], ids=["of its own", "shared"])
def test_rotation(secret: bytes | None) -> None:
    """A new key each epoch; those of the last two are still read, and no older one."""
    clock = Clock(1000.0)
    made = keys(clock, secret=secret)
    ticket = made.seal(b"state")
    names = {ticket[:16]}
    for epochs in range(1, READ_EPOCHS + 3):
        clock.now = 1000.0 + 100 * epochs
        assert made.open(ticket) == (b"state" if epochs <= READ_EPOCHS else None), epochs
        names.add(made.seal(b"another")[:16])
    assert len(names) == READ_EPOCHS + 3
    assert len(made._keys) <= READ_EPOCHS + 2


def test_a_key_is_kept_for_its_epoch() -> None:
    clock = Clock(1000.0)
    made = keys(clock)
    first = made.seal(b"")[:16]
    clock.now = 1099.9
    assert made.seal(b"")[:16] == first
    clock.now = 1100
    assert made.seal(b"")[:16] != first


def test_a_clock_that_goes_back_ten_years_and_forth() -> None:
    clock = Clock()
    made = keys(clock)
    ticket = made.seal(b"state")
    clock.now -= 10 * 365 * 86400
    assert made.open(ticket) is None
    assert made.open(made.seal(b"old")) == b"old"
    clock.now += 20 * 365 * 86400
    assert made.open(ticket) is None
    assert made.open(made.seal(b"new")) == b"new"


def test_a_shared_secret() -> None:
    """Two processes with one secret read each other's tickets, also where one's clock is an epoch ahead; strangers do not."""
    clock, ahead = Clock(1000.0), Clock(1100.0)
    one, other = keys(clock, secret=b"s" * 32), keys(ahead, secret=b"s" * 32)
    assert other.open(one.seal(b"state")) == b"state"
    assert one.open(other.seal(b"state")) == b"state"
    for stranger in (keys(clock, secret=b"t" * 32), keys(clock)):
        assert stranger.open(one.seal(b"state")) is None
        assert one.open(stranger.seal(b"state")) is None


@pytest.mark.parametrize("how", [{"secret": b"s" * 31}, {"secret": b""}, {"rotate": 0}, {"rotate": -1}])
def test_ticket_keys_that_cannot_be(how: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        TicketKeys(**how)


# resumption ---------------------------------------------------------------------------------------------------------------

BY = {"ticket": {}, "session ID": {"tickets": None}}
by_both = pytest.mark.parametrize("by", BY)

Fields = dict[str, Any]


class Pair:
    """A client and a server that meet again and again."""

    def __init__(self, pki: Pki, by: str = "ticket", client: Fields | None = None, server: Fields | None = None) -> None:
        self.clock = Clock()
        self.ours = pki.client_config(**{"policy": SAFE, "clock": self.clock, "session_store": MemoryStore(), **(client or {})})
        self.theirs = pki.server_config(
            **{"policy": SAFE, "clock": self.clock, "tickets": TicketKeys(clock=self.clock), **BY[by], **(server or {})}
        )

    def change(self, client: Fields | None = None, server: Fields | None = None) -> None:
        self.ours = dataclasses.replace(self.ours, **(client or {}))
        self.theirs = dataclasses.replace(self.theirs, **(server or {}))

    def meet(
        self, *, name: str = "localhost", port: int | None = None, client_lie: Lie = truth, server_lie: Lie = truth
    ) -> tuple[ClientConnection, ServerConnection]:
        """Whatever comes of it."""
        from tests.liar import lying

        client = lying(lambda: ClientConnection(self.ours, server_hostname=name, port=port), client_lie)
        server = lying_server(self.theirs, server_lie)
        meet(client, server)
        return client, server

    def resumed(self, **how: Any) -> bool:
        """Whether a handshake, which completes, resumed; with data both ways."""
        client, server = self.meet(**how)
        assert client.handshake_completed, client.error
        assert server.handshake_completed, server.error
        assert client.info.resumed is server.info.resumed
        for one, other in ((client, server), (server, client)):
            one.send_data(b"hello")
            assert other.receive_data(one.data_to_send())[0].data == b"hello"  # type: ignore[union-attr]
        label = ("EXPORTER-test", b"", 32)
        assert client.info.export_keying_material(*label) == server.info.export_keying_material(*label)
        assert client.info.channel_binding("tls-unique") == server.info.channel_binding("tls-unique")
        return client.info.resumed


@by_both
@pytest.mark.parametrize(
    "suite",
    [
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    ],
)
def test_resumption(pki: Pki, by: str, suite: str) -> None:
    """RFC 5246 figure 2 and RFC 5077, as often as one likes; the bytes go in pieces, too."""
    policy = LEGACY.replace(cipher_suites=(suite,))
    pair = Pair(pki, by, {"policy": policy}, {"policy": policy})
    assert [pair.resumed() for _ in range(4)] == [False, True, True, True]
    pair.change(client={"policy": policy.replace(groups=("secp256r1",))})
    client, server = ClientConnection(pair.ours, server_hostname="localhost"), ServerConnection(pair.theirs)
    meet(client, server, chop=lambda data: [data[at : at + 1] for at in range(len(data))])
    assert client.info.resumed
    assert server.info.resumed
    assert client.info.cipher_suite == server.info.cipher_suite == suite
    assert client.info.group == server.info.group == "x25519", "that of the session's secret"
    assert client.info.peer_chain == pair.theirs.credentials[0].chain


@pytest.mark.parametrize("policy", [SAFE, Policy.modern], ids=["1.2", "1.3"])
def test_what_was_stapled_is_remembered(pki: Pki, policy: Policy) -> None:
    """As the certificate is that it came with; a server that is asked anew has nothing to say of it."""
    stapled = pki.server().stapled(ocsp_response=pki.stapled.ocsp_response, scts=(b"an SCT", b"another"))
    pair = Pair(pki, "ticket", {"policy": policy, "request_staples": True}, {"policy": policy, "credentials": (stapled,)})
    for resumed in (False, True, True):
        client, server = pair.meet()
        assert (client.info.resumed, server.info.resumed) == (resumed, resumed)
        assert (client.info.ocsp_response, client.info.scts) == (stapled.ocsp_response, stapled.scts)
        assert (server.info.ocsp_response, server.info.scts) == (b"", ())
        pair.change(server={"credentials": (pki.server(),)})


@by_both
def test_resumption_where_both_have_tls13(pki: Pki, by: str) -> None:
    """A hello of both versions resumes at a server of TLS 1.2, and is no hindrance at one that has both by now."""
    pair = Pair(pki, by, {"policy": Policy.intermediate})
    assert [pair.resumed() for _ in range(3)] == [False, True, True]
    pair.change(server={"policy": Policy.intermediate})
    client, server = pair.meet()
    assert client.info.version == "TLSv1.3"
    assert not client.info.resumed
    assert server.handshake_completed


@by_both
def test_resumption_with_a_client_certificate(pki: Pki, by: str) -> None:
    """The server knows whom it talks to as it did before."""
    credential = pki.client()
    pair = Pair(pki, by, {"credential": credential}, {"client_auth": ClientAuth.require, "trust": pki.trust})
    assert not pair.resumed()
    client, server = pair.meet()
    assert client.info.resumed
    assert server.info.peer_chain == credential.chain
    assert client.info.signature_scheme == server.info.client_signature_scheme == "ecdsa_secp256r1_sha256"
    root = pki.authority.root.public_bytes(Encoding.DER)
    assert client.info.verified_chain[-1] == server.info.verified_chain[-1] == root


def test_tickets_are_renewed(pki: Pki) -> None:
    """RFC 5077 section 3.3: with each resumption a fresh ticket, but not a longer life."""
    pair = Pair(pki)
    tickets, hints = [], []

    def note(message: Any) -> list[Any]:
        tickets.append(message.ticket)
        hints.append(message.ticket_lifetime_hint)
        return [message]

    for _ in range(4):
        pair.meet(server_lie=instead(NewSessionTicket12, note))
        pair.clock.now += 6 * 3600
    assert len(set(tickets)) == 4
    assert all(b < a for a, b in itertools.pairwise(hints))
    assert hints[0] - hints[3] in range(3 * 6 * 3600 - 1, 3 * 6 * 3600 + 2)
    pair.clock.now += 1
    assert not pair.resumed()


def test_an_empty_ticket_leaves_the_old_one(pki: Pki) -> None:
    """RFC 5077 section 3.3: a server that said it would send one may send none."""
    pair = Pair(pki)
    assert not pair.resumed()
    assert pair.resumed(server_lie=edit(NewSessionTicket12, lambda message: setattr(message, "ticket", b"")))
    assert pair.resumed()
    fresh = Pair(pki)
    assert not fresh.resumed(server_lie=edit(NewSessionTicket12, lambda message: setattr(message, "ticket", b"")))
    assert not fresh.resumed()


def test_a_chain_too_long_for_a_ticket(pki: Pki) -> None:
    """The client's chain stands in the ticket; where that is too long, there is none, and all else goes on."""
    pair = Pair(pki, server={"tickets": Lengthy()})
    assert not pair.resumed()
    assert not pair.resumed()


class Lengthy(TicketKeys):
    def seal(self, state: bytes) -> bytes:
        return super().seal(state + bytes(2**16))


Change = Callable[[Pki], tuple[Fields, Fields]]
DIFFERENT: dict[str, Change] = {
    "the client's identity: gone": lambda pki: ({"credential": None}, {}),
    "the client's identity: another": lambda pki: ({"credential": pki.client("ed25519")}, {}),
    "the server requires a certificate": lambda pki: ({}, {"client_auth": ClientAuth.require}),
    "the server asks for none": lambda pki: ({}, {"client_auth": ClientAuth.none}),
    "the server trusts others, too": lambda pki: ({}, {"trust": both_trusted(pki)}),
    "the suite is in the client's policy no more": lambda pki: (
        {"policy": SAFE.replace(cipher_suites=("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",))},
        {},
    ),
    "the suite is in the server's policy no more": lambda pki: (
        {},
        {"policy": SAFE.replace(cipher_suites=("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",))},
    ),
    "the server's keys": lambda pki: ({}, {"tickets": TicketKeys(), "session_cache": MemoryStore()}),
    "the client's store": lambda pki: ({"session_store": MemoryStore()}, {}),
    "no store at the client": lambda pki: ({"session_store": None}, {}),
    "no memory at the server": lambda pki: ({}, {"tickets": None, "session_cache": None}),
}


def both_trusted(pki: Pki) -> Any:
    from minitls.certificates.trust import TrustStore

    return TrustStore.from_certificates([pki.authority.root, pki.strangers.root])


@by_both
@pytest.mark.parametrize("what", DIFFERENT)
def test_not_resumed_where_something_is_different(pki: Pki, by: str, what: str) -> None:
    """What a session is bound to: where it is another now, there is a full handshake."""
    pair = Pair(pki, by, {"credential": pki.client()}, {"client_auth": ClientAuth.request, "trust": pki.trust})
    assert not pair.resumed()
    assert pair.resumed()
    client, server = DIFFERENT[what](pki)
    if by == "session ID" and server.get("tickets"):
        server["tickets"] = None
    pair.change(client, server)
    assert not pair.resumed()


@by_both
def test_another_name_or_port(pki: Pki, by: str) -> None:
    """The key of the client's store: host and port."""
    pair = Pair(pki, by, server={"credentials": (pki.server("p256", "localhost", "other.example"),)})
    assert not pair.resumed(port=443)
    assert pair.resumed(port=443)
    assert not pair.resumed(port=444)
    assert not pair.resumed(port=443, name="other.example")
    assert pair.resumed(port=443)


@by_both
@pytest.mark.parametrize("said", ["other.example", None])
def test_a_ticket_of_one_host_at_another(pki: Pki, by: str, said: str | None) -> None:
    """The server looks at the name, too: the client says another one than the session is for."""
    from minitls.wire.extensions import ServerName

    def lie(hello: Any) -> None:
        if said is None:
            del hello.extensions[X.server_name]
        else:
            hello.extensions[X.server_name] = (ServerName(0, said.encode()),)

    pair = Pair(pki, by)
    assert not pair.resumed()
    _, server = pair.meet(client_lie=edit(ClientHello, lie))
    assert not server.info.resumed


@by_both
def test_a_session_whose_suite_the_client_does_not_offer(pki: Pki, by: str) -> None:
    """RFC 5246 section 7.4.1.2: it must; if not, the server takes another suite, and with it a full handshake."""
    pair = Pair(pki, by)
    assert not pair.resumed()
    client, server = pair.meet(client_lie=edit(ClientHello, lambda hello: setattr(hello, "cipher_suites", (0xCCA9,))))
    assert not server.info.resumed
    assert server.info.cipher_suite == "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    assert client.handshake_completed


@by_both
@pytest.mark.parametrize("later", [24 * 3600, 25 * 3600, 10 * 365 * 86400, -86400])
def test_an_old_session(pki: Pki, by: str, later: float) -> None:
    """RFC 5246 section F.1.4: a day, on both sides; and a clock that goes back."""
    for side in ("client", "server"):
        pair = Pair(pki, by, {"verify": Danger.accept_any_certificate})
        assert not pair.resumed()
        stopped = Clock(pair.clock.now)
        if side == "server":  # the client does not notice
            pair.change({"clock": stopped})
        else:
            pair.change(server={"clock": stopped})
        pair.clock.now += later
        assert not pair.resumed()


@by_both
def test_an_expired_certificate(pki: Pki, by: str) -> None:
    """Verified again before it is offered: the session ends with the certificate, and is forgotten."""
    import datetime

    soon = datetime.timedelta(hours=1)
    credential = pki.authority.issue("localhost", valid_from=NOW - soon, valid_until=NOW + soon).credential()
    pair = Pair(pki, by, server={"credentials": (credential,)})
    assert not pair.resumed()
    assert pair.resumed()
    pair.clock.now += 2 * 3600
    client, _ = pair.meet()
    assert client.error is not None
    assert client.error.alert is Alert.certificate_expired  # type: ignore[attr-defined]
    assert pair.ours.session_store is not None
    assert pair.ours.session_store.get("localhost:") is None


@by_both
def test_a_server_that_is_trusted_no_more(pki: Pki, by: str) -> None:
    pair = Pair(pki, by)
    assert not pair.resumed()
    pair.change({"trust": pki.strangers.trust()})
    client, _ = pair.meet()
    assert client.error is not None
    assert client.error.alert is Alert.unknown_ca  # type: ignore[attr-defined]


@by_both
def test_a_session_made_without_verification(pki: Pki, by: str) -> None:
    """It is in the store, and worth nothing to who verifies."""
    pair = Pair(pki, by, {"verify": Danger.accept_any_certificate}, {"credentials": (pki.untrusted,)})
    assert [pair.resumed(), pair.resumed()] == [False, True]
    pair.change({"verify": None})
    client, _ = pair.meet()
    assert not client.info.resumed
    assert client.error is not None


@by_both
def test_an_expired_client_certificate(pki: Pki, by: str) -> None:
    """The server verifies again, too; a client that does not look gets a full handshake, and is refused there."""
    import datetime

    soon = datetime.timedelta(hours=1)
    credential = pki.authority.issue("client", client=True, valid_from=NOW - soon, valid_until=NOW + soon).credential()
    pair = Pair(pki, by, {"credential": credential}, {"client_auth": ClientAuth.require, "trust": pki.trust})
    assert [pair.resumed(), pair.resumed()] == [False, True]
    pair.clock.now += 2 * 3600
    _, server = pair.meet()
    assert not server.info.resumed
    assert server.error is not None
    assert server.error.alert is Alert.certificate_expired  # type: ignore[attr-defined]


# the extended master secret (RFC 7627 section 5.3) ------------------------------------------------------------------------


def legacy_pair(pki: Pki, by: str) -> Pair:
    return Pair(pki, by, {"policy": LEGACY}, {"policy": LEGACY})


@by_both
def test_the_client_takes_the_extended_master_secret_back(pki: Pki, by: str) -> None:
    """The server aborts: somebody may be between them."""
    pair = legacy_pair(pki, by)
    assert not pair.resumed()
    client, server = pair.meet(client_lie=edit(ClientHello, lambda hello: hello.extensions.pop(X.extended_master_secret)))
    assert isinstance(server.error, PeerIncompatible)
    assert (server.error.alert, server.error.rule) == (Alert.handshake_failure, "RFC 7627 5.3")
    assert not client.handshake_completed


@by_both
def test_the_server_takes_the_extended_master_secret_back(pki: Pki, by: str) -> None:
    """The client aborts."""
    pair = legacy_pair(pki, by)
    assert not pair.resumed()
    client, _ = pair.meet(server_lie=edit(ServerHello, lambda hello: hello.extensions.pop(X.extended_master_secret)))
    assert isinstance(client.error, PeerMisbehaved)
    assert (client.error.alert, client.error.rule) == (Alert.handshake_failure, "RFC 7627 5.3")


@by_both
def test_the_server_adds_the_extended_master_secret(pki: Pki, by: str) -> None:
    """To a session that was made without it: the client aborts."""
    pair = legacy_pair(pki, by)
    without, again = (edit(ClientHello, lambda hello: hello.extensions.pop(X.extended_master_secret)) for _ in range(2))
    pair.meet(client_lie=without)
    added = edit(ServerHello, lambda hello: hello.extensions.update({X.extended_master_secret: None}))
    client, _ = pair.meet(client_lie=again, server_lie=added)
    assert isinstance(client.error, PeerMisbehaved)
    assert (client.error.alert, client.error.reason) == (Alert.handshake_failure, "resumed_non_ems_session_with_ems_extension")


@by_both
def test_the_extended_master_secret_comes_later(pki: Pki, by: str) -> None:
    """A session without it is not resumed by a hello that has it: there is a full handshake."""
    pair = legacy_pair(pki, by)
    client, server = pair.meet(client_lie=edit(ClientHello, lambda hello: hello.extensions.pop(X.extended_master_secret)))
    assert server.handshake_completed
    assert client.handshake_completed
    assert not client.info.extended_master_secret
    assert not pair.resumed()
    assert pair.resumed()


@by_both
def test_a_session_without_it_is_not_offered_under_a_safe_policy(pki: Pki, by: str) -> None:
    pair = legacy_pair(pki, by)
    client, _ = pair.meet(client_lie=edit(ClientHello, lambda hello: hello.extensions.pop(X.extended_master_secret)))
    assert client.handshake_completed
    pair.change({"policy": SAFE})
    hello = ClientConnection(pair.ours, server_hostname="localhost").info.client_hello
    assert (hello.legacy_session_id, hello.extensions[X.session_ticket]) == (b"", b"")


# servers that lie about resumption ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [SAFE, Policy.intermediate], ids=["1.2", "1.3 and 1.2"])
def test_a_server_resumes_what_was_not_offered(pki: Pki, policy: Policy) -> None:
    """It echoes a session ID that names no session of ours."""
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")
    echo = client.info.client_hello.legacy_session_id
    lie = edit(ServerHello, lambda hello: setattr(hello, "legacy_session_id_echo", echo))
    server = lying_server(pki.server_config(policy=SAFE, tickets=None), lie)
    meet(client, server)
    if policy is SAFE:  # nothing to echo: a full handshake without a name for the session
        assert client.error is None
        assert not client.info.resumed
        return
    assert isinstance(client.error, PeerMisbehaved)
    assert (client.error.alert, client.error.reason) == (Alert.illegal_parameter, "wrong_session_id")


@by_both
@pytest.mark.parametrize("suite", [0xC02C, 0xCCA9])
def test_a_server_resumes_with_another_suite(pki: Pki, by: str, suite: int) -> None:
    pair = Pair(pki, by)
    assert not pair.resumed()
    client, _ = pair.meet(server_lie=edit(ServerHello, lambda hello: setattr(hello, "cipher_suite", suite)))
    assert isinstance(client.error, PeerMisbehaved)
    assert (client.error.alert, client.error.rule) == (Alert.illegal_parameter, "RFC 5246 7.4.1.3")


@by_both
def test_a_server_that_forgot_the_secret(pki: Pki, by: str) -> None:
    """Its Finished does not open, or is wrong."""
    pair = Pair(pki, by)
    assert not pair.resumed()
    store = pair.ours.session_store
    assert isinstance(store, MemoryStore)
    session = store.get("localhost:")
    assert session is not None
    store.put("localhost:", dataclasses.replace(session, secret=bytes(48)))
    client, server = pair.meet()
    assert client.error is not None
    assert client.error.alert is Alert.bad_record_mac  # type: ignore[attr-defined]
    assert not server.handshake_completed


# tickets from somebody else -----------------------------------------------------------------------------------------------


def test_ticket_tampering(pki: Pki) -> None:
    """Whatever the client sends as a ticket: a full handshake, or the session that is in it."""
    pair = Pair(pki)
    assert not pair.resumed()
    assert isinstance(pair.ours.session_store, MemoryStore)
    session = pair.ours.session_store.get("localhost:")
    assert session is not None
    assert pair.theirs.tickets is not None
    ticket = session.ticket
    state = pair.theirs.tickets.open(ticket)
    assert state is not None
    session = Session.from_bytes(state)  # as the server has it
    sealed = pair.theirs.tickets.seal
    others = {
        "empty": b"",
        "one byte": b"x",
        "cut": ticket[:-1],
        "flipped": ticket[:-1] + bytes((ticket[-1] ^ 1,)),
        "long": ticket + bytes(1000),
        "sealed by us, and no session": sealed(b"not a session"),
        "of an older format": sealed(bytes((FORMAT - 1,)) + session.to_bytes()[1:]),
        "of TLS 1.3": sealed(dataclasses.replace(session, version=0x0304).to_bytes()),
        "of a suite that nobody knows": sealed(dataclasses.replace(session, cipher_suite=0x9999).to_bytes()),
    }
    for name, other in others.items():
        lie = edit(ClientHello, lambda hello, other=other: hello.extensions.update({X.session_ticket: other}))
        client, server = pair.meet(client_lie=lie)
        assert not server.info.resumed, name
        assert client.error is None or "hello" not in str(client.error), name
    for good in (ticket, sealed(session.to_bytes())):
        server = ServerConnection(pair.theirs)
        lie = edit(ClientHello, lambda hello, good=good: hello.extensions.update({X.session_ticket: good}))
        meet(lying_client(pair.ours, lie), server)
        assert server.info.resumed


def test_a_store_that_takes_its_time(pki: Pki) -> None:
    """Both sides' stores may be somewhere else, and async."""
    inner = MemoryStore(), MemoryStore()

    class Slow:
        def __init__(self, store: MemoryStore) -> None:
            self.store = store

        async def get(self, key: str) -> Session | None:
            return self.store.get(key)

        async def put(self, key: str, session: Session) -> None:
            self.store.put(key, session)

        async def take(self, key: str) -> Session | None:
            return self.store.take(key)

    pair = Pair(pki, "session ID", {"session_store": Slow(inner[0])}, {"session_cache": Slow(inner[1])})
    for expected in (False, True):
        client, server = pair.meet()
        for _ in range(10):
            for side in (client, server):
                if side.question is not None:
                    with pytest.raises(StopIteration) as done:
                        side.question.awaitable.send(None)  # type: ignore[attr-defined]
                    side.answer(side.question, done.value.value)
            exchange(client, server)
        assert client.handshake_completed
        assert server.handshake_completed
        assert client.info.resumed is server.info.resumed is expected


def configurations(pki: Pki) -> tuple[ClientConfig, ServerConfig]:
    return ClientConfig(policy=SAFE), pki.server_config(policy=SAFE)


def test_two_configurations_share_nothing_by_default(pki: Pki) -> None:
    """Stores and ticket keys belong to their configuration object."""
    (a, b), (c, d) = configurations(pki), configurations(pki)
    assert a.session_store is not c.session_store
    assert b.tickets is not d.tickets
    assert b.session_cache is not d.session_cache
