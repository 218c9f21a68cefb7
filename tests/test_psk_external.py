"""Keys from elsewhere in TLS 1.3 through the engine: plain, imported (RFC 9258), never mixed up."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest

from minitls import (
    Alert,
    AlertReceived,
    ClientAuth,
    ExternalPsk,
    KnownPsks,
    Misuse,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConfig,
)
from minitls.crypto.psk import KDFS, read_imported_identity
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import PSK_SUITES
from minitls.handshake.psk import MAX_IDENTITIES
from minitls.handshake.resume import LONGEST_IDENTITY
from minitls.sessions.tickets import TicketKeys
from minitls.wire.extensions import OfferedPsks, PskIdentity
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import PskKeyExchangeMode, is_grease
from tests.conftest import Pki
from tests.liar import edit
from tests.resuming import (
    AES128,
    AES256,
    QUICK,
    START,
    Fields,
    Pair,
    check_open,
    identities,
    refused,
    suites,
    tickets_of,
)

DHE, ALONE = PskKeyExchangeMode.psk_dhe_ke, PskKeyExchangeMode.psk_ke
KEY = bytes(range(32))
IDENTITY = b"we two"


def later(value: Any) -> Callable[[Any], Any]:
    async def psk(_: Any) -> Any:
        return value

    return psk


PLAIN: dict[str, tuple[Any, Any]] = {
    "bytes": (lambda _: (IDENTITY, KEY), {IDENTITY: KEY}.get),
    "sha256": (lambda _: ExternalPsk(IDENTITY, KEY), {IDENTITY: ExternalPsk(IDENTITY, KEY)}.get),
    "sha384": (lambda _: ExternalPsk(IDENTITY, KEY, "sha384"), {IDENTITY: ExternalPsk(IDENTITY, KEY, "sha384")}.get),
    "async": (later((IDENTITY, KEY)), later(KEY)),
    "async object": (later(ExternalPsk(IDENTITY, KEY)), later(ExternalPsk(IDENTITY, KEY))),
}


@pytest.mark.parametrize("alone", [False, True], ids=["", "psk_ke"])
@pytest.mark.parametrize("what", PLAIN)
def test_external(pki: Pki, what: str, alone: bool) -> None:
    """Section 4.2.11: nobody shows a certificate, and nothing is resumed, though it may be the next time."""
    ours, theirs = PLAIN[what]
    policy = QUICK.replace(psk_key_exchange_modes=(ALONE if alone else DHE,))
    pair = Pair(pki, {"psk": ours, "policy": policy}, {"psk": theirs, "policy": policy, "client_auth": ClientAuth.none})
    meeting = pair.meet()
    assert identities(meeting.client) == [IDENTITY]
    check_open(meeting.client, meeting.server)
    for info in (meeting.client.info, meeting.server.info):
        assert (info.psk_identity, info.resumed, info.resumption) == (IDENTITY, False, None)
        assert (info.peer_chain, info.signature_scheme, info.authenticated) == ((), None, START)
        assert info.cipher_suite == (AES256 if what == "sha384" else AES128)
        assert info.group == (None if alone else "x25519")
    assert len(tickets_of(meeting)) == 2
    (offered,) = meeting.client.info.client_hello.extensions[X.pre_shared_key].identities
    assert offered.obfuscated_ticket_age == 0


IMPORTED: dict[str, ExternalPsk] = {
    "without context": ExternalPsk(IDENTITY, KEY, context=b""),
    "with a context": ExternalPsk(IDENTITY, KEY, context=b"of ours"),
    "of sha384": ExternalPsk(IDENTITY, KEY, "sha384", b"of ours"),
    "between two": ExternalPsk.between(IDENTITY, KEY, client=b"C", server=b"S"),
}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["", "async"])
@pytest.mark.parametrize("names", [(AES128,), (AES256,), (AES256, AES128)], ids=["sha256", "sha384", "both"])
@pytest.mark.parametrize("what", IMPORTED)
def test_imported(pki: Pki, what: str, names: tuple[str, ...], asynchronous: bool) -> None:
    """RFC 9258: one key serves for each hash that the client has a suite of, whatever hash it is of itself."""
    psk = IMPORTED[what]
    find = {psk.identity: psk}.get

    async def find_later(identity: bytes) -> ExternalPsk | None:
        return find(identity)

    pair = Pair(pki, suites(*names) | {"psk": lambda _: psk}, suites(*names) | {"psk": find_later if asynchronous else find})
    meeting = pair.meet()
    hashes = [name for name in KDFS if name in {SUITES[int(code)].hash_name for code in pair.ours.policy.cipher_suites}]
    assert identities(meeting.client) == [psk.imported_identity(name) for name in hashes]
    check_open(meeting.client, meeting.server)
    assert meeting.client.info.psk_identity == meeting.server.info.psk_identity == psk.identity
    assert meeting.client.info.peer_chain == ()


def test_imported_keys_are_what_rfc_9258_says() -> None:
    """Section 5.1, computed here from the text; all contexts, hashes and keys make another."""
    psk = ExternalPsk(IDENTITY, KEY, "sha384", b"ctx")
    identity = b"\0\6we two" + b"\0\3ctx" + b"\3\4" + b"\0\1"
    assert psk.imported_identity("sha256") == identity
    extracted = hmac.digest(bytes(48), KEY, "sha384")
    label = b"\0\x20" + b"\x11tls13 derived psk" + b"\x30" + hashlib.sha384(identity).digest()
    assert psk.imported_key("sha256") == hmac.digest(extracted, label + b"\1", "sha384")[:32]
    read = read_imported_identity(identity)
    assert read is not None
    assert (read[0].external_identity, read[0].context, read[1]) == (IDENTITY, b"ctx", "sha256")
    others = [
        psk,
        ExternalPsk(IDENTITY, KEY, "sha384", b"other"),
        ExternalPsk(IDENTITY, KEY, "sha256", b"ctx"),
        ExternalPsk(b"other", KEY, "sha384", b"ctx"),
        ExternalPsk.between(IDENTITY, KEY, client=b"a", server=b"b"),
        ExternalPsk.between(IDENTITY, KEY, client=b"b", server=b"a"),
        ExternalPsk.between(IDENTITY, KEY, client=b"ab", server=b""),
    ]
    assert len({each.imported_key(name) for each in others for name in KDFS}) == 14


@pytest.mark.parametrize(
    "identity",
    [b"", b"x", IDENTITY, b"\0\1i\0\0\3\4\0\1more", b"\0\1i\0\0\3\3\0\1", b"\0\1i\0\0\3\4\0\3", b"\0\0\0\0\3\4\0\1"],
)
def test_identities_that_are_not_imported_ones(identity: bytes) -> None:
    """Any bytes may be an identity; TLS 1.2 and other KDFs are not for us (RFC 9258 section 5.1)."""
    assert read_imported_identity(identity) is None


MIXED: dict[str, tuple[ExternalPsk, dict[bytes, Any]]] = {
    "imported at plain bytes": (IMPORTED["with a context"], {IDENTITY: KEY}),
    "imported at plain": (IMPORTED["with a context"], {IDENTITY: ExternalPsk(IDENTITY, KEY)}),
    "plain at imported": (ExternalPsk(IDENTITY, KEY), {IDENTITY: IMPORTED["with a context"]}),
    "another context": (IMPORTED["with a context"], {IDENTITY: IMPORTED["without context"]}),
    "the other way round": (
        ExternalPsk.between(IDENTITY, KEY, client=b"C", server=b"S"),
        {IDENTITY: ExternalPsk.between(IDENTITY, KEY, client=b"S", server=b"C")},
    ),
    "the identity as imported, which is imported again": (
        IMPORTED["with a context"],
        {IMPORTED["with a context"].imported_identity("sha256"): IMPORTED["with a context"]},
    ),
    "another identity": (ExternalPsk(b"other", KEY), {IDENTITY: KEY}),
    "of a hash that the server has no suite of": (
        ExternalPsk(IDENTITY, KEY, "sha384"),
        {IDENTITY: ExternalPsk(IDENTITY, KEY, "sha384")},
    ),
}


@pytest.mark.parametrize("certificate", [True, False], ids=["certificate", "none"])
@pytest.mark.parametrize("what", MIXED)
def test_not_mixed_up(pki: Pki, what: str, certificate: bool) -> None:
    """RFC 9258 section 4.1: keys are imported or not, never both; what does not fit is not known."""
    psk, known = MIXED[what]
    theirs = suites(AES128) | {"psk": known.get} | ({} if certificate else {"credentials": ()})
    meeting = Pair(pki, {"psk": lambda _: psk}, theirs).meet()
    if certificate:
        check_open(meeting.client, meeting.server)
        assert meeting.client.info.psk_identity is meeting.server.info.psk_identity is None
    else:
        refused(meeting.server, PeerIncompatible, Alert.unknown_psk_identity, "unknown_psk_identity", meeting)


@pytest.mark.parametrize("key", [bytes(32), KEY[:31], KEY + b"\0"])
@pytest.mark.parametrize("context", [None, b""], ids=["plain", "imported"])
def test_another_key(pki: Pki, key: bytes, context: bytes | None) -> None:
    """Section 4.2.11.2: who does not have the key cannot make the binder; there is no full handshake instead."""
    ours, theirs = (ExternalPsk(IDENTITY, each, context=context) for each in (key, KEY))
    meeting = Pair(pki, {"psk": lambda _: ours}, {"psk": {IDENTITY: theirs}.get}).meet()
    refused(meeting.server, PeerMisbehaved, Alert.decrypt_error, "digest_check_failed", meeting)


def test_nobody_has_a_key_now(pki: Pki) -> None:
    """The client's callback gives None: nothing is offered."""
    meeting = Pair(pki, {"psk": lambda _: None}, {"psk": {}.get}).meet()
    check_open(meeting.client, meeting.server)
    assert X.pre_shared_key not in meeting.client.info.client_hello.extensions


