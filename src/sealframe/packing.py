"""Turns messages into few buffers: small ones joined, large ones not copied."""

from __future__ import annotations

from typing import Final

from . import wire
from .framing import Framing

LARGE: Final = 64 * 1024
"""Messages from this size on are written beside their head, not joined to it."""

SENDING: Final = Framing(control=True, maximum=wire.MAX_LENGTH)
"""The native layout; what is sent is bounded by the peer's limit, not by our own."""


def pack(framing: Framing, messages: list[bytes]) -> list[bytes]:
    """Return the frames of ``messages``, in order, as buffers to write in one call."""
    if max(map(len, messages)) < LARGE or not _head_is_apart(framing):
        return [framing.encode_many(messages)]
    buffers: list[bytes] = []
    small: list[bytes] = []
    for message in messages:
        if len(message) < LARGE:
            small.append(message)
        else:
            # The head rides with the small messages before it, so that no
            # frame is split over two tiny writes.
            buffers.append(framing.encode_many(small) + framing.head(len(message)))
            buffers.append(message)
            small = []
    if small:
        buffers.append(framing.encode_many(small))
    return buffers


def _head_is_apart(framing: Framing) -> bool:
    """Return whether a frame is a head and then the message as it is."""
    layout = framing.layout
    return layout.width == 0 or layout.strip >= layout.offset + layout.width
