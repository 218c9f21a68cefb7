"""What both sides of TLS 1.2 do alike: the keys, the signatures over the key exchange, Finished (RFC 5246 section 7.4)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.prf import MasterSecret
from minitls.crypto.signatures import SCHEMES_12
from minitls.crypto.suites12 import Suite12, lengths
from minitls.data import dataclass
from minitls.errors import Alert, PeerMisbehaved
from minitls.handshake.authenticate import PeerKey, check_may_sign, verify_der_chain
from minitls.handshake.flow import Flow, Handshake, expect
from minitls.handshake.raw_keys import RAW, is_raw, verify_key
from minitls.record.protection12 import opening12, sealing12
from minitls.wire.messages import Finished
from minitls.wire.messages12 import Certificate12, ChangeCipherSpec, RawPublicKey12
from minitls.wire.numbers import SignatureScheme, name_of

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential


@dataclass(frozen=True, slots=True)
class Hellos:
    """What the two hellos agreed on.

    ``extended``: extended master secret (RFC 7627); ``etm``: encrypt-then-MAC (RFC 7366); ``ticket``: the server will send one.
    """

    suite: Suite12
    client_random: bytes
    server_random: bytes
    extended: bool
    etm: bool
    ticket: bool

    @property
    def randoms(self) -> bytes:
        """What ServerKeyExchange's signature covers besides the parameters (RFC 5246 section 7.4.3)."""
        return self.client_random + self.server_random


def master_secret(hs: Handshake, config: ClientConfig | ServerConfig, hellos: Hellos, premaster: bytes) -> MasterSecret:
    """RFC 5246 section 8.1, or RFC 7627 section 4 over the transcript so far; into the key log, and kept for the exporter."""
    hash_name = hellos.suite.hash_name
    if hellos.extended:
        master = MasterSecret.of_handshake(hash_name, premaster, hs.transcript.digest())
    else:
        master = MasterSecret.of_randoms(hash_name, premaster, hellos.client_random, hellos.server_random)
    resumed_master(hs, config, hellos, master)
    return master


def resumed_master(hs: Handshake, config: ClientConfig | ServerConfig, hellos: Hellos, master: MasterSecret) -> None:
    """A master secret is known, new or old: into the key log, and kept for the exporter."""
    config.log_secret("CLIENT_RANDOM", hellos.client_random, master.value)
    hs.info.keep_exporter12(partial(_export, master, hellos))


def _export(master: MasterSecret, hellos: Hellos, label: str, context: bytes | None, length: int) -> bytes:
    return master.export(label, context, length, hellos.client_random, hellos.server_random)


def show(hs: Handshake, credential: Credential) -> None:
    """RFC 5246 section 7.4.2, RFC 7250 section 3: our chain, or our raw public key."""
    if credential.certificate_type is RAW:
        hs.send(RawPublicKey12(credential.chain))
        return
    hs.send(Certificate12(credential.chain))
    hs.info.local_chain = credential.chain


def receive_certificate(hs: Handshake, config: ClientConfig | ServerConfig) -> Flow[PeerKey | None]:
    """The key of the peer's chain, or its raw one, that we trust; None where it shows none.  Raises CertificateError."""
    if not is_raw(hs):
        certificate = yield from expect(Certificate12)
        return (yield from verify_der_chain(hs, config, certificate.chain)) if certificate.chain else None
    hs.expect_raw_key()
    raw = yield from expect(RawPublicKey12)
    if not raw.chain:
        return None
    subject = yield from verify_key(hs, config, raw.chain[0])
    return PeerKey(subject.key, subject.schemes, subject.is_rsa, subject.may_encipher)


class Keys:
    """The key block's two halves, as what reads and writes records."""

    def __init__(self, hellos: Hellos, master: MasterSecret) -> None:
        block = master.key_block(hellos.client_random, hellos.server_random, *lengths(hellos.suite.cipher))
        self._suite, self._etm = hellos.suite, hellos.etm
        self._client = (block.client_mac, block.client_key, block.client_iv)
        self._server = (block.server_mac, block.server_key, block.server_iv)

    def write(self, hs: Handshake) -> None:
        """ChangeCipherSpec, and our own key from then on."""
        ours = self._client if hs.info.role == "client" else self._server
        hs.change_write_cipher(sealing12(self._suite, *ours, f"{hs.info.role} write key", etm=self._etm))

    def read(self, hs: Handshake) -> Flow[None]:
        """The peer's ChangeCipherSpec, and its key from then on."""
        yield from expect(ChangeCipherSpec)
        client = hs.info.role == "server"
        theirs = self._client if client else self._server
        name = f"{'client' if client else 'server'} write key"
        hs.change_read_cipher(opening12(self._suite, *theirs, name, etm=self._etm))


def send_finished(hs: Handshake, master: MasterSecret) -> bytes:
    """RFC 5246 section 7.4.9.  Gives our verify_data."""
    make = master.client_verify_data if hs.info.role == "client" else master.server_verify_data
    verify_data = make(hs.transcript.digest())
    hs.send(Finished(verify_data))
    return verify_data


def receive_finished(hs: Handshake, master: MasterSecret) -> Flow[bytes]:
    """RFC 5246 section 7.4.9: both have seen the same handshake, to the byte.  Gives the peer's verify_data."""
    message = yield from expect(Finished)
    make = master.server_verify_data if hs.info.role == "client" else master.client_verify_data
    if not hmac.compare_digest(message.verify_data, make(hs.transcript.before_last())):
        raise PeerMisbehaved(
            Alert.decrypt_error,
            "the peer's Finished is wrong: it did not see the handshake that we saw, or has not the keys",
            rule="RFC 5246 7.4.9",
            reason="digest_check_failed",
        )
    return message.verify_data


def check_signature(key: PeerKey, algorithm: int, signature: bytes, data: bytes, offered: Sequence[int]) -> SignatureScheme:
    """RFC 5246 sections 7.4.3 and 7.4.8.  Raises illegal_parameter for a scheme that cannot be, decrypt_error for a lie."""
    check_may_sign(key)
    scheme = next((scheme for code, scheme in SCHEMES_12.items() if code == algorithm), None)
    another_padding = scheme is not None and scheme.name.startswith("rsa_pss") and algorithm not in key.schemes  # as its OID says
    if algorithm not in offered or scheme is None or another_padding or not scheme.fits(key.public_key):
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"the peer signs with {name_of(SignatureScheme, algorithm)}, "
            + ("which does not fit its key" if algorithm in offered else "which we did not offer"),
            rule="RFC 5246 7.4.3",
            reason="wrong_signature_type",
        )
    try:
        scheme.verify(key.public_key, signature, data)
    except InvalidSignature:
        raise PeerMisbehaved(
            Alert.decrypt_error,
            "the peer's signature over the key exchange is wrong: it does not have the certificate's private key",
            rule="RFC 5246 7.4.3",
            reason="bad_signature",
        ) from None
    return scheme.code
