"""Every MUST about hellos, extensions, authentication messages and records: a table of lies, and what each must end in.

Each row: who lies and how, and the alert, reason and rule of the one error that the other side raises.  The liar hears that alert.
A second table has what must be tolerated.  Sections are RFC 8446's unless the rule says otherwise.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from minitls import (
    Alert,
    ClientAuth,
    ClientConnection,
    Connection,
    PeerIncompatible,
    PeerMisbehaved,
    Policy,
    ServerConnection,
    TLSError,
)
from minitls.certificates.credentials import Credential
from minitls.crypto.signatures import CLIENT_CONTEXT, SCHEMES, SERVER_CONTEXT
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry, OfferedPsks, PskIdentity, ServerName
from minitls.wire.hello import (
    DOWNGRADE_TO_11,
    DOWNGRADE_TO_12,
    HELLO_RETRY_REQUEST_RANDOM,
    ClientHello,
    HelloRetryRequest,
    Message,
    ServerHello,
)
from minitls.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    EncryptedExtensions,
    Finished,
    KeyUpdate,
    NewSessionTicket,
)
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import is_grease
from tests.conftest import Pki
from tests.liar import (
    Lie,
    Meeting,
    Record,
    Unheard,
    add_extension,
    edit,
    edit_bytes,
    instead,
    lying_client,
    lying_server,
    meet,
    truth,
    write_handshake,
    write_record,
)

MakeLie = Callable[[Any], Lie]
"""Gets the honest side, where that is there already: a client that is lied to.  Makes a fresh lie for each run."""

GREASE = 0x5A5A
RETRY = {
    "client": {"policy": Policy(groups=("x25519", "secp256r1"), key_shares=("x25519",))},
    "server": {"policy": Policy(groups=("secp256r1",))},
}
COOKIE: dict[str, dict[str, Any]] = {"client": {}, "server": {"send_cookie": True}}
NO_AUTH = {"client_auth": ClientAuth.none}


@dataclass(frozen=True)
class Case:
    """``says``: the lie in words.  ``lie``: None for one that only ``afterwards`` tells, once the handshake is complete."""

    says: str
    lie: MakeLie | None
    alert: Alert
    reason: str
    rule: str
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    afterwards: Callable[[Connection], None] | None = None
    kind: type[TLSError] = PeerMisbehaved


def run(
    pki: Pki, liar: str, lie: MakeLie | None, config: Mapping[str, Mapping[str, Any]]
) -> tuple[Meeting, Connection, Connection]:
    """A meeting, the honest side and the liar."""
    ours, theirs = pki.quick
    ours = dataclasses.replace(ours, **config.get("client", {}))
    theirs = dataclasses.replace(theirs, **config.get("server", {}))
    make = lie or (lambda _: truth)
    if liar == "server":
        client = ClientConnection(ours, server_hostname="localhost")
        server = lying_server(theirs, make(client))
        return meet(client, server), client, server
    server = ServerConnection(theirs)
    client = lying_client(ours, make(None))
    return meet(client, server), server, client


def check(pki: Pki, liar: str, case: Case) -> None:
    meeting, honest, lying = run(pki, liar, case.lie, case.config)
    if case.afterwards is not None:
        assert meeting.completed == (True, True), (meeting.client_error, meeting.server_error)
        case.afterwards(lying)
        meeting = meet(meeting.client, meeting.server)
    else:
        assert not honest.handshake_completed
    error: Any = honest.error
    assert isinstance(error, case.kind), error
    assert (error.alert, error.reason, error.rule) == (case.alert, case.reason, case.rule), str(error)
    assert meeting.alert_heard_by(lying) == case.alert
    assert str(error).endswith(f"({case.rule})" if case.rule else "")


# how to lie ---------------------------------------------------------------------------------------------------------------


def put(kind: type[Message], nth: int = 1, **values: Any) -> MakeLie:
    """Other values in these fields."""

    def change(message: Any) -> None:
        for name, value in values.items():
            setattr(message, name, value)

    return lambda _: edit(kind, change, nth)


def ext(kind: type[Message], code: int, value: Any, nth: int = 1) -> MakeLie:
    """An extension with this value, in the place of its honest one or at the end."""
    return lambda _: edit(kind, lambda message: message.extensions.__setitem__(code, value), nth)


def no_ext(kind: type[Message], *codes: int, nth: int = 1) -> MakeLie:
    return lambda _: edit(kind, lambda message: [message.extensions.pop(code, None) for code in codes], nth)


def raw_ext(kind: type[Message], code: int, body: str, nth: int = 1, *, first: bool = False) -> MakeLie:
    """An extension of these bytes, in the place of its honest one: at the end, or first."""

    def say(message: Any) -> list[bytes]:
        without = copy.copy(message)
        without.extensions = Extensions({k: v for k, v in message.extensions.items() if k != code})
        return [add_extension(without, code, bytes.fromhex(body), first=first)]

    return lambda _: instead(kind, say, nth)


def also_ext(kind: type[Message], code: int, body: str, nth: int = 1) -> MakeLie:
    """One more extension, whether it is there already or not."""
    return lambda _: instead(kind, lambda message: [add_extension(message, code, bytes.fromhex(body))], nth)


def longer(kind: type[Message]) -> MakeLie:
    """A byte behind the message's end."""
    return lambda _: edit_bytes(kind, lambda body: body.append(0))


def shorter(kind: type[Message]) -> MakeLie:
    return lambda _: edit_bytes(kind, lambda body: body.pop())


def overheard(said: list[Any]) -> Lie:
    """The truth, noted down."""

    def note(message: Message) -> list[Any]:
        said.append(message)
        return [message]

    return note


def greased(client: ClientConnection, where: str) -> int:
    """A GREASE value that the client sent."""
    hello = client.info.client_hello
    values = {"suite": hello.cipher_suites, "extension": hello.extensions, "group": hello.extensions[10], "version": hello.versions}
    return next(value for value in values[where] if is_grease(value))


def swap_certificate(*, context: bytes = b"", extensions: Extensions | None = None, der: bytes | None = None) -> MakeLie:
    def change(message: Certificate) -> None:
        first, *others = message.certificate_list
        message.certificate_request_context = context
        changed = CertificateEntry(first.cert_data if der is None else der, extensions or Extensions())
        message.certificate_list = (changed, *others)

    return lambda _: edit(Certificate, change)


def flip_signature(message: CertificateVerify) -> None:
    message.signature = bytes((message.signature[0] ^ 1,)) + message.signature[1:]


def key_share(group: int, body: bytes = b"\x09" + bytes(31)) -> KeyShareEntry:
    return KeyShareEntry(group, body)


def psk(identities: int = 1, binders: int = 1) -> OfferedPsks:
    return OfferedPsks((PskIdentity(b"ticket", 0),) * identities, (bytes(32),) * binders)


def second(change: Callable[[Any], object]) -> MakeLie:
    return lambda _: edit(ClientHello, change, nth=2)


SCT = Extensions({X.signed_certificate_timestamp: (b"x",)})

