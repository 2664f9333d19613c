"""How much the peer may send before it gets more credit, for messages."""

from __future__ import annotations

from ..wire import MAX_WINDOW


class Window:
    """What is left of the credit that the peer was given.

    A message may begin while there is any left, so that the last one may go below zero.
    Messages count from the start of the connection, those that a server sent before the
    client's HELLO came included: then both ends count the same.

    :param left: the window, less the cost of the messages that came already
    """

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def charge(self, cost: int, last: int) -> bool:
        """Count messages that came; return whether they were allowed.

        :param cost: of all of them
        :param last: of the last one, which alone may pass what is left
        """
        allowed = self.left > cost - last
        self.left -= cost
        return allowed

    def due(self, share: int, held: int) -> int:
        """Return how much credit to give now; 0 while it is too little to tell of.

        :param share: cost of the messages that may be held
        :param held: cost of those that are held
        """
        share = min(share, MAX_WINDOW)
        due = min(share - held - self.left, MAX_WINDOW)
        return due if due >= max(1, share // 2) else 0

    def mark(self, share: int) -> int:
        """Return the cost held from which downwards credit is due; -1 if there is none."""
        share = min(share, MAX_WINDOW)
        return max(-1, share - max(1, share // 2) - self.left)
