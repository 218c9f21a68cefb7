"""Raw public keys (RFC 7250): who offers and chooses what, who is believed, and what must not be; both roles."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from minitls import (
    Alert,
    CertificateError,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Credential,
    Danger,
    Misuse,
    PeerCertificates,
    PeerIncompatible,
    Policy,
    Question,
    ServerConfig,
    ServerConnection,
    TLSError,
    negotiate,
)
from minitls.certificates.authority import KEYS, make_key
from minitls.certificates.faults import Fault
from minitls.certificates.raw import RawKey, fingerprint
from minitls.certificates.spki import RSASSA_PSS, as_spki, is_pss, read_spki
from minitls.crypto.groups import GROUPS, FiniteField
from minitls.crypto.signatures import SCHEMES
from minitls.data import replace
from minitls.handshake import server12, server13
from minitls.observe import ChainVerified, MessageSeen
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.testing import exchange, memory_pair
from minitls.trace.fields import dissect
from minitls.trace.json import document
from minitls.trace.recording import Recording
from minitls.trace.story import tell
from minitls.trace.text import as_text, draw
from minitls.wire.codec import Extensions
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.messages import Certificate, CertificateEntry, EncryptedExtensions
from minitls.wire.messages12 import Certificate12, RawPublicKey12
from minitls.wire.numbers import CertificateType, HandshakeType, NamedGroup
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import edit, instead, lying_client, lying_server, meet, with_extension
from tests.test_extensions_must import ILLEGAL, UNASKED, UNSOLICITED, Case, by_name, check, ext

X509, RAW = CertificateType.X509, CertificateType.RawPublicKey
SERVER_KEY, CLIENT_KEY, STRANGE_KEY = (make_key("ed25519") for _ in range(3))
SERVER, CLIENT, STRANGER = map(Credential.raw, (SERVER_KEY, CLIENT_KEY, STRANGE_KEY))
TRUST_SERVER: dict[str, Any] = {"trusted_keys": (SERVER.chain[0],), "trust": None}
TRUST_CLIENT: dict[str, Any] = {"trusted_keys": (CLIENT.chain[0],), "client_auth": ClientAuth.require}
TLS12 = Policy.intermediate.replace(versions=("TLSv1.2",))


def spki(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    return bytes((tag, length) if length < 0x80 else (tag, 0x82, length >> 8, length & 0xFF)) + content


def pss_spki(key: Any) -> bytes:
    """The same RSA key for RSASSA-PSS alone, whose parameters are absent (RFC 4055 section 1.2)."""
    pkcs1 = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return der(0x30, der(0x30, RSASSA_PSS) + der(0x03, b"\0" + pkcs1))


def offered(config: ClientConfig) -> tuple[Any, Any]:
    """What the two extensions of a client's hello have."""
    hello = ClientConnection(config, server_hostname="localhost").info.client_hello
    return hello.extensions.get(X.server_certificate_type), hello.extensions.get(X.client_certificate_type)


# who says what ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
def test_both_ways(kind: str) -> None:
    """Each side shows a key of each kind, and the other knows it."""
    server_key, client_key = make_key(kind), make_key(kind)
    client, server = memory_pair(
        ClientConfig(trusted_keys=(spki(server_key),), credential=Credential.raw(client_key)),
        ServerConfig(credentials=(Credential.raw(server_key),), trusted_keys=(spki(client_key),), client_auth=ClientAuth.require),
    )
    for info, peer in ((client.info, server_key), (server.info, client_key)):
        assert info.peer_public_key == spki(peer)
        assert (info.server_certificate_type, info.client_certificate_type) == (RAW, RAW)
        assert (info.peer_chain, info.verified_chain, info.local_chain) == ((), (), ())
    assert client.info.signature_scheme == server.info.signature_scheme
    client.send_data(b"hello")


def test_one_of_each(pki: Pki) -> None:
    """A server's key and a client's certificate, a server's certificate and a client's key."""
    client, server = memory_pair(
        ClientConfig(trusted_keys=(SERVER.chain[0],), credential=pki.client()),
        ServerConfig(credentials=SERVER, trust=pki.trust, client_auth=ClientAuth.require),  # type: ignore[arg-type]
    )
    assert (client.info.peer_public_key, server.info.peer_public_key) == (SERVER.chain[0], b"")
    assert server.info.peer_chain == pki.client().chain
    client, server = memory_pair(pki.client_config(credential=CLIENT), pki.server_config(**TRUST_CLIENT))
    assert (client.info.peer_public_key, server.info.peer_public_key) == (b"", CLIENT.chain[0])
    assert client.info.peer_chain == pki.server().chain


