"""Hypotheses: the ways to write a length in front of a message that the search tries.

A :class:`Hypothesis` says how large the frame is that starts at a given byte::

    0        offset              offset + width of the field
    +--------+-------------------+------------------------------+
    | offset |  length field     |  rest                        |
    +--------+-------------------+------------------------------+
    |<--------------- value x unit + extra -------------------->|    inclusive
                                 |<-- value x unit + extra ---->|    else

Fields of a fixed width are always looked at as inclusive: what the length counts is all in
``extra``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import log2
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MAX_FRAME",
    "BcdField",
    "BerField",
    "DigitsField",
    "DigitsUntil",
    "EscapedField",
    "Field",
    "FixedField",
    "Hypothesis",
    "Order",
    "VarintField",
]

Order = Literal["little", "big"]
MAX_FRAME: Final = 1 << 24
"""A frame over 16 MiB is taken for a wrong hypothesis."""


class Field(Protocol):
    """How a length is written."""

    @property
    def width(self) -> int:
        """Bytes of the field, or the fewest that it can have."""

    @property
    def cost(self) -> float:
        """Bits by which this way is less usual than 4 bytes."""

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        """Return the value and the bytes of the field, or None where none can stand."""


@dataclass(frozen=True)
class FixedField:
    """A binary number of ``width`` bytes, of which ``mask`` are the length."""

    width: int
    order: Order = "big"
    mask: int | None = None

    @property
    def cost(self) -> float:
        usual = {1: 2.0, 2: 0.5, 3: 2.2, 4: 0.0, 8: 4.0}
        return usual.get(self.width, 6.0) + (0 if self.mask is None else 6)

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        end = position + self.width
        if end > len(data):
            return None
        value = int.from_bytes(data[position:end], self.order)
        return (value if self.mask is None else _masked(value, self.mask)), self.width


def _masked(value: int, mask: int) -> int:
    """Return the bits of a number that are the length."""
    return (value & mask) >> (mask & -mask).bit_length() - 1


@dataclass(frozen=True)
class VarintField:
    """LEB128 in its shortest form, as Protocol Buffers and MQTT write it."""

    width: int = 1
    cost: float = 4.0

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        value = 0
        for index, byte in enumerate(data[position : position + 5]):
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return None if index and not byte else (value, index + 1)
        return None


@dataclass(frozen=True)
class BerField:
    """X.690, 8.1.3: a byte below 128, or 0x81 to 0x84 and as many bytes."""

    width: int = 1
    cost: float = 4.0

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        if position >= len(data):
            return None
        first = data[position]
        if first < 0x80:
            return first, 1
        count = first & 0x7F
        end = position + 1 + count
        if not 1 <= count <= 4 or end > len(data):
            return None
        return int.from_bytes(data[position + 1 : end], "big"), 1 + count


@dataclass(frozen=True)
class EscapedField:
    """A number, some values of which mean that a wider field follows.

    ``wider`` has these values and widths; ``adds`` bits of the number outside ``mask``, and the
    bytes that each puts behind the field (the mask of WebSocket).
    """

    wider: tuple[tuple[int, int], ...]
    order: Order = "big"
    mask: int = 0xFF
    adds: tuple[tuple[int, int], ...] = ()
    width: int = 1

    @property
    def cost(self) -> float:
        return 4.0 if self.adds else 5.0

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        found = self.written(data, position)
        if found is None:
            return None
        value, width = found
        first = int.from_bytes(data[position : position + self.width], self.order)
        return value, width + sum(count for bit, count in self.adds if first & bit)

    def written(self, data: bytes, position: int) -> tuple[int, int] | None:
        """Return the value and the bytes of it, without what ``adds`` puts behind."""
        behind = position + self.width
        if behind > len(data):
            return None
        value = _masked(int.from_bytes(data[position:behind], self.order), self.mask)
        for escape, count in self.wider:
            if value == escape:
                end = behind + count
                if end > len(data):
                    return None
                return int.from_bytes(data[behind:end], self.order), self.width + count
        # Where the highest values are the escapes, others as high stand for nothing.
        if value > min(escape for escape, _ in self.wider) > 0:
            return None
        return value, self.width


@dataclass(frozen=True)
class DigitsField:
    """``width`` ASCII digits; decimal ones may have blanks in front."""

    width: int
    base: Literal[10, 16] = 10
    cost: float = 3.0

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        digits = rb"[0-9]" if self.base == 10 else rb"[0-9a-fA-F]"
        return re.compile(digits + b"{%d}" % self.width)

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        match = self._pattern.match(data, position)
        return (int(match[0], self.base), self.width) if match else None


@dataclass(frozen=True)
class DigitsUntil:
    """ASCII digits without leading zeros, up to a delimiter."""

    delimiter: bytes
    base: Literal[10, 16] = 10
    cost: float = 3.0

    @property
    def width(self) -> int:
        return 1 + len(self.delimiter)

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        digits = rb"(0|[1-9][0-9]{0,8})" if self.base == 10 else rb"([0-9a-fA-F]{1,8})"
        return re.compile(digits + re.escape(self.delimiter))

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        match = self._pattern.match(data, position)
        return (int(match[1], self.base), match.end() - position) if match else None


@dataclass(frozen=True)
class BcdField:
    """Packed BCD: two decimal digits in each byte."""

    width: int
    cost: float = 4.0

    def read(self, data: bytes, position: int) -> tuple[int, int] | None:
        digits = data[position : position + self.width].hex()
        if len(digits) < 2 * self.width or not digits.isdigit():
            return None
        return int(digits), self.width


@dataclass(frozen=True)
class Hypothesis:
    """A way to cut: see the drawing above."""

    field: Field
    offset: int = 0
    extra: int = 0
    unit: int = 1
    align: int = 1
    inclusive: bool = True

    @property
    def header(self) -> int:
        """Bytes up to the end of the field, or the fewest that it can have."""
        return self.offset + self.field.width

    @property
    def adjustment(self) -> int:
        """``extra``, counted from the end of the field."""
        return self.extra - self.header if self.inclusive else self.extra

    @property
    def counts_a_part(self) -> bool:
        """Whether the length counts a part of what stands before its end, and not all of it."""
        beyond = self.adjustment
        whole = self.extra == 0 if self.inclusive else self.extra == -self.header
        return beyond < 0 and not whole

    @property
    def lowest(self) -> int:
        """Where in the frame the byte of the field stands that changes most."""
        field = self.field
        if isinstance(field, FixedField):
            last = field.order == "big"
        else:
            last = isinstance(field, DigitsField | BcdField)
        return self.offset + (field.width - 1 if last else 0)

    def size(self, data: bytes, start: int) -> int | None:
        """Return the size of the frame that starts there, or None where none can."""
        read = self.field.read(data, start + self.offset)
        if read is None:
            return None
        value, width = read
        header = self.offset + width
        size = value * self.unit + self.extra
        if not self.inclusive:
            size += header
        if size < header or size > MAX_FRAME:
            return None
        return size if self.align == 1 else -(-size // self.align) * self.align

    def steps(self, data: bytes) -> Callable[[int], int | None]:
        """Return :meth:`size` for these data: the search calls it far more often than all else."""
        field = self.field
        if not isinstance(field, FixedField) or field.mask is not None or self.align > 1:
            return partial(self.size, data)
        begin, end, least = self.offset, self.header, self.header
        order, unit, extra = field.order, self.unit, self.extra
        last = len(data) - end

        def step(start: int) -> int | None:
            if start > last:
                return None
            size = from_bytes(data[start + begin : start + end], order) * unit + extra
            return size if least <= size <= MAX_FRAME else None

        from_bytes = int.from_bytes
        return step

    def moved(self, offset: int) -> Hypothesis:
        """Return the same for frames that start so many bytes before the field."""
        # What a length counts begins behind its field, wherever the frame begins.
        extra = self.extra if self.inclusive else self.extra + self.offset - offset
        return replace(self, offset=offset, extra=extra)

    def value(self, size: int) -> int:
        """Return about what the field holds for a frame of this size."""
        fixed = size - self.extra - (0 if self.inclusive else self.header)
        return max(0, fixed // self.unit)

    @cached_property
    def cost(self) -> float:
        """Bits by which this layout is less usual than 4 bytes that count what follows them."""
        field = self.field
        cost = field.cost
        if self.offset:
            cost += 1 + log2(self.offset) / 2
            if self.offset % {2: 2, 4: 4}.get(field.width, 1):
                cost += 1.2
        beyond = self.extra - self.header if self.inclusive else self.extra
        if isinstance(field, FixedField):
            if beyond == 0:
                pass
            elif self.extra == 0:
                cost += 0.6
            elif self.extra == self.offset:
                # It counts itself, and not what is before it: a type, as in PostgreSQL.
                cost += 3 if self.offset == 1 else 6
            else:
                cost += 3.5 + log2(abs(beyond)) + (4 if beyond < 0 else 0)
        elif isinstance(field, DigitsField | BcdField):
            cost += 0 if beyond == 0 or self.extra == 0 else 2
        elif isinstance(field, DigitsUntil):
            cost += 0 if self.extra in (0, 1) else 2
        else:
            if self.extra:
                cost += 3 + log2(abs(self.extra)) + (2 if self.extra < 0 else 0)
            cost += 2 if self.inclusive else 0
        units = 0 if self.unit == 1 else 4 if field.width > 1 else 6
        return cost + units + (5 if self.align > 1 else 0)
