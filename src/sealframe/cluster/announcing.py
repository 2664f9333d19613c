"""What this server says of itself: numbered deltas, heartbeats and its roster."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final

from .messages import RosterPart
from .numbers import HEARTBEAT_INTERVAL, MAX_DELTAS, MAX_WAITING
from .presence import Delta, Put, encode_delta, encode_presence, encode_roster

__all__ = ["Announcer"]

_SHORT: Final = 1024
"""Bytes of a client as JSON that are kept. A name may be 64 KiB, and six times that as JSON; as it
is, the server has it anyway."""


class Announcer:
    """Numbers the changes of this server's clients and makes presence messages of them.

    :param size: bytes of a message at most
    :ivar number: of the last delta
    :ivar next_time: when the next heartbeat is due
    :ivar figures: for the table of ``sealframe cluster status``
    """

    def __init__(self, id: str, label: str, started: float, now: float, size: int) -> None:
        self._identity: dict[str, object] = {"id": id, "label": label, "started": started}
        self._size = size
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        # Each client as it was announced: a roster of 10,000 is joined, not encoded, in one turn.
        self._clients: dict[str, bytes] = {}
        # Those with long names are encoded anew.
        self._long: dict[str, Put] = {}
        self._roster: tuple[int, list[RosterPart]] | None = None
        self.figures: Mapping[str, float] = {}
        self.number = 0
        self.next_time = now

    @property
    def waiting(self) -> bool:
        """Whether there are deltas to be published."""
        return bool(self._waiting)

    def add(self, delta: Delta) -> None:
        """Give a change its number. It waits to be published."""
        self.number += 1
        data = encode_delta(delta)
        if len(self._waiting) == MAX_DELTAS or self._waiting_size + len(data) > MAX_WAITING:
            self._forget_waiting()  # whoever misses them asks for the roster
        self._waiting.append(data)
        self._waiting_size += len(data)
        if isinstance(delta, Put) and len(data) <= _SHORT:
            self._clients[delta.id] = data
            self._long.pop(delta.id, None)
            return
        self._clients.pop(delta.id, None)
        if isinstance(delta, Put):
            self._long[delta.id] = delta
        else:
            self._long.pop(delta.id, None)

    def take(self, now: float) -> list[bytes]:
        """Return the messages to be published now: deltas, or a heartbeat if it is due."""
        if not self._waiting and now < self.next_time:
            return []
        self.next_time = now + HEARTBEAT_INTERVAL
        messages: list[bytes] = []
        batch: list[bytes] = []
        number = self.number - len(self._waiting)
        room = self._size - len(self._encode(self.number, []))
        left = room
        for delta in self._waiting:
            if len(delta) >= left and batch:
                messages.append(self._encode(number, batch))
                batch, left = [], room
            number += 1
            if len(delta) < left:
                batch.append(delta)
                left -= len(delta) + 1
            # Else it is too large for a message: the next one shows a gap of one number.
        messages.append(self._encode(number, batch))
        self._forget_waiting()
        return messages

    def bye(self) -> bytes:
        """Return the last message of all."""
        return self._encode(self.number, [], bye=True)

    def roster(self) -> list[RosterPart]:
        """Return this server's roster, as of its last delta.

        Servers that start together ask together: until the next delta they get the same parts,
        if these have no long names.
        """
        if self._roster is not None and self._roster[0] == self.number:
            return self._roster[1]
        long = map(encode_delta, self._long.values())
        data = encode_roster(chain(self._clients.values(), long))
        parts = [RosterPart(self.number, place, len(data), part) for place, part in enumerate(data)]
        self._roster = None if self._long else (self.number, parts)
        return parts

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_size = 0

    def _encode(self, number: int, deltas: list[bytes], *, bye: bool = False) -> bytes:
        head = {**self._identity, "figures": dict(self.figures)}
        return encode_presence(head, number, deltas, bye=bye)
