"""Credentials in any form of file, several of them chosen by the client's hello, and changed while the server runs."""

from __future__ import annotations

import asyncio
import copy
import datetime
import errno
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509 import ocsp

import minitls
from minitls import ClientConfig, ClientConnection, Credential, Policy, ServerConfig, ServerConnection
from minitls.certificates import watch
from minitls.certificates.authority import Authority, Issued
from minitls.certificates.store import CredentialStore
from minitls.certificates.watch import SIZE_LIMIT, CredentialFiles, Watched
from minitls.errors import AlertReceived, Misuse, PeerIncompatible
from minitls.testing import exchange, memory_pair
from minitls.wire.hello import ClientHello
from minitls.wire.messages import read_message
from tests.chains import NOW, Made, ca, leaf, openssl
from tests.chains import key as some_key

AUTHORITY = Authority.create()
NAMES = ("localhost", "127.0.0.1")
KINDS = ("p256", "ed25519", "rsa2048", "p384")
ISSUED = {kind: AUTHORITY.issue(*NAMES, key=kind) for kind in KINDS}
TRUST = AUTHORITY.trust()
DAY = datetime.timedelta(days=1)
END = b"-----END CERTIFICATE-----\n"


def client_config(**fields: Any) -> ClientConfig:
    return ClientConfig(trust=TRUST, session_store=None, **fields)


def shown(store: CredentialStore, name: str = "localhost", **fields: Any) -> bytes:
    """The leaf that a client gets by a handshake."""
    client, _ = memory_pair(client_config(**fields), ServerConfig(select_credential=store), name)
    return client.info.peer_chain[0]


def der(issued: Issued) -> bytes:
    return issued.chain[0].public_bytes(Encoding.DER)


