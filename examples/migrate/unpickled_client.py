"""On the way: sealframe, with a Listener of multiprocessing.connection as it is."""

from __future__ import annotations

import asyncio
import sys

import sealframe
from authkey import as_client
from sealframe.framing.layouts import MULTIPROCESSING


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    async with sealframe.connect(host, int(port), framing=MULTIPROCESSING) as conn:
        await as_client(conn, b"secret")
        for word in (b"one", b"", b"three"):
            await conn.send(word)
            print(await conn.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
