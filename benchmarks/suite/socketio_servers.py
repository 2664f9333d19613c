"""python-socketio with its Redis manager, driven by the commands of :mod:`servers`."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL
from types import ModuleType
from typing import Any

PROGRAM = Path(__file__)
HUGE = 2**30


def modules() -> tuple[ModuleType, ModuleType]:
    """Return socketio and aiohttp.

    :raises ImportError: something of it is not installed
    """
    import aiohttp.web
    import redis  # noqa: F401 - its manager needs it
    import socketio

    return socketio, aiohttp


def missing() -> str:
    """Return what is not here, "" if all of it is."""
    try:
        modules()
    except ImportError as error:
        return f"{error.name} is not installed"
    return "" if shutil.which("redis-server") else "redis-server is not installed"


@asynccontextmanager
async def redis_server() -> AsyncIterator[str]:
    """Run Redis on a port of its own, without files; give its URL."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *("redis-server", "--bind", "127.0.0.1", "--port", str(port)),
        *("--save", "", "--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0"),
        stdout=DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    break
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        await process.wait()


class SocketIoConnection:
    """A client that sends and receives as sealframe's own does."""

    def __init__(self) -> None:
        socketio, _ = modules()
        self._client: Any = socketio.AsyncClient(reconnection=False)
        self._client.on("message", self._take)
        self._received: list[bytes] = []
        self._filled = asyncio.Event()

    async def connect(self, port: int) -> None:
        """Connect, over a websocket from the first byte on."""
        await self._client.connect(f"http://127.0.0.1:{port}", transports=["websocket"])

    def _take(self, data: bytes) -> None:
        self._received.append(data)
        self._filled.set()

    async def send(self, message: bytes) -> None:
        """Send a command."""
        await self._client.emit("command", message)

    async def recv_many(self) -> list[bytes]:
        """Return what has come, at least one message."""
        while not self._received:
            self._filled.clear()
            await self._filled.wait()
        received, self._received = self._received, []
        return received

    async def recv(self) -> bytes:
        """Return the one message that comes."""
        (message,) = await self.recv_many()
        return message

    async def ask(self) -> None:
        """Return once what was sent before is done."""
        await self._client.call("done")

    async def close(self) -> None:
        """End the connection."""
        await self._client.disconnect()


async def run_server(url: str) -> None:
    """Do what clients ask for, until standard input ends."""
    socketio, aiohttp = modules()
    server = socketio.AsyncServer(
        async_mode="aiohttp",
        client_manager=socketio.AsyncRedisManager(url),
        max_http_buffer_size=HUGE,
        ping_timeout=600,
    )

    async def command(sid: str, message: bytes) -> None:
        verb, _, rest = message.partition(b" ")
        if verb == b"name":
            await server.enter_room(sid, "receiver")
        elif verb == b"join":
            await server.enter_room(sid, "many")
        elif verb == b"forward":
            await server.emit("message", rest, room="receiver")
        elif verb in (b"flood", b"group"):
            count, size = map(int, rest.split())
            room = "receiver" if verb == b"flood" else "many"
            for _ in range(count):
                await server.emit("message", bytes(size), room=room)

    server.on("command", command)
    server.on("done", lambda sid: None)
    app = aiohttp.web.Application()
    server.attach(app)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    print(json.dumps(site._server.sockets[0].getsockname()[1]), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(run_server(sys.argv[1]))