def write(path: Path, data: bytes) -> None:
    """Another file in the place of the old one, as careful programs do it."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


class Pair:
    """The two files of a certificate."""

    def __init__(self, folder: Path, issued: Issued | None = None, stem: str = "server") -> None:
        self.cert, self.key = folder / f"{stem}.pem", folder / f"{stem}.key"
        if issued is not None:
            self.write(issued)

    @property
    def both(self) -> tuple[Path, Path]:
        return self.cert, self.key

    def write(self, issued: Issued) -> None:
        write(self.cert, issued.chain_pem())
        write(self.key, issued.key_pem())


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path, ISSUED["p256"])


def now_and(store: CredentialStore) -> str:
    """What a reload complains of; "" if of nothing."""
    try:
        store.reload()
    except Misuse as error:
        return str(error)
    return ""


# forms ------------------------------------------------------------------------------------------------------------------


def forms(kind: str) -> dict[str, tuple[bytes, bytes | None, str | None]]:
    """A chain, its key (None: in the same bytes), and the password."""
    issued = ISSUED[kind]
    chain = b"".join(c.public_bytes(Encoding.DER) for c in issued.chain)

    def private(encoding: Encoding, form: PrivateFormat, password: bytes | None = None) -> bytes:
        data: bytes = issued.key.private_bytes(encoding, form, BestAvailableEncryption(password) if password else NoEncryption())
        return data

    def bundle(password: bytes | None) -> bytes:
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        return pkcs12.serialize_key_and_certificates(b"x", issued.key, issued.chain[0], issued.chain[1:], encryption)

    made: dict[str, tuple[bytes, bytes | None, str | None]] = {
        "PEM": (issued.chain_pem(), issued.key_pem(), None),
        "PEM in one": (issued.key_pem() + issued.chain_pem(), None, None),
        "PEM, locked": (issued.chain_pem(), private(Encoding.PEM, PrivateFormat.PKCS8, b"secret"), "secret"),
        "PEM in one, locked": (issued.chain_pem() + private(Encoding.PEM, PrivateFormat.PKCS8, b"secret"), None, "secret"),
        "DER": (chain, private(Encoding.DER, PrivateFormat.PKCS8), None),
        "DER, locked": (chain, private(Encoding.DER, PrivateFormat.PKCS8, b"secret"), "secret"),
        "DER and PEM": (chain, issued.key_pem(), None),
        "PEM and DER": (issued.chain_pem(), private(Encoding.DER, PrivateFormat.PKCS8), None),
        "PKCS#12": (bundle(None), None, None),
        "PKCS#12, locked": (bundle(b"secret"), None, "secret"),
    }
    if kind in ("p256", "rsa2048"):
        made["traditional PEM"] = (issued.chain_pem(), private(Encoding.PEM, PrivateFormat.TraditionalOpenSSL), None)
        made["traditional PEM, locked"] = (
            issued.chain_pem(), private(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, b"secret"), "secret"
        )  # fmt: skip
        made["traditional DER"] = (chain, private(Encoding.DER, PrivateFormat.TraditionalOpenSSL), None)
    return made


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
def test_forms(kind: str, tmp_path: Path) -> None:
    for form, (cert, key, password) in forms(kind).items():
        (tmp_path / "cert").write_bytes(cert)
        (tmp_path / "key").write_bytes(key or b"")
        files = (tmp_path / "cert", tmp_path / "key" if key is not None else None, password)
        for credential in (Credential.from_bytes(cert, key, password), Credential.from_files(*files)):
            assert credential.chain == tuple(c.public_bytes(Encoding.DER) for c in ISSUED[kind].chain), form
            assert len(bytes(credential.sign(credential.schemes[0], b"data"))) > 60  # type: ignore[arg-type]


def test_a_wrong_password_is_one_sentence(tmp_path: Path) -> None:
    """Which file, and what to do; the sentence has no password in it."""
    for form, (cert, key, password) in forms("p256").items():
        (tmp_path / "cert").write_bytes(cert)
        (tmp_path / "key").write_bytes(key or b"")
        culprit = tmp_path / ("cert" if key is None else "key")
        for wrong in ("wrong", None) if password else ():
            with pytest.raises(Misuse) as caught:
                Credential.from_files(tmp_path / "cert", tmp_path / "key" if key is not None else None, wrong)
            text = str(caught.value)
            assert str(culprit) in text, form
            assert ("password is wrong, or it is damaged" if wrong else "password") in text, form
            assert "\n" not in text
            assert "secret" not in text


def test_what_is_in_no_form() -> None:
    cert, key, _ = forms("p256")["DER"]
    bundle = forms("p256")["PKCS#12"][0]
    assert key is not None
    for arguments, reason, says in (
        ((cert,), "bad_key", "has no key in it"),
        ((cert, b""), "bad_key", "holds no private key in PEM"),
        ((cert, cert), "bad_key", "the key in this cannot be read"),
        ((key, key), "bad_certificate", "holds no certificate that can be read"),
        ((cert + b"\x30", key), "bad_certificate", "holds no certificate that can be read"),
        ((cert[:-1], key), "bad_certificate", "holds no certificate that can be read"),
        ((b"", key), "bad_certificate", "holds no certificate in PEM that can be read"),
        ((cert, b"key"), "bad_key", "holds no private key in PEM"),
        ((bundle, key), "bad_key", "has its key in it"),
        ((bundle[:-1],), "bad_key", "PKCS#12 bundle cannot be read"),
        ((cert, key, "secret"), "bad_password", "is not encrypted"),
    ):
        with pytest.raises(Misuse, match=says) as caught:
            Credential.from_bytes(*arguments)
        assert caught.value.reason == reason


def test_damaged_in_any_form() -> None:
    """Whatever stands in a file: Misuse, or a credential."""
    chooser = random.Random(7)
    every = [form for kind in ("p256", "ed25519") for name, form in forms(kind).items() if "locked" not in name]
    for number in range(1500):
        cert, key, password = every[number % len(every)]
        damaged = bytearray(cert if key is None or number % 2 else key)
        for _ in range(chooser.choice((1, 2, 8))):
            place = chooser.randrange(len(damaged))
            damaged[place : place + chooser.choice((0, 1, 1, 4))] = chooser.randbytes(chooser.choice((0, 1, 1, 4)))
        try:
            Credential.from_bytes(*((bytes(damaged), key) if key is None or number % 2 else (cert, bytes(damaged))), password)
        except Misuse:
            continue
    for size in range(40):
        with pytest.raises(Misuse):
            Credential.from_bytes(every[-1][0][:size])


def test_as_openssl_writes_them(tmp_path: Path) -> None:
    pair = Pair(tmp_path, ISSUED["rsa2048"])
    expected = Credential.from_files(*pair.both).chain
    for suffix, key in {
        "pkcs8.der": ("pkcs8", "-topk8", "-outform", "DER", "-in", pair.key, "-passout", "pass:secret"),
        "pkcs8-pbe.der": ("pkcs8", "-topk8", "-v2", "aes-128-cbc", "-outform", "DER", "-in", pair.key, "-passout", "pass:secret"),
        "pkcs1.der": ("rsa", "-traditional", "-outform", "DER", "-in", pair.key),
        "pkcs1.pem": ("rsa", "-traditional", "-aes128", "-passout", "pass:secret", "-in", pair.key),
    }.items():
        (tmp_path / suffix).write_bytes(openssl(*key))
        assert Credential.from_files(pair.cert, tmp_path / suffix, "secret" if "secret" in str(key) else None).chain == expected
    for password in ("", "secret"):
        command = ("pkcs12", "-export", "-in", pair.cert, "-inkey", pair.key, "-passout", f"pass:{password}")
        (tmp_path / "server.p12").write_bytes(openssl(*command))
        assert Credential.from_files(tmp_path / "server.p12", password=password or None).chain == expected


# which one ----------------------------------------------------------------------------------------------------------------


def hello_of(name: str | None, **policy: Any) -> ClientHello:
    config = client_config(policy=Policy.intermediate.replace(**policy) if policy else Policy.intermediate)
    raw = ClientConnection(config, server_hostname=name or "127.0.0.1").data_to_send()
    hello = read_message(ClientHello, raw[5:])
    assert isinstance(hello, ClientHello)
    return hello


def test_by_name() -> None:
    """The very name, then a wildcard's, then the first; as Credential.matches has it."""
    names = {"a": ("a.example", "shared.example"), "b": ("B.example",), "w": ("*.w.example", "w.example"), "x": ("x.w.example",)}
    store = CredentialStore({label: AUTHORITY.issue(*its).credential() for label, its in names.items()})
    by_label = store.credentials
    for name, label in {
        "a.example": "a", "A.EXAMPLE": "a", "shared.example": "a", "b.example": "b", "w.example": "w", "any.w.example": "w",
        "x.w.example": "x", "a.b.w.example": "a", "unknown.example": "a", None: "a",
    }.items():  # fmt: skip
        assert store(hello_of(name)) is by_label[label], name
    strict = CredentialStore(by_label, default=False)
    assert strict(hello_of("unknown.example")) is None
    assert strict(hello_of(None)) is None
    assert strict(hello_of("any.w.example")) is by_label["w"]
    assert len(store) == 4
    assert repr(store) == "<CredentialStore of 4>"


