"""What a leaf says that its key is for holds for everybody, also for who verifies no certificate (RFC 8446 section 4.4.2.2)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from minitls import (
    Alert,
    CertificateError,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Credential,
    Danger,
    Policy,
    ServerConfig,
    ServerConnection,
)
from minitls.certificates.authority import make_key
from minitls.certificates.verify import key_facts
from tests.chains import HOST, ca, leaf, usage
from tests.liar import Meeting, meet

ANYBODY = Danger.accept_any_certificate
ROOT = ca("root")
POLICIES = {
    "TLS 1.3": Policy.modern,
    "TLS 1.2": Policy.intermediate.replace(versions=("TLSv1.2",)),
    "static RSA": Policy.legacy.replace(versions=("TLSv1.2",), cipher_suites=("TLS_RSA_WITH_AES_128_GCM_SHA256",)),
}


def credential(*bits: str, key: Any = None) -> Credential:
    made = leaf(ROOT, key_usage=usage(*bits), key=key)
    return Credential.from_cryptography([made.certificate], made.key)


def shown(by: str, what: Credential, policy: Policy) -> Meeting:
    """The server or the client shows this, to somebody who verifies nothing."""
    other = credential("digital_signature")
    server: dict[str, Any] = {"client_auth": ClientAuth.require, "verify": ANYBODY} if by == "client" else {}
    client = ClientConfig(policy=policy, verify=ANYBODY, credential=what if by == "client" else None)
    config = ServerConfig(policy=Policy.legacy, credentials=(what if by == "server" else other,), **server)
    return meet(ClientConnection(client, server_hostname=HOST), ServerConnection(config))


@pytest.mark.parametrize("version", ["TLS 1.3", "TLS 1.2"])
@pytest.mark.parametrize("by", ["server", "client"])
def test_a_key_that_may_not_sign(by: str, version: str) -> None:
    """RFC 8446 section 4.4.2.2, RFC 5246 section 7.4.2; one whose certificate does not say may do all."""
    meeting = shown(by, credential("key_agreement"), POLICIES[version])
    error = meeting.client_error if by == "server" else meeting.server_error
    assert (error.alert, error.reason, error.rule) == (Alert.illegal_parameter, "key_usage_bit_incorrect", "RFC 8446 4.4.2.2")
    silent = leaf(ROOT, key_usage=None)
    for good in (credential("digital_signature"), Credential.from_cryptography([silent.certificate], silent.key)):
        meeting = shown(by, good, POLICIES[version])
        assert meeting.completed == (True, True)


def test_a_key_for_encipherment_alone() -> None:
    """It does for static RSA, where nothing is signed with it, and for nothing else."""
    key = make_key("rsa2048")
    for bits, version, completed in (
        (("key_encipherment",), "static RSA", True),
        (("key_encipherment",), "TLS 1.3", False),
        (("key_encipherment",), "TLS 1.2", False),
        (("key_encipherment", "digital_signature"), "TLS 1.2", True),
    ):
        meeting = shown("server", credential(*bits, key=key), POLICIES[version])
        assert meeting.completed[0] is completed, (bits, version)


def test_a_usage_that_cannot_be_read() -> None:
    """Not by who verifies it, and not by who does not."""
    made = leaf(ROOT, key_usage=None, extra=[(x509.UnrecognizedExtension(x509.ExtensionOID.KEY_USAGE, b"\5\0"), True)])
    with pytest.raises(CertificateError) as caught:
        key_facts([made.der])
    assert caught.value.reason == "malformed"
