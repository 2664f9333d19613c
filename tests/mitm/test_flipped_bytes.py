"""Every byte of the handshake and of the first records, changed on its way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core.peers import places

from sealframe import ProtocolError, TruncatedError
from sealframe.wire import HEAD_SIZE, LENGTH_MASK

from .credentials import Credentials
from .middle import Script, Tapped, Way
from .scene import Harm, Scene, harm_at


def flip(at_way: Way, at_number: int, place: int) -> Script:
    """Return a script that changes one byte of one frame."""

    def script(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
        if (way, number) != (at_way, at_number):
            return frame
        tapped.faults += 1
        data = bytearray(frame)
        data[place] ^= mask(place, frame)
        tapped.write(way, bytes(data))
        if declared(data) > declared(frame):
            # The receiver waits for more, and nothing more comes.
            tapped.finish(way)
        return b""

    return script


def mask(place: int, frame: bytes) -> int:
    """Return which bits of a byte to change: of a length, those that make it shorter."""
    return 1 << (frame[place].bit_length() - 1) if place == 0 and frame[0] else 0x01


def declared(frame: bytes | bytearray) -> int:
    """Return the length that a frame's head declares."""
    return int.from_bytes(frame[:HEAD_SIZE], "little") & LENGTH_MASK


def harm_of_flip(credentials: Credentials, way: Way, number: int, place: int) -> Harm:
    """Return what must come of one changed byte in a frame."""
    harm = harm_at(credentials, way, number)
    if place == 1:
        # A record that is 256 bytes longer is not over any limit: it never ends.
        if harm.server is ProtocolError:
            return replace(harm, server=TruncatedError)
        if harm.client is ProtocolError:
            return replace(harm, client=TruncatedError)
    return harm


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("way", Way)
async def test_each_byte_of_the_handshake_and_the_first_records(
    attacked_tcp: Scene, way: Way
) -> None:
    credentials = attacked_tcp.credentials
    sizes = [len(frame) for frame in (await attacked_tcp.conversation()).seen[way]]
    # The records of all patterns are alike.
    records = 2 if credentials.psk is not None else 1
    for number in range(credentials.handshakes(way) + records):
        for place in [*range(20), *(20 + it for it in places(sizes[number] - 20))]:
            await _suffer(attacked_tcp, way, number, place)


@pytest.mark.parametrize("way", Way)
async def test_some_bytes_of_each_frame(attacked: Scene, way: Way) -> None:
    """Of the head, and at both ends of what follows it."""
    sizes = [len(frame) for frame in (await attacked.conversation()).seen[way]]
    for number in range(attacked.credentials.handshakes(way) + 3):
        for place in (0, 3, HEAD_SIZE, HEAD_SIZE + 1, sizes[number] - 1):
            await _suffer(attacked, way, number, place)


async def _suffer(scene: Scene, way: Way, number: int, place: int) -> None:
    harm = harm_of_flip(scene.credentials, way, number, place)
    tapped, _ = await scene.suffer(flip(way, number, place), harm)
    assert tapped.faults == 1, (number, place)
