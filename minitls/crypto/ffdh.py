"""Finite-field Diffie-Hellman as TLS 1.2 has it: the server names prime and generator (RFC 5246 section 7.4.3).

RFC 10015 says not to use it; Policy.legacy has it for peers that know nothing better.  Our servers use RFC 7919's groups; a
client takes what a server says if it has 2048 to 8192 bits and may be a safe prime.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from cryptography.utils import CryptographyDeprecationWarning

from minitls.crypto.groups import GROUPS, FiniteField
from minitls.data import dataclass
from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved

BITS = range(2048, 8192 + 1)


@dataclass(frozen=True, slots=True, repr=False)
class FieldKey:
    """A fresh private key in a group of any prime.

    ``prime``, ``generator``, ``public``: as they stand on the wire.  ``name``: the group's in RFC 7919, or how many bits it has.
    """

    prime: bytes
    generator: bytes
    public: bytes
    name: str
    _key: Any

    def __repr__(self) -> str:
        return f"<FieldKey {self.name}>"

    @classmethod
    def of_group(cls, group: FiniteField) -> FieldKey:
        """A server's: in a group of RFC 7919."""
        return cls._make(group.prime, 2)

    @classmethod
    def of_numbers(cls, prime: bytes, generator: bytes) -> FieldKey:
        """A client's: in the group that the server names.  Raises insufficient_security and illegal_parameter."""
        p, g = int.from_bytes(prime, "big"), int.from_bytes(generator, "big")
        if p.bit_length() not in BITS:
            raise PeerIncompatible(
                Alert.insufficient_security,
                f"the server's Diffie-Hellman prime has {p.bit_length()} bits; {BITS.start} to {BITS.stop - 1} are good",
                rule="RFC 9325 4.1",
                reason="weak_dh",
            )
        if p % 4 != 3 or not 1 < g < p - 1:
            raise _bad_group()
        try:
            return cls._make(p, g)
        except ValueError:  # OpenSSL found it to be no prime, or no safe one
            raise _bad_group() from None

    @classmethod
    def _make(cls, prime: int, generator: int) -> FieldKey:
        key = _numbers()[0](prime, generator).parameters().generate_private_key()
        length = (prime.bit_length() + 7) // 8
        public = key.public_key().public_numbers().y.to_bytes(length, "big")
        name = _known_primes().get(prime, f"a group of {prime.bit_length()} bits")
        return cls(prime.to_bytes(length, "big"), generator.to_bytes((generator.bit_length() + 7) // 8, "big"), public, name, key)

    def exchange(self, peer: bytes) -> bytes:
        """The shared secret without its leading zeros (RFC 5246 section 8.1.2).  Raises illegal_parameter."""
        y, prime = int.from_bytes(peer, "big"), int.from_bytes(self.prime, "big")
        if not 1 < y < prime - 1:
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                "the peer's Diffie-Hellman share is not in 1 < y < p - 1",
                rule="RFC 7919 5.1",
                reason="bad_key_share",
            )
        parameters, public = _numbers()
        numbers = parameters(prime, int.from_bytes(self.generator, "big"))
        secret: bytes = self._key.exchange(public(y, numbers).public_key())
        return secret.lstrip(b"\0")


def _bad_group() -> PeerMisbehaved:
    return PeerMisbehaved(
        Alert.illegal_parameter,
        "the server's Diffie-Hellman group is not one of a safe prime",
        rule="RFC 7919 3",
        reason="bad_dh_group",
    )


@cache
def _known_primes() -> dict[int, str]:
    return {group.prime: group.name for group in GROUPS.values() if isinstance(group, FiniteField)}


@cache
def _numbers() -> tuple[Any, Any]:
    """cryptography's classes for numbers; it warns at each look at them that finite fields will go some day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        from cryptography.hazmat.primitives.asymmetric.dh import DHParameterNumbers, DHPublicNumbers
    return DHParameterNumbers, DHPublicNumbers
