"""sealframe over a link: messages, a stream, a file; requests beside what is large; a cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import sealframe

from ..files import make_file, received
from ..job import Job
from ..links.requests import SMALL, time_requests
from ..links.ticks import LOST, TICK, Ticks
from .sealframe_ import connector, file_client, file_server, server_security

__all__ = ["file_client", "file_server"]

_DONE: Final = b"!"


def bulk_server(job: Job) -> None:
    """Receive so many messages, and answer with one."""

    async def main() -> None:
        done, check = asyncio.Event(), job.check

        async def handler(conn: sealframe.Connection) -> None:
            missing, checksum = job.count, 0
            async for message in conn:
                checksum = check(message, checksum)
                missing -= 1
                if missing == 0:
                    await conn.send(_DONE)
            job.checksum = checksum
            done.set()

        async with sealframe.serve(handler, job.host, 0, security=server_security(job)) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def bulk_client(job: Job) -> None:
    """Send them, and wait for the answer."""

    async def main() -> None:
        payloads, different = job.payloads, len(job.payloads)
        async with connector(job)() as conn:
            job.meter.start()
            for number in range(job.count):
                await conn.send(payloads[number % different])
            await conn.recv()
            job.meter.stop()

    job.run(main())


def stream_server(job: Job) -> None:
    """Receive so many bytes on a stream, and then end it too."""

    async def main() -> None:
        done = asyncio.Event()

        async def take(stream: sealframe.Stream) -> None:
            missing = job.count * job.size
            async for chunk in stream:
                missing -= len(chunk)
            if missing:
                raise RuntimeError(f"{missing} bytes are missing")
            await stream.end()

        async def handler(conn: sealframe.Connection) -> None:
            async for _ in conn:
                pass
            done.set()

        async with sealframe.serve(
            handler, job.host, 0, security=server_security(job), on_stream=take
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def stream_client(job: Job) -> None:
    """Write them, in pieces of a message's size, and wait for the end."""

    async def main() -> None:
        payloads, different = job.payloads, len(job.payloads)
        async with connector(job)() as conn:
            job.meter.start()
            async with await conn.open_stream() as stream:
                for number in range(job.count):
                    await stream.write(payloads[number % different])
                await stream.end()
                await stream.read()
            job.meter.stop()

    job.run(main())


def beside_server(job: Job) -> None:
    """Answer requests, and take in what comes beside them."""

    async def main() -> None:
        done = asyncio.Event()

        async def answer(conn: sealframe.Connection, payload: bytes) -> bytes:
            return payload

        async def handler(conn: sealframe.Connection) -> None:
            async for _ in conn:
                pass
            done.set()

        async with sealframe.serve(
            handler,
            job.host,
            0,
            security=server_security(job),
            on_request=answer,
            files=sealframe.Inbox(received(job), keep_free=0),
        ) as server:
            job.listening(server.port)
            await done.wait()

    job.run(main())


def beside_client(job: Job) -> None:
    """Time requests beside nothing, messages, or a file."""

    async def main() -> None:
        payload = bytes(SMALL)
        async with connector(job)() as conn:

            async def request() -> None:
                if await conn.request(payload) != payload:
                    raise RuntimeError("the answer is another one")

            async def send_messages() -> None:
                for number in range(1 << 30):
                    await conn.send(job.payloads[number % 2])

            async def send_file() -> None:
                await conn.send_file(source)

            beside: dict[str, Callable[[], Awaitable[None]] | None] = {
                "nothing": None,
                "messages": send_messages,
                "file": send_file,
            }
            await time_requests(job, request, beside[job.extra["beside"]])

    source = Path()
    if job.extra["beside"] == "file":
        source = make_file(replace(job, count=job.extra["mib"]))
    job.run(main())


def cut_server(job: Job) -> None:
    """Write down when something comes."""

    async def main() -> None:
        ticks, done = Ticks(job), asyncio.Event()

        async def handler(conn: sealframe.Connection) -> None:
            with contextlib.suppress(sealframe.ConnectionClosed, TimeoutError):
                while True:
                    async with asyncio.timeout(LOST):
                        await conn.recv()
                    ticks.came()
            done.set()

        async with sealframe.serve(handler, job.host, 0, security=server_security(job)) as server:
            job.listening(server.port)
            await done.wait()
        ticks.report()

    job.run(main())


def cut_client(job: Job) -> None:
    """Send a small message, again and again."""

    async def main() -> None:
        with contextlib.suppress(sealframe.ConnectionClosed):
            async with connector(job)() as conn:
                for _ in range(job.count):
                    await conn.send(job.payloads[0])
                    await asyncio.sleep(TICK)

    job.run(main())
