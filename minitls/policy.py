"""Policies: what may be spoken, in order of preference, as data.

Ours are ``modern``, ``intermediate`` and ``legacy``.  Those that stand behind them are what authorities ask for, as BoringSSL's
compliance policies of the same names and dates have it.  They say what is spoken and not by whom it was made or tested, nor how
long the keys in certificates are: RSA of 3072 bits and P-384, where an authority asks for these, are for who issues them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import cached_property
from typing import ClassVar

from minitls.crypto.groups import GROUPS
from minitls.crypto.signatures import CLIENTS_ONLY, SCHEMES
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import PSK_SUITES, SUITES_12
from minitls.data import dataclass, fields, replace
from minitls.errors import Misuse
from minitls.wire.names import Name, lookup, lookup_all
from minitls.wire.numbers import CipherSuite, NamedGroup, ProtocolVersion, PskKeyExchangeMode, SignatureScheme

_VERSIONS = (ProtocolVersion.TLSv1_3, ProtocolVersion.TLSv1_2)
_SUITES = {ProtocolVersion.TLSv1_3: SUITES, ProtocolVersion.TLSv1_2: SUITES_12}


@dataclass(frozen=True, slots=True)
class Codes:
    """A policy's code points.  ``without_psk``: the cipher suites that need no shared key; ``cbc``: whether one is of CBC."""

    versions: tuple[int, ...]
    cipher_suites: tuple[int, ...]
    without_psk: tuple[int, ...]
    groups: tuple[int, ...]
    key_shares: tuple[int, ...]
    psk_key_exchange_modes: tuple[int, ...]
    cbc: bool


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What may be spoken, best first.  Each is given by IANA's name in any case, or by code point.

    ``versions``: protocol versions.  ``cipher_suites``, ``groups``: what is offered and accepted.
    ``key_shares``: the groups that a client sends shares for in its first hello; an empty tuple invites a HelloRetryRequest.
    ``signature_schemes``: for the handshake's own signatures; ``certificate_signature_schemes``: for those inside certificates,
    all that we know by default.  TLS 1.2 has one list for both, and RSASSA-PKCS1-v1_5 in it.
    ``rsa_pkcs1_sha256_legacy`` and its like are for clients whose keys are in old hardware (RFC 9963), and in no policy of ours.
    ``signing_schemes``: what we sign handshakes with, where that is not what we accept; each credential has its order.
    ``psk_key_exchange_modes``: how a PSK may be used; psk_ke has no forward secrecy, and no policy of ours has it.
    ``secure_tls12``: in TLS 1.2, insist on the extended master secret (RFC 7627) and on secure renegotiation (RFC 5746).
    ``equal_suites``, ``equal_groups``: sets of these, among which a server does as the client likes; they stand where the first of
    them does.  ``equal_suites=(("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),)`` is for clients without AES in
    hardware, ``equal_groups=(policy.groups,)`` leaves all to the client.
    ``prefer_post_quantum``: a server takes a hybrid group that both have even where it costs a HelloRetryRequest.
    """

    versions: tuple[Name, ...] = (ProtocolVersion.TLSv1_3,)
    cipher_suites: tuple[Name, ...] = (
        CipherSuite.TLS_AES_128_GCM_SHA256,
        CipherSuite.TLS_AES_256_GCM_SHA384,
        CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
        CipherSuite.TLS_AES_128_CCM_SHA256,
    )
    groups: tuple[Name, ...] = (
        NamedGroup.X25519MLKEM768,
        NamedGroup.x25519,
        NamedGroup.secp256r1,
        NamedGroup.SecP256r1MLKEM768,
        NamedGroup.SecP384r1MLKEM1024,
        NamedGroup.secp384r1,
        NamedGroup.secp521r1,
        NamedGroup.x448,
        NamedGroup.ffdhe2048,
        NamedGroup.ffdhe3072,
        NamedGroup.ffdhe4096,
    )
    key_shares: tuple[Name, ...] | None = None
    signature_schemes: tuple[Name, ...] = (
        SignatureScheme.ecdsa_secp256r1_sha256,
        SignatureScheme.ed25519,
        SignatureScheme.rsa_pss_rsae_sha256,
        SignatureScheme.ecdsa_secp384r1_sha384,
        SignatureScheme.ecdsa_secp521r1_sha512,
        SignatureScheme.ed448,
        SignatureScheme.rsa_pss_rsae_sha384,
        SignatureScheme.rsa_pss_rsae_sha512,
        SignatureScheme.rsa_pss_pss_sha256,
        SignatureScheme.rsa_pss_pss_sha384,
        SignatureScheme.rsa_pss_pss_sha512,
        SignatureScheme.mldsa44,
        SignatureScheme.mldsa65,
        SignatureScheme.mldsa87,
    )
    certificate_signature_schemes: tuple[Name, ...] | None = None
    signing_schemes: tuple[Name, ...] | None = None
    psk_key_exchange_modes: tuple[Name, ...] = (PskKeyExchangeMode.psk_dhe_ke,)
    equal_suites: tuple[tuple[Name, ...], ...] = ()
    equal_groups: tuple[tuple[Name, ...], ...] = ()
    prefer_post_quantum: bool = True
    secure_tls12: bool = True

    modern: ClassVar[Policy]
    """TLS 1.3 alone."""
    intermediate: ClassVar[Policy]
    """TLS 1.3, and 1.2 with ephemeral keys and AEADs."""
    legacy: ClassVar[Policy]
    """With what RFC 9325 and RFC 10015 advise against, for old peers."""
    fips_202205: ClassVar[Policy]
    """NIST SP 800-52r2, of what a federal server may speak: AES-GCM, P-256 and P-384, ECDSA and RSA with SHA-2.  TLS 1.2's CBC
    suites, which it allows with encrypt-then-MAC, are left out.
    """
    wpa3_192: ClassVar[Policy]
    """WPA3 3.1 section 3.5, the "192-bit" mode of Wi-Fi: AES-256-GCM, P-384, signatures by P-384 or RSA with SHA-384 or SHA-512."""
    cnsa_202407: ClassVar[Policy]
    """``intermediate`` with AES-256-GCM first, then AES-128: CNSA's cipher with whoever has it, and all others as ever."""
    cnsa1: ClassVar[Policy]
    """CNSA 1.0 (RFC 9151) as of March 2026: AES-256-GCM, ML-KEM-1024 before P-384, signatures by P-384 or RSA with SHA-384.
    It has static RSA, too, which has no forward secrecy, and comes last.
    """
    cnsa2: ClassVar[Policy]
    """CNSA 2.0 (draft-becker-cnsa2-tls-profile) as of March 2026, before its signatures: TLS 1.3 with AES-256-GCM and ML-KEM-1024
    alone, signed as in ``cnsa1``.  ``.replace(signature_schemes=("mldsa87",), certificate_signature_schemes=("mldsa87",))`` is what
    it comes to.
    """

    def __post_init__(self) -> None:
        def set_names(attribute: str, registry: type[IntEnum], supported: Iterable[int], what: str) -> None:
            object.__setattr__(self, attribute, lookup_all(registry, supported, what, getattr(self, attribute)))

        set_names("versions", ProtocolVersion, _VERSIONS, "version")
        set_names("cipher_suites", CipherSuite, (*SUITES, *SUITES_12), "cipher suite")
        usable = tuple(v for v in _VERSIONS if v in self.versions and any(c in _SUITES[v] for c in self.cipher_suites))
        if not usable:
            raise Misuse("a policy needs a cipher suite for one of its versions: none of these is")
        object.__setattr__(self, "versions", usable)
        set_names("groups", NamedGroup, GROUPS, "group")
        tls12 = ProtocolVersion.TLSv1_2 in usable
        self._set_equals("equal_suites", CipherSuite, (*SUITES, *SUITES_12), "cipher suite")
        self._set_equals("equal_groups", NamedGroup, GROUPS, "group")
        in_handshake = [code for code, scheme in SCHEMES.items() if tls12 or scheme.in_tls13]
        set_names("signature_schemes", SignatureScheme, in_handshake, "signature scheme")
        in_certificates = tuple(code for code in SCHEMES if code not in CLIENTS_ONLY)
        if self.certificate_signature_schemes is None:
            object.__setattr__(self, "certificate_signature_schemes", in_certificates)
        else:
            set_names("certificate_signature_schemes", SignatureScheme, in_certificates, "signature scheme")
        if self.signing_schemes is not None:
            set_names("signing_schemes", SignatureScheme, SCHEMES, "signature scheme")
        set_names("psk_key_exchange_modes", PskKeyExchangeMode, PskKeyExchangeMode, "PSK key exchange mode")
        if self.key_shares is None:
            object.__setattr__(self, "key_shares", self._default_key_shares())
        elif self.key_shares:
            set_names("key_shares", NamedGroup, self.groups, "group for a key share")  # type: ignore[arg-type]

    def _set_equals(self, attribute: str, registry: type[IntEnum], supported: Iterable[int], what: str) -> None:
        given = getattr(self, attribute)
        if any(isinstance(each, (str, int)) for each in given):
            raise Misuse(f"{attribute} is a tuple of tuples, also where it is one")
        object.__setattr__(self, attribute, tuple(lookup_all(registry, supported, what, each) for each in given))

    def _default_key_shares(self) -> tuple[Name, ...]:
        """The first group, and the first of the other kind, post-quantum or classical: few servers then need to ask again."""
        first, *others = self.groups
        kind = GROUPS[int(first)].post_quantum
        return first, *[code for code in others if GROUPS[int(code)].post_quantum is not kind][:1]

    @cached_property
    def all_schemes(self) -> tuple[int, ...]:
        """The handshake's schemes, and behind them those that can sign certificates only."""
        assert self.certificate_signature_schemes is not None
        only_in_certificates = [code for code in self.certificate_signature_schemes if not SCHEMES[int(code)].in_tls13]
        return tuple(dict.fromkeys(map(int, (*self.signature_schemes, *only_in_certificates))))

    @cached_property
    def schemes_for_all(self) -> tuple[int, ...]:
        """The same without what clients alone sign with."""
        return tuple(code for code in self.all_schemes if code not in CLIENTS_ONLY)

    @property
    def may_sign(self) -> tuple[int, ...]:
        """What we sign handshakes with; a key of TLS 1.3 has none of those that are for TLS 1.2 and for certificates."""
        return self.all_schemes if self.signing_schemes is None else tuple(map(int, self.signing_schemes))

    @cached_property
    def schemes_differ(self) -> bool:
        """Whether certificates may be signed otherwise than the handshake."""
        return set(self.all_schemes) != set(self.certificate_signature_schemes or ())

    @cached_property
    def codes(self) -> Codes:
        """What a ClientHello says of it, as plain numbers for the wire."""
        tls13, tls12 = (version in self.versions for version in _VERSIONS)
        suites = tuple(int(code) for code in self.cipher_suites if (tls12 if code in SUITES_12 else tls13))
        groups = (int(code) for code in self.groups if tls13 or not GROUPS[int(code)].post_quantum)  # RFC 9851
        return Codes(
            versions=tuple(map(int, self.versions)),
            cipher_suites=suites,
            without_psk=tuple(code for code in suites if code not in PSK_SUITES),
            groups=tuple(groups),
            key_shares=tuple(map(int, self.key_shares or ())) if tls13 else (),
            psk_key_exchange_modes=tuple(map(int, self.psk_key_exchange_modes)),
            cbc=any(code in SUITES_12 and SUITES_12[code].is_cbc for code in suites),
        )

    def replace(self, **changes: object) -> Policy:
        """This policy with some fields changed.  Shares that were the default follow the groups.  Raises Misuse."""
        if "groups" in changes and "key_shares" not in changes:
            changes["key_shares"] = None
        known = {each.name for each in fields(self)}
        if unknown := changes.keys() - known:
            raise Misuse(f"a policy has no {', '.join(sorted(unknown))}: it has {', '.join(sorted(known))}")
        return replace(self, **changes)  # type: ignore[arg-type]

    def predict(self, server_groups: Iterable[Name]) -> Policy:
        """For a client that knows its server's groups, say from DNS (draft-ietf-tls-key-share-prediction): a share in the first of
        ours that the server has, and no other; this very policy where it has none, or none that we know by number.

        That is what is sent first, and not what is accepted: where the prediction is wrong, the server asks again.  Raises Misuse.
        """
        theirs = {name if isinstance(name, int) else lookup(NamedGroup, GROUPS, "group", name) for name in server_groups}
        shared = [code for code in self.groups if code in theirs]
        return self.replace(key_shares=shared[:1]) if shared else self


_ECDHE_12 = tuple(
    code
    for code, suite in SUITES_12.items()
    if suite.key_exchange in ("ECDHE", "ECDHE_PSK") and suite.cipher.name.startswith(("AES-128-GCM", "AES-256-GCM", "ChaCha20"))
)
Policy.modern = Policy()
Policy.intermediate = Policy(versions=_VERSIONS, cipher_suites=(*Policy.modern.cipher_suites, *_ECDHE_12))
Policy.legacy = Policy(versions=_VERSIONS, cipher_suites=(*Policy.modern.cipher_suites, *SUITES_12), secure_tls12=False)


def _strict(cipher_suites: tuple[CipherSuite, ...], groups: tuple[NamedGroup, ...], schemes: tuple[SignatureScheme, ...]) -> Policy:
    """``schemes``: for handshakes and in certificates."""
    return Policy(
        versions=_VERSIONS,
        cipher_suites=cipher_suites,
        groups=groups,
        signature_schemes=tuple(code for code in schemes if SCHEMES[code].in_tls13),
        certificate_signature_schemes=schemes,
    )


def _not_gcm(code: Name) -> tuple[bool, ...]:
    """AES-256-GCM before AES-128-GCM before all others, which stay in their order."""
    return tuple(gcm not in CipherSuite(int(code)).name for gcm in ("AES_256_GCM", "AES_128_GCM"))


_AES_256 = (
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
)
_CNSA_SCHEMES = (SignatureScheme.ecdsa_secp384r1_sha384, SignatureScheme.rsa_pss_rsae_sha384, SignatureScheme.rsa_pkcs1_sha384)

Policy.fips_202205 = _strict(
    (
        CipherSuite.TLS_AES_128_GCM_SHA256,
        CipherSuite.TLS_AES_256_GCM_SHA384,
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (NamedGroup.secp256r1, NamedGroup.secp384r1),
    (
        SignatureScheme.ecdsa_secp256r1_sha256,
        SignatureScheme.ecdsa_secp384r1_sha384,
        SignatureScheme.rsa_pss_rsae_sha256,
        SignatureScheme.rsa_pss_rsae_sha384,
        SignatureScheme.rsa_pss_rsae_sha512,
        SignatureScheme.rsa_pkcs1_sha256,
        SignatureScheme.rsa_pkcs1_sha384,
        SignatureScheme.rsa_pkcs1_sha512,
    ),
)
Policy.wpa3_192 = _strict(
    _AES_256,
    (NamedGroup.secp384r1,),
    (
        SignatureScheme.ecdsa_secp384r1_sha384,
        SignatureScheme.rsa_pss_rsae_sha384,
        SignatureScheme.rsa_pss_rsae_sha512,
        SignatureScheme.rsa_pkcs1_sha384,
        SignatureScheme.rsa_pkcs1_sha512,
    ),
)
Policy.cnsa_202407 = Policy.intermediate.replace(cipher_suites=sorted(Policy.intermediate.cipher_suites, key=_not_gcm))
Policy.cnsa1 = _strict(
    (*_AES_256, CipherSuite.TLS_RSA_WITH_AES_256_GCM_SHA384),
    (NamedGroup.MLKEM1024, NamedGroup.secp384r1),
    _CNSA_SCHEMES,
)
Policy.cnsa2 = Policy.cnsa1.replace(versions=_VERSIONS[:1], cipher_suites=_AES_256[:1], groups=(NamedGroup.MLKEM1024,))

POLICIES: Mapping[str, Policy] = {name: value for name, value in vars(Policy).items() if isinstance(value, Policy)}
"""By their names."""
