"""Cuts one direction into frames, whole and of any size (docs/PROTOCOL.md, section 1)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from ...wire import CONTROL_BIT, HEAD_SIZE, LENGTH_MASK, MAX_CONTROL

_HEAD: Final = Struct("<I")


class BrokenFramesError(Exception):
    """What comes is no frame; the text says why."""


class Piece(NamedTuple):
    """One frame."""

    raw: bytes
    """With its head."""

    @property
    def is_control(self) -> bool:
        """Whether it is a control frame."""
        return bool(self.raw[3] & 0x80)

    @property
    def opcode(self) -> int:
        """The opcode of a control frame."""
        return self.raw[HEAD_SIZE]

    @property
    def body(self) -> bytes:
        """What a message says, or what follows the opcode."""
        return self.raw[HEAD_SIZE + self.is_control :]


class Cutter:
    """Takes bytes, gives frames.

    The library's decoder would keep 8 bytes of what it does not know, and hold the limits of one
    end; here all is shown.
    """

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not whole."""
        return len(self._data)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take the next bytes; yield the frames that are whole now.

        :raises BrokenFramesError: a control frame has a length that none has
        """
        self._data += data
        place = 0
        try:
            while len(self._data) - place >= HEAD_SIZE:
                head: int = _HEAD.unpack_from(self._data, place)[0]
                size = head & LENGTH_MASK
                if head & CONTROL_BIT and not 1 <= size <= MAX_CONTROL:
                    raise BrokenFramesError(f"a control frame claims {size:,} bytes")
                end = place + HEAD_SIZE + size
                if end > len(self._data):
                    break
                piece = Piece(bytes(memoryview(self._data)[place:end]))
                place = end
                yield piece
        finally:
            del self._data[:place]