ILLEGAL, DECODE, UNEXPECTED = Alert.illegal_parameter, Alert.decode_error, Alert.unexpected_message
MISSING, UNSUPPORTED, DECRYPT = Alert.missing_extension, Alert.unsupported_extension, Alert.decrypt_error

MALFORMED = (DECODE, "decode_error", "RFC 8446 6.2")
DUPLICATE = (ILLEGAL, "duplicate_extension", "RFC 8446 4.2")
MISPLACED = (ILLEGAL, "misplaced_extension", "RFC 8446 4.2")
UNSOLICITED = (UNSUPPORTED, "unsolicited_extension", "RFC 8446 4.2")
WRONG_CURVE = (ILLEGAL, "wrong_curve", "RFC 8446 4.2.8")
BAD_SHARE = (ILLEGAL, "bad_key_share", "RFC 8446 4.2.8")
NO_ECHO = (ILLEGAL, "wrong_session_id", "RFC 8446 4.1.3")
LEGACY_VERSION = (Alert.protocol_version, "wrong_version", "RFC 9846 4.1.3")
NO_SHARE = (MISSING, "missing_key_share", "RFC 8446 9.2")
NO_CHANGE = (ILLEGAL, "empty_hello_retry_request", "RFC 8446 4.1.4")
BAD_POINT = (ILLEGAL, "bad_key_share", "RFC 8446 4.2.8.2")
WRONG_SUITE = (ILLEGAL, "wrong_cipher_returned", "RFC 8446 4.1.3")
WRONG_VERSION = (ILLEGAL, "wrong_version", "RFC 8446 4.2.1")
NO_VERSION = (Alert.protocol_version, "unsupported_protocol", "RFC 8446 4.2.1")
DOWNGRADED = (ILLEGAL, "tls13_downgrade", "RFC 8446 4.1.3")
WRONG_SIGNATURE = (ILLEGAL, "wrong_signature_type", "RFC 8446 4.4.3")
BAD_SIGNATURE = (DECRYPT, "bad_signature", "RFC 8446 4.4.3")
BAD_FINISHED = (DECRYPT, "digest_check_failed", "RFC 8446 4.4.4")
UNASKED = (UNSUPPORTED, "unsolicited_extension", "RFC 8446 4.4.2")
CHANGED = (ILLEGAL, "second_client_hello_mismatch", "RFC 8446 4.1.2")
EXCESS = (UNEXPECTED, "excess_handshake_data", "RFC 8446 5.1")
INTERRUPTED = (UNEXPECTED, "unexpected_record", "RFC 8446 5.1")

SH, HRR, EE, CR, CH = ServerHello, HelloRetryRequest, EncryptedExtensions, CertificateRequest, ClientHello

# a server that lies -------------------------------------------------------------------------------------------------------

TLS12_RANDOM = bytes(24) + DOWNGRADE_TO_12
TLS11_RANDOM = bytes(24) + DOWNGRADE_TO_11


def tls12(random: bytes, version: int = 0x0303) -> MakeLie:
    """A ServerHello of an older TLS."""

    def change(message: Any) -> None:
        message.legacy_version, message.random, message.extensions = version, random, Extensions()

    return lambda _: edit(SH, change)


def hello_retry_again(message: Any) -> list[Message]:
    extensions = Extensions({X.supported_versions: 0x0304, X.cookie: b"more"})
    return [HelloRetryRequest(0x0303, HELLO_RETRY_REQUEST_RANDOM, message.legacy_session_id_echo, 0x1301, 0, extensions)]


