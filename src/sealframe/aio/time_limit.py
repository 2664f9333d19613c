"""Time-outs that what has already arrived wins over, also where the event loop was held up.

A callback that runs for long, of the program or of anybody else, lets a timer fire together with
the bytes that came meanwhile. asyncio's loop hands these bytes over in the same turn, and cancels
the task before it has seen them. uvloop runs timers before it polls its sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_NOTICED: Final = 0.001
"""Seconds by which a timer may be late without anything having held it up."""

_TURNS: Final = 8
"""Turns of the event loop between a timer and what it ends. After two, either kind of loop has
polled its sockets and read from them; the rest lets tasks run that this has woken, and those that
these wake."""


class Expiry:
    """A timer of the event loop that is cancelled by what came in time.

    Time in which the loop was held up does not count against who could not be heard: a timer that
    is late waits as long again, once, and at most for its own time. A peer that sends slowly
    cannot put it off: nothing but the loop makes it late, and it ends within twice its time and a
    few turns of the loop.

    :param seconds: until the callback, 0 for as soon as what is here is taken in
    """

    __slots__ = ("_callback", "_due", "_handle", "_loop", "_seconds")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, callback: Callable[[], object]
    ) -> None:
        self._callback = callback
        self._loop = loop
        self._seconds = seconds
        # uvloop's own clock stands still for the length of a turn.
        self._due = time.monotonic() + seconds
        self._handle: asyncio.Handle | None = loop.call_later(seconds, self._fire)

    def cancel(self) -> None:
        """Do not call it any more; harmless if it was called."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        late = min(time.monotonic() - self._due, self._seconds)
        if late > _NOTICED:
            self._handle = self._loop.call_later(late, self._poll, _TURNS)
        else:
            self._poll(_TURNS)

    def _poll(self, turns: int) -> None:
        if turns:
            self._handle = self._loop.call_soon(self._poll, turns - 1)
        else:
            self._handle = None
            self._callback()


class TimeLimit:
    """``asyncio.timeout()`` whose time is kept by an :class:`Expiry`.

    :param seconds: None for no limit
    """

    __slots__ = ("_expiry", "_limit", "_seconds")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._expiry: Expiry | None = None
        self._limit = asyncio.timeout(None)

    @classmethod
    def until(cls, deadline: float) -> Self:
        """Return the limit that ends at a time of the running event loop's clock."""
        return cls(deadline - asyncio.get_running_loop().time())

    async def __aenter__(self) -> asyncio.Timeout:
        limit = await self._limit.__aenter__()
        if self._seconds is not None:
            self._expiry = Expiry(asyncio.get_running_loop(), self._seconds, self._expire)
        return limit

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        # It raises TimeoutError and suppresses nothing.
        await self._limit.__aexit__(kind, error, traceback)

    def _expire(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time())


def check_timeout(seconds: float | None) -> None:
    """Refuse what is no ``timeout=`` of a call.

    :param seconds: None for no limit
    :raises ValueError: it is not above 0
    """
    if seconds is not None and not seconds > 0:  # nor NaN
        raise ValueError(f"timeout is {seconds!r}; use seconds, more than 0, or None")


async def wait_for_task(task: asyncio.Task[None], deadline: float) -> None:
    """Wait until a task is done, until the deadline at most; it runs on.

    :param deadline: a time of the event loop's clock
    """
    with contextlib.suppress(TimeoutError):
        async with TimeLimit.until(deadline):
            await asyncio.wait([task])
