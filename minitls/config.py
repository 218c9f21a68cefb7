"""Configuration: frozen, keyword-only, checked when it is made.

:class:`ClientConfig` and :class:`ServerConfig` are what one side brings to its handshakes; what may be spoken is a
:class:`minitls.policy.Policy`.  Callables may be sync or async.  What is unsafe stands under one word: :class:`Danger`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from enum import Enum, IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, cast

from minitls.crypto.compression import Compression, compressions
from minitls.crypto.psk import ExternalPsk
from minitls.data import dataclass, field
from minitls.errors import Misuse
from minitls.observe import KeyLog, Observer, key_log_to
from minitls.policy import Policy
from minitls.sessions.replay import ReplayRecord
from minitls.sessions.session import MAX_LIFETIME
from minitls.sessions.store import MemoryStore, SessionCache, SessionStore
from minitls.sessions.tickets import TicketKeys, Tickets
from minitls.wire.framing import MAX_CERTIFICATE
from minitls.wire.hello import ClientHello
from minitls.wire.names import Name, lookup, lookup_all
from minitls.wire.numbers import CertificateCompressionAlgorithm, CertificateType

if TYPE_CHECKING:
    from minitls.certificates.beside import Beside
    from minitls.certificates.credentials import Credential
    from minitls.certificates.crl import Crls
    from minitls.certificates.sct import Logs
    from minitls.certificates.spki import AnyPublicKey
    from minitls.certificates.trust import TrustStore


class ClientAuth(Enum):
    """Whether a server asks clients for a certificate (RFC 8446 section 4.3.2)."""

    none = "none"
    request = "request"
    require = "require"


class Danger(Enum):
    """What turns protection off.  Each is a choice that its reader should stumble over.

    ``accept_any_name``: on a client: the server's certificate is verified, and whose it is is not: everybody who has one of a
    trusted CA may answer.
    """

    accept_any_certificate = "accept_any_certificate"
    accept_any_name = "accept_any_name"


class Scrutiny(IntEnum):
    """How closely a peer's certificate is looked at: not at all; who vouches for it; and whose it is, too."""

    none = 0
    path = 1
    path_and_name = 2


@dataclass(frozen=True, slots=True)
class PeerCertificates:
    """What a ``verify`` hook is shown: the chain as sent and the path found good (DER, leaf first), and the name asked for.

    ``public_key``: of a peer with a raw public key, which has no chain and no path; a DER SubjectPublicKeyInfo.
    ``beside``: the OCSP response and the SCTs that came with a server's certificate, and were good, where they were asked for.
    """

    chain: tuple[bytes, ...]
    path: tuple[bytes, ...]
    server_name: str | None
    public_key: bytes = b""
    beside: Beside | None = None


@dataclass(frozen=True, slots=True)
class CertificateRequested:
    """What a client's ``select_credential`` is told: who asks, and what the server said that it can verify.

    ``signature_schemes``: code points, best first (RFC 8446 section 4.2.3); ``certificate_authorities``: whose certificates it
    wants, DER names, () where it named none (section 4.2.4).
    """

    server: PeerCertificates
    signature_schemes: tuple[int, ...]
    certificate_authorities: tuple[bytes, ...]


OurPsk: TypeAlias = ExternalPsk | Sequence[ExternalPsk] | tuple[bytes, bytes] | None
ClientPsk: TypeAlias = Callable[[bytes | None], Awaitable[OurPsk] | OurPsk]
TheirPsk: TypeAlias = ExternalPsk | bytes | None
ServerPsk: TypeAlias = Callable[[bytes], Awaitable[TheirPsk] | TheirPsk]
SelectOwnCredential: TypeAlias = "Callable[[CertificateRequested], Awaitable[Credential | None] | Credential | None]"
TrustsKey: TypeAlias = Callable[[bytes, str | None], Awaitable[bool] | bool]
VerifyHook: TypeAlias = Callable[[PeerCertificates], Awaitable[None] | None]


def certificate_types(names: Iterable[Name]) -> tuple[CertificateType, ...]:
    supported = (CertificateType.RawPublicKey, CertificateType.X509)
    return lookup_all(CertificateType, supported, "certificate type", names)


