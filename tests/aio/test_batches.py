"""How much is framed and sealed in one go: more of what is large, on a link that takes it fast."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest

import sealframe
from sealframe.aio.connection import protocol_of
from sealframe.aio.sender import Sender
from sealframe.wire.control import Hello

from .ends import Mode
from .scripted import Role, facing

KIB = 1024
SMALL = [bytes(4 * KIB)] * 64
LARGE = [bytes(64 * KIB)] * 4


def pause(sender: Sender, seconds: float) -> None:
    """Let the transport take nothing for so long, by the clock of the event loop."""
    loop = sender.protocol.loop
    now = loop.time()
    with mock.patch.object(loop, "time", return_value=now):
        sender.pause_writing()
    with mock.patch.object(loop, "time", return_value=now + seconds):
        sender.resume_writing()


@pytest.mark.parametrize(
    ("messages", "seconds", "size"),
    [
        (LARGE, 0, 256 * KIB),
        (LARGE, 0.01, 60 * KIB),
        (SMALL, 0, 60 * KIB),
        (SMALL, 0.01, 60 * KIB),
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
        assert sender.batch_size == 60 * KIB
        pause(sender, seconds)
        assert sender.batch_size == size


@pytest.mark.parametrize(("seconds", "turn", "frame"), [(0, 120, 60), (0.01, 16, 16)])
async def test_the_turn_of_streams_follows_the_link(seconds: float, turn: int, frame: int) -> None:
    """A request waits for what of a file was framed before it."""
    first: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def on_stream(stream: sealframe.Stream) -> None:
        first.set_result(len(await stream.read_chunk()))

    async with (
        sealframe.serve(None, "127.0.0.1", 0, on_stream=on_stream) as server,
        sealframe.connect("127.0.0.1", server.port, extended=True) as conn,
    ):
        sender = protocol_of(conn).sender
        assert sender.stream_turn == 16 * KIB
        pause(sender, seconds)
        assert sender.stream_turn == turn * KIB
        stream = await conn.open_stream()
        await stream.write(bytes(200 * KIB))
        # One frame: it was not read in parts, nor with another.
        assert await first == frame * KIB


@pytest.mark.parametrize("role", ["client", "server"])
async def test_nothing_is_written_behind_a_write_that_has_failed(
    role: Role, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as unsent. (asyncio would warn that "socket.send() raised exception".)"""
    count = 40
    async with facing(role, mode, hello=Hello(window=2**24)) as (conn, peer):
        peer.raw.reset()
        for _ in range(count):
            conn.send_nowait(bytes(20_000))
        await conn.wait_closed()
        assert not [record for record in caplog.records if record.name == "asyncio"]
        assert not await conn.close()
        assert conn.stats.messages_sent + conn.stats.unsent == count
