"""Pieces of bytes that wait to be read or written, in the order in which they came."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final, TypeAlias

from ..wire import MAX_CHUNK

Chunk: TypeAlias = bytes | bytearray | memoryview

_SMALL: Final = 1024
"""Bytes below which a piece is copied to the one before it."""


def append_chunk(chunks: MutableSequence[Chunk], data: Chunk) -> None:
    """Append a piece.

    Small ones are merged, until they are 64 KiB: an object for every single byte would take
    far more memory than the byte.
    """
    if len(data) >= _SMALL:
        chunks.append(data)
    elif chunks and isinstance(last := chunks[-1], bytearray) and len(last) < MAX_CHUNK:
        last += data
    else:
        chunks.append(bytearray(data))