def test_what_a_client_offers(pki: Pki) -> None:
    """RFC 7250 section 4.1: nothing, where that is X.509 alone; what it prefers comes first."""
    assert offered(pki.client_config(credential=pki.client())) == (None, None)
    assert offered(pki.client_config(**TRUST_SERVER)) == ((RAW,), None)
    assert offered(pki.client_config(trusted_keys=(SERVER.chain[0],), credential=CLIENT)) == ((RAW, X509), (RAW,))
    assert offered(ClientConfig(**TRUST_SERVER, verify=Danger.accept_any_certificate)) == ((RAW, X509), None)
    assert offered(pki.client_config(trusted_keys=(SERVER.chain[0],), credential=CLIENT, policy=TLS12)) == ((RAW, X509), (RAW,))
    mixed = pki.client_config(trusted_keys=(SERVER.chain[0],), accepted_certificate_types=("X509", "RawPublicKey"))
    assert offered(mixed) == ((X509, RAW), None)
    assert offered(pki.client_config(offered_certificate_types=("RawPublicKey", "X509"))) == (None, (RAW, X509))
    assert offered(pki.client_config(credential=CLIENT, offered_certificate_types=("X509",))) == (None, None)


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ({}, ("raw", "x509"), X509),
        ({"trusted_keys": (SERVER.chain[0],)}, ("x509", "raw"), X509),
        ({"trusted_keys": (SERVER.chain[0],)}, ("raw", "x509"), RAW),
        ({"trusted_keys": (SERVER.chain[0],)}, ("x509",), X509),
        (
            {"trusted_keys": (SERVER.chain[0],), "policy": Policy(signature_schemes=("ecdsa_secp256r1_sha256",))},
            ("raw", "x509"),
            X509,
        ),
    ],
)
@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_what_a_server_chooses(pki: Pki, client: Any, server: tuple[str, ...], expected: CertificateType, version: str) -> None:
    """Of the type of its first that the client can process, with a key that it can verify; whatever the name says."""
    have = {"raw": SERVER, "x509": pki.server()}
    policy = client.get("policy", Policy.intermediate).replace(cipher_suites=Policy.intermediate.cipher_suites, versions=(version,))
    ours, theirs = pki.client_config(**{**client, "policy": policy}), pki.server_config(credentials=[have[each] for each in server])
    met, other = memory_pair(ours, theirs)
    assert met.info.server_certificate_type == other.info.server_certificate_type == expected
    assert met.info.peer_public_key == (SERVER.chain[0] if expected is RAW else b"")
    agreed = negotiate(ours, theirs, "localhost")
    assert (agreed.signature_scheme == "ed25519") == (expected is RAW)
    assert met.info.version == version


def test_a_client_need_not_show_its_key(pki: Pki) -> None:
    """Section 4.2: asked for a certificate, or not asked, it stays silent; and the server says no more than it must."""
    seen: list[Any] = []
    auth = {"client_auth": ClientAuth.request, "trust": pki.trust}
    _, server = memory_pair(pki.client_config(credential=CLIENT), pki.server_config(observer=seen.append, **auth))
    assert (server.info.peer_public_key, server.info.peer_chain) == (b"", ())
    names = [type(each.message).__name__ for each in seen if hasattr(each, "message") and each.sent]
    assert "CertificateRequest" not in names, "it could show nothing that we accept"
    _, server = memory_pair(
        pki.client_config(), pki.server_config(trusted_keys=(CLIENT.chain[0],), trust=pki.trust, client_auth=ClientAuth.request)
    )
    assert server.handshake_completed
    assert server.info.client_certificate_type == X509
    _, server = memory_pair(pki.client_config(credential=CLIENT), pki.server_config())
    assert server.handshake_completed
    assert server.info.client_certificate_type == X509


def test_an_older_server_asks_for_a_certificate(pki: Pki) -> None:
    """It knows nothing of our offer, and we have nothing else."""
    client_config = pki.client_config(credential=CLIENT)

    def forget(hello: Any) -> None:
        hello.extensions.pop(X.client_certificate_type, None)

    server = lying_server(
        pki.server_config(trusted_keys=(CLIENT.chain[0],), client_auth=ClientAuth.request, trust=pki.trust),
        edit(EncryptedExtensions, forget),
    )
    meeting = meet(ClientConnection(client_config, server_hostname="localhost"), server)
    assert meeting.client_error is None
    assert meeting.server.info.peer_public_key == b""


# who is believed ------------------------------------------------------------------------------------------------------------


def refused(client: ClientConfig, server: ServerConfig) -> Any:
    with pytest.raises(TLSError) as caught:
        memory_pair(client, server)
    return caught.value


@pytest.mark.parametrize("how", [{}, {"verify": Danger.accept_any_certificate}])
def test_a_key_that_nobody_trusts(how: Any) -> None:
    """Of either side; no switch for certificates makes a stranger's key good."""
    error = refused(ClientConfig(**TRUST_SERVER, **how), ServerConfig(credentials=(STRANGER,)))
    assert isinstance(error, CertificateError)
    assert (error.alert, error.reason, error.rule) == (Alert.bad_certificate, "untrusted_key", "RFC 7250 6")
    assert fingerprint(STRANGER.chain[0]) in str(error)
    assert "trusted_keys" in error.remedy
    assert error.verify_code == 95
    error = refused(
        ClientConfig(**TRUST_SERVER, credential=STRANGER), ServerConfig(credentials=(SERVER,), **{**TRUST_CLIENT, **how})
    )
    assert isinstance(error, CertificateError)
    assert error.reason == "untrusted_key"


