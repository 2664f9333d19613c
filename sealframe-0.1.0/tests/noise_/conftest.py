from __future__ import annotations

from pathlib import Path

import pytest
from core.conftest import backend

__all__ = ["backend", "vectors"]

_VECTORS = Path(__file__).parents[3] / "shared" / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published test vectors, beside the project's own."""
    if not _VECTORS.is_dir():
        pytest.skip("the published test vectors are not beside this project")
    return _VECTORS