def test_the_dictionary_agrees_with_matches() -> None:
    chooser = random.Random(8)
    labels = ("a", "b", "*", "c")

    def some_name(labels: Sequence[str]) -> str:
        return ".".join(chooser.choice(labels) for _ in range(chooser.randrange(1, 4))) + chooser.choice((".d.e", ".e", ""))

    for _ in range(300):
        names = [{name for _ in range(3) if (name := some_name(labels)).count("*") == name.startswith("*.")} for _ in range(4)]
        certificates = [leaf(ca("root", key=some_key()), key=some_key(), names=sorted(its) or ("z",)) for its in names]
        credentials = {str(n): Credential.from_cryptography([c.certificate], c.key) for n, c in enumerate(certificates)}
        store = CredentialStore(credentials)
        for _ in range(10):
            name = some_name(labels[:2] + labels[3:])
            found = [entry.credential for entry in store._shelf.find(name)]
            assert {id(c) for c in found} == {id(c) for c in credentials.values() if c.matches(name)}
            assert len(found) == len({id(c) for c in found})


def test_by_signature_algorithms() -> None:
    """Two certificates for one host: RSA for who knows nothing else, in both versions."""
    store = CredentialStore({kind: ISSUED[kind].credential() for kind in KINDS})
    by_kind = {kind: der(ISSUED[kind]) for kind in KINDS}
    for schemes, kind in {
        ("ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"): "p256",
        ("rsa_pss_rsae_sha256",): "rsa2048",
        ("ed25519", "rsa_pss_rsae_sha256"): "ed25519",
    }.items():
        for version in ("TLSv1.3", "TLSv1.2"):
            policy = Policy.intermediate.replace(versions=(version,), signature_schemes=schemes)
            assert shown(store, policy=policy) == by_kind[kind], (schemes, version)
    rsa_suites = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256")
    assert shown(store, policy=Policy.intermediate.replace(versions=("TLSv1.2",), cipher_suites=rsa_suites)) == by_kind["rsa2048"]
    assert shown(store, policy=Policy.intermediate.replace(cipher_suites=rsa_suites)) == by_kind["rsa2048"]
    apart = CredentialStore({kind: AUTHORITY.issue(f"{kind}.example", key=kind).credential() for kind in KINDS})
    for scheme, kind in {"rsa_pss_rsae_sha256": "rsa2048", "ed25519": "ed25519"}.items():  # for a name that nobody has
        found = apart(hello_of("unknown.example", signature_schemes=(scheme,)))
        assert found is apart.credentials[kind]
    only = CredentialStore({"p384": ISSUED["p384"].credential(), "p256": ISSUED["p256"].credential()})
    with pytest.raises(AlertReceived, match="handshake_failure"):
        client_and_alert(only, policy=Policy(signature_schemes=("ed25519",)))


def client_and_alert(store: CredentialStore, **fields: Any) -> None:
    """A handshake that the server refuses; what the client then raises."""
    client = ClientConnection(client_config(**fields), server_hostname="localhost")
    server = ServerConnection(ServerConfig(select_credential=store))
    with pytest.raises(PeerIncompatible):
        exchange(client, server)
    client.receive_data(server.data_to_send())


def test_by_authorities() -> None:
    other = Authority.create("another CA")
    store = CredentialStore({"one": ISSUED["p256"].credential(), "two": other.issue(*NAMES).credential()})
    config = ClientConfig(trust=other.trust(), session_store=None, send_certificate_authorities=True)
    client, _ = memory_pair(config, ServerConfig(select_credential=store))
    assert client.info.peer_chain == store.credentials["two"].chain
    assert shown(store) == der(ISSUED["p256"])
    theirs = other.issue(*NAMES).credential().limited(must_match_issuer=True)
    strict = CredentialStore({"two": theirs, "one": ISSUED["p256"].credential()})
    assert memory_pair(config, ServerConfig(select_credential=strict))[0].info.peer_chain == theirs.chain
    assert shown(strict) == der(ISSUED["p256"])


