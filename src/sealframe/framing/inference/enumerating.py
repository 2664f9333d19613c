"""Lists the hypotheses that are worth a walk.

At a known start the first field and its value leave few; where the start is unknown, chains of
fields are looked for, in which the offset of the field plays no part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .hypotheses import (
    BcdField,
    BerField,
    DigitsField,
    DigitsUntil,
    EscapedField,
    Field,
    FixedField,
    Hypothesis,
    VarintField,
)
from .walking import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "TEXTUAL",
    "UNUSUAL",
    "WEBSOCKET",
    "at_start",
    "chains",
    "digits_elsewhere",
    "ends_greeting",
    "whole_frame",
]

_FIXED: Final = (
    FixedField(1),
    FixedField(2),
    FixedField(2, "little"),
    FixedField(3),
    FixedField(3, "little"),
    FixedField(4),
    FixedField(4, "little"),
    FixedField(8),
    FixedField(8, "little"),
)
_EXTRAS: Final = (*range(-8, 45), 48, 52, 56, 60, 64)
_OFFSETS: Final = range(25)
_ALONE: Final = {1: 1, 2: 9, 4: 17}
"""In how many places a length of so many bytes is looked for where there is but one frame."""
_UNITS: Final = (2, 4, 8)
_ALIGNED: Final = (4, 8)
_PADDED: Final = (0, *range(2, 25), 28, 32, 40, 48)
"""What a length of frames that are filled up may leave out."""
_SCAN: Final = 5000
"""So many bytes are searched for chains."""
_WHOLE: Final = 8000
"""Data up to this size are searched to their end: that a chain ends there says much."""
_DIGITS_WITHIN: Final = 400
_PROBED: Final = 40
"""So many frames tell what is reached from a beginning."""
_BEGINNINGS: Final = 3
_FIRST: Final = 2500
"""So many bytes may come before the first field."""
_EARLY: Final = 40
_FEWEST: Final = 3
_BEFORE: Final = 17
_EXACT: Final = 1 << 20
"""More than any chain has fields: added to the length of those that end exactly."""
_NEAR: Final = range(-2, 9)
_ONE_BYTE: Final = range(-2, 25)
_FAR: Final = range(-4, 33)
_COUNTED: Final = range(21)
"""What a length in units may leave out."""

WEBSOCKET: Final = Hypothesis(
    EscapedField(((126, 2), (127, 8)), "big", 0x7F, ((0x80, 4),)), 1, inclusive=False
)
"""RFC 6455, section 5.2."""


_CHAINED: Final[tuple[tuple[Field, tuple[int, ...], range], ...]] = (
    *(
        (field, (1, 2) if field.width == 3 else (1, 2, 4), _ONE_BYTE if field.width == 1 else _FAR)
        for field in _FIXED
        # Of one of 8 bytes those are found that are not 0.
        if field.width < 8
    ),
    (VarintField(), (1,), _NEAR),
    (BerField(), (1,), _NEAR),
    (BcdField(2), (1,), _NEAR),
)
"""Fields, units, and how many bytes may come beside them."""


def _unusual() -> Iterator[Hypothesis]:
    for offset in range(4):
        for extra in range(-8, 9):
            for inclusive in (False, True):
                yield Hypothesis(VarintField(), offset, extra, inclusive=inclusive)
    for offset in range(3):
        yield Hypothesis(BerField(), offset, inclusive=False)
    yield WEBSOCKET
    for offset in range(2):
        for escape in (255, 254, 127, 128):
            for count in (2, 3, 4, 8):
                for order in ("big", "little"):
                    field = EscapedField(((escape, count),), order)
                    yield Hypothesis(field, offset, inclusive=False)


def _textual() -> Iterator[Hypothesis]:
    for width in range(2, 9):
        for base in (10, 16):
            for offset in range(5):
                for extra in (0, offset + width, offset + width + 1, offset + width + 2, offset):
                    yield Hypothesis(DigitsField(width, base), offset, extra)
    for width in range(1, 5):
        for offset in range(3):
            for extra in (0, *range(offset + width, offset + width + 4)):
                yield Hypothesis(BcdField(width), offset, extra)
    for base in (10, 16):
        for delimiter in (b":", b" ", b"\n", b"\r\n", b",", b";", b"#", b"|"):
            for extra in (0, 1, 2):
                yield Hypothesis(DigitsUntil(delimiter, base), extra=extra, inclusive=False)  # type: ignore[arg-type]


TEXTUAL: Final = tuple(_textual())
"""Digits: at an unknown start a pattern finds them."""
UNUSUAL: Final = (*_unusual(), *TEXTUAL)
"""All fields but those of a fixed binary width."""


def at_start(data: bytes, start: int = 0) -> Iterator[Hypothesis]:
    """Yield the hypotheses under which a first frame stands at ``start``."""
    size = len(data) - start
    for field in _FIXED:
        for offset in _OFFSETS:
            read = field.read(data, start + offset)
            if read is None:
                break
            value = read[0]
            header = offset + field.width
            yield from _with(field, offset, value, size, 1, _EXTRAS)
            few = (0, header, offset, header + 4, header + 2, 8, 4, 32)
            for unit in _UNITS:
                if field.width > 1 or unit < 8:
                    extras = sorted({*few, unit * header, unit, 2 * unit})
                    yield from _with(field, offset, value, size, unit, extras)
            if field.width > 1:
                for hypothesis in _with(field, offset, value, size, 1, _PADDED):
                    yield from (replace(hypothesis, align=align) for align in _ALIGNED)
            if field.width > 1 and offset <= 4:
                for mask in _masks(8 * field.width, offset):
                    masked = FixedField(field.width, field.order, mask)
                    value, _ = masked.read(data, start + offset) or (0, 0)
                    yield from _with(masked, offset, value, size, 1, sorted(set(few)))
    yield from UNUSUAL


def _masks(bits: int, offset: int) -> Iterator[int]:
    """Yield what a length may be of so many bits: others above it are flags, or one below it."""
    yield from ((1 << bits - spare) - 1 for spare in (1, 4, 7))
    if not offset:
        yield (1 << bits) - 2


def _with(
    field: FixedField, offset: int, value: int, size: int, unit: int, extras: Iterable[int]
) -> Iterator[Hypothesis]:
    header = offset + field.width
    counted = value * unit
    if counted > size + 8:
        return
    for extra in extras:
        if header <= counted + extra <= size:
            yield Hypothesis(field, offset, extra, unit)


def whole_frame(data: bytes) -> Iterator[Hypothesis]:
    """Yield the usual layouts in which the data is one frame, whole and not empty.

    Usual is a length of 2 or 4 bytes, or one of a byte at the very beginning, that counts the whole
    frame or what follows it.
    """
    size = len(data)
    for field in _FIXED:
        if field.width not in _ALONE:
            continue
        for offset in range(_ALONE[field.width]):
            read = field.read(data, offset)
            header = offset + field.width
            for extra in (header, 0):
                if read and read[0] and header < size == read[0] + extra:
                    yield Hypothesis(field, offset, extra)


def digits_elsewhere(data: bytes) -> Iterator[tuple[Hypothesis, int]]:
    """Yield lengths in digits that stand behind the first byte, and where their frames start."""
    head = data[:_DIGITS_WITHIN]
    places: dict[Field, list[int]] = {}
    for hypothesis in TEXTUAL:
        field = hypothesis.field
        if isinstance(field, BcdField):
            continue
        if field not in places:
            places[field] = [at for at in range(1, len(head)) if field.read(data, at)]
        # A digit at the end of a preamble reads as one of the first length, and leads elsewhere.
        reached: set[int] = set()
        found = 0
        for place in places[field]:
            start = place - hypothesis.offset
            if start <= 0 or start in reached or ends_greeting(data, hypothesis, start):
                continue
            cutting = walk(data, hypothesis, start, _PROBED)
            if cutting and len(cutting.starts) >= 3:
                yield hypothesis, start
                reached.update(cutting.starts)
                found += 1
                if found == _BEGINNINGS:
                    break


def ends_greeting(data: bytes, hypothesis: Hypothesis, start: int) -> bool:
    """Whether what reads as an empty frame is the end of a greeting in text: of "HELLO 1.0"."""
    if not isinstance(hypothesis.field, DigitsField | DigitsUntil):
        return False
    read = hypothesis.field.read(data, start + hypothesis.offset)
    return bool(read and not read[0] and start and 0x20 < data[start - 1] < 0x7F)


def chains(data: bytes, *, complete: bool) -> Iterator[tuple[Hypothesis, int]]:
    """Yield the hypotheses, with the field at offset 0, that have a long chain of fields.

    Where the field of a frame stands and what it adds decide where the next one is, whatever comes
    before it in the frame: one pass from the end finds the longest chain from every byte.

    :param complete: the data ends between two frames; chains that do so come first
    """
    size = len(data)
    searched = size if size <= _WHOLE else _SCAN
    # Behind the last frame, a field would stand as far as it stands from its frame's start.
    ends = range(size, size + _BEFORE) if complete and searched == size else range(0)
    for field, units, extras in _CHAINED:
        varies = isinstance(field, VarintField | BerField)
        read = [(place, field.read(data, place)) for place in range(searched - 1, -1, -1)]
        for unit in units:
            places = [
                (
                    place,
                    place + found[1],
                    place + found[0] * unit + (found[1] if varies else 0),
                    found[0] > 0,
                )
                for place, found in read
                if found and found[0] * unit <= size + 25
            ]
            for extra in extras if unit == 1 else _COUNTED:
                hypothesis = Hypothesis(field, 0, extra, unit, inclusive=not varies)
                if len(places) > 2:
                    yield from _longest(hypothesis, places, searched, ends)
                if complete and searched < size and field.width > 1:
                    yield from _early(hypothesis, data)


def _early(hypothesis: Hypothesis, data: bytes) -> Iterator[tuple[Hypothesis, int]]:
    """Yield where a chain starts behind a short preamble that goes on to the end of the data.

    Of large frames, few are in what is searched for chains.
    """
    size = len(data)
    for place in range(1, _EARLY):
        cutting = walk(data, hypothesis, place)
        if cutting and len(cutting.starts) > _FEWEST and cutting.end < size + _BEFORE:
            yield hypothesis, place


def _longest(
    hypothesis: Hypothesis,
    places: Sequence[tuple[int, int, int, bool]],
    searched: int,
    ends: range,
) -> Iterator[tuple[Hypothesis, int]]:
    """Yield where the longest chains start.

    :param places: positions from the last to the first, each with the end of its field, where the
        next one stands if ``extra`` is 0, and whether it counts: a length of 0 does not, as chains
        of them are wherever zeros are
    :param ends: where a chain ends that is worth more
    """
    extra = hypothesis.extra
    length = [0] * searched
    following = [0] * searched
    for position, least, target, counts in places:
        after = target + extra
        if after < least:
            continue
        if after >= searched:
            length[position] = _EXACT + 1 if after in ends else 1
        elif length[after]:
            length[position] = length[after] + counts
        following[position] = after
    head = length[:_FIRST]
    # A preamble is short: any chain that begins behind one is worth a look.
    early = [place for place, count in enumerate(head[:_EARLY]) if count > _EXACT + 3]
    yield from ((hypothesis, place) for place in early)
    yield from ((hypothesis, place) for place in _starts(head, following, 3))
    if max(head) > _EXACT:
        # Data that was cut after all has its chain among those that do not end exactly.
        rest = [0 if count > _EXACT else count for count in head]
        yield from ((hypothesis, place) for place in _starts(rest, following, 1))


def _starts(head: list[int], following: Sequence[int], most: int) -> Iterator[int]:
    """Yield where the longest of chains start that differ; of those that differ in the first
    field alone several, as they are told apart by what that frame looks like."""
    searched = len(following)
    for _ in range(most):
        longest = max(head)
        if longest % _EXACT < 3:
            return
        place = head.index(longest)
        yield place
        head[place] = 0
        place = following[following[place]]
        while place < len(head) and head[place]:
            head[place] = 0
            if following[place] >= searched:
                break
            place = following[place]
