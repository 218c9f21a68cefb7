"""TLS 1.2 between our own client and our own server: every suite, every option, and who must refuse whom."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from minitls import (
    Alert,
    AlertReceived,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Connection,
    Misuse,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConfig,
    ServerConnection,
    TLSError,
    negotiate,
)
from minitls.crypto.suites12 import PSK_SUITES, SUITES_12, Suite12
from minitls.events import ApplicationData
from minitls.observe import MessageSeen
from minitls.record.protection import MAX_PLAINTEXT
from minitls.sessions.session import Session
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.testing import exchange, memory_pair
from minitls.wire.extensions import KeyShareEntry
from minitls.wire.hello import DOWNGRADE_TO_11, DOWNGRADE_TO_12, ClientHello, Message, ServerHello
from minitls.wire.messages12 import CertificateRequest12, CertificateStatus12, ClientKeyExchange, ServerHelloDone, ServerKeyExchange
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import HandshakeType
from tests.conftest import Pki
from tests.liar import Lie, Meeting, edit, instead, lying_client, lying_server, meet

V12 = ("TLSv1.2",)
SAFE = Policy.intermediate.replace(versions=V12)
LEGACY = Policy.legacy.replace(versions=V12)
KEY = bytes(range(32))

every_suite = pytest.mark.parametrize("suite", list(SUITES_12.values()), ids=lambda suite: suite.name)


def only(*suites: str, policy: Policy = LEGACY, **changes: Any) -> Policy:
    return policy.replace(cipher_suites=suites, **changes)


def configs(pki: Pki, suite: Suite12, *, client: Any = None, server: Any = None) -> tuple[ClientConfig, ServerConfig]:
    """Two sides that speak this suite alone."""
    policy = only(suite.name)
    ours: dict[str, Any] = {"policy": policy, **(client or {})}
    theirs: dict[str, Any] = {"policy": policy, **(server or {})}
    if suite.authentication == "PSK":
        ours.setdefault("psk", lambda hint: (b"we", KEY))
        theirs.setdefault("psk", {b"we": KEY}.get)
        theirs.setdefault("credentials", ())
    else:
        theirs.setdefault("credentials", (pki.server("rsa2048" if suite.authentication == "RSA" else "p256"),))
    return pki.client_config(**ours), pki.server_config(**theirs)


def data_of(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ApplicationData))


def ends(client: Connection, server: Connection) -> None:
    """close_notify both ways."""
    client.close()
    exchange(client, server)
    assert server.peer_closed
    server.close()
    exchange(client, server)
    assert client.peer_closed
    assert client.error is None
    assert server.error is None


def meeting(pki: Pki, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> Meeting:
    """What comes of these two, TLS 1.2 alone unless their fields say otherwise."""
    ours = pki.client_config(**{"policy": SAFE, **(client or {})})
    theirs = pki.server_config(**{"policy": SAFE, **(server or {})})
    return meet(ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs))


def refused(by: Connection, alert: Alert, reason: str, heard: Connection) -> None:
    """One side's one error, and the other hears its alert."""
    assert isinstance(by.error, TLSError), by.error
    assert (by.error.alert, by.error.reason) == (alert, reason), by.error
    assert isinstance(heard.error, AlertReceived)
    assert heard.error.code == alert
    assert not by.handshake_completed
    assert not heard.handshake_completed


# every suite --------------------------------------------------------------------------------------------------------------


def test_which_suites_there_are() -> None:
    """No RC4, 3DES, NULL, anonymous or export suite; what is safe stands first, and Policy.intermediate has that alone."""
    assert len(SUITES_12) == 47
    assert not [
        name for name in (s.name for s in SUITES_12.values()) for bad in ("RC4", "DES", "NULL", "anon", "EXPORT") if bad in name
    ]
    safe = [int(code) for code in Policy.intermediate.cipher_suites if code in SUITES_12]
    assert safe == list(SUITES_12)[: len(safe)]
    assert {SUITES_12[code].key_exchange for code in safe} == {"ECDHE", "ECDHE_PSK"}
    assert not any(SUITES_12[code].is_cbc or "CCM" in SUITES_12[code].name for code in safe)
    assert all(suite.key_exchange in suite.name and suite.code == code for code, suite in SUITES_12.items())


@every_suite
def test_suite(pki: Pki, suite: Suite12) -> None:
    """Handshake, data both ways of any size, the same exporter, and an orderly end."""
    client, server = memory_pair(*configs(pki, suite))
    for info in (client.info, server.info):
        assert (info.version, info.cipher_suite, info.resumed) == ("TLSv1.2", suite.name, False)
        assert info.extended_master_secret
    assert client.info.group == server.info.group
    assert (client.info.group is None) == (suite.key_exchange in ("RSA", "PSK"))
    assert client.info.signature_scheme == server.info.signature_scheme
    assert (client.info.signature_scheme is None) == (suite.key_exchange in ("RSA", "PSK", "ECDHE_PSK"))
    for size in (1, 15, 16, 17, MAX_PLAINTEXT, 3 * MAX_PLAINTEXT + 1):
        data = bytes(size)
        client.send_data(data)
        server.send_data(data[:-1] + b"x")
        to_client, to_server = exchange(client, server)
        assert data_of(to_server) == data
        assert data_of(to_client) == data[:-1] + b"x"
    exported = {side.info.export_keying_material("EXPORTER-test", b"context", 40) for side in (client, server)}
    assert len(exported) == 1
    assert {len(each) for each in exported} == {40}
    assert client.info.channel_binding("tls-unique") == server.info.channel_binding("tls-unique")
    assert client.info.channel_binding("tls-exporter") == server.info.channel_binding("tls-exporter")
    ends(client, server)


@every_suite
def test_byte_at_a_time_is_as_whole(pki: Pki, suite: Suite12) -> None:
    """Chopping changes nothing: neither what is agreed nor what is heard."""
    ours, theirs = configs(pki, suite)
    client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
    chopped = meet(client, server, chop=lambda data: [data[at : at + 1] for at in range(len(data))])
    assert chopped.completed == (True, True), (client.error, server.error)
    client.send_data(b"from the client")
    server.send_data(b"from the server")
    client.close()
    chopped = meet(client, server, chop=lambda data: [data[at : at + 1] for at in range(len(data))])
    assert data_of(chopped.server_events) == b"from the client"
    assert data_of(chopped.client_events) == b"from the server"
    whole = memory_pair(dataclasses.replace(ours, session_store=None), theirs)[0].info
    assert (whole.cipher_suite, whole.group, whole.signature_scheme) == (
        client.info.cipher_suite,
        client.info.group,
        client.info.signature_scheme,
    )


