"""Pins: whose keys are good, whoever vouches for them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from minitls import Alert, CertificateError, ClientAuth, Misuse
from minitls.certificates.pins import pin_of, read_pins
from minitls.sessions.store import MemoryStore
from minitls.testing import memory_pair
from tests.conftest import Pki


def test_every_form(pki: Pki) -> None:
    digest = pin_of(pki.server().leaf)
    text = base64.b64encode(digest).decode()
    assert read_pins((digest, digest.hex(), digest.hex().upper(), text, f"sha256//{text}", f"sha256/{text}")) == {digest}


def test_a_digest_that_begins_with_a_slash() -> None:
    digest = b"\xff" * 32
    text = base64.b64encode(digest).decode()
    assert text[0] == "/"
    assert read_pins((text, f"sha256//{text}", f"sha256/{text}")) == {digest}


@pytest.mark.parametrize("bad", [b"", b"x" * 31, "", "ab" * 31, "sha256//", "sha256//AAAA", "no base64!", "ä" * 64])
def test_what_is_no_pin(bad: bytes | str) -> None:
    with pytest.raises(Misuse, match="a pin is the SHA-256"):
        read_pins((bad,))
    with pytest.raises(Misuse, match="a tuple"):
        read_pins(bad)


def test_as_openssl_computes_it(pki: Pki, tmp_path: Path) -> None:
    """The pipeline that curl's manual gives."""
    file = tmp_path / "leaf.pem"
    issued = pki.issue("localhost")
    file.write_bytes(issued.chain_pem())
    command = f"openssl x509 -in {file} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary"
    assert subprocess.run(command, shell=True, capture_output=True, check=True).stdout == pin_of(issued.credential().leaf)


@pytest.mark.parametrize("which", ["leaf", "CA", "spare"])
def test_pinned(pki: Pki, which: str) -> None:
    """The leaf's key, one above it, or one of several."""
    path = pki.trust.verify(pki.server().chain, "localhost")
    pins = {"leaf": (pin_of(path[0]),), "CA": (pin_of(path[-1]),), "spare": (b"x" * 32, pin_of(path[0]))}[which]
    client, _ = memory_pair(pki.client_config(pinned_keys=pins), pki.server_config())
    assert client.info.verified_chain


def test_not_pinned(pki: Pki) -> None:
    """Good by all the rules, and not the one that was meant; the remedy has the pin that would do."""
    with pytest.raises(CertificateError) as caught:
        memory_pair(pki.client_config(pinned_keys=(b"x" * 32,)), pki.server_config())
    error = caught.value
    assert (error.reason, error.alert) == ("pin_mismatch", Alert.bad_certificate)
    assert base64.b64encode(pin_of(pki.server().leaf)).decode() in error.remedy


def test_clients_too(pki: Pki) -> None:
    auth = {"client_auth": ClientAuth.require, "trust": pki.trust}
    theirs = pki.server_config(**auth, pinned_keys=(pin_of(pki.client().leaf),))
    memory_pair(pki.client_config(credential=pki.client()), theirs)
    with pytest.raises(CertificateError, match="pinned"):
        memory_pair(pki.client_config(credential=pki.client("ed25519")), theirs)


def test_a_session_does_not_get_past_a_pin(pki: Pki) -> None:
    """What is resumed is verified by the configuration of now."""
    store, server = MemoryStore(), pki.server_config()
    memory_pair(pki.client_config(session_store=store), server)
    with pytest.raises(CertificateError, match="pinned"):
        memory_pair(pki.client_config(session_store=store, pinned_keys=(b"x" * 32,)), server)
