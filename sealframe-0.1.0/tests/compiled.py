"""The compiled backends, where they are built."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType


def compiled(name: str) -> ModuleType:
    """Return an extension; skip the test where it is not built, unless it was demanded."""
    try:
        return importlib.import_module(f"sealframe.{name}")
    except ImportError:
        if os.environ.get("SEALFRAME_EXTENSION") == "yes":
            raise
        pytest.skip(f"the extension sealframe.{name} is not built")
