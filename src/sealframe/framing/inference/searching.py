"""Searches a window for the cuttings that are worth most."""

from __future__ import annotations

from itertools import pairwise
from math import log2
from typing import TYPE_CHECKING, Final

from .enumerating import TEXTUAL, at_start, chains
from .hypotheses import Hypothesis
from .scoring import Fit, Scorer, column_gains
from .walking import Cutting, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .window import Window

__all__ = ["search"]

_GROUPS: Final = 80
_OF_A_GROUP: Final = 12
_CHAINED: Final = 60
_RANKED: Final = 300
_CLEAR: Final = 40.0
"""With so many bits at a known start, no other start is looked for."""
_JOINED: Final = 60
"""So many fits of one window are tried on the others."""
_AGREES: Final = 12.0
_DISAGREES: Final = 30.0


def search(windows: Sequence[Window]) -> list[Fit]:
    """Return the best fits over all windows together, best first, as they cut the fullest one."""
    fullest = max(windows, key=lambda window: min(len(window.data), 20000))
    fits = _search_one(fullest)
    others = [window for window in windows if window is not fullest]
    if not others:
        return fits
    scorers = [Scorer(window) for window in others]
    joined = []
    for fit in fits[:_JOINED]:
        for scorer in scorers:
            found = _fit_elsewhere(scorer, fit)
            fit = fit.plus(-_DISAGREES) if found is None else fit.joined(found)
        joined.append(fit)
    return sorted(joined, key=_by_score)


def _by_score(fit: Fit) -> float:
    return -fit.score


def _fit_elsewhere(scorer: Scorer, fit: Fit) -> Fit | None:
    data = scorer.window.data
    cutting = walk(data, fit.hypothesis)
    if cutting is None and fit.start:
        found = (walk(data, fit.hypothesis, start) for start in range(1, min(64, len(data))))
        cutting = next(filter(None, found), None)
    return None if cutting is None else scorer.score(fit.hypothesis, cutting)


def _search_one(window: Window) -> list[Fit]:
    scorer = Scorer(window)
    data = window.data
    found = []
    for hypothesis in at_start(data):
        cutting = walk(data, hypothesis)
        if cutting and (len(cutting.starts) > 1 or cutting.end == len(data)):
            found.append((hypothesis, cutting))
    fits = _best(scorer, found)
    if fits and fits[0].score >= _CLEAR and fits[0].exact:
        return fits
    fits += _best(scorer, _textual_elsewhere(data)) + _chained(scorer, fits)
    return sorted(fits, key=_by_score)


def _textual_elsewhere(data: bytes) -> list[tuple[Hypothesis, Cutting]]:
    found = []
    for hypothesis in TEXTUAL:
        for start in range(1, min(400, len(data))):
            cutting = walk(data, hypothesis, start)
            if cutting and len(cutting.starts) >= 3:
                found.append((hypothesis, cutting))
                break
    return found


def _chained(scorer: Scorer, known: Sequence[Fit]) -> list[Fit]:
    window = scorer.window
    data = window.data
    tried = {
        (fit.hypothesis.field, fit.hypothesis.extra, start + fit.hypothesis.offset)
        for fit in known[:200]
        if fit.exact or (not window.complete and fit.hypothesis.cost < 6)
        for start in fit.cutting.starts[:50]
    }
    fits = []
    for hypothesis, place in chains(data):
        if (hypothesis.field, hypothesis.extra, place) in tried:
            continue
        for offset in range(min(17, place)):
            moved = hypothesis.moved(offset)
            cutting = walk(data, moved, place - offset)
            if cutting and len(cutting.starts) >= 3:
                fits.append(scorer.score(moved, cutting, chained=True))
    return sorted(fits, key=_by_score)[:_CHAINED]


def _best(scorer: Scorer, found: Iterable[tuple[Hypothesis, Cutting]]) -> list[Fit]:
    """Score the likeliest; hypotheses that cut alike share a score, and what is usual comes first."""
    groups: dict[Cutting, list[tuple[float, Hypothesis]]] = {}
    for hypothesis, cutting in found:
        rank = _rank(scorer.window, hypothesis, cutting)
        groups.setdefault(cutting, []).append((rank, hypothesis))
    likeliest = sorted(groups.items(), key=lambda item: -max(rank for rank, _ in item[1]))
    fits = []
    for cutting, ranked in likeliest[:_GROUPS]:
        members = sorted((hypothesis for _, hypothesis in ranked), key=lambda one: one.cost)
        scored = [scorer.score(hypothesis, cutting) for hypothesis in members[:_OF_A_GROUP]]
        # The field's own bits are not held against a narrower field: what is usual decides.
        top = max(fit.score for fit in scored)
        fits += [fit.plus(top - 0.01 * index - fit.score) for index, fit in enumerate(scored)]
    return sorted(fits, key=_by_score)


def _rank(window: Window, hypothesis: Hypothesis, cutting: Cutting) -> float:
    """Return roughly how unlikely the walk is by chance, in bits."""
    size = len(window.data)
    largest = max(cutting.whole(size) or cutting.sizes)
    chance = window.chance(hypothesis.field, hypothesis.value(largest))
    exact = 8 if cutting.end == size else 0
    changes = sum(one != other for one, other in pairwise(cutting.sizes[:_RANKED]))
    return -log2(chance) * (1 + changes) + exact - hypothesis.cost