SERVER_LIES = [
    # 4.1.3
    Case("ServerHello: legacy_version is not 0x0303", put(SH, legacy_version=0x0304), *LEGACY_VERSION),
    Case("ServerHello: another session id", put(SH, legacy_session_id_echo=bytes(32)), *NO_ECHO),
    Case("ServerHello: no session id", put(SH, legacy_session_id_echo=b""), *NO_ECHO),
    Case("ServerHello: session id of 33 bytes", lambda _: edit_bytes(SH, lambda b: b.__setitem__(slice(34, 35), b"\x21x")),
         *MALFORMED),
    Case("ServerHello: a suite that we have and did not offer", put(SH, cipher_suite=0x1305), *WRONG_SUITE),
    Case("ServerHello: a suite that nobody has", put(SH, cipher_suite=0x1399), *WRONG_SUITE),
    Case("ServerHello: a suite of TLS 1.2", put(SH, cipher_suite=0xC02B), *WRONG_SUITE),
    Case("ServerHello: our GREASE as the suite",
         lambda client: edit(SH, lambda m: setattr(m, "cipher_suite", greased(client, "suite"))), *WRONG_SUITE),
    Case("ServerHello: compression", put(SH, legacy_compression_method=1), ILLEGAL, "unsupported_compression", "RFC 8446 4.1.3"),
    Case("ServerHello: TLS 1.2 and the sentinel", tls12(TLS12_RANDOM), *DOWNGRADED),
    Case("ServerHello: TLS 1.2 and the sentinel of TLS 1.1", tls12(TLS11_RANDOM), *DOWNGRADED),
    Case("ServerHello: TLS 1.1 and its sentinel", tls12(TLS11_RANDOM, 0x0302), *DOWNGRADED),
    Case("ServerHello: TLS 1.2", tls12(bytes(32)), *NO_VERSION, kind=PeerIncompatible),
    Case("ServerHello: SSL 3.0", tls12(bytes(32), 0x0300), *NO_VERSION, kind=PeerIncompatible),
    Case("ServerHello: version 0x9999", tls12(bytes(32), 0x9999), *NO_VERSION, kind=PeerIncompatible),
    Case("ServerHello: a byte too many", longer(SH), *MALFORMED),
    Case("ServerHello: a byte short", shorter(SH), *MALFORMED),
    # 4.2
    Case("ServerHello: an extension twice", also_ext(SH, X.supported_versions, "0304"), *DUPLICATE),
    Case("ServerHello: an unknown extension", raw_ext(SH, 0x1234, ""), *UNSOLICITED),
    Case("ServerHello: a PSK that we did not offer", ext(SH, X.pre_shared_key, 0), *UNSOLICITED),
    Case("ServerHello: an extension of TLS 1.2 that we did not send", ext(SH, X.ec_point_formats, (0,)), *UNSOLICITED),
    Case("ServerHello: server_name, which belongs in EncryptedExtensions", ext(SH, X.server_name, None), *MISPLACED),
    Case("ServerHello: ALPN, which belongs there too", ext(SH, X.application_layer_protocol_negotiation, (b"h2",)), *MISPLACED,
         config={"client": {"alpn": ("h2",)}}),
    Case("ServerHello: supported_groups, which it never has", raw_ext(SH, X.supported_groups, "0002001d"), *MISPLACED),
    Case("ServerHello: a cookie", raw_ext(SH, X.cookie, "000161"), *MISPLACED),
    Case("ServerHello: our GREASE extension",
         lambda client: instead(SH, lambda m: [add_extension(m, greased(client, "extension"), b"")]), *MISPLACED),
    Case("ServerHello: bytes behind supported_versions", raw_ext(SH, X.supported_versions, "030400"), *MALFORMED),
    Case("ServerHello: bytes behind key_share", raw_ext(SH, X.key_share, "001d0020" + "09" * 32 + "00"), *MALFORMED),
    # 4.2.1
    Case("supported_versions: TLS 1.2", ext(SH, X.supported_versions, 0x0303), *WRONG_VERSION),
    Case("supported_versions: TLS 1.1", ext(SH, X.supported_versions, 0x0302), *WRONG_VERSION),
    Case("supported_versions: one to come", ext(SH, X.supported_versions, 0x0305), *WRONG_VERSION),
    Case("supported_versions: our GREASE",
         lambda client: edit(SH, lambda m: m.extensions.__setitem__(X.supported_versions, greased(client, "version"))),
         *WRONG_VERSION),
    # 4.2.8
    Case("key_share: none", no_ext(SH, X.key_share), *NO_SHARE),
    Case("key_share: a group that we sent no share for", ext(SH, X.key_share, key_share(0x17, b"\4" + bytes(64))), *WRONG_CURVE),
    Case("key_share: our GREASE group",
         lambda client: edit(SH, lambda m: m.extensions.__setitem__(X.key_share, key_share(greased(client, "group")))),
         *WRONG_CURVE),
    Case("key_share: empty", raw_ext(SH, X.key_share, "001d0000"), *MALFORMED),
    Case("key_share: a byte short", ext(SH, X.key_share, key_share(0x1D, bytes(31))), *BAD_POINT),
    Case("key_share: of low order", ext(SH, X.key_share, key_share(0x1D, bytes(32))), ILLEGAL, "bad_key_share", "RFC 8446 7.4.2"),
    # 4.1.4
    Case("HelloRetryRequest: would change nothing", no_ext(HRR, X.key_share), *NO_CHANGE,
         config=RETRY),
    Case("HelloRetryRequest: a second one", lambda _: instead(SH, hello_retry_again), UNEXPECTED, "unexpected_message",
         "RFC 8446 4", config=RETRY),
    Case("HelloRetryRequest: no supported_versions", no_ext(HRR, X.supported_versions), MISSING, "missing_extension",
         "RFC 8446 4.1.4", config=RETRY),
    Case("HelloRetryRequest: TLS 1.2", ext(HRR, X.supported_versions, 0x0303), *WRONG_VERSION, config=RETRY),
    Case("HelloRetryRequest: legacy_version is not 0x0303", put(HRR, legacy_version=0x0301), *LEGACY_VERSION, config=RETRY),
    Case("HelloRetryRequest: another session id", put(HRR, legacy_session_id_echo=b"x"), *NO_ECHO, config=RETRY),
    Case("HelloRetryRequest: a suite that we did not offer", put(HRR, cipher_suite=0x1305), *WRONG_SUITE, config=RETRY),
    Case("HelloRetryRequest: compression", put(HRR, legacy_compression_method=1), ILLEGAL, "unsupported_compression",
         "RFC 8446 4.1.3", config=RETRY),
    Case("HelloRetryRequest: an unknown extension", raw_ext(HRR, 0x1234, ""), *UNSOLICITED, config=RETRY),
    Case("HelloRetryRequest: an extension of others", raw_ext(HRR, X.pre_shared_key, "0000"), *MISPLACED, config=RETRY),
    Case("HelloRetryRequest: our GREASE extension",
         lambda client: instead(HRR, lambda m: [add_extension(m, greased(client, "extension"), b"")]), *MISPLACED, config=RETRY),
    Case("HelloRetryRequest: an extension twice", also_ext(HRR, X.key_share, "0017"), *DUPLICATE, config=RETRY),
    Case("HelloRetryRequest: a cookie of nothing", raw_ext(HRR, X.cookie, "0000"), *MALFORMED, config=RETRY),
    Case("HelloRetryRequest: the message goes on in its record", lambda _: instead(HRR, lambda m: [m, Unheard(b"\x02")]),
         *EXCESS, config=RETRY),
    Case("after HelloRetryRequest: another suite", put(SH, cipher_suite=0x1302), ILLEGAL, "wrong_cipher_returned", "RFC 8446 4.1.4",
         config=RETRY),
    Case("after HelloRetryRequest: no version", no_ext(SH, X.supported_versions), ILLEGAL, "wrong_version", "RFC 8446 4.1.4",
         config=RETRY),
    Case("after HelloRetryRequest: another version", ext(SH, X.supported_versions, 0x0303), ILLEGAL, "wrong_version",
         "RFC 8446 4.1.4", config=RETRY),
    Case("after HelloRetryRequest: another session id", put(SH, legacy_session_id_echo=b""), *NO_ECHO, config=RETRY),
    # 4.2.8, in a HelloRetryRequest
    Case("selected_group: one that we sent a share for", ext(HRR, X.key_share, 0x1D), *WRONG_CURVE, config=RETRY),
    Case("selected_group: one that we have and did not offer", ext(HRR, X.key_share, 0x18), *WRONG_CURVE, config=RETRY),
    Case("selected_group: one that nobody has", ext(HRR, X.key_share, 0x9999), *WRONG_CURVE, config=RETRY),
    Case("selected_group: our GREASE",
         lambda client: edit(HRR, lambda m: m.extensions.__setitem__(X.key_share, greased(client, "group"))), *WRONG_CURVE,
         config=RETRY),
    Case("selected_group: and then a share in the first group", ext(SH, X.key_share, key_share(0x1D)), *WRONG_CURVE, config=RETRY),
    # 4.3.1
    Case("EncryptedExtensions: an unknown extension", raw_ext(EE, 0x1234, ""), *UNSOLICITED),
    Case("EncryptedExtensions: early_data, unasked", ext(EE, X.early_data, None), *UNSOLICITED),
    Case("EncryptedExtensions: ALPN, unasked", ext(EE, X.application_layer_protocol_negotiation, (b"h2",)), *UNSOLICITED),
    Case("EncryptedExtensions: record_size_limit, unasked", ext(EE, X.record_size_limit, 100), *UNSOLICITED),
    Case("EncryptedExtensions: our GREASE extension",
         lambda client: instead(EE, lambda m: [add_extension(m, greased(client, "extension"), b"")]), *UNSOLICITED),
    *(Case(f"EncryptedExtensions: {code.name}, which is forbidden there", raw_ext(EE, code, body), *MISPLACED)
      for code, body in (
          (X.key_share, "001d0020" + "09" * 32),
          (X.supported_versions, "0304"),
          (X.pre_shared_key, "0000"),
          (X.cookie, "000161"),
          (X.signature_algorithms, "00020403"),
          (X.psk_key_exchange_modes, "0101"),
          (X.status_request, ""),
          (X.post_handshake_auth, ""),
          (X.padding, ""),
      )),
    Case("EncryptedExtensions: an extension twice", lambda _: instead(EE, lambda m: [add_extension(
        EncryptedExtensions(Extensions({X.supported_groups: (29,)})), X.supported_groups, b"\0\2\0\x1d")]), *DUPLICATE),
    Case("EncryptedExtensions: server_name with a name", raw_ext(EE, X.server_name, "0000"), *MALFORMED),
    Case("EncryptedExtensions: a byte too many", longer(EE), *MALFORMED),
    # RFC 7301
    *(Case(f"ALPN: {what}", ext(EE, X.application_layer_protocol_negotiation, names), ILLEGAL, "invalid_alpn_protocol",
           "RFC 7301 3.1", config={"client": {"alpn": ("h2", "http/1.1")}})
      for what, names in (("one that we did not offer", (b"ftp",)), ("two", (b"h2", b"http/1.1")), ("in capitals", (b"H2",)),
                          ("not even text", (b"\xff\0",)))),
    Case("ALPN: none", raw_ext(EE, X.application_layer_protocol_negotiation, "0000"), *MALFORMED,
         config={"client": {"alpn": ("h2",)}}),
    Case("ALPN: an empty one", raw_ext(EE, X.application_layer_protocol_negotiation, "000100"), *MALFORMED,
         config={"client": {"alpn": ("h2",)}}),
    # 4.3.2
    Case("CertificateRequest: a context", put(CR, certificate_request_context=b"x"), ILLEGAL, "wrong_context", "RFC 8446 4.3.2"),
    Case("CertificateRequest: no signature_algorithms", no_ext(CR, X.signature_algorithms), MISSING, "missing_extension",
         "RFC 8446 4.3.2"),
    Case("CertificateRequest: no extensions", put(CR, extensions=Extensions()), MISSING, "missing_extension", "RFC 8446 4.3.2"),
    Case("CertificateRequest: an empty list", raw_ext(CR, X.signature_algorithms, "0000"), *MALFORMED),
    Case("CertificateRequest: no authorities", raw_ext(CR, X.certificate_authorities, "0000"), *MALFORMED),
    Case("CertificateRequest: an extension of others", raw_ext(CR, X.key_share, "001d"), *MISPLACED),
    Case("CertificateRequest: an extension twice", also_ext(CR, X.signature_algorithms, "00020403"), *DUPLICATE),
    # 4.4.2
    Case("Certificate: empty", put(Certificate, certificate_list=()), DECODE, "no_certificate", "RFC 8446 4.4.2.4"),
    Case("Certificate: a context", swap_certificate(context=b"x"), ILLEGAL, "wrong_context", "RFC 8446 4.4.2"),
    Case("Certificate: of no bytes",
         lambda _: instead(Certificate, lambda m: [b"\x0b\0\0\x09\0\0\0\5\0\0\0\0\0"]), *MALFORMED),
    Case("Certificate: an SCT, unasked", swap_certificate(extensions=SCT), *UNASKED),
    Case("Certificate: an unknown extension", swap_certificate(extensions=Extensions({0x1234: b""})), *UNASKED),
    Case("Certificate: our GREASE extension",
         lambda client: swap_certificate(extensions=Extensions({greased(client, "extension"): b""}))(client), *UNASKED),
    Case("Certificate: an extension of others", swap_certificate(extensions=Extensions({X.key_share: b""})), *MISPLACED),
    # 4.4.3
    *(Case(f"CertificateVerify: {what}", put(CertificateVerify, algorithm=code), *WRONG_SIGNATURE)
      for what, code in (
          ("rsa_pkcs1, which is for certificates", 0x0401),
          ("rsa_pkcs1 with SHA-1", 0x0201),
          ("ecdsa with SHA-1", 0x0203),
          ("a scheme that does not fit the key", 0x0403),
          ("one that nobody has", 0x9999),
          ("GREASE", GREASE),
          ("MD5 and RSA of TLS 1.2", 0x0101),
      )),
    Case("CertificateVerify: a scheme that we have and did not offer", put(CertificateVerify, algorithm=0x0804), *WRONG_SIGNATURE,
         config={"client": {"policy": Policy(groups=("x25519",), signature_schemes=("ed25519",))}}),
    Case("CertificateVerify: another signature", lambda _: edit(CertificateVerify, flip_signature), *BAD_SIGNATURE),
    Case("CertificateVerify: no signature", put(CertificateVerify, signature=b""), *BAD_SIGNATURE),
    Case("CertificateVerify: a byte too many", longer(CertificateVerify), *MALFORMED),
    # 4.4.4
    Case("Finished: another MAC", put(Finished, verify_data=bytes(32)), *BAD_FINISHED),
    Case("Finished: no MAC", put(Finished, verify_data=b""), *BAD_FINISHED),
    Case("Finished: too long", longer(Finished), *BAD_FINISHED),
    Case("Finished: too short", shorter(Finished), *BAD_FINISHED),
    # 5, during the handshake
    Case("ServerHello: the next message begins in its record", lambda _: instead(SH, lambda m: [m, Unheard(b"\x08")]), *EXCESS),
    Case("Finished: the next message begins in its record", lambda _: instead(Finished, lambda m: [m, Unheard(b"\x04")]), *EXCESS),
    Case("a data record before Finished", lambda _: instead(Finished, lambda m: [Record(23, b"early"), m]), UNEXPECTED,
         "unexpected_record", "RFC 8446 2"),
    Case("ChangeCipherSpec, protected", lambda _: instead(Finished, lambda m: [Record(20, b"\1"), m]), UNEXPECTED,
         "unexpected_message", "RFC 8446 5"),
    Case("a protected record of an unknown type", lambda _: instead(Finished, lambda m: [Record(24, b"\1"), m]), UNEXPECTED,
         "unexpected_message", "RFC 8446 5"),
    Case("a record in the middle of a message",
         lambda _: instead(Finished, lambda m: [Unheard(b"\x14\0"), Record(23, b"x"), m]), *INTERRUPTED),
    Case("during the handshake, an alert of one byte", lambda _: instead(EE, lambda m: [Record(21, b"\2"), m]), *MALFORMED),
]  # fmt: skip

