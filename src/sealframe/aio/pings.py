"""Matches PONGs to PINGs, and measures the latency (docs/PROTOCOL.md section 3).

The body of each PING is a number, one higher than that of the PING before it. Round trips are
measured with :func:`time.perf_counter`: the clock of an event loop may count whole milliseconds, as
uvloop's does.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

from ..errors import ConnectionClosed

_SIZE: Final = 8


class Pings:
    """The PINGs of one connection that wait for their PONG."""

    __slots__ = ("_asked", "_count", "_loop", "_waiting", "latency")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._count = 0
        # When the newest PING was made, None once it is answered.
        self._asked: float | None = None
        self.latency: float | None = None
        """Seconds of the last round trip, None before there was one."""
        # Made by the first wait(): keepalive's own PINGs are not waited for.
        self._waiting: dict[bytes, tuple[asyncio.Future[float], float]] | None = None

    def next_body(self) -> bytes:
        """Return the body for the next PING.

        It is never used again: the answer to a cancelled ping may still come.
        """
        self._count += 1
        self._asked = perf_counter()
        return self._count.to_bytes(_SIZE, "little")

    async def wait(self, body: bytes) -> float:
        """Wait for the PONG to a PING that was just written; return the seconds it took.

        :raises ConnectionClosed: there will be none
        """
        waiter: asyncio.Future[float] = self._loop.create_future()
        if self._waiting is None:
            self._waiting = {}
        self._waiting[body] = (waiter, perf_counter())
        try:
            return await waiter
        finally:
            del self._waiting[body]

    def answer(self, body: bytes) -> int:
        """Take a PONG: it answers its PING and all older ones.

        A peer may answer only the newest of several PINGs (section 3).

        :return: the number of the newest PING that it answers, 0 if none
        """
        number = number_of(body)
        if len(body) != _SIZE or number > self._count:
            return 0
        now = perf_counter()
        if number == self._count and self._asked is not None:
            self.latency, self._asked = now - self._asked, None
        waiting = self._waiting or {}
        if number != self._count and body in waiting:
            self.latency = now - waiting[body][1]
        for other, (waiter, started) in waiting.items():
            if number_of(other) <= number and not waiter.done():
                waiter.set_result(now - started)
        return number

    def begin_link(self) -> None:
        """Measure anew: what was not answered is asked again over another link of the session."""
        self.latency = None
        if self._waiting is not None:
            now = perf_counter()
            self._waiting = {body: (waiter, now) for body, (waiter, _) in self._waiting.items()}

    def fail(self, error: ConnectionClosed) -> None:
        """End every wait: the connection is over."""
        for waiter, _ in (self._waiting or {}).values():
            if not waiter.done():
                waiter.set_exception(error.fresh())


def number_of(body: bytes) -> int:
    """Return the number of a PING."""
    return int.from_bytes(body, "little")