def test_a_client_of_tls12_is_asked_later(pki: Pki) -> None:
    """Its callback gets the hint, and never None for TLS 1.3."""
    calls: list[Any] = []
    pair = Pair(pki, {"psk": calls.append, "policy": Policy.intermediate.replace(versions=("TLSv1.2",))})
    pair.connections()
    assert calls == []


def test_tls12(pki: Pki) -> None:
    """RFC 4279 and RFC 9258 section 7: a plain ExternalPsk serves TLS 1.2, too; an imported one is bound to TLS 1.3."""
    policy = Policy(versions=("TLSv1.2",), cipher_suites=("TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",), groups=("x25519",))
    psk = ExternalPsk(IDENTITY, KEY)
    pair = Pair(pki, {"policy": policy, "psk": lambda _: psk}, {"policy": policy, "psk": {IDENTITY: psk}.get, "credentials": ()})
    meeting = pair.meet()
    check_open(meeting.client, meeting.server)
    assert meeting.client.info.version == "TLSv1.2"
    assert meeting.client.info.psk_identity == meeting.server.info.psk_identity == IDENTITY
    pair.change({"psk": lambda _: IMPORTED["without context"]})
    meeting = pair.meet()
    refused(meeting.client, PeerIncompatible, Alert.handshake_failure, "no_psk", meeting)
    pair.change({"psk": lambda _: psk}, {"psk": {IDENTITY: IMPORTED["without context"]}.get})
    meeting = pair.meet()
    assert meeting.server_error.alert is Alert.unknown_psk_identity


