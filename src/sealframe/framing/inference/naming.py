"""Finds the catalogue's layouts that cut a capture into frames typical of their protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2
from typing import TYPE_CHECKING, Final

from ...errors import ConfigurationError, FramingError
from ..layout import Framing
from ..stepping import stepper
from .given import hypothesis_of, run
from .hypotheses import EscapedField
from .results import Capture
from .signatures import SIGNATURES
from .walking import Cutting, walk
from .window import WINDOW, few_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..base import Sender
    from ..codec_types import Control
    from ..layouts.entry import Entry
    from .signatures import Signature

__all__ = ["Known", "known"]

_LOOKED_AT: Final = 200
_HEAD: Final = 32
_EITHER: Final[tuple[Sender, Sender]] = ("client", "server")
_OPENING: Final = 40.0
"""Bits that a beginning of 5 bytes or more is worth."""
_TYPICAL: Final = 24.0
_STRONG: Final = 12.0


@dataclass(frozen=True)
class Known:
    """An entry of the catalogue that fits.

    :ivar sender: whose bytes these are, where the two ends begin differently
    :ivar told: only as that end's bytes it cuts them, though nobody said whose they are
    :ivar exact: the last frame ends where the capture does
    :ivar strong: what is typical of it is no matter of a few bits, of which many frames have the
        same
    """

    entry: Entry
    cutting: Cutting
    bits: float
    exact: bool
    sender: Sender | None
    strong: bool = False
    told: bool = False


def known(captures: Sequence[Capture]) -> list[Known | None]:
    """Return for each capture how one entry cuts it, the likeliest for all of them together.

    None where it does not, or where the frames are typical of no protocol.
    """
    found = [list(_all(capture)) for capture in captures]
    bits: dict[str, float] = {}
    for matches in found:
        best: dict[str, float] = {}
        for match in matches:
            name = match.entry.name
            best[name] = max(best.get(name, 0.0), match.bits)
        for name, more in best.items():
            bits[name] = bits.get(name, 0.0) + more
    if not bits:
        return [None for _ in captures]
    name = max(bits, key=lambda one: bits[one])
    matching = [[match for match in matches if match.entry.name == name] for matches in found]
    entry = next(match.entry for matches in matching for match in matches)
    return [
        _best(capture, matches) if matches else _spoken(capture, entry)
        for capture, matches in zip(captures, matching, strict=True)
    ]


def _best(capture: Capture, matches: Sequence[Known]) -> Known:
    """Return the likeliest, and whether that tells which end sent the bytes."""
    best = max(matches, key=lambda match: match.bits)
    one_end = all(match.sender == best.sender for match in matches)
    return replace(best, told=one_end and best.sender is not None and capture.sender is None)


def _spoken(capture: Capture, entry: Entry) -> Known | None:
    """Return how an entry cuts a capture to its end, whatever its frames look like.

    The answers of a protocol may look like nothing, where its requests are typical.
    """
    data = bytes(capture.data[:WINDOW])
    for cutting, sender in _cuttings(capture, data, entry):
        if cutting.end == len(data) or len(capture.data) > WINDOW or not capture.complete:
            return Known(entry, cutting, 0.0, _exact(capture, cutting), sender)
    return None


def _all(capture: Capture) -> Iterator[Known]:
    # The catalogue is not needed before somebody asks for a name.
    from ..layouts import ENTRIES

    entries = {entry.name: entry for entry in ENTRIES}
    data = bytes(capture.data[:WINDOW])
    if len(set(data)) < 2 or few_kinds(data):
        # Zeros are typical of much.
        return
    for signature in SIGNATURES:
        if signature.name in entries:
            yield from _matches(capture, data, signature, entries[signature.name])


def _matches(capture: Capture, data: bytes, signature: Signature, entry: Entry) -> Iterator[Known]:
    opening = signature.opening.match(data) if signature.opening else None
    if signature.opening is None:
        if not signature.pattern.match(data):
            return
    elif opening is None:
        return
    opened = opening.end() if opening else 0

    def typical(start: int) -> bool:
        head = data[start : start + _HEAD]
        return start < opened or len(head) < _HEAD or bool(signature.pattern.match(head))

    for cutting, sender in _cuttings(capture, data, entry, typical):
        exact = _exact(capture, cutting)
        bits = _bits(data, signature, cutting, opened, exact=exact)
        if bits:
            strong = signature.bits >= _STRONG or opened > 0
            yield Known(entry, cutting, bits, exact, sender, strong)


def _bits(
    data: bytes, signature: Signature, cutting: Cutting, opened: int, *, exact: bool
) -> float:
    """Return how seldom other bytes look like this, in bits; 0 where these do not."""
    size = len(data)
    starts = cutting.starts[:_LOOKED_AT]
    # A first frame that the opening is a part of has a layout of its own. The head of a frame that
    # is cut off may be too short to tell.
    told = [start for start in starts if start >= opened and (start + _HEAD <= size or exact)]
    heads = [data[start : start + _HEAD] for start in told]
    if not heads or not all(signature.pattern.match(head) for head in heads):
        return 0.0
    if signature.typical and not any(signature.typical.match(head) for head in heads):
        return 0.0
    if signature.check:
        ends = zip(starts, cutting.ends, strict=False)
        whole = (data[start:end] for start, end in ends if start >= opened and end <= size)
        if not all(signature.check(frame) for frame in whole):
            return 0.0
    different = len({head[:16] for head in heads})
    bits = signature.bits * min(different, 30) + (_TYPICAL if signature.typical else 0)
    bits += min(_OPENING, 8.0 * opened)
    return bits + (log2(max(2, size / len(starts))) + 3 if exact else 0)


def _exact(capture: Capture, cutting: Cutting) -> bool:
    return cutting.ended and cutting.end == len(capture.data)


def _anything(start: int) -> bool:
    """Whether a frame may look as it does: any may."""
    return True


def _cuttings(
    capture: Capture, data: bytes, entry: Entry, typical: Callable[[int], bool] = _anything
) -> Iterator[tuple[Cutting, Sender | None]]:
    """Yield how the entry cuts the data, as sent by either end where that is not known.

    :param typical: whether a frame that starts there may be one of the protocol
    """
    layout = entry.layout
    hypothesis = None if isinstance(layout, Framing) and layout.checksums else hypothesis_of(layout)
    if hypothesis is not None and not isinstance(hypothesis.field, EscapedField):
        cutting = walk(data, hypothesis)
        # The layout has limits too, which the walk does not know.
        if (
            cutting
            and (cutting.end == len(data) or len(cutting.starts) > 2)
            and run(Capture(data, complete=False, sender=capture.sender), layout).error is None
        ):
            yield cutting, capture.sender
        return
    for sender in (capture.sender,) if capture.sender else _EITHER:
        cutting = _stepped(data, entry, sender, typical)
        if cutting:
            yield cutting, sender


def _stepped(
    data: bytes, entry: Entry, sender: Sender, typical: Callable[[int], bool]
) -> Cutting | None:
    """Cut frame by frame with the layout's own decoder."""
    place = len(entry.layout.preamble(sender))
    starts: list[int] = []
    frames: list[bytes | Control] = []
    try:
        cutter = stepper(entry.layout, 1, sender=sender)
        stop = 0
        while stop < len(data):
            stop = cutter.advance(data, stop, frames)
            if frames:
                if len(starts) < _LOOKED_AT and not typical(place):
                    return None
                starts.append(place)
                place = stop
                frames.clear()
    except (FramingError, ConfigurationError, ValueError, IndexError):
        # A function of the layout may fail in its own way where the bytes are others.
        return None
    if place < len(data):
        if len(starts) < 3:
            return None
        return Cutting((*starts, place), len(data) + 1)
    return Cutting(tuple(starts), place) if starts else None
