"""Delegated credentials (RFC 9345): made, shown, looked at, and all that section 4.1.3 wants refused; both roles."""

from __future__ import annotations

import asyncio
import copy
import datetime
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from minitls import (
    Alert,
    CertificateError,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Credential,
    Misuse,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConfig,
    ServerConnection,
)
from minitls.certificates.authority import KEYS, Authority, Issued, make_key
from minitls.certificates.delegated import (
    ASN1_NULL,
    DAY,
    DELEGATION_USAGE,
    MAX_LIFETIME,
    delegate,
    may_delegate,
    signed_content,
    verify_delegated,
    with_delegation,
)
from minitls.crypto.signatures import SCHEMES
from minitls.sessions.store import MemoryStore
from minitls.testing import exchange, memory_pair
from minitls.trace.json import document
from minitls.trace.recording import Recording
from minitls.trace.story import tell
from minitls.wire.codec import parse, serialize
from minitls.wire.extensions import DelegatedCredential, Delegation
from minitls.wire.messages import Certificate, CertificateRequest, CertificateVerify
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import SignatureScheme as S
from tests.conftest import Pki
from tests.liar import edit, edit_bytes, lying_client, lying_server, meet
from tests.test_extensions_must import (
    CH,
    CR,
    DUPLICATE,
    ILLEGAL,
    MALFORMED,
    WRONG_SIGNATURE,
    Case,
    MakeLie,
    by_name,
    check,
    put,
    raw_ext,
)
from tests.test_raw_public_keys import RAW_SERVER, pss_spki, spki
from tests.test_raw_public_keys import SERVER as RAW_KEY

AUTHORITY = Authority.create("a CA whose leaves delegate", key="ed25519", intermediate=False)
TRUST = AUTHORITY.trust()
SERVER = AUTHORITY.issue("localhost", key="p256", delegation=True)
CLIENT = AUTHORITY.issue("client", key="p256", client=True, delegation=True)
PLAIN = AUTHORITY.issue("localhost", key="p256")
KEY = make_key("ed25519")
NOW = datetime.datetime.now(datetime.UTC).timestamp()
RSA_KEY = rsa.generate_private_key(65537, 2048)
CONTEXTS = {False: b"TLS, server delegated credentials", True: b"TLS, client delegated credentials"}
TLS12 = Policy.intermediate.replace(versions=("TLSv1.2",))


def made(
    issued: Issued = SERVER,
    *,
    seconds: float = 3600,
    public: bytes | None = None,
    scheme: int = S.ed25519,
    algorithm: int = S.ecdsa_secp256r1_sha256,
    client: bool = False,
    sign: Callable[[bytes], bytes] | None = None,
) -> DelegatedCredential:
    """A delegated credential, signed over whatever it says.  ``seconds``: from now until it expires."""
    leaf = issued.chain[0]
    cred = Delegation(int(NOW + seconds - leaf.not_valid_before_utc.timestamp()), scheme, public or spki(KEY))
    content = signed_content(CONTEXTS[client], issued.credential().chain[0], cred, algorithm)
    signature = sign(content) if sign else issued.key.sign(content, ec.ECDSA(SCHEMES[S.ecdsa_secp256r1_sha256].hash))  # type: ignore[attr-defined]
    return DelegatedCredential(cred, algorithm, signature)


def asking(**fields: Any) -> ClientConfig:
    """A client that accepts delegated credentials."""
    return ClientConfig(**{"trust": TRUST, "session_store": None, "delegated_credentials": True, **fields})


def showing(credential: Credential, **fields: Any) -> ServerConfig:
    return ServerConfig(credentials=(credential,), **fields)


DELEGATED = SERVER.credential().delegated(KEY)

# both ways ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", ["p256", "p521", "ed25519", "mldsa65"])
@pytest.mark.parametrize("key", [kind for kind in KEYS if not kind.startswith("rsa")])
def test_both_ways(leaf: str, key: str) -> None:
    """Each side shows one; the certificates are what they were."""
    server_key, client_key = make_key(key), make_key(key)
    server = AUTHORITY.issue("localhost", key=leaf, delegation=True).credential().delegated(server_key)
    client = AUTHORITY.issue("client", key=leaf, client=True, delegation=True).credential().delegated(client_key, client=True)
    met, other = memory_pair(
        asking(credential=client), showing(server, trust=TRUST, client_auth=ClientAuth.require, delegated_credentials=True)
    )
    for info in (met.info, other.info):
        assert (info.delegated, info.client_delegated) == (True, True)
        assert info.signature_scheme == info.client_signature_scheme == server.delegations[0].schemes[0].name
        assert len(info.verified_chain) == 2
    assert (met.info.peer_chain, other.info.peer_chain) == (server.chain, client.chain)
    assert met.info.channel_binding("tls-server-end-point") == other.info.channel_binding("tls-server-end-point")