CURVE_OF = {"p256": "secp256r1", "p384": "secp384r1", "p521": "secp521r1"}


@pytest.mark.parametrize("key", ["p256", "p384", "p521", "ed25519", "ed448", "rsa2048"])
@pytest.mark.parametrize("group", ["x25519", "secp256r1", "secp384r1", "secp521r1", "x448"])
def test_every_key_on_every_curve(pki: Pki, key: str, group: str) -> None:
    ours = SAFE.replace(groups=(group, CURVE_OF.get(key, group)))
    theirs = pki.server_config(policy=SAFE.replace(groups=(group,)), credentials=(pki.server(key),))
    client, server = memory_pair(pki.client_config(policy=ours), theirs)
    assert client.info.group == server.info.group == group
    scheme = client.info.signature_scheme or ""
    assert scheme.startswith({"p": "ecdsa", "e": "ed", "r": "rsa_pss_rsae"}[key[0]])


def test_a_certificate_on_a_curve_that_the_client_has_not(pki: Pki) -> None:
    """RFC 8422 section 5.3: supported_groups are for the certificate's key, too."""
    ours = {"policy": SAFE.replace(groups=("x25519", "secp384r1"))}
    p256, p384, rsa = (pki.server(key) for key in ("p256", "p384", "rsa2048"))
    met = meeting(pki, ours, {"credentials": (p256,)})
    refused(met.server, Alert.handshake_failure, "wrong_curve", met.client)
    for other in (p384, rsa):
        met = meeting(pki, ours, {"credentials": (p256, other)})
        assert met.client.info.peer_chain == other.chain


def test_cbc_without_encrypt_then_mac(pki: Pki) -> None:
    """RFC 7366 is preferred, and a peer without it is served the old way."""
    ours, theirs = configs(pki, SUITES_12[0xC027])
    said: list[bool] = []
    strip = edit(ClientHello, lambda hello: hello.extensions.pop(X.encrypt_then_mac))
    note = instead(ServerHello, lambda hello: said.append(X.encrypt_then_mac in hello.extensions) or [hello])  # type: ignore[attr-defined, func-returns-value]
    for lie in (lambda message: [message], strip):
        client, server = lying_client(ours, lie), lying_server(theirs, note)
        assert meet(client, server).completed == (True, True), (client.error, server.error)
        note = instead(ServerHello, lambda hello: said.append(X.encrypt_then_mac in hello.extensions) or [hello])  # type: ignore[attr-defined, func-returns-value]
        for size in range(40):
            client.send_data(bytes(size))
            assert data_of(exchange(client, server)[1]) == bytes(size)
    assert said == [True, False]


# client authentication ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["p256", "p384", "ed25519", "rsa2048"])
@pytest.mark.parametrize("auth", [ClientAuth.request, ClientAuth.require])
@pytest.mark.parametrize(
    "suite", ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_128_CCM"]
)
def test_client_certificate(pki: Pki, key: str, auth: ClientAuth, suite: str) -> None:
    credential = pki.client(key)
    ours, theirs = configs(
        pki,
        next(each for each in SUITES_12.values() if each.name == suite),
        client={"credential": credential},
        server={"client_auth": auth, "trust": pki.trust},
    )
    client, server = memory_pair(ours, theirs)
    assert server.info.peer_chain == credential.chain == client.info.local_chain
    assert len(server.info.verified_chain) == 3
    assert client.info.client_signature_scheme == server.info.client_signature_scheme is not None


def test_client_certificate_declined(pki: Pki) -> None:
    met = meeting(pki, server={"client_auth": ClientAuth.request, "trust": pki.trust})
    assert met.completed == (True, True)
    assert met.server.info.peer_chain == ()
    assert met.server.info.client_signature_scheme is None


def test_client_certificate_required(pki: Pki) -> None:
    """RFC 5246 section 7.4.6: handshake_failure, where TLS 1.3 has certificate_required."""
    met = meeting(pki, server={"client_auth": ClientAuth.require, "trust": pki.trust})
    refused(met.server, Alert.handshake_failure, "certificate_required", met.client)


def test_client_certificate_not_asked_for(pki: Pki) -> None:
    met = meeting(pki, client={"credential": pki.client()})
    assert met.completed == (True, True)
    assert met.server.info.peer_chain == ()


@pytest.mark.parametrize(
    "change",
    [{"certificate_types": (1,)}, {"certificate_types": (99,)}, {"supported_signature_algorithms": (0x0804,)}],
    ids=["another type", "no type that we know", "no scheme of ours"],
)
def test_the_request_is_honoured(pki: Pki, change: dict[str, Any]) -> None:
    """RFC 5246 section 7.4.4: a client whose key the server cannot verify declines."""
    lie = edit(CertificateRequest12, lambda request: [setattr(request, name, value) for name, value in change.items()])
    server = lying_server(pki.server_config(policy=SAFE, client_auth=ClientAuth.request, trust=pki.trust), lie)
    client = ClientConnection(pki.client_config(policy=SAFE, credential=pki.client()), server_hostname="localhost")
    assert meet(client, server).completed == (True, True)
    assert server.info.peer_chain == ()


@pytest.mark.parametrize("whose", ["strangers", "a server's"])
def test_client_certificate_refused(pki: Pki, whose: str) -> None:
    credential = pki.server() if whose == "a server's" else pki.strangers.issue("client", client=True).credential()
    met = meeting(pki, {"credential": credential}, {"client_auth": ClientAuth.require, "trust": pki.trust})
    assert met.completed == (False, False)
    assert isinstance(met.server.error, TLSError)
    assert met.server.error.alert in (
        Alert.unknown_ca,
        Alert.unsupported_certificate,
        Alert.certificate_unknown,
        Alert.bad_certificate,
    )
    assert met.alert_heard_by(met.client) == met.server.error.alert


@pytest.mark.parametrize("which", ["untrusted", "expired", "self_signed"])
def test_server_certificate_refused(pki: Pki, which: str) -> None:
    met = meeting(pki, server={"credentials": (getattr(pki, which),)})
    assert met.completed == (False, False)
    assert met.client_error.alert in (Alert.unknown_ca, Alert.certificate_expired)
    assert met.alert_heard_by(met.server) == met.client_error.alert