def test_a_server_of_psks_alone(pki: Pki) -> None:
    """It needs no certificate, and has nothing for who knows no PSK (section 4.2.11)."""
    pair = Pair(pki, {"psk": lambda _: (IDENTITY, KEY)}, {"credentials": (), "psk": {IDENTITY: KEY}.get})
    meeting = pair.meet()
    check_open(meeting.client, meeting.server)
    pair.change({"psk": None})
    meeting = pair.meet()
    refused(meeting.server, PeerIncompatible, Alert.unknown_psk_identity, "unknown_psk_identity", meeting)


SHARED: dict[str, tuple[Any, Any]] = {
    "plain": ((IDENTITY, KEY), KEY),
    "imported": (IMPORTED["of sha384"], IMPORTED["of sha384"]),
    "several": ([ExternalPsk(b"another", KEY), ExternalPsk(IDENTITY, KEY)], ExternalPsk(IDENTITY, KEY)),
}


@pytest.mark.parametrize("what", SHARED)
def test_sessions_of_psks(pki: Pki, what: str) -> None:
    """A ticket hides who comes, and allows early data; it is good as long as both have the key that it began with."""
    ours, theirs = SHARED[what]
    pair = Pair(pki, {"psk": lambda _: ours}, {"credentials": (), "psk": {IDENTITY: theirs}.get, "early_data": 1000})
    for number in range(3):
        meeting = pair.meet(early_data=b"hello")
        client, server = meeting.client.info, meeting.server.info
        assert (client.resumed, server.resumed, server.early_data) == (True, True, b"hello") if number else (False, False, b"")
        assert client.psk_identity == server.psk_identity == IDENTITY
        assert KEY not in pair.session().to_bytes()
        check_open(meeting.client, meeting.server)
    other = ExternalPsk(IDENTITY, bytes(32))
    pair.change(server={"psk": {IDENTITY: other}.get})  # the session goes with the key
    meeting = pair.meet()
    assert meeting.server_error.reason == ("unknown_psk_identity" if what == "imported" else "digest_check_failed")
    pair.change({"psk": lambda _: other})
    meeting = pair.meet()
    assert identities(meeting.client) == [IDENTITY]
    assert (meeting.server.info.resumed, meeting.server.info.psk_identity) == (False, IDENTITY)
    assert pair.meet().server.info.resumed
    pair.change({"psk": None}, {"credentials": (pki.server(),), "psk": None})
    meeting = pair.meet()
    assert identities(meeting.client) == []
    check_open(meeting.client, meeting.server)


