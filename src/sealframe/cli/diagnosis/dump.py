"""Frames as a person can check them: rows of bytes, in which the length stands out.

::

    frame 1 at 0: 12 bytes, of which the length says 6
    00000000  00 03 00 00[00 06]01 04 00 07 00 03               ............
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from ... import FramingError
from ...framing import FrameLayout
from .parts import length_of

_ROW: Final = 16
_FRAMES: Final = 4
"""Frames that are shown."""
_ROWS: Final = 3
"""Rows that are shown of a frame."""

_HEAD: Final = "cyan"
_LENGTH: Final = "bold yellow"
_BODY: Final = "default"
_OTHER: Final = "magenta"
_NOTE: Final = "dim"


def annotated(data: bytes, starts: Sequence[int], layout: FrameLayout) -> Iterator[Text]:
    """Yield the lines for a stream: what stands before its first frame, and its first frames.

    :param starts: where the frames start; the last one may be cut
    """
    if not starts:
        return
    if starts[0]:
        yield Text(f"before the first frame: {_count(starts[0])}", _NOTE)
        yield from _rows(data, 0, starts[0], (), _OTHER)
    # Where the last frame ends, only the decoder knows.
    ends = [*starts[1:], len(data)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if number == _FRAMES:
            yield Text(f"and {counted(len(starts) - _FRAMES, 'more frame')}", _NOTE)
            return
        yield from _frame(data, start, end, number, layout)


def _frame(data: bytes, start: int, end: int, number: int, layout: FrameLayout) -> Iterator[Text]:
    field = length_of(layout, data[start : min(end, start + 64)])
    line = f"frame {number + 1} at {start:,}: {_size(data[start:end], layout)}"
    if field is None:
        yield Text(line, _NOTE)
        yield from _rows(data, start, end, (), _BODY)
        return
    yield Text(f"{line}; the length says {field.value:,}", _NOTE)
    yield from _rows(data, start, end, (start + field.start, start + field.end), _BODY)


def _size(frame: bytes, layout: FrameLayout) -> str:
    """Return how large a frame is, or how much of it there is."""
    decoder = layout.decoder(sender="client")
    with contextlib.suppress(FramingError):
        decoder.feed(frame)
        if decoder.pending and decoder.frame_size:
            return f"{decoder.pending:,} of its {_count(decoder.frame_size)}"
    return _count(len(frame))


def _rows(
    data: bytes, start: int, end: int, length: tuple[int, int] | tuple[()], style: str
) -> Iterator[Text]:
    for at in range(start, end, _ROW):
        if at - start == _ROWS * _ROW:
            yield Text(f"          and {_count(end - at)} more", _NOTE)
            return
        yield _row(data, at, min(at + _ROW, end), length, style)


def _row(
    data: bytes, start: int, end: int, length: tuple[int, int] | tuple[()], style: str
) -> Text:
    line = Text(f"{start:08x} ", _NOTE)
    shown = Text()
    opened, closed = length or (-1, -1)
    for at in range(start, end):
        inside = opened <= at < closed
        kind = _LENGTH if inside else _HEAD if at < opened else style
        mark = "[" if at == opened else "]" if at == closed and at > start else " "
        line.append(mark, _LENGTH if mark != " " else "")
        line.append(f"{data[at]:02x}", kind)
        shown.append(chr(data[at]) if 32 <= data[at] < 127 else ".", kind)
    line.append("]" if end == closed else " ", _LENGTH)
    line.append("   " * (start + _ROW - end) + " ")
    return line + shown


def _count(size: int) -> str:
    return counted(size, "byte")


def counted(count: int, what: str) -> str:
    """Return how many there are: ``1 byte``, ``1,234 bytes``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
