"""TCP segments put together to streams (RFC 9293, section 3.4: sequence numbers are modulo 2**32).

Nothing here reads a file: segments come in, as they were captured, and streams go out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from .stream import WINDOW, Stream

_MODULUS: Final = 2**32
_KEPT: Final = 4 * WINDOW
"""Bytes kept of one direction: what was sent again comes on top of the window."""
_SEGMENTS: Final = 200_000
"""Segments kept of one direction."""
CONNECTIONS: Final = 100_000
"""Connections that are told apart; further ones are not looked at."""

End = tuple[bytes, int]
"""An address, packed, and a port."""


class Segment(NamedTuple):
    """One TCP segment, as far as it matters here."""

    source: End
    target: End
    sequence: int
    data: bytes
    size: int
    """Bytes that it carried; more than ``data`` where the capture cut the packet."""
    syn: bool = False
    ack: bool = False
    fin: bool = False
    rst: bool = False
    time: float = 0.0
    """When it was captured, in seconds since 1970; 0 where nobody knows."""


@dataclass
class _Direction:
    """What one end of a connection sent."""

    first: int | None = None
    """Sequence number of the first byte, where a SYN told."""
    start: int | None = None
    """Where that byte is, counted as the segments are."""
    fin: int | None = None
    """Where the stream ends, counted as the segments are; None before a FIN."""
    size: int = 0
    """Bytes that were captured, with those that were sent again."""
    cut: bool = False
    """The capture cut packets, so that bytes are missing."""
    full: bool = False
    _last: int | None = None
    _unwrapped: int = 0
    _segments: list[tuple[int, bytes]] = field(default_factory=list)
    _kept: int = 0

    def add(self, segment: Segment, *, keep: bool) -> int:
        """Take the next segment; return where it is, by positions that grow beyond 2**32."""
        sequence = (segment.sequence + segment.syn) % _MODULUS
        if self._last is None:
            self._last = sequence
        # The distance to the last one is below half the range either way.
        step = (sequence - self._last + _MODULUS // 2) % _MODULUS - _MODULUS // 2
        self._last, self._unwrapped = sequence, self._unwrapped + step
        if segment.syn:
            self.first, self.start = sequence, self._unwrapped
        self.size += len(segment.data)
        self.cut |= len(segment.data) < segment.size
        if segment.fin:
            self.fin = self._unwrapped + segment.size
        if keep and segment.data:
            self._keep(segment.data)
        return self._unwrapped

    def _keep(self, data: bytes) -> None:
        if self.full:
            return
        self._kept += len(data)
        self._segments.append((self._unwrapped, data))
        self.full = self._kept >= _KEPT or len(self._segments) >= _SEGMENTS

    def runs(self) -> list[tuple[int, list[bytes]]]:
        """Return what is contiguous: where it starts, and the new bytes of each segment."""
        if not self._segments:
            return []
        # What is before the SYN was never part of the stream.
        end = min(at for at, _ in self._segments) if self.start is None else self.start
        runs: list[tuple[int, list[bytes]]] = [(end, [])]
        for at, data in sorted(self._segments, key=lambda kept: kept[0]):
            # The first copy of a byte counts, the rest was sent again.
            new = data[max(0, end - at) :]
            if not new:
                continue
            if at > end:
                runs.append((at, []))
                end = at
            runs[-1][1].append(new)
            end += len(new)
        return [(at, parts) for at, parts in runs if parts]


@dataclass
class Connection:
    """One TCP connection, both directions.

    :ivar client: who opened it; where no SYN was captured, who has the higher port
    :ivar server: the other end
    :ivar opened: whether its SYN was captured
    """

    client: End
    server: End
    opened: bool
    _sent: dict[End, _Direction]
    _reset: bool = False

    @classmethod
    def opened_by(cls, segment: Segment) -> Connection:
        """Return the connection whose first segment this is."""
        source, target = segment.source, segment.target
        if segment.syn:
            client, server = (target, source) if segment.ack else (source, target)
        else:
            client, server = (source, target) if source[1] > target[1] else (target, source)
        return cls(client, server, segment.syn, {source: _Direction(), target: _Direction()})

    def add(self, segment: Segment, *, keep: bool) -> int:
        """Take its next segment, and its bytes if they are to be kept; return where it is."""
        self._reset |= segment.rst
        return self._sent[segment.source].add(segment, keep=keep)

    def start_of(self, end: End) -> int | None:
        """Return where what one end sent begins; None where its SYN was not captured."""
        return self._sent[end].start

    def end_of(self, end: End) -> int | None:
        """Return where its FIN was; None before that."""
        return self._sent[end].fin

    def is_open(self, end: End) -> bool:
        """Return whether that end may have sent more than there is: no FIN of it, and no RST."""
        return not self._reset and self._sent[end].fin is None

    @property
    def cut(self) -> bool:
        """Whether the capture cut packets of it."""
        return any(direction.cut for direction in self._sent.values())

    def is_over(self, segment: Segment) -> bool:
        """Return whether a segment opens another one on the same ports."""
        if not segment.syn or segment.ack:
            return False
        # Not a copy of the SYN that opened this one.
        return self._sent[segment.source].first != (segment.sequence + 1) % _MODULUS

    @property
    def size(self) -> int:
        """Bytes that were captured in both directions."""
        return sum(direction.size for direction in self._sent.values())

    def has(self, other: Connection) -> bool:
        """Return whether the bytes of this one are kept as far as they are looked at.

        :param other: the same one, all of whose segments were counted
        """
        return all(
            direction.full or direction.size >= other._sent[end].size
            for end, direction in self._sent.items()
        )

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of client and server, with those that were sent again."""
        return self._sent[self.client].size, self._sent[self.server].size

    def streams(self) -> list[Stream]:
        """Return the directions in which bytes came: the client's first."""
        found = []
        ends: tuple[tuple[Literal["client", "server"], End], ...] = (
            ("client", self.client),
            ("server", self.server),
        )
        for sender, end in ends:
            stream = _stream(self._sent[end], sender, opened=self.opened)
            if stream is not None:
                found.append(stream)
        return found


