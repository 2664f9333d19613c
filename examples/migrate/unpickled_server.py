"""On the way: sealframe, with clients of multiprocessing.connection as they are."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys

import sealframe
from authkey import as_listener
from sealframe.framing.layouts import MULTIPROCESSING


async def handle(conn: sealframe.Connection) -> None:
    try:
        await as_listener(conn, b"secret")
    except multiprocessing.AuthenticationError:
        return  # closes the connection
    async for message in conn:
        await conn.send(message.upper())


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    async with sealframe.serve(handle, host, int(port), framing=MULTIPROCESSING) as server:
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
