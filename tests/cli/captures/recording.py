"""Records real connections on loopback, and writes them as packets that a capture would have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from .building import CLIENT, Talk

MSS = 1460
"""Bytes of a segment at most."""


@dataclass
class Recorded:
    """What both ends of a connection said, in the order in which it passed."""

    parts: list[tuple[str, bytes]] = field(default_factory=list)

    def talk(self, port: int = CLIENT[1], server: tuple[str, int] = ("192.0.2.2", 1234)) -> Talk:
        """Return the packets: opened, said in segments, closed."""
        talk = Talk((CLIENT[0], port), server).open()
        for sender, data in self.parts:
            for at in range(0, len(data), MSS):
                talk.say(sender, data[at : at + MSS])
        return talk.close()


class Recorder:
    """Carries connections to a server, and notes what passes."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self.connections: list[Recorded] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recorded = Recorded()
        self.connections.append(recorded)
        onward = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.gather(
                self._copy(recorded, "client", reader, onward[1]),
                self._copy(recorded, "server", onward[0], writer),
            )
        finally:
            writer.transport.abort()
            onward[1].transport.abort()

    async def _copy(
        self,
        recorded: Recorded,
        sender: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(65536):
            recorded.parts.append((sender, data))
            writer.write(data)
        writer.write_eof()


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    """Record what connects to its port; the server's is to be set."""
    recording = Recorder()
    tasks: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(recording.carry(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    recording.port = server.sockets[0].getsockname()[1]
    try:
        yield recording
        # All that was said has passed.
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def packets(talks: Iterable[Talk]) -> list[Any]:
    """Return the packets of several connections, one after the other."""
    return [packet for talk in talks for packet in talk.packets]