def test_an_rsa_key_for_pss_alone() -> None:
    """RFC 9345 section 4: with another algorithm identifier than certificates' RSA keys have."""
    message = made(public=pss_spki(RSA_KEY), scheme=S.rsa_pss_pss_sha384)
    credential = SERVER.credential().with_delegation(serialize(message), RSA_KEY)
    met, _ = memory_pair(asking(), showing(credential))
    assert (met.info.delegated, met.info.signature_scheme) == (True, "rsa_pss_pss_sha384")


def test_who_asks(pki: Pki) -> None:
    """Off by default; what is asked for has no scheme that section 4 forbids, and is in no hello of TLS 1.2."""

    def asked(config: ClientConfig) -> Any:
        return ClientConnection(config, server_hostname="localhost").info.client_hello.extensions.get(X.delegated_credential)

    assert asked(pki.client_config()) is None
    assert asked(asking(policy=TLS12)) is None
    assert asked(asking(policy=Policy(signature_schemes=("rsa_pss_rsae_sha256",)))) is None
    schemes = asked(asking())
    assert S.ed25519 in schemes
    assert S.rsa_pss_pss_sha256 in schemes
    assert not any(S(code).name.startswith(("rsa_pss_rsae", "rsa_pkcs1")) for code in schemes)
    seen: list[Any] = []
    for accepts in (False, True):
        server = showing(DELEGATED, trust=TRUST, client_auth=ClientAuth.request, delegated_credentials=accepts)
        memory_pair(asking(observer=seen.append), server)
        request = next(each.message for each in reversed(seen) if isinstance(getattr(each, "message", None), CertificateRequest))
        assert (X.delegated_credential in request.extensions) is accepts


NO_ED25519 = Policy(signature_schemes=("ecdsa_secp256r1_sha256",))


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ({"delegated_credentials": False}, {}),
        ({"policy": NO_ED25519}, {}),
        ({}, {"policy": NO_ED25519}),
        ({}, {"clock": lambda: NOW + 2 * DAY}),
        ({}, {"policy": TLS12}),
        ({"policy": TLS12}, {}),
    ],
    ids=["not asked", "another scheme", "not our policy's", "expired", "TLS 1.2's server", "TLS 1.2's client"],
)
def test_the_certificates_own_key_instead(client: Any, server: Any) -> None:
    """Where the delegation does not fit; without that key, there is nothing to show."""
    ours = asking(**{"policy": Policy.intermediate, **client})
    met, other = memory_pair(ours, showing(DELEGATED, **server))
    assert (met.info.delegated, other.info.delegated) == (False, False)
    assert met.info.signature_scheme == "ecdsa_secp256r1_sha256"
    without = Credential.of_delegation(SERVER.chain, serialize(made()), KEY)
    with pytest.raises(PeerIncompatible) as caught:
        memory_pair(ours, showing(without, **server))
    assert caught.value.alert is Alert.handshake_failure


def test_a_machine_without_the_certificates_key() -> None:
    """What section 3 is about: the key stays where it is safe, and signs now and then."""
    message = delegate(SERVER.credential(), KEY.public_key(), at=NOW)
    assert isinstance(message, bytes)
    credential = Credential.of_delegation(SERVER.credential().chain, message, KEY)
    assert credential.schemes == credential.schemes12 == ()
    assert "delegated" in repr(credential)
    met, _ = memory_pair(asking(), showing(credential))
    assert met.info.delegated
    with pytest.raises(Misuse, match="is not here"):
        credential.sign(S.ecdsa_secp256r1_sha256, b"x")


