"""Messages as one blob: u32 how many, then the u32 length of each, then all of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from ..wire import MESSAGE_OVERHEAD

_LARGEST: Final = 64 * 1024
"""Bytes of messages after which a batch ends: so much is read at a time, and deleted at once."""


class MalformedBatchError(ValueError):
    """A blob is not what :func:`pack` makes."""


def cost_of(messages: Sequence[bytes]) -> int:
    """Return what messages count in a queue, in bytes."""
    return sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)


def split(messages: list[bytes]) -> Iterator[list[bytes]]:
    """Yield messages in groups of 64 KiB or one message, whichever is more."""
    first = size = 0
    for index, message in enumerate(messages):
        if index > first and size + len(message) > _LARGEST:
            yield messages[first:index]
            first, size = index, 0
        size += len(message)
    if first < len(messages):
        yield messages[first:]


def pack(messages: Sequence[bytes]) -> bytes:
    """Return messages as one blob."""
    count = len(messages)
    return struct.pack(f"<{count + 1}I", count, *map(len, messages)) + b"".join(messages)


def unpack(blob: bytes) -> list[bytes]:
    """Return the messages of a blob. In a damaged file it may be of any type.

    :raises MalformedBatchError: it is not one
    """
    try:
        (count,) = struct.unpack_from("<I", blob)
        lengths = struct.unpack_from(f"<{count}I", blob, 4)
    except (struct.error, TypeError) as error:
        raise MalformedBatchError(str(error)) from None
    at = 4 + 4 * count
    if not count or at + sum(lengths) != len(blob):
        raise MalformedBatchError(f"{len(blob)} bytes are no batch of {count}")
    messages = []
    for length in lengths:
        messages.append(blob[at : at + length])
        at += length
    return messages
