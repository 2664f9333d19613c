"""What bytes cost a reader that knows nothing of frames: the null hypothesis of every score."""

from __future__ import annotations

from math import log2

__all__ = ["ByteCosts"]


class ByteCosts:
    """Bits that each byte costs an adaptive model, worked out as far as they are asked for.

    The counts of orders 0, 1 and 2 are mixed as PPM's method C does: a context counts as much as it
    was seen, the shorter one as often as it had a new byte. Beside them, the bytes 4 and 8 before
    predict each byte, so that arrays of numbers do not look like frames. Each of the three has
    the weight that its predictions of late have earned.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._costs: list[float] = []
        self._zero = [0] * 256
        # Keyed by context and byte: how often. Keyed by context: how often, and how many bytes.
        self._one: dict[int, int] = {}
        self._one_total = [0] * 256
        self._one_kinds = [0] * 256
        self._two: dict[int, int] = {}
        self._two_total: dict[int, int] = {}
        self._two_kinds: dict[int, int] = {}
        self._lagged = [_Lagged(4), _Lagged(8)]
        self._weights = [0.8, 0.1, 0.1]

    def until(self, end: int) -> list[float]:
        """Return the costs of at least the first ``end`` bytes, or of all."""
        end = min(end, len(self._data))
        if end > len(self._costs):
            self._extend(min(len(self._data), end + 1024))
        return self._costs

    def _extend(self, end: int) -> None:
        data, costs = self._data, self._costs
        zero, one, two = self._zero, self._one, self._two
        one_total, one_kinds = self._one_total, self._one_kinds
        two_total, two_kinds = self._two_total, self._two_kinds
        done = len(costs)
        last = data[done - 1] if done > 0 else 0
        before = data[done - 2] if done > 1 else 0
        four, eight = self._lagged
        weight2, weight4, weight8 = self._weights
        for position in range(done, end):
            byte = data[position]
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
            by_four = four.probability(data, position)
            by_eight = eight.probability(data, position)
            mixed = weight2 * probability + weight4 * by_four + weight8 * by_eight
            costs.append(-log2(mixed))
            # The share of each in the prediction is its next weight, less what is forgotten.
            weight2 = 0.94 * weight2 * probability / mixed + 0.02
            weight4 = 0.94 * weight4 * by_four / mixed + 0.02
            weight8 = 0.94 * weight8 * by_eight / mixed + 0.02
            before, last = last, byte
        self._weights = [weight2, weight4, weight8]


class _Lagged:
    """Predicts a byte by the one that stands so many before."""

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._counts: dict[int, int] = {}
        self._totals = [0] * 256
        self._kinds = [0] * 256

    def probability(self, data: bytes, position: int) -> float:
        """Return how likely the byte at ``position`` was, and count it."""
        if position < self._lag:
            return 1 / 256
        context = data[position - self._lag]
        key = context << 8 | data[position]
        count = self._counts.get(key, 0)
        weight = self._kinds[context] + 1
        probability = (count + weight / 256) / (self._totals[context] + weight)
        self._counts[key] = count + 1
        self._totals[context] += 1
        if not count:
            self._kinds[context] = weight
        return probability
