"""Makes candidates of what was found: the layout, checked by its own decoder, and the evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Final, Literal

from ...errors import ConfigurationError
from ..expression import parse_layout
from .checksums import checksum_of, checksum_of_head
from .expressions import expression
from .first_frames import begins_filled, begins_surely
from .given import run
from .hypotheses import FixedField
from .results import Candidate, Evidence
from .scoring import column_gains
from .walking import walk
from .window import WINDOW, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..base import FrameLayout
    from .hypotheses import Hypothesis
    from .naming import Known
    from .results import Capture
    from .searching import Finding
    from .walking import Cutting

__all__ = ["MARGIN", "candidate_of", "known_candidate"]

_BITS: Final = 40.0
_BITS_OF_SEGMENTS: Final = 30.0
"""So many bits suffice where every segment, of 3 at least, begins where a frame does."""
_SEGMENTS: Final = 3
MARGIN: Final = 15.0
"""Bits above all others, which make an answer sure."""
_PROVEN: Final = 80.0
"""Bits from which a checksum proves the frames."""
_PROOF: Final = 60.0
"""Bits that such a checksum adds, and no more: some are right of two frames together, too."""
_LEAST: Final = 3.0
"""Bits that a layout needs of its own."""
_SAME: Final = 0.93
_MOST_TRAILER: Final = 4
_LEAST_RECORD: Final = 4
_MOST_RECORD: Final = 64
_RECORDS: Final = 4096
"""So many bytes show whether they are records."""


@dataclass(frozen=True)
class Cut:
    """How a layout cuts one capture.

    :ivar cutting: the frames of its first 64 KiB
    :ivar sizes: the sizes of those that are whole
    :ivar frames: whole frames of all of it
    :ivar left_over: bytes behind them
    """

    cutting: Cutting
    sizes: tuple[int, ...]
    frames: int
    left_over: int

    @classmethod
    def of(cls, capture: Capture, cutting: Cutting, layout: FrameLayout, start: int) -> Cut | None:
        """Hold a cutting to the layout's own decoder; None where that cuts otherwise."""
        size = len(capture.data)
        done = run(capture, layout, start)
        sizes = cutting.whole(min(size, WINDOW))
        if done.error or done.frames < len(sizes):
            return None
        if size <= WINDOW and done.frames > len(sizes):
            return None
        return cls(cutting, sizes, done.frames, done.pending)


