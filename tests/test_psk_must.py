"""Every MUST about pre-shared keys: what one side must not say, and how the other ends it.

Sections are RFC 8446's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from minitls import Alert, ExternalPsk, PeerIncompatible, PeerMisbehaved, TLSError
from minitls.crypto.schedule import hash_length
from minitls.sessions.tickets import TicketKeys
from minitls.wire.codec import Extensions
from minitls.wire.extensions import KeyShareEntry, OfferedPsks
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.messages import Certificate, CertificateRequest, EncryptedExtensions, Finished
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import Lie, edit, instead
from tests.resuming import AES128, AES256, QUICK, Fields, Pair, refused, suites

MakeLie = Callable[[], Lie]
KEY, IDENTITY = bytes(range(32)), b"we two"


@dataclass(frozen=True)
class Case:
    """A lie at the second meeting; ``first``: the fields of both configurations, ``then``: what of them is changed between."""

    lie: MakeLie
    alert: Alert
    reason: str
    section: str
    first: Mapping[str, Fields] = field(default_factory=dict)
    then: Mapping[str, Fields] = field(default_factory=dict)
    kind: type[TLSError] = PeerMisbehaved


def run(pki: Pki, liar: str, case: Case) -> None:
    pair = Pair(pki, **case.first)
    assert pair.meet().completed == (True, True)
    pair.change(**case.then)
    meeting = pair.meet(**{f"{liar}_lie": case.lie()})
    who = meeting.server if liar == "client" else meeting.client
    refused(who, case.kind, case.alert, case.reason, meeting)
    assert getattr(who.error, "rule", None) == f"RFC 8446 {case.section}"


# how to lie ---------------------------------------------------------------------------------------------------------------


def put(kind: Any, nth: int = 1, **extensions: Any) -> MakeLie:
    """These extensions in their places, or in front of all others."""

    def change(message: Any) -> None:
        message.extensions = Extensions({**{X[name]: value for name, value in extensions.items()}, **message.extensions})
        message.extensions.update({X[name]: value for name, value in extensions.items()})

    return lambda: edit(kind, change, nth)


def no(kind: Any, *names: str) -> MakeLie:
    return lambda: edit(kind, lambda message: [message.extensions.pop(X[name], None) for name in names])


def before_finished(*messages: Any) -> MakeLie:
    return lambda: instead(Finished, lambda message: [*messages, message])


def something_behind(message: Any) -> None:
    message.extensions[X.padding] = b"\0"


def another_psk(message: Any) -> None:
    (identity,) = message.extensions[X.pre_shared_key].identities
    identity.identity = b"somebody else's"


def binders(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]], nth: int = 1) -> Lie:
    def edit_binders(message: Any) -> None:
        offered = message.extensions[X.pre_shared_key]
        message.extensions[X.pre_shared_key] = OfferedPsks(offered.identities, change(offered.binders))

    return edit(ClientHello, edit_binders, nth)


def same_binder_again() -> Lie:
    first: list[tuple[bytes, ...]] = []

    def lie(message: Any) -> Any:
        if isinstance(message, ClientHello):
            first.append(message.extensions[X.pre_shared_key].binders)
            return binders(lambda _: first[0])(message)
        return [message]

    return lie


PSK = {"psk": lambda _: (IDENTITY, KEY)}
EXTERNAL: Mapping[str, Fields] = {"client": PSK, "server": {"psk": {IDENTITY: KEY}.get, "tickets": TicketKeys()}}
PSK_KE = {role: {"policy": QUICK.replace(psk_key_exchange_modes=("psk_ke",))} for role in ("client", "server")}
TWO_HASHES = {role: suites(AES128, AES256) for role in ("client", "server")}
RETRY = {"client": {"policy": QUICK.replace(key_shares=())}}
NOT_KNOWN: Mapping[str, Fields] = {"server": {"tickets": TicketKeys()}}

CERTIFICATE = Certificate(b"", ())
REQUEST = CertificateRequest(b"", Extensions({X.signature_algorithms: (0x0403,)}))
WRONG, UNEXPECTED, MISSING = Alert.illegal_parameter, Alert.unexpected_message, Alert.missing_extension

OF_A_SERVER = {
    "a PSK that was not offered": Case(put(ServerHello, pre_shared_key=1), WRONG, "psk_identity_not_found", "4.2.11"),
    "the last PSK that there could be": Case(put(ServerHello, pre_shared_key=0xFFFF), WRONG, "psk_identity_not_found", "4.2.11"),
    "a PSK to who offered none": Case(
        put(ServerHello, pre_shared_key=0),
        Alert.unsupported_extension,
        "unsolicited_extension",
        "4.2",
        then={"client": {"session_store": None}},
    ),
    "a suite of another hash than the PSK's": Case(
        lambda: edit(ServerHello, lambda message: setattr(message, "cipher_suite", 0x1302)),
        WRONG,
        "old_session_prf_hash_mismatch",
        "4.2.11",
        TWO_HASHES,
    ),
    "psk_dhe_ke without a share": Case(no(ServerHello, "key_share"), WRONG, "missing_key_share", "4.2.11"),
    "a share to psk_ke": Case(
        put(ServerHello, key_share=KeyShareEntry(29, b"\x09" * 32)), WRONG, "unexpected_key_share", "4.2.9", PSK_KE
    ),
    "neither share nor PSK": Case(no(ServerHello, "key_share", "pre_shared_key"), MISSING, "missing_key_share", "9.2", PSK_KE),
    "that it takes early data, unasked": Case(
        put(EncryptedExtensions, early_data=None), Alert.unsupported_extension, "unsolicited_extension", "4.2"
    ),
    "CertificateRequest after a PSK": Case(before_finished(REQUEST), UNEXPECTED, "unexpected_message", "4"),
    "Certificate after a PSK": Case(before_finished(CERTIFICATE), UNEXPECTED, "unexpected_message", "4"),
    "Certificate after a key from elsewhere": Case(
        before_finished(CERTIFICATE), UNEXPECTED, "unexpected_message", "4", then=EXTERNAL
    ),
}
OF_A_CLIENT = {
    "pre_shared_key, and something behind it": Case(
        lambda: edit(ClientHello, something_behind), WRONG, "pre_shared_key_must_be_last", "4.2.11"
    ),
    "no psk_key_exchange_modes": Case(no(ClientHello, "psk_key_exchange_modes"), MISSING, "missing_extension", "4.2.9"),
    "two binders for one identity": Case(
        lambda: binders(lambda given: given * 2), WRONG, "psk_identity_binder_count_mismatch", "4.2.11"
    ),
    "one binder for two identities": Case(
        lambda: binders(lambda given: given[:1]),
        WRONG,
        "psk_identity_binder_count_mismatch",
        "4.2.11",
        then={"client": PSK},
    ),
    "another hello than the one that is bound": Case(
        lambda: edit(ClientHello, lambda message: setattr(message, "random", bytes(32))),
        Alert.decrypt_error,
        "digest_check_failed",
        "4.2.11",
    ),
    "a longer binder": Case(
        lambda: binders(lambda given: (given[0] + b"\0",)), Alert.decrypt_error, "digest_check_failed", "4.2.11"
    ),
    "the first hello's binder in the second": Case(same_binder_again, Alert.decrypt_error, "digest_check_failed", "4.2.11", RETRY),
    "early_data in the second hello": Case(
        put(ClientHello, nth=2, early_data=None), WRONG, "unexpected_early_data", "4.1.2", RETRY
    ),
    "no PSK in the second hello, which was to be used alone": Case(
        lambda: edit(ClientHello, lambda message: message.extensions.pop(X.pre_shared_key), nth=2),
        MISSING,
        "missing_extension",
        "4.1.2",
        {"client": PSK_KE["client"], "server": PSK_KE["server"] | {"send_cookie": True}},
    ),
    "no PSK in the second hello": Case(
        lambda: edit(ClientHello, lambda message: message.extensions.pop(X.pre_shared_key), nth=2),
        MISSING,
        "missing_extension",
        "4.1.2",
        RETRY,
    ),
    "another PSK in the second hello": Case(
        lambda: edit(ClientHello, another_psk, nth=2), WRONG, "psk_identity_not_found", "4.1.2", RETRY
    ),
    "a PSK that nobody knows, and no share": Case(
        no(ClientHello, "key_share", "supported_groups", "signature_algorithms"),
        Alert.unknown_psk_identity,
        "unknown_psk_identity",
        "4.2.11",
        then=NOT_KNOWN,
        kind=PeerIncompatible,
    ),
    "a PSK that nobody knows, and no signature_algorithms": Case(
        no(ClientHello, "signature_algorithms"), MISSING, "missing_extension", "9.2", then=NOT_KNOWN, kind=PeerIncompatible
    ),
    "a PSK, and a share without supported_groups": Case(no(ClientHello, "supported_groups"), MISSING, "missing_extension", "9.2"),
    "a PSK, and supported_groups without a share": Case(no(ClientHello, "key_share"), MISSING, "missing_key_share", "9.2"),
}


@pytest.mark.parametrize("what", OF_A_SERVER)
def test_what_a_server_must_not_say(pki: Pki, what: str) -> None:
    """Each ends in the one alert that the RFC names, and the server hears it."""
    run(pki, "server", OF_A_SERVER[what])


@pytest.mark.parametrize("what", OF_A_CLIENT)
def test_what_a_client_must_not_say(pki: Pki, what: str) -> None:
    """Each ends in the one alert that the RFC names, and the client hears it."""
    run(pki, "client", OF_A_CLIENT[what])


@pytest.mark.parametrize("suite", [AES128, AES256])
def test_each_byte_of_a_binder(pki: Pki, suite: str) -> None:
    """Section 4.2.11.2: decrypt_error, whichever it is."""
    psk = ExternalPsk(IDENTITY, KEY, "sha384" if suite == AES256 else "sha256")
    pair = Pair(pki, suites(suite) | {"psk": lambda _: psk}, suites(suite) | {"psk": {IDENTITY: psk}.get})
    for at in range(hash_length(psk.hash_name)):

        def flip(given: tuple[bytes, ...], at: int = at) -> tuple[bytes, ...]:
            binder = bytearray(given[0])
            binder[at] ^= 1 << at % 8
            return (bytes(binder),)

        meeting = pair.meet(client_lie=binders(flip))
        refused(meeting.server, PeerMisbehaved, Alert.decrypt_error, "digest_check_failed", meeting)
    assert pair.meet().completed == (True, True)
