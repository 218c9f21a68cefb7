"""The runner's settings as minitls's own configuration."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from interop.bogo import answers
from interop.bogo.answers import Everybody
from interop.bogo.flags import Settings, Unimplemented
from interop.bogo.later import unhurried_credential
from interop.bogo.tickets import KEY, CallbackTickets, SuiteTickets
from minitls import Alert, ClientAuth, ClientConfig, Credential, ExternalPsk, KnownPsks, Policy, ServerConfig, Session
from minitls.certificates.credentials import load_chain, load_key
from minitls.crypto.compression import Compression
from minitls.crypto.signatures import CLIENTS_ONLY
from minitls.crypto.signatures import SCHEMES as SIGNATURES
from minitls.data import replace
from minitls.observe import Observation
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys, Tickets
from minitls.ssl.ciphers import parse as parse_ciphers
from minitls.wire.extensions import EXTENSIONS
from minitls.wire.framing import MAX_CERTIFICATE
from minitls.wire.numbers import CipherSuite, ExtensionType, HandshakeType

TLS12, TLS13 = 0x0303, 0x0304
RAW = 2
PRESETS = {
    "fips_202205": Policy.fips_202205,
    "wpa_202304": Policy.wpa3_192,
    "cnsa_202407": Policy.cnsa_202407,
    "cnsa1_202603": Policy.cnsa1,
    "cnsa2_202603": Policy.cnsa2,
}

# What the suite takes for granted: the defaults of the library that it comes from, in names of ours.
SUITES_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
SUITES_12 = tuple(
    f"TLS_{name}"
    for name in [
        "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "ECDHE_PSK_WITH_AES_128_CBC_SHA",
        "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "ECDHE_PSK_WITH_AES_256_CBC_SHA",
        "RSA_WITH_AES_128_GCM_SHA256",
        "RSA_WITH_AES_256_GCM_SHA384",
        "RSA_WITH_AES_128_CBC_SHA",
        "PSK_WITH_AES_128_CBC_SHA",
        "RSA_WITH_AES_256_CBC_SHA",
        "PSK_WITH_AES_256_CBC_SHA",
        "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    ]
)
GROUPS = ("X25519MLKEM768", "x25519", "secp256r1", "secp384r1")
SCHEMES = ("ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256", "ecdsa_secp384r1_sha384", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512")
IN_CERTIFICATES = (*SCHEMES, "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512")


class Clock:
    """Seconds since the epoch, which pass when the runner says so: it counts them to the millisecond."""

    def __init__(self) -> None:
        self.now = int(time.time())

    def __call__(self) -> float:
        return self.now


class Cache(MemoryStore):
    """``count``: how many sessions were put into it."""

    count = 0

    def put(self, key: str, session: Session) -> None:
        super().put(key, session)
        self.count += 1


class Shared:
    """What a case's connections share: the clock, the server's keys and sessions, and what was seen of the connection."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tickets = TicketKeys(clock=self.clock)
        self.cache = Cache()
        self.replay = self.tickets.replay_record(self.clock)
        self.seen: list[Observation] = []


class OneSession:
    """A client's store: the session to offer, and the last one that came."""

    def __init__(self, session: Session | None) -> None:
        self.offer = session
        self.got: Session | None = None

    def take(self, key: str) -> Session | None:
        session, self.offer = self.offer, None
        return session

    def put(self, key: str, session: Session) -> None:
        self.got = session


def policy_of(settings: Settings) -> Policy:
    low, high = settings.min_version or TLS12, settings.max_version or TLS13
    versions = tuple(
        version for version, off in ((TLS13, settings.no_tls13), (TLS12, settings.no_tls12)) if low <= version <= high and not off
    )
    if not versions and not settings.no_tls12:
        raise Unimplemented("TLS 1.1 and older")
    for flag, preset in PRESETS.items():
        if getattr(settings, flag):
            return preset
    if settings.psk:  # is for the PSK suites; TLS 1.3 would offer it, too
        versions = tuple(version for version in versions if version == TLS12)
    ours = bool(settings.server_preference or settings.cipher)  # the order that counts is the server's, not the client's
    groups = tuple(settings.curves or GROUPS)
    suites, equal_suites = suites_of(settings.cipher)
    signing = {code for each in (*settings.credentials, settings) for code in each.signing_prefs}
    verify = [code for code in settings.verify_prefs if code in SIGNATURES]
    policy = Policy(
        versions=versions,
        cipher_suites=(*SUITES_13, *suites),
        groups=groups,
        signature_schemes=[code for code in verify if TLS12 in versions or SIGNATURES[code].in_tls13] or SCHEMES,
        certificate_signature_schemes=[code for code in verify if code not in CLIENTS_ONLY] or IN_CERTIFICATES,
        signing_schemes=tuple(code for code in SIGNATURES if code not in CLIENTS_ONLY or code in signing),
        equal_suites=(SUITES_13, *(equal_suites if ours else (suites,))),
        equal_groups=equal_to_next(groups, settings.curves_flags) if ours else (groups,),
        prefer_post_quantum=ours,
        secure_tls12=settings.no_legacy_server_connect,
    )
    if settings.key_shares or settings.no_key_shares:
        policy = policy.replace(key_shares=tuple(settings.key_shares))
    return policy.predict(settings.server_supported_groups_hint)


