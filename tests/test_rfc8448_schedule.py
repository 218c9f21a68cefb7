"""RFC 8448, to the byte: key exchange, key schedule, record keys, signatures and sealed records of all five handshakes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from minitls.crypto.groups import SECP256R1, X25519, KeyShare
from minitls.crypto.schedule import EarlySecret, HandshakeSecret, MainSecret, TrafficSecret
from minitls.crypto.signatures import CLIENT_CONTEXT, SCHEMES, SERVER_CONTEXT, signed_content
from minitls.crypto.suites import SUITES
from minitls.wire.numbers import CipherSuite, ContentType, HandshakeType
from tests.rfc8448 import Step, find, load, records

RFC = load()
HANDSHAKES = [section for section in RFC if section != "private_keys"]
SUITE = SUITES[CipherSuite.TLS_AES_128_GCM_SHA256]  # of all five
HASH = SUITE.hash_name


def messages(octets: bytes) -> Iterator[tuple[int, bytes]]:
    while octets:
        end = 4 + int.from_bytes(octets[1:4], "big")
        yield octets[0], octets[:end]
        octets = octets[end:]


class Trace:
    """One of the handshakes: its steps, its transcript, and the secrets that our schedule makes of it."""

    def __init__(self, section: str) -> None:
        self.steps = RFC[section]
        self.transcript = [
            message for step in self.steps if step.what == "send handshake record" for message in messages(step["payload"])
        ]
        if section == "hello_retry_request":  # RFC 8446 section 4.4.1
            digest = hashlib.sha256(self.transcript[0][1]).digest()
            self.transcript[0] = HandshakeType.message_hash, b"\xfe\x00\x00\x20" + digest
        psk = find(RFC["simple_1rtt"], "generate resumption secret")["expanded"] if section == "resumed_0rtt" else None
        self.early = EarlySecret(HASH, psk)
        self.handshake: HandshakeSecret = self.early.handshake_secret(self.shared_secret())
        self.main: MainSecret = self.handshake.main_secret()
        hello = self.after(HandshakeType.server_hello, count=2 if section == "hello_retry_request" else 1)
        flight = self.after(HandshakeType.finished)
        self.handshake_traffic = {
            "client": self.handshake.traffic(hello)[0],
            "server": self.handshake.traffic(hello)[1],
        }
        self.application_traffic = dict(zip(("client", "server"), self.main.traffic(flight), strict=True))

    def shared_secret(self) -> bytes:
        """By both sides' printed private keys, which must agree; the last keys of each are those that count."""
        client, server = (self._share(who) for who in ("client", "server"))
        secret = client.exchange(server.public)
        assert server.exchange(client.public) == secret
        return secret

    def _share(self, who: str) -> KeyShare:
        step = [s for s in self.steps if s.who == who and s.what.startswith("create an ephemeral") and s.octets][-1]
        if "P-256" in step.what:
            number = int.from_bytes(step["private key"], "big")
            share = SECP256R1.share_of(ec.derive_private_key(number, ec.SECP256R1()))
        else:
            share = X25519.share_of(x25519.X25519PrivateKey.from_private_bytes(step["private key"]))
        assert share.public == step["public key"]
        return share

    def _hash(self, upto: int) -> bytes:
        return hashlib.sha256(b"".join(octets for _, octets in self.transcript[:upto])).digest()

    def _index(self, kind: HandshakeType, count: int) -> int:
        return [i for i, (msg_type, _) in enumerate(self.transcript) if msg_type == kind][count - 1]

    def after(self, kind: HandshakeType, count: int = 1) -> bytes:
        return self._hash(self._index(kind, count) + 1)

    def before(self, kind: HandshakeType, count: int = 1) -> bytes:
        return self._hash(self._index(kind, count))


@pytest.fixture(scope="module", params=HANDSHAKES)
def trace(request: pytest.FixtureRequest) -> Trace:
    return Trace(request.param)


def test_every_handshake_is_there() -> None:
    assert {section: len(steps) for section, steps in RFC.items()} == {
        "private_keys": 1,
        "simple_1rtt": 55,
        "resumed_0rtt": 60,
        "hello_retry_request": 54,
        "client_authentication": 52,
        "compatibility_mode": 51,
    }


def test_stages(trace: Trace) -> None:
    """Extracted secrets, and the (EC)DHE secret that goes in."""
    for name, stage in ("early", trace.early), ("handshake", trace.handshake), ("master", trace.main):
        assert stage._secret == find(trace.steps, f'extract secret "{name}"')["secret"]
    assert trace.shared_secret() == find(trace.steps, 'extract secret "handshake"')["IKM"]


def test_traffic_secrets(trace: Trace) -> None:
    """Derived secrets, over transcript hashes that come from the messages alone."""
    for label, secret in (
        ("c hs traffic", trace.handshake_traffic["client"]),
        ("s hs traffic", trace.handshake_traffic["server"]),
        ("c ap traffic", trace.application_traffic["client"]),
        ("s ap traffic", trace.application_traffic["server"]),
    ):
        step = find(trace.steps, f'derive secret "tls13 {label}"')
        assert secret.value == step["expanded"], label
    exporter = trace.main.exporter(trace.after(HandshakeType.finished))
    assert exporter.value == find(trace.steps, 'derive secret "tls13 exp master"')["expanded"]
    resumption = trace.main.resumption(trace.after(HandshakeType.finished, count=2))
    assert resumption._secret == find(trace.steps, 'derive secret "tls13 res master"')["expanded"]


