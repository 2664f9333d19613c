"""Buffers of pieces: what came on a stream, what is to be written to a file."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final, TypeAlias

from ..wire import MAX_CHUNK

Chunk: TypeAlias = bytes | bytearray | memoryview

_SMALL: Final = 1024
"""Bytes; a piece that is smaller is copied to the end of the one before it."""


def append_chunk(chunks: MutableSequence[Chunk], data: Chunk) -> None:
    """Append a piece; small ones are merged, up to about 60 KiB.

    Otherwise a peer that sends single bytes would make this end keep an object of some 100
    bytes for each.
    """
    if len(data) >= _SMALL:
        chunks.append(data)
    elif chunks and isinstance(last := chunks[-1], bytearray) and len(last) < MAX_CHUNK:
        last += data
    else:
        chunks.append(bytearray(data))
