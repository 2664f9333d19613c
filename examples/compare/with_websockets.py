"""websockets: ``async for ... in connect()`` and ``broadcast()``, as its documentation has it.

Sources: https://websockets.readthedocs.io/en/stable/ (reference/asyncio/client, topics/broadcast,
topics/keepalive).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve

from .certificates import client_tls, make_certificate, server_tls, tls_without_certificate
from .lab import HOST, SECRET, Fact, Proxy, free_port
from .tallies import Audience, Cancelled, Tally, send_to_sleeper


def port_of(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, int]]:
    async def handler(websocket: ServerConnection) -> None:
        async for message in websocket:
            await websocket.send(message)

    async with serve(handler, HOST, 0) as server:
        yield port_of(server), port_of(server)


async def ask(port: int) -> object:
    async with connect(f"ws://{HOST}:{port}") as websocket:
        await websocket.send(b"hello")
        return await websocket.recv()


async def starts_first() -> Fact:
    async def handler(websocket: ServerConnection) -> None:
        await websocket.send(b"welcome")

    async def client() -> object:
        delays = itertools.repeat(0.2)
        async for websocket in connect(f"ws://{HOST}:{port}", reconnect_delays=lambda: delays):
            return await websocket.recv()
        return b""

    port = free_port()
    waiting = asyncio.create_task(client())
    await asyncio.sleep(0.5)
    async with serve(handler, HOST, port):
        return {"connected": await waiting == b"welcome"}


async def cut() -> Fact:
    tally = Tally()

    async def handler(websocket: ServerConnection) -> None:
        async for message in websocket:
            tally.take(message)

    async with serve(handler, HOST, 0) as server, Proxy(port_of(server), Tally.CUT_AFTER) as proxy:
        messages = tally.messages()
        async for websocket in connect(f"ws://{HOST}:{proxy.port}", compression=None):
            try:
                async for message in messages:
                    await websocket.send(message)
                return await tally.fact("in a loop")
            except websockets.ConnectionClosed:
                tally.failed(message)
    return {}


async def dying() -> Fact:
    async def handler(websocket: ServerConnection) -> None:
        await websocket.wait_closed()

    async with serve(handler, HOST, 0) as server, Proxy(port_of(server)) as proxy:
        websocket = await connect(f"ws://{HOST}:{proxy.port}")
        proxy.stall()
        await websocket.send(b"the last words")
        cutting = asyncio.create_task(proxy.cut_soon())
        await websocket.close()
        await cutting
        return {"outcome": "silent" if websocket.close_code == 1000 else "told"}


async def slow_reader() -> Fact:
    asleep = asyncio.Event()

    async def handler(websocket: ServerConnection) -> None:
        await asleep.wait()
        websocket.transport.abort()

    async with serve(handler, HOST, 0) as server:
        websocket = await connect(f"ws://{HOST}:{port_of(server)}", compression=None)
        fact = await send_to_sleeper(websocket.send)
        asleep.set()
        websocket.transport.abort()
    return fact


async def broadcast() -> Fact:
    audience = Audience()

    async def handler(websocket: ServerConnection) -> None:
        await websocket.wait_closed()

    async def listen(websocket: ClientConnection, listener: int) -> None:
        async for message in websocket:
            await audience.hear(listener, message)

    async def send(message: bytes) -> None:
        websockets.broadcast(server.connections, message)

    async with serve(handler, HOST, 0, compression=None) as server:
        clients = [await connect(f"ws://{HOST}:{port_of(server)}") for _ in range(3)]
        quick = [asyncio.create_task(listen(clients[listener], listener)) for listener in (0, 1)]
        fact = await audience.broadcast(send)
        for task in quick:
            task.cancel()
        for client in clients:
            client.transport.abort()
    return fact


async def cancelled() -> Fact:
    cancelling = Cancelled()

    async def handler(websocket: ServerConnection) -> None:
        for message in cancelling.messages():
            await websocket.send(message)
        await websocket.wait_closed()

    async with (
        serve(handler, HOST, 0, compression=None) as server,
        connect(f"ws://{HOST}:{port_of(server)}") as websocket,
    ):
        return await cancelling.receive(lambda: websocket.recv(decode=False))


async def private() -> Fact:
    async def handler(websocket: ServerConnection) -> None:
        async for message in websocket:
            await websocket.send(message)

    async def talks(context: ssl.SSLContext) -> bool:
        try:
            async with connect(
                f"wss://localhost:{proxy.port}", ssl=context, host=HOST
            ) as websocket:
                await websocket.send(SECRET)
                return bool(await websocket.recv() == SECRET)
        except (OSError, websockets.WebSocketException):
            return False

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for owner in ("laptop", "other"):
            make_certificate(folder, owner)
        async with (
            serve(handler, HOST, 0, ssl=server_tls(folder, "laptop")) as server,
            Proxy(port_of(server)) as proxy,
        ):
            return {
                "works": await talks(client_tls(folder, "server", "laptop")),
                "encrypted": SECRET not in proxy.seen,
                "stranger_refused": not await talks(client_tls(folder, "server", "other")),
                "impostor_refused": not await talks(client_tls(folder, "other", "laptop")),
                "without_certificates": await tls_without_certificate(),
            }


async def requests() -> Fact:
    async def handler(websocket: ServerConnection) -> None:
        async def answer(message: bytes) -> None:
            await asyncio.sleep(0.1 * (5 - int(message[4:])))
            await websocket.send(message[:4] + b"answer to " + message[4:])

        async with asyncio.TaskGroup() as tasks:
            async for message in websocket:
                assert isinstance(message, bytes)
                tasks.create_task(answer(message))

    pending: dict[bytes, asyncio.Future[bytes]] = {}
    numbers = itertools.count()

    async def dispatch(websocket: ClientConnection) -> None:
        async for message in websocket:
            assert isinstance(message, bytes)
            if waiting := pending.pop(message[:4], None):
                waiting.set_result(message[4:])

    async def request(payload: bytes, timeout: float | None = None) -> bytes:
        number = next(numbers).to_bytes(4)
        pending[number] = asyncio.get_running_loop().create_future()
        await websocket.send(number + payload)
        try:
            return await asyncio.wait_for(pending[number], timeout)
        finally:
            pending.pop(number, None)

    async with serve(handler, HOST, 0) as server:
        websocket = await connect(f"ws://{HOST}:{port_of(server)}")
        dispatching = asyncio.create_task(dispatch(websocket))
        answers = await asyncio.gather(*(request(b"%d" % number) for number in range(5)))
        try:
            await request(b"-100", timeout=0.2)
            late = False
        except TimeoutError:
            late = True
        websocket.transport.abort()
        dispatching.cancel()
        for connection in server.connections:
            connection.transport.abort()
        await asyncio.gather(dispatching, return_exceptions=True)
        server.close()
        return {
            "own": answers == [b"answer to %d" % number for number in range(5)],
            "timed_out": late,
        }


async def file(source: Path, folder: Path) -> Fact:
    async def handler(websocket: ServerConnection) -> None:
        name = Path(str(await websocket.recv())).name
        part, digest = folder / f".{name}.part", hashlib.sha256()
        with part.open("wb") as file:
            while chunk := await websocket.recv():
                assert isinstance(chunk, bytes)
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if await websocket.recv() == digest.digest():
            part.rename(folder / name)
            await websocket.send("arrived")
        else:
            part.unlink()
            await websocket.send("damaged")

    async with (
        serve(handler, HOST, 0) as server,
        connect(f"ws://{HOST}:{port_of(server)}", compression=None) as websocket,
    ):
        await websocket.send(source.name)
        digest = hashlib.sha256()
        with source.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, 65536):
                digest.update(chunk)
                await websocket.send(chunk)
        await websocket.send(b"")
        await websocket.send(digest.digest())
        if await websocket.recv() != "arrived":
            raise OSError("the file did not arrive")
    return {}


async def away() -> Fact:
    got: list[object] = []

    async def handler(websocket: ServerConnection) -> None:
        got.extend([message async for message in websocket])

    port = free_port()
    with contextlib.suppress(OSError):
        async with connect(f"ws://{HOST}:{port}") as websocket:
            await websocket.send(b"for later")
    async with serve(handler, HOST, port):
        await asyncio.sleep(1)
    return {"delivered": got == [b"for later"]}


async def python_object(value: object) -> object:
    async def handler(websocket: ServerConnection) -> None:
        await websocket.send(value)

    async with (
        serve(handler, HOST, 0) as server,
        connect(f"ws://{HOST}:{port_of(server)}") as websocket,
    ):
        return await websocket.recv()
