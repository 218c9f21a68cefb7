"""Resumption in TLS 1.3 through the engine: tickets, what a session is bound to, and who may come back."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from minitls import (
    Alert,
    CertificateError,
    ClientAuth,
    ExternalPsk,
    Misuse,
    Policy,
    ServerConnection,
    TicketReceived,
)
from minitls.certificates.trust import TrustStore
from minitls.crypto.groups import GROUPS
from minitls.crypto.suites import SUITES
from minitls.handshake.resume13 import MAX_COUNT
from minitls.sessions.session import MAX_LIFETIME, Session
from minitls.sessions.store import PER_KEY, MemoryStore
from minitls.sessions.tickets import READ_EPOCHS, TicketKeys
from minitls.wire.extensions import TicketRequest
from minitls.wire.messages import EncryptedExtensions, Finished, NewSessionTicket
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import NamedGroup, PskKeyExchangeMode
from tests.conftest import NOW, Pki
from tests.liar import edit
from tests.resuming import (
    AES128,
    AES256,
    CHACHA20,
    DAY,
    QUICK,
    START,
    Clock,
    Fields,
    Pair,
    answer,
    asked,
    check_open,
    exported,
    hellos,
    identities,
    reseal,
    result,
    suites,
    talk,
    tickets_of,
)

DHE, ALONE = PskKeyExchangeMode.psk_dhe_ke, PskKeyExchangeMode.psk_ke


# resumption ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_resumption(pki: Pki, suite: Any) -> None:
    """Figure 3 of RFC 8446, again and again: nobody shows a certificate, and both know whom they talk to as before."""
    pair = Pair(pki, suites(suite.name), suites(suite.name))
    first = pair.meet()
    assert first.completed == (True, True)
    exports = {exported(first.client)}
    for _ in range(3):
        pair.clock.now += 100
        meeting = pair.meet()
        check_open(meeting.client, meeting.server)
        exports.add(exported(meeting.client))
        for info in (meeting.client.info, meeting.server.info):
            assert (info.resumed, info.resumption) == (True, "psk_dhe_ke")
            assert info.authenticated == pytest.approx(START, abs=0.01)
            assert (info.cipher_suite, info.group) == (suite.name, "x25519")
            assert (info.psk_identity, info.early_data_accepted) == (None, False)
        assert meeting.client.info.peer_signature_code == first.client.info.peer_signature_code != 0
        assert meeting.client.info.peer_chain == first.client.info.peer_chain != ()
        assert meeting.client.info.verified_chain == first.client.info.verified_chain != ()
        assert meeting.client.info.channel_binding("tls-exporter") == meeting.server.info.channel_binding("tls-exporter")
    assert len(exports) == 4
    assert (first.client.info.resumption, first.client.info.authenticated) == (None, START)


def test_the_sessions_suite_is_kept(pki: Pki) -> None:
    """Whatever the server likes best; where it has no more, another of the same hash does (RFC 8446 section 4.2.11)."""
    pair = Pair(pki, suites(CHACHA20), suites(CHACHA20))
    pair.meet()
    pair.change(suites(AES128, CHACHA20), suites(AES128, CHACHA20))
    assert pair.meet().server.info.cipher_suite == CHACHA20
    pair.change(suites(AES128), suites(AES128))
    info = pair.meet().server.info
    assert (info.cipher_suite, info.resumed) == (AES128, True)


@pytest.mark.parametrize("role", ["client", "server"])
def test_another_hash(pki: Pki, role: str) -> None:
    """A PSK is of one hash (section 4.2.11): it is offered only beside a suite of that, and taken only with one."""
    pair = Pair(pki, suites(AES128, AES256), suites(AES128, AES256))
    pair.meet()
    pair.change(**{role: suites(AES256)})
    client = pair.meet().client
    assert (bool(identities(client)), client.info.resumed) == (role == "server", False)
    assert client.info.cipher_suite == AES256
    assert pair.resumed()


@pytest.mark.parametrize("retry", [False, True], ids=["", "retry"])
@pytest.mark.parametrize("group", [code for code in GROUPS if code in Policy().groups], ids=lambda code: NamedGroup(code).name)
def test_each_group(pki: Pki, group: int, retry: bool) -> None:
    """psk_dhe_ke, also across a HelloRetryRequest: the session is offered again, with another binder (section 4.1.4)."""
    policy = Policy(groups=(group,), key_shares=() if retry else None)
    pair = Pair(pki, {"policy": policy}, {"policy": policy})
    assert not pair.resumed()
    client, server = pair.connections()
    server.receive_data(client.data_to_send())
    if retry:
        client.receive_data(server.data_to_send())
        again = client.data_to_send()
        first, second = (hello.extensions[X.pre_shared_key] for hello in (client.info.client_hello, *hellos(again)))
        assert first.identities == second.identities
        assert first.binders != second.binders
        server.receive_data(again)
    talk(client, server)
    assert client.info.resumed
    assert client.info.hello_retry is server.info.hello_retry is retry
    assert client.info.group == server.info.group == NamedGroup(group).name
    check_open(client, server)


@pytest.mark.parametrize(("suite", "left"), [(AES128, [32]), (AES256, [48])])
def test_a_retry_drops_the_psks_of_the_other_hash(pki: Pki, suite: str, left: list[int]) -> None:
    """Section 4.1.4: the suite is settled, and the PSKs that do not fit it are of no use; nobody minds."""
    psk = ExternalPsk(b"shared", bytes(16), context=b"")  # imported, it stands for both hashes
    pair = Pair(pki, suites(AES128, AES256, key_shares=()) | {"psk": lambda _: psk}, suites(suite) | {"send_cookie": True})
    client, server = pair.connections()
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    (second,) = hellos(client.data_to_send())
    assert [len(binder) for binder in client.info.client_hello.extensions[X.pre_shared_key].binders] == [32, 48]
    assert [len(binder) for binder in second.extensions[X.pre_shared_key].binders] == left


def test_a_retry_that_leaves_no_psk(pki: Pki) -> None:
    """Section 4.1.4: the second hello goes without pre_shared_key, and ends in a full handshake."""
    pair = Pair(pki, suites(AES128, AES256, key_shares=()), suites(AES128))
    pair.meet()
    pair.change(server=suites(AES256))
    assert identities(pair.connections()[0])
    pair.meet()
    pair.change(server=suites(AES128))
    meeting = pair.meet()
    assert meeting.client.info.hello_retry
    assert not meeting.client.info.resumed
    check_open(meeting.client, meeting.server)


def test_one_byte_at_a_time(pki: Pki) -> None:
    """Chopping changes nothing."""
    from tests.liar import meet

    pair = Pair(pki)
    pair.meet()
    meeting = meet(*pair.connections(), chop=lambda data: [data[at : at + 1] for at in range(len(data))])
    assert meeting.client.info.resumed
    check_open(meeting.client, meeting.server)


def test_a_session_as_bytes(pki: Pki) -> None:
    """What was written somewhere and read again resumes."""
    pair = Pair(pki)
    pair.meet()
    data = pair.session().to_bytes()
    pair.change({"session_store": MemoryStore()})
    assert not pair.resumed()
    pair.ours.session_store.take("localhost:")  # type: ignore[union-attr]
    pair.ours.session_store.put("localhost:", Session.from_bytes(data))  # type: ignore[union-attr]
    assert pair.resumed()


def test_without_ticket_tickets_but_with_a_name_of_none(pki: Pki) -> None:
    """An address is no server_name (RFC 6066 section 3): sessions with it are bound to it by the client alone."""
    pair = Pair(pki)
    assert not pair.resumed(name="127.0.0.1")
    assert pair.resumed(name="127.0.0.1")
    assert not pair.resumed()


# tickets ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 16])
def test_ticket_count(pki: Pki, count: int) -> None:
    """So many after a full handshake, each another; one after a resumed one, in place of the one that was used."""
    pair = Pair(pki, server={"ticket_count": count})
    received = tickets_of(pair.meet())
    assert len({event.ticket.ticket for event in received}) == len({event.ticket.ticket_nonce for event in received}) == count
    assert len({event.session.secret for event in received if event.session}) == count
    left = min(count, PER_KEY)
    for _ in range(3):
        meeting = pair.meet()
        assert len(tickets_of(meeting)) == bool(count)
        assert meeting.client.info.resumed is bool(count)
    assert len([1 for _ in range(PER_KEY + 1) if pair.store.take("localhost:")]) == left


@pytest.mark.parametrize(
    ("wanted", "count", "given"),
    [
        ((3, 2), 2, [3, 2, 2]),
        ((1, 5), 9, [1, 5, 5]),
        ((255, 255), 2, [MAX_COUNT, MAX_COUNT, MAX_COUNT]),
        ((1, 0), 2, [1, 0, 1]),
        ((0, 9), 2, [0, 0, 0]),
        ((3, 3), 0, [0, 0, 0]),
    ],
)
def test_ticket_request(pki: Pki, wanted: tuple[int, int], count: int, given: list[int]) -> None:
    """RFC 9149 section 3: as many as the client asks for, within reason, and the server says how many."""
    pair = Pair(pki, {"tickets_wanted": wanted}, {"ticket_count": count})
    for expected in given:
        said: list[int] = []

        def note(message: Any, said: list[int] = said) -> None:
            said.append(message.extensions[X.ticket_request])

        meeting = pair.meet(server_lie=edit(EncryptedExtensions, note))
        assert len(tickets_of(meeting)) == expected
        assert said == [expected]
        assert meeting.client.info.client_hello.extensions[X.ticket_request] == TicketRequest(*wanted)


def test_ticket_request_is_answered_only_where_it_was_made(pki: Pki) -> None:
    """RFC 9149 section 3: a client that did not ask would have to refuse the answer (RFC 8446 section 4.2)."""
    meeting = Pair(pki).meet(server_lie=edit(EncryptedExtensions, lambda m: m.extensions.update({X.ticket_request: 1})))
    assert (meeting.client_error.alert, meeting.client_error.reason) == (Alert.unsupported_extension, "unsolicited_extension")


def test_no_tickets_for_who_cannot_use_them(pki: Pki) -> None:
    """Section 4.2.9: psk_key_exchange_modes says whether a client can; ours can if it has a store."""
    pair = Pair(pki, {"session_store": None})
    meeting = pair.meet()
    assert X.psk_key_exchange_modes not in meeting.client.info.client_hello.extensions
    assert not tickets_of(meeting)
    pair.change({"session_store": MemoryStore()}, {"tickets": None})
    assert not tickets_of(pair.meet())


def test_each_ticket_is_offered_once(pki: Pki) -> None:
    """Section C.4: who watches cannot tell by a ticket that it is the same client again."""
    pair = Pair(pki)
    offered = [identity for _ in range(6) for identity in identities(pair.meet().client)]
    assert len(offered) == len(set(offered)) == 5
    client, _ = pair.connections()
    other, _ = pair.connections()
    assert identities(client) != identities(other)


def test_the_lifetime_of_a_ticket(pki: Pki) -> None:
    """Section 4.6.1: both sides look at it."""
    pair = Pair(pki, server={"ticket_lifetime": 100})
    (received, _) = tickets_of(pair.meet())
    assert received.ticket.ticket_lifetime == received.session.lifetime == 100  # type: ignore[union-attr]
    pair.clock.now += 99
    assert pair.resumed()
    pair.clock.now += 100
    assert not identities(pair.connections()[0])
    pair.meet()
    late = Clock(pair.clock.now)
    pair.change({"clock": late})
    pair.clock.now += 101
    client, server = pair.connections()
    assert identities(client)
    assert not talk(client, server).server.info.resumed


@pytest.mark.parametrize(("says", "kept"), [(0, None), (1, 1), (MAX_LIFETIME, MAX_LIFETIME), (2**32 - 1, MAX_LIFETIME)])
def test_the_lifetime_that_a_server_says(pki: Pki, says: int, kept: int | None) -> None:
    """Section 4.6.1: seven days at most, whatever it says; 0 means to forget the ticket at once."""
    pair = Pair(pki)
    meeting = pair.meet(server_lie=edit(NewSessionTicket, lambda message: setattr(message, "ticket_lifetime", says)))
    received = tickets_of(meeting)[0]
    assert received.ticket.ticket_lifetime == says
    assert (received.session and received.session.lifetime) == kept


@pytest.mark.parametrize("lying", [False, True], ids=["", "server lies"])
def test_no_chain_of_resumptions_lives_for_ever(pki: Pki, lying: bool) -> None:
    """Section 4.6.1: each renews the ticket, none the proof; seven days after that there is a new one."""
    pair = Pair(pki, server={"ticket_lifetime": MAX_LIFETIME})
    lie = edit(NewSessionTicket, lambda message: setattr(message, "ticket_lifetime", MAX_LIFETIME)) if lying else edit(Finished, id)
    resumed = []
    for day in range(9):
        pair.clock.now = START + day * DAY
        meeting = pair.meet(server_lie=lie)
        resumed.append(meeting.client.info.resumed)
        for side in meeting.client, meeting.server:
            assert side.info.authenticated == pytest.approx(START + 7 * DAY * (day >= 7), abs=0.01)
    assert resumed == [day not in (0, 7) for day in range(9)]


def test_the_last_second_of_a_chain_brings_no_ticket(pki: Pki) -> None:
    """A ticket that is too old at once is not sent, by request neither."""
    pair = Pair(pki, server={"ticket_lifetime": MAX_LIFETIME, "tickets": TicketKeys(rotate=9 * DAY)})
    pair.meet()
    pair.clock.now += 7 * DAY - 0.5
    meeting = pair.meet()
    assert meeting.client.info.resumed
    assert not tickets_of(meeting)
    meeting.server.send_ticket()  # type: ignore[attr-defined]
    assert meeting.server.data_to_send() == b""


def test_send_ticket(pki: Pki) -> None:
    """Section 4.6.1: at any time, and as good as those of the handshake."""
    pair = Pair(pki, server={"ticket_count": 0})
    client, server = pair.connections()
    talk(client, server)
    for _ in range(3):
        pair.clock.now += 50
        assert server.send_ticket() is None
        (event,) = client.receive_data(server.data_to_send())
        assert isinstance(event, TicketReceived)
        assert event.session == pair.session()
        assert event.session.created == int(pair.clock.now * 1000)
        assert event.session.authenticated == int(START * 1000)
    assert [pair.resumed() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.0009])
def test_a_ticket_is_never_older_to_the_client(pki: Pki, part: float) -> None:
    """Section 4.2.11.1: ages are in milliseconds, and a server may refuse one that is more than its own."""
    pair = Pair(pki)
    pair.clock.now = START + part
    pair.meet()
    assert pair.session().created / 1000 >= pair.clock.now
    assert pair.resumed()


class SlowKeys:
    """Ticket keys that take their time; ``broken``: and have none now."""

    def __init__(self, clock: Clock) -> None:
        self.keys = TicketKeys(clock=clock)
        self.broken = False

    async def seal(self, state: bytes) -> bytes | None:
        return None if self.broken else self.keys.seal(state)

    async def open(self, ticket: bytes) -> bytes | None:
        return self.keys.open(ticket)


def test_ticket_keys_that_take_their_time(pki: Pki) -> None:
    """Each seal and open is a question; what send_ticket gives is awaited."""
    pair = Pair(pki)
    keys = SlowKeys(pair.clock)
    pair.change(server={"tickets": keys})
    meeting = pair.meet()
    assert asked(meeting.server_events) == ["seal", "seal"]
    assert len(tickets_of(meeting)) == 2
    meeting = pair.meet()
    assert asked(meeting.server_events) == ["open", "seal"]
    assert meeting.client.info.resumed
    sending = meeting.server.send_ticket()  # type: ignore[attr-defined]
    assert meeting.server.data_to_send() == b""
    result(sending)
    (event,) = meeting.client.receive_data(meeting.server.data_to_send())
    assert isinstance(event, TicketReceived)


def test_ticket_keys_that_have_none_now(pki: Pki) -> None:
    """Then there are no tickets, and all else goes on."""
    pair = Pair(pki)
    keys = SlowKeys(pair.clock)
    pair.change(server={"tickets": keys})
    pair.meet()
    keys.broken = True
    meeting = pair.meet()
    assert meeting.client.info.resumed
    assert not tickets_of(meeting)
    result(meeting.server.send_ticket())  # type: ignore[attr-defined]
    assert meeting.server.data_to_send() == b""


def test_a_ticket_that_comes_too_late(pki: Pki) -> None:
    """Closed while the keys take their time: nothing follows close_notify."""
    pair = Pair(pki)
    pair.change(server={"tickets": SlowKeys(pair.clock)})
    server = pair.meet().server
    sending = server.send_ticket()  # type: ignore[attr-defined]
    server.close()
    assert len(server.data_to_send()) == 24
    result(sending)
    assert server.data_to_send() == b""


class Lengthy(TicketKeys):
    def seal(self, state: bytes) -> bytes:
        return super().seal(state + bytes(2**16))


def test_a_state_too_long_for_a_ticket(pki: Pki) -> None:
    """A client's chain stands in the ticket; where that is too long, there is none, and all else goes on."""
    pair = Pair(pki, server={"tickets": Lengthy()})
    meeting = pair.meet()
    assert not tickets_of(meeting)
    check_open(meeting.client, meeting.server)


