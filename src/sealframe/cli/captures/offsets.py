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
from typing import Final, Literal

from .rows import END, Row, read_rows
from .stream import WINDOW, Stream, joined

_FIRST: Final = re.compile(r" *0{6,7}(?: +\S|\s*\Z)")
"""How their first line begins; spaces may be cut off it."""


_USUAL: Final = 16
"""Bytes of a row, as a rule."""


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
    rows = list(read_rows(text))
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
    if first is None or not any(map(END.fullmatch, lines[first + 1 :])):
        return False
    return END.fullmatch(lines[first]) is None or "*" in map(str.strip, lines)


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


class _Assembly:
    """Rows put together, where their offsets are numbers of a base: 16, 8 (od) or 10.

    :ivar base: that one
    :ivar fits: how many rows have the size that the next offset says
    :ivar misfits: how many have not
    """

    def __init__(self, rows: list[Row | None], base: int) -> None:
        self.dumps: list[Dump] = []
        self.fits = 0
        self.misfits = 0
        self.base = base
        self._width = 0
        # Bytes that rows left out may still stand for: all of a stream in each direction.
        self._room = 2 * WINDOW
        self._current: dict[int, tuple[Dump, Row]] = {}
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

    def _take(self, row: Row, offset: int, *, squeezed: bool) -> None:
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

    def _fill(self, dump: Dump, row: Row, size: int, *, squeezed: bool) -> None:
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

    def _end(self, dump: Dump, row: Row) -> None:
        """Take the bytes of a row behind which none comes."""
        if dump.gap is not None or not row.tokens:
            return
        if not dump.data:
            # A dump of one row: its offset must not look like its bytes.
            unlike = dump.start % 16 == 0 and len(row.offset) != len(row.tokens[0])
            self.fits += row.colon or unlike
        certain = self._bytes(row, row.tokens[: row.certain])
        if row.certain == len(row.tokens):
            # Without a gap its characters may look like bytes. Rows of a segment may all be short.
            certain = certain[: max(self._width, _USUAL)]
        dump.data += certain

    def _bytes(self, row: Row, tokens: tuple[str, ...]) -> bytes:
        """Return the bytes of tokens, up to the first that is none."""
        if self.base == 8:
            return _octal(tokens)
        return row.bytes_of(tokens)


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
