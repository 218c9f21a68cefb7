"""What the tests against OpenSSL share.  ``async def`` tests run twice, on asyncio's own loop and on uvloop, as those of tests/."""

from __future__ import annotations

import pytest

from interop.openssl.harness import Files, OpenSSL, find_openssl
from tests.conftest import Pki, pki, pytest_asyncio_loop_factories

__all__ = ["pki", "pytest_asyncio_loop_factories"]


@pytest.fixture(scope="session")
def files(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(pki, tmp_path_factory.mktemp("openssl"))


@pytest.fixture(scope="session")
def openssl(files: Files) -> OpenSSL:
    """The system's ``openssl`` command; where there is none, the test is skipped, or fails if CI=true."""
    return OpenSSL(find_openssl(), files)
