"""One end of a plain connection that sends all the time; prints how the connection ended."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

import sealframe

PORT = 1234
KEEPALIVE = {"keepalive_interval": 0.5, "keepalive_timeout": 0.5}


def report(error: BaseException | None, since: float) -> None:
    """Print the type of the error, and how long nothing had come before it."""
    print(type(error).__name__, f"{time.monotonic() - since:.1f}", flush=True)


async def serve(host: str) -> None:
    ended = asyncio.Event()
    last = time.monotonic()

    async def handler(conn: sealframe.Connection) -> None:
        nonlocal last
        async for _ in conn:
            last = time.monotonic()

    def gone(_: sealframe.Connection, why: sealframe.Disconnect) -> None:
        report(why.error, last)
        ended.set()

    async with sealframe.serve(
        handler,
        host,
        PORT,
        on_disconnect=gone,
        options=sealframe.ServerOptions(**KEEPALIVE),  # type: ignore[arg-type]
    ) as server:
        print("ready", flush=True)
        while not ended.is_set():
            server.broadcast(b"from the server")
            await asyncio.sleep(0.05)


async def connect(host: str) -> None:
    options = sealframe.ClientOptions(**KEEPALIVE)  # type: ignore[arg-type]
    conn = await sealframe.connect(host, PORT, options=options)
    last = time.monotonic()
    try:
        for number in itertools.count():
            await conn.send(b"from the client")
            await conn.recv()
            last = time.monotonic()
            if number == 20:
                print("ready", flush=True)
    except sealframe.ConnectionClosed as error:
        report(error, last)


if __name__ == "__main__":
    role, host, loop = sys.argv[1:]
    main = serve(host) if role == "server" else connect(host)
    if loop == "uvloop":
        import uvloop

        uvloop.run(main)
    else:
        asyncio.run(main)
