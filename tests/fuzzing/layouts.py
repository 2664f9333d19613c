"""Fuzz target: layouts with lengths of all kinds, checksums and fixed bytes, and their streams.

The fuzzer chooses a layout, messages that are encoded, what is wrong with their bytes, what
follows them and where all of it is cut. Invariants:

1. No call raises anything but a :exc:`FramingError`, and after one nothing is decoded.
2. Both backends give the same after each call: messages, error, what is pending.
3. Neither the split nor exported buffers change the messages, the error, or what is pending.
4. A slow reading of the whole stream, by the definitions, finds the same messages and the same
   kind of fault.
5. Both encoders make the same frame of a message, or refuse it in the same words.
6. Where messages keep their header and nothing is padded, encoding what came out gives the bytes
   that went in.

Without the extension, 2 compares nothing and the others hold for the pure codec.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from framing.readings import Outcome, feed, observe, pour
from framing.slow_reading import read_slowly, xor

from sealframe.errors import (
    ConfigurationError,
    EncodeError,
    MessageFormatError,
    MessageTooLargeError,
    MessageTooSmallError,
    SealframeError,
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
    varied_encoder,
)

if TYPE_CHECKING:
    from types import ModuleType

    from .choices import Choices

_FUNCTIONS: Final = (sum, xor, zlib.crc32)
_UNTIL: Final = (b"", b":", b"\r\n", b" ")
_TRAILERS: Final = (b"", b"", b",", b"\r\n")


def codecs() -> list[ModuleType]:
    """Return the codecs there are, the pure one first."""
    names = ["sealframe.framing._varied_py"]
    if find_spec("sealframe.framing._varied") is not None:
        names.append("sealframe.framing._varied")
    return [import_module(name) for name in names]


def encoders() -> list[Any]:
    """Return the encoders there are, the pure one first."""
    found: list[Any] = [varied_encoder.Encoder]
    return found + [codec.Encoder for codec in codecs()[1:]]


def number(choices: Choices) -> Number:
    """Return a way to write a length; what its values cannot be is a ConfigurationError."""
    big = choices.number(2)
    match choices.number(7):
        case 0:
            mask = 0xFFFF >> choices.number(12) & -1 << choices.number(8)
            flags = choices.number(1 << 16) & ~mask
            return Uint(2, "big" if big else "little", mask, flags)
        case 1:
            return Digits(
                choices.number(6), base=16 if big else 10, until=_UNTIL[choices.number(4)]
            )
        case 2:
            return Digits(until=_UNTIL[choices.number(4)], base=16 if big else 10)
        case 3:
            return Bcd(1 + choices.number(3))
        case 4:
            return Varint(1 + choices.number(10))
        case 5:
            return Ber(1 + choices.number(8))
    wider = {choices.number(16): 1 + choices.number(8) for _ in range(2)}
    adds = {1: 1 + choices.number(4), 0x40: 3} if choices.number(2) else {}
    return Escaped(1, "big" if big else "little", mask=0x3C, wider=wider, adds=adds)


def layout(choices: Choices) -> Framing | None:
    """Return a layout; None where the values do not go together."""
    try:
        fields: dict[str, Any] = {
            "length": number(choices),
            "offset": choices.number(5),
            "includes_header": bool(choices.number(2)),
            "strip": (None, None, 0, 0, *range(12))[choices.number(16)],
            "adjustment": (0, 0, 0, -3, 4)[choices.number(5)],
            "minimum": (0, 0, 5)[choices.number(3)],
            "maximum": (None, 40, 300, 100_000)[choices.number(4)],
            "unit": (1, 1, 1, 4)[choices.number(4)],
            "align": (1, 1, 1, 8)[choices.number(4)],
            "trailer": _TRAILERS[choices.number(4)],
            "minimum_frame": (0, 0, 0, 14)[choices.number(4)],
            "maximum_frame": (None, None, None, 200)[choices.number(4)],
        }
        if choices.number(3) == 0:
            value = choices.take(1 + choices.number(3)) or b"\0"
            mask = choices.take(len(value)) if choices.number(2) else None
            fields["magic"] = Magic(value, choices.number(9), mask)
        fields["checksums"] = [checksum(choices) for _ in range((0, 0, 1, 2)[choices.number(4)])]
        return Framing(**fields)
    except ConfigurationError:
        return None


def checksum(choices: Choices) -> Checksum:
    """Return a checksum; what its values cannot be is a ConfigurationError."""
    return Checksum(
        1 + choices.number(4),
        _FUNCTIONS[choices.number(3)],
        ("head", "body", "frame")[choices.number(3)],
        ("head", "end")[choices.number(2)],
        ("little", "big")[choices.number(2)],
    )


def encoded(framing: Framing, choices: Choices) -> bytes:
    """Return the frame of a message, or nothing where it cannot be one."""
    payload = choices.piece()
    if framing.strip == 0 and choices.number(2):
        field = b"\0\0"
        if isinstance(framing.number, Digits):
            field = b"0" + (framing.number.until or b"000")
        payload = payload[: framing.offset] + field + payload[framing.offset :]
    outcomes = [attempt(encoder(framing.plan), payload) for encoder in encoders()]
    assert all(outcome == outcomes[0] for outcome in outcomes), "the encoders differ"
    frame = outcomes[0]
    return frame if isinstance(frame, bytes) else b""


def attempt(encoder: Any, payload: bytes) -> bytes | tuple[type[SealframeError], str]:
    """Return the frame of a message, or why there is none; nothing else may be raised."""
    try:
        frame: bytes = encoder.encode(payload)
    except (EncodeError, MessageFormatError, MessageTooLargeError, MessageTooSmallError) as error:
        return type(error), str(error)
    return frame


def check(choices: Choices) -> None:
    """Hold one layout and one stream to the invariants."""
    framing = layout(choices)
    if framing is None:
        return
    stream = bytearray().join(encoded(framing, choices) for _ in range(choices.number(5)))
    for _ in range((0, 0, 1, 2)[choices.number(4)]):
        place, bits = choices.number(1 << 16), choices.number(256)
        if stream:
            stream[place % len(stream)] ^= bits
    cuts = [choices.number(1 << 16) for _ in range(choices.number(8))]
    stream += choices.rest()
    hold(framing, bytes(stream), cuts)


def hold(framing: Framing, stream: bytes, cuts: list[int]) -> None:
    """Hold the codecs for a layout to the invariants."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[start:end] for start, end in pairwise(places)] or [b""]
    single = [stream[place : place + 1] for place in range(len(stream))] or [b""]
    plan: Any = framing.plan  # what these decoders have in place of a Layout
    outcomes = []
    readings = []
    for codec in codecs():
        fed = observe(codec, plan, pieces, feed)
        assert fed == observe(codec, plan, pieces, pour), "an exported buffer differs"
        readings.append(fed)
        outcomes.append(Outcome.of(observe(codec, plan, [stream], feed)))
        assert Outcome.of(fed) == outcomes[-1], "the split made a difference"
        assert Outcome.of(observe(codec, plan, single, feed)) == outcomes[-1]
    assert all(reading == readings[0] for reading in readings), "the codecs differ"
    messages, left, fault = read_slowly(framing, stream)
    assert outcomes[0].frames == messages
    assert (outcomes[0].fault and outcomes[0].fault[0]) == fault
    assert outcomes[0].pending == left
    if framing.strip == 0 and framing.align == 1:
        assert stream.startswith(framing.encode_many(messages))
