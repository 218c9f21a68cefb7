"""Trust stores: where they come from, what they remember, and what a stranger cannot make them do."""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from minitls.certificates import path, trust, verify
from minitls.certificates.constraints import MAX_COMPARISONS
from minitls.certificates.faults import PARSE_ERRORS, read_der
from minitls.certificates.path import MAX_SIGNATURES
from minitls.certificates.trust import CACHED_VERDICTS, TrustStore
from minitls.certificates.verify import accepted, as_der
from minitls.errors import Alert, CertificateError, Misuse
from minitls.wire.numbers import SignatureScheme
from tests.chains import CLIENT, DAY, HOST, NOW, SERVER, Made, ca, huge_rsa, key, leaf, openssl_verify


def store_of(*made: Made) -> TrustStore:
    return TrustStore.from_certificates(each.certificate for each in made)


def pem(*made: Made) -> bytes:
    return b"".join(each.certificate.public_bytes(Encoding.PEM) for each in made)


# where they come from -----------------------------------------------------------------------------------------------------


def test_sources(tmp_path: Path) -> None:
    """Memory, files and objects: the same certificates, each once, whatever stands around them."""
    a, b = ca("a"), ca("b")
    expected = (a.certificate, b.certificate)
    (tmp_path / "a.pem").write_bytes(b"# a comment\n" + pem(a))
    (tmp_path / "b.pem").write_bytes(pem(b, a))
    for store in (
        TrustStore.from_pem(pem(a, b, a)),
        TrustStore.from_files(tmp_path / "a.pem", str(tmp_path / "b.pem")),
        TrustStore.from_certificates(iter(expected)),
    ):
        assert store.anchors.certificates == expected
        assert set(store.subjects) == {each.subject.public_bytes() for each in expected}
        assert "2 certificates" in repr(store)


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    damaged = pem(ca("a")).replace(b"MII", b"MIJ", 1)
    with pytest.raises(Misuse, match=re.escape(str(tmp_path / "empty"))):
        TrustStore.from_files(tmp_path / "empty")
    with pytest.raises(Misuse, match="holds no certificate"):
        TrustStore.from_pem(damaged)
    with pytest.raises(FileNotFoundError):
        TrustStore.from_files(tmp_path / "missing")


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A system without certificates: an empty folder, for this test to put them there."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    nowhere = ssl.DefaultVerifyPaths(None, None, "", str(tmp_path / "x"), "", str(tmp_path / "x"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    monkeypatch.setattr(trust, "BUNDLES", (str(tmp_path / "bundle.crt"), str(tmp_path / "other.crt")))
    TrustStore._system.cache_clear()
    yield tmp_path
    TrustStore._system.cache_clear()


def test_system_without_certificates(no_system: Path) -> None:
    """The sentence says where was looked, and what to do; and a store that comes later is found."""
    a = ca("a")
    store = TrustStore.system()
    for _ in range(2):
        with pytest.raises(CertificateError, match="no certificates to trust") as caught:
            store.verify([leaf(a).der], HOST)
        assert caught.value.reason == "no_trust_store"
        assert "bundle.crt" in caught.value.message
        assert "ca-certificates" in caught.value.remedy
    (no_system / "other.crt").write_bytes(pem(a))
    assert store.anchors.certificates == (a.certificate,)


