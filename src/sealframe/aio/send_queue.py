"""Accepted messages, waiting to be framed, sealed and written."""

from __future__ import annotations

import asyncio
from collections import deque

from .queues import OutQueue


class SendQueue(OutQueue):
    """A queue of messages with a cost, and of the tasks that wait for room in it.

    Tasks are let in first come, first served: the first waiter keeps its place
    until it has run, and whoever comes later queues behind it.

    :param limit: cost from which senders wait
    """

    __slots__ = ("_closed", "_limit", "_waiters")

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._closed = False
        self._waiters: deque[asyncio.Future[None]] | None = None

    @property
    def over_limit(self) -> bool:
        """Whether it holds what it may, or more."""
        return self.cost >= self._limit

    @property
    def full(self) -> bool:
        """Whether a new sender has to wait: for room, or for its turn."""
        return self.over_limit or bool(self._waiters)

    def open(self, smallest: int, largest: int) -> None:
        """Let senders in whose messages have these sizes, in bytes."""
        self.smallest = smallest
        self.largest = largest
        self._set_mark()

    def close(self) -> None:
        """Wake every waiter: nothing more will be accepted."""
        self._closed = True
        self._set_mark()
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for room, or for :meth:`close`.

        After the return the caller appends without awaiting anything in
        between, then calls :meth:`wake`, so that the next in line gets its turn.
        """
        if self._waiters is None:
            self._waiters = deque()
        waiters = self._waiters
        waiter = asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        self._set_mark()
        try:
            await waiter
        except asyncio.CancelledError:
            self._leave(waiter)
            self.wake()
            raise
        self._leave(waiter)

    def wake(self) -> None:
        """Wake the first waiter, if there is room for it."""
        if self._waiters and self.cost < self._limit and not self._waiters[0].done():
            self._waiters[0].set_result(None)

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        assert self._waiters is not None
        self._waiters.remove(waiter)
        self._set_mark()

    def _set_mark(self) -> None:
        self.mark = 0 if self._closed or self._waiters else self._limit
