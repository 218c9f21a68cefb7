"""Signed certificate timestamps: a log's promise to show a certificate to all the world (RFC 6962).

They come in the certificate itself, beside it in a TLS extension, or in a stapled OCSP response (section 3.3).  In the first
case the log has signed the certificate as it was before: without them, and with its issuer's key named instead of used.

Whoever gives no keys of logs sees what came, and nothing is checked.  Whoever does may ask for promises of so many logs.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key, load_pem_public_key

from minitls.certificates.faults import PARSE_ERRORS, Fault, malformed, name_of
from minitls.certificates.revocation import TOLERANCE
from minitls.crypto.signatures import SCHEMES_12
from minitls.data import dataclass
from minitls.errors import Alert, DecodeError, Misuse
from minitls.wire.codec import Structure, opaque, parse, structure, uint8, uint16, uint64, vector, wire
from minitls.wire.numbers import SignatureScheme

Source: TypeAlias = Literal["certificate", "tls", "ocsp"]
Verdict: TypeAlias = Literal[
    "good", "bad signature", "unknown log", "unknown issuer", "from the future", "unknown version", "malformed"
]
Sct: TypeAlias = x509.PrecertificateSignedCertificateTimestamps | x509.SignedCertificateTimestamps

MAX_TIMESTAMPS = 32
"""Of one connection, so many are looked at: each may cost a signature."""
_NO_VALID_SCTS = 71  # OpenSSL's number
_SCHEMES = (SignatureScheme.ecdsa_secp256r1_sha256, SignatureScheme.rsa_pkcs1_sha256)
"""What a log may sign with (section 2.1.4); RFC 5246's SignatureAndHashAlgorithm has the same numbers."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


@structure
class SignedCertificateTimestamp(Structure):
    """RFC 6962 section 3.2; ``timestamp`` in milliseconds since 1970, ``algorithm`` a SignatureScheme."""

    sct_version: int = wire(uint8)
    log_id: bytes = wire(opaque(32))
    timestamp: int = wire(uint64)
    extensions: bytes = wire(opaque(0, 2**16 - 1))
    algorithm: int = wire(uint16)
    signature: bytes = wire(opaque(0, 2**16 - 1))


@structure
class SignedCertificateTimestampList(Structure):
    """RFC 6962 section 3.3."""

    sct_list: tuple[bytes, ...] = wire(vector(opaque(1, 2**16 - 1), 1, 2**16 - 1))


@dataclass(frozen=True, slots=True)
class Timestamp:
    """One SCT, and what became of it.

    ``source``: where it came; ``log_id``: SHA-256 of the log's key, b"" if ``verdict`` is "malformed" or "unknown version";
    ``log``: what we call the log, or ""; ``when``: None where there is no log_id.
    """

    source: Source
    verdict: Verdict
    log_id: bytes = b""
    log: str = ""
    when: datetime | None = None


class Logs:
    """The keys of the logs that are believed, by their id.

    ``keys``: P-256 or RSA from 2048 bits on (section 2.1.4), with a name for people.  ``at_least``: a certificate needs good
    timestamps of so many of them.  Raises Misuse.
    """

    def __init__(self, keys: Iterable[tuple[Any, str]], *, at_least: int = 0) -> None:
        self.at_least = at_least
        self._logs: dict[bytes, tuple[Any, str]] = {}
        for key, name in keys:
            fits = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
            if not fits and not (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048):
                raise Misuse(f"the key of the log {name!r} is neither of P-256 nor RSA: no log has such", rule="RFC 6962 2.1.4")
            self._logs[_key_hash(key)] = key, name
        if at_least > len(self._logs):
            raise Misuse(f"timestamps of at least {at_least} logs are asked for, and {len(self._logs)} are known")

    def __repr__(self) -> str:
        return f"<Logs: {len(self._logs)} of them>"

    @classmethod
    def from_pem(cls, pem: bytes, *, at_least: int = 0) -> Logs:
        """From a PEM text of public keys.  Raises Misuse."""
        end = b"-----END PUBLIC KEY-----"
        blocks = [block + end for block in pem.split(end)[:-1]]
        if not blocks:
            raise Misuse("this holds no public key in PEM", reason="bad_key")
        keys = [(_read(load_pem_public_key, block), f"log {place}") for place, block in enumerate(blocks, 1)]
        return cls(keys, at_least=at_least)

    @classmethod
    def from_log_list(cls, text: bytes | str, *, at_least: int = 0) -> Logs:
        """From a list in the form of Google's and Apple's log_list.json, version 3: all logs, whatever their state.

        Raises Misuse.
        """
        try:
            operators = json.loads(text)["operators"]
            logs = [log for operator in operators for kind in ("logs", "tiled_logs") for log in operator.get(kind, ())]
            found = [(binascii.a2b_base64(log["key"]), str(log["description"])) for log in logs]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Misuse(f"this is no list of logs: {type(error).__name__}: {error}", reason="bad_log_list") from None
        return cls([(_read(load_der_public_key, der), name) for der, name in found], at_least=at_least)

    def get(self, log_id: bytes) -> tuple[Any, str] | None:
        """The log's key and name."""
        return self._logs.get(log_id)


