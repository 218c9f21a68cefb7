"""What importing costs, counted: modules, what is compiled while it runs, and our own functions that run; not milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

READY = (
    "from minitls import ClientConfig, Credential, ServerConfig, TrustStore\n"
    "from minitls import create_connection, create_server, open_connection, start_server"
)
CODE = """
import json, sys
{before}
known = set(sys.modules)
compiled, ours = [], 0

def audit(event, arguments):
    if event == "exec" and arguments[0].co_filename == "<string>":
        compiled.append(sys._getframe(1).f_globals["__name__"])

def watch(frame, event, argument):
    global ours
    if event == "call" and frame.f_globals.get("__name__", "").startswith("minitls"):
        ours += 1

sys.addaudithook(audit)
sys.setprofile(watch)
{statement}
sys.setprofile(None)
print(json.dumps([sorted(sys.modules.keys() - known), compiled, ours]))
"""


def cost(statement: str, before: str) -> tuple[set[str], list[str], int]:
    """The modules that the statement loads beyond ``before``, who had something compiled, and how many functions of ours ran."""
    code = CODE.format(statement=statement, before=before)
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
    modules, compiled, ours = json.loads(done.stdout)
    return set(modules), compiled, ours


def part_of(*packages: str) -> Any:
    return lambda name: name in packages or name.startswith(tuple(f"{package}." for package in packages))


@pytest.fixture(scope="module")
def light() -> tuple[set[str], list[str], int]:
    return cost("import minitls", "import asyncio")


def test_import_minitls_brings_little(light: tuple[set[str], list[str], int]) -> None:
    """Of the standard library what hashes; of cryptography what a key exchange, a signature and a record need."""
    modules, _, _ = light
    standard = {name for name in modules if not part_of("minitls", "cryptography")(name) and name.partition(".")[0] != "_openssl"}
    assert standard <= {"__future__", "hashlib", "hmac", "zlib", "_hashlib", "_blake2", "_hmac", "_sha2", "_cffi_backend"}
    unneeded = ("x509", *(f"hazmat.primitives.{name}" for name in ("serialization", "asymmetric.rsa", "asymmetric.dh", "kdf")))
    assert not list(filter(part_of(*(f"cryptography.{name}" for name in unneeded)), modules))
    later = (
        "aio",
        "certificates",
        "cli",
        "ssl",
        "trace",
        "testing",
        "crypto.ffdh",
        "crypto.prf",
        "record.protection12",
        "sessions.redis",
    )
    assert not list(filter(part_of(*(f"minitls.{name}" for name in later)), modules))
    assert not [name for name in modules if part_of("minitls.handshake")(name) and name.endswith("12")]
    assert len(list(filter(part_of("minitls"), modules))) <= 58


def test_next_to_nothing_is_compiled_or_computed(light: tuple[set[str], list[str], int]) -> None:
    """Constructors of the few classes that importing makes instances of, such as cipher suites; the standard library's dataclasses
    would compile half a dozen functions for every class.
    """
    _, compiled, ours = light
    assert len(compiled) <= 8
    assert ours <= 4200


def test_a_client_and_a_server_are_ready_with_little_more() -> None:
    """X.509 is cryptography's; the rest is ours, and of that what both need."""
    before = "import asyncio, minitls, cryptography.x509, cryptography.hazmat.primitives.serialization"
    modules, compiled, ours = cost(READY, before)
    standard = {name for name in modules if not part_of("minitls", "cryptography")(name)}
    assert standard <= {"unicodedata"}
    later = ("authority", "crl", "delegated", "devpki", "ocsp", "pins", "raw", "sct", "store", "watch")
    assert not list(filter(part_of("minitls.cli", *(f"minitls.certificates.{name}" for name in later)), modules))
    assert not list(filter(part_of("cryptography.hazmat.primitives.serialization.pkcs12"), modules))
    assert len(list(filter(part_of("minitls"), modules))) <= 24
    assert compiled == []
    assert ours <= 250


def test_public_names_are_there() -> None:
    """Those that come late too, by dir() as well."""
    code = "import minitls; assert {*minitls.__all__} <= {*dir(minitls)}; [getattr(minitls, name) for name in minitls.__all__]"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
