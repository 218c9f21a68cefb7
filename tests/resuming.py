"""A client and a server of TLS 1.3 that meet again and again, by one clock, with whatever lies and slow answers a test wants.  ::

pair = Pair(pki, server={"early_data": 1000})
assert not pair.resumed()
assert pair.meet(early_data=b"hello").server.info.early_data == b"hello"
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable
from typing import Any, TypeAlias

from minitls import Alert, ClientConnection, Connection, Event, Policy, Question, ServerConnection, TicketReceived, TLSError
from minitls.sessions.session import Session
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.wire.extensions import OfferedPsks
from minitls.wire.hello import ClientHello
from minitls.wire.messages import read_message
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion
from tests.conftest import NOW, Pki
from tests.liar import Lie, Meeting, hear, lying, truth

START = float(int(NOW.timestamp()))
DAY = 86400.0
QUICK = Policy(groups=("x25519",))
AES128, AES256, CHACHA20 = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
Fields: TypeAlias = dict[str, Any]


def suites(*names: str, **changes: Any) -> Fields:
    """A policy of these, for either side."""
    return {"policy": QUICK.replace(cipher_suites=names, **changes)}


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Pair:
    """``ours``, ``theirs``: the configurations of now; ``store``: the client's sessions."""

    def __init__(self, pki: Pki, client: Fields | None = None, server: Fields | None = None) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        both: Fields = {"policy": QUICK, "clock": self.clock}
        self.ours = pki.client_config(**{**both, "session_store": self.store, **(client or {})})
        self.theirs = pki.server_config(**{**both, "tickets": TicketKeys(clock=self.clock), **(server or {})})

    def change(self, client: Fields | None = None, server: Fields | None = None) -> None:
        self.ours = dataclasses.replace(self.ours, **(client or {}))
        self.theirs = dataclasses.replace(self.theirs, **(server or {}))

    def connections(
        self, name: str = "localhost", client_lie: Lie = truth, server_lie: Lie = truth, **how: Any
    ) -> tuple[ClientConnection, ServerConnection]:
        """Two that have not said a word; ``how``: the client's port and early data."""
        client = lying(lambda: ClientConnection(self.ours, server_hostname=name, **how), client_lie)
        return client, lying(lambda: ServerConnection(self.theirs), server_lie)

    def meet(self, **how: Any) -> Meeting:
        """Whatever comes of it; each question is answered by what was asked."""
        return talk(*self.connections(**how))

    def resumed(self, **how: Any) -> bool:
        """Whether a handshake, which completes, resumed; with data both ways."""
        meeting = self.meet(**how)
        assert meeting.completed == (True, True), (meeting.client_error, meeting.server_error)
        client, server = meeting.client, meeting.server
        assert client.info.resumed is server.info.resumed
        check_open(client, server)
        return client.info.resumed

    def session(self, key: str = "localhost:") -> Session:
        """The client's newest session, which stays in its store."""
        session = self.store.get(key)
        assert session is not None
        return session

    def alter(self, **changes: Any) -> None:
        """Make the client's newest session another."""
        session = self.store.take("localhost:")
        assert session is not None
        self.store.put("localhost:", dataclasses.replace(session, **changes))


def reseal(pair: Pair, **changes: Any) -> Pair:
    """The client's next ticket, with other things in it."""
    keys = pair.theirs.tickets
    assert isinstance(keys, TicketKeys)
    state = keys.open(pair.session().ticket)
    assert state is not None
    pair.alter(ticket=keys.seal(dataclasses.replace(Session.from_bytes(state), **changes).to_bytes()))
    return pair


def talk(client: Connection, server: Connection) -> Meeting:
    """Carry bytes both ways and answer questions, until there is nothing more of either."""
    meeting = Meeting(client, server)
    for _ in range(40):
        asked = answer(client, meeting.client_events) + answer(server, meeting.server_events)
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not (to_server or to_client or asked):
            return meeting
        hear(server, to_server, meeting.server_events)
        hear(client, to_client, meeting.client_events)
    raise AssertionError("they talk for ever")


def answer(connection: Connection, events: list[Event]) -> int:
    """Answer a connection's open questions; gives how many there were."""
    count = 0
    while (question := connection.question) is not None:
        events += connection.answer(question, result(question.awaitable))
        count += 1
    return count


def result(awaitable: Awaitable[Any]) -> Any:
    """What a coroutine that waits for nothing comes to."""
    try:
        awaitable.__await__().send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


def asked(events: list[Event]) -> list[str]:
    """The names of the questions among these events."""
    return [event.name for event in events if isinstance(event, Question)]


def tickets_of(meeting: Meeting) -> list[TicketReceived]:
    return [event for event in meeting.client_events if isinstance(event, TicketReceived)]


def refused(who: Connection, kind: type[TLSError], alert: Alert, reason: str, meeting: Meeting) -> None:
    """Ended by this error, and the other side heard the alert."""
    error: Any = who.error
    assert isinstance(error, kind), error
    assert (error.alert, error.reason) == (alert, reason), str(error)
    assert meeting.alert_heard_by(meeting.client if who is meeting.server else meeting.server) == alert


def check_open(client: Connection, server: Connection) -> None:
    """Data arrives both ways, and both can export the same."""
    for one, other in ((client, server), (server, client)):
        one.send_data(b"hello")
        events = other.receive_data(one.data_to_send())
        assert [getattr(event, "data", None) for event in events] == [b"hello"]
    if client.info.version == str(ProtocolVersion.TLSv1_3):
        assert exported(client) == exported(server)


def exported(connection: Connection) -> bytes:
    return connection.info.export_keying_material("EXPORTER-test", b"context", 32)


def hellos(data: bytes) -> list[ClientHello]:
    """The ClientHellos among plaintext records that hold one message each."""
    found: list[ClientHello] = []
    while data:
        end = 5 + int.from_bytes(data[3:5], "big")
        if data[0] == 22:
            hello = read_message(ClientHello, data[5:end])
            assert isinstance(hello, ClientHello)
            found.append(hello)
        data = data[end:]
    return found


def identities(connection: Connection) -> list[bytes]:
    """What PSKs a client offered in its (first) hello."""
    offered: OfferedPsks | None = connection.info.client_hello.extensions.get(X.pre_shared_key)
    return [] if offered is None else [psk.identity for psk in offered.identities]
