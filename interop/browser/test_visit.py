"""Chromium visits ``minitls serve``: it trusts a CA as ``certs install`` says, and speaks the hybrid key exchange with us."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.browser.chromium import Chromium, find, running
from interop.openssl.harness import missing
from minitls.cli import main
from minitls.cli.install import ways
from tests.running import Serving, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA and a certificate by it."""
    made = tmp_path_factory.mktemp("pki")
    assert main(["certs", "make", "localhost", "--out", str(made)]) == 0
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    with serving("--www", "--cert", str(folder / "localhost.pem"), "--key", str(folder / "localhost.key"), cwd=folder) as started:
        yield started


@pytest.fixture(scope="module")
def visitor(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser whose user has done what ``certs install`` says of Chromium."""
    program = find() or missing("Chromium is missing (apt install chromium)")
    if shutil.which("certutil") is None:
        missing("certutil is missing (apt install libnss3-tools)")
    home = tmp_path_factory.mktemp("home")
    store, env = home / ".pki" / "nssdb", os.environ | {"HOME": str(home)}
    store.mkdir(parents=True)
    subprocess.run(["certutil", "-d", f"sql:{store}", "-N", "--empty-password"], check=True, env=env)
    (way,) = [way for way in ways(folder / "root.pem") if way.who == "Chromium and Chrome"]
    for command in way.commands:
        subprocess.run(command, shell=True, check=True, env=env)
    with running(program, home) as found:
        yield found


def test_it_trusts_us_and_the_key_exchange_is_post_quantum(visitor: Chromium, server: Serving) -> None:
    shown = visitor.open(f"https://{server.address}/")
    assert shown.evaluate("location.protocol + document.title") == "https:Your handshake"
    text = str(shown.evaluate("document.body.innerText"))
    assert "X25519MLKEM768" in text
    assert "Not even a quantum computer" in text
    told = json.loads(str(visitor.open(f"https://{server.address}/handshake.json").evaluate("document.body.innerText")))
    agreed = told["connection"]
    assert (agreed["version"], agreed["group"], agreed["post_quantum"]) == ("TLSv1.3", "X25519MLKEM768", True)
    server.wait_for(r'"GET / HTTP/1.1" 200 \d+ TLSv1.3 TLS_AES_\d+_GCM_SHA\d+ X25519MLKEM768')


def test_the_page_of_its_own_handshake(visitor: Chromium, server: Serving) -> None:
    """Live, and nothing in it offends the policy that it is served with."""
    shown = visitor.open(f"https://{server.address}/handshake.html")
    assert "ClientHello" in str(shown.evaluate("document.body.innerText"))
    assert shown.complaints() == []


def test_without_that_it_does_not(browser: Chromium, server: Serving) -> None:
    """Another browser, whose user trusts nobody of ours: it sends an alert, and shows its own page."""
    shown = browser.open(f"https://{server.address}/")
    assert "ERR_CERT_AUTHORITY_INVALID" in str(shown.evaluate("document.body.innerText"))
    server.wait_for("handshake failed: .*(certificate_unknown|unknown_ca|bad_certificate)")