@dataclass(frozen=True, kw_only=True)
class _Config:
    """What both sides have.

    ``alpn``: application protocols, best first (RFC 7301).
    ``trust``: whose certificates are believed; None on a client means the system's store.
    ``trusted_keys``: the raw public keys that are believed in the place of certificates (RFC 7250): each as DER (a
    SubjectPublicKeyInfo), as PEM or as an object.  They are good for every name, and no other is, whatever ``verify`` says.  Where
    ``trust`` is None, they are believed and no certificates, which ``crls`` and ``pinned_keys`` are about.  Or a callable that is
    shown a peer's key, as DER, and the name of the server that it shall be (None on a server), and says whether it is believed.
    ``accepted_certificate_types``: what a peer may show, best first: "RawPublicKey", "X509".  None: what ``trust`` and
    ``trusted_keys`` say, raw public keys first.
    ``delegated_credentials``: accept a short-lived key that the peer's certificate signed for it (RFC 9345), in TLS 1.3.
    ``verify``: called after the built-in verification of the peer; refuses by raising CertificateError.  Or a Danger.
    ``reverify``: all that is said here of a peer is looked at again when a session with it is resumed; if that does not hold any
    more there is a full handshake.  False: what held once holds as long as the session, and ``info.verified_chain`` is () then; a
    session that began with more danger than there is now is looked at all the same.
    ``crls``: lists of revoked certificates, which the peer's path is looked up in (RFC 5280 section 5); see
    :class:`minitls.certificates.crl.Crls`.
    ``pinned_keys``: public keys, by their SHA-256 (bytes, hex, or ``sha256//`` and base64), of which the peer's path must have one.
    ``key_log``: where secrets go for Wireshark: a path, or a callable that takes a line (RFC 9850).  Never by default.
    ``observer``: told each step (:mod:`minitls.observe`).
    ``handshake_timeout``: seconds for the whole handshake; the asyncio transports keep it.
    ``record_padding``: application data's records are padded to a multiple of this many bytes (RFC 8446 section 5.4); 0: not.
    ``record_size_limit``: ask the peer for records of at most this many bytes (RFC 8449); None: as long as they may be.
    ``max_send_fragment``: bytes that a record of ours may hold, 64 to 16384 (RFC 8446 section 5.1); less if the peer asks for it.
    ``max_certificate_size``: bytes that the peer's Certificate message may have, also when it is decompressed.
    ``certificate_compression``: how certificates may be compressed (RFC 8879), best first: "brotli", "zstd", "zlib", or one's own
    :class:`minitls.crypto.compression.Compression`.  The peer is asked for these, and gets the first that it can read.  None: it is
    not asked, and gets the best that is installed.
    ``grease``: send RFC 8701's meaningless values, in hellos and in tickets, so that peers stay tolerant of what comes later.
    ``renegotiation_ends``: who asks for what nobody gets in TLS 1.2 is sent away; by default warned (RFC 5246 section 7.2.2).
    ``clock``: seconds since the epoch; ``random``: n random bytes.  For tests.
    """

    policy: Policy = Policy.intermediate
    alpn: tuple[str, ...] = ()
    trust: TrustStore | None = None
    trusted_keys: tuple[AnyPublicKey, ...] | TrustsKey = field(default=(), repr=False)
    accepted_certificate_types: tuple[Name, ...] | None = None
    delegated_credentials: bool = False
    verify: VerifyHook | Danger | None = None
    reverify: bool = True
    crls: Crls | None = None
    pinned_keys: Collection[bytes | str] = ()
    key_log: str | os.PathLike[str] | KeyLog | None = field(default=None, repr=False)
    observer: Observer | None = field(default=None, repr=False)
    handshake_timeout: float = 60.0
    record_padding: int = 0
    record_size_limit: int | None = None
    max_send_fragment: int = 2**14
    max_certificate_size: int = MAX_CERTIFICATE
    certificate_compression: tuple[Name | Compression, ...] | None = None
    grease: bool = True
    renegotiation_ends: bool = False
    clock: Callable[[], float] = field(default=time.time, repr=False)
    random: Callable[[int], bytes] = field(default=os.urandom, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.alpn, str) or not all(isinstance(name, str) for name in self.alpn):
            raise Misuse(f"alpn is a tuple of names such as ('h2', 'http/1.1'), not {self.alpn!r}")
        object.__setattr__(self, "alpn", tuple(self.alpn))
        for name in self.alpn:
            if not name.isascii() or not 1 <= len(name) <= 255:
                raise Misuse(f"{name!r} is no protocol name for ALPN: 1 to 255 ASCII characters", rule="RFC 7301 3.1")
        if not self.handshake_timeout > 0:
            raise Misuse(f"handshake_timeout is a number of seconds above 0, not {self.handshake_timeout!r}")
        if not 0 <= self.record_padding <= 2**14:
            raise Misuse(f"record_padding is a number of bytes from 0 to 16384, not {self.record_padding!r}")
        if self.record_size_limit is not None and not 64 <= self.record_size_limit <= 2**14 + 1:
            raise Misuse(f"record_size_limit is a number of bytes from 64 to 16385, not {self.record_size_limit!r}")
        if not 64 <= self.max_send_fragment <= 2**14:
            raise Misuse(f"max_send_fragment is a number of bytes from 64 to 16384, not {self.max_send_fragment!r}")
        if not 1 <= self.max_certificate_size < 2**24:
            raise Misuse(f"max_certificate_size is a number of bytes above 0 and below 2**24, not {self.max_certificate_size!r}")
        if self.pinned_keys:
            from minitls.certificates.pins import read_pins

            object.__setattr__(self, "pinned_keys", read_pins(self.pinned_keys))
        if self.certificate_compression:
            self._check_compression()
        if self.trusted_keys and not callable(self.trusted_keys):
            self._read_trusted_keys()
        if self.accepted_certificate_types is not None:
            types = certificate_types(self.accepted_certificate_types)
            object.__setattr__(self, "accepted_certificate_types", types)
            if CertificateType.RawPublicKey in types and not self.trusted_keys:
                raise Misuse("who accepts raw public keys says which: give trusted_keys=", rule="RFC 7250 6")
        if isinstance(self.key_log, (str, os.PathLike)):
            object.__setattr__(self, "key_log", key_log_to(self.key_log))

    def _read_trusted_keys(self) -> None:
        from minitls.certificates.spki import as_spki

        if isinstance(self.trusted_keys, bytes) or not isinstance(self.trusted_keys, Iterable):
            raise Misuse("trusted_keys is a tuple of public keys, also where it is one")
        object.__setattr__(self, "trusted_keys", tuple(map(as_spki, self.trusted_keys)))

    def _check_compression(self) -> None:
        registry, found = CertificateCompressionAlgorithm, {}
        for each in self.certificate_compression or ():
            if not isinstance(each, Compression):
                code = lookup(registry, registry, "certificate compression", each)
                if code not in compressions():
                    raise Misuse(f"{code.name} is not installed: pip install 'minitls[compress]'", rule="RFC 8879 3")
                each = compressions()[code]
            found[each.code] = each
        object.__setattr__(self, "certificate_compression", tuple(found.values()))

    @cached_property
    def scrutiny(self) -> Scrutiny:
        """What ``verify`` leaves of the verification of certificates."""
        if self.verify is Danger.accept_any_certificate:
            return Scrutiny.none
        return Scrutiny.path if self.verify is Danger.accept_any_name else Scrutiny.path_and_name

    @cached_property
    def compressions(self) -> tuple[Compression, ...]:
        """``certificate_compression`` as what does it."""
        return cast("tuple[Compression, ...]", self.certificate_compression or ())

    def log_secret(self, label: str, client_random: bytes, secret: bytes) -> None:
        """One line of the key log (RFC 9850), if there is one."""
        if callable(self.key_log):
            self.key_log(f"{label} {client_random.hex()} {secret.hex()}")


