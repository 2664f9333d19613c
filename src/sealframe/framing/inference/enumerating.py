"""Lists the hypotheses that are worth a walk.

At a known start the first field and its value leave few; where the start is unknown, chains of
fields are looked for, in which the offset of the field plays no part.
"""

from __future__ import annotations

from heapq import nsmallest
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
    from collections.abc import Iterable, Iterator

__all__ = ["TEXTUAL", "UNUSUAL", "WEBSOCKET", "at_start", "chains", "digits_elsewhere"]

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
_UNITS: Final = (2, 4, 8)
_SCAN: Final = 5000
"""So many bytes are searched for chains."""
_DIGITS_WITHIN: Final = 400
_NEAR: Final = range(-2, 9)
_FAR: Final = range(-4, 25)

WEBSOCKET: Final = Hypothesis(
    EscapedField(((126, 2), (127, 8)), "big", 0x7F, ((0x80, 4),)), 1, inclusive=False
)
"""RFC 6455, section 5.2."""


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
            if field.width > 1 and offset <= 8:
                for unit in _UNITS:
                    extras = sorted({*few, unit * header, unit, 2 * unit})
                    yield from _with(field, offset, value, size, unit, extras)
            if field.width > 1 and offset <= 4:
                bits = 8 * field.width
                for spare in (1, 4, 7):
                    masked = FixedField(field.width, field.order, (1 << bits - spare) - 1)
                    value = read[0] & (1 << bits - spare) - 1
                    yield from _with(masked, offset, value, size, 1, sorted(set(few)))
    yield from UNUSUAL


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
        for place in places[field]:
            start = place - hypothesis.offset
            if start > 0:
                cutting = walk(data, hypothesis, start, 3)
                if cutting and len(cutting.starts) >= 3:
                    yield hypothesis, start
                    break


def chains(data: bytes) -> Iterator[tuple[Hypothesis, int]]:
    """Yield the hypotheses, with the field at offset 0, that have a long chain of fields.

    Where the field of a frame stands and what it adds decide where the next one is, whatever comes
    before it in the frame: one pass from the end finds the longest chain from every byte.
    """
    size = len(data)
    searched = min(size, _SCAN)
    for field in (*_FIXED, VarintField()):
        varies = isinstance(field, VarintField)
        places = []
        for position in range(searched - 1, -1, -1):
            read = field.read(data, position)
            if read and read[0] <= size + 25:
                value, width = read
                places.append((position, position + width, position + value + (varies and width)))
        for extra in _NEAR if field.width == 1 else _FAR:
            length = [0] * searched
            following = [0] * searched
            for position, least, target in places:
                after = target + extra
                if after < least:
                    continue
                if after >= searched:
                    length[position] = 1
                elif length[after]:
                    length[position] = length[after] + 1
                following[position] = after
            yield from _longest(
                Hypothesis(field, 0, extra, inclusive=not varies), length, following
            )


def _longest(
    hypothesis: Hypothesis, length: list[int], following: list[int]
) -> Iterator[tuple[Hypothesis, int]]:
    searched = len(length)
    seen: set[int] = set()
    seconds: set[int] = set()
    first = range(min(searched, 2500))
    for position in nsmallest(3, first, key=lambda place: -length[place]):
        if length[position] < 3:
            return
        chain = [position]
        while chain[-1] < searched and following[chain[-1]] > chain[-1] and len(chain) < 4000:
            chain.append(following[chain[-1]])
        # Chains that share all but their first field are told apart by what that frame looks like.
        if chain[1] not in seen or chain[1] in seconds:
            seen.update(chain)
            seconds.add(chain[1])
            yield hypothesis, position
