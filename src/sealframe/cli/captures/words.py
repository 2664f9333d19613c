"""Numbers as ``od`` and ``hexdump`` print them: how wide their cells are, and what they stand for.

Each kind of number of ``od`` has a width of its own, that of its largest one and a space.
``hexdump -b``, ``-d``, ``-o`` and ``-x`` print all their digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_CHARACTERS: Final = re.compile(r"  >.*<$")
"""Behind the numbers of ``od -t x4z``."""


@dataclass(frozen=True)
class Words:
    """A kind of number.

    :ivar size: its bytes
    :ivar base: of its digits
    :ivar width: of a cell, with the spaces in front
    :ivar digits: so many digits, with zeros in front; 0 for as many as it takes
    :ivar signed: whether some are below 0
    """

    size: int
    base: int
    width: int
    digits: int = 0
    signed: bool = False

    def has_offset(self, offset: str) -> bool:
        """Whether these numbers may stand behind an offset: those of other tools have 8 digits."""
        return len(offset) in (6, 7)

    def read(self, text: str) -> bytes | None:
        """Return the bytes of a row of numbers; None if it is of another kind."""
        text = _CHARACTERS.sub("", text).rstrip()
        if len(text) % self.width:
            return None
        data = bytearray()
        for at in range(0, len(text), self.width):
            number = self._number(text[at : at + self.width])
            if number is None:
                return None
            data += number
        return bytes(data)

    def _number(self, cell: str) -> bytes | None:
        shown = cell.lstrip(" ")
        plain = shown.removeprefix("-") if self.signed else shown
        if not shown or cell == shown or not plain.isalnum():
            return None
        if self.digits and len(shown) != self.digits:
            return None
        if not self.digits and plain != "0" and plain.startswith("0"):
            return None
        try:
            return int(shown, self.base).to_bytes(self.size, "little", signed=self.signed)
        except (ValueError, OverflowError):
            return None


KINDS: Final = (
    Words(1, 8, 4, 3),  # od -b, hexdump -b
    Words(1, 10, 5, signed=True),  # od -t d1
    Words(2, 10, 6),  # od -d
    Words(2, 10, 7, signed=True),  # od -s
    Words(4, 10, 11),  # od -t u4
    Words(4, 10, 12, signed=True),  # od -i
    Words(8, 10, 21),  # od -t u8
    Words(8, 10, 21, signed=True),  # od -l
    Words(4, 8, 12, 11),  # od -O
    Words(8, 8, 23, 22),  # od -t o8
    Words(4, 16, 9, 8),  # od -X
    Words(8, 16, 17, 16),  # od -t x8
    Words(2, 10, 8, 5),  # hexdump -d
    Words(2, 8, 8, 6),  # hexdump -o
    Words(2, 16, 8, 4),  # hexdump -x
)
"""Those that are read; two bytes in hexadecimal or octal digits are in :mod:`.offsets`."""
