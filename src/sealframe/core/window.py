"""A receive window: what the peer may send, and when it is told of more.

docs/PROTOCOL.md section 7 has the rules for messages, section 8 those for streams. A message
costs its length plus 64 bytes (MESSAGE_OVERHEAD), a byte of a stream itself. All numbers here
are such costs, and all but the size count from the start of the connection or stream, as QUIC's
do (RFC 9000, section 4.1): none of them ever falls.

Credit is given by the quarter of a window. By the half the peer has less time to hear of it
before it must stop; for each message a CREDIT would cost as much as the message.
"""

from __future__ import annotations

from ..wire import MAX_WINDOW


class Window:
    """What the peer may send, as the receiver counts it.

    A message may begin while any credit is left, so the last one may pass what was granted.
    *Taken* is what came and waits no more: ``received`` less what is queued.

    :param size: the announced window
    :param received: the cost of the messages that came already; they count too, and so both
        ends hold the same numbers
    """

    __slots__ = ("borrowed", "granted", "next_grant", "received", "size")

    def __init__(self, size: int, received: int = 0) -> None:
        self.size = size
        """How much may be queued."""
        self.borrowed = 0
        """The part of the size that it grew by (:mod:`.growth`)."""
        self.received = received
        """All that came."""
        self.granted = size
        """All that the peer may send, from the first message on."""
        self.next_grant = max(1, size // 4)
        """Credit is due once so much was taken."""

    def charge(self, cost: int, last: int) -> bool:
        """Count messages that arrived; return False if one began without credit.

        :param cost: the cost of all of them
        :param last: the cost of the last one, which alone may exceed the credit
        """
        allowed = self.received + cost - last < self.granted
        self.received += cost
        return allowed

    def update(self, size: int, queued: int) -> int:
        """Set the size; return the increment for CREDIT now, 0 if it is not worth a frame.

        :param size: how much may be queued from now on; what was granted stays granted
        :param queued: how much is queued
        """
        self.size = size = min(size, MAX_WINDOW)
        quarter = max(1, size // 4)
        due = self.received - queued + size - self.granted
        if due < quarter:
            due = 0
        else:
            due = min(due, MAX_WINDOW)
            self.granted += due
        self.next_grant = self.granted - size + quarter
        return due

    @property
    def left(self) -> int:
        """The credit that the peer has, below 0 where the last message passed it."""
        return self.granted - self.received

    @property
    def low_water(self) -> int:
        """The queued cost at or below which credit is due; negative if there is none."""
        return self.received - self.next_grant
