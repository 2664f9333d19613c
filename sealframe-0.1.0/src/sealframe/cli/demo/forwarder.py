"""A TCP forwarder whose link can be cut: the network between a client and its server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Forwarder:
    """Listens on a free loopback port and passes bytes on to another port, both ways."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._broken = False
        self._listening: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port to connect to."""
        assert self._listening is not None
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        self.cut()
        await asyncio.gather(*self._links)

    def cut(self) -> None:
        """Drop every link at once, unsent bytes included; drop new ones until `mend`."""
        self._broken = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let new links through again."""
        self._broken = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._broken:
            writer.transport.abort()
            return
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = {writer}
        self._writers.add(writer)
        try:
            # Whatever breaks one side breaks the link; both ends notice by themselves.
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
                writers.add(far_writer)
                self._writers.add(far_writer)
                await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        finally:
            self._writers -= writers
            for each in writers:
                each.transport.abort()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(64 * 1024):
        sink.write(data)
        await sink.drain()
    if not sink.is_closing():
        sink.write_eof()
