"""Delegated credentials (RFC 9345): made by who has a certificate's key, shown by who has not, and looked at by their peers.

A delegated credential is a public key, the one scheme that it signs with, and the time until which it is good, signed by the
certificate's key.  It is as good as the certificate, for 7 days at most, and cannot be revoked: who loses it has lost little.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Container
from typing import Any, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from minitls.certificates.credentials import Credential, Signer, load_private_key
from minitls.certificates.faults import PARSE_ERRORS, Fault, malformed, name_of
from minitls.certificates.spki import AnyPublicKey, SubjectKey, as_spki, read_spki
from minitls.certificates.verify import leaf_schemes
from minitls.crypto.signatures import SCHEMES
from minitls.data import dataclass
from minitls.errors import Alert, DecodeError, Misuse, PeerMisbehaved
from minitls.wire.codec import parse, serialize
from minitls.wire.extensions import DelegatedCredential
from minitls.wire.extensions import Delegation as Cred
from minitls.wire.numbers import SignatureScheme
from minitls.wire.numbers import name_of as name_of_code

DELEGATION_USAGE = x509.ObjectIdentifier("1.3.6.1.4.1.44363.44")
ASN1_NULL = b"\x05\0"
"""The extension of certificates that may delegate, and what it holds (section 4.2)."""
MAX_LIFETIME = 7 * 24 * 3600
"""Seconds that a delegated credential may still be good for when it is shown (section 4.1.3)."""
DAY = 24 * 3600

_CONTEXTS = {False: b"TLS, server delegated credentials", True: b"TLS, client delegated credentials"}


@dataclass(frozen=True, slots=True)
class Delegation:
    """A delegated credential that is ours to show.

    ``message``: as it is sent; ``expires``: in seconds since the epoch; ``client``: whether it is a client's.
    """

    message: DelegatedCredential
    expires: float
    client: bool

    @property
    def scheme(self) -> SignatureScheme:
        """What its key signs with."""
        return SignatureScheme(self.message.cred.dc_cert_verify_algorithm)

    @property
    def algorithm(self) -> SignatureScheme:
        """What the certificate's key has signed it with."""
        return SignatureScheme(self.message.algorithm)

    def is_good(self, now: float) -> bool:
        """Whether peers will accept it at this time, seconds since the epoch."""
        return now <= self.expires <= now + MAX_LIFETIME


def signed_content(context: bytes, leaf: bytes, cred: Cred, algorithm: int) -> bytes:
    """Section 4: what the certificate's key signs.  ``leaf``: DER."""
    return b"\x20" * 64 + context + b"\0" + leaf + serialize(cred) + algorithm.to_bytes(2, "big")


def may_delegate(leaf: x509.Certificate) -> bool:
    """Section 4.2: the certificate says so, and may sign.  Raises PARSE_ERRORS."""
    try:
        leaf.extensions.get_extension_for_oid(DELEGATION_USAGE)
        return leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return False


# made -------------------------------------------------------------------------------------------------------------------


def delegate(
    credential: Credential, public_key: AnyPublicKey, *, at: float, lifetime: float = DAY, client: bool = False
) -> bytes | Awaitable[bytes]:
    """A DelegatedCredential for this key, signed by the credential's; something to await where its signer is async.

    ``at``: now, in seconds since the epoch; ``lifetime``: seconds from then on; ``client``: for a client to show.  Raises Misuse.
    """
    cred, algorithm, content = _prepared(credential, public_key, at, lifetime, client)
    signature = credential.sign(algorithm, content)

    async def later(signature: Awaitable[bytes]) -> bytes:
        return serialize(DelegatedCredential(cred, algorithm, await signature))

    if inspect.isawaitable(signature):
        return later(signature)
    return serialize(DelegatedCredential(cred, algorithm, signature))


def _prepared(
    credential: Credential, public_key: AnyPublicKey, at: float, lifetime: float, client: bool
) -> tuple[Cred, SignatureScheme, bytes]:
    """What is to be signed, and with which scheme."""
    leaf = _delegating(credential)
    if not credential.schemes:
        raise Misuse("this credential signs nothing in TLS 1.3, of which delegated credentials are", rule="RFC 9345 4.1.3")
    if not 0 < lifetime <= MAX_LIFETIME:
        raise Misuse(f"a delegated credential is good for at most 7 days, not {lifetime:g} seconds", rule="RFC 9345 4.1.3")
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    if not begin <= at < at + lifetime < end:
        raise Misuse("a delegated credential is good for no longer than its certificate", rule="RFC 9345 4.1.3")
    try:
        subject = read_spki(as_spki(public_key), "the delegated credential would have")
    except Fault as fault:
        raise Misuse(fault.message, rule=fault.rule, reason=fault.reason) from None
    scheme, algorithm = subject.schemes[0], credential.schemes[0]
    if scheme.name.startswith("rsa_pss_rsae"):
        raise Misuse("a delegated credential's RSA key must say that it is for RSASSA-PSS alone", rule="RFC 9345 4")
    cred = Cred(int(at - begin + lifetime), scheme, subject.der)
    return cred, algorithm, signed_content(_CONTEXTS[client], credential.chain[0], cred, algorithm)


