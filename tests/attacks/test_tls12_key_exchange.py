"""TLS 1.2's key exchanges under attack: Bleichenbacher, Raccoon, invalid curves, Logjam, wrong signatures, what is legacy's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from minitls import (
    Alert,
    AlertReceived,
    ClientAuth,
    ClientConnection,
    Connection,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConnection,
    TLSError,
)
from minitls.crypto.ffdh import FieldKey
from minitls.crypto.groups import GROUPS, FiniteField
from minitls.crypto.suites12 import SUITES_12
from minitls.handshake.exchange12 import StaticRsa
from minitls.observe import MessageSeen
from minitls.wire.codec import serialize
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.messages import CertificateVerify, Finished
from minitls.wire.messages12 import (
    Certificate12,
    ClientDHPublic,
    ClientECDHPublic,
    ClientKeyExchange,
    DigitallySigned,
    EncryptedPreMasterSecret,
    ServerDHParams,
    ServerECDHParams,
    ServerKeyExchange,
)
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import NamedGroup
from tests.conftest import Pki
from tests.liar import Lie, Meeting, edit, edit_bytes, instead, lying_client, lying_server, meet

SAFE = Policy.intermediate.replace(versions=("TLSv1.2",))
KEY = b"the key that both have"
LEGACY = Policy.legacy.replace(versions=("TLSv1.2",))
RSA = LEGACY.replace(cipher_suites=("TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA"))
DHE = LEGACY.replace(cipher_suites=("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",))


def refused(honest: Connection, *alerts: Alert) -> TLSError:
    """One TLSError, whose alert is one of these; nothing completed."""
    assert isinstance(honest.error, TLSError), honest
    assert honest.error.alert in alerts, honest.error
    assert not honest.handshake_completed
    return honest.error


def from_client(pki: Pki, policy: Policy, lie: Lie, **server: Any) -> Meeting:
    """What a server of RSA makes of a client that lies."""
    theirs = pki.server_config(**{"policy": policy, "credentials": (pki.server("rsa2048"),), **server})
    return meet(lying_client(pki.client_config(policy=policy), lie), ServerConnection(theirs))


def from_server(pki: Pki, policy: Policy, lie: Lie, key: str = "rsa2048", client: Policy | None = None) -> Meeting:
    """What a client makes of a server that lies."""
    theirs = pki.server_config(policy=policy, credentials=(pki.server(key),))
    return meet(
        ClientConnection(pki.client_config(policy=client or policy), server_hostname="localhost"), lying_server(theirs, lie)
    )


# static RSA ---------------------------------------------------------------------------------------------------------------


def raw_rsa(pki: Pki, block: bytes) -> bytes:
    """These bytes, whatever they are, raised to the public exponent."""
    numbers = pki.server("rsa2048").leaf.public_key().public_numbers()  # type: ignore[union-attr]
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(256, "big")  # type: ignore[union-attr]


def block(premaster: bytes, *, start: bytes = b"\x00\x02", zero: bytes = b"\x00", fill: bytes = b"\x5a") -> bytes:
    """EB = 00 || 02 || PS || 00 || D of PKCS #1 version 1.5."""
    return start + fill * (256 - len(start) - len(zero) - len(premaster)) + zero + premaster


