"""Received messages, waiting to be taken.

A waiter carries a wake-up and never a message: the message stays in the queue
until the woken task pops it, so a task cancelled in between loses nothing.
"""

from __future__ import annotations

import asyncio

from .queues import ANYHOW, InQueue


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


class ReceiveQueue(InQueue):
    """A queue of messages with a cost; any number of tasks may wait on it.

    :param budget: its share is the cost from which :attr:`full` is true
    """

    __slots__ = ("_budget", "_mark", "waiters")

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        self._mark = -1
        self.waiters: list[asyncio.Future[None]] | None = None
        """Those who wait, rarely more than one; None until there was one."""

    @property
    def full(self) -> bool:
        """Whether reading should pause."""
        return self.cost >= self._budget.share

    @property
    def drained(self) -> bool:
        """Whether reading may go on, once it was paused."""
        return self.cost <= self._budget.share // 2

    @property
    def share(self) -> int:
        """Cost from which it is full."""
        return self._budget.share

    def hold(self) -> None:
        """Note that reading is paused: whoever takes a message looks whether it may go on."""
        self.watch(self._budget.share // 2)

    def release(self) -> None:
        """Note that reading goes on."""
        self.watch(-1)

    def watch(self, mark: int) -> None:
        """Have whoever takes a message look what is to be done from that cost downwards;
        -1 for never."""
        self._mark = mark
        self._set_low_mark()

    def clear(self) -> int:
        """Forget all messages; return how many there were."""
        return len(self.pop_many(None))

    def join(self, waiter: asyncio.Future[None]) -> None:
        """Wait: ``waiter`` is done after :meth:`wake`. Who awaited it looks again at what
        there is."""
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(waiter)
        self.low_mark = ANYHOW

    def leave(self, waiter: asyncio.Future[None]) -> None:
        """Wait no more: the task was cancelled."""
        if waiter.done() and not waiter.cancelled():
            self.wake()
        elif self.waiters and waiter in self.waiters:  # a wake-up may have skipped it by now
            self.waiters.remove(waiter)
            self._set_low_mark()

    def wake(self) -> None:
        """Wake the task that waits longest; it wakes the next while messages last."""
        while self.waiters:
            waiter = self.waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                break
        if not self.waiters:
            self._set_low_mark()

    def wake_all(self) -> None:
        """Wake every waiter: nothing more will come."""
        while self.waiters:
            self.wake()

    def _set_low_mark(self) -> None:
        # Whoever gets a message may be slow, so others must not wait for it.
        self.low_mark = ANYHOW if self.waiters else self._mark
