"""What the demo shows, as plain lines: of nothing but the standard library."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from ..lines import Lines
from ..text import visible
from .room import Member


class View:
    """Shows the story as lines, on whatever takes lines."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._start = time.monotonic()

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._lines.line(f"-- {title}")

    def event(self, who: str, text: str) -> None:
        """Tell that something happened."""
        self._lines.line(f"{self._elapsed():5.2f}s {who:>6}  {visible(text)}")

    @contextlib.contextmanager
    def live(self, members: Sequence[Member]) -> Iterator[None]:
        """Show the state of the members meanwhile, where what is shown can change."""
        yield

    def summary(self, rows: Sequence[tuple[str, str]], verdict: str, *, good: bool) -> None:
        """Print the outcome."""
        for line in ("", *(f"{name:>10}  {value}" for name, value in rows), verdict):
            self._lines.line(line)

    def not_shown(self, lines: Sequence[str]) -> None:
        """Print what this demo could not show, and the command that does."""
        for line in ("", *lines):
            self._lines.line(line)

    def _elapsed(self) -> float:
        return time.monotonic() - self._start