def test_a_client_without_its_certificates_key() -> None:
    message = serialize(made(CLIENT, client=True))
    ours = asking(credential=Credential.of_delegation(CLIENT.chain, message, KEY))
    for accepts in (True, False):
        theirs = showing(SERVER.credential(), trust=TRUST, client_auth=ClientAuth.request, delegated_credentials=accepts)
        _, other = memory_pair(ours, theirs)
        assert other.info.client_delegated is accepts
        assert bool(other.info.peer_chain) is accepts
        assert not other.info.delegated


def test_a_certificate_for_rsa() -> None:
    """No list has what it signed with: only who has nothing else risks it, since not all clients read the list as section 4.1.1."""
    issued = AUTHORITY.issue("localhost", key="rsa2048", delegation=True)
    message = delegate(issued.credential(), KEY.public_key(), at=NOW)
    assert isinstance(message, bytes)
    for credential, expected in (
        (issued.credential().with_delegation(message, KEY), (False, "rsa_pss_rsae_sha256")),
        (Credential.of_delegation(issued.chain, message, KEY), (True, "ed25519")),
    ):
        met, _ = memory_pair(asking(), showing(credential))
        assert (met.info.delegated, met.info.signature_scheme) == expected


def test_the_first_that_fits() -> None:
    """Of several; and only those of our role."""
    credential = SERVER.credential().delegated(make_key("p384")).delegated(KEY).delegated(make_key("p256"))
    only = Policy.modern.replace(signature_schemes=("ecdsa_secp256r1_sha256", "ed25519"))
    assert memory_pair(asking(), showing(credential))[0].info.signature_scheme == "ecdsa_secp384r1_sha384"
    assert memory_pair(asking(policy=only), showing(credential))[0].info.signature_scheme == "ed25519"
    for_clients = SERVER.credential().delegated(KEY, client=True)
    assert not memory_pair(asking(), showing(for_clients))[0].info.delegated


def test_staples_stay() -> None:
    """Either way round; the delegation goes beside them."""
    for credential in (
        SERVER.credential().stapled(scts=(b"an SCT",)).delegated(KEY),
        SERVER.credential().delegated(KEY).stapled(scts=(b"an SCT",)),
    ):
        met, _ = memory_pair(asking(request_staples=True), showing(credential))
        assert (met.info.delegated, met.info.scts) == (True, (b"an SCT",))


def test_a_signer_elsewhere() -> None:
    """The certificate's, or the delegated key's, may take its time."""

    async def sign_later(scheme: S, data: bytes) -> bytes:
        return bytes(SERVER.credential().sign(scheme, data))  # type: ignore[arg-type]

    slow = Credential(SERVER.chain, signer=sign_later)
    with pytest.raises(Misuse, match="signs asynchronously"):
        slow.delegated(KEY)
    making = delegate(slow, KEY.public_key(), at=NOW)
    assert inspect.isawaitable(making)

    async def wait() -> bytes:
        return await making

    message = asyncio.run(wait())
    credential = slow.with_delegation(message, KEY)
    assert memory_pair(asking(), showing(credential))[0].info.delegated

    async def delegated_sign(scheme: S, data: bytes) -> bytes:
        return bytes(KEY.sign(data))

    credential = slow.with_delegation(message, signer=delegated_sign)
    client, server = ClientConnection(asking(), server_hostname="localhost"), ServerConnection(showing(credential))
    exchange(client, server)
    question = server.question
    assert question is not None
    assert question.name == "sign"
    server.answer(question, KEY.sign(question.args[1]))
    exchange(client, server)
    assert client.info.delegated


def test_resumption() -> None:
    """The session has the certificates, which are verified again; that the key was delegated is over."""
    ours, theirs = asking(session_store=MemoryStore()), showing(DELEGATED)
    assert memory_pair(ours, theirs)[0].info.delegated
    met, _ = memory_pair(ours, theirs)
    assert met.info.resumed
    assert not met.info.delegated


def test_resumption_ends_with_the_delegated_credential() -> None:
    """RFC 9345 section 7.4: who verifies the chain again verifies this again; renewal does not help, in either role."""
    late = 0.0

    def clock() -> float:
        return NOW + late

    store = MemoryStore()
    server = SERVER.credential().delegated(KEY, lifetime=7200, at=NOW)
    client = CLIENT.credential().delegated(KEY, lifetime=3600, client=True, at=NOW)
    ours = asking(credential=client, session_store=store, clock=clock)
    theirs = showing(server, clock=clock, trust=TRUST, client_auth=ClientAuth.request, delegated_credentials=True)
    for late, resumed in ((0.0, False), (1800.0, True), (3500.0, True), (3700.0, False)):
        met, other = memory_pair(ours, theirs)
        assert (met.info.resumed, other.info.resumed) == (resumed, resumed), late
    assert (met.info.delegated, other.info.client_delegated) == (True, False)
    for late, resumed in ((7000.0, True), (7300.0, False)):
        met, other = memory_pair(ours, theirs)
        assert met.info.resumed is resumed, late
    assert not met.info.delegated


