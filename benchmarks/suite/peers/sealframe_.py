"""sealframe itself, as its README shows it: ``async for``, ``await conn.send(...)``.

In batches it is ``send_many`` with 64 messages a call, and ``recv_many``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import sealframe

from ..beside import SMALL, Beside
from ..crowd import ACKNOWLEDGED, DONE, HERE, WINDOW, Crowd
from ..descriptors import allow_many_connections
from ..files import check_file, make_file, received
from ..job import Job
from ..latency import OpenLoop
from ..memory import ALL_OPEN, IdleMemory, Peak
from ..payloads import make_payloads
from ..turns import in_turns

SEALED: Final = True
BATCH: Final = True
BATCH_SIZE: Final = 64
MANY_CLIENTS: Final = sealframe.ServerOptions(
    max_connections=100_000, max_pending_per_address=100_000
)


def server_security(job: Job) -> sealframe.SharedKey | sealframe.ServerIdentity | None:
    """Return the server's key, if what both sides say is to be sealed."""
    if job.way == "identity":
        private, client = sealframe.PrivateKey.generate(), sealframe.PrivateKey.generate()
        # The client starts when it is told the port, which is later.
        private.save(Path(job.directory, "server.key"))
        client.save(Path(job.directory, "client.key"))
        return sealframe.ServerIdentity(private, {"client": client.public_key})
    return shared_key() if job.sealed else None


def client_security(job: Job) -> sealframe.SharedKey | sealframe.ClientIdentity | None:
    """Return the client's key, likewise."""
    if job.way == "identity":
        server = sealframe.PrivateKey.load(Path(job.directory, "server.key")).public_key
        private = sealframe.PrivateKey.load(Path(job.directory, "client.key"))
        return sealframe.ClientIdentity(private, server=server)
    if job.way == "classic":
        return sealframe.SharedKey(shared_key().secret_bytes(), post_quantum=False)
    return shared_key() if job.sealed else None


def connector(
    job: Job, options: sealframe.ClientOptions | None = None
) -> Callable[[], sealframe.Connecting[Any, Any]]:
    """Return what makes a connection; all have the same key."""
    return partial(
        sealframe.connect,
        job.host,
        job.port,
        security=client_security(job),
        extended=job.way == "extended",
        options=options,
        # Not to be named to an older one, which knows no sessions.
        **({"session": True} if job.session else {}),
    )


def sessions(job: Job) -> dict[str, Any]:
    """Return what a server is told if it is to keep sessions."""
    return {"sessions": sealframe.Sessions()} if job.session else {}


def shared_key() -> sealframe.SharedKey:
    """Return the key that both sides have."""
    return sealframe.SharedKey(bytes(range(32)))


