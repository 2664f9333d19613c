"""asyncio streams over TLS, with the framing written by hand, and written well.

Source: https://docs.python.org/3/library/asyncio-stream.html
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from .certificates import client_tls, make_certificate, server_tls, tls_without_certificate
from .lab import HOST, SECRET, Fact, Proxy, free_port
from .tallies import Audience, Cancelled, Tally, send_to_sleeper

LIMIT = 16 * 1024 * 1024
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


async def send(writer: Writer, message: bytes) -> None:
    writer.write(struct.pack("<i", len(message)) + message)
    await writer.drain()


async def recv(reader: Reader) -> bytes:
    (length,) = struct.unpack("<i", await reader.readexactly(4))
    if not 0 <= length <= LIMIT:
        raise ValueError(f"the length {length} is not possible")
    return await reader.readexactly(length)


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[Reader, Writer], Awaitable[None]], port: int = 0
) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """Serve over TLS; yield the port, and what a client trusts the server with."""

    async def serve_one(reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(EOFError, OSError):
            await handler(reader, writer)
        writer.close()

    with tempfile.TemporaryDirectory() as name:
        context = server_tls(Path(name))
        server = await asyncio.start_server(serve_one, HOST, port, ssl=context)
        yield server.sockets[0].getsockname()[1], client_tls(Path(name))
        server.close()


async def connect(port: int, context: ssl.SSLContext) -> tuple[Reader, Writer]:
    return await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, int]]:
    """Without TLS, which no peer with a packet alone could speak."""

    async def handler(reader: Reader, writer: Writer) -> None:
        try:
            while True:
                await send(writer, await recv(reader))
        except (EOFError, OSError, ValueError) as error:
            if not isinstance(error, EOFError):
                logging.warning("a client is refused: %s", error)
        writer.close()

    async with await asyncio.start_server(handler, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield port, port


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    await send(writer, b"hello")
    answer = await recv(reader)
    writer.close()
    await writer.wait_closed()
    return answer


async def starts_first() -> Fact:
    async def handler(reader: Reader, writer: Writer) -> None:
        await send(writer, b"welcome")

    async def client() -> bytes:
        reader, _ = await connect(port, ssl.create_default_context())
        return await recv(reader)

    port = free_port()
    waiting = asyncio.create_task(client())
    await asyncio.sleep(0.5)
    async with serving(handler, port):
        try:
            return {"connected": await waiting == b"welcome"}
        except OSError:
            return {"connected": False}


async def cut() -> Fact:
    tally = Tally()
    again = "no"

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            tally.take(await recv(reader))

    async with serving(handler) as (port, context), Proxy(port, Tally.CUT_AFTER) as proxy:
        _, writer = await connect(proxy.port, context)
        async for message in tally.messages():
            try:
                await send(writer, message)
            except OSError:
                tally.failed(message)
                _, writer = await connect(proxy.port, context)  # this line is the program's
        return await tally.fact(again)


async def dying() -> Fact:
    async def handler(reader: Reader, writer: Writer) -> None:
        await asyncio.sleep(2)

    async with serving(handler) as (port, context), Proxy(port) as proxy:
        _, writer = await connect(proxy.port, context)
        proxy.stall()
        await send(writer, b"the last words")
        cutting = asyncio.create_task(proxy.cut_soon())
        writer.close()
        try:
            await writer.wait_closed()
            outcome = "silent"
        except OSError:
            outcome = "told"
        await cutting
        return {"outcome": outcome}


async def slow_reader() -> Fact:
    asleep = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await asleep.wait()
        writer.transport.abort()

    async with serving(handler) as (port, context):
        _, writer = await connect(port, context)
        fact = await send_to_sleeper(lambda message: send(writer, message))
        asleep.set()
        writer.transport.abort()
    return fact


async def broadcast() -> Fact:
    audience = Audience()
    writers: list[Writer] = []
    gone = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        writers.append(writer)
        await gone.wait()
        writer.transport.abort()

    async def listen(reader: Reader, listener: int) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                await audience.hear(listener, await recv(reader))

    async def send_to_all(message: bytes) -> None:
        for writer in writers:
            await send(writer, message)

    async with serving(handler) as (port, context):
        clients = [await connect(port, context) for _ in range(3)]
        while len(writers) < 3:
            await asyncio.sleep(0.01)
        quick = [asyncio.create_task(listen(clients[number][0], number)) for number in (0, 1)]
        fact = await audience.broadcast(send_to_all)
        gone.set()
        await asyncio.gather(*quick)
        for _, writer in clients:
            writer.transport.abort()
    return fact


async def cancelled() -> Fact:
    cancelling = Cancelled()

    async def handler(reader: Reader, writer: Writer) -> None:
        for message in cancelling.messages():
            await send(writer, message)
        await reader.read()

    async with serving(handler) as (port, context):
        reader, writer = await connect(port, context)
        fact = await cancelling.receive(lambda: recv(reader))
        writer.transport.abort()
    return fact


async def private() -> Fact:
    async def handler(reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(EOFError, OSError):
            await send(writer, await recv(reader))
        writer.close()

    async def talks(context: ssl.SSLContext) -> bool:
        with contextlib.suppress(EOFError, OSError):
            reader, writer = await connect(proxy.port, context)
            await send(writer, SECRET)
            answer = await recv(reader)
            writer.close()
            return answer == SECRET
        return False

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for owner in ("laptop", "other"):
            make_certificate(folder, owner)
        context = server_tls(folder, "laptop")
        server = await asyncio.start_server(handler, HOST, 0, ssl=context)
        async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
            return {
                "works": await talks(client_tls(folder, "server", "laptop")),
                "encrypted": SECRET not in proxy.seen,
                "stranger_refused": not await talks(client_tls(folder, "server", "other")),
                "impostor_refused": not await talks(client_tls(folder, "other", "laptop")),
                "without_certificates": await tls_without_certificate(),
            }


async def requests() -> Fact:
    async def handler(reader: Reader, writer: Writer) -> None:
        async def answer(message: bytes) -> None:
            await asyncio.sleep(0.1 * (5 - int(message[4:])))
            with contextlib.suppress(OSError):
                await send(writer, message[:4] + b"answer to " + message[4:])

        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(answer(await recv(reader)))

    pending: dict[bytes, asyncio.Future[bytes]] = {}
    numbers = itertools.count()

    async def dispatch(reader: Reader) -> None:
        while True:
            message = await recv(reader)
            if waiting := pending.pop(message[:4], None):
                waiting.set_result(message[4:])

    async def request(payload: bytes, timeout: float | None = None) -> bytes:
        number = next(numbers).to_bytes(4)
        pending[number] = asyncio.get_running_loop().create_future()
        await send(writer, number + payload)
        try:
            return await asyncio.wait_for(pending[number], timeout)
        finally:
            pending.pop(number, None)

    async def serve_one(reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(BaseExceptionGroup):
            await handler(reader, writer)

    async with serving(serve_one) as (port, context):
        reader, writer = await connect(port, context)
        dispatching = asyncio.create_task(dispatch(reader))
        answers = await asyncio.gather(*(request(b"%d" % number) for number in range(5)))
        try:
            await request(b"-100", timeout=0.2)
            late = False
        except TimeoutError:
            late = True
        dispatching.cancel()
        writer.close()
        return {
            "own": answers == [b"answer to %d" % number for number in range(5)],
            "timed_out": late,
        }


async def file(source: Path, folder: Path) -> Fact:
    async def handler(reader: Reader, writer: Writer) -> None:
        name = Path((await recv(reader)).decode()).name
        part, digest = folder / f".{name}.part", hashlib.sha256()
        with part.open("wb") as file:
            while chunk := await recv(reader):
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if await recv(reader) == digest.digest():
            part.rename(folder / name)
            await send(writer, b"arrived")
        else:
            part.unlink()
            await send(writer, b"damaged")

    async with serving(handler) as (port, context):
        reader, writer = await connect(port, context)
        await send(writer, source.name.encode())
        digest = hashlib.sha256()
        with source.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, 65536):
                digest.update(chunk)
                await send(writer, chunk)
        await send(writer, b"")
        await send(writer, digest.digest())
        if await recv(reader) != b"arrived":
            raise OSError("the file did not arrive")
        writer.close()
    return {}


async def away() -> Fact:
    got: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        got.append(await recv(reader))

    port = free_port()
    with contextlib.suppress(OSError):
        _, writer = await connect(port, ssl.create_default_context())
        await send(writer, b"for later")
    async with serving(handler, port):
        await asyncio.sleep(1)
    return {"delivered": got == [b"for later"]}


async def python_object(value: object) -> object:
    async def handler(reader: Reader, writer: Writer) -> None:
        await send(writer, value)  # type: ignore[arg-type]

    async with serving(handler) as (port, context):
        reader, writer = await connect(port, context)
        answer = await asyncio.wait_for(recv(reader), 2)
        writer.close()
    return answer
