"""Few lines in the log for many events: whoever knocks must not fill it."""

from __future__ import annotations

from typing import Final

_INTERVAL: Final = 60.0


def others(count: int) -> str:
    """Return what a line says of the events before it that got none.

    :param count: from :meth:`LogThrottle.count`
    """
    return f" (and {count - 1} more since the last such line)" if count > 1 else ""


class LogThrottle:
    """Says of each event of one kind whether it gets a line.

    :param lines: lines a minute at most
    """

    def __init__(self, lines: int = 1) -> None:
        self._lines = lines
        self._left = lines
        self._unlogged = 0
        self._next_lines = 0.0

    def count(self, now: float) -> int:
        """Note an event; return how many the next line tells of, 0 if there is none now.

        :param now: seconds of a clock, the same each time
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
