"""What was stored last, still in memory, so that it need not be read from the file."""

from __future__ import annotations

from collections import deque
from typing import Final

from .batches import cost_of

_LARGEST: Final = 1024 * 1024
"""What it may cost, in bytes; the newest messages stay."""


class ReadAhead:
    """The newest messages of a file that were not read yet.

    :param last: the serial number of the last message that is in the file
    """

    __slots__ = ("_cost", "_last", "_messages")

    def __init__(self, last: int) -> None:
        self._messages: deque[bytes] = deque()
        self._last = last
        self._cost = 0

    @property
    def first(self) -> int:
        """The serial number of the first message that is here."""
        return self._last - len(self._messages) + 1

    def add(self, messages: list[bytes]) -> None:
        """Add what was stored."""
        self._messages += messages
        self._last += len(messages)
        self._cost += cost_of(messages)
        while self._cost > _LARGEST:
            self._pop()

    def take(self, after: int, size: int) -> list[bytes]:
        """Return the messages behind a serial number, the first of them at least; none where
        they have to be read from the file.

        :param size: cost of all, about
        """
        taken: list[bytes] = []
        if after + 1 < self.first:
            return taken
        while self.first <= after:
            self._pop()
        while self._messages and size > 0:
            before = self._cost
            taken.append(self._pop())
            size -= before - self._cost
        return taken

    def _pop(self) -> bytes:
        message = self._messages.popleft()
        self._cost -= cost_of((message,))
        return message
