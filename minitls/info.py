"""What a connection came to: filled in by the handshake as it goes, read by everybody afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

from minitls.crypto.schedule import ExporterSecret, MainSecret, ResumptionSecret
from minitls.data import dataclass, field
from minitls.errors import Misuse
from minitls.wire.hello import ClientHello
from minitls.wire.messages import read_message
from minitls.wire.numbers import CertificateType, ExtensionType, SignatureScheme

if TYPE_CHECKING:
    from minitls.certificates.beside import Beside
    from minitls.certificates.credentials import Credential

Exporter12: TypeAlias = Callable[[str, bytes | None, int], bytes]


class EarlyDataReason(Enum):
    """What became of 0-RTT data, and why (RFC 8446 section 4.2.10).  Where several reasons apply, it is the first in this order.

    ``disabled``: a server takes none, a client's application offered none.  ``protocol_version``: it is not of TLS 1.3.
    ``no_session``: the client offered no session to resume, on a client: had none.  ``session_not_resumed``: the server did not
    resume it, or another one.  ``not_allowed``: the ticket does not allow it, or less than there is to say.  ``not_offered``: on a
    server: the client sent none.  ``alpn_mismatch``, ``cipher_suite_mismatch``: what was agreed is not what the session had.
    ``ticket_age``: it was recorded, or clocks differ.  ``hello_retry_request``: the client had to say hello again.
    ``replayed``: the ticket was used before, or nobody knows.  ``refused``: on a client: the server did not take it, and does
    not say why.
    """

    accepted = "accepted"
    disabled = "disabled"
    protocol_version = "protocol_version"
    no_session = "no_session"
    session_not_resumed = "session_not_resumed"
    not_allowed = "not_allowed"
    not_offered = "not_offered"
    alpn_mismatch = "alpn_mismatch"
    cipher_suite_mismatch = "cipher_suite_mismatch"
    ticket_age = "ticket_age"
    hello_retry_request = "hello_retry_request"
    replayed = "replayed"
    refused = "refused"


@dataclass(slots=True)
class Timing:
    """When things happened, in seconds by the configuration's clock; None for what has not."""

    started: float
    hello_answered: float | None = None
    completed: float | None = None

    @property
    def handshake(self) -> float | None:
        """Seconds from our start to our last handshake message."""
        return None if self.completed is None else self.completed - self.started


