"""One blocking call: a coroutine in the event loop's thread, and the thread that waits for it."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar, cast

from ..aio.time_limit import TimeLimit
from ..errors import SealframeError, WaitTimeoutError, WrongLoopError

T = TypeVar("T")

OVER: Final = "the program is ending, and the event loop behind sealframe.sync with it"

_SLICE: Final = 0.1 if sys.platform == "win32" else 1.0
"""Seconds that the main thread waits in one go. A signal handler of Python runs between two steps
of the interpreter. A signal ends a wait in the system for that, but not on Windows, and not one
that begins just after the signal came: those show it when they are over."""


class Call(Generic[T]):
    """Runs ``work()`` in an event loop while a thread waits for what comes of it.

    Everything but :meth:`wait` is called in the loop's thread.

    :param work: makes what is awaited; it is called in the loop's thread too
    :param timeout: seconds after which it is cancelled; None for no limit
    :param undo: takes back a result that nobody waits for any more
    :param exiting: set once the program ends. Threads that wait then, which are daemons, are
        not woken: they would only complain of connections that are closed.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[T]],
        timeout: float | None,
        undo: Callable[[T], None] | None,
        exiting: threading.Event,
    ) -> None:
        self._work = work
        self._timeout = _checked(timeout)
        self._undo = undo
        self._exiting = exiting
        self._task: asyncio.Task[T] | None = None
        self._value: T | None = None
        self._abandoned = False
        self.settled = False
        """Whether the work is done."""
        self.error: BaseException | None = None
        """What :meth:`wait` raises because the work failed."""
        # Released when the work is done. An interrupt may hit wait() after it acquired this and
        # before it returned the result, so abandon() looks at settled instead.
        self._gate = threading.Lock()
        self._gate.acquire()

    def start(self) -> None:
        """Start the work."""
        self._task = asyncio.get_running_loop().create_task(_within(self._work, self._timeout))
        self._task.add_done_callback(self._settle)

    def abandon(self) -> None:
        """Cancel the work: nobody waits for it any more. What it yields is taken back."""
        self._abandoned = True
        if self._task is None:
            return
        if self.settled:
            self._take_back()
        else:
            self._task.cancel()

    def wait(self) -> T:
        """Wait until the work is done; return what it returned, or raise what it raised.

        An exception of a signal handler, KeyboardInterrupt above all, ends the wait at once.
        """
        main = threading.current_thread() is threading.main_thread()
        while not self._gate.acquire(timeout=_SLICE if main else -1):
            pass
        try:
            if self.error is not None:
                raise self.error
            return cast("T", self._value)
        finally:
            # The error's traceback holds this frame.
            del self

    def _settle(self, task: asyncio.Task[T]) -> None:
        if self._exiting.is_set():
            return
        if task.cancelled():
            self.error = WrongLoopError(OVER)
        elif (error := task.exception()) is not None:
            self.error = error.__cause__ if isinstance(error, _ExitError) else error
        else:
            self._value = task.result()
        self.settled = True
        self._gate.release()
        if self._abandoned:
            self._take_back()

    def _take_back(self) -> None:
        if self._undo is not None and self.error is None:
            self._undo(cast("T", self._value))


class _ExitError(Exception):
    """Carries what would end the event loop past it: the thread that called is meant."""


async def _within(work: Callable[[], Awaitable[T]], timeout: float | None) -> T:
    try:
        async with TimeLimit(timeout):
            return await work()
    except TimeoutError as error:
        # Some errors of a connection are time-outs of their own.
        if isinstance(error, SealframeError):
            raise
    except (SystemExit, KeyboardInterrupt) as error:
        raise _ExitError from error
    # Out here: asyncio's own error holds the task, which holds what is raised.
    raise WaitTimeoutError(f"not done within timeout, {timeout:g} s")


def _checked(timeout: float | None) -> float | None:
    if timeout is None or timeout == math.inf:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout is None or seconds, not {type(timeout).__name__}")
    if math.isnan(timeout):
        raise ValueError("timeout is NaN; use None or a number of seconds")
    return max(0.0, timeout)