# a client that lies -------------------------------------------------------------------------------------------------------

P256_SHARE = KeyShareEntry(0x17, b"\4" + bytes(64))

CLIENT_LIES = [
    # 4.1.2
    *(Case(f"compression methods {methods.hex()}", put(CH, legacy_compression_methods=methods), ILLEGAL, "invalid_compression_list",
           "RFC 8446 4.1.2") for methods in (b"\1", b"\1\0", b"\0\0", b"\0\1")),
    Case("no compression methods", lambda _: edit_bytes(CH, lambda b: b.__delitem__(slice(34, None))), *MALFORMED),
    Case("a session id of 33 bytes", lambda _: edit_bytes(CH, lambda b: b.__setitem__(slice(34, 35), b"\x21x")), *MALFORMED),
    Case("no suites at all", lambda _: edit_bytes(CH, lambda b: b.__setitem__(slice(67, 69 + b[68]), b"\0\0")), *MALFORMED),
    Case("a list of suites of odd length", lambda _: edit_bytes(CH, lambda b: b.__setitem__(slice(67, 69), b"\0\1")), *MALFORMED),
    Case("a byte too many", longer(CH), *MALFORMED),
    Case("a byte short", shorter(CH), *MALFORMED),
    Case("no suite in common", put(CH, cipher_suites=(GREASE, 0xC02B, 0x1399)), Alert.handshake_failure, "no_shared_cipher",
         "RFC 8446 4.1.1", kind=PeerIncompatible),
    # 4.2
    Case("an unknown extension twice", lambda _: instead(CH, lambda m: [add_extension(
        dataclasses.replace(m, extensions=Extensions({**m.extensions, GREASE: b""})), GREASE, b"")]), *DUPLICATE),
    Case("an extension twice", also_ext(CH, X.supported_versions, "020304"), *DUPLICATE),
    Case("an extension of others", raw_ext(CH, X.oid_filters, "0000"), *MISPLACED),
    *(Case(f"{code.name}: bytes behind its end", raw_ext(CH, code, body), *MALFORMED)
      for code, body in (
          (X.supported_versions, "02030400"),
          (X.supported_groups, "0002001d00"),
          (X.signature_algorithms, "0002040300"),
          (X.key_share, "000000"),
          (X.server_name, "000400000161" + "00"),
          (X.application_layer_protocol_negotiation, "0003026832" + "00"),
          (X.cookie, "00016100"),
          (X.psk_key_exchange_modes, "010100"),
          (X.certificate_authorities, "0003000161" + "00"),
          (X.post_handshake_auth, "00"),
          (X.early_data, "00"),
      )),
    *(Case(f"{code.name}: empty", raw_ext(CH, code, body), *MALFORMED)
      for code, body in (
          (X.supported_versions, "00"),
          (X.supported_groups, "0000"),
          (X.signature_algorithms, "0000"),
          (X.signature_algorithms_cert, "0000"),
          (X.server_name, "0000"),
          (X.application_layer_protocol_negotiation, "0000"),
          (X.cookie, "0000"),
          (X.psk_key_exchange_modes, "00"),
          (X.certificate_authorities, "0000"),
          (X.pre_shared_key, "00000000"),
      )),
    # 4.2.1
    Case("no supported_versions", no_ext(CH, X.supported_versions), *NO_VERSION, kind=PeerIncompatible),
    Case("no extensions", put(CH, extensions=Extensions()), *NO_VERSION, kind=PeerIncompatible),
    Case("TLS 1.2 at most", ext(CH, X.supported_versions, (0x0303, 0x0302)), *NO_VERSION, kind=PeerIncompatible),
    Case("nothing but GREASE", ext(CH, X.supported_versions, (GREASE, 0x7F1C)), *NO_VERSION, kind=PeerIncompatible),
    Case("TLS 1.3 in legacy_version", lambda _: edit(
        CH, lambda m: (setattr(m, "legacy_version", 0x0304), m.extensions.pop(X.supported_versions))), *NO_VERSION,
        kind=PeerIncompatible),
    # 4.2.3, 4.2.7, 4.2.8, 9.2
    Case("no signature_algorithms", no_ext(CH, X.signature_algorithms), MISSING, "missing_extension", "RFC 8446 9.2"),
    Case("no supported_groups", no_ext(CH, X.supported_groups), MISSING, "missing_extension", "RFC 8446 9.2"),
    Case("no key_share", no_ext(CH, X.key_share), *NO_SHARE),
    Case("neither of the two", no_ext(CH, X.key_share, X.supported_groups), MISSING, "missing_extension", "RFC 8446 9.2"),
    Case("no scheme in common", ext(CH, X.signature_algorithms, (0x0201, GREASE)), Alert.handshake_failure,
         "no_common_signature_algorithms", "RFC 8446 4.4.2.2", kind=PeerIncompatible),
    Case("no scheme but for certificates", ext(CH, X.signature_algorithms, (0x0401, 0x0501)), Alert.handshake_failure,
         "no_common_signature_algorithms", "RFC 8446 4.4.2.2", kind=PeerIncompatible),
    Case("no group in common", lambda _: edit(
        CH, lambda m: m.extensions.update({X.supported_groups: (GREASE, 0x1E), X.key_share: ()})), Alert.handshake_failure,
        "no_shared_group", "RFC 8446 4.1.1", kind=PeerIncompatible),
    Case("two shares in a group", ext(CH, X.key_share, (key_share(0x1D), key_share(0x1D))), *BAD_SHARE),
    Case("a share in a group that is not supported", ext(CH, X.key_share, (P256_SHARE,)), *BAD_SHARE),
    Case("a share of nothing", raw_ext(CH, X.key_share, "0004001d0000"), *MALFORMED),
    Case("a share that is too short", ext(CH, X.key_share, (key_share(0x1D, bytes(31)),)), *BAD_POINT),
    Case("a share of low order", ext(CH, X.key_share, (key_share(0x1D, bytes(32)),)), ILLEGAL, "bad_key_share", "RFC 8446 7.4.2"),
    # 4.2.9, 4.2.11
    Case("pre_shared_key that is not last", lambda _: edit(
        CH, lambda m: m.extensions.update({X.psk_key_exchange_modes: (1,), X.pre_shared_key: psk(), GREASE: b""})), ILLEGAL,
        "pre_shared_key_must_be_last", "RFC 8446 4.2.11", config={"client": {"grease": False}}),
    Case("pre_shared_key without psk_key_exchange_modes", ext(CH, X.pre_shared_key, psk()), MISSING, "missing_extension",
         "RFC 8446 4.2.9"),
    Case("two identities and one binder", lambda _: edit(
        CH, lambda m: m.extensions.update({X.psk_key_exchange_modes: (1,), X.pre_shared_key: psk(2, 1)})), ILLEGAL,
        "psk_identity_binder_count_mismatch", "RFC 8446 4.2.11"),
    Case("a binder of 31 bytes", raw_ext(CH, X.pre_shared_key, "0007000161000000000020" + "1f" + "00" * 31), *MALFORMED),
    # RFC 6066, RFC 7301
    *(Case(f"server_name: {what}", ext(CH, X.server_name, names), ILLEGAL, "bad_server_name", "RFC 6066 3")
      for what, names in (
          ("two names", (ServerName(0, b"localhost"), ServerName(0, b"localhost"))),
          ("no host name", (ServerName(1, b"localhost"),)),
          ("not ASCII", (ServerName(0, "löcalhost".encode()),)),
          ("NUL", (ServerName(0, b"localhost\0.evil.example"),)),
          ("a line break", (ServerName(0, b"localhost\r\nSet-Cookie: x"),)),
          ("a terminal's escape", (ServerName(0, b"\x1b[31mlocalhost"),)),
      )),
    Case("server_name: of no bytes", raw_ext(CH, X.server_name, "0003000000"), *MALFORMED),
    Case("no protocol in common", ext(CH, X.application_layer_protocol_negotiation, (b"ftp",)), Alert.no_application_protocol,
         "no_application_protocol", "RFC 7301 3.2", config={"server": {"alpn": ("h2",)}}, kind=PeerIncompatible),
    Case("a protocol of no bytes", raw_ext(CH, X.application_layer_protocol_negotiation, "000100"), *MALFORMED),
    # 4.1.2, 4.1.4: the second hello
    *(Case(f"second hello: {what}", second(change), *CHANGED, config=RETRY)
      for what, change in (
          ("another random", lambda m: setattr(m, "random", bytes(32))),
          ("another session id", lambda m: setattr(m, "legacy_session_id", b"")),
          ("other suites", lambda m: setattr(m, "cipher_suites", m.cipher_suites[::-1])),
          ("another legacy_version", lambda m: setattr(m, "legacy_version", 0x0301)),
          ("an extension less", lambda m: m.extensions.pop(X.server_name)),
          ("an extension more", lambda m: m.extensions.update({0x1234: b""})),
          ("another extension", lambda m: m.extensions.update({X.server_name: (ServerName(0, b"evil.example"),)})),
          ("other versions", lambda m: m.extensions.update({X.supported_versions: (0x0304, 0x0303)})),
          ("other groups", lambda m: m.extensions.update({X.supported_groups: (0x17, 0x18)})),
          ("a cookie that nobody gave", lambda m: m.extensions.update({X.cookie: b"mine"})),
      )),
    Case("second hello: compression", second(lambda m: setattr(m, "legacy_compression_methods", b"\1\0")), ILLEGAL,
         "invalid_compression_list", "RFC 8446 4.1.2", config=RETRY),
    Case("second hello: no key_share", second(lambda m: m.extensions.pop(X.key_share)), *NO_SHARE,
         config=RETRY),
    *(Case(f"second hello: {what}", ext(CH, X.key_share, shares, nth=2), *WRONG_CURVE, config=RETRY)
      for what, shares in (
          ("no share", ()),
          ("the first share again", (key_share(0x1D),)),
          ("the share, and another", (P256_SHARE, key_share(0x1D))),
      )),
    Case("second hello: the share is none", ext(CH, X.key_share, (P256_SHARE,), nth=2), *BAD_POINT,
         config=RETRY),
    Case("second hello: early_data", ext(CH, X.early_data, None, nth=2), ILLEGAL, "unexpected_early_data", "RFC 8446 4.1.2",
         config=RETRY),
    Case("second hello: no cookie", no_ext(CH, X.cookie, nth=2), ILLEGAL, "wrong_cookie", "RFC 8446 4.2.2", config=COOKIE),
    Case("second hello: another cookie", ext(CH, X.cookie, bytes(32), nth=2), ILLEGAL, "wrong_cookie", "RFC 8446 4.2.2",
         config=COOKIE),
    Case("second hello: other shares, where only a cookie was asked for", ext(CH, X.key_share, (), nth=2), *CHANGED, config=COOKIE),
    # 4.4.2
    Case("Certificate: a context", swap_certificate(context=b"x"), ILLEGAL, "wrong_context", "RFC 8446 4.4.2"),
    Case("Certificate: an unknown extension", swap_certificate(extensions=Extensions({GREASE: b""})), *UNASKED),
    Case("Certificate: an SCT, unasked", swap_certificate(extensions=SCT), *UNASKED),
    Case("Certificate: none, though required", None, Alert.certificate_required, "certificate_required", "RFC 8446 4.4.2.4",
         config={"client": {"credential": None}}, kind=PeerIncompatible),
    # 4.4.3
    *(Case(f"CertificateVerify: {what}", put(CertificateVerify, algorithm=code), *WRONG_SIGNATURE)
      for what, code in (("rsa_pkcs1", 0x0401), ("SHA-1", 0x0203), ("does not fit the key", 0x0804), ("GREASE", GREASE))),
    Case("CertificateVerify: another signature", lambda _: edit(CertificateVerify, flip_signature), *BAD_SIGNATURE),
    # 4.4.4
    Case("Finished: another MAC", put(Finished, verify_data=bytes(32)), *BAD_FINISHED),
    Case("Finished: too long", longer(Finished), *BAD_FINISHED),
    # 5
    Case("ClientHello: the next message begins in its record", lambda _: instead(CH, lambda m: [m, Unheard(b"\x14")]), *EXCESS),
    Case("ClientHello: and one more, before HelloRetryRequest can have come",
         lambda _: instead(CH, lambda m: [m, Unheard(b"\1\0\0\0")]), *EXCESS, config=RETRY),
    Case("a data record before Finished", lambda _: instead(Finished, lambda m: [Record(23, b"early"), m]), UNEXPECTED,
         "unexpected_record", "RFC 8446 2"),
    Case("ChangeCipherSpec before ClientHello", lambda _: instead(CH, lambda m: [Record(20, b"\1"), m]), UNEXPECTED,
         "unexpected_change_cipher_spec", "RFC 8446 5"),
    Case("a data record before ClientHello", lambda _: instead(CH, lambda m: [Record(23, b"x"), m]), UNEXPECTED,
         "unexpected_record", "RFC 8446 5"),
    Case("an alert of three bytes", lambda _: instead(CH, lambda m: [Record(21, b"\2\x28\0"), m]), *MALFORMED),
    Case("a message of TLS 1.2", lambda _: instead(Finished, lambda m: [b"\x10\0\0\0"]), UNEXPECTED, "unexpected_message",
         "RFC 8446 4"),
]  # fmt: skip