def test_by_curve() -> None:
    """Of TLS 1.2's clients, groups are for ECDSA's keys, too (RFC 8422 section 5.3)."""
    store = CredentialStore({"p384": ISSUED["p384"].credential(), "p256": ISSUED["p256"].credential()})
    for version, kind in {"TLSv1.2": "p256", "TLSv1.3": "p384"}.items():
        policy = Policy.intermediate.replace(versions=(version,), groups=("x25519", "secp256r1"))
        assert shown(store, policy=policy) == der(ISSUED[kind])


def test_nothing_for_a_name() -> None:
    store = CredentialStore({"a": AUTHORITY.issue("a.example").credential()}, default=False)
    with pytest.raises(AlertReceived, match="unrecognized_name"):
        client_and_alert(store)
    with_default = ServerConfig(select_credential=store, credentials=(ISSUED["p256"].credential(),))
    client, _ = memory_pair(client_config(), with_default)
    assert client.info.peer_chain[0] == der(ISSUED["p256"])
    empty = CredentialStore()
    assert empty(hello_of("localhost")) is None
    nameless = CredentialStore(
        {"x": Credential.from_cryptography([leaf(ca("r"), names=(), key=some_key()).certificate], some_key())}
    )
    assert nameless(hello_of("localhost")) is nameless.credentials["x"]


def test_put_and_remove() -> None:
    store = CredentialStore()
    store.put("main", ISSUED["p256"].credential())
    store.put("other", AUTHORITY.issue("other.example").credential())
    assert shown(store) == der(ISSUED["p256"])
    store.put("main", ISSUED["ed25519"].credential())
    assert shown(store) == der(ISSUED["ed25519"])
    assert store(hello_of("unknown.example")) is store.credentials["main"]  # it is still the first
    store.remove("main")
    assert store(hello_of("localhost")) is store.credentials["other"]
    with pytest.raises(KeyError):
        store.remove("main")
    assert store._shelf.hosts.keys() == {"other.example"}


def test_thousands_of_hosts() -> None:
    """Finding one takes as long among 20,000 as among 20."""
    credential = ISSUED["p256"].credential()

    def credential_for(name: str) -> Credential:
        made = copy.copy(credential)
        made.names = (name,)
        return made

    def seconds(size: int) -> float:
        store = CredentialStore({str(n): credential_for(f"h{n}.example") for n in range(size)})
        hello = hello_of(f"h{size - 1}.example")
        assert store(hello) is store.credentials[str(size - 1)]

        def once() -> float:
            began = time.perf_counter()
            for _ in range(200):
                store(hello)
            return time.perf_counter() - began

        return min(once() for _ in range(5))

    assert seconds(20_000) < 20 * seconds(20)


# files that change ----------------------------------------------------------------------------------------------------------


