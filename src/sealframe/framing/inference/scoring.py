"""Scores a cutting in bits, by the principle of minimum description length.

A cutting is worth the bits that it saves whoever writes the stream down: bytes that stand at the
same place of every frame are predicted by those of the frames before, an end that comes out exactly
need not be written, nor a segment boundary at which a frame starts. The layout itself costs bits,
and so does a preamble.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import log2
from typing import TYPE_CHECKING, Final

from .hypotheses import BerField, DigitsField, FixedField, VarintField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .hypotheses import Hypothesis
    from .walking import Cutting
    from .window import Window

__all__ = ["Fit", "Scorer", "column_gains"]

_FRAMES: Final = 120
"""So many frames settle what a column saves."""
_COLUMNS: Final = range(-14, 24)
"""The columns that are looked at, around the byte of the field that changes most."""
_REPEATED: Final = 0.5
"""The share that counts of what is saved by frames as long as one before them."""
_SMALL: Final = 200
"""A length up to this says something for being that small."""
_LAYOUT: Final = 10.0
"""Bits that any layout costs."""


@dataclass(frozen=True)
class Fit:
    """A hypothesis, how it cuts a window, and what that is worth.

    ``score`` decides which fit is the best. ``bits`` leaves out what frames save that are as long
    as one before them, and says whether it is good at all.
    """

    hypothesis: Hypothesis
    cutting: Cutting
    score: float
    bits: float
    exact: bool
    columns: tuple[int, ...]

    @property
    def start(self) -> int:
        """Bytes before the first frame."""
        return self.cutting.starts[0]

    @cached_property
    def fields(self) -> tuple[int, ...]:
        """Where fields stand, but for the first: frames that begin elsewhere share them."""
        lowest = self.hypothesis.lowest
        return tuple(start + lowest for start in self.cutting.starts[1:6])

    @cached_property
    def all_fields(self) -> tuple[int, ...]:
        """Where fields stand, that of the first frame too."""
        return (self.start + self.hypothesis.lowest, *self.fields)

    def plus(self, bits: float) -> Fit:
        """Return the same with a better score."""
        return replace(self, score=self.score + bits, bits=self.bits + bits)


@dataclass(frozen=True)
class Gain:
    """Bits that a column saves: over all frames, and over those that say something."""

    all: float
    told: float

    def beyond(self, usual: Gain) -> Gain:
        """Return what is left where so much is saved at other places as well."""
        less = max(0.0, usual.all)
        return Gain(self.all - less, self.told - less)


def column_gains(
    window: Window, frames: Sequence[tuple[int, int, int, bool]], columns: range
) -> dict[int, Gain]:
    """Return the bits saved by predicting each column from the frames before.

    A column is a place counted from the start, which may be negative: before it.

    :param frames: of each the start of the one before, its own, its end, and whether it is told
    """
    data = window.data
    size = len(data)
    chances = window.costs.chances(frames[-1][1] + columns.stop if frames else 0)
    gains = {}
    for column in columns:
        seen: dict[int, int] = {}
        total = 0
        gain = told_gain = 0.0
        for previous, start, following, told in frames:
            position = start + column
            # Each byte counts once: for the field that is nearer.
            near = (
                position - previous > start - position
                if column < 0
                else (position - start <= following - position)
            )
            if not (near and 0 <= position < size):
                continue
            byte = data[position]
            chance = chances[position]
            kinds = len(seen) or 1
            count = seen.get(byte, 0)
            bits = log2((count / chance + kinds) / (total + kinds))
            gain += bits
            if told:
                told_gain += bits
            seen[byte] = count + 1
            total += 1
        gains[column] = Gain(gain, told_gain)
    return gains


def _telling(cutting: Cutting, shift: int) -> list[tuple[int, int, int, bool]]:
    """Return the frames for :func:`column_gains`, all places moved by ``shift``.

    Where a frame is as long as one of the two before, any record of that size would repeat there,
    whether its length is written or not. It is not told by the length.
    """
    frames = []
    earlier = before = last = -1
    # Nothing before the first belongs to a frame; all from the beginning of the data does.
    previous = cutting.starts[0] + shift if cutting.starts[0] else -shift - 1
    for start, end in zip(cutting.starts[:_FRAMES], cutting.ends, strict=False):
        told = last not in (before, earlier) or last < 0
        frames.append((previous, start + shift, end + shift, told))
        earlier, before, last = before, last, end - start
        previous = start + shift
    if len(cutting.starts) <= _FRAMES:
        # What stands at the end of the last frame can be compared with the others' ends.
        end = cutting.end + shift
        frames.append((previous, end, end, last not in (before, earlier)))
    return frames


def _beside(cutting: Cutting, shift: int) -> list[tuple[int, int, int, bool]]:
    """Return as many places that have nothing to do with frames, for a comparison.

    In an array of numbers, steps of 2, 4 or 8 bytes or a multiple lead from number to number: what
    is around each place is alike, whether frames start there or not. Where frames are not such
    steps, there is nothing to compare.
    """
    starts = cutting.starts[:_FRAMES]
    sizes = cutting.sizes[:_FRAMES]
    step = next((step for step in (8, 4, 2) if _multiples(sizes, step) >= 0.9 * len(sizes)), 0)
    if not step or len(starts) < 3:
        return []
    mean = (starts[-1] - starts[0]) / (len(starts) - 1)
    first = starts[0] + shift
    places = []
    for index in range(len(starts)):
        # The golden ratio spreads them over the frames, whatever size these have.
        away = mean * (index + index * 0.6180339887 % 1)
        places.append(first + int(away) // step * step)
    places.sort()
    follow = (*places[1:], cutting.end)
    before = (-1, *places[:-1])
    return [(*three, False) for three in zip(before, places, follow, strict=True)]


def _multiples(sizes: Sequence[int], step: int) -> int:
    return sum(size % step == 0 for size in sizes)


class Scorer:
    """Scores hypotheses over one window; columns that were measured once are remembered."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._gains: dict[tuple[int, ...], dict[int, Gain]] = {}

    def gains(self, hypothesis: Hypothesis, cutting: Cutting) -> Mapping[int, Gain]:
        """Return the gains of the columns around the field, counted from its lowest byte."""
        lowest = hypothesis.lowest
        starts = cutting.starts
        # Of the first frame more is looked at where nothing stands before it.
        first = starts[0] + lowest, bool(starts[0])
        key = (*first, len(starts), starts[-1] + lowest, cutting.end + lowest)
        gains = self._gains.get(key)
        if gains is None:
            gains = column_gains(self.window, _telling(cutting, lowest), _COLUMNS)
            if beside := _beside(cutting, lowest):
                usual = column_gains(self.window, beside, _COLUMNS)
                gains = {at: gain.beyond(usual[at]) for at, gain in gains.items()}
            self._gains[key] = gains
        return self._with_first(hypothesis, cutting, gains)

    def _with_first(
        self, hypothesis: Hypothesis, cutting: Cutting, gains: dict[int, Gain]
    ) -> dict[int, Gain]:
        """Add what the columns before the field save in the first frame.

        What stands before that is a preamble, and need not look like the end of a frame.
        """
        starts = cutting.starts[:_FRAMES]
        first, *others = (start + hypothesis.lowest for start in starts)
        if not starts[0] or not others or hypothesis.counts_a_part:
            return gains
        data = self.window.data
        chances = self.window.costs.chances(first)
        more = dict(gains)
        for column in range(max(-hypothesis.lowest, _COLUMNS.start), 0):
            byte = data[first + column]
            there = Counter(data[other + column] for other in others if other + column < len(data))
            kinds = len(there) or 1
            known = there[byte] / chances[first + column]
            bits = log2((known + kinds) / (there.total() + kinds))
            more[column] = Gain(gains[column].all + bits, gains[column].told + bits)
        return more

    def score(self, hypothesis: Hypothesis, cutting: Cutting, *, chained: bool = False) -> Fit:
        """Return what a hypothesis is worth; ``chained`` if its start was not known."""
        window = self.window
        size = len(window.data)
        starts = cutting.starts
        frames = len(starts)
        gains = self.gains(hypothesis, cutting)
        exact = cutting.ended and cutting.end == size and window.complete
        mean = max(2.0, (min(size, cutting.end) - starts[0]) / frames)

        columns = sum(max(0.0, gain.all - 1.5) for gain in gains.values())
        told = sum(max(0.0, gain.told - 1.5) for gain in gains.values())
        small = self._small(hypothesis, cutting)
        columns += max(0.0, small - max(0.0, gains[0].all))
        told += max(0.0, small - max(0.0, gains[0].told))
        widths = self.widths(hypothesis, cutting)
        columns += max(0.0, widths - max(0.0, gains[0].all))
        told += max(0.0, widths - max(0.0, gains[0].told))
        if self._half_of_a_field(hypothesis, cutting):
            columns *= 0.25
            told *= 0.25
        elif self._every_other_empty(hypothesis, cutting):
            columns *= 0.5
            told *= 0.5
        field = self._field_bits(hypothesis, cutting)
        if frames == 1:
            columns = told = 0
            field /= 2
        if exact:
            ends = log2(mean) + 3 - (5 if chained else 0)
        elif window.complete and cutting.ended:
            ends = -8.0 if chained else -5.0
        else:
            ends = 0.0
        hits = sum(start in window.boundaries for start in starts[1:])
        missed = sum(1 for at in window.boundaries if at < cutting.end) - hits
        segments = hits * log2(mean) - 2 * missed
        cost = self._cost(hypothesis, cutting, gains, chained=chained)
        fixed = tuple(
            column + hypothesis.lowest for column, gain in sorted(gains.items()) if gain.all > 4
        )
        rest = field + ends + segments - cost
        score = told + _REPEATED * max(0.0, columns - told) + rest
        return Fit(hypothesis, cutting, score, told + rest, exact, fixed)

    def _small(self, hypothesis: Hypothesis, cutting: Cutting) -> float:
        """Return the bits saved by predicting that all lengths are small.

        Where they differ, no column tells them; but other bytes are not as small.
        """
        data = self.window.data
        places = [
            start + hypothesis.lowest
            for _, start, _, told in _telling(cutting, 0)[: len(cutting.starts)]
            if told and start + hypothesis.lowest < len(data)
        ]
        spread = max((data[place] for place in places), default=255)
        if spread > _SMALL:
            return 0.0
        chances = self.window.costs.chances(max(places) + 1)
        written = -sum(log2(chances[place]) for place in places)
        return max(0.0, written - len(places) * log2(spread + 1) - _LAYOUT)

    def widths(self, hypothesis: Hypothesis, cutting: Cutting) -> float:
        """Return the bits saved by predicting how many bytes each length of a varying width has.

        They differ where their lengths do; but which bytes go on has more in common.
        """
        field = hypothesis.field
        if not isinstance(field, VarintField | BerField):
            return 0.0
        data = self.window.data
        usual = self.window.widths(field)
        seen: Counter[int] = Counter()
        gain = 0.0
        for _, start, _, told in _telling(cutting, hypothesis.offset)[: len(cutting.starts)]:
            read = field.read(data, start)
            if not told or read is None:
                continue
            width = read[1]
            chance = (seen[width] + 1 / 3) / (seen.total() + 1)
            gain += log2(chance / usual.get(width, usual[0]))
            seen[width] += 1
        return gain - 1.5

    def _field_bits(self, hypothesis: Hypothesis, cutting: Cutting) -> float:
        """Return the bits by which the first field is less likely than other bytes there."""
        window = self.window
        largest = max(cutting.whole(len(window.data)) or cutting.sizes)
        chance = window.chance(hypothesis.field, hypothesis.value(largest))
        position = cutting.starts[0] + hypothesis.offset
        end = position + hypothesis.field.width
        return min(-log2(chance), window.costs.bits(position, end))

    def _cost(
        self,
        hypothesis: Hypothesis,
        cutting: Cutting,
        gains: Mapping[int, Gain],
        *,
        chained: bool,
    ) -> float:
        starts = cutting.starts
        field = hypothesis.field
        cost = _LAYOUT + hypothesis.cost
        if starts[0]:
            cost += log2(starts[0] + 1) + 5
        if chained and hypothesis.offset and not hypothesis.counts_a_part:
            # Columns in front of the field that save something belong to the frame.
            before = range(-hypothesis.lowest, -hypothesis.lowest + hypothesis.offset)
            cost -= min(
                6.0, sum(min(2.0, max(0.0, gains[c].all - 2)) for c in before if c in gains)
            )
        narrow = isinstance(field, FixedField) and field.width < 4 and hypothesis.unit == 1
        if narrow and self._zeros_beside(hypothesis, starts):
            cost += 6
        return cost

    def _every_other_empty(self, hypothesis: Hypothesis, cutting: Cutting) -> bool:
        """Whether every other frame is empty, and no other: a wider length of which a part is
        read, with a second one behind it."""
        sizes = cutting.whole(len(self.window.data))[:_FRAMES]
        if len(sizes) < 6:
            return False
        empty = [not hypothesis.value(size) for size in sizes]
        return any(all(empty[parity::2]) and not any(empty[1 - parity :: 2]) for parity in (0, 1))

    def _half_of_a_field(self, hypothesis: Hypothesis, cutting: Cutting) -> bool:
        """Whether every other frame is zeros: half of a wider field, read as a whole one."""
        sizes = cutting.whole(len(self.window.data))
        if len(sizes) < 3:
            return False
        smallest = min(sizes)
        if smallest > hypothesis.header + 3:
            return False
        if sizes.count(smallest) < 0.45 * len(sizes):
            return False
        data = self.window.data
        pairs = zip(cutting.starts, sizes, strict=False)
        zero = b"0" if isinstance(hypothesis.field, DigitsField) else b"\0"
        if any(data[at : at + size].strip(zero) for at, size in pairs if size == smallest):
            return False
        filled = [index for index, size in enumerate(sizes) if size != smallest]
        steps = Counter(after - before for before, after in pairwise(filled))
        step, count = steps.most_common(1)[0] if steps else (1, 0)
        regular = step > 1 and count >= 0.9 * steps.total()
        # A narrow field finds empty frames wherever zeros are.
        narrow = hypothesis.field.width < 4 and not isinstance(hypothesis.field, DigitsField)
        return narrow or regular

    def _zeros_beside(self, hypothesis: Hypothesis, starts: tuple[int, ...]) -> bool:
        """Whether the field looks like the lower part of a wider one."""
        field = hypothesis.field
        if not isinstance(field, FixedField):
            return False
        if field.order == "little":
            place = hypothesis.header
        elif hypothesis.offset:
            place = hypothesis.offset - 1
        else:
            return False
        data = self.window.data
        return all(data[start + place : start + place + 1] in (b"\0", b"") for start in starts[1:])


def commonest_share(cutting: Cutting, size: int) -> float:
    """Return the part of the frames that have the commonest size."""
    sizes = cutting.whole(size)[:200]
    return Counter(sizes).most_common(1)[0][1] / len(sizes) if sizes else 1.0
