"""The AEAD and suite tables: lengths, limits, and published vectors for each."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from minitls.crypto.aead import AEAD, AES_128_CCM, AES_128_CCM_8, AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, NONCE_LENGTH
from minitls.crypto.suites import SUITES, Suite
from minitls.wire.numbers import CipherSuite

EACH_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
NONCE, HEADER, DATA = bytes(range(NONCE_LENGTH)), b"\x17\x03\x03\x00\x20", b"what is in the record\x17"

# RFC 8446 appendix B.4: key, tag and hash lengths, and the hash.
EXPECTED = {
    CipherSuite.TLS_AES_128_GCM_SHA256: (16, 16, 32, "sha256"),
    CipherSuite.TLS_AES_256_GCM_SHA384: (32, 16, 48, "sha384"),
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256: (32, 16, 32, "sha256"),
    CipherSuite.TLS_AES_128_CCM_SHA256: (16, 16, 32, "sha256"),
    CipherSuite.TLS_AES_128_CCM_8_SHA256: (16, 8, 32, "sha256"),
}


def test_table() -> None:
    assert set(SUITES) == {code for code in CipherSuite if code >> 8 == 0x13}
    for code, suite in SUITES.items():
        assert (suite.code, suite.name) == (code, CipherSuite(code).name)
        lengths = suite.aead.key_length, suite.aead.tag_length, suite.hash_length, suite.hash_name
        assert lengths == EXPECTED[suite.code]


@EACH_SUITE
def test_seal_and_open(suite: Suite) -> None:
    cipher = suite.aead.make(bytes(suite.aead.key_length))
    sealed = cipher.encrypt(NONCE, DATA, HEADER)
    assert len(sealed) == len(DATA) + suite.aead.tag_length
    assert cipher.decrypt(NONCE, sealed, HEADER) == DATA


@EACH_SUITE
def test_seal_and_open_in_place(suite: Suite) -> None:
    """What the record layer does: one buffer, header in front, memoryviews into it."""
    cipher = suite.aead.make(bytes(suite.aead.key_length))
    buffer = bytearray(5 + len(DATA) + suite.aead.tag_length)
    view = memoryview(buffer)
    end = 5 + len(DATA)
    view[:5], view[5:end] = HEADER, DATA
    assert cipher.encrypt_into(NONCE, view[5:end], view[:5], view[5:]) == len(buffer) - 5
    assert buffer[5:] == cipher.encrypt(NONCE, DATA, HEADER)
    assert cipher.decrypt_into(NONCE, view[5:], view[:5], view[5:end]) == len(DATA)
    assert view[5:end] == DATA


@EACH_SUITE
def test_any_change_is_noticed(suite: Suite) -> None:
    cipher = suite.aead.make(bytes(suite.aead.key_length))
    sealed = cipher.encrypt(NONCE, DATA, HEADER)
    changed = [sealed[:i] + bytes((sealed[i] ^ 1,)) + sealed[i + 1 :] for i in range(len(sealed))]
    for nonce, octets, header in (
        *((NONCE, octets, HEADER) for octets in changed),
        (NONCE, sealed[:-1], HEADER),
        (NONCE, sealed + b"\x00", HEADER),
        (NONCE, b"", HEADER),
        (NONCE[::-1], sealed, HEADER),
        (NONCE, sealed, HEADER[:-1] + b"\x21"),
    ):
        with pytest.raises(InvalidTag):
            cipher.decrypt(nonce, octets, header)


# AEAD, key, nonce, header, text, sealed text and tag: RFC 8439 section 2.8.2.
VECTORS = [
    (
        CHACHA20_POLY1305,
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "070000004041424344454647",
        "50515253c0c1c2c3c4c5c6c7",
        (
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
        ).hex(),
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b29"
        "05d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b"
        "61161ae10b594f09e26a7e902ecbd0600691",
    ),
]


@pytest.mark.parametrize(("aead", "key", "nonce", "header", "text", "sealed"), VECTORS, ids=[v[0].name for v in VECTORS])
def test_vectors(aead: AEAD, key: str, nonce: str, header: str, text: str, sealed: str) -> None:
    cipher = aead.make(bytes.fromhex(key))
    assert cipher.encrypt(bytes.fromhex(nonce), bytes.fromhex(text), bytes.fromhex(header)).hex() == sealed


def test_limits() -> None:
    """RFC 8446 section 5.5: 2^24.5 full records for GCM; CCM less; ChaCha20's sequence number wraps first."""
    assert AES_128_GCM.usage_limit == AES_256_GCM.usage_limit <= 2**24.5
    assert AES_128_CCM.usage_limit == AES_128_CCM_8.usage_limit == 2**23
    assert CHACHA20_POLY1305.usage_limit < 2**64
