"""Reads stdin without blocking the event loop: terminal, pipe or file."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator

_SIZE = 64 * 1024


class Stdin:
    """Hands out what comes on stdin, and reads only what is asked for.

    Event loops cannot wait for files, nor for consoles on Windows, so a thread
    reads. Nobody waits for it at the end: it may be blocked in a read for ever.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(0)
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._asked = False
        threading.Thread(target=self._run, name="sealframe stdin", daemon=True).start()

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end; cancelling this loses none."""
        if not self._asked:
            self._asked = True
            self._wanted.release()
        chunk = await self._chunks.get()
        self._asked = False
        return chunk

    async def read_all(self) -> bytes:
        """Return all bytes up to the end."""
        read = bytearray()
        while chunk := await self.read():
            read += chunk
        return bytes(read)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield each line without its line end, a last one without any too."""
        pending = bytearray()
        while chunk := await self.read():
            pending += chunk
            if b"\n" not in chunk:
                continue
            *lines, rest = bytes(pending).split(b"\n")
            pending = bytearray(rest)
            for line in lines:
                yield line.removesuffix(b"\r")
        if pending:
            yield bytes(pending)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            stdin = None
            with contextlib.suppress(OSError):
                # Unbuffered: a thread that waits in a buffered read holds a lock
                # which the interpreter needs when it exits.
                stdin = stack.enter_context(open(0, "rb", buffering=0, closefd=False))
            chunk = b"-"
            while chunk:
                self._wanted.acquire()
                chunk = _read(stdin)
                try:
                    self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
                except RuntimeError:
                    # The loop is closed: the command has ended.
                    return


def _read(stdin: io.FileIO | None) -> bytes:
    try:
        return (stdin and stdin.read(_SIZE)) or b""
    except OSError:
        return b""
