"""Cancels tasks of the program, each of them once.

A second cancellation would interrupt what the program does to clean up, and there are many reasons
for one: the peer gives its request up, more than once if it likes, it goes, it is put out, and the
end shuts down.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import WeakSet

# Not Task.cancelling(): that also counts what asyncio.timeout() in the program has cancelled, and
# is about to take back.
_CANCELLED: Final[WeakSet[asyncio.Task[Any]]] = WeakSet()


def cancel_once(task: asyncio.Task[Any]) -> bool:
    """Cancel a task, unless it is done or was cancelled here before; return whether it was not."""
    if task.done() or task in _CANCELLED:
        return False
    _CANCELLED.add(task)
    task.cancel()
    return True
