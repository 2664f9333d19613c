"""The receive window for messages: credit that the peer has left, and when it gets more.

docs/PROTOCOL.md section 7 has the rules. A message costs its length plus 64 bytes
(MESSAGE_OVERHEAD). All numbers here are such costs.
"""

from __future__ import annotations

from ..wire import MAX_WINDOW


class Window:
    """The peer's credit, as the receiver counts it.

    A message may begin while any credit is left, so the last one may take the credit below
    zero. Counting starts with the connection: messages that a server sent before the client's
    HELLO count too, and so both ends hold the same number.

    :param left: the announced window, less the cost of the messages that came already
    """

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def charge(self, cost: int, last: int) -> bool:
        """Subtract messages that arrived; return False if one began without credit.

        :param cost: the cost of all of them
        :param last: the cost of the last one, which alone may exceed the credit
        """
        allowed = self.left > cost - last
        self.left -= cost
        return allowed

    def due(self, quota: int, queued: int) -> int:
        """Return the increment for CREDIT now; 0 if below half the window: not worth a frame.

        :param quota: the cost of the messages that may be queued
        :param queued: the cost of those that are queued
        """
        window = min(quota, MAX_WINDOW)
        due = min(window - queued - self.left, MAX_WINDOW)
        return due if due >= max(1, window // 2) else 0

    def low_water(self, quota: int) -> int:
        """Return the queued cost at or below which credit is due; -1 if there is none."""
        window = min(quota, MAX_WINDOW)
        return max(-1, window - max(1, window // 2) - self.left)