def test_send_ticket_where_none_can_be(pki: Pki) -> None:
    """Before the handshake is complete, after close, without keys, in TLS 1.2."""
    pair = Pair(pki)
    early = ServerConnection(pair.theirs)
    closed = pair.connections()
    talk(*closed)
    closed[1].close()
    pair.change(server={"tickets": None})
    without = pair.connections()
    talk(*without)
    old = Policy.intermediate.replace(versions=("TLSv1.2",))
    pair = Pair(pki, {"policy": old}, {"policy": old})
    tls12 = pair.connections()
    assert talk(*tls12).completed == (True, True)
    for server in (early, closed[1], without[1], tls12[1]):
        with pytest.raises(Misuse, match="tickets are given"):
            server.send_ticket()


@pytest.mark.parametrize("secret", [None, b"s" * 32], ids=["of its own", "shared"])
def test_keys_that_rotate(pki: Pki, secret: bytes | None) -> None:
    """A ticket of an epoch that is not read any more is as good as none."""
    pair = Pair(pki)
    pair.change(server={"tickets": TicketKeys(secret=secret, rotate=100, clock=pair.clock)})
    pair.clock.now = START - START % 100
    pair.meet()
    pair.clock.now += 100 * READ_EPOCHS
    assert pair.resumed()
    pair.meet()
    pair.clock.now += 100 * (READ_EPOCHS + 1)
    meeting = pair.meet()
    assert identities(meeting.client)
    assert not meeting.server.info.resumed
    assert pair.resumed()


