"""A server's program for clients with an outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aio.ends import PATIENCE

import sealframe
from sealframe import (
    ClientOptions,
    Connection,
    Server,
    ServerOptions,
    SessionInfo,
    Sessions,
)

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=PATIENCE)
IMPATIENT = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=0.05)


class Program:
    """It outlives its servers; with a position unless told otherwise.

    :param path: of the Unix socket at which it serves; empty: at a port
    """

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.stored: list[bytes] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.conns: list[Connection] = []

    async def position(self, session: SessionInfo) -> int:
        return len(self.stored)

    async def handler(self, conn: Connection) -> None:
        self.conns.append(conn)
        async for message in conn:
            await self.hold.wait()
            self.stored.append(message)

    @asynccontextmanager
    async def serving(self, port: int = 0, **more: Any) -> AsyncIterator[Server[bytes, bytes]]:
        arguments: dict[str, Any] = {
            "sessions": Sessions(position=self.position),
            "options": ServerOptions(close_timeout=0.5),
        }
        if not self.path:
            arguments |= {"host": "127.0.0.1", "port": port}
        else:
            arguments |= {"path": self.path}
        async with (
            asyncio.timeout(2 * PATIENCE),
            sealframe.serve(self.handler, **(arguments | more)) as server,
        ):
            yield server
