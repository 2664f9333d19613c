"""The memory for what the connections of one server receive: what each may hold, and loans.

A connection that carries packets stops reading at its quota. One with windows starts with a
small one, so that idle clients keep next to nothing back, and borrows what its windows grow by
(:mod:`.growth`). Shares are equal parts of what is not lent, so that all together stay within
the total.
"""

from __future__ import annotations

from typing import Final

FIRST_WINDOW: Final = 128 * 1024
"""The window for messages before it has grown, where many connections share a budget. Credit comes
back for whole messages only, so two of 64 KiB must fit, or the second waits for the first to have
come across the link."""

CLIENT_WINDOW: Final = 1024 * 1024
"""The same on a client, whose few connections have a budget each. A server may send so much at a
time, and need not take the client for a slow one."""


class Budget:
    """Divides the memory for what one server receives among its connections.

    A share is never 0, so one message always fits, and reading resumes at the latest when a
    queue is empty. A share that shrinks takes nothing from a queue that holds more, nor from a
    window that was granted: reading resumes once that queue is down to half of its new quota.

    :param limit: the largest quota, in queued bytes
    :param total: queued bytes for all connections together
    :param first: the largest window for messages before it has grown
    """

    __slots__ = ("_first", "_limit", "_total", "lent", "members", "quota", "window")

    def __init__(self, limit: int, total: int, first: int = FIRST_WINDOW) -> None:
        self._first = min(limit, first)
        self._limit = limit
        self._total = total
        self.members = 0
        """How many connections share it."""
        self.lent = 0
        """What windows have grown by, all together."""
        self.quota = 0
        """Queued bytes from which a queue is full."""
        self.window = 0
        """The window for messages of each connection, without what it borrowed."""
        self._divide()

    def join(self) -> None:
        """Divide among one connection more."""
        self.members += 1
        self._divide()

    def leave(self, borrowed: int = 0) -> None:
        """Divide among one connection less.

        :param borrowed: what it gives back
        """
        self.members -= 1
        self.lent -= borrowed
        self._divide()

    @property
    def free(self) -> int:
        """What may be lent; below 0 where too much is, since others came."""
        return self._total - self.lent - max(1, self.members) * self._first

    def lend(self, amount: int) -> int:
        """Lend so much, or less; return how much.

        No more than half of what is free, so that something is left for the next.
        """
        amount = max(0, min(amount, self.free // 2))
        self.lent += amount
        self._divide()
        return amount

    def take_back(self, amount: int) -> None:
        """Take back what was lent."""
        self.lent -= amount
        self._divide()

    def _divide(self) -> None:
        share = max(1, (self._total - self.lent) // max(1, self.members))
        self.quota = min(self._limit, share)
        self.window = min(self.quota, self._first)