def test_signers_that_take_their_time(pki: Pki) -> None:
    """A key elsewhere: signatures of both sides are awaited, and everything else waits with them."""
    from minitls.certificates.credentials import Credential

    def slow(credential: Credential) -> Credential:
        async def sign(scheme: Any, data: bytes) -> bytes:
            return credential.sign(scheme, data)  # type: ignore[return-value]

        return Credential(credential.chain, signer=sign)

    ours = pki.client_config(policy=SAFE, credential=slow(pki.client()))
    theirs = pki.server_config(policy=SAFE, credentials=(slow(pki.server()),), client_auth=ClientAuth.require, trust=pki.trust)
    client, server = memory_pair(ours, theirs)
    asked = 0
    while (open_question := client.question or server.question) is not None:
        side = client if client.question else server
        asked += 1
        with pytest.raises(StopIteration) as done:
            open_question.awaitable.send(None)  # type: ignore[attr-defined]
        side.answer(open_question, done.value.value)
        exchange(client, server)
    assert asked == 2
    assert client.handshake_completed
    assert server.handshake_completed


# ALPN, PSK ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "server", "agreed"),
    [
        (("h2", "http/1.1"), ("http/1.1", "h2"), "http/1.1"),
        (("h2",), (), None),
        ((), ("h2",), None),
    ],
)
def test_alpn(pki: Pki, client: tuple[str, ...], server: tuple[str, ...], agreed: str | None) -> None:
    met = meeting(pki, {"alpn": client}, {"alpn": server})
    assert met.completed == (True, True)
    assert met.client.info.alpn_protocol == met.server.info.alpn_protocol == agreed


@pytest.mark.parametrize("tickets", [True, False])
def test_a_psk_suite_is_resumed_while_the_key_is_shared(pki: Pki, tickets: bool) -> None:
    """As certificates are verified again: who knows the keys is asked again, on both sides; and both still know who it is."""
    policy = SAFE.replace(cipher_suites=("TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",))
    ours: dict[str, Any] = {"psk": (b"we", b"key")}
    theirs = {b"we": b"key"}
    client = pki.client_config(
        policy=policy, session_store=MemoryStore(), session_tickets=tickets, psk=lambda hint: ours["psk"], credential=pki.client()
    )
    server = pki.server_config(policy=policy, credentials=(), psk=theirs.get)

    def resumed() -> bool:
        met = meet(ClientConnection(client, server_hostname="localhost"), ServerConnection(server))
        assert met.completed == (True, True)
        assert met.client.info.resumed == met.server.info.resumed
        assert met.client.info.psk_identity == met.server.info.psk_identity == ours["psk"][0]
        return met.client.info.resumed

    assert [resumed(), resumed(), resumed()] == [False, True, True]
    ours["psk"] = (b"another", b"key")
    theirs[b"another"] = b"key"
    assert [resumed(), resumed()] == [False, True]
    theirs[b"another"], ours["psk"] = b"new", (b"another", b"new")
    assert [resumed(), resumed()] == [False, True]
    long = bytes(300)
    theirs[long], ours["psk"] = b"key", (long, b"key")
    assert [resumed(), resumed()] == [False, False]
    ours["psk"], theirs[b"another"] = (b"another", b"new"), b"newer"  # the server's alone: no session, and the keys do not fit
    met = meet(ClientConnection(client, server_hostname="localhost"), ServerConnection(server))
    assert not met.server.info.resumed
    assert met.completed == (False, False)


def test_alpn_mismatch(pki: Pki) -> None:
    met = meeting(pki, {"alpn": ("ftp",)}, {"alpn": ("h2",)})
    refused(met.server, Alert.no_application_protocol, "no_application_protocol", met.client)


each_psk_suite = pytest.mark.parametrize("suite", [SUITES_12[code] for code in sorted(PSK_SUITES)], ids=lambda suite: suite.name)


@each_psk_suite
def test_psk_unknown_identity(pki: Pki, suite: Suite12) -> None:
    """RFC 4279 section 2."""
    ours, theirs = configs(pki, suite, client={"psk": lambda hint: (b"somebody", KEY)})
    met = meet(ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs))
    refused(met.server, Alert.unknown_psk_identity, "unknown_psk_identity", met.client)


@each_psk_suite
def test_psk_wrong_key(pki: Pki, suite: Suite12) -> None:
    """Other keys on both sides: the client's Finished does not open (RFC 4279 section 2 allows decrypt_error for it, too)."""
    ours, theirs = configs(pki, suite, client={"psk": lambda hint: (b"we", KEY[::-1])})
    met = meet(ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs))
    refused(met.server, Alert.bad_record_mac, "bad_record_mac", met.client)


@each_psk_suite
@pytest.mark.parametrize("hint", [None, b"", b"whose key"])
def test_psk_hint(pki: Pki, suite: Suite12, hint: bytes | None) -> None:
    """RFC 4279 section 2: the client's callback is told what the server says, or None where it says nothing."""
    heard: list[bytes | None] = []

    def psk(asked: bytes | None) -> tuple[bytes, bytes]:
        heard.append(asked)
        return b"we", KEY

    def say(message: Any) -> list[Any]:
        made = b"" if hint is None else len(hint).to_bytes(2, "big") + hint
        if isinstance(message, ServerKeyExchange):
            return [ServerKeyExchange(made + message.parameters[2:])]
        return [ServerKeyExchange(made), message] if suite.key_exchange == "PSK" else [message]

    ours, theirs = configs(pki, suite, client={"psk": psk})
    kind = ServerHelloDone if suite.key_exchange == "PSK" else ServerKeyExchange
    server = lying_server(theirs, instead(kind, say) if hint is not None else lambda message: [message])
    met = meet(ClientConnection(ours, server_hostname="localhost"), server)
    assert met.completed == (True, True), (met.client_error, met.server_error)
    assert heard == [b"" if hint is None and suite.key_exchange == "ECDHE_PSK" else hint]  # there it is always said


@each_psk_suite
def test_psk_messages_with_more_in_them(pki: Pki, suite: Suite12) -> None:
    """RFC 4279 section 2, RFC 5489 section 2: bytes behind hint, share or identity are decode_error."""
    ours, theirs = configs(pki, suite)
    longer = edit(ClientKeyExchange, lambda m: setattr(m, "exchange_keys", m.exchange_keys + b"\0"))
    met = meet(lying_client(ours, longer), ServerConnection(theirs))
    refused(met.server, Alert.decode_error, "decode_error", met.client)
    if suite.key_exchange == "PSK":
        lie = instead(ServerHelloDone, lambda m: [ServerKeyExchange(b"\0\0\0"), m])
    else:
        lie = edit(ServerKeyExchange, lambda m: setattr(m, "parameters", m.parameters + b"\0"))
    met = meet(ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, lie))
    refused(met.client, Alert.decode_error, "decode_error", met.server)


