"""The house's layers: who may import whom, and who may touch the world outside.  Read from the source with ``ast``."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minitls

SOURCE = Path(minitls.__file__).parent

LAYERS = (
    ("data",),
    ("errors",),
    ("wire",),
    ("crypto",),
    ("certificates",),
    ("observe", "sessions", "ech", "policy"),
    ("config", "info"),
    ("record",),
    ("handshake",),
    ("events", "standard"),
    ("straight",),
    ("sending",),
    ("connection",),
    ("endpoints",),
    ("aio", "blocking"),
    ("ssl", "trace", "testing"),
    ("scan",),
    ("cli",),
    ("__init__", "__main__"),
)
"""A module imports from the lines above its own; siblings on a line never import each other."""

LEVEL = {name: level for level, line in enumerate(LAYERS) for name in line}

TRACE_MAY_USE = {"errors", "wire", "crypto", "certificates", "observe", "info", "trace"}
"""A renderer sees what an observer is told, and no connection."""

ONLY_IN = {
    "cryptography": {"crypto", "certificates", "sessions", "ech"},
    "asyncio": {"aio", "ssl", "cli", "sessions.redis", "scan.prober"},  # scan asks, and its prober carries the questions
    "uvloop": {"aio", "cli"},
    "socket": {"aio", "ssl", "blocking", "cli"},
    "socketserver": {"cli"},
    "select": set(),
    "selectors": set(),
    "rich": {"cli"},
    "redis": {"sessions.redis"},
    "OpenSSL": set(),
    "ssl": {"errors", "certificates", "ssl", "aio", "cli"},
    "dataclasses": {"data", "scan", "ssl", "trace", "cli"},  # half a millisecond a class: whoever is imported first takes ours
}
"""Who may import what is not ours: a whole part, or one module of it."""

EXCEPTIONS = {
    "info": "a certificate's hash for tls-server-end-point, when it is asked for",
    "record.protection": "InvalidTag",
    "record.protection12": "InvalidTag; CBC, which is no AEAD",
    "handshake.authenticate": "InvalidSignature",
    "handshake.tls12": "InvalidSignature",
    "handshake.exchange12": "the padding of static RSA's key transport",
    "scan.chains": "what is wrong with a certificate, for people: in which order they sign each other, and how",
    "cli.certs": "what a certificate says, for people",
}
"""Who else imports cryptography, and what for."""


def modules() -> list[str]:
    return sorted(".".join(file.relative_to(SOURCE).with_suffix("").parts) for file in SOURCE.rglob("*.py"))


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Every module that this one imports, wherever in its text, and the line."""
    file = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative imports hide the layer"
            yield node.module or "", node.lineno
            if node.module == "minitls":
                yield from ((f"minitls.{alias.name}", node.lineno) for alias in node.names)


def part(module: str) -> str:
    """The package or module on the layers' list."""
    return module.split(".")[0]


@pytest.mark.parametrize("module", modules())
def test_imports_go_up_the_list(module: str) -> None:
    here = part(module)
    assert here in LEVEL, f"{here} stands in no layer: put it on the list"
    for name, line in imports(module):
        if not name.startswith("minitls."):
            continue
        there = part(name.removeprefix("minitls."))
        if there not in LEVEL:  # a name that minitls itself exports, to its users above all layers
            assert here in ("cli", "__init__", "__main__"), f"{module}:{line} imports {name}"
        elif there != here:
            assert LEVEL[there] < LEVEL[here], f"{module}:{line}: {here} imports {there}"
        if here == "trace":
            assert there in TRACE_MAY_USE, f"{module}:{line}: trace imports {there}"


@pytest.mark.parametrize("module", modules())
def test_who_touches_what(module: str) -> None:
    here = part(module)
    for name, line in imports(module):
        outside = part(name)
        if outside in ONLY_IN and not (outside == "cryptography" and module in EXCEPTIONS):
            assert {here, module} & ONLY_IN[outside], f"{module}:{line} imports {name}"


def test_exceptions_are_needed() -> None:
    for module in EXCEPTIONS.keys() & set(modules()):
        assert "cryptography" in {part(name) for name, _ in imports(module)}, f"{module} needs no exception any more"


def test_packages_keep_their_word() -> None:
    """Every package has a docstring that says what it is."""
    for module in modules():
        tree = ast.parse(SOURCE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree) or not tree.body, f"{module} has no docstring"


@pytest.mark.parametrize("heavy", ["asyncio", "cryptography.x509", "rich", "minitls.cli", "minitls.aio", "minitls.certificates"])
def test_import_minitls_is_light(heavy: str) -> None:
    code = f"import minitls, sys; sys.exit(any(name == {heavy!r} or name.startswith({heavy + '.'!r}) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_no_module_is_too_long() -> None:
    """When it passes some 450 lines, look for the second idea."""
    lengths = {module: SOURCE.joinpath(*module.split(".")).with_suffix(".py").read_text().count("\n") for module in modules()}
    assert {module: length for module, length in lengths.items() if length > 500} == {}


def test_the_top_level_stays_small() -> None:
    """The house has few rooms (DESIGN); what a test or a helper leaves behind does not become part of it."""
    root = SOURCE.parent
    if not (root / ".git").exists():
        pytest.skip("no git checkout: nobody knows what is tracked")
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True, timeout=60).stdout
    top = {line.partition("/")[0] for line in tracked.splitlines()}
    allowed = {"LICENSE", "README.md", "pyproject.toml", "minitls", "certs", "tests", "interop"}
    assert {name for name in top if not name.startswith(".")} == allowed
