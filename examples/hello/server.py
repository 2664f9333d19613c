"""The shortest server: python examples/hello/server.py; Ctrl-C ends it."""

from __future__ import annotations

import asyncio
import contextlib

import sealframe


async def greet(conn: sealframe.Connection) -> None:
    async for message in conn:  # a task for each client
        await conn.send(b"hello, " + message)


async def main() -> None:
    async with sealframe.serve(greet, "127.0.0.1", 1234) as server:
        await server.serve_forever()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
