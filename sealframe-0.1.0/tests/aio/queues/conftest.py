from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compiled import compiled
from loops import pytest_asyncio_loop_factories

from sealframe.aio import _queues_py

from .fake_connection import FakeConnection

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture(scope="session", params=["c", "python"])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    """The queues of each kind in turn."""
    return compiled("aio._queues") if request.param == "c" else _queues_py


@pytest.fixture(scope="session")
def backends() -> tuple[ModuleType, ModuleType]:
    """Both kinds, to be compared."""
    return compiled("aio._queues"), _queues_py


@pytest.fixture
def conn(backend: ModuleType) -> FakeConnection:
    """A connection over the queues of each kind in turn."""
    return FakeConnection(backend)