# stores -------------------------------------------------------------------------------------------------------------------


class SlowStore(MemoryStore):
    """As a database would be."""

    async def put(self, key: str, session: Session) -> None:  # type: ignore[override]
        super().put(key, session)

    async def take(self, key: str) -> Session | None:  # type: ignore[override]
        return super().take(key)


def test_a_store_that_takes_its_time(pki: Pki) -> None:
    """``take`` is a question before the hello; ``put`` is in the event of the ticket, to be awaited."""
    store = SlowStore()
    pair = Pair(pki, {"session_store": store})
    client, server = pair.connections()
    assert client.data_to_send() == b""
    first = talk(client, server)
    for received in tickets_of(first):
        assert received.keeping is not None
        result(received.keeping)
    assert store.get("localhost:") is not None
    client, server = pair.connections()
    assert client.question is not None
    assert (client.question.name, client.question.args) == ("take", ("localhost:",))
    answer(client, [])
    meeting = talk(client, server)
    assert meeting.client.info.resumed
    for received in tickets_of(meeting):
        assert received.keeping is not None
        result(received.keeping)


def test_a_store_that_fails(pki: Pki) -> None:
    """It is the application's: its error goes through, and there is no hello."""
    store = SlowStore()
    client, _ = Pair(pki, {"session_store": store}).connections()
    assert client.question is not None
    with pytest.raises(OSError, match="no database"):
        client.answer_error(client.question, OSError("no database"))
    assert isinstance(client.error, OSError)


