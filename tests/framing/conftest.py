from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import pytest

from sealframe import _framing_py

if TYPE_CHECKING:
    from types import ModuleType


def _c_twin() -> ModuleType:
    try:
        return importlib.import_module("sealframe._framing")
    except ImportError:
        if os.environ.get("SEALFRAME_EXTENSION") == "yes":
            raise
        pytest.skip("the extension sealframe._framing is not built")


@pytest.fixture(scope="session", params=["c", "python"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """Each codec in turn."""
    return _c_twin() if request.param == "c" else _framing_py


@pytest.fixture(scope="session")
def c_twin() -> ModuleType:
    """The compiled codec, for what only it promises."""
    return _c_twin()


@pytest.fixture(scope="session")
def twins() -> tuple[ModuleType, ModuleType]:
    """Both codecs, to be compared."""
    return _c_twin(), _framing_py
