"""The state of one stream: its two directions, its credit, and what waits to be written.

docs/PROTOCOL.md section 8 has the rules. What this end sends is in one of the states of
:class:`Sending`; what the peer sends has ended or not. The stream is over once this end is
``ENDED`` and the peer has ended too, or either has reset it.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final, TypeAlias, cast

from .. import wire
from ..wire import ResetCode
from .channel_frames import (
    ViolationError,
    stream_credit,
    stream_data_head,
    stream_end,
    stream_reset,
)

Buffer: TypeAlias = bytes | memoryview

_MUCH_LARGER: Final = 8
"""How many times as large as a part of it that waits the bytes of one write may be."""


def without_base(piece: Buffer) -> Buffer:
    """Return a copy of a small part of what the program wrote at once, which the part would keep in
    memory as a whole. So what waits holds no more than 8 times what it counts."""
    if type(piece) is memoryview and len(cast("bytes", piece.obj)) > _MUCH_LARGER * len(piece):
        return bytes(piece)
    return piece


class Sending(Enum):
    """What this end does on a stream."""

    OPEN = auto()
    """It may send data."""
    ENDING = auto()
    """It sends what is queued, then STREAM_END."""
    FINISHING = auto()
    """The same, then STREAM_RESET if the peer has not ended: nobody reads its data any more."""
    RESETTING = auto()
    """It sends STREAM_RESET and nothing else; what comes is ignored."""
    ENDED = auto()
    """STREAM_END or STREAM_RESET was written, or this end never sends."""


_OPEN: Final = Sending.OPEN
_ENDING: Final = Sending.ENDING
_FINISHING: Final = Sending.FINISHING
_RESETTING: Final = Sending.RESETTING
_ENDED: Final = Sending.ENDED
_UNSENT: Final = frozenset({_ENDING, _FINISHING, _RESETTING})


class StreamState:
    """One stream, from STREAM_OPEN to what ends it.

    :param credit: bytes that may be sent on it at first
    :param receive_window: bytes that the peer may send at first
    """

    __slots__ = (
        "_end_written",
        "_reset_frame",
        "credit",
        "kind",
        "number",
        "queue",
        "queued_bytes",
        "receive_window",
        "received_end",
        "request",
        "scheduled",
        "sending",
        "window_update",
    )

    def __init__(self, number: int, kind: int, *, credit: int, receive_window: int) -> None:
        self.number = number
        self.kind = kind
        self.credit = credit
        self.receive_window = receive_window
        self.window_update = 0
        """Bytes for the next STREAM_CREDIT; they count once it is written."""
        self.queue: deque[Buffer] = deque()
        self.queued_bytes = 0
        self.request = -1
        """The request whose body or reply it carries, -1 for none."""
        self.sending = _OPEN
        self.received_end = False
        """Whether the peer sends no more."""
        self.scheduled = False
        """Whether it is in the ready queue."""
        # Whether a reset comes after STREAM_END of this end, or there never was one to send.
        self._end_written = False
        self._reset_frame = b""

    @property
    def is_over(self) -> bool:
        """Whether both directions have ended, for both ends."""
        return self.received_end and self.sending is _ENDED

    @property
    def is_ready(self) -> bool:
        """Whether there is something that may be written."""
        if self.window_update or self.sending is _RESETTING:
            return True
        if self.queue:
            return self.credit > 0
        return self.sending is _ENDING or self.sending is _FINISHING

    @property
    def has_unsent(self) -> bool:
        """Whether data, STREAM_END or STREAM_RESET waits, if only for want of credit."""
        return bool(self.queue) or self.sending in _UNSENT

    # What this end does

    def write(self, data: bytes) -> None:
        """Queue data, unless this end has ended its direction."""
        if data and self.sending is _OPEN:
            self.queue.append(data)
            self.queued_bytes += len(data)

    def end(self) -> None:
        """Send STREAM_END behind what is queued."""
        if self.sending is _OPEN:
            self.sending = _ENDING

    def finish(self) -> None:
        """Send STREAM_END behind what is queued, and have the peer stop too."""
        if self.sending is _ENDED:
            self.reset(ResetCode.CANCELLED, "")
        elif self.sending is not _RESETTING:
            self.sending = _FINISHING

    def reset(self, code: int, reason: str) -> None:
        """Send STREAM_RESET, and drop what is queued."""
        if self.sending is not _RESETTING:
            self._drop()
            self._end_written = self.sending is _ENDED
            self.sending = _RESETTING
            self._reset_frame = stream_reset(self.number, code, reason)

    def update_window(self, increment: int) -> None:
        """Let the peer send so many bytes more."""
        if not self.received_end and self.sending is not _RESETTING:
            self.window_update += increment

    def close(self) -> None:
        """Make it over at once: a reset came."""
        self._drop()
        self.sending, self.received_end = _ENDED, True

    def _drop(self) -> None:
        self.queue.clear()
        self.queued_bytes = self.window_update = 0

    # What the peer does; False means that it is to be ignored, for this end has reset it

    def receive_data(self, size: int) -> bool:
        """Count data against the receive window."""
        if self.sending is _RESETTING:
            return False
        if self.received_end:
            raise ViolationError(f"stream {self.number} has ended")
        if size > self.receive_window:
            raise ViolationError(f"stream {self.number} has no credit for {size} bytes")
        self.receive_window -= size
        return True

    def receive_credit(self, increment: int) -> bool:
        """Add to the credit."""
        if self.sending is _RESETTING:
            return False
        self.credit += increment
        if not increment or self.credit > wire.MAX_WINDOW:
            raise ViolationError(
                f"credit of {increment} bytes makes {self.credit} on stream {self.number}"
            )
        return True

    def receive_end(self) -> bool:
        """End the peer's direction."""
        if self.sending is _RESETTING:
            if self._end_written:
                # To the peer the stream is over now: it may open another in its place.
                self.close()
            return False
        if self.received_end:
            raise ViolationError(f"stream {self.number} has ended already")
        self.received_end = True
        return True

    # What is written

    def write_turn(self, buffers: list[Buffer], most: int = wire.MAX_CHUNK) -> int:
        """Write the frames of one turn: all that is due, of data one frame.

        :param most: bytes of data
        :return: bytes of data
        """
        number = self.number
        if self.sending is _RESETTING:
            buffers.append(self._reset_frame)
            self.close()
            return 0
        if self.window_update:
            buffers.append(stream_credit(number, self.window_update))
            self.receive_window += self.window_update
            self.window_update = 0
        size = min(self.queued_bytes, self.credit, wire.MAX_CHUNK, most)
        if size:
            self._write_data(size, buffers)
        if not self.queue and (self.sending is _ENDING or self.sending is _FINISHING):
            buffers.append(stream_end(number))
            if self.sending is _FINISHING and not self.received_end:
                buffers.append(stream_reset(number, ResetCode.CANCELLED, ""))
                self.received_end = True
            self.sending = _ENDED
        return size

    def _write_data(self, size: int, buffers: list[Buffer]) -> None:
        buffers.append(stream_data_head(self.number, size))
        self.queued_bytes -= size
        self.credit -= size
        queue = self.queue
        while size:
            piece = queue.popleft()
            if len(piece) > size:
                view = memoryview(piece)
                queue.appendleft(without_base(view[size:]))
                piece = view[:size]
            buffers.append(piece)
            size -= len(piece)
