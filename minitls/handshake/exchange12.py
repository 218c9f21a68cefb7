"""TLS 1.2's key exchanges: where the premaster secret comes from (RFC 5246 sections 7.4.3 and 7.4.7, RFC 8422, 4279, 5489).

A registry by the suite's key exchange, so that a flow knows no difference.  On the server ``parameters`` go into
ServerKeyExchange and ``premaster`` reads ClientKeyExchange; on the client ``receive`` reads the one and ``answer`` makes the
other.  What the peer sends is checked here: illegal_parameter or decode_error, but for static RSA, which never lets its
sender know what was wrong.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from minitls.config import OurPsk, TheirPsk
from minitls.crypto.ffdh import FieldKey
from minitls.crypto.groups import GROUPS, FiniteField, KeyShare
from minitls.crypto.psk import ExternalPsk
from minitls.errors import Alert, DecodeError, PeerIncompatible, PeerMisbehaved
from minitls.wire.codec import opaque, parse, serialize
from minitls.wire.messages12 import (
    ClientDHPublic,
    ClientECDHPublic,
    EncryptedPreMasterSecret,
    ServerDHParams,
    ServerECDHParams,
)
from minitls.wire.numbers import NamedGroup, ProtocolVersion, name_of

NAMED_CURVE = 3
PREMASTER_LENGTH = 48


class Exchange(ABC):
    """One handshake's key exchange, one side of it.

    ``ephemeral``: ServerKeyExchange is sent.  ``group``: the group's name, once it is known; None for static RSA.
    """

    ephemeral = True
    group: str | None = None

    def parameters(self) -> bytes:
        """Server: what ServerKeyExchange says, before its signature."""
        raise NotImplementedError

    def receive(self, data: bytes) -> int:
        """Client: read the parameters at the start of ServerKeyExchange; gives where they end."""
        raise NotImplementedError

    @abstractmethod
    def answer(self) -> tuple[bytes, bytes]:
        """Client: ClientKeyExchange's body, and the premaster secret."""

    @abstractmethod
    def premaster(self, exchange_keys: bytes) -> bytes:
        """Server: the premaster secret, from ClientKeyExchange's body."""


def _read(kind: type[Any], data: bytes) -> tuple[Any, int]:
    value, end = kind.codec.read(data, 0, len(data))
    return value, end


class Ecdhe(Exchange):
    """RFC 8422 section 5.4 and 5.7: both sides make a fresh key on a named curve."""

    def __init__(self, groups: Sequence[int]) -> None:
        """``groups``: the client's own; on the server the one chosen."""
        self._groups = groups
        self._share: KeyShare | None = None
        self._peer = b""

    def parameters(self) -> bytes:
        group = GROUPS[self._groups[0]]
        self._share = group.generate()
        self.group = group.name
        return serialize(ServerECDHParams(NAMED_CURVE, group.code, self._share.public))

    def receive(self, data: bytes) -> int:
        parameters, end = _read(ServerECDHParams, data)
        if parameters.curve_type != NAMED_CURVE or parameters.named_curve not in self._groups:
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                f"the server chose the curve {name_of(NamedGroup, parameters.named_curve)}, which we did not offer",
                rule="RFC 8422 5.4",
                reason="wrong_curve",
            )
        self._share = GROUPS[parameters.named_curve].generate()
        self.group = self._share.group.name
        self._peer = parameters.public
        return end

    def answer(self) -> tuple[bytes, bytes]:
        assert self._share is not None
        return serialize(ClientECDHPublic(self._share.public)), self._share.exchange(self._peer)

    def premaster(self, exchange_keys: bytes) -> bytes:
        assert self._share is not None
        return self._share.exchange(parse(ClientECDHPublic, exchange_keys).ecdh_Yc)


class Dhe(Exchange):
    """RFC 5246 sections 7.4.3 and 8.1.2, with RFC 7919's groups; leading zeros of the secret are dropped."""

    def __init__(self, group: int | None = None) -> None:
        """``group``: on the server, the one chosen."""
        self._group = group
        self._key: FieldKey | None = None
        self._peer = b""

    def parameters(self) -> bytes:
        group = GROUPS[self._group] if self._group is not None else None
        assert isinstance(group, FiniteField)
        self.group = group.name
        self._key = FieldKey.of_group(group)
        return serialize(ServerDHParams(self._key.prime, self._key.generator, self._key.public))

    def receive(self, data: bytes) -> int:
        parameters, end = _read(ServerDHParams, data)
        self._key = FieldKey.of_numbers(parameters.dh_p, parameters.dh_g)
        self.group = self._key.name
        self._peer = parameters.dh_Ys
        return end

    def answer(self) -> tuple[bytes, bytes]:
        assert self._key is not None
        return serialize(ClientDHPublic(self._key.public)), self._key.exchange(self._peer)

    def premaster(self, exchange_keys: bytes) -> bytes:
        assert self._key is not None
        return self._key.exchange(parse(ClientDHPublic, exchange_keys).dh_Yc)


