"""Fuzz target: the decoders, any layout, any stream, any split.

The fuzzer chooses a layout, the bytes of a stream and where it is cut. Invariants:

1. No call raises anything but a :exc:`FramingError`, and after one nothing is decoded.
2. Both codecs give the same after each call: frames, error, what is pending.
3. Neither the split nor exported buffers change the frames, the error, or what is pending.
4. A plain reading of the whole stream finds the same frames and the same fault.
5. Where the message is the frame without its head, encoding what came out gives the bytes
   that went in.

Without the extension, 2 compares nothing and the others hold for the pure codec.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from framing.readings import Outcome, feed, observe, pour, read_plainly

from sealframe.errors import ConfigurationError
from sealframe.framing import Framing
from sealframe.framing.catalogue import CATALOGUE

if TYPE_CHECKING:
    from types import ModuleType

    from .choices import Choices

_BIGGEST_READ: Final = 60_000
"""Bytes; an exported buffer always has room for so many."""


def codecs() -> list[ModuleType]:
    """Return the codecs there are, the pure one first."""
    names = ["sealframe.framing._codec_py"]
    if find_spec("sealframe.framing._codec") is not None:
        names.append("sealframe.framing._codec")
    return [import_module(name) for name in names]


def layout(choices: Choices) -> Framing | None:
    """Return one of the named layouts or any other; None where the values do not go together."""
    kind = choices.number(16)
    if kind < len(CATALOGUE):
        return CATALOGUE[kind]
    fields: dict[str, Any] = {"minimum": choices.number(6)}
    if choices.number(2):
        fields["maximum"] = choices.number(100_000)
    if kind == 6:
        fields["varint"] = True
    elif kind == 7:
        fields["control"] = True
    else:
        fields |= {
            "width": 1 + choices.number(8),
            "byteorder": ("little", "big")[choices.number(2)],
            "offset": choices.number(6),
            "adjustment": choices.number(25) - 12,
            "includes_header": bool(choices.number(2)),
            "strip": (None, *range(17))[choices.number(18)],
        }
    try:
        return Framing(**fields)
    except ConfigurationError:
        return None


def check(choices: Choices) -> None:
    """Hold one layout and one stream to the invariants."""
    framing = layout(choices)
    if framing is None:
        return
    cuts = [choices.number(1 << 16) for _ in range(choices.number(8))]
    # So many equal bytes lead to where a large message is received in its own storage.
    run = b"\xff" * (choices.number(1 << 17) if choices.number(4) == 3 else 0)
    after = choices.number(64)
    stream = choices.rest()
    stream = stream[:after] + run + stream[after:]

    whole = _pieces(stream, [])
    pieces = _pieces(stream, cuts)
    outcomes = []
    readings = []
    for codec in codecs():
        fed = observe(codec, framing.layout, pieces, feed)
        assert fed == observe(codec, framing.layout, pieces, pour), "an exported buffer differs"
        readings.append(fed)
        outcomes.append(Outcome.of(observe(codec, framing.layout, whole, feed)))
        assert Outcome.of(fed) == outcomes[-1], "the split made a difference"
    assert all(reading == readings[0] for reading in readings), "the codecs differ"
    if run:
        # The plain reading copies what is left for each frame.
        return
    frames, left, fault = read_plainly(framing.layout, stream)
    assert outcomes[0].frames == frames
    assert (outcomes[0].fault is not None) == fault
    assert outcomes[0].pending == (0 if fault else len(left))
    used = stream[: len(stream) - len(left)]
    if _is_plain(framing) and not any(isinstance(frame, tuple) for frame in frames):
        for codec in codecs():
            assert codec.Encoder(framing.layout).encode_many(frames) == used


def _pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Return the stream cut there, and wherever a piece would be too big for one read."""
    regular = range(0, len(stream), _BIGGEST_READ)
    places = sorted({0, len(stream), *regular, *(min(cut, len(stream)) for cut in cuts)})
    return [stream[start:end] for start, end in pairwise(places)] or [b""]


def _is_plain(framing: Framing) -> bool:
    """Return whether a frame is its length and then the message, in one possible way only."""
    return not framing.varint and framing.offset == 0 and framing.strip in (None, framing.width)
