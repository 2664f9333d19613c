"""Runs a command on a pseudo-terminal, and waits for what it shows there."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import struct
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .commands import COMMAND, PATIENCE


class Terminal:
    """A command on its terminal: all that it has written, and a keyboard."""

    def __init__(self, screen: int, process: Process) -> None:
        self.text = ""
        self.process = process
        self._screen = screen
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._loop.add_reader(screen, self._read)

    def _read(self) -> None:
        # A character may come in two reads.
        self.text += self._decoder.decode(os.read(self._screen, 65536))
        self._changed.set()

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._screen, keys)

    async def until(self, pattern: str) -> None:
        """Wait until the text matches somewhere."""
        while not re.search(pattern, self.text, re.DOTALL):
            self._changed.clear()
            await self._changed.wait()

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size, which the command is told of by SIGWINCH."""
        _set_size(self._screen, columns, lines)

    def close(self) -> None:
        """Stop to read."""
        self._loop.remove_reader(self._screen)


def _set_size(screen: int, columns: int, lines: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@asynccontextmanager
async def on_terminal(*args: object, columns: int = 40, lines: int = 25) -> AsyncIterator[Terminal]:
    """Run a command; its terminal's settings must be as before in the end."""
    import pty
    import termios

    screen, device = pty.openpty()
    before = termios.tcgetattr(device)
    _set_size(screen, columns, lines)
    # They would count for more than the terminal's own size.
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    async with asyncio.timeout(PATIENCE):
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *map(str, args),
            stdin=device,
            stdout=device,
            stderr=device,
            # Of its own, for what is hidden is asked for on the controlling terminal.
            start_new_session=True,
            env={**env, "TERM": "xterm", "PYTHONUTF8": "1"},
        )
        terminal = Terminal(screen, process)
        try:
            yield terminal
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            terminal.close()
            after = termios.tcgetattr(device)
            os.close(device)
            os.close(screen)
    assert after == before
