"""What is on its way to one other server: no more than its window has room for.

A server that takes in less than others send would have NATS keep the rest, and be cut off by it
in the end, with all that waits there. So it acknowledges what it has taken in (:mod:`.chunks`), and
what has no room in the window waits here, with whoever sends more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from .chunks import OutgoingStream
from .numbers import ACK_TIMEOUT, WINDOW

HIGH_WATER: Final = 1024 * 1024
"""Bytes that wait for the window, from which on senders to this server wait too."""


class Destination:
    """The stream to one server, and its chunks: those that wait, and those on their way.

    :param id: of this server
    :param size: bytes of a chunk at most
    :ivar stream: takes the frames
    :ivar free: set while senders need not wait
    :ivar waiting_bytes: bytes of the chunks that wait
    """

    __slots__ = (
        "_on_way",
        "_on_way_bytes",
        "_progress",
        "_sequence",
        "_waiting",
        "free",
        "stream",
        "waiting_bytes",
    )

    def __init__(self, id: bytes, size: int) -> None:
        self.stream = OutgoingStream(id, size)
        self.free = asyncio.Event()
        self.free.set()
        self.waiting_bytes = 0
        self._waiting: deque[bytes] = deque()
        self._on_way: deque[int] = deque()  # their sizes
        self._on_way_bytes = 0
        self._sequence = self.stream.position[1]  # of the first on its way
        self._progress = 0.0  # when it was sent, or one before it was acknowledged

    def collect(self) -> None:
        """Make chunks of the frames that were added."""
        for chunk in self.stream.take():
            self._waiting.append(chunk)
            self.waiting_bytes += len(chunk)

    def pop(self, now: float) -> bytes | None:
        """Return the next chunk to be published, None if there is none that may go.

        :param now: the time, monotonic
        """
        if not self._waiting:
            self.free.set()
            return None
        if self._on_way_bytes >= WINDOW:
            if now - self._progress < ACK_TIMEOUT:
                self._update()
                return None
            self._forget_on_way()
        if not self._on_way:
            self._progress = now
        chunk = self._waiting.popleft()
        self.waiting_bytes -= len(chunk)
        self._on_way.append(len(chunk))
        self._on_way_bytes += len(chunk)
        self._update()
        return chunk

    def acknowledge(self, number: int, sequence: int, now: float) -> None:
        """The chunks of that stream before that sequence were taken in, or did not come."""
        if number != self.stream.position[0]:
            return
        while self._on_way and self._sequence < sequence:
            self._on_way_bytes -= self._on_way.popleft()
            self._sequence += 1
        self._progress = now

    def drop(self) -> int:
        """Drop what waits and what is on its way; return how many chunks were not published."""
        self.collect()
        self._forget_on_way()
        lost = len(self._waiting)
        self._waiting.clear()
        self.waiting_bytes = 0
        self._sequence = self.stream.position[1]
        self.free.set()
        return lost

    def _forget_on_way(self) -> None:
        self._sequence += len(self._on_way)
        self._on_way.clear()
        self._on_way_bytes = 0

    def _update(self) -> None:
        if self.waiting_bytes > HIGH_WATER:
            self.free.clear()
        else:
            self.free.set()
