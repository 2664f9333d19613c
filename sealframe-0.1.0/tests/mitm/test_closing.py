"""The end of a connection that its client closes in order, with someone in the middle."""

from __future__ import annotations

import asyncio

import pytest
from aio.ends import PATIENCE

import sealframe
from sealframe import TruncatedError
from sealframe.wire import HEAD_SIZE

from .credentials import CONTEXT
from .holder import message
from .middle import Script, Tapped, Way, adding, carry
from .scene import QUESTIONS, Harm, Scene, answer


async def ask_and_close(attacked: Scene, script: Script) -> bool:
    """Let a client ask one question and close; return whether it calls that clean."""
    attacked.middle.script = script
    async with asyncio.timeout(PATIENCE):
        conn = await sealframe.connect(
            **attacked.middle.address,
            security=attacked.credentials.client,
            context=CONTEXT,
            options=attacked.client_options,
        )
        await conn.send(QUESTIONS[0])
        assert await conn.recv() == answer(QUESTIONS[0])
        clean = await conn.close()
        with pytest.raises(sealframe.ConnectionClosed):
            await conn.recv()
        return clean


@pytest.mark.parametrize("way", Way)
async def test_what_stands_behind_close_changes_nothing(attacked: Scene, way: Way) -> None:
    """What is authentic has come to its end; forged bytes behind it are not delivered."""
    close = attacked.credentials.handshakes(way) + 2
    for junk in (message(b"rm -rf /"), message(bytes(40)), b"\xff" * 9, b"\1"):
        first_error, first_call = attacked.begin()
        await ask_and_close(attacked, adding(way, close, behind=junk))
        await attacked.check_left_clean(first_error, first_call, QUESTIONS[:1])


async def test_a_close_that_does_not_arrive(attacked: Scene) -> None:
    """Cut off by FIN: the server cannot know that no more was sent; the client is told."""
    close = attacked.credentials.handshakes(Way.UP) + 2

    def script(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
        if (way, number) != (Way.UP, close):
            return frame
        tapped.write(way, frame[:HEAD_SIZE])
        tapped.finish(way)
        return b""

    first_error, first_call = attacked.begin()
    assert not await ask_and_close(attacked, script)
    harm = Harm(TruncatedError, TruncatedError, welcomed=True, questions=1)
    await attacked.check_left_alone(harm, first_error, first_call)


async def test_an_undisturbed_close_is_clean(attacked: Scene) -> None:
    """What the others are measured by."""
    first_error, first_call = attacked.begin()
    assert await ask_and_close(attacked, carry)
    await attacked.check_left_clean(first_error, first_call, QUESTIONS[:1])