def test_a_key_that_is_not_worth_it() -> None:
    """Also where somebody said to trust it: the rules for keys are those of certificates."""
    key = rsa.generate_private_key(65537, 1024)
    for weak, alert, reason in (
        (spki(key), Alert.bad_certificate, "weak_key"),
        (spki(ec.generate_private_key(ec.SECP224R1())), Alert.unsupported_certificate, "unsupported_key"),
        (spki(x25519.X25519PrivateKey.generate()), Alert.unsupported_certificate, "unsupported_key"),
        (SERVER.chain[0][:-1], Alert.decode_error, "malformed"),
        (b"no key at all", Alert.decode_error, "malformed"),
        (SERVER.chain[0].replace(b"\x2b\x65\x70", b"\x2b\x65\x69"), Alert.unsupported_certificate, "unsupported_key"),
    ):

        def swap(message: Certificate, der: bytes = weak) -> None:
            message.certificate_list[0].cert_data = der

        server = lying_server(ServerConfig(credentials=(SERVER,)), edit(Certificate, swap))
        trusted = (weak, SERVER.chain[0]) if reason == "weak_key" else (SERVER.chain[0],)
        meeting = meet(ClientConnection(ClientConfig(trusted_keys=trusted), server_hostname="localhost"), server)
        assert isinstance(meeting.client_error, CertificateError)
        assert (meeting.client_error.alert, meeting.client_error.reason) == (alert, reason)
        assert meeting.client.info.peer_public_key == b""
        assert meeting.alert_heard_by(server) == alert


def test_a_key_that_nobody_signs_with() -> None:
    """One for Diffie-Hellman, which pyca/cryptography warns of: that is not for a peer to make it do."""
    group = GROUPS[NamedGroup.ffdhe2048]
    assert isinstance(group, FiniteField)
    prime = group.prime.to_bytes(257, "big")
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d010301") + der(0x30, der(2, prime) + der(2, b"\2")))
    body = der(0x30, algorithm + der(3, b"\0" + der(2, b"\0" + prime[1:-1])))
    with pytest.raises(Fault):
        read_spki(body, "it has")


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519", "mldsa44"])
def test_a_damaged_key(kind: str) -> None:
    """Each byte: a Fault, or a key that is another."""
    whole = spki(make_key(kind))
    for at in [*range(min(len(whole), 120)), len(whole) - 1]:
        for bit in (1, 0x80):
            damaged = whole[:at] + bytes((whole[at] ^ bit,)) + whole[at + 1 :]
            with contextlib.suppress(Fault):
                assert read_spki(damaged, "it has").der == damaged
        with pytest.raises(Fault):
            read_spki(whole[:at], "it has")


def test_the_hook_sees_the_key() -> None:
    """What an application checks besides is checked of keys, too."""
    seen: list[PeerCertificates] = []
    memory_pair(ClientConfig(**TRUST_SERVER, verify=seen.append), ServerConfig(credentials=(SERVER,)))
    assert seen == [PeerCertificates((), (), "localhost", SERVER.chain[0])]

    def refuse(peer: PeerCertificates) -> None:
        raise CertificateError(Alert.access_denied, f"not you: {peer.server_name}")

    server = ServerConfig(credentials=(SERVER,), verify=refuse, **TRUST_CLIENT)
    error = refused(ClientConfig(**TRUST_SERVER, credential=CLIENT), server)
    assert "not you: None" in str(error)


def test_certificates_where_keys_alone_are_trusted(pki: Pki) -> None:
    """Neither the system's store nor any other steps in; in no version, in no role, in no resumption."""
    for policy in (Policy.modern, TLS12):
        error = refused(ClientConfig(**TRUST_SERVER, policy=Policy.intermediate), pki.server_config(policy=policy))
        assert error.alert is Alert.unsupported_certificate
        assert error.reason == "unsupported_certificate_type"
        _, server = memory_pair(
            pki.client_config(credential=pki.client(), policy=policy),
            pki.server_config(trusted_keys=(CLIENT.chain[0],), client_auth=ClientAuth.request),
        )
        assert server.info.peer_chain == (), "it was not asked: we could not take what it has"
    store = MemoryStore()
    server = pki.server_config()
    for config, resumed in ((pki.client_config(session_store=store), False), (pki.client_config(session_store=store), True)):
        assert memory_pair(config, server)[0].info.resumed is resumed
    seen: list[Any] = []
    refused(ClientConfig(**TRUST_SERVER, session_store=store, observer=seen.append), server)
    (hello, *_) = [each.message for each in seen if hasattr(each, "message")]
    assert X.pre_shared_key not in hello.extensions


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_keys_are_resumed(version: str) -> None:
    """By ticket; both sides know whom with, as long as both still trust the other's key."""
    policy = Policy.intermediate.replace(versions=(version,))
    ours: dict[str, Any] = {**TRUST_SERVER, "credential": CLIENT, "session_store": MemoryStore(), "policy": policy}
    theirs: dict[str, Any] = {"credentials": (SERVER,), "tickets": TicketKeys(), **TRUST_CLIENT}
    for resumed in (False, True, True):
        client, server = memory_pair(ClientConfig(**ours), ServerConfig(**theirs))
        assert (client.info.resumed, server.info.resumed) == (resumed, resumed)
        assert (client.info.peer_public_key, server.info.peer_public_key) == (SERVER.chain[0], CLIENT.chain[0])
    if version == "TLSv1.3":
        server.send_ticket()
        exchange(client, server)
    stranger = {"trusted_keys": STRANGER.chain}
    with pytest.raises(CertificateError, match="none that we trust"):
        memory_pair(ClientConfig(**ours), ServerConfig(**{**theirs, **stranger}))
    memory_pair(ClientConfig(**ours), ServerConfig(**theirs))
    seen: list[Any] = []
    with pytest.raises(CertificateError, match="none that we trust"):
        memory_pair(ClientConfig(**{**ours, **stranger}, observer=seen.append), ServerConfig(**theirs))
    (hello, *_) = [each.message for each in seen if hasattr(each, "message")]
    assert X.pre_shared_key not in hello.extensions
    assert not hello.extensions.get(X.session_ticket)