@dataclass(slots=True)
class ConnectionInfo:
    """What was agreed, and with whom.  Names are IANA's; what does not apply is None.

    ``server_name_used``: whether the server says that it chose its certificate by that name (RFC 6066 section 3); it need not.
    ``signature_scheme``: what the server proved its key with; ``client_signature_scheme``: the client, if it was asked.
    On a resumed connection the peer's is the one by which it did so when the session began.
    ``group``: of the key exchange that the connection's secrets come from; where TLS 1.2 resumes there is no new one, and it is the
    session's.
    ``peer_chain``: what the peer sent, ``verified_chain``: the path that was found good, up to the root; DER, leaf first.
    ``ocsp_response``, ``scts``: what the server stapled to its certificate, where we asked, as it came, be it when a session began
    that is resumed; ``beside``: what it says, and what SCTs in the certificate itself say.
    ``peer_public_key``: the raw public key of a peer that has no certificate, a DER SubjectPublicKeyInfo; its ``peer_chain`` is ().
    ``server_certificate_type``, ``client_certificate_type``: whether the two show certificates or such keys (RFC 7250),
    or did so, for the server, in the session that is resumed.
    ``delegated``, ``client_delegated``: whether the server, and the client, signed with a delegated credential's key (RFC 9345).
    ``delegated_until``: when the peer's delegated credential expires, in seconds by the configuration's clock; None without one.
    ``session_key``: under which a client's sessions with this server are kept.
    ``resumption``: how the connection was resumed: "psk_dhe_ke", "psk_ke", or TLS 1.2's "ticket" or "session_id".
    ``authenticated``: when the peers proved who they are, in seconds by the configuration's clock: before a resumed one began.
    ``secure_renegotiation``: whether the peer tells a renegotiation from a first handshake (RFC 5746); TLS 1.3 has none to mistake.
    ``psk_identity``: of the external PSK that both have, or had when the session began; ``_shared_key``: that and a digest of the
    key, by which sessions remember it.
    ``early_data``: on a server, what came as 0-RTT data: until the handshake is complete it may be a recording, sent again.
    ``early_data_reason``: what became of 0-RTT data (:class:`EarlyDataReason`); None while that is open.
    ``ticket_age_skew``: on a server, by how many seconds the ticket is older by the client's clock than by ours (RFC 8446 section
    8.3), the time of its flight subtracted; None where no ticket was used.
    ``hello_retry``: whether the server asked for a second ClientHello.
    ``credential``: which of ours was chosen to be shown, the very object of the configuration; None where we showed none.
    """

    role: Literal["client", "server"]
    timing: Timing
    server_name: str | None = None
    server_name_used: bool = False
    version: str | None = None
    cipher_suite: str | None = None
    group: str | None = None
    signature_scheme: str | None = None
    client_signature_scheme: str | None = None
    alpn_protocol: str | None = None
    peer_chain: tuple[bytes, ...] = field(default=(), repr=False)
    verified_chain: tuple[bytes, ...] = field(default=(), repr=False)
    peer_public_key: bytes = field(default=b"", repr=False)
    server_certificate_type: CertificateType = CertificateType.X509
    client_certificate_type: CertificateType = CertificateType.X509
    delegated: bool = False
    client_delegated: bool = False
    delegated_until: float | None = None
    extended_master_secret: bool = False
    secure_renegotiation: bool = True
    tls_unique: bytes = field(default=b"", repr=False)
    local_chain: tuple[bytes, ...] = field(default=(), repr=False)
    credential: Credential | None = field(default=None, repr=False)
    hello_retry: bool = False
    resumed: bool = False
    resumption: str | None = None
    authenticated: float | None = None
    psk_identity: bytes | None = None
    _shared_key: bytes = field(default=b"", repr=False)
    early_data_accepted: bool = False
    early_data_reason: EarlyDataReason | None = None
    ticket_age_skew: float | None = None
    ech_accepted: bool = False
    ocsp_response: bytes = field(default=b"", repr=False)
    scts: tuple[bytes, ...] = field(default=(), repr=False)
    beside: Beside | None = field(default=None, repr=False)
    session_key: str = field(default="", repr=False)
    client_hello_raw: bytes = field(default=b"", repr=False)
    _asked: tuple[tuple[int, ...], tuple[bytes, ...]] = field(default=((), ()), repr=False)
    _early_data: bytearray | None = field(default=None, repr=False)
    _exporter: tuple[MainSecret, bytes] | None = field(default=None, repr=False)
    _resumption: tuple[MainSecret, bytes] | None = field(default=None, repr=False)
    _exporter12: Exporter12 | None = field(default=None, repr=False)

    @property
    def early_data(self) -> bytes:
        """On a server: what has come as 0-RTT data."""
        return bytes(self._early_data or b"")

    def keep_early_data(self, data: bytes) -> None:
        self._early_data = self._early_data or bytearray()
        self._early_data += data

    @property
    def peer_signature_code(self) -> int:
        """The code point of what the peer proved its key with; 0 if it did not."""
        name = self.signature_scheme if self.role == "client" else self.client_signature_scheme
        return 0 if name is None else SignatureScheme[name]

    @peer_signature_code.setter
    def peer_signature_code(self, code: int) -> None:
        name = SignatureScheme(code).name if code else None
        if self.role == "client":
            self.signature_scheme = name
        else:
            self.client_signature_scheme = name

    @property
    def client_random(self) -> bytes:
        """ClientHello.random, by which key logs find a connection."""
        return self.client_hello_raw[6:38]

    @property
    def client_hello(self) -> ClientHello:
        """The (first) ClientHello of the connection, parsed; ``raw`` and ``ja4`` with it."""
        hello = read_message(ClientHello, self.client_hello_raw)
        assert isinstance(hello, ClientHello)
        return hello

    @property
    def peer_signature_schemes(self) -> tuple[int, ...]:
        """What the peer accepts for our signature, best first, as it said: code points, GREASE and unknown ones among them.

        On a server the ClientHello's signature_algorithms (RFC 8446 section 4.2.3), on a client the CertificateRequest's (section
        4.3.2, RFC 5246 section 7.4.4); () where there was none.
        """
        if self.role == "server":
            return tuple(self.client_hello.extensions.get(ExtensionType.signature_algorithms, ()))
        return self._asked[0]

    @property
    def certificate_authorities(self) -> tuple[bytes, ...]:
        """Whose certificates the peer asks for, as it said: DER names (RFC 8446 section 4.2.4, RFC 5246 section 7.4.4).

        From where ``peer_signature_schemes`` are; () where it named none.
        """
        if self.role == "server":
            return tuple(self.client_hello.extensions.get(ExtensionType.certificate_authorities, ()))
        return self._asked[1]

    def keep_request(self, schemes: Sequence[int], authorities: Sequence[bytes]) -> None:
        """On a client: what the server said when it asked for a certificate."""
        self._asked = tuple(schemes), tuple(authorities)

    def keep_secrets(self, main_secret: MainSecret, through_server_finished: bytes, through_client_finished: bytes) -> None:
        """Remember what exporter and resumption secret are derived from; they are derived when somebody asks."""
        self._exporter = (main_secret, through_server_finished)
        self._resumption = (main_secret, through_client_finished)

    def keep_exporter(self, main_secret: MainSecret, through_server_finished: bytes) -> None:
        """On a server that may send half-RTT data: what the exporter is derived from is known before the client's Finished."""
        self._exporter = (main_secret, through_server_finished)

    def resumption_secret(self) -> ResumptionSecret:
        assert self._resumption is not None
        main_secret, transcript_hash = self._resumption
        return main_secret.resumption(transcript_hash)

    def keep_exporter12(self, export: Exporter12) -> None:
        """TLS 1.2's: from the master secret and both randoms (RFC 5705 section 4)."""
        self._exporter12 = export

    def exporter_secret(self) -> ExporterSecret:
        if self._exporter is None:
            what = "keying material can be exported once the handshake is complete"
            raise Misuse(what, rule="RFC 8446 7.5", reason="handshake_not_complete")
        main_secret, transcript_hash = self._exporter
        return main_secret.exporter(transcript_hash)

    def export_keying_material(self, label: str, context: bytes | None, length: int) -> bytes:
        """``length`` bytes that both sides, and nobody else, can make (RFC 8446 section 7.5).  Raises Misuse before completion.

        ``context``: TLS 1.2 tells None from b"" (RFC 5705 section 4), TLS 1.3 does not.  A server that took early data can export
        before completion, too: who is on the other side is not proven then.
        """
        if self._exporter12 is not None and self.timing.completed is not None:
            return self._exporter12(label, context, length)
        return self.exporter_secret().export(label, context or b"", length)

    def channel_binding(self, kind: str) -> bytes:
        """What binds an application's authentication to this connection: "tls-exporter" (RFC 9266) or "tls-server-end-point"
        (5929).

        TLS 1.2 has "tls-unique" (5929), too.  Raises Misuse for it in TLS 1.3, for an unknown kind, and without a certificate.
        So it does where TLS 1.2's extended master secret is wanting and somebody between could have made both sides' values equal:
        for "tls-exporter" always, for "tls-unique" on resumption.
        """
        unbound = self.version == "TLSv1.2" and not self.extended_master_secret
        if unbound and (kind == "tls-exporter" or (kind == "tls-unique" and self.resumed)):
            raise Misuse(f"{kind} binds to nothing without the extended master secret", rule="RFC 7627 5.4")
        if kind == "tls-exporter":
            if self.timing.completed is None:
                raise Misuse("a connection can be bound to once the handshake is complete", rule="RFC 9266 2")
            return self.export_keying_material("EXPORTER-Channel-Binding", b"", 32)
        if kind == "tls-server-end-point":
            chain = self.peer_chain if self.role == "client" else self.local_chain
            if not chain:
                raise Misuse("tls-server-end-point needs a server certificate, and there was none", rule="RFC 5929 4")
            return _certificate_hash(chain[0])
        if kind == "tls-unique" and self.version == "TLSv1.2" and self.tls_unique:
            return self.tls_unique
        if kind == "tls-unique":
            raise Misuse("tls-unique is not defined for TLS 1.3: use tls-exporter", rule="RFC 8446 C.5")
        raise Misuse(f"unknown channel binding {kind!r}: tls-exporter or tls-server-end-point")


def _certificate_hash(der: bytes) -> bytes:
    """RFC 5929 section 4.1: the hash of the certificate's own signature, SHA-256 where that is older or has none."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, (hashes.MD5, hashes.SHA1)):
        algorithm = hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(der)
    return digest.finalize()
