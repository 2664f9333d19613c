"""Many of one thing, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def in_turns(call: Callable[[int], Awaitable[None]], count: int, at_a_time: int) -> None:
    """Await ``call(number)`` for each of ``count`` numbers, ``at_a_time`` of them at once."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_a_time):
            group.create_task(worker())