def test_after_the_handshake() -> None:
    """A client's, asked for later; `info` knows once Finished has come."""
    ours = asking(credential=CLIENT.credential().delegated(KEY, client=True), post_handshake_auth=True)
    theirs = showing(SERVER.credential(), trust=TRUST, post_handshake_auth=True, delegated_credentials=True)
    client, server = memory_pair(ours, theirs)
    assert not server.info.client_delegated
    server.request_client_certificate()
    exchange(client, server)
    assert server.info.client_delegated
    assert client.info.client_delegated
    assert server.info.peer_chain == CLIENT.credential().chain


def test_a_trace_of_it() -> None:
    """What a program reads of it: the key, the scheme by its name, and whether it was used."""
    seen = Recording("client")
    met, _ = memory_pair(asking(observer=seen), showing(DELEGATED))
    assert seen.chosen("delegated_credential") is not None
    facts = [fact for step in tell(seen) for fact in step.facts]
    assert ("delegates", "to another key, for some days, which signs with ed25519") in facts
    shown = document(seen, met.info)
    assert shown["connection"]["delegated"]
    assert "'dc_cert_verify_algorithm': 'ed25519'" in str(shown)


# section 4.1.3 --------------------------------------------------------------------------------------------------------------

NONE: dict[str, Any] = {"client_auth": ClientAuth.none}
TO_CLIENT: dict[str, dict[str, Any]] = {
    "client": {"trust": TRUST, "delegated_credentials": True},
    "server": {"credentials": (SERVER.credential(),), **NONE},
}
TO_SERVER: dict[str, dict[str, Any]] = {
    "client": {"credential": CLIENT.credential()},
    "server": {"trust": TRUST, "delegated_credentials": True},
}
SHORT = AUTHORITY.issue(
    "localhost", key="p256", delegation=True, valid_until=datetime.datetime.fromtimestamp(NOW + 2 * DAY, datetime.UTC)
)
INVALID = "RFC 9345 4.1.3"
WRONG_SCHEME = (ILLEGAL, "wrong_signature_type", INVALID)
EXPIRED = (ILLEGAL, "delegated_credential_expired", INVALID)
TOO_LONG = (ILLEGAL, "delegated_credential_too_long", INVALID)
BAD_KEY = (ILLEGAL, "bad_delegated_key", INVALID)
NO_SIGNATURE = (ILLEGAL, "bad_delegation", INVALID)
UNASKED = (Alert.unexpected_message, "unsolicited_delegated_credential", "RFC 9345 4.1")


def with_leaf(issued: Issued) -> dict[str, dict[str, Any]]:
    return {**TO_CLIENT, "server": {**TO_CLIENT["server"], "credentials": (issued.credential(),)}}


def beside(message: Any, entry: int = 0) -> MakeLie:
    """A delegated credential beside a certificate."""
    return lambda _: edit(Certificate, lambda m: m.certificate_list[entry].extensions.__setitem__(X.delegated_credential, message))


def twice(body: bytearray) -> None:
    """The extensions of the only entry, once more in the same block."""
    start = 7 + int.from_bytes(body[4:7], "big")
    block = body[start + 2 :]
    body[start:] = (2 * len(block)).to_bytes(2, "big") + block + block
    body[4 - 3 : 4] = (len(body) - 4).to_bytes(3, "big")