def with_delegation(credential: Credential, delegated: bytes, key: Any, signer: Signer | None = None) -> Credential:
    """The credential with one more delegation, if that is of its certificate and for this key.  Raises Misuse."""
    leaf = _delegating(credential)
    try:
        message = parse(DelegatedCredential, delegated)
        subject = read_spki(message.cred.public_key, "the delegated credential has")
        client = next(client for client in _CONTEXTS if _is_signed(message, leaf, client=client))
    except (DecodeError, Fault) as error:
        raise Misuse(f"this is no delegated credential: {error}", reason="bad_delegated_credential") from None
    except StopIteration:
        raise Misuse(f"{name_of(leaf)} has not signed this delegated credential", reason="bad_delegated_credential") from None
    scheme = message.cred.dc_cert_verify_algorithm
    if signer is None:
        private = _private(key)
        if as_spki(private.public_key()) != as_spki(subject.key):
            raise Misuse("the private key does not belong to the delegated credential", reason="key_mismatch")

        def sign(scheme: SignatureScheme, data: bytes) -> bytes:
            return SCHEMES[scheme].sign(private, data)

        signer = sign
    if scheme not in subject.schemes:
        raise Misuse("the delegated credential's key does not fit its scheme", reason="bad_delegated_credential")
    view = copy.copy(credential)
    view.delegation = Delegation(message, leaf.not_valid_before_utc.timestamp() + message.cred.valid_time, client)
    view.schemes, view.schemes12, view.delegations = (view.delegation.scheme,), (), ()
    view._signer, view._decrypter = signer, None
    made = copy.copy(credential)
    made.delegations = (*credential.delegations, view)
    return made


def delegated(credential: Credential, key: Any, *, at: float, lifetime: float, client: bool) -> Credential:
    """See :meth:`Credential.delegated`."""
    private = _private(key)
    cred, algorithm, content = _prepared(credential, private.public_key(), at, lifetime, client)
    signature = credential.sign(algorithm, content)
    if inspect.isawaitable(signature):
        if inspect.iscoroutine(signature):
            signature.close()
        raise Misuse("this credential signs asynchronously: await minitls.certificates.delegated.delegate(...) first")
    return with_delegation(credential, serialize(DelegatedCredential(cred, algorithm, signature)), private)


def _private(key: Any) -> Any:
    private: Any = load_private_key(key) if isinstance(key, bytes) else key
    if not hasattr(private, "sign"):
        raise Misuse("a delegated credential needs its private key, or a signer=", reason="bad_key")
    return private


def _delegating(credential: Credential) -> x509.Certificate:
    leaf = getattr(credential, "leaf", None)
    if leaf is None or not may_delegate(leaf):
        raise Misuse("only a certificate with the extension DelegationUsage can delegate", rule="RFC 9345 4.2")
    return credential.leaf


def _is_signed(message: DelegatedCredential, leaf: x509.Certificate, *, client: bool) -> bool:
    content = signed_content(_CONTEXTS[client], leaf.public_bytes(Encoding.DER), message.cred, message.algorithm)
    try:
        SCHEMES[message.algorithm].verify(leaf.public_key(), message.signature, content)
    except (InvalidSignature, KeyError):
        return False
    return True


# looked at --------------------------------------------------------------------------------------------------------------


def verify_delegated(
    message: DelegatedCredential,
    leaf: x509.Certificate,
    *,
    client: bool,
    at: float,
    schemes: Container[int],
    algorithms: Container[int],
) -> tuple[SubjectKey, float]:
    """Section 4.1.3: the delegated key, with the one scheme that it signs with, and when it expires, in seconds since the epoch.

    Raises illegal_parameter, CertificateError.

    ``client``: whether the peer is one; ``at``: now, in seconds since the epoch.  ``schemes``: what we accept of delegated keys;
    ``algorithms``: what we accept of certificates' keys in a handshake.
    """
    cred, who = message.cred, name_of(leaf)
    try:
        begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
        allowed, accepted = may_delegate(leaf), leaf_schemes(leaf)
    except PARSE_ERRORS as error:
        raise malformed(error).error([leaf.public_bytes(Encoding.DER)]) from None
    expires = begin + cred.valid_time
    if not allowed:
        _invalid("delegation_not_allowed", f"{who} may not delegate", "RFC 9345 4.2")
    if at > expires:
        _invalid("delegated_credential_expired", "the peer's delegated credential has expired")
    if expires > at + MAX_LIFETIME:
        _invalid("delegated_credential_too_long", "the peer's delegated credential is good for more than 7 days")
    if expires >= end:
        _invalid("delegated_credential_too_long", "the peer's delegated credential is good for longer than its certificate")
    if cred.dc_cert_verify_algorithm not in schemes:
        name = name_of_code(SignatureScheme, cred.dc_cert_verify_algorithm)
        _invalid("wrong_signature_type", f"the peer's delegated credential signs with {name}, which we did not ask for")
    if message.algorithm not in algorithms or message.algorithm not in accepted:
        name = name_of_code(SignatureScheme, message.algorithm)
        what = "does not fit the certificate's key" if message.algorithm in algorithms else "we did not offer"
        _invalid("wrong_signature_type", f"the peer's delegated credential is signed with {name}, which {what}")
    try:
        subject = read_spki(cred.public_key, "the peer's delegated credential has")
    except Fault as fault:
        _invalid("bad_delegated_key", fault.message)
    if cred.dc_cert_verify_algorithm not in subject.schemes:
        name = name_of_code(SignatureScheme, cred.dc_cert_verify_algorithm)
        _invalid("bad_delegated_key", f"the key of the peer's delegated credential cannot sign {name}", "RFC 9345 4")
    if not _is_signed(message, leaf, client=client):
        _invalid("bad_delegation", f"the peer's delegated credential is not signed by {who}")
    return SubjectKey(subject.der, subject.key, (SignatureScheme(cred.dc_cert_verify_algorithm),)), expires


def _invalid(reason: str, text: str, rule: str = "RFC 9345 4.1.3") -> NoReturn:
    """Section 4.1.3: whatever it is that is wrong, the alert is illegal_parameter."""
    raise PeerMisbehaved(Alert.illegal_parameter, text, rule=rule, reason=reason)
