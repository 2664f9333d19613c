"""sealframe's sessions, all of which lose their links at once and come back."""

from __future__ import annotations

import asyncio
import socket

import sealframe

from ..descriptors import allow_many_connections
from ..job import Job
from .sealframe_ import MANY_CLIENTS, client_security, server_security


def resume_server(job: Job) -> None:
    """Echo; from the first link that is lost to the last that is there again is measured."""
    allow_many_connections()

    async def main() -> None:
        done, lost, back = asyncio.Event(), 0, 0

        async def handler(conn: sealframe.Connection) -> None:
            async for message in conn:
                await conn.send(message)

        def on_link(conn: sealframe.Connection, change: sealframe.LinkChange) -> None:
            nonlocal lost, back
            if change.connected:
                back += 1
                if back % job.count == 0:
                    job.meter.stop()
            else:
                if lost % job.count == 0:
                    job.meter.start()
                lost += 1

        def on_disconnect(conn: sealframe.Connection, reason: sealframe.Disconnect) -> None:
            if not server.clients:
                done.set()

        async with sealframe.serve(
            handler,
            job.host,
            0,
            security=server_security(job),
            options=MANY_CLIENTS,
            sessions=sealframe.Sessions(),
            on_link=on_link,
            on_disconnect=on_disconnect,
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def resume_client(job: Job) -> None:
    """Open ``count`` sessions, cut all of them, and wait until all are there again."""
    allow_many_connections()

    async def main() -> None:
        ways: dict[int, socket.socket] = {}
        back = asyncio.Queue[None]()

        def on_link(conn: sealframe.Connection, change: sealframe.LinkChange) -> None:
            if change.connected:
                back.put_nowait(None)

        async def open_one(number: int) -> sealframe.Connection:
            async def dial() -> socket.socket:
                sock = socket.socket()
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, (job.host, job.port))
                # The connection has the socket itself; this one is to cut it.
                ways[number] = sock.dup()
                return sock

            return await sealframe.connect(
                job.host,
                job.port,
                sock=dial,
                security=client_security(job),
                extended=job.way == "extended",
                session=True,
                on_link=on_link,
            )

        connections = [await open_one(number) for number in range(job.count)]
        # A link that has not lasted is not made again at once.
        await asyncio.sleep(1)
        job.meter.start()
        for sock in list(ways.values()):
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for _ in connections:
            await back.get()
        job.meter.stop()
        for conn in connections:
            await conn.send(b"still there")
            if await conn.recv() != b"still there":
                raise RuntimeError("the echo is another message")
        await asyncio.gather(*(conn.close() for conn in connections))

    job.run(main())
