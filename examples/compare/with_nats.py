"""nats-py: core NATS, and JetStream where a message must not be lost, as its documentation advises.

Sources: https://docs.nats.io/using-nats/developer/connecting/reconnect (buffer, events),
https://docs.nats.io/nats-concepts/jetstream, https://docs.nats.io/nats-concepts/core-nats/reqreply.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.api
from nats.aio.client import Client
from nats.aio.msg import Msg

from .broker import nats_server
from .certificates import client_tls, make_certificate
from .lab import HOST, SECRET, Fact, Proxy, free_port
from .tallies import Audience, Cancelled, Tally, send_to_sleeper


@contextlib.contextmanager
def broker(*options: str, config: str = "") -> Any:
    with (
        tempfile.TemporaryDirectory() as folder,
        nats_server(Path(folder), *options, config=config) as port,
    ):
        yield port


async def quietly(error: Exception) -> None:
    """Take the errors that nats-py would log."""


async def connect(port: int, **options: Any) -> Client:
    return await nats.connect(
        f"nats://{HOST}:{port}", reconnect_time_wait=0.2, error_cb=quietly, **options
    )


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, int]]:
    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    web = free_port()
    config = f'websocket {{ listen: "{HOST}:{web}", no_tls: true }}'
    with broker(config=config) as port:
        async with await connect(port) as connection:
            await connection.subscribe("echo", cb=answer)
            await connection.flush()
            yield port, web


async def ask(port: int) -> bytes:
    async with await connect(port) as connection:
        return (await connection.request("echo", b"hello", timeout=5)).data


async def starts_first() -> Fact:
    port = free_port()
    waiting = asyncio.create_task(connect(port))
    await asyncio.sleep(0.5)
    with tempfile.TemporaryDirectory() as folder:
        with nats_server(Path(folder), "-p", str(port)):
            connection = await waiting
            connected = connection.is_connected
            await connection.close()
            return {"connected": connected}


async def cut() -> Fact:
    tally = Tally()

    async def take(message: Msg) -> None:
        tally.take(message.data)
        await message.ack()

    with broker() as port:
        async with await connect(port) as receiver, Proxy(port, Tally.CUT_AFTER) as proxy:
            stream = receiver.jetstream()
            await stream.add_stream(name="readings", subjects=["readings"])
            await stream.subscribe("readings", cb=take, manual_ack=True)
            async with await connect(proxy.port) as sender:
                publish = sender.jetstream().publish
                async for message in tally.messages():
                    try:
                        await publish("readings", message, timeout=2)
                    except (nats.errors.Error, nats.js.errors.Error):
                        tally.failed(message)
                return await tally.fact("by itself")


async def dying() -> Fact:
    with broker() as port:
        async with await connect(port) as sender, Proxy(port) as proxy:
            stream = sender.jetstream()
            await stream.add_stream(name="words", subjects=["words"])
            dying = await connect(proxy.port, allow_reconnect=False)
            await dying.jetstream().subscribe("words", durable="reader", manual_ack=True)
            proxy.stall()
            await stream.publish("words", b"the last words")
            await proxy.cut_soon()
            await dying.close()
            async with await connect(port) as restarted:
                words = await restarted.jetstream().subscribe("words", durable="reader")
                message = await words.next_msg(timeout=5)
        return {"outcome": "kept" if message.data == b"the last words" else "silent"}


async def slow_reader() -> Fact:
    asleep = asyncio.Event()

    async def take(message: Msg) -> None:
        await asleep.wait()

    with broker() as port:
        receiver, sender = await connect(port), await connect(port)
        await receiver.subscribe("readings", cb=take)
        await receiver.flush()
        fact = await send_to_sleeper(lambda message: sender.publish("readings", message))
        asleep.set()
        await sender.close()
        await receiver.close()
    return fact


async def broadcast() -> Fact:
    audience = Audience()
    asleep = asyncio.Event()

    async def listen(listener: int) -> Client:
        async def hear(message: Msg) -> None:
            if listener == 2:
                await asleep.wait()
            else:
                await audience.hear(listener, message)

        connection = await connect(port)
        await connection.subscribe("news", cb=hear)
        await connection.flush()
        return connection

    with broker() as port:
        server = await connect(port)
        clients = [await listen(listener) for listener in range(3)]
        fact = await audience.broadcast(lambda message: server.publish("news", message))
        asleep.set()
        for connection in (server, *clients):
            await connection.close()
    return fact


async def cancelled() -> Fact:
    cancelling = Cancelled()
    with broker() as port:
        async with await connect(port) as receiver, await connect(port) as sender:
            subscription = await receiver.subscribe("readings")
            await receiver.flush()

            async def send() -> None:
                for message in cancelling.messages():
                    await sender.publish("readings", message)

            async def recv() -> bytes:
                return (await subscription.next_msg(timeout=None)).data

            sending = asyncio.create_task(send())
            fact = await cancelling.receive(recv)
            await sending
            return fact


async def private() -> Fact:
    async def talks(port: int, server: str, client: str) -> bool:
        try:
            async with await connect(
                port,
                tls=client_tls(folder, server, client),
                tls_hostname="localhost",
                allow_reconnect=False,
            ) as connection:
                subscription = await connection.subscribe("echo")
                await connection.publish("echo", SECRET)
                return (await subscription.next_msg(timeout=2)).data == SECRET
        except (nats.errors.Error, OSError):
            return False

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for owner in ("server", "laptop", "other"):
            make_certificate(folder, owner)
        config = (
            f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key",'
            f' ca_file: "{folder}/laptop.pem", verify: true }}'
        )
        try:
            with broker("--tls"):
                bare = True
        except RuntimeError:
            bare = False
        with broker(config=config) as port:
            async with Proxy(port) as proxy:
                return {
                    "works": await talks(proxy.port, "server", "laptop"),
                    "encrypted": SECRET not in proxy.seen,
                    "stranger_refused": not await talks(proxy.port, "server", "other"),
                    "impostor_refused": not await talks(proxy.port, "other", "laptop"),
                    "without_certificates": bare,
                }


async def requests() -> Fact:
    async def on_request(message: Msg) -> None:
        async def answer() -> None:
            await asyncio.sleep(0.1 * (5 - int(message.data)))
            await message.respond(b"answer to " + message.data)

        # A subscription calls back for one message at a time.
        tasks.create_task(answer())

    with broker() as port:
        async with await connect(port) as server, await connect(port) as client:
            async with asyncio.TaskGroup() as tasks:
                await server.subscribe("service", cb=on_request)
                await server.flush()
                answers = await asyncio.gather(
                    *(client.request("service", b"%d" % number, timeout=5) for number in range(5))
                )
                try:
                    await client.request("service", b"0", timeout=0.2)
                    late = False
                except nats.errors.TimeoutError:
                    late = True
    return {
        "own": [answer.data for answer in answers] == [b"answer to %d" % n for n in range(5)],
        "timed_out": late,
    }


async def file(source: Path, folder: Path) -> Fact:
    with broker() as port:
        async with await connect(port) as sender, await connect(port) as receiver:
            store = await sender.jetstream().create_object_store("files")
            with source.open("rb") as file:
                await store.put(source.name, file)
            arrived = await receiver.jetstream().object_store("files")
            with (folder / source.name).open("wb") as file:
                await arrived.get(source.name, writeinto=file)
    return {}


async def away() -> Fact:
    with broker() as port:
        async with await connect(port) as sender:
            stream = sender.jetstream()
            await stream.add_stream(name="letters", subjects=["letters"])
            await stream.publish("letters", b"for later")
        async with await connect(port) as receiver:
            letters = await receiver.jetstream().subscribe("letters")
            message = await letters.next_msg(timeout=5)
    return {"delivered": message.data == b"for later"}


async def python_object(value: object) -> object:
    with broker() as port:
        async with await connect(port) as connection:
            subscription = await connection.subscribe("objects")
            await connection.publish("objects", value)  # type: ignore[arg-type]
            return (await subscription.next_msg(timeout=2)).data
