"""Messages with their numbers in them, and reading many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sealframe.outbox.store import OutboxStore

ALL = 1 << 30


def numbered(numbers: Iterable[int]) -> list[bytes]:
    return [b"message %d" % number for number in numbers]


async def read_all(store: OutboxStore, count: int) -> list[bytes]:
    messages: list[bytes] = []
    while len(messages) < count:
        messages += await store.read(ALL)
    return messages


async def until_idle(store: OutboxStore) -> None:
    """Wait until acknowledgements are in the file."""
    async with asyncio.timeout(30):
        while store.nbytes:  # noqa: ASYNC110 - there is nothing that tells of it
            await asyncio.sleep(0.01)