def test_a_server_that_has_forgotten_its_keys(pki: Pki) -> None:
    pair = Pair(pki, {"psk": lambda _: (IDENTITY, KEY)}, {"psk": {IDENTITY: KEY}.get})
    pair.meet()
    pair.change(server={"psk": None})
    meeting = pair.meet()
    assert len(identities(meeting.client)) == 2
    assert (meeting.server.info.resumed, meeting.server.info.psk_identity) == (False, None)
    check_open(meeting.client, meeting.server)


def test_a_long_name_is_not_remembered(pki: Pki) -> None:
    name = bytes(LONGEST_IDENTITY + 1)
    pair = Pair(pki, {"psk": lambda _: (name, KEY)}, {"psk": {name: KEY}.get})
    meeting = pair.meet()
    assert meeting.server.info.psk_identity == name
    assert not tickets_of(meeting)
    with pytest.raises(Misuse, match="too long for a ticket"):  # which would be good without the key
        meeting.server.send_ticket()  # type: ignore[attr-defined]
    assert pair.store.get("localhost:") is None


@pytest.mark.parametrize("versions", [("1.3",), ("1.3", "1.2"), ("1.2",)])
@pytest.mark.parametrize("imported", [False, True])
def test_nothing_but_the_key(pki: Pki, versions: tuple[str, ...], imported: bool) -> None:
    """``psk_required``: certificates are not asked for, and an imported key is of TLS 1.3 alone (RFC 9258 section 7)."""
    if imported and versions == ("1.2",):
        return
    psk = ExternalPsk(IDENTITY, KEY, context=b"" if imported else None)
    policy = Policy.intermediate.replace(versions=versions, groups=("x25519",))
    alone = {"psk": lambda _: psk, "psk_required": True, "policy": policy, "request_staples": True}
    pair = Pair(pki, alone, {"psk": {IDENTITY: psk}.get, "policy": Policy.intermediate})
    for _ in range(2):
        meeting = pair.meet()
        hello = meeting.client.info.client_hello
        assert not {X.signature_algorithms, X.status_request, X.signature_algorithms_cert} & hello.extensions.keys()
        assert all(
            code in (*SUITES, *(() if imported or versions == ("1.3",) else PSK_SUITES)) for code in real(hello.cipher_suites)
        )
        assert 0x0303 not in hello.versions or not imported
        assert meeting.server.info.psk_identity == IDENTITY
        check_open(meeting.client, meeting.server)