def test_a_session_with_what_is_not_taken_any_more(pki: Pki) -> None:
    """A key, where certificates alone are taken now, and the other way round, whatever the certificate's own verdict would be."""
    for made, later in (
        (pki.client_config(trusted_keys=SERVER.chain, session_store=MemoryStore()), {"accepted_certificate_types": ("X509",)}),
        (
            ClientConfig(verify=Danger.accept_any_certificate, trusted_keys=SERVER.chain, accepted_certificate_types=("X509",)),
            {"accepted_certificate_types": ("RawPublicKey",)},
        ),
    ):
        credentials = (SERVER, pki.server())
        server = pki.server_config(credentials=credentials)
        assert memory_pair(made, server)[0].info.resumed is False
        assert memory_pair(made, server)[0].info.resumed is True
        client, _ = memory_pair(replace(made, **later), server)
        assert client.info.resumed is False


def test_trust_by_asking() -> None:
    """A callable says who is believed: sync or async, of either side, and again when a session is resumed."""
    asked: list[tuple[bytes, str | None]] = []

    def ask(key: bytes, name: str | None) -> bool:
        asked.append((key, name))
        return len(asked) < 4

    client = ClientConfig(trusted_keys=ask, session_store=MemoryStore())
    server = ServerConfig(credentials=(SERVER,))
    for resumed in (False, True):
        assert memory_pair(client, server)[0].info.resumed is resumed
    assert memory_pair(client, server)[0].info.resumed
    with pytest.raises(CertificateError, match="none that we trust"):
        memory_pair(client, server)
    assert set(asked) == {(SERVER.chain[0], "localhost")}
    theirs = replace(server, trusted_keys=lambda key, name: (key, name) == (CLIENT.chain[0], None), client_auth=ClientAuth.require)
    assert memory_pair(ClientConfig(**TRUST_SERVER, credential=CLIENT), theirs)[1].info.peer_public_key == CLIENT.chain[0]

    async def later(key: bytes, name: str | None) -> bool:
        return key == SERVER.chain[0]

    waiting = ClientConnection(ClientConfig(trusted_keys=later), server_hostname="localhost")
    other = ServerConnection(server)
    other.receive_data(waiting.data_to_send())
    (question,) = [each for each in waiting.receive_data(other.data_to_send()) if isinstance(each, Question)]
    assert (question.name, question.args) == ("later", (SERVER.chain[0], "localhost"))
    waiting.answer(question, value=True)
    assert waiting.handshake_completed
    with pytest.raises(Misuse, match="give trusted_keys"):
        ClientConfig(accepted_certificate_types=("RawPublicKey",))


def test_certificates_are_resumed_as_ever(pki: Pki) -> None:
    """Where keys would be believed, too; the hello says so each time."""
    config = pki.client_config(trusted_keys=SERVER.chain, credential=CLIENT, session_store=MemoryStore())
    server = pki.server_config(trusted_keys=CLIENT.chain)
    for resumed in (False, True):
        met, other = memory_pair(config, server)
        assert (met.info.resumed, other.info.resumed) == (resumed, resumed)
        assert met.info.peer_chain == pki.server().chain
        assert met.info.server_certificate_type is X509


