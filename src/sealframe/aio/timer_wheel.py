"""A timer wheel: one timer of the event loop for all that is due at about the same time.

Time is divided into intervals of ``resolution`` seconds. A member goes into the bucket of the
interval in which its time falls, and is called when that interval ends.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .time_limit import Expiry

Member = TypeVar("Member", bound=Hashable)


class TimerWheel(Generic[Member]):
    """Calls each member once, at its time or up to ``resolution`` seconds later.

    A timer of an event loop takes 700 bytes, which is much for an idle connection. Members of
    one bucket share a timer.

    :param call: is given the member
    :param resolution: seconds by which a call is late at most
    """

    __slots__ = ("_buckets", "_resolution", "call")

    def __init__(self, call: Callable[[Member], None], resolution: float) -> None:
        self.call = call
        self._resolution = resolution
        self._buckets: dict[int, Bucket[Member]] = {}

    def add(self, member: Member, when: float) -> Bucket[Member]:
        """Call a member at a time of the event loop's clock.

        :return: its bucket, shared with others; a member that leaves it is not called
        """
        number = math.ceil(when / self._resolution)
        found = self._buckets.get(number)
        if found is None:
            found = self._buckets[number] = Bucket(self, number, number * self._resolution)
        found.members.add(member)
        return found

    def forget(self, number: int) -> None:
        """Remove a bucket that is due or empty."""
        self._buckets.pop(number, None)


class Bucket(Generic[Member]):
    """Members that are called together, by one timer.

    :ivar members: those that were not called yet
    """

    __slots__ = ("_number", "_timer", "_wheel", "members")

    def __init__(self, wheel: TimerWheel[Member], number: int, when: float) -> None:
        self.members: set[Member] = set()
        self._wheel = wheel
        self._number = number
        loop = asyncio.get_running_loop()
        # A member may leave because of what has already come.
        self._timer = Expiry(loop, when - loop.time(), self._call_all)

    def leave(self, member: Member) -> None:
        """Remove a member, which is then not called; harmless if it was called already."""
        self.members.discard(member)
        if not self.members:
            self._timer.cancel()
            self._wheel.forget(self._number)

    def _call_all(self) -> None:
        self._wheel.forget(self._number)
        try:
            while self.members:
                self._wheel.call(self.members.pop())
        finally:
            # A call raised. The others are called in the loop's next turn.
            if self.members:
                asyncio.get_running_loop().call_soon(self._call_all)
