"""TLS 1.2's PRF against the test vectors that implementations share; key block, Finished and exporter as the RFCs have them."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitls import Misuse
from minitls.crypto.aead import AEAD
from minitls.crypto.prf import MasterSecret, prf
from minitls.crypto.suites12 import SUITES_12, lengths

LABEL = b"test label"

VECTORS = {
    "sha256": (
        "9bbe436ba940f017b17652849a71db35",
        "a0ba9f936cda311827a6f796ffd5198c",
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17"
        "abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66",
    ),
    "sha384": (
        "b80b733d6ceefcdc71566ea48e5567df",
        "cd665cf6a8447dd6ff8b27555edb7465",
        "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700"
        "884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a2"
        "6066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f",
    ),
    "sha512": (
        "b0323523c1853599584d88568bbb05eb",
        "d4640e12e4bcdbfb437f03e6ae418ee5",
        "1261f588c798c5c201ff036e7a9cb5edcd7fe3f94c669a122a4638d7d508b283042df6789875c7147e906d868bc75c45e20eb40c1cf4a171"
        "3b27371f68432592f7dc8ea8ef223e12ea8507841311bf68653d0cfc4056d811f025c45ddfa6e6fec702f054b409d6f28dd0a3233e498da4"
        "1a3e75c5630eedbe22fe254e33a1b0e9f6b9826675bec7d01a845658dc9c397545401d40b9f46c7a400ee1b8f81ca0a60d1a397a1028bff5"
        "d2ef5066126842fb8da4197632bdb54ff6633f86bbc836e640d4d898",
    ),
}


@pytest.mark.parametrize("hash_name", VECTORS)
def test_prf(hash_name: str) -> None:
    """RFC 5246 section 5, whole and at every shorter length."""
    secret, seed, expected = map(bytes.fromhex, VECTORS[hash_name])
    assert prf(hash_name, secret, LABEL, seed, len(expected)) == expected
    for length in range(len(expected)):
        assert prf(hash_name, secret, LABEL, seed, length) == expected[:length]


@given(st.binary(max_size=80), st.binary(max_size=80), st.sampled_from(["sha256", "sha384"]))
def test_prf_as_the_rfc_has_it(secret: bytes, seed: bytes, hash_name: str) -> None:
    """P_hash written out: A(0) = seed, A(i) = HMAC(secret, A(i-1))."""

    def mac(data: bytes) -> bytes:
        return hmac.new(secret, data, hash_name).digest()

    label_seed = LABEL + seed
    a1 = mac(label_seed)
    a2, a3 = mac(a1), mac(mac(a1))
    expected = mac(a1 + label_seed) + mac(a2 + label_seed) + mac(a3 + label_seed)
    assert prf(hash_name, secret, LABEL, seed, len(expected)) == expected


CLIENT, SERVER, PREMASTER = b"c" * 32, b"s" * 32, b"p" * 48


@pytest.mark.parametrize("hash_name", ["sha256", "sha384"])
def test_master_secrets(hash_name: str) -> None:
    """RFC 5246 section 8.1: client random first; RFC 7627 section 4: the session hash alone."""
    old = MasterSecret.of_randoms(hash_name, PREMASTER, CLIENT, SERVER)
    session_hash = hashlib.new(hash_name, b"all messages").digest()
    new = MasterSecret.of_handshake(hash_name, PREMASTER, session_hash)
    assert old.value == prf(hash_name, PREMASTER, b"master secret", CLIENT + SERVER, 48)
    assert new.value == prf(hash_name, PREMASTER, b"extended master secret", session_hash, 48)
    assert (old.extended, new.extended) == (False, True)
    assert [repr(each) for each in (old, new)] == [f"<MasterSecret {hash_name}>", f"<MasterSecret {hash_name} extended>"]


@pytest.mark.parametrize("suite", list(SUITES_12.values()), ids=lambda suite: suite.name)
def test_key_block(suite: object) -> None:
    """RFC 5246 section 6.3: the server's random first; MAC keys, keys, IVs, the client's before the server's."""
    assert hasattr(suite, "cipher")
    mac, key, iv = lengths(suite.cipher)
    if isinstance(suite.cipher, AEAD):
        assert mac == 0
        assert iv == (12 if "CHACHA20" in suite.name else 4)  # type: ignore[attr-defined]
    else:
        assert (mac, iv) == ({"sha1": 20, "sha256": 32, "sha384": 48}[suite.cipher.mac], 0)
    assert key == (16 if "128" in suite.cipher.name else 32)
    master = MasterSecret.of_randoms("sha256", PREMASTER, CLIENT, SERVER)
    block = master.key_block(CLIENT, SERVER, mac, key, iv)
    assert b"".join(block) == prf("sha256", master.value, b"key expansion", SERVER + CLIENT, 2 * (mac + key + iv))
    assert [len(part) for part in block] == [mac, mac, key, key, iv, iv]
    assert repr(block) == "<KeyBlock>"


def test_finished_labels() -> None:
    """RFC 5246 section 7.4.9: 12 bytes, each side's its own."""
    master = MasterSecret.of_randoms("sha384", PREMASTER, CLIENT, SERVER)
    digest = hashlib.sha384(b"all messages").digest()
    assert master.client_verify_data(digest) == prf("sha384", master.value, b"client finished", digest, 12)
    assert master.server_verify_data(digest) == prf("sha384", master.value, b"server finished", digest, 12)


def test_exporter() -> None:
    """RFC 5705 section 4: no context and an empty one are two things; the labels of TLS itself are not for sale."""
    master = MasterSecret.of_randoms("sha256", PREMASTER, CLIENT, SERVER)
    randoms = CLIENT + SERVER
    assert master.export("EXPORTER-x", None, 50, CLIENT, SERVER) == prf("sha256", master.value, b"EXPORTER-x", randoms, 50)
    for context in (b"", b"abc"):
        seed = randoms + len(context).to_bytes(2, "big") + context
        assert master.export("EXPORTER-x", context, 50, CLIENT, SERVER) == prf("sha256", master.value, b"EXPORTER-x", seed, 50)
    for label in ("client finished", "server finished", "master secret", "key expansion", "extended master secret"):
        with pytest.raises(Misuse) as raised:
            master.export(label, None, 50, CLIENT, SERVER)
        assert raised.value.rule == "RFC 5705 4"
