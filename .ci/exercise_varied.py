"""Leads the compiled decoder for layouts of all kinds through them, for a tool that watches memory.

Usage: python .ci/exercise_varied.py

Every piece that is fed is a heap object of exactly its size, so that a read past its end is
one. The run is the same each time.
"""

from __future__ import annotations

import random
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sealframe.errors import FramingError
from sealframe.framing import (
    Bcd,
    Ber,
    Checksum,
    Digits,
    Escaped,
    Framing,
    Magic,
    Uint,
    Varint,
    _varied,
)

if TYPE_CHECKING:
    from sealframe.framing._varied import Decoder

LAYOUTS: Final = (
    Framing(width=2, trailer=b"!"),
    Framing(length=Digits(until=b":"), trailer=b","),
    Framing(length=Digits(4, base=16), includes_header=True),
    Framing(length=Bcd(2), align=4),
    Framing(offset=1, length=Varint(4), strip=0),
    Framing(offset=1, length=Ber(4), magic=b"0", strip=0),
    Framing(
        offset=1,
        length=Escaped(1, "big", mask=0x7F, wider={126: 2, 127: 8}, adds={0x80: 4}),
        strip=0,
    ),
    Framing(
        length=Uint(3, mask=0x1FFFF, flags=0x20000),
        checksums=(Checksum(3, zlib.crc32, "head", "head"), Checksum(4, zlib.crc32)),
    ),
    Framing(width=2, offset=2, magic=Magic(b"\xaa\x55", 4, b"\xff\xf0"), strip=0, unit=4),
)


def receive(decoder: Decoder, piece: bytes, way: int) -> None:
    """Hand it a piece, in one of the three ways."""
    if way == 0:
        buffer = decoder.get_buffer()
        buffer[: len(piece)] = piece
        decoder.buffer_updated(len(piece))
    elif way == 1:
        decoder.feed(bytearray(piece))
    else:
        place = 0
        while place < len(piece):
            place = decoder.advance(piece, place, [])


def one_stream(choice: random.Random) -> None:
    """One stream of one layout in pieces, often with rubbish behind it, or in it."""
    framing = choice.choice(LAYOUTS)
    stream = b""
    for _ in range(choice.randrange(6)):
        most = choice.choice([8, 40, 700])
        message = choice.randbytes(framing.minimum + choice.randrange(most))
        # Where the payload has to bring its own header, random ones do not.
        with suppress(ValueError):
            stream += framing.encode(message)
    if choice.random() < 0.3:
        stream += choice.randbytes(choice.randrange(20))
    if stream and choice.random() < 0.3:
        place = choice.randrange(len(stream))
        stream = stream[:place] + choice.randbytes(1) + stream[place + 1 :]
    decoder = _varied.Decoder(framing.plan)
    place = 0
    way = choice.randrange(3)
    try:
        while place < len(stream):
            size = choice.choice([1, 2, 3, 7, 50, 1000])
            receive(decoder, stream[place : place + size], way)
            place += size
    except FramingError:
        with suppress(FramingError):
            decoder.feed(b"after the fault")
    # Some are dropped while a buffer is exported.
    if choice.random() < 0.2:
        with suppress(FramingError):
            decoder.get_buffer()


def main() -> None:
    """Do everything, as often as a slow tool allows."""
    choice = random.Random(7)
    for _ in range(400):
        one_stream(choice)
    print("the decoder went through layouts of all kinds")


if __name__ == "__main__":
    main()
