"""What all programs are measured with: a link that can be cut, a tally of messages, memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

HOST: Final = "127.0.0.1"
SECRET: Final = b"the secret that must not be read"
HTTP: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

MIB: Final = 1024 * 1024

Fact = dict[str, bool | int | str]


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


class Proxy:
    """A link to a port that is recorded, and that can be stalled and cut.

    :param port: where connections are passed on to
    :param cut_after: bytes from clients after which the link stalls, and is cut 0.3 s later, once
    """

    def __init__(self, port: int, cut_after: int | None = None) -> None:
        self._target = port
        self._cut_after = cut_after
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cuts: set[asyncio.Task[None]] = set()
        self.seen = bytearray()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass_on, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def stall(self) -> None:
        """Take no more bytes, from now to the cut."""
        self._flowing.clear()

    def cut(self) -> None:
        """Reset all connections: what is on its way is lost. New ones are let through."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._tasks.clear()
        self._writers.clear()
        self._flowing.set()

    async def cut_soon(self, delay: float = 0.3) -> None:
        """Cut the link a moment later."""
        await asyncio.sleep(delay)
        self.cut()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        for source, sink, counted in ((reader, back, True), (there, writer, False)):
            task = asyncio.create_task(self._pump(source, sink, counted))
            self._tasks.add(task)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counted: bool
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await source.read(16384):
                self.seen += data
                if counted and self._cut_after is not None and len(self.seen) >= self._cut_after:
                    self._cut_after = None
                    self.stall()
                    self._cuts.add(asyncio.create_task(self.cut_soon()))
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
            sink.close()


def _processes() -> Iterator[int]:
    """Yield pages of main memory of this process and of each that it started."""
    own = os.getpid()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text(encoding="utf-8").rpartition(")")[2].split()
            if own in (int(status.parent.name), int(fields[1])):
                yield int(fields[21])


def memory() -> int:
    """Return MiB of main memory of this process and those that it started."""
    return sum(_processes()) * os.sysconf("SC_PAGE_SIZE") // MIB


def others() -> int:
    """Return how many processes this one has started that still run."""
    return len(list(_processes())) - 1


async def raw_exchange(port: int, data: bytes, wait: float = 1.0) -> bytes:
    """Send bytes to a port as they are; return what comes back within some seconds."""
    reader, writer = await asyncio.open_connection(HOST, port)
    answer = b""
    with contextlib.suppress(OSError):
        writer.write(data)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while more := await reader.read(4096):
                    answer += more
        writer.close()
        await writer.wait_closed()
    return answer
