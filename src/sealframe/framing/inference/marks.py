"""Bytes that mark frames, and the length that leads from each mark to the next.

Where a capture begins in the midst of a large frame, or frames are so large that few of them are in
what is searched for chains, what stands at the same place of each frame still shows where they are.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import log2
from typing import TYPE_CHECKING, Final

from .hypotheses import FixedField, Hypothesis, Order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["marked"]

_SIZE: Final = 4
_FEWEST: Final = 4
_MOST: Final = 400
"""A mark that is found more often marks no frames of these sizes."""
_MARKS: Final = 150
_KINDS: Final = 2
_CHECKED: Final = 16
"""So many lengths have to lead from mark to mark."""
_AROUND: Final = (*range(-16, 0), *range(_SIZE, 25))
_EXTRA: Final = 64
_ORDERS: Final[tuple[Order, ...]] = ("big", "little")
_FIELDS: Final = tuple(FixedField(width, order) for width in (4, 2, 3) for order in _ORDERS)


def marked(data: bytes) -> Iterator[tuple[Hypothesis, int]]:
    """Yield lengths that lead from one mark to the next, with the field at offset 0."""
    for places in _marks(data):
        gaps = [after - before for before, after in pairwise(places)][:_CHECKED]
        if len(set(gaps)) < 2:
            continue
        for field in _FIELDS:
            for away in _AROUND:
                found = _leads(data, places, gaps, field, away)
                if found is not None:
                    yield Hypothesis(field, 0, found), places[0] + away
                    break


def _leads(
    data: bytes, places: Sequence[int], gaps: Sequence[int], field: FixedField, away: int
) -> int | None:
    """Return what the field that is so far from the mark leaves out, if it leads to the next."""
    extra = None
    for place, gap in zip(places, gaps, strict=False):
        read = field.read(data, place + away) if place + away >= 0 else None
        if read is None:
            return None
        if extra is None:
            extra = gap - read[0]
            if not 0 <= extra <= _EXTRA:
                return None
        elif gap - read[0] != extra:
            return None
    return extra


def _marks(data: bytes) -> Iterator[list[int]]:
    """Yield where the likeliest marks stand: those that say most."""
    grams = [data[place : place + _SIZE] for place in range(len(data) - _SIZE + 1)]
    counts = Counter(grams)
    single = Counter(data)
    size = len(data)

    def says(gram: bytes) -> float:
        return -sum(log2(single[byte] / size) for byte in set(gram))

    often = [
        gram
        for gram, count in counts.items()
        if _FEWEST <= count <= _MOST and len(set(gram)) >= _KINDS
    ]
    often.sort(key=lambda gram: -says(gram) * min(counts[gram], 16))
    chosen: dict[bytes, list[int]] = {gram: [] for gram in often[:_MARKS]}
    for place, gram in enumerate(grams):
        if gram in chosen:
            chosen[gram].append(place)
    yield from chosen.values()