def test_after_the_handshake(pki: Pki) -> None:
    """RFC 8446 section 4.6.2: the type was agreed on in EncryptedExtensions, for when the client is asked; or it is X.509."""
    auth: dict[str, Any] = {"post_handshake_auth": True}
    client, server = memory_pair(pki.client_config(credential=CLIENT, **auth), pki.server_config(trusted_keys=CLIENT.chain, **auth))
    assert server.info.peer_public_key == b""
    server.request_client_certificate()
    exchange(client, server)
    assert (server.info.peer_public_key, server.info.peer_chain) == (CLIENT.chain[0], ())
    client, server = memory_pair(
        pki.client_config(credential=STRANGER, **auth), pki.server_config(trusted_keys=CLIENT.chain, **auth)
    )
    server.request_client_certificate()
    with pytest.raises(CertificateError):
        exchange(client, server)
    assert server.info.peer_public_key == b""
    client, server = memory_pair(pki.client_config(credential=CLIENT, **auth), pki.server_config(trust=pki.trust, **auth))
    server.request_client_certificate()
    exchange(client, server)
    assert server.info.peer_public_key == b""
    with pytest.raises(Misuse, match="post_handshake_auth needs trust"):
        pki.server_config(**auth)


def test_no_certificate_no_binding() -> None:
    """RFC 5929 section 4 binds to a certificate."""
    client, server = memory_pair(ClientConfig(**TRUST_SERVER), ServerConfig(credentials=(SERVER,)))
    for each in (client, server):
        with pytest.raises(Misuse, match="needs a server certificate"):
            each.info.channel_binding("tls-server-end-point")
    assert client.info.channel_binding("tls-exporter") == server.info.channel_binding("tls-exporter")


# nothing in common ----------------------------------------------------------------------------------------------------------

NO_COMMON_TYPE = (Alert.unsupported_certificate, "unsupported_certificate_type", "RFC 7250 4.2")


def test_nothing_in_common(pki: Pki) -> None:
    """RFC 7250 section 4.2: unsupported_certificate, whoever has only what the other does not take."""
    for client, server in (
        (pki.client_config(), pki.server_config(credentials=(SERVER,))),
        (ClientConfig(**TRUST_SERVER), pki.server_config()),
        (pki.client_config(credential=CLIENT), pki.server_config(trust=pki.trust, client_auth=ClientAuth.require)),
        (pki.client_config(credential=pki.client()), pki.server_config(**TRUST_CLIENT)),
    ):
        error = refused(client, server)
        assert isinstance(error, PeerIncompatible)
        assert (error.alert, error.reason, error.rule) == NO_COMMON_TYPE
    with pytest.raises(PeerIncompatible, match="no common type"):
        negotiate(pki.client_config(), pki.server_config(credentials=(SERVER,)))


# lies -----------------------------------------------------------------------------------------------------------------------

EE = EncryptedExtensions
RAW_SERVER: dict[str, dict[str, Any]] = {
    "client": TRUST_SERVER,
    "server": {"credentials": (SERVER,), "client_auth": ClientAuth.none},
}
RAW_CLIENT: dict[str, dict[str, Any]] = {
    "client": {"credential": CLIENT},
    "server": {"trusted_keys": (CLIENT.chain[0],), "trust": None},
}
WRONG_TYPE = (ILLEGAL, "wrong_certificate_type", "RFC 7250 4.2")
NOT_ALONE = (ILLEGAL, "raw_public_key_not_alone", "RFC 8446 4.4.2")


def entries(*more: CertificateEntry, extensions: Extensions | None = None) -> Any:
    def change(message: Certificate) -> None:
        first = CertificateEntry(message.certificate_list[0].cert_data, extensions or Extensions())
        message.certificate_list = (first, *more)

    return lambda _: edit(Certificate, change)


SERVER_LIES = [
    Case("server_certificate_type: we did not ask", ext(EE, X.server_certificate_type, 2), *UNSOLICITED),
    Case("client_certificate_type: we did not ask", ext(EE, X.client_certificate_type, 2), *UNSOLICITED),
    Case(
        "server_certificate_type: X.509, which we do not take",
        ext(EE, X.server_certificate_type, 0),
        *WRONG_TYPE,
        config=RAW_SERVER,
    ),
    Case("server_certificate_type: OpenPGP", ext(EE, X.server_certificate_type, 1), *WRONG_TYPE, config=RAW_SERVER),
    Case(
        "client_certificate_type: X.509, which we do not have",
        ext(EE, X.client_certificate_type, 0),
        *WRONG_TYPE,
        config=RAW_CLIENT,
    ),
    Case("client_certificate_type: one that nobody has", ext(EE, X.client_certificate_type, 224), *WRONG_TYPE, config=RAW_CLIENT),
    Case("two keys", entries(CertificateEntry(STRANGER.chain[0], Extensions())), *NOT_ALONE, config=RAW_SERVER),
    Case("an extension beside the key", entries(extensions=Extensions({0x1234: b""})), *UNASKED, config=RAW_SERVER),
]
CLIENT_LIES = [
    Case("two keys", entries(CertificateEntry(STRANGER.chain[0], Extensions())), *NOT_ALONE, config=RAW_CLIENT),
    Case("an extension beside the key", entries(extensions=Extensions({0x1234: b""})), *UNASKED, config=RAW_CLIENT),
]


@by_name(SERVER_LIES)
def test_a_server_that_lies(pki: Pki, case: Case) -> None:
    check(pki, "server", case)


@by_name(CLIENT_LIES)
def test_a_client_that_lies(pki: Pki, case: Case) -> None:
    check(pki, "client", case)


