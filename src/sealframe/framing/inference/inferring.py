"""From captures to candidates: the search, and what is made of what it finds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from ...errors import ConfigurationError
from ..expression import parse_layout
from .expressions import expression
from .results import Candidate, Capture, Diagnosis, Evidence
from .searching import search
from .verdicts import kind_of, no_layout, unsure
from .walking import Cutting, walk
from .window import WINDOW, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from ..base import FrameLayout
    from .searching import Finding

__all__ = ["captures_of", "diagnose", "infer"]

_CANDIDATES: Final = 8
_OF_ONE_CUTTING: Final = 3
_LEAST: Final = 3.0
"""Bits below which a fit is not worth a guess."""


def captures_of(data: Buffer | Capture | Sequence[Capture]) -> list[Capture]:
    """Return captures, whatever of these was given.

    :raises TypeError: it is none of them
    """
    if isinstance(data, Capture):
        return [data]
    if isinstance(data, list | tuple):
        if not all(isinstance(one, Capture) for one in data):
            raise TypeError("bytes, a Capture or a sequence of Capture is needed")
        return list(data)
    return [Capture(bytes(memoryview(data)))]  # type: ignore[arg-type]


def infer(data: Buffer | Capture | Sequence[Capture]) -> list[Candidate]:
    """Return the layouts that cut the bytes into frames, best first.

    Several captures are taken for streams in one layout: the two directions of a connection, or
    several connections. The first 64 KiB of each are searched; what fits best there walks the rest.

    :param data: the bytes of one stream from its beginning to an end of it, or captures
    :returns: at most 8 candidates, none where nothing fits
    """
    return list(diagnose(data).candidates)


def diagnose(data: Buffer | Capture | Sequence[Capture]) -> Diagnosis:
    """Return what :func:`infer` does, and a verdict where no layout is sure.

    :param data: as for :func:`infer`
    """
    captures = [capture for capture in captures_of(data) if capture.data]
    if not captures:
        return Diagnosis((), "There are no bytes to look at.")
    kind = next(filter(None, (kind_of(capture.data) for capture in captures)), None)
    if kind and kind.sure:
        return Diagnosis((), kind.sentence)
    findings = search([Window(capture) for capture in captures])
    candidates: list[Candidate] = []
    kept: Counter[tuple[Cutting | None, ...]] = Counter()
    for finding in findings:
        if finding.score < _LEAST or len(candidates) == _CANDIDATES:
            break
        if kept[finding.cutting] == _OF_ONE_CUTTING:
            continue
        candidate = _candidate(captures, finding, _margin(finding, findings))
        if candidate:
            kept[finding.cutting] += 1
            candidates.append(candidate)
    if candidates and candidates[0].confidence == "high":
        return Diagnosis(tuple(candidates), None)
    return Diagnosis(tuple(candidates), kind.sentence if kind else _unsure(captures, findings))


def _unsure(captures: Sequence[Capture], findings: Sequence[Finding]) -> str:
    size = sum(len(capture.data) for capture in captures)
    if not findings or findings[0].score < _LEAST:
        return no_layout(size)
    fits = [fit for fit in findings[0].fits if fit]
    sizes = [size for fit in fits for size in fit.cutting.sizes]
    return unsure(sizes, size)


def _margin(finding: Finding, findings: Sequence[Finding]) -> float:
    """Return the bits above the best finding that cuts otherwise."""
    places = _places(finding)
    for other in findings:
        if other.cutting != finding.cutting and len(places & _places(other)) < 0.6 * len(places):
            return finding.bits - max(0.0, other.bits)
    return finding.bits


def _places(finding: Finding) -> set[int]:
    """Return where the fields stand: the same for cuttings that only begin elsewhere."""
    lowest = finding.hypothesis.lowest
    return {start + lowest for start in finding.fit.cutting.starts[:300]}


def _confidence(finding: Finding, margin: float) -> Literal["high", "guess"]:
    fits = [fit for fit in finding.fits if fit]
    sizes = [size for fit in fits for size in fit.cutting.sizes[:200]]
    commonest = Counter(sizes).most_common(1)[0][1] / len(sizes)
    sure = (
        len(fits) == len(finding.fits)
        and finding.bits > 40
        and margin > 15
        and all(fit.exact for fit in fits)
        and len(set(sizes)) > 2
        and len(sizes) > 3
        and commonest < 0.93
        and finding.hypothesis.field.width > 1
    )
    return "high" if sure else "guess"


def _candidate(captures: Sequence[Capture], finding: Finding, margin: float) -> Candidate | None:
    text = expression(finding.hypothesis)
    layout = _layout(text)
    if layout is None:
        return None
    starts: list[tuple[int, ...]] = []
    frames = left_over = 0
    for capture, fit in zip(captures, finding.fits, strict=True):
        cutting = walk(capture.data, finding.hypothesis, fit.start) if fit else None
        if cutting is None:
            starts.append(())
            left_over += len(capture.data)
            continue
        whole = cutting.whole(len(capture.data))
        starts.append(tuple(start for start in cutting.starts if start < WINDOW))
        frames += len(whole)
        left_over += len(capture.data) - cutting.starts[0] - sum(whole)
    first = finding.fits[0]
    return Candidate(
        framing=layout,
        expression=text,
        preamble=bytes(captures[0].data[: first.start]) if first else b"",
        confidence=_confidence(finding, margin),
        evidence=Evidence(frames, left_over, finding.bits, margin, tuple(starts)),
    )


def _layout(text: str) -> FrameLayout | None:
    try:
        return parse_layout(text)
    except ConfigurationError:
        return None
