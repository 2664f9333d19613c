"""A link that is cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Cutter:
    """Stands between the ends, and cuts a connection after so many bytes from the client."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.after = 1 << 60
        self.reset = False
        self._target = port

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)

        async def back() -> None:
            with contextlib.suppress(OSError):
                while some := await back_reader.read(65536):
                    writer.write(some)
                    await writer.drain()
                writer.write_eof()

        returning = asyncio.create_task(back())
        left = self.after
        with contextlib.suppress(OSError):
            while left > 0 and (some := await reader.read(min(left, 65536))):
                left -= len(some)
                back_writer.write(some)
                await back_writer.drain()
            if left > 0:
                back_writer.write_eof()
                await returning
        returning.cancel()
        for one in (writer, back_writer):
            if left <= 0 and self.reset:
                one.transport.abort()
            one.close()
        await asyncio.gather(returning, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator[Cutter]:
        """Listen meanwhile."""
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