def real(codes: tuple[int, ...]) -> list[int]:
    return [code for code in codes if not is_grease(code)]


def test_a_server_without_the_key(pki: Pki) -> None:
    """It should know that it has nothing for us; one that goes on all the same is told."""
    alone = {"psk": lambda _: (IDENTITY, KEY), "psk_required": True}
    pair = Pair(pki, alone, {"psk": {IDENTITY: KEY}.get})
    lie = edit(ServerHello, lambda message: message.extensions.pop(X.pre_shared_key))
    meeting = pair.meet(server_lie=lie)
    error: Any = meeting.client_error
    assert (type(error), error.alert, error.reason) == (PeerMisbehaved, Alert.missing_extension, "psk_required")
    pair.change(server={"psk": None})
    meeting = pair.meet()
    assert meeting.server_error.alert is Alert.missing_extension


def test_a_session_of_a_certificate_is_not_the_key(pki: Pki) -> None:
    pair = Pair(pki, server={"psk": {IDENTITY: KEY}.get})
    pair.meet()
    pair.change({"psk": lambda _: (IDENTITY, KEY), "psk_required": True})
    assert identities(pair.connections()[0]) == [IDENTITY]


def test_a_session_of_a_certificate_is_not_the_key_in_tls12(pki: Pki) -> None:
    pair = Pair(pki, {"policy": Policy.intermediate.replace(versions=("1.2",))}, {"policy": Policy.intermediate})
    assert not pair.resumed()
    assert pair.connections()[0].info.client_hello.extensions[X.session_ticket] == pair.session().ticket
    pair.change({"psk": lambda _: (IDENTITY, KEY), "psk_required": True})
    assert pair.connections()[0].info.client_hello.extensions[X.session_ticket] == b""


def test_no_key_where_one_is_required(pki: Pki) -> None:
    with pytest.raises(Misuse, match="which key"):
        pki.client_config(psk_required=True)
    for nothing in (None, []):
        with pytest.raises(Misuse, match="there is no key"):
            Pair(pki, {"psk": lambda _, nothing=nothing: nothing, "psk_required": True}).connections()


@pytest.mark.parametrize("first", [0, 1, 2])
def test_keys_in_the_order_of_the_server(pki: Pki, first: int) -> None:
    """Where it says which: otherwise the client's order counts."""
    keys = [ExternalPsk(b"key %d" % number, bytes((number,)) * 32) for number in range(3)]
    known = KnownPsks(*keys[first:], *keys[:first])
    assert repr(known) == "<KnownPsks: 3>"
    pair = Pair(pki, {"psk": lambda _: keys[::-1], "session_store": None}, {"psk": known})
    assert pair.meet().server.info.psk_identity == keys[first].identity
    pair.change(server={"psk": {key.identity: key for key in keys}.get})
    assert pair.meet().server.info.psk_identity == b"key 2"