GOOD = b"\x03\x03" + bytes(range(1, 47))
CIPHERTEXTS: dict[str, Callable[[Pki], bytes]] = {
    "good, but not what the client goes on with": lambda pki: raw_rsa(pki, block(GOOD)),
    "another first byte": lambda pki: raw_rsa(pki, block(GOOD, start=b"\x01\x02")),
    "block type 1": lambda pki: raw_rsa(pki, block(GOOD, start=b"\x00\x01")),
    "block type 17": lambda pki: raw_rsa(pki, block(GOOD, start=b"\x00\x17")),
    "no zero at the end of the padding": lambda pki: raw_rsa(pki, block(GOOD.replace(b"\0", b"\1"), zero=b"\x11")),
    "a zero in the first eight bytes of padding": lambda pki: raw_rsa(pki, b"\x00\x02\x11\x00" + block(GOOD)[4:]),
    "a zero in the middle of the padding": lambda pki: raw_rsa(pki, block(GOOD)[:100] + b"\x00" + block(GOOD)[101:]),
    "an empty premaster": lambda pki: raw_rsa(pki, block(b"")),
    "47 bytes": lambda pki: raw_rsa(pki, block(GOOD[:-1])),
    "49 bytes": lambda pki: raw_rsa(pki, block(GOOD + b"x")),
    "one byte": lambda pki: raw_rsa(pki, block(b"\x03")),
    "version 3.2": lambda pki: raw_rsa(pki, block(b"\x03\x02" + GOOD[2:])),
    "version 3.4": lambda pki: raw_rsa(pki, block(b"\x03\x04" + GOOD[2:])),
    "version 0.0": lambda pki: raw_rsa(pki, block(b"\x00\x00" + GOOD[2:])),
    "version 2.3": lambda pki: raw_rsa(pki, block(b"\x02\x03" + GOOD[2:])),
    "all zero": lambda pki: bytes(256),
    "one": lambda pki: (1).to_bytes(256, "big"),
    "the modulus and more": lambda pki: b"\xff" * 256,
    "random": lambda pki: bytes(range(256))[::-1].replace(b"\xff", b"\x10", 1),
    "a byte too short": lambda pki: raw_rsa(pki, block(GOOD))[:-1],
    "a byte too long": lambda pki: raw_rsa(pki, block(GOOD)) + b"\0",
    "empty": lambda pki: b"",
    "OAEP": lambda pki: (
        pki.server("rsa2048")
        .leaf.public_key()
        .encrypt(  # type: ignore[union-attr]
            GOOD, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        )
    ),
}


@pytest.mark.parametrize("suite", [0x009C, 0x002F])
@pytest.mark.parametrize("what", CIPHERTEXTS)
def test_malformed_premasters_all_end_alike(pki: Pki, what: str, suite: int) -> None:
    """Bleichenbacher, ROBOT, Marvin, DROWN: the same alert at the same place, the client's Finished, and not a word before it."""
    encrypted = CIPHERTEXTS[what](pki)
    body = serialize(EncryptedPreMasterSecret(encrypted))
    policy = LEGACY.replace(cipher_suites=(suite,))
    seen: list[Any] = []
    ours = pki.client_config(policy=policy)
    server = ServerConnection(pki.server_config(policy=policy, credentials=(pki.server("rsa2048"),), observer=seen.append))
    client = lying_client(ours, edit(ClientKeyExchange, lambda m: setattr(m, "exchange_keys", body)))
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    flight = client.data_to_send()
    change = flight.index(b"\x14\x03\x03\x00\x01\x01")
    server.receive_data(flight[: change + 6])
    assert server.error is None
    assert server.data_to_send() == b""
    with pytest.raises(PeerMisbehaved) as raised:
        server.receive_data(flight[change + 6 :])
    error = raised.value
    assert (error.alert, error.reason, error.message) == (Alert.bad_record_mac, "bad_record_mac", "a record does not authenticate")
    assert server.data_to_send() == bytes((21, 3, 3, 0, 2, 2, 20))
    assert [type(each.message) for each in seen if isinstance(each, MessageSeen) and not each.sent] == [
        ClientHello,
        ClientKeyExchange,
    ]


@pytest.mark.parametrize("what", CIPHERTEXTS)
def test_what_is_malformed_becomes_random(pki: Pki, what: str) -> None:
    """Bleichenbacher: the premaster secret is 48 bytes whatever came, and another one for each try where that was no premaster."""
    credential = pki.server("rsa2048")
    body = serialize(EncryptedPreMasterSecret(CIPHERTEXTS[what](pki)))
    made = [StaticRsa(lambda n, byte=byte: byte * n, decrypt=credential.decrypt).premaster(body) for byte in (b"a", b"b")]  # type: ignore[misc]
    if what.startswith("good"):
        assert made == [GOOD, GOOD]
    elif what == "all zero" or what == "one":  # a plaintext of zeros is no padding either
        assert GOOD not in made
    else:
        assert made == [b"a" * 48, b"b" * 48]


