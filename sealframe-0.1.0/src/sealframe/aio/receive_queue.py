"""Received messages that wait for the program: how many may, and the slow path to take one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..errors import ConnectionClosedOK
from .queues import InQueue

if TYPE_CHECKING:
    from ._queues_py import ReceiveQueueOwner


class Budget:
    """Divides the memory for the receive queues of one server into equal quotas.

    A quota is never 0, so one message always fits, and reading resumes at the latest when a
    queue is empty. A quota that shrinks takes nothing from a queue that holds more: reading
    resumes once that queue is down to half of its new quota.

    :param limit: the largest quota, in queued bytes
    :param total: queued bytes for all queues together
    """

    __slots__ = ("_limit", "_total", "members", "quota")

    def __init__(self, limit: int, total: int) -> None:
        self._limit = limit
        self._total = total
        self.members = 0
        """How many queues share it."""
        self.quota = 0
        """Queued bytes from which a queue is full."""
        self._divide()

    def join(self) -> None:
        """Divide among one queue more."""
        self.members += 1
        self._divide()

    def leave(self) -> None:
        """Divide among one queue less."""
        self.members -= 1
        self._divide()

    def _divide(self) -> None:
        self.quota = max(1, min(self._limit, self._total // max(1, self.members)))


class ReceiveQueue(InQueue):
    """The receive queue of a connection; any number of tasks may wait on it.

    :param budget: gives the quota, the queued bytes from which :attr:`full` is true
    """

    __slots__ = ("_budget",)

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        self.waits_here = True

    @property
    def full(self) -> bool:
        """Whether reading should pause."""
        return self.queued_bytes >= self._budget.quota

    @property
    def drained(self) -> bool:
        """Whether reading may resume, once it was paused."""
        return self.queued_bytes <= self._budget.quota // 2

    @property
    def quota(self) -> int:
        """Queued bytes from which it is full."""
        return self._budget.quota

    def on_reading_paused(self) -> None:
        """Set the low-water mark to half of the quota: a pop there resumes reading."""
        self.set_low_water(self._budget.quota // 2)

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
            except asyncio.CancelledError:
                self.discard_waiter(waiter)
                raise
        message = self.pop()
        owner.after_pop()
        return message
