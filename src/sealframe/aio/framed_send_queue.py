"""The send queue of a layout that may refuse a message for what is in it: it holds frames."""

from __future__ import annotations

from collections.abc import Callable

from .send_queue import SendQueue


class FramedSendQueue(SendQueue):
    """Messages are framed when they are accepted (:mod:`sealframe.core.framed_output`).

    :param limit: queued bytes from which senders wait
    :param frame: returns the frames that carry messages, or raises
    """

    __slots__ = ("_frame",)

    def __init__(self, limit: int, frame: Callable[[list[bytes]], list[bytes]]) -> None:
        super().__init__(limit)
        self._frame = frame

    def open(self, smallest: int, largest: int) -> None:
        """Let senders in. No size is between these, so every message takes the slow path, where
        :meth:`append` and :meth:`extend` frame it."""
        super().open(1, 0)

    def append(self, message: bytes) -> None:
        """Accept a message, even above the high-water mark.

        :raises SealframeError: the layout refuses it
        """
        self.extend([message])

    def extend(self, messages: list[bytes]) -> None:
        """Accept messages, all or none, even above the high-water mark.

        :raises SealframeError: the layout refuses one of them
        """
        for frame in self._frame(messages):
            super().append(frame)
