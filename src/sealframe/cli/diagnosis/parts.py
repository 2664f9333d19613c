"""Which bytes of a frame are its length, and what it reads as."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...framing import FrameLayout, Framing


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
    start = layout.offset
    data = frame[start:]
    length: Any = getattr(layout, "length", None)
    kind = "Varint" if layout.varint else type(length).__name__
    found: tuple[int, int] | None
    match kind:
        case "NoneType" | "Uint":
            found = _uint(layout if length is None else length, data)
        case "Varint":
            found = _varint(data)
        case "Ber":
            found = _ber(data)
        case "Digits":
            found = _digits(length, data)
        case "Bcd":
            text = data[: length.width].hex()
            found = (length.width, int(text)) if text.isdecimal() else None
        case "Escaped":
            found = _escaped(length, data)
        case _:
            found = None
    if found is None or not 0 < found[0] <= len(data):
        return None
    return Field(start, start + found[0], found[1])


def _shifted(value: int, mask: int | None) -> int:
    if mask is None:
        return value
    return (value & mask) >> ((mask & -mask).bit_length() - 1)


def _uint(number: Any, data: bytes) -> tuple[int, int]:
    value = int.from_bytes(data[: number.width], number.byteorder)
    return number.width, _shifted(value, getattr(number, "mask", None))


def _varint(data: bytes) -> tuple[int, int] | None:
    value = 0
    for index, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return index + 1, value
    return None


def _ber(data: bytes) -> tuple[int, int] | None:
    if not data:
        return None
    if data[0] < 0x80:
        return 1, data[0]
    more = data[0] & 0x7F
    return 1 + more, int.from_bytes(data[1 : 1 + more], "big")


def _digits(number: Any, data: bytes) -> tuple[int, int] | None:
    size = data.find(number.until) if number.until else number.width
    try:
        value = int(data[:size].decode("ascii"), number.base)
    except ValueError:
        return None
    return size + len(number.until), value


def _escaped(number: Any, data: bytes) -> tuple[int, int]:
    width, value = _uint(number, data)
    more = dict(number.wider).get(value, 0)
    if more:
        value = int.from_bytes(data[width : width + more], number.byteorder)
    return width + more, value
