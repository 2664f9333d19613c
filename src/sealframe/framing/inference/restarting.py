"""Where the frames of a fit begin, if not where the search took them to begin.

Bytes in front that are no frame can read as a length, and lead to a frame by chance: from there on
all is right. What stands in front then lacks what frames have in common.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from .enumerating import ends_greeting
from .walking import walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .hypotheses import Hypothesis
    from .scoring import Fit
    from .window import Window

__all__ = ["Restart", "begins_alike", "has_mark", "restarts"]

_FRAMES: Final = 500
_FEWEST: Final = 5
"""So many frames show what they have in common."""
_HEAD: Final = 16
"""So many bytes of a frame may be in common."""
_MARK: Final = 2
"""So many bytes before a length, of those that are not zero, mark a frame."""
_BACK: Final = 4096
"""So far before a frame the one before it is looked for."""
_GREETING: Final = 24
"""Behind so many bytes frames are tried that have nothing in common."""

_Common = list[tuple[int, bytes]]


class Restart(NamedTuple):
    """Another beginning.

    :ivar longer: it has the frames of the fit, and others before them
    """

    hypothesis: Hypothesis
    start: int
    longer: bool


def begins_alike(data: bytes, fit: Fit) -> bool:
    """Whether the first frame has what the others have in common, and that is something."""
    common = _common(data, fit)
    if not common:
        return fit.hypothesis.field.width > 1
    return _alike(data, fit.start, common) or _is_marked(data, fit, common)


def has_mark(data: bytes, fit: Fit) -> bool:
    """Whether the data begins with a byte that nearly all frames begin with, other than zero."""
    first = next((byte for column, byte in _common(data, fit) if column == 0), b"")
    return bool(first.strip(b"\0")) and fit.hypothesis.offset > 0 and data.startswith(first)


def restarts(window: Window, fit: Fit) -> Iterator[Restart]:
    """Yield other beginnings with the same fields, or nearly."""
    data = window.data
    hypothesis, cutting = fit.hypothesis, fit.cutting
    common = _common(data, fit)
    starts = cutting.starts
    wide = hypothesis.field.width > 2
    if _is_marked(data, fit, common):
        return
    if common and not _alike(data, starts[0], common) and not (wide and fit.start):
        first = next((start for start in starts if _alike(data, start, common)), None)
        earliest = None if first is None else _earliest(data, hypothesis, first, common)
        # Two frames that lead there are frames of another kind, and no chance.
        if earliest is not None and earliest not in starts[2:]:
            yield Restart(hypothesis, earliest, longer=False)
    elif fit.start and (common or hypothesis.field.width > 1):
        # A wide field leads to a frame by chance so seldom that its frame may look otherwise.
        like = [] if wide else common
        earliest = _earliest(data, hypothesis, starts[0], like)
        if earliest != starts[0]:
            yield Restart(hypothesis, earliest, longer=True)
    elif not fit.start and hypothesis.field.width == 1:
        # One byte leads from anywhere into the frames.
        for start in range(1, min(_GREETING, len(data))):
            yield Restart(hypothesis, start, longer=False)
    if fit.start:
        before = walk(data[: fit.start], hypothesis)
        if before and before.end == fit.start and len(before.starts) > 1:
            yield Restart(hypothesis, 0, longer=True)
    behind = len(data) - starts[-1]
    if window.complete and cutting.ended and 0 < behind <= hypothesis.offset:
        # Frames that begin so many bytes later end where the data does.
        later = hypothesis.moved(hypothesis.offset - behind)
        yield Restart(later, starts[0] + behind, longer=False)


def _earliest(data: bytes, hypothesis: Hypothesis, first: int, common: _Common) -> int:
    """Return where the longest row of frames begins that leads to the one at ``first``."""
    size = hypothesis.steps(data)
    empty = max(hypothesis.extra, hypothesis.header)
    # Of each how many follow that are not empty, as empty ones are wherever zeros are; and all.
    frames = {first: (0, 0)}
    for start in range(first - 1, max(-1, first - _BACK), -1):
        length = size(start) or 0
        after = start + length
        if (
            after in frames
            and _alike(data, start, common)
            and not ends_greeting(data, hypothesis, start)
        ):
            filled, count = frames[after]
            frames[start] = (filled + (length > empty), count + 1)
    return max(frames, key=lambda start: frames[start])


def _common(data: bytes, fit: Fit) -> _Common:
    """Return the columns in which nearly all frames have the same byte, and that byte.

    What began by chance has come to the frames by the midst of the data. The field differs.
    """
    starts = fit.cutting.starts[:_FRAMES]
    if len(starts) < _FEWEST:
        return []
    settled = starts[min(len(starts) // 2, len(starts) - _FEWEST + 1) :]
    width = min(_HEAD, *fit.cutting.sizes[:-1])
    own = range(fit.hypothesis.offset, fit.hypothesis.header)
    columns = (column for column in range(width) if column not in own)
    commonest = ((column, _commonest(data, settled, column)) for column in columns)
    return [(column, byte) for column, byte in commonest if byte]


def _commonest(data: bytes, starts: Sequence[int], column: int) -> bytes:
    """Return the byte that nearly all frames have there, or none."""
    there = Counter(data[start + column : start + column + 1] for start in starts)
    byte, count = there.most_common(1)[0]
    return byte if count >= 0.9 * len(starts) else b""


def _is_marked(data: bytes, fit: Fit, common: _Common) -> bool:
    """Whether the data begins with the mark that frames have before their length.

    A frame begins there, however unlike the others it goes on.
    """
    mark = [(column, byte) for column, byte in common if column < fit.hypothesis.offset]
    told = sum(byte != b"\0" for _, byte in mark)
    return not fit.start and told >= _MARK and _alike(data, 0, mark)


def _alike(data: bytes, start: int, common: _Common) -> bool:
    return all(data[start + column : start + column + 1] == byte for column, byte in common)
