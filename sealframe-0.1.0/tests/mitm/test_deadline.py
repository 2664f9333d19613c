"""A handshake that never ends: the deadline is absolute, however the bytes come."""

from __future__ import annotations

import asyncio

import pytest

from sealframe import ClientOptions, HandshakeError, HandshakeTimeoutError

from .credentials import Credentials
from .middle import Tapped, Way
from .scene import Harm, scene

_TIMEOUT = 0.4
_PAUSE = 0.025
"""Seconds between two bytes: a whole message takes much longer than the timeout."""


class _Drip:
    """A script that lets the first frame through one byte at a time."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.task: asyncio.Task[None] | None = None
        self.done = 0
        self.size = 0

    def __call__(self, tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
        if (way, number) != (self._way, 0):
            return frame
        self.size = len(frame)
        self.task = asyncio.create_task(self._run(tapped, frame))
        return b""

    async def _run(self, tapped: Tapped, frame: bytes) -> None:
        for place in range(len(frame)):
            if tapped.over:
                return
            tapped.write(self._way, frame[place : place + 1])
            self.done += 1
            await asyncio.sleep(_PAUSE)


@pytest.mark.parametrize("slow", Way)
async def test_one_byte_at_a_time(credentials: Credentials, slow: Way, no_leaks: None) -> None:
    """Each byte comes in time after the one before it; the last one never comes."""
    drip = _Drip(slow)
    if slow is Way.UP:
        impatient = scene(credentials, handshake_timeout=_TIMEOUT)
        harm = Harm(HandshakeError, HandshakeTimeoutError)
    else:
        impatient = scene(credentials)
        harm = Harm(HandshakeTimeoutError, HandshakeError)
    async with impatient as attacked:
        if slow is Way.DOWN:
            attacked.client_options = ClientOptions(handshake_timeout=_TIMEOUT)
        await attacked.suffer(drip, harm)
        assert drip.task is not None
        await drip.task
    assert 1 < drip.done < drip.size
