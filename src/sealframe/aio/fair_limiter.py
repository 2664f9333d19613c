"""Waiting for one of a limited number of places, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..errors import ConnectionClosed


class FairLimiter:
    """A queue before places that somebody else counts.

    :param free: says whether there is one now
    """

    __slots__ = ("_free", "_waiters", "error")

    def __init__(self, free: Callable[[], bool]) -> None:
        self._free = free
        self.error: ConnectionClosed | None = None
        """Why there will be no more places, None while there may be."""
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiters)

    async def wait(self) -> None:
        """Wait for a place.

        After the return the caller takes it without awaiting anything in between,
        then calls :meth:`wake`.
        """
        if self.error is not None or (not self._waiters and self._free()):
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

    def close(self, error: ConnectionClosed) -> None:
        """Let all of them go on, to find that there will be no place."""
        self.error = self.error or error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