# what a session is bound to -----------------------------------------------------------------------------------------------


def both_trusted(pki: Pki) -> TrustStore:
    return TrustStore.from_certificates([pki.authority.root, pki.strangers.root])


Change = Callable[[Pki], tuple[Fields, Fields]]
DIFFERENT: dict[str, Change] = {
    "the client's identity: gone": lambda pki: ({"credential": None}, {}),
    "the client's identity: another": lambda pki: ({"credential": pki.client("ed25519")}, {}),
    "the server requires a certificate": lambda pki: ({}, {"client_auth": ClientAuth.require}),
    "the server asks for none": lambda pki: ({}, {"client_auth": ClientAuth.none}),
    "the server trusts others, too": lambda pki: ({}, {"trust": both_trusted(pki)}),
    "the client's suites": lambda pki: (suites(AES256), {}),
    "the server's suites": lambda pki: ({}, suites(AES256)),
    "the client's modes": lambda pki: ({"policy": QUICK.replace(psk_key_exchange_modes=("psk_ke",))}, {}),
    "the server's keys": lambda pki: ({}, {"tickets": TicketKeys()}),
    "the client's store": lambda pki: ({"session_store": MemoryStore()}, {}),
    "no store at the client": lambda pki: ({"session_store": None}, {}),
    "no tickets at the server": lambda pki: ({}, {"tickets": None}),
}
SAME: dict[str, Change] = {
    "nothing": lambda pki: ({}, {}),
    "one more application protocol": lambda pki: ({"alpn": ("http/1.1", "h2")}, {}),
    "the client's application protocol": lambda pki: ({"alpn": ("http/1.1",)}, {}),
    "the client has no application protocol": lambda pki: ({"alpn": ()}, {}),
    "the server's application protocol": lambda pki: ({}, {"alpn": ("http/1.1",)}),
    "another certificate of the server's": lambda pki: ({}, {"credentials": (pki.server("ed25519"),)}),
    "the server's groups": lambda pki: ({}, {"policy": QUICK.replace(groups=("secp256r1", "x25519"))}),
    "the client trusts others, too": lambda pki: ({"trust": both_trusted(pki)}, {}),
}