def test_keys_before_one_without_an_order(pki: Pki) -> None:
    """Sessions, and keys that it has elsewhere, come when the client says; but they are no reason to forget which key is best."""
    keys = [ExternalPsk(b"key %d" % number, bytes((number,)) * 32) for number in range(3)]

    class More(KnownPsks):
        def __call__(self, identity: bytes) -> ExternalPsk | None:
            return super().__call__(identity) or (keys[2] if identity == b"key 2" else None)

    pair = Pair(pki, {"psk": lambda _: keys, "session_store": None}, {"psk": More(keys[1], keys[0])})
    assert pair.meet().server.info.psk_identity == b"key 1"


def test_keys_used_in_another_way(pki: Pki) -> None:
    """Section 4.2.9: a mode that both have; with a certificate there is a way without."""
    pair = Pair(
        pki,
        {"psk": lambda _: (IDENTITY, KEY)},
        {"psk": {IDENTITY: KEY}.get, "policy": QUICK.replace(psk_key_exchange_modes=(ALONE,))},
    )
    meeting = pair.meet()
    assert meeting.server.info.psk_identity is None
    check_open(meeting.client, meeting.server)
    pair.change(server={"credentials": ()})
    meeting = pair.meet()
    refused(meeting.server, PeerIncompatible, Alert.handshake_failure, "no_supported_psk_mode", meeting)


def test_a_key_is_no_certificate(pki: Pki) -> None:
    """A server that requires a certificate is shown one, whatever keys it shares; one that only asks is content with a key."""
    psk = {"psk": {IDENTITY: KEY}.get, "trust": pki.trust}
    pair = Pair(pki, {"psk": lambda _: (IDENTITY, KEY)}, psk | {"client_auth": ClientAuth.request})
    assert pair.meet().server.info.psk_identity == IDENTITY
    pair.change(server={"client_auth": ClientAuth.require})
    meeting = pair.meet()
    refused(meeting.server, PeerIncompatible, Alert.certificate_required, "certificate_required", meeting)
    pair.change({"credential": pki.client()})
    meeting = pair.meet()
    assert (meeting.server.info.psk_identity, meeting.server.info.peer_chain) == (None, pki.client().chain)


def test_a_second_hello_with_a_key_of_the_other_hash(pki: Pki) -> None:
    """RFC 8446 sections 4.1.2, 4.1.4: the suite is settled; what fits it has to be there, and what does not is not taken."""
    psk = IMPORTED["with a context"]

    def other(hello: Any) -> None:
        hello.extensions[X.pre_shared_key] = OfferedPsks((PskIdentity(psk.imported_identity("sha384"), 0),), (bytes(48),))

    pair = Pair(pki, {"psk": lambda _: psk}, {"psk": {IDENTITY: psk}.get, "send_cookie": True})
    assert pair.meet().server.info.psk_identity == IDENTITY
    pair.store.take("localhost:")
    meeting = pair.meet(client_lie=edit(ClientHello, other, nth=2))
    refused(meeting.server, PeerMisbehaved, Alert.illegal_parameter, "psk_identity_not_found", meeting)


def test_a_session_is_offered_before_other_keys(pki: Pki) -> None:
    """Both are offered; the server takes the first that it knows."""
    pair = Pair(pki)
    pair.meet()
    pair.change({"psk": lambda _: (IDENTITY, KEY)}, {"psk": {IDENTITY: KEY}.get})
    meeting = pair.meet()
    assert identities(meeting.client)[1:] == [IDENTITY]
    assert (meeting.server.info.resumed, meeting.server.info.psk_identity) == (True, None)
    pair.change(server={"tickets": TicketKeys()})
    meeting = pair.meet()
    assert len(identities(meeting.client)) == 2
    check_open(meeting.client, meeting.server)
    assert (meeting.client.info.resumed, meeting.client.info.psk_identity) == (False, IDENTITY)


