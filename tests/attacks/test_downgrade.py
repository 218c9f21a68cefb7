"""Downgrade: somebody in the middle takes the best out of the offer, and both sides must notice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from minitls import Alert, ClientConnection, PeerIncompatible, PeerMisbehaved, Policy, ServerConnection
from minitls.crypto.signatures import SCHEMES
from minitls.crypto.suites import SUITES
from minitls.handshake.negotiate import choose_cipher_suite, offered_schemes
from minitls.wire.hello import ClientHello
from minitls.wire.messages import read_message, write_message
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import is_grease
from tests.conftest import Pki
from tests.liar import edit, hear, lying_client, meet


def change_in_transit(record: bytes, change: Callable[[Any], object]) -> bytes:
    """The ClientHello in a record, changed as a man in the middle would."""
    hello = read_message(ClientHello, record[5:])
    change(hello)
    raw = write_message(hello)
    return record[:3] + len(raw).to_bytes(2, "big") + raw


STRIPPED: dict[str, Callable[[Any], object]] = {
    "the best suite": lambda hello: setattr(hello, "cipher_suites", hello.cipher_suites[2:]),
    "the hybrid group": lambda hello: hello.extensions.update(
        {
            X.supported_groups: tuple(g for g in hello.extensions[X.supported_groups] if g not in (0x11EC, 0x11EB, 0x11ED)),
            X.key_share: tuple(share for share in hello.extensions[X.key_share] if share.group == 0x1D),
        }
    ),
    "ALPN": lambda hello: hello.extensions.pop(X.application_layer_protocol_negotiation),
    "the name": lambda hello: hello.extensions.pop(X.server_name),
    "GREASE": lambda hello: [hello.extensions.pop(kind) for kind in list(hello.extensions) if is_grease(kind)],
    "a signature scheme": lambda hello: hello.extensions.update({13: hello.extensions[13][1:]}),
    "its own random": lambda hello: setattr(hello, "random", bytes(32)),
}


@pytest.mark.parametrize("what", STRIPPED)
def test_stripped_offer(pki: Pki, what: str) -> None:
    """Downgrade: whatever is taken out of the ClientHello on its way, the transcripts differ: no handshake completes."""
    ours = pki.client_config(alpn=("h2",))
    theirs = pki.server_config(alpn=("h2",), credentials=(pki.server(), pki.server("ed25519")))
    client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
    hear(server, change_in_transit(client.data_to_send(), STRIPPED[what]), [])
    meeting = meet(client, server)
    assert meeting.completed == (False, False)
    # Other keys on each side: the first protected record does not open.
    assert isinstance(client.error, PeerMisbehaved)
    assert client.error.alert is Alert.bad_record_mac


def test_stripped_version(pki: Pki) -> None:
    """Downgrade to TLS 1.2: a server of 1.3 alone refuses."""
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    server = ServerConnection(pki.server_config(policy=Policy.modern))
    hear(server, change_in_transit(client.data_to_send(), lambda hello: hello.extensions.pop(X.supported_versions)), [])
    meeting = meet(client, server)
    assert server.error is not None
    assert meeting.alert_heard_by(client) == Alert.protocol_version


def test_stripped_version_meets_the_sentinel(pki: Pki) -> None:
    """Downgrade to TLS 1.2: a server of both says in its random that it could have done better, and the client looks."""
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    server = ServerConnection(pki.server_config())
    hear(server, change_in_transit(client.data_to_send(), lambda hello: hello.extensions.pop(X.supported_versions)), [])
    meeting = meet(client, server)
    assert isinstance(client.error, PeerMisbehaved)
    assert client.error.reason == "tls13_downgrade"
    assert meeting.alert_heard_by(server) == Alert.illegal_parameter


@pytest.mark.parametrize("versions", [(0x0305, 0x0304), (0x0A0A, 0x0304, 0x0303), (0x0304, 0xFFFF)])
def test_version_intolerance(pki: Pki, versions: tuple[int, ...]) -> None:
    """Version intolerance: versions to come are ignored."""
    client = lying_client(pki.client_config(), edit(ClientHello, lambda m: m.extensions.update({43: versions})))
    assert meet(client, ServerConnection(pki.server_config())).completed == (True, True)


def test_fallback_scsv_means_nothing_to_a_server_that_has_no_fallback(pki: Pki) -> None:
    """TLS_FALLBACK_SCSV (RFC 7507): who speaks TLS 1.3 to a server of 1.3 did not fall back."""
    client = lying_client(pki.client_config(), edit(ClientHello, lambda m: setattr(m, "cipher_suites", (0x5600, *m.cipher_suites))))
    assert meet(client, ServerConnection(pki.server_config())).completed == (True, True)


def test_only_our_suites_answer(pki: Pki) -> None:
    """RC4, 3DES, NULL, anonymous, export, FREAK, Logjam, Sweet32: each of the 65536 suites offered alone."""
    policy, answered = Policy(), set()
    for code in range(2**16):
        with contextlib.suppress(PeerIncompatible):
            answered.add(choose_cipher_suite([code], policy)[0].code)
    assert answered == set(SUITES) - {0x1305}
    assert all(suite.hash_name in ("sha256", "sha384") for suite in SUITES.values())


@pytest.mark.parametrize("suite", [0x0000, 0x0004, 0x0005, 0x000A, 0x002F, 0x0034, 0x009C, 0xC011, 0xC013, 0xC02F, 0xCCA8, 0x00FF])
def test_old_suites_on_the_wire(pki: Pki, suite: int) -> None:
    client = lying_client(pki.client_config(), edit(ClientHello, lambda m: setattr(m, "cipher_suites", (suite,))))
    meeting = meet(client, ServerConnection(pki.server_config()))
    assert meeting.alert_heard_by(client) == Alert.handshake_failure


def test_no_sha1_and_no_md5() -> None:
    """SLOTH: in no scheme, and in no offer."""
    for scheme in SCHEMES.values():
        algorithm = getattr(scheme, "hash", None)
        assert algorithm is None or algorithm.name in ("sha256", "sha384", "sha512")
    weak = {0x0101, 0x0201, 0x0202, 0x0203, 0x0301, 0x0303}
    assert not weak & set(offered_schemes(Policy()))
    assert not weak & {int(code) for code in Policy().certificate_signature_schemes or ()}
