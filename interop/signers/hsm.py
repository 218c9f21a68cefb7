"""A private key in a PKCS#11 token (an HSM, a smart card, SoftHSM), which signs and never gives it out.

::

    token = Token("/usr/lib/softhsm/libsofthsm2.so", "my token", pin)
    Credential(load_chain(pem), signer=token.signer("my key"))

PKCS#11 blocks, so signatures are made in a thread, and the event loop goes on.  It is one thread: python-pkcs11 0.10 calls
C_Initialize without CKF_OS_LOCKING_OK, by which a library may take it that there is no other (SoftHSM then crashes).  For the
same reason a process has one :class:`Token` of a library; what needs more signatures at a time needs more processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import MGF, Mechanism, ObjectClass
from pkcs11.exceptions import PKCS11Error

from minitls.errors import Alert, TLSError
from minitls.wire.numbers import SignatureScheme


class How(NamedTuple):
    """A mechanism and its parameter.  ``digest``: hashed by us, where the mechanism does not do it."""

    mechanism: Mechanism
    parameter: Any = None
    digest: hashes.HashAlgorithm | None = None


_SHA256, _SHA384, _SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
_PSS = {
    256: How(Mechanism.SHA256_RSA_PKCS_PSS, (Mechanism.SHA256, MGF.SHA256, 32)),
    384: How(Mechanism.SHA384_RSA_PKCS_PSS, (Mechanism.SHA384, MGF.SHA384, 48)),
    512: How(Mechanism.SHA512_RSA_PKCS_PSS, (Mechanism.SHA512, MGF.SHA512, 64)),
}
MECHANISMS: Mapping[SignatureScheme, How] = {
    SignatureScheme.ecdsa_secp256r1_sha256: How(Mechanism.ECDSA, digest=_SHA256),
    SignatureScheme.ecdsa_secp384r1_sha384: How(Mechanism.ECDSA, digest=_SHA384),
    SignatureScheme.ecdsa_secp521r1_sha512: How(Mechanism.ECDSA, digest=_SHA512),
    SignatureScheme.rsa_pss_rsae_sha256: _PSS[256],
    SignatureScheme.rsa_pss_rsae_sha384: _PSS[384],
    SignatureScheme.rsa_pss_rsae_sha512: _PSS[512],
    SignatureScheme.rsa_pss_pss_sha256: _PSS[256],
    SignatureScheme.rsa_pss_pss_sha384: _PSS[384],
    SignatureScheme.rsa_pss_pss_sha512: _PSS[512],
    # These two in TLS 1.2 only.
    SignatureScheme.rsa_pkcs1_sha256: How(Mechanism.SHA256_RSA_PKCS),
    SignatureScheme.rsa_pkcs1_sha384: How(Mechanism.SHA384_RSA_PKCS),
}
"""Not every token has CKM_ECDSA_SHA256, and all have CKM_ECDSA; a PSS salt is as long as its hash (RFC 8446 section 4.2.3)."""


class Token:
    """A token that we are logged in to.  ``library``: the vendor's.  Raises PKCS11Error, such as PinIncorrect."""

    def __init__(self, library: str, label: str, pin: str) -> None:
        self._session = pkcs11.lib(library).get_token(token_label=label).open(user_pin=pin)
        self._thread = ThreadPoolExecutor(1, "pkcs11")

    def close(self) -> None:
        """Log out, after what is being signed."""
        self._thread.shutdown()
        self._session.close()

    def signer(self, label: str) -> Callable[[SignatureScheme, bytes], Awaitable[bytes]]:
        """For ``Credential(chain, signer=...)``: signs with the private key of this label."""
        return partial(self._sign_in_thread, label)

    async def _sign_in_thread(self, label: str, scheme: SignatureScheme, data: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._sign, label, scheme, data)

    def _sign(self, label: str, scheme: SignatureScheme, data: bytes) -> bytes:
        """Raises TLSError: the handshake ends with the alert internal_error."""
        how = MECHANISMS.get(scheme)
        if how is None:
            raise TLSError(Alert.internal_error, f"no PKCS#11 mechanism is known for {scheme.name}", reason="signer_failed")
        if how.digest is not None:
            hasher = hashes.Hash(how.digest)
            hasher.update(data)
            data = hasher.finalize()
        try:
            key: Any = self._session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label)
            signature = bytes(key.sign(data, mechanism=how.mechanism, mechanism_param=how.parameter))
        except PKCS11Error as error:
            text = f"the token cannot sign {scheme.name} with the key {label!r}: {type(error).__name__}"
            raise TLSError(Alert.internal_error, text, reason="signer_failed") from error
        return _der(signature) if how.mechanism is Mechanism.ECDSA else signature


def _der(signature: bytes) -> bytes:
    """An ECDSA signature as TLS has it: PKCS#11 gives r and s at fixed lengths, one after the other."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
