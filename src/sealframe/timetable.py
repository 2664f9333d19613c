"""One timer for many objects that want to be called at about the same time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)


class Timetable(Generic[Member]):
    """Calls each of its members once, when its time has come or a little later.

    A timer of an event loop takes 700 bytes, which is much for an idle connection.
    Those whose times are close share one here.

    :param call: is given the member
    :param grain: seconds by which a call is late at most
    """

    __slots__ = ("_call", "_grain", "_rounds")

    def __init__(self, call: Callable[[Member], None], grain: float) -> None:
        self._call = call
        self._grain = grain
        self._rounds: dict[int, set[Member]] = {}

    def add(self, member: Member, when: float) -> set[Member]:
        """Have a member called at a time of the event loop.

        :return: those who are called with it; whoever leaves them is not called
        """
        number = math.ceil(when / self._grain)
        members = self._rounds.get(number)
        if members is None:
            members = self._rounds[number] = set()
            loop = asyncio.get_running_loop()
            loop.call_at(number * self._grain, self._call_all, number)
        members.add(member)
        return members

    def _call_all(self, number: int) -> None:
        members = self._rounds.pop(number)
        while members:
            self._call(members.pop())