# either, afterwards ---------------------------------------------------------------------------------------------------------


def says(*messages: Message | bytes) -> Callable[[Connection], None]:
    return lambda liar: write_handshake(liar, *messages)


def sends(kind: int, content: bytes) -> Callable[[Connection], None]:
    return lambda liar: write_record(liar, kind, content)


def raw(data: bytes) -> Callable[[Connection], None]:
    return lambda liar: liar._output.append(data)


BAD_UPDATE = (ILLEGAL, "bad_key_update", "RFC 8446 4.6.3")
AFTER_THE_END = (UNEXPECTED, "unexpected_message", "RFC 8446 4.6")
OUT_OF_PLACE = (UNEXPECTED, "unexpected_record", "RFC 8446 5")
NO_CCS = (UNEXPECTED, "unexpected_change_cipher_spec", "RFC 8446 5")


def both_pieces(liar: Connection) -> None:
    """KeyUpdate, with data between its halves."""
    write_record(liar, 22, b"\x18\0\0")
    liar.send_data(b"hello")
    write_record(liar, 22, b"\1\0")


BOTH_LIE_LATER = [
    *(Case(f"KeyUpdate: {value}", None, *BAD_UPDATE, afterwards=says(b"\x18\0\0\1" + bytes((value,)))) for value in (2, 3, 255)),
    Case("KeyUpdate: of no bytes", None, *MALFORMED, afterwards=says(b"\x18\0\0\0")),
    Case("KeyUpdate: of two bytes", None, *MALFORMED, afterwards=says(b"\x18\0\0\2\0\0")),
    Case("KeyUpdate: the next message in its record", None, *EXCESS, afterwards=says(KeyUpdate(0), KeyUpdate(0))),
    Case("KeyUpdate: a piece of the next in its record", None, *EXCESS, afterwards=says(KeyUpdate(0), b"\x18")),
    Case("KeyUpdate: data between its halves", None, *INTERRUPTED, afterwards=both_pieces),
    Case("a certificate is asked for", None, *AFTER_THE_END,
         afterwards=says(CertificateRequest(b"c", Extensions({13: (0x0807,)})))),
    Case("a second Finished", None, *AFTER_THE_END, afterwards=says(Finished(bytes(32)))),
    Case("HelloRequest of TLS 1.2", None, UNEXPECTED, "unexpected_message", "RFC 8446 4", afterwards=says(b"\0\0\0\0")),
    Case("a handshake record of nothing", None, UNEXPECTED, "empty_record", "RFC 8446 5.4",
         afterwards=lambda liar: liar._output.append(liar._records.sealing.seal(22, b""))),  # type: ignore[union-attr]
    Case("an alert of nothing", None, UNEXPECTED, "empty_record", "RFC 8446 5.4",
         afterwards=lambda liar: liar._output.append(liar._records.sealing.seal(21, b""))),  # type: ignore[union-attr]
    Case("an alert of one byte", None, *MALFORMED, afterwards=sends(21, b"\2")),
    Case("two alerts in a record", None, *MALFORMED, afterwards=sends(21, b"\1\0\1\0")),
    Case("ChangeCipherSpec after Finished", None, *NO_CCS, afterwards=raw(b"\x14\3\3\0\1\1")),
    Case("close_notify in plaintext", None, *OUT_OF_PLACE, afterwards=raw(b"\x15\3\3\0\2\1\0")),
    Case("a fatal alert in plaintext", None, *OUT_OF_PLACE, afterwards=raw(b"\x15\3\3\0\2\2\x28")),
    Case("a handshake record in plaintext", None, *OUT_OF_PLACE, afterwards=raw(b"\x16\3\3\0\5\x18\0\0\1\0")),
    Case("a record of an unknown type", None, *OUT_OF_PLACE, afterwards=raw(b"\x18\3\3\0\1x")),
    Case("a record that does not authenticate", None, Alert.bad_record_mac, "bad_record_mac", "RFC 8446 5.2",
         afterwards=raw(b"\x17\3\3\0\x20" + bytes(32))),
    Case("a record of 2^14 + 257 bytes", None, Alert.record_overflow, "record_overflow", "RFC 8446 5.1",
         afterwards=raw(b"\x17\3\3\x41\1")),
]  # fmt: skip

