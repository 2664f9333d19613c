"""Waits for a message in an inbox as a connection does."""

from __future__ import annotations

import asyncio

from sealframe.aio.receive_queue import ReceiveQueue


async def wait(inbox: ReceiveQueue) -> None:
    """Wait until woken; the caller looks again at what there is."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    inbox.add_waiter(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        inbox.discard_waiter(waiter)
        raise
