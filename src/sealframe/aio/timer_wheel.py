"""One timer for many objects that want to be called at about the same time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)


class TimerWheel(Generic[Member]):
    """Calls each of its members once, when its time has come or a little later.

    A timer of an event loop takes 700 bytes, which is much for an idle connection.
    Those whose times are close share one here.

    :param call: is given the member
    :param resolution: seconds by which a call is late at most
    """

    __slots__ = ("_resolution", "_rounds", "call")

    def __init__(self, call: Callable[[Member], None], resolution: float) -> None:
        self.call = call
        self._resolution = resolution
        self._rounds: dict[int, Bucket[Member]] = {}

    def add(self, member: Member, when: float) -> Bucket[Member]:
        """Have a member called at a time of the event loop.

        :return: its round, in common with others; whoever leaves it is not called
        """
        number = math.ceil(when / self._resolution)
        found = self._rounds.get(number)
        if found is None:
            found = self._rounds[number] = Bucket(self, number, number * self._resolution)
        found.members.add(member)
        return found

    def forget(self, number: int) -> None:
        """Take a round out that is called or empty."""
        self._rounds.pop(number, None)


class Bucket(Generic[Member]):
    """Those who are called together.

    :ivar members: who they are
    """

    __slots__ = ("_number", "_table", "_timer", "members")

    def __init__(self, table: TimerWheel[Member], number: int, when: float) -> None:
        self.members: set[Member] = set()
        self._table = table
        self._number = number
        self._timer = asyncio.get_running_loop().call_at(when, self._call_all)

    def leave(self, member: Member) -> None:
        """Call it no more; harmless when it was called already."""
        self.members.discard(member)
        if not self.members:
            self._timer.cancel()
            self._table.forget(self._number)

    def _call_all(self) -> None:
        self._table.forget(self._number)
        try:
            while self.members:
                self._table.call(self.members.pop())
        finally:
            # One that fails must not keep the others from their turn.
            if self.members:
                asyncio.get_running_loop().call_soon(self._call_all)
