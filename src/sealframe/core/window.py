"""The receive window for messages: credit that the peer has left, and when it gets more.

docs/PROTOCOL.md section 7 has the rules. The cost of a message is its length and 64 bytes more.
"""

from __future__ import annotations

from ..wire import MAX_WINDOW


class Window:
    """The credit of the peer, as its receiver counts it.

    A message may begin while any credit is left, so the last one may take it below zero.
    Messages count from the start of the connection, also those that a server sent before
    the client's HELLO came: then both ends count the same.

    :param left: the announced window, less the cost of the messages that came already
    """

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def charge(self, cost: int, last: int) -> bool:
        """Count messages that came; return whether the credit allowed them.

        :param cost: the cost of all of them
        :param last: the cost of the last one, which alone may exceed the credit
        """
        allowed = self.left > cost - last
        self.left -= cost
        return allowed

    def due(self, quota: int, queued: int) -> int:
        """Return how much credit to send now; 0 if below half the window: not worth a frame.

        :param quota: the cost of the messages that may be queued
        :param queued: the cost of those that are
        """
        window = min(quota, MAX_WINDOW)
        due = min(window - queued - self.left, MAX_WINDOW)
        return due if due >= max(1, window // 2) else 0

    def low_water(self, quota: int) -> int:
        """Return the queued cost at or below which credit is due; -1 if there is none."""
        window = min(quota, MAX_WINDOW)
        return max(-1, window - max(1, window // 2) - self.left)
