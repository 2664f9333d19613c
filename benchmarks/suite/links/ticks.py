"""When something came over a link: the longest silence is that of a cut."""

from __future__ import annotations

import time
from typing import Final

from ..job import Job

TICK: Final = 0.1
"""Seconds between two messages."""
LOST: Final = 40.0
"""Seconds of silence after which nothing more will come."""


class Ticks:
    """The receiving end's clock."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._last = time.perf_counter()
        self._longest = 0.0

    def came(self) -> None:
        """Something came."""
        now = time.perf_counter()
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def report(self) -> None:
        """Tell how long the silence was, in seconds, and whether anything came after it."""
        over = time.perf_counter() - self._last < self._longest
        self._job.extra["silence"] = self._longest if over else None
