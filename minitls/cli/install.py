"""``minitls certs install``: how to make this system, its browsers and other programs trust the CA.  It says so, and does nothing.

Whoever has the CA's key could vouch for any site to those who trust it: who takes that step shall see each command.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NICKNAME = "minitls development CA"


class Way(NamedTuple):
    """``who`` would trust the CA after these commands; ``undo``: and no more after these."""

    who: str
    commands: tuple[str, ...]
    undo: tuple[str, ...] = ()


def ways(root: Path, platform: str = sys.platform, anchors: Path = Path("/")) -> Iterator[Way]:
    """``root``: the certificate.  ``anchors``: where the folders of Linux's distributions are looked for."""
    file = shlex.quote(str(root))
    if platform == "darwin":
        keychain = "/Library/Keychains/System.keychain"
        undo = (f"sudo security delete-certificate -c {shlex.quote(NICKNAME)} {keychain}",)
        yield Way("this Mac", (f"sudo security add-trusted-cert -d -r trustRoot -k {keychain} {file}",), undo)
    elif platform == "win32":
        yield Way(
            "this user of Windows", (f'certutil -user -addstore Root "{root}"',), (f'certutil -user -delstore Root "{NICKNAME}"',)
        )
    else:
        yield from _linux(file, anchors)
    nss = "-d sql:$HOME/.pki/nssdb"
    if platform not in ("darwin", "win32"):
        name = shlex.quote(NICKNAME)
        yield Way("Chromium and Chrome", (f"certutil {nss} -A -t C,, -n {name} -i {file}",), (f"certutil {nss} -D -n {name}",))
    yield Way("Firefox", ("Settings, Privacy & Security, View Certificates, Authorities, Import",))
    yield Way("Python, and curl where it has OpenSSL", (f"export SSL_CERT_FILE={file}",), ("unset SSL_CERT_FILE",))
    yield Way("requests", (f"export REQUESTS_CA_BUNDLE={file}",))
    yield Way("Node.js", (f"export NODE_EXTRA_CA_CERTS={file}",))
    yield Way("Java", (f"keytool -importcert -cacerts -alias minitls -file {file}",), ("keytool -delete -cacerts -alias minitls",))
    yield Way("minitls", (f"minitls connect localhost:8443 --ca {file}",))


DISTRIBUTIONS = {
    "usr/local/share/ca-certificates": ("minitls.crt", "update-ca-certificates", "Debian, Ubuntu, Alpine"),
    "etc/pki/ca-trust/source/anchors": ("minitls.pem", "update-ca-trust", "Fedora, RHEL"),
    "etc/ca-certificates/trust-source/anchors": ("minitls.pem", "update-ca-trust", "Arch"),
    "etc/pki/trust/anchors": ("minitls.pem", "update-ca-certificates", "SUSE"),
}


def _linux(file: str, anchors: Path) -> Iterator[Way]:
    found = {folder: how for folder, how in DISTRIBUTIONS.items() if (anchors / folder).is_dir()}
    for folder, (name, update, who) in (found or DISTRIBUTIONS).items():
        place = f"/{folder}/{name}"
        yield Way(f"this system ({who})", (f"sudo cp {file} {place}", f"sudo {update}"), (f"sudo rm {place}", f"sudo {update}"))