def test_windows(no_system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its roots are in no file: those for servers are taken, and what cannot be read is left."""
    server, client, any_use = ca("a"), ca("b"), ca("c")
    roots = [
        (server.der, "x509_asn", {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}),
        (client.der, "x509_asn", {"1.3.6.1.5.5.7.3.2"}),
        (any_use.der, "x509_asn", True),
        (ca("d").der, "pkcs_7_asn", True),
        (b"damaged", "x509_asn", True),
    ]
    monkeypatch.setattr(ssl, "enum_certificates", lambda store: roots if store == "ROOT" else [], raising=False)
    assert TrustStore.system().anchors.certificates == (server.certificate, any_use.certificate)


def test_system_bundle(no_system: Path) -> None:
    """The first bundle that there is; read once, shared, and not confused by an odd entry."""
    a, b = ca("a"), ca("b")
    (no_system / "bundle.crt").write_bytes(pem(a) + pem(b).replace(b"MII", b"MIJ", 1) + b"-----END CERTIFICATE-----\n" + pem(b))
    (no_system / "other.crt").write_bytes(pem(ca("c")))
    assert TrustStore.system() is TrustStore.system()
    assert TrustStore.system().anchors.certificates == (a.certificate, b.certificate)


def test_environment(no_system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR stand for the system's, and what they name is all that is believed."""
    a, b, c, d = (ca(name) for name in "abcd")
    (no_system / "bundle.crt").write_bytes(pem(a))
    (no_system / "mine.pem").write_bytes(pem(b))
    for folder, made in (("one", c), ("two", d)):
        (no_system / folder / "sub").mkdir(parents=True)
        (no_system / folder / "0123abcd.0").write_bytes(pem(made))
        (no_system / folder / "notes.txt").write_text("no certificate")

    def believed(**environment: str) -> set[str]:
        with monkeypatch.context() as context:
            for variable, value in environment.items():
                context.setenv(variable, value)
            return {each.subject.rfc4514_string()[3:] for each in TrustStore.system().anchors.certificates}

    mine, one, two = str(no_system / "mine.pem"), str(no_system / "one"), str(no_system / "two")
    assert believed() == {"a"}
    assert believed(SSL_CERT_FILE=mine) == {"b"}
    assert believed(SSL_CERT_DIR=one) == {"c"}
    assert believed(SSL_CERT_DIR=f"{one}:{two}") == {"c", "d"}
    assert believed(SSL_CERT_FILE=mine, SSL_CERT_DIR=two) == {"b", "d"}
    assert believed(SSL_CERT_FILE="", SSL_CERT_DIR="") == {"a"}
    for environment in ({"SSL_CERT_FILE": "/no/file"}, {"SSL_CERT_DIR": "/no/folder"}):
        with pytest.raises(CertificateError, match="/no/"):
            believed(**environment)


def test_this_system() -> None:
    """Where there is a store, all of it can be read: as many certificates as its bundle has, and one verification is quick."""
    bundle = next((Path(name) for name in trust.BUNDLES if Path(name).is_file()), None)
    if bundle is None:
        pytest.skip("this system has no bundle of certificates")
    TrustStore._system.cache_clear()
    store = TrustStore._system(str(bundle), None)
    assert len(store.anchors.certificates) == len(set(re.findall(rb"-----BEGIN CERT[^-]*-----[^-]*", bundle.read_bytes())))
    with pytest.raises(CertificateError) as caught:
        store.verify([leaf(ca("a")).der], HOST)
    assert caught.value.reason == "unknown_ca"


# what they remember -------------------------------------------------------------------------------------------------------


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with each verification that is not answered from memory."""
    seen: list[object] = []

    def counted(*args: Any, **kw: Any) -> Any:
        seen.append(args)
        return verify.verify_chain(*args, **kw)

    monkeypatch.setattr(trust, "verify_chain", counted)
    return seen


def test_verdicts_are_remembered(verifications: list[object]) -> None:
    root = ca("root")
    made = leaf(root, names=(HOST, "b.example"), purposes=[SERVER])
    store = store_of(root)
    found = store.verify([made.der], HOST)
    assert store.verify([made.certificate], HOST.upper() + ".") == found == [made.certificate, root.certificate]
    assert len(verifications) == 1
    found.clear()  # what the caller does to it does not matter
    assert len(store.verify([made.der], HOST)) == 2
    assert len(verifications) == 1
    store.verify([made.der], "b.example")
    assert len(verifications) == 2
    store_of(root).verify([made.der], HOST)
    assert len(verifications) == 3


def test_what_is_remembered_is_not_mixed_up() -> None:
    """Not between names, roles, stores, or chains that only look alike."""
    root, middle_root = ca("root"), ca("other")
    made = leaf(root, purposes=[SERVER])
    store = store_of(root)
    store.verify([made.der], HOST)
    store.verify([made.der], None)
    for refused in (
        lambda: store.verify([made.der], "b.example"),
        lambda: store.verify_client([made.der]),
        lambda: store_of(middle_root).verify([made.der], HOST),
        lambda: store.verify([made.der[:-1]], HOST),
        lambda: store.verify([made.der[:100], made.der[100:]], HOST),
    ):
        with pytest.raises(CertificateError):
            refused()
    client = leaf(root, purposes=[CLIENT])
    store.verify_client([client.der])
    with pytest.raises(CertificateError, match="not for TLS servers"):
        store.verify([client.der], None)


def test_time_is_checked_each_time(verifications: list[object]) -> None:
    """Of every certificate in the path, not only of the leaf."""
    root = ca("root")
    middle = ca("middle", root, begin=NOW - DAY, end=NOW + DAY)
    made = leaf(middle, end=NOW + 9 * DAY)
    store = store_of(root)
    chain = [made.der, middle.der]
    for at, reason in (
        (NOW, ""),
        (NOW + DAY, ""),
        (NOW + 2 * DAY, "expired"),
        (NOW, ""),
        (NOW - 2 * DAY, "not_yet_valid"),
        (NOW - DAY, ""),
    ):
        if not reason:
            assert len(store.verify(chain, HOST, at)) == 3
            continue
        with pytest.raises(CertificateError) as caught:
            store.verify(chain, HOST, at)
        assert caught.value.reason == reason
    assert len(verifications) == 3


def test_a_known_ca_is_judged_with_each_leaf() -> None:
    """That a CA's signature was good, by whose key, is remembered; that it is valid, and may vouch for this leaf, is not."""
    root = ca("root")
    middle = ca("middle", root, begin=NOW - DAY, end=NOW + DAY, excluded=["x.example"])
    store = store_of(root)

    def reason(names: tuple[str, ...] = (HOST,), at: datetime = NOW, store: TrustStore = store) -> str:
        """Of a leaf that nobody has seen, by the same CA."""
        made = leaf(middle, names=names)
        try:
            assert len(store.verify([made.der, middle.der], names[0], at)) == 3
        except CertificateError as error:
            return error.reason
        return ""

    assert reason() == ""
    assert reason(at=NOW + 2 * DAY) == "expired"
    assert reason(at=NOW - 2 * DAY) == "not_yet_valid"
    assert reason(names=("a.x.example",)) == "name_constraints"
    assert reason(store=store_of(ca("root"))) == "unknown_ca"  # another key, and its identifier
    assert reason(store=store_of(ca("root", identifiers=False))) == "bad_signature"
    assert reason() == ""
    changed = leaf(middle)
    der = changed.der[:-1] + bytes([changed.der[-1] ^ 1])
    with pytest.raises(CertificateError) as caught:
        store.verify([der, middle.der], HOST)
    assert caught.value.reason == "bad_signature"


def test_a_path_that_was_changed_tells_what_is_in_it() -> None:
    """It is the application's list."""
    root, other = ca("root"), ca("other")
    found = store_of(root).verify([leaf(root).der], HOST)
    assert accepted(found, tuple(SignatureScheme)) == tuple(as_der(found))
    found.append(other.certificate)
    assert accepted(found, tuple(SignatureScheme)) == (*as_der(found[:2]), other.der)


def test_time_without_a_zone() -> None:
    root = ca("root")
    with pytest.raises(Misuse, match="time zone"):
        store_of(root).verify([leaf(root).der], HOST, datetime(2030, 1, 1))


def test_refusals_are_not_remembered(verifications: list[object]) -> None:
    root = ca("root")
    for _ in range(2):
        with pytest.raises(CertificateError):
            store_of(root).verify([leaf(root).der], "b.example")
    assert len(verifications) == 2


def test_memory_is_bounded() -> None:
    root = ca("root")
    made = leaf(root, names=("*.host.example",))
    store = store_of(root)
    for number in range(CACHED_VERDICTS + 10):
        store.verify([made.der], f"h{number}.host.example")
    assert len(store._verdicts) == CACHED_VERDICTS


def test_threads() -> None:
    """Eight threads, one store, and more names than it remembers."""
    root = ca("root")
    made = leaf(root, names=("*.host.example",))
    store = store_of(root)
    failures: list[Exception] = []

    def many(seed: int) -> None:
        chooser = random.Random(seed)
        try:
            for _ in range(150):
                name = f"h{chooser.randrange(2 * CACHED_VERDICTS)}.host.example"
                assert store.verify([made.der], name)[0] == made.certificate
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=many, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store._verdicts) <= CACHED_VERDICTS


