from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compiled import compiled

from sealframe.framing import _codec_py

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="session", params=["c", "python"])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    """Each codec in turn."""
    return compiled("framing._codec") if request.param == "c" else _codec_py


@pytest.fixture(scope="session")
def c_backend() -> ModuleType:
    """The compiled codec, for what only it promises."""
    return compiled("framing._codec")


@pytest.fixture(scope="session")
def backends() -> tuple[ModuleType, ModuleType]:
    """Both codecs, to be compared."""
    return compiled("framing._codec"), _codec_py
