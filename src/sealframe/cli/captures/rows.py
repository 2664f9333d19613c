"""One line of a dump: its offset, the numbers behind it, and which of them are bytes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, Literal, NamedTuple

_ROW: Final = re.compile(
    r"""(?P<offset>(?:0x)?[0-9a-fA-F]{4,16})
        (?:\s?<[^>\n]*>)?           # gdb names the symbol
        (?P<colon>[:|]?) \s+ (?P<rest>\S.*)""",
    re.VERBOSE,
)
_START: Final = re.compile(r"(?<![^\s|\]])(?=[0-9a-fA-F]{4})")
"""Where an offset may be: behind a space, a frame, or the brackets of a log."""
_FRAME: Final = str.maketrans("│", "|", "┊`")
"""Tables are drawn around some dumps; WinDbg parts its addresses."""
END: Final = re.compile(r"\s*(?:0x)?([0-9a-fA-F]{6,16}):?\s*")
"""hexdump and od end with a line of the size alone."""
_TOKEN: Final = re.compile(r"(\s*(?:-\s?)?)((?:0x)?)([0-9a-fA-F]+)(?![^\s|-])")
_BITS: Final = re.compile(r"[01]{8}")
_SQUEEZED: Final = "*"
"""Stands for rows that are equal to the one above."""
_LONGEST: Final = 1024
"""Characters of a row that are looked at."""


Kind = Literal["bytes", "number", "bits"]
"""Bytes as they stand; a number of a little-endian machine, whose bytes stand the other way round;
the eight bits of a byte."""


@dataclass(frozen=True)
class Row:
    """One line of a dump.

    :ivar tokens: what may be its bytes; the last ones may be part of a column of characters
    :ivar certain: how many tokens stand before a gap that such a column has
    :ivar kind: what a token is; None where the row does not say
    """

    indent: int
    offset: str
    tokens: tuple[str, ...] = ()
    certain: int = 0
    colon: bool = False
    kind: Kind | None = None

    def bytes_of(self, tokens: tuple[str, ...]) -> bytes:
        """Return the bytes of some of its tokens, up to the first that is none."""
        kind = self.kind
        if kind is None:
            # hexdump and od print numbers, xxd two bytes.
            plain = not self.colon and len(self.offset) in (6, 7)
            kind = "number" if plain and all(len(text) == 4 for text in tokens) else "bytes"
        return _joined(tokens, kind)


def read_rows(text: str) -> list[Row | None]:
    """Return the rows of a text; None for one that stands for squeezed ones."""
    lines = text.expandtabs().translate(_FRAME).split("\n")
    # Words of a log, or a table, may stand in front of all offsets.
    rows = _rows(lines, _indented) or _rows(lines, _behind_words)
    said = Counter(row.kind for row in rows if row and row.kind)
    if not said:
        return rows
    # What most rows say holds for all of them.
    kind = said.most_common(1)[0][0]
    return [replace(row, kind=kind) if row else row for row in rows]


def _rows(lines: list[str], read: Callable[[str], Row | None]) -> list[Row | None]:
    rows: list[Row | None] = []
    indent = 0
    for line in lines:
        if (row := read(line[:_LONGEST])) is not None:
            rows.append(row)
            indent = row.indent
        elif rows and line.strip() == _SQUEEZED:
            rows.append(None)
        elif rows and (match := END.fullmatch(line)) is not None:
            rows.append(Row(indent, match[1]))
    return rows


def _indented(line: str) -> Row | None:
    indent = len(line) - len(line.lstrip())
    match = _ROW.match(line, indent)
    return None if match is None else _row(match, indent)


def _behind_words(line: str) -> Row | None:
    for start in _START.finditer(line):
        if (match := _ROW.match(line, start.start())) is not None:
            # nc -o marks what was received, and what was sent.
            return _row(match, int(line.startswith("<")))
    return None


class _Token(NamedTuple):
    """A number of a row: the spaces in front, whether 0x is, its digits, and where it ends."""

    gap: int
    prefixed: bool
    digits: str
    end: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while (token := _TOKEN.match(text, at)) is not None:
        at = token.end()
        yield _Token(len(token[1]), bool(token[2]), token[3], at)


def _row(match: re.Match[str], indent: int) -> Row | None:
    text = match["rest"].partition("|")[0]
    tokens = list(_tokens(text))
    if not tokens:
        return None
    row = Row(
        indent,
        match["offset"].removeprefix("0x"),
        tuple(token.digits for token in tokens),
        _certain(tokens),
        colon=bool(match["colon"]),
    )
    if all(token.prefixed and len(token.digits) > 2 for token in tokens):
        # gdb's x/4xw.
        return replace(row, kind="number")
    return _beside_characters(row, text, tokens)


def _certain(tokens: list[_Token]) -> int:
    """Return how many tokens stand before a gap as that in front of a column of characters."""
    digits = len(tokens[0].digits)
    for index, token in enumerate(tokens[1:], 1):
        # gdb puts tabs between, and no characters behind. In the midst of 16 bytes are two spaces.
        if not token.prefixed and (token.gap > 2 or (token.gap == 2 and digits != 16)):
            return index
        digits += len(token.digits)
    return len(tokens)


def _beside_characters(row: Row, text: str, tokens: list[_Token]) -> Row:
    """Return a row whose tokens are of several digits as the column of characters tells.

    ``xxd -e`` prints numbers of a little-endian machine, and ``xxd -b`` bits.
    """
    if len(row.tokens[0]) < 4:
        return row
    kinds: tuple[Kind, ...] = ("bytes", "number", "bits")
    for count in range(len(tokens), 0, -1):
        digits = row.tokens[:count]
        column = text[tokens[count - 1].end :].rstrip()
        if not column.startswith(" "):
            continue
        told = [kind for kind in kinds if _shows(column, _joined(digits, kind))]
        if told:
            return replace(row, certain=count, kind=told[0] if len(told) == 1 else None)
    return row


def _shows(column: str, data: bytes) -> bool:
    """Whether a column, with the spaces in front, has the characters of these bytes."""
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data).rstrip()
    return bool(shown) and column.endswith(shown) and not column[: -len(shown)].strip()


def _joined(tokens: tuple[str, ...], kind: Kind) -> bytes:
    """Return the bytes of tokens, up to the first that is none."""
    if kind == "bits":
        return bytes(int(text, 2) for text in takewhile(_BITS.fullmatch, tokens))
    whole = takewhile(lambda text: len(text) % 2 == 0, tokens)
    if kind == "bytes":
        return bytes.fromhex("".join(whole))
    return b"".join(bytes.fromhex(text)[::-1] for text in whole)
