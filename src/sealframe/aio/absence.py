"""A session without a link: since when, who waits for the next one, and what is queued meanwhile.

An :class:`Absence` begins as a link is lost, or with a session that has none yet, and is over with
the next link or the end of the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Absence:
    """The time between two links of one session.

    :param queued: called once for all that is queued in a turn of the event loop, at its end; by
        then the absence may be over
    """

    __slots__ = ("_loop", "_queued", "_since", "_telling", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, queued: Callable[[], None]) -> None:
        self._loop = loop
        self._queued = queued
        self._since = loop.time()
        # In order; any one is removed in constant time.
        self._waiters: dict[asyncio.Future[None], None] = {}
        # Set where `queued` is about to be called.
        self._telling: asyncio.Handle | None = None

    @property
    def duration(self) -> float:
        """For how many seconds there has been no link."""
        return self._loop.time() - self._since

    def note_queued(self) -> None:
        """Something waits to be sent."""
        if self._telling is None:
            self._telling = self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._queued()

    async def wait(self) -> None:
        """Wait until it is over."""
        waiter = self._loop.create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiters.pop(waiter, None)
            raise

    def end(self) -> None:
        """There is a link, or there will be none."""
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
