"""0-RTT: data in the client's first flight, before the server has said a word (RFC 8446 sections 2.3 and 4.2.10).

It is sealed under a key that comes from the PSK alone.  So it has no forward secrecy, and whoever records the flight can send
it again: the server takes it only from a ticket that is used for the first time, and at the time at which it says it was sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.suites import SUITES, Suite
from minitls.errors import Alert, PeerMisbehaved
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.info import EarlyDataReason
from minitls.wire.extensions import OfferedPsks
from minitls.wire.hello import ClientHello
from minitls.wire.messages import EncryptedExtensions
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion

if TYPE_CHECKING:
    from minitls.handshake.client import Offer
    from minitls.handshake.psk import Psk
    from minitls.handshake.resume import Remembered

REJECTED: Mapping[EarlyDataReason, str] = {
    EarlyDataReason.disabled: "we take none",
    EarlyDataReason.no_session: "the client offers no ticket that it would belong to",
    EarlyDataReason.session_not_resumed: "the client's first PSK is not a ticket of ours",
    EarlyDataReason.not_allowed: "the ticket does not allow it, or more than we take by now",
    EarlyDataReason.alpn_mismatch: "the application protocol is not the ticket's",
    EarlyDataReason.cipher_suite_mismatch: "the cipher suite is not the ticket's",
    EarlyDataReason.ticket_age: "the ticket's age is wrong: it was recorded, or clocks are",
    EarlyDataReason.hello_retry_request: "the client has to say hello again",
    EarlyDataReason.replayed: "the ticket was used before, or nobody knows",
}
"""Why a server drops it, for people."""


# the client -------------------------------------------------------------------------------------------------------------


def obstacle(config: ClientConfig, known: Remembered | None, early_data: bytes | bytearray | None) -> EarlyDataReason | None:
    """Why none may go with the first flight; None where it may: the session allows so much, and fits what we offer now.

    ``early_data``: what there is to say, maybe nothing yet; None: the application has nothing to do with it.
    """
    if early_data is None:
        return EarlyDataReason.disabled
    if ProtocolVersion.TLSv1_3 not in config.policy.versions:
        return EarlyDataReason.protocol_version
    if known is None or known.session.version != ProtocolVersion.TLSv1_3:
        return EarlyDataReason.no_session
    session = known.session
    if not session.max_early_data or len(early_data) > session.max_early_data:
        return EarlyDataReason.not_allowed
    if session.alpn and session.alpn.decode("ascii", "replace") not in config.alpn:
        return EarlyDataReason.alpn_mismatch
    return None if session.cipher_suite in config.policy.cipher_suites else EarlyDataReason.cipher_suite_mismatch


def send(hs: Handshake, offer: Offer) -> None:
    """The early data that is there already, behind the ClientHello; more may follow until the server has finished."""
    psk = offer.psks[0]
    assert psk.known is not None
    session = psk.known.session
    if offer.hello.legacy_session_id:  # middlebox compatibility mode (appendix D.4)
        hs.send_change_cipher_spec()
    suite = SUITES[session.cipher_suite]
    hs.install_write_key(suite, psk.secret.client_traffic(hs.transcript.through(suite.hash_name)))
    hs.begin_early_data(session.max_early_data)


def is_accepted(hs: Handshake, psk: Psk | None, suite: Suite, hello: ClientHello, answers: EncryptedExtensions) -> bool:
    """Whether the server took it.  Raises illegal_parameter where it cannot have."""
    if X.early_data not in answers.extensions:
        if hs.info.early_data_reason is None:
            hs.info.early_data_reason = (
                EarlyDataReason.session_not_resumed if psk is None or psk.known is None else EarlyDataReason.refused
            )
        return False
    first = hello.extensions[X.pre_shared_key].identities[0].identity
    known = None if psk is None or psk.identity != first else psk.known
    if known is None:
        raise _impossible("PSK", "unexpected_early_data")
    if known.session.cipher_suite != suite.code:
        raise _impossible("cipher suite", "cipher_mismatch_on_early_data")
    if known.session.alpn.decode("ascii") != (hs.info.alpn_protocol or ""):
        raise _impossible("application protocol", "alpn_mismatch_on_early_data")
    hs.info.early_data_reason = EarlyDataReason.accepted
    return True


def _impossible(what: str, reason: str) -> PeerMisbehaved:
    text = f"the server takes early data, but with another {what} than it was sent for"
    return PeerMisbehaved(Alert.illegal_parameter, text, rule="RFC 8446 4.2.10", reason=reason)


# the server -------------------------------------------------------------------------------------------------------------


def accept(
    hs: Handshake, config: ServerConfig, hello: ClientHello, psk: Psk | None, suite: Suite, protocol: str | None, *, retry: bool
) -> Flow[bool]:
    """Whether the client's early data is taken; if not, it is skipped, and the reason told.

    ``retry``: a second hello is asked for, and what came with the first is lost.
    """
    hs.info.early_data_reason = reason = yield from judge(config, hello, psk, suite, protocol, retry=retry)
    if X.early_data not in hello.extensions:
        return False
    if reason is EarlyDataReason.accepted:
        hs.chosen("early_data", "accepted", "the ticket allows it, and is used for the first time")
        return True
    hs.chosen("early_data", "rejected", REJECTED[reason])
    hs.skip_early_data()
    return False


def ticket_age_skew(config: ServerConfig, hello: ClientHello, psk: Psk) -> float | None:
    """By how many seconds the ticket is older by the client's account than by ours (section 8.3); None for another PSK."""
    if psk.known is None:
        return None
    offered: OfferedPsks = hello.extensions[X.pre_shared_key]
    session = psk.known.session
    age = (offered.identities[psk.index].obfuscated_ticket_age - session.age_add) % 2**32
    return (session.created + age) / 1000 - config.clock()


def judge(
    config: ServerConfig, hello: ClientHello, psk: Psk | None, suite: Suite, protocol: str | None, *, retry: bool
) -> Flow[EarlyDataReason]:
    """Section 4.2.10: what it comes to.  Asks the replay record last: it remembers that it was asked."""
    if config.early_data is None or config.replay is None:
        return EarlyDataReason.disabled
    if X.pre_shared_key not in hello.extensions:
        return EarlyDataReason.no_session
    if psk is None or psk.known is None or psk.index:
        return EarlyDataReason.session_not_resumed
    session = psk.known.session
    if not 0 < session.max_early_data <= config.early_data:
        return EarlyDataReason.not_allowed
    if X.early_data not in hello.extensions:
        return EarlyDataReason.not_offered
    if session.alpn.decode("ascii") != (protocol or ""):
        return EarlyDataReason.alpn_mismatch
    if session.cipher_suite != suite.code:
        return EarlyDataReason.cipher_suite_mismatch
    skew = ticket_age_skew(config, hello, psk)
    assert skew is not None
    if abs(skew) > config.ticket_age_tolerance:
        return EarlyDataReason.ticket_age
    if retry:
        return EarlyDataReason.hello_retry_request
    ticket = hashlib.sha256(psk.identity).digest()
    until = config.clock() + skew + config.ticket_age_tolerance
    first = yield from resolve(config.replay.first_use, ticket, session.created / 1000, until)
    return EarlyDataReason.accepted if first else EarlyDataReason.replayed
