"""A queue for what the peer takes only so many of at a time; first come, first served.

docs/PROTOCOL.md: max_streams in section 8, max_requests in section 9. The multiplexer counts
what is open; a limiter only orders those who wait until it is less.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from ..errors import ConnectionClosed


class FairLimiter:
    """Lets callers through one by one, while ``free()`` is true.

    :param free: whether one more may be opened now
    """

    __slots__ = ("_free", "error", "waiters")

    def __init__(self, free: Callable[[], bool]) -> None:
        self._free = free
        self.error: ConnectionClosed | None = None
        """Why nothing more can be opened, None while it can."""
        self.waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        """Who waits, the first in the queue first; any one is removed in constant time."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self.waiters)

    @property
    def open(self) -> bool:
        """Whether a caller need not wait."""
        return not self.waiters and self.error is None and self._free()

    async def wait(self) -> None:
        """Return at this caller's turn, or once :attr:`error` is set.

        The caller looks at :attr:`error`, opens what it waited for without an ``await`` in
        between, and calls :meth:`wake` for the next one.
        """
        if self.error is not None or (not self.waiters and self._free()):
            return
        waiter = asyncio.get_running_loop().create_future()
        self.waiters[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            del self.waiters[waiter]
            self.wake()
            raise
        del self.waiters[waiter]

    def wake(self) -> None:
        """Let the first in the queue through, if ``free()`` says so."""
        if self.waiters and self._free():
            first = next(iter(self.waiters))
            if not first.done():
                first.set_result(None)

    def close(self, error: ConnectionClosed) -> None:
        """Set the error and let all through, to raise it."""
        self.error = self.error or error
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
