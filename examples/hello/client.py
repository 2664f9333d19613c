"""A client of the server beside it: python examples/hello/client.py"""

from __future__ import annotations

import asyncio

import sealframe


async def main() -> None:
    async with sealframe.connect("127.0.0.1", 1234) as conn:
        for name in "ann", "bob":
            await conn.send(name.encode())
            reply = await conn.recv()
            print(reply.decode())


asyncio.run(main())
