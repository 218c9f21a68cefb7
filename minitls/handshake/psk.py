"""Pre-shared keys in TLS 1.3 (RFC 8446 section 4.2.11): offered by a client, chosen by a server, from tickets and from elsewhere.

A PSK is offered with a binder, an HMAC over the hello up to the binders: who offers it has it, and nobody can move it into
another hello.  A server looks at the binder of the one that it chose, and at no other.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from minitls.config import ClientAuth, ClientConfig, OurPsk, ServerConfig, TheirPsk
from minitls.crypto.psk import KDFS, ExternalPsk, KnownPsks, read_imported_identity
from minitls.crypto.schedule import EarlySecret, hash_length
from minitls.crypto.suites import SUITES, Suite
from minitls.data import dataclass, replace
from minitls.errors import Alert, Misuse, PeerMisbehaved
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.handshake.negotiate import common_suites
from minitls.handshake.raw_keys import types_processed
from minitls.handshake.resume import DIGEST, Remembered, context_of, is_bound_to, open_ticket, recall, remembered
from minitls.handshake.resume13 import began_with_psk, remembered_key
from minitls.policy import Policy
from minitls.sessions.session import Session
from minitls.wire.codec import Extensions
from minitls.wire.extensions import OfferedPsks, PskIdentity
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.messages import write_message
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion, PskKeyExchangeMode

MAX_IDENTITIES = 8
"""How many of a client's identities a server looks at: each costs a decryption, or a question to the application."""

AGE_UNKNOWN = 0
"""obfuscated_ticket_age of an external PSK (section 4.2.11)."""


@dataclass(frozen=True, slots=True)
class Psk:
    """A key that may be used, on either side.

    ``label``: what its binder is labelled with.  ``known``: the session that it is of; None for one from elsewhere.
    ``external``: what the application has, of one from elsewhere.  ``index``: on a server, which of the client's identities it is.
    """

    identity: bytes
    secret: EarlySecret
    label: bytes
    known: Remembered | None = None
    index: int = 0
    external: ExternalPsk | None = None

    @property
    def hash_name(self) -> str:
        return self.secret.hash_name

    def obfuscated_age(self, now: float) -> int:
        """Milliseconds since we got the ticket, so that only its maker can read them (section 4.2.11.1)."""
        if self.known is None:
            return AGE_UNKNOWN
        session = self.known.session
        return (max(0, int(now * 1000) - session.created) + session.age_add) % 2**32


def of_session(identity: bytes, known: Remembered, index: int = 0) -> Psk:
    secret = EarlySecret(SUITES[known.session.cipher_suite].hash_name, known.session.secret)
    return Psk(identity, secret, EarlySecret.RESUMPTION, known, index)


def recall_psk(hs: Handshake, psk: Psk, *, with_key_exchange: bool) -> None:
    """Who shares the PSK is who it was made with; nobody shows a certificate."""
    if psk.known is not None:
        session = psk.known.session
        recall(hs, psk.known, "psk_dhe_ke" if with_key_exchange else "psk_ke")
        if began_with_psk(session):
            hs.info.psk_identity, hs.info._shared_key = session.identity[DIGEST:], session.identity
    elif psk.external is not None:
        hs.info.psk_identity, hs.info._shared_key = psk.external.identity, remembered_key(psk.external)


# the client -------------------------------------------------------------------------------------------------------------


def external_psks(config: ClientConfig) -> Flow[tuple[Psk, ...]]:
    """What the application shares with the server: a plain key is of one hash, an imported one stands for each of ours.

    Raises Misuse for a plain key that no cipher suite fits, and for none where one is required.
    """
    if config.psk is None or ProtocolVersion.TLSv1_3 not in config.policy.versions:
        return ()
    keys = our_keys((yield from resolve(config.psk, None)))
    if not keys and config.psk_required:
        raise Misuse("psk_required, and there is no key")
    hashes = {SUITES[int(code)].hash_name for code in config.policy.cipher_suites if code in SUITES}
    found: list[Psk] = []
    for key in keys:
        if key.imported:
            found += (imported_psk(key, name) for name in KDFS if name in hashes)
        elif key.hash_name in hashes:
            found.append(plain_psk(key))
        else:
            raise Misuse(f"the PSK is of {key.hash_name}, and no cipher suite of the policy is")
    return tuple(found)


