"""Accepted messages, waiting to be framed, sealed and written."""

from __future__ import annotations

import asyncio
from collections import deque

from .wire import MESSAGE_OVERHEAD


class Outbox:
    """A queue of messages with a cost, and of the tasks that wait for room in it.

    Tasks are let in first come, first served: the first waiter keeps its place
    until it has run, and whoever comes later queues behind it.

    :param limit: cost from which senders wait
    """

    __slots__ = ("_limit", "_messages", "_waiters", "cost")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: list[bytes] = []
        self._waiters: deque[asyncio.Future[None]] | None = None
        self.cost = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def full(self) -> bool:
        """Whether a new sender has to wait."""
        return self.cost >= self._limit or bool(self._waiters)

    def append(self, message: bytes) -> None:
        """Accept a message, whatever the cost."""
        self._messages.append(message)
        self.cost += len(message) + MESSAGE_OVERHEAD

    def extend(self, messages: list[bytes]) -> None:
        """Accept messages, whatever the cost."""
        self._messages.extend(messages)
        self.cost += sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)

    def take(self, size: int) -> list[bytes]:
        """Take the oldest messages, until their cost reaches ``size``."""
        if self.cost <= size:
            taken, self._messages, self.cost = self._messages, [], 0
            return taken
        count = cost = 0
        while cost < size and count < len(self._messages):
            cost += len(self._messages[count]) + MESSAGE_OVERHEAD
            count += 1
        taken = self._messages[:count]
        del self._messages[:count]
        self.cost -= cost
        return taken

    def clear(self) -> int:
        """Drop everything; return how many messages that were."""
        count = len(self._messages)
        self._messages = []
        self.cost = 0
        return count

    async def wait(self) -> None:
        """Wait for room, or for :meth:`wake_all`.

        After the return the caller appends without awaiting anything in
        between, then calls :meth:`wake`, so that the next in line gets its turn.
        """
        if self._waiters is None:
            self._waiters = deque()
        waiters = self._waiters
        waiter = asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            waiters.remove(waiter)
            self.wake()
            raise
        waiters.remove(waiter)

    def wake(self) -> None:
        """Wake the first waiter, if there is room for it."""
        if self._waiters and self.cost < self._limit and not self._waiters[0].done():
            self._waiters[0].set_result(None)

    def wake_all(self) -> None:
        """Wake every waiter: nothing more will be accepted."""
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
