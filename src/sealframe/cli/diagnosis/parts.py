"""Which bytes of a frame are its length, and what it reads as."""

from __future__ import annotations

from typing import NamedTuple

from ...framing import FrameLayout, Framing
from ...framing.inference import read_length


class Field(NamedTuple):
    """A length in front of a message: where it stands, and its value."""

    start: int
    end: int
    value: int


def length_of(layout: FrameLayout, frame: bytes) -> Field | None:
    """Return the length field of a frame.

    :return: None where the layout has no such field, or it is not whole
    """
    if not isinstance(layout, Framing):
        return None
    found = read_length(layout, frame)
    if found is None:
        return None
    value, width = found
    return Field(layout.offset, layout.offset + width, value)
