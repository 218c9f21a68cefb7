"""A server whose keys are in a PKCS#11 token: SoftHSM's."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from interop.openssl.harness import OpenSSL, connected, info_of, missing, reverse, serving
from interop.peers.harness import find
from minitls import AlertReceived, Credential, Policy, ServerConfig, TLSError
from minitls.crypto.signatures import SCHEMES, SCHEMES_12
from minitls.errors import Alert
from minitls.wire.numbers import SignatureScheme
from tests.chains import Made, leaf
from tests.conftest import Pki

if TYPE_CHECKING:
    from interop.signers.hsm import Token

PIN = "2718"
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")


@dataclass
class Hsm:
    """A token with a key of each kind that we sign with, and certificates for them."""

    token: Token
    credentials: dict[str, Credential]


@pytest.fixture(scope="session")
def hsm(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hsm]:
    util = find("softhsm2-util", "softhsm2")
    if find_spec("pkcs11") is None:
        missing("the package python-pkcs11 is missing")
    library = next((f for folder in LIBRARIES for f in Path(folder).glob("**/softhsm/libsofthsm2.so")), None)
    if library is None:
        missing("libsofthsm2.so is missing (Debian's package softhsm2)")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTHSM2_CONF", str(folder / "conf"))
        made = ("--init-token", "--free", "--label", "minitls", "--so-pin", PIN, "--pin", PIN)
        subprocess.run([util, *made], check=True, capture_output=True)
        from interop.signers.hsm import Token

        keys = make_keys(str(library))
        token = Token(str(library), "minitls", PIN)
        by = Made(pki.authority.chain[0], pki.authority._key)
        certificates = {label: leaf(by, names=("localhost",), key=key).certificate for label, key in keys.items()}
        above = pki.authority.chain[:-1]
        yield Hsm(token, {n: Credential([c, *above], signer=token.signer(n)) for n, c in certificates.items()})
        token.close()


def make_keys(library: str) -> dict[str, Any]:
    """In the token, which gives out the public ones."""
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
    from pkcs11.util.rsa import encode_rsa_public_key

    public: dict[str, Any] = {}
    with pkcs11.lib(library).get_token(token_label="minitls").open(rw=True, user_pin=PIN) as session:
        for name, curve in {"p256": "secp256r1", "p384": "secp384r1"}.items():
            attributes = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
            parameters = session.create_domain_parameters(pkcs11.KeyType.EC, attributes, local=True)
            pair = parameters.generate_keypair(store=True, label=name)
            public[name] = load_der_public_key(encode_ec_public_key(pair[0]))
        pair = session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="rsa")
        public["rsa"] = load_der_public_key(encode_rsa_public_key(pair[0]))
        assert not pair[1][pkcs11.Attribute.EXTRACTABLE]
    return public


CASES = {
    "p256": "ecdsa_secp256r1_sha256",
    "p384": "ecdsa_secp384r1_sha384",
    "rsa": "rsa_pss_rsae_sha256",
}
POLICIES = {
    "TLSv1.3": Policy.modern,
    "TLSv1.2": Policy.intermediate.replace(versions=("TLSv1.2",)),
}


@pytest.mark.parametrize("version", POLICIES)
@pytest.mark.parametrize("label", CASES)
async def test_handshake(label: str, version: str, hsm: Hsm, pki: Pki) -> None:
    async with (
        serving(ServerConfig(credentials=(hsm.credentials[label],), policy=POLICIES[version]), reverse) as served,
        connected(served.port, pki.client_config()) as (reader, writer),
    ):
        writer.write(b"hello\n")
        assert await reader.readline() == b"olleh\n"
        assert info_of(writer).version == version
        if version == "TLSv1.3":
            assert info_of(writer).signature_scheme == CASES[label]
    assert served.errors == []


@pytest.mark.parametrize("label", CASES)
async def test_openssl(label: str, hsm: Hsm, openssl: OpenSSL) -> None:
    config = ServerConfig(credentials=(hsm.credentials[label],))
    async with serving(config, reverse) as served, openssl.client(served.port, "-brief") as peer:
        await peer.say("hello")
        await peer.said(rb"olleh\n")
        peer.end_input()
        assert await peer.exit() == 0
        assert "Verification: OK" in peer.text
        assert f"Signature type: {'RSA-PSS' if label == 'rsa' else 'ECDSA'}" in peer.text


async def test_every_scheme(hsm: Hsm) -> None:
    """Whatever a handshake may ask of these keys, the token signs, and it verifies."""
    from interop.signers.hsm import MECHANISMS

    asked = set()
    for credential in hsm.credentials.values():
        for schemes, codes in ((SCHEMES, credential.schemes), (SCHEMES_12, credential.schemes12)):
            for code in codes:
                if code not in MECHANISMS:
                    continue
                signature = await credential.sign(code, b"data")  # type: ignore[misc]
                schemes[code].verify(credential.leaf.public_key(), signature, b"data")
                asked.add(code.name)
    assert asked >= {*CASES.values(), "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512", "rsa_pkcs1_sha256"}


async def test_many_at_once(hsm: Hsm, pki: Pki) -> None:
    """They take turns."""

    async def visit(port: int) -> None:
        async with connected(port, pki.client_config()) as (reader, writer):
            writer.write(b"hello\n")
            assert await reader.readline() == b"olleh\n"

    async with serving(ServerConfig(credentials=(hsm.credentials["rsa"],)), reverse) as served:
        await asyncio.gather(*(visit(served.port) for _ in range(20)))
    assert served.errors == []


async def test_the_loop_goes_on(hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a slow token signs."""
    go_on = threading.Event()
    sign = hsm.token._sign

    def slowly(*args: Any) -> bytes:
        assert go_on.wait(10)
        return sign(*args)

    monkeypatch.setattr(hsm.token, "_sign", slowly)
    credential = hsm.credentials["p256"]
    signing = asyncio.ensure_future(credential.sign(credential.schemes[0], b"data"))  # type: ignore[arg-type]
    await asyncio.sleep(0)  # had it blocked, this would never come to its end
    assert not signing.done()
    go_on.set()
    SCHEMES[credential.schemes[0]].verify(credential.leaf.public_key(), await signing, b"data")


async def test_a_key_that_is_not_there(hsm: Hsm, pki: Pki) -> None:
    """The handshake fails with a clear error and an alert; the server goes on."""
    lost = Credential(hsm.credentials["p256"].chain, signer=hsm.token.signer("lost"))
    async with serving(ServerConfig(credentials=(lost,)), reverse) as served:
        for _ in range(2):
            with pytest.raises(AlertReceived) as caught:
                async with connected(served.port, pki.client_config()):
                    pass
            assert caught.value.alert is Alert.internal_error
        error = await served.error()
    assert str(error) == "the token cannot sign ecdsa_secp256r1_sha256 with the key 'lost': NoSuchKey"
    with pytest.raises(TLSError, match="no PKCS#11 mechanism is known for ed25519"):
        await hsm.token.signer("p256")(SignatureScheme.ed25519, b"")