def suites_of(text: str | None) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The suites of TLS 1.2 that a cipher string selects, of those that the suite's library has; ``[A|B]`` are equals."""
    if text is None:
        return SUITES_12, ()
    equals = tuple(tuple(part[1:-1].split("|")) for part in text.split(":") if part.startswith("["))
    codes = parse_ciphers(text.replace("[", "").replace("]", "").replace("|", ":"))
    return tuple(name for code in codes if (name := CipherSuite(code).name) in SUITES_12), equals


def equal_to_next(groups: Sequence[Any], flags: Sequence[int]) -> tuple[tuple[Any, ...], ...]:
    """Each flag says whether its group is as good as the next one."""
    tied: list[list[Any]] = [[]]
    for group, flag in zip(groups, flags, strict=False):
        tied[-1].append(group)
        if not flag:
            tied.append([])
    return tuple(tuple(each) for each in tied if len(each) > 1)


def names(wire: bytes | None) -> tuple[str, ...]:
    """Application protocols, as ALPN has them on the wire."""
    found, rest = [], wire or b""
    while rest:
        found.append(rest[1 : 1 + rest[0]].decode("latin-1"))
        rest = rest[1 + rest[0] :]
    return tuple(found)


@cache
def _pem(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def scts_of(wire: bytes | None) -> tuple[bytes, ...]:
    """SignedCertificateTimestampList (RFC 6962 section 3.3).  Raises DecodeError."""
    if wire is None:
        return ()
    codec = EXTENSIONS[ExtensionType.signed_certificate_timestamp][HandshakeType.certificate]
    scts: tuple[bytes, ...] = codec.read(wire, 0, len(wire))[0]
    return scts


def credential_of(settings: Settings) -> Credential | None:
    """The credential that these flags describe, if they do."""
    if settings.key_file is None:
        return None
    key = load_key(_pem(settings.key_file))
    if settings.kind == "rpk":
        return limited(Credential.raw(key), settings)
    credential = limited(Credential.from_cryptography(load_chain(_pem(settings.cert_file)), key), settings)
    ocsp_response = b"" if settings.set_ocsp_in_callback else settings.ocsp_response or b""
    return credential.stapled(ocsp_response=ocsp_response, scts=scts_of(settings.signed_cert_timestamps))


def psks_of(settings: Settings) -> tuple[ExternalPsk, ...]:
    """The keys among the flags' credentials, which all are imported."""
    return tuple(
        ExternalPsk(each.psk_importer_identity, each.psk_importer_key, each.psk_importer_hash, each.psk_importer_context or b"")
        for each in settings.credentials
        if each.kind == "psk"
    )


def limited(credential: Credential, settings: Settings) -> Credential:
    if settings.signing_prefs:
        able = [code for code in settings.signing_prefs if code in (*credential.schemes, *credential.schemes12)]
        if not able:
            raise Unimplemented("a scheme that a key cannot sign with here")
        credential = credential.limited(signature_schemes=able)
    return credential.limited(must_match_issuer=settings.must_match_issuer)


@cache
def credentials_of(settings: Settings) -> tuple[Credential, ...]:
    credentials = filter(None, map(credential_of, [*settings.credentials, settings]))
    return tuple(map(unhurried_credential, credentials) if settings.async_ else credentials)


def _growing(data: bytes, length: int) -> bytes:
    if not data.startswith(GROWTH):
        raise ValueError("it does not begin as it should")
    return data[len(GROWTH) : len(GROWTH) + length + 1]


GROWTH = b"\1\2\3\4"
COMPRESSIONS = (
    Compression(0xFF02, lambda data: GROWTH + data, _growing),
    Compression(0xFF01, lambda data: data.removeprefix(b"\0\0"), lambda data, length: (b"\0\0" + data)[: length + 1]),
    Compression(0xFF03, lambda data: os.urandom(1) + data, lambda data, length: data[1 : length + 2]),
)
"""The suite's own, which have no sense but to be seen."""


def compressions_of(settings: Settings) -> tuple[Compression, ...]:
    """() is none at all, also for a server."""
    every, one = settings.install_cert_compression_algs, settings.install_one_cert_compression_alg
    return tuple(each for each in COMPRESSIONS if every or each.code == one)


def common(settings: Settings, shared: Shared) -> dict[str, Any]:
    accepted = settings.accepted_peer_cert_types or None
    return {
        "policy": policy_of(settings),
        "clock": shared.clock,
        "handshake_timeout": 10,
        "certificate_compression": compressions_of(settings),
        "observer": shared.seen.append if settings.expect_msg_callback or settings.expect_certificate_types else None,
        "max_send_fragment": settings.max_send_fragment or 2**14,
        "max_certificate_size": settings.max_cert_list or MAX_CERTIFICATE,
        "renegotiation_ends": not settings.renegotiate_ignore,
        "trust": Everybody(settings),
        "reverify": settings.reverify_on_resume,
        "accepted_certificate_types": accepted,
        "trusted_keys": (lambda key, name: not settings.verify_fail) if accepted and RAW in accepted else (),
    }


def client_config(settings: Settings, shared: Shared, store: OneSession) -> ClientConfig:
    keys = psks_of(settings)

    def psk(hint: bytes | None) -> tuple[bytes, bytes] | tuple[ExternalPsk, ...]:
        if keys:
            return keys
        if hint and hint != settings.psk_identity:
            raise ValueError(f"the server's hint is {hint!r}")
        return settings.psk_identity or b"", settings.psk

    return ClientConfig(
        **common(settings, shared),
        verify=answers.verify(settings),
        alpn=names(settings.advertise_alpn),
        credentials=credentials_of(settings),
        select_credential=answers.refusing(Alert.internal_error) if settings.fail_cert_callback else None,
        may_decline=False,
        offered_certificate_types=settings.available_client_cert_types or None,
        psk=psk if settings.psk or keys else None,
        psk_required=bool(keys) and not settings.verify_peer,
        session_store=store,
        session_tickets=not settings.no_ticket,
        grease=settings.enable_grease,
        permute_extensions=settings.permute_extensions,
        fallback_scsv=settings.fallback_scsv,
        request_staples=settings.enable_ocsp_stapling or settings.enable_signed_cert_timestamps,
    )


def tickets_of(settings: Settings, shared: Shared) -> Tickets | None:
    if settings.no_ticket:
        return None
    tickets: Tickets = shared.tickets
    if settings.ticket_key is not None:
        if settings.ticket_key != KEY:
            raise Unimplemented("a ticket key that is not the suite's")
        tickets = SuiteTickets()
    if settings.use_ticket_callback or settings.use_ticket_aead_callback:
        return CallbackTickets(tickets, skip=settings.skip_ticket)
    return tickets


def server_config(settings: Settings, shared: Shared) -> ServerConfig:
    if settings.require_any_client_certificate:
        asks = ClientAuth.require
    else:
        asks = ClientAuth.request if settings.verify_peer else ClientAuth.none
    if settings.reject_alpn:
        alpn: tuple[str, ...] = ("no such protocol",)
    else:
        alpn = (settings.select_alpn.decode("latin-1"),) if settings.select_alpn else ()
    credentials = credentials_of(settings)
    keys = psks_of(settings)
    psk: Any = KnownPsks(*keys) if keys else None
    if settings.psk:
        psk = {settings.psk_identity or b"": settings.psk}.get
    early = settings.enable_early_data and not settings.no_ticket
    config = ServerConfig(
        **common(settings, shared),
        credentials=credentials,
        select_credential=answers.select_credential(settings, credentials),
        psk=psk,
        psk_identity_hint=settings.psk_identity,
        client_auth=asks,
        alpn=alpn,
        tickets=tickets_of(settings, shared),
        session_cache=shared.cache,
        early_data=14336 if early else None,
        replay=shared.replay if early else None,
        half_rtt_tickets=True,
        ticket_age_tolerance=60.5,  # the suite counts whole seconds
    )
    if settings.select_empty_alpn:  # in the middle of the handshake
        return replace(config, select_config=lambda hello: replace(config, alpn=("",)))
    if (select := answers.select_config(settings, config)) is not None:
        return replace(config, credentials=(), select_config=select)
    return config
