"""Received messages that wait for the program: how many may, and the slow path to take one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..core.budget import Budget
from ..errors import ConnectionClosedOK
from .queues import InQueue

if TYPE_CHECKING:
    from ._queues_py import ReceiveQueueOwner


class ReceiveQueue(InQueue):
    """The receive queue of a connection; any number of tasks may wait on it.

    :param budget: gives the quota, the queued bytes from which :attr:`full` is true
    """

    __slots__ = ("budget",)

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget
        """Gives the quota."""
        self.waits_here = True

    @property
    def full(self) -> bool:
        """Whether reading should pause."""
        return self.queued_bytes >= self.budget.quota

    @property
    def drained(self) -> bool:
        """Whether reading may resume, once it was paused."""
        return self.queued_bytes <= self.budget.quota // 2

    @property
    def quota(self) -> int:
        """Queued bytes from which it is full."""
        return self.budget.quota

    def on_reading_paused(self) -> None:
        """Set the low-water mark to half of the quota: a pop there resumes reading."""
        self.set_low_water(self.budget.quota // 2)

    def on_reading_resumed(self) -> None:
        """Remove the low-water mark."""
        self.set_low_water(-1)

    def clear(self) -> int:
        """Drop all messages; return how many there were."""
        return len(self.pop_many(None))

    async def recv_slow_path(self, owner: ReceiveQueueOwner, iterating: bool) -> bytes:
        """Take the oldest message, and wait for it if there is none.

        :param iterating: whether to raise :exc:`StopAsyncIteration` once the peer has
            closed properly
        :raises ConnectionClosed: nothing more will come
        :raises WrongLoopError: called from another thread or event loop
        """
        owner.check_loop()
        # One coroutine and no more: this is where the task of an idle connection waits.
        while not len(self):
            error = owner.error
            if error is not None:
                if iterating and isinstance(error, ConnectionClosedOK):
                    raise StopAsyncIteration
                raise error.fresh()
            waiter: asyncio.Future[None] = owner.loop.create_future()
            self.add_waiter(waiter)
            try:
                await waiter
            except BaseException:
                self.discard_waiter(waiter)
                raise
        message = self.pop()
        owner.after_pop()
        return message
