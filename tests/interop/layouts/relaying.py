"""A relay made of sealframe: a server to the real client, a client to the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import sealframe
from sealframe import Connection
from sealframe.framing import FrameLayout


@dataclass
class Relay:
    """A relay that runs."""

    port: int = 0
    from_client: list[bytes] = field(default_factory=list)
    from_server: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def relaying(layout: FrameLayout, port: int) -> AsyncIterator[Relay]:
    """Relay message by message to a port of this machine, in a layout."""
    relay = Relay()

    async def handler(near: Connection) -> None:
        async with sealframe.connect("127.0.0.1", port, framing=layout) as far:
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(near, far, relay.from_client))
                group.create_task(pump(far, near, relay.from_server))

    async with sealframe.serve(handler, "127.0.0.1", 0, framing=layout) as server:
        assert server.port is not None
        relay.port = server.port
        yield relay


async def pump(source: Connection, drain: Connection, passed: list[bytes]) -> None:
    """Pass on whatever comes, and then the end."""
    async for message in source:
        passed.append(message)
        await drain.send(message)
    await drain.close()