@pytest.mark.parametrize("who", ["server", "client"])
def test_another_private_key(pki: Pki, who: str) -> None:
    """To show a key that is trusted is not to have it."""
    thief = {"server": SERVER, "client": CLIENT}[who]
    fake = RawKey(thief.chain[0], signer=STRANGER.sign)
    config = RAW_SERVER if who == "server" else RAW_CLIENT
    field: dict[str, Any] = {"credentials": (fake,)} if who == "server" else {"credential": fake}
    case = Case("", None, Alert.decrypt_error, "bad_signature", "RFC 8446 4.4.3", config={**config, who: {**config[who], **field}})
    check(pki, who, case)


def test_a_certificate_where_a_key_was_agreed(pki: Pki) -> None:
    """And a key where a certificate was: neither can be read as the other."""
    der = pki.server().chain[0]
    swap = Case("", lambda _: edit(Certificate, lambda m: setattr(m.certificate_list[0], "cert_data", der)),
                Alert.decode_error, "malformed", "RFC 5280 4.1", config=RAW_SERVER, kind=CertificateError)  # fmt: skip
    check(pki, "server", swap)
    swap = Case("", lambda _: edit(Certificate, lambda m: setattr(m.certificate_list[0], "cert_data", SERVER.chain[0])),
                Alert.decode_error, "malformed", "RFC 5280 4.1", kind=CertificateError)  # fmt: skip
    check(pki, "server", swap)


# TLS 1.2 --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted({*KEYS} - {"mldsa44", "mldsa65", "mldsa87"}))
def test_tls12_both_ways(kind: str) -> None:
    """RFC 7250 section 3: the Certificate is the key, whatever its kind."""
    server_key, client_key = make_key(kind), make_key(kind)
    client, server = memory_pair(
        ClientConfig(trusted_keys=(spki(server_key),), credential=Credential.raw(client_key), policy=TLS12),
        ServerConfig(credentials=(Credential.raw(server_key),), trusted_keys=(spki(client_key),), client_auth=ClientAuth.require),
    )
    for info, peer in ((client.info, server_key), (server.info, client_key)):
        assert (info.version, info.peer_public_key) == ("TLSv1.2", spki(peer))
        assert (info.server_certificate_type, info.client_certificate_type) == (RAW, RAW)
        assert (info.peer_chain, info.verified_chain, info.local_chain) == ((), (), ())
    client.send_data(b"hello")


def test_tls12_curves() -> None:
    """RFC 8422 section 5.3: a key on a curve that the client has not is not shown, where there is another."""
    p256, p384 = make_key("p256"), make_key("p384")
    config = ClientConfig(trusted_keys=(spki(p256), spki(p384)), policy=TLS12.replace(groups=("x25519", "secp384r1")))
    client, _ = memory_pair(config, ServerConfig(credentials=(Credential.raw(p256), Credential.raw(p384))))
    assert client.info.peer_public_key == spki(p384)
    error = refused(config, ServerConfig(credentials=(Credential.raw(p256),)))
    assert (error.alert, error.reason, error.rule) == (Alert.handshake_failure, "wrong_curve", "RFC 8422 5.3")


def test_a_key_for_signatures_alone() -> None:
    """RFC 4055 section 1.2: static RSA has no use for it."""
    key = make_key("rsa2048")
    assert [read_spki(each, "it").may_encipher for each in (spki(key), pss_spki(key), spki(SERVER_KEY))] == [True, False, False]


def test_tls12_one_of_each(pki: Pki) -> None:
    client, server = memory_pair(
        ClientConfig(trusted_keys=(SERVER.chain[0],), credential=pki.client(), policy=TLS12),
        ServerConfig(credentials=(SERVER,), trust=pki.trust, client_auth=ClientAuth.require),
    )
    assert (client.info.peer_public_key, server.info.peer_chain) == (SERVER.chain[0], pki.client().chain)
    client, server = memory_pair(pki.client_config(credential=CLIENT, policy=TLS12), pki.server_config(**TRUST_CLIENT))
    assert (client.info.peer_chain, server.info.peer_public_key) == (pki.server().chain, CLIENT.chain[0])


def test_tls12_is_not_asked_later(pki: Pki) -> None:
    """RFC 7250 section 4.2: no word about a client's type where it is not asked; TLS 1.2 cannot ask after the handshake."""
    recording = Recording("client")
    config = pki.client_config(credential=CLIENT, post_handshake_auth=True, observer=recording)
    later = {**TRUST_CLIENT, "client_auth": ClientAuth.none, "post_handshake_auth": True}
    memory_pair(config, pki.server_config(**later, policy=TLS12))
    ((_, hello),) = recording.messages(ServerHello)
    assert X.client_certificate_type not in hello.extensions