@pytest.mark.parametrize("before", [0, 1, MAX_IDENTITIES - 1, MAX_IDENTITIES, 100])
def test_many_identities(pki: Pki, before: int) -> None:
    """A server looks at the first few, and no further: each costs something."""
    others = tuple(PskIdentity(b"other %d" % number, 0) for number in range(before))
    calls: list[bytes] = []

    def psk(identity: bytes) -> bytes | None:
        calls.append(identity)
        return KEY if identity == IDENTITY else None

    def more(hello: Any) -> None:
        offered = hello.extensions[X.pre_shared_key]
        binders = (*(bytes(32) for _ in others), *offered.binders)
        hello.extensions[X.pre_shared_key] = OfferedPsks((*others, *offered.identities), binders)

    pair = Pair(pki, {"psk": lambda _: (IDENTITY, KEY)}, {"psk": psk})
    meeting = pair.meet(client_lie=edit(ClientHello, more))
    assert calls == [*(each.identity for each in others), IDENTITY][:MAX_IDENTITIES]
    if before == 0:
        check_open(meeting.client, meeting.server)
    elif before < MAX_IDENTITIES:  # found, but what it was bound to was another hello
        assert (meeting.server_error.alert, meeting.server_error.reason) == (Alert.decrypt_error, "digest_check_failed")
    else:
        assert meeting.server.info.signature_scheme is not None


def test_the_fourth_of_five(pki: Pki) -> None:
    """A client may have many keys (section 4.2.11): the index in the answer is that of the one which the server knows."""
    keys = {b"key %d" % number: bytes((number,)) * 32 for number in range(5)}
    ours = [ExternalPsk(*each) for each in keys.items()]
    pair = Pair(pki, {"psk": lambda _: ours}, {"psk": {b"key 3": keys[b"key 3"]}.get})
    chosen: list[int] = []
    meeting = pair.meet(server_lie=edit(ServerHello, lambda m: chosen.append(m.extensions[X.pre_shared_key])))
    check_open(meeting.client, meeting.server)
    assert chosen == [3]
    assert meeting.client.info.psk_identity == meeting.server.info.psk_identity == b"key 3"


# misuse -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"identity": b""},
        {"identity": bytes(2**16)},
        {"key": bytes(15)},
        {"key": b"password"},
        {"hash_name": "md5"},
        {"hash_name": "sha512"},
    ],
)
def test_keys_that_cannot_be(fields: Fields) -> None:
    """RFC 9257 section 6, RFC 8446 section 4.2.11."""
    with pytest.raises(Misuse):
        ExternalPsk(**{"identity": IDENTITY, "key": KEY, **fields})


def test_an_identity_that_fits_no_hello(pki: Pki) -> None:
    """An identity may have 65535 bytes by itself; a hello that holds it has room for some less."""
    with pytest.raises(Misuse):
        Pair(pki, {"psk": lambda _: ExternalPsk(bytes(65_500), KEY)}).connections()


def test_a_key_of_a_hash_that_the_policy_does_not_have(pki: Pki) -> None:
    pair = Pair(pki, suites(AES128) | {"psk": lambda _: ExternalPsk(IDENTITY, KEY, "sha384")})
    with pytest.raises(Misuse, match="the PSK is of sha384"):
        pair.connections()


def test_a_server_that_cannot_prove_anything() -> None:
    with pytest.raises(Misuse, match="a server needs a certificate"):
        ServerConfig()
    assert ServerConfig(psk={IDENTITY: KEY}.get).credentials == ()


def test_a_short_key_from_the_servers_callback(pki: Pki) -> None:
    """Our fault, and the client hears so."""
    met = Pair(pki, {"psk": lambda hint: (b"we", bytes(16))}, {"psk": lambda identity: b"short"}).meet()
    assert isinstance(met.server_error, Misuse)
    assert isinstance(met.client_error, AlertReceived)
    assert met.client_error.alert is Alert.internal_error
