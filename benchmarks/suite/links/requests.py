"""Small requests beside what is large, over a link that is slow enough to make them wait.

They go out at a fixed rate, whether the ones before are answered or not, and each is timed from
the moment at which it was due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ..job import Job

SMALL: Final = 100
"""Bytes of a request."""
EVERY: Final = 0.1
"""Seconds between two."""


async def time_requests(
    job: Job,
    ask: Callable[[], Awaitable[None]],
    send_bulk: Callable[[], Awaitable[None]] | None,
) -> None:
    """Ask ``warm_up`` and ``count`` times, and keep the percentiles, in milliseconds.

    :param send_bulk: sends what is large, without end
    """
    latencies: list[float] = []

    async def timed(due: float) -> None:
        await ask()
        latencies.append((time.perf_counter() - due) * 1e3)

    async with asyncio.TaskGroup() as group:
        bulk = None if send_bulk is None else group.create_task(_endless(send_bulk))
        start, asked = time.perf_counter(), list[asyncio.Task[None]]()
        for number in range(job.warm_up + job.count):
            due = start + number * EVERY
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.append(group.create_task(timed(due)))
        await asyncio.gather(*asked)
        if bulk is not None:
            bulk.cancel()
    # Nearly in order, which is enough to leave out the warm-up.
    found = sorted(latencies[job.warm_up :])
    job.extra["p50"] = found[len(found) // 2]
    job.extra["p99"] = found[len(found) * 99 // 100]


async def _endless(send_bulk: Callable[[], Awaitable[None]]) -> None:
    await send_bulk()
    raise RuntimeError("what is large was sent before all requests were answered")
