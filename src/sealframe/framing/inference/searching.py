"""Searches windows for the cuttings that are worth most."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from math import log2
from typing import TYPE_CHECKING, Final

from .enumerating import at_start, chains, digits_elsewhere
from .marks import marked
from .restarting import begins_alike, has_mark, restarts
from .scoring import Scorer
from .walking import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .hypotheses import Hypothesis
    from .scoring import Fit
    from .walking import Cutting
    from .window import Window

__all__ = ["Finding", "search"]

_PROBED: Final = 40
"""So many frames are walked at first."""
_WALKED: Final = 1500
"""So many hypotheses go on from there."""
_FRAMES: Final = 500
_GROUPS: Final = 200
"""So many cuttings, the likeliest, are looked at; those with most in common are scored."""
_SCORED: Final = 24
_OF_A_GROUP: Final = 12
_CHAINED: Final = 60
_CHAINS: Final = 32
"""So many chains whose fields have most in common around them are looked at with all offsets of
their field."""
_LONGEST: Final = 8
"""As many of those that are longest for their field are."""
_GLANCED: Final = 24
"""So many frames show roughly what is around their fields."""
_OFTEN: Final = 4
_AROUND: Final = (*range(-8, 0), *range(1, 8))
_STEPS: Final = 250_000
"""So many frames are walked in a stage of the search, the likeliest hypotheses first. Where nearly
all of them fit, as in zeros, it bounds the work."""
_CLEAR: Final = 40.0
"""With so many bits and an exact end at a known start, no other start is looked for."""
_JOINED: Final = 40
"""So many fits of one window are tried on the others."""
_SEGMENTS: Final = 64
"""So many segments of another window are tried as the first frame's."""
_RESTARTED: Final = 12
"""So many of the best fits are tried with other beginnings."""
_LIKE: Final = 100.0
"""So many bits a fit with more frames in front may lack: first messages are unlike the others."""
_LONGER: Final = 4.0
"""What a frame in front is worth beyond that, in bits."""
_IN_FRONT: Final = 60.0
"""So many bits one that begins with the data may lack if the others cut its mark off."""
_AGREES: Final = 12.0
_DISAGREES: Final = 30.0


@dataclass(frozen=True)
class Finding:
    """A hypothesis over all windows.

    :ivar fits: its fit in each window, or None where it does not cut that one
    :ivar main: which of the windows was searched for it
    """

    hypothesis: Hypothesis
    fits: tuple[Fit | None, ...]
    main: int
    score: float
    bits: float

    @property
    def fit(self) -> Fit:
        """The fit in the window that was searched."""
        fit = self.fits[self.main]
        assert fit is not None
        return fit

    @property
    def cutting(self) -> tuple[Cutting | None, ...]:
        """How it cuts the windows."""
        return tuple(fit.cutting if fit else None for fit in self.fits)

    def plus(self, bits: float) -> Finding:
        """Return the same with a better score."""
        return replace(self, score=self.score + bits, bits=self.bits + bits)


def search(windows: Sequence[Window]) -> list[Finding]:
    """Return the best hypotheses over all windows together, best first."""
    scorers = [Scorer(window) for window in windows]
    if len(windows) == 1:
        return [_finding(fit, (fit,), 0) for fit in _search_one(scorers[0])]
    findings: list[Finding] = []
    # Where the largest tells nothing, the others may.
    for main in sorted(range(len(windows)), key=lambda one: -min(len(windows[one].data), 20000)):
        for fit in _search_one(scorers[main])[:_JOINED]:
            everywhere = tuple(
                fit if index == main else _fit_elsewhere(scorer, fit)
                for index, scorer in enumerate(scorers)
            )
            findings.append(_finding(fit, everywhere, main))
        findings.sort(key=_by_score)
        if findings and findings[0].score >= _CLEAR:
            break
    return _usual_first(findings)


