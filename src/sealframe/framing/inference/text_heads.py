r"""Messages behind text that says how many bytes follow: a line, or header lines.

::

    SIZE 12 PUT\r\n                         a line, of which one word is the number
    {"type": "audio", "length": 12}\n       JSON, of which members are
    Event: 7\nContent-Length: 12\n\n        header lines up to an empty one

All of a stream has to be such text, bodies of the sizes that it tells, and nothing else. A table
with a column of small numbers looks like that too: each number skips the beginning of the next
line, and what is left of it is a line with a number again. So only heads count that are no lines
from their first byte on, or whose first word is that of all others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Final

from .given import run
from .results import Candidate, Evidence
from .text_forms import LONGEST, heads, readable
from .window import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .results import Capture
    from .text_forms import Head

__all__ = ["text_heads"]

_LEAST: Final = 20.0
"""Bits below which it is likelier that these are lines with numbers in them."""
_SURE: Final = 40.0
_FEWEST: Final = 3
_ONE_SIZE: Final = 64
"""Frames of one size after which no other size is waited for."""
_FIRST_WORD: Final = re.compile(rb"[A-Za-z][^\s]{0,63}")


@dataclass(frozen=True)
class _Cutting:
    """Where frames start, and the bytes behind the heads of the whole ones."""

    starts: list[int]
    bodies: list[int]


def text_heads(captures: Sequence[Capture]) -> Candidate | None:
    """Return the layout of messages behind text that tells their size; None where it is another."""
    windows = [bytes(capture.data[:WINDOW]) for capture in captures]
    for head in heads(max(windows, key=len)[:LONGEST]):
        cuttings = []
        for window, capture in zip(windows, captures, strict=True):
            cutting = _cut(window, head, capture.complete and len(capture.data) <= WINDOW)
            if cutting is None:
                break
            cuttings.append(cutting)
        else:
            if candidate := _candidate(captures, windows, head, cuttings):
                return candidate
    return None


def _candidate(
    captures: Sequence[Capture], windows: Sequence[bytes], head: Head, cuttings: Sequence[_Cutting]
) -> Candidate | None:
    """Return what was found, if chance alone would hardly cut the stream so."""
    told = [
        size
        for window, cutting in zip(windows, cuttings, strict=True)
        for size in _told(window, head, cutting)
    ]
    bodies = [size for one in cuttings for size in one.bodies]
    full = sum(size > len(head.trailer) for size in bodies)
    bits = sum(log2(size + 2) + head.form for size in told)
    if bits < _LEAST or len(told) < full / 2 or len(set(told)) < 2 or len(bodies) < _FEWEST:
        return None
    sizes = len(set(bodies))
    layout, expression = head.layout()
    runs = [run(capture, layout) for capture in captures]
    if any(one.error for one in runs):
        return None
    frames = sum(one.frames for one in runs)
    left_over = sum(one.pending for one in runs)
    sure = bits > _SURE and not left_over and frames > _FEWEST and len(set(told)) > 2
    sure = sure and all(capture.complete for capture in captures)
    return Candidate(
        framing=layout,
        expression=expression,
        preamble=b"",
        confidence="high" if sure else "guess",
        evidence=Evidence(
            frames,
            left_over,
            bits,
            bits,
            tuple(tuple(one.starts) for one in cuttings),
            (f"Each begins with text that says what follows: {sizes:,} different sizes.",),
        ),
    )


def _cut(data: bytes, head: Head, ended: bool) -> _Cutting | None:
    """Return how such heads cut the bytes, or None where they do not.

    :param ended: nothing comes behind the bytes
    """
    starts: list[int] = []
    bodies: list[int] = []
    place = 0
    while place < len(data):
        starts.append(place)
        behind = data.find(head.until, place, place + LONGEST)
        text = data[place : behind + len(head.until)]
        if behind < 0:
            more = not ended and len(data) - place <= LONGEST
            return _Cutting(starts, bodies) if more else None
        size = head.body(text) if readable(text) else None
        if size is None:
            return None
        place += len(text) + size
        if place > len(data):
            return _Cutting(starts, bodies) if len(bodies) >= _FEWEST else None
        if not data.endswith(head.trailer, 0, place):
            return None
        bodies.append(size)
        if len(bodies) == _ONE_SIZE and len(set(bodies) - {len(head.trailer)}) < 2:
            return None
    return _Cutting(starts, bodies)


def _told(data: bytes, head: Head, cutting: _Cutting) -> Iterator[int]:
    """Yield the bodies behind which a head stands that chance does not put there."""
    words = [_FIRST_WORD.match(data, start) for start in cutting.starts[: len(cutting.bodies)]]
    names = {word[0] if word else b"" for word in words}
    name = names.pop() if len(names) == 1 else b""
    for after, size in zip([*cutting.starts[1:], len(data)], cutting.bodies, strict=False):
        # Behind an empty body the next line comes anyway.
        if size <= len(head.trailer):
            continue
        line = data.rfind(head.until, 0, after) + len(head.until)
        stop = data.find(head.until, after)
        if after < len(data) and stop < 0:
            continue
        own = name and not data.startswith(name, line)
        within = line < after < len(data) and not own
        if not within or head.body(data[line : stop + len(head.until)]) is None:
            yield size
