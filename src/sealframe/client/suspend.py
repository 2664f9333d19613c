"""Finds that the machine was suspended: on Linux the clock of event loops stands still meanwhile.

Nothing tells a program of it. CLOCK_BOOTTIME goes on where CLOCK_MONOTONIC stops
(clock_gettime(2)), so the distance between them is how long the machine has slept in all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

INTERVAL = 5.0
"""Seconds between two looks at the clocks."""

_LEAST: Final = 1.0
"""Seconds that count as a suspend; the clocks are read one after the other."""
_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def asleep() -> float:
    """Return for how many seconds the machine has slept since it was started; 0 where the system
    does not tell."""
    if _BOOTTIME is None:
        return 0.0
    return time.clock_gettime(_BOOTTIME) - time.monotonic()


class SuspendWatch:
    """Looks at the clocks now and then.

    :param woke: called after a suspend
    """

    __slots__ = ("_asleep", "_loop", "_timer", "_woke")

    def __init__(self, woke: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._woke = woke
        self._asleep = asleep()
        self._timer = self._loop.call_later(INTERVAL, self._look)

    def _look(self) -> None:
        before, self._asleep = self._asleep, asleep()
        self._timer = self._loop.call_later(INTERVAL, self._look)
        if self._asleep - before >= _LEAST:
            self._woke()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