@pytest.mark.parametrize(("what", "same"), [*((what, True) for what in SAME), *((what, False) for what in DIFFERENT)])
def test_what_a_session_is_bound_to(pki: Pki, what: str, same: bool) -> None:
    """Where something of it is another now, there is a full handshake; where something else is, it is resumed."""
    client = {"policy": QUICK, "credential": pki.client(), "alpn": ("h2", "http/1.1")}
    pair = Pair(pki, client, {"client_auth": ClientAuth.request, "trust": pki.trust, "alpn": ("h2", "http/1.1")})
    assert not pair.resumed()
    assert pair.resumed()
    pair.change(*(SAME if same else DIFFERENT)[what](pki))
    assert pair.resumed() is same


def test_another_name_or_port(pki: Pki) -> None:
    """A client keeps sessions by name and port."""
    pair = Pair(pki, server={"credentials": (pki.server("p256", "localhost", "other.example"),)})
    assert not pair.resumed(port=443)
    for how in ({"port": 444}, {"port": None}, {"port": 443, "name": "other.example"}):
        assert not identities(pair.connections(**how)[0])
    assert pair.resumed(port=443)


@pytest.mark.parametrize(
    "changes",
    [{"server_name": b"other.example"}, {"identity": b"i" * 32}, {"created": 0}, {"version": 0x0303}, {"authenticated": 0}],
)
def test_a_store_that_gives_the_wrong_session(pki: Pki, changes: Fields) -> None:
    """A shared store may be anybody's: what a session says of itself is looked at, too."""
    pair = Pair(pki)
    pair.meet()
    pair.alter(**changes)
    assert not identities(pair.connections()[0])


