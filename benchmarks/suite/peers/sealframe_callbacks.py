"""sealframe with callbacks: ``on_message``, ``send_nowait``, ``on_request`` as a function."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

import sealframe

from ..descriptors import allow_many_connections
from ..job import HOST, Job
from ..memory import ALL_OPEN, IdleMemory
from .sealframe_ import (
    MANY_CLIENTS,
    client_security,
    idle_client,
    request_client,
    server_security,
)

__all__ = ["idle_client", "request_client"]

SEALED: Final = True


def serve_until_gone(job: Job, **functions: Any) -> None:
    """Serve with these functions until every client has come and gone."""

    async def main() -> None:
        done, connections = asyncio.Event(), job.connections

        def gone(conn: sealframe.Connection, reason: object) -> None:
            nonlocal connections
            connections -= 1
            if connections == 0:
                job.meter.stop()
                done.set()

        async with sealframe.serve(
            None, HOST, 0, security=server_security(job), on_disconnect=gone, **functions
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def round_trip_server(job: Job) -> None:
    """Echo."""
    first = True

    def echo(conn: sealframe.Connection, message: bytes) -> None:
        nonlocal first
        if first:
            first = False
            job.meter.start()
        conn.send_nowait(message)

    serve_until_gone(job, on_message=echo)


class Requester:
    """Sends the next message when the echo of the last one is there."""

    def __init__(self, job: Job) -> None:
        self._payloads: Iterator[bytes] = cycle(job.payloads)
        self._check, self.checksum = job.check, 0

    async def connect(self, **options: Any) -> None:
        """Connect."""
        self.conn = await sealframe.connect(HOST, on_message=self._take, **options)

    def exchange(self, count: int) -> asyncio.Future[None]:
        """Begin ``count`` exchanges; the result comes when they are done."""
        self._missing, self._done = count, asyncio.get_running_loop().create_future()
        self.conn.send_nowait(next(self._payloads))
        return self._done

    def _take(self, conn: sealframe.Connection, message: bytes) -> None:
        self.checksum = self._check(message, self.checksum)
        self._missing -= 1
        if self._missing:
            conn.send_nowait(next(self._payloads))
        else:
            self._done.set_result(None)


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again."""

    async def main() -> None:
        security = client_security(job)
        requesters = [Requester(job) for _ in range(job.connections)]
        for requester in requesters:
            await requester.connect(
                port=job.port, security=security, extended=job.way == "extended"
            )

        async def exchange(count: int) -> None:
            if each := count // job.connections:
                await asyncio.gather(*(requester.exchange(each) for requester in requesters))

        await exchange(job.warm_up)
        job.meter.start()
        await exchange(job.count)
        job.meter.stop()
        job.checksum = requesters[0].checksum
        await asyncio.gather(*(requester.conn.close() for requester in requesters))

    job.run(main())


def request_server(job: Job) -> None:
    """Answer requests with what they say."""
    first = True

    def answer(conn: sealframe.Connection, payload: bytes) -> bytes:
        nonlocal first
        if first:
            first = False
            job.meter.start()
        return payload

    serve_until_gone(job, on_request=answer)


def idle_server(job: Job) -> None:
    """Echo, and measure the memory when all is quiet."""
    allow_many_connections()

    async def main() -> None:
        memory, tasks = IdleMemory(job), set[asyncio.Task[None]]()

        def echo(conn: sealframe.Connection, message: bytes) -> None:
            if message == ALL_OPEN:
                tasks.add(asyncio.create_task(measure(conn)))
            else:
                conn.send_nowait(message)

        async def measure(conn: sealframe.Connection) -> None:
            await memory.measure()
            await conn.send(ALL_OPEN)

        async with sealframe.serve(
            None,
            HOST,
            0,
            security=server_security(job),
            on_message=echo,
            options=MANY_CLIENTS,
        ) as server:
            job.listening(server.port)
            await memory.done.wait()
            await asyncio.gather(*tasks)

    job.run(main())