def lies(client: bool) -> list[Case]:
    """What either role can say wrong; ``client``: that is who lies."""
    issued, config = (CLIENT, TO_SERVER) if client else (SERVER, TO_CLIENT)

    def dc(**how: Any) -> DelegatedCredential:
        return made(issued, **{"client": client, **how})

    def case(says: str, message: Any, expected: tuple[Alert, str, str]) -> Case:
        return Case(says, beside(message), *expected, config=config)

    signed = dc()
    later = DelegatedCredential(
        Delegation(signed.cred.valid_time + 1, *list_of(signed.cred)[1:]), signed.algorithm, signed.signature
    )
    return [
        case("expired", dc(seconds=-2), EXPIRED),
        case("good for more than 7 days", dc(seconds=MAX_LIFETIME + 24 * 3600), TOO_LONG),
        case("good for longer than there is time", dc(seconds=2**31), TOO_LONG),
        case("signs as plain RSA", dc(public=spki(RSA_KEY), scheme=S.rsa_pss_rsae_sha256), WRONG_SCHEME),
        case("signs as nobody knows", dc(scheme=0x7777), WRONG_SCHEME),
        case("signs with RSASSA-PKCS1-v1_5", dc(public=spki(RSA_KEY), scheme=S.rsa_pkcs1_sha256), WRONG_SCHEME),
        case("an RSA key that is not for RSASSA-PSS alone", dc(public=spki(RSA_KEY), scheme=S.rsa_pss_pss_sha256),
             (ILLEGAL, "bad_delegated_key", "RFC 9345 4")),
        case("a key of another kind", dc(scheme=S.ed448), (ILLEGAL, "bad_delegated_key", "RFC 9345 4")),
        case("a key on a small curve", dc(public=spki(ec.generate_private_key(ec.SECP224R1()))), BAD_KEY),
        case("a short RSA key", dc(public=pss_spki(rsa.generate_private_key(65537, 1024)), scheme=S.rsa_pss_pss_sha256), BAD_KEY),
        case("a key that cannot sign", dc(public=spki(x25519.X25519PrivateKey.generate())), BAD_KEY),
        case("no key", dc(public=b"no key"), BAD_KEY),
        case("signed with an algorithm that does not fit", dc(algorithm=S.ed25519), WRONG_SCHEME),
        case("signed with one that was not offered", dc(algorithm=0x0203), WRONG_SCHEME),
        case("signed with one that is for certificates alone", dc(algorithm=S.rsa_pkcs1_sha256), WRONG_SCHEME),
        case("signed for the other role", dc(client=not client), NO_SIGNATURE),
        case("signed by another", dc(sign=lambda data: AUTHORITY.issue("x").credential().sign(S.ecdsa_secp256r1_sha256, data)),
             NO_SIGNATURE),
        case("another certificate's", made(PLAIN, client=client), NO_SIGNATURE),
        case("later than what was signed", later, NO_SIGNATURE),
        Case("a byte too many", beside_bytes(b"\0"), *MALFORMED, config=config),
        Case("an algorithm that CertificateVerify has not", beside(signed), *WRONG_SIGNATURE, config=config),
        Case("twice", lambda _: chained(beside(signed)(None), edit_bytes(Certificate, twice)), *DUPLICATE, config=config),
    ]  # fmt: skip


def list_of(cred: Delegation) -> list[Any]:
    return [cred.valid_time, cred.dc_cert_verify_algorithm, cred.public_key]


def beside_bytes(more: bytes) -> MakeLie:
    """A delegated credential with these bytes behind it."""

    def spoil(body: bytearray) -> None:
        start = 7 + int.from_bytes(body[4:7], "big")
        block = X.delegated_credential.to_bytes(2, "big") + len(value := serialize(made()) + more).to_bytes(2, "big") + value
        body[start:] = len(block).to_bytes(2, "big") + block
        body[1:4] = (len(body) - 4).to_bytes(3, "big")

    return lambda _: edit_bytes(Certificate, spoil)


def chained(first: Any, then: Any) -> Any:
    """One lie, and another one over it."""
    return lambda message: [said for each in first(message) for said in (then(each) if not isinstance(each, bytes) else [each])]


