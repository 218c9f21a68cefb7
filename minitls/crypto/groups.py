"""The groups of the key exchange (RFC 8446 section 4.2.7, RFC 7919, RFC 10024, draft-ietf-tls-mlkem), one table for both sides.

A client calls ``share = GROUPS[code].generate()``, sends ``share.public``, and later ``share.exchange(answer)``.  A server
calls ``answer, secret = GROUPS[code].encapsulate(share)``.  That is a KEM's interface; a Diffie-Hellman group has it too
(its encapsulation is: generate a key, exchange with it), so the handshake knows no difference.

Everything the peer sends is checked here.  All that can be wrong with it ends as :class:`PeerMisbehaved` with
illegal_parameter and the reason ``bad_key_share``:

1. the length is exactly the group's (so no point is compressed, hybrid or at infinity, and no y is short);
2. an elliptic-curve point has the form 0x04 and lies on the curve, an X25519 or X448 secret is not all zero, a
   finite-field y is in 1 < y < p - 1;
3. an ML-KEM encapsulation key has reduced coefficients (the modulus check of FIPS 203 section 7.2).

A key is for one connection: nothing here is kept or reused, but that the classical half of a hybrid share is also a share
of its own (``KeyShare.classical``), which RFC 9954 section 3.2 allows in the same ClientHello.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519
from cryptography.utils import CryptographyDeprecationWarning

from minitls.data import dataclass
from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.numbers import NamedGroup

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import dh


class KeyShare:
    """A client's fresh key in one group, from ClientHello to ServerHello.

    ``public``: the key_exchange field of its KeyShareEntry.
    ``classical``: the classical half of a hybrid as a share under its own group; None when the group is no hybrid.
    """

    __slots__ = ("_exchange", "classical", "group", "public")

    def __init__(self, group: Group, public: bytes, exchange: Callable[[bytes], bytes], classical: KeyShare | None = None) -> None:
        self.group = group
        self.public = public
        self.classical = classical
        self._exchange = exchange

    def exchange(self, peer: bytes) -> bytes:
        """The (EC)DHE input of the key schedule from the server's key_exchange field.  Raises PeerMisbehaved."""
        return self._exchange(peer)

    def __repr__(self) -> str:
        return f"<KeyShare {self.group.name}>"


class Group(ABC):
    """A named group.  Lengths are in octets and exact.

    ``name``: IANA's, such as "X25519MLKEM768".
    ``share_length``, ``answer_length``: of a client's and of a server's key_exchange field; they differ only with a KEM.
    ``post_quantum``: whether the secret stays one when someone has a quantum computer.
    """

    __slots__ = ("answer_length", "code", "name", "share_length")
    post_quantum = False

    def __init__(self, code: NamedGroup, share_length: int, answer_length: int) -> None:
        self.code = code
        self.name = code.name
        self.share_length = share_length
        self.answer_length = answer_length

    @abstractmethod
    def generate(self) -> KeyShare:
        """A client's fresh key."""

    def encapsulate(self, client_share: bytes) -> tuple[bytes, bytes]:
        """The server's side in one step: our key_exchange field, and the shared secret.  Raises PeerMisbehaved."""
        ours = self.generate()
        return ours.public, ours.exchange(client_share)

    def __repr__(self) -> str:
        return f"<Group {self.name}>"

    def _refuse(self, what: str, rule: str) -> PeerMisbehaved:
        return PeerMisbehaved(
            Alert.illegal_parameter, f"the peer's {self.name} key share {what}", rule=rule, reason="bad_key_share"
        )

    def _check_length(self, peer: bytes, length: int, rule: str) -> None:
        if len(peer) != length:
            raise self._refuse(f"has {len(peer)} octets instead of {length}", rule)


class Montgomery(Group):
    """X25519 and X448: RFC 7748, RFC 8446 sections 4.2.8.2 and 7.4.2.  Share and secret are the u-coordinate, as it is."""

    __slots__ = ("private", "public")

    def __init__(
        self,
        code: NamedGroup,
        length: int,
        private: type[x25519.X25519PrivateKey] | type[x448.X448PrivateKey],
        public: type[x25519.X25519PublicKey] | type[x448.X448PublicKey],
    ) -> None:
        super().__init__(code, length, length)
        self.private = private
        self.public = public

    def generate(self) -> KeyShare:
        return self.share_of(self.private.generate())

    def share_of(self, key: x25519.X25519PrivateKey | x448.X448PrivateKey) -> KeyShare:
        """A share around a key that is there already, such as one that an RFC prints."""
        return KeyShare(self, key.public_key().public_bytes_raw(), partial(self._agree, key.exchange))

    def _agree(self, exchange: Callable[..., bytes], peer: bytes) -> bytes:
        self._check_length(peer, self.share_length, "RFC 8446 4.2.8.2")
        try:
            return exchange(self.public.from_public_bytes(peer))
        except ValueError:  # the one that is left: the point has low order, and the secret would be all zero
            raise self._refuse("gives an all-zero secret", "RFC 8446 7.4.2") from None


