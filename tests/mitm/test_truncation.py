"""The stream cut at every byte of the handshake and of the first records; FIN and RST."""

from __future__ import annotations

import pytest
from core.peers import places

from sealframe import TruncatedError

from .credentials import Credentials
from .middle import Script, Tapped, Way
from .scene import BEFORE_WELCOME, Harm, Scene, harm_at


def cut(at_way: Way, at: int, inside: int) -> Script:
    """Return a script that sends FIN inside a frame, that many bytes after its start."""

    def script(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
        if (way, number) != (at_way, at):
            return frame
        tapped.write(way, frame[:inside])
        tapped.finish(way)
        return b""

    return script


def harm_of_cut(credentials: Credentials, way: Way, whole: int) -> Harm:
    """Return what must come of it that only so many whole frames arrive."""
    return harm_at(credentials, way, whole, TruncatedError)


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("way", Way)
async def test_fin_at_every_byte(attacked_tcp: Scene, way: Way) -> None:
    credentials = attacked_tcp.credentials
    sizes = [len(frame) for frame in (await attacked_tcp.conversation()).seen[way]]
    # The records of all patterns are alike.
    records = 2 if credentials.psk is not None else 0
    for number in range(credentials.handshakes(way) + records):
        harm = harm_of_cut(credentials, way, number)
        for inside in [*range(20), *(20 + it for it in places(sizes[number] - 20))]:
            await attacked_tcp.suffer(cut(way, number, inside), harm)


@pytest.mark.parametrize("way", Way)
async def test_fin_before_and_inside_each_frame(attacked: Scene, way: Way) -> None:
    credentials = attacked.credentials
    for number in range(credentials.handshakes(way) + 3):
        harm = harm_of_cut(credentials, way, number)
        for inside in (0, 1, 4, 5, -1):
            await attacked.suffer(cut(way, number, inside), harm)


@pytest.mark.parametrize("number", [0, 3])
async def test_fin_both_ways_without_close(attacked: Scene, number: int) -> None:
    def script(tapped: Tapped, way: Way, at: int, frame: bytes) -> bytes:
        if (way, at) == (Way.DOWN, number):
            tapped.finish(Way.UP)
            tapped.finish(Way.DOWN)
        return frame

    await attacked.suffer(script, _harm_of_loss(number))


@pytest.mark.parametrize("number", [0, 3])
async def test_reset_without_close(attacked: Scene, number: int) -> None:
    """What came before a reset may be lost with it."""

    def script(tapped: Tapped, way: Way, at: int, frame: bytes) -> bytes:
        if (way, at) == (Way.DOWN, number):
            tapped.reset()
        return frame

    await attacked.suffer(script, _harm_of_loss(number))


def _harm_of_loss(number: int) -> Harm:
    if number == 0:
        return BEFORE_WELCOME
    return Harm(TruncatedError, TruncatedError, welcomed=True, questions=None)
