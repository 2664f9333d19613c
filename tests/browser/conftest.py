"""One browser for all tests of a process; without one they are skipped, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .chromium import missing, running_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser. What a test opens in it, it closes: ``with visiting(chromium, origin)``."""
    if reason := missing():
        pytest.skip(reason)
    with running_chromium() as browser:
        yield browser
