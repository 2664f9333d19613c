"""A client of stock_server.py: requests, several at once, and what comes of bad ones.

Run it: python examples/stock_client.py [HOST [PORT]]
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import sealframe
from sealframe.codecs import Msgspec
from stock import Left, Take


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    codec = Msgspec(Left, send_type=Take)
    # Requests need an extended connection, or a sealed one.
    async with sealframe.connect(host, int(port), extended=True, codec=codec) as conn:
        for left in await asyncio.gather(*map(conn.request, [Take("apples", 2), Take("pears", 1)])):
            print(left.number, left.thing, "are left")
        for wrong in Take("pears", 100), Take("hours"), Take("apples", -1):
            try:
                await conn.request(wrong, timeout=10)
            except sealframe.RemoteError as error:
                print(error.type, "-", error.message)
        # The connection stays as it was.
        print((await conn.request(Take("apples"))).number)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
