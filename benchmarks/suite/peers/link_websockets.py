"""websockets over a link: its ping beside large messages."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ..job import Job
from ..links.requests import SMALL, time_requests
from .websockets_ import connector, listen


def beside_server(job: Job) -> None:
    """Take in what comes; pings are answered by themselves."""

    async def main() -> None:
        done = asyncio.Event()

        async def handle(websocket: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await websocket.recv(decode=False)
            done.set()

        server = await listen(job, handle)
        await done.wait()
        server.close()

    job.run(main())


def beside_client(job: Job) -> None:
    """Time pings beside nothing, or messages."""

    async def main() -> None:
        websocket, numbers = await connector(job)(), count()

        async def ping() -> None:
            # No two that wait are the same.
            await (await websocket.ping(next(numbers).to_bytes(SMALL, "big")))

        async def send_messages() -> None:
            for number in range(1 << 30):
                await websocket.send(job.payloads[number % 2])

        await time_requests(job, ping, send_messages if job.extra["beside"] != "nothing" else None)
        websocket.transport.abort()

    job.run(main())
