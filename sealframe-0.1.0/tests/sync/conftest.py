"""The ways to talk, and a check that a test leaves nothing and no callback failed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aio.conftest import control_mode, mode, sealed
from aio.ends import count_sockets

from sealframe.sync.loop_thread import shared

from .ends import until

__all__ = ["control_mode", "mode", "sealed"]


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Check that all is closed that was opened, and no thread of a handler is left."""
    thread = shared()
    sockets, threads = count_sockets(), threading.active_count()
    complaints: list[dict[str, Any]] = []
    thread.loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield

    def tidy() -> bool:
        gc.collect()
        tasks = thread.call(lambda: asyncio.all_tasks() - {asyncio.current_task()})
        return not tasks and count_sockets() <= sockets and threading.active_count() <= threads

    until(tidy)
    assert complaints == []
