"""How much memory this process has."""

from __future__ import annotations

import asyncio
import gc
import re
from pathlib import Path
from typing import Final

from .job import Job

ALL_OPEN: Final = b"all open"
"""What the first client of the ``idle`` workload says when all connections are quiet."""
_SETTLE: Final = 0.2
"""Seconds for what a connection does after its last message."""


class IdleMemory:
    """Measures what the connections of an ``idle`` job take."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._before: int | None = None
        self.done = asyncio.Event()

    async def measure(self) -> None:
        """Measure: first without the job's connections, then with them."""
        await asyncio.sleep(_SETTLE)
        now = private_memory()
        if self._before is None:
            self._before = now
        else:
            self._job.extra["bytes_per_connection"] = (now - self._before) / self._job.count
            self.done.set()


def private_memory() -> int:
    """Return what this process shares with no other, garbage apart, in bytes."""
    gc.collect()
    return sum(_kilobytes("smaps_rollup", "Private_(?:Clean|Dirty)"))


class Peak:
    """The most memory that this process has from now on, less what it has now."""

    def __init__(self) -> None:
        # Else it would be that of all the past: made payloads leave a high mark.
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _peak()

    def bytes(self) -> int:
        """Return it, in bytes."""
        return _peak() - self._before


def _peak() -> int:
    # Not ru_maxrss, which a process inherits from the one that started it.
    return sum(_kilobytes("status", "VmHWM"))


def _kilobytes(file: str, field: str) -> list[int]:
    text = Path("/proc/self", file).read_text()
    found = re.findall(rf"^{field}:\s*(\d+) kB$", text, re.MULTILINE)
    return [1024 * int(number) for number in found]
