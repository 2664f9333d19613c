"""The memory that event loops read into, and what else decoders in pure Python share."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from . import refusals as refuse

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SCRATCH: Final = 256 * 1024
"""Bytes in the buffer that is exported while no large message is under way."""

# One spare scratch buffer for all decoders. A deque, because taking it out and
# putting it back are atomic: decoders of two threads never hold the same one.
spare: Final[deque[bytearray]] = deque(maxlen=1)


def take_scratch() -> bytearray:
    """Return memory of 256 KiB that nobody else writes to; whoever is done puts it in ``spare``."""
    try:
        scratch = spare.pop()
        # Fails while anyone has a view of it: then it is left to them.
        scratch.append(scratch.pop())
    except (IndexError, BufferError):
        return bytearray(_SCRATCH)
    return scratch


def readable(data: Buffer) -> memoryview:
    """Return a view of what is to be fed or encoded.

    :raises TypeError: it is not bytes-like
    :raises BufferError: it is a view with gaps
    """
    try:
        view = memoryview(data)
    except TypeError:
        raise refuse.not_bytes(data) from None
    if not view.c_contiguous:
        raise refuse.not_contiguous()
    return view