class StaticRsa(Exchange):
    """RFC 5246 section 7.4.7.1: the premaster secret, encrypted with the certificate's key.

    No forward secrecy, and the padding has been an oracle for twenty-five years (Bleichenbacher, ROBOT, Marvin): OpenSSL's
    decryption gives random bytes for a bad padding; what is not 48 bytes with the right version becomes random here, by
    selection and not by a branch; and the handshake goes on to Finished, where it fails for everybody alike.
    """

    ephemeral = False

    def __init__(
        self,
        random: Callable[[int], bytes],
        *,
        public_key: Any = None,
        decrypt: Callable[[bytes], bytes] | None = None,
        offered: int = ProtocolVersion.TLSv1_2,
    ) -> None:
        """``offered``: the version in ClientHello, which is inside the premaster secret, too, against rollback."""
        self._random = random
        self._offered = int(offered).to_bytes(2, "big")
        self._public_key = public_key
        self._decrypt = decrypt

    def answer(self) -> tuple[bytes, bytes]:
        from cryptography.hazmat.primitives.asymmetric import padding

        premaster = self._offered + self._random(PREMASTER_LENGTH - 2)
        encrypted = self._public_key.encrypt(premaster, padding.PKCS1v15())
        return serialize(EncryptedPreMasterSecret(encrypted)), premaster

    def premaster(self, exchange_keys: bytes) -> bytes:
        encrypted = parse(EncryptedPreMasterSecret, exchange_keys).pre_master_secret
        fallback = self._random(PREMASTER_LENGTH)
        assert self._decrypt is not None
        try:
            decrypted = self._decrypt(encrypted)
        except ValueError:  # a ciphertext of another length than the key's: everybody can see that
            decrypted = b""
        padded = decrypted.ljust(PREMASTER_LENGTH, b"\0")
        good = hmac.compare_digest(padded[:2], self._offered) & (len(decrypted) == PREMASTER_LENGTH)
        return (fallback, decrypted)[good]


class Psk(Exchange):
    """RFC 4279 section 2: a secret that both have, by a name that is not secret.

    ``identity`` and ``key``: set by the flow once it knows them; ``hint``: what the server said of whose key it wants.
    """

    ephemeral = False

    def __init__(self, *, inner: Exchange | None = None, hint: bytes | None = None) -> None:
        """``inner``: the Diffie-Hellman beside it (RFC 5489); None for PSK alone.  ``hint``: a server's."""
        self.identity = b""
        self.key = b""
        self.hint = hint
        self._inner = inner
        self.ephemeral = inner is not None or hint is not None

    def parameters(self) -> bytes:
        hint = self.hint or b""
        out = len(hint).to_bytes(2, "big") + hint
        if self._inner is not None:
            out += self._inner.parameters()
            self.group = self._inner.group
        return out

    def receive(self, data: bytes) -> int:
        self.hint, start = opaque(0, 2**16 - 1).read(data, 0, len(data))
        if self._inner is None:
            return start
        end = start + self._inner.receive(data[start:])
        self.group = self._inner.group
        return end

    def answer(self) -> tuple[bytes, bytes]:
        public, other = self._inner.answer() if self._inner else (b"", bytes(len(self.key)))
        return len(self.identity).to_bytes(2, "big") + self.identity + public, _psk_premaster(other, self.key)

    def premaster(self, exchange_keys: bytes) -> bytes:
        _, start = opaque(0, 2**16 - 1).read(exchange_keys, 0, len(exchange_keys))
        if self._inner is None:
            if start != len(exchange_keys):
                raise DecodeError("ClientKeyExchange: bytes after the PSK identity", rule="RFC 4279 2")
            return _psk_premaster(bytes(len(self.key)), self.key)
        return _psk_premaster(self._inner.premaster(exchange_keys[start:]), self.key)


def _psk_premaster(other: bytes, key: bytes) -> bytes:
    return len(other).to_bytes(2, "big") + other + len(key).to_bytes(2, "big") + key


def psk_identity(exchange_keys: bytes) -> bytes:
    """Whom a ClientKeyExchange of a PSK suite says it is."""
    identity, _ = opaque(0, 2**16 - 1).read(exchange_keys, 0, len(exchange_keys))
    return identity


def key_of(answer: TheirPsk) -> bytes | None:
    """A server's key for TLS 1.2; None for none, and for one that is bound to TLS 1.3."""
    if isinstance(answer, ExternalPsk):
        return None if answer.imported else answer.key
    return answer


def own_psk(answer: OurPsk) -> tuple[bytes, bytes] | None:
    """A client's identity and key for TLS 1.2; None for none, and for one that is bound to TLS 1.3."""
    if answer is None:
        return None
    several: Any = (answer,) if isinstance(answer, ExternalPsk) else answer
    if several and isinstance(several[0], bytes):
        return several[0], several[1]
    return next(((key.identity, key.key) for key in several if not key.imported), None)


def plain_psk(answer: OurPsk) -> tuple[bytes, bytes]:
    """The same.  Raises handshake_failure for none."""
    if (psk := own_psk(answer)) is not None:
        return psk
    raise PeerIncompatible(
        Alert.handshake_failure,
        "the server chose a PSK suite of TLS 1.2, and we have no key for it",
        rule="RFC 9258 7",
        reason="no_psk",
    )