def test_a_client_that_gave_up_tls13(pki: Pki) -> None:
    """A session of a version that is not in the policy any more is not offered, though its suite is still named there."""
    pair = Pair(pki)
    pair.meet()
    pair.change({"policy": Policy.intermediate.replace(versions=("TLSv1.2",))})
    assert not identities(pair.connections()[0])


@pytest.mark.parametrize("changes", [{"cipher_suite": 0x1399}, {"chain": ()}])
def test_a_session_that_cannot_be_offered(pki: Pki, changes: Fields) -> None:
    """Of a suite that we do not have, or with nobody: not offered, and no error."""
    pair = Pair(pki)
    pair.meet()
    pair.alter(**changes)
    assert not pair.resumed()


@pytest.mark.parametrize(
    "changes",
    [{"version": 0x0303}, {"cipher_suite": 0x1399}, {"server_name": b"o"}, {"context": b""}, {"format": 1}],
)
def test_a_ticket_of_something_else(pki: Pki, changes: Fields) -> None:
    """What a ticket of ours holds is looked at as well: keys may be shared with others."""
    pair = Pair(pki)
    pair.meet()
    assert identities(reseal(pair, **changes).connections()[0])
    pair.meet()
    assert reseal(pair).resumed()
    assert not reseal(pair, **changes).resumed()