def _stream(
    direction: _Direction, sender: Literal["client", "server"], *, opened: bool
) -> Stream | None:
    runs = direction.runs()
    if not runs:
        return None
    sizes = [sum(map(len, parts)) for _, parts in runs]
    chosen = sizes.index(max(sizes))
    at, parts = runs[chosen]
    end = at + sizes[chosen]
    notes = []
    if direction.cut:
        notes.append(
            "the capture cut its packets: take it again with whole ones (tcpdump -s 0), since "
            "bytes are missing here"
        )
    if at > (runs[0][0] if direction.start is None else direction.start):
        notes.append(
            "segments are missing in the capture; the longest part without a gap, "
            f"{sizes[chosen]:,} bytes, was looked at, and it may begin in the middle of a frame"
        )
    elif len(runs) > 1:
        notes.append(
            f"segments are missing in the capture; the first {end - at:,} bytes, up to the gap, "
            "were looked at"
        )
    if not opened:
        notes.append(
            "the capture does not have the start of the connection: the first bytes may be the "
            "middle of a frame, and who is the client is a guess from the ports"
        )
    boundaries: list[int] = []
    for part in parts:
        boundaries.append((boundaries[-1] if boundaries else 0) + len(part))
    return Stream(
        b"".join(parts),
        tuple(boundaries),
        complete=chosen == len(runs) - 1
        and not direction.full
        and (direction.fin is None or direction.fin <= end),
        sender=sender,
        notes=tuple(notes),
    ).limited()


class Reassembly:
    """Takes the segments of a capture, and tells the connections among them apart.

    :param chosen: number of the connection, from 0, whose bytes are kept; None keeps none and
        only counts
    """

    def __init__(self, chosen: int | None = None) -> None:
        self.connections: list[Connection] = []
        self.skipped = 0
        """Segments of connections beyond those that are told apart."""
        self._chosen = chosen
        self._current: dict[tuple[End, End], int] = {}

    def add(self, segment: Segment) -> None:
        """Take the next segment of the capture."""
        ends = min(segment.source, segment.target), max(segment.source, segment.target)
        number = self._current.get(ends)
        if number is None or self.connections[number].is_over(segment):
            if len(self.connections) >= CONNECTIONS:
                self.skipped += 1
                return
            number = len(self.connections)
            self._current[ends] = number
            self.connections.append(Connection.opened_by(segment))
        self.connections[number].add(segment, keep=number == self._chosen)
