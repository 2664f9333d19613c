"""What bytes cost a reader that knows nothing of frames: the null hypothesis of every score."""

from __future__ import annotations

from math import log2
from typing import Final

__all__ = ["ByteCosts"]

_MODELLED: Final = 1 << 14


class ByteCosts:
    """Bits that each byte costs an adaptive model, worked out as far as they are asked for, and
    not further than 16 KiB.

    The counts of orders 0, 1 and 2 are mixed as PPM's method C does: a context counts as much as it
    was seen, the shorter one as often as it had a new byte. Beside them, the byte 4 before, that 8
    before, and which of the last three are zeros predict each byte, so that arrays of numbers do
    not look like frames. Each of the four has the weight that its predictions of late have earned,
    kept apart for places at which the bytes 4 and 8 before are the same.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._chances: list[float] = []
        self._zero = [0] * 256
        # Keyed by context and byte: how often. Keyed by context: how often, and how many bytes.
        self._one: dict[int, int] = {}
        self._one_total = [0] * 256
        self._one_kinds = [0] * 256
        self._two: dict[int, int] = {}
        self._two_total: dict[int, int] = {}
        self._two_kinds: dict[int, int] = {}
        self._others = (_Counts(), _Counts(), _Counts())
        self._weights = ([0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1])

    def chances(self, end: int) -> list[float]:
        """Return how likely each of at least the first ``end`` bytes was, or of all."""
        size = len(self._data)
        end = min(end, size)
        if end > len(self._chances):
            self._extend(min(size, end + 1024, _MODELLED))
        if end > len(self._chances):
            self._carry_on()
        return self._chances

    def bits(self, start: int, end: int) -> float:
        """Return what the bytes from ``start`` to ``end`` cost together."""
        return -sum(map(log2, self.chances(end)[start:end]))

    def _carry_on(self) -> None:
        """Take each byte that is left for as likely as it was so far, on the average."""
        bits, counts = [0.0] * 256, [0] * 256
        for byte, chance in zip(self._data, self._chances, strict=False):
            bits[byte] -= log2(chance)
            counts[byte] += 1
        average = sum(bits) / len(self._chances) + 8
        usual = [
            2 ** -(cost / count if count else average)
            for cost, count in zip(bits, counts, strict=True)
        ]
        self._chances += [usual[byte] for byte in self._data[len(self._chances) :]]

    def _extend(self, end: int) -> None:
        data, chances = self._data, self._chances
        zero, one, two = self._zero, self._one, self._two
        one_total, one_kinds = self._one_total, self._one_kinds
        two_total, two_kinds = self._two_total, self._two_kinds
        done = len(chances)
        last = data[done - 1] if done > 0 else 0
        before = data[done - 2] if done > 1 else 0
        of_four, of_eight, of_zeros = (counts.probability for counts in self._others)
        doubtful, repeating = self._weights
        # Which of the 3 bytes before are 0, as bits.
        zeros = sum(1 << lag for lag in range(min(3, done)) if not data[done - 1 - lag])
        for position in range(done, end):
            byte = data[position]
            # Where the byte 4 before was that of 8 before, the next is likely so as well.
            fourth = data[position - 4] if position > 3 else 256
            eighth = data[position - 8] if position > 7 else 256
            weights = repeating if fourth == eighth else doubtful
            weight2, weight4, weight8, weight0 = weights
            probability = (zero[byte] + 0.1) / (position + 25.6)
            key = last << 8 | byte
            count = one.get(key, 0)
            weight = one_kinds[last] + 1
            probability = (count + weight * probability) / (one_total[last] + weight)
            one[key] = count + 1
            one_total[last] += 1
            if not count:
                one_kinds[last] = weight
            context = before << 8 | last
            key = context << 8 | byte
            count = two.get(key, 0)
            weight = two_kinds.get(context, 0) + 1
            total = two_total.get(context, 0)
            probability = (count + weight * probability) / (total + weight)
            two[key] = count + 1
            two_total[context] = total + 1
            if not count:
                two_kinds[context] = weight
            zero[byte] += 1
            by_four = of_four(fourth, byte)
            by_eight = of_eight(eighth, byte)
            by_zeros = of_zeros(zeros, byte)
            mixed = (
                weight2 * probability + weight4 * by_four + weight8 * by_eight + weight0 * by_zeros
            )
            chances.append(mixed)
            # The share of each in the prediction is its next weight, less what is forgotten.
            weights[0] = 0.97 * weight2 * probability / mixed + 0.0075
            weights[1] = 0.97 * weight4 * by_four / mixed + 0.0075
            weights[2] = 0.97 * weight8 * by_eight / mixed + 0.0075
            weights[3] = 0.97 * weight0 * by_zeros / mixed + 0.0075
            zeros = (zeros << 1 | (not byte)) & 7
            before, last = last, byte


class _Counts:
    """Predicts a byte by those that came in the same context."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._totals = [0] * 257
        self._kinds = [0] * 257

    def probability(self, context: int, byte: int) -> float:
        """Return how likely the byte was in this context, of 257, and count it."""
        key = context << 8 | byte
        count = self._counts.get(key, 0)
        weight = self._kinds[context] + 1
        total = self._totals[context]
        self._counts[key] = count + 1
        self._totals[context] = total + 1
        if not count:
            self._kinds[context] = weight
        return (count + weight / 256) / (total + weight)