# what a stranger cannot make them do --------------------------------------------------------------------------------------


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with each signature that our path builder checks."""
    seen: list[object] = []
    check = path.check_signed_by

    def counted(*args: Any) -> None:
        seen.append(args)
        check(*args)

    monkeypatch.setattr(path, "check_signed_by", counted)
    return seen


def circle(names: int, each: int) -> list[Made]:
    """CAs that all vouch for each other, each name several times: there are some 9! paths, and none has an end."""
    keys = [key("p256") for _ in range(names)]
    holders = [ca(f"ca {number}", key=keys[number]) for number in range(names)]
    made = [
        ca(f"ca {number}", holders[(number + step) % names], key=keys[number])
        for number in range(names)
        for step in range(1, each + 1)
    ]
    return [leaf(holders[0]), *made[:9]]


@pytest.mark.parametrize(("names", "each"), [(1, 9), (3, 3), (9, 1), (2, 4)])
@pytest.mark.parametrize("believed", [True, False], ids=["somebody-trusted", "nobody-trusted"])
def test_cross_signing_in_circles(names: int, each: int, believed: bool, signatures: list[object]) -> None:
    chain = circle(names, each)
    store = store_of(ca("root")) if believed else store_of()
    began = time.process_time()
    with pytest.raises(CertificateError) as caught:
        store.verify([made.der for made in chain], HOST)
    assert time.process_time() - began < 1
    assert len(signatures) <= MAX_SIGNATURES
    assert caught.value.reason in ("too_complex", "unknown_ca", "self_signed_in_chain", "chain_too_long")
    assert caught.value.alert in (Alert.unknown_ca, Alert.bad_certificate)


def test_signatures_are_counted_also_when_they_are_bad(signatures: list[object]) -> None:
    """A hundred trusted CAs of one name, and none of them signed it."""
    roots = [ca("root", identifiers=False) for _ in range(MAX_SIGNATURES + 20)]
    made = leaf(ca("root", identifiers=False), identifiers=False)
    with pytest.raises(CertificateError, match=f"more than {MAX_SIGNATURES} signatures") as caught:
        store_of(*roots).verify([made.der], HOST)
    assert caught.value.reason == "too_complex"
    assert len(signatures) == MAX_SIGNATURES


def test_a_key_that_is_too_long_checks_no_signature(signatures: list[object]) -> None:
    """RSA-16384 in all nine intermediates; the trusted store cannot be had to use one of them."""
    root = ca("root")
    middle = [ca("middle", root, key=huge_rsa(16384), identifiers=False) for _ in range(9)]
    made = leaf(Made(middle[0].certificate, key("rsa2048")), identifiers=False)
    began = time.process_time()
    with pytest.raises(CertificateError, match="too long") as caught:
        store_of(root).verify([made.der, *(each.der for each in middle)], HOST)
    assert time.process_time() - began < 0.5
    assert caught.value.verify_code == 67
    assert signatures == []


def test_too_many_constrained_names() -> None:
    count = int(MAX_COMPARISONS**0.5) + 10
    root = ca("root", excluded=[f"x{number}.example" for number in range(count)])
    made = leaf(root, names=[HOST, *(f"y{number}.example" for number in range(count))])
    began = time.process_time()
    with pytest.raises(CertificateError, match="names to compare") as caught:
        store_of(root).verify([made.der], None)
    assert time.process_time() - began < 2
    assert caught.value.reason == "too_complex"


def test_a_chain_of_10000(signatures: list[object]) -> None:
    root = ca("root")
    made = leaf(root)
    began = time.process_time()
    with pytest.raises(CertificateError, match="10000 certificates are too many: 10 at most") as caught:
        store_of(root).verify([made.der] * 10_000, HOST)
    assert time.process_time() - began < 0.5
    assert (caught.value.reason, caught.value.alert) == ("chain_too_long", Alert.bad_certificate)
    assert signatures == []


def test_no_chain() -> None:
    with pytest.raises(CertificateError) as caught:
        store_of(ca("root")).verify([], HOST)
    assert (caught.value.reason, caught.value.alert) == ("no_certificate", Alert.bad_certificate)


# damaged DER ----------------------------------------------------------------------------------------------------------------


def _mutations(der: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Bits flipped, bytes changed, pieces left out, doubled or swapped."""
    chooser = random.Random(seed)
    for _ in range(count):
        data = bytearray(der)
        for _ in range(chooser.choice((1, 1, 1, 2, 5))):
            place = chooser.randrange(len(data))
            length = chooser.choice((1, 1, 2, 8))
            match chooser.randrange(5):
                case 0:
                    data[place] ^= 1 << chooser.randrange(8)
                case 1:
                    data[place] = chooser.choice((0, 1, 0x7F, 0x80, 0x81, 0xFF, 0x30, 0x05, chooser.randrange(256)))
                case 2:
                    del data[place : place + length]
                case 3:
                    data[place:place] = data[place : place + length]
                case 4:
                    data[place : place + length] = chooser.randbytes(length)
            if not data:
                data = bytearray(der)
        yield bytes(data)


