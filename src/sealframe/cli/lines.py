"""Lines on stdout, as pipes and every terminal take them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from .errors import Exit, close_stdout
from .text import labelled


class Lines:
    """Prints whole lines, at once. A reader that has gone ends the command.

    :param command: the task that then is cancelled, where there is an event loop
    """

    def __init__(self, command: asyncio.Task[Any] | None = None) -> None:
        self._command = command

    def line(self, text: str) -> None:
        """Print one line."""
        with self._reader():
            print(labelled(text), flush=True)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            close_stdout()
            if self._command is None:
                sys.exit(Exit.FAILED)
            self._command.cancel()