def test_psk_is_offered_only_by_who_has_one(pki: Pki) -> None:
    client = ClientConnection(pki.client_config(policy=LEGACY), server_hostname="localhost")
    assert not PSK_SUITES & set(client.info.client_hello.cipher_suites)
    client = ClientConnection(pki.client_config(policy=LEGACY, psk=lambda hint: (b"", KEY)), server_hostname="localhost")
    assert set(client.info.client_hello.cipher_suites) >= PSK_SUITES


def test_psk_client_at_a_server_without(pki: Pki) -> None:
    """With certificates both, they agree on one of those."""
    met = meeting(pki, {"psk": lambda hint: (b"we", KEY)})
    assert met.completed == (True, True)
    assert met.client.info.cipher_suite == "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"


# extended master secret, secure renegotiation -----------------------------------------------------------------------------


def without(kind: type[Message], *codes: int) -> Lie:
    return edit(kind, lambda hello: [hello.extensions.pop(code, None) for code in codes])


EMS = X.extended_master_secret
RENEGOTIATION = X.renegotiation_info

MISSING: dict[str, tuple[str, int, str]] = {
    "server: no EMS from the client": ("client", EMS, "no_extended_master_secret"),
    "client: no EMS from the server": ("server", EMS, "no_extended_master_secret"),
    "server: no secure renegotiation from the client": ("client", RENEGOTIATION, "unsafe_legacy_renegotiation"),
    "client: no secure renegotiation from the server": ("server", RENEGOTIATION, "unsafe_legacy_renegotiation"),
}


def stripped(pki: Pki, policy: Policy, liar: str, code: int) -> Meeting:
    ours, theirs = pki.client_config(policy=policy), pki.server_config(policy=policy)
    if liar == "client":
        return meet(lying_client(ours, without(ClientHello, code)), ServerConnection(theirs))
    return meet(ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, without(ServerHello, code)))


@pytest.mark.parametrize("what", MISSING)
def test_required_by_the_safe_policy(pki: Pki, what: str) -> None:
    """RFC 7627 sections 5.2 and 5.3, RFC 5746 sections 3.4 and 3.6: handshake_failure."""
    liar, code, reason = MISSING[what]
    met = stripped(pki, SAFE, liar, code)
    honest, lying = (met.server, met.client) if liar == "client" else (met.client, met.server)
    assert isinstance(honest.error, PeerIncompatible)
    assert (honest.error.alert, honest.error.reason) == (Alert.handshake_failure, reason)
    assert met.alert_heard_by(lying) == Alert.handshake_failure
    assert met.completed == (False, False)


def test_not_required_by_legacy(pki: Pki) -> None:
    """A client without either is served; whoever asks for channel bindings is told if they do not hold (RFC 7627 section 5.4)."""
    met = stripped(pki, LEGACY, "client", RENEGOTIATION)
    assert met.completed == (True, True)
    assert (met.client.info.secure_renegotiation, met.server.info.secure_renegotiation) == (False, False)
    # The liar thinks that it offered the extension; one that really has none gets no answer to it.
    ours = pki.client_config(policy=LEGACY, session_store=MemoryStore())
    theirs = pki.server_config(policy=LEGACY)
    server, client = ServerConnection(theirs), lying_client(ours, without(ClientHello, EMS))
    assert meet(client, server).completed == (True, True)
    assert (client.info.extended_master_secret, server.info.extended_master_secret) == (False, False)
    assert client.info.export_keying_material("EXPORTER-test", b"", 8) == server.info.export_keying_material(
        "EXPORTER-test", b"", 8
    )
    # After a full handshake the Finished messages still bind: they saw the certificate.
    assert client.info.channel_binding("tls-unique") == server.info.channel_binding("tls-unique")
    again, resumed = ServerConnection(theirs), lying_client(ours, without(ClientHello, EMS))
    assert meet(resumed, again).completed == (True, True)
    assert resumed.info.resumed
    refused = [(client, "tls-exporter"), (server, "tls-exporter")]
    refused += [(side, kind) for side in (resumed, again) for kind in ("tls-unique", "tls-exporter")]
    for side, kind in refused:
        with pytest.raises(Misuse, match="extended master secret"):
            side.info.channel_binding(kind)


def test_the_renegotiation_scsv(pki: Pki) -> None:
    """RFC 5746 section 3.6: as good as the extension, and answered like it."""
    answers: list[Any] = []

    def say_scsv(hello: Any) -> None:
        del hello.extensions[RENEGOTIATION]
        hello.cipher_suites = (0x00FF, *hello.cipher_suites)

    def note(hello: Any) -> list[Any]:
        answers.append(hello.extensions.get(RENEGOTIATION))
        return [hello]

    client = lying_client(pki.client_config(policy=SAFE), edit(ClientHello, say_scsv))
    server = lying_server(pki.server_config(policy=SAFE), instead(ServerHello, note))
    meet(client, server)
    assert answers == [b""]
    assert server.error is None or isinstance(server.error, AlertReceived)


@pytest.mark.parametrize("liar", ["client", "server"])
@pytest.mark.parametrize("policy", [SAFE, LEGACY], ids=["safe", "legacy"])
def test_a_first_hello_about_a_renegotiation(pki: Pki, liar: str, policy: Policy) -> None:
    """RFC 5746 sections 3.4 and 3.6: verify_data in renegotiation_info, where nothing was negotiated yet."""
    kind: type[Message] = ClientHello if liar == "client" else ServerHello
    lie = edit(kind, lambda hello: hello.extensions.update({RENEGOTIATION: bytes(12)}))
    ours, theirs = pki.client_config(policy=policy), pki.server_config(policy=policy)
    if liar == "client":
        met = meet(lying_client(ours, lie), ServerConnection(theirs))
        refused(met.server, Alert.handshake_failure, "renegotiation_mismatch", met.client)
    else:
        met = meet(ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, lie))
        refused(met.client, Alert.handshake_failure, "renegotiation_mismatch", met.server)


# versions -----------------------------------------------------------------------------------------------------------------

BOTH = Policy.intermediate


@pytest.mark.parametrize(
    ("client", "server", "agreed"),
    [
        (BOTH, BOTH, "TLSv1.3"),
        (BOTH, SAFE, "TLSv1.2"),
        (SAFE, BOTH, "TLSv1.2"),
        (SAFE, SAFE, "TLSv1.2"),
        (BOTH, Policy.modern, "TLSv1.3"),
        (Policy.modern, BOTH, "TLSv1.3"),
        (Policy.legacy, LEGACY, "TLSv1.2"),
    ],
)
def test_versions(pki: Pki, client: Policy, server: Policy, agreed: str) -> None:
    """One hello offers both; what the server speaks of them is spoken."""
    met = meeting(pki, {"policy": client}, {"policy": server})
    assert met.completed == (True, True), (met.client_error, met.server_error)
    assert met.client.info.version == met.server.info.version == agreed


