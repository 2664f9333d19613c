"""What the commands print on stdout: coloured on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.console import Console
from rich.text import Text

from .errors import complain
from .lines import Lines
from .text import labelled, readable

_SHOWN = 2000
"""Bytes of a message that a terminal shows."""


class Output(Lines):
    """Prints whole lines, at once. A reader that has gone ends the command.

    :param command: the task that then is cancelled, where there is an event loop
    :param quiet: whether nothing is printed but notices, and these on stderr
    """

    def __init__(self, command: asyncio.Task[Any] | None = None, *, quiet: bool = False) -> None:
        super().__init__(command)
        self._quiet = quiet
        self.console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.terminal = self.console.is_terminal and not quiet
        self._size = self.console.size

    def make_room(self) -> bool:
        """Where the terminal has another size than before, let all that it shows scroll away.

        Terminals wrap long lines anew at a resize, so that nobody knows where a table stands
        that is to be drawn over. It stays above, and the next one begins at the top.

        :return: whether it did
        """
        console, before = self.console, self._size
        self._size = console.size
        if not self.terminal or self._size == before or console.legacy_windows:
            return False
        height = self._size.height
        # To the last line, then a line feed for each, then to the first (ECMA-48, CUP).
        console.file.write(f"\x1b[{height};1H" + "\n" * height + "\x1b[H")
        console.file.flush()
        return True

    def line(self, text: str | Text, style: str = "") -> None:
        """Print one line; the style is rich's and shows on a terminal only."""
        if self._quiet:
            return
        if not self.terminal:
            super().line(str(text))
            return
        with self._reader():
            self.console.print(Text(labelled("")).append(text), style=style)

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
