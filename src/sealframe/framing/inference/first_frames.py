"""Whether the frames of a cutting begin where they seem to.

Behind bytes that are no frame, as where a capture begins in the midst of one, all is right from the
first true frame on; but where that is cannot be known. What comes before it may read as a length
that leads there, and zeros as empty frames. Nor is it known whether a frame begins with its length
or some bytes before: all frames may begin as many bytes later, if the data ends as many bytes
behind a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .hypotheses import DigitsField, DigitsUntil
from .walking import walk

if TYPE_CHECKING:
    from .hypotheses import Hypothesis
    from .results import Capture
    from .walking import Cutting

__all__ = ["begins_filled", "begins_surely"]

_FRAMES: Final = 50
_MOST_PREAMBLE: Final = 32
"""A longer preamble may hold frames of another kind: then the first frame is not sure, unless a
segment begins with it."""
_FIRST_BYTES: Final = 16
_PRINTABLE: Final = frozenset((*range(0x20, 0x7F), 9, 10, 13))


def begins_surely(capture: Capture, cutting: Cutting, hypothesis: Hypothesis) -> bool:
    """Whether the first frame is one, and no chance."""
    data = capture.data
    first = cutting.starts[0]
    if not begins_filled(data, cutting):
        return False
    if not first:
        return True
    known = first in capture.boundaries or _is_greeting(data[:first], hypothesis)
    return known and _begins_alike(capture, cutting, hypothesis)


def begins_filled(data: bytes, cutting: Cutting) -> bool:
    """Whether the first frame is not all zeros: these read as empty frames wherever they are."""
    return any(data[cutting.starts[0] : cutting.ends[0]])


def _is_greeting(data: bytes, hypothesis: Hypothesis) -> bool:
    """Whether the bytes in front are a line of text, which the frames behind it are not."""
    textual = isinstance(hypothesis.field, DigitsField | DigitsUntil)
    return not textual and data[-1:] == b"\n" and _PRINTABLE.issuperset(data)


def _begins_alike(capture: Capture, cutting: Cutting, hypothesis: Hypothesis) -> bool:
    """Whether the first frame behind a preamble is like the others.

    Where it lacks a byte that all others have, the preamble ends elsewhere: what stands there reads
    as a length, and leads to the second frame, by chance.
    """
    data = capture.data
    first, *others = cutting.starts[:_FRAMES]
    if first > _MOST_PREAMBLE and first not in capture.boundaries:
        return False
    before = walk(data[:first], hypothesis)
    if before and before.end == first:
        # It is cut into frames too.
        return False
    if cutting.sizes[0] < min(cutting.sizes[1:_FRAMES], default=0):
        # What ends a frame may itself have a length in front, and lead to the next frame.
        return False
    if not hypothesis.value(cutting.sizes[0]) and isinstance(
        hypothesis.field, DigitsField | DigitsUntil
    ):
        # An empty frame, or the end of a greeting.
        return False
    size_at = hypothesis.steps(data)
    if any(size_at(at) == first - at for at in range(max(0, first - _MOST_PREAMBLE), first)):
        # The end of the preamble may be a frame.
        return False
    least = min(_FIRST_BYTES, *cutting.sizes[:_FRAMES])
    for column in range(least):
        seen = {data[start + column] for start in others if start + column < len(data)}
        if len(others) > 2 and len(seen) == 1 and data[first + column] not in seen:
            return False
    return True