def test_tls12_declines(pki: Pki) -> None:
    """A client that has no key any more says so by an empty one; a server that wants one says that it is required."""
    client = pki.client_config(offered_certificate_types=("RawPublicKey",), policy=TLS12)
    asks = {**TRUST_CLIENT, "client_auth": ClientAuth.request}
    _, server = memory_pair(client, pki.server_config(**asks))
    assert (server.info.client_certificate_type, server.info.peer_public_key) == (RAW, b"")
    error = refused(client, pki.server_config(**TRUST_CLIENT))
    assert (error.alert, error.reason) == (Alert.handshake_failure, "certificate_required")
    _, server = memory_pair(
        pki.client_config(credential=CLIENT), pki.server_config(policy=TLS12, client_auth=ClientAuth.request, trust=pki.trust)
    )
    assert (server.info.version, server.info.peer_chain) == ("TLSv1.2", ())


@pytest.mark.parametrize("policy", [Policy.modern, TLS12])
def test_a_server_that_knows_only_certificates(pki: Pki, policy: Policy) -> None:
    """It ignores what it does not know (section 4.2), and shows one; we take none, whatever we would say of it."""
    message = EncryptedExtensions if policy is Policy.modern else ServerHello
    only = {"trusted_keys": SERVER.chain, "accepted_certificate_types": ("RawPublicKey",), "policy": Policy.intermediate}
    for danger in (None, Danger.accept_any_certificate):
        config = ClientConfig(**only, verify=danger)  # type: ignore[arg-type]
        forget = edit(message, lambda hello: hello.extensions.pop(X.server_certificate_type, None))
        server = lying_server(pki.server_config(credentials=(pki.server(),), policy=policy), forget)
        with mock.patch.object(server13 if policy is Policy.modern else server12, "types_processed", return_value=(X509,)):
            meeting = meet(ClientConnection(config, server_hostname="localhost"), server)
        assert isinstance(meeting.client_error, CertificateError)
        assert (meeting.client_error.alert, meeting.client_error.reason, meeting.client_error.rule) == NO_COMMON_TYPE


@pytest.mark.parametrize("policy", [Policy.modern, TLS12])
@pytest.mark.parametrize("kind", [X.server_certificate_type, X.client_certificate_type])
def test_types_that_say_nothing(pki: Pki, policy: Policy, kind: X) -> None:
    """Section 4.1: X.509 alone is what it means to say nothing, and must be said so."""
    lie = with_extension(ClientHello, kind, b"\x01\x00", first=True)
    auth = {"client_auth": ClientAuth.request, "trust": pki.trust}
    meeting = meet(lying_client(pki.client_config(policy=policy), lie), ServerConnection(pki.server_config(**auth)))
    error = meeting.server_error
    assert (error.alert, error.reason, error.rule) == (ILLEGAL, "needless_certificate_types", "RFC 7250 4.1")


@pytest.mark.parametrize("policy", [Policy.modern, TLS12])
def test_a_client_that_has_other_types(pki: Pki, policy: Policy) -> None:
    """Section 4.2: unsupported_certificate, where both know of types, though nothing had to be shown."""
    lie = with_extension(ClientHello, X.client_certificate_type, b"\x01\x05", first=True)
    config = pki.server_config(**{**TRUST_CLIENT, "client_auth": ClientAuth.request})
    meeting = meet(lying_client(pki.client_config(policy=policy), lie), ServerConnection(config))
    error = meeting.server_error
    assert (error.alert, error.reason, error.rule) == NO_COMMON_TYPE


def test_tls12_lies(pki: Pki) -> None:
    """A chain where a key was agreed, and a key where a chain was; nothing at all; a key of the wrong kind for the suite."""
    server_config, raw = pki.server_config(credentials=(SERVER,)), ClientConfig(**TRUST_SERVER, policy=TLS12)
    rsa_key = Credential.raw(make_key("rsa2048")).chain[0]
    as_chain = ClientConnection(pki.client_config(policy=TLS12), server_hostname="localhost")
    for client, config, say, alert, reason in (
        (raw, server_config, Certificate12(pki.server().chain), Alert.decode_error, "malformed"),
        (raw, server_config, RawPublicKey12(()), Alert.decode_error, "no_certificate"),
        (replace(raw, trusted_keys=(rsa_key,)), server_config, RawPublicKey12((rsa_key,)), ILLEGAL, "wrong_certificate_type"),
        (as_chain, pki.server_config(), RawPublicKey12(SERVER.chain), Alert.decode_error, "decode_error"),
    ):
        if isinstance(client, ClientConfig):
            client = ClientConnection(client, server_hostname="localhost")
        kind = RawPublicKey12 if config is server_config else Certificate12
        meeting = meet(client, lying_server(config, instead(kind, lambda _, say=say: [say])))
        assert (meeting.client_error.alert, meeting.client_error.reason) == (alert, reason)


# what people hand in --------------------------------------------------------------------------------------------------------