class Weierstrass(Group):
    """The NIST curves: RFC 8446 sections 4.2.8.2 and 7.4.2.  A share is 0x04, x and y; the secret is x, left-padded."""

    __slots__ = ("coordinate_length", "curve")

    def __init__(self, code: NamedGroup, curve: ec.EllipticCurve) -> None:
        self.curve = curve
        self.coordinate_length = (curve.key_size + 7) // 8
        length = 1 + 2 * self.coordinate_length
        super().__init__(code, length, length)

    def generate(self) -> KeyShare:
        return self.share_of(ec.generate_private_key(self.curve))

    def share_of(self, key: ec.EllipticCurvePrivateKey) -> KeyShare:
        """A share around a key that is there already, such as one that an RFC prints."""
        point = key.public_key().public_numbers()
        length = self.coordinate_length
        public = b"\x04" + point.x.to_bytes(length, "big") + point.y.to_bytes(length, "big")
        return KeyShare(self, public, partial(self._agree, key))

    def _agree(self, key: ec.EllipticCurvePrivateKey, peer: bytes) -> bytes:
        self._check_length(peer, self.share_length, "RFC 8446 4.2.8.2")
        if peer[0] != 4:  # from_encoded_point would take other forms, too
            raise self._refuse("is not an uncompressed point", "RFC 8446 4.2.8.2")
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(self.curve, peer)
        except ValueError:
            raise self._refuse("is not a point on the curve", "RFC 8446 4.2.8.2") from None
        return key.exchange(ec.ECDH(), point)


