"""Explains why a given layout does not fit captured bytes, and what would."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .beginnings import beginning_of
from .characters import characters
from .expressions import expression
from .given import hypothesis_of, run
from .hypotheses import FixedField, Hypothesis, Order
from .inferring import captures_of, diagnose
from .numbers import explain_number
from .results import Capture, Diagnosis
from .walking import walk
from .window import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Buffer

    from ..base import FrameLayout

__all__ = ["explain"]

_SHOWN: Final = 12
_OFF_BY: Final = (1, 2, 4, 8, -1, -2, -4, 3, -3, 5, 6, 7, -8, 10, 12, 16, 20)
_ORDERS: Final[tuple[Order, ...]] = ("big", "little")
_ONE_FRAME: Final = 1 << 20
"""A length up to this may be that of a frame that has only begun."""
_TELLING: Final = 4
"""So many frames of another layout are likelier than the beginning of one."""
_LOST: Final = 512
"""So many bytes may stand before the first frame, or between two."""


def explain(data: Buffer | Capture | Sequence[Capture], framing: FrameLayout) -> list[str]:
    """Return why a layout does not fit, the likeliest reason first, or that it does.

    :param data: the bytes of one stream, or captures
    :param framing: the layout in question
    :returns: sentences; one that begins with "It fits" for each capture where it does
    """
    sentences = []
    for index, capture in enumerate(captures := captures_of(data)):
        name = f"Capture {index + 1}: " if len(captures) > 1 else ""
        sentences += [name + sentence for sentence in _explained(capture, framing)]
    return sentences


def _explained(capture: Capture, framing: FrameLayout) -> list[str]:
    data = capture.data
    if not data:
        return ["There are no bytes to look at."]
    done = run(capture, framing)
    if done.fits:
        return [f"It fits: {_count(done.frames)}, to the last byte."]
    beginning = beginning_of(data)
    if beginning and done.frames < 2:
        return [beginning.sentence]
    hypothesis = hypothesis_of(framing)
    if hypothesis is None:
        return [
            _where(capture, done.frames, done.pending, done.error),
            *_instead(diagnose(capture)),
        ]
    window = bytes(data[:WINDOW])
    starts, position = _as_far_as(window, hypothesis)
    for reasons in (
        characters(window, hypothesis),
        _variants(window, _near(hypothesis)),
        _interrupted(window, hypothesis, starts, position),
        _late(window, hypothesis),
        _variants(window, _far(hypothesis)),
    ):
        if found := list(reasons):
            return found
    diagnosis = diagnose(capture)
    begun = done.error is None and not done.frames and len(data) < done.wanted < _ONE_FRAME
    if begun and not (diagnosis.candidates and diagnosis.candidates[0].evidence.frames >= _TELLING):
        return [
            (
                f"It may fit: this is the beginning of a frame, {len(data):,} of its "
                f"{done.wanted:,} bytes. What one read returns is not one message: read on until "
                "all are there."
            )
        ]
    if done.error is None and done.frames > 1:
        return [
            (
                f"It fits as far as the capture goes: {_count(done.frames)}, then {done.pending} "
                f"bytes of one that has {done.wanted or 'more'}. The capture was cut there, or the "
                "peer sent no more."
            )
        ]
    return [
        _stopped(window, hypothesis, starts, position),
        *_reasons(hypothesis, diagnosis),
        *_instead(diagnosis),
    ]


def _count(frames: int) -> str:
    return f"{frames:,} frame{'' if frames == 1 else 's'}"


def _bytes(data: bytes) -> str:
    shown = data[:_SHOWN]
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in shown)
    return f"{shown.hex(' ')} |{text}|"


def _where(capture: Capture, frames: int, pending: int, error: str | None) -> str:
    if error:
        return f"It does not fit: after {_count(frames)}, {error}."
    return f"It does not fit: after {_count(frames)}, {pending} bytes of {len(capture.data)} wait."


def _as_far_as(data: bytes, hypothesis: Hypothesis) -> tuple[list[int], int]:
    """Return the starts of the whole frames, and where the next one would start."""
    starts: list[int] = []
    position = 0
    while position < len(data):
        step = hypothesis.size(data, position)
        if step is None or position + step > len(data):
            break
        starts.append(position)
        position += step
    return starts, position


def _fits(data: bytes, hypothesis: Hypothesis, start: int = 0) -> int:
    """Return how many frames there are, or 0 if they do not end where the data does."""
    cutting = walk(data, hypothesis, start)
    if cutting is None or len(cutting.starts) < 2:
        return 0
    # Where only a window is looked at, its end is nobody's.
    if cutting.end != len(data) and len(data) < WINDOW:
        return 0
    # Where every other frame is empty, it is half of the field that was read.
    if cutting.sizes.count(hypothesis.header) >= 0.45 * len(cutting.sizes):
        return 0
    return len(cutting.starts)


def _variants(data: bytes, changes: Iterator[tuple[str, Hypothesis]]) -> Iterator[str]:
    """Yield which change makes it fit, the first that does."""
    for reason, other in changes:
        frames = _fits(data, other)
        if frames:
            yield f"{reason}: {expression(other)} cuts all of it, {_count(frames)}."
            return


def _near(given: Hypothesis) -> Iterator[tuple[str, Hypothesis]]:
    field = given.field
    header = given.header
    if isinstance(field, FixedField):
        order: Order = "little" if field.order == "big" else "big"
        swapped = replace(given, field=replace(field, order=order))
        if field.width > 1:
            yield f"The byte order is wrong, the length is {order}-endian", swapped
        yield (
            "The length counts the header too: includes_header=True",
            replace(given, extra=given.extra - header),
        )
        yield (
            "The length does not count the header: without includes_header",
            replace(given, extra=given.extra + header),
        )
        if field.width > 1:
            both = replace(swapped, extra=given.extra - header)
            yield f"The length is {order}-endian and counts the header too", both
            both = replace(swapped, extra=given.extra + header)
            yield f"The length is {order}-endian and does not count the header", both
    for more in _OFF_BY:
        if more > 0:
            what = f"Each frame has {more} more than its length says: a trailer, or a longer header"
        else:
            what = f"The length counts {-more} more than there are: a part of the header"
        yield what, replace(given, extra=given.extra + more)
    if not isinstance(field, FixedField):
        return
    for unit in (2, 4, 8):
        for extra in (given.extra, given.extra - header):
            what = f"The length counts units of {unit} bytes" + (
                " (of UTF-16, characters)" if unit == 2 else ""
            )
            yield what, replace(given, unit=unit, extra=extra)
    for align in (4, 8):
        yield f"Frames are filled up to multiples of {align} bytes", replace(given, align=align)
    if field.width > 1:
        mask = (1 << 8 * field.width - 1) - 1
        masked = replace(given, field=replace(field, mask=mask))
        yield "The top bit of the length is a flag, and no part of the length", masked


def _far(given: Hypothesis) -> Iterator[tuple[str, Hypothesis]]:
    field = given.field
    if not isinstance(field, FixedField):
        return
    for width in (8, 4, 3, 2, 1):
        if width != field.width:
            for order in _ORDERS:
                other = replace(field, width=width, order=order)
                extra = given.extra + width - field.width
                what = f"The length has {width} byte{'s' if width > 1 else ''}, {order}-endian"
                yield what, replace(given, field=other, extra=extra)
    for offset in range(17):
        if offset != given.offset:
            for order in _ORDERS:
                other = replace(field, order=order)
                what = f"The length stands at offset {offset}"
                header = offset + field.width
                for extra in (given.extra, given.extra + offset - given.offset, header, 0):
                    yield what, replace(given, field=other, offset=offset, extra=extra)


def _interrupted(
    data: bytes, given: Hypothesis, starts: Sequence[int], position: int
) -> Iterator[str]:
    """Yield that bytes stand between two frames that belong to none."""
    if len(starts) < 2:
        return
    for lost in range(1, min(_LOST, len(data) - position)):
        if _fits(data, given, position + lost):
            foreign = data[position : position + lost]
            yield (
                f"{lost} bytes at offset {position} belong to no frame, after {_count(len(starts))}"
                f": {_bytes(foreign)}. Then the frames go on: another part of the program writes "
                "to the same socket (a log line, a greeting), or a frame was longer than it said."
            )
            return


def _late(data: bytes, given: Hypothesis) -> Iterator[str]:
    """Yield that something stands before the first frame."""
    for start in range(1, min(_LOST, len(data))):
        frames = _fits(data, given, start)
        if frames >= 3:
            yield (
                f"The frames begin at offset {start}: {_count(frames)} from there, to the last "
                f"byte. Before them stand {start} bytes: {_bytes(data[:start])}. That is a "
                "preamble, or the rest of a frame in whose midst the capture began."
            )
            return


def _stopped(data: bytes, given: Hypothesis, starts: Sequence[int], position: int) -> str:
    read = given.field.read(data, position + given.offset)
    there = f"at offset {position}, after {_count(len(starts))}"
    if read is None:
        return f"It does not fit: {there} no such length can stand: {_bytes(data[position:])}."
    value, _ = read
    text = (
        f"It does not fit: {there}, the length would be {value:,}, where {len(data) - position} "
        f"bytes are left: {_bytes(data[position:])}."
    )
    return " ".join([text, *explain_number(value)[:1]])


def _reasons(given: Hypothesis, diagnosis: Diagnosis) -> Iterator[str]:
    """Yield what the given layout lacks, where one that fits nearly is nearly the same.

    Where the capture is cut, it does not fit to the last byte.
    """
    best = hypothesis_of(diagnosis.candidates[0].framing) if diagnosis.candidates else None
    for reason, other in _near(given) if best else ():
        if best and _place(other) == _place(best):
            yield f"{reason}."
            return


def _place(one: Hypothesis) -> tuple[object, ...]:
    """Return what a layout says, but for how its expression is written."""
    return one.field, one.offset, one.extra, one.unit, one.align


def _instead(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield what fits instead."""
    if diagnosis.candidates:
        best = diagnosis.candidates[0]
        sure = "" if best.confidence == "high" else ", which is but a guess"
        after = f" after a preamble of {len(best.preamble)} bytes" if best.preamble else ""
        yield f"What fits is {best.expression}{after}: {_count(best.evidence.frames)}{sure}."
    if diagnosis.verdict:
        yield diagnosis.verdict