def test_a_client_without_certificate_where_one_is_required(pki: Pki) -> None:
    """A ticket of the same context, but of nobody: as from keys that servers with other rules share."""
    pair = Pair(pki, {"credential": pki.client()}, {"client_auth": ClientAuth.require, "trust": pki.trust})
    assert not pair.resumed()
    assert reseal(pair).resumed()
    assert not reseal(pair, chain=()).resumed()


def test_resumption_with_a_client_certificate(pki: Pki) -> None:
    """The server knows whom it talks to, though it is not told again, and the client shows nothing."""
    credential = pki.client()
    pair = Pair(pki, {"credential": credential}, {"client_auth": ClientAuth.require, "trust": pki.trust})
    first = pair.meet().server.info
    for _ in range(2):
        meeting = pair.meet()
        assert meeting.client.info.resumed
        assert meeting.server.info.peer_chain == first.peer_chain == credential.chain
        assert meeting.server.info.verified_chain == first.verified_chain != ()
        assert meeting.client.info.client_signature_scheme is None
        assert meeting.server.info.client_signature_scheme == first.client_signature_scheme is not None
        assert meeting.client.info.signature_scheme is not None


# trust --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["client", "server"])
def test_the_hook_is_asked_again(pki: Pki, role: str) -> None:
    """It sees at each resumption what it saw at first; when it refuses there is a full handshake, which it refuses, too."""
    seen: list[Any] = []
    refusing = False

    def hook(certificates: Any) -> None:
        seen.append(certificates)
        if refusing:
            raise CertificateError(Alert.certificate_revoked, "revoked")

    pair = Pair(pki, {"credential": pki.client()}, {"client_auth": ClientAuth.require, "trust": pki.trust})
    pair.change(**{role: {"verify": hook}})
    assert [pair.resumed() for _ in range(3)] == [False, True, True]
    assert len(seen) == 3
    assert len(set(seen)) == 1
    refusing = True
    meeting = pair.meet()
    error = meeting.client_error if role == "client" else meeting.server_error
    assert error.alert is Alert.certificate_revoked
    assert bool(identities(meeting.client)) is (role == "server")
    assert len(seen) == 5  # at the resumption, and at the full handshake