def one_way_server(job: Job) -> None:
    """Receive the messages and check them."""

    async def main() -> None:
        done = asyncio.Event()
        receive = receive_batches if job.batch else receive_messages

        async def handler(conn: sealframe.Connection) -> None:
            await receive(job, conn)
            done.set()

        async with sealframe.serve(
            handler, job.host, 0, security=server_security(job), **sessions(job)
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


async def receive_messages(job: Job, conn: sealframe.Connection) -> None:
    """Receive one by one."""
    check, checksum, missing = job.check, 0, job.warm_up
    async for message in conn:
        checksum = check(message, checksum)
        missing -= 1
        if missing == 0:
            break
    job.meter.start()
    missing = job.count
    async for message in conn:
        checksum = check(message, checksum)
        missing -= 1
        if missing == 0:
            break
    job.meter.stop()
    job.checksum = checksum


async def receive_batches(job: Job, conn: sealframe.Connection) -> None:
    """Receive as many at once as there are."""
    check, checksum, missing = job.check, 0, job.warm_up
    while missing:
        messages = await conn.recv_many(missing)
        for message in messages:
            checksum = check(message, checksum)
        missing -= len(messages)
    job.meter.start()
    missing = job.count
    while missing:
        messages = await conn.recv_many()
        for message in messages:
            checksum = check(message, checksum)
        missing -= len(messages)
    job.meter.stop()
    job.checksum = checksum


def one_way_client(job: Job) -> None:
    """Send the messages."""

    async def main() -> None:
        send = send_batches if job.batch else send_messages
        async with connector(job)() as conn:
            await send(job, conn, 0, job.warm_up)
            job.meter.start()
            await send(job, conn, job.warm_up, job.warm_up + job.count)
            await conn.close()
            job.meter.stop()

    job.run(main())


async def send_messages(job: Job, conn: sealframe.Connection, start: int, end: int) -> None:
    """Send one by one."""
    payloads, different = job.payloads, len(job.payloads)
    for number in range(start, end):
        await conn.send(payloads[number % different])


async def send_batches(job: Job, conn: sealframe.Connection, start: int, end: int) -> None:
    """Send many at once."""
    payloads, different = job.payloads, len(job.payloads)
    for first in range(start, end, BATCH_SIZE):
        numbers = range(first, min(first + BATCH_SIZE, end))
        await conn.send_many([payloads[number % different] for number in numbers])


def round_trip_server(job: Job) -> None:
    """Echo."""

    async def main() -> None:
        first, done, connections = True, asyncio.Event(), job.connections

        async def handler(conn: sealframe.Connection) -> None:
            nonlocal first, connections
            message = await conn.recv()
            if first:
                first = False
                job.meter.start()
            await conn.send(message)
            async for message in conn:
                await conn.send(message)
            connections -= 1
            if connections == 0:
                job.meter.stop()
                done.set()

        async with sealframe.serve(handler, job.host, 0, security=server_security(job)) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again."""

    async def main() -> None:
        payloads, different, check = job.payloads, len(job.payloads), job.check

        async def exchange(
            conn: sealframe.Connection, start: int, end: int, checksum: int = 0
        ) -> int:
            for number in range(start, end):
                await conn.send(payloads[number % different])
                checksum = check(await conn.recv(), checksum)
            return checksum

        connect = connector(job)
        connections = [await connect() for _ in range(job.connections)]
        warm_up, count = job.warm_up // job.connections, job.count // job.connections
        sums = await asyncio.gather(*(exchange(conn, 0, warm_up) for conn in connections))
        job.meter.start()
        sums = await asyncio.gather(
            *(
                exchange(conn, warm_up, warm_up + count, checksum)
                for conn, checksum in zip(connections, sums, strict=True)
            )
        )
        job.meter.stop()
        job.checksum = sums[0]
        await asyncio.gather(*(conn.close() for conn in connections))

    job.run(main())


def request_server(job: Job) -> None:
    """Answer requests with what they say."""

    async def main() -> None:
        first, done = True, asyncio.Event()

        async def answer(conn: sealframe.Connection, payload: bytes) -> bytes:
            nonlocal first
            if first:
                first = False
                job.meter.start()
            return payload

        async def handler(conn: sealframe.Connection) -> None:
            async for _ in conn:
                pass
            job.meter.stop()
            done.set()

        async with sealframe.serve(
            handler, job.host, 0, security=server_security(job), on_request=answer
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def request_client(job: Job) -> None:
    """Request, wait for the answer, request again."""

    async def main() -> None:
        payloads, different, check, checksum = job.payloads, len(job.payloads), job.check, 0
        async with connector(job)() as conn:
            for number in range(job.warm_up):
                checksum = check(await conn.request(payloads[number % different]), checksum)
            job.meter.start()
            for number in range(job.warm_up, job.warm_up + job.count):
                checksum = check(await conn.request(payloads[number % different]), checksum)
            job.meter.stop()
        job.checksum = checksum

    job.run(main())


def beside_server(job: Job) -> None:
    """Echo what is small."""

    async def main() -> None:
        done = asyncio.Event()

        async def handler(conn: sealframe.Connection) -> None:
            async for message in conn:
                if len(message) == SMALL:
                    await conn.send(message)
            done.set()

        async with sealframe.serve(handler, job.host, 0, security=server_security(job)) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def beside_client(job: Job) -> None:
    """Send large messages without end, and small ones between them."""

    async def main() -> None:
        async with connector(job)() as conn:
            await Beside(job).run(conn.send, conn.recv)

    job.run(main())


def file_server(job: Job) -> None:
    """Receive files until the client is gone."""

    async def main() -> None:
        done = asyncio.Event()

        async def handler(conn: sealframe.Connection) -> None:
            job.meter.start()
            async for _ in conn:
                pass
            job.meter.stop()
            done.set()

        inbox = sealframe.Inbox(received(job), keep_free=0)
        async with sealframe.serve(
            handler, job.host, 0, security=server_security(job), files=inbox
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def file_client(job: Job) -> None:
    """Send a file of ``count`` MiB."""
    source = make_file(job)

    async def main() -> None:
        async with connector(job)() as conn:
            job.meter.start()
            await conn.send_file(source)
            job.meter.stop()

    job.run(main())
    check_file(job)


def broadcast_server(job: Job) -> None:
    """Send the messages to all clients."""
    allow_many_connections()

    async def main() -> None:
        crowd = Crowd(job)

        async def handler(conn: sealframe.Connection) -> None:
            async for message in conn:
                crowd.hear(message)

        async with sealframe.serve(
            handler, job.host, 0, security=server_security(job), options=MANY_CLIENTS
        ) as server:
            job.listening(server.port)
            await crowd.send_all(server.broadcast)

    job.run(main())


def broadcast_client(job: Job) -> None:
    """Receive the messages on all connections."""
    allow_many_connections()

    async def main() -> None:
        async def follow(conn: sealframe.Connection, *, first: bool) -> int:
            check, checksum, received = job.check, 0, 0
            async for message in conn:
                checksum = check(message, checksum)
                received += 1
                if received == job.warm_up:
                    job.meter.start()
                    await conn.send(HERE)
                if first and received % WINDOW == 0:
                    await conn.send(ACKNOWLEDGED)
                if received == job.warm_up + job.count:
                    break
            job.meter.stop()
            await conn.send(DONE)
            return checksum

        connect = connector(job)
        connections = [await connect() for _ in range(job.connections)]
        job.meter.start()
        for conn in connections:
            await conn.send(HERE)
        sums = await asyncio.gather(
            *(follow(conn, first=conn is connections[0]) for conn in connections)
        )
        job.checksum = sums[0]
        for conn in connections:
            await conn.close()

    job.run(main())


def connect_server(job: Job) -> None:
    """Echo, on many connections one after another."""

    async def main() -> None:
        came, gone, done = 0, 0, asyncio.Event()

        async def handler(conn: sealframe.Connection) -> None:
            nonlocal came, gone
            if came == 0:
                job.meter.start()
            came += 1
            async for message in conn:
                await conn.send(message)
            await conn.close()
            gone += 1
            if gone == job.warm_up + job.count:
                job.meter.stop()
                done.set()

        async with sealframe.serve(handler, job.host, 0, security=server_security(job)) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def connect_client(job: Job) -> None:
    """Connect, ask, wait for the echo, close, again and again."""

    async def main() -> None:
        payloads, different, connect = job.payloads, len(job.payloads), connector(job)

        async def exchange(number: int) -> None:
            message = payloads[number % different]
            async with connect() as conn:
                await conn.send(message)
                if await conn.recv() != message:
                    raise RuntimeError("the echo is another message")

        await in_turns(exchange, job.warm_up, job.connections)
        job.meter.start()
        await in_turns(exchange, job.count, job.connections)
        job.meter.stop()

    job.run(main())


def idle_server(job: Job) -> None:
    """Echo, and measure the memory when all is quiet."""
    allow_many_connections()

    async def main() -> None:
        memory = IdleMemory(job)

        async def handler(conn: sealframe.Connection) -> None:
            async for message in conn:
                if message == ALL_OPEN:
                    await memory.measure()
                await conn.send(message)

        async with sealframe.serve(
            handler,
            job.host,
            0,
            security=server_security(job),
            options=MANY_CLIENTS,
            **sessions(job),
        ) as server:
            job.listening(server.port)
            await memory.done.wait()

    job.run(main())


def idle_client(job: Job) -> None:
    """Open connections, use each once, and keep quiet."""
    allow_many_connections()

    async def main() -> None:
        connections: list[sealframe.Connection] = []
        # The server goes first, and a session would look for it for longer.
        options = sealframe.ClientOptions(close_timeout=1.0) if job.session else None
        connect = connector(job, options)

        async def open_one(number: int) -> None:
            conn = await connect()
            connections.append(conn)
            await conn.send(job.payloads[0])
            await conn.recv()

        async def all_open() -> None:
            await connections[0].send(ALL_OPEN)
            await connections[0].recv()

        await in_turns(open_one, job.warm_up, job.connections)
        await all_open()
        job.meter.start()
        await in_turns(open_one, job.count, job.connections)
        job.meter.stop()
        await all_open()
        await asyncio.gather(*(conn.close() for conn in connections))

    job.run(main())


def growth_server(job: Job) -> None:
    """Receive messages of any size, and watch the memory."""
    options = sealframe.ServerOptions(max_message_size=max(1, job.size))

    async def main() -> None:
        done = asyncio.Event()

        async def handler(conn: sealframe.Connection) -> None:
            peak = Peak()
            await receive_messages(job, conn)
            job.extra["peak"] = peak.bytes()
            await conn.close()
            done.set()

        async with sealframe.serve(
            handler, job.host, 0, security=server_security(job), options=options
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def growth_client(job: Job) -> None:
    """Send messages of any size, and watch the memory."""
    options = sealframe.ClientOptions(max_message_size=max(1, job.size))
    # They are no part of what is watched.
    make_payloads(job.size)

    async def main() -> None:
        async with connector(job, options)() as conn:
            peak = Peak()
            await send_messages(job, conn, 0, job.warm_up)
            job.meter.start()
            await send_messages(job, conn, job.warm_up, job.warm_up + job.count)
            await conn.close()
            job.meter.stop()
            job.extra["peak"] = peak.bytes()

    job.run(main())


def latency_server(job: Job) -> None:
    """Echo."""
    round_trip_server(job)


def latency_client(job: Job) -> None:
    """Ask at a given rate, on all connections in turn."""

    async def main() -> None:
        load = OpenLoop(job)

        async def receive(place: int, conn: sealframe.Connection) -> None:
            async for message in conn:
                load.answered(place, message)

        connect = connector(job)
        connections = [await connect() for _ in range(job.connections)]
        async with asyncio.TaskGroup() as group:
            for place, conn in enumerate(connections):
                group.create_task(receive(place, conn))
            await load.run([conn.send for conn in connections])
            for conn in connections:
                await conn.close()

    job.run(main())
