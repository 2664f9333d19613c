"""The line being typed, kept below whatever is printed meanwhile."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from rich.cells import cell_len, set_cell_size

from .output import Output
from .stdin import Stdin
from .text import visible

_MARK = "> "
_ERASE = "\r\x1b[K"
"""To the first column, then erase to the end of the line (ECMA-48, EL)."""

_KEYS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|O.?|[^\[O])?"  # a key such as an arrow, or its first part
    r"|[^\x1b]",
    re.DOTALL,
)
_WHOLE_KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])", re.DOTALL)


def is_usable() -> bool:
    """Return whether this platform's terminals can be read key by key."""
    return find_spec("termios") is not None


class LineEditor:
    """Turns keys into lines: backspace, Ctrl-W, Ctrl-U, Enter and Ctrl-D work."""

    def __init__(self) -> None:
        self.line = ""
        """What stands after the prompt."""
        self.ended = False
        """Whether Ctrl-D was typed."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""

    def feed(self, data: bytes) -> list[str]:
        """Take in keys; return the lines that are finished now.

        :param data: what the terminal sent, cut anywhere; empty means its end
        """
        keys = _KEYS.findall(self._unfinished + self._decoder.decode(data))
        self._unfinished = ""
        if keys and keys[-1].startswith("\x1b") and not _WHOLE_KEY.fullmatch(keys[-1]):
            self._unfinished = keys.pop()
        lines = []
        for key in keys if data else ["\x04"]:
            match key:
                case "\r" | "\n":
                    lines.append(self._take())
                case "\x04":
                    self.ended = True
                    if self.line:
                        lines.append(self._take())
                    break
                case "\x7f" | "\b":
                    self.line = self.line[:-1]
                case "\x15":
                    self.line = ""
                case "\x17":
                    self.line = re.sub(r"\S*\s*\Z", "", self.line)
                case _ if key == "\t" or key.isprintable():
                    self.line += key
        return lines

    def _take(self) -> str:
        line, self.line = self.line, ""
        return line


class Prompt:
    """A terminal that is typed on and printed on at once; use it with ``with``."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._editor = LineEditor()
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        import termios

        self._before = termios.tcgetattr(0)
        self._resume()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, self._resume)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        import termios

        asyncio.get_running_loop().remove_signal_handler(signal.SIGCONT)
        with contextlib.suppress(OSError):
            self._write(_ERASE)
        termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    async def lines(self, stdin: Stdin) -> AsyncIterator[bytes]:
        """Yield the lines typed, until Ctrl-D."""
        editor = self._editor
        while not editor.ended:
            for line in editor.feed(await stdin.read()):
                if line:
                    self.line(f"you: {visible(line)}", "bold")
                yield line.encode()
            self._draw()

    def line(self, text: str, style: str = "") -> None:
        """Print a line above the prompt."""
        self._write(_ERASE)
        self._output.line(text, style)
        self._draw()

    def notice(self, text: str, style: str = "") -> None:
        """Say above the prompt what happens to the connection."""
        self.line(f"* {text}", style)

    def message(self, message: bytes) -> None:
        """Print what a peer said above the prompt, made safe."""
        self._write(_ERASE)
        self._output.message(message)
        self._draw()

    def _resume(self) -> None:
        """Take the terminal key by key, at the start and after Ctrl-Z and ``fg``."""
        import tty

        tty.setcbreak(0)
        self._draw()

    def _draw(self) -> None:
        room = self._output.console.width - len(_MARK) - 1
        line = visible(self._editor.line)
        if cell_len(line) > room:
            # Of a line that is too long the end is shown.
            line = "…" + set_cell_size(line[::-1], room - 1).rstrip()[::-1]
        self._write(_ERASE + _MARK + line)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
