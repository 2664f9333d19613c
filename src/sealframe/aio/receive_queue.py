"""Received messages that wait for the program.

A waiter carries a wake-up and never a message: the message stays in the queue until the
woken task pops it, so that a task cancelled in between loses nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..errors import ConnectionClosedOK
from .queues import ALWAYS_WAKE, InQueue

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

    __slots__ = ("_budget", "_connection_low_water", "waiters")

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        # The low-water mark while no task waits; `low_water` is what the fast path reads.
        self._connection_low_water = -1
        self.waiters: list[asyncio.Future[None]] | None = None
        """The tasks that wait, rarely more than one; None until there was one."""

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

    def set_low_water(self, mark: int) -> None:
        """Set the low-water mark: a pop at or below it calls ``owner.after_pop()``.

        :param mark: in queued bytes; -1 for never
        """
        self._connection_low_water = mark
        self._set_low_water()

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

    def add_waiter(self, waiter: asyncio.Future[None]) -> None:
        """Have :meth:`wake` set the result of ``waiter``. The task that awaits it looks
        again whether there is a message."""
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(waiter)
        self.low_water = ALWAYS_WAKE

    def discard_waiter(self, waiter: asyncio.Future[None]) -> None:
        """Remove a waiter whose task was cancelled; a wake-up that it got goes to the next."""
        if waiter.done() and not waiter.cancelled():
            self.wake()
        elif self.waiters and waiter in self.waiters:  # a wake-up may have skipped it by now
            self.waiters.remove(waiter)
            self._set_low_water()

    def wake(self) -> None:
        """Wake the task that waits longest; it wakes the next while there are messages."""
        while self.waiters:
            waiter = self.waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                break
        if not self.waiters:
            self._set_low_water()

    def wake_all(self) -> None:
        """Wake every task that waits: nothing more will come."""
        while self.waiters:
            self.wake()

    def _set_low_water(self) -> None:
        # A woken task may be slow to run, so one that pops first wakes the next.
        self.low_water = ALWAYS_WAKE if self.waiters else self._connection_low_water
