"""The event loops that a test is run under, for the conftest of those that want both.

A module sets ``ANY_LOOP = True`` where what it tests is decided above the event loop, which
carries the bytes there and calls back, and has its own tests for that under each. One that sets
``EAGER = True`` also runs under asyncio with tasks that start at once, which need Python 3.12.

The folders of tests that ``SEALFRAME_UVLOOP_ALONE`` names, apart by spaces, run under uvloop where
they would run under both: other runs have asyncio.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping

import pytest

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]


def _new_eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(vars(asyncio)["eager_task_factory"])
    return loop


FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    # A factory that skips would fail the next test: the plugin has no loop to go back to then.
    FACTORIES["uvloop"] = uvloop.new_event_loop

ALONE = os.environ.get("SEALFRAME_UVLOOP_ALONE", "").split()


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Parametrise every async test over the event loops."""
    module = getattr(item.getparent(pytest.Module), "obj", None)
    factories = dict(FACTORIES)
    if item.path.parent.name in ALONE and "uvloop" in factories:
        del factories["asyncio"]
    if getattr(module, "ANY_LOOP", False):
        factories = {"asyncio": FACTORIES["asyncio"]}
    if sys.version_info >= (3, 12) and getattr(module, "EAGER", False):
        factories["eager"] = _new_eager
    return factories