SERVER_LIES = [
    *lies(client=False),
    Case("good for longer than its certificate", beside(made(SHORT, seconds=3 * DAY)), *TOO_LONG, config=with_leaf(SHORT)),
    Case("by a certificate that may not delegate", beside(made(PLAIN)), ILLEGAL, "delegation_not_allowed", "RFC 9345 4.2",
         config=with_leaf(PLAIN)),
    Case("unasked", beside(made()), *UNASKED, config={**TO_CLIENT, "client": {"trust": TRUST}}),
    Case("beside a raw public key", beside(made()), ILLEGAL, "raw_public_key_not_alone", "RFC 8446 4.4.2",
         config={**RAW_SERVER, "client": {**RAW_SERVER["client"], "delegated_credentials": True}}),
    Case("CertificateVerify with another scheme", put(CertificateVerify, algorithm=int(S.ecdsa_secp256r1_sha256)), *WRONG_SIGNATURE,
         config={**TO_CLIENT, "server": {"credentials": (DELEGATED,), **NONE}}),
]  # fmt: skip
CLIENT_LIES = [
    *lies(client=True),
    Case("unasked", beside(made(CLIENT, client=True)), *UNASKED, config={**TO_SERVER, "server": {"trust": TRUST}}),
]


@by_name(SERVER_LIES)
def test_a_server_that_lies(pki: Pki, case: Case) -> None:
    check(pki, "server", case)


@by_name(CLIENT_LIES)
def test_a_client_that_lies(pki: Pki, case: Case) -> None:
    check(pki, "client", case)


def test_the_certificates_key_signs_where_another_should() -> None:
    """Same scheme, other key."""
    key = make_key("p256")
    credential = copy.copy(SERVER.credential().delegated(key))
    (view,) = credential.delegations
    view._signer = SERVER.credential()._signer
    with pytest.raises(PeerMisbehaved) as caught:
        memory_pair(asking(), showing(credential))
    assert caught.value.alert is Alert.decrypt_error


def test_beside_the_issuers_certificate(pki: Pki) -> None:
    """Sections 4.1.1 and 4.1.2: not used, and no reason to stop; but who did not ask did not ask."""
    lie = beside(made(), 1)
    client = ClientConnection(pki.client_config(delegated_credentials=True), server_hostname="localhost")
    meeting = meet(client, lying_server(pki.server_config(), lie(client)))
    assert meeting.completed == (True, True)
    assert not client.info.delegated
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    meeting = meet(client, lying_server(pki.server_config(), lie(client)))
    assert meeting.client_error.alert is Alert.unexpected_message
    server = ServerConnection(pki.server_config(trust=pki.trust, client_auth=ClientAuth.require, delegated_credentials=True))
    meeting = meet(lying_client(pki.client_config(credential=pki.client()), lie(None)), server)
    assert meeting.completed == (True, True)
    assert not server.info.client_delegated


def test_the_chain_comes_first(pki: Pki) -> None:
    """A delegated credential makes no certificate better."""
    with pytest.raises(CertificateError) as caught:
        memory_pair(pki.client_config(delegated_credentials=True), showing(DELEGATED))
    assert caught.value.alert is Alert.unknown_ca


def test_a_list_that_is_empty(pki: Pki) -> None:
    """SignatureSchemeList<2..2^16-2>: decode_error, from either side."""
    check(pki, "client", Case("", raw_ext(CH, X.delegated_credential, "0000"), *MALFORMED))
    check(pki, "server", Case("", raw_ext(CR, X.delegated_credential, "0000"), *MALFORMED))


# times, to the second ------------------------------------------------------------------------------------------------------


def looked_at(message: DelegatedCredential, at: float, issued: Issued = SERVER) -> Any:
    schemes = tuple(map(int, Policy.modern.signature_schemes))
    return verify_delegated(message, issued.chain[0], client=False, at=at, schemes=schemes, algorithms=schemes)[0]


def test_to_the_second() -> None:
    """Section 4.1.3, points 1 and 2."""
    message = made()
    expires = SERVER.chain[0].not_valid_before_utc.timestamp() + message.cred.valid_time
    assert looked_at(message, expires).schemes == (S.ed25519,)
    assert looked_at(message, expires - MAX_LIFETIME).der == spki(KEY)
    for at, reason in ((expires + 1, EXPIRED[1]), (expires - MAX_LIFETIME - 1, TOO_LONG[1])):
        with pytest.raises(PeerMisbehaved) as caught:
            looked_at(message, at)
        assert caught.value.reason == reason
    end = SHORT.chain[0].not_valid_after_utc.timestamp()
    assert looked_at(made(SHORT, seconds=end - NOW - 1), NOW, SHORT)
    with pytest.raises(PeerMisbehaved, match="longer than its certificate"):
        looked_at(made(SHORT, seconds=end - NOW + 1), NOW, SHORT)
    view = DELEGATED.delegations[0].delegation
    assert view is not None
    assert view.is_good(view.expires)
    assert not view.is_good(view.expires + 1)
    assert not view.is_good(view.expires - MAX_LIFETIME - 1)


