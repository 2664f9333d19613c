"""What all servers of the ``broadcast`` workload do alike: count answers, keep the pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .job import Job

HERE: Final = b"here"
"""What each client says first, and again when it has got what is not timed."""
ACKNOWLEDGED: Final = b"got them"
"""What the first client says after each window of messages."""
DONE: Final = b"done"
"""What each client says when it has got all messages."""
WINDOW: Final = 100
"""No client is ever more than two windows behind."""
BURST: Final = 50
"""Messages between two turns of the event loop, in batches."""


class Crowd:
    """The clients of one server, as far as they have been heard."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._heard = {HERE: 0, ACKNOWLEDGED: 0, DONE: 0}
        self._changed = asyncio.Event()

    def hear(self, message: bytes) -> None:
        """Take in what a client says."""
        self._heard[message] += 1
        self._changed.set()

    async def send_all(self, broadcast: Callable[[bytes], object]) -> None:
        """Wait for all clients, send them all messages, wait until all have them."""
        job = self._job
        await self._wait_for(HERE, job.connections)
        if job.warm_up:
            await self._send(broadcast, 0, job.warm_up)
            await self._wait_for(HERE, 2 * job.connections)
        job.meter.start()
        await self._send(broadcast, job.warm_up, job.warm_up + job.count)
        await self._wait_for(DONE, job.connections)
        job.meter.stop()

    async def _send(self, broadcast: Callable[[bytes], object], start: int, end: int) -> None:
        payloads, different = self._job.payloads, len(self._job.payloads)
        burst = BURST if self._job.batch else 1
        for number in range(start, end):
            broadcast(payloads[number % different])
            if (number + 1) % burst == 0:
                await asyncio.sleep(0)
            if (number + 1) % WINDOW == 0:
                # The window before this one: the clients need not run dry.
                await self._wait_for(ACKNOWLEDGED, number // WINDOW)

    async def _wait_for(self, message: bytes, times: int) -> None:
        while self._heard[message] < times:
            self._changed.clear()
            await self._changed.wait()
