"""Tasks of the program's functions: how they start, and a shutdown that waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from .cancelling import cancel_once
from .time_limit import TimeLimit

Subject = TypeVar("Subject")

_CLEAN_UP: Final = 10.0
"""Seconds that a task has to clean up which was cancelled before the deadline."""
Result = TypeVar("Result")


def start_task(
    function: Callable[..., Coroutine[Any, Any, Result]], *args: object, name: str | None = None
) -> asyncio.Task[Result]:
    """Start a task whose first step runs in the next turn of the event loop.

    So does that of any task, unless the program has set a factory of eager ones (from Python
    3.12 on). Its first step would run here and now, within a read or an accept, before whoever
    starts it knows the task, and before the first bytes of a new client are read.

    :param function: makes the coroutine, when it begins
    """
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        return loop.create_task(function(*args), name=name)
    created = False

    async def run() -> Result:
        if not created:
            await asyncio.sleep(0)
        return await function(*args)

    task = loop.create_task(run(), name=name)
    created = True
    return task


class Tasks(Generic[Subject]):
    """Running tasks, each with a subject; :meth:`finish` waits for all of them.

    A task that itself waits for :meth:`finish` must be excluded, or both would wait for ever.

    :param done: called with each task that is done and its subject, after its removal
    """

    def __init__(self, done: Callable[[asyncio.Task[None], Subject], None]) -> None:
        self._done = done
        self._members: dict[asyncio.Task[None], Subject] = {}
        self._excluded: set[asyncio.Task[None]] = set()
        # Excluded before they were added: a task may end its server in its first step.
        self._early: WeakSet[asyncio.Task[None]] = WeakSet()
        self._idle = asyncio.Event()
        # One bound method and one context for all tasks: for each they would take 64 bytes
        # apiece.
        self._callback = self._leave
        self._context = contextvars.copy_context()

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(self._members)

    def __contains__(self, task: object) -> bool:
        return task in self._members

    def add(self, task: asyncio.Task[None], subject: Subject) -> None:
        """Add a new task."""
        self._members[task] = subject
        self._idle.clear()
        task.add_done_callback(self._callback, context=self._context)
        if task in self._early:
            self.exclude(task)

    def exclude(self, task: asyncio.Task[None] | None) -> None:
        """Do not wait for this task, also if it is added later; harmless if it never is."""
        if task is None:
            return
        if task in self._members:
            self._excluded.add(task)
            self._update_idle()
        else:
            self._early.add(task)

    def awaits_any(self, tasks: Iterable[asyncio.Task[None]]) -> bool:
        """Return whether any of these members is not excluded."""
        return any(task not in self._excluded for task in tasks)

    async def finish(self, deadline: float) -> int:
        """Wait for all that are not excluded; cancel those that still run at the deadline.

        One that was cancelled before, such as a request that the peer gave up, has 10 s more to
        clean up.

        :param deadline: a time of the event loop's clock
        :return: how many were cancelled
        """
        cancelled: set[asyncio.Task[None]] = set()
        with contextlib.suppress(TimeoutError):
            async with TimeLimit.until(deadline):
                # `done` may have added another task.
                while self._awaited():
                    await self._idle.wait()
        while self._awaited():
            # A task that is cancelled before its first step never runs at all: let it start.
            await asyncio.sleep(0)
            left = self._awaited()
            cleaning_up = {task for task in left if not cancel_once(task)}
            cancelled |= left
            if cleaning_up:
                _, endless = await asyncio.wait(cleaning_up, timeout=_CLEAN_UP)
                for task in endless:
                    task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        return len(cancelled)

    def _awaited(self) -> set[asyncio.Task[None]]:
        return self._members.keys() - self._excluded

    def _leave(self, task: asyncio.Task[None]) -> None:
        subject = self._members.pop(task)
        self._excluded.discard(task)
        self._update_idle()
        self._done(task, subject)

    def _update_idle(self) -> None:
        if len(self._members) == len(self._excluded):
            self._idle.set()
