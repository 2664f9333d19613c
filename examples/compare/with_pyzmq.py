"""pyzmq with asyncio: the socket type that the guide names for each job, CURVE where it is sealed.

Sources: https://pyzmq.readthedocs.io/en/latest/ (api/zmq.asyncio, api/zmq.auth),
https://zguide.zeromq.org/docs/chapter5/ and the manual pages zmq_socket, zmq_setsockopt, zmq_curve.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
import zmq.auth
from zmq.auth.asyncio import AsyncioAuthenticator

from .lab import HOST, SECRET, Fact, Proxy, free_port
from .tallies import Audience, Cancelled, Tally, send_to_sleeper


@contextlib.contextmanager
def sockets(*kinds: int) -> Any:
    """Yield sockets of these types, which are closed without a wait at the end."""
    context = zmq.asyncio.Context()
    try:
        yield [context.socket(kind) for kind in kinds]
    finally:
        context.destroy(linger=0)


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, int]]:
    async def answer() -> None:
        while True:
            await socket.send_multipart(await socket.recv_multipart())

    with sockets(zmq.ROUTER) as (socket,):
        port = socket.bind_to_random_port(f"tcp://{HOST}")
        answering = asyncio.create_task(answer())
        yield port, port
        answering.cancel()


async def ask(port: int) -> object:
    with sockets(zmq.DEALER) as (socket,):
        socket.connect(f"tcp://{HOST}:{port}")
        await socket.send(b"hello")
        return await socket.recv()


async def starts_first() -> Fact:
    port = free_port()
    with sockets(zmq.DEALER, zmq.DEALER) as (client, server):
        client.connect(f"tcp://{HOST}:{port}")
        waiting = asyncio.ensure_future(client.recv())
        await asyncio.sleep(0.5)
        server.bind(f"tcp://{HOST}:{port}")
        await server.send(b"welcome")
        return {"connected": await waiting == b"welcome"}


async def cut() -> Fact:
    tally = Tally()

    async def receive() -> None:
        while True:
            tally.take(await server.recv())

    with sockets(zmq.PULL, zmq.PUSH) as (server, client):
        port = server.bind_to_random_port(f"tcp://{HOST}")
        receiving = asyncio.create_task(receive())
        async with Proxy(port, Tally.CUT_AFTER) as proxy:
            client.connect(f"tcp://{HOST}:{proxy.port}")
            async for message in tally.messages():
                await client.send(message)
            fact = await tally.fact("by itself")
        receiving.cancel()
        return fact


async def dying() -> Fact:
    with sockets(zmq.PULL, zmq.PUSH) as (server, client):
        port = server.bind_to_random_port(f"tcp://{HOST}")
        async with Proxy(port) as proxy:
            client.connect(f"tcp://{HOST}:{proxy.port}")
            await client.send(b"the first words")
            await server.recv()
            proxy.stall()
            await client.send(b"the last words")
            await asyncio.sleep(0.1)
            cutting = asyncio.create_task(proxy.cut_soon())
            await cutting
            client.close(linger=1000)
            try:
                await asyncio.wait_for(server.recv(), 2)
                return {"outcome": "delivered"}
            except TimeoutError:
                return {"outcome": "silent"}


async def slow_reader() -> Fact:
    with sockets(zmq.PULL, zmq.PUSH) as (server, client):
        client.connect(f"tcp://{HOST}:{server.bind_to_random_port(f'tcp://{HOST}')}")
        return await send_to_sleeper(client.send)


async def broadcast() -> Fact:
    audience = Audience()

    async def listen(socket: zmq.asyncio.Socket, listener: int) -> None:
        while True:
            await audience.hear(listener, await socket.recv())

    with sockets(zmq.PUB, zmq.SUB, zmq.SUB, zmq.SUB) as (server, *clients):
        port = server.bind_to_random_port(f"tcp://{HOST}")
        for client in clients:
            client.subscribe(b"")
            client.connect(f"tcp://{HOST}:{port}")
        await asyncio.sleep(0.5)
        quick = [asyncio.create_task(listen(clients[listener], listener)) for listener in (0, 1)]
        fact = await audience.broadcast(server.send)
        for task in quick:
            task.cancel()
        return fact


async def cancelled() -> Fact:
    cancelling = Cancelled()

    async def send() -> None:
        for message in cancelling.messages():
            await server.send(message)

    with sockets(zmq.PUSH, zmq.PULL) as (server, client):
        client.connect(f"tcp://{HOST}:{server.bind_to_random_port(f'tcp://{HOST}')}")
        sending = asyncio.create_task(send())
        fact = await cancelling.receive(client.recv)
        sending.cancel()
        return fact


async def private() -> Fact:
    async def answer() -> None:
        while True:
            await server.send_multipart(await server.recv_multipart())

    async def talks(key: tuple[bytes, bytes], server_key: bytes) -> bool:
        with sockets(zmq.DEALER) as (client,):
            client.curve_publickey, client.curve_secretkey = key
            client.curve_serverkey = server_key
            client.connect(f"tcp://{HOST}:{proxy.port}")
            await client.send(SECRET)
            try:
                return bool(await asyncio.wait_for(client.recv(), 2) == SECRET)
            except TimeoutError:
                return False

    key, laptop, other = (zmq.curve_keypair() for _ in range(3))
    with tempfile.TemporaryDirectory() as folder, sockets(zmq.ROUTER) as (server,):
        zmq.auth.certs._write_key_file(
            Path(folder, "laptop.key"), "", laptop[0], None, None, "utf-8"
        )
        authenticator = AsyncioAuthenticator(server.context)
        authenticator.start()
        authenticator.configure_curve(domain="*", location=folder)
        server.curve_publickey, server.curve_secretkey = key
        server.curve_server = True
        port = server.bind_to_random_port(f"tcp://{HOST}")
        answering = asyncio.create_task(answer())
        async with Proxy(port) as proxy:
            fact: Fact = {
                "works": await talks(laptop, key[0]),
                "encrypted": SECRET not in proxy.seen,
                "stranger_refused": not await talks(other, key[0]),
                "impostor_refused": not await talks(laptop, other[0]),
                "without_certificates": True,
            }
        answering.cancel()
        authenticator.stop()
        return fact


async def requests() -> Fact:
    async def serve() -> None:
        async def answer(client: bytes, number: bytes, payload: bytes) -> None:
            await asyncio.sleep(0.1 * (5 - int(payload)))
            await server.send_multipart([client, number, b"answer to " + payload])

        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(answer(*await server.recv_multipart()))

    pending: dict[bytes, asyncio.Future[bytes]] = {}
    numbers = itertools.count()

    async def dispatch() -> None:
        while True:
            number, payload = await client.recv_multipart()
            if waiting := pending.pop(number, None):
                waiting.set_result(payload)

    async def request(payload: bytes, timeout: float | None = None) -> bytes:
        number = next(numbers).to_bytes(4)
        pending[number] = asyncio.get_running_loop().create_future()
        await client.send_multipart([number, payload])
        try:
            return await asyncio.wait_for(pending[number], timeout)
        finally:
            pending.pop(number, None)

    with sockets(zmq.ROUTER, zmq.DEALER) as (server, client):
        client.connect(f"tcp://{HOST}:{server.bind_to_random_port(f'tcp://{HOST}')}")
        tasks = [asyncio.create_task(serve()), asyncio.create_task(dispatch())]
        answers = await asyncio.gather(*(request(b"%d" % number) for number in range(5)))
        try:
            await request(b"-100", timeout=0.2)
            late = False
        except TimeoutError:
            late = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {"own": answers == [b"answer to %d" % number for number in range(5)], "timed_out": late}


async def file(source: Path, folder: Path) -> Fact:
    async def receive() -> None:
        name = Path(await server.recv_string()).name
        part, digest = folder / f".{name}.part", hashlib.sha256()
        with part.open("wb") as file:
            while chunk := await server.recv():
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if await server.recv() == digest.digest():
            part.rename(folder / name)
            await server.send_string("arrived")
        else:
            part.unlink()
            await server.send_string("damaged")

    with sockets(zmq.PAIR, zmq.PAIR) as (server, client):
        client.connect(f"tcp://{HOST}:{server.bind_to_random_port(f'tcp://{HOST}')}")
        receiving = asyncio.create_task(receive())
        await client.send_string(source.name)
        digest = hashlib.sha256()
        with source.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, 65536):
                digest.update(chunk)
                await client.send(chunk)
        await client.send(b"")
        await client.send(digest.digest())
        if await client.recv_string() != "arrived":
            raise OSError("the file did not arrive")
        await receiving
    return {}


async def away() -> Fact:
    port = free_port()
    with sockets(zmq.PUSH) as (client,):
        client.connect(f"tcp://{HOST}:{port}")
        await client.send(b"for later")
        client.close(linger=1000)
    with sockets(zmq.PULL) as (server,):
        server.bind(f"tcp://{HOST}:{port}")
        try:
            return {"delivered": await asyncio.wait_for(server.recv(), 2) == b"for later"}
        except TimeoutError:
            return {"delivered": False}


async def python_object(value: object) -> object:
    with sockets(zmq.PUSH, zmq.PULL) as (server, client):
        client.connect(f"tcp://{HOST}:{server.bind_to_random_port(f'tcp://{HOST}')}")
        await server.send_pyobj(value)
        return await client.recv_pyobj()
