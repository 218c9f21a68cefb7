"""Every error that the protocol's code can raise is raised by some test, and says why in a form that machines can read.

The source is read with ``ast``; what was raised is noted during the session (tests/raised.py).  So the second half means something
at the end of a whole run only: these tests are put last, and are skipped where not every test file was run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import minitls.errors
from minitls import Alert
from tests import raised

KINDS = {name for name, kind in vars(minitls.errors).items() if isinstance(kind, type) and issubclass(kind, minitls.TLSError)}
PACKAGES, ALONE = ("wire", "crypto", "record", "handshake"), ("sending.py", "connection.py", "config.py", "info.py")
MODULES = sorted(file for where in (*(f"{name}/*.py" for name in PACKAGES), *ALONE) for file in raised.SOURCE.glob(where))
RULE = re.compile(r"(RFC \d{4,5} ([A-Z]\.)?\d+(\.\d+)*|)")
REASON = re.compile(r"[a-z][a-z0-9_]*")

OF_TLS12 = re.compile(
    r"RFC (5246|5705|6066 4|7919|8449|9325)|TLS 1\.2|record_size_limit|max_fragment_length|for one of its versions"
)
"""What comes with TLS 1.2, whose tests bring their own files."""

UNREACHABLE: dict[str, str] = {}
"""Sentences of errors that no test can raise, and why not."""


@dataclass(frozen=True)
class Site:
    """A place in the source that makes an error."""

    file: Path
    first: int
    last: int
    call: ast.Call

    def argument(self, name: str) -> str | None:
        """A keyword argument that is a literal."""
        value = next((each.value for each in self.call.keywords if each.arg == name), None)
        return value.value if isinstance(value, ast.Constant) else None

    @property
    def raised(self) -> bool:
        return any((str(self.file), line) in raised.LINES for line in range(self.first, self.last + 1))

    def __str__(self) -> str:
        return f"{self.file.name}:{self.first}: {ast.unparse(self.call)[:300]}"


def sites(file: Path) -> Iterator[Site]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in KINDS:
                yield Site(file, node.lineno, node.end_lineno or node.lineno, node)


each_module = pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(raised.SOURCE)))


@each_module
def test_rules_and_reasons_are_well_formed(file: Path) -> None:
    for site in sites(file):
        rule, reason = site.argument("rule"), site.argument("reason")
        assert rule is None or RULE.fullmatch(rule), site
        assert reason is None or REASON.fullmatch(reason), site
        for name in re.findall(r"Alert\.(\w+)", ast.unparse(site.call)):
            assert name in Alert.__members__, site


@each_module
def test_every_error_is_raised_by_some_test(file: Path, request: pytest.FixtureRequest) -> None:
    if not request.config.stash[raised.WHOLE]:
        pytest.skip("not every test was run")
    never = [str(site) for site in sites(file) if not site.raised and not any(text in str(site) for text in UNREACHABLE)]
    if not list(Path(__file__).parent.glob("test_*12*.py")):
        never = [site for site in never if not file.stem.endswith("12") and not OF_TLS12.search(site)]
    assert not never, "\n".join(["no test raises:", *never])
