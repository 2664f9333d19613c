"""websockets: its asyncio API and its C extension, without compression.

Compression, which is on by default, costs time and memory, as its documentation says. The queue
is adapted to bursts of messages, as that recommends; a higher write limit makes no difference.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from websockets import speedups  # noqa: F401 - to say so if it is missing
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from ..beside import SMALL, Beside
from ..crowd import ACKNOWLEDGED, DONE, HERE, WINDOW, Crowd
from ..descriptors import allow_many_connections
from ..job import Job
from ..memory import ALL_OPEN, IdleMemory
from ..tls import client_context, server_context
from ..turns import in_turns

SEALED: Final = True

OPTIONS: Final[dict[str, Any]] = {
    "compression": None,
    "max_size": None,
    "max_queue": 256,
}
PROMPT: Final = {**OPTIONS, "max_queue": 16}
"""With the queue that it has by default, which a small message beside large ones waits for."""


async def listen(job: Job, handler: Callable[[ServerConnection], Awaitable[None]]) -> Server:
    """Start a server, and tell the other side where."""
    allow_many_connections()
    ssl = server_context(job.directory) if job.sealed else None
    options = OPTIONS if job.workload != "beside" else PROMPT
    server = await serve(handler, job.host, 0, ssl=ssl, backlog=1024, **options)
    job.listening(server.sockets[0].getsockname()[1])
    return server


def connector(job: Job) -> Callable[[], connect]:
    """Return what makes a connection."""
    allow_many_connections()
    options = OPTIONS if job.workload != "beside" else PROMPT
    if job.sealed:
        return partial(
            connect, f"wss://{job.host}:{job.port}/", ssl=client_context(job.directory), **options
        )
    return partial(connect, f"ws://{job.host}:{job.port}/", **options)


def one_way_server(job: Job) -> None:
    """Receive the messages and check them."""

    async def main() -> None:
        done = asyncio.Event()

        async def receive(websocket: ServerConnection) -> None:
            check, checksum = job.check, 0
            for _ in range(job.warm_up):
                checksum = check(await websocket.recv(decode=False), checksum)
            job.meter.start()
            for _ in range(job.count):
                checksum = check(await websocket.recv(decode=False), checksum)
            job.meter.stop()
            job.checksum = checksum
            await websocket.wait_closed()
            done.set()

        server = await listen(job, receive)
        await done.wait()
        server.close()

    job.run(main())


def one_way_client(job: Job) -> None:
    """Send the messages."""

    async def main() -> None:
        payloads, different = job.payloads, len(job.payloads)
        websocket = await connector(job)()
        for number in range(job.warm_up):
            await websocket.send(payloads[number % different])
        job.meter.start()
        for number in range(job.warm_up, job.warm_up + job.count):
            await websocket.send(payloads[number % different])
        await websocket.close()
        job.meter.stop()

    job.run(main())


async def echo(job: Job, connections: int) -> None:
    """Echo until so many connections have come and gone."""
    first, done = True, asyncio.Event()

    async def handle(websocket: ServerConnection) -> None:
        nonlocal first, connections
        with contextlib.suppress(ConnectionClosed):
            message = await websocket.recv()
            if first:
                first = False
                job.meter.start()
            await websocket.send(message)
            async for message in websocket:
                await websocket.send(message)
        connections -= 1
        if connections == 0:
            job.meter.stop()
            await websocket.wait_closed()
            done.set()

    server = await listen(job, handle)
    await done.wait()
    server.close()


def round_trip_server(job: Job) -> None:
    """Echo."""
    job.run(echo(job, job.connections))


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again."""

    async def main() -> None:
        payloads, different, check = job.payloads, len(job.payloads), job.check

        async def exchange(
            websocket: ClientConnection, start: int, end: int, checksum: int = 0
        ) -> int:
            for number in range(start, end):
                await websocket.send(payloads[number % different])
                checksum = check(await websocket.recv(decode=False), checksum)
            return checksum

        make = connector(job)
        websockets = [await make() for _ in range(job.connections)]
        warm_up, count = job.warm_up // job.connections, job.count // job.connections
        sums = await asyncio.gather(*(exchange(websocket, 0, warm_up) for websocket in websockets))
        job.meter.start()
        sums = await asyncio.gather(
            *(
                exchange(websocket, warm_up, warm_up + count, checksum)
                for websocket, checksum in zip(websockets, sums, strict=True)
            )
        )
        job.meter.stop()
        job.checksum = sums[0]
        await asyncio.gather(*(websocket.close() for websocket in websockets))

    job.run(main())


