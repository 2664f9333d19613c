"""Received messages, waiting to be taken.

A waiter carries a wake-up and never a message: the message stays in the queue
until the woken task pops it, so a task cancelled in between loses nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque

from .wire import MESSAGE_OVERHEAD


class Budget:
    """What the inboxes of one server may hold together, shared out evenly.

    A share is never 0, so one message always fits, and reading goes on at the latest
    when an inbox is empty. A share that shrinks takes nothing from an inbox that holds
    more: it is not read into again before it is down to half of its new share.

    :param limit: the most that one inbox gets
    :param total: cost for all together
    """

    __slots__ = ("_limit", "_members", "_total", "share")

    def __init__(self, limit: int, total: int) -> None:
        self._limit = limit
        self._total = total
        self._members = 0
        self.share = 0
        """Cost from which an inbox is full."""
        self._divide()

    def join(self) -> None:
        """Share with one more."""
        self._members += 1
        self._divide()

    def leave(self) -> None:
        """Share with one less."""
        self._members -= 1
        self._divide()

    def _divide(self) -> None:
        self.share = max(1, min(self._limit, self._total // max(1, self._members)))


class Inbox:
    """A queue of messages with a cost; any number of tasks may wait on it.

    :param budget: its share is the cost from which :attr:`full` is true
    """

    __slots__ = ("_budget", "cost", "messages", "waiters")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.messages: deque[bytes] = deque()
        self.cost = 0
        self.waiters: deque[asyncio.Future[None]] | None = None
        """Those who wait, None until there was one."""

    @property
    def full(self) -> bool:
        """Whether reading should pause."""
        return self.cost >= self._budget.share

    @property
    def drained(self) -> bool:
        """Whether reading may go on, once it was paused."""
        return self.cost <= self._budget.share // 2

    def extend(self, messages: list[bytes]) -> None:
        """Add messages and wake one waiter, who wakes the next while messages last."""
        self.messages.extend(messages)
        self.cost += sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)
        self.wake()

    def pop(self) -> bytes:
        """Take the oldest message; there must be one."""
        message = self.messages.popleft()
        self.cost -= len(message) + MESSAGE_OVERHEAD
        return message

    def pop_many(self, limit: int | None) -> list[bytes]:
        """Take all messages, or the oldest ``limit`` of them."""
        if limit is None or limit >= len(self.messages):
            taken = list(self.messages)
            self.messages.clear()
            self.cost = 0
            return taken
        return [self.pop() for _ in range(limit)]

    def clear(self) -> int:
        """Forget all messages; return how many there were."""
        return len(self.pop_many(None))

    async def wait(self) -> None:
        """Wait for :meth:`wake`. The caller looks again at what there is."""
        if self.waiters is None:
            self.waiters = deque()
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake()
            elif waiter in self.waiters:  # a wake-up may have skipped it by now
                self.waiters.remove(waiter)
            raise

    def wake(self) -> None:
        """Wake the task that waits longest."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Wake every waiter: nothing more will come."""
        while self.waiters:
            self.wake()
