"""A thread for file operations, so that the event loop does not wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_IDLE: Final = 2.0
"""Seconds after which a thread that has nothing to do ends; another one takes its place."""


class StoppedError(Exception):
    """The task that waited for the work was cancelled."""


class Worker:
    """Runs functions one after the other, in a thread of its own.

    A function that runs cannot be stopped, but may ask :meth:`check`. A task that is cancelled
    while it waits for one waits for its end first: nobody closes a file that the function
    uses, and what it stored in an object is there. The thread ends when it is idle, so that a
    peer that is slow, or stalls on purpose, holds none.
    """

    __slots__ = ("_executor", "_last", "_stopped", "_timer")

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._last: asyncio.Future[object] | None = None
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None

    def start(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> asyncio.Future[Result]:
        """Queue a function; :meth:`finish` waits for it.

        Its exception counts as retrieved, so that asyncio does not log it.
        """
        loop = asyncio.get_running_loop()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "sealframe-file")
        if self._timer is None:
            self._timer = loop.call_later(_IDLE, self._rest)
        running = loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        running.add_done_callback(_retrieve)
        self._last = running  # type: ignore[assignment]
        return running

    async def finish(self, running: asyncio.Future[Result]) -> Result:
        """Wait for what :meth:`start` has begun; return what it returns, raise what it raises."""
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
                self._stopped = True
        if cancelled is not None:
            raise cancelled
        return running.result()

    async def run(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run a function and wait for it."""
        return await self.finish(self.start(function, *args, **kwargs))

    def check(self) -> None:
        """Called in the thread, by work that takes long.

        :raises StoppedError: nobody waits for it any more
        """
        if self._stopped:
            raise StoppedError

    def close(self) -> None:
        """End the thread, when it has done what was begun."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release()

    def _rest(self) -> None:
        self._timer = None
        if self._last is None or self._last.done():
            self._release()
        else:
            self._timer = asyncio.get_running_loop().call_later(_IDLE, self._rest)

    def _release(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None


def _retrieve(running: asyncio.Future[Result]) -> None:
    if not running.cancelled():
        running.exception()
