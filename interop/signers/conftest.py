"""What the tests of signers share; each ``async def`` test runs on asyncio's loop and on uvloop's."""

from __future__ import annotations

from interop.openssl.conftest import files, openssl
from tests.conftest import pki, pytest_asyncio_loop_factories

__all__ = ["files", "openssl", "pki", "pytest_asyncio_loop_factories"]
