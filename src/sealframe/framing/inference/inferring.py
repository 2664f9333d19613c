"""From captures to candidates: the names, the search, and which comes first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from .characters import counts_characters
from .enumerating import whole_frame
from .naming import Known, known
from .presenting import MARGIN, candidate_of, known_candidate
from .results import Candidate, Capture, Diagnosis
from .scoring import Fit
from .searching import Finding, search
from .text_heads import text_heads
from .verdicts import cut_end, kind_of, no_layout, one_frame, unknown_front, unsure
from .walking import Cutting
from .window import WINDOW, Window, few_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer


__all__ = ["captures_of", "diagnose", "infer"]

_CANDIDATES: Final = 8
_OF_ONE_CUTTING: Final = 3
_FEW: Final = 3
_LEAST: Final = 3.0
"""Bits below which a fit is not worth a guess."""
_NAMED: Final = 20.0
"""Bits from which the catalogue's name is worth a guess."""
_SURE: Final = 40.0
_BEYOND_DOUBT: Final = 100.0
"""Bits from which the catalogue's name needs no search that confirms it."""


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
    if not isinstance(data, bytes):
        # What is bytes already is not copied: it may be large.
        data = bytes(memoryview(data))  # type: ignore[arg-type]
    return [Capture(data)]


def infer(data: Buffer | Capture | Sequence[Capture]) -> list[Candidate]:
    """Return the layouts that cut the bytes into frames, best first.

    Several captures are taken for streams in one layout: the two directions of a connection, or
    several connections. The first 64 KiB of each are searched; what fits best there walks the rest.

    :param data: the bytes of one stream from its beginning to an end of it, or captures
    :returns: at most 8 candidates, none where nothing fits
    :raises TypeError: ``data`` is neither bytes-like nor made of captures
    """
    return list(diagnose(data).candidates)


def diagnose(data: Buffer | Capture | Sequence[Capture]) -> Diagnosis:
    """Return what :func:`~sealframe.framing.infer` does, and a verdict where no layout is sure.

    :param data: as for :func:`~sealframe.framing.infer`
    :raises TypeError: as :func:`~sealframe.framing.infer`
    """
    captures = [capture for capture in captures_of(data) if capture.data]
    if not captures:
        return Diagnosis((), "There are no bytes to look at.")
    names = known(captures)
    named = sum(one.bits for one in names if one)
    heads = text_heads(captures) if named < _SURE else None
    if heads and heads.evidence.bits > _SURE:
        sure = heads.confidence == "high"
        return Diagnosis((heads,), None if sure else _unsure(captures, [heads]))
    kind = next(filter(None, (kind_of(capture.data) for capture in captures)), None)
    if kind and kind.sure and named < _SURE:
        return Diagnosis((), kind.sentence)
    if named > _BEYOND_DOUBT and all(one and one.strong for one in names):
        entry = known_candidate(captures, names, named)
        if entry.confidence == "high" and entry.evidence.frames > _FEW:
            return Diagnosis((entry,), None)
    findings = search([Window(capture) for capture in captures])
    candidates = _candidates(captures, findings)
    if named > _NAMED:
        candidates = _with_name(captures, names, findings, candidates)
    if all(few_kinds(bytes(capture.data[:WINDOW])) for capture in captures):
        candidates = [replace(one, confidence="guess") for one in candidates]
    if candidates and candidates[0].confidence == "high":
        return Diagnosis(tuple(candidates), None)
    if heads:
        candidates = [heads, *candidates][:_CANDIDATES]
    if kind:
        return Diagnosis(tuple(candidates), kind.sentence)
    for capture in captures:
        if sentence := counts_characters(bytes(capture.data[:WINDOW])):
            return Diagnosis(tuple(candidates), sentence)
    if not candidates and (alone := _as_one_frame(captures)):
        return Diagnosis(tuple(alone), one_frame(len(captures[0].data)))
    return Diagnosis(tuple(candidates), _unsure(captures, candidates))


