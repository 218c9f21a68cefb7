"""Signed certificate timestamps by logs of our own: read, verified, counted (RFC 6962), and what ``openssl s_client -ct`` says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from minitls.certificates.beside import Beside, check_beside
from minitls.certificates.faults import Fault
from minitls.certificates.ocsp import check_ocsp
from minitls.certificates.sct import (
    MAX_TIMESTAMPS,
    Logs,
    SignedCertificateTimestamp,
    SignedCertificateTimestampList,
    Timestamp,
    check_logged,
    embedded,
    timestamps,
)
from minitls.errors import Alert, CertificateError, Misuse
from minitls.wire.codec import parse, serialize
from tests.asn1 import NULL, octets
from tests.chains import NOW, ODD, Made, ca, key, leaf, openssl_command, private_pem
from tests.test_certificates_ocsp import respond

MINUTE = timedelta(minutes=1)
EMBEDDED = x509.PrecertificateSignedCertificateTimestamps.oid
STAPLED = x509.SignedCertificateTimestamps.oid
LONG_AGO = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def spki(public: Any) -> bytes:
    der: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


@dataclass(frozen=True)
class Log:
    """A log of ours."""

    name: str
    key: Any

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(spki(self.key.public_key())).digest()

    def sign(self, entry: bytes, when: int | datetime = LONG_AGO, extensions: bytes = b"") -> SignedCertificateTimestamp:
        """Its SCT for an entry, which begins with its LogEntryType: RFC 6962 section 3.2, written down once more."""
        milliseconds = when if isinstance(when, int) else int(when.timestamp() * 1000)
        data = b"\x00" + b"\x00" + milliseconds.to_bytes(8) + entry + len(extensions).to_bytes(2) + extensions
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            algorithm, signature = 0x0403, self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        else:
            algorithm, signature = 0x0401, self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return SignedCertificateTimestamp(0, self.log_id, milliseconds, extensions, algorithm, signature)


ONE, TWO = Log("one", key("p256")), Log("two", key("rsa2048"))
LOGS = Logs((log.key.public_key(), log.name) for log in (ONE, TWO))
ROOT = ca("root")


def plain_entry(made: Made) -> bytes:
    return b"\x00\x00" + len(made.der).to_bytes(3) + made.der


def precert_entry(before: Made, issuer: Made = ROOT) -> bytes:
    """Of a certificate that has no SCTs yet."""
    tbs = before.certificate.tbs_certificate_bytes
    return b"\x00\x01" + hashlib.sha256(spki(issuer.certificate.public_key())).digest() + len(tbs).to_bytes(3) + tbs


def listed(scts: Sequence[bytes]) -> bytes:
    """As the value of an extension."""
    return octets(serialize(SignedCertificateTimestampList(tuple(scts))))


def logged(
    *scts: Callable[[bytes], SignedCertificateTimestamp], after: Sequence[tuple[x509.ExtensionType, bool]] = (), by: Made = ROOT
) -> Made:
    """A leaf with these SCTs embedded: each is given the entry of the certificate as it was before."""
    how: dict[str, Any] = {"key": key("p256"), "serial": 4711}
    before = leaf(by, extra=after, **how)
    data = listed([serialize(make(precert_entry(before, by))) for make in scts])
    return leaf(by, extra=[(x509.UnrecognizedExtension(EMBEDDED, data), False), *after], **how)


LEAF = leaf(ROOT)
PLAIN = ONE.sign(plain_entry(LEAF))


def look(*tls: bytes, end: Made = LEAF, issuer: Made | None = ROOT, logs: Logs | None = LOGS, at: datetime = NOW) -> list[str]:
    chain = [end.certificate, *([issuer.certificate] if issuer else [])]
    return [each.verdict for each in timestamps(chain, at, tls=tls, logs=logs)]


# embedded ---------------------------------------------------------------------------------------------------------------------


def test_embedded() -> None:
    end = logged(ONE.sign, TWO.sign)
    found = timestamps([end.certificate, ROOT.certificate], NOW, logs=LOGS)
    assert found == (
        Timestamp("certificate", "good", ONE.log_id, "one", LONG_AGO),
        Timestamp("certificate", "good", TWO.log_id, "two", LONG_AGO),
    )
    # As pyca/cryptography reads them.
    theirs = end.certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    assert [(each.log_id, each.timestamp.replace(tzinfo=UTC)) for each in theirs] == [(each.log_id, each.when) for each in found]
    assert embedded(LEAF.certificate) == ()
    assert timestamps([LEAF.certificate], NOW) == ()


def test_embedded_between_others() -> None:
    end = logged(ONE.sign, after=[(x509.UnrecognizedExtension(ODD, NULL), False)])
    assert look(end=end) == ["good"]


def test_embedded_for_another_issuer() -> None:
    end = logged(ONE.sign)
    assert look(end=end, issuer=ca("root")) == ["bad signature"]
    assert look(end=end, issuer=None) == ["unknown issuer"]
    renewed = ca("root, renewed", key=ROOT.key)  # the same key: the log has signed its hash
    assert look(end=end, issuer=renewed) == ["good"]


@pytest.mark.parametrize("kind", ["rsa2048", "p384", "ed25519", "mldsa44"])
def test_embedded_by_each_kind_of_issuer(kind: str) -> None:
    issuer = ca("root", key=key(kind))
    assert look(end=logged(ONE.sign, by=issuer), issuer=issuer) == ["good"]


def test_embedded_that_cannot_be_read() -> None:
    """pyca/cryptography refuses the certificate; so does verification, which comes first."""
    for data in (b"", NULL, octets(b""), octets(b"\x00\x00"), octets(b"\x00\x03\x00\x01"), octets(b"\x00\x04\x00\x02\x00\x00")):
        end = leaf(ROOT, extra=[(x509.UnrecognizedExtension(EMBEDDED, data), False)])
        with pytest.raises(Fault, match=r"the certificate of CN=host\.example cannot be read") as caught:
            timestamps([end.certificate], NOW)
        assert caught.value.reason == "malformed"


# beside it --------------------------------------------------------------------------------------------------------------------


def test_stapled_with_tls_and_ocsp() -> None:
    answered = [serialize(each.sign(plain_entry(LEAF))) for each in (TWO, ONE)]
    response = respond(LEAF, ROOT, beside=[(x509.UnrecognizedExtension(STAPLED, listed(answered)), False)])
    staple = check_ocsp(response, LEAF.certificate, ROOT.certificate, NOW)
    assert staple.scts == tuple(answered)
    found = timestamps([LEAF.certificate], NOW, tls=[serialize(PLAIN)], ocsp=staple.scts, logs=LOGS)
    assert found == (
        Timestamp("tls", "good", ONE.log_id, "one", LONG_AGO),
        Timestamp("ocsp", "good", TWO.log_id, "two", LONG_AGO),
        Timestamp("ocsp", "good", ONE.log_id, "one", LONG_AGO),
    )


STRANGER = Log("nobody's", ec.generate_private_key(ec.SECP256R1()))
VERDICTS: dict[str, tuple[SignedCertificateTimestamp, str]] = {
    "good": (PLAIN, "good"),
    "with extensions": (ONE.sign(plain_entry(LEAF), extensions=b"later"), "good"),
    "an unknown log": (STRANGER.sign(plain_entry(LEAF)), "unknown log"),
    "forged": (replace(STRANGER.sign(plain_entry(LEAF)), log_id=ONE.log_id), "bad signature"),
    "by the other log": (replace(PLAIN, log_id=TWO.log_id), "bad signature"),
    "of another leaf": (ONE.sign(plain_entry(leaf(ROOT))), "bad signature"),
    "as if embedded": (ONE.sign(precert_entry(LEAF)), "bad signature"),
    "another time": (replace(PLAIN, timestamp=PLAIN.timestamp + 1), "bad signature"),
    "other extensions": (replace(PLAIN, extensions=b"x"), "bad signature"),
    "RSA in words only": (replace(PLAIN, algorithm=0x0401), "bad signature"),
    "SHA-1": (replace(PLAIN, algorithm=0x0203), "bad signature"),
    "SHA-384": (replace(PLAIN, algorithm=0x0503), "bad signature"),
    "an unknown algorithm": (replace(PLAIN, algorithm=0xFFFF), "bad signature"),
    "no signature": (replace(PLAIN, signature=b""), "bad signature"),
    "just made": (ONE.sign(plain_entry(LEAF), NOW + 3 * MINUTE), "good"),
    "from the future": (ONE.sign(plain_entry(LEAF), NOW + 10 * MINUTE), "from the future"),
    "from the end of time": (ONE.sign(plain_entry(LEAF), 2**64 - 1), "from the future"),
    "from the beginning of time": (ONE.sign(plain_entry(LEAF), 0), "good"),
    "another version": (replace(PLAIN, sct_version=1), "unknown version"),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str) -> None:
    sct, verdict = VERDICTS[name]
    assert look(serialize(sct)) == [verdict]
    expected = verdict if verdict == "unknown version" else "unknown log"
    for nobody in (None, Logs([])):
        assert look(serialize(sct), logs=nobody) == [expected]


def test_an_entry_for_the_certificate_is_none_for_its_precertificate() -> None:
    assert look(end=logged(lambda entry: ONE.sign(b"\x00\x00" + entry[2:]))) == ["bad signature"]


def test_truncated() -> None:
    whole = serialize(PLAIN)
    for length in range(len(whole)):
        assert look(whole[:length]) == ["malformed"]
    assert look(whole + b"\x00") == ["malformed"]
    assert look(b"\x07") == look(b"\x01" + whole[1:] + b"more") == ["unknown version"]


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_one_byte_changed(mask: int) -> None:
    whole = serialize(PLAIN)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= mask
        assert look(bytes(changed))[0] in ("malformed", "unknown version", "unknown log", "bad signature"), place


@given(st.lists(st.binary(max_size=100), max_size=40))
def test_any_bytes(items: list[bytes]) -> None:
    found = look(*items)
    assert len(found) == min(len(items), MAX_TIMESTAMPS)
    assert set(found) <= {"malformed", "unknown version", "unknown log"}


@given(st.integers(0, 2**64 - 1), st.binary(max_size=40))
def test_round_trip(milliseconds: int, extensions: bytes) -> None:
    sct = ONE.sign(plain_entry(LEAF), milliseconds, extensions)
    assert parse(SignedCertificateTimestamp, serialize(sct)) == sct
    late = milliseconds > (NOW + 5 * MINUTE).timestamp() * 1000
    assert look(serialize(sct)) == ["from the future" if late else "good"]


# a policy ---------------------------------------------------------------------------------------------------------------------


def test_enough_logs() -> None:
    """Two SCTs of one log count for one."""
    tls = [serialize(each.sign(plain_entry(LEAF), when)) for each, when in ((ONE, 1), (ONE, 2), (TWO, 3), (STRANGER, 4))]
    chain = [LEAF.certificate]
    for items, count in ((tls, 2), (tls[:3], 2), (tls[:2], 1), (tls[3:], 0), ([], 0)):
        found = timestamps(chain, NOW, tls=items, logs=LOGS)
        for asked in range(count + 1):
            check_logged(found, asked, chain[0])
        with pytest.raises(Fault) as caught:
            check_logged(found, count + 1, chain[0])
        fault = caught.value
        assert (fault.reason, fault.alert, fault.verify_code) == ("not_logged", Alert.bad_certificate, 71)
        assert f"has good timestamps of {count} logs that we know, and {count + 1} are asked for" in fault.message
        assert ("unknown log" in fault.message) == (tls[3] in items)
        assert fault.remedy


def test_beside() -> None:
    """OCSP response and timestamps together, as a handshake has them."""
    scts = [serialize(each.sign(plain_entry(LEAF))) for each in (ONE, TWO)]
    response = respond(LEAF, ROOT, beside=[(x509.UnrecognizedExtension(STAPLED, listed(scts[1:])), False)])
    path = [LEAF.der, ROOT.der]
    two = Logs([(log.key.public_key(), log.name) for log in (ONE, TWO)], at_least=2)
    found = check_beside(path, NOW, ocsp_response=response, scts=scts[:1], logs=two)
    assert found.staple == check_ocsp(response, LEAF.certificate, ROOT.certificate, NOW)
    assert [(each.source, each.verdict) for each in found.timestamps] == [("tls", "good"), ("ocsp", "good")]
    assert check_beside(path, NOW) == check_beside(path, NOW, ocsp_response=b"") == Beside(None, ())
    assert [each.verdict for each in check_beside(path, NOW, scts=scts).timestamps] == ["unknown log"] * 2
    for how, reason in (
        ({"ocsp_response": b"?", "scts": scts}, "ocsp_malformed"),
        ({"ocsp_response": respond(LEAF, ROOT), "scts": scts[:1]}, "not_logged"),
        ({}, "not_logged"),
    ):
        with pytest.raises(CertificateError) as caught:
            check_beside(path, NOW, logs=two, **how)  # type: ignore[arg-type]
        assert (caught.value.reason, caught.value.chain) == (reason, tuple(path))
    promising = [leaf(ROOT, extra=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)]).der, ROOT.der]
    assert check_beside(promising, NOW).staple is None  # nobody asked
    with pytest.raises(CertificateError, match="and none came"):
        check_beside(promising, NOW, ocsp_response=b"")


# logs -------------------------------------------------------------------------------------------------------------------------


def pem(public: Any) -> bytes:
    text: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


def log_list(*keys: bytes, kind: str = "logs") -> str:
    logs = [{"description": f"log {place}", "key": base64.b64encode(der).decode()} for place, der in enumerate(keys, 1)]
    return json.dumps({"version": "4", "operators": [{"name": "us", kind: logs}]})


def test_logs() -> None:
    keys = [log.key.public_key() for log in (ONE, TWO)]
    made = [Logs.from_pem(b"two logs\n" + b"".join(map(pem, keys)))]
    made += [Logs.from_log_list(log_list(*map(spki, keys), kind=kind)) for kind in ("logs", "tiled_logs")]
    for logs in made:
        assert repr(logs) == "<Logs: 2 of them>"
        for place, log in enumerate((ONE, TWO), 1):
            assert logs.get(log.log_id) == (log.key.public_key(), f"log {place}")
        assert logs.get(STRANGER.log_id) is None


def test_more_logs_than_are_known() -> None:
    keys = [(ONE.key.public_key(), "one"), (ONE.key.public_key(), "the same")]
    assert Logs(keys, at_least=1).at_least == 1
    assert Logs.from_pem(pem(ONE.key.public_key()), at_least=1).at_least == 1
    assert Logs.from_log_list(log_list(spki(ONE.key.public_key())), at_least=1).at_least == 1
    with pytest.raises(Misuse, match="at least 2 logs are asked for, and 1 are known"):
        Logs(keys, at_least=2)


@pytest.mark.parametrize("kind", ["p384", "ed25519", "rsa1024", "secp256k1", "mldsa44"])
def test_keys_that_no_log_has(kind: str) -> None:
    public = key(kind).public_key()
    for make in (
        lambda: Logs([(public, "odd")]),
        lambda: Logs.from_pem(pem(public)),
        lambda: Logs.from_log_list(log_list(spki(public))),
    ):
        with pytest.raises(Misuse, match="neither of P-256 nor RSA"):
            make()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Logs.from_pem(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "bad_key"),
        (lambda: Logs.from_pem(b"nothing\n-----END PUBLIC KEY-----\n"), "bad_key"),
        (lambda: Logs.from_pem(b"nothing"), "bad_key"),
        (lambda: Logs.from_log_list(log_list(b"no key")), "bad_key"),
        (lambda: Logs.from_log_list("nothing"), "bad_log_list"),
        (lambda: Logs.from_log_list(b"\xff"), "bad_log_list"),
        (lambda: Logs.from_log_list("[]"), "bad_log_list"),
        (lambda: Logs.from_log_list('{"operators": [1]}'), "bad_log_list"),
        (lambda: Logs.from_log_list('{"operators": [{"logs": [{}]}]}'), "bad_log_list"),
        (lambda: Logs.from_log_list('{"operators": [{"logs": [{"description": "", "key": "A"}]}]}'), "bad_log_list"),
        (lambda: Logs.from_log_list("[" * 100_000), "bad_log_list"),
    ],
)
def test_what_is_no_log(make: Callable[[], Logs], reason: str) -> None:
    with pytest.raises(Misuse) as caught:
        make()
    assert caught.value.reason == reason


# what OpenSSL says --------------------------------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path, end: Made) -> Iterator[str]:
    """``openssl s_server`` with this leaf; where it listens."""
    (folder / "leaf.pem").write_bytes(end.certificate.public_bytes(Encoding.PEM))
    (folder / "leaf.key").write_bytes(private_pem(end.key))
    command = [openssl_command(), "s_server", "-accept", "127.0.0.1:0", "-cert", "leaf.pem", "-key", "leaf.key", "-naccept", "1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if match := re.match(rb"ACCEPT (127\.0\.0\.1:\d+)", line):
                break
        assert match is not None
        yield match[1].decode()
        server.kill()


@pytest.mark.parametrize(
    ("make", "verdicts"),
    [
        (lambda: logged(ONE.sign, TWO.sign), ["good", "good"]),
        (lambda: logged(ONE.sign, after=[(x509.UnrecognizedExtension(ODD, NULL), False)]), ["good"]),
        (lambda: logged(STRANGER.sign), ["unknown log"]),
        (lambda: logged(lambda entry: replace(ONE.sign(entry), timestamp=1)), ["bad signature"]),
        (lambda: logged(lambda entry: ONE.sign(entry, NOW + timedelta(days=1))), ["from the future"]),
        (lambda: logged(lambda entry: ONE.sign(entry, extensions=b"later")), ["good"]),
    ],
)
def test_openssl_agrees(make: Callable[[], Made], verdicts: list[str], tmp_path: Path) -> None:
    end = make()
    assert look(end=end) == verdicts
    (tmp_path / "root.pem").write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    known = {log.name: base64.b64encode(spki(log.key.public_key())).decode() for log in (ONE, TWO)}
    sections = "".join(f"[{name}]\ndescription = {name}\nkey = {data}\n" for name, data in known.items())
    (tmp_path / "logs.cnf").write_text(f"enabled_logs = {','.join(known)}\n{sections}")
    with serving(tmp_path, end) as where:
        command = [openssl_command(), "s_client", "-connect", where, "-CAfile", "root.pem", "-ct", "-ctlogfile", "logs.cnf"]
        done = subprocess.run(command, cwd=tmp_path, input=b"Q\n", capture_output=True, check=False, timeout=30)
    said = {"good": "valid", "bad signature": "invalid", "unknown log": "unknown log", "from the future": "invalid"}
    found = re.findall(r"SCT validation status: (.*)", done.stdout.decode())
    assert found == [said[verdict] for verdict in verdicts]


def test_response_with_an_empty_list() -> None:
    response = respond(LEAF, ROOT, beside=[(x509.UnrecognizedExtension(STAPLED, octets(b"\x00\x00")), False)])
    with pytest.raises(Fault, match="cannot be read"):
        check_ocsp(response, LEAF.certificate, ROOT.certificate, NOW)
