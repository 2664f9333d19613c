"""asyncio streams with ``struct`` and ``readexactly``: what one writes by hand.

``writelines`` with head and message is the fastest way to write them under uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from ..crowd import ACKNOWLEDGED, DONE, HERE, WINDOW, Crowd
from ..descriptors import allow_many_connections
from ..job import HOST, Job
from ..latency import OpenLoop
from ..memory import ALL_OPEN, IdleMemory
from ..tls import check_group, client_context, server_context
from ..turns import in_turns

SEALED: Final = True
BATCH: Final = True
BATCH_SIZE: Final = 64
HEAD: Final = struct.Struct("<i")
DEFAULT_LIMIT: Final = 64 * 1024
LARGE_LIMIT: Final = 16 * 1024 * 1024
"""Of unread bytes: with the default, a reader of larger messages stops and starts all the time."""

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def read(reader: asyncio.StreamReader) -> bytes:
    """Return the next message."""
    (length,) = HEAD.unpack(await reader.readexactly(HEAD.size))
    return await reader.readexactly(length)


async def send(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Send a message."""
    writer.writelines((HEAD.pack(len(message)), message))
    await writer.drain()


async def listen(
    job: Job, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> asyncio.Server:
    """Start a server, and tell the other side where."""
    ssl = server_context(job.directory, mutual=job.mutual) if job.sealed else None
    limit = LARGE_LIMIT if job.size > DEFAULT_LIMIT else DEFAULT_LIMIT
    server = await asyncio.start_server(handle, HOST, 0, ssl=ssl, limit=limit)
    job.listening(server.sockets[0].getsockname()[1])
    return server


def one_way_server(job: Job) -> None:
    """Receive the messages and check them."""

    async def main() -> None:
        done = asyncio.Event()

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            check, checksum = job.check, 0
            for _ in range(job.warm_up):
                checksum = check(await read(reader), checksum)
            job.meter.start()
            for _ in range(job.count):
                checksum = check(await read(reader), checksum)
            job.meter.stop()
            job.checksum = checksum
            await reader.read()
            writer.close()
            done.set()

        server = await listen(job, receive)
        await done.wait()
        server.close()

    job.run(main())


def one_way_client(job: Job) -> None:
    """Send the messages."""

    async def main() -> None:
        ssl = client_context(job.directory) if job.sealed else None
        _, writer = await asyncio.open_connection(HOST, job.port, ssl=ssl)
        send = send_batches if job.batch else send_messages
        await send(job, writer, 0, job.warm_up)
        job.meter.start()
        await send(job, writer, job.warm_up, job.warm_up + job.count)
        writer.close()
        await writer.wait_closed()
        job.meter.stop()

    job.run(main())


async def send_messages(job: Job, writer: asyncio.StreamWriter, start: int, end: int) -> None:
    """Send one by one."""
    payloads, different = job.payloads, len(job.payloads)
    for number in range(start, end):
        await send(writer, payloads[number % different])


async def send_batches(job: Job, writer: asyncio.StreamWriter, start: int, end: int) -> None:
    """Send many at once."""
    payloads, different = job.payloads, len(job.payloads)
    for first in range(start, end, BATCH_SIZE):
        buffers: list[bytes] = []
        for number in range(first, min(first + BATCH_SIZE, end)):
            message = payloads[number % different]
            buffers += (HEAD.pack(len(message)), message)
        writer.writelines(buffers)
        await writer.drain()


def round_trip_server(job: Job) -> None:
    """Echo."""

    async def main() -> None:
        first, done, connections = True, asyncio.Event(), job.connections

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal first, connections
            message = await read(reader)
            if first:
                first = False
                job.meter.start()
            try:
                while True:
                    await send(writer, message)
                    message = await read(reader)
            except asyncio.IncompleteReadError:
                writer.close()
            connections -= 1
            if connections == 0:
                job.meter.stop()
                done.set()

        server = await listen(job, echo)
        await done.wait()
        server.close()

    job.run(main())


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again."""

    async def main() -> None:
        payloads, different, check = job.payloads, len(job.payloads), job.check

        async def exchange(stream: Stream, start: int, end: int, checksum: int = 0) -> int:
            reader, writer = stream
            for number in range(start, end):
                await send(writer, payloads[number % different])
                checksum = check(await read(reader), checksum)
            return checksum

        ssl = client_context(job.directory) if job.sealed else None
        streams = [
            await asyncio.open_connection(HOST, job.port, ssl=ssl) for _ in range(job.connections)
        ]
        warm_up, count = job.warm_up // job.connections, job.count // job.connections
        sums = await asyncio.gather(*(exchange(stream, 0, warm_up) for stream in streams))
        job.meter.start()
        sums = await asyncio.gather(
            *(
                exchange(stream, warm_up, warm_up + count, checksum)
                for stream, checksum in zip(streams, sums, strict=True)
            )
        )
        job.meter.stop()
        job.checksum = sums[0]
        for _, writer in streams:
            writer.close()
            await writer.wait_closed()

    job.run(main())


def broadcast_server(job: Job) -> None:
    """Send the messages to all clients."""
    allow_many_connections()

    async def main() -> None:
        crowd, gone = Crowd(job), asyncio.Event()
        writers: set[asyncio.StreamWriter] = set()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    crowd.hear(await read(reader))
            writer.close()
            writers.discard(writer)
            if not writers:
                gone.set()

        def broadcast(message: bytes) -> None:
            # The crowd's pace bounds what waits in the transports: nothing to drain.
            frame = HEAD.pack(len(message)) + message
            for writer in writers:
                writer.write(frame)

        server = await listen(job, handle)
        await crowd.send_all(broadcast)
        await gone.wait()
        server.close()

    job.run(main())


def broadcast_client(job: Job) -> None:
    """Receive the messages on all connections."""
    allow_many_connections()

    async def main() -> None:
        async def follow(connection: Stream, *, first: bool) -> int:
            reader, writer = connection
            check, checksum = job.check, 0
            for received in range(1, job.warm_up + job.count + 1):
                checksum = check(await read(reader), checksum)
                if received == job.warm_up:
                    job.meter.start()
                    await send(writer, HERE)
                if first and received % WINDOW == 0:
                    await send(writer, ACKNOWLEDGED)
            job.meter.stop()
            await send(writer, DONE)
            return checksum

        ssl = client_context(job.directory) if job.sealed else None
        connections = [
            await asyncio.open_connection(HOST, job.port, ssl=ssl) for _ in range(job.connections)
        ]
        job.meter.start()
        for _, writer in connections:
            await send(writer, HERE)
        sums = await asyncio.gather(
            *(follow(connection, first=connection is connections[0]) for connection in connections)
        )
        job.checksum = sums[0]
        for _, writer in connections:
            writer.close()
            await writer.wait_closed()

    job.run(main())


def connect_server(job: Job) -> None:
    """Echo, on many connections one after another."""

    async def main() -> None:
        came, gone, done = 0, 0, asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal came, gone
            if came == 0:
                job.meter.start()
            came += 1
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    await send(writer, await read(reader))
            writer.close()
            await writer.wait_closed()
            gone += 1
            if gone == job.warm_up + job.count:
                job.meter.stop()
                done.set()

        server = await listen(job, handle)
        await done.wait()
        server.close()

    job.run(main())


def connect_client(job: Job) -> None:
    """Connect, ask, wait for the echo, close, again and again."""

    async def main() -> None:
        payloads, different = job.payloads, len(job.payloads)
        ssl = client_context(job.directory, mutual=job.mutual) if job.sealed else None
        if ssl is not None and job.group:
            check_group(ssl, job.group)

        async def connect(number: int) -> None:
            message = payloads[number % different]
            reader, writer = await asyncio.open_connection(HOST, job.port, ssl=ssl)
            await send(writer, message)
            if await read(reader) != message:
                raise RuntimeError("the echo is another message")
            writer.close()
            await writer.wait_closed()

        await in_turns(connect, job.warm_up, job.connections)
        job.meter.start()
        await in_turns(connect, job.count, job.connections)
        job.meter.stop()

    job.run(main())


def idle_server(job: Job) -> None:
    """Echo, and measure the memory when all is quiet."""
    allow_many_connections()

    async def main() -> None:
        memory, gone = IdleMemory(job), asyncio.Event()
        left = job.warm_up + job.count

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal left
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    message = await read(reader)
                    if message == ALL_OPEN:
                        await memory.measure()
                    await send(writer, message)
            writer.close()
            left -= 1
            if left == 0:
                gone.set()

        server = await listen(job, handle)
        await gone.wait()
        server.close()

    job.run(main())


def idle_client(job: Job) -> None:
    """Open connections, use each once, and keep quiet."""
    allow_many_connections()

    async def main() -> None:
        connections: list[Stream] = []
        ssl = client_context(job.directory) if job.sealed else None

        async def connect(number: int) -> None:
            reader, writer = await asyncio.open_connection(HOST, job.port, ssl=ssl)
            connections.append((reader, writer))
            await send(writer, job.payloads[0])
            await read(reader)

        async def all_open() -> None:
            reader, writer = connections[0]
            await send(writer, ALL_OPEN)
            await read(reader)

        await in_turns(connect, job.warm_up, job.connections)
        await all_open()
        job.meter.start()
        await in_turns(connect, job.count, job.connections)
        job.meter.stop()
        await all_open()
        for _, writer in connections:
            writer.close()
            await writer.wait_closed()

    job.run(main())


def latency_server(job: Job) -> None:
    """Echo."""
    round_trip_server(job)


def latency_client(job: Job) -> None:
    """Ask at a given rate, on all connections in turn."""

    async def main() -> None:
        load = OpenLoop(job)

        async def receive(place: int, reader: asyncio.StreamReader) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    load.answered(place, await read(reader))

        ssl = client_context(job.directory) if job.sealed else None
        streams = [
            await asyncio.open_connection(HOST, job.port, ssl=ssl) for _ in range(job.connections)
        ]
        async with asyncio.TaskGroup() as group:
            for place, (reader, _) in enumerate(streams):
                group.create_task(receive(place, reader))
            await load.run([partial(send, writer) for _, writer in streams])
            for _, writer in streams:
                writer.close()
                await writer.wait_closed()

    job.run(main())
