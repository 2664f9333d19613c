"""After: the same server; old clients do not notice."""

from __future__ import annotations

import asyncio
import sys

import sealframe


async def handle(conn: sealframe.Connection) -> None:
    async for message in conn:
        await conn.send(message.upper())


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    async with sealframe.serve(handle, host, int(port)) as server:
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