def test_finished(trace: Trace) -> None:
    for count, who in (1, "server"), (2, "client"):
        step = find(trace.steps, 'calculate finished "tls13 finished"', who)
        verify_data = trace.handshake_traffic[who].verify_data(trace.before(HandshakeType.finished, count))
        assert verify_data == step["finished"]
        assert b"\x14\x00\x00\x20" + verify_data == find(trace.steps, "construct a Finished", who)["Finished"]


def test_record_keys(trace: Trace) -> None:
    """Each "derive ... traffic keys" step has the key and iv of the secret that it names as PRK."""
    steps = [s for s in trace.steps if "traffic keys" in s.what and s.octets]
    assert len(steps) >= 4
    for step in steps:
        secret = TrafficSecret(HASH, step["PRK"], "")
        assert secret.key_and_iv(SUITE.aead.key_length) == (step["key expanded"], step["iv expanded"])


def test_records(trace: Trace) -> None:
    """Our keys open each protected record to what the RFC says is in it, and seal that to the same octets again."""
    opened = 0
    for who in "client", "server":
        epoch, sequence = 0, 0
        early = [TrafficSecret(HASH, s["expanded"], "") for s in trace.steps if "c e traffic" in s.what and s.octets]
        secrets = [*(early if who == "client" else []), trace.handshake_traffic[who], trace.application_traffic[who]]
        for step in records(trace.steps, who):
            record = step["complete record"]
            if record[0] != ContentType.application_data:
                assert record[5:] == step["payload"]
                continue
            key, iv = secrets[epoch].key_and_iv(SUITE.aead.key_length)
            cipher = SUITE.aead.make(key)
            nonce = (int.from_bytes(iv, "big") ^ sequence).to_bytes(12, "big")
            inner = cipher.decrypt(nonce, record[5:], record[:5])
            assert inner == step["payload"] + bytes((content_type(step),))
            assert record[:5] + cipher.encrypt(nonce, inner, record[:5]) == record
            opened += 1
            sequence += 1
            if content_type(step) == ContentType.handshake and changes_keys(step["payload"]):
                epoch, sequence = epoch + 1, 0
    assert opened == sum(s["complete record"][0] == 23 for who in ("client", "server") for s in records(trace.steps, who))


def content_type(step: Step) -> ContentType:
    return ContentType[step.what.removeprefix("send ").removesuffix(" record")]


def changes_keys(payload: bytes) -> bool:
    return [kind for kind, _ in messages(payload)][-1] in (HandshakeType.finished, HandshakeType.end_of_early_data)


def test_certificate_verify(trace: Trace) -> None:
    """The signatures are good under the certificates' keys, by our table and our signed content."""
    kinds = [kind for kind, _ in trace.transcript]
    sides = [SERVER_CONTEXT, CLIENT_CONTEXT][: kinds.count(HandshakeType.certificate_verify)]
    for count, context in enumerate(sides, 1):
        certificate = trace.transcript[trace._index(HandshakeType.certificate, count)][1]
        start = 4 + 1 + certificate[4] + 3  # header, certificate_request_context, length of the list
        size = int.from_bytes(certificate[start : start + 3], "big")
        key = x509.load_der_x509_certificate(certificate[start + 3 : start + 3 + size]).public_key()
        verify = trace.transcript[trace._index(HandshakeType.certificate_verify, count)][1]
        scheme = SCHEMES[int.from_bytes(verify[4:6], "big")]
        scheme.verify(key, verify[8:], signed_content(context, trace.before(HandshakeType.certificate_verify, count)))
    assert len(sides) == (0 if HandshakeType.certificate not in kinds else kinds.count(HandshakeType.certificate))


def test_private_key_is_the_certificates() -> None:
    """Section 2's RSA key, for who wants to replay the server."""
    step = RFC["private_keys"][0]
    n, e, d, p, q, dmp1, dmq1, iqmp = (int.from_bytes(octets, "big") for octets in step.octets.values())
    key = rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, rsa.RSAPublicNumbers(e, n)).private_key()
    certificate = find(RFC["simple_1rtt"], "construct a Certificate handshake")["Certificate"]
    assert x509.load_der_x509_certificate(certificate[11 : 11 + 432]).public_key() == key.public_key()


def test_resumption() -> None:
    """Section 4 resumes section 3: PSK, binder and early secrets."""
    first, second = Trace("simple_1rtt"), Trace("resumed_0rtt")
    ticket = find(first.steps, "construct a NewSessionTicket")["NewSessionTicket"]
    nonce = ticket[13 : 13 + ticket[12]]
    psk = first.main.resumption(first.after(HandshakeType.finished, count=2)).psk(nonce)
    assert psk == find(first.steps, "generate resumption secret")["expanded"]
    assert psk == find(second.steps, 'extract secret "early"')["IKM"]

    step = find(second.steps, "calculate PSK binder")
    prefix = step["ClientHello prefix"]
    digest = hashlib.sha256(prefix).digest()
    assert digest == step["binder hash"]
    binder = second.early.binder(EarlySecret.RESUMPTION, digest)
    assert binder == step["finished"]
    assert second.transcript[0][1] == prefix + b"\x00\x21\x20" + binder
    assert second.early.binder(EarlySecret.EXTERNAL, digest) != binder
    hello = hashlib.sha256(second.transcript[0][1]).digest()
    assert second.early.client_traffic(hello).value == find(second.steps, 'derive secret "tls13 c e traffic"')["expanded"]
