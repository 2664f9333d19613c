"""sealframe, sealed with a shared key, where a promise does not ask for something else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import sealframe

from .lab import HOST, SECRET, Fact, Proxy, free_port
from .tallies import Audience, Cancelled, Tally, send_to_sleeper

KEY = sealframe.SharedKey.generate()


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, int]]:
    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async with sealframe.serve(handler, HOST, 0) as server:
        yield server.port, server.port


async def idle(conn: sealframe.Connection) -> None:
    await conn.wait_closed()


async def ask(port: int) -> bytes:
    async with sealframe.connect(HOST, port) as conn:
        await conn.send(b"hello")
        return await conn.recv()


async def starts_first() -> Fact:
    async def handler(conn: sealframe.Connection) -> None:
        await conn.send(b"welcome")

    async def client() -> bytes:
        async for conn in sealframe.connect(HOST, port, security=KEY):
            return await conn.recv()
        return b""

    port = free_port()
    waiting = asyncio.create_task(client())
    await asyncio.sleep(0.5)
    async with sealframe.serve(handler, HOST, port, security=KEY):
        return {"connected": await waiting == b"welcome"}


async def cut() -> Fact:
    tally = Tally()

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            tally.take(message)

    sessions = sealframe.Sessions()
    async with (
        sealframe.serve(handler, HOST, 0, security=KEY, sessions=sessions) as server,
        Proxy(server.port, Tally.CUT_AFTER) as proxy,
        sealframe.connect(HOST, proxy.port, security=KEY, session=True) as conn,
    ):
        async for message in tally.messages():
            await conn.send(message)
        return await tally.fact("by itself")


async def cut_without_session() -> Fact:
    tally = Tally()

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            tally.take(message)

    async with (
        sealframe.serve(handler, HOST, 0, security=KEY) as server,
        Proxy(server.port, Tally.CUT_AFTER) as proxy,
    ):
        messages = tally.messages()
        async for conn in sealframe.connect(HOST, proxy.port, security=KEY):
            try:
                async for message in messages:
                    await conn.send(message)
                return await tally.fact("in a loop")
            except sealframe.ConnectionClosed:
                tally.failed(message)
    return {}


async def dying() -> Fact:
    async with (
        sealframe.serve(idle, HOST, 0, security=KEY) as server,
        Proxy(server.port) as proxy,
    ):
        conn = await sealframe.connect(HOST, proxy.port, security=KEY)
        proxy.stall()
        await conn.send(b"the last words")
        cutting = asyncio.create_task(proxy.cut_soon())
        arrived = await conn.close()
        await cutting
        return {"outcome": "silent" if arrived else "told"}


async def slow_reader() -> Fact:
    asleep = asyncio.Event()

    async def handler(conn: sealframe.Connection) -> None:
        await asleep.wait()

    async with sealframe.serve(handler, HOST, 0, security=KEY) as server:
        conn = await sealframe.connect(HOST, server.port, security=KEY)
        fact = await send_to_sleeper(conn.send)
        asleep.set()
        await conn.close(code=sealframe.CloseCode.GOING_AWAY)
    return fact


async def broadcast() -> Fact:
    audience = Audience()

    async def listen(listener: int) -> None:
        async with sealframe.connect(HOST, server.port, security=KEY) as conn:
            async for message in conn:
                await audience.hear(listener, message)

    async def send(message: bytes) -> None:
        server.broadcast(message)

    async with sealframe.serve(idle, HOST, 0, security=KEY) as server:
        quick = [asyncio.create_task(listen(listener)) for listener in (0, 1)]
        slow = await sealframe.connect(HOST, server.port, security=KEY)
        while len(server.clients) < 3:
            await asyncio.sleep(0.01)
        fact = await audience.broadcast(send)
        for task in quick:
            task.cancel()
        await slow.close(code=sealframe.CloseCode.GOING_AWAY)
    return fact


async def cancelled() -> Fact:
    cancelling = Cancelled()

    async def handler(conn: sealframe.Connection) -> None:
        for message in cancelling.messages():
            await conn.send(message)
        await conn.wait_closed()

    async with (
        sealframe.serve(handler, HOST, 0, security=KEY) as server,
        sealframe.connect(HOST, server.port, security=KEY) as conn,
    ):
        return await cancelling.receive(conn.recv)


async def private() -> Fact:
    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async def talks(key: sealframe.PrivateKey, server_key: sealframe.PublicKey) -> bool:
        identity = sealframe.ClientIdentity(key, server=server_key)
        try:
            async with sealframe.connect(HOST, proxy.port, security=identity) as conn:
                await conn.send(SECRET)
                return await conn.recv() == SECRET
        except (OSError, sealframe.SealframeError):
            return False

    key, laptop, other = (sealframe.PrivateKey.generate() for _ in range(3))
    identity = sealframe.ServerIdentity(key, {"laptop": laptop.public_key})
    async with (
        sealframe.serve(handler, HOST, 0, security=identity) as server,
        Proxy(server.port) as proxy,
    ):
        return {
            "works": await talks(laptop, key.public_key),
            "encrypted": SECRET not in proxy.seen,
            "stranger_refused": not await talks(other, key.public_key),
            "impostor_refused": not await talks(laptop, other.public_key),
            "without_certificates": True,
        }


async def requests() -> Fact:
    async def on_request(conn: sealframe.Connection, payload: bytes) -> bytes:
        await asyncio.sleep(0.1 * (5 - int(payload)))
        return b"answer to " + payload

    async with (
        sealframe.serve(None, HOST, 0, security=KEY, on_request=on_request) as server,
        sealframe.connect(HOST, server.port, security=KEY) as conn,
    ):
        answers = await asyncio.gather(*(conn.request(b"%d" % number) for number in range(5)))
        try:
            await conn.request(b"-100", timeout=0.2)
            late = False
        except TimeoutError:
            late = True
    return {"own": answers == [b"answer to %d" % number for number in range(5)], "timed_out": late}


async def file(source: Path, folder: Path) -> Fact:
    inbox = sealframe.Inbox(folder)
    async with (
        sealframe.serve(None, HOST, 0, security=KEY, files=inbox) as server,
        sealframe.connect(HOST, server.port, security=KEY) as conn,
    ):
        await conn.send_file(source)
    return {}


async def away() -> Fact:
    got: list[bytes] = []

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            got.append(message)

    port = free_port()
    with contextlib.suppress(OSError, sealframe.SealframeError):
        async with sealframe.connect(HOST, port, security=KEY) as conn:
            await conn.send(b"for later")
    async with sealframe.serve(handler, HOST, port, security=KEY):
        await asyncio.sleep(1)
    return {"delivered": got == [b"for later"]}


async def python_object(value: object) -> object:
    async def handler(conn: sealframe.Connection) -> None:
        await conn.send(value)  # type: ignore[arg-type]

    async with (
        sealframe.serve(handler, HOST, 0, security=KEY) as server,
        sealframe.connect(HOST, server.port, security=KEY) as conn,
    ):
        return await conn.recv()