@pytest.mark.parametrize("version", [0x0304, 0x1234])
def test_the_premaster_has_the_version_of_the_hello(pki: Pki, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5246 section 7.4.7.1: the version that ClientHello has, whatever came of it, and nothing else, against rollback."""

    def hello() -> Lie:
        return edit(ClientHello, lambda m: setattr(m, "legacy_version", version))

    refused(from_client(pki, RSA, hello()).server, Alert.bad_record_mac)
    answer = StaticRsa.answer

    def as_offered(exchange: StaticRsa) -> tuple[bytes, bytes]:
        exchange._offered = version.to_bytes(2, "big")
        return answer(exchange)

    monkeypatch.setattr(StaticRsa, "answer", as_offered)
    assert from_client(pki, RSA, hello()).completed == (True, True)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x01\x00", b"\x01\x00" + bytes(255), b"\x01\x00" + bytes(257)])
def test_a_client_key_exchange_that_is_none(pki: Pki, body: bytes) -> None:
    """What is no EncryptedPreMasterSecret at all says nothing about the key: decode_error."""
    met = from_client(pki, RSA, edit(ClientKeyExchange, lambda m: setattr(m, "exchange_keys", body)))
    refused(met.server, Alert.decode_error)


UNSAFE = sorted(code for code in SUITES_12 if code not in Policy.intermediate.cipher_suites)


@pytest.mark.parametrize("suite", UNSAFE, ids=lambda code: SUITES_12[code].name)
def test_only_legacy_speaks_it(pki: Pki, suite: int) -> None:
    """Static RSA, DHE and CBC: offered alone to a server without Policy.legacy, and chosen by a server that was not offered it."""
    credentials = (pki.server("rsa2048"), pki.server())
    policy = LEGACY.replace(cipher_suites=(suite,))
    client = ClientConnection(pki.client_config(policy=policy, psk=lambda hint: (b"we", KEY)), server_hostname="localhost")
    server = ServerConnection(pki.server_config(policy=SAFE, credentials=credentials, psk=lambda identity: KEY))
    meet(client, server)
    error = refused(server, Alert.handshake_failure)
    assert isinstance(error, PeerIncompatible)
    client = ClientConnection(pki.client_config(psk=lambda hint: (b"we", KEY)), server_hostname="localhost")
    assert suite not in client.info.client_hello.cipher_suites
    lie = edit(ServerHello, lambda hello: setattr(hello, "cipher_suite", suite))
    meet(client, lying_server(pki.server_config(policy=SAFE, credentials=credentials), lie))
    refused(client, Alert.illegal_parameter)


def test_only_our_suites_answer(pki: Pki) -> None:
    """RC4, 3DES, NULL, anonymous, export, FREAK, Logjam, Sweet32: each of the 65536 suites offered alone, to legacy itself."""
    from minitls.handshake.negotiate import choose_suite12

    answered = set()
    credentials = (pki.server("rsa2048"), pki.server())
    for code in range(2**16):
        try:
            choice = choose_suite12([code], None, credentials, "localhost", (0x0403, 0x0804, 0x0401), (), LEGACY, psk=True)
        except PeerIncompatible:
            continue
        answered.add(choice.suite.code)
    assert answered == set(SUITES_12)


@pytest.mark.parametrize("suite", [0x0000, 0x0004, 0x0005, 0x000A, 0x0034, 0x0018, 0xC011, 0xC012, 0xC016, 0x0062, 0x5600, 0x00FF])
def test_old_suites_on_the_wire(pki: Pki, suite: int) -> None:
    met = from_client(pki, LEGACY, edit(ClientHello, lambda m: setattr(m, "cipher_suites", (suite,))))
    assert met.alert_heard_by(met.client) == Alert.handshake_failure


# finite fields ------------------------------------------------------------------------------------------------------------

FFDHE2048 = next(group for group in GROUPS.values() if isinstance(group, FiniteField) and group.bits == 2048)
P = FFDHE2048.prime


def number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


BAD_Y = {"0": 0, "1": 1, "p - 1": P - 1, "p": P, "p + 1": P + 1, "2^4096": 2**4096}


@pytest.mark.parametrize("what", BAD_Y)
def test_bad_y_from_a_client(pki: Pki, what: str) -> None:
    """Raccoon, small subgroup."""
    body = serialize(ClientDHPublic(number(BAD_Y[what])))
    met = from_client(pki, DHE, edit(ClientKeyExchange, lambda m: setattr(m, "exchange_keys", body)))
    error = refused(met.server, Alert.illegal_parameter)
    assert error.reason == "bad_key_share"


def lied_to(pki: Pki, policy: Policy, make: Callable[[bytes], bytes], key: str = "rsa2048") -> ClientConnection:
    """A client that hears a ServerKeyExchange whose parameters are others, signed by who may."""
    credential, randoms = pki.server(key), bytearray()
    kind = ServerDHParams if policy is DHE else ServerECDHParams
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")

    def lie(message: Any) -> list[Any]:
        if isinstance(message, ServerHello):
            randoms[:] = client.info.client_random + message.random
        if not isinstance(message, ServerKeyExchange):
            return [message]
        _, end = kind.codec.read(message.parameters, 0, len(message.parameters))
        parameters, scheme = make(message.parameters[:end]), credential.schemes12[0]
        signature = credential.sign(scheme, bytes(randoms) + parameters)
        assert isinstance(signature, bytes)
        return [ServerKeyExchange(parameters + serialize(DigitallySigned(scheme, signature)))]

    meet(client, lying_server(pki.server_config(policy=policy, credentials=(credential,)), lie))
    return client


def dh(p: int, g: int, y: int) -> Callable[[bytes], bytes]:
    return lambda _: serialize(ServerDHParams(number(p), number(g), number(y)))


def test_resigning_works(pki: Pki) -> None:
    """What is told below is told well: the same parameters, signed again, complete the handshake."""
    assert lied_to(pki, DHE, lambda same: same).handshake_completed
    assert lied_to(pki, SAFE, lambda same: same, "p256").handshake_completed


@pytest.mark.parametrize("what", BAD_Y)
def test_bad_y_from_a_server(pki: Pki, what: str) -> None:
    """Raccoon, small subgroup, though the server signs it."""
    error = refused(lied_to(pki, DHE, dh(P, 2, BAD_Y[what])), Alert.illegal_parameter)
    assert error.reason == "bad_key_share"


OAKLEY_1024 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
BAD_GROUPS: dict[str, tuple[int, int, Alert]] = {
    "Logjam: 512 bits": (2**511 + 111, 2, Alert.insufficient_security),
    "1024 bits, a good prime": (OAKLEY_1024, 2, Alert.insufficient_security),
    "2047 bits": (P >> 1, 2, Alert.insufficient_security),
    "8193 bits": (2**8192 + 3, 2, Alert.insufficient_security),
    "p = 0": (0, 2, Alert.insufficient_security),
    "even": (P - 1, 2, Alert.illegal_parameter),
    "1 mod 4": (P - 2, 2, Alert.illegal_parameter),
    "not prime": (P - 4 * 3, 2, Alert.illegal_parameter),
    "3 times something": (3 * (2**2046 + 1), 2, Alert.illegal_parameter),
    "g = 0": (P, 0, Alert.illegal_parameter),
    "g = 1": (P, 1, Alert.illegal_parameter),
    "g = p - 1": (P, P - 1, Alert.illegal_parameter),
    "g = p": (P, P, Alert.illegal_parameter),
    "g = p + 2": (P, P + 2, Alert.illegal_parameter),
}


@pytest.mark.parametrize("what", BAD_GROUPS)
def test_bad_groups(pki: Pki, what: str) -> None:
    """Logjam, weak DH: small, even, composite."""
    p, g, alert = BAD_GROUPS[what]
    refused(lied_to(pki, DHE, dh(p, g, 4)), alert)


def test_a_good_group_of_their_own(pki: Pki) -> None:
    """RFC 3526's 2048 bits are no group of RFC 7919, and good."""
    text = (
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
        "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
        "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
        "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
        "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF"
    )
    prime = bytes.fromhex(text)
    ours, theirs = FieldKey.of_numbers(prime, b"\2"), FieldKey.of_numbers(prime, b"\2")
    assert ours.exchange(theirs.public) == theirs.exchange(ours.public)
    assert ours.name == "a group of 2048 bits"
    assert "key" not in repr(ours).lower().replace("fieldkey", "")


@pytest.mark.parametrize("name", ["ffdhe2048", "ffdhe3072", "ffdhe4096"])
def test_the_clients_groups_are_honoured(pki: Pki, name: str) -> None:
    """RFC 7919 section 4."""
    policy = LEGACY.replace(cipher_suites=DHE.cipher_suites, groups=(name,))
    met = meet(
        ClientConnection(pki.client_config(policy=policy), server_hostname="localhost"),
        ServerConnection(pki.server_config(policy=LEGACY, credentials=(pki.server("rsa2048"),))),
    )
    assert met.completed == (True, True)
    assert met.client.info.group == met.server.info.group == name


def test_keys_are_fresh(pki: Pki) -> None:
    """Raccoon: no share of a server's is used twice."""
    seen: list[bytes] = []
    for policy in (DHE, SAFE):
        for _ in range(4):
            note = instead(ServerKeyExchange, lambda m: seen.append(m.parameters[:-260]) or [m])  # type: ignore[attr-defined, func-returns-value]
            from_server(pki, policy, note)
    assert len(set(seen)) == 8
    assert all(seen)


def test_leading_zeros_are_dropped() -> None:
    """RFC 5246 section 8.1.2: the premaster secret of DH has none, and both sides agree on that."""
    group = FFDHE2048
    lengths = set()
    for _ in range(400):
        key = FieldKey.of_group(group)
        other = FieldKey.of_group(group)
        secret = key.exchange(other.public)
        assert secret == other.exchange(key.public)
        assert secret[0] != 0
        lengths.add(len(secret))
        if len(lengths) > 1:
            break
    assert max(lengths) == 256


# curves -------------------------------------------------------------------------------------------------------------------


def bad_points(name: str) -> dict[str, bytes]:
    group = next(each for each in GROUPS.values() if each.name == name)
    good = group.generate().public
    bad = {"short": good[:-1], "long": good + b"\0", "one byte": b"\4"}
    if name.startswith("secp"):
        half = (len(good) - 1) // 2
        return bad | {
            "not on the curve": good[:-1] + bytes((good[-1] ^ 1,)),
            "zero": b"\4" + bytes(2 * half),
            "compressed": b"\2" + good[1 : 1 + half],
            "hybrid": bytes((6 + (good[-1] & 1),)) + good[1:],
            "infinity": b"\0",
        }
    return bad | {"low order: zero": bytes(len(good)), "low order: one": b"\1" + bytes(len(good) - 1)}


POINTS = [(name, what) for name in ("x25519", "x448", "secp256r1", "secp384r1", "secp521r1") for what in bad_points(name)]


@pytest.mark.parametrize(("name", "what"), POINTS)
def test_bad_points(pki: Pki, name: str, what: str) -> None:
    """Invalid curve, twist, low order, compressed points: from a client, and from a server that signs them."""
    policy, point = SAFE.replace(groups=(name, "secp256r1")), bad_points(name)[what]  # of which the second is for the certificate
    body = serialize(ClientECDHPublic(point))
    met = from_client(pki, policy, edit(ClientKeyExchange, lambda m: setattr(m, "exchange_keys", body)))
    assert refused(met.server, Alert.illegal_parameter).reason == "bad_key_share"
    client = lied_to(pki, policy, lambda good: good[:3] + bytes((len(point),)) + point, "p256")
    assert refused(client, Alert.illegal_parameter).reason == "bad_key_share"


CURVES = {
    "an explicit prime": lambda good: b"\x01" + good[1:],
    "an explicit char2": lambda good: b"\x02" + good[1:],
    "a curve that was not offered": lambda good: b"\x03\x00\x16" + good[3:],
    "a finite field": lambda good: b"\x03" + NamedGroup.ffdhe2048.to_bytes(2, "big") + good[3:],
    "a hybrid": lambda good: b"\x03" + NamedGroup.X25519MLKEM768.to_bytes(2, "big") + good[3:],
    "grease": lambda good: b"\x03\x0a\x0a" + good[3:],
}


@pytest.mark.parametrize("what", CURVES)
def test_bad_curves(pki: Pki, what: str) -> None:
    """RFC 8422 section 5.4: a named curve that was offered."""
    assert refused(lied_to(pki, SAFE, CURVES[what], "p256"), Alert.illegal_parameter).reason == "wrong_curve"


@pytest.mark.parametrize("role", ["client", "server"])
def test_compressed_points_alone(pki: Pki, role: str) -> None:
    """RFC 8422 section 5.1.2."""
    if role == "client":
        met = from_client(pki, SAFE, edit(ClientHello, lambda m: m.extensions.update({X.ec_point_formats: (1, 2)})))
        assert refused(met.server, Alert.illegal_parameter).reason == "bad_point_formats"
    else:
        met = from_server(pki, SAFE, edit(ServerHello, lambda m: m.extensions.update({X.ec_point_formats: (1, 2)})))
        assert refused(met.client, Alert.illegal_parameter).reason == "bad_point_formats"


@pytest.mark.parametrize("methods", [b"\x01", b"\x40", b"\x01\x40"])
def test_compression_alone(pki: Pki, methods: bytes) -> None:
    """CRIME: a hello without the null compression."""
    met = from_client(pki, SAFE, edit(ClientHello, lambda m: setattr(m, "legacy_compression_methods", methods)))
    assert refused(met.server, Alert.illegal_parameter).reason == "invalid_compression_list"


def test_compression_beside_none(pki: Pki) -> None:
    """CRIME: offered beside null, it is not taken."""
    said: list[int] = []
    client = lying_client(
        pki.client_config(policy=SAFE), edit(ClientHello, lambda m: setattr(m, "legacy_compression_methods", b"\1\0"))
    )
    note = instead(ServerHello, lambda m: said.append(m.legacy_compression_method) or [m])  # type: ignore[attr-defined, func-returns-value]
    assert meet(client, lying_server(pki.server_config(policy=SAFE), note)).completed == (True, True)
    assert said == [0]


# signatures ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["p256", "ed25519", "rsa2048"])
def test_each_byte_of_server_key_exchange(pki: Pki, key: str) -> None:
    """goto fail: whatever is flipped, the client does not go on."""
    theirs = pki.server_config(policy=SAFE, credentials=(pki.server(key),))
    lengths: list[int] = []
    meet(
        ClientConnection(pki.client_config(policy=SAFE), server_hostname="localhost"),
        lying_server(theirs, instead(ServerKeyExchange, lambda m: lengths.append(len(m.parameters)) or [m])),  # type: ignore[attr-defined, func-returns-value]
    )
    for at in range(lengths[0]):
        client = ClientConnection(pki.client_config(policy=SAFE), server_hostname="localhost")

        def flip(body: bytearray, at: int = at) -> None:
            body[min(at, len(body) - 1)] ^= 1

        meet(client, lying_server(theirs, edit_bytes(ServerKeyExchange, flip)))
        refused(client, Alert.decrypt_error, Alert.illegal_parameter, Alert.decode_error, Alert.unexpected_message)


@pytest.mark.parametrize("which", ["client", "server", "both", "swapped", "of TLS 1.3"])
def test_signed_over_the_wrong_randoms(pki: Pki, which: str) -> None:
    """A ServerKeyExchange that was recorded in another handshake, or signs something else."""
    credential = pki.server()
    client = ClientConnection(pki.client_config(policy=SAFE), server_hostname="localhost")
    ours, theirs = client.info.client_random, bytearray()

    def lie(message: Any) -> list[Any]:
        if isinstance(message, ServerHello):
            theirs[:] = message.random
        if not isinstance(message, ServerKeyExchange):
            return [message]
        _, end = ServerECDHParams.codec.read(message.parameters, 0, len(message.parameters))
        parameters, server = message.parameters[:end], bytes(theirs)
        covered = {
            "client": bytes(32) + server,
            "server": ours + bytes(32),
            "both": bytes(64),
            "swapped": server + ours,
            "of TLS 1.3": b" " * 64 + ours + server,
        }[which]
        signature = credential.sign(credential.schemes12[0], covered + parameters)
        assert isinstance(signature, bytes)
        return [ServerKeyExchange(parameters + serialize(DigitallySigned(credential.schemes12[0], signature)))]

    met = meet(client, lying_server(pki.server_config(policy=SAFE), lie))
    error = refused(client, Alert.decrypt_error)
    assert error.reason == "bad_signature"
    assert met.alert_heard_by(met.server) == Alert.decrypt_error


@pytest.mark.parametrize("scheme", [0x0201, 0x0203, 0x0101, 0x0202, 0x0804, 0x0807, 0x0603, 0x9999, 0x0000])
def test_schemes_that_cannot_be(pki: Pki, scheme: int) -> None:
    """SLOTH, SHA-1, MD5, and schemes of another key: illegal_parameter, from a server and from a client."""

    def change(body: bytearray) -> None:
        _, end = ServerECDHParams.codec.read(bytes(body), 0, len(body))
        body[end : end + 2] = scheme.to_bytes(2, "big")

    alerts = (Alert.decrypt_error,) if scheme == 0x0603 else (Alert.illegal_parameter,)  # a hash goes with any curve
    met = from_server(pki, SAFE, edit_bytes(ServerKeyExchange, change), "p256")
    refused(met.client, *alerts)
    client = lying_client(
        pki.client_config(policy=SAFE, credential=pki.client()), edit(CertificateVerify, lambda m: setattr(m, "algorithm", scheme))
    )
    server = ServerConnection(pki.server_config(policy=SAFE, client_auth=ClientAuth.require, trust=pki.trust))
    meet(client, server)
    refused(server, *alerts)


PSS_384 = SAFE.replace(
    signature_schemes=("rsa_pss_rsae_sha384",), certificate_signature_schemes=("rsa_pss_rsae_sha384", "ecdsa_secp256r1_sha256")
)


@pytest.mark.parametrize(("scheme", "policy"), [(0x0809, SAFE), (0x080A, SAFE), (0x080B, SAFE), (0x0804, PSS_384)])
def test_good_signatures_of_a_scheme_that_is_not_good(pki: Pki, scheme: int, policy: Policy) -> None:
    """RFC 8446 section 4.2.3, for TLS 1.2 too: rsa_pss_pss is for keys whose certificate says id-RSASSA-PSS; and what was not
    offered is not taken, though it verifies.
    """
    from minitls.crypto.signatures import SCHEMES
    from minitls.wire.numbers import SignatureScheme

    key = pki.issue("localhost", "127.0.0.1", "::1", key="rsa2048").key
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")
    randoms = bytearray()

    def lie(message: Any) -> list[Any]:
        if isinstance(message, ServerHello):
            randoms[:] = client.info.client_random + message.random
        if not isinstance(message, ServerKeyExchange):
            return [message]
        _, end = ServerECDHParams.codec.read(message.parameters, 0, len(message.parameters))
        signature = SCHEMES[scheme].sign(key, bytes(randoms) + message.parameters[:end])
        return [ServerKeyExchange(message.parameters[:end] + serialize(DigitallySigned(SignatureScheme(scheme), signature)))]

    meet(client, lying_server(pki.server_config(policy=SAFE, credentials=(pki.server("rsa2048"),)), lie))
    assert refused(client, Alert.illegal_parameter).reason == "wrong_signature_type"


@pytest.mark.parametrize("key", ["p256", "ed25519", "rsa2048"])
def test_each_byte_of_certificate_verify(pki: Pki, key: str) -> None:
    """goto fail, at the server."""
    ours = pki.client_config(policy=SAFE, credential=pki.client(key))
    theirs = pki.server_config(policy=SAFE, client_auth=ClientAuth.require, trust=pki.trust)
    for at in range(0, 264 if key == "rsa2048" else 68, 5 if key == "rsa2048" else 1):
        server = ServerConnection(theirs)

        def flip(body: bytearray, at: int = at) -> None:
            body[min(at, len(body) - 1)] ^= 1

        meet(lying_client(ours, edit_bytes(CertificateVerify, flip)), server)
        refused(server, Alert.decrypt_error, Alert.illegal_parameter, Alert.decode_error)


def test_certificate_verify_of_another_handshake(pki: Pki) -> None:
    """A signature over something else, by the right key."""
    credential = pki.client()
    signature = credential.sign(credential.schemes12[0], b"another handshake")
    lie = edit(CertificateVerify, lambda m: setattr(m, "signature", signature))
    server = ServerConnection(pki.server_config(policy=SAFE, client_auth=ClientAuth.require, trust=pki.trust))
    meet(lying_client(pki.client_config(policy=SAFE, credential=credential), lie), server)
    assert refused(server, Alert.decrypt_error).reason == "bad_signature"


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("at", range(12))
def test_each_byte_of_finished(pki: Pki, role: str, at: int) -> None:
    """goto fail: verify_data with a byte flipped."""

    def flip(body: bytearray) -> None:
        body[at] ^= 0x10

    lie = edit_bytes(Finished, flip)
    met = from_client(pki, SAFE, lie) if role == "client" else from_server(pki, SAFE, lie)
    honest = met.server if role == "client" else met.client
    assert refused(honest, Alert.decrypt_error).reason == "digest_check_failed"


@pytest.mark.parametrize("length", [0, 1, 11, 13, 36])
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_finished_of_another_length(pki: Pki, role: str, length: int) -> None:
    lie = edit(Finished, lambda m: setattr(m, "verify_data", bytes(length)))
    met = from_client(pki, SAFE, lie) if role == "client" else from_server(pki, SAFE, lie)
    refused(met.server if role == "client" else met.client, Alert.decrypt_error, Alert.decode_error)


def test_the_clients_finished_reflected(pki: Pki) -> None:
    """Selfie's sister: each side has its own label."""
    seen: list[bytes] = []
    ours = pki.client_config(policy=SAFE)
    client = lying_client(ours, instead(Finished, lambda m: seen.append(m.verify_data) or [m]))  # type: ignore[attr-defined, func-returns-value]
    meet(client, lying_server(pki.server_config(policy=SAFE), edit(Finished, lambda m: setattr(m, "verify_data", seen[0]))))
    refused(client, Alert.decrypt_error)


# certificates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suite", "key"),
    [
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "rsa2048"),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "p256"),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", "p256"),
        ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "ed25519"),
    ],
)
def test_a_certificate_that_does_not_fit_the_suite(pki: Pki, suite: str, key: str) -> None:
    """RFC 5246 section 7.4.2: the chain is good, but of another kind."""
    policy = LEGACY.replace(cipher_suites=(suite,))
    right = pki.server("rsa2048" if "_RSA_" in suite else "p256")
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")
    lie = edit(Certificate12, lambda m: setattr(m, "certificate_list", pki.server(key).chain))
    meet(client, lying_server(pki.server_config(policy=policy, credentials=(right,)), lie))
    assert refused(client, Alert.illegal_parameter).reason == "wrong_certificate_type"


