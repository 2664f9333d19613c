"""Whose call it is: the task that waits for an end, and is not waited for itself.

A handler may close its own connection or server. Whoever then waits for that handler would
wait for ever, so the task that closes is left out. A blocking call runs in a task of its own,
on behalf of a thread; that thread works for the task that is meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_callers: Final[dict[asyncio.Task[Any] | None, asyncio.Task[Any]]] = {}
"""Who is meant instead of a task. No context variable: tasks inherit those."""


def current_caller() -> asyncio.Task[Any] | None:
    """Return the task that this code runs for: the current one, if :func:`acting_for` names
    no other."""
    task = asyncio.current_task()
    return _callers.get(task, task)


@contextmanager
def acting_for(caller: asyncio.Task[Any] | None) -> Iterator[None]:
    """Let the current task act for another one; None: for itself."""
    if caller is None:
        yield
        return
    task = asyncio.current_task()
    _callers[task] = caller
    try:
        yield
    finally:
        del _callers[task]
