"""Tasks that somebody waits for at the end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


class Tasks(Generic[Subject]):
    """Tasks, each about something; :meth:`finish` waits for all of them.

    A task that waits for that end itself is excluded.

    :param done: is told of each one that is done, once it is no longer among them
    """

    def __init__(self, done: Callable[[asyncio.Task[None], Subject], None]) -> None:
        self._done = done
        self._members: dict[asyncio.Task[None], Subject] = {}
        self._excluded: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        # One for all: each would take 64 bytes, and so would the context that asyncio
        # copies for it.
        self._callback = self._leave
        self._context = contextvars.copy_context()

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(self._members)

    def __contains__(self, task: object) -> bool:
        return task in self._members

    def add(self, task: asyncio.Task[None], subject: Subject) -> None:
        """Take in a task that was just made."""
        self._members[task] = subject
        self._idle.clear()
        task.add_done_callback(self._callback, context=self._context)

    def exclude(self, task: asyncio.Task[None] | None) -> None:
        """Do not wait for this task; harmless if it is none of them."""
        if task is not None and task in self._members:
            self._excluded.add(task)
            self._look_whether_idle()

    def awaits_any(self, tasks: Iterable[asyncio.Task[None]]) -> bool:
        """Return whether any of these, which are members, is not excluded."""
        return any(task not in self._excluded for task in tasks)

    async def finish(self, deadline: float) -> int:
        """Wait for all that are not excluded, then cancel those that are left.

        :param deadline: until when, by the event loop's clock
        :return: how many were cancelled
        """
        cancelled: set[asyncio.Task[None]] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                # The end of one may be the start of another.
                while self._awaited():
                    await self._idle.wait()
        while self._awaited():
            # One that is cancelled before it has begun would do nothing at all.
            await asyncio.sleep(0)
            left = self._awaited()
            for task in left:
                task.cancel()
            cancelled |= left
            await asyncio.gather(*left, return_exceptions=True)
        return len(cancelled)

    def _awaited(self) -> set[asyncio.Task[None]]:
        return self._members.keys() - self._excluded

    def _leave(self, task: asyncio.Task[None]) -> None:
        subject = self._members.pop(task)
        self._excluded.discard(task)
        self._look_whether_idle()
        self._done(task, subject)

    def _look_whether_idle(self) -> None:
        if len(self._members) == len(self._excluded):
            self._idle.set()
