"""Leads the compiled codec through every layout, for a tool that watches its memory.

Usage: python .ci/exercise_framing.py

Every piece that is fed is a heap object of exactly its size, so that a read past its end is
one. The run is the same each time.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sealframe.errors import FramingError, MessageTooLargeError, NotSupportedError
from sealframe.framing import PACKET, Framing, _codec
from sealframe.framing.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealframe.framing._codec import Decoder

LAYOUTS: Final = (
    *CATALOGUE,
    Framing(strip=0),
    Framing(width=3, offset=2, strip=9),
    Framing(width=1, adjustment=3),
    Framing(width=5, offset=1, strip=2),
    Framing(width=8, byteorder="big", includes_header=True, offset=1000),
    Framing(minimum=3, maximum=100),
)
CONTROL: Final = (
    b"\x04\x00\x00\x80\x44abc",
    b"\x1f\x00\x00\x80\x9f" + bytes(30),
    b"\x01\x00\x00\x80\x21",
)


def receive(decoder: Decoder, piece: bytes, *, exported: bool) -> None:
    """Hand it a piece, in one of the two ways."""
    if exported:
        buffer = decoder.get_buffer()
        buffer[: len(piece)] = piece
        decoder.buffer_updated(len(piece))
    else:
        decoder.feed(bytearray(piece))


def small_frames(choice: random.Random) -> None:
    """One stream of one layout in pieces, often with rubbish behind it."""
    framing = choice.choice(LAYOUTS)
    layout = framing.layout
    most = min(300, layout.maximum - layout.minimum)
    messages = [
        choice.randbytes(layout.minimum + choice.randrange(most + 1))
        for _ in range(choice.randrange(6))
    ]
    # Where the payload has to bring its own header, random ones do not.
    stream = b"\x05\x00\x00\x00hello" * 3
    with suppress(ValueError):
        stream = _codec.Encoder(layout).encode_many(messages)
    if framing.control:
        stream += b"".join(CONTROL)
    if choice.random() < 0.5:
        stream += choice.randbytes(choice.randrange(20))
    decoder = _codec.Decoder(layout)
    place = 0
    try:
        while place < len(stream):
            size = choice.choice([1, 2, 3, 7, 50, 1000])
            receive(decoder, stream[place : place + size], exported=choice.random() < 0.5)
            place += size
    except FramingError:
        with suppress(FramingError):
            decoder.feed(b"after the fault")
    # Some are dropped while a frame is under way, or a buffer is exported.
    if choice.random() < 0.2:
        with suppress(FramingError):
            decoder.get_buffer()


def large_messages() -> None:
    """Messages that are received in their own storage, with views of it that outlive it."""
    message = bytes(range(256)) * 1200
    stream = PACKET.encode(message)
    for keep in (False, True):
        decoder = _codec.Decoder(PACKET.layout)
        views: list[memoryview] = []
        found: list[object] = []
        place = 0
        while place < len(stream):
            buffer = decoder.get_buffer()
            size = min(len(buffer), len(stream) - place, 50_000)
            buffer[:size] = stream[place : place + size]
            place += size
            if keep:
                views.append(buffer[:10])
            found += decoder.buffer_updated(size)
        assert found == [message]
        del decoder
        for view in views:
            view[:] = bytes(10)
    unfinished = _codec.Decoder(PACKET.layout)
    unfinished.feed(stream[:200_000])
    unfinished.get_buffer()[:5] = b"cut o"


def refused(choice: random.Random) -> None:
    """What an encoder does not take."""
    encoder = _codec.Encoder(choice.choice(LAYOUTS).layout)
    calls: tuple[Callable[[], object], ...] = (
        lambda: encoder.encode("text"),  # type: ignore[arg-type]
        lambda: encoder.encode_many([b"one", 2]),  # type: ignore[list-item]
        lambda: encoder.encode(memoryview(bytes(20))[::2]),
        lambda: encoder.head(1 << 70),
        lambda: encoder.head(-1),
    )
    for call in calls:
        with suppress(TypeError, ValueError, BufferError, NotSupportedError, MessageTooLargeError):
            call()


def main() -> None:
    """Do everything, as often as a slow tool allows."""
    choice = random.Random(5)
    for _ in range(300):
        small_frames(choice)
    for _ in range(20):
        refused(choice)
    large_messages()
    print("the codec went through every layout")


if __name__ == "__main__":
    main()
