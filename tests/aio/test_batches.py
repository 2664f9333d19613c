"""How much is framed and sealed in one go: more of large messages, on a link that takes it fast."""

from __future__ import annotations

import asyncio

import pytest

import sealframe
from sealframe.aio.connection import protocol_of

KIB = 1024
SMALL = [bytes(4 * KIB)] * 64
LARGE = [bytes(64 * KIB)] * 4


@pytest.mark.parametrize(
    ("messages", "seconds", "size"),
    [
        (LARGE, 0, 256 * KIB),
        (LARGE, 0.01, 64 * KIB),
        (SMALL, 0, 64 * KIB),
        (SMALL, 0.01, 64 * KIB),
    ],
)
async def test_the_batch_follows_the_link(messages: list[bytes], seconds: float, size: int) -> None:
    async def handler(conn: sealframe.Connection) -> None:
        await conn.recv()

    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port) as conn,
    ):
        sender = protocol_of(conn).sender
        sender.queue.extend(messages)
        assert sender.batch_size == 64 * KIB
        sender.pause_writing()
        await asyncio.sleep(seconds)
        sender.resume_writing()
        assert sender.batch_size == size