def test_a_hook_that_takes_its_time(pki: Pki) -> None:
    """Before the hello, that is."""

    async def hook(certificates: Any) -> None:
        return

    pair = Pair(pki, {"verify": hook})
    pair.meet()
    meeting = pair.meet()
    assert meeting.client.info.resumed
    client, _ = pair.connections()
    assert client.question is not None
    assert client.question.name == "hook"
    client.abort(Misuse("enough"))


def test_trust_that_the_client_took_back(pki: Pki) -> None:
    """The session is not offered, and the certificate is not believed."""
    pair = Pair(pki)
    pair.meet()
    pair.change({"trust": pki.strangers.trust()})
    meeting = pair.meet()
    assert not identities(meeting.client)
    assert meeting.client_error.alert is Alert.unknown_ca


def test_a_certificate_that_expired_meanwhile(pki: Pki) -> None:
    """Either side's: resumption never outlives it."""
    hour = datetime.timedelta(hours=1)
    server, client = (
        pki.authority.issue("localhost", client=each, valid_from=NOW - hour, valid_until=NOW + hour).credential()
        for each in (False, True)
    )
    for ours, theirs, role in ((None, server, "client"), (client, None, "server")):
        pair = Pair(pki, {"credential": ours}, {"trust": pki.trust, "client_auth": ClientAuth.request if ours else ClientAuth.none})
        if theirs:
            pair.change(server={"credentials": (theirs,)})
        assert [pair.resumed(), pair.resumed()] == [False, True]
        pair.clock.now += 2 * 3600
        meeting = pair.meet()
        error = meeting.client_error if role == "client" else meeting.server_error
        assert error.alert is Alert.certificate_expired
        assert not meeting.client.info.resumed


# modes --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "how"),
    [
        ((DHE,), (DHE,), "psk_dhe_ke"),
        ((DHE, ALONE), (DHE, ALONE), "psk_dhe_ke"),
        ((ALONE, DHE), (ALONE, DHE), "psk_dhe_ke"),
        ((ALONE,), (ALONE,), "psk_ke"),
        ((ALONE,), (DHE, ALONE), "psk_ke"),
        ((DHE, ALONE), (ALONE,), "psk_ke"),
        ((ALONE,), (DHE,), None),
        ((DHE,), (ALONE,), None),
    ],
)
def test_modes(pki: Pki, ours: Any, theirs: Any, how: str | None) -> None:
    """Section 4.2.9: with a key exchange wherever both can; without only where both policies ask for it; else not at all."""
    client, server = ({"policy": QUICK.replace(psk_key_exchange_modes=modes)} for modes in (ours, theirs))
    pair = Pair(pki, client, server)
    assert bool(tickets_of(pair.meet())) is (how is not None)
    meeting = pair.meet()
    check_open(meeting.client, meeting.server)
    for info in (meeting.client.info, meeting.server.info):
        assert info.resumption == how
        assert info.group == (None if how == "psk_ke" else "x25519")


# misuse -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{"tickets_wanted": (1,)}, {"tickets_wanted": (1, 2, 3)}, {"tickets_wanted": (256, 0)}, {"tickets_wanted": (0, -1)}],
)
def test_clients_that_cannot_be(pki: Pki, fields: Fields) -> None:
    with pytest.raises(Misuse, match="tickets_wanted"):
        pki.client_config(**fields)


@pytest.mark.parametrize(
    "fields", [{"ticket_count": -1}, {"ticket_count": 17}, {"ticket_lifetime": 0}, {"ticket_lifetime": MAX_LIFETIME + 1}]
)
def test_servers_that_cannot_be(pki: Pki, fields: Fields) -> None:
    with pytest.raises(Misuse, match=next(iter(fields))):
        pki.server_config(**fields)


@pytest.mark.parametrize("modes", [(), ("psk_something",), (2,)])
def test_modes_that_cannot_be(modes: Any) -> None:
    with pytest.raises(Misuse, match="PSK key exchange mode"):
        Policy(psk_key_exchange_modes=modes)
