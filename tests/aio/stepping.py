"""Runs a coroutine and cancels it exactly where a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Generator, Iterator
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from .ends import PATIENCE

T = TypeVar("T")

_MANY_STEPS = 200


class Moment(Enum):
    """When, at an await point, the cancellation comes."""

    SUSPENDED = "suspended"
    """As soon as it waits: what it waits for has not come."""
    WOKEN = "woken"
    """What it waits for has come, and it has not run yet."""


class Attempt(Generic[T]):
    """A coroutine in a task of its own, cancelled at chosen suspensions.

    :param coroutine: what to run
    :param steps: the suspensions at which it is cancelled, the first is 0
    :param moment: before or after what it waits for there has come
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], steps: int | Collection[int], moment: Moment
    ) -> None:
        self._coroutine = coroutine
        self._steps = {steps} if isinstance(steps, int) else set(steps)
        self._moment = moment
        self.reached = False
        """Whether it came to all those suspensions; if not, it ran undisturbed at the end."""
        self.task: asyncio.Task[T] = asyncio.create_task(self._run())

    async def _run(self) -> T:
        # An eager task runs before it is returned.
        self.task = cast("asyncio.Task[T]", asyncio.current_task())
        return await self

    def __await__(self) -> Generator[Any, None, T]:
        inner = self._coroutine.__await__()
        step = 0
        error: BaseException | None = None
        while True:
            try:
                awaited = next(inner) if error is None else inner.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if step in self._steps:
                self._steps.discard(step)
                self.reached = not self._steps
                if self._moment is Moment.WOKEN and awaited is not None:
                    awaited.add_done_callback(self._cancel)
                else:
                    self._cancel()
            step += 1
            error = None
            try:
                yield awaited
            except BaseException as thrown:  # noqa: BLE001 - it goes to the coroutine
                error = thrown

    def _cancel(self, _: object = None) -> None:
        self.task.cancel()

    async def started(self) -> None:
        """Wait until it has run up to its first suspension, or to its end."""
        await asyncio.sleep(0)

    async def was_cancelled(self) -> bool:
        """Wait for its end; return whether CancelledError was it. Any other error is raised."""
        await asyncio.wait({self.task}, timeout=PATIENCE)
        assert self.task.done(), "it hangs"
        if self.task.cancelled():
            return True
        self.task.result()
        return False


def every_step() -> Iterator[int]:
    """Count the suspensions; a test leaves the loop once an attempt comes to its end before."""
    yield from range(_MANY_STEPS)
    raise AssertionError("it suspends without end")
