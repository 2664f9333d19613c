"""One browser for all tests here; without one they are skipped, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .chromium import missing, running_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# Not of the session: until playwright is stopped its event loop runs in this thread, where tests of
# other folders could run none.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser. What a test opens in it, it closes: ``with visiting(chromium, origin)``."""
    if reason := missing():
        pytest.skip(reason)
    with running_chromium() as browser:
        yield browser