def candidate_of(captures: Sequence[Capture], finding: Finding, margin: float) -> Candidate | None:
    """Return the candidate, or None where no layout can be made, or its decoder cuts otherwise."""
    hypothesis = finding.hypothesis
    cuttings = [
        walk(bytes(capture.data[:WINDOW]), hypothesis, fit.start) if fit else None
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
    cuts: list[Cut | None] = []
    for capture, cutting in zip(captures, cuttings, strict=True):
        cut = Cut.of(capture, cutting, layout, cutting.starts[0]) if cutting else None
        if cutting and cut is None:
            return None
        cuts.append(cut)
    first = cuttings[0]
    evidence = _evidence(captures, cuts, finding.bits, margin, hypothesis)
    frames = _whole_frames(captures, cuttings)
    checksum = checksum_of(frames)
    if checksum:
        evidence = replace(evidence, notes=(*evidence.notes, checksum.sentence))
    if isinstance(hypothesis.field, FixedField):
        of_head = checksum_of_head(frames, hypothesis.header)
        # The same number at the end of frames that are all head is told already.
        if of_head and not (checksum and min(map(len, frames)) == of_head.at + of_head.size):
            evidence = replace(evidence, notes=(*evidence.notes, of_head.sentence))
    return Candidate(
        framing=layout,
        expression=text,
        preamble=bytes(captures[0].data[: first.starts[0]]) if first else b"",
        confidence=_confidence(
            captures,
            finding,
            cuts,
            margin,
            proven=min(checksum.bits, _PROOF) if checksum and checksum.bits > _PROVEN else 0.0,
        ),
        evidence=evidence,
    )


def known_candidate(
    captures: Sequence[Capture], found: Sequence[Known | None], margin: float
) -> Candidate:
    """Return the candidate for the entry of the catalogue that was found."""
    entry = next(one.entry for one in found if one)
    cuts = [
        _known_cut(capture, one) if one else None
        for capture, one in zip(captures, found, strict=True)
    ]
    bits = sum(one.bits for one in found if one)
    ended = all(
        cut and (not cut.left_over or not capture.complete)
        for cut, capture in zip(cuts, captures, strict=True)
    )
    frames = sum(cut.frames for cut in cuts if cut)
    filled = all(
        cut is None or begins_filled(capture.data, cut.cutting)
        for cut, capture in zip(cuts, captures, strict=True)
    )
    sure = bits > _BITS and margin > MARGIN and frames > 2 and ended and filled
    text = entry.expression
    if not text or "<" in text:
        # It has a function, which can be named and not written.
        text = f"layouts.{entry.constant}"
    first = cuts[0]
    evidence = _evidence(captures, cuts, bits, margin, None)
    ends = dict.fromkeys(one.sender for one in found if one and one.told)
    told = tuple(f"This is what a {end} sends." for end in ends) if len(captures) == 1 else ()
    return Candidate(
        framing=entry.layout,
        expression=text,
        preamble=bytes(captures[0].data[: first.cutting.starts[0]]) if first else b"",
        confidence="high" if sure else "guess",
        evidence=replace(evidence, notes=(*evidence.notes, *told)),
        name=entry.name,
    )


def _known_cut(capture: Capture, one: Known) -> Cut | None:
    size = len(capture.data)
    if size > WINDOW:
        whole = replace(capture, sender=one.sender)
        return Cut.of(whole, one.cutting, one.entry.layout, 0)
    sizes = one.cutting.whole(size)
    return Cut(one.cutting, sizes, len(sizes), size - one.cutting.starts[0] - sum(sizes))


def _confidence(
    captures: Sequence[Capture],
    finding: Finding,
    cuts: Sequence[Cut | None],
    margin: float,
    *,
    proven: float,
) -> Literal["high", "guess"]:
    """Return how sure it is; what a checksum has proven may have a length of one byte.

    :param proven: bits that a checksum adds, 0 where there is none that proves the frames
    """
    cuttings = [cut.cutting if cut else None for cut in cuts]
    sizes = [size for cutting in cuttings if cutting for size in cutting.sizes[:200]]
    commonest = Counter(sizes).most_common(1)[0][1] / len(sizes)
    exact = all(
        cut is not None and capture.complete and not cut.left_over
        for capture, cut in zip(captures, cuts, strict=True)
    )
    begins = all(
        begins_surely(capture, cutting, finding.hypothesis)
        for capture, cutting in zip(captures, cuttings, strict=True)
        if cutting
    )
    least = _BITS_OF_SEGMENTS if _on_segments(captures, cuttings) else _BITS
    bits = finding.bits + proven
    sure = (
        finding.bits > _LEAST
        and bits > least
        and margin + proven > MARGIN
        and exact
        and begins
        and len(set(sizes)) > 2
        and len(sizes) > 3
        and commonest < _SAME
        and bits - _as_records(captures, cuttings, sizes) > least
        and (proven or not _narrow(finding))
    )
    return "high" if sure else "guess"


def _on_segments(captures: Sequence[Capture], cuttings: Sequence[Cutting | None]) -> bool:
    """Whether all segments begin with a frame, and there are some."""
    known = 0
    for capture, cutting in zip(captures, cuttings, strict=True):
        inside = {at for at in capture.boundaries if 0 < at < min(WINDOW, len(capture.data))}
        if inside and (cutting is None or not inside <= set(cutting.starts)):
            return False
        known += len(inside)
    return known >= _SEGMENTS


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
    field = finding.hypothesis.field
    return isinstance(field, FixedField) and field.width == 1


def _whole_frames(captures: Sequence[Capture], cuttings: Sequence[Cutting | None]) -> list[bytes]:
    """Return the frames that are whole, of each capture the first 300."""
    return [
        bytes(capture.data[start:end])
        for capture, cutting in zip(captures, cuttings, strict=True)
        if cutting
        for start, end in zip(cutting.starts[:300], cutting.ends, strict=False)
        if end <= len(capture.data)
    ]


def _constants(
    captures: Sequence[Capture], cuttings: Sequence[Cutting | None], hypothesis: Hypothesis
) -> tuple[bytes, bytes]:
    """Return the bytes that every frame begins with, if they read like a name, and ends with."""
    frames = _whole_frames(captures, cuttings)
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
    cuts: Sequence[Cut | None],
    bits: float,
    margin: float,
    hypothesis: Hypothesis | None,
) -> Evidence:
    frames = left_over = 0
    starts: list[tuple[int, ...]] = []
    sizes: list[int] = []
    for capture, cut in zip(captures, cuts, strict=True):
        if cut is None:
            starts.append(())
            left_over += len(capture.data)
            continue
        starts.append(tuple(start for start in cut.cutting.starts if start < WINDOW))
        frames += cut.frames
        left_over += cut.left_over
        sizes += cut.sizes
    evidence = Evidence(frames, left_over, bits, margin, tuple(starts))
    cuttings = [cut.cutting if cut else None for cut in cuts]
    return replace(evidence, notes=tuple(_notes(captures, cuttings, sizes, evidence, hypothesis)))


def _notes(
    captures: Sequence[Capture],
    cuttings: Sequence[Cutting | None],
    sizes: Sequence[int],
    evidence: Evidence,
    hypothesis: Hypothesis | None,
) -> Iterator[str]:
    left_over = evidence.left_over
    if evidence.frames > len(sizes):
        yield f"{evidence.frames:,} frames. Of these, in the first 64 KiB:"
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
    for capture, cutting in zip(captures, cuttings, strict=True):
        if cutting and capture.boundaries:
            starts = set(cutting.starts)
            inside = [at for at in capture.boundaries if 0 < at < min(WINDOW, len(capture.data))]
            hits = sum(at in starts for at in inside)
            if inside:
                yield f"{hits} of {len(inside)} segments begin where a frame begins."
    if hypothesis is not None and evidence.frames == len(sizes):
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
        zeros = field.width - used
        are = "1 byte of the length is" if zeros == 1 else f"{zeros} bytes of the length are"
        yield (
            f"No length is over {largest:,}, so {are} always 0: whether "
            f"{'it belongs' if zeros == 1 else 'they belong'} to it cannot be told."
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