@pytest.mark.parametrize(("client", "server"), [(SAFE, Policy.modern), (Policy.modern, SAFE)])
def test_no_common_version(pki: Pki, client: Policy, server: Policy) -> None:
    met = meeting(pki, {"policy": client}, {"policy": server})
    refused(met.server, Alert.protocol_version, "unsupported_protocol", met.client)


@pytest.mark.parametrize("version", [0x0302, 0x0301, 0x0300, 0x0200, 0x0000])
@pytest.mark.parametrize("policy", [BOTH, SAFE, LEGACY], ids=["both", "1.2", "legacy"])
def test_old_clients(pki: Pki, version: int, policy: Policy) -> None:
    """TLS 1.1 and below: protocol_version (RFC 8996)."""

    def age(hello: Any) -> None:
        hello.legacy_version = version
        hello.extensions.pop(X.supported_versions, None)

    met = meet(
        lying_client(pki.client_config(policy=SAFE), edit(ClientHello, age)), ServerConnection(pki.server_config(policy=policy))
    )
    assert met.server_error.alert is Alert.protocol_version
    assert met.alert_heard_by(met.client) == Alert.protocol_version


@pytest.mark.parametrize("version", [0x0302, 0x0301, 0x0300])
def test_old_servers(pki: Pki, version: int) -> None:
    lie = edit(ServerHello, lambda hello: setattr(hello, "legacy_version", version))
    client = ClientConnection(pki.client_config(policy=SAFE), server_hostname="localhost")
    met = meet(client, lying_server(pki.server_config(policy=SAFE), lie))
    refused(client, Alert.protocol_version, "unsupported_protocol", met.server)


def test_a_version_to_come(pki: Pki) -> None:
    """RFC 5246 appendix E.1: a server answers a newer legacy_version with its own best."""
    lie = edit(ClientHello, lambda hello: setattr(hello, "legacy_version", 0x0309))
    met = meet(lying_client(pki.client_config(policy=SAFE), lie), ServerConnection(pki.server_config(policy=SAFE)))
    assert met.completed == (True, True)


ANCIENT = {
    "SSLv2": bytes.fromhex("802b0100020012000000100100800700c0030080060040020080040080") + bytes(16),
    "SSLv2, TLS 1.0 inside": bytes.fromhex("801c01030100030000001000000a") + bytes(16),
    "SSLv3": b"\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00" + bytes(32) + b"\x00\x00\x02\x00\x0a\x01\x00",
}


@pytest.mark.parametrize("name", ANCIENT)
def test_ancient_hellos(pki: Pki, name: str) -> None:
    server = ServerConnection(pki.server_config())
    with pytest.raises(PeerIncompatible) as raised:
        server.receive_data(ANCIENT[name])
    assert raised.value.alert is Alert.protocol_version
    assert server.data_to_send() == bytes((0x15, 3, 3, 0, 2, 2, 70))


@pytest.mark.parametrize("versions", [None, (0x0303,), (0x7A7A, 0x0303), (0x0303, 0x0302)])
def test_fallback_scsv(pki: Pki, versions: tuple[int, ...] | None) -> None:
    """RFC 7507 section 3: a client that says it fell back, at a server that has something better."""

    def fall_back(hello: Any) -> None:
        hello.cipher_suites = (*hello.cipher_suites, 0x5600)
        if versions is not None:
            hello.extensions[X.supported_versions] = versions

    lie = edit(ClientHello, fall_back)
    met = meet(lying_client(pki.client_config(policy=SAFE), lie), ServerConnection(pki.server_config()))
    refused(met.server, Alert.inappropriate_fallback, "inappropriate_fallback", met.client)
    met = meet(
        lying_client(pki.client_config(policy=SAFE), edit(ClientHello, fall_back)), ServerConnection(pki.server_config(policy=SAFE))
    )
    assert met.completed == (True, True)  # TLS 1.2 is the best that this one has


def test_fallback_below_tls12(pki: Pki) -> None:
    """RFC 7507 section 3: also where nothing else could be agreed on: the alert tells who forced it."""

    def fall_back(hello: Any) -> None:
        hello.cipher_suites = (*hello.cipher_suites, 0x5600)
        hello.legacy_version = 0x0302

    met = meet(lying_client(pki.client_config(policy=SAFE), edit(ClientHello, fall_back)), ServerConnection(pki.server_config()))
    refused(met.server, Alert.inappropriate_fallback, "inappropriate_fallback", met.client)


def test_encrypt_then_mac_with_an_aead(pki: Pki) -> None:
    """RFC 7366 section 3: a server answers it for CBC alone."""
    policy = LEGACY.replace(cipher_suites=("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"))
    lie = edit(ServerHello, lambda hello: hello.extensions.update({X.encrypt_then_mac: None}))
    met = meet(
        ClientConnection(pki.client_config(policy=policy), server_hostname="localhost"), lying_server(pki.server_config(), lie)
    )
    refused(met.client, Alert.illegal_parameter, "unexpected_encrypt_then_mac", met.server)


@pytest.mark.parametrize(("policy", "sentinel"), [(BOTH, True), (SAFE, False)])
def test_the_sentinel_is_set(pki: Pki, policy: Policy, sentinel: bool) -> None:
    """RFC 8446 section 4.1.3: by who has TLS 1.3 and speaks TLS 1.2."""
    said: list[bytes] = []
    server = lying_server(
        pki.server_config(policy=policy), instead(ServerHello, lambda hello: said.append(hello.random) or [hello])
    )  # type: ignore[attr-defined, func-returns-value]
    assert meet(ClientConnection(pki.client_config(policy=SAFE), server_hostname="localhost"), server).completed == (True, True)
    assert [random.endswith(DOWNGRADE_TO_12) for random in said] == [sentinel]


@pytest.mark.parametrize("sentinel", [DOWNGRADE_TO_12, DOWNGRADE_TO_11])
def test_the_sentinel_is_seen(pki: Pki, sentinel: bytes) -> None:
    lie = edit(ServerHello, lambda hello: setattr(hello, "random", hello.random[:24] + sentinel))
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    met = meet(client, lying_server(pki.server_config(policy=SAFE), lie))
    refused(client, Alert.illegal_parameter, "tls13_downgrade", met.server)


# lengths of records -------------------------------------------------------------------------------------------------------


