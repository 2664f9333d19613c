"""Limits log lines a minute: events that strangers cause must not fill the log."""

from __future__ import annotations

from typing import Final

_INTERVAL: Final = 60.0
"""Seconds."""


FAILURES: Final = 20
"""Tracebacks of one kind a minute: a peer that knows what makes the program fail must not fill the
log."""


def others(count: int, what: str = "more") -> str:
    """Return the text for the events since the last line, "" if there are none.

    :param count: from :meth:`LogThrottle.count`
    :param what: what the other events are
    """
    return f" (and {count - 1} {what} since the last such line)" if count > 1 else ""


class LogThrottle:
    """Decides for each event of one kind whether it is logged, and counts the others.

    :param lines: how many a minute are logged
    """

    def __init__(self, lines: int = 1) -> None:
        self._lines = lines
        self._left = lines
        self._unlogged = 0
        self._next_lines = 0.0

    def count(self, now: float) -> int:
        """Count an event; return how many events a line stands for now, 0 for no line.

        :param now: seconds of one monotonic clock
        """
        self._unlogged += 1
        if now >= self._next_lines:
            self._next_lines = now + _INTERVAL
            self._left = self._lines
        if not self._left:
            return 0
        self._left -= 1
        count, self._unlogged = self._unlogged, 0
        return count
