"""Whom all stacks believe: a root, an intermediate and a leaf with P-256 keys, in files."""

from __future__ import annotations

from pathlib import Path

from interop.bench.wire import HOST, NAME

ROOT = "root.pem"
CHAIN = "chain.pem"
KEY = "key.pem"


def write_identity(folder: Path) -> None:
    from minitls.certificates.authority import Authority  # late: the other stacks' processes have no minitls in them

    authority = Authority.create("minitls benchmark CA")
    issued = authority.issue(NAME, HOST)
    (folder / ROOT).write_bytes(authority.root_pem())
    (folder / CHAIN).write_bytes(issued.chain_pem())
    write_key(folder / KEY, issued.key_pem())


def write_key(file: Path, pem: bytes) -> None:
    file.touch(0o600)
    file.write_bytes(pem)
