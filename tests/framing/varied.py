"""Layouts of all kinds at random, and streams of what they can carry."""

from __future__ import annotations

import zlib
from typing import Any, Literal

from hypothesis import assume
from hypothesis import strategies as st

from sealframe.errors import (
    ConfigurationError,
    EncodeError,
    MessageTooLargeError,
    MessageTooSmallError,
)
from sealframe.framing import (
    Bcd,
    Ber,
    Checksum,
    Digits,
    Escaped,
    Framing,
    Magic,
    Number,
    Uint,
    Varint,
)

from .slow_reading import read_frame, xor


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    byteorder: Literal["little", "big"] = draw(st.sampled_from(["little", "big"]))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        width = draw(st.integers(1, 4))
        bits = draw(st.integers(3, 8 * width))
        mask = ((1 << bits) - 1) << draw(st.integers(0, 8 * width - bits))
        flags = draw(st.integers(0, (1 << 8 * width) - 1)) & ~mask
        return Uint(width, byteorder, mask, flags)
    if kind == 1:
        return Digits(draw(st.integers(1, 5)), base=draw(st.sampled_from([10, 16])))
    if kind == 2:
        until = draw(st.sampled_from([b":", b"\r\n", b" ", b"--"]))
        most = draw(st.none() | st.integers(1, 4))
        return Digits(most, until=until, base=draw(st.sampled_from([10, 16])))
    if kind == 3:
        return Bcd(draw(st.integers(1, 3)))
    if kind == 4:
        return Varint(draw(st.sampled_from([1, 2, 4, 10])))
    if kind == 5:
        return Ber(draw(st.integers(1, 8)))
    return draw(
        st.sampled_from(
            [
                Escaped(1, "big", mask=0x7F, wider={126: 2, 127: 8}, adds={0x80: 4}),
                Escaped(2, byteorder, wider={0: 4}),
                Escaped(1, byteorder, mask=0x3C, wider={15: 1, 14: 2}, adds={1: 1, 0x40: 3}),
            ]
        )
    )


@st.composite
def varied_framings(draw: st.DrawFn) -> Framing:
    """Any but what a :class:`Layout` can say."""
    fields: dict[str, Any] = {
        "length": draw(numbers()),
        "offset": draw(st.integers(0, 4)),
        "includes_header": draw(st.booleans()),
        "strip": draw(st.sampled_from([None, None, 0, 0, 3, 9])),
        "adjustment": draw(st.sampled_from([0, 0, 0, -3, 4])),
        "minimum": draw(st.sampled_from([0, 0, 5])),
        "maximum": draw(st.sampled_from([None, None, 40, 300])),
        "unit": draw(st.sampled_from([1, 1, 1, 4])),
        "align": draw(st.sampled_from([1, 1, 1, 4])),
        "trailer": draw(st.sampled_from([b"", b"", b",", b"\r\n"])),
        "minimum_frame": draw(st.sampled_from([0, 0, 0, 14])),
        "maximum_frame": draw(st.sampled_from([None, None, None, 200])),
    }
    if draw(st.integers(0, 2)) == 0:
        value = draw(st.binary(min_size=1, max_size=3))
        fields["magic"] = Magic(
            value,
            draw(st.integers(0, 8)),
            draw(st.none() | st.binary(min_size=len(value), max_size=len(value))),
        )
    checksums = st.builds(
        Checksum,
        st.integers(1, 4),
        st.sampled_from([sum, xor, zlib.crc32]),
        st.sampled_from(["head", "body", "frame"]),
        st.just("end"),
        st.sampled_from(["little", "big"]),
    ) | st.builds(
        Checksum,
        st.integers(1, 4),
        st.sampled_from([sum, xor, zlib.crc32]),
        st.sampled_from(["head", "body"]),
        st.just("head"),
        st.sampled_from(["little", "big"]),
    )
    if draw(st.integers(0, 2)) == 0:
        fields["checksums"] = tuple(draw(st.lists(checksums, max_size=2)))
    try:
        return Framing(**fields)
    except ConfigurationError:
        assume(False)
        raise


def any_length(number: Number) -> bytes:
    """A length that is replaced where it is not right."""
    if isinstance(number, Digits):
        return b"0" + number.until if number.until else b"0" * (number.width or 0)
    return bytes(number.widths[0])


def with_magic(framing: Framing, payload: bytes) -> bytes:
    """Put the magic into a payload that brings it: another one is refused."""
    strip, magic = framing.plan.strip, framing.plan.magic
    frame = bytearray(max(strip, 0)) + payload
    for at, (byte, mask) in enumerate(
        zip(magic, framing.plan.magic_mask, strict=True), framing.plan.magic_at
    ):
        if strip <= at < len(frame):
            frame[at] = byte & mask | frame[at] & ~mask
    return bytes(frame[max(strip, 0) :])


@st.composite
def carried(draw: st.DrawFn, framing: Framing) -> bytes:
    """A message as it comes out of a frame again."""
    size = draw(st.integers(framing.minimum, min(framing.maximum, framing.minimum + 200)))
    payload = draw(st.binary(min_size=size, max_size=size))
    if framing.strip is not None:
        field = any_length(framing.number)
        start = max(framing.offset - framing.strip, 0)
        cut = field[max(framing.strip - framing.offset, 0) :]
        payload = payload[:start] + cut + payload[start + len(cut) :]
        payload = with_magic(framing, payload)
    try:
        frame = framing.encode(payload)
    except (EncodeError, MessageTooLargeError, MessageTooSmallError):
        assume(False)
    return read_frame(framing, frame)[0]


@st.composite
def varied_streams(draw: st.DrawFn, framing: Framing) -> bytes:
    """Frames, then perhaps rubbish, or one byte that is not what it was."""
    messages = draw(st.lists(carried(framing), max_size=4))
    stream = bytearray(framing.encode_many(messages))
    fault = draw(st.integers(0, 3))
    if fault == 0:
        stream += draw(st.binary(max_size=12))
    elif fault == 1 and stream:
        place = draw(st.integers(0, len(stream) - 1))
        stream[place] ^= draw(st.integers(1, 255))
    elif fault == 2 and stream:
        del stream[draw(st.integers(0, len(stream) - 1)) :]
    return bytes(stream)
