"""Small messages and their echoes while large ones go the same way without end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from .job import Job
from .payloads import make_payloads

SMALL: Final = 128
"""Bytes of the messages that are timed; the job's size is that of the others."""


class Beside:
    """The client of a ``beside`` job, whatever its connection is."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def run(
        self,
        send: Callable[[bytes], Awaitable[None]],
        receive: Callable[[], Awaitable[bytes]],
    ) -> None:
        """Send large messages in a task of their own, until all echoes have been timed."""
        job, latencies = self._job, list[float]()
        payloads, small = job.payloads, make_payloads(SMALL)
        bulk, ended = 0, False

        async def send_bulk() -> None:
            nonlocal bulk
            while not ended:
                await send(payloads[bulk % len(payloads)])
                bulk += 1
                # A send that need not wait takes no turn of the event loop.
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(send_bulk())
            for number in range(job.warm_up + job.count):
                if number == job.warm_up:
                    job.meter.start()
                    before = bulk
                message, began = small[number % len(small)], time.perf_counter()
                await send(message)
                if await receive() != message:
                    raise RuntimeError("the echo is another message")
                latencies.append(time.perf_counter() - began)
            job.meter.stop()
            ended = True
        timed = sorted(latencies[job.warm_up :])
        job.extra["p50"] = timed[len(timed) // 2] * 1e6
        job.extra["p99"] = timed[len(timed) * 99 // 100] * 1e6
        job.extra["bulk"] = (bulk - before) * job.size / job.meter.wall