def our_keys(answer: OurPsk) -> tuple[ExternalPsk, ...]:
    """An application's answer, in the form in which it is most."""
    if answer is None:
        return ()
    if isinstance(answer, ExternalPsk):
        return (answer,)
    pair: Any = answer
    return (ExternalPsk(*pair),) if pair and isinstance(pair[0], bytes) else tuple(pair)


def plain_psk(key: ExternalPsk, index: int = 0) -> Psk:
    return Psk(key.identity, EarlySecret(key.hash_name, key.key), EarlySecret.EXTERNAL, index=index, external=key)


def imported_psk(key: ExternalPsk, hash_name: str, index: int = 0) -> Psk:
    """RFC 9258 section 5.1."""
    secret = EarlySecret(hash_name, key.imported_key(hash_name))
    return Psk(key.imported_identity(hash_name), secret, EarlySecret.IMPORTED, index=index, external=key)


def offer_psks(extensions: Extensions, psks: Sequence[Psk], now: float) -> None:
    """Put the identities into a hello, last of all, with room for the binders."""
    identities = tuple(PskIdentity(psk.identity, psk.obfuscated_age(now)) for psk in psks)
    extensions.pop(X.pre_shared_key, None)
    if psks:
        extensions[X.pre_shared_key] = OfferedPsks(identities, tuple(bytes(hash_length(psk.hash_name)) for psk in psks))


def send_bound(hs: Handshake, hello: ClientHello, psks: Sequence[Psk]) -> None:
    """Send the hello with its binders, which cover all that stands before them (section 4.2.11.2)."""
    if not psks:
        hs.send(hello)
        return
    offered: OfferedPsks = hello.extensions[X.pre_shared_key]
    partial = without_binders(write_message(hello), offered)
    offered.binders = tuple(psk.secret.binder(psk.label, hs.transcript.through(psk.hash_name, partial)) for psk in psks)
    binders = b"".join(bytes((len(binder),)) + binder for binder in offered.binders)
    hello.raw = partial + len(binders).to_bytes(2, "big") + binders
    hs.send(hello, hello.raw)


def without_binders(raw: bytes, offered: OfferedPsks) -> bytes:
    """Partial ClientHello: its bytes up to the list of binders, which is the last thing in it."""
    return raw[: -2 - sum(1 + len(binder) for binder in offered.binders)]


def accepted_psk(psks: Sequence[Psk], answer: ServerHello, suite: Suite) -> Psk | None:
    """What the server chose of our offer.  Raises illegal_parameter for what it cannot choose."""
    index: int | None = answer.extensions.get(X.pre_shared_key)
    if index is None:
        return None
    if index >= len(psks):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server chose PSK number {index}, and we offered {len(psks)}",
            rule="RFC 8446 4.2.11",
            reason="psk_identity_not_found",
        )
    if psks[index].hash_name != suite.hash_name:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the server chose a PSK of {psks[index].hash_name} and a cipher suite of {suite.hash_name}",
            rule="RFC 8446 4.2.11",
            reason="old_session_prf_hash_mismatch",
        )
    return psks[index]


# the server -------------------------------------------------------------------------------------------------------------


def choose_psk(hs: Handshake, config: ServerConfig, hello: ClientHello) -> Flow[Psk | None]:
    """The first of the client's PSKs that we know and a common suite fits; of keys from elsewhere the first of ours, where they
    have an order.
    """
    offered: OfferedPsks | None = hello.extensions.get(X.pre_shared_key)
    if offered is None or choose_mode(hello, config.policy) is None:
        return None
    hashes = {suite.hash_name for suite in common_suites(hello.cipher_suites, config.policy)}
    order = config.psk.keys if isinstance(config.psk, KnownPsks) else ()
    found: list[Psk] = []
    for index, identity in enumerate(offered.identities[:MAX_IDENTITIES]):
        psk = yield from session_psk(hs, config, hello, identity.identity, index)
        if psk is None and config.psk is not None and config.client_auth is not ClientAuth.require:  # who has a key shows none
            psk = yield from external_psk(config, identity.identity, index)
        if psk is None or psk.hash_name not in hashes:
            continue
        if psk.external in order:
            found.append(psk)
        elif found:
            break
        else:
            return psk
    return min(found, key=lambda psk: order.index(psk.external), default=None)


