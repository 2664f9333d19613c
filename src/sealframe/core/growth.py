"""How the windows of one connection grow: with the product of the link's rate and delay.

A window that is smaller than what a round trip can carry makes the sender wait for credit. So a
PING goes out beside a grant, now and then, and what the program takes until PONG is back is what
a round trip carries. Where the peer had used up all credit when PING reached it, a round trip
carries the whole window or more. The window becomes four times that: a sender's congestion
window doubles in each round trip while it starts (RFC 5681, section 3.1), and it hears of credit
one round trip late. What is measured is what was *taken*: a program that does not keep up gets
no larger window, and one that has become slower a smaller one. So of the credit that the peer had
before the grant, more than half must be taken when PONG comes, however much of it has come.

No clock is needed: PONG stands behind what the peer had sent when PING reached it. A peer that
delays PONG gets a larger window, within what can be borrowed.
"""

from __future__ import annotations

import typing
from typing import Final

from .budget import Budget
from .window import Window

_TIMES: Final = 4
"""The window in round trips' worth of data."""
_REST: Final = 4
"""Grants without a PING after one that found the window large enough: a whole window."""


class Growing(typing.Protocol):
    """What has a window: the messages of a connection, a stream."""

    @property
    def window(self) -> Window | None:
        """None once no credit is given any more."""

    @property
    def taken(self) -> int:
        """All that came and waits no more."""

    def update_window(self) -> None:
        """Give credit, as far as it is due."""


class Growth:
    """What the windows of one connection have grown by; made when the first one is used.

    :param budget: lends it
    :param limit: by how much all of them may grow together
    """

    __slots__ = (
        "_budget",
        "_granted",
        "_limit",
        "_measured",
        "_rest",
        "_taken",
        "borrowed",
        "ping",
    )

    def __init__(self, budget: Budget, limit: int) -> None:
        self._budget = budget
        self._limit = limit
        self.borrowed = 0
        """What all windows have grown by."""
        self.ping = 0
        """The number of the PING that is out."""
        # What is measured, None while no PING is out; what of it was taken when PING went out,
        # and what was granted before that.
        self._measured: Growing | None = None
        self._taken = 0
        self._granted = 0
        self._rest = 0

    def begin(self, measured: Growing, grant: int) -> bool:
        """Measure beside this grant, unless that is of no use now; return whether a PING is due.

        One at a time: of many streams now one is measured and now another.

        :param grant: by how much the peer may send more
        """
        if self._measured is not None:
            return False
        if self._rest:
            self._rest -= 1
            return False
        assert measured.window is not None
        self._measured = measured
        self._taken = measured.taken
        self._granted = measured.window.granted - grant
        return True

    def end(self) -> None:
        """Resize the window that was measured: PONG came."""
        measured, self._measured = self._measured, None
        if measured is None or measured.window is None:
            return
        window, taken = measured.window, measured.taken
        # Not half of the size: the grant may be for a window that has just grown.
        credit = max(0, self._granted - self._taken)
        if window.received >= self._granted and window.received - taken <= credit // 2:
            used = window.size
        else:
            used = taken - self._taken
        self._rest = 0 if self._resize(window, _TIMES * used) else _REST
        measured.update_window()

    def _resize(self, window: Window, wanted: int) -> bool:
        """Borrow what a window is to grow by, or give some back; return whether it grows."""
        if self._budget.free < 0:
            self._give_back(window, (window.borrowed + 1) // 2)
            return False
        if wanted > window.size:
            lent = self._budget.lend(min(wanted - window.size, self._limit - self.borrowed))
            window.borrowed += lent
            self.borrowed += lent
            return lent > 0
        if wanted < window.size // 2:
            # By no more than half, for traffic that comes and goes.
            self._give_back(window, min(window.size // 2, window.borrowed))
        return False

    def release(self, measured: Growing) -> None:
        """Give back what a window has grown by: it is used no more."""
        if self._measured is measured:
            self._measured = None
        if measured.window is not None:
            self._give_back(measured.window, measured.window.borrowed)

    def _give_back(self, window: Window, amount: int) -> None:
        window.borrowed -= amount
        self.borrowed -= amount
        self._budget.take_back(amount)