def _read(load: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return load(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Misuse(f"the key of a log cannot be read: {error}", reason="bad_key") from None


def _key_hash(key: Any) -> bytes:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def timestamps(
    chain: Sequence[x509.Certificate],
    at: datetime,
    *,
    tls: Sequence[bytes] = (),
    ocsp: Sequence[bytes] = (),
    logs: Logs | None = None,
) -> tuple[Timestamp, ...]:
    """All that came with a leaf, at most MAX_TIMESTAMPS, each with its verdict.

    ``chain``: leaf first, its issuer second, if it is known; ``tls``: the items of signed_certificate_timestamp; ``ocsp``: those
    of :class:`~minitls.certificates.ocsp.Staple`.  Raises Fault for a leaf that cannot be read.
    """
    try:
        found: list[tuple[Source, bytes]] = [("certificate", sct) for sct in embedded(chain[0])]
    except PARSE_ERRORS as error:
        raise malformed(error, name_of(chain[0])) from None
    found += [("tls", sct) for sct in tls]
    found += [("ocsp", sct) for sct in ocsp]
    return tuple(_look(source, sct, chain, at, logs) for source, sct in found[:MAX_TIMESTAMPS])


def embedded(leaf: x509.Certificate) -> tuple[bytes, ...]:
    """The SCTs in the certificate itself, serialized.  Raises PARSE_ERRORS."""
    try:
        return serialized(leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value)
    except x509.ExtensionNotFound:
        return ()


def serialized(value: Sct) -> tuple[bytes, ...]:
    """The SCTs of an X.509 or OCSP extension: a SignedCertificateTimestampList in an OCTET STRING (section 3.3).

    Raises ValueError.
    """
    der = value.public_bytes()
    header = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    try:
        return parse(SignedCertificateTimestampList, der[header:]).sct_list
    except DecodeError as error:
        raise ValueError(error.message) from None


def _look(source: Source, data: bytes, chain: Sequence[x509.Certificate], at: datetime, logs: Logs | None) -> Timestamp:
    try:
        sct = parse(SignedCertificateTimestamp, data)
    except DecodeError:
        # What comes first is its version: of another one we do not know the rest (section 3.3).
        return Timestamp(source, "unknown version" if data[:1] not in (b"", b"\x00") else "malformed")
    if sct.sct_version != 0:
        return Timestamp(source, "unknown version")
    when = _EPOCH + timedelta(milliseconds=min(sct.timestamp, (_LATEST - _EPOCH) // timedelta(milliseconds=1)))
    known = logs.get(sct.log_id) if logs is not None else None
    if known is None:
        return Timestamp(source, "unknown log", sct.log_id, "", when)
    key, name = known
    verdict: Verdict
    if source == "certificate" and len(chain) < 2:
        verdict = "unknown issuer"
    elif not _is_signed(sct, signed_entry(chain, precert=source == "certificate"), key):
        verdict = "bad signature"
    else:
        verdict = "good" if when <= at + TOLERANCE else "from the future"
    return Timestamp(source, verdict, sct.log_id, name, when)


def _is_signed(sct: SignedCertificateTimestamp, entry: bytes, key: Any) -> bool:
    if sct.algorithm not in _SCHEMES:
        return False
    try:
        SCHEMES_12[sct.algorithm].verify(key, sct.signature, signed_content(sct.timestamp, entry, sct.extensions))
    except InvalidSignature:
        return False
    return True


def signed_entry(chain: Sequence[x509.Certificate], *, precert: bool) -> bytes:
    """LogEntryType and signed_entry of section 3.2: the leaf, or (``precert``) what it was without SCTs, and its issuer's key."""
    if not precert:
        der = chain[0].public_bytes(Encoding.DER)
        return b"\x00\x00" + len(der).to_bytes(3) + der
    tbs = chain[0].tbs_precertificate_bytes
    return b"\x00\x01" + _key_hash(chain[1].public_key()) + len(tbs).to_bytes(3) + tbs


def signed_content(timestamp: int, entry: bytes, extensions: bytes = b"") -> bytes:
    """What a log signs (section 3.2): version 1 and certificate_timestamp, each 0, then this."""
    return b"\x00\x00" + timestamp.to_bytes(8) + entry + len(extensions).to_bytes(2) + extensions


def check_logged(found: Iterable[Timestamp], at_least: int, leaf: x509.Certificate) -> None:
    """The leaf has good SCTs of so many different logs.  Raises Fault."""
    found = tuple(found)
    logs = {timestamp.log_id for timestamp in found if timestamp.verdict == "good"}
    if len(logs) < at_least:
        others = sorted({timestamp.verdict for timestamp in found} - {"good"})
        seen = f" (of those that came, some are: {', '.join(others)})" if others else ""
        text = f"{name_of(leaf)} has good timestamps of {len(logs)} logs that we know, and {at_least} are asked for{seen}"
        remedy = "its CA has to log it; or our list of logs is an old one"
        raise Fault("not_logged", Alert.bad_certificate, _NO_VALID_SCTS, text, "RFC 6962 5.2", remedy)