def _usual_first(findings: Sequence[Finding]) -> list[Finding]:
    """Put the most usual of those that cut alike first: the others cut as well by chance."""
    groups: dict[tuple[Cutting | None, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.cutting, []).append(finding)
    settled = []
    for members in groups.values():
        top = max(finding.score for finding in members)
        members.sort(key=lambda one: one.hypothesis.cost)
        settled += [one.plus(top - 0.01 * i - one.score) for i, one in enumerate(members)]
    return sorted(settled, key=_by_score)


def _finding(fit: Fit, fits: tuple[Fit | None, ...], main: int) -> Finding:
    score, bits = fit.score, fit.bits
    for index, other in enumerate(fits):
        if index == main:
            continue
        score += -_DISAGREES if other is None else other.score + _AGREES
        bits += -_DISAGREES if other is None else other.bits + _AGREES
    return Finding(fit.hypothesis, fits, main, score, bits)


def _by_score(found: Fit | Finding) -> float:
    return -found.score


def _fit_elsewhere(scorer: Scorer, fit: Fit) -> Fit | None:
    data = scorer.window.data
    cutting = walk(data, fit.hypothesis, 0, _FRAMES)
    if cutting is None:
        # Behind a preamble, if the other has one, or where a segment begins.
        greeting = range(1, min(64, len(data))) if fit.start else range(0)
        starts = (*greeting, *sorted(scorer.window.boundaries)[:_SEGMENTS])
        found = (walk(data, fit.hypothesis, start, _FRAMES) for start in starts)
        cutting = next(filter(None, found), None)
    return None if cutting is None else scorer.score(fit.hypothesis, cutting)


def _search_one(scorer: Scorer) -> list[Fit]:
    data = scorer.window.data
    fits = _best(scorer, [(hypothesis, 0) for hypothesis in at_start(data)])
    if fits and fits[0].score >= _CLEAR and fits[0].exact and begins_alike(data, fits[0]):
        return fits
    fits += _best(scorer, list(digits_elsewhere(data))) + _chained(scorer, fits)
    fits.sort(key=_by_score)
    # What begins anew may have another frame in front.
    for _ in range(2):
        fits += _restarted(scorer, fits)
        fits.sort(key=_by_score)
    once = {(fit.hypothesis, fit.cutting): fit for fit in reversed(fits)}
    return sorted(_from_the_start(data, _in_phase(list(once.values()))), key=_by_score)


def _restarted(scorer: Scorer, fits: Sequence[Fit]) -> list[Fit]:
    """Return the best fits with other beginnings."""
    found = []
    seen = set()
    for fit in fits[:_RESTARTED]:
        for restart in restarts(scorer.window, fit):
            if restart in seen:
                continue
            seen.add(restart)
            cutting = walk(scorer.window.data, restart.hypothesis, restart.start, _FRAMES)
            if cutting is None:
                continue
            other = scorer.score(restart.hypothesis, cutting, chained=True)
            if restart.longer and other.score > fit.score - _LIKE:
                # That there is a frame in front says more than what is in it.
                other = other.plus(max(0.0, fit.score + _LONGER - other.score))
            found.append(other)
    return found


def _in_phase(fits: Sequence[Fit]) -> list[Fit]:
    """Put those that end exactly before those with the same fields whose frames begin elsewhere."""
    best: dict[tuple[int, ...], float] = {}
    for fit in fits:
        if fit.exact:
            best[fit.fields] = max(best.get(fit.fields, 0.0), fit.score)
    settled = []
    for fit in fits:
        limit = best.get(fit.fields)
        behind = limit is not None and not fit.exact and fit.score >= limit
        settled.append(fit.plus(limit - 1 - fit.score) if limit and behind else fit)
    return settled


def _from_the_start(data: bytes, fits: Sequence[Fit]) -> list[Fit]:
    """Put those that begin where the data does before those with the same fields that leave a part
    of the first frame in front, though it is the mark of frames.

    Where the end is cut nothing else tells them apart: what is a mark in front of one frame is a
    trailer behind the other.
    """
    best: dict[tuple[int, ...], float] = {}
    for fit in fits:
        if fit.start and not fit.exact:
            best[fit.all_fields] = max(best.get(fit.all_fields, 0.0), fit.score)
    settled = []
    for fit in fits:
        limit = best.get(fit.all_fields, 0.0)
        first = not fit.start and limit - _IN_FRONT < fit.score <= limit and has_mark(data, fit)
        settled.append(fit.plus(limit + 1 - fit.score) if first else fit)
    return settled


def _chained(scorer: Scorer, known: Sequence[Fit]) -> list[Fit]:
    window = scorer.window
    data = window.data
    tried = {
        (fit.hypothesis.field, fit.hypothesis.extra, start + fit.hypothesis.offset)
        for fit in known[:200]
        if fit.exact or (not window.complete and fit.hypothesis.cost < 6)
        for start in fit.cutting.starts[:50]
    }
    ranked = []
    frequency = Counter(data)
    for hypothesis, place in dict.fromkeys(
        chain(chains(data, complete=window.complete), marked(data))
    ):
        if (hypothesis.field, hypothesis.extra, place) in tried:
            continue
        cutting = walk(data, hypothesis, place, _PROBED)
        if cutting:
            alike = _in_columns(data, frequency, hypothesis, cutting)
            ranked.append((_rank(scorer, hypothesis, cutting), alike, hypothesis, place))
    ranked.sort(key=lambda one: -one[1])
    likely = ranked[:_CHAINS]
    ranked.sort(key=lambda one: -one[0])
    likely += ranked[:_LONGEST]
    fits = []
    steps = 0
    for hypothesis, place in dict.fromkeys((one, at) for _, _, one, at in likely):
        for offset in range(min(17, place)):
            moved = hypothesis.moved(offset)
            cutting = walk(data, moved, place - offset, _FRAMES)
            if cutting and len(cutting.starts) >= 3:
                steps += len(cutting.starts)
                fits.append(scorer.score(moved, cutting, chained=True))
        if steps > _STEPS:
            break
    return sorted(fits, key=_by_score)[:_CHAINED]


def _in_columns(
    data: bytes, frequency: Counter[int], hypothesis: Hypothesis, cutting: Cutting
) -> float:
    """Return roughly what the columns around the fields save that have few kinds of bytes."""
    size = len(data)
    saved = 0.0
    places = [start + hypothesis.lowest for start in cutting.starts[:_GLANCED]]
    for column in _AROUND:
        there = Counter(data[at + column] for at in places if 0 <= at + column < size)
        for byte, count in there.items():
            if count >= _OFTEN:
                saved += max(0.0, count * log2(count * size / (len(places) * frequency[byte])) - 8)
    return saved


def _best(scorer: Scorer, places: Iterable[tuple[Hypothesis, int]]) -> list[Fit]:
    """Score the likeliest of hypotheses and where they start.

    Hypotheses that cut alike share a score; the more usual ones come first.
    """
    data = scorer.window.data
    probed = []
    for hypothesis, start in places:
        cutting = walk(data, hypothesis, start, _PROBED)
        if cutting and (len(cutting.starts) > 1 or cutting.end == len(data)):
            rank = _rank(scorer, hypothesis, cutting)
            probed.append((rank, hypothesis, start, cutting))
    probed.sort(key=lambda one: -one[0])
    groups: dict[Cutting, list[Hypothesis]] = {}
    steps = 0
    for _, hypothesis, start, cutting in probed[:_WALKED]:
        whole = cutting if cutting.ended else walk(data, hypothesis, start, _FRAMES)
        if whole:
            groups.setdefault(whole, []).append(hypothesis)
            steps += len(whole.starts)
        if steps > _STEPS:
            break
    fits = []
    frequency = Counter(data)
    likely = list(groups.items())[:_GROUPS]
    likely.sort(key=lambda one: -_in_columns(data, frequency, one[1][0], one[0]))
    for cutting, members in {
        **dict(likely[:_SCORED]),
        **dict(list(groups.items())[:_SCORED]),
    }.items():
        members.sort(key=lambda one: one.cost)
        scored = [scorer.score(hypothesis, cutting) for hypothesis in members[:_OF_A_GROUP]]
        # The field's own bits are not held against a narrower field: what is usual decides.
        top = max(fit.score for fit in scored)
        fits += [fit.plus(top - 0.01 * index - fit.score) for index, fit in enumerate(scored)]
    return sorted(fits, key=_by_score)


def _rank(scorer: Scorer, hypothesis: Hypothesis, cutting: Cutting) -> float:
    """Return roughly how unlikely the walk is by chance, in bits."""
    window = scorer.window
    size = len(window.data)
    largest = max(cutting.whole(size) or cutting.sizes)
    chance = window.chance(hypothesis.field, hypothesis.value(largest))
    exact = 8 if cutting.end == size else 0
    changes = sum(one != other for one, other in pairwise(cutting.sizes))
    widths = max(0.0, scorer.widths(hypothesis, cutting))
    return -log2(chance) * (1 + changes) + widths + exact - hypothesis.cost
