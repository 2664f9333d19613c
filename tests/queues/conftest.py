from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from compiled import compiled

from sealframe import _queues_py

from .post import Post

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]


def _new_uvloop() -> asyncio.AbstractEventLoop:
    if uvloop is None:
        pytest.skip("uvloop is not installed")
    return uvloop.new_event_loop()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every async test here under both event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": _new_uvloop}


@pytest.fixture(scope="session", params=["c", "python"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """The queues of each kind in turn."""
    return compiled("_queues") if request.param == "c" else _queues_py


@pytest.fixture(scope="session")
def twins() -> tuple[ModuleType, ModuleType]:
    """Both kinds, to be compared."""
    return compiled("_queues"), _queues_py


@pytest.fixture
def post(twin: ModuleType) -> Post:
    """A connection over the queues of each kind in turn."""
    return Post(twin)