def test_forms_of_keys() -> None:
    """A private key as an object, PEM or DER; a public key likewise; a signer that is somewhere else."""
    der = SERVER_KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = SERVER_KEY.public_key()
    for made in (
        Credential.raw(SERVER_KEY),
        Credential.raw(pem(SERVER_KEY)),
        Credential.raw(der),
        Credential.raw(public, signer=SERVER.sign),
        Credential.raw(spki(SERVER_KEY), signer=SERVER.sign),
    ):
        assert made.chain == SERVER.chain
        assert made.certificate_type is RAW
        assert not made.matches("localhost")
        assert not made.can_decrypt
        assert made.sign(made.schemes[0], b"x") == SERVER_KEY.sign(b"x")
    assert fingerprint(SERVER.chain[0]) in repr(SERVER)
    text = b"a key:\n" + public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for given in (public, text, SERVER.chain[0]):
        assert ClientConfig(trusted_keys=(given,)).trusted_keys == SERVER.chain


@pytest.mark.parametrize("signer_is_async", [False, True])
def test_a_signer_elsewhere(signer_is_async: bool) -> None:
    async def later(scheme: Any, data: bytes) -> bytes:
        return bytes(SERVER_KEY.sign(data))

    credential = Credential.raw(SERVER_KEY.public_key(), signer=later if signer_is_async else SERVER.sign)
    client, server = memory_pair(ClientConfig(**TRUST_SERVER), ServerConfig(credentials=(credential,)))
    assert client.handshake_completed is not signer_is_async
    server.close()


def test_an_rsa_key_for_pss_alone() -> None:
    """Its algorithm identifier decides with what it signs; bytes keep it, an object would not."""
    key = rsa.generate_private_key(65537, 2048)
    der = pss_spki(key)
    assert is_pss(der)
    assert not is_pss(spki(key))
    assert not is_pss(b"")
    assert as_spki(der) == der
    credential = Credential.raw(der, signer=lambda scheme, data: SCHEMES[scheme].sign(key, data))
    assert all(scheme.name.startswith("rsa_pss_pss") for scheme in credential.schemes)
    client, _ = memory_pair(ClientConfig(trusted_keys=(der,)), ServerConfig(credentials=(credential,)))
    assert client.info.signature_scheme == "rsa_pss_pss_sha256"
    error = refused(ClientConfig(trusted_keys=(spki(key),)), ServerConfig(credentials=(credential,)))
    assert error.reason == "untrusted_key"


def test_what_is_no_key(pki: Pki) -> None:
    for wrong in (b"", b"x", "text", None, pki.server().chain[0], b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(Misuse, match="no public key"):
            ClientConfig(trusted_keys=(wrong,))  # type: ignore[arg-type]
    for wrong in (SERVER.chain[0], 5):
        with pytest.raises(Misuse, match="trusted_keys is a tuple"):
            ClientConfig(trusted_keys=wrong)  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="needs its private key"):
        Credential.raw(SERVER_KEY.public_key())
    with pytest.raises(Misuse, match="this holds no private key"):
        Credential.raw(b"x")
    with pytest.raises(Misuse, match="too short"):
        Credential.raw(rsa.generate_private_key(65537, 1024))
    with pytest.raises(Misuse, match="cannot sign"):
        Credential.raw(spki(x25519.X25519PrivateKey.generate()), signer=SERVER.sign)
    assert read_spki(SERVER.chain[0], "it has").schemes == SERVER.schemes
    with pytest.raises(Misuse, match="client_auth needs trust"):
        ServerConfig(credentials=(SERVER,), client_auth=ClientAuth.request)


# for people -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Policy.modern, TLS12], ids=["1.3", "1.2"])
def test_a_trace_of_it(policy: Policy) -> None:
    """The renderers show a handshake without a certificate; the observer hears whose key it was."""
    ours, theirs = Recording("client"), Recording("server")
    client, _ = memory_pair(
        ClientConfig(**TRUST_SERVER, credential=CLIENT, observer=ours, policy=policy),
        ServerConfig(credentials=(SERVER,), observer=theirs, **TRUST_CLIENT),
    )
    assert ours.first(ChainVerified) is None
    for seen, key in ((ours, SERVER.chain[0]), (theirs, CLIENT.chain[0])):
        chosen = seen.chosen("peer_public_key")
        assert chosen is not None
        assert chosen.value == fingerprint(key)
        text = "\n".join(as_text(line) for line in draw(seen.role, seen.timeline))
        assert "server_certificate_type" in text
        assert "RawPublicKey" in text
        facts = [fact for step in tell(seen, other=theirs if seen is ours else ours) for fact in step.facts]
        assert ("public key", fingerprint(SERVER.chain[0])) in facts
    said = [dissect(each.message) for each in theirs.all(MessageSeen) if each.message.msg_type is HandshakeType.certificate]
    kept = [each.message.raw for each in theirs.all(MessageSeen)]
    for der, field in zip((SERVER.chain[0], CLIENT.chain[0]), said, strict=True):
        assert any(raw[leaf.start : leaf.stop].endswith(der) for raw in kept for leaf in field.leaves() if len(raw) == field.stop)
    shown = document(ours, client.info)
    assert shown["connection"]["peer_public_key"] == SERVER.chain[0].hex()
    assert shown["connection"]["verified"]
    assert shown["peer_chain"] == []