def odd_leaf(*extensions: x509.ExtensionType) -> x509.Certificate:
    """A leaf with just these extensions."""
    old = SERVER.chain[0]
    builder = x509.CertificateBuilder(old.issuer, old.subject, SERVER.key.public_key(), old.serial_number)
    builder = builder.not_valid_before(old.not_valid_before_utc).not_valid_after(old.not_valid_after_utc)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(AUTHORITY._key, None)


def test_which_certificates_may() -> None:
    """Section 4.2: DelegationUsage, and digitalSignature said in so many words."""
    usage = x509.UnrecognizedExtension(DELEGATION_USAGE, ASN1_NULL)
    signs = x509.KeyUsage(True, *(False,) * 8)
    enciphers = x509.KeyUsage(False, False, True, *(False,) * 6)
    extension = SERVER.chain[0].extensions.get_extension_for_oid(DELEGATION_USAGE)
    assert (extension.critical, extension.value) == (False, usage)
    for extensions, expected in (((usage, signs), True), ((usage,), False), ((signs,), False), ((usage, enciphers), False)):
        leaf = odd_leaf(*extensions)
        assert may_delegate(leaf) is expected
        issued = Issued((leaf,), SERVER.key)
        if not expected:
            with pytest.raises(PeerMisbehaved) as caught:
                looked_at(made(issued), NOW, issued)
            assert caught.value.reason == "delegation_not_allowed"
    broken = odd_leaf(usage, signs, x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\xff"))
    with pytest.raises(CertificateError):
        looked_at(made(), NOW, Issued((broken,), SERVER.key))


# what people hand in --------------------------------------------------------------------------------------------------------


def test_what_cannot_be_made() -> None:
    credential = SERVER.credential()
    for lifetime in (0, -1, MAX_LIFETIME + 1):
        with pytest.raises(Misuse, match="at most 7 days"):
            credential.delegated(KEY, lifetime=lifetime)
    for at in (NOW - 3 * DAY, NOW + 500 * DAY):
        with pytest.raises(Misuse, match="no longer than its certificate"):
            credential.delegated(KEY, at=at)
    with pytest.raises(Misuse, match="no longer than its certificate"):
        SHORT.credential().delegated(KEY, lifetime=3 * DAY)
    for cannot in (PLAIN.credential(), RAW_KEY):
        with pytest.raises(Misuse, match="DelegationUsage"):
            cannot.delegated(KEY)
    with pytest.raises(Misuse, match="RSASSA-PSS alone"):
        credential.delegated(RSA_KEY)
    of_tls12 = credential.limited(signature_schemes=[code for code in credential.schemes12 if code not in credential.schemes])
    with pytest.raises(Misuse, match=r"signs nothing in TLS 1\.3"):
        of_tls12.delegated(KEY)
    with pytest.raises(Misuse, match="too short"):
        credential.delegated(rsa.generate_private_key(65537, 1024))


def test_what_does_not_belong_together() -> None:
    credential = SERVER.credential()
    message = serialize(made())
    assert with_delegation(credential, message, KEY).delegations[0].schemes == (S.ed25519,)
    for wrong, text in (
        (b"", "no delegated credential"),
        (message + b"\0", "no delegated credential"),
        (serialize(made(public=b"no key")), "no delegated credential"),
        (serialize(made(algorithm=0x0203)), "has not signed"),
        (serialize(made(PLAIN)), "has not signed"),
        (serialize(made(scheme=S.ed448)), "does not fit its scheme"),
    ):
        with pytest.raises(Misuse, match=text):
            credential.with_delegation(wrong, KEY)
    for nothing in (None, KEY.public_key()):
        with pytest.raises(Misuse, match="needs its private key"):
            credential.with_delegation(message, nothing)
        with pytest.raises(Misuse, match="needs its private key"):
            credential.delegated(nothing)  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="does not belong to the delegated credential"):
        credential.with_delegation(message, make_key("ed25519"))
    with pytest.raises(Misuse, match="DelegationUsage"):
        PLAIN.credential().with_delegation(message, KEY)
    assert parse(DelegatedCredential, message).cred.public_key == spki(KEY)
