"""0-RTT: data in the client's first flight, before the server has said a word (RFC 8446 sections 2.3 and 4.2.10).

It is sealed under a key that comes from the PSK alone.  So it has no forward secrecy, and whoever records the flight can send
it again: the server takes it only from a ticket that is used for the first time, and at the time at which it says it was sent.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from minitls.config import ServerConfig
from minitls.crypto.suites import SUITES, Suite
from minitls.errors import Alert, PeerMisbehaved
from minitls.handshake.flow import Flow, Handshake, resolve
from minitls.wire.extensions import OfferedPsks
from minitls.wire.hello import ClientHello
from minitls.wire.messages import EncryptedExtensions
from minitls.wire.numbers import ExtensionType as X

if TYPE_CHECKING:
    from minitls.handshake.client import Offer
    from minitls.handshake.psk import Psk

WINDOW = 10.0
"""Seconds by which a client's account of its ticket's age may be wrong: the way here, and clocks that differ (section 8.3)."""


# the client -------------------------------------------------------------------------------------------------------------


def sendable(psk: Psk | None, cipher_suites: tuple[int, ...], size: int) -> bool:
    """Whether so much may go with the first flight: the ticket says so, and the suite that it is sealed with is offered."""
    if psk is None or psk.known is None or not size:
        return False
    session = psk.known.session
    return size <= session.max_early_data and session.cipher_suite in cipher_suites


def send(hs: Handshake, offer: Offer) -> None:
    """The early data, behind the ClientHello."""
    psk = offer.psks[0]
    assert psk.known is not None
    if offer.hello.legacy_session_id:  # middlebox compatibility mode (appendix D.4)
        hs.send_change_cipher_spec()
    suite = SUITES[psk.known.session.cipher_suite]
    hs.install_write_key(suite, psk.secret.client_traffic(hs.transcript.through(suite.hash_name)))
    hs.send_early_data()


def is_accepted(hs: Handshake, psk: Psk | None, suite: Suite, hello: ClientHello, answers: EncryptedExtensions) -> bool:
    """Whether the server took it.  Raises illegal_parameter where it cannot have."""
    if X.early_data not in answers.extensions:
        return False
    first = hello.extensions[X.pre_shared_key].identities[0].identity
    known = None if psk is None or psk.identity != first else psk.known
    if (
        known is None
        or known.session.cipher_suite != suite.code
        or known.session.alpn.decode("ascii") != (hs.info.alpn_protocol or "")
    ):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the server takes early data, but with another PSK, cipher suite or application protocol than it was sent for",
            rule="RFC 8446 4.2.10",
            reason="unexpected_early_data",
        )
    return True


# the server -------------------------------------------------------------------------------------------------------------


def accept(hs: Handshake, config: ServerConfig, hello: ClientHello, psk: Psk | None, suite: Suite) -> Flow[bool]:
    """Whether the client's early data is taken; if not, it is skipped, and the reason told."""
    if X.early_data not in hello.extensions:
        return False
    refusal = yield from refuse(config, hello, psk, suite)
    hs.chosen(
        "early_data", "rejected" if refusal else "accepted", refusal or "the ticket allows it, and is used for the first time"
    )
    if refusal:
        hs.skip_early_data()
    return not refusal


def skip(hs: Handshake, hello: ClientHello) -> None:
    """A second hello is asked for, and what came with the first is lost."""
    if X.early_data in hello.extensions:
        hs.chosen("early_data", "rejected", "the client has to say hello again")
        hs.skip_early_data()


def refuse(config: ServerConfig, hello: ClientHello, psk: Psk | None, suite: Suite) -> Flow[str]:
    """Why it cannot be taken, or "" (section 4.2.10).  Asks the replay record last: it remembers that it was asked."""
    if config.early_data is None or config.replay is None:
        return "we take none"
    if psk is None or psk.known is None or psk.index:
        return "the client's first PSK is not a ticket of ours"
    session = psk.known.session
    if not 0 < session.max_early_data <= config.early_data:
        return "the ticket does not allow it, or more than we take by now"
    if session.cipher_suite != suite.code:
        return "the cipher suite is not the ticket's"
    offered: OfferedPsks = hello.extensions[X.pre_shared_key]
    age = (offered.identities[0].obfuscated_ticket_age - session.age_add) % 2**32 / 1000
    issued, now = session.created / 1000, config.clock()
    if abs(now - (issued + age)) > WINDOW:
        return "the ticket's age is wrong: it was recorded, or clocks are"
    ticket = hashlib.sha256(psk.identity).digest()
    first = yield from resolve(config.replay.first_use, ticket, issued, issued + age + WINDOW)
    return "" if first else "the ticket was used before, or nobody knows"