SERVER_LIES_LATER = [
    Case("NewSessionTicket: no ticket", None, *MALFORMED, afterwards=says(b"\4\0\0\x0d" + bytes(13))),
    Case("NewSessionTicket: an extension of others", None, *MISPLACED,
         afterwards=lambda liar: write_handshake(liar, add_extension(ticket(), X.key_share, b""))),
    Case("NewSessionTicket: an extension twice", None, *DUPLICATE,
         afterwards=lambda liar: write_handshake(liar, add_extension(ticket(Extensions({GREASE: b""})), GREASE, b""))),
]  # fmt: skip
CLIENT_LIES_LATER = [
    Case("a ticket from a client", None, *AFTER_THE_END, afterwards=lambda liar: write_handshake(liar, ticket())),
    Case("a second ClientHello", None, *AFTER_THE_END, afterwards=lambda liar: write_handshake(liar, liar.info.client_hello_raw)),
]


def ticket(extensions: Extensions | None = None) -> NewSessionTicket:
    return NewSessionTicket(60, 1, b"n", b"ticket", extensions or Extensions())


def by_name(cases: list[Case]) -> Any:
    names = [case.says for case in cases]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    return pytest.mark.parametrize("case", cases, ids=names)


@by_name(SERVER_LIES + BOTH_LIE_LATER + SERVER_LIES_LATER)
def test_a_server_that_lies(pki: Pki, case: Case) -> None:
    check(pki, "server", case)