@dataclass(frozen=True, kw_only=True)
class ClientConfig(_Config):
    """What a client brings.

    ``psk``: the key that we share with the server: called with None before the hello, gives an ExternalPsk, several, an (identity,
    key) pair or None; once more where TLS 1.2 comes to a PSK suite, with the server's hint (RFC 4279).
    ``psk_required``: go on with servers that have the key, and with no others: certificates are neither asked for nor taken.
    ``credential``: shown to servers that ask for a certificate, a raw key to those that take one; None: we decline.
    ``credentials``: several instead, best first: the server gets the first that it can verify, by its signature algorithms, and of
    these one by an authority that it names, if there is one (RFC 8446 sections 4.2.4 and 4.4.2.2).
    ``select_credential``: asked when a server asks for a certificate, with a :class:`CertificateRequested`; None as an answer
    means: choose among ``credentials``.  Who may answer with a raw public key says so in ``offered_certificate_types``.
    Sessions in which a certificate was shown are not resumed then: the next answer may be another.  Those without one are, unasked.
    ``may_decline``: where it can verify none of ours, go on without; False: fail, and say why.
    ``offered_certificate_types``: what we tell servers that we can show (RFC 7250), best first: "RawPublicKey", "X509".  None: what
    ``credentials`` are.
    ``max_fragment_length``: ask for records of 512, 1024, 2048 or 4096 bytes the older way (RFC 6066 section 4); None: do not.
    ``request_staples``: ask for an OCSP response and SCTs with the certificate: a response must be good, and be there if the
    certificate says so (RFC 7633); ``info.beside`` has what they say.
    ``logs``: the Certificate Transparency logs that are believed, and how many must have seen the certificate (RFC 6962).
    ``session_store``: where sessions are kept for resumption, in memory by default; None: nothing is resumed.  A session is offered
    once, to the same name and port, and only if its certificates are still good by this very configuration.
    ``session_tickets``: let TLS 1.2's servers give us tickets (RFC 5077); else they remember the sessions themselves, by ID.
    ``tickets_wanted``: ask for so many tickets after a full and after a resumed handshake (RFC 9149); None: as the server likes.
    ``post_handshake_auth``: let the server ask for ``credential`` after the handshake, too (RFC 8446 section 4.2.6); TLS 1.3.
    ``permute_extensions``: send the hello's extensions in any order (RFC 8446 section 4.2), so that no server comes to rely on one.
    ``fallback_scsv``: say that this repeats, with fewer versions, a hello that failed: a server that has more refuses then, for
    somebody may have made it fail (RFC 7507 section 4).
    ``send_certificate_authorities``: tell servers which roots we trust (RFC 8446 section 4.2.4): for small private stores only.
    """

    credential: Credential | None = None
    credentials: tuple[Credential, ...] = ()
    select_credential: SelectOwnCredential | None = None
    may_decline: bool = True
    offered_certificate_types: tuple[Name, ...] | None = None
    psk: ClientPsk | None = field(default=None, repr=False)
    psk_required: bool = False
    max_fragment_length: int | None = None
    request_staples: bool = False
    logs: Logs | None = None
    session_store: SessionStore | None = field(default_factory=MemoryStore, repr=False)
    session_tickets: bool = True
    tickets_wanted: tuple[int, int] | None = None
    post_handshake_auth: bool = False
    permute_extensions: bool = False
    fallback_scsv: bool = False
    send_certificate_authorities: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.psk_required and self.psk is None:
            raise Misuse("psk_required without psk=: which key?")
        object.__setattr__(self, "credentials", tuple(self.credentials))
        if self.credential is not None and self.credentials:
            raise Misuse("give credential=... or credentials=(...), not both")
        if self.offered_certificate_types is not None:
            object.__setattr__(self, "offered_certificate_types", certificate_types(self.offered_certificate_types))
        if (length := self.max_fragment_length) not in (None, 512, 1024, 2048, 4096):
            raise Misuse(f"max_fragment_length is 512, 1024, 2048 or 4096 bytes, not {length!r}")
        if (wanted := self.tickets_wanted) is not None and (len(wanted) != 2 or not all(0 <= count <= 255 for count in wanted)):
            raise Misuse(f"tickets_wanted is two numbers from 0 to 255, not {wanted!r}", rule="RFC 9149 3")

    @cached_property
    def own_credentials(self) -> tuple[Credential, ...]:
        """``credential`` or ``credentials``."""
        return self.credentials if self.credential is None else (self.credential,)


