"""What goes into a codec and what comes out: :class:`Layout` and :class:`Control`."""

from __future__ import annotations

from typing import NamedTuple


class Control(NamedTuple):
    """A control frame, as the decoder hands it out."""

    opcode: int
    """One of :class:`~sealframe.wire.Opcode`, or a number that this version does not know."""
    body: bytes
    """What follows the opcode."""


class Layout(NamedTuple):
    """A frame layout worked out to numbers: all that a codec backend needs to know."""

    width: int
    """Bytes in the length field; 0 means a LEB128 varint."""
    big_endian: bool
    """The byte order of the length field."""
    offset: int
    """Bytes before the length field."""
    extra: int
    """Added to the length field's value, gives the frame's size with its header."""
    strip: int
    """Bytes dropped from the front of a frame before it is handed out."""
    smallest: int
    """The smallest value that the length field may hold."""
    largest: int
    """The largest value that the length field may hold."""
    minimum: int
    """The smallest message, in bytes, for the error text."""
    maximum: int
    """The largest message, in bytes, for the error text."""
    control: bool
    """The top bit of the (32-bit little-endian) length marks control frames."""
    max_control: int
    """The largest control frame, opcode included, in bytes."""
    known: frozenset[int]
    """Opcodes whose bodies are handed out whole; of others 8 bytes are kept."""
