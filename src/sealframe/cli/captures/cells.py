r"""Dumps of characters in cells of four: ``od -c``, and ``hexdump -c``.

::

    0000000  \0  \0  \0 005   h   e   l   l   o       w   o   r   l   d  \n     od -c
    0000020 303 251

A byte is a character, an escape of C or three octal digits; a space is a cell of spaces, which may
be cut off at the end of a row. Where a character of UTF-8 has several bytes, some systems print it
once, with ``**`` in the cells of its other bytes.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .stream import WINDOW, Stream, joined

_ROW: Final = re.compile(r" *([0-9a-f]{6,8})(?= |$)")
_CELL: Final = re.compile(
    r"   (?P<char>\S| )|  \\(?P<escape>[0abfnrtv])| (?P<octal>[0-3][0-7]{2})|  \*\*"
)
_ESCAPES: Final = dict(zip("0abtnvfr", (0, 7, 8, 9, 10, 11, 12, 13), strict=True))
_SQUEEZED: Final = "*"
_WIDEST: Final = 64
"""Bytes of a row."""


class _Row(NamedTuple):
    """One line: its offset, its bytes, and whether a cell has a character or an escape."""

    offset: str
    data: bytes
    telling: bool


def read(text: str) -> list[Stream]:
    """Return the stream of a dump in cells; none where the text has none."""
    rows: list[_Row | None] = []
    for line in text.expandtabs().split("\n"):
        if (row := _row(line)) is not None:
            rows.append(row)
        elif rows and line.strip() == _SQUEEZED:
            rows.append(None)
    if not any(row.telling for row in rows if row):
        return []
    for base in (8, 16, 10):
        data = _assembled(rows, base)
        if data:
            return [joined([data])]
    return []


def _row(line: str) -> _Row | None:
    match = _ROW.match(line)
    if match is None:
        return None
    cells = line[match.end(1) :].rstrip("\r")
    data = bytearray()
    at, telling = 0, False
    while at < len(cells):
        cell = _CELL.match(cells, at)
        if cell is None:
            # Spaces at the end may be cut off in the midst of a cell.
            if cells[at:].strip():
                return None
            break
        at = cell.end()
        if cell["octal"]:
            data.append(int(cell["octal"], 8))
        elif cell["escape"]:
            data.append(_ESCAPES[cell["escape"]])
            telling = True
        elif cell["char"]:
            data += cell["char"].encode()
            telling = telling or cell["char"] != " "
    return _Row(match[1], bytes(data), telling)


def _assembled(rows: list[_Row | None], base: int) -> bytes:
    """Return the bytes of rows whose offsets are numbers of this base; none if they are not."""
    try:
        offsets = [int(row.offset, base) for row in rows if row]
    except ValueError:
        return b""
    data, last = bytearray(), b""
    width = 0
    ends = iter([*offsets[1:], offsets[-1]])
    for index, row in enumerate(rows):
        if row is None:
            continue
        offset, end = int(row.offset, base) - offsets[0], next(ends) - offsets[0]
        squeezed = index > 0 and rows[index - 1] is None
        missing = offset - len(data)
        if missing and not (squeezed and last and 0 < missing < WINDOW and not missing % len(last)):
            return b""
        data += last * (missing // len(last)) if missing else b""
        # Spaces at the end of a row may be cut off, and some programs fill the last one up.
        size = (
            end - offset
            if rows[index + 1 : index + 2] != [None]
            else width or -(-len(row.data) // 8) * 8
        )
        last = row.data
        if len(last) < size <= (width or _WIDEST):
            last = last.ljust(size)
        elif size < len(last) and not last[size:].strip(b" "):
            last = last[:size]
        width = max(width, len(last))
        data += last
    return bytes(data)
