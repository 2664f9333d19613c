from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compiled import compiled
from loops import pytest_asyncio_loop_factories

from sealframe.aio import _queues_py

from .post import Post

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture(scope="session", params=["c", "python"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """The queues of each kind in turn."""
    return compiled("aio._queues") if request.param == "c" else _queues_py


@pytest.fixture(scope="session")
def twins() -> tuple[ModuleType, ModuleType]:
    """Both kinds, to be compared."""
    return compiled("aio._queues"), _queues_py


@pytest.fixture
def post(twin: ModuleType) -> Post:
    """A connection over the queues of each kind in turn."""
    return Post(twin)