@pytest.fixture(scope="module")
def long_chain() -> tuple[Made, list[Made]]:
    """Root, and a chain that has every extension that is looked at."""
    both, url = [SERVER, CLIENT], "http://ca.example/issuer.crt"
    root = ca("root")
    middle = ca("middle", root, room=0, purposes=both, excluded=["x.example", "10.0.0.0/8", "dir:x"], issuer_url=url)
    names = (HOST, "*.b.example", "192.0.2.1", "me@a.example", "uri:http://a.example")
    return root, [leaf(middle, names=names, issuer_url=url), middle]


@pytest.mark.parametrize("place", [0, 1], ids=["leaf", "intermediate"])
@pytest.mark.parametrize("name", [HOST, None], ids=["webs-rules-first", "our-rules"])
def test_mutated(place: int, name: str | None, long_chain: tuple[Made, list[Made]]) -> None:
    """CertificateError, whatever is changed; nothing else, and never a good verdict."""
    root, made = long_chain
    store = store_of(root)
    chain = [each.der for each in made]
    assert len(store.verify(chain, name)) == 3
    for changed in _mutations(chain[place], 2500, seed=place):
        if changed == chain[place]:
            continue
        bad = [*chain]
        bad[place] = changed
        with pytest.raises(CertificateError) as caught:
            store.verify(bad, name)
        assert (str(caught.value) + caught.value.remedy).isprintable()


