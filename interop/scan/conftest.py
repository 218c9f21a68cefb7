"""What the comparisons share; each ``async def`` test runs on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from interop.openssl.conftest import files, openssl
from tests.conftest import pki

__all__ = ["files", "openssl", "pki"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Here programs talk to programs: our own event loop is asyncio's in all of them."""
    return {"asyncio": asyncio.new_event_loop}
