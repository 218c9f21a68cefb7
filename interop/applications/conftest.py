"""Contexts by either module for either side, over both versions; ``async def`` tests run on asyncio's loop and on uvloop's."""

from __future__ import annotations

import gc
import importlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.applications.frame import Contexts, Files
from tests.conftest import Pki, pki, pytest_asyncio_loop_factories

__all__ = ["pki", "pytest_asyncio_loop_factories"]

MODULES = ("ssl", "minitls.ssl")


@pytest.fixture(scope="session")
def files(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files.make(pki, tmp_path_factory.mktemp("applications"))


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """What a library left lying about is found where nobody minds: in its own module."""
    yield
    gc.collect()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "block(title): the block of the README that this test runs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Libraries, asyncio among them, leave transports unclosed when a handshake fails, and use what is deprecated: their affair."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            for kind in "ResourceWarning", "DeprecationWarning", "pytest.PytestUnraisableExceptionWarning":
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``contexts``: client and server by each module.  ``client_contexts``: where the server is no Python program."""
    if "contexts" in metafunc.fixturenames:
        alone = "client_contexts" in metafunc.fixturenames
        chosen = [
            pytest.param((client, server, version), id="-".join([client, *([] if alone else [server]), version]))
            for client in MODULES
            for server in (MODULES[:1] if alone else MODULES)
            for version in ("TLSv1_3", "TLSv1_2")
        ]
        metafunc.parametrize("_modules", chosen)


@pytest.fixture
def contexts(_modules: tuple[str, str, str], files: Files) -> Iterator[Contexts]:
    client, server, version = _modules
    made = Contexts(importlib.import_module(client), importlib.import_module(server), files, ssl.TLSVersion[version])
    yield made
    made.check_used()


@pytest.fixture
def client_contexts(contexts: Contexts) -> Contexts:
    return contexts
