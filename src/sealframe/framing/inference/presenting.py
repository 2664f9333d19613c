"""Makes candidates of what was found: the layout, checked by its own decoder, and the evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import gcd
from typing import TYPE_CHECKING, Final, Literal

from ...errors import ConfigurationError
from ..expression import parse_layout
from .expressions import expression
from .given import run
from .hypotheses import FixedField
from .results import Candidate, Evidence
from .scoring import column_gains
from .walking import walk
from .window import WINDOW, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .hypotheses import Hypothesis
    from .naming import Known
    from .results import Capture
    from .searching import Finding
    from .walking import Cutting

__all__ = ["candidate_of", "known_candidate"]

_BITS: Final = 40.0
_MARGIN: Final = 15.0
_SAME: Final = 0.93
_MOST_TRAILER: Final = 4
_LEAST_RECORD: Final = 4
_MOST_RECORD: Final = 64
_RECORDS: Final = 4096
"""So many bytes show whether they are records."""


def candidate_of(captures: Sequence[Capture], finding: Finding, margin: float) -> Candidate | None:
    """Return the candidate, or None where no layout can be made, or its decoder cuts otherwise."""
    hypothesis = finding.hypothesis
    cuttings = [
        walk(capture.data, hypothesis, fit.start) if fit else None
        for capture, fit in zip(captures, finding.fits, strict=True)
    ]
    if not any(cuttings):
        return None
    magic, trailer = _constants(captures, cuttings, hypothesis)
    text = expression(hypothesis, magic=magic, trailer=trailer)
    try:
        layout = parse_layout(text)
    except ConfigurationError:
        return None
    for capture, cutting in zip(captures, cuttings, strict=True):
        if cutting is None:
            continue
        done = run(capture, layout, cutting.starts[0])
        if done.error or done.frames != len(cutting.whole(len(capture.data))):
            return None
    first = cuttings[0]
    return Candidate(
        framing=layout,
        expression=text,
        preamble=bytes(captures[0].data[: first.starts[0]]) if first else b"",
        confidence=_confidence(captures, finding, cuttings, margin),
        evidence=_evidence(captures, cuttings, finding.bits, margin, hypothesis),
    )


def known_candidate(
    captures: Sequence[Capture], found: Sequence[Known | None], margin: float
) -> Candidate:
    """Return the candidate for an entry of the catalogue."""
    best = max((one for one in found if one), key=lambda one: one.bits)
    entry = best.entry
    matching = [one if one and one.entry is entry else None for one in found]
    cuttings = [one.cutting if one else None for one in matching]
    bits = sum(one.bits for one in matching if one)
    ended = all(
        one and (one.exact or not capture.complete or not one.cutting.ended)
        for one, capture in zip(matching, captures, strict=True)
    )
    frames = sum(len(cutting.starts) for cutting in cuttings if cutting)
    sure = bits > _BITS and margin > _MARGIN and frames > 2 and ended
    text = entry.expression
    if "<" in text:
        # It has a function, which can be named and not written.
        text = f"layouts.{entry.constant}"
    first = cuttings[0]
    return Candidate(
        framing=entry.layout,
        expression=text,
        preamble=bytes(captures[0].data[: first.starts[0]]) if first else b"",
        confidence="high" if sure else "guess",
        evidence=_evidence(captures, cuttings, bits, margin, None),
        name=entry.name,
    )


def _confidence(
    captures: Sequence[Capture],
    finding: Finding,
    cuttings: Sequence[Cutting | None],
    margin: float,
) -> Literal["high", "guess"]:
    sizes = [size for cutting in cuttings if cutting for size in cutting.sizes[:200]]
    commonest = Counter(sizes).most_common(1)[0][1] / len(sizes)
    exact = all(
        cutting is not None and capture.complete and cutting.end == len(capture.data)
        for capture, cutting in zip(captures, cuttings, strict=True)
    )
    sure = (
        finding.bits > _BITS
        and margin > _MARGIN
        and exact
        and len(set(sizes)) > 2
        and len(sizes) > 3
        and commonest < _SAME
        and finding.bits - _as_records(captures, cuttings, sizes) > _BITS
        and not (isinstance(finding.hypothesis.field, FixedField) and _narrow(finding))
    )
    return "high" if sure else "guess"


def _as_records(
    captures: Sequence[Capture], cuttings: Sequence[Cutting | None], sizes: Sequence[int]
) -> float:
    """Return the bits that records save whose size divides that of all frames.

    An array of records has frames everywhere whose sizes are multiples of a record's: what they
    have in common is then no sign of a length.
    """
    record = gcd(*sizes)
    if not _LEAST_RECORD <= record <= _MOST_RECORD:
        return 0.0
    saved = 0.0
    for capture, cutting in zip(captures, cuttings, strict=True):
        if cutting:
            window = Window(replace(capture, data=capture.data[:_RECORDS], boundaries=()))
            start = cutting.starts[0] % record
            places = range(start, len(window.data) - record, record)
            frames = [(place - 1, place, place + record, False) for place in places]
            gains = column_gains(window, frames, range(record))
            saved += sum(max(0.0, gain.all - 1.5) for gain in gains.values())
    return saved


def _narrow(finding: Finding) -> bool:
    """Whether the field is one byte, which fits nearly anything somewhere."""
    return finding.hypothesis.field.width == 1


def _constants(
    captures: Sequence[Capture], cuttings: Sequence[Cutting | None], hypothesis: Hypothesis
) -> tuple[bytes, bytes]:
    """Return the bytes that every frame begins with, if they read like a name, and ends with."""
    frames = [
        capture.data[start:end]
        for capture, cutting in zip(captures, cuttings, strict=True)
        if cutting
        for start, end in zip(cutting.starts[:300], cutting.ends, strict=False)
        if end <= len(capture.data)
    ]
    if len(frames) < 4 or hypothesis.align > 1 or hypothesis.unit > 1:
        return b"", b""
    first = frames[0]
    beyond = max(0, min(hypothesis.adjustment, _MOST_TRAILER, len(first) - hypothesis.header))
    trailer = b""
    for size in range(1, beyond + 1):
        end = first[-size:]
        if not end[0] or not all(frame.endswith(end) for frame in frames):
            break
        trailer = end
    magic = b""
    for size in range(1, min(4, hypothesis.offset) + 1):
        begin = first[:size]
        if not 0x21 <= begin[-1] < 0x7F or not all(frame.startswith(begin) for frame in frames):
            break
        magic = begin
    return (magic if len(magic) > 2 else b""), trailer


def _evidence(
    captures: Sequence[Capture],
    cuttings: Sequence[Cutting | None],
    bits: float,
    margin: float,
    hypothesis: Hypothesis | None,
) -> Evidence:
    frames = left_over = 0
    starts: list[tuple[int, ...]] = []
    sizes: list[int] = []
    for capture, cutting in zip(captures, cuttings, strict=True):
        if cutting is None:
            starts.append(())
            left_over += len(capture.data)
            continue
        whole = cutting.whole(len(capture.data))
        starts.append(tuple(start for start in cutting.starts if start < WINDOW))
        frames += len(whole)
        left_over += len(capture.data) - cutting.starts[0] - sum(whole)
        sizes += whole
    notes = tuple(_notes(captures, cuttings, sizes, left_over, bits, hypothesis))
    return Evidence(frames, left_over, bits, margin, tuple(starts), notes)


def _notes(
    captures: Sequence[Capture],
    cuttings: Sequence[Cutting | None],
    sizes: Sequence[int],
    left_over: int,
    bits: float,
    hypothesis: Hypothesis | None,
) -> Iterator[str]:
    if sizes:
        different = len(set(sizes))
        span = f"{min(sizes):,} to {max(sizes):,} bytes" if different > 1 else f"{sizes[0]:,} bytes"
        yield (
            f"{len(sizes):,} frame{'' if len(sizes) == 1 else 's'} of {span}, "
            f"{different:,} different size{'' if different == 1 else 's'}."
        )
    yield (
        f"{left_over:,} bytes are left over behind the last whole frame."
        if left_over
        else "The last frame ends with the last byte."
    )
    if bits > 1:
        yield f"By chance, about one stream in 2^{bits:.0f} fits as well."
    for capture, cutting in zip(captures, cuttings, strict=True):
        if cutting and capture.boundaries:
            starts = set(cutting.starts)
            inside = [at for at in capture.boundaries if 0 < at < len(capture.data)]
            hits = sum(at in starts for at in inside)
            if inside:
                yield f"{hits} of {len(inside)} segments begin where a frame begins."
    if hypothesis is not None:
        yield from _width_notes(captures, cuttings, hypothesis, sizes)


def _width_notes(
    captures: Sequence[Capture],
    cuttings: Sequence[Cutting | None],
    hypothesis: Hypothesis,
    sizes: Sequence[int],
) -> Iterator[str]:
    field = hypothesis.field
    if not isinstance(field, FixedField) or not sizes:
        return
    largest = hypothesis.value(max(sizes))
    used = max(1, (largest.bit_length() + 7) // 8)
    if used < field.width:
        yield (
            f"No length is over {largest:,}, so {field.width - used} byte"
            f"{'' if field.width - used == 1 else 's'} of the length are always 0: whether they "
            "belong to it cannot be told."
        )
    if hypothesis.offset:
        heads = {
            bytes(capture.data[start : start + hypothesis.offset])
            for capture, cutting in zip(captures, cuttings, strict=True)
            if cutting
            for start in cutting.starts[:300]
            if start + hypothesis.offset <= len(capture.data)
        }
        if len(heads) == 1:
            yield (
                f"Each frame begins with {heads.pop().hex(' ')}: magic= would check that, if it is "
                "always so."
            )
