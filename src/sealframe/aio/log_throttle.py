"""Limits log lines a minute: events that strangers cause must not fill the log."""

from __future__ import annotations

from typing import Final

_INTERVAL: Final = 60.0
"""Seconds."""


FAILURES: Final = 20
"""Tracebacks of one kind a minute: a peer that knows what makes the program fail must not fill the
log."""


class LogThrottle:
    """Decides for each event of one kind whether it is logged, and counts the others.

    :param lines: how many a minute are logged
    """

    def __init__(self, lines: int = 1) -> None:
        self._lines = lines
        self._left = lines
        self._unlogged = 0
        self._next_lines = 0.0

    def count(self, now: float, what: str = "more") -> str | None:
        """Count an event; return what its line says at the end of those that had none, None where
        it has no line itself.

        :param now: seconds of one monotonic clock
        :param what: what the other events are
        """
        self._unlogged += 1
        if now >= self._next_lines:
            self._next_lines = now + _INTERVAL
            self._left = self._lines
        if not self._left:
            return None
        self._left -= 1
        others, self._unlogged = self._unlogged - 1, 0
        return f" (and {others} {what} since the last such line)" if others else ""
