"""Chromium visits ``minitls serve``: it trusts a CA as ``certs install`` says, and speaks the hybrid key exchange with us."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.browser.chromium import Chromium, find, running
from interop.browser.test_page import SIZES, lit
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
    assert "Not even a large quantum computer" in text
    told = json.loads(str(visitor.open(f"https://{server.address}/handshake.json").evaluate("document.body.innerText")))
    agreed = told["connection"]
    assert (agreed["version"], agreed["group"], agreed["post_quantum"]) == ("TLSv1.3", "X25519MLKEM768", True)
    server.wait_for(r'"GET / HTTP/1.1" 200 \d+ TLSv1.3 TLS_AES_\d+_GCM_SHA\d+ X25519MLKEM768')


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_of_its_own_handshake(visitor: Chromium, server: Serving, size: str, dark: bool) -> None:
    """Live; it fits, and nothing in it offends the policy that it has."""
    width, height = SIZES[size]
    shown = visitor.open(f"https://{server.address}/", width=width, height=height, dark=dark)
    shown.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") == width, "it scrolls sideways"
    text = str(shown.evaluate("document.body.innerText"))
    for part in ("ClientHello", "What you offered", "JA4", "The server says who it is: localhost"):
        assert part in text
    taken = shown.evaluate("[...document.querySelectorAll('#offer .taken')].map(e => e.textContent.slice(2, -8))")
    assert {"TLSv1.3", "X25519MLKEM768", "http/1.1", "key_share"} <= set(taken)
    assert "compress_certificate" in taken, "Chromium asks for it, and we have it"
    said = str(shown.evaluate("document.querySelector('#offer > .about:last-child').textContent"))
    assert said.startswith("Of all this, we do not have: ")
    assert not re.search(r"0x(.)a\1a", said), "GREASE is nothing to have"
    assert shown.complaints() == []


def test_bytes_of_its_own_hello_light_up(visitor: Chromium, server: Serving) -> None:
    shown = visitor.open(f"https://{server.address}/", width=1440, height=900)
    hello = str(shown.evaluate("[...document.querySelectorAll('.message')].find(e => e.textContent.includes('ClientHello')).id"))
    shown.click(f"#{hello} > summary")
    shown.hover(f"#{hello} .fields > li:first-child > .field")
    assert len(lit(shown)) == 1


def test_the_file_to_keep(visitor: Chromium, server: Serving) -> None:
    shown = visitor.open(f"https://{server.address}/")
    assert shown.evaluate("[...document.querySelectorAll('footer a')].map(e => e.pathname)") == [
        "/handshake.html",
        "/handshake.json",
    ]
    shown = visitor.open(f"https://{server.address}/handshake.html")
    assert "ClientHello" in str(shown.evaluate("document.body.innerText"))
    assert shown.complaints() == []


def test_without_that_it_does_not(browser: Chromium, server: Serving) -> None:
    """Another browser, whose user trusts nobody of ours: it sends an alert, and shows its own page."""
    shown = browser.open(f"https://{server.address}/")
    assert "ERR_CERT_AUTHORITY_INVALID" in str(shown.evaluate("document.body.innerText"))
    server.wait_for("handshake failed: .*(certificate_unknown|unknown_ca|bad_certificate)")
