"""Counts what a transfer sends, for its reports and its receipt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..aio.transfers import OnProgress, Progress, Receipt, Skipped

_INTERVAL: Final = 0.1
"""Seconds between two reports."""


class Tally:
    """Counts what is sent, and reports it at most every 100 ms.

    :param clock: returns seconds
    """

    def __init__(self, report: OnProgress | None, clock: Callable[[], float]) -> None:
        self._report = report
        self._clock = clock
        self._next = 0.0
        self._latest: tuple[str, int, int] | None = None
        self._total = 0
        self._names: list[str] = []
        self._size = 0
        self._resumed = 0
        self._skipped: list[Skipped] = []

    def count(self, name: str, sent: int, size: int, by: int) -> None:
        """Note how much of a file was sent.

        :param by: bytes more than at the call before
        """
        self._total += by
        self._latest = (name, sent, size)
        if self._report is not None and self._clock() >= self._next:
            self._report_now(self._report)

    def skip(self, name: str, reason: str) -> None:
        """Note that something is not sent."""
        self._skipped.append(Skipped(name, reason))

    def arrived(self, name: str, size: int, resumed: int) -> None:
        """Note that a file, or an empty directory, is there."""
        self._names.append(name)
        self._size += size
        self._resumed += resumed
        self._latest = (name, size, size)

    def finish(self) -> Receipt:
        """Report the end; return what has arrived."""
        if self._report is not None and self._latest is not None:
            self._report_now(self._report)
        return Receipt(
            names=tuple(sorted(self._names)),
            size=self._size,
            resumed=self._resumed,
            skipped=tuple(self._skipped),
        )

    def _report_now(self, report: OnProgress) -> None:
        assert self._latest is not None
        name, sent, size = self._latest
        self._next = self._clock() + _INTERVAL
        report(Progress(name=name, sent=sent, size=size, files=len(self._names), total=self._total))