FEW = 8
"""Credentials that are looked at one after the other."""
SelectCredential: TypeAlias = "Callable[[ClientHello], Awaitable[Credential | None] | Credential | None]"
SelectConfig: TypeAlias = "Callable[[ClientHello], Awaitable[ServerConfig | None] | ServerConfig | None]"


@dataclass(frozen=True, kw_only=True)
class ServerConfig(_Config):
    """What a server brings.

    ``credentials``: one or several; chosen by the client's server_name and signature algorithms, the first being the default.
    ``select_credential``: asked first, with the ClientHello; None as an answer means: choose among ``credentials``.
    ``select_config``: asked before all else, with the ClientHello: another configuration that this connection goes on with, or None
    for this one.  That one's own ``select_config`` is not asked.
    ``client_auth``: whether clients are asked for a certificate; then ``trust`` says whose, or ``trusted_keys``.
    ``post_handshake_auth``: be ready to ask after the handshake (``request_client_certificate``), of clients that allow it, by
    TLS 1.3 (RFC 8446 section 4.6.2); ``trust`` says whose certificates, and ``ClientAuth.require`` that declining is an error.
    ``psk``: called with an identity that a client claims, gives the key as an ExternalPsk or as bytes, or None; or KnownPsks.
    ``psk_identity_hint``: what clients of TLS 1.2 are told of whose key is wanted (RFC 4279); None: nothing.
    ``tickets``: the keys that session tickets are sealed with (by default of this very object, rotated by themselves); None: no
    tickets.  ``session_cache``: TLS 1.2's sessions by ID, for clients without tickets; None: none.
    ``ticket_count``: how many tickets a client of TLS 1.3 gets after a full handshake; ``ticket_lifetime``: seconds that a session
    may be resumed for, at most 7 days, and no longer than the ticket keys are kept: those of TicketKeys for 24 to 36 hours.
    ``early_data``: bytes of 0-RTT data that a returning client may send; None: none.  Such data can be recorded and sent again:
    ``replay`` is the record of what was accepted, and must be shared by all who share ``tickets`` (by default it belongs to them).
    ``half_rtt_tickets``: to who sends early data that is taken, give the next tickets at once, rather than when the client has
    finished (RFC 8446 section 4.6.1): it may come again half a round trip earlier.
    ``ticket_age_tolerance``: seconds by which a ticket's age may differ from ours by the client's clock, for early data.
    ``send_cookie``: put a cookie into HelloRetryRequest, and insist on its return (RFC 8446 section 4.2.2).
    """

    credentials: tuple[Credential, ...] = ()
    select_credential: SelectCredential | None = None
    select_config: SelectConfig | None = None
    client_auth: ClientAuth = ClientAuth.none
    post_handshake_auth: bool = False
    psk: ServerPsk | None = field(default=None, repr=False)
    psk_identity_hint: bytes | None = None
    tickets: Tickets | None = field(default_factory=TicketKeys, repr=False)
    session_cache: SessionCache | None = field(default_factory=MemoryStore, repr=False)
    ticket_count: int = 2
    ticket_lifetime: int = 24 * 3600
    early_data: int | None = None
    replay: ReplayRecord | None = field(default=None, repr=False)
    half_rtt_tickets: bool = False
    ticket_age_tolerance: float = 10.0
    send_cookie: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.credentials
        object.__setattr__(self, "credentials", tuple(given) if isinstance(given, Iterable) else (given,))
        if not self.credentials and self.select_credential is None and self.select_config is None and self.psk is None:
            raise Misuse("a server needs a certificate: give credentials=(...) or select_credential=...")
        asks = self.post_handshake_auth or self.client_auth is not ClientAuth.none
        if asks and self.trust is None and not self.trusted_keys and self.verify is not Danger.accept_any_certificate:
            what = "post_handshake_auth" if self.client_auth is ClientAuth.none else "client_auth"
            raise Misuse(f"{what} needs trust=TrustStore...: whose client certificates are believed?")
        if not 0 <= self.ticket_count <= 16:
            raise Misuse(f"ticket_count is a number from 0 to 16, not {self.ticket_count!r}")
        if not 1 <= self.ticket_lifetime <= MAX_LIFETIME:
            raise Misuse(f"ticket_lifetime is 1 second to 7 days, not {self.ticket_lifetime!r}", rule="RFC 8446 4.6.1")
        if not 0 <= self.ticket_age_tolerance <= MAX_LIFETIME:
            what = f"ticket_age_tolerance is a number of seconds from 0 to 7 days, not {self.ticket_age_tolerance!r}"
            raise Misuse(what, rule="RFC 8446 8.3")
        if self.early_data is not None:
            self._check_early_data(self.early_data)

    @cached_property
    def _by_name(self) -> dict[str, tuple[Credential, ...]]:
        """Where the credentials are many and all of one type, by the names in their certificates."""
        found: dict[str, list[Credential]] = {}
        if len(self.credentials) > FEW and len({credential.certificate_type for credential in self.credentials}) == 1:
            for credential in self.credentials:
                for name in {name.lower() for name in credential.names}:
                    found.setdefault(name, []).append(credential)
        return {name: tuple(credentials) for name, credentials in found.items()}

    def credentials_for(self, host: str | None) -> tuple[Credential, ...]:
        """Those of ``credentials`` that are for a host, found by its name; () where none is, or where all are looked at anyway."""
        if host is None or not self._by_name:
            return ()
        from minitls.certificates.names import patterns_for

        named = [credential for pattern in patterns_for(host) for credential in self._by_name.get(pattern, ())]
        return tuple(credential for credential in self.credentials if credential in named) if len(named) > 1 else tuple(named)

    def _check_early_data(self, size: int) -> None:
        if not 1 <= size < 2**32:
            raise Misuse(f"early_data is a number of bytes above 0, or None, not {size!r}", rule="RFC 8446 4.6.1")
        if self.tickets is None:
            raise Misuse("early_data needs tickets: by what would a client return?", rule="RFC 8446 4.2.10")
        if self.replay is None:
            if not isinstance(self.tickets, TicketKeys) or self.tickets.shared:
                raise Misuse("early_data with ticket keys that others have needs replay=, one record for all", rule="RFC 8446 8")
            object.__setattr__(self, "replay", self.tickets.replay_record(self.clock))