def offered_again(hello: ClientHello, psk: Psk) -> Psk:
    """The PSK that we chose, in a second hello: only those may be missing there that do not fit the suite (section 4.1.2)."""
    offered: OfferedPsks | None = hello.extensions.get(X.pre_shared_key)
    if offered is None:
        raise PeerMisbehaved(
            Alert.missing_extension,
            "the second ClientHello has no pre_shared_key, and the first had",
            rule="RFC 8446 4.1.2",
            reason="missing_extension",
        )
    for index, each in enumerate(offered.identities):
        if each.identity == psk.identity:
            return replace(psk, index=index)
    raise PeerMisbehaved(
        Alert.illegal_parameter,
        "the second ClientHello has not the PSK of the first that we chose",
        rule="RFC 8446 4.1.2",
        reason="psk_identity_not_found",
    )


def choose_mode(hello: ClientHello, policy: Policy) -> PskKeyExchangeMode | None:
    """How the PSK will be used (section 4.2.9): with a key exchange, wherever both can."""
    offered = hello.extensions[X.psk_key_exchange_modes]
    common = [mode for mode in policy.psk_key_exchange_modes if mode in offered]
    if PskKeyExchangeMode.psk_dhe_ke in common and X.key_share in hello.extensions:
        return PskKeyExchangeMode.psk_dhe_ke
    return PskKeyExchangeMode.psk_ke if PskKeyExchangeMode.psk_ke in common else None


def session_psk(hs: Handshake, config: ServerConfig, hello: ClientHello, identity: bytes, index: int) -> Flow[Psk | None]:
    """The key of a ticket of ours."""
    session = yield from open_ticket(config, identity)
    if (
        session is None
        or session.version != ProtocolVersion.TLSv1_3
        or session.cipher_suite not in SUITES
        or not is_bound_to(session, hs.info.server_name)
        or session.context != context_of(config)
        or session.certificate_type not in types_processed(hello)
        or not session.alive(config.clock())
        or (config.client_auth is ClientAuth.require and not session.has_peer)
        or not (yield from still_shared(config, session))
    ):
        return None
    known = yield from remembered(config, session, None)
    return None if known is None else of_session(identity, known, index)


def still_shared(config: ServerConfig, session: Session) -> Flow[bool]:
    """Whether a session that began with a PSK may go on: as certificates are verified again, who knows the key is asked again."""
    if not began_with_psk(session):
        return True
    if config.psk is None:
        return False
    key = their_key(session.identity[DIGEST:], (yield from resolve(config.psk, session.identity[DIGEST:])))
    return key is not None and remembered_key(key) == session.identity


def their_key(identity: bytes, answer: TheirPsk) -> ExternalPsk | None:
    return ExternalPsk(identity, answer) if isinstance(answer, bytes) else answer


def external_psk(config: ServerConfig, identity: bytes, index: int) -> Flow[Psk | None]:
    """The key that the application has for an identity: as it stands, or as it was imported (RFC 9258 section 5.1)."""
    assert config.psk is not None
    key = their_key(identity, (yield from resolve(config.psk, identity)))
    if key is not None and not key.imported:
        return replace(plain_psk(key, index), identity=identity)
    read = read_imported_identity(identity)
    if read is None:
        return None
    imported, hash_name = read
    answer = yield from resolve(config.psk, imported.external_identity)
    if not isinstance(answer, ExternalPsk) or answer.context != imported.context:
        return None
    return replace(imported_psk(answer, hash_name, index), identity=identity)


def check_binder(hs: Handshake, hello: ClientHello, psk: Psk) -> None:
    """Section 4.2.11.2: the client has the key, and said just this hello.  Raises decrypt_error."""
    offered: OfferedPsks = hello.extensions[X.pre_shared_key]
    transcript_hash = hs.transcript.before_last(without_binders(hello.raw, offered))
    if not hmac.compare_digest(offered.binders[psk.index], psk.secret.binder(psk.label, transcript_hash)):
        raise PeerMisbehaved(
            Alert.decrypt_error,
            "the client's PSK binder is wrong: it does not have the key, or somebody changed its hello",
            rule="RFC 8446 4.2.11",
            reason="digest_check_failed",
        )
