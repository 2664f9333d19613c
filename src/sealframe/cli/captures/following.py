"""TCP connections of a capture, all at a time: their bytes in order, as they were captured.

What :mod:`.reassembly` keeps of one connection to look at it as a whole, this hands out piece by
piece, with the time at which each became readable, and keeps no more than what is out of order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, Literal, NamedTuple

from .reassembly import CONNECTIONS, Connection, End, Segment

_HELD: Final = 32 * 1024 * 1024
"""Bytes of one direction that wait for a segment before them; beyond that it counts as missing."""

Sender = Literal["client", "server"]


class Chunk(NamedTuple):
    """The next bytes of one direction of a connection."""

    connection: Followed
    sender: Sender
    data: bytes
    time: float


@dataclass
class _Order:
    """One direction: what comes next, and what came too early."""

    expected: int | None = None
    held: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0
    """Bytes that are held."""

    def take(self, at: int, data: bytes) -> Iterator[bytes]:
        """Take a segment; yield what is readable now."""
        if self.expected is None:
            self.expected = at
        if self.size <= _HELD or at <= self.expected:
            heappush(self.held, (at, data))
            self.size += len(data)
        while self.held and self.held[0][0] <= self.expected:
            start, waiting = heappop(self.held)
            self.size -= len(waiting)
            # The first copy of a byte counts, the rest was sent again.
            if new := waiting[self.expected - start :]:
                self.expected += len(new)
                yield new


class Followed:
    """One connection of a capture.

    :ivar number: from 1, in the order of their first segments
    """

    def __init__(self, number: int, segment: Segment) -> None:
        self.number = number
        self.tcp = Connection.opened_by(segment)
        self._orders: dict[End, _Order] = {self.tcp.client: _Order(), self.tcp.server: _Order()}

    def sender(self, end: End) -> Sender:
        """Return who that end is."""
        return "client" if end == self.tcp.client else "server"

    def take(self, segment: Segment) -> Iterator[Chunk]:
        """Take its next segment; yield the bytes that are readable now."""
        at = self.tcp.add(segment, keep=False)
        order = self._orders[segment.source]
        start = self.tcp.start_of(segment.source)
        if order.expected is None and start is not None:
            order.expected = start
        if segment.data:
            for data in order.take(at, segment.data):
                yield Chunk(self, self.sender(segment.source), data, segment.time)

    @property
    def gaps(self) -> list[Sender]:
        """The directions of which segments are missing, so that their rest was not handed out."""
        found = []
        for end, order in self._orders.items():
            fin = self.tcp.end_of(end)
            behind = order.expected is None or (fin is not None and fin > order.expected)
            if order.held or behind:
                found.append(self.sender(end))
        return found

    @property
    def open(self) -> list[Sender]:
        """The directions whose end is not in the capture."""
        return [self.sender(end) for end in self._orders if self.tcp.is_open(end)]


class Following:
    """Takes the segments of a capture, and tells the connections among them apart."""

    def __init__(self) -> None:
        self.connections: list[Followed] = []
        self.skipped = 0
        """Segments of connections beyond those that are told apart."""
        self._current: dict[tuple[End, End], Followed] = {}

    def take(self, segment: Segment) -> Iterator[Chunk]:
        """Take the next segment of the capture; yield the bytes that are readable now."""
        ends = min(segment.source, segment.target), max(segment.source, segment.target)
        found = self._current.get(ends)
        if found is None or found.tcp.is_over(segment):
            if len(self.connections) >= CONNECTIONS:
                self.skipped += 1
                return
            found = self._current[ends] = Followed(len(self.connections) + 1, segment)
            self.connections.append(found)
        yield from found.take(segment)
