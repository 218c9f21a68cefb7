"""A development PKI in a folder: a certificate of each kind that a test of TLS wants, the good and the bad.

``NAME.pem`` is a chain, leaf first, without the root; ``NAME.key`` its key in PKCS#8, for its owner's eyes only.  The root's key
is thrown away: ``intermediate.key`` signs whatever is made later.
"""

from __future__ import annotations

import datetime
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from minitls.certificates.authority import LEAF_DAYS, Authority, Issued, self_signed
from minitls.certificates.credentials import Credential
from minitls.certificates.faults import name_of
from minitls.certificates.trust import TrustStore
from minitls.data import dataclass
from minitls.errors import Misuse

LOCAL = ("localhost", "127.0.0.1", "::1")
LEAF_KINDS = ("p256", "p384", "p521", "rsa2048", "ed25519", "ed448", "mldsa44", "mldsa65", "mldsa87")
"""A server's certificate is made for each.  An RSASSA-PSS key is none of them: pyca/cryptography cannot write its certificate."""
OTHER_NAME = "other.example"
_AUTHORITY = ("root", "intermediate")


@dataclass(frozen=True, slots=True)
class Entry:
    """Two files of the folder.  ``what``: a few words; ``key``: None for the root, whose key nobody has."""

    what: str
    certificate: Path
    key: Path | None

    def credential(self) -> Credential:
        """Raises Misuse and OSError."""
        return Credential.from_files(self.certificate, self.key)


@dataclass(frozen=True, slots=True)
class DevPki:
    """What :func:`make_dev_pki` wrote.  ``entries``: by the names of their files, without suffix."""

    folder: Path
    authority: Authority
    entries: dict[str, Entry]

    def credential(self, name: str) -> Credential:
        """``credential("localhost-p256")``.  Raises KeyError, Misuse and OSError."""
        return self.entries[name].credential()

    def trust(self) -> TrustStore:
        return self.authority.trust()


def authority_in(folder: str | os.PathLike[str], *, key: str = "p256") -> Authority:
    """The CA of this folder; where there is none, a new one with ``key``.  Raises Misuse for one that is damaged or expired, and
    OSError.
    """
    where = Path(folder)
    chain_file, key_file = where / "intermediate.pem", where / "intermediate.key"
    if not chain_file.exists() and not key_file.exists():
        authority = Authority.create(key=key)
        where.mkdir(parents=True, exist_ok=True)
        write_private(key_file, authority.key_pem())
        write_public(chain_file, authority.chain_pem())
        write_public(where / "root.pem", authority.root_pem())
        return authority
    authority = Authority.load(chain_file.read_bytes(), key_file.read_bytes())
    until = authority.chain[0].not_valid_after_utc
    if until < datetime.datetime.now(datetime.UTC):
        raise Misuse(f"{name_of(authority.chain[0])} in {where} expired on {until:%Y-%m-%d}: remove the folder, and make it anew")
    return authority


def make_dev_pki(folder: str | os.PathLike[str] = "certs") -> DevPki:
    """Write a whole PKI.  The CA stays if it is there already; all else is made anew.  Raises Misuse and OSError."""
    where, authority, now = Path(folder), authority_in(folder), datetime.datetime.now(datetime.UTC)
    local = ", ".join(LOCAL)
    entries = {
        "root": Entry("the root: trust this one", where / "root.pem", None),
        "intermediate": Entry("signs all others; the root above it", where / "intermediate.pem", where / "intermediate.key"),
    }

    def write(name: str, what: str, issued: Issued) -> None:
        entries[name] = write_issued(where, name, what, issued)

    for kind in LEAF_KINDS:
        write(f"localhost-{kind}", f"a server: {local}; {kind}", authority.issue(*LOCAL, key=kind))
    write("client", "a client", authority.issue("client", client=True))
    past, yesterday = now - datetime.timedelta(days=31), now - datetime.timedelta(days=1)
    expired = authority.issue(*LOCAL, valid_from=past, valid_until=yesterday)
    write("expired", f"bad: {local}, expired since yesterday", expired)
    write("other-name", f"bad: for {OTHER_NAME} only", authority.issue(OTHER_NAME))
    write("self-signed", f"bad: {local}, signed by itself", self_signed(*LOCAL))
    return DevPki(where, authority, entries)


def local_ca() -> Path:
    """The folder of the one CA that a user may have told the system to trust: among the user's data, and not in a project."""
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "minitls" / "ca"


def issue_into(
    folder: str | os.PathLike[str],
    names: Sequence[str],
    *,
    ca: str | os.PathLike[str] | None = None,
    key: str = "p256",
    client: bool = False,
    days: int = LEAF_DAYS,
) -> Entry:
    """A leaf for these names by the CA of this folder or of the folder ``ca``, which is made if need be.

    Raises Misuse and OSError.
    """
    stem = file_name(names[0]) + (f"-{key}" if key != "p256" else "")
    if stem in _AUTHORITY:
        raise Misuse(f"{names[0]!r} is the name of the CA's own files: give another name first", reason="bad_host_name")
    issued = authority_in(folder if ca is None else ca).issue(*names, key=key, client=client, days=days)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return write_issued(Path(folder), stem, f"a {'client' if client else 'server'}: {', '.join(names)}; {key}", issued)


def write_issued(folder: Path, stem: str, what: str, issued: Issued) -> Entry:
    entry = Entry(what, folder / f"{stem}.pem", key := folder / f"{stem}.key")
    write_private(key, issued.key_pem())
    write_public(entry.certificate, issued.chain_pem())
    return entry


def file_name(name: str) -> str:
    """``*.example.com`` -> ``wildcard.example.com``; no character that a shell or a path takes for something else."""
    return re.sub(r"[^A-Za-z0-9.@-]+", "_", re.sub(r"^\*\.", "wildcard.", name)).lstrip(".-") or "_"


def write_private(path: Path, data: bytes) -> None:
    """A file that its owner alone may read, from its first byte on, whatever was there before."""
    _write(path, data, 0o600)


def write_public(path: Path, data: bytes) -> None:
    _write(path, data, 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all: a new file takes the old one's place, and follows no link."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(new, "xb", opener=lambda file, flags: os.open(file, flags, mode)) as out:
        out.write(data)
    try:
        new.replace(path)
    except OSError:
        new.unlink()
        raise