def test_mutated_and_trusted(long_chain: tuple[Made, list[Made]]) -> None:
    """The same where no signature is in the way: the odd certificate is itself the one that is trusted."""
    _, made = long_chain
    good = bad = 0
    for changed in _mutations(made[0].der, 2500, seed=7):
        try:
            store = TrustStore.from_certificates([read_der(changed)])
            _ = store.anchors
        except PARSE_ERRORS:
            continue
        checks = [partial(store.verify, [changed], name) for name in (HOST, None)]
        for check in (*checks, partial(store.verify_client, [changed])):
            try:
                check()
            except CertificateError:
                bad += 1
            else:
                good += 1
    assert min(good, bad) > 100, (good, bad)


def test_unused_bits_of_a_signature(tmp_path: Path) -> None:
    """They are not signed, and may be 1 where the last bit is 0: not a second encoding of the same certificate, as for OpenSSL."""
    root = ca("root")
    made = next(made for made in (leaf(root) for _ in range(200)) if made.certificate.signature[-1] % 2 == 0)
    changed = bytearray(made.der)
    changed[-len(made.certificate.signature) - 1] = 1
    with pytest.raises(CertificateError, match="unused bits") as caught:
        store_of(root).verify([bytes(changed)], HOST)
    assert (caught.value.reason, caught.value.alert) == ("malformed", Alert.decode_error)
    odd = x509.load_der_x509_certificate(bytes(changed))
    assert openssl_verify(tmp_path, [root.certificate], [odd], HOST) == 7


def test_truncated(long_chain: tuple[Made, list[Made]]) -> None:
    root, made = long_chain
    store = store_of(root)
    chain = [each.der for each in made]
    for place, der in enumerate(chain):
        for end in range(len(der)):
            bad = [*chain]
            bad[place] = der[:end]
            with pytest.raises(CertificateError) as caught:
                store.verify(bad, HOST)
            assert (caught.value.reason, caught.value.alert) == ("malformed", Alert.decode_error)


@given(st.lists(st.binary(max_size=64), max_size=4))
@settings(max_examples=200)
def test_garbage(chain: list[bytes]) -> None:
    for check in _CHECKS:
        with pytest.raises(CertificateError):
            check(chain)


_EMPTY = TrustStore.from_certificates([])
_CHECKS: tuple[Callable[[list[bytes]], object], ...] = (
    lambda chain: _EMPTY.verify(chain, HOST),
    lambda chain: _EMPTY.verify(chain, None),
    _EMPTY.verify_client,
)
