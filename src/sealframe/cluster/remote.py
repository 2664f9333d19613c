"""What is known of another server: how far its deltas are taken, and whether some are missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from .events import ClusterServer
from .liveness import Liveness
from .messages import RosterPart
from .numbers import MAX_DELTAS, ROSTER_RETRY
from .presence import Delta, Put, decode_clients

__all__ = ["RemoteServer", "RosterResult"]

RosterResult: TypeAlias = tuple[list[Put], list[Delta]]
"""The clients of a roster, and the deltas after it that had come before."""


class RemoteServer:
    """Another server.

    Deltas are taken in the order of their numbers. Once one is missing, those behind it are held,
    and the roster is asked for: it says which number it is as of, and they go on from there.

    :ivar info: what it says of itself
    :ivar liveness: whether it is still there
    :ivar parts: of its roster, that came and are to be taken once the backlog is empty
    :ivar backlog: changes that were taken, and are to be carried out in this order
    """

    def __init__(self, info: ClusterServer, time: float) -> None:
        self.info = info
        self.liveness = Liveness(time)
        self.parts: deque[RosterPart] = deque()
        self.backlog: deque[Delta] = deque()
        self._number: int | None = None
        """Of the last delta that was taken; None before the first roster."""
        self._held: list[tuple[int, Sequence[Delta]]] = []
        self._held_deltas = 0
        self._incomplete = True
        self._ask_at = time
        self._parts: list[Put] = []
        self._next_part = (0, 0, 0)

    @property
    def busy(self) -> bool:
        """Whether there is something to be decoded or carried out."""
        return bool(self.backlog or self.parts)

    @property
    def next_ask(self) -> float | None:
        """From when its roster is to be asked for; None while nothing is missing."""
        return self._ask_at if self._incomplete else None

    def asked(self, time: float) -> None:
        """Its roster was asked for; it will be again if it does not come."""
        self._ask_at = time + ROSTER_RETRY

    def take(self, number: int, deltas: Sequence[Delta]) -> Sequence[Delta]:
        """Take the deltas of a message, of which the last has that number.

        :return: those that are to be carried out now, in this order
        """
        before = number - len(deltas)
        if self._number is None and before == 0:
            self._number = 0  # all that ever happened there
            self._incomplete = False
        if self._number is None or before > self._number:
            self._incomplete = True
            self._hold(number, deltas)
            return ()
        if number <= self._number:
            return ()
        new = deltas[self._number - before :]
        self._number = number
        return new

    def take_roster(self, part: RosterPart, time: float) -> RosterResult | None:
        """Take a part of its roster; return what it comes to once it is whole.

        :raises MalformedFrameError: it is no roster
        """
        if part.part == 0:
            self._parts = []
        elif (part.number, part.part, part.parts) != self._next_part:
            return None  # a part before it was lost: all of it is asked for again
        self._parts += decode_clients(part.clients)
        self._next_part = (part.number, part.part + 1, part.parts)
        if part.part + 1 < part.parts:
            self._ask_at = time + ROSTER_RETRY
            return None
        clients, self._parts = self._parts, []
        self._next_part = (0, 0, 0)
        if self._number is not None and part.number < self._number:
            return None  # older than what is known
        self._number = part.number
        self._incomplete = False
        self._ask_at = time
        held, self._held, self._held_deltas = self._held, [], 0
        deltas: list[Delta] = []
        for number, after in held:
            deltas += self.take(number, after)
        return clients, deltas

    def _hold(self, number: int, deltas: Sequence[Delta]) -> None:
        self._held_deltas += len(deltas)
        if self._held_deltas > MAX_DELTAS:
            self._held, self._held_deltas = [], 0  # the roster will show a gap again
        elif deltas:
            self._held.append((number, deltas))