def _as_one_frame(captures: Sequence[Capture]) -> list[Candidate]:
    """Return the usual layouts in which a capture is one whole frame."""
    if len(captures) > 1 or not captures[0].complete:
        return []
    data = captures[0].data
    found = []
    for hypothesis in sorted(whole_frame(data), key=lambda one: one.cost)[:_OF_ONE_CUTTING]:
        fit = Fit(hypothesis, Cutting((0,), len(data)), 0.0, 0.0, exact=True, columns=())
        candidate = candidate_of(captures, Finding(hypothesis, (fit,), 0, 0.0, 0.0), 0.0)
        if candidate:
            found.append(replace(candidate, confidence="guess"))
    return found


def _candidates(captures: Sequence[Capture], findings: Sequence[Finding]) -> list[Candidate]:
    candidates: list[Candidate] = []
    kept: Counter[tuple[Cutting | None, ...]] = Counter()
    for finding in findings[:100]:
        if finding.score < _LEAST or len(candidates) == _CANDIDATES:
            break
        if kept[finding.cutting] == _OF_ONE_CUTTING:
            continue
        kept[finding.cutting] += 1
        candidate = candidate_of(captures, finding, _margin(finding, findings))
        if candidate:
            candidates.append(candidate)
    return candidates


def _with_name(
    captures: Sequence[Capture],
    names: Sequence[Known | None],
    findings: Sequence[Finding],
    candidates: list[Candidate],
) -> list[Candidate]:
    """Return the candidates with the catalogue's entry among them, in its place."""
    bits = sum(one.bits for one in names if one)
    first = candidates[0] if candidates else None
    entry = known_candidate(captures, names, bits)
    if first and _alike(first, entry):
        high = "high" in (first.confidence, entry.confidence)
        # The catalogue's entry may cut captures that the search's layout does not.
        more = entry.evidence.frames > first.evidence.frames
        evidence = entry.evidence if more else first.evidence
        if entry.evidence.frames == evidence.frames:
            notes = dict.fromkeys((*evidence.notes, *entry.evidence.notes))
            evidence = replace(evidence, notes=tuple(notes))
        evidence = replace(evidence, bits=max(bits, first.evidence.bits))
        best = replace(entry, confidence="high" if high else "guess", evidence=evidence)
        return [best, *candidates]
    score = max(0.0, findings[0].bits) if first else 0.0
    # What stands inside of frames may be framed too, and have more that repeats; but it does not
    # begin where the stream does.
    inside = first and entry.confidence == "high" and _skipped(first) > _skipped(entry)
    if first is None or inside or bits > score:
        if not inside:
            entry = known_candidate(captures, names, bits - score)
        return [entry, *(replace(one, confidence="guess") for one in candidates)]
    return [first, replace(entry, confidence="guess"), *candidates[1:]]


def _skipped(one: Candidate) -> int:
    """Return the bytes before the first frames of all captures."""
    return sum(starts[0] for starts in one.evidence.starts if starts)


def _alike(one: Candidate, other: Candidate) -> bool:
    """Whether the other cuts what the one does, and in the same way."""
    pairs = zip(one.evidence.starts, other.evidence.starts, strict=True)
    return all(a[:60] == b[:60] for a, b in pairs if a) and any(one.evidence.starts)


def _unsure(captures: Sequence[Capture], candidates: Sequence[Candidate]) -> str:
    size = sum(len(capture.data) for capture in captures)
    if not candidates:
        return no_layout(size)
    first = candidates[0].evidence
    if first.bits > _SURE and first.margin > MARGIN:
        # All but one thing speaks for it.
        if first.left_over or not all(capture.complete for capture in captures):
            return cut_end(first.frames, first.left_over)
        if candidates[0].preamble:
            return unknown_front(first.frames, len(candidates[0].preamble))
    starts = [one for one in first.starts if one]
    sizes = [after - before for one in starts for before, after in pairwise(one)]
    return unsure(first.frames, sizes, size)


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
