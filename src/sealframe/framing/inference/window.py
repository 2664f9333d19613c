"""The part of a capture that is searched, and what its bytes cost a reader that knows no frames."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from math import log2
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .hypotheses import Field
    from .results import Capture

__all__ = ["WINDOW", "Window"]

WINDOW: Final = 1 << 16
"""So many bytes of a capture are searched; the winner walks the rest."""
_SAMPLE: Final = 2048
_NOTHING: Final = 1 << 70


class Window:
    """The first bytes of a capture."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.data = bytes(capture.data[:WINDOW])
        self.complete = capture.complete and len(capture.data) <= WINDOW
        size = len(self.data)
        self.boundaries = frozenset(at for at in capture.boundaries if 0 < at < size)
        self._values: dict[Field, list[int]] = {}

    @cached_property
    def costs(self) -> list[float]:
        """Bits that each byte costs an adaptive model of order 2: the null hypothesis."""
        return _costs(self.data)

    def chance(self, field: Field, largest: int) -> float:
        """Return the part of all positions at which the field would hold 0 to ``largest``."""
        values = self._values.get(field)
        if values is None:
            sample = self.data[:_SAMPLE]
            values = sorted(
                read[0] if (read := field.read(sample, position)) else _NOTHING
                for position in range(1, len(sample))
            )
            self._values[field] = values
        found = bisect_right(values, largest) - bisect_left(values, 0)
        return (found + 1) / (len(values) + 2)


def _costs(data: bytes) -> list[float]:
    """Mix the counts of orders 0, 1 and 2 as PPM's method C does, and return -log2 of each byte."""
    zero = [0] * 256
    # Keyed by context and byte, and by context: how often, and how many different bytes.
    one: dict[int, int] = {}
    one_total: dict[int, int] = {}
    one_kinds: dict[int, int] = {}
    two: dict[int, int] = {}
    two_total: dict[int, int] = {}
    two_kinds: dict[int, int] = {}
    costs = []
    last = before = 0
    for seen, byte in enumerate(data):
        context1 = last
        context2 = before << 8 | last
        key1 = context1 << 8 | byte
        key2 = context2 << 8 | byte
        probability = (zero[byte] + 0.1) / (seen + 25.6)
        kinds = one_kinds.get(context1, 0)
        count = one.get(key1, 0)
        total = one_total.get(context1, 0)
        weight = kinds + 1
        probability = (count + weight * probability) / (total + weight)
        one[key1] = count + 1
        one_total[context1] = total + 1
        if not count:
            one_kinds[context1] = weight
        kinds = two_kinds.get(context2, 0)
        count = two.get(key2, 0)
        total = two_total.get(context2, 0)
        weight = kinds + 1
        probability = (count + weight * probability) / (total + weight)
        two[key2] = count + 1
        two_total[context2] = total + 1
        if not count:
            two_kinds[context2] = weight
        zero[byte] += 1
        costs.append(-log2(probability))
        before, last = last, byte
    return costs