@by_name(CLIENT_LIES + BOTH_LIE_LATER + CLIENT_LIES_LATER)
def test_a_client_that_lies(pki: Pki, case: Case) -> None:
    check(pki, "client", case)


@pytest.mark.parametrize("liar", ["server", "client"])
def test_a_signature_of_the_other_role(pki: Pki, liar: str) -> None:
    """Section 4.4.3: the context string keeps a server's signature from being a client's."""
    issued = pki.small.issue("localhost", key="ed25519", client=liar == "client")
    contexts = (SERVER_CONTEXT, CLIENT_CONTEXT) if liar == "server" else (CLIENT_CONTEXT, SERVER_CONTEXT)

    def sign(scheme: int, data: bytes) -> bytes:
        assert contexts[0] in data
        return SCHEMES[scheme].sign(issued.key, data.replace(*contexts))

    credential = Credential(issued.chain, signer=sign)
    config = {"server": {"credentials": (credential,)}} if liar == "server" else {"client": {"credential": credential}}
    check(pki, liar, Case("", None, *BAD_SIGNATURE, config=config))


# what must be tolerated -----------------------------------------------------------------------------------------------------

GREASE_LIST = (GREASE, 0x1A1A)
OK_FROM_A_SERVER: dict[str, MakeLie] = {
    "EncryptedExtensions: supported_groups (4.2.7)": ext(EE, X.supported_groups, (GREASE, 0x1D)),
    "EncryptedExtensions: none": put(EE, extensions=Extensions()),
    "CertificateRequest: unknown extensions (4.3.2)": also_ext(CR, GREASE, "00"),
    "CertificateRequest: GREASE among the schemes": lambda _: edit(
        CR, lambda m: m.extensions.update({13: (*GREASE_LIST, *m.extensions[13])})
    ),
    "CertificateRequest: oid_filters (4.2.5)": raw_ext(CR, X.oid_filters, "0000"),
    "CertificateRequest: status_request and SCT": lambda _: edit(
        CR, lambda m: m.extensions.update({X.status_request: b"", X.signed_certificate_timestamp: None})
    ),
    "CertificateRequest: server_name (RFC 9261)": raw_ext(CR, X.server_name, ""),
    "CertificateRequest: authorities that we do not have (4.2.4)": ext(CR, X.certificate_authorities, (b"nobody",)),
    "messages in their own records": lambda _: lambda m: [m, Record(22, b"")],
}
OK_FROM_A_CLIENT: dict[str, MakeLie] = {
    "legacy_version 0x0304 (4.2.1)": put(CH, legacy_version=0x0304),
    "legacy_version 0x1234 (4.2.1)": put(CH, legacy_version=0x1234),
    "no session id (appendix D.4)": put(CH, legacy_session_id=b""),
    "a session id of 3 bytes": put(CH, legacy_session_id=b"abc"),
    "unknown suites and SCSVs": put(CH, cipher_suites=(GREASE, 0x00FF, 0x5600, 0xC02B, 0x1301)),
    "unknown versions": ext(CH, X.supported_versions, (GREASE, 0x0305, 0x7F1C, 0x0304, 0x0300)),
    "unknown groups": lambda _: edit(CH, lambda m: m.extensions.update({10: (GREASE, 0x6399, *m.extensions[10])})),
    "unknown schemes": lambda _: edit(CH, lambda m: m.extensions.update({13: (*GREASE_LIST, 0x0201, *m.extensions[13])})),
    "unknown extensions": also_ext(CH, 0x9999, "0102"),
    "an unknown PSK mode": ext(CH, X.psk_key_exchange_modes, (0x0B, 0x2A)),
    "a PSK that is not known (4.2.11)": lambda _: edit(
        CH, lambda m: m.extensions.update({X.psk_key_exchange_modes: (1,), X.pre_shared_key: psk()})
    ),
    "unknown protocols": ext(CH, X.application_layer_protocol_negotiation, (b"\x0a\x0a", b"h2")),
    "a cookie that nobody gave, in the first hello": ext(CH, X.cookie, b"old"),
    "post_handshake_auth": ext(CH, X.post_handshake_auth, None),
    "what TLS 1.2 would want": lambda _: edit(
        CH,
        lambda m: m.extensions.update(
            {
                X.ec_point_formats: (0,),
                X.session_ticket: b"",
                X.extended_master_secret: None,
                X.encrypt_then_mac: None,
                X.renegotiation_info: b"",
            }
        ),
    ),
    "padding": ext(CH, X.padding, bytes(300)),
    "status_request and SCT": lambda _: edit(
        CH,
        lambda m: m.extensions.update({X.signed_certificate_timestamp: None}),
    ),
    "record_size_limit and others that we do not do": lambda _: edit(
        CH, lambda m: m.extensions.update({X.record_size_limit: 64, X.max_fragment_length: 1, X.compress_certificate: (1, 2)})
    ),
    "duplicate groups, which may be refused (4.2.7)": lambda _: edit(CH, lambda m: m.extensions.update({10: m.extensions[10] * 2})),
}


