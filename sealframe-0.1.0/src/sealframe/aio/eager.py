"""Starts coroutines whose first step runs at once, so that many need no turn of the event loop.

From Python 3.12 on asyncio does that. For 3.11 there is one *spare* task, parked, whose identity
the first step takes, by the functions that asyncio has for other implementations of tasks
(``_enter_task`` and so on, "Extending" in its documentation). A coroutine that is over after that
step leaves the spare to the next one; one that waits keeps it, and its task goes on with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import weakref
from asyncio import tasks
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Final

_SUPPORTED: Final = sys.version_info >= (3, 12)
_REFERENCES: Final = 4
"""To the task of a spare, while nobody else has it: of the spare, of what wakes it, and two of
the function that counts them."""


class EagerStart:
    """Starts coroutines on one event loop."""

    __slots__ = ("_spare",)

    def __init__(self) -> None:
        self._spare: _Spare | None = None

    def start(self, running: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Run the first step, in a task if possible, and return the task that does the rest;
        None if nothing is left to do.

        It is a plain task, and begins in the next turn, where the program has a task factory,
        from within another task, and as long as no spare is parked.

        :param name: of the task
        :raises KeyboardInterrupt: the coroutine raised it; ``SystemExit`` likewise
        """
        loop = asyncio.get_running_loop()
        if loop.get_task_factory() is not None or asyncio.current_task() is not None:
            return loop.create_task(running, name=name)
        if _SUPPORTED:
            task = _make_eager(running, loop, name)
            if not task.done():
                return task
            error = None if task.cancelled() else task.exception()
            if error is not None:
                tell_of_failure(loop, error)
            return None
        spare = self._spare
        if spare is None or not spare.fits(loop):
            self._spare = _Spare(loop)
            return loop.create_task(running, name=name)
        self._spare = None
        goes_on = spare.step(running, name)
        if not goes_on and spare.is_as_new():
            self._spare = spare
            return None
        self._spare = _Spare(loop)
        if not goes_on:
            spare.end()
            return None
        return spare.task


def _make_eager(
    running: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, name: str
) -> asyncio.Task[None]:
    eager: dict[str, Any] = {"eager_start": True}  # new in Python 3.12
    return asyncio.Task(running, loop=loop, name=name, **eager)


class _Spare:
    """A task that waits for a coroutine which has begun in its name."""

    __slots__ = ("_context", "_loop", "_parked", "_rest", "_snapshot", "_wake", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = contextvars.copy_context()
        self._snapshot = self._context.copy()
        self._wake: asyncio.Future[None] = loop.create_future()
        # A task that is cancelled before its own first step would not run at all.
        self._parked = False
        self._rest: tuple[Coroutine[Any, Any, None], Any] | None = None
        self.task = asyncio.Task(self._drive(), loop=loop, context=self._context)
        # Nothing runs in it: it is none of the tasks that a program counts, or cancels at its
        # end, and it may go with its loop.
        tasks._unregister_task(self.task)
        _complain_if_destroyed(self.task, False)

    def fits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether a coroutine that is started here and now could be its."""
        return (
            self._parked
            and loop is self._loop
            and not self._wake.done()
            and contextvars.copy_context() == self._snapshot
        )

    def step(self, running: Coroutine[Any, Any, None], name: str) -> bool:
        """Run the first step of a coroutine; return whether it goes on in :attr:`task`."""
        task = self.task
        task.set_name(name)
        tasks._enter_task(self._loop, task)
        try:
            yielded = self._context.run(running.send, None)
        except StopIteration:
            return False
        except asyncio.CancelledError:
            task.cancel()
            return False
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - of a plain task, too, it is only told
            tell_of_failure(self._loop, error)
            return False
        finally:
            tasks._leave_task(self._loop, task)
        self._rest = (running, yielded)
        tasks._register_task(task)
        _complain_if_destroyed(task, True)
        self.end()  # of the wait, unless it has cancelled itself
        return True

    def is_as_new(self) -> bool:
        """Return whether nobody can tell that the task was used: it can be used again."""
        task = self.task
        return (
            not self._wake.done()
            and task.cancelling() == 0
            and self._context == self._snapshot
            and sys.getrefcount(task) == _REFERENCES
            and weakref.getweakrefcount(task) == 0
            and not getattr(task, "_callbacks", None)
        )

    def end(self) -> None:
        """Let the task be done, for those who have it."""
        if not self._wake.done():
            self._wake.set_result(None)

    async def _drive(self) -> None:
        cancelled = False
        self._parked = True
        try:
            await self._wake
        except asyncio.CancelledError:
            if self._rest is None:
                raise
            cancelled = True
        if self._rest is None:
            return
        running, yielded = self._rest
        # A step that was cancelled cancels what it came to wait for, as a task does.
        if cancelled and (yielded is None or not yielded.cancel()):
            try:
                yielded = running.throw(asyncio.CancelledError())
            except StopIteration:
                return
        await _Rest(running, yielded)


class _Rest:
    """Awaits what is left of a coroutine that has begun."""

    __slots__ = ("_running", "_yielded")

    def __init__(self, running: Coroutine[Any, Any, None], yielded: Any) -> None:
        self._running = running
        self._yielded = yielded

    def __await__(self) -> Generator[Any, Any, None]:
        running, yielded = self._running, self._yielded
        while True:
            try:
                value = yield yielded
            except GeneratorExit:
                running.close()
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is, it goes on
                resume = partial(running.throw, error)
            else:
                resume = partial(running.send, value)
            try:
                yielded = resume()
            except StopIteration:
                return


def tell_of_failure(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """Tell the event loop of an exception that nobody handles, as a task does."""
    what = {"message": "Task exception was never retrieved", "exception": error}
    loop.call_exception_handler(what)


def _complain_if_destroyed(task: asyncio.Task[Any], complain: bool) -> None:
    """Say whether the end of a loop that destroys a task is worth a line in its log."""
    setattr(task, "_log_destroy_pending", complain)  # noqa: B010 - type checkers do not know it
