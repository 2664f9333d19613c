"""Leads the compiled codec for layouts of all kinds through them, for a tool that watches memory.

Usage: python .ci/exercise_varied.py

Every piece that is fed is a heap object of exactly its size, so that a read past its end is
one. The run is the same each time.
"""

from __future__ import annotations

import random
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sealframe.errors import FramingError, SealframeError
from sealframe.framing import (
    Bcd,
    Ber,
    Checksum,
    Choice,
    Delimited,
    Digits,
    Escaped,
    FrameLayout,
    Framing,
    Magic,
    Sized,
    Uint,
    Varint,
    _varied,
)

if TYPE_CHECKING:
    from sealframe.framing._varied import ChoiceDecoder, Decoder, SizedDecoder

    AnyDecoder = Decoder | SizedDecoder | ChoiceDecoder


def _checksum(data: bytes | bytearray | memoryview) -> int:
    # Never 0, which CPython 3.11 makes of memory that it has not set in whole.
    return zlib.crc32(data) or 1


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
        checksums=(Checksum(3, _checksum, "head", "head"), Checksum(4, _checksum)),
    ),
    Framing(width=2, offset=2, magic=Magic(b"\xaa\x55", 4, b"\xff\xf0"), strip=0, unit=4),
)


LINES: Final = Sized(lambda head: len(head) + len(head.strip()), head=9, until=b"\r\n")
TABLE: Final = Sized(
    # Without int.from_bytes, which looks at memory that was not set where the number is 0.
    lambda head: 3 + 256 * head[1] + head[2] if len(head) > 2 else None,
    head=(1, 5),
)
PARTS: Final[dict[bytes, FrameLayout]] = {
    b"a": Framing(width=1, offset=1, strip=0),
    b"b": LINES,
    b"c": Delimited(b"\n"),
    b"d": TABLE,
}
TOLD: Final = (LINES, TABLE, Choice(PARTS.get, 1), Choice(lambda head: PARTS.get(head[:1]), 3))
FRAMES: Final = (
    *(b"ab\r\n??", b"\r\n", b"a\rb\r\n???", b"a\1!", b"a\0", b"bc\r\n??", b"c\n", b"cline\n"),
    *(b"d\0\0", b"d\0\2ab", b"d\x27\x10" + bytes(10_000), b"d\xff\xff" + bytes(65_535)),
)


def receive(decoder: AnyDecoder, piece: bytes, way: int) -> None:
    """Hand it a piece, in one of the three ways."""
    if way == 0:
        while piece:
            buffer = decoder.get_buffer()  # of a large message its own memory
            count = min(len(piece), len(buffer))
            buffer[:count] = piece[:count]
            decoder.buffer_updated(count)
            piece = piece[count:]
    elif way == 1:
        decoder.feed(bytearray(piece))
    else:
        place = 0
        while place < len(piece):
            place = decoder.advance(piece, place, [])


def one_told_stream(choice: random.Random) -> None:
    """One stream of frames that a function tells the size or the layout of."""
    stream = b"".join(choice.choice(FRAMES) for _ in range(choice.randrange(6)))
    in_pieces(_of(choice.choice(TOLD)), stream, choice)


def many_layouts() -> None:
    """A layout for each frame: those that were chosen before are forgotten time and again."""
    decoder = _of(Choice(lambda _: Framing(width=1, offset=2, strip=0), 2))
    for number in range(500):
        frame = (number // 2 % 200).to_bytes(2, "big") + b"\1!"
        if decoder.feed(frame + frame) != [frame, frame]:
            raise AssertionError(f"frame {number} is another one")


def _of(layout: FrameLayout) -> AnyDecoder:
    decoder = layout.decoder()
    assert isinstance(decoder, _varied.SizedDecoder | _varied.ChoiceDecoder)
    return decoder


def some_messages(choice: random.Random) -> None:
    """Messages of all sizes to one encoder, in each of its ways; many that do not fit."""
    framing = choice.choice(LAYOUTS)
    encoder = _varied.Encoder(framing.plan)
    sizes = (0, 1, 3, 40, 300, 70_000)
    several = [choice.randbytes(choice.choice(sizes)) for _ in range(choice.randrange(5))]
    for call in (encoder.encode_many, encoder.pack):
        with suppress(ValueError, SealframeError):
            call(several)
    for message in several:
        for given in (message, bytearray(message), message[:2] + b"\0" + message[2:]):
            with suppress(ValueError, SealframeError):
                encoder.encode(given)
        with suppress(SealframeError):
            encoder.head(len(message))
    for wrong in (1, memoryview(b"abcd")[::2]):
        with suppress(TypeError, BufferError, ValueError, SealframeError):
            encoder.pack([*several, wrong])  # type: ignore[list-item]


def one_stream(choice: random.Random) -> None:
    """One stream of one layout in pieces, often with rubbish behind it, or in it."""
    framing = choice.choice(LAYOUTS)
    stream = b""
    for _ in range(choice.randrange(6)):
        most = choice.choice([8, 40, 700, 40_000])
        message = choice.randbytes(framing.minimum + choice.randrange(most))
        # Where the payload has to bring its own header, random ones do not.
        with suppress(ValueError, SealframeError):
            stream += framing.encode(message)
    if choice.random() < 0.3:
        stream += choice.randbytes(choice.randrange(20))
    if stream and choice.random() < 0.3:
        place = choice.randrange(len(stream))
        stream = stream[:place] + choice.randbytes(1) + stream[place + 1 :]
    in_pieces(_varied.Decoder(framing.plan), stream, choice)


def in_pieces(decoder: AnyDecoder, stream: bytes, choice: random.Random) -> None:
    """Feed a decoder with a stream in one of the ways."""
    place = 0
    way = choice.randrange(3)
    try:
        while place < len(stream):
            size = choice.choice([1, 2, 3, 7, 50, 1000, 30_000])
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
        one_told_stream(choice)
        some_messages(choice)
    many_layouts()
    print("the codec went through layouts of all kinds")


if __name__ == "__main__":
    main()