class FiniteField(Group):
    """RFC 7919's safe-prime groups: RFC 8446 sections 4.2.8.1 and 7.4.1.  Share and secret are as long as the prime.

    ``fudge`` is the X of the prime's formula in RFC 7919 appendix A.
    """

    __slots__ = ("bits", "fudge")

    def __init__(self, code: NamedGroup, bits: int, fudge: int) -> None:
        super().__init__(code, bits // 8, bits // 8)
        self.bits = bits
        self.fudge = fudge

    @property
    def prime(self) -> int:
        """p of RFC 7919 appendix A."""
        return _field(self.bits, self.fudge).prime

    def generate(self) -> KeyShare:
        field = _field(self.bits, self.fudge)
        key = field.parameters.generate_private_key()
        public = key.public_key().public_numbers().y.to_bytes(self.share_length, "big")
        return KeyShare(self, public, partial(self._agree, field, key))

    def _agree(self, field: _Field, key: dh.DHPrivateKey, peer: bytes) -> bytes:
        self._check_length(peer, self.share_length, "RFC 8446 4.2.8.1")
        y = int.from_bytes(peer, "big")
        if not 1 < y < field.prime - 1:
            raise self._refuse("is not in 1 < y < p - 1", "RFC 8446 4.2.8.1")
        return key.exchange(field.public_key(y))


@dataclass(frozen=True, slots=True)
class _Field:
    prime: int
    parameters: dh.DHParameters
    public_key: Callable[[int], dh.DHPublicKey]


@cache
def _field(bits: int, fudge: int) -> _Field:
    """The group of RFC 7919 with a prime of so many bits: made on first use, as few need it."""
    prime = 2**bits - 2 ** (bits - 64) + (_e(bits - 130) + fudge) * 2**64 - 1
    with warnings.catch_warnings():
        # cryptography 50 means to drop finite fields some day, and says so at each look at these names.  Who turned
        # these groups on has decided; and the look is only taken here.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        from cryptography.hazmat.primitives.asymmetric.dh import DHParameterNumbers, DHPublicNumbers
    numbers = DHParameterNumbers(prime, 2)
    return _Field(prime, numbers.parameters(), lambda y: DHPublicNumbers(y, numbers).public_key())


def _e(bits: int) -> int:
    """floor(e * 2^bits), by its series: sixty-four bits more than needed hold the rounding of all terms."""
    total, term, n = 0, 1 << bits + 64, 0
    while term:
        total += term
        n += 1
        term //= n
    return total >> 64


@dataclass(frozen=True, slots=True)
class Kem:
    """ML-KEM (FIPS 203).  ``share_length``: of an encapsulation key; ``answer_length``: of a ciphertext."""

    share_length: int
    answer_length: int
    private: type[mlkem.MLKEM768PrivateKey] | type[mlkem.MLKEM1024PrivateKey]
    public: type[mlkem.MLKEM768PublicKey] | type[mlkem.MLKEM1024PublicKey]


ML_KEM_768 = Kem(1184, 1088, mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey)
ML_KEM_1024 = Kem(1568, 1568, mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey)


class MlKem(Group):
    """ML-KEM alone (draft-ietf-tls-mlkem): if it is ever broken, nothing classical stands below it."""

    __slots__ = ("kem",)
    post_quantum = True

    def __init__(self, code: NamedGroup, kem: Kem) -> None:
        super().__init__(code, kem.share_length, kem.answer_length)
        self.kem = kem

    def generate(self) -> KeyShare:
        key = self.kem.private.generate()
        return KeyShare(self, key.public_key().public_bytes_raw(), partial(self._decapsulate, key.decapsulate))

    def _decapsulate(self, decapsulate: Callable[[bytes], bytes], peer: bytes) -> bytes:
        self._check_length(peer, self.answer_length, "RFC 8446 4.2.8")
        return decapsulate(peer)

    def encapsulate(self, client_share: bytes) -> tuple[bytes, bytes]:
        self._check_length(client_share, self.share_length, "RFC 8446 4.2.8")
        try:
            key = self.kem.public.from_public_bytes(client_share)
        except ValueError:
            raise self._refuse("is an ML-KEM key that is not reduced", "RFC 8446 4.2.8") from None
        secret, ciphertext = key.encapsulate()
        return ciphertext, secret


class Hybrid(Group):
    """A classical group and ML-KEM side by side (RFC 10024): shares, answers and secrets are concatenations.

    ``kem_first``: whose half comes first, everywhere; X25519MLKEM768 differs from the others.
    """

    __slots__ = ("classical", "kem", "kem_first")
    post_quantum = True

    def __init__(self, code: NamedGroup, classical: Group, kem: Kem, *, kem_first: bool) -> None:
        super().__init__(code, kem.share_length + classical.share_length, kem.answer_length + classical.answer_length)
        self.classical = classical
        self.kem = kem
        self.kem_first = kem_first

    def generate(self) -> KeyShare:
        key = self.kem.private.generate()
        classical = self.classical.generate()
        public = self._join(key.public_key().public_bytes_raw(), classical.public)
        return KeyShare(self, public, partial(self._decapsulate, key.decapsulate, classical), classical)

    def _decapsulate(self, decapsulate: Callable[[bytes], bytes], classical: KeyShare, peer: bytes) -> bytes:
        self._check_length(peer, self.answer_length, "RFC 10024 4.2")
        ciphertext, answer = self._split(peer, self.kem.answer_length)
        return self._join(decapsulate(ciphertext), classical.exchange(answer))

    def encapsulate(self, client_share: bytes) -> tuple[bytes, bytes]:
        self._check_length(client_share, self.share_length, "RFC 10024 4.1")
        encapsulation_key, share = self._split(client_share, self.kem.share_length)
        try:
            key = self.kem.public.from_public_bytes(encapsulation_key)
        except ValueError:
            raise self._refuse("holds an ML-KEM key that is not reduced", "RFC 10024 4.2") from None
        answer, classical_secret = self.classical.encapsulate(share)
        kem_secret, ciphertext = key.encapsulate()
        return self._join(ciphertext, answer), self._join(kem_secret, classical_secret)

    def _join(self, kem: bytes, classical: bytes) -> bytes:
        return kem + classical if self.kem_first else classical + kem

    def _split(self, both: bytes, kem_length: int) -> tuple[bytes, bytes]:
        """The ML-KEM half and the classical half."""
        if self.kem_first:
            return both[:kem_length], both[kem_length:]
        return both[-kem_length:], both[:-kem_length]


X25519 = Montgomery(NamedGroup.x25519, 32, x25519.X25519PrivateKey, x25519.X25519PublicKey)
SECP256R1 = Weierstrass(NamedGroup.secp256r1, ec.SECP256R1())
SECP384R1 = Weierstrass(NamedGroup.secp384r1, ec.SECP384R1())

GROUPS: Mapping[int, Group] = {
    group.code: group
    for group in (
        Hybrid(NamedGroup.X25519MLKEM768, X25519, ML_KEM_768, kem_first=True),
        X25519,
        SECP256R1,
        SECP384R1,
        Weierstrass(NamedGroup.secp521r1, ec.SECP521R1()),
        Montgomery(NamedGroup.x448, 56, x448.X448PrivateKey, x448.X448PublicKey),
        Hybrid(NamedGroup.SecP256r1MLKEM768, SECP256R1, ML_KEM_768, kem_first=False),
        Hybrid(NamedGroup.SecP384r1MLKEM1024, SECP384R1, ML_KEM_1024, kem_first=False),
        MlKem(NamedGroup.MLKEM768, ML_KEM_768),
        MlKem(NamedGroup.MLKEM1024, ML_KEM_1024),
        FiniteField(NamedGroup.ffdhe2048, 2048, 560316),
        FiniteField(NamedGroup.ffdhe3072, 3072, 2625351),
        FiniteField(NamedGroup.ffdhe4096, 4096, 5736041),
    )
}

CURVES = frozenset(code for code, group in GROUPS.items() if isinstance(group, (Montgomery, Weierstrass)))
"""What TLS 1.2 has for ECDHE: RFC 9851 keeps the hybrids out of it."""
FIELDS = frozenset(code for code, group in GROUPS.items() if isinstance(group, FiniteField))
"""What TLS 1.2 has for DHE (RFC 7919)."""


def curve_of(public_key: Any) -> NamedGroup | None:
    """An ECDSA key's curve, which TLS 1.2 negotiates as a group (RFC 8422 section 5.1.1); None for other keys."""
    return NamedGroup.__members__.get(public_key.curve.name) if isinstance(public_key, ec.EllipticCurvePublicKey) else None
