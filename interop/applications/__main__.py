"""Run the tests of applications on every CPython of this machine: ``python -m interop.applications --help``.

Each has a virtual environment with the libraries of ``minitls[applications]``, and minitls itself from this tree.  They are kept in
a cache outside the tree, and made anew with ``--fresh``, or when what they need has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from interop.applications.frame import EVERYTHING

TREE = Path(__file__).parents[2]
OLDEST = (3, 11)
TOOLS = ("pytest>=8", "pytest-asyncio>=1.4", "hypothesis>=6.100")


def interpreters() -> Iterator[Path]:
    """CPythons, each of them once: this one, the PATH's, pyenv's, uv's and those of /opt."""
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield from Path(folder).glob("python3.[0-9][0-9]")
    homes = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions", Path.home() / ".local/share/uv/python"]
    for home in (*homes, Path("/opt")):
        yield from home.glob("*/bin/python3")


def version_of(interpreter: Path) -> tuple[int, ...] | None:
    """Its version if it is a CPython that starts: a shim of pyenv's may be there and lead nowhere."""
    code = "import ssl, sys, venv; print(sys.implementation.name, *sys.version_info[:3])"
    try:
        said = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(map(int, said[1:])) if said and said[0] == "cpython" else None


def newest() -> dict[str, Path]:
    """For each minor version the newest interpreter: {"3.11": ...}."""
    found: dict[str, tuple[tuple[int, ...], Path]] = {}
    for interpreter in dict.fromkeys(interpreters()):
        version = version_of(interpreter)
        if version is not None and version >= OLDEST:
            minor = f"{version[0]}.{version[1]}"
            if minor not in found or found[minor][0] < version:
                found[minor] = version, interpreter
    return {minor: found[minor][1] for minor in sorted(found, key=lambda minor: found[minor][0])}


def requirements() -> list[str]:
    """What minitls and the applications need, from pyproject.toml."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["uvloop"], *extras["applications"], *TOOLS]


def environment(minor: str, interpreter: Path, cache: Path, fresh: bool) -> Path:
    """The Python of a virtual environment with all of it."""
    needed = requirements()
    mark = hashlib.sha256("\n".join([str(interpreter.resolve()), *needed]).encode()).hexdigest()[:12]
    folder = cache / f"{minor}-{mark}"
    python, done = folder / "bin/python", folder / "complete"
    if fresh or not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *needed], check=True)
        done.touch()
    return python


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.applications", description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minitls-applications"
    parser.add_argument("--python", action="append", metavar="3.12", help="only this version; may be repeated")
    parser.add_argument("--cache", type=Path, default=cache, help=f"where the environments are kept ({cache})")
    parser.add_argument("--fresh", action="store_true", help="make them anew, with the newest libraries")
    parser.add_argument("--list", action="store_true", help="which versions there are")
    parser.add_argument("pytest", nargs="*", help="more for pytest, after --: -- -k aiohttp -x")
    chosen = parser.parse_args(arguments)
    found = newest()
    if chosen.list:
        print("".join(f"{minor:6} {path}\n" for minor, path in found.items()), end="")
        return 0
    wanted = chosen.python or list(found)
    if unknown := set(wanted) - found.keys():
        parser.error(f"no CPython {', '.join(sorted(unknown))} here; there is {', '.join(found)}")
    verdicts: dict[str, int] = {}
    for minor in wanted:
        python = environment(minor, found[minor], chosen.cache, chosen.fresh)
        print(f"CPython {minor}: {found[minor]}", flush=True)
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__).parent, *chosen.pytest]
        environ = os.environ | {EVERYTHING: "all", "PYTHONPATH": str(TREE), "PYTHONDONTWRITEBYTECODE": "1"}
        verdicts[minor] = subprocess.run(command, cwd=TREE, env=environ, check=False).returncode
    for minor, verdict in verdicts.items():
        print(f"CPython {minor}: {'passed' if verdict == 0 else f'failed, status {verdict}'}")
    return max(verdicts.values())


if __name__ == "__main__":
    raise SystemExit(main())
