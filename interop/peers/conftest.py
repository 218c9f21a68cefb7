"""What the tests against other people's TLS share; each ``async def`` test runs on asyncio's loop and on uvloop's."""

from __future__ import annotations

from interop.openssl.conftest import files
from tests.conftest import pki, pytest_asyncio_loop_factories

__all__ = ["files", "pki", "pytest_asyncio_loop_factories"]
