r"""Dumps of which each line begins with an offset.

::

    00000000: 0000 0005 6865 6c6c 6f                   ....hello          xxd
    00000000  00 00 00 05 68 65 6c 6c  6f              |....hello|        hexdump -C
    0000000 0000 0500 6568 6c6c 006f                                      hexdump, od -x
    0000000 000 000 000 005 150 145                                       od -b
            0x0000:  4500 0031 0001 0000 4006 66c4 7f00 0001  E..1....@.  tcpdump -X
    0000   00 00 00 05 68 65 6c 6c 6f                        ....hello    Wireshark

Wireshark's "Follow stream" indents what the server sent; each direction counts its own offsets.
Where the offsets begin again, the next packet or message begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, Literal

from .stream import WINDOW, Stream, joined

_ROW: Final = re.compile(
    r"""(?P<indent>\s*)
        (?P<offset>(?:0x)?[0-9a-fA-F]{4,16})
        (?:\s?<[^>\n]*>)?           # gdb names the symbol
        (?P<colon>:?) \s+ (?P<rest>\S.*)""",
    re.VERBOSE,
)
_END: Final = re.compile(r"\s*(?:0x)?([0-9a-fA-F]{6,16}):?\s*")
"""hexdump and od end with a line of the size alone."""
_FIRST: Final = re.compile(r" *0{6,7} +\S")
"""How their first line begins."""
_TOKEN: Final = re.compile(r"(\s*(?:-\s?)?)((?:0x)?)([0-9a-fA-F]+)(?![^\s|-])")
_SQUEEZED: Final = "*"
"""Stands for rows that are equal to the one above."""
_LONGEST: Final = 1024
"""Characters of a row that are looked at."""


@dataclass(frozen=True)
class _Row:
    """One line of a dump.

    :ivar tokens: what may be its bytes; the last ones may be part of a column of characters
    :ivar certain: how many tokens stand before a gap that such a column has
    """

    indent: int
    offset: str
    tokens: tuple[str, ...] = ()
    certain: int = 0
    colon: bool = False


@dataclass
class Dump:
    """What was put together of rows that follow each other: a packet, or part of a stream."""

    indent: int
    start: int
    data: bytearray = field(default_factory=bytearray)
    boundaries: list[int] = field(default_factory=list)
    gap: int | None = None
    """Where rows are missing."""
    doubt: str = ""
    """What to say where its offsets fit as other numbers too."""


def read(text: str) -> list[Dump]:
    """Return the dumps in a text, in its order; none where its lines have no offsets."""
    rows = list(_rows(text))
    seven = all(len(row.offset) == 7 and not row.colon for row in rows if row)
    squeezed = None in rows and seven
    # With seven digits and bytes one by one it is od, whose offsets are hexadecimal with six.
    pairs = squeezed and all(len(text) == 2 for row in rows if row for text in row.tokens)
    first, *others = (8, 10, 16) if pairs else (16, 8, 10)
    best = _Assembly(rows, first)
    if rows and (best.misfits or squeezed):
        attempts = [best, *(_Assembly(rows, base) for base in others)]
        # Of those that fit equally well the first.
        best = max(attempts, key=lambda attempt: attempt.fits - attempt.misfits)
        equal = [one for one in attempts if (one.fits, one.misfits) == (best.fits, best.misfits)]
        if squeezed and best.dumps and any(one.dumps != best.dumps for one in equal):
            best.dumps[0].doubt = (
                f"the offsets of the dump were read as numbers of base {best.base}; they could be "
                f"of base {' or '.join(str(one.base) for one in equal if one is not best)} too, "
                "which changes how many rows its * stands for"
            )
    return best.dumps if best.fits > best.misfits else []


def has_sizes(text: str) -> bool:
    """Whether a text is a dump of od or hexdump in one of their many ways, which nobody reads.

    Its offsets are no bytes, nor are its characters digits.
    """
    lines = text.expandtabs().split("\n")
    first = next((at for at, line in enumerate(lines) if _FIRST.match(line)), None)
    return first is not None and any(map(_END.fullmatch, lines[first + 1 :]))


def streams(dumps: list[Dump]) -> list[Stream]:
    """Return the streams that dumps are parts of: one, or two where two directions are told."""
    firsts: dict[int, int] = {}
    for dump in dumps:
        firsts.setdefault(dump.indent, dump.start)
    senders: list[Literal["client", "server"] | None] = [None]
    if len(firsts) == 2 and len(set(firsts.values())) == 1:
        senders = ["client", "server"]
    found = []
    for indent, sender in zip(sorted(firsts), senders, strict=False):
        parts: list[bytes] = []
        notes = []
        for dump in dumps:
            if sender is not None and dump.indent != indent:
                continue
            ends = [*dump.boundaries, len(dump.data)]
            parts += [bytes(dump.data[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
            if dump.doubt:
                notes.append(dump.doubt)
            if dump.gap is not None:
                notes.append(
                    f"rows of the dump are missing behind 0x{dump.gap:x}; the rest was left out"
                )
        found.append(
            joined(
                parts,
                complete=all(
                    dump.gap is None for dump in dumps if sender is None or dump.indent == indent
                ),
                sender=sender,
                notes=tuple(dict.fromkeys(notes)),
            )
        )
    return found


def _rows(text: str) -> list[_Row | None]:
    """Return the rows of a text; None for one that stands for squeezed ones."""
    rows: list[_Row | None] = []
    for line in text.expandtabs().split("\n"):
        if (match := _ROW.match(line[:_LONGEST])) is not None and (row := _row(match)) is not None:
            rows.append(row)
        elif rows and line.strip() == _SQUEEZED:
            rows.append(None)
        elif rows and (match := _END.fullmatch(line)) is not None:
            rows.append(_Row(rows[-1].indent if rows[-1] else 0, match[1]))
    return rows


def _row(match: re.Match[str]) -> _Row | None:
    text = match["rest"].partition("|")[0]
    tokens: list[str] = []
    certain, at, digits = None, 0, 0
    while (token := _TOKEN.match(text, at)) is not None:
        # gdb puts tabs between, and no characters behind.
        gap = 0 if token[2] else len(token[1])
        # The column of characters stands apart, and in the middle of 16 bytes there may be 2 too.
        if tokens and certain is None and (gap > 2 or (gap == 2 and digits != 16)):
            certain = len(tokens)
        tokens.append(token[3])
        digits += len(token[3])
        at = token.end()
    if not tokens:
        return None
    offset = match["offset"]
    return _Row(
        len(match["indent"]),
        offset.removeprefix("0x"),
        tuple(tokens),
        len(tokens) if certain is None else certain,
        colon=bool(match["colon"]),
    )


class _Assembly:
    """Rows put together, where their offsets are numbers of a base: 16, 8 (od) or 10.

    :ivar base: that one
    :ivar fits: how many rows have the size that the next offset says
    :ivar misfits: how many have not
    """

    def __init__(self, rows: list[_Row | None], base: int) -> None:
        self.dumps: list[Dump] = []
        self.fits = 0
        self.misfits = 0
        self.base = base
        self._width = 0
        # Bytes that rows left out may still stand for: all of a stream in each direction.
        self._room = 2 * WINDOW
        self._current: dict[int, tuple[Dump, _Row]] = {}
        self._last: Dump | None = None
        squeezed = False
        for row in rows:
            if row is None:
                squeezed = True
                continue
            try:
                offset = int(row.offset, base)
            except ValueError:
                self.misfits += 1
                continue
            self._take(row, offset, squeezed=squeezed)
            squeezed = False
        for dump, row in self._current.values():
            self._end(dump, row)

    def _take(self, row: _Row, offset: int, *, squeezed: bool) -> None:
        dump, before = self._current.get(row.indent, (None, None))
        if dump is None or before is None or offset <= dump.start:
            if dump is not None and before is not None:
                self._end(dump, before)
            dump = Dump(row.indent, offset)
            self.dumps.append(dump)
        else:
            self._fill(dump, before, offset - dump.start - len(dump.data), squeezed=squeezed)
            # Another direction came between, which ends a segment.
            if self._last is not dump and dump.data:
                dump.boundaries.append(len(dump.data))
        self._last = dump
        self._current[row.indent] = dump, row

    def _fill(self, dump: Dump, row: _Row, size: int, *, squeezed: bool) -> None:
        """Take the bytes of a row, which has so many, as the next one's offset says."""
        if dump.gap is not None or len(dump.data) > WINDOW:
            return
        data = certain = self._bytes(row, row.tokens)
        if row.certain < len(row.tokens):
            certain = self._bytes(row, row.tokens[: row.certain])
        if 0 < size <= len(data):
            self.fits += size == len(certain)
            dump.data += data[:size]
            if size < self._width:
                dump.boundaries.append(len(dump.data))
            self._width = max(self._width, size)
            return
        certain = certain[: self._width or None]
        if squeezed and certain and size % len(certain) == 0:
            self.fits += 1
            self._width = max(self._width, len(certain))
            repeated = min(size, self._room) // len(certain) * len(certain)
            self._room -= repeated
            dump.data += certain * (repeated // len(certain))
            if repeated < size and len(dump.data) <= WINDOW:
                dump.gap = dump.start + len(dump.data)
            return
        self.misfits += 1
        dump.data += certain
        dump.gap = dump.start + len(dump.data)

    def _end(self, dump: Dump, row: _Row) -> None:
        """Take the bytes of a row behind which none comes."""
        if dump.gap is not None or not row.tokens:
            return
        if not dump.data:
            # A dump of one row: its offset must not look like its bytes.
            unlike = dump.start % 16 == 0 and len(row.offset) != len(row.tokens[0])
            self.fits += row.colon or unlike
        certain = self._bytes(row, row.tokens[: row.certain])
        dump.data += certain[: self._width or None]

    def _bytes(self, row: _Row, tokens: tuple[str, ...]) -> bytes:
        """Return the bytes of tokens, up to the first that is none."""
        if self.base == 8:
            return _octal(tokens)
        # hexdump and od print 16-bit numbers of a little-endian machine, xxd two bytes.
        whole = tuple(takewhile(lambda text: len(text) % 2 == 0, tokens))
        if not row.colon and len(row.offset) == 7 and all(len(text) == 4 for text in tokens):
            whole = tuple(text[2:] + text[:2] for text in whole)
        return bytes.fromhex("".join(whole))


def _octal(tokens: tuple[str, ...]) -> bytes:
    """Return the bytes of od's numbers: octal ones of a byte (-b) or two, or hexadecimal ones."""
    if all(len(text) == 2 for text in tokens):
        return bytes.fromhex("".join(tokens))
    if all(len(text) == 4 for text in tokens):
        return b"".join(bytes.fromhex(text)[::-1] for text in tokens)
    size = {3: 1, 6: 2}.get(len(tokens[0]), 0)
    data = bytearray()
    for text in tokens:
        if not size or len(text) != len(tokens[0]) or not set(text) <= set("01234567"):
            break
        number = int(text, 8)
        if number >> (8 * size):
            break
        data += number.to_bytes(size, "little")
    return bytes(data)
