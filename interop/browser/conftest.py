"""One browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interop.browser.chromium import Chromium, find, running
from interop.openssl.harness import missing
from tests.conftest import pki

__all__ = ["pki"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    program = find() or missing("Chromium is missing (apt install chromium)")
    with running(program) as found:
        yield found
