"""What is known about a server.  None is: not found out; every probe fills in what is its own, and nothing else is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Order: TypeAlias = Literal["server", "client"]
"""Whose preference decides; None where there is nothing to choose."""


@dataclass
class Preference:
    """Code points, and whose order decides among them: the server's, then they stand in it.

    ``complete``: False where the server could not be asked about all of them.
    """

    codes: tuple[int, ...] = ()
    order: Order | None = None
    complete: bool = True


@dataclass
class Fault:
    """Something about a chain.  ``id``: a stable name, ``text`` for people."""

    id: str
    text: str
    rule: str = ""
    remedy: str = ""


@dataclass
class Chain:
    """A chain that the server shows.  ``der``: leaf first; ``key``: the leaf's, such as "RSA 2048".

    ``without_name``: it is also, or only, shown to who asks for no name; ``with_name``: to who asks for ours.
    ``ocsp_response``: what was stapled, b"" for nothing, None where nobody asked; ``staple``: "good", "bad", "none", or "unknown"
    where its issuer is not known.  ``scts``: how many came, by the way that they came.
    """

    der: tuple[bytes, ...]
    key: str = ""
    with_name: bool = False
    without_name: bool = False
    versions: list[str] = field(default_factory=list)
    verified: bool | None = None
    days_left: int | None = None
    lifetime_days: int | None = None
    must_staple: bool = False
    ocsp_response: bytes | None = None
    staple: str | None = None
    scts: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


@dataclass
class Features:
    """What the hellos and EncryptedExtensions say; of TLS 1.2 and older unless it is told otherwise."""

    secure_renegotiation: bool | None = None
    client_renegotiation: bool | None = None
    extended_master_secret: bool | None = None
    encrypt_then_mac: bool | None = None
    compression: bool | None = None
    heartbeat: bool | None = None
    truncated_hmac: bool | None = None
    fallback_scsv: bool | None = None
    downgrade_sentinel: bool | None = None
    early_change_cipher_spec: bool | None = None
    max_fragment_length: bool | None = None
    record_size_limit: int | None = None
    certificate_compression: tuple[str, ...] | None = None
    alpn: tuple[str, ...] | None = None
    alpn_order: Order | None = None
    alpn_mismatch: str | None = None
    next_protocol: bool | None = None
    client_certificate: str | None = None


@dataclass
class Sessions:
    """Coming back.  ``ticket12``, ``session_id``: TLS 1.2's; ``psk``: TLS 1.3's.  Lifetimes in seconds, early data in bytes."""

    ticket12: bool | None = None
    ticket12_lifetime: int | None = None
    session_id: bool | None = None
    tickets: int | None = None
    ticket_lifetime: int | None = None
    psk: bool | None = None
    early_data_size: int | None = None
    early_data: bool | None = None
    key_update: bool | None = None


@dataclass
class Names:
    """What comes for no name, and for an ``unknown`` one: "the same certificate", "another certificate" or an alert."""

    without: str | None = None
    unknown: str | None = None


@dataclass
class Web:
    """The answer to one HEAD request.  ``hsts``: the header, None where there is none; ``close_notify``: it ended so."""

    status: int | None = None
    server: str | None = None
    hsts: str | None = None
    close_notify: bool | None = None


@dataclass
class Facts:
    """All of it.  ``versions``: in their order, "SSLv2" first.  ``unusual``: rules that the server broke, in words.

    ``tolerance``: what it was confronted with: True where it went on as it should.  ``dh_bits``: of finite-field Diffie-Hellman,
    ``dh_group``: the name of RFC 7919's group that these numbers are, None for others.
    """

    host: str
    port: int
    name: str | None = None
    versions: dict[str, bool] = field(default_factory=dict)
    suites: dict[str, Preference] = field(default_factory=dict)
    dh_bits: int | None = None
    dh_group: str | None = None
    groups: dict[str, Preference] = field(default_factory=dict)
    hello_retry: bool | None = None
    signatures: dict[str, Preference] = field(default_factory=dict)
    chains: list[Chain] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    features: Features = field(default_factory=Features)
    sessions: Sessions = field(default_factory=Sessions)
    tolerance: dict[str, bool] = field(default_factory=dict)
    web: Web = field(default_factory=Web)
    unusual: list[str] = field(default_factory=list)

    def speaks(self, *versions: str) -> bool:
        """Whether it has one of these."""
        return any(self.versions.get(version) for version in versions)

    @property
    def old(self) -> list[str]:
        """The versions before TLS 1.3 that hellos can ask about, newest first."""
        return [version for version in ("TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3") if self.versions.get(version)]

    def codes(self, version: str) -> tuple[int, ...]:
        """The cipher suites of a version."""
        return self.suites[version].codes if version in self.suites else ()

    def chain(self, der: tuple[bytes, ...]) -> Chain:
        """The entry of this chain, made where there is none; chains are told apart by their leaves."""
        found = next((chain for chain in self.chains if chain.der[0] == der[0]), None)
        if found is None:
            found = Chain(der)
            self.chains.append(found)
        return found