def test_a_new_pair_is_taken(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    store = CredentialStore.watch(pair.both, interval=0)
    assert shown(store) == der(ISSUED["p256"])
    with caplog.at_level(logging.INFO, "minitls"):
        pair.write(ISSUED["ed25519"])
        assert shown(store) == der(ISSUED["ed25519"])
        assert shown(store) == der(ISSUED["ed25519"])
    assert store.last_error is None
    assert [record.message.partition(",")[0] for record in caplog.records] == [f"{pair.cert}: a new certificate"]


def test_any_form_is_watched(tmp_path: Path) -> None:
    """A PKCS#12 file with a password, one file for both, and DER."""
    forms_of = {kind: forms(kind) for kind in ("p256", "rsa2048")}
    for form in ("PKCS#12, locked", "PEM in one", "DER, locked"):
        cert, key = tmp_path / "cert", tmp_path / "key"
        for kind in ("p256", "rsa2048"):
            data, key_data, password = forms_of[kind][form]
            write(cert, data)
            write(key, key_data or b"")
            if kind == "p256":
                store = CredentialStore.watch(CredentialFiles(cert, key if key_data else None, password), interval=0)
                assert "secret" not in repr(CredentialFiles(cert, password="secret"))
            assert shown(store) == der(ISSUED[kind])
    both = tmp_path / "both.pem"
    both.write_bytes(ISSUED["p256"].chain_pem() + ISSUED["p256"].key_pem())
    assert shown(CredentialStore.watch(str(both))) == der(ISSUED["p256"])


def test_new_names_are_found(tmp_path: Path) -> None:
    """What a new certificate is for is known at once, and what it is no longer for is forgotten."""
    first, second = (Pair(tmp_path, AUTHORITY.issue(f"{stem}.example"), stem) for stem in ("a", "b"))
    store = CredentialStore.watch(first.both, second.both, interval=0, default=False)
    second.write(AUTHORITY.issue("new.example", "*.b.example"))
    for name, found in {"a.example": True, "new.example": True, "x.b.example": True, "b.example": False}.items():
        assert (store(hello_of(name)) is not None) is found, name
    assert store._shelf.hosts.keys() == {"a.example", "new.example", "*.b.example"}


BAD_PAIRS: dict[str, Callable[[Pair], object]] = {
    "another's key": lambda pair: write(pair.key, AUTHORITY.issue("localhost").key_pem()),
    "half a certificate": lambda pair: pair.cert.write_bytes(ISSUED["ed25519"].chain_pem()[:200]),
    "half a chain": lambda pair: write(pair.cert, ISSUED["ed25519"].chain_pem()[:-200]),
    "half a key": lambda pair: pair.key.write_bytes(ISSUED["p256"].key_pem()[:100]),
    "empty": lambda pair: pair.cert.write_bytes(b""),
    "the leaf alone": lambda pair: write(pair.cert, ISSUED["p256"].chain_pem().partition(END)[0] + END),
    "only the certificate so far": lambda pair: write(pair.cert, ISSUED["ed25519"].chain_pem()),
    "only the key so far": lambda pair: write(pair.key, ISSUED["ed25519"].key_pem()),
    "gone": lambda pair: pair.cert.unlink(),
    "the key is gone": lambda pair: pair.key.unlink(),
    "a folder": lambda pair: make_folder(pair.key),
    "too long": lambda pair: pair.cert.write_bytes(ISSUED["ed25519"].chain_pem() + bytes(SIZE_LIMIT)),
    "encrypted": lambda pair: write(
        pair.key, ISSUED["p256"].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    ),
    "a key that cannot sign": lambda pair: Pair.write(pair, odd()),
    "expired": lambda pair: pair.write(AUTHORITY.issue(*NAMES, valid_from=NOW - 9 * DAY, valid_until=NOW - DAY)),
    "not valid yet": lambda pair: pair.write(AUTHORITY.issue(*NAMES, valid_from=NOW + DAY, valid_until=NOW + 9 * DAY)),
}


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def odd() -> Issued:
    made = leaf(ca("root"), key=some_key("p224"))
    return Issued((made.certificate,), made.key)


@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_a_bad_pair_is_refused(bad: str, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """The old one stays, it is said once what is wrong, and the next good pair is taken."""
    told: list[tuple[str, Misuse]] = []
    store = CredentialStore.watch(pair.both, interval=0, on_problem=lambda label, problem: told.append((label, problem)))
    BAD_PAIRS[bad](pair)
    for _ in range(3):
        assert shown(store) == der(ISSUED["p256"])
    assert [label for label, _ in told] == [str(pair.cert)]
    assert [record.message for record in caplog.records] == [str(problem) for _, problem in told]
    error = told[0][1]
    assert store.last_error is error
    assert store.problems == {str(pair.cert): error}
    assert str(error).endswith("the old certificate stays")
    assert "\n" not in str(error)
    assert now_and(store) == str(error)
    assert len(told) == 1, "a reload that finds the same raises it, and says it to nobody else"
    if pair.key.is_dir():
        pair.key.rmdir()
    pair.write(ISSUED["rsa2048"])
    assert shown(store) == der(ISSUED["rsa2048"])
    assert store.last_error is None
    assert now_and(store) == ""


def test_the_old_pair_may_come_back(pair: Pair) -> None:
    store = CredentialStore.watch(pair.both, interval=0)
    write(pair.key, ISSUED["ed25519"].key_pem())
    assert shown(store) == der(ISSUED["p256"])
    assert store.last_error is not None
    write(pair.key, ISSUED["p256"].key_pem())
    assert shown(store) == der(ISSUED["p256"])
    assert store.last_error is None


def test_to_begin_with_all_must_be_good(pair: Pair) -> None:
    with pytest.raises(FileNotFoundError):
        CredentialStore.watch((pair.cert, pair.key.with_name("missing")))
    with pytest.raises(Misuse, match="given twice"):
        CredentialStore.watch(pair.both, pair.both)
    pair.key.write_bytes(b"")
    with pytest.raises(Misuse, match=r"holds no private key"):
        CredentialStore.watch(pair.both)
    store = CredentialStore({"a": ISSUED["p256"].credential()})
    with pytest.raises(Misuse):
        store.put("a", pair.both)
    assert shown(store) == der(ISSUED["p256"])


class Clock:
    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


def test_dates(pair: Pair) -> None:
    """What is not valid yet is taken when it is, though its file is the same; what has expired, when the old one has, too."""
    clock = Clock()
    store = CredentialStore.watch(pair.both, interval=0, clock=clock)
    coming = AUTHORITY.issue(*NAMES, valid_from=NOW + DAY, valid_until=NOW + 9 * DAY)
    pair.write(coming)
    assert store(hello_of(None)).leaf == ISSUED["p256"].chain[0]  # type: ignore[union-attr]
    assert "is valid only from" in str(store.last_error)
    clock.now += DAY.total_seconds() + 1
    assert store(hello_of(None)).leaf == coming.chain[0]  # type: ignore[union-attr]
    assert store.last_error is None
    expired = AUTHORITY.issue(*NAMES, valid_from=NOW - 9 * DAY, valid_until=NOW - DAY)
    pair.write(expired)
    assert store(hello_of(None)).leaf == coming.chain[0]  # type: ignore[union-attr]
    assert "expired on" in str(store.last_error)
    at_first = CredentialStore.watch(pair.both, interval=0, clock=clock)
    assert at_first(hello_of(None)).leaf == expired.chain[0]  # type: ignore[union-attr]  # for want of another
    assert "expired on" in str(at_first.last_error)
    other = AUTHORITY.issue(*NAMES, valid_from=NOW - 9 * DAY, valid_until=NOW - DAY / 2)
    pair.write(other)
    assert at_first(hello_of(None)).leaf == other.chain[0]  # type: ignore[union-attr]


def test_looks_are_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks nothing is touched; a look reads nothing that has not changed; reading the same again parses nothing."""
    pair = Pair(tmp_path, ISSUED["p256"])
    for path in pair.both:
        os.utime(path, (1, 1))
    monkeypatch.setattr("minitls.certificates.watch.COARSE", -math.inf)
    counts = {"stat": 0, "read": 0, "parse": 0}

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any, **how: Any) -> Any:
            counts[name] += 1
            return function(*args, **how)

        return call

    monkeypatch.setattr(watch, "_stats", counted("stat", watch._stats))
    monkeypatch.setattr(watch, "_read", counted("read", watch._read))
    monkeypatch.setattr(Credential, "from_bytes", counted("parse", Credential.from_bytes))
    rarely, hello = CredentialStore.watch(pair.both, interval=3600), hello_of("localhost")
    for _ in range(100):
        rarely(hello)
    assert counts == {"stat": 1, "read": 2, "parse": 1}
    often = CredentialStore.watch(pair.both, interval=0)
    for _ in range(100):
        often(hello)
    assert counts["stat"] > 100
    assert (counts["read"], counts["parse"]) == (4, 2)
    os.utime(pair.cert)
    often(hello)
    assert (counts["read"], counts["parse"]) == (6, 2)
    often.reload()
    assert (counts["read"], counts["parse"]) == (8, 2)


def test_a_change_within_a_tick_of_the_clock(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file, of the same size, at the same time by a coarse clock: seen when it is no longer recent."""
    clock = Clock()
    clock.now = time.time()
    identity = [(int(clock.now * 1e9), int(clock.now * 1e9), 100, 1, 1)] * 2
    monkeypatch.setattr("minitls.certificates.watch._stats", lambda paths: list(identity))
    store = CredentialStore.watch(pair.both, interval=0, clock=clock)
    pair.write(ISSUED["ed25519"])
    assert shown(store) == der(ISSUED["p256"])
    clock.now += 2.5
    assert shown(store) == der(ISSUED["ed25519"])
    pair.write(ISSUED["p256"])
    clock.now += 1000
    assert shown(store) == der(ISSUED["ed25519"]), "what looks the same and is old is not read"
    assert now_and(store) == ""
    assert shown(store) == der(ISSUED["p256"]), "but by reload()"


def test_a_file_that_cannot_be_read_for_a_while(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks the same when it can be read again."""
    clock, read, told = Clock(), watch._read, list[str]()
    clock.now = time.time()
    store = CredentialStore.watch(pair.both, interval=0, clock=clock, on_problem=lambda label, problem: told.append(str(problem)))

    def fail(path: Any) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(watch, "_read", fail)
    pair.write(ISSUED["ed25519"])
    clock.now += 1000
    for _ in range(3):
        assert shown(store) == der(ISSUED["p256"])
        clock.now += 3
    assert told == [f"cannot read {pair.cert}, Too many open files: the old certificate stays"]
    monkeypatch.setattr(watch, "_read", read)
    assert shown(store) == der(ISSUED["ed25519"])
    assert store.last_error is None


def test_what_can_be_read_only_once(tmp_path: Path) -> None:
    """``--cert <(...)``: a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = ISSUED["p256"].chain_pem() + ISSUED["p256"].key_pem()
    writer = threading.Thread(target=lambda: pipe.write_bytes(data))
    writer.start()
    store = CredentialStore.watch(pipe, interval=0)
    writer.join()
    assert shown(store) == der(ISSUED["p256"])
    assert now_and(store) == ""


def test_links(tmp_path: Path) -> None:
    """As Kubernetes does it: the files are links through a link to a folder, which is replaced."""
    for kind in ("p256", "ed25519"):
        (tmp_path / kind).mkdir()
        Pair(tmp_path / kind, ISSUED[kind])
    data = tmp_path / "data"
    data.symlink_to("p256")
    (tmp_path / "server.pem").symlink_to("data/server.pem")
    (tmp_path / "server.key").symlink_to("data/server.key")
    store = CredentialStore.watch((tmp_path / "server.pem", tmp_path / "server.key"), interval=0)
    assert shown(store) == der(ISSUED["p256"])
    (tmp_path / "data.new").symlink_to("ed25519")
    (tmp_path / "data.new").replace(data)
    assert shown(store) == der(ISSUED["ed25519"])


def test_many_files_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hello looks at its own host's files, and at some others'; after enough hellos all were looked at."""
    issued = AUTHORITY.issue("h.example")
    stems = [f"h{number}" for number in range(50)]
    for stem in stems:
        Pair(tmp_path, issued, stem)
    own = Pair(tmp_path, ISSUED["p256"], "own")
    monkeypatch.setattr("minitls.certificates.store.BUDGET", -1.0)
    store = CredentialStore.watch(*((tmp_path / f"{s}.pem", tmp_path / f"{s}.key") for s in stems), own.both, interval=0)
    own.write(ISSUED["ed25519"])
    Pair(tmp_path, AUTHORITY.issue("late.example"), stems[40])
    assert store(hello_of("localhost")).leaf == ISSUED["ed25519"].chain[0]  # type: ignore[union-attr]
    hello, tries = hello_of("late.example"), 0
    while store(hello).names != ("late.example",):  # type: ignore[union-attr]
        tries += 1
    assert 30 < tries < 51


def test_reload_says_all(tmp_path: Path) -> None:
    pairs = [Pair(tmp_path, AUTHORITY.issue(f"{stem}.example"), stem) for stem in "abc"]
    store = CredentialStore.watch(*(pair.both for pair in pairs), interval=math.inf)
    for pair in pairs[:2]:
        pair.key.write_bytes(b"")
    new = AUTHORITY.issue("c.example")
    pairs[2].write(new)
    assert store(hello_of("c.example")).leaf != new.chain[0]  # type: ignore[union-attr]
    assert now_and(store).endswith("the old certificate stays (and 1 more)")
    assert store(hello_of("c.example")).leaf == new.chain[0]  # type: ignore[union-attr]
    assert len(store.problems) == 2


def test_a_callback_that_fails(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    def fail(label: str, problem: Misuse) -> None:
        raise RuntimeError("oh")

    store = CredentialStore.watch(pair.both, interval=0, on_problem=fail)
    pair.key.write_bytes(b"")
    assert shown(store) == der(ISSUED["p256"])
    assert caplog.records[-1].exc_info is not None


# staples --------------------------------------------------------------------------------------------------------------------


def response(issued: Issued, until: datetime.datetime | None = NOW + DAY) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        issued.chain[0], AUTHORITY.chain[0], hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, NOW - 2 * DAY, until, None, None
    )
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, AUTHORITY.chain[0]).sign(AUTHORITY._key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def stapled(store: CredentialStore) -> bytes:
    found = store(hello_of("localhost"))
    assert found is not None
    return found.ocsp_response


def test_staples(pair: Pair, tmp_path: Path) -> None:
    """What is there, about this certificate and not out of date, is stapled; what is not, is a problem and no reason to stop."""
    file, clock = tmp_path / "ocsp.der", Clock()
    store = CredentialStore.watch(CredentialFiles(*pair.both, ocsp=file), interval=0, clock=clock)
    assert stapled(store) == b""
    assert str(store.last_error) == f"the OCSP response in {file} is missing, or cannot be read: nothing is stapled"
    good = response(ISSUED["p256"])
    for data, says in {
        good: None,
        b"nonsense": "cannot be read",
        response(ISSUED["ed25519"]): "is another certificate's",
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER): "try_later",
        response(ISSUED["p256"], NOW - DAY): "is out of date since",
        response(ISSUED["p256"], None): None,
    }.items():
        write(file, data)
        assert stapled(store) == (b"" if says else data), says
        assert (says or "None") in str(store.last_error)
    write(file, good)
    client, _ = memory_pair(client_config(request_staples=True), ServerConfig(select_credential=store))
    assert client.info.ocsp_response == good
    pair.write(ISSUED["ed25519"])
    assert stapled(store) == b"", "the new certificate comes without the old one's"
    assert shown(store) == der(ISSUED["ed25519"])
    write(file, response(ISSUED["ed25519"]))
    assert stapled(store) != b""
    clock.now += DAY.total_seconds() + 1
    assert stapled(store) == b"", "it is out of date by now"
    assert "is out of date" in str(store.last_error)
    write(file, response(ISSUED["ed25519"], NOW + 3 * DAY))
    assert stapled(store) != b""
    assert store.last_error is None


def test_must_staple(pair: Pair, tmp_path: Path) -> None:
    """A certificate that wants a staple (RFC 7633) does not replace another before there is one."""
    must = x509.TLSFeature([x509.TLSFeatureType.status_request])
    made = leaf(Made(AUTHORITY.chain[0], AUTHORITY._key), names=NAMES, extra=((must, False),))
    issued, file = Issued((made.certificate, *ISSUED["p256"].chain[1:]), made.key), tmp_path / "ocsp.der"
    file.write_bytes(response(ISSUED["p256"]))
    store = CredentialStore.watch(CredentialFiles(*pair.both, ocsp=file), interval=0)
    pair.write(issued)
    assert shown(store) == der(ISSUED["p256"])
    assert stapled(store) != b""
    assert "must be stapled: the old certificate stays" in str(store.last_error)
    write(file, response(issued))
    assert shown(store) == der(issued)
    assert stapled(store) == file.read_bytes()


# under load -----------------------------------------------------------------------------------------------------------------

SWAPS = 1000


def steps(store: CredentialStore, clients: Sequence[ClientConfig]) -> Iterator[bytes]:
    """Handshakes one after another, which stop after each flight; gives the leaf at the end of each, and b"" before."""
    number = 0
    while True:
        client = ClientConnection(clients[number % len(clients)], server_hostname="localhost")
        server = ServerConnection(ServerConfig(select_credential=store))
        number += 1
        while not (client.handshake_completed and server.handshake_completed):
            server.receive_data(client.data_to_send())
            yield b""
            client.receive_data(server.data_to_send())
            yield b""
        yield client.info.peer_chain[0]


def test_swaps_fail_no_handshake(tmp_path: Path) -> None:
    """1,000 swaps, in all the ways in which programs write files, and a step of some handshake between any two of them."""
    issued = [AUTHORITY.issue(*NAMES, key=kind) for kind in (*KINDS, "p256", "p256")]
    pair, chooser = Pair(tmp_path, issued[0]), random.Random(9)
    store = CredentialStore.watch(pair.both, interval=0)
    versions = [client_config(policy=Policy.intermediate.replace(versions=(v,))) for v in ("TLSv1.3", "TLSv1.2")]
    running = [steps(store, versions) for _ in range(5)]
    seen: list[bytes] = []

    def go_on() -> None:
        if leaf := next(chooser.choice(running)):
            seen.append(leaf)

    for number in range(SWAPS):
        new = issued[(number + 1) % len(issued)]
        files = [(pair.cert, new.chain_pem()), (pair.key, new.key_pem())]
        for path, data in chooser.sample(files, 2):
            if number % 3:
                write(path, data)
            else:  # in place, slowly
                with open(path, "wb") as file:
                    cut = chooser.choice((100, data.find(END) + len(END)))
                    for part in (data[:cut], data[cut:]):
                        file.write(part)
                        file.flush()
                        go_on()
            go_on()
        store.reload()
        assert store.credentials[str(pair.cert)].leaf == new.chain[0]
        go_on()
    assert len(seen) > SWAPS / 2
    assert set(seen) == {der(each) for each in issued}
    assert store.last_error is None


async def test_swaps_over_sockets(tmp_path: Path) -> None:
    """Connections at the same time, and a writer in a thread that knows nothing of them."""
    issued = [AUTHORITY.issue(*NAMES, key=kind) for kind in ("p256", "ed25519", "p384")]
    pair, seen, failed = Pair(tmp_path, issued[0]), set[bytes](), list[BaseException]()
    store = CredentialStore.watch(pair.both, interval=0)
    done = threading.Event()
    written = 0

    def swap() -> None:
        nonlocal written
        while not done.is_set() or written < 50:
            pair.write(issued[written % 3])
            written += 1
            time.sleep(0.002)

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def visit(port: int) -> None:
        reader, writer = await minitls.open_connection("127.0.0.1", port, config=client_config(), server_hostname="localhost")
        assert await reader.read() == b"hello"
        seen.add(writer.get_extra_info("tls").peer_chain[0])
        writer.close()
        await writer.wait_closed()

    config = ServerConfig(select_credential=store)
    server = await minitls.start_server(hello, "127.0.0.1", 0, config=config, handshake_failed=lambda e, _: failed.append(e))
    port = server.sockets[0].getsockname()[1]
    swapping = asyncio.get_running_loop().run_in_executor(None, swap)
    try:
        async with server:
            for _ in range(25):
                await asyncio.gather(*(visit(port) for _ in range(8)))
    finally:
        done.set()
        await swapping
    assert failed == []
    assert seen == {der(each) for each in issued}
    store.reload()


def test_threads(tmp_path: Path) -> None:
    """Each with its own handshakes, while another writes, puts and removes."""
    pair = Pair(tmp_path, ISSUED["p256"])
    store = CredentialStore.watch(pair.both, interval=0)
    done, failed = threading.Event(), list[BaseException]()

    def visit() -> None:
        try:
            while not done.is_set():
                assert shown(store) in {der(each) for each in ISSUED.values()}
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(60):
            pair.write(ISSUED[KINDS[number % 4]])
            store.put("other", ISSUED[KINDS[number % 3]].credential())
            time.sleep(0.005)
            store.remove("other")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []
    store.reload()
    assert len(store) == 1


def test_a_look_at_another_thread_does_not_wait(pair: Pair) -> None:
    store = CredentialStore.watch(pair.both, interval=0)
    with store._lock:
        assert shown(store) == der(ISSUED["p256"])


def test_what_is_not_looked_at_yet() -> None:
    files = CredentialFiles.of("a.pem")
    assert (files.cert, files.key) == ("a.pem", None)
    assert CredentialFiles.of(files) is files
    with pytest.raises(FileNotFoundError):
        Watched(CredentialFiles("/nowhere/a.pem"), time.time).load()
