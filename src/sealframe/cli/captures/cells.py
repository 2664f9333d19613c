r"""Dumps in cells of one width: ``od -c``, ``od -t u1``, ``od -t x4``, ``hexdump -d``.

::

    0000000  \0  \0  \0 005   h   e   l   l   o       w   o   r   l   d  \n     od -c
    0000020 303 251
    0000022

    0000000   0   0   0   5 104 101 108 108 111  32 119 111 114 108 100  10     od -t u1
    0000000 05000000 6c6c6568 6f77206f 0a646c72                                 od -t x4
    0000000     0  1280 25960 27756  8303 28535 27762  2660                     od -d

A byte is a character, an escape of C or three octal digits, or a decimal number in all cells. A
space is a cell of spaces, which may be cut off at the end of a row. Where a character of UTF-8 has
several bytes, some systems print it once, with ``**`` in the cells of its other bytes.

Other cells are numbers of :mod:`.words`, of a little-endian machine as nearly all are: their bytes
stand the other way round. Each kind of them has its own width of cells or number of digits.

Nothing says whether offsets are octal, hexadecimal or decimal: those count by which rows are as
long as their offsets say. Where a line with an offset cannot be read, none of them is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple

from .stream import WINDOW, Stream, joined
from .words import KINDS, Words

_ROW: Final = re.compile(r" *([0-9a-f]{6,16})(?= |$)")
_CHARACTER: Final = re.compile(
    r"   (?P<char>\S| )|  \\(?P<escape>[0abfnrtv])| (?P<octal>[0-3][0-7]{2})|  \*\*"
)
_BLANK: Final = re.compile(r"(?: {4}){8,}")
"""A row of spaces alone: nothing else has so many behind an offset."""
_NUMBER: Final = re.compile(r"   \d|  [1-9]\d| 1\d\d| 2[0-4]\d| 25[0-5]")
_ESCAPES: Final = dict(zip("0abtnvfr", (0, 7, 8, 9, 10, 11, 12, 13), strict=True))
_OCTAL: Final = frozenset("01234567")
_SQUEEZED: Final = "*"
"""Stands for rows that are equal to the one above."""
_BASES: Final = {8: "octal", 16: "hexadecimal", 10: "decimal"}
"""Those tried first are the most used."""
_WIDTH: Final = 16
"""Bytes of a row where nobody asked for another number."""


class _Row(NamedTuple):
    """One line.

    :ivar squeezed: whether rows are left out before it
    :ivar cut: whether it does not end with a space, so that some may be cut off
    :ivar telling: whether a cell cannot be of another kind of dump
    :ivar escaped: whether a byte that is no character was printed as one of C
    """

    offset: str
    data: bytes
    squeezed: bool
    cut: bool
    telling: bool
    escaped: bool


_Kind = Callable[[str, str, bool], _Row | None]


def read(text: str) -> list[Stream]:
    """Return the stream of a dump in cells; none where the text has none."""
    lines = [(line, _ROW.match(line)) for line in text.expandtabs().split("\n")]
    if not any(match for _, match in lines):
        return []
    for kind in (_characters, _numbers, *map(_of_words, KINDS)):
        rows = _rows(lines, kind)
        # A table may have numbers and letters too.
        if any(row.telling for row in rows) and (
            any(row.escaped for row in rows) or not rows[0].offset.strip("0")
        ):
            return _streams(rows)
    return []


def _rows(lines: list[tuple[str, re.Match[str] | None]], kind: _Kind) -> list[_Row]:
    """Return the rows among lines, given with their offsets; none where one cannot be read."""
    rows: list[_Row] = []
    squeezed = others = False
    for line, match in lines:
        if match is None:
            if rows and line.strip() == _SQUEEZED:
                squeezed = True
            elif rows and line.strip():
                others = True
            continue
        if others and kind is not _characters:
            # od prints the bytes another way below each row; those may be hexadecimal (-t x1c).
            return []
        row = kind(match[1], line[match.end() :].rstrip("\r"), squeezed)
        if row is None:
            return []
        rows.append(row)
        squeezed = False
    return rows


def _cells(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]] | None:
    found: list[re.Match[str]] = []
    at = 0
    while at < len(text):
        cell = pattern.match(text, at)
        if cell is None:
            # Spaces at the end may be cut off in the midst of a cell.
            return None if text[at:].strip() else found
        found.append(cell)
        at = cell.end()
    return found


def _is_shown(number: int) -> bool:
    """Whether a byte is printed as a character or an escape, so that an octal number is none."""
    return 32 <= number < 127 or number in _ESCAPES.values()


def _characters(offset: str, text: str, squeezed: bool) -> _Row | None:
    cells = _cells(text, _CHARACTER)
    if cells is None:
        return None
    data = bytearray()
    escaped = False
    telling = _BLANK.fullmatch(text) is not None
    for cell in cells:
        if cell["octal"]:
            number = int(cell["octal"], 8)
            if _is_shown(number):
                return None
            data.append(number)
        elif cell["escape"]:
            data.append(_ESCAPES[cell["escape"]])
            telling = True
        elif cell["char"]:
            data += cell["char"].encode()
            # A digit may be a number.
            telling = telling or not (cell["char"] == " " or cell["char"].isdigit())
        escaped = escaped or bool(cell["octal"] or cell["escape"])
    return _Row(offset, bytes(data), squeezed, not text.endswith(" "), telling, escaped)


def _numbers(offset: str, text: str, squeezed: bool) -> _Row | None:
    cells = _cells(text, _NUMBER)
    if cells is None:
        return None
    texts = [cell[0].strip() for cell in cells]
    # Octal numbers have three digits, and among characters they are of bytes that are none.
    mixed = any(len(one) < 3 for one in texts)
    telling = any(
        len(one) == 2
        or (len(one) == 3 and (not set(one) <= _OCTAL or (mixed and _is_shown(int(one, 8)))))
        for one in texts
    )
    data = bytes(map(int, texts))
    return _Row(offset, data, squeezed, cut=False, telling=telling, escaped=True)


def _of_words(words: Words) -> _Kind:
    """Return what reads rows of numbers of a kind."""

    def read(offset: str, text: str, squeezed: bool) -> _Row | None:
        if not words.has_offset(offset):
            return None
        data = words.read(text)
        if data is None:
            return None
        return _Row(offset, data, squeezed, cut=False, telling=bool(data), escaped=False)

    return read


def _streams(rows: list[_Row]) -> list[Stream]:
    """Return the stream of rows, for the first base that fits best."""
    # od prints seven digits where offsets are not hexadecimal, and hexdump does always.
    bases = [16] if min(len(row.offset) for row in rows) == 6 else list(_BASES)
    for exact in (True, False):
        fitting = {base: data for base in bases if (data := _assembled(rows, base, exact=exact))}
        if not fitting:
            continue
        base, data = next(iter(fitting.items()))
        others = [
            f"as {_BASES[other]} ones they would make {len(found):,} bytes"
            for other, found in fitting.items()
            if found != data
        ]
        note = f"the offsets of the dump were read as {_BASES[base]} numbers; {', '.join(others)}"
        return [joined([data], notes=(note,) if others else ())]
    return []


def _assembled(rows: list[_Row], base: int, *, exact: bool) -> bytes:
    """Return the bytes of rows whose offsets are numbers of this base; none if they are not.

    :param exact: rows have to have as many cells as their offsets say. Otherwise spaces may be cut
        off at their ends, and the last one may be filled up with them, as hexdump does.
    """
    try:
        offsets = [int(row.offset, base) for row in rows]
    except ValueError:
        return b""
    *body, last = rows
    if last.data:
        # The line of the size alone is missing.
        body, offsets = rows, [*offsets, offsets[-1] + len(last.data)]
    sizes = [end - start for start, end in pairwise(offsets)]
    squeezed = [row.squeezed for row in rows[1:]] + [False] * (len(body) == len(rows))
    whole = {size for size, more in zip(sizes[:-1], squeezed[:-1], strict=True) if not more}
    longest = max(len(row.data) for row in rows)
    width = whole.pop() if whole else longest if exact else max(longest, _WIDTH)
    if whole or not 0 < width <= max(longest, _WIDTH) or min(sizes) <= 0:
        return b""
    if not exact and width not in {longest, _WIDTH}:
        return b""
    data = bytearray()
    for index, (row, size, more) in enumerate(zip(body, sizes, squeezed, strict=True)):
        have = width if more else size
        is_last = index == len(body) - 1
        if size % width if more else size > width:
            return b""
        part = row.data
        if not exact and row.cut:
            part = part.ljust(have)
        elif not exact and is_last and not part[have:].strip(b" \0"):
            # Of spaces, or the rest of a number, which is zero.
            part = part[:have]
        if len(part) != have:
            return b""
        # One more than is looked at, so that it is told.
        data += (part * min(size // have, WINDOW // have + 1))[: WINDOW + 1 - len(data)]
    return bytes(data)
