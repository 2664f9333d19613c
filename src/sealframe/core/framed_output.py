"""Messages that are framed when they are accepted, and only joined when they are written.

Most layouts refuse a message for its size alone, which the send queue compares. Others look into
it: a delimiter in a line, a size that the payload itself tells. There a message is framed at once,
so that ``send`` raises what the layout says, and nothing can be refused when it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ..framing import FrameEncoder

_LARGE: Final = 64 * 1024
"""A frame of so many bytes is a buffer of its own, and not copied."""


class FramedOutput:
    """In place of the encoder of such a layout: what is written are frames already.

    :param make: returns an encoder, as for a stream that begins
    """

    __slots__ = ("_begun", "_encoder", "_make")

    def __init__(self, make: Callable[[], FrameEncoder]) -> None:
        self._make = make
        self._encoder = make()
        self._begun = False

    def frame(self, messages: Iterable[bytes]) -> list[bytes]:
        """Return the frames that carry the messages; or raise what the layout refuses, as if
        there had been none of them."""
        try:
            frames = list(map(self._encoder.encode, messages))
        except BaseException:
            if not self._begun:
                # The first message of a stream may have a layout of its own, and is still to come.
                self._encoder = self._make()
            raise
        self._begun = True
        return frames

    def encode(self, frame: bytes) -> bytes:
        """Return the frame, as it is."""
        return frame

    def pack(self, frames: Iterable[bytes]) -> list[bytes]:
        """Return the frames as buffers to be written in one call; small ones are joined."""
        buffers: list[bytes] = []
        small: list[bytes] = []
        for frame in frames:
            if len(frame) < _LARGE:
                small.append(frame)
                continue
            if small:
                buffers.append(b"".join(small))
                small = []
            buffers.append(frame)
        if small:
            buffers.append(b"".join(small))
        return buffers
