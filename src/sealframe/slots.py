"""Waiting for one of a limited number of places, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Slots:
    """A queue before places that somebody else counts.

    :param free: says whether there is one now
    """

    __slots__ = ("_error", "_free", "_waiters")

    def __init__(self, free: Callable[[], bool]) -> None:
        self._free = free
        self._error: Exception | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for a place.

        After the return the caller takes it without awaiting anything in between,
        then calls :meth:`wake`.
        """
        if self._error is not None or (not self._waiters and self._free()):
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiters.remove(waiter)
            self.wake()
            raise
        self._waiters.remove(waiter)

    def wake(self) -> None:
        """Let the first in line go on, if there is a place."""
        if self._waiters and not self._waiters[0].done() and self._free():
            self._waiters[0].set_result(None)

    def close(self, error: Exception) -> None:
        """Let all of them go on, to find that there will be no place."""
        self._error = error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
