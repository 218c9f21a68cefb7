"""Our engine against OpenSSL 4.0 in this process: the hybrids, ML-DSA and the rest in one table, whole and in single bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from interop.openssl.harness import SUITES, Files
from interop.openssl.openssl4 import GROUPS, KEYS, OpenSSL4, context, exchange, require
from minitls import (
    AlertReceived,
    ApplicationData,
    CertificateError,
    ClientAuth,
    ClientConnection,
    Connection,
    Event,
    HandshakeCompleted,
    KeyUpdated,
    PeerClosed,
    PeerIncompatible,
    Policy,
    ServerConnection,
    TicketReceived,
    TruncationError,
)
from minitls.errors import Alert
from tests.conftest import NAME, Pki

ROLES = ("client", "server")
"""Ours; OpenSSL's is the other."""

DATA = random.Random(1).randbytes(2000)


@dataclass(frozen=True)
class Case:
    """What each side brings, besides a certificate for localhost on the server's, and what they must agree on.

    ``policy``, ``config``: fields of ours.  ``theirs``: arguments of :func:`context`.  ``key``: the kind of the server's
    certificate; ``client_key``: of the client's, None where none is asked for.  ``agreed``: fields of ConnectionInfo.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    key: str = "p256"
    client_key: str | None = None
    agreed: Mapping[str, Any] = field(default_factory=dict)


def cases(role: str) -> Iterator[tuple[str, Case]]:
    """Everything that both sides have; by name."""
    yield "defaults", Case(agreed={"group": "X25519MLKEM768", "hello_retry": False})
    for suite in SUITES:
        yield suite, Case(policy={"cipher_suites": SUITES}, theirs={"suites": [suite]}, agreed={"cipher_suite": suite})
    for group, its_name in GROUPS.items():
        agreed = {"group": group, "hello_retry": False}
        yield group, Case(policy={"groups": (group,)}, theirs={"groups": [its_name]}, agreed=agreed)
        first = "secp256r1" if group == "x25519" else "x25519"
        if role == "client":
            policy: dict[str, Any] = {"groups": (first, group), "key_shares": (first,)}
            theirs = [its_name]
        else:
            policy, theirs = {"groups": (group,)}, [GROUPS[first], its_name]
        agreed = {"group": group, "hello_retry": True}
        yield f"{group} after a retry", Case(policy=policy, theirs={"groups": theirs}, agreed=agreed)
    for key, scheme in KEYS.items():
        yield f"{key} certificate", Case(key=key, agreed={"signature_scheme": scheme})
        agreed = {"client_signature_scheme": scheme}
        yield f"{key} client certificate", Case(client_key=key, agreed=agreed)
    alpn = Case(config={"alpn": ("h2", "x")}, theirs={"alpn": [b"y", b"h2"]}, agreed={"alpn_protocol": "h2"})
    yield "ALPN", alpn
    yield "padding", Case(config={"record_padding": 512})
    if role == "server":
        agreed = {"group": "X25519MLKEM768", "hello_retry": True}
        yield "a cookie", Case(config={"send_cookie": True}, agreed=agreed)
    else:
        yield "no GREASE", Case(config={"grease": False})
        yield "our authorities", Case(config={"send_certificate_authorities": True})


TABLE = [pytest.param(role, case, id=f"{role}-{name}") for role in ROLES for name, case in cases(role)]


@pytest.fixture(autouse=True)
def _required() -> None:
    require()


def pair(role: str, pki: Pki, files: Files, case: Case, **theirs: Any) -> tuple[Connection, OpenSSL4]:
    """Both sides of a case, before the first byte."""
    config = {"policy": Policy(**case.policy), **case.config}
    theirs = {**case.theirs, **theirs}
    client = files.client(case.client_key) if case.client_key else None
    if role == "client":
        ours: Connection = ClientConnection(
            pki.client_config(credential=client and client.credential(), **config), server_hostname=NAME
        )
        made = context("server", files, identity=files.server(case.key), verify=client is not None, **theirs)
        return ours, OpenSSL4("server", made)
    if client is not None:
        config |= {"client_auth": ClientAuth.require, "trust": pki.trust}
    ours = ServerConnection(pki.server_config(credentials=(files.server(case.key).credential(),), **config))
    return ours, OpenSSL4("client", context("client", files, identity=client, verify=True, **theirs))


def received(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ApplicationData))


@pytest.mark.parametrize("chop", [0, 1], ids=["whole", "chopped"])
@pytest.mark.parametrize(("role", "case"), TABLE)
def test_together(role: str, case: Case, chop: int, pki: Pki, files: Files) -> None:
    """Handshake, data both ways, the same secrets on both sides, and an end that both have seen."""
    our_log: list[str] = []
    their_log: list[str] = []
    case = Case(case.policy, {**case.config, "key_log": our_log.append}, case.theirs, case.key, case.client_key, case.agreed)
    ours, theirs = pair(role, pki, files, case, key_log=their_log)

    events = exchange(ours, theirs, chop=chop)
    assert theirs.error is None
    assert any(isinstance(event, HandshakeCompleted) for event in events)
    agreed = {"version": "TLSv1.3", "server_name": NAME, "resumed": False} | dict(case.agreed)
    assert {name: getattr(ours.info, name) for name in agreed} == agreed
    assert theirs.ssl.get_cipher_name() == ours.info.cipher_suite
    assert (theirs.ssl.get_group_name() or "").lower() == (ours.info.group or "").lower()
    assert theirs.ssl.get_alpn_proto_negotiated().decode() == (ours.info.alpn_protocol or "")
    assert sorted(our_log) == sorted(their_log)
    for label, context_ in ((b"EXPORTER-minitls", b""), (b"EXPORTER-minitls", b"context")):
        exported = theirs.ssl.export_keying_material(label, 40, context_)
        assert ours.info.export_keying_material(label.decode(), context_, 40) == exported

    theirs.send_data(DATA)
    ours.send_data(DATA[::-1])
    events += exchange(ours, theirs, chop=chop)
    assert received(events) == DATA
    assert theirs.received == DATA[::-1]
    assert sum(isinstance(event, TicketReceived) for event in events) == (2 if role == "client" else 0)

    ours.close()
    exchange(ours, theirs, chop=chop)
    assert theirs.closed
    theirs.send_data(b"still here")  # their half stays open
    theirs.close()
    events = exchange(ours, theirs, chop=chop)
    assert received(events) == b"still here"
    assert isinstance(events[-1], PeerClosed)
    assert ours.receive_eof() == []


@pytest.mark.parametrize("role", ROLES)
def test_16_mib_each_way(role: str, pki: Pki, files: Files) -> None:
    ours, theirs = pair(role, pki, files, Case())
    exchange(ours, theirs)
    block = random.Random(2).randbytes(2**20)
    up, down, expected = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for turn in range(16):
        data = bytes((turn,)) + block[1:]
        ours.send_data(data)
        theirs.send_data(data)
        down.update(received(exchange(ours, theirs)))
        up.update(theirs.received)
        theirs.received.clear()
        expected.update(data)
    assert up.digest() == expected.digest()
    assert down.digest() == expected.digest()


@pytest.mark.parametrize("chop", [0, 1], ids=["whole", "chopped"])
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("role", ROLES)
def test_key_updates(role: str, suite: str, chop: int, pki: Pki, files: Files) -> None:
    ours, theirs = pair(role, pki, files, Case(policy={"cipher_suites": (suite,)}, theirs={"suites": [suite]}))
    exchange(ours, theirs, chop=chop)
    for turn in range(4):
        line = b"turn %d" % turn
        ours.update_keys(request_peer=turn % 2 == 0)
        ours.send_data(line)
        exchange(ours, theirs, chop=chop)
        assert theirs.received == line
        theirs.received.clear()
        theirs.send_data(line[::-1])  # its answer to our request goes before this
        events = exchange(ours, theirs, chop=chop)
        assert received(events) == line[::-1]
        assert [event for event in events if isinstance(event, KeyUpdated)] == ([KeyUpdated(False)] if turn % 2 == 0 else [])


class Wire:
    """The two directions between both sides, each carried on in pieces of any size, one ahead of the other."""

    def __init__(self, ours: Connection, theirs: OpenSSL4, dice: random.Random) -> None:
        self.ours, self.theirs, self.dice = ours, theirs, dice
        self.there, self.back, self.received = bytearray(), bytearray(), bytearray()

    def move(self) -> bool:
        """A piece, one way or the other.  Gives whether there is more to carry."""
        self.there += self.ours.data_to_send()
        self.back += self.theirs.data_to_send()
        size = self.dice.choice((1, 3, 17, 100, 5000, 20000, 70000, 1000000))
        if self.dice.random() < 0.5:
            self.theirs.receive_data(bytes(self.there[:size]))
            del self.there[:size]
        else:
            self.received += received(self.ours.receive_data(bytes(self.back[:size])))
            del self.back[:size]
        return bool(self.there or self.back)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("role", ROLES)
def test_anything_in_any_order(role: str, seed: int, pki: Pki, files: Files) -> None:
    """Writes of every size both ways, and key updates among them."""
    dice = random.Random(seed)
    suite, padding = dice.choice(SUITES), dice.choice((0, 0, 1, 255, 4096, 16384))
    case = Case(policy={"cipher_suites": (suite,)}, config={"record_padding": padding}, theirs={"suites": [suite]})
    ours, theirs = pair(role, pki, files, case)
    exchange(ours, theirs)
    wire, up, down = Wire(ours, theirs, dice), bytearray(), bytearray()
    for _ in range(dice.randrange(5, 40)):
        what, data = dice.random(), dice.randbytes(dice.choice((1, 2, 100, 16383, 16384, 16385, 40000, 200000)))
        if what < 0.3:
            ours.send_data(data)
            up += data
        elif what < 0.6:
            theirs.send_data(data)
            down += data
        elif what < 0.7:
            ours.update_keys(request_peer=dice.random() < 0.5)
        else:
            wire.move()
    while wire.move() or wire.move():
        pass
    assert theirs.error is None
    assert theirs.received == up
    assert wire.received == down


def test_they_close(pki: Pki, files: Files) -> None:
    for role in ROLES:
        ours, theirs = pair(role, pki, files, Case())
        exchange(ours, theirs)
        theirs.close()
        assert isinstance(exchange(ours, theirs)[-1], PeerClosed)
        ours.close()
        exchange(ours, theirs)
        assert theirs.closed
        assert ours.receive_eof() == []


def test_they_vanish(pki: Pki, files: Files) -> None:
    for role in ROLES:
        ours, theirs = pair(role, pki, files, Case())
        exchange(ours, theirs)
        with pytest.raises(TruncationError):
            ours.receive_eof()


def broken(ours: Connection, theirs: OpenSSL4, raises: type[Exception]) -> Any:
    """Our error, once its alert, if there is one, has arrived."""
    with pytest.raises(raises) as caught:
        exchange(ours, theirs)
    theirs.receive_data(ours.data_to_send())
    return caught.value


def test_we_refuse(pki: Pki, files: Files) -> None:
    """Each with the alert that OpenSSL hears."""
    strange = files.strange("client", client=True)
    required = {"client_auth": ClientAuth.require, "trust": pki.trust}
    for theirs, config, raises, heard in (
        ({"identity": strange}, required, CertificateError, "unknown ca"),
        ({}, required, PeerIncompatible, "certificate required"),
        ({"alpn": [b"h2"]}, {"alpn": ("x",)}, PeerIncompatible, "no application protocol"),
        ({"groups": ["X448"]}, {"policy": Policy(groups=("x25519",))}, PeerIncompatible, "handshake failure"),
    ):
        ours = ServerConnection(pki.server_config(**config))
        peer = OpenSSL4("client", context("client", files, verify=True, **theirs))
        broken(ours, peer, raises)
        assert heard in peer.reason

    for name, identity in (("unknown ca", files.strange(NAME)), ("bad certificate", files.server(name="other.example"))):
        ours_client = ClientConnection(pki.client_config(), server_hostname=NAME)
        peer = OpenSSL4("server", context("server", files, identity=identity))
        broken(ours_client, peer, CertificateError)
        assert name in peer.reason


def test_they_refuse(pki: Pki, files: Files) -> None:
    """Each with the alert that we hear."""
    stranger = files.strange("client", client=True).credential()
    for credential, alert in ((stranger, Alert.unknown_ca), (None, Alert.certificate_required)):
        ours = ClientConnection(pki.client_config(credential=credential), server_hostname=NAME)
        peer = OpenSSL4("server", context("server", files, identity=files.server(), verify=True))
        assert broken(ours, peer, AlertReceived).alert is alert

    for credential_, alert in ((pki.untrusted, Alert.unknown_ca), (pki.expired, Alert.certificate_expired)):
        server = ServerConnection(pki.server_config(credentials=(credential_,)))
        peer = OpenSSL4("client", context("client", files, verify=True))
        assert broken(server, peer, AlertReceived).alert is alert
