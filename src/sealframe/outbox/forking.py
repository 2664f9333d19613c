"""Nobody forks while SQLite works: the child would have its mutexes, locked for ever.

Python closes a connection when it goes, in a child as well, and that takes the mutex.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from typing import Final

_guards: Final[weakref.WeakValueDictionary[int, threading.Lock]] = weakref.WeakValueDictionary()
_numbers: Final = itertools.count()
_registry: Final = threading.Lock()
_acquired: Final[list[threading.Lock]] = []


def fork_guard() -> threading.Lock:
    """Return a lock that is taken while the process forks.

    Whoever takes two takes the older first.
    """
    guard = threading.Lock()
    with _registry:
        _guards[next(_numbers)] = guard
    return guard


def _before() -> None:
    _registry.acquire()
    _acquired.extend(guard for _, guard in sorted(_guards.items()))
    for guard in _acquired:
        guard.acquire()


def _after() -> None:
    while _acquired:
        _acquired.pop().release()
    _registry.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
