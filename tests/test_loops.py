"""Where tests run under fewer event loops than there are, the run says so."""

from __future__ import annotations

import pytest
from loops import FACTORIES


def test_uvloop_is_one_of_them() -> None:
    if "uvloop" not in FACTORIES:
        pytest.skip("uvloop is not installed: every async test runs under asyncio alone")
