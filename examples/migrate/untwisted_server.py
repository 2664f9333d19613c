"""After: sealframe; Twisted's clients do not notice."""

from __future__ import annotations

import asyncio
import sys

import sealframe
from sealframe.framing.layouts import TWISTED_INT32


async def handle(conn: sealframe.Connection) -> None:
    async for message in conn:
        await conn.send(message.upper())


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    async with sealframe.serve(handle, host, int(port), framing=TWISTED_INT32) as server:
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
