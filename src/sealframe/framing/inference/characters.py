"""Lengths that count the characters of a text, where its bytes are more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .expressions import expression
from .hypotheses import FixedField, Hypothesis, Order

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["characters", "counts_characters"]

_ORDERS: Final[tuple[Order, ...]] = ("big", "little")
_USUAL: Final = tuple(
    Hypothesis(FixedField(width, order), offset, offset + width)
    for offset in (0, 1, 2)
    for width in (4, 2, 1)
    for order in _ORDERS
)


def counts_characters(data: bytes) -> str | None:
    """Return what to say where a usual length counts the characters of texts in UTF-8."""
    for usual in _USUAL:
        for sentence in characters(data, usual):
            return f"As {expression(usual)}, all of it is text with a length in front. {sentence}"
    return None


def characters(data: bytes, given: Hypothesis) -> Iterator[str]:
    """Yield that the length counts characters of UTF-8, if it does."""
    position = frames = longer = 0
    while position < len(data):
        read = given.field.read(data, position + given.offset)
        if read is None:
            return
        value, width = read
        beginning = end = position + given.offset + width
        for _ in range(min(value, len(data))):
            if end >= len(data):
                return
            first = data[end]
            end += 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        if end > len(data) or value > len(data):
            return
        try:
            data[beginning:end].decode()
        except UnicodeDecodeError:
            return
        longer += end - beginning != value
        frames += 1
        position = end
    if longer and frames > 1:
        yield (
            f"The length counts characters and not bytes: {longer} of {frames:,} frames hold UTF-8 "
            "text that has more bytes than characters. The sender has to take the length of the "
            "encoded bytes; no layout can cut this without decoding the text."
        )
