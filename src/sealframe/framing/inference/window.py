"""The part of a capture that is searched."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Final

from .chance import ByteCosts

if TYPE_CHECKING:
    from .hypotheses import Field
    from .results import Capture

__all__ = ["WINDOW", "Window", "few_kinds"]

WINDOW: Final = 1 << 16
"""So many bytes of a capture are searched; the winner walks the rest."""
_SAMPLE: Final = 2048
_NOTHING: Final = 1 << 70


class Window:
    """The first bytes of a capture."""

    def __init__(self, capture: Capture) -> None:
        self.data = bytes(capture.data[:WINDOW])
        self.complete = capture.complete and len(capture.data) <= WINDOW
        size = len(self.data)
        self.boundaries = frozenset(at for at in capture.boundaries if 0 < at < size)
        self.costs = ByteCosts(self.data)
        self._values: dict[Field, list[int]] = {}
        self._widths: dict[Field, dict[int, float]] = {}

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

    def widths(self, field: Field) -> dict[int, float]:
        """Return the part of all positions at which the field would have so many bytes.

        0 stands for those at which none could be.
        """
        shares = self._widths.get(field)
        if shares is None:
            sample = self.data[:_SAMPLE]
            read = (field.read(sample, position) for position in range(len(sample)))
            counts = Counter(one[1] if one else 0 for one in read)
            shares = {width: count / len(sample) for width, count in counts.items()}
            shares.setdefault(0, 1 / (len(sample) + 2))
            self._widths[field] = shares
        return shares


def few_kinds(data: bytes) -> bool:
    """Return whether there are so few kinds of bytes that chance looks like anything: a stream of
    bits, of dots and dashes, of small numbers. Short data may have few kinds and be frames."""
    return len(data) > 256 and len(set(data)) < 12