def test_an_empty_certificate_from_a_server(pki: Pki) -> None:
    met = from_server(pki, SAFE, edit(Certificate12, lambda m: setattr(m, "certificate_list", ())))
    assert refused(met.client, Alert.decode_error).reason == "no_certificate"


def test_a_certificate_whose_key_may_not_encipher(pki: Pki) -> None:
    """RFC 5246 section 7.4.2: static RSA needs keyEncipherment; a server does not choose it without, a client does not take it."""
    from unittest import mock

    from minitls.certificates import verify
    from minitls.handshake.authenticate import leaf_facts

    leaf_facts.cache_clear()
    with mock.patch.object(verify, "may_encipher", return_value=False):
        met = from_server(pki, RSA, lambda message: [message])
    leaf_facts.cache_clear()
    assert refused(met.client, Alert.illegal_parameter).reason == "key_usage_bit_incorrect"
    without = copy.copy(pki.server("rsa2048"))
    without._decrypter = None
    met = from_client(pki, RSA, lambda message: [message], credentials=(without,))
    refused(met.server, Alert.handshake_failure)


# downgrades of what a hello says ------------------------------------------------------------------------------------------

STRIPPED: dict[str, Callable[[Any], object]] = {
    "suites": lambda m: setattr(m, "cipher_suites", m.cipher_suites[-1:]),
    "groups": lambda m: m.extensions.update({X.supported_groups: (24,)}),
    "encrypt-then-MAC": lambda m: m.extensions.pop(X.encrypt_then_mac),
    "the extended master secret": lambda m: m.extensions.pop(X.extended_master_secret),
    "secure renegotiation": lambda m: m.extensions.pop(X.renegotiation_info),
    "the server's name": lambda m: m.extensions.pop(X.server_name),
}


@pytest.mark.parametrize("what", STRIPPED)
def test_a_hello_changed_in_transit(pki: Pki, what: str) -> None:
    """FREAK, Logjam, triple handshake: with EMS the keys hang on every word, without it Finished does."""
    from minitls.wire.messages import read_message, write_message

    policy = LEGACY.replace(groups=("x25519", "secp384r1"))
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")
    server = ServerConnection(pki.server_config(policy=policy, credentials=(pki.server("rsa2048"),)))
    record = client.data_to_send()
    hello = read_message(ClientHello, record[5:])
    STRIPPED[what](hello)
    raw = write_message(copy.copy(hello))
    server.receive_data(b"\x16\x03\x01" + len(raw).to_bytes(2, "big") + raw)
    met = meet(client, server)
    assert met.completed == (False, False)
    errors = [side.error for side in (client, server) if not isinstance(side.error, AlertReceived)]
    assert len(errors) == 1
    assert isinstance(errors[0], TLSError)
    assert errors[0].alert in (Alert.bad_record_mac, Alert.decrypt_error, Alert.illegal_parameter)