@pytest.mark.parametrize("what", OK_FROM_A_SERVER)
def test_tolerated_from_a_server(pki: Pki, what: str) -> None:
    meeting, honest, _ = run(pki, "server", OK_FROM_A_SERVER[what], {})
    assert honest.error is None
    assert meeting.completed == (True, True)


@pytest.mark.parametrize("what", OK_FROM_A_CLIENT)
def test_tolerated_from_a_client(pki: Pki, what: str) -> None:
    """The server goes on; what the liar makes of an answer to words that it did not choose is its own affair."""
    _, honest, _ = run(pki, "client", OK_FROM_A_CLIENT[what], {"server": NO_AUTH})
    assert not isinstance(honest.error, PeerMisbehaved | PeerIncompatible), honest.error
    assert honest.info.version == "TLSv1.3"


@pytest.mark.parametrize("change", [{"padding": b"x"}, {"padding": b""}])
def test_padding_may_change_in_a_second_hello(pki: Pki, change: dict[str, bytes]) -> None:
    """Section 4.1.2."""
    meeting, *_ = run(pki, "client", ext(CH, X.padding, change["padding"], nth=2), RETRY)
    assert meeting.completed == (True, True)


def test_tickets_with_grease_are_taken(pki: Pki) -> None:
    """Section 4.6.1: unknown extensions are ignored."""
    meeting, honest, lying = run(pki, "server", None, {})
    write_handshake(lying, ticket(Extensions({GREASE: b"x", 0x9999: b"", X.early_data: 100})))
    events = meet(meeting.client, meeting.server).client_events
    assert len(events) == 1
    assert honest.error is None


@pytest.mark.parametrize("grease", [False, True])
def test_our_tickets_have_grease(pki: Pki, grease: bool) -> None:
    """RFC 8701 section 4.1, so that clients stay tolerant, too."""
    said: list[Any] = []
    client = ClientConnection(pki.client_config(session_store=MemoryStore()), server_hostname="localhost")
    meeting = meet(client, lying_server(pki.server_config(grease=grease), overheard(said)))
    assert meeting.completed == (True, True)
    tickets = [message for message in said if isinstance(message, NewSessionTicket)]
    assert [sum(map(is_grease, ticket.extensions)) for ticket in tickets] == [grease, grease]


def test_our_own_grease_is_everywhere_and_new_each_time(pki: Pki) -> None:
    """RFC 8701 section 3.1: wherever a list may grow, and twice in the extensions; never in what servers must answer."""
    seen = set()
    for _ in range(40):
        hello = ClientConnection(pki.client_config(), server_hostname="localhost").info.client_hello
        kinds = [kind for kind in hello.extensions if is_grease(kind)]
        assert len(set(kinds)) == 2
        assert next(iter(hello.extensions)) == kinds[0]
        assert hello.extensions[kinds[0]] == b""
        lists = [hello.extensions[kind] for kind in (X.supported_groups, X.signature_algorithms, X.supported_versions)]
        for values in hello.cipher_suites, *lists, [share.group for share in hello.extensions[X.key_share]]:
            assert is_grease(values[0])
            assert not any(is_grease(value) for value in values[1:])
        seen.add((hello.cipher_suites[0], *kinds))
    assert len(seen) > 20
    quiet = ClientConnection(pki.client_config(grease=False), server_hostname="localhost").info.client_hello
    assert not any(is_grease(kind) for kind in (*quiet.extensions, *quiet.cipher_suites, *quiet.extensions[10]))


def test_extensions_in_any_order(pki: Pki) -> None:
    """Section 4.2: another one each time, which the second hello keeps; a PSK stays last."""
    store, tickets = MemoryStore(), TicketKeys()
    orders = set()
    for number in range(8):
        said: list[Any] = []
        server_config = pki.server_config(tickets=tickets, policy=Policy(groups=("secp384r1",)))
        client = lying_client(pki.client_config(permute_extensions=True, session_store=store), overheard(said))
        meeting = meet(client, ServerConnection(server_config))
        assert meeting.completed == (True, True)
        first, second = (list(hello.extensions) for hello in said if isinstance(hello, ClientHello))
        assert first == second
        assert (first[-1] == X.pre_shared_key) is bool(number)
        orders.add(tuple(kind for kind in first if not is_grease(kind)))
    assert len(orders) > 6
    assert len({frozenset(order) for order in orders}) == 2  # with a PSK, and without


@pytest.mark.parametrize("fallen", [False, True])
def test_a_hello_that_fell_back_says_so(pki: Pki, fallen: bool) -> None:
    """RFC 7507 section 4."""
    policy = Policy.intermediate.replace(versions=("TLSv1.2",))
    client = ClientConnection(pki.client_config(policy=policy, fallback_scsv=fallen), server_hostname="localhost")
    meeting = meet(client, ServerConnection(pki.server_config()))
    assert meeting.completed == (not fallen, not fallen)
    if fallen:
        assert client.info.client_hello.cipher_suites[-1] == 0x5600
        assert meeting.server.error.reason == "inappropriate_fallback"
