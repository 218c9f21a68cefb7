"""What can be asked for: ``registry.txt`` has the numbers and names; here is what a suite's name says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

FALLBACK_SCSV = 0x5600
RENEGOTIATION_SCSV = 0x00FF
"""Markers among the cipher suites (RFC 7507, RFC 5746 section 3.3)."""


@cache
def _sections() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    section: list[str] = []
    for line in resources.files("minitls.scan").joinpath("registry.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            section.append(line)
    return {name: tuple(lines) for name, lines in found.items()}


@cache
def _table(section: str) -> Mapping[int, str]:
    return {int(number, 16): name for number, name in (line.split() for line in _sections()[section])}


def suites() -> Mapping[int, str]:
    """All cipher suites, the usual ones first."""
    return _table("suite")


def groups() -> Mapping[int, str]:
    return _table("group")


def schemes() -> Mapping[int, str]:
    return _table("scheme")


def protocols() -> tuple[str, ...]:
    """Names for ALPN."""
    return _sections()["protocol"]


def name_in(table: Mapping[int, str], code: int) -> str:
    return table.get(code, f"0x{code:04x}")


_TLS13 = range(0x1300, 0x1400)
_ALSO_TLS13 = (0x00C6, 0x00C7, 0xC0B4, 0xC0B5, 0xC103, 0xC104, 0xC105, 0xC106)


@dataclass(frozen=True)
class Suite:
    """A cipher suite, and what its name says."""

    code: int
    name: str

    @classmethod
    @cache
    def of(cls, code: int) -> Suite:
        return cls(code, name_in(suites(), code))

    @property
    def tls13(self) -> bool:
        return self.code in _TLS13 or self.code in _ALSO_TLS13

    @cached_property
    def exchange(self) -> str:
        """``ECDHE_RSA``, ``RSA``, ``DH_anon``; "" in TLS 1.3, whose suites say nothing about it."""
        return "" if self.tls13 else self.name.removeprefix("TLS_").removeprefix("SSL_").partition("_WITH_")[0]

    @cached_property
    def cipher(self) -> str:
        return self.name.partition("_WITH_")[2] or self.name.removeprefix("TLS_")

    @property
    def forward_secret(self) -> bool:
        return self.tls13 or self.exchange.startswith(("ECDHE_", "DHE_", "ECDH_anon", "DH_anon", "CECPQ1", "ECCPWD", "SRP"))

    @property
    def elliptic(self) -> bool:
        return self.exchange.startswith(("ECDHE_", "ECDH_anon"))

    @property
    def finite(self) -> bool:
        """Finite-field Diffie-Hellman, whose numbers the server sends."""
        return self.exchange.startswith(("DHE_", "DH_anon"))

    @property
    def anonymous(self) -> bool:
        return "_anon" in self.exchange

    @property
    def export(self) -> bool:
        return "EXPORT" in self.name

    @property
    def shared_key(self) -> bool:
        return any(word in self.exchange for word in ("PSK", "SRP", "ECCPWD"))

    @property
    def null(self) -> bool:
        """No encryption."""
        return "NULL" in self.cipher or self.code in (0xC0B4, 0xC0B5)

    @property
    def cbc(self) -> bool:
        return "_CBC" in self.cipher

    @property
    def aead(self) -> bool:
        return (self.tls13 and not self.null) or any(word in self.cipher for word in ("GCM", "CCM", "POLY1305", "MGM"))

    @property
    def authentication(self) -> str:
        """Whose key signs or is encrypted to: "RSA", "ECDSA", "DSS", or "" where no certificate is shown."""
        last = self.exchange.replace("_EXPORT1024", "").replace("_EXPORT", "").rpartition("_")[2]
        return last if last in ("RSA", "ECDSA", "DSS") and not self.shared_key else ""
