"""What the commands print on stdout: coloured on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from .errors import Exit, close_stdout, complain
from .text import readable

_SHOWN = 2000
"""Bytes of a message that a terminal shows."""


class Output:
    """Prints whole lines, at once. A reader that has gone ends the command.

    :param command: the task that then is cancelled, where there is an event loop
    """

    def __init__(self, command: asyncio.Task[Any] | None = None) -> None:
        self._command = command
        self.console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.terminal = self.console.is_terminal

    def line(self, text: str | Text, style: str = "") -> None:
        """Print one line; the style is rich's and shows on a terminal only."""
        try:
            if self.terminal:
                self.console.print(text, style=style)
            else:
                print(text, flush=True)
        except BrokenPipeError:
            close_stdout()
            if self._command is None:
                sys.exit(Exit.FAILED)
            self._command.cancel()

    def notice(self, text: str, style: str = "") -> None:
        """Say what happens to the connection; beside a pipe that is for stderr."""
        if self.terminal:
            self.line(f"* {text}", style)
        else:
            complain(text)

    def message(self, message: bytes, *, who: str = "", limit: int | None = None) -> None:
        """Print what a peer said, made safe.

        :param who: an id to put before it
        :param limit: bytes after which it is cut; a terminal cuts in any case
        """
        if limit is None and self.terminal:
            limit = _SHOWN
        text = readable(message, limit)
        if who:
            text = f"{who}: {text}"
        self.line(coloured(text) if self.terminal else text)


def coloured(text: str) -> Text:
    """Return ``<id>: text`` with the id in colour; other text is left as it is."""
    line = Text(text)
    who, colon, _ = text.partition(": ")
    if colon and " " not in who:
        line.stylize("cyan", 0, len(who) + 1)
    return line
