"""The table in README.md names every test of this folder, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import minitls

HERE = Path(__file__).parent
SOURCE = Path(minitls.__file__).parent


def rows() -> list[list[str]]:
    lines = [line for line in (HERE / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r" \| ", line.strip("| "))] for line in lines[2:]]


def test_tests_are_there() -> None:
    named = {name for row in rows() for name in re.findall(r"`([\w./]+\.py)`", row[3])}
    assert all((HERE / name).exists() for name in named), named
    assert {name for name in named if "/" not in name} == {file.name for file in HERE.glob("test_*.py")} - {Path(__file__).name}


def test_code_is_there() -> None:
    """Each place is a module, a package, or a name in one."""
    for row in rows():
        assert len(row) == 4, row
        folder = ""
        for place in re.findall(r"`([\w./]+)`", row[2]):
            path, _, name = place.partition(".")
            folder = path.rpartition("/")[0] or folder
            file = next((f for f in (SOURCE / f"{path}.py", SOURCE / folder / f"{path}.py") if f.exists()), None)
            assert file is not None, place
            assert not name or re.search(rf"(def|class) {name}\b|    {name}:", file.read_text(encoding="utf-8")), place
