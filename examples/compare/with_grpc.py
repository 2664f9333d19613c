"""grpc.aio: unary calls where each message is to be answered, streams where many go one way.

Bytes go in and out, so that no schema has to be compiled. Sources: https://grpc.github.io/grpc/python/grpc_asyncio.html,
https://grpc.io/docs/guides/ (wait-for-ready, retry, flow-control, auth).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from .certificates import make_certificate
from .lab import HOST, SECRET, Fact, Proxy, free_port
from .tallies import Audience, Cancelled, Tally, send_to_sleeper

# A channel waits for 1 s, then longer, before it connects again: as the other programs do, 0.2 s.
OPTIONS = (("grpc.initial_reconnect_backoff_ms", 200), ("grpc.min_reconnect_backoff_ms", 200))


class Service(grpc.GenericRpcHandler):
    """Answers calls of any name."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return self._method


@contextlib.asynccontextmanager
async def serving(method: Any, port: int = 0, credentials: Any = None) -> AsyncIterator[int]:
    """Serve a method; yield the port."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Service(method),))
    if credentials is None:
        port = server.add_insecure_port(f"{HOST}:{port}")
    else:
        port = server.add_secure_port(f"{HOST}:{port}", credentials)
    await server.start()
    yield port
    await server.stop(0)


def channel(port: int) -> Any:
    return grpc.aio.insecure_channel(f"{HOST}:{port}", options=OPTIONS)


unary = grpc.unary_unary_rpc_method_handler


async def say_again(payload: bytes, context: Any) -> bytes:
    return payload


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, int]]:
    async with serving(unary(say_again)) as port:
        yield port, port


async def ask(port: int) -> object:
    async with channel(port) as opened:
        return await opened.unary_unary("/x/y")(b"hello")


async def starts_first() -> Fact:
    port = free_port()
    async with channel(port) as opened:
        waiting = asyncio.ensure_future(opened.unary_unary("/x/y")(b"hello", wait_for_ready=True))
        await asyncio.sleep(0.5)
        async with serving(unary(say_again), port):
            return {"connected": await waiting == b"hello"}


async def cut() -> Fact:
    tally = Tally()

    async def take(payload: bytes, context: Any) -> bytes:
        tally.take(payload)
        return b""

    async with serving(unary(take)) as port, Proxy(port, Tally.CUT_AFTER) as proxy:
        async with channel(proxy.port) as opened:
            send = opened.unary_unary("/x/y")
            async for message in tally.messages():
                try:
                    await send(message, wait_for_ready=True)
                except grpc.aio.AioRpcError:
                    tally.failed(message)
            return await tally.fact("by itself")


async def dying() -> Fact:
    async with serving(unary(say_again)) as port, Proxy(port) as proxy:
        async with channel(proxy.port) as opened:
            await opened.channel_ready()
            proxy.stall()
            cutting = asyncio.create_task(proxy.cut_soon())
            try:
                await opened.unary_unary("/x/y")(b"the last words")
                outcome = "silent"
            except grpc.aio.AioRpcError:
                outcome = "told"
            await cutting
            return {"outcome": outcome}


async def slow_reader() -> Fact:
    asleep = asyncio.Event()

    async def take(requests: Any, context: Any) -> bytes:
        await asleep.wait()
        return b""

    async with serving(grpc.stream_unary_rpc_method_handler(take)) as port:
        async with channel(port) as opened:
            call = opened.stream_unary("/x/y")()
            fact = await send_to_sleeper(call.write)
            asleep.set()
            call.cancel()
    return fact


async def broadcast() -> Fact:
    audience = Audience()
    queues: list[asyncio.Queue[bytes]] = []

    async def subscribe(payload: bytes, context: Any) -> AsyncIterator[bytes]:
        queue = asyncio.Queue[bytes](16)
        queues.append(queue)
        while True:
            yield await queue.get()

    async def listen(call: Any, listener: int) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            async for message in call:
                await audience.hear(listener, message)

    async def send(message: bytes) -> None:
        for queue in queues:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(message)

    async with serving(grpc.unary_stream_rpc_method_handler(subscribe)) as port:
        async with channel(port) as one, channel(port) as two, channel(port) as three:
            calls = [opened.unary_stream("/x/y")(b"") for opened in (one, two, three)]
            while len(queues) < 3:
                await asyncio.sleep(0.01)
            quick = [asyncio.create_task(listen(calls[number], number)) for number in (0, 1)]
            fact = await audience.broadcast(send)
            for call in calls:
                call.cancel()
            await asyncio.gather(*quick, return_exceptions=True)
    return fact


async def cancelled() -> Fact:
    cancelling = Cancelled()

    async def subscribe(payload: bytes, context: Any) -> AsyncIterator[bytes]:
        for message in cancelling.messages():
            yield message
        await asyncio.sleep(5)

    async with serving(grpc.unary_stream_rpc_method_handler(subscribe)) as port:
        async with channel(port) as opened:
            call = opened.unary_stream("/x/y")(b"")
            return await cancelling.receive(call.read)


async def private() -> Fact:
    async def talks(server: str, client: str) -> bool:
        credentials = grpc.ssl_channel_credentials(
            Path(folder, f"{server}.pem").read_bytes(),
            Path(folder, f"{client}.key").read_bytes(),
            Path(folder, f"{client}.pem").read_bytes(),
        )
        name = (("grpc.ssl_target_name_override", "localhost"),)
        async with grpc.aio.secure_channel(f"{HOST}:{proxy.port}", credentials, name) as opened:
            try:
                return bool(await opened.unary_unary("/x/y")(SECRET, timeout=2) == SECRET)
            except grpc.aio.AioRpcError:
                return False

    with tempfile.TemporaryDirectory() as folder:
        for owner in ("server", "laptop", "other"):
            make_certificate(Path(folder), owner)
        certificate, key = (Path(folder, f"server.{end}").read_bytes() for end in ("pem", "key"))
        client = Path(folder, "laptop.pem").read_bytes()
        credentials = grpc.ssl_server_credentials([(key, certificate)], client, True)
        try:
            grpc.ssl_server_credentials([])
            bare = True
        except ValueError:
            bare = False
        async with serving(unary(say_again), 0, credentials) as port, Proxy(port) as proxy:
            return {
                "works": await talks("server", "laptop"),
                "encrypted": SECRET not in proxy.seen,
                "stranger_refused": not await talks("server", "other"),
                "impostor_refused": not await talks("other", "laptop"),
                "without_certificates": bare,
            }


async def requests() -> Fact:
    async def answer(payload: bytes, context: Any) -> bytes:
        await asyncio.sleep(0.1 * (5 - int(payload)))
        return b"answer to " + payload

    async with serving(unary(answer)) as port, channel(port) as opened:
        request = opened.unary_unary("/x/y")
        answers = await asyncio.gather(*(request(b"%d" % number) for number in range(5)))
        try:
            await request(b"-100", timeout=0.2)
            late = False
        except grpc.aio.AioRpcError as error:
            late = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    return {"own": answers == [b"answer to %d" % number for number in range(5)], "timed_out": late}


async def file(source: Path, folder: Path) -> Fact:
    async def receive(chunks: Any, context: Any) -> bytes:
        name = Path((await anext(chunks)).decode()).name
        part, digest, expected = folder / f".{name}.part", hashlib.sha256(), b""
        with part.open("wb") as file:
            async for chunk in chunks:
                if len(chunk) == digest.digest_size:
                    expected = chunk
                else:
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        if expected == digest.digest():
            part.rename(folder / name)
            return b"arrived"
        part.unlink()
        return b"damaged"

    async def chunks() -> AsyncIterator[bytes]:
        yield source.name.encode()
        digest = hashlib.sha256()
        with source.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, 65536):
                digest.update(chunk)
                yield chunk
        yield digest.digest()

    async with serving(grpc.stream_unary_rpc_method_handler(receive)) as port:
        async with channel(port) as opened:
            if await opened.stream_unary("/x/y")(chunks()) != b"arrived":
                raise OSError("the file did not arrive")
    return {}


async def away() -> Fact:
    got: list[bytes] = []

    async def take(payload: bytes, context: Any) -> bytes:
        got.append(payload)
        return b""

    port = free_port()
    async with channel(port) as opened:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await opened.unary_unary("/x/y")(b"for later", wait_for_ready=True, timeout=1)
    async with serving(unary(take), port):
        await asyncio.sleep(1)
    return {"delivered": got == [b"for later"]}


async def python_object(value: object) -> object:
    async def answer(payload: bytes, context: Any) -> object:
        return value

    async with serving(unary(answer)) as port, channel(port) as opened:
        return await opened.unary_unary("/x/y")(b"", timeout=5)
