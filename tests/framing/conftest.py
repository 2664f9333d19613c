from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compiled import compiled

from sealframe import _framing_py

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="session", params=["c", "python"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """Each codec in turn."""
    return compiled("_framing") if request.param == "c" else _framing_py


@pytest.fixture(scope="session")
def c_twin() -> ModuleType:
    """The compiled codec, for what only it promises."""
    return compiled("_framing")


@pytest.fixture(scope="session")
def twins() -> tuple[ModuleType, ModuleType]:
    """Both codecs, to be compared."""
    return compiled("_framing"), _framing_py