def record_lengths(data: bytes) -> list[tuple[int, int]]:
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        found.append((data[at], length))
        at += 5 + length
    return found


@pytest.mark.parametrize("length", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("policy", [SAFE, Policy.modern], ids=["1.2", "1.3"])
def test_max_fragment_length(pki: Pki, length: int, policy: Policy) -> None:
    """RFC 6066 section 4: data both ways, and in TLS 1.2 the handshake's messages from the server's first on."""
    client = ClientConnection(pki.client_config(policy=policy, max_fragment_length=length), server_hostname="localhost")
    server = ServerConnection(pki.server_config(policy=policy))
    server.receive_data(client.data_to_send())
    flight = server.data_to_send()
    if policy is SAFE:
        assert max(size for kind, size in record_lengths(flight)) <= length
    client.receive_data(flight)
    exchange(client, server)
    for one, other in ((client, server), (server, client)):
        one.send_data(bytes(10_000))
        sealed = one.data_to_send()
        assert len(record_lengths(sealed)) == -(-10_000 // length)
        assert data_of(other.receive_data(sealed)) == bytes(10_000)
    ends(client, server)


@pytest.mark.parametrize("limits", [(64, None), (None, 64), (100, 16_000), (2**14, 2**14), (2**14 + 1, 2**14 + 1)])
@pytest.mark.parametrize("policy", [SAFE, Policy.modern], ids=["1.2", "1.3"])
def test_record_size_limit(pki: Pki, limits: tuple[int | None, int | None], policy: Policy) -> None:
    """RFC 8449: each side says what it takes; answered only where it was offered; TLS 1.3 counts the content type."""
    ours, theirs = limits
    met = meeting(pki, {"policy": policy, "record_size_limit": ours}, {"policy": policy, "record_size_limit": theirs})
    assert met.completed == (True, True), (met.client_error, met.server_error)
    inner = policy is Policy.modern
    most = (theirs if ours is not None else None) or 2**14 + inner, ours or 2**14 + inner
    for one, other, limit in ((met.client, met.server, most[0]), (met.server, met.client, most[1])):
        one.send_data(bytes(20_000))
        sealed = one.data_to_send()
        assert len(record_lengths(sealed)) == -(-20_000 // min(limit - inner, 2**14))
        assert data_of(other.receive_data(sealed)) == bytes(20_000)


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("asked", [None, 100])
@pytest.mark.parametrize("policy", [SAFE, Policy.modern], ids=["1.2", "1.3"])
def test_max_send_fragment(pki: Pki, policy: Policy, asked: int | None, chosen: bool) -> None:
    """All that we send, from the first hello on; the peer may ask for less.  Also where select_config is who says it."""
    ours = pki.client_config(policy=policy, max_send_fragment=200, record_size_limit=asked)
    theirs = pki.server_config(policy=policy, max_send_fragment=300)
    first = pki.server_config(policy=policy, select_config=lambda hello: theirs) if chosen else theirs
    client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(first)
    longest, overhead = {client: 0, server: 0}, 29 if policy is SAFE else 17  # of CBC or GCM, with an explicit nonce; of TLS 1.3

    def carry(one: Connection, other: Connection) -> list[Any]:
        sent = one.data_to_send()
        longest[one] = max([longest[one], *(size for _, size in record_lengths(sent))])
        return other.receive_data(sent)

    for _ in range(3):
        carry(client, server)
        carry(server, client)
    for one, other in ((client, server), (server, client)):
        one.send_data(bytes(5000))
        assert data_of(carry(one, other)) == bytes(5000)
    assert 200 < longest[client] <= 200 + overhead
    assert (asked or 300) <= longest[server] <= 300 + overhead
    server.send_data(bytes(5000))
    assert (asked or 300) <= max(size for _, size in record_lengths(server.data_to_send())) <= (asked or 300) + overhead


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("policy", [SAFE, Policy.modern], ids=["1.2", "1.3"])
def test_max_certificate_size(pki: Pki, policy: Policy, role: str, compressed: bool) -> None:
    """A Certificate of more bytes is refused, by either side, before it is there; other messages may be longer."""
    seen: list[Any] = []
    fields: dict[str, Any] = {"policy": policy, **({"certificate_compression": ("zlib",)} if compressed else {})}
    ours: dict[str, Any] = {**fields, "credential": pki.client()}
    theirs: dict[str, Any] = {**fields, "client_auth": ClientAuth.require, "trust": pki.trust}
    meeting(
        pki, {"policy": policy, "credential": pki.client()}, {**theirs, "certificate_compression": None, "observer": seen.append}
    )
    messages = [each for each in seen if isinstance(each, MessageSeen) and each.message.raw[0] == HandshakeType.certificate]
    sizes = {"client" if each.sent else "server": len(each.message.raw) - 4 for each in messages}
    ours["max_certificate_size"], theirs["max_certificate_size"] = sizes["client"], sizes["server"]
    assert meeting(pki, ours, theirs).completed == (True, True)
    (ours if role == "client" else theirs)["max_certificate_size"] -= 1
    met = meeting(pki, ours, theirs)
    error = met.client_error if role == "client" else met.server_error
    if compressed and policy is not SAFE:
        assert (error.alert, error.reason) == (Alert.bad_certificate, "uncompressed_cert_too_large")
    else:
        assert (error.alert, error.reason) == (Alert.illegal_parameter, "message_too_large")


@pytest.mark.parametrize("policy", [SAFE, Policy.modern], ids=["1.2", "1.3"])
@pytest.mark.parametrize("how", ["max_fragment_length", "record_size_limit"])
def test_a_record_that_is_longer_than_agreed(pki: Pki, policy: Policy, how: str) -> None:
    met = meeting(pki, {"policy": policy, how: 512}, {"policy": policy})
    met.server._records.max_send = MAX_PLAINTEXT
    met.server.send_data(bytes(513))
    meet(met.client, met.server)
    assert met.client_error.alert is Alert.record_overflow
    assert met.alert_heard_by(met.server) == Alert.record_overflow


@pytest.mark.parametrize("bad", [0, 63, 2**14 + 2])
def test_limits_that_cannot_be_asked_for(bad: int) -> None:
    with pytest.raises(Misuse, match="record_size_limit"):
        ClientConfig(record_size_limit=bad)
    with pytest.raises(Misuse, match="max_fragment_length"):
        ClientConfig(max_fragment_length=bad)


def test_a_policy_without_a_suite_for_its_versions() -> None:
    with pytest.raises(Misuse, match="cipher suite for one of its versions"):
        Policy(versions=V12)
    assert [str(v) for v in Policy(versions=("TLSv1.3", "TLSv1.2")).versions] == ["TLSv1.3"]


BAD_LIMITS: dict[str, tuple[str, int, int, str]] = {
    "a small limit from the client": ("client", X.record_size_limit, 63, "bad_record_size_limit"),
    "a small limit from the server": ("server", X.record_size_limit, 63, "bad_record_size_limit"),
    "a large limit from the server": ("server", X.record_size_limit, 2**14 + 1, "bad_record_size_limit"),
    "an unknown fragment length": ("client", X.max_fragment_length, 5, "bad_max_fragment_length"),
    "another fragment length than asked": ("server", X.max_fragment_length, 2, "bad_max_fragment_length"),
}


@pytest.mark.parametrize("what", BAD_LIMITS)
def test_bad_limits(pki: Pki, what: str) -> None:
    liar, code, value, reason = BAD_LIMITS[what]
    asks: dict[str, Any] = {"record_size_limit": 512} if code == X.record_size_limit else {"max_fragment_length": 512}
    ours, theirs = pki.client_config(policy=SAFE, **asks), pki.server_config(policy=SAFE)
    kind: type[Message] = ClientHello if liar == "client" else ServerHello
    lie = edit(kind, lambda hello: hello.extensions.update({code: value}))
    if liar == "client":
        met = meet(lying_client(ours, lie), ServerConnection(theirs))
        refused(met.server, Alert.illegal_parameter, reason, met.client)
    else:
        met = meet(ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, lie))
        refused(met.client, Alert.illegal_parameter, reason, met.server)


# what comes beside ---------------------------------------------------------------------------------------------------------


def test_staples(pki: Pki) -> None:
    """RFC 6066 section 8 and RFC 6962, to who asks."""
    credential = pki.server().stapled(ocsp_response=pki.stapled.ocsp_response, scts=(b"an SCT", b"another"))
    met = meeting(pki, {"request_staples": True}, {"credentials": (credential,)})
    assert met.completed == (True, True)
    assert (met.client.info.ocsp_response, met.client.info.scts) == (credential.ocsp_response, (b"an SCT", b"another"))
    for client, server in (({}, credential), ({"request_staples": True}, pki.server())):
        met = meeting(pki, client, {"credentials": (server,)})
        assert met.completed == (True, True)
        assert (met.client.info.ocsp_response, met.client.info.scts) == (b"", ())


def test_a_staple_that_was_promised_and_does_not_come(pki: Pki) -> None:
    """RFC 6066 section 8: the server said that it may, not that it does."""
    credential = pki.server().stapled(ocsp_response=b"an OCSP response")
    server = lying_server(pki.server_config(policy=SAFE, credentials=(credential,)), instead(CertificateStatus12, lambda m: []))
    client = lying_client(pki.client_config(policy=SAFE, request_staples=True), lambda message: [message])
    meet(client, server)
    assert client.error is None or isinstance(client.error, AlertReceived)
    assert client.info.ocsp_response == b""


def test_key_log(pki: Pki) -> None:
    """CLIENT_RANDOM with the master secret: the same line on both sides, and again when the session is resumed."""
    lines: tuple[list[str], list[str]] = ([], [])
    kept = MemoryStore()
    ours = pki.client_config(policy=SAFE, session_store=kept, key_log=lines[0].append)
    theirs = pki.server_config(policy=SAFE, key_log=lines[1].append)
    for _ in range(2):
        client, _ = memory_pair(ours, theirs)
        assert lines[0] == lines[1]
        label, random, secret = lines[0][-1].split(" ")
        assert (label, random, len(secret)) == ("CLIENT_RANDOM", client.info.client_random.hex(), 96)
    assert len(lines[0]) == 2
    assert lines[0][0].split()[2] == lines[0][1].split()[2]
    assert client.info.resumed


def test_tls_server_end_point(pki: Pki) -> None:
    """RFC 5929 section 4: the certificate's hash."""
    for credential in (pki.server(), pki.server("rsa2048")):
        met = meeting(pki, server={"credentials": (credential,)})
        expected = hashlib.sha256(credential.chain[0]).digest()
        algorithm = x509.load_der_x509_certificate(credential.chain[0]).signature_hash_algorithm
        assert algorithm is not None
        assert algorithm.name == "sha256"
        for side in (met.client, met.server):
            assert side.info.channel_binding("tls-server-end-point") == expected


def test_tls_unique_is_the_first_finished(pki: Pki) -> None:
    """RFC 5929 section 3: 12 bytes, other ones each time, and none in TLS 1.3."""
    seen = {meeting(pki, {"session_store": None}).client.info.channel_binding("tls-unique") for _ in range(3)}
    assert [len(each) for each in seen] == [12, 12, 12]
    with pytest.raises(Misuse, match=r"TLS 1\.3"):
        meeting(pki, {"policy": BOTH}, {"policy": BOTH}).client.info.channel_binding("tls-unique")


@pytest.mark.parametrize(
    "label", ["client finished", "server finished", "master secret", "key expansion", "extended master secret"]
)
def test_labels_that_are_not_exported(pki: Pki, label: str) -> None:
    with pytest.raises(Misuse):
        meeting(pki).client.info.export_keying_material(label, b"", 48)


def test_no_key_update(pki: Pki) -> None:
    with pytest.raises(Misuse):
        meeting(pki).client.update_keys()


# negotiate() ---------------------------------------------------------------------------------------------------------------

ChangeBoth = Callable[[Pki], tuple[dict[str, Any], dict[str, Any]]]
OFFLINE: dict[str, ChangeBoth] = {
    "both": lambda pki: ({}, {}),
    "client of both": lambda pki: ({"policy": BOTH}, {}),
    "server of both": lambda pki: ({}, {"policy": BOTH}),
    "rsa": lambda pki: ({}, {"credentials": (pki.server("rsa2048"),)}),
    "two certificates": lambda pki: ({}, {"credentials": (pki.server("rsa2048"), pki.server())}),
    "static rsa": lambda pki: (
        {"policy": only("TLS_RSA_WITH_AES_128_CBC_SHA")},
        {"policy": LEGACY, "credentials": (pki.server("rsa2048"),)},
    ),
    "dhe": lambda pki: (
        {"policy": only("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256")},
        {"policy": LEGACY, "credentials": (pki.server("rsa2048"),)},
    ),
    "psk": lambda pki: (
        {"policy": only("TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"), "psk": lambda hint: (b"we", KEY)},
        {"policy": LEGACY, "psk": {b"we": KEY}.get},
    ),
    "alpn": lambda pki: ({"alpn": ("h2",)}, {"alpn": ("http/1.1", "h2")}),
    "no common suite": lambda pki: ({"policy": only("TLS_RSA_WITH_AES_128_CBC_SHA")}, {}),
    "no common group": lambda pki: ({"policy": SAFE.replace(groups=("x448",))}, {"policy": SAFE.replace(groups=("x25519",))}),
    "no common alpn": lambda pki: ({"alpn": ("h2",)}, {"alpn": ("http/1.1",)}),
    "no certificate that fits": lambda pki: (
        {"policy": SAFE.replace(signature_schemes=("ed448",), certificate_signature_schemes=("ed448", "ecdsa_secp256r1_sha256"))},
        {"credentials": (pki.server("rsa2048"),)},
    ),
}


@pytest.mark.parametrize("name", OFFLINE)
def test_negotiate_says_what_the_handshake_does(pki: Pki, name: str) -> None:
    ours, theirs = OFFLINE[name](pki)
    client, server = pki.client_config(**{"policy": SAFE, **ours}), pki.server_config(**{"policy": SAFE, **theirs})
    met = meet(ClientConnection(client, server_hostname="localhost"), ServerConnection(server))
    try:
        agreement = negotiate(client, server, "localhost")
    except PeerIncompatible as error:
        refused(met.server, error.alert, error.reason, met.client)  # type: ignore[arg-type]
        return
    assert met.completed == (True, True), (met.client_error, met.server_error)
    info = met.client.info
    assert dataclasses.astuple(agreement)[:5] == (
        info.version,
        info.cipher_suite,
        info.group,
        info.signature_scheme,
        info.alpn_protocol,
    )
    assert agreement.reasons


# what the client refuses in a ServerHello ----------------------------------------------------------------------------------

LIES: dict[str, tuple[Callable[[Any], object], Alert, str]] = {
    "a suite that was not offered": (
        lambda m: setattr(m, "cipher_suite", 0x002F),
        Alert.illegal_parameter,
        "wrong_cipher_returned",
    ),
    "a suite of TLS 1.3": (lambda m: setattr(m, "cipher_suite", 0x1301), Alert.illegal_parameter, "wrong_cipher_returned"),
    "a suite that nobody knows": (lambda m: setattr(m, "cipher_suite", 0x9999), Alert.illegal_parameter, "wrong_cipher_returned"),
    "compression": (lambda m: setattr(m, "legacy_compression_method", 1), Alert.illegal_parameter, "unsupported_compression"),
    "compressed points": (lambda m: m.extensions.update({X.ec_point_formats: (1,)}), Alert.illegal_parameter, "bad_point_formats"),
    "an answer to nothing": (
        lambda m: m.extensions.update({X.max_fragment_length: 1}),
        Alert.unsupported_extension,
        "unsolicited_extension",
    ),
    "an extension of TLS 1.3's": (
        lambda m: m.extensions.update({X.key_share: KeyShareEntry(0x001D, bytes(32))}),
        Alert.illegal_parameter,
        "misplaced_extension",
    ),
}


@pytest.mark.parametrize("what", LIES)
def test_server_hello(pki: Pki, what: str) -> None:
    """RFC 5246 section 7.4.1.3, RFC 8446 section 4.2."""
    change, alert, reason = LIES[what]
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    met = meet(client, lying_server(pki.server_config(policy=SAFE), edit(ServerHello, change)))
    assert isinstance(client.error, PeerMisbehaved)
    refused(client, alert, reason, met.server)


def test_servers_that_say_which_groups_they_have(pki: Pki) -> None:
    """Old ones do, in an answer that RFC 8422 does not know."""
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    lie = edit(ServerHello, lambda m: m.extensions.update({X.supported_groups: (0x0017,)}))
    assert meet(client, lying_server(pki.server_config(policy=SAFE), lie)).completed == (True, True)


def test_random_record_types_and_versions_in_the_first_record(pki: Pki) -> None:
    """RFC 5246 appendix E.1: servers take any version 3.x in the first record."""
    for minor in (0, 1, 2, 3, 9):
        client, server = (
            ClientConnection(pki.client_config(policy=SAFE), server_hostname="localhost"),
            ServerConnection(pki.server_config(policy=SAFE)),
        )
        hello = client.data_to_send()
        server.receive_data(hello[:2] + bytes((minor,)) + hello[3:])
        exchange(client, server)
        assert server.handshake_completed


@pytest.mark.parametrize("tickets", [True, False])
def test_a_client_may_do_without_tickets(pki: Pki, tickets: bool) -> None:
    """Then the server has to remember, and is asked by the session's ID."""
    policy = Policy.intermediate.replace(versions=("1.2",))
    config = pki.client_config(session_store=MemoryStore(), session_tickets=tickets, policy=policy)
    theirs = pki.server_config()
    ways = [memory_pair(config, theirs)[0].info.resumption for _ in range(3)]
    assert ways == [None, *["ticket" if tickets else "session_id"] * 2]


def test_a_ticket_is_not_offered_by_a_client_that_does_without(pki: Pki) -> None:
    """RFC 5077 section 3.2: the ticket goes with the extension; a session that has one is no other session, either."""
    store, policy = MemoryStore(), Policy.intermediate.replace(versions=("1.2",))
    theirs = pki.server_config()
    memory_pair(pki.client_config(session_store=store, policy=policy), theirs)
    client, _ = memory_pair(pki.client_config(session_store=store, policy=policy, session_tickets=False), theirs)
    assert client.info.client_hello.legacy_session_id == b""
    assert X.session_ticket not in client.info.client_hello.extensions
    assert client.info.resumption is None


@pytest.mark.parametrize("changes", [{"cipher_suite": 0x1301}, {"cipher_suite": 0x1399}, {"version": 0x0304}])
def test_a_ticket_of_something_else(pki: Pki, changes: dict[str, int]) -> None:
    """What a ticket of ours holds is looked at as well: TLS 1.3's suites are not for TLS 1.2's sessions."""
    store = MemoryStore()
    config, theirs = pki.client_config(session_store=store, policy=SAFE), pki.server_config(policy=Policy.intermediate)
    keys = theirs.tickets
    assert isinstance(keys, TicketKeys)
    memory_pair(config, theirs)
    session = store.take("localhost:")
    assert session is not None
    state = keys.open(session.ticket)
    assert state is not None
    other = dataclasses.replace(Session.from_bytes(state), **changes)
    store.put("localhost:", dataclasses.replace(session, ticket=keys.seal(other.to_bytes())))
    assert [each.info.resumed for each in memory_pair(config, theirs)] == [False, False]