def broadcast_server(job: Job) -> None:
    """Send the messages to all clients."""

    async def main() -> None:
        crowd, gone = Crowd(job), asyncio.Event()
        websockets: set[ServerConnection] = set()

        async def handle(websocket: ServerConnection) -> None:
            websockets.add(websocket)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    crowd.hear(await websocket.recv(decode=False))
            websockets.discard(websocket)
            if not websockets:
                gone.set()

        server = await listen(job, handle)
        await crowd.send_all(partial(broadcast, websockets))
        await gone.wait()
        server.close()

    job.run(main())


def broadcast_client(job: Job) -> None:
    """Receive the messages on all connections."""

    async def main() -> None:
        async def follow(websocket: ClientConnection, *, first: bool) -> int:
            check, checksum = job.check, 0
            for received in range(1, job.warm_up + job.count + 1):
                checksum = check(await websocket.recv(decode=False), checksum)
                if received == job.warm_up:
                    job.meter.start()
                    await websocket.send(HERE)
                if first and received % WINDOW == 0:
                    await websocket.send(ACKNOWLEDGED)
            job.meter.stop()
            await websocket.send(DONE)
            return checksum

        make = connector(job)
        websockets = [await make() for _ in range(job.connections)]
        job.meter.start()
        for websocket in websockets:
            await websocket.send(HERE)
        sums = await asyncio.gather(
            *(follow(websocket, first=websocket is websockets[0]) for websocket in websockets)
        )
        job.checksum = sums[0]
        await asyncio.gather(*(websocket.close() for websocket in websockets))

    job.run(main())


def connect_server(job: Job) -> None:
    """Echo, on many connections one after another."""
    job.run(echo(job, job.warm_up + job.count))


def connect_client(job: Job) -> None:
    """Connect, ask, wait for the echo, close, again and again."""

    async def main() -> None:
        payloads, different, make = job.payloads, len(job.payloads), connector(job)

        async def exchange(number: int) -> None:
            message = payloads[number % different]
            async with make() as websocket:
                await websocket.send(message)
                if await websocket.recv(decode=False) != message:
                    raise RuntimeError("the echo is another message")

        await in_turns(exchange, job.warm_up, job.connections)
        job.meter.start()
        await in_turns(exchange, job.count, job.connections)
        job.meter.stop()

    job.run(main())


def beside_server(job: Job) -> None:
    """Echo what is small."""

    async def main() -> None:
        done = asyncio.Event()

        async def handle(websocket: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    message = await websocket.recv(decode=False)
                    if len(message) == SMALL:
                        await websocket.send(message)
            done.set()

        server = await listen(job, handle)
        await done.wait()
        server.close()

    job.run(main())


def beside_client(job: Job) -> None:
    """Send large messages without end, and small ones between them."""

    async def main() -> None:
        async with connector(job)() as websocket:

            async def receive() -> bytes:
                message: bytes = await websocket.recv(decode=False)
                return message

            await Beside(job).run(websocket.send, receive)

    job.run(main())


def idle_server(job: Job) -> None:
    """Echo, and measure the memory when all is quiet."""

    async def main() -> None:
        memory, gone = IdleMemory(job), asyncio.Event()
        left = job.warm_up + job.count

        async def handle(websocket: ServerConnection) -> None:
            nonlocal left
            async for message in websocket:
                if message == ALL_OPEN:
                    await memory.measure()
                await websocket.send(message)
            left -= 1
            if left == 0:
                gone.set()

        server = await listen(job, handle)
        await gone.wait()
        server.close()

    job.run(main())


def idle_client(job: Job) -> None:
    """Open connections, use each once, and keep quiet."""

    async def main() -> None:
        websockets: list[ClientConnection] = []
        make = connector(job)

        async def open_one(number: int) -> None:
            websocket = await make()
            websockets.append(websocket)
            await websocket.send(job.payloads[0])
            await websocket.recv(decode=False)

        async def all_open() -> None:
            await websockets[0].send(ALL_OPEN)
            await websockets[0].recv()

        await in_turns(open_one, job.warm_up, job.connections)
        await all_open()
        await in_turns(open_one, job.count, job.connections)
        await all_open()
        await asyncio.gather(*(websocket.close() for websocket in websockets))

    job.run(main())
